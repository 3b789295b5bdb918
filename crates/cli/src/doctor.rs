//! `zeuge doctor`: plain sentences about this machine, its configuration and its witnesses.
//!
//! Looks and asks; changes nothing.

use std::path::Path;

use zeuge_evidence::UnixTime;

use crate::{Outcome, clock, collateral, contexts};

/// Tokens and challenges forgive this much.
const SKEW_SECS_MAX: u64 = 30;
/// The same, for files.
const SKEW_SECS: i64 = 30;
const DAY: i64 = 86_400;
/// A list that ends within this time needs somebody to look.
const ENDS_SOON_SECS: i64 = 2 * DAY;

/// Runs the command.
pub(crate) fn run() -> Outcome {
    let mut faults = 0_u32;
    machine()?;
    for sentence in caches()? {
        faults = faults.saturating_add(1);
        crate::say(&format!("NOT ALL RIGHT: {sentence}\n"))?;
    }
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

/// What is wrong with the makers' certificates and lists that are held here; says what is not.
fn caches() -> Result<Vec<String>, String> {
    let now = clock::now()?;
    let Some(held) = collateral::held(now)? else {
        crate::say("No certificates or lists of the makers are held here.\n")?;
        return Ok(Vec::new());
    };
    let oldest = held.entries.iter().map(|entry| entry.fetched_at).min();
    let oldest = oldest.map_or(0, |oldest| now.0.saturating_sub(oldest.0));
    crate::say(&format!(
        "Held of the makers: {}, the oldest for {} days.\n",
        held.entries.len(),
        oldest / DAY
    ))?;
    let mut faults = Vec::new();
    for entry in &held.entries {
        let left = entry.until.map(|until| until.0.saturating_sub(now.0));
        let key = &entry.key;
        if let Some(problem) = &entry.problem {
            faults.push(format!("{key}: {}: {problem}", problem.check()));
        } else if left.is_some_and(|left| left < ENDS_SOON_SECS) {
            faults.push(format!(
                "{key} ends within two days; get it anew: zeuge collateral fetch"
            ));
        }
        if entry.fetched_at.0 > now.0.saturating_add(SKEW_SECS) {
            faults.push(format!(
                "{key} was fetched at {}, after now: the clock of this machine went back",
                entry.fetched_at
            ));
        }
    }
    for (name, until) in &held.back_off {
        faults.push(format!(
            "{name} did not answer and is not asked until {until}"
        ));
    }
    Ok(faults)
}

/// What a witness says about the lists in its own cache.
fn ending(metrics: &str) -> Option<String> {
    let lines = metrics.lines();
    let lists = lines.filter_map(|line| line.strip_prefix("zeuge_collateral_list_left_seconds{"));
    let mut lists = lists.filter_map(|rest| {
        let (key, left) = rest.rsplit_once("} ")?;
        let left: i64 = left.trim().parse().ok()?;
        (left < ENDS_SOON_SECS).then(|| key.trim_start_matches("key=").trim_matches('"').to_owned())
    });
    lists.next()
}

fn witness(context: &contexts::Context) -> Result<String, String> {
    let client = contexts::connect(context)?;
    let said = |failure: crate::witness::Failure| failure.sentence;
    let answer = client.get("/readyz").map_err(said)?;
    let date = answer.date.clone();
    answer.good().map_err(said)?;
    let metrics = client.get("/metrics").and_then(|answer| answer.good());
    let metrics = metrics.map_err(said)?;
    if let Some(list) = ending(&String::from_utf8_lossy(&metrics.body)) {
        return Err(format!(
            "the list {list} in its cache ends within two days or has ended, and no newer one was had."
        ));
    }
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
    fn a_list_that_ends_soon_in_a_witness_s_cache_is_found() {
        let line = |left: i64| {
            format!("zeuge_collateral_list_left_seconds{{key=\"amd/crl/Milan/vcek\"}} {left}\n")
        };
        assert_eq!(ending(&line(ENDS_SOON_SECS)), None);
        for left in [ENDS_SOON_SECS - 1, -5] {
            assert_eq!(ending(&line(left)).as_deref(), Some("amd/crl/Milan/vcek"));
        }
        assert_eq!(ending("zeuge_ready 1\n"), None);
    }

    #[test]
    fn a_date_of_http_is_an_instant() {
        let at = http_date("Tue, 24 Nov 2026 20:22:12 GMT").unwrap();
        assert_eq!(at.to_string(), "2026-11-24T20:22:12Z");
        assert_eq!(http_date("yesterday"), None);
    }
}
