//! Logs against signed PCRs.
//!
//! Names the first register that differs and the record to look at. Registers that the demand
//! leaves out are compared too, but only reported. Never believes a log for a register that was
//! not quoted.

use std::collections::BTreeMap;

use zeuge_evidence::{
    eventlog::{self, EventKind, EventLog, Replay, facts::BootFacts},
    ima::{self, Entry, Filling, ImaReplay},
    tpm::{HashAlgorithm, PcrSet, QuoteBundle},
};

use super::{Broken, key::AttestationKey};
use crate::{Error, Trail, crypto::CryptoProvider};

type Values = BTreeMap<HashAlgorithm, BTreeMap<u32, Vec<u8>>>;

/// What a verified IMA list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImaFacts {
    /// The bank whose PCR 10 was signed.
    pub bank: HashAlgorithm,
    /// The entries that the signed value covers.
    pub attested: Vec<Entry>,
    /// Entries behind them, or of other registers, which nothing covers yet.
    pub unattested: usize,
    /// For each of them the signer, by its place among the keys that were asked for, whose
    /// signature on the file's digest holds.
    pub signers: Vec<Option<usize>>,
    /// How the kernel filled the bank; padded SHA-1 is only as strong as SHA-1.
    pub filling: Filling,
    /// Whether the first entry is the hash of the quoted PCRs 0 to 9 (or 0 to 7); `None` when
    /// they were not quoted or the entry has another form.
    pub boot_aggregate: Option<bool>,
}

impl ImaFacts {
    /// The same list with each file's signer, where it is one of `keys`.
    pub(super) fn with_signers(mut self, keys: &[AttestationKey], crypto: &CryptoProvider) -> Self {
        self.signers = self
            .attested
            .iter()
            .map(|entry| signer(entry, keys, crypto))
            .collect();
        self
    }
}

// spec: tpm.ima.signature
/// Who signed this file's digest. The list has the signature as the kernel stores it
/// (`security.ima`): type 3, version 2, hash, key id, length, signature over the file's digest.
fn signer(entry: &Entry, keys: &[AttestationKey], crypto: &CryptoProvider) -> Option<usize> {
    let [3, 2, hash, _, _, _, _, high, low, signature @ ..] = entry.signature.as_slice() else {
        return None;
    };
    let hash = match hash {
        4 => HashAlgorithm::SHA256,
        5 => HashAlgorithm::SHA384,
        6 => HashAlgorithm::SHA512,
        _ => return None,
    };
    let whole = usize::from(u16::from_be_bytes([*high, *low])) == signature.len();
    let same = HashAlgorithm::by_name(&entry.algorithm) == Some(hash);
    // A violation's digest is not the file's, and an fs-verity digest is signed in another form.
    if !whole || !same || entry.verity || entry.is_violation() {
        return None;
    }
    keys.iter()
        .position(|key| key.signed_digest(hash, &entry.digest, signature, crypto))
}

/// One record of a PCR that the log explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcrEvent {
    /// Index of the record in the log.
    pub index: usize,
    /// The PCR.
    pub pcr: u32,
    /// The type of the record.
    pub kind: EventKind,
    /// The digest in the bank of the facts.
    pub digest: Vec<u8>,
    /// What the log calls it; a label, not a fact.
    pub label: String,
}

/// What a boot log adds.
#[derive(Debug, Default)]
pub(super) struct Boot {
    pub(super) facts: Option<BootFacts>,
    pub(super) explained: PcrSet,
    pub(super) events: Vec<PcrEvent>,
}

fn explains(replay: &Replay, quoted: &BTreeMap<u32, Vec<u8>>) -> PcrSet {
    quoted
        .iter()
        .filter(|(index, value)| replay.value(**index).as_ref() == Some(value))
        .fold(PcrSet::NONE, |set, (index, _)| {
            PcrSet(set.0 | PcrSet::of(&[*index]).0)
        })
}

