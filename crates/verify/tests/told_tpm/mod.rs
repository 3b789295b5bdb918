//! What the tests of TPM lies need: the toy's trust, its machines, and the way from a told file to
//! what is proven.

use zeuge_evidence::{
    UnixTime,
    eventlog::uefi,
    tpm::{ClockInfo, HashAlgorithm, PcrSelection, PcrSet, QuoteBundle},
};
use zeuge_sim::{
    ToyTpm, ToyTpmQuote, TpmSpec,
    tpm::{AkKind, EkKind, Proof},
};
use zeuge_verify::{
    Anchors, Endorsements, Error,
    crypto::AWS_LC,
    tpm::{
        AkTrust, Context, Demand, EnrolledAk, Nonce, Selection, TpmFacts, TpmRoots,
        credential::{self, Activation, Randomness},
        verify, verify_ek,
    },
};

/// The instant of all tellings.
pub(crate) const NOW: UnixTime = UnixTime(1_772_323_200);

/// The root of the process's toy maker.
pub(crate) fn trusted() -> Anchors {
    Anchors::dangerous_sim(&ToyTpm::shared().trust_file())
        .expect("the toy writes a good trust file")
}

/// Machines with every kind of keys, each at least once: opening a credential of an RSA key takes
/// long where nothing is optimised.
pub(crate) fn machines() -> impl Iterator<Item = TpmSpec> {
    [
        (EkKind::Rsa, AkKind::Rsassa),
        (EkKind::P256, AkKind::Rsapss),
        (EkKind::P256, AkKind::Ecdsa),
    ]
    .into_iter()
    .map(|(ek, ak)| TpmSpec::new(ek, ak))
}

fn random() -> Randomness {
    Randomness {
        secret: [0x51; 32],
        seed: [0x52; 64],
        oaep: [0x53; 64],
        ephemeral: [0x54; 66],
    }
}

/// Certificate, credential, answer: as at an enrolment.
fn activation(told: &ToyTpmQuote, context: Context<'_>) -> Result<Activation, Error> {
    let ek = verify_ek(&told.ek_certificate, context)?;
    let (made, pending) = credential::begin(&ek, &told.ek_public, &told.ak_public, &random())?;
    pending.redeem(&told.activate(&made.id_object, &made.encrypted_secret))
}

/// Verifies a told file at its instant.
pub(crate) fn judge(told: &ToyTpmQuote, anchors: &Anchors) -> Result<TpmFacts, Error> {
    let mut endorsements = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        endorsements.add(name, bytes);
    }
    let roots = TpmRoots::of(anchors);
    let context = Context {
        endorsements: &endorsements,
        roots: &roots,
        at: told.at,
        crypto: &AWS_LC,
    };
    let activation = match told.proof {
        Some(Proof::Activation) => Some(activation(told, context)?),
        _ => None,
    };
    let enrolled = match told.proof {
        Some(Proof::Enrolment) => vec![EnrolledAk::Name(told.ak_name())],
        _ => Vec::new(),
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
    let trust = AkTrust {
        activation: activation.as_ref(),
        enrolled: &enrolled,
        dangerous_unproven: None,
    };
    let bundle = QuoteBundle::read(&told.file)?.remove(0);
    let facts = verify(&bundle, &demand, trust, context)?.fact().clone();
    // Whoever wants to know which keys Secure Boot accepts reads the measured lists.
    for variable in facts.boot.iter().flat_map(|boot| &boot.variables) {
        if ["PK", "KEK", "db", "dbx"].contains(&variable.name.as_str()) {
            uefi::signature_lists(&variable.data, 0)?;
        }
    }
    Ok(facts)
}

/// The id of the check that caught a told file, if one did.
pub(crate) fn caught(told: &ToyTpmQuote, anchors: &Anchors) -> Result<(), &'static str> {
    judge(told, anchors)
        .map(|_| ())
        .map_err(|error| error.check())
}
