//! The document itself: who issued it, when, about which registers, and for which question.

use std::collections::BTreeMap;

use super::{
    DOCUMENT,
    cbor::{Head, Items},
};
use crate::Malformed;

/// AWS's bound of one certificate.
const CERTIFICATE_BYTES_MAX: usize = 1024;
/// Certificates in the bundle; real ones have four.
const BUNDLE_MAX: usize = 8;
/// AWS's bound of public key, user data and nonce. The documentation names 512 in one place;
/// the hypervisor signs up to 1024.
const USER_BYTES_MAX: usize = 1024;
/// Registers are numbered 0 to 31.
const REGISTERS_MAX: usize = 32;

/// Whose registers a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A Nitro enclave (`pcrs`).
    Enclave,
    /// The NitroTPM of an instance (`nitrotpm_pcrs`).
    Tpm,
}

/// A document, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'a> {
    /// Which module of the hypervisor signed: instance and enclave.
    pub module_id: &'a str,
    /// When, in milliseconds since 1970.
    pub timestamp: u64,
    /// Whose registers these are.
    pub source: Source,
    /// The registers, of 32, 48 or 64 bytes.
    pub pcrs: BTreeMap<u8, &'a [u8]>,
    /// The certificate of the signing key, in DER.
    pub certificate: &'a [u8],
    /// Its issuers from the root downwards, in DER.
    pub bundle: Vec<&'a [u8]>,
    /// A key of the enclave's own.
    pub public_key: Option<&'a [u8]>,
    /// Whatever the enclave wanted signed.
    pub user_data: Option<&'a [u8]>,
    /// The challenge.
    pub nonce: Option<&'a [u8]>,
}

/// The members found so far.
#[derive(Default)]
struct Members<'a> {
    module_id: Option<&'a str>,
    digest: Option<&'a str>,
    timestamp: Option<u64>,
    pcrs: Option<(Source, BTreeMap<u8, &'a [u8]>)>,
    certificate: Option<&'a [u8]>,
    bundle: Option<Vec<&'a [u8]>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
}

fn bad(at: usize, field: &'static str, because: &'static str) -> Malformed {
    Malformed::invalid(DOCUMENT, at, field, because)
}

/// Keeps a member that did not stand yet.
fn once<T>(place: &mut Option<T>, value: T, at: usize) -> Result<(), Malformed> {
    if place.replace(value).is_some() {
        return Err(bad(at, "document", "a member stands twice"));
    }
    Ok(())
}

impl<'a> Document<'a> {
    /// Reads a payload that begins at `base` in the whole input; nothing may follow it.
    ///
    /// # Errors
    /// `nitro.document`, with the offset: no map, an unknown member or one that stands twice, a
    /// missing one, another digest than SHA384, a length or number outside AWS's bounds.
    pub fn parse(payload: &'a [u8], base: usize) -> Result<Self, Malformed> {
        let mut items = Items::new(payload, base, DOCUMENT);
        let Head::Map(length) = items.head()? else {
            return Err(bad(base, "document", "it is no map"));
        };
        let mut members = Members::default();
        let mut count = 0_u64;
        while items.goes_on(length, count) {
            members.read(&mut items)?;
            count = count.saturating_add(1);
        }
        items.end("document")?;
        members.complete(base)
    }
}

impl<'a> Members<'a> {
    fn read(&mut self, items: &mut Items<'a>) -> Result<(), Malformed> {
        let at = items.offset();
        match items.text("member")? {
            "module_id" => once(&mut self.module_id, items.text("module_id")?, at),
            "digest" => once(&mut self.digest, items.text("digest")?, at),
            "timestamp" => once(&mut self.timestamp, items.number("timestamp")?, at),
            "pcrs" => {
                let registers = registers(items, "pcrs")?;
                once(&mut self.pcrs, (Source::Enclave, registers), at)
            }
            "nitrotpm_pcrs" => {
                let registers = registers(items, "nitrotpm_pcrs")?;
                once(&mut self.pcrs, (Source::Tpm, registers), at)
            }
            "certificate" => once(&mut self.certificate, certificate(items)?, at),
            "cabundle" => once(&mut self.bundle, bundle(items)?, at),
            "public_key" => {
                let key = user(items, "public_key")?;
                if key.is_some_and(<[u8]>::is_empty) {
                    return Err(bad(at, "public_key", "it is empty"));
                }
                once(&mut self.public_key, key, at)
            }
            "user_data" => once(&mut self.user_data, user(items, "user_data")?, at),
            "nonce" => once(&mut self.nonce, user(items, "nonce")?, at),
            _ => Err(bad(
                at,
                "document",
                "it has a member that AWS does not document",
            )),
        }
    }

