//! `zeuge tenant`: tenants of a witness, and the tokens of their people.
//!
//! Needs the administrator's token but for listing. Never prints a token.

use std::path::Path;

use serde_json::{Value, json};
use zeuge_evidence::UnixTime;
use zeuge_protocol::name::Name;

use crate::{
    Outcome,
    args::{
        Format,
        tenant::{Role, Tenant},
        witness::Target,
    },
    clock, contexts, input, output, owner, payload,
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
            expires,
            out,
            target,
        } => grant(tenant, name, (*role, expires.as_deref()), (out, target))?,
        Tenant::Tokens {
            tenant,
            format,
            target,
        } => tokens(tenant, *format, target)?,
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
    (role, expires): (Role, Option<&str>),
    (out, target): (&Path, &Target),
) -> Result<String, Failure> {
    let role = match role {
        Role::Reader => "reader",
        Role::Operator => "operator",
        Role::Cluster => "cluster",
    };
    let mut body = json!({"name": name, "role": role});
    if expires.is_some() {
        body["expires"] = owner::ends(expires, clock::now()?)?.into();
    }
    let body = body.to_string();
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
    let ends = answer.get("expires").and_then(Value::as_i64);
    let ends = UnixTime(ends.unwrap_or_default());
    Ok(format!(
        "{}: {role} of {tenant}, {name}, until {ends}\n",
        out.display()
    ))
}

/// The tokens of a tenant, a line each.
fn tokens(tenant: &Name, format: Format, target: &Target) -> Result<String, Failure> {
    let now = clock::now()?;
    let (client, _) = contexts::client(target)?;
    let at = format!("/v1/tenants/{tenant}/tokens");
    let answer = client.get(&at)?.json()?;
    let text = |row: &Value, key: &str| {
        let text = row.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let lines = rows(&answer, "tokens").iter().map(|row| match format {
        Format::Text => {
            let ends = row.get("expires").and_then(Value::as_i64);
            let ends = UnixTime(ends.unwrap_or_default());
            let over = if ends <= now { "  (over)" } else { "" };
            let (name, role) = (text(row, "name"), text(row, "role"));
            format!("{name}  {role}  until {ends}{over}\n")
        }
        _ => format!("{row}\n"),
    });
    Ok(lines.collect())
}

pub(crate) fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let rows = answer.get(name).and_then(Value::as_array);
    rows.map(Vec::as_slice).unwrap_or_default()
}