/// Replays the boot log in the strongest quoted bank that the log has.
pub(super) fn boot(
    bundle: &QuoteBundle,
    pcrs: &Values,
    wanted: PcrSet,
    trail: &mut Trail,
) -> Result<Boot, Error> {
    let Some(bytes) = &bundle.eventlog else {
        return Ok(Boot::default());
    };
    let log = EventLog::parse_tpm(bytes)?;
    // Numbers of the SHA family grow with their length; the last one is the strongest.
    let bank = pcrs
        .keys()
        .rev()
        .find(|bank| log.replay(**bank).is_some())
        .copied();
    let Some((bank, mut replay)) = bank.and_then(|bank| Some((bank, log.replay(bank)?))) else {
        let found = "no quoted bank is in the log".to_owned();
        return Err(Broken::EventLogReplay {
            pcr: 0,
            event: None,
            found,
            wanted: "a log of the quoted bank".to_owned(),
        }
        .into());
    };
    let quoted = pcrs.get(&bank).cloned().unwrap_or_default();
    let mut explained = explains(&replay, &quoted);
    if quoted.contains_key(&0)
        && !explained.contains(0)
        && log.may_start_at_locality_4()
        && let Some(other) = log.replay_at(bank, 4)
        && explains(&other, &quoted).contains(0)
    {
        explained = explains(&other, &quoted);
        replay = other;
    }
    trail.check("tpm.eventlog.replay", || {
        let differs = quoted
            .iter()
            .find(|(index, _)| wanted.contains(**index) && !explained.contains(**index));
        match differs {
            None => Ok(()),
            Some((pcr, value)) => {
                let found = replay.value(*pcr).map(hex::encode).unwrap_or_default();
                Err(Broken::EventLogReplay {
                    pcr: *pcr,
                    event: log.suspect(bank, *pcr, value),
                    found,
                    wanted: hex::encode(value),
                }
                .into())
            }
        }
    })?;
    Ok(Boot {
        facts: Some(BootFacts::of(&log, bank)),
        explained,
        events: events(&log, bank, explained),
    })
}

fn events(log: &EventLog<'_>, bank: HashAlgorithm, explained: PcrSet) -> Vec<PcrEvent> {
    let records = log.events.iter().enumerate();
    records
        .filter(|(_, event)| event.extends() && explained.contains(event.register))
        .filter_map(|(index, event)| {
            Some(PcrEvent {
                index,
                pcr: event.register,
                kind: event.kind,
                digest: event.digest(bank)?.to_vec(),
                label: eventlog::describe(event),
            })
        })
        .collect()
}

/// Replays the IMA list in the strongest quoted bank.
pub(super) fn ima(
    bundle: &QuoteBundle,
    pcrs: &Values,
    trail: &mut Trail,
) -> Result<Option<ImaFacts>, Error> {
    let Some(bytes) = &bundle.ima else {
        return Ok(None);
    };
    let mut entries = ima::parse_any(bytes)?.entries;
    let signed = pcrs
        .iter()
        .rev()
        .find_map(|(bank, values)| Some((*bank, values.get(&10)?.clone(), ImaReplay::new(*bank)?)));
    let mut found = None;
    trail.check("tpm.ima.replay", || {
        if let Some((_, value, replay)) = &signed {
            found = replay.clone().find(&entries, value);
        }
        if found.is_some() {
            return Ok(());
        }
        Err(Broken::ImaReplay {
            entries: entries.len(),
            wanted: match &signed {
                Some((_, value, _)) => hex::encode(value),
                None => "a quote of PCR 10".to_owned(),
            },
        }
        .into())
    })?;
    let (Some((taken, filling)), Some((bank, ..))) = (found, signed) else {
        return Ok(None);
    };
    let all = entries.len();
    entries.truncate(taken);
    // Entries that a policy sent to other registers are covered by nothing here.
    entries.retain(|entry| entry.pcr == 10);
    let unattested = all.saturating_sub(entries.len());
    Ok(Some(ImaFacts {
        bank,
        boot_aggregate: aggregate(entries.first(), pcrs),
        signers: vec![None; entries.len()],
        attested: entries,
        unattested,
        filling,
    }))
}

