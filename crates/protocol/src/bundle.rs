//! The evidence bundle: a CMW collection (draft-ietf-rats-msg-wrap) in JSON or CBOR with one
//! member per device, plus certificates, event logs and quotes as members of their own.
//!
//! Never looks into a member: what the bytes mean is `evidence`'s business, and nobody believes
//! them here. Never follows anything; never accepts a media type that no platform of ours reads.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::json;

use crate::Error;
use crate::cbor::{Key, Value};
use crate::name::Name;
use crate::text::{base64url, from_base64url};

/// The check ids of this module.
pub const CHECKS: &[&str] = &["bundle.malformed", "bundle.member"];

/// The longest bundle in bytes: two event logs of a megabyte, quotes and certificates, in
/// base64 by four thirds, and room.
pub const BUNDLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many members one bundle may have: a machine with eight GPUs and a TPM has under 30.
pub const MEMBERS_MAX: usize = 32;
/// The collection type that marks a bundle as ours.
pub const COLLECTION_TYPE: &str = "tag:zeuge.invalid,2026:bundle#1";

const TYPE_KEY: &str = "__cmwc_t";
/// `ind` bit 2: evidence.
const EVIDENCE: i64 = 4;
/// `ind` bit 1: endorsements.
const ENDORSEMENTS: i64 = 2;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Media {
    /// An Azure HCL report with its runtime data, as the vTPM's NV index holds it.
    AzureHcl,
    /// A Confidential Computing Event Log, as ACPI hands it out.
    CcEventLog,
    /// The list of files that Linux measured (IMA), text or binary.
    ImaList,
    /// Initdata whose digest stands in host data.
    Initdata,
    /// What endorses a DCAP quote: TCB Info, QE Identity, their chains and the revocation lists, in
    /// one of the JSON forms in which they lie together.
    IntelCollateral,
    /// A Nitro attestation document (COSE_Sign1).
    NitroDocument,
    /// A DCAP quote for an SGX enclave.
    SgxQuote,
    /// An SNP GUID certificate table.
    SnpCertificates,
    /// An SNP attestation report, 1184 bytes.
    SnpReport,
    /// A TCG event log (TPM 2.0, crypto agile).
    TcgEventLog,
    /// A DCAP quote for a TD.
    TdxQuote,
    /// A TPM quote with its signature, attestation key and PCR values, as JSON.
    TpmQuote,
}

impl Media {
    /// Every kind of member.
    pub const ALL: [Self; 12] = [
        Self::AzureHcl,
        Self::CcEventLog,
        Self::ImaList,
        Self::Initdata,
        Self::IntelCollateral,
        Self::NitroDocument,
        Self::SgxQuote,
        Self::SnpCertificates,
        Self::SnpReport,
        Self::TcgEventLog,
        Self::TdxQuote,
        Self::TpmQuote,
    ];

    /// The media type on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AzureHcl => "application/vnd.zeuge.azure-hcl",
            Self::CcEventLog => "application/vnd.zeuge.cc-event-log",
            Self::ImaList => "application/vnd.zeuge.ima-list",
            Self::Initdata => "application/vnd.zeuge.initdata",
            Self::IntelCollateral => "application/vnd.zeuge.intel-collateral+json",
            Self::NitroDocument => "application/vnd.zeuge.nitro-document",
            Self::SgxQuote => "application/vnd.zeuge.sgx-quote",
            Self::SnpCertificates => "application/vnd.zeuge.snp-certificates",
            Self::SnpReport => "application/vnd.zeuge.snp-report",
            Self::TcgEventLog => "application/vnd.zeuge.tcg-event-log",
            Self::TdxQuote => "application/vnd.zeuge.tdx-quote",
            Self::TpmQuote => "application/vnd.zeuge.tpm-quote+json",
        }
    }

    /// The kind of a media type; `None` for one that no platform of ours reads.
    #[must_use]
    pub fn from_type(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The longest member of this kind in bytes.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        match self {
            // Firmware reserves at most 64 KiB to a few hundred; a megabyte is hostile beyond.
            Self::CcEventLog | Self::TcgEventLog => 1024 * 1024,
            // Some 10 000 entries; a longer list has to be read step by step.
            Self::ImaList => 2 * 1024 * 1024,
            // Certificates that a hypervisor hands out: SNP_EXT_GUEST_REQUEST gives some pages.
            Self::SnpCertificates | Self::Initdata => 128 * 1024,
            // A real one has some 60 KiB; the lists in it only grow.
            Self::IntelCollateral => 512 * 1024,
            // The report, with room for bytes that some tools append.
            Self::SnpReport => 4096,
            Self::AzureHcl | Self::NitroDocument | Self::TpmQuote => 64 * 1024,
            // Ten times a quote with five certificates.
            Self::SgxQuote | Self::TdxQuote => 80 * 1024,
        }
    }

    const fn indicator(self) -> i64 {
        match self {
            Self::IntelCollateral | Self::SnpCertificates => ENDORSEMENTS,
            _ => EVIDENCE,
        }
    }
}

