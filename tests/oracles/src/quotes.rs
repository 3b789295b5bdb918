//! Quotes of Intel TDX and SGX, beside `dcap-qvl` with its pure-Rust cryptography.
//!
//! Both get the same certificates, lists and documents. Where both accept, they must also say the
//! same TCB status and name the same advisories. That crate demands fresh revocation lists;
//! here a missing or stale one is appraisal's to refuse, so it is asked only with all parts.

use dcap_qvl::{QuoteCollateralV3, verify::QuoteVerifier};
use serde_json::value::RawValue;
use zeuge_evidence::{
    UnixTime,
    dcap::{Evidence, Quote, Tee},
    der,
    x509::{Certificate, RevocationList},
};
use zeuge_sim::{IntelLie, PckCa, QuoteForm, QuoteSpec, Room, ToyIntel, ToyQuote};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, QuoteFacts, Verified,
    crypto::AWS_LC,
    dcap::{self, EndorsementId},
    x509,
};

use crate::{
    corpus::{self, NOW},
    random::Random,
    table::{ACCEPTED, Ledger},
};

const QVL: &str = "dcap-qvl";

fn ours(
    bytes: &[u8],
    heap: &Endorsements,
    anchors: &Anchors,
    at: UnixTime,
) -> Result<Verified<QuoteFacts>, Error> {
    let binding = Binding::Unbound {
        because: "the peers compare no binding".to_owned(),
    };
    dcap::quote(&Quote::parse(bytes)?, heap, anchors, &binding, at, &AWS_LC)
}

