//! Certificates and revocation lists, beside `x509-parser`: accepted by both or by neither, and
//! read alike, field by field, where both accept.

use x509_parser::prelude::{
    CertificateRevocationList, FromDer as _, X509Certificate, X509Extension,
};
use zeuge_evidence::{
    Malformed, UnixTime, What,
    x509::{Certificate, Extension, RevocationList},
};
use zeuge_sim::{PckCa, QuoteForm, QuoteSpec, ToyAmd, ToyIntel};

use crate::{
    corpus::{self, NOW},
    mutate,
    random::Random,
    table::{ACCEPTED, Ledger},
};

const PARSER: &str = "x509-parser";

/// Our word and theirs for a certificate.
fn certificate(bytes: &[u8]) -> (String, &'static str) {
    let ours = Certificate::parse(bytes);
    let theirs = match (&ours, X509Certificate::from_der(bytes)) {
        (Ok(ours), Ok(([], theirs))) => same_certificate(ours, &theirs),
        (_, theirs) => parsed(theirs),
    };
    (word(ours.err()), theirs)
}

/// Our word and theirs for a list.
fn list(bytes: &[u8]) -> (String, &'static str) {
    let ours = RevocationList::parse(bytes);
    let theirs = match (&ours, CertificateRevocationList::from_der(bytes)) {
        (Ok(ours), Ok(([], theirs))) => same_list(ours, &theirs),
        (_, theirs) => parsed(theirs),
    };
    (word(ours.err()), theirs)
}

fn parsed<T, E>(outcome: Result<(&[u8], T), E>) -> &'static str {
    match outcome {
        Ok(([], _)) => ACCEPTED,
        Ok(_) => "trailing bytes",
        Err(_) => "refused",
    }
}

/// The check and what is wrong, without the place.
fn word(refusal: Option<Malformed>) -> String {
    let Some(refusal) = refusal else {
        return ACCEPTED.to_owned();
    };
    match refusal.what {
        What::Invalid { field, because } => format!("{}: {field}: {because}", refusal.check),
        What::TooShort { .. } => format!("{}: too short", refusal.check),
        _ => refusal.check.to_owned(),
    }
}

/// [`ACCEPTED`], or the first field that is read otherwise.
fn same_certificate(ours: &Certificate<'_>, theirs: &X509Certificate<'_>) -> &'static str {
    let seconds = |time: UnixTime| time.0;
    let validity = theirs.validity();
    let fields = [
        (
            "other version",
            u32::from(ours.version) == theirs.version.0 + 1,
        ),
        ("other serial", ours.serial == stripped(theirs.raw_serial())),
        ("other issuer", ours.issuer.raw == theirs.issuer().as_raw()),
        (
            "other subject",
            ours.subject.raw == theirs.subject().as_raw(),
        ),
        (
            "other notBefore",
            seconds(ours.not_before) == validity.not_before.timestamp(),
        ),
        (
            "other notAfter",
            seconds(ours.not_after) == validity.not_after.timestamp(),
        ),
        ("other key", ours.public_key.raw == theirs.public_key().raw),
        (
            "other signature",
            ours.signature == &*theirs.signature_value.data,
        ),
        (
            "other signed part",
            ours.signed == theirs.tbs_certificate.as_ref(),
        ),
        (
            "other algorithm",
            ours.algorithm.oid == theirs.signature_algorithm.algorithm.to_id_string(),
        ),
        (
            "other extensions",
            same_extensions(&ours.extensions, theirs.extensions()),
        ),
    ];
    first_other(&fields)
}

fn same_list(ours: &RevocationList<'_>, theirs: &CertificateRevocationList<'_>) -> &'static str {
    let entries: Vec<(Vec<u8>, i64)> = theirs
        .iter_revoked_certificates()
        .map(|entry| {
            let serial = stripped(entry.raw_serial()).to_vec();
            (serial, entry.revocation_date.timestamp())
        })
        .collect();
    let own = ours
        .revoked
        .iter()
        .map(|entry| (entry.serial.to_vec(), entry.at.0));
    let next = theirs.next_update().map(|time| time.timestamp());
    let fields = [
        ("other issuer", ours.issuer.raw == theirs.issuer().as_raw()),
        (
            "other thisUpdate",
            ours.this_update.0 == theirs.last_update().timestamp(),
        ),
        (
            "other nextUpdate",
            ours.next_update.map(|time| time.0) == next,
        ),
        ("other entries", own.eq(entries)),
        (
            "other signature",
            ours.signature == &*theirs.signature_value.data,
        ),
        (
            "other signed part",
            ours.signed == theirs.tbs_cert_list.as_ref(),
        ),
        (
            "other extensions",
            same_extensions(&ours.extensions, theirs.extensions()),
        ),
    ];
    first_other(&fields)
}

