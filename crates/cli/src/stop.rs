//! `zeuge stop`: machines that get no secrets until somebody lifts that.
//!
//! Only takes away: no stop makes a witness release anything that the owners' rules do not.

use serde_json::{Value, json};
use zeuge_evidence::UnixTime;
use zeuge_protocol::name::Name;

use crate::{
    Outcome,
    args::{
        Format,
        witness::{Stop, Target},
    },
    contexts,
    tenant::rows,
    witness::Failure,
};

/// Runs the command.
pub(crate) fn run(command: &Stop) -> Outcome {
    let done = match command {
        Stop::Put {
            tenant,
            name,
            because,
            leaf,
            target,
        } => put((tenant, name), because, leaf, target),
        Stop::List {
            tenant,
            format,
            target,
        } => list(tenant, *format, target),
        Stop::Lift {
            tenant,
            name,
            target,
        } => lift(tenant, name, target),
    };
    let said = done.and_then(|said| {
        crate::say(&said)?;
        Ok(0)
    });
    said.or_else(Failure::told)
}

fn put(
    (tenant, name): (&Name, &Name),
    because: &str,
    leaves: &[u64],
    target: &Target,
) -> Result<String, Failure> {
    let mut wanted = json!({"name": name, "because": because});
    if !leaves.is_empty() {
        wanted["leaves"] = json!(leaves);
    }
    let (client, _) = contexts::client(target)?;
    let path = format!("/v1/stops?tenant={tenant}");
    let answer = client.post(&path, wanted.to_string().as_bytes())?.json()?;
    let unknown = rows(&answer, "unknown");
    if !unknown.is_empty() {
        let numbers: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        let numbers = numbers.join(", ");
        let because = format!("{name}: these leaves are no verdicts of {tenant}: {numbers}");
        return Err(because.into());
    }
    let new = answer.get("new").and_then(Value::as_u64);
    Ok(match (new, leaves.is_empty()) {
        (Some(0), _) => format!("{name}: stands already\n"),
        (_, true) => format!("{name}: no machine of {tenant} gets secrets\n"),
        (_, false) => format!("{name}: these machines of {tenant} get no secrets\n"),
    })
}

fn list(tenant: &Name, format: Format, target: &Target) -> Result<String, Failure> {
    let (client, _) = contexts::client(target)?;
    let path = format!("/v1/stops?tenant={tenant}");
    let answer = client.get(&path)?.json()?;
    let lines = rows(&answer, "stops").iter().map(|row| match format {
        Format::Text => text(row),
        _ => format!("{row}\n"),
    });
    Ok(lines.collect())
}

fn text(row: &Value) -> String {
    let word = |key: &str| row.get(key).and_then(Value::as_str);
    let since = row.get("since").and_then(Value::as_i64);
    let line = format!(
        "{}  {}  since {}  {}",
        word("name").unwrap_or_default(),
        word("machine").unwrap_or("every machine"),
        UnixTime(since.unwrap_or_default()),
        word("because").unwrap_or_default()
    );
    // What comes from the network goes to a terminal.
    let shown: String = line.chars().filter(|it| !it.is_control()).collect();
    shown + "\n"
}

fn lift(tenant: &Name, name: &Name, target: &Target) -> Result<String, Failure> {
    let (client, _) = contexts::client(target)?;
    let path = format!("/v1/stops?tenant={tenant}&name={name}");
    let answer = client.delete(&path)?.json()?;
    match answer.get("lifted").and_then(Value::as_u64) {
        Some(count) if count > 0 => Ok(format!("{name}: lifted\n")),
        _ => Err(format!("{tenant} has no stop {name}").into()),
    }
}
