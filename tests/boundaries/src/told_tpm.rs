//! Structure-aware for TPMs: one part of an honest quote file is changed byte by byte, and the whole
//! file verified as a witness does it, with the AK enrolled by name.

use std::sync::OnceLock;

use zeuge_evidence::{
    UnixTime,
    tpm::{ClockInfo, HashAlgorithm, PcrSelection, PcrSet, QuoteBundle},
};
use zeuge_sim::{
    ToyTpm, ToyTpmQuote, TpmSpec,
    tpm::{AkKind, EkKind, Proof},
};
use zeuge_verify::{
    Anchors, Endorsements, Error,
    crypto::AWS_LC,
    tpm::{AkTrust, Context, Demand, EnrolledAk, Nonce, Selection, TpmRoots, verify},
};

use crate::{must, seeds};

/// The AKs of the machines.
const KEYS: [AkKind; 3] = [AkKind::Ecdsa, AkKind::Rsapss, AkKind::Rsassa];

struct Machines {
    anchors: Anchors,
    told: Vec<ToyTpmQuote>,
}

fn machines() -> &'static Machines {
    static MACHINES: OnceLock<Machines> = OnceLock::new();
    MACHINES.get_or_init(|| {
        let toy = ToyTpm::shared();
        let told = KEYS.into_iter().map(|key| {
            let mut spec = TpmSpec::new(EkKind::P256, key);
            spec.proof = Proof::Enrolment;
            toy.tell(None, &spec, UnixTime(seeds::NOW))
        });
        Machines {
            told: told.collect(),
            anchors: Anchors::dangerous_sim(&toy.trust_file()).expect("a good trust file"),
        }
    })
}

fn judge(bundle: &QuoteBundle, told: &ToyTpmQuote) -> Result<(), Error> {
    let mut endorsements = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        endorsements.add(name, bytes);
    }
    let roots = TpmRoots::of(&machines().anchors);
    let context = Context {
        endorsements: &endorsements,
        roots: &roots,
        at: told.at,
        crypto: &AWS_LC,
    };
    let (bank, pcrs) = told.asked;
    let asked = [PcrSelection {
        bank: HashAlgorithm(bank),
        pcrs: PcrSet(pcrs),
    }];
    let demand = Demand {
        nonce: Nonce::Exact(&told.nonce),
        selection: Selection::Exactly(&asked),
        previous: Some(ClockInfo {
            clock: told.previous.milliseconds,
            reset_count: told.previous.resets,
            restart_count: told.previous.restarts,
            safe: true,
        }),
        held: None,
        replayed: Demand::BOOT,
        ima_signers: &[],
        dangerous_sha1_bank: None,
    };
    let enrolled = [EnrolledAk::Name(told.ak_name())];
    let trust = AkTrust {
        activation: None,
        enrolled: &enrolled,
        dangerous_unproven: None,
    };
    verify(bundle, &demand, trust, context).map(|_| ())
}

/// `machine, part, (place in two bytes, value)*`.
pub(crate) fn quote(bytes: &[u8]) {
    let [machine, part, edits @ ..] = bytes else {
        return;
    };
    let told = &machines().told[usize::from(*machine) % KEYS.len()];
    let honest = QuoteBundle::read(&told.file)
        .expect("an honest file")
        .remove(0);
    let mut bundle = honest.clone();
    let changed = match part % 6 {
        0 => Some(&mut bundle.attest),
        1 => Some(&mut bundle.signature),
        2 => bundle.ak_public.as_mut(),
        3 => bundle.eventlog.as_mut(),
        4 => bundle.ima.as_mut(),
        _ => bundle.pcrs.first_mut().map(|pcr| &mut pcr.value),
    };
    if let Some(changed) = changed {
        let length = changed.len().max(1);
        for edit in edits.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % length;
            if let Some(byte) = changed.get_mut(at) {
                *byte = edit[2];
            }
        }
    }
    match judge(&bundle, told) {
        Ok(()) => {
            assert_eq!(bundle.attest, honest.attest, "quoted, yet changed");
            assert_eq!(bundle.signature, honest.signature);
            assert_eq!(bundle.ak_public, honest.ak_public);
            assert_eq!(bundle.pcrs, honest.pcrs);
        }
        Err(error) => {
            assert!(bundle != honest, "{error:?} of an honest file");
            must::name_a_check(error.check());
            must::be_short(&error.to_string());
        }
    }
}

/// Honest files by the name that a seed gets.
pub(crate) fn evidence() -> Vec<(String, Vec<u8>)> {
    let told = &machines().told[0];
    vec![
        ("tpm-bundle/toy".to_owned(), told.file.clone()),
        ("ek/toy".to_owned(), told.ek_certificate.clone()),
        ("tpm-public/toy-ek".to_owned(), told.ek_public.clone()),
        ("tpm-public/toy-ak".to_owned(), told.ak_public.clone()),
        ("tpm-told/honest".to_owned(), vec![0, 0]),
        ("tpm-told/log".to_owned(), vec![1, 3, 90, 0, 1]),
        ("tpm-told/signature".to_owned(), vec![2, 1, 9, 0, 1]),
    ]
}
