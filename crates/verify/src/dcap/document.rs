//! Intel's signed documents (TCB Info, QE Identity): envelope, signature, window, choice.
//!
//! The signature is checked over the inner object's bytes **as received**, before anything in
//! them is believed. What is read earlier (kind, platform) only orders the candidates and is
//! checked again afterwards. Never re-serialises.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeuge_evidence::UnixTime;

use super::{
    Broken, Context, Difference,
    json::{Json, Name, View},
};
use crate::{Error, Trail, Unavailable, anchors::fingerprint, crypto::Scheme};

/// The largest real document has 22 KiB; ten times that is hostile.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// A folder with years of every platform's documents has a few hundred; beyond, the rest is
/// skipped and named.
const CANDIDATES_MAX: usize = 512;

/// The kinds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCB Info.
    TcbInfo,
    /// QE Identity.
    QeIdentity,
    /// The list of evaluation numbers that are served.
    EvaluationNumbers,
}

impl Kind {
    const fn member(self) -> &'static str {
        match self {
            Self::TcbInfo => "tcbInfo",
            Self::QeIdentity => "enclaveIdentity",
            Self::EvaluationNumbers => "tcbEvaluationDataNumbers",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::TcbInfo => "TCB Info",
            Self::QeIdentity => "QE Identity",
            Self::EvaluationNumbers => "list of evaluation numbers",
        }
    }

    const fn signature_check(self) -> &'static str {
        match self {
            // spec: dcap.tcb-info.signature
            Self::TcbInfo => "dcap.tcb-info.signature",
            // spec: dcap.qe-identity.signature
            Self::QeIdentity => "dcap.qe-identity.signature",
            Self::EvaluationNumbers => "dcap.evaluation-numbers.signature",
        }
    }

    const fn duplicate_check(self) -> &'static str {
        match self {
            // spec: dcap.tcb-info.duplicate-key
            Self::TcbInfo => "dcap.tcb-info.duplicate-key",
            // spec: dcap.qe-identity.duplicate-key
            Self::QeIdentity => "dcap.qe-identity.duplicate-key",
            Self::EvaluationNumbers => "dcap.evaluation-numbers.duplicate-key",
        }
    }

    pub(crate) const fn window_check(self) -> &'static str {
        match self {
            // spec: dcap.tcb-info.window
            Self::TcbInfo => "dcap.tcb-info.window",
            // spec: dcap.qe-identity.window
            Self::QeIdentity => "dcap.qe-identity.window",
            Self::EvaluationNumbers => "dcap.evaluation-numbers.window",
        }
    }

    pub(crate) fn format(self, found: impl Into<String>, wanted: &str) -> Broken {
        let difference = Difference::new(found, wanted);
        match self {
            Self::TcbInfo => Broken::TcbInfoFormat(difference),
            Self::QeIdentity => Broken::IdentityFormat(difference),
            Self::EvaluationNumbers => Broken::NumbersFormat(difference),
        }
    }
}

/// What both kinds say of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// When Intel issued it.
    pub issue_date: UnixTime,
    /// Until when it counts.
    pub next_update: UnixTime,
    /// tcbEvaluationDataNumber: which state of Intel's knowledge it tells.
    pub evaluation_number: u32,
    /// SHA-256 of the bytes that are signed: what stands around them may differ.
    pub fingerprint: [u8; 32],
    /// Where it came from.
    pub source: String,
}

/// A document of one kind, as received; nothing in it is believed.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) kind: Kind,
    pub(crate) source: &'a str,
    /// The signed bytes: the inner object as received.
    body: &'a [u8],
    signature: Option<[u8; 64]>,
    duplicate: Option<String>,
    /// The inner object, read and not believed.
    pub(crate) content: Json<'a>,
}

/// The members of a file, of which each value is kept as received.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Raw;
        impl<'de> Visitor<'de> for Raw {
            type Value = Members<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut out = Vec::new();
                while let Some(name) = map.next_key_seed(Name)? {
                    out.push((name, map.next_value()?));
                }
                Ok(Members(out))
            }
        }
        deserializer.deserialize_map(Raw)
    }
}

impl<'a> Members<'a> {
    /// Reads a file of at most [`DOCUMENT_BYTES_MAX`]; `None` for one that is no object.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return None;
        }
        serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()
    }

    /// The first of this name, and whether there is another.
    fn find(&self, name: &str) -> Option<(&'a RawValue, bool)> {
        let mut named = self.0.iter().filter(|(at, _)| at == name);
        let (_, first) = named.next()?;
        Some((*first, named.next().is_some()))
    }
}

impl<'a> Envelope<'a> {
    /// Opens `{"tcbInfo"|"enclaveIdentity": {…}, "signature": "128 hex"}`; `None` for anything
    /// that is not of this kind.
    pub(crate) fn open(kind: Kind, source: &'a str, bytes: &'a [u8]) -> Option<Self> {
        Self::of(kind, source, &Members::of(bytes)?)
    }

    fn of(kind: Kind, source: &'a str, members: &Members<'a>) -> Option<Self> {
        let (body, twice) = members.find(kind.member())?;
        let body = body.get().as_bytes();
        let content = Json::parse(body)?;
        let signature = members.find("signature");
        let outer = match signature {
            Some((_, true)) => Some("signature"),
            _ => twice.then_some(kind.member()),
        };
        let signature = signature
            .and_then(|(raw, _)| serde_json::from_str::<String>(raw.get()).ok())
            .and_then(|text| hex::decode(text).ok())
            .and_then(|bytes| bytes.try_into().ok());
        let duplicate = outer
            .or_else(|| content.view().duplicate())
            .map(str::to_owned);
        Some(Self {
            kind,
            source,
            body,
            signature,
            duplicate,
            content,
        })
    }