/// The two encodings of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// JSON, with base64url.
    Json,
    /// Deterministic CBOR.
    Cbor,
}

/// One member.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// What the bytes are.
    pub media: Media,
    /// The bytes as the device gave them.
    pub value: Vec<u8>,
}

impl fmt::Debug for Member {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({} bytes)", self.media.as_str(), self.value.len())
    }
}

/// A bundle: members by label, such as `snp`, `snp.certificates`, `tpm`, `event-log`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    members: BTreeMap<Name, Member>,
}

impl Bundle {
    /// An empty bundle.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            members: BTreeMap::new(),
        }
    }

    /// Adds a member.
    ///
    /// # Errors
    /// `bundle.member` when the label stands already, the bundle is full ([`MEMBERS_MAX`]), or
    /// the value is empty or longer than [`Media::bytes_max`].
    pub fn put(&mut self, label: Name, media: Media, value: Vec<u8>) -> Result<(), Error> {
        let refuse = |because| Err(Error::malformed("bundle.member", 0, because));
        if value.is_empty() {
            return refuse("a member is empty");
        }
        if value.len() > media.bytes_max() {
            return refuse("a member is longer than its kind allows");
        }
        if self.members.len() >= MEMBERS_MAX {
            return refuse("there are more than 32 members");
        }
        if self.members.contains_key(&label) {
            return refuse("a label stands twice");
        }
        self.members.insert(label, Member { media, value });
        Ok(())
    }

    /// The members, by label.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<Name, Member> {
        &self.members
    }

    /// The value of the only member of a kind; `None` when there is none or more than one.
    #[must_use]
    pub fn only(&self, media: Media) -> Option<&[u8]> {
        let mut found = self.members.values().filter(|member| member.media == media);
        let first = found.next()?;
        found.next().is_none().then_some(first.value.as_slice())
    }

    /// Which encoding `bytes` have, if they look like a bundle of ours at all. A hint for
    /// `--kind auto`; [`Bundle::parse`] decides.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Option<Encoding> {
        let marked = bytes
            .windows(COLLECTION_TYPE.len())
            .any(|window| window == COLLECTION_TYPE.as_bytes());
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
        match first {
            b'{' if marked => Some(Encoding::Json),
            0xa1..=0xb9 if marked && bytes.first() == Some(first) => Some(Encoding::Cbor),
            _ => None,
        }
    }

    /// Reads a bundle in either encoding.
    ///
    /// # Errors
    /// `bundle.malformed` when it is longer than [`BUNDLE_BYTES_MAX`], not a bundle of ours, or
    /// not well-formed; `bundle.member` for a member that [`Bundle::put`] refuses or whose media
    /// type is unknown.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(malformed("it is longer than 4 MiB"));
        }
        match Self::detect(bytes) {
            Some(Encoding::Json) => Self::parse_json(bytes),
            Some(Encoding::Cbor) => Self::parse_cbor(bytes),
            None => Err(malformed("it is not a bundle of a known type")),
        }
    }

    fn parse_json(bytes: &[u8]) -> Result<Self, Error> {
        let mut from = serde_json::Deserializer::from_slice(bytes);
        let entries = from
            .deserialize_map(Entries)
            .map_err(|_| malformed("it is not a JSON object of records, or has a key twice"))?;
        from.end()
            .map_err(|_| malformed("bytes follow the JSON object"))?;
        let mut bundle = Self::new();
        for (label, value) in &entries {
            let (media, value, indicator) = match value {
                Entry::Text(text) if label == TYPE_KEY => {
                    collection_type(Some(text))?;
                    continue;
                }
                Entry::Record(..) if label == TYPE_KEY => {
                    collection_type(None)?;
                    continue;
                }
                Entry::Text(_) => return Err(malformed("a member is not a record")),
                Entry::Record(media, value, indicator) => (media, value, indicator),
            };
            let value = from_base64url(value)
                .ok_or_else(|| malformed("a value is not base64url without padding"))?;
            bundle.read(label, Some(media), value, indicator.map(Some))?;
        }
        Ok(bundle)
    }

    fn parse_cbor(bytes: &[u8]) -> Result<Self, Error> {
        let value = Value::parse(bytes, BUNDLE_BYTES_MAX, "bundle.malformed")?;
        let map = value.as_map().ok_or_else(|| malformed("it is not a map"))?;
        let mut bundle = Self::new();
        for (label, value) in map {
            let Key::Text(label) = label else {
                return Err(malformed("a label is not a text"));
            };
            if label == TYPE_KEY {
                collection_type(value.as_text())?;
                continue;
            }
            let record = value.as_items();
            let (media, value) = match record {
                Some([media, value] | [media, value, _]) => (media.as_text(), value.as_bytes()),
                _ => return Err(malformed("a member is not a record")),
            };
            let value = value.ok_or_else(|| malformed("a value is not a byte string"))?;
            let indicator = record.and_then(|record| record.get(2));
            bundle.read(
                label,
                media,
                value.to_vec(),
                indicator.map(Value::as_integer),
            )?;
        }
        Ok(bundle)
    }

    fn read(
        &mut self,
        label: &str,
        media: Option<&str>,
        value: Vec<u8>,
        indicator: Option<Option<i64>>,
    ) -> Result<(), Error> {
        let label = Name::parse(label).map_err(|refusal| refusal.under("bundle.member"))?;
        let media = media
            .ok_or_else(|| malformed("a media type is not a text"))
            .and_then(|text| {
                Media::from_type(text).ok_or_else(|| {
                    Error::malformed(
                        "bundle.member",
                        0,
                        "a media type is not one that is read here",
                    )
                })
            })?;
        if indicator.is_some_and(|bits| bits != Some(media.indicator())) {
            return Err(Error::malformed(
                "bundle.member",
                0,
                "a member's indicator does not fit its media type",
            ));
        }
        self.put(label, media, value)
    }

    /// The bundle as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut map = serde_json::Map::new();
        map.insert(TYPE_KEY.to_owned(), json!(COLLECTION_TYPE));
        for (label, member) in &self.members {
            let value = base64url(&member.value);
            let record = json!([member.media.as_str(), value, member.media.indicator()]);
            map.insert(label.as_str().to_owned(), record);
        }
        serde_json::Value::Object(map).to_string()
    }

    /// The bundle as deterministic CBOR.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        let records = self.members.iter().map(|(label, member)| {
            let record = Value::Array(vec![
                Value::text(member.media.as_str()),
                Value::bytes(&member.value),
                Value::Integer(member.media.indicator()),
            ]);
            (label.as_str(), record)
        });
        Value::map(records.chain([(TYPE_KEY, Value::text(COLLECTION_TYPE))])).encode()
    }
}

