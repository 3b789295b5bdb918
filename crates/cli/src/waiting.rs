//! `zeuge hardware list --pending` and `zeuge hardware approve`: TPMs that proved themselves to the
//! witness, and the entry of the registry that the owner signs.
//!
//! Never signs, never sends: what waits counts only once it stands in a signed registry. What the
//! witness tells is its word; the serial number is there to be compared.

use serde_json::Value;
use toml::Table;
use zeuge_protocol::name::Name;

use crate::{
    Outcome,
    args::{
        Format,
        tools::{Approve, HardwareList},
        witness::Target,
    },
    contexts,
    enrol_tpm::write,
    witness::Failure,
};

/// Lists what waits.
pub(crate) fn list(tenant: &Name, arguments: &HardwareList) -> Outcome {
    let rows = match waiting(tenant, &arguments.target) {
        Ok(rows) => rows,
        Err(failure) => return failure.told(),
    };
    let lines = rows.iter().map(|row| match arguments.format {
        Format::Text => shown(row),
        _ => format!("{row}\n"),
    });
    crate::say(&lines.collect::<String>())?;
    Ok(0)
}

/// Takes one of those that wait into a registry file.
pub(crate) fn approve(arguments: &Approve) -> Outcome {
    let rows = match waiting(&arguments.tenant, &arguments.target) {
        Ok(rows) => rows,
        Err(failure) => return failure.told(),
    };
    let meant = |row: &&Value| text(row, "id").starts_with(&arguments.id);
    let mut meant = rows.iter().filter(meant);
    let (Some(row), None) = (meant.next(), meant.next()) else {
        return Err(format!(
            "{} names no TPM that waits, or several; zeuge hardware list --pending shows them",
            arguments.id
        ));
    };
    crate::complain(shown(row).trim_end());
    let mut entry = Table::new();
    for (field, value) in [
        ("name", arguments.name.as_str()),
        ("ak_name", text(row, "ak_name")),
        ("ek_certificate", text(row, "ek_certificate")),
    ] {
        entry.insert(field.to_owned(), value.into());
    }
    write(&arguments.file, entry, arguments.replace)
}

fn waiting(tenant: &Name, target: &Target) -> Result<Vec<Value>, Failure> {
    let (client, _) = contexts::client(target)?;
    let answer = client.get(&format!("/v1/enrolments?tenant={tenant}"))?;
    let rows = answer.json()?["enrolments"].as_array().cloned();
    Ok(rows.unwrap_or_default())
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whose TPM it is, in a few lines.
fn shown(row: &Value) -> String {
    let or = |field| match text(row, field) {
        "" => "not said",
        said => said,
    };
    let withdrawals = match row.get("withdrawals_asked").and_then(Value::as_bool) {
        Some(true) => "looked up",
        _ => "not every issuer's list is at hand",
    };
    format!(
        "{}\n  TPM of {} ({}, {}), model {}, version {}\n  EK certificate: serial {}, sha256:{}\n  \
         AK: {}\n  withdrawals: {withdrawals}\n",
        or("id"),
        or("manufacturer"),
        or("maker"),
        or("jurisdiction"),
        or("model"),
        or("version"),
        or("serial"),
        or("ek_certificate"),
        or("ak_name"),
    )
}