    fn complete(self, base: usize) -> Result<Document<'a>, Malformed> {
        let missing = |field: &'static str| bad(base, field, "it is missing");
        let (source, pcrs) = self.pcrs.ok_or_else(|| missing("pcrs"))?;
        let module_id = self.module_id.ok_or_else(|| missing("module_id"))?;
        if module_id.is_empty() {
            return Err(bad(base, "module_id", "it is empty"));
        }
        if self.digest.ok_or_else(|| missing("digest"))? != "SHA384" {
            return Err(bad(base, "digest", "only SHA384 is known"));
        }
        let timestamp = self.timestamp.ok_or_else(|| missing("timestamp"))?;
        // Later instants than this are no milliseconds of the next 280 000 years.
        if timestamp == 0 || i64::try_from(timestamp).is_err() {
            return Err(bad(base, "timestamp", "it is no instant"));
        }
        Ok(Document {
            module_id,
            timestamp,
            source,
            pcrs,
            certificate: self.certificate.ok_or_else(|| missing("certificate"))?,
            bundle: self.bundle.ok_or_else(|| missing("cabundle"))?,
            public_key: self.public_key.flatten(),
            user_data: self.user_data.flatten(),
            nonce: self.nonce.flatten(),
        })
    }
}

fn registers<'a>(
    items: &mut Items<'a>,
    field: &'static str,
) -> Result<BTreeMap<u8, &'a [u8]>, Malformed> {
    let at = items.offset();
    let Head::Map(length) = items.head()? else {
        return Err(bad(at, field, "it is no map"));
    };
    let mut out = BTreeMap::new();
    let mut count = 0_u64;
    while items.goes_on(length, count) {
        let at = items.offset();
        let index = items.number(field)?;
        let index = u8::try_from(index).ok().filter(|index| *index < 32);
        let index = index.ok_or_else(|| bad(at, field, "a register has no number below 32"))?;
        let at = items.offset();
        let value = items.bytes(field)?;
        if !matches!(value.len(), 32 | 48 | 64) {
            return Err(bad(at, field, "a value is not of 32, 48 or 64 bytes"));
        }
        if out.len() >= REGISTERS_MAX || out.insert(index, value).is_some() {
            return Err(bad(at, field, "a register stands twice"));
        }
        count = count.saturating_add(1);
    }
    if out.is_empty() {
        return Err(bad(at, field, "there are none"));
    }
    Ok(out)
}

fn certificate<'a>(items: &mut Items<'a>) -> Result<&'a [u8], Malformed> {
    let at = items.offset();
    let bytes = items.bytes("certificate")?;
    if bytes.is_empty() || bytes.len() > CERTIFICATE_BYTES_MAX {
        return Err(bad(at, "certificate", "it is not of 1 to 1024 bytes"));
    }
    Ok(bytes)
}

fn bundle<'a>(items: &mut Items<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    let at = items.offset();
    let Head::Array(length) = items.head()? else {
        return Err(bad(at, "cabundle", "it is no list"));
    };
    let mut out = Vec::new();
    let mut count = 0_u64;
    while items.goes_on(length, count) {
        if out.len() >= BUNDLE_MAX {
            return Err(bad(at, "cabundle", "it has more than eight certificates"));
        }
        out.push(certificate(items)?);
        count = count.saturating_add(1);
    }
    if out.is_empty() {
        return Err(bad(at, "cabundle", "it is empty"));
    }
    Ok(out)
}