fn pem(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64(bytes).as_bytes().chunks(64) {
        let _ = writeln!(out, "{}", String::from_utf8_lossy(line));
    }
    out + "-----END CERTIFICATE-----\n"
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let at = |place: usize| u32::from(chunk.get(place).copied().unwrap_or_default());
        let word = (at(0) << 16) | (at(1) << 8) | at(2);
        for place in 0..4 {
            let six = usize::try_from((word >> (18 - 6 * place)) & 63).unwrap_or_default();
            if place <= chunk.len() {
                out.push(char::from(LETTERS[six]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// A signed document: its text as signed, and the signature.
struct Document {
    text: String,
    signature: Vec<u8>,
    value: serde_json::Value,
}

fn document(bytes: &[u8], member: &str) -> Option<Document> {
    let members: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(bytes).ok()?;
    let text = members.get(member)?.get().to_owned();
    let signature: String = serde_json::from_str(members.get("signature")?.get()).ok()?;
    Some(Document {
        value: serde_json::from_str(&text).ok()?,
        signature: hex::decode(signature).ok()?,
        text,
    })
}

/// The document that fits best: of the right kind, in force, with the highest evaluation number.
fn best(
    heap: &Endorsements,
    member: &str,
    at: UnixTime,
    fits: impl Fn(&serde_json::Value) -> bool,
) -> Option<Document> {
    let documents = heap
        .documents
        .iter()
        .filter_map(|held| document(&held.bytes, member));
    documents.max_by_key(|document| {
        let date = |name: &str| {
            let text = document.value.get(name).and_then(serde_json::Value::as_str);
            text.and_then(UnixTime::parse_rfc3339)
        };
        let in_force = date("issueDate").is_some_and(|from| from <= at)
            && date("nextUpdate").is_some_and(|to| at <= to);
        let number = document
            .value
            .get("tcbEvaluationDataNumber")
            .and_then(|n| n.as_u64());
        (fits(&document.value), in_force, number, date("issueDate"))
    })
}

/// Everything that the peer wants, out of the heap; `None` where a part is missing.
#[must_use]
pub fn collateral(
    bytes: &[u8],
    heap: &Endorsements,
    anchors: &Anchors,
    at: UnixTime,
) -> Option<QuoteCollateralV3> {
    let quote = Quote::parse(bytes).ok()?;
    let mut held: Vec<Vec<u8>> = heap
        .certificates
        .iter()
        .map(|held| held.bytes.clone())
        .collect();
    let chain = der::pem_blocks(bytes, &["CERTIFICATE"], 8);
    held.extend(chain.iter().cloned());
    let read: Vec<Certificate<'_>> = held
        .iter()
        .filter_map(|bytes| Certificate::parse(bytes).ok())
        .collect();
    let pinned = Certificate::parse(anchors.intel().certificate()).ok()?;
    let rooted = |one: &&Certificate<'_>| x509::signed_by(one, &pinned.public_key, &AWS_LC).is_ok();
    // Test houses use the same names: what hangs from the root comes first.
    let named = |name: &str| {
        let found = read.iter().rev();
        found
            .filter(|one| one.subject.common_name() == Some(name))
            .max_by_key(|one| {
                let in_force = one.not_before <= at && at <= one.not_after;
                (rooted(one), in_force, one.not_before)
            })
    };
    let root = named("Intel SGX Root CA")?;
    let signer = named("Intel SGX TCB Signing")?;
    let leaf = read.iter().rev().find(|one| {
        chain.iter().any(|block| block == one.raw)
            && one.subject.common_name() == Some("Intel SGX PCK Certificate")
    })?;
    // Test houses use the same names: the quote's own chain comes first.
    let authority = read
        .iter()
        .rev()
        .find(|one| one.subject.raw == leaf.issuer.raw)?;
    let list = |issuer: &Certificate<'_>| {
        let lists = heap.revocation_lists.iter();
        lists
            .filter_map(|held| Some((RevocationList::parse(&held.bytes).ok()?, &held.bytes)))
            .filter(|(list, _)| list.issuer.raw == issuer.subject.raw && list.this_update <= at)
            .max_by_key(|(list, _)| (list.next_update >= Some(at), list.this_update))
            .map(|(_, bytes)| bytes.clone())
    };
    let needs = dcap::needs(&quote);
    let fmspc = needs.iter().find_map(|need| match need {
        EndorsementId::TcbInfo { fmspc, .. } => Some(hex::encode(fmspc)),
        _ => None,
    });
    let tdx = needs
        .iter()
        .any(|need| matches!(need, EndorsementId::QeIdentity { tee: Tee::Tdx }));
    let is = |value: &serde_json::Value, name: &str, wanted: &str| {
        let text = value.get(name).and_then(serde_json::Value::as_str);
        text.is_some_and(|text| text.eq_ignore_ascii_case(wanted))
    };
    let tcb_info = best(heap, "tcbInfo", at, |value| {
        fmspc
            .as_ref()
            .is_some_and(|fmspc| is(value, "fmspc", fmspc))
            && is(value, "id", if tdx { "TDX" } else { "SGX" })
    })?;
    let identity = best(heap, "enclaveIdentity", at, |value| {
        is(value, "id", if tdx { "TD_QE" } else { "QE" })
    })?;
    Some(QuoteCollateralV3 {
        pck_crl_issuer_chain: pem(authority.raw) + &pem(root.raw),
        root_ca_crl: list(root)?,
        pck_crl: list(authority)?,
        tcb_info_issuer_chain: pem(signer.raw) + &pem(root.raw),
        tcb_info: tcb_info.text,
        tcb_info_signature: tcb_info.signature,
        qe_identity_issuer_chain: pem(signer.raw) + &pem(root.raw),
        qe_identity: identity.text,
        qe_identity_signature: identity.signature,
        pck_certificate_chain: None,
    })
}

/// Asks both and records; returns false where a part is missing that the peer cannot do without.
fn ask(
    ledger: &mut Ledger,
    class: &str,
    bytes: &[u8],
    heap: &Endorsements,
    anchors: &Anchors,
    at: UnixTime,
) -> bool {
    let Some(collateral) = collateral(bytes, heap, anchors, at) else {
        return false;
    };
    let outcome = ours(bytes, heap, anchors, at);
    let seconds = u64::try_from(at.0).unwrap_or_default();
    let root = anchors.intel().certificate().to_vec();
    let verifier: QuoteVerifier = QuoteVerifier::new(root);
    let verifier = verifier.allow_debug(true).allow_service_td(true);
    let theirs = verifier.verify(bytes, &collateral, seconds);
    let word = match (&outcome, &theirs) {
        (Ok(own), Ok(other)) => {
            let standing = &own.fact().standing;
            let mut advisories: Vec<&str> =
                standing.advisories.iter().map(String::as_str).collect();
            let mut named: Vec<&str> = other.advisory_ids.iter().map(String::as_str).collect();
            advisories.sort_unstable();
            advisories.dedup();
            named.sort_unstable();
            named.dedup();
            if standing.status.to_string() != other.status {
                format!("{} and not {}", other.status, standing.status)
            } else if advisories != named {
                "other advisories".to_owned()
            } else {
                ACCEPTED.to_owned()
            }
        }
        (_, Ok(_)) => ACCEPTED.to_owned(),
        (_, Err(error)) => {
            let text = format!("{error:#}");
            let letters = |letter: char| letter.is_ascii_digit();
            text.split(letters)
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        }
    };
    let own = outcome.as_ref().map_or_else(Error::check, |_| ACCEPTED);
    let documents = format!(
        "{}\n{}\nat {}\n",
        collateral.tcb_info, collateral.qe_identity, at
    );
    let files: [(&str, &[u8]); 2] = [
        ("quote.bin", bytes),
        ("documents.txt", documents.as_bytes()),
    ];
    ledger.record(class, QVL, own, &word, &files);
    true
}

/// The toy's root, in the place of Intel's.
///
/// # Panics
/// When the toy writes a bad trust file.
#[must_use]
pub fn toy_anchors() -> Anchors {
    Anchors::dangerous_sim(&ToyIntel::shared().trust_file()).expect("the toy's trust file")
}

fn heap(told: &ToyQuote) -> Endorsements {
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    heap
}

fn platforms() -> Vec<QuoteSpec> {
    let forms = QuoteForm::ALL.into_iter();
    forms
        .flat_map(|form| {
            PckCa::ALL.into_iter().map(move |ca| QuoteSpec {
                ca,
                ..QuoteSpec::new(form)
            })
        })
        .collect()
}

/// Every honest quote and every lie, in every form, under both CAs.
pub fn toys(ledger: &mut Ledger) {
    let anchors = toy_anchors();
    let lies = IntelLie::ALL
        .iter()
        .filter(|lie| lie.room() != Room::Appraise);
    for spec in platforms() {
        for lie in std::iter::once(None).chain(lies.clone().copied().map(Some)) {
            let told = ToyIntel::shared().tell(lie, &spec, NOW);
            if told.evidence_file == told.quote {
                let class = if lie.is_some() { "lie" } else { "toy-quote" };
                ask(ledger, class, &told.quote, &heap(&told), &anchors, told.at);
            }
        }
    }
}

/// Quotes of real machines for which the folder holds every part.
///
/// # Panics
/// When the folder is not one of captures.
pub fn captures(ledger: &mut Ledger, folder: &std::path::Path) {
    let anchors = Anchors::makers();
    let mut heap = Endorsements::new();
    for capture in corpus::of_classes(folder, &["intel-cert", "intel-collateral", "crl"]) {
        heap.add(&capture.name, &capture.bytes);
    }
    let mut without = 0;
    for capture in corpus::of_classes(folder, &["tdx-quote", "sgx-quote", "conformance-tdx"]) {
        let Ok(evidence) = Evidence::read(&capture.bytes) else {
            continue;
        };
        // What follows a quote is not its part; the peer takes it for a mistake.
        let mut quote = evidence.quote;
        if let Some(length) = whole(&quote) {
            quote.truncate(length);
        }
        if !ask(ledger, "capture-quote", &quote, &heap, &anchors, capture.at) {
            without += 1;
        }
    }
    println!("captured quotes without all parts for dcap-qvl: {without}");
}

/// Length of a quote by its own words.
#[must_use]
pub fn whole(quote: &[u8]) -> Option<usize> {
    let number = |at: usize, width: usize| {
        let bytes = quote.get(at..at + width)?;
        let sum = bytes
            .iter()
            .rev()
            .fold(0_usize, |sum, byte| sum * 256 + usize::from(*byte));
        Some(sum)
    };
    let signed = signed_bytes(quote)?;
    let end = signed + 4 + number(signed, 4)?;
    (end <= quote.len()).then_some(end)
}

/// Length of header and body.
fn signed_bytes(quote: &[u8]) -> Option<usize> {
    Some(match (quote.first()?, quote.get(4..8)?, quote.get(48)?) {
        (3, _, _) | (4, [0, ..], _) => 48 + 384,
        (4, _, _) => 48 + 584,
        (5, _, 1) => 54 + 384,
        (5, _, 2) => 54 + 584,
        (5, _, 3) => 54 + 648,
        _ => return None,
    })
}

/// Quotes with changed bytes in header and body, most of them signed again by the attestation key,
/// and documents with changed numbers and words, signed again by the toy's service.
pub fn mutants(ledger: &mut Ledger, seed: u64, numbers: std::ops::Range<u64>) {
    let anchors = toy_anchors();
    let toys: Vec<ToyQuote> = platforms()
        .iter()
        .map(|spec| ToyIntel::shared().tell(None, spec, NOW))
        .collect();
    for number in numbers {
        let mut random = Random::of(seed, number);
        let told = random.one_of(&toys);
        let mut quote = told.quote.clone();
        let mut heap = heap(told);
        let signed = signed_bytes(&quote).unwrap_or_default();
        if random.below(3) == 0 {
            for held in &mut heap.documents {
                changed(&mut random, &mut held.bytes);
            }
        } else {
            for _ in 0..=random.below(3) {
                let end = if random.below(4) == 0 {
                    quote.len()
                } else {
                    signed
                };
                let at = random.below(end);
                quote[at] = match random.below(3) {
                    0 => quote[at] ^ (1 << random.below(8)),
                    1 => quote[at].wrapping_add(1),
                    _ => random.byte(),
                };
            }
            if random.below(8) != 0 {
                ToyIntel::shared().resign(&mut quote, signed);
            }
        }
        ask(ledger, "quote-mutant", &quote, &heap, &anchors, NOW);
    }
}

/// One to three digits or status words of a document, changed; signed again.
fn changed(random: &mut Random, bytes: &mut Vec<u8>) {
    const WORDS: [&str; 7] = [
        "UpToDate",
        "OutOfDate",
        "Revoked",
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "OutOfDateConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
    ];
    for member in ["tcbInfo", "enclaveIdentity"] {
        let Some(document) = document(bytes, member) else {
            continue;
        };
        let mut text = document.text;
        for _ in 0..=random.below(3) {
            let digits: Vec<usize> = text
                .bytes()
                .enumerate()
                .filter(|(_, byte)| byte.is_ascii_digit())
                .map(|(at, _)| at)
                .collect();
            if random.below(2) == 0 {
                let at = *random.one_of(&digits);
                let digit = random.below(10).to_string();
                text.replace_range(at..=at, &digit);
            } else {
                let word = format!("\"{}\"", random.one_of(&WORDS));
                let places: Vec<usize> = text.match_indices(&word).map(|(at, _)| at).collect();
                if !places.is_empty() {
                    let at = *random.one_of(&places);
                    let other = format!("\"{}\"", random.one_of(&WORDS));
                    text.replace_range(at..at + word.len(), &other);
                }
            }
        }
        *bytes = ToyIntel::shared().sign_document(member, &text);
    }
}
