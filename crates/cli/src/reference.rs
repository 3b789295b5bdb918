//! `zeuge reference`: single values of the one document of reference values that a tenant has.
//!
//! Every change is a whole document of the next version that the owner signs; the witness never
//! edits. A document is written anew, without its comments.

use serde_json::json;
use toml::{Table, Value};
use zeuge_appraise::{ReferenceValues, reference::SCHEMA};
use zeuge_protocol::{
    document::{Document, Kind},
    name::Name,
};

use crate::{
    Outcome, apply,
    args::{
        Format,
        reference::{Reference, Signing},
    },
    clock, contexts, input, output,
    owner::{self, KeyFile},
    payload,
    witness::{Client, Failure},
};

/// The lists of named values.
const LISTS: [&str; 3] = ["sgx", "snp", "tdx"];

/// Runs the command.
pub(crate) fn run(command: &Reference) -> Outcome {
    let done = match command {
        Reference::List {
            tenant,
            format,
            target,
        } => contexts::client(target)
            .map_err(Failure::from)
            .and_then(|(client, _)| list(&client, tenant, *format)),
        Reference::Put(put) => input::text(&put.file)
            .and_then(|text| {
                read(&text).map_err(|because| format!("{}: {because}", put.file.display()))
            })
            .map_err(Failure::from)
            .and_then(|values| change(&put.signing, |held| merge(held, values))),
        Reference::Retire { name, signing } => change(signing, |held| retire(held, name)),
    };
    done.or_else(Failure::told)
}

/// A text that the witness's reader accepts, as a table.
fn read(text: &str) -> Result<Table, String> {
    ReferenceValues::parse(text).map_err(|error| format!("{}: {error}", error.check()))?;
    toml::from_str(text).map_err(|error| error.to_string())
}

/// The values that the witness has, and the version of the next ones.
fn held(client: &Client, tenant: &Name) -> Result<(Table, Option<Document>, u64), Failure> {
    let kind = Kind::ReferenceValues;
    let shelf = apply::held(client, kind, tenant)?;
    let document = shelf.documents.into_iter().next();
    let table = match &document {
        Some(document) => {
            let text = std::str::from_utf8(&document.payload).map_err(|error| error.to_string())?;
            read(text)?
        }
        None => Table::from_iter([("schema".to_owned(), Value::String(SCHEMA.to_owned()))]),
    };
    let at = match &document {
        Some(document) => document.header.version,
        None => shelf.retired.iter().map(|(_, at)| *at).max().unwrap_or(0),
    };
    Ok((table, document, at.saturating_add(1)))
}

fn list(client: &Client, tenant: &Name, format: Format) -> Result<u8, Failure> {
    let (table, document, _) = held(client, tenant)?;
    let mut text = String::new();
    if let (Some(document), Format::Text) = (&document, format) {
        let header = &document.header;
        let until = zeuge_evidence::UnixTime(header.expires);
        text.push_str(&format!("version {}, until {until}\n", header.version));
    }
    for kind in LISTS {
        for value in named(&table, kind) {
            let name = name_of(value).unwrap_or_default();
            if format == Format::Text {
                text.push_str(&format!("{kind}  {name}\n"));
            } else {
                let line = json!({"kind": kind, "name": name, "value": value});
                text.push_str(&format!("{line}\n"));
            }
        }
    }
    crate::say(&text)?;
    Ok(0)
}

fn named<'t>(table: &'t Table, kind: &str) -> &'t [Value] {
    let values = table.get(kind).and_then(Value::as_array);
    values.map(Vec::as_slice).unwrap_or_default()
}

fn name_of(value: &Value) -> Option<&str> {
    value.get("name").and_then(Value::as_str)
}

/// Puts new values in the place of those of the same kind and name, or behind the rest.
fn merge(mut held: Table, new: Table) -> Result<Table, String> {
    for (key, value) in new {
        match (held.get_mut(&key), value) {
            (Some(Value::Array(old)), Value::Array(new)) => {
                old.retain(|old| !new.iter().any(|new| name_of(new) == name_of(old)));
                old.extend(new);
            }
            (Some(Value::Table(old)), Value::Table(new)) => old.extend(new),
            (_, value) => {
                held.insert(key, value);
            }
        }
    }
    Ok(held)
}

fn retire(mut held: Table, name: &str) -> Result<Table, String> {
    let mut count = 0_usize;
    for kind in LISTS {
        if let Some(values) = held.get_mut(kind).and_then(Value::as_array_mut) {
            let before = values.len();
            values.retain(|value| name_of(value) != Some(name));
            count = count.saturating_add(before.saturating_sub(values.len()));
        }
    }
    if count == 0 {
        return Err(format!("the witness has no reference values \"{name}\""));
    }
    held.retain(|_, value| value.as_array().is_none_or(|values| !values.is_empty()));
    Ok(held)
}

fn change(
    signing: &Signing,
    edit: impl FnOnce(Table) -> Result<Table, String>,
) -> Result<u8, Failure> {
    let key = KeyFile::read(&signing.key)?;
    let now = clock::now()?;
    let life = (now.0, owner::ends(signing.expires.as_deref(), now)?);
    let (client, _) = contexts::client(&signing.target)?;
    let (table, _, version) = held(&client, &key.tenant)?;
    let text = toml::to_string(&edit(table)?).map_err(|error| error.to_string())?;
    let kind = Kind::ReferenceValues;
    let document = owner::make(&text, Some(kind), &key, Some(&key.tenant), (version, life))?;
    let title = format!("{} of {}", payload::name_of(kind)?, key.tenant);
    let json = owner::json_of(&document)?;
    if let Some(out) = &signing.out {
        output::public(out, json.as_bytes())?;
        crate::say(&format!(
            "{}: {title}, version {version}; bring it with: zeuge apply\n",
            out.display()
        ))?;
        return Ok(0);
    }
    let at = format!("/v1/documents/{}", kind.as_str());
    client.put(&at, json.as_bytes())?.json()?;
    crate::say(&format!("{title}: version {version}\n"))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(names: &[(&str, &str)]) -> Table {
        let mut text = format!("schema = \"{SCHEMA}\"\n");
        for (name, byte) in names {
            let digest = byte.repeat(48);
            text.push_str(&format!(
                "[[snp]]\nname = \"{name}\"\nmeasurements = [\"{digest}\"]\n"
            ));
        }
        read(&text).unwrap()
    }

    #[test]
    fn new_values_replace_those_of_their_name_and_leave_the_rest() {
        let held = values(&[("web", "11"), ("db", "22")]);
        let merged = merge(held, values(&[("web", "33"), ("mail", "44")])).unwrap();
        assert_eq!(
            merged,
            values(&[("db", "22"), ("web", "33"), ("mail", "44")])
        );
        let left = retire(merged, "db").unwrap();
        assert_eq!(left, values(&[("web", "33"), ("mail", "44")]));
        let left = retire(retire(left, "web").unwrap(), "mail").unwrap();
        assert_eq!(left, values(&[]));
        assert!(retire(left, "web").unwrap_err().contains("\"web\""));
    }
}