const fn malformed(because: &'static str) -> Error {
    Error::malformed("bundle.malformed", 0, because)
}

fn collection_type(found: Option<&str>) -> Result<(), Error> {
    if found == Some(COLLECTION_TYPE) {
        return Ok(());
    }
    Err(malformed("its collection type is not ours"))
}

/// One value of a collection: the collection's type, or a record `[type, value, indicator]`.
///
/// Read as what it may be and nothing else: a tree of whatever stands there would take a hundred
/// times the memory of its text.
enum Entry {
    Text(String),
    Record(String, String, Option<i64>),
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneEntry)
    }
}

struct OneEntry;

impl<'de> Visitor<'de> for OneEntry {
    type Value = Entry;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text or a record of two texts and perhaps a number")
    }

    fn visit_str<E>(self, text: &str) -> Result<Entry, E> {
        Ok(Entry::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut record: A) -> Result<Entry, A::Error> {
        let short = || serde::de::Error::custom("a record has too few parts");
        let media = record.next_element()?.ok_or_else(short)?;
        let value = record.next_element()?.ok_or_else(short)?;
        let indicator = record.next_element()?;
        if record.next_element::<IgnoredAny>()?.is_some() {
            return Err(serde::de::Error::custom("a record has too many parts"));
        }
        Ok(Entry::Record(media, value, indicator))
    }
}

