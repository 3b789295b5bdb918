//! `zeuge waiver`: has a witness write down a waiver that owners signed (`zeuge-kube waive`), and
//! lists those that it wrote down.
//!
//! Signs nothing and asks no cluster: the text is brought as it is.

use std::path::Path;

use serde_json::Value;
use zeuge_evidence::UnixTime;
use zeuge_protocol::name::Name;

use crate::{
    Outcome,
    args::{
        Format,
        witness::{Target, Waiver},
    },
    contexts, input,
    tenant::rows,
    witness::Failure,
};

/// Runs the command.
pub(crate) fn run(command: &Waiver) -> Outcome {
    let done = match command {
        Waiver::Log {
            from,
            tenant,
            target,
        } => log(from, tenant, target),
        Waiver::List {
            tenant,
            format,
            target,
        } => list(tenant, *format, target),
    };
    let said = done.and_then(|said| {
        crate::say(&said)?;
        Ok(0)
    });
    said.or_else(Failure::told)
}

fn log(from: &Path, tenant: &Name, target: &Target) -> Result<String, Failure> {
    let (client, _) = contexts::client(target)?;
    let text = input::read(from)?;
    let path = format!("/v1/waivers?tenant={tenant}");
    let answer = client.post(&path, text.trim_ascii())?.json()?;
    let digest = answer.get("digest").and_then(Value::as_str);
    let leaf = answer.get("leaf").and_then(Value::as_u64);
    let (Some(digest), Some(leaf)) = (digest, leaf) else {
        return Err("the witness does not say what it wrote".to_owned().into());
    };
    Ok(format!("written down as leaf {leaf}: {digest}\n"))
}

fn list(tenant: &Name, format: Format, target: &Target) -> Result<String, Failure> {
    let (client, _) = contexts::client(target)?;
    let path = format!("/v1/waivers?tenant={tenant}");
    let answer = client.get(&path)?.json()?;
    let lines = rows(&answer, "waivers").iter().map(|row| match format {
        Format::Text => text(row),
        _ => format!("{row}\n"),
    });
    Ok(lines.collect())
}

fn text(row: &Value) -> String {
    let said = row.get("waiver").unwrap_or(&Value::Null);
    let words = |key: &str| {
        let words = rows(said, key).iter().filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(" ")
    };
    let number = |of: &Value, key: &str| of.get(key).and_then(Value::as_i64).unwrap_or_default();
    let because = said.get("because").and_then(Value::as_str);
    let line = format!(
        "leaf {}  {} of {}  {} to {}  {}",
        number(row, "leaf"),
        words("checks"),
        words("nodes"),
        UnixTime(number(said, "from")),
        UnixTime(number(said, "until")),
        because.unwrap_or_default()
    );
    // What comes from the network goes to a terminal.
    let shown: String = line.chars().filter(|it| !it.is_control()).collect();
    shown + "\n"
}
