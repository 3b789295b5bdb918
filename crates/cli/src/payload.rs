//! What an owner signs: a text of a known schema, read by the same reader as the witness's before
//! anybody puts a name under it.
//!
//! Signs nothing itself; never guesses a kind that the text does not name.

use serde::Deserialize;
use zeuge_appraise::{
    HardwareRegistry, Knowledge, Policy, ReferenceValues, ReleaseRule, hardware, policy, reference,
    rule, threats,
};
use zeuge_protocol::{
    document::{Header, Kind, OwnerSet},
    name::{Name, Path},
};

/// The kinds that a witness takes as texts; secret manifests are made by `zeuge secret put`.
pub(crate) const KINDS: [Kind; 6] = [
    Kind::HardwareRegistry,
    Kind::OwnerSet,
    Kind::Policy,
    Kind::ReferenceValues,
    Kind::ReleaseRule,
    Kind::ThreatKnowledge,
];

/// A text that its kind's reader accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    /// What it is.
    pub(crate) kind: Kind,
    /// The tenant and path that it speaks of, where it names them.
    pub(crate) subject: Option<(Name, Path)>,
}

#[derive(Deserialize)]
struct Head {
    schema: String,
}

/// The kind that a text names by its schema; JSON is an owner set.
pub(crate) fn kind_of(text: &str) -> Option<Kind> {
    if text.trim_start().starts_with('{') {
        return Some(Kind::OwnerSet);
    }
    let head: Head = toml::from_str(text).ok()?;
    match head.schema.as_str() {
        hardware::SCHEMA => Some(Kind::HardwareRegistry),
        policy::SCHEMA => Some(Kind::Policy),
        reference::SCHEMA => Some(Kind::ReferenceValues),
        rule::SCHEMA => Some(Kind::ReleaseRule),
        threats::SCHEMA => Some(Kind::ThreatKnowledge),
        _ => None,
    }
}

/// Reads a text as a document of `kind`, or of the kind that its schema names.
///
/// # Errors
/// A sentence with the check id, from the reader of its kind.
pub(crate) fn read(text: &str, kind: Option<Kind>) -> Result<Payload, String> {
    let kind = kind.or_else(|| kind_of(text)).ok_or_else(|| {
        "document.schema: the text names no schema that an owner signs; it begins with a line like \
         schema = \"zeuge.policy.v1\""
            .to_owned()
    })?;
    let said = |error: zeuge_appraise::DocumentError| format!("{}: {error}", error.check());
    let subject = match kind {
        Kind::HardwareRegistry => HardwareRegistry::parse(text).map(|_| None).map_err(said)?,
        Kind::Policy => Policy::parse(text).map(|_| None).map_err(said)?,
        Kind::ReferenceValues => ReferenceValues::parse(text).map(|_| None).map_err(said)?,
        Kind::ReleaseRule => {
            let rule = ReleaseRule::parse(text).map_err(said)?;
            let tenant = Name::parse(&rule.tenant).map_err(refused)?;
            Some((tenant, Path::parse(&rule.path).map_err(refused)?))
        }
        Kind::OwnerSet => {
            let set = owner_set(text)?;
            Some((set.tenant, name_of(kind)?))
        }
        Kind::SecretManifest => {
            return Err("secret manifests are made by: zeuge secret put".to_owned());
        }
        Kind::ThreatKnowledge => Knowledge::parse(text).map(|_| None).map_err(said)?,
    };
    Ok(Payload { kind, subject })
}

/// Reads an owner set that can sign.
///
/// # Errors
/// A sentence, for other JSON and for a set that cannot sign.
pub(crate) fn owner_set(text: &str) -> Result<OwnerSet, String> {
    let set: OwnerSet =
        serde_json::from_str(text).map_err(|error| format!("this is no owner set: {error}"))?;
    set.check().map_err(refused)?;
    Ok(set)
}

/// The header under which a payload is signed: a release rule by its path, everything else by its
/// kind, since a tenant has one of each.
///
/// # Errors
/// A sentence, when the text speaks of another tenant than the caller.
pub(crate) fn header(
    payload: &Payload,
    tenant: Option<&Name>,
    version: u64,
    (issued, expires): (i64, i64),
) -> Result<Header, String> {
    let (tenant, name) = match (&payload.subject, tenant) {
        (Some((own, _)), Some(wanted)) if own != wanted => {
            return Err(format!(
                "document.subject: the text is about the tenant {own}, not {wanted}"
            ));
        }
        (Some((own, path)), _) => (own.clone(), path.clone()),
        (None, Some(tenant)) => (tenant.clone(), name_of(payload.kind)?),
        (None, None) => return Err("say whose document this is with --tenant".to_owned()),
    };
    Ok(Header {
        kind: payload.kind,
        tenant,
        name,
        version,
        issued,
        expires,
    })
}

/// The name of the one document of its kind.
pub(crate) fn name_of(kind: Kind) -> Result<Path, String> {
    Path::parse(kind.as_str()).map_err(refused)
}

/// A refusal of the wire's; its sentence begins with its id.
pub(crate) fn refused(error: zeuge_protocol::Error) -> String {
    error.to_string()
}

/// Reads a kind as the command line and the wire spell it.
///
/// # Errors
/// A sentence with the kinds that are known.
pub(crate) fn parse_kind(word: &str) -> Result<Kind, String> {
    KINDS
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .ok_or_else(|| format!("the kinds are {}", KINDS.map(Kind::as_str).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "schema = \"zeuge.release-rule.v1\"\ntenant = \"acme\"\npath = \"db/key\"\n\
                        door = \"agent\"\nevidence = [\"snp\"]\nminimum_suite = \"x-wing\"\n\
                        chips = \"enrolled\"\nworkload = \"web\"\n";

    #[test]
    fn a_text_names_its_kind_and_a_rule_its_subject() {
        let payload = read(RULE, None).unwrap();
        let header = header(&payload, None, 3, (1, 2)).unwrap();
        assert_eq!(header.kind, Kind::ReleaseRule);
        assert_eq!(
            (header.tenant.as_str(), header.name.as_str()),
            ("acme", "db/key")
        );
    }

    #[test]
    fn a_rule_of_another_tenant_is_not_signed() {
        let payload = read(RULE, None).unwrap();
        let other = Name::parse("other").unwrap();
        assert_eq!(
            header(&payload, Some(&other), 1, (1, 2)),
            Err("document.subject: the text is about the tenant acme, not other".to_owned())
        );
    }

    #[test]
    fn a_text_that_its_reader_refuses_is_not_signed() {
        let text = "schema = \"zeuge.policy.v1\"\nsurprise = 1\n";
        let refusal = read(text, None).unwrap_err();
        assert!(refusal.starts_with("document.schema: "), "{refusal}");
        assert!(refusal.contains("surprise"), "{refusal}");
        assert!(read("key = 1", None).unwrap_err().contains("no schema"));
        assert!(read(RULE, Some(Kind::Policy)).is_err());
    }
}
