//! The last door, with true admissions of a toy machine and true receipts of a small log: what it
//! lets through, and every way in which it does not.

use crate::common::{evidence, name, path, rule};
use zeuge_appraise::admission::ADMISSION_SECS_MAX;
use zeuge_appraise::{
    Admission, Grant, Policy, ReferenceValues, ReleaseRule, Suite, Wanted, admit,
};
use zeuge_evidence::UnixTime;
use zeuge_evidence::snp::{CertificateTable, Report};
use zeuge_log::checkpoint::SignedCheckpoint;
use zeuge_log::hash::leaf_hash;
use zeuge_log::note::Signer;
use zeuge_log::receipt::Receipt;
use zeuge_log::tree::{MemoryTiles, grow};
use zeuge_protocol::binding::{Binding, Role, Witness};
use zeuge_protocol::bundle::Media;
use zeuge_protocol::keys::KeyId;
use zeuge_protocol::manifest::encrypt_secret;
use zeuge_protocol::seal::SessionKey;
use zeuge_protocol::suite::Suite as Hpke;
use zeuge_server::keys;
use zeuge_server::release::{Present, Salts, Secret, leaf, release};
use zeuge_sim::{Product, ToyAmd};
use zeuge_verify::crypto::AWS_LC;
use zeuge_verify::{Anchors, Endorsements, snp};

const NOW: i64 = 1_790_000_000;
const EPOCH: u64 = 7;

fn binding(seed: u8) -> Binding {
    let key = SessionKey::from_seed(Hpke::X_WING, [seed; 32]).unwrap();
    let witness = Witness {
        id: name("w1"),
        tenant: name("sim"),
        nonce: [3; 32],
    };
    let keys = [(Role::Kem, key.bound())].into();
    Binding::new(vec![witness], keys, [4; 32], vec![], None).unwrap()
}

/// An admission of the toy for `db/key` in this version and for this session's key.
fn admission(binding: &Binding, version: u64) -> Admission {
    let bundle = evidence(binding.report_data(), NOW);
    let report = Report::parse(bundle.only(Media::SnpReport).unwrap()).unwrap();
    let mut heap = Endorsements::new();
    let table = bundle.only(Media::SnpCertificates).unwrap();
    for entry in CertificateTable::parse(table).unwrap().entries {
        heap.add("evidence", entry.data);
    }
    let anchors = Anchors::dangerous_sim(&ToyAmd::shared().trust_file(&Product::ALL)).unwrap();
    let bound = zeuge_verify::Binding::ReportData(binding.report_data());
    let verified = snp(&report, &heap, &anchors, &bound, UnixTime(NOW), &AWS_LC).unwrap();
    let values = format!(
        "schema = \"zeuge.reference-values.v1\"\n[[snp]]\nname = \"web\"\nmeasurements = [\"{}\"]",
        "22".repeat(48)
    );
    let (policy, values) = (Policy::default(), ReferenceValues::parse(&values).unwrap());
    let wanted = Wanted {
        policy: &policy,
        reference_values: &values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at: UnixTime(NOW),
    };
    let (_, key) = binding.recipient().unwrap();
    let grant = Grant {
        tenant: "sim".to_owned(),
        path: "db/key".to_owned(),
        version,
        recipient: *KeyId::of(key).as_bytes(),
        challenge: [5; 32],
        epoch: EPOCH,
        expires: UnixTime(NOW + ADMISSION_SECS_MAX),
    };
    let rule = ReleaseRule::parse(&rule("sim", "db/key")).unwrap();
    let admitted = admit(&verified, &rule, &wanted, "agent", Suite::XWing, grant);
    admitted.admission.unwrap()
}

fn secret(binding: &Binding, version: u64) -> Secret {
    let made = encrypt_secret(
        &name("sim"),
        &path("db/key"),
        version,
        &name("w1"),
        crate::common::SECRET,
        &mut keys::random,
    )
    .unwrap();
    Secret {
        manifest: made.manifest.document(NOW, NOW + 60),
        payload: made.ciphertext,
        share: made.share,
        binding: binding.clone(),
        salts: Salts {
            time: 1_790_000_000,
            machine: "toy".to_owned(),
            salts: [[1; 32], [2; 32], [3; 32], [4; 32]],
        },
    }
}

/// The receipt of an entry in a log that holds it and another one.
fn receipt(entry: &[u8]) -> Receipt {
    let mut tiles = MemoryTiles::default();
    let growth = grow(&tiles, 0, &[leaf_hash(b"another"), leaf_hash(entry)]).unwrap();
    for (id, bytes) in growth.tiles {
        tiles.put(id, bytes);
    }
    let signer = Signer::log("w1", &[6; 32]).unwrap();
    let signed = SignedCheckpoint::sign(&signer, growth.size, growth.root).unwrap();
    Receipt::mint(&signed, &tiles, 1, entry).unwrap()
}

fn entry(admission: &Admission, secret: &Secret) -> Vec<u8> {
    let (leaf, _) = leaf(admission.grant(), &secret.manifest, &secret.salts).unwrap();
    leaf.encode().unwrap()
}

fn present(at: i64, epoch: u64) -> Present {
    Present {
        at: UnixTime(at),
        epoch,
    }
}

#[test]
fn what_was_admitted_and_logged_is_released_until_its_last_second() {
    let binding = binding(1);
    for at in [NOW, NOW + ADMISSION_SECS_MAX] {
        let (admission, secret) = (admission(&binding, 1), secret(&binding, 1));
        let entry = entry(&admission, &secret);
        let sealed = release(admission, receipt(&entry), secret, present(at, EPOCH)).unwrap();
        assert_eq!(sealed.leaf, leaf_hash(&entry));
    }
}

#[test]
fn a_late_admission_or_one_of_another_epoch_is_refused() {
    let binding = binding(1);
    for (present, check) in [
        (
            present(NOW + ADMISSION_SECS_MAX + 1, EPOCH),
            "release.expired",
        ),
        (present(NOW, EPOCH + 1), "release.epoch"),
    ] {
        let (admission, secret) = (admission(&binding, 1), secret(&binding, 1));
        let receipt = receipt(&entry(&admission, &secret));
        let refusal = release(admission, receipt, secret, present).unwrap_err();
        assert_eq!(refusal.check, check);
    }
}

#[test]
fn the_receipt_of_another_leaf_opens_nothing() {
    let binding = binding(1);
    let other = (admission(&binding, 2), secret(&binding, 2));
    let foreign = entry(&other.0, &other.1);
    for foreign in [foreign.as_slice(), b"anything"] {
        let (admission, secret) = (admission(&binding, 1), secret(&binding, 1));
        let refusal = release(admission, receipt(foreign), secret, present(NOW, EPOCH));
        assert_eq!(refusal.unwrap_err().check, "release.receipt");
    }
}

#[test]
fn an_admission_opens_no_other_secret_and_serves_no_other_machine() {
    let own = binding(1);
    // The manifest of another version is another leaf already; so the leaf is made to fit.
    let (first, other_version) = (admission(&own, 1), secret(&own, 2));
    let log = receipt(&entry(&first, &other_version));
    let refusal = release(first, log, other_version, present(NOW, EPOCH)).unwrap_err();
    assert_eq!(refusal.check, "release.receipt");
    let (second, other_machine) = (admission(&own, 1), secret(&binding(2), 1));
    let log = receipt(&entry(&second, &other_machine));
    let refusal = release(second, log, other_machine, present(NOW, EPOCH)).unwrap_err();
    assert_eq!(refusal.check, "release.receipt");
}
