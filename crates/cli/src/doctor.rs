//! `zeuge doctor`: plain sentences about this machine, its configuration and its witnesses.
//!
//! Looks and asks; changes nothing.

use std::path::Path;

use zeuge_evidence::UnixTime;

use crate::{Outcome, clock, contexts};

/// Tokens and challenges forgive this much.
const SKEW_SECS_MAX: u64 = 30;

/// Runs the command.
pub(crate) fn run() -> Outcome {
    let mut faults = 0_u32;
    machine()?;
    let contexts = contexts::read()?;
    if contexts.context.is_empty() {
        crate::say("No witness is named here; see: zeuge context add.\n")?;
    }
    for (name, context) in &contexts.context {
        let sentence = match witness(context) {
            Ok(sentence) => sentence,
            Err(sentence) => {
                faults = faults.saturating_add(1);
                format!("NOT ALL RIGHT: {sentence}")
            }
        };
        crate::say(&format!(
            "Witness {name} ({}): {sentence}\n",
            context.witness
        ))?;
    }
    Ok(u8::from(faults > 0))
}

fn machine() -> Result<(), String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info
        .lines()
        .find(|line| line.starts_with("flags"))
        .unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|found| found == flag);
    let there = |path: &str| Path::new(path).exists();
    let guest = if there("/dev/sev-guest") {
        "This machine is an SEV-SNP guest: /dev/sev-guest is there."
    } else if there("/dev/tdx_guest") || has("tdx_guest") {
        "This machine is a TDX guest."
    } else {
        "This machine has no device of a confidential guest; it can verify and own, not attest."
    };
    let host = if has("sev_snp") {
        "Its processor can host SEV-SNP guests.\n"
    } else {
        ""
    };
    let tpm = if there("/dev/tpmrm0") {
        "It has a TPM."
    } else {
        "It has no TPM that this system shows."
    };
    crate::say(&format!("{guest}\n{host}{tpm}\n"))
}

fn witness(context: &contexts::Context) -> Result<String, String> {
    let client = contexts::connect(context)?;
    let said = |failure: crate::witness::Failure| failure.sentence;
    let answer = client.get("/readyz").map_err(said)?;
    let date = answer.date.clone();
    answer.good().map_err(said)?;
    let Some(theirs) = date.as_deref().and_then(http_date) else {
        return Ok("ready; it does not say its time.".to_owned());
    };
    let apart = clock::now()?.0.abs_diff(theirs.0);
    if apart > SKEW_SECS_MAX {
        return Err(format!("its clock and this one are {apart} seconds apart."));
    }
    Ok("ready, and its clock agrees.".to_owned())
}

/// Reads `Tue, 24 Nov 2026 20:22:12 GMT` (RFC 9110 §5.6.7).
fn http_date(text: &str) -> Option<UnixTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split(' ').skip(1);
    let day = words.next()?;
    let month = words.next()?;
    let month = MONTHS
        .iter()
        .position(|name| *name == month)?
        .saturating_add(1);
    let (year, time) = (words.next()?, words.next()?);
    UnixTime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_an_instant() {
        let at = http_date("Tue, 24 Nov 2026 20:22:12 GMT").unwrap();
        assert_eq!(at.to_string(), "2026-11-24T20:22:12Z");
        assert_eq!(http_date("yesterday"), None);
    }
}
