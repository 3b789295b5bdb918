//! `zeuge collateral forecast`: how platforms of Intel's stand in both update channels, and from
//! when the policy in force would refuse them.
//!
//! Asks nobody unless told to; raises no mark; prints what documents say and foretells nothing else.

use serde_json::Value;
use zeuge_appraise::{Policy, QuoteFacts, ReferenceValues, Wanted, outlook::refused_from};
use zeuge_collateral::{Channel, ChannelFacts, QuoteQuestion};
use zeuge_evidence::{Malformed, UnixTime, dcap};
use zeuge_protocol::api::VerdictWord;
use zeuge_report::{InChannel, platform};
use zeuge_verify::Binding;

use crate::{
    Outcome,
    args::{Format, collateral::Forecast},
    clock,
    collateral::{SOURCE, disk, is_quote, open, waiting},
    contexts, input,
    tenant::rows,
    witness::Failure,
};

/// Runs the command.
pub(crate) fn run(arguments: &Forecast) -> Outcome {
    if arguments.files.is_empty() {
        return of_witness(arguments).or_else(Failure::told);
    }
    let policy = match &arguments.policy {
        Some(path) => Policy::parse(&input::text(path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?,
        None => Policy::default(),
    };
    let makers = arguments.fetch.then_some(&arguments.makers);
    let (cache, runtime) = (open(&arguments.cache, makers)?, waiting()?);
    let heap = input::endorsements(&arguments.endorsements)?;
    let now = clock::now()?;
    let mut found = Vec::new();
    let mut skipped = 0_usize;
    for file in input::files(&arguments.files)? {
        let bytes = input::read(&file)?;
        if !is_quote(&bytes) {
            skipped = skipped.saturating_add(1);
            continue;
        }
        let name = file.display().to_string();
        let asked = |quote: &dcap::Quote<'_>| {
            let question = QuoteQuestion {
                quote,
                heap: &heap,
                binding: &unbound(),
                channel: Channel::Standard,
                source: SOURCE,
                now,
            };
            runtime
                .block_on(cache.both_channels(&question, true))
                .map_err(disk)
        };
        match read(&bytes).and_then(|bytes| dcap::Quote::parse(&bytes).map(|quote| asked(&quote))) {
            Ok(both) => found.push(row(&name, &both?, &policy, now)),
            Err(malformed) => {
                crate::complain(&format!("{name}: {}: {malformed}", malformed.check));
                found.push(Value::Null);
            }
        }
    }
    if skipped > 0 {
        crate::complain(&format!("{skipped} files are no quotes of TDX or SGX"));
    }
    told(&found, arguments.format)
}

fn read(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    Ok(dcap::Evidence::read(bytes)?.quote.to_vec())
}

/// A forecast is about the platform; whether a quote is fresh is another question.
fn unbound() -> Binding {
    Binding::Unbound {
        because: "a forecast is about the platform".to_owned(),
    }
}

fn row(name: &str, both: &[ChannelFacts], policy: &Policy, at: UnixTime) -> Value {
    let values = ReferenceValues::default();
    let wanted = Wanted {
        policy,
        reference_values: &values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at,
    };
    let channels: Vec<Value> = both.iter().map(|one| in_channel(one, &wanted)).collect();
    let facts: Option<&QuoteFacts> = both.iter().find_map(|one| one.outcome.as_ref().ok());
    platform(name, facts, &channels)
}

fn in_channel(one: &ChannelFacts, wanted: &Wanted<'_>) -> Value {
    let channel = one.channel.word();
    match &one.outcome {
        Ok(facts) => {
            let refused = refused_from(facts, wanted);
            let outcome = Ok((facts, refused.as_ref()));
            InChannel { channel, outcome }.json()
        }
        Err(error) => {
            let mut because = error.to_string();
            for (key, problem) in &one.problems {
                because.push_str(&format!("; {key}: {}: {problem}", problem.check()));
            }
            let outcome = Err((error.check(), because.as_str()));
            InChannel { channel, outcome }.json()
        }
    }
}

/// Every machine that the witness knows.
fn of_witness(arguments: &Forecast) -> Result<u8, Failure> {
    let answer = contexts::client(&arguments.target)?
        .0
        .get("/v1/collateral/forecast")?
        .json()?;
    Ok(told(rows(&answer, "machines"), arguments.format)?)
}

/// Prints the rows; the exit code is that of the worst: refused today, without documents, refused
/// later or in the other channel.
fn told(found: &[Value], format: Format) -> Outcome {
    let today = clock::now()?.to_string();
    let mut codes = Vec::new();
    for one in found {
        if one.is_null() {
            codes.push(VerdictWord::Malformed.exit_code());
            continue;
        }
        let text = |value: &Value, name: &str| {
            let text = value.get(name).and_then(Value::as_str).unwrap_or("?");
            // What comes from a witness goes to a terminal.
            text.chars()
                .filter(|letter| !letter.is_control())
                .collect::<String>()
        };
        let mut said = match format {
            Format::Text => format!("{}  FMSPC {}\n", text(one, "name"), text(one, "fmspc")),
            _ => format!("{one}\n"),
        };
        for channel in rows(one, "channels") {
            let status = channel.get("tcb_status").and_then(Value::as_str);
            let from = channel.get("refused_from").and_then(Value::as_str);
            let standing = match (status, from) {
                (None, _) => {
                    codes.push(VerdictWord::Unavailable.exit_code());
                    format!("{}: {}", text(channel, "check"), text(channel, "because"))
                }
                (Some(status), None) => format!("{status}, stays accepted"),
                (Some(status), Some(from)) => {
                    // The form of instants sorts as time does.
                    let now = from <= today.as_str();
                    let standard = text(channel, "channel") == Channel::Standard.word();
                    let code = match (now, standard) {
                        (true, true) => Some(VerdictWord::Contraindicated),
                        (true, false) => Some(VerdictWord::Warning),
                        (false, _) if text(channel, "check") == "dcap.pck.validity" => None,
                        (false, _) => Some(VerdictWord::Warning),
                    };
                    codes.extend(code.map(VerdictWord::exit_code));
                    let word = if now { "refused" } else { "refused from" };
                    let when = if now { "" } else { from };
                    format!("{status}, {word} {when} by {}", text(channel, "check"))
                }
            };
            if format == Format::Text {
                let number = channel.get("evaluation_number").and_then(Value::as_u64);
                let number =
                    number.map_or_else(String::new, |number| format!(" (number {number})"));
                said.push_str(&format!(
                    "  {}{number}: {}\n",
                    text(channel, "channel"),
                    standing.replace("  ", " ")
                ));
            }
        }
        crate::say(&said)?;
    }
    Ok(VerdictWord::worst(codes))
}
