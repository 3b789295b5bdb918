//! `zeuge apply`: a folder of documents becomes what the witness has.
//!
//! Idempotent: what is there already is left alone. Never sends what the owner did not sign; takes
//! away only with --prune, and only what is no longer released without it.

use std::path::{Path as FilePath, PathBuf};

use serde_json::Value;
use zeuge_protocol::{
    document::{Document, Header, Kind},
    name::Name,
};

use crate::{
    Outcome,
    args::witness::Apply,
    clock, contexts, input, output,
    owner::{self, KeyFile},
    payload,
    witness::{Client, Failure},
};

/// Files of one folder; a fleet has some hundred rules.
const FILES_MAX: usize = 10_000;
/// Kinds in the order in which they go: what signs first, what releases last.
const ORDER: [Kind; 6] = [
    Kind::OwnerSet,
    Kind::HardwareRegistry,
    Kind::ReferenceValues,
    Kind::Policy,
    Kind::ThreatKnowledge,
    Kind::ReleaseRule,
];

/// Runs the command.
pub(crate) fn run(arguments: &Apply) -> Outcome {
    go(arguments).or_else(Failure::told)
}

/// A file of the folder: signed, or a text that can be.
enum Found {
    Signed(Document),
    Text(String),
}

fn go(arguments: &Apply) -> Result<u8, Failure> {
    let keys = arguments.key.iter().map(|key| KeyFile::read(key));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let key = keys.first();
    let now = clock::now()?;
    let life = (now.0, owner::ends(arguments.expires.as_deref(), now)?);
    let (client, _) = contexts::client(&arguments.target)?;
    let mut wanted = Vec::new();
    for (file, found) in folder(&arguments.folder, key.is_some())? {
        let named = |because: String| format!("{}: {because}", file.display());
        let header = match &found {
            Found::Signed(document) => document.header.clone(),
            Found::Text(text) => {
                let read = payload::read(text, None).map_err(named)?;
                let tenant = key.map(|key| &key.tenant);
                payload::header(&read, tenant, 1, life).map_err(named)?
            }
        };
        wanted.push((file, header, found));
    }
    let place = |kind: Kind| ORDER.iter().position(|known| *known == kind);
    wanted.sort_by_key(|(file, header, _)| (place(header.kind), file.clone()));
    for (file, header, found) in &wanted {
        let shelf = held(&client, header.kind, &header.tenant)?;
        let held = shelf.documents.iter();
        let held = held.clone().find(|held| is_same(&held.header, header));
        let at = held.map_or_else(|| shelf.retired(header), |held| held.header.version);
        let document = next(found, (header, at), held, &keys)
            .map_err(|because| format!("{}: {because}", file.display()))?;
        let title = format!(
            "{} {} of {}",
            header.kind.as_str(),
            header.name,
            header.tenant
        );
        let Some(document) = document else {
            crate::say(&format!("{title}: unchanged\n"))?;
            continue;
        };
        let version = document.header.version;
        let before = held.map(|held| held.payload.as_slice()).unwrap_or_default();
        if arguments.dry_run {
            let shown = difference(before, &document.payload);
            crate::say(&format!("{title}: would become version {version}\n{shown}"))?;
            continue;
        }
        let json = owner::json_of(&document)?;
        if arguments.sign_only {
            if let Found::Text(_) = found {
                output::replace(&output::with_suffix(file, ".signed"), json.as_bytes())?;
                crate::say(&format!("{title}: version {version} is signed\n"))?;
            }
            continue;
        }
        bring(&client, header.kind, json.as_bytes())?;
        crate::say(&format!("{title}: version {version}\n"))?;
    }
    if arguments.prune {
        return prune(&client, &wanted, arguments.dry_run);
    }
    Ok(0)
}