fn user<'a>(items: &mut Items<'a>, field: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
    let at = items.offset();
    let bytes = items.optional(field)?;
    if bytes.is_some_and(|bytes| bytes.len() > USER_BYTES_MAX) {
        return Err(bad(at, field, "it is longer than 1024 bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nitro::cbor::put_bytes;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.push(0x60 | u8::try_from(text.len()).unwrap());
        out.extend(text.as_bytes());
    }

    /// Members by name, each with its encoded value.
    fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut out = vec![0xa0 | u8::try_from(members.len()).unwrap()];
        for (name, value) in members {
            text(&mut out, name);
            out.extend(value);
        }
        out
    }

    fn bytes(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, content);
        out
    }

    fn members() -> Vec<(&'static str, Vec<u8>)> {
        let pcrs = [&[0xa1, 4][..], &bytes(&[9; 48])].concat();
        vec![
            ("module_id", b"\x61m".to_vec()),
            ("digest", b"\x66SHA384".to_vec()),
            ("timestamp", vec![0x18, 200]),
            ("pcrs", pcrs),
            ("certificate", bytes(&[1])),
            (
                "cabundle",
                [&[0x82][..], &bytes(&[2]), &bytes(&[3])].concat(),
            ),
            ("nonce", bytes(&[5; 1024])),
            ("user_data", vec![0xf6]),
        ]
    }

    #[test]
    fn a_document_gives_its_members_in_either_kind_of_map() {
        let payload = map(&members());
        let document = Document::parse(&payload, 0).unwrap();
        assert_eq!((document.module_id, document.timestamp), ("m", 200));
        assert_eq!(
            (document.source, document.pcrs[&4]),
            (Source::Enclave, &[9; 48][..])
        );
        assert_eq!(document.bundle, [&[2][..], &[3]]);
        assert_eq!(
            (document.nonce.map(<[u8]>::len), document.user_data),
            (Some(1024), None)
        );
        let mut open = payload.clone();
        open[0] = 0xbf;
        open.push(0xff);
        assert_eq!(Document::parse(&open, 0).unwrap(), document);
    }

    #[test]
    fn every_bound_is_kept() {
        let with = |name: &str, value: Vec<u8>| {
            let mut all = members();
            match all.iter_mut().find(|(held, _)| *held == name) {
                Some(held) => held.1 = value,
                None => panic!("{name}"),
            }
            map(&all)
        };
        let without = |name: &str| {
            let mut all = members();
            all.retain(|(held, _)| *held != name);
            map(&all)
        };
        let register = |index: u8, value: &[u8]| [&[0xa1, index][..], &bytes(value)].concat();
        let twice = [&[0xa2, 4][..], &bytes(&[9; 48]), &[4], &bytes(&[9; 48])].concat();
        let mut refused = vec![
            (with("module_id", vec![0x60]), "module_id"),
            (with("module_id", vec![0x61, 0xff]), "module_id"),
            (with("digest", b"\x66SHA256".to_vec()), "digest"),
            (with("timestamp", vec![0]), "timestamp"),
            (
                with("timestamp", [&[0x1b][..], &[0xff; 8]].concat()),
                "timestamp",
            ),
            (with("timestamp", vec![0x20]), "CBOR"),
            (with("pcrs", vec![0xa0]), "pcrs"),
            (with("pcrs", register(4, &[9; 47])), "pcrs"),
            (
                with("pcrs", [&[0xa1, 0x18, 32][..], &bytes(&[9; 48])].concat()),
                "pcrs",
            ),
            (with("pcrs", twice), "pcrs"),
            (with("certificate", bytes(&[])), "certificate"),
            (with("certificate", bytes(&[0; 1025])), "certificate"),
            (with("certificate", vec![0xf6]), "certificate"),
            (with("cabundle", vec![0x80]), "cabundle"),
            (
                with("cabundle", [vec![0x89], bytes(&[1]).repeat(9)].concat()),
                "cabundle",
            ),
            (with("nonce", bytes(&[0; 1025])), "nonce"),
            (with("nonce", vec![0x00]), "nonce"),
            (vec![0x80], "document"),
        ];
        for (name, _) in members().iter().take(6) {
            refused.push((without(name), name));
        }
        let mut more = members();
        more.push(("surprise", vec![0xf6]));
        refused.push((map(&more), "document"));
        let mut doubled = members();
        doubled.push(("nonce", vec![0xf6]));
        refused.push((map(&doubled), "document"));
        refused.push(([map(&members()), vec![0]].concat(), "document"));
        for (payload, field) in refused {
            let refusal = Document::parse(&payload, 100).unwrap_err();
            assert_eq!(refusal.check, DOCUMENT);
            assert!(refusal.to_string().starts_with(field), "{field}: {refusal}");
            assert!(refusal.offset >= 100);
        }
        let whole = map(&members());
        for length in 0..whole.len() {
            assert!(Document::parse(&whole[..length], 0).is_err());
        }
    }

    #[test]
    fn registers_of_a_nitro_tpm_are_told_apart() {
        let mut all = members();
        all[3].0 = "nitrotpm_pcrs";
        let payload = map(&all);
        let document = Document::parse(&payload, 0).unwrap();
        assert_eq!(document.source, Source::Tpm);
        all.push(("pcrs", members()[3].1.clone()));
        assert!(Document::parse(&map(&all), 0).is_err());
    }
}