/// Collects the entries of an object and refuses a key that stands twice: `serde_json::Value`
/// would keep the last one silently.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, Entry)>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of records")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Self::Value = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Entry>()? {
            // One more for the collection type.
            if entries.len() > MEMBERS_MAX {
                return Err(serde::de::Error::custom("too many members"));
            }
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(serde::de::Error::custom("a key stands twice"));
            }
            entries.push((key, value));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn bundle() -> Bundle {
        let mut bundle = Bundle::new();
        bundle
            .put(name("snp"), Media::SnpReport, vec![1; 1184])
            .unwrap();
        bundle
            .put(
                name("snp.certificates"),
                Media::SnpCertificates,
                vec![2; 40],
            )
            .unwrap();
        bundle
            .put(name("event-log"), Media::TcgEventLog, vec![3; 9])
            .unwrap();
        bundle
    }

    #[test]
    fn both_encodings_say_the_same() {
        let bundle = bundle();
        assert_eq!(
            Bundle::parse(bundle.to_json().as_bytes()),
            Ok(bundle.clone())
        );
        assert_eq!(Bundle::parse(&bundle.to_cbor()), Ok(bundle.clone()));
        assert_eq!(
            Bundle::detect(bundle.to_json().as_bytes()),
            Some(Encoding::Json)
        );
        assert_eq!(Bundle::detect(&bundle.to_cbor()), Some(Encoding::Cbor));
        assert_eq!(Bundle::detect(&[1; 1184]), None);
        assert_eq!(bundle.only(Media::SnpReport), Some(&[1; 1184][..]));
        assert_eq!(bundle.only(Media::TdxQuote), None);
    }

    fn json(members: &str) -> Result<Bundle, Error> {
        Bundle::parse(format!(r#"{{"__cmwc_t":"{COLLECTION_TYPE}",{members}}}"#).as_bytes())
    }

    #[test]
    fn a_label_that_stands_twice_is_refused() {
        let record = r#"["application/vnd.zeuge.snp-report","AA"]"#;
        assert_eq!(
            json(&format!(r#""snp":{record},"snp":{record}"#)),
            Err(malformed(
                "it is not a JSON object of records, or has a key twice"
            ))
        );
    }

    #[test]
    fn an_unknown_media_type_or_a_foreign_indicator_is_refused() {
        assert_eq!(
            json(r#""snp":["application/eat+cwt","AA"]"#),
            Err(Error::malformed(
                "bundle.member",
                0,
                "a media type is not one that is read here"
            ))
        );
        assert_eq!(
            json(r#""snp":["application/vnd.zeuge.snp-report","AA",2]"#),
            Err(Error::malformed(
                "bundle.member",
                0,
                "a member's indicator does not fit its media type"
            ))
        );
        assert!(json(r#""snp":["application/vnd.zeuge.snp-report","AA"]"#).is_ok());
    }

    #[test]
    fn an_empty_or_too_long_member_is_refused() {
        assert_eq!(
            json(r#""snp":["application/vnd.zeuge.snp-report",""]"#),
            Err(Error::malformed("bundle.member", 0, "a member is empty"))
        );
        assert_eq!(
            Bundle::new().put(name("snp"), Media::SnpReport, vec![0; 4097]),
            Err(Error::malformed(
                "bundle.member",
                0,
                "a member is longer than its kind allows"
            ))
        );
    }

    #[test]
    fn padding_and_foreign_collections_are_refused() {
        assert_eq!(
            json(r#""snp":["application/vnd.zeuge.snp-report","AA=="]"#),
            Err(malformed("a value is not base64url without padding"))
        );
        assert_eq!(
            Bundle::parse(br#"{"__cmwc_t":"tag:other,2026:x"}"#),
            Err(malformed("it is not a bundle of a known type"))
        );
        assert_eq!(
            Bundle::parse(&vec![b'{'; BUNDLE_BYTES_MAX + 1]),
            Err(malformed("it is longer than 4 MiB"))
        );
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0_usize..4000, to in any::<u8>()) {
            for mut bytes in [bundle().to_json().into_bytes(), bundle().to_cbor()] {
                let at = at % bytes.len();
                bytes[at] = to;
                drop(Bundle::parse(&bytes));
            }
        }

        #[test]
        fn what_was_put_in_comes_out(
            values in proptest::collection::btree_map(
                "[a-z]{1,6}",
                proptest::collection::vec(any::<u8>(), 1..100),
                0..8,
            )
        ) {
            let mut bundle = Bundle::new();
            for (label, value) in values {
                bundle.put(name(&label), Media::TpmQuote, value).unwrap();
            }
            prop_assert_eq!(Bundle::parse(bundle.to_json().as_bytes()), Ok(bundle.clone()));
            prop_assert_eq!(Bundle::parse(&bundle.to_cbor()), Ok(bundle));
        }
    }
}