    /// Runs the checks on signature and doubled names. After them the content may be read.
    pub(crate) fn check(
        &self,
        trail: &mut Trail,
        context: &Context<'_>,
        signers: &[Vec<u8>],
    ) -> Result<(), Error> {
        let kind = self.kind;
        trail.check(kind.signature_check(), || {
            let holds = self.signature.is_some_and(|signature| {
                signers.iter().any(|key| {
                    let scheme = Scheme::EcdsaP256Sha256Fixed;
                    let signatures = context.crypto.signatures;
                    signatures
                        .verify(scheme, key, self.body, &signature)
                        .is_ok()
                })
            });
            if holds {
                return Ok(());
            }
            let difference = Difference::new(self.source, "a signature by Intel's TCB signing key");
            Err(match kind {
                Kind::TcbInfo => Broken::TcbInfoSignatureBad(difference),
                Kind::QeIdentity => Broken::IdentitySignatureBad(difference),
                Kind::EvaluationNumbers => Broken::NumbersSignatureBad(difference),
            }
            .into())
        })?;
        trail.check(kind.duplicate_check(), || match &self.duplicate {
            None => Ok(()),
            Some(name) => {
                let difference = Difference::new(name.clone(), "every name once");
                Err(match kind {
                    Kind::TcbInfo => Broken::TcbInfoDuplicateKey(difference),
                    Kind::QeIdentity => Broken::IdentityDuplicateKey(difference),
                    Kind::EvaluationNumbers => Broken::NumbersDuplicateKey(difference),
                }
                .into())
            }
        })
    }

    /// Reads what both kinds say of themselves.
    pub(crate) fn issue(&self) -> Result<Issue, Broken> {
        let content = self.content.view();
        let number = unsigned(content, "tcbEvaluationDataNumber", u32::MAX.into());
        Ok(Issue {
            issue_date: instant(self.kind, content, "issueDate")?,
            next_update: instant(self.kind, content, "nextUpdate")?,
            evaluation_number: number
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(|| self.kind.format("tcbEvaluationDataNumber", "a number"))?,
            fingerprint: fingerprint(self.body),
            source: self.source.to_owned(),
        })
    }
}

/// Runs the check on the window: a document outside it is not at hand, not forged.
pub(crate) fn window(
    trail: &mut Trail,
    kind: Kind,
    issue: &Issue,
    at: UnixTime,
) -> Result<(), Error> {
    trail.check(kind.window_check(), || {
        if issue.issue_date <= at && at <= issue.next_update {
            return Ok(());
        }
        Err(Error::Unavailable(Unavailable {
            check: kind.window_check(),
            what: format!(
                "a {} in force at {at} (the one at hand, {}, counts from {} to {})",
                kind.title(),
                issue.source,
                issue.issue_date,
                issue.next_update
            ),
            remedy: "Intel's provisioning certification service has it",
        }))
    })
}

/// All TCB Infos and QE Identities in the heap, as received. Each file is read once.
pub(crate) fn of_heap<'a>(
    context: &Context<'a>,
    notes: &mut Vec<String>,
) -> (Vec<Envelope<'a>>, Vec<Envelope<'a>>) {
    let (mut infos, mut identities) = (Vec::new(), Vec::new());
    for held in &context.heap.documents {
        let Some(members) = Members::of(&held.bytes) else {
            continue;
        };
        for (kind, out) in [
            (Kind::TcbInfo, &mut infos),
            (Kind::QeIdentity, &mut identities),
        ] {
            let Some(envelope) = Envelope::of(kind, &held.source, &members) else {
                continue;
            };
            if out.len() < CANDIDATES_MAX {
                out.push(envelope);
                continue;
            }
            notes.push(format!(
                "more than {CANDIDATES_MAX} documents of the kind {}",
                kind.title()
            ));
        }
    }
    (infos, identities)
}

/// A member that is an instant.
pub(crate) fn instant(kind: Kind, object: View<'_, '_>, name: &str) -> Result<UnixTime, Broken> {
    let text = object.get(name).and_then(View::text);
    text.and_then(UnixTime::parse_rfc3339)
        .ok_or_else(|| kind.format(name, "an instant"))
}

/// A member that is a whole number up to a limit.
pub(crate) fn unsigned(object: View<'_, '_>, name: &str, limit: u64) -> Option<u64> {
    let number = object.get(name).and_then(View::number);
    number.filter(|number| *number <= limit)
}

/// A member that is `N` bytes in hex of either case.
pub(crate) fn hex_bytes<const N: usize>(
    kind: Kind,
    object: View<'_, '_>,
    name: &str,
) -> Result<[u8; N], Broken> {
    let text = object.get(name).and_then(View::text);
    let mut bytes = [0; N];
    text.and_then(|text| hex::decode_to_slice(text, &mut bytes).ok())
        .map(|()| bytes)
        .ok_or_else(|| kind.format(name, "a byte string in hex of the known length"))
}

/// advisoryIDs, which is absent when there are none.
pub(crate) fn advisories(kind: Kind, object: View<'_, '_>) -> Result<Vec<String>, Broken> {
    let Some(member) = object.get("advisoryIDs") else {
        return Ok(Vec::new());
    };
    let texts = member.list().and_then(|list| {
        let texts = list.map(|id| id.text().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>()
    });
    texts.ok_or_else(|| kind.format("advisoryIDs", "a list of texts"))
}