fn first_other(fields: &[(&'static str, bool)]) -> &'static str {
    let other = fields.iter().find(|(_, same)| !same);
    other.map_or(ACCEPTED, |(name, _)| name)
}

fn stripped(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

fn same_extensions(ours: &[Extension<'_>], theirs: &[X509Extension<'_>]) -> bool {
    let mine = ours
        .iter()
        .map(|extension| (extension.oid.clone(), extension.critical, extension.value));
    mine.eq(theirs.iter().map(|extension| {
        (
            extension.oid.to_id_string(),
            extension.critical,
            extension.value,
        )
    }))
}

/// Every certificate and every list that the toys write: files and contents in DER.
fn toy_der() -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for spec in corpus::machines().iter().filter(|spec| spec.version == 3) {
        out.extend(ToyAmd::shared().tell(None, spec, NOW).endorsements);
    }
    for ca in PckCa::ALL {
        let spec = QuoteSpec {
            ca,
            ..QuoteSpec::new(QuoteForm::Tdx4)
        };
        let told = ToyIntel::shared().tell(None, &spec, NOW);
        for (name, bytes) in told.endorsements {
            let labels = ["CERTIFICATE", "X509 CRL"];
            let blocks = zeuge_evidence::der::pem_blocks(&bytes, &labels, 16);
            if blocks.is_empty() {
                out.push((name, bytes));
            } else {
                out.extend(blocks.into_iter().map(|block| (name.clone(), block)));
            }
        }
        let blocks = zeuge_evidence::der::pem_blocks(&told.quote, &["CERTIFICATE"], 16);
        out.extend(blocks.into_iter().map(|block| ("pck".to_owned(), block)));
    }
    out.retain(|(_, bytes)| bytes.first() == Some(&0x30));
    out
}

/// Records a file as what it is: a list if either side reads one, else a certificate.
fn record(ledger: &mut Ledger, class: &str, is_list: bool, bytes: &[u8]) {
    let (kind, (ours, theirs)) = if is_list {
        ("list", list(bytes))
    } else {
        ("certificate", certificate(bytes))
    };
    let files: [(&str, &[u8]); 1] = [("input.der", bytes)];
    ledger.record(&format!("{class}-{kind}"), PARSER, &ours, theirs, &files);
}

fn is_list(bytes: &[u8]) -> bool {
    RevocationList::parse(bytes).is_ok() || CertificateRevocationList::from_der(bytes).is_ok()
}

/// What the toys write.
pub fn toys(ledger: &mut Ledger) {
    for (_, bytes) in toy_der() {
        record(ledger, "toy", is_list(&bytes), &bytes);
    }
}

/// Certificates and lists of real makers.
pub fn captures(ledger: &mut Ledger, folder: &std::path::Path) {
    let classes = ["amd-cert", "crl", "intel-cert", "tpm-ca", "tpm-ek-cert"];
    for (_, bytes) in corpus::der_of_classes(folder, &classes) {
        if bytes.first() == Some(&0x30) {
            record(ledger, "capture", is_list(&bytes), &bytes);
        }
    }
}

/// Changed elements in what the toys write.
pub fn mutants(ledger: &mut Ledger, seed: u64, numbers: std::ops::Range<u64>) {
    let originals = toy_der();
    let count = u64::try_from(originals.len()).unwrap_or(1);
    for number in numbers {
        let mut random = Random::of(seed, number);
        let place = usize::try_from(number % count).unwrap_or_default();
        let (_, original) = &originals[place];
        let changed = mutate::der(&mut random, number / count, original);
        record(ledger, "mutant", is_list(original), &changed);
    }
}