/// Brings one document, and says how further owners sign one that too few have.
fn bring(client: &Client, kind: Kind, json: &[u8]) -> Result<(), Failure> {
    let at = format!("/v1/documents/{}", kind.as_str());
    let done = client.put(&at, json).and_then(|answer| answer.json());
    let few = ["document.threshold", "document.approver"];
    done.map(drop).map_err(|mut failure| {
        if few.iter().any(|check| failure.sentence.contains(check)) {
            failure.sentence.push_str(
                "; sign it with --sign-only, let further owners do: zeuge owner sign --key KEY \
                 FILE.signed, and apply the folder again",
            );
        }
        failure
    })
}

/// Release rules go by their path; of all else a tenant has one.
fn is_same(held: &Header, wanted: &Header) -> bool {
    held.tenant == wanted.tenant
        && held.kind == wanted.kind
        && (wanted.kind != Kind::ReleaseRule || held.name == wanted.name)
}

/// What is to be sent, or `None` when the witness has it.
fn next(
    found: &Found,
    (header, at): (&Header, u64),
    held: Option<&Document>,
    keys: &[KeyFile],
) -> Result<Option<Document>, String> {
    match found {
        Found::Signed(document) => match held {
            Some(held) if held.signing_input() == document.signing_input() => Ok(None),
            _ if header.version <= at => Err(format!(
                "document.version: the witness has seen version {at} of it; sign this one with \
                 --version {}",
                at.saturating_add(1)
            )),
            _ => Ok(Some(document.clone())),
        },
        Found::Text(text) => {
            if held.is_some_and(|held| held.payload == text.as_bytes()) {
                return Ok(None);
            }
            let missing = "this text is not signed; give --key, or: zeuge owner sign";
            let (key, others) = keys.split_first().ok_or(missing)?;
            let life = (header.issued, header.expires);
            let wanted = (at.saturating_add(1), life);
            let kind = Some(header.kind);
            let mut document = owner::make(text, kind, key, Some(&header.tenant), wanted)?;
            for other in others {
                owner::cosign(&mut document, other)?;
            }
            Ok(Some(document))
        }
    }
}

/// The documents of a folder, by name. A text whose signed form lies beside it is left out,
/// unless it changed and can be signed.
fn folder(path: &FilePath, can_sign: bool) -> Result<Vec<(PathBuf, Found)>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if files.len() >= FILES_MAX {
            return Err(format!("{}: more than {FILES_MAX} files", path.display()));
        }
        files.push(file);
    }
    files.sort();
    let ends = |file: &FilePath, wanted: &str| file.extension().is_some_and(|end| end == wanted);
    let mut found = Vec::new();
    for file in &files {
        let named = |because: String| format!("{}: {because}", file.display());
        if ends(file, "signed") {
            let document = Document::parse(&input::read(file)?)
                .map_err(payload::refused)
                .map_err(named)?;
            let text = file.with_extension("");
            let changed = text.exists() && input::read(&text)? != document.payload;
            if changed && !can_sign {
                return Err(named(
                    "the text beside it changed since it was signed; sign it anew, or give --key"
                        .to_owned(),
                ));
            }
            if !changed {
                found.push((file.clone(), Found::Signed(document)));
            }
        } else if ends(file, "toml") {
            let signed = output::with_suffix(file, ".signed");
            let text = input::text(file)?;
            let held = signed.exists().then(|| input::read(&signed)).transpose()?;
            let held = held.and_then(|bytes| Document::parse(&bytes).ok());
            if held.is_some_and(|held| held.payload == text.as_bytes()) {
                continue;
            }
            if !can_sign {
                return Err(named(
                    "this text is not signed; give --key, or: zeuge owner sign".to_owned(),
                ));
            }
            found.push((file.clone(), Found::Text(text)));
        }
    }
    if found.is_empty() {
        return Err(format!("{}: no *.signed and no *.toml", path.display()));
    }
    Ok(found)
}

/// What the witness has of a kind.
pub(crate) struct Shelf {
    /// The documents.
    pub(crate) documents: Vec<Document>,
    /// Names and versions of what was taken away; versions never return.
    pub(crate) retired: Vec<(String, u64)>,
}

impl Shelf {
    /// The version under which a document was taken away; 0 when it was not.
    fn retired(&self, header: &Header) -> u64 {
        let is_it = |(name, _): &&(String, u64)| {
            header.kind != Kind::ReleaseRule || name == header.name.as_str()
        };
        self.retired.iter().find(is_it).map_or(0, |(_, at)| *at)
    }
}

