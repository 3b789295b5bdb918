//! `zeuge tenant`: tenants of a witness, and the tokens of their people.
//!
//! Needs the administrator's token but for listing. Never prints a token.

use std::path::Path;

use serde_json::{Value, json};
use zeuge_protocol::name::Name;

use crate::{
    Outcome,
    args::{
        Format,
        tenant::{Role, Tenant},
        witness::Target,
    },
    contexts, input, output, payload,
    witness::Failure,
};

/// Runs the command.
pub(crate) fn run(command: &Tenant) -> Outcome {
    go(command).or_else(Failure::told)
}

fn go(command: &Tenant) -> Result<u8, Failure> {
    let said = match command {
        Tenant::List { format, target } => {
            let answer = contexts::client(target)?.0.get("/v1/tenants")?.json()?;
            let tenants = rows(&answer, "tenants").iter().filter_map(Value::as_str);
            let lines = tenants.map(|tenant| match format {
                Format::Text => format!("{tenant}\n"),
                _ => format!("{}\n", json!({"tenant": tenant})),
            });
            lines.collect()
        }
        Tenant::Add { owner, target } => {
            let named = |because: String| format!("{}: {because}", owner.display());
            let set = payload::owner_set(&input::text(owner)?).map_err(named)?;
            let body = serde_json::to_vec(&set).map_err(|error| error.to_string())?;
            let (client, _) = contexts::client(target)?;
            client.post("/v1/tenants", &body)?.json()?;
            format!("{}: added\n", set.tenant)
        }
        Tenant::Grant {
            tenant,
            name,
            role,
            out,
            target,
        } => grant(tenant, name, *role, (out, target))?,
        Tenant::Tokens {
            tenant,
            format,
            target,
        } => {
            let (client, _) = contexts::client(target)?;
            let answer = client
                .get(&format!("/v1/tenants/{tenant}/tokens"))?
                .json()?;
            let text = |row: &Value, key: &str| {
                row.get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let lines = rows(&answer, "tokens").iter().map(|row| match format {
                Format::Text => format!("{}  {}\n", text(row, "name"), text(row, "role")),
                _ => format!("{row}\n"),
            });
            lines.collect()
        }
        Tenant::Revoke {
            tenant,
            name,
            target,
        } => {
            let (client, _) = contexts::client(target)?;
            let at = format!("/v1/tenants/{tenant}/tokens?name={name}");
            client.delete(&at)?.json()?;
            format!("{tenant}: the token {name} is taken away\n")
        }
    };
    crate::say(&said)?;
    Ok(0)
}

fn grant(
    tenant: &Name,
    name: &Name,
    role: Role,
    (out, target): (&Path, &Target),
) -> Result<String, Failure> {
    let role = match role {
        Role::Reader => "reader",
        Role::Operator => "operator",
    };
    let body = json!({"name": name, "role": role}).to_string();
    // Made first: a token that cannot be kept is not asked for.
    output::private(out, b"")?;
    let ask = || -> Result<Value, Failure> {
        let (client, _) = contexts::client(target)?;
        let at = format!("/v1/tenants/{tenant}/tokens");
        client.post(&at, body.as_bytes())?.json()
    };
    let answer = ask().inspect_err(|_| {
        let _ = std::fs::remove_file(out);
    })?;
    let token = answer.get("token").and_then(Value::as_str);
    let token = token.ok_or_else(|| "the witness's answer has no token".to_owned())?;
    std::fs::write(out, format!("{token}\n"))
        .map_err(|error| format!("{}: {error}", out.display()))?;
    Ok(format!("{}: {role} of {tenant}, {name}\n", out.display()))
}

fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let rows = answer.get(name).and_then(Value::as_array);
    rows.map(Vec::as_slice).unwrap_or_default()
}
