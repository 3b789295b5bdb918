//! Which threat knowledge counts here: a file of the caller's, what owners signed, or the built-in.
//!
//! What was taken with `zeuge threats update` is verified again on every use, and stops everything
//! when it no longer holds: going back to older knowledge in silence would turn warnings off.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeuge_appraise::Knowledge;
use zeuge_evidence::UnixTime;
use zeuge_protocol::document::{Document, Kind, OwnerSet};

use crate::{clock, input, payload};

/// What is kept: the document, and the owners who must have signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Held {
    pub(crate) owners: OwnerSet,
    pub(crate) document: Document,
}

impl Held {
    /// The knowledge, if it still holds at this instant.
    ///
    /// # Errors
    /// A sentence with the check that refuses.
    pub(crate) fn knowledge(&self, floor: u64, now: UnixTime) -> Result<Knowledge, String> {
        let approved = self
            .document
            .verify(&self.owners, Kind::ThreatKnowledge, floor, now.0)
            .map_err(payload::refused)?;
        let text = std::str::from_utf8(approved.payload())
            .map_err(|_| "document.schema: the payload is not text".to_owned())?;
        let knowledge =
            Knowledge::parse(text).map_err(|error| format!("{}: {error}", error.check()))?;
        let built_in = Knowledge::built_in().id().version;
        if knowledge.id().version < built_in {
            return Err(format!(
                "document.version: its knowledge is of version {}, and this program brings \
                 version {built_in} along",
                knowledge.id().version
            ));
        }
        Ok(knowledge)
    }
}

/// Where it is kept; `None` where there is no home.
pub(crate) fn place() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = match (set("XDG_DATA_HOME"), set("HOME")) {
        (Some(base), _) => PathBuf::from(base),
        (None, home) => PathBuf::from(home?).join(".local").join("share"),
    };
    Some(base.join("zeuge").join("threat-knowledge.json"))
}

/// What is kept, unverified.
///
/// # Errors
/// A sentence, for a file that cannot be read.
pub(crate) fn held() -> Result<Option<Held>, String> {
    let Some(place) = place().filter(|place| input::exists(place)) else {
        return Ok(None);
    };
    let text = input::text(&place)?;
    serde_json::from_str(&text).map(Some).map_err(|error| {
        format!(
            "{}: this is no kept knowledge: {error}; zeuge threats update --drop forgets it",
            place.display()
        )
    })
}

/// The knowledge to judge with.
///
/// # Errors
/// A sentence, for a file that its reader refuses and for kept knowledge that no longer holds.
pub(crate) fn in_use(file: Option<&Path>) -> Result<Cow<'static, Knowledge>, String> {
    if let Some(path) = file {
        let read = Knowledge::parse(&input::text(path)?);
        return read
            .map(Cow::Owned)
            .map_err(|error| format!("{}: {}: {error}", path.display(), error.check()));
    }
    let Some(held) = held()? else {
        return Ok(Cow::Borrowed(Knowledge::built_in()));
    };
    held.knowledge(1, clock::now()?)
        .map(Cow::Owned)
        .map_err(|because| {
            format!(
                "the kept threat knowledge is refused: {because}; take a newer one, or zeuge \
                 threats update --drop"
            )
        })
}

/// The text of the knowledge in use where no file was named.
///
/// # Errors
/// As [`in_use`].
pub(crate) fn text_in_use() -> Result<String, String> {
    match held()? {
        None => Ok(Knowledge::built_in_text().to_owned()),
        Some(held) => {
            held.knowledge(1, clock::now()?)?;
            String::from_utf8(held.document.payload)
                .map_err(|_| "document.schema: the payload is not text".to_owned())
        }
    }
}