/// What the witness has of a kind.
///
/// # Errors
/// Its problem, or an answer of another form.
pub(crate) fn held(client: &Client, kind: Kind, tenant: &Name) -> Result<Shelf, Failure> {
    let at = format!("/v1/documents/{}?tenant={tenant}", kind.as_str());
    let mut answer = client.get(&at)?.json()?;
    let mut rows = |name: &str| {
        let rows = answer.get_mut(name).and_then(Value::as_array_mut);
        rows.map(std::mem::take).unwrap_or_default()
    };
    let retired = rows("retired");
    let retired = retired.iter().filter_map(|row| {
        let name = row.get("name")?.as_str()?.to_owned();
        Some((name, row.get("version")?.as_u64()?))
    });
    let retired = retired.collect();
    let documents = rows("documents")
        .into_iter()
        .map(|mut row| {
            let document = row.get_mut("document").map(Value::take).unwrap_or_default();
            serde_json::from_value(document)
                .map_err(|error| format!("the witness's document is of another form: {error}"))
        })
        .collect::<Result<_, _>>()?;
    Ok(Shelf { documents, retired })
}

/// Takes away what the witness has and the folder has not.
fn prune(
    client: &Client,
    wanted: &[(PathBuf, Header, Found)],
    dry_run: bool,
) -> Result<u8, Failure> {
    let mut tenants: Vec<_> = wanted.iter().map(|(_, header, _)| &header.tenant).collect();
    tenants.sort();
    tenants.dedup();
    let mut kept = Vec::new();
    for tenant in tenants {
        for kind in ORDER.into_iter().filter(|kind| *kind != Kind::OwnerSet) {
            for document in held(client, kind, tenant)?.documents {
                let header = &document.header;
                if wanted.iter().any(|(_, wanted, _)| is_same(header, wanted)) {
                    continue;
                }
                let (word, name) = (kind.as_str(), &header.name);
                let title = format!("{word} {name} of {tenant}");
                if !matches!(kind, Kind::ReleaseRule | Kind::ReferenceValues) {
                    kept.push(title);
                } else if dry_run {
                    crate::say(&format!("{title}: would be retired\n"))?;
                } else {
                    let at = format!("/v1/documents/{word}?tenant={tenant}&name={name}");
                    client.delete(&at)?.json()?;
                    crate::say(&format!("{title}: retired\n"))?;
                }
            }
        }
    }
    if kept.is_empty() {
        return Ok(0);
    }
    Err(format!(
        "--prune: without these more might be allowed, so they are left; put a text that says less \
         into the folder instead, such as one with the line schema alone: {}",
        kept.join(", ")
    )
    .into())
}

/// The lines that differ, between the first and the last that do.
fn difference(before: &[u8], after: &[u8]) -> String {
    let (before, after) = (
        String::from_utf8_lossy(before),
        String::from_utf8_lossy(after),
    );
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(one, other)| one == other).count()
    };
    let start = same(&mut before.iter().zip(&after));
    let room = before.len().min(after.len()).saturating_sub(start);
    let end = same(&mut before.iter().rev().zip(after.iter().rev())).min(room);
    let part = |lines: &[&str], mark: char| -> String {
        let until = lines.len().saturating_sub(end);
        let lines = lines.get(start..until).unwrap_or_default();
        lines
            .iter()
            .map(|line| format!("  {mark} {line}\n"))
            .collect()
    };
    format!("{}{}", part(&before, '-'), part(&after, '+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_changed_and_nothing_else() {
        let shown = difference(b"a\nb\nc\nd\n", b"a\nx\nc\nd\n");
        assert_eq!(shown, "  - b\n  + x\n");
        assert_eq!(difference(b"a\na\n", b"a\n"), "  - a\n");
        assert_eq!(difference(b"", b"a\n"), "  + a\n");
        assert_eq!(difference(b"a\n", b"a\n"), "");
    }
}