// spec: tpm.ima.aggregate
fn aggregate(first: Option<&Entry>, pcrs: &Values) -> Option<bool> {
    let first = first.filter(|entry| entry.name == "boot_aggregate")?;
    let bank = HashAlgorithm::by_name(&first.algorithm)?;
    let values = pcrs.get(&bank)?;
    let hash = |last: u32| {
        let parts: Option<Vec<&[u8]>> = (0..=last)
            .map(|index| values.get(&index).map(Vec::as_slice))
            .collect();
        bank.digest(&parts?)
    };
    let wide = hash(9)?;
    let narrow = hash(7)?;
    Some(wide == first.digest || narrow == first.digest)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    };

    use super::*;
    use crate::crypto::AWS_LC;

    const FILE: &[u8] = b"#!/bin/sh\nexec /usr/bin/web\n";

    /// `security.ima` of version 2 around a signature.
    fn attribute(hash: u8, signature: &[u8]) -> Vec<u8> {
        let length = u16::try_from(signature.len()).unwrap().to_be_bytes();
        [&[3, 2, hash, 1, 2, 3, 4][..], &length, signature].concat()
    }

    fn entry(signature: Vec<u8>) -> Entry {
        Entry {
            pcr: 10,
            template_digest: vec![1; 20],
            template: "ima-sig",
            algorithm: "sha256".into(),
            digest: HashAlgorithm::SHA256.digest(&[FILE]).unwrap(),
            name: "/usr/bin/start".to_owned(),
            verity: false,
            signature,
            buffer: Vec::new(),
            data: Vec::new(),
            offset: 0,
        }
    }

    /// SubjectPublicKeyInfo of a point on P-256.
    fn curve(pair: &EcdsaKeyPair) -> AttestationKey {
        let head = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let spki = [&hex::decode(head).unwrap()[..], pair.public_key().as_ref()].concat();
        AttestationKey::read(&spki).unwrap()
    }

    fn new_curve() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
    }

    // spec: tpm.ima.signature
    #[test]
    fn a_real_signature_over_a_file_names_its_signer_and_no_changed_one_does() {
        let (pair, stranger) = (new_curve(), new_curve());
        let keys = [curve(&stranger), curve(&pair)];
        let signed = pair.sign(&SystemRandom::new(), FILE).unwrap();
        let whole = attribute(4, signed.as_ref());
        assert_eq!(signer(&entry(whole.clone()), &keys, &AWS_LC), Some(1));
        assert_eq!(signer(&entry(whole.clone()), &keys[..1], &AWS_LC), None);
        // Another hash, another length, another file, another form, a file that changed meanwhile.
        assert_eq!(
            signer(&entry(attribute(5, signed.as_ref())), &keys, &AWS_LC),
            None
        );
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(signer(&entry(longer), &keys, &AWS_LC), None);
        let mut other = entry(whole);
        other.digest[0] ^= 1;
        assert_eq!(signer(&other, &keys, &AWS_LC), None);
        other.digest[0] ^= 1;
        other.verity = true;
        assert_eq!(signer(&other, &keys, &AWS_LC), None);
        other.verity = false;
        other.template_digest.fill(0);
        assert_eq!(signer(&other, &keys, &AWS_LC), None);
    }

    #[test]
    fn a_real_signature_of_an_rsa_key_counts_too() {
        use aws_lc_rs::encoding::AsDer as _;
        use aws_lc_rs::rsa::KeySize;
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let mut signed = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), FILE, &mut signed)
            .unwrap();
        let spki = pair.public_key().as_der().unwrap();
        let keys = [AttestationKey::read(spki.as_ref()).unwrap()];
        assert_eq!(
            signer(&entry(attribute(4, &signed)), &keys, &AWS_LC),
            Some(0)
        );
        signed[100] ^= 1;
        assert_eq!(signer(&entry(attribute(4, &signed)), &keys, &AWS_LC), None);
    }
}
