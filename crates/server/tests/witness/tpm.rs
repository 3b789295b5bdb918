//! The whole loop with a toy TPM, alone and beside a CPU: a TPM that the owner enrolled receives, and
//! everybody else does not, each by his own check id.

use zeuge_evidence::UnixTime;
use zeuge_log::hash::sha256;
use zeuge_protocol::api::AttestAnswer;
use zeuge_protocol::binding::{Binding, Role, Witness as BoundWitness};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::document::Kind;
use zeuge_sim::tpm::{AkKind, EkKind, Proof, digest_of};
use zeuge_sim::{Product, ReportSpec, ToyAmd, ToyTpm, ToyTpmQuote, TpmLie, TpmSpec};

use crate::common::{Attempt, Running, SECRET, World, evidence, name, rule};
use crate::whole_loop::{id, open, read, refused};

fn told(lie: Option<TpmLie>, nonce: &[u8], now: i64) -> ToyTpmQuote {
    tell(lie, nonce, now, false)
}

fn tell(lie: Option<TpmLie>, nonce: &[u8], now: i64, closed: bool) -> ToyTpmQuote {
    let spec = TpmSpec {
        closed,
        nonce: nonce.to_vec(),
        proof: Proof::Enrolment,
        ..TpmSpec::new(EkKind::P256, AkKind::Ecdsa)
    };
    ToyTpm::shared().tell(lie, &spec, UnixTime(now))
}

/// The owner's registry: the toy TPM's key, or nobody's, and the toy chip.
fn registry(world: &World, tpm: bool) -> String {
    let quote = told(None, b"a question", world.now());
    let report = ToyAmd::shared().tell(
        None,
        &ReportSpec::new(Product::Milan),
        UnixTime(world.now()),
    );
    let chip = zeuge_evidence::snp::Report::parse(&report.report).unwrap();
    let leaf = report.endorsements.iter().find_map(|(_, bytes)| {
        let read = zeuge_evidence::x509::Certificate::parse(bytes).ok()?;
        (read.subject.common_name() == Some("SEV-VCEK")).then(|| sha256(&[read.public_key.key]))
    });
    let mut out = format!(
        "schema = \"zeuge.hardware.v1\"\n[[chip]]\nname = \"rack-7\"\nchip_id = \"{}\"\n\
         keys = [{{ tcb = \"{}\", public_key = \"{}\" }}]\n",
        hex::encode(chip.claims.chip_id),
        hex::encode(chip.claims.reported_tcb.0),
        hex::encode(leaf.unwrap()),
    );
    if tpm {
        out += &format!(
            "[[tpm]]\nname = \"rack-7\"\nak_name = \"{}\"\n",
            hex::encode(quote.ak_name())
        );
    }
    out
}

/// The owner gives `db/key` to machines with these kinds of evidence, under these further lines of
/// the rule.
fn furnish(world: &World, running: &Running, kinds: &str, more: &str, tpm: bool) {
    let images = ["shim", "grub", "kernel"].map(|it| format!("\"{}\"", hex::encode(digest_of(it))));
    let values = format!(
        "schema = \"zeuge.reference-values.v1\"\n[[snp]]\nname = \"web\"\nmeasurements = [\"{}\"]\n\
         [[tpm]]\nname = \"web\"\nimages = [{}]\n",
        "22".repeat(48),
        images.join(", ")
    );
    let rule = rule("sim", "db/key")
        .replace("\"snp\"", kinds)
        .replace("dangerous_any_chip", "enrolled");
    let policy = "schema = \"zeuge.policy.v1\"\n[tpm]\npcrs = [\"sha256:4,15\"]\n".to_owned();
    for (kind, at, text) in [
        (Kind::ReferenceValues, "reference-values", values),
        (
            Kind::HardwareRegistry,
            "hardware-registry",
            registry(world, tpm),
        ),
        (Kind::Policy, "policy", policy),
        (Kind::ReleaseRule, "db/key", format!("{rule}{more}")),
    ] {
        let document = world.document(kind, "sim", at, 1, &text);
        let body = serde_json::to_vec(&document).unwrap();
        let at = format!("/v1/documents/{}", kind.as_str());
        running.admin("PUT", &at, &world.admin, &body).unwrap();
    }
    world
        .put_secret(running, "sim", "db/key", 1, &world.owner)
        .unwrap();
}

/// What a machine shows.
#[derive(Clone, Copy, Default)]
struct Shown {
    lie: Option<&'static str>,
    /// Beside the TPM, a CPU.
    cpu: bool,
    /// Without the TPM.
    no_tpm: bool,
    /// The TPM of another conversation.
    swapped: bool,
    /// The binding does not name the TPM's key.
    unnamed: bool,
    /// Its boot is over.
    closed: bool,
}

/// An attempt whose binding names the toy's key.
fn attempt(world: &World, running: &Running, named: bool) -> Attempt {
    let mut attempt = Attempt::honest(running, "sim", &["db/key"]);
    let witness = BoundWitness {
        id: attempt.challenge.witness.clone(),
        tenant: attempt.challenge.tenant.clone(),
        nonce: attempt.challenge.nonce,
    };
    let names = if named {
        vec![told(None, b"a question", world.now()).ak_name()]
    } else {
        Vec::new()
    };
    attempt.binding = Binding::new(
        vec![witness],
        [(Role::Kem, attempt.key.bound())].into(),
        attempt.request.digest(),
        names,
        None,
    )
    .unwrap();
    attempt
}

fn ask(world: &World, running: &Running, shown: Shown) -> Result<(Attempt, AttestAnswer), String> {
    let attempt = attempt(world, running, !shown.unnamed && !shown.no_tpm);
    let mut bundle = if shown.cpu {
        evidence(attempt.binding.report_data(), world.now())
    } else {
        Bundle::new()
    };
    if !shown.no_tpm {
        let nonce = match shown.swapped {
            true => [7; 32],
            false => attempt.binding.qualifying_data(),
        };
        let lie = shown.lie.map(|id| TpmLie::about(id).unwrap());
        let file = tell(lie, &nonce, world.now(), shown.closed).file;
        bundle.put(name("tpm"), Media::TpmQuote, file).unwrap();
    }
    match running.attest(&attempt.body(&bundle)) {
        Ok(answer) => {
            let answer = read(world, &attempt, &answer);
            Ok((attempt, answer))
        }
        refusal => Err(id(refusal)),
    }
}

fn receives(world: &World, running: &Running, shown: Shown) {
    let (attempt, answer) = ask(world, running, shown).unwrap();
    let secret = answer.secrets.first();
    let secret = secret.unwrap_or_else(|| panic!("{:?}", answer.refused));
    assert_eq!(open(world, &attempt, secret), SECRET);
}

fn not_granted(world: &World, running: &Running, shown: Shown) -> String {
    let (_, answer) = ask(world, running, shown).unwrap();
    assert!(answer.secrets.is_empty());
    let refused = refused(&answer);
    let (_, check) = refused.first().unwrap();
    (*check).to_owned()
}

#[test]
fn an_enrolled_tpm_receives_and_no_liar_does() {
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "\"tpm\"", "", true);
    receives(&world, &running, Shown::default());
    for lie in ["policy.boot-image", "policy.pcr-selection"] {
        let shown = Shown {
            lie: Some(lie),
            ..Shown::default()
        };
        assert_eq!(not_granted(&world, &running, shown), lie);
    }
    for lie in [
        "tpm.ak.trust",
        "tpm.quote.signature",
        "tpm.quote.magic",
        "tpm.quote.type",
        "tpm.quote.nonce",
        "tpm.quote.pcr-digest",
        "tpm.eventlog.replay",
        "tpm.ima.replay",
    ] {
        let shown = Shown {
            lie: Some(lie),
            ..Shown::default()
        };
        let outcome = ask(&world, &running, shown).map(drop).unwrap_err();
        let wanted = match lie {
            // The stranger's key is not the one that the binding names.
            "tpm.ak.trust" => "binding.attestation-keys",
            lie => lie,
        };
        assert_eq!(outcome, wanted);
    }
    let unnamed = Shown {
        unnamed: true,
        ..Shown::default()
    };
    let outcome = ask(&world, &running, unnamed).map(drop).unwrap_err();
    assert_eq!(outcome, "binding.attestation-keys");
}

#[test]
fn a_tpm_that_was_set_back_is_seen_even_by_a_witness_that_was_restarted() {
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "\"tpm\"", "", true);
    let told = |lie| Shown {
        lie: Some(lie),
        ..Shown::default()
    };
    receives(&world, &running, Shown::default());
    drop(running);
    let running = world.start();
    // A snapshot of the machine with its TPM: everything is fresh and signed, only the past is.
    let outcome = ask(&world, &running, told("tpm.quote.clock"));
    assert_eq!(outcome.map(drop).unwrap_err(), "tpm.quote.clock");
    // A reboot is no crime. What was before it, is.
    receives(&world, &running, told("tpm.quote.reset"));
    let outcome = ask(&world, &running, Shown::default());
    assert_eq!(outcome.map(drop).unwrap_err(), "tpm.quote.clock");
    receives(&world, &running, told("tpm.quote.reset"));
}

#[test]
fn a_tpm_that_nobody_enrolled_is_not_even_judged() {
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "\"tpm\"", "", false);
    let outcome = ask(&world, &running, Shown::default());
    assert_eq!(outcome.map(drop).unwrap_err(), "tpm.ak.proof");
}

#[test]
fn a_rule_for_cpu_and_tpm_wants_both_of_one_conversation() {
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "\"snp\", \"tpm\"", "", true);
    let both = Shown {
        cpu: true,
        ..Shown::default()
    };
    receives(&world, &running, both);
    let cpu = Shown {
        no_tpm: true,
        ..both
    };
    for alone in [cpu, Shown::default()] {
        assert_eq!(not_granted(&world, &running, alone), "release.evidence");
    }
    let swapped = Shown {
        swapped: true,
        ..both
    };
    let outcome = ask(&world, &running, swapped).map(drop).unwrap_err();
    assert_eq!(outcome, "tpm.quote.nonce");
    // The TPM's own lies count beside a good CPU, too.
    let changed = Shown {
        lie: Some("policy.boot-image"),
        ..both
    };
    assert_eq!(not_granted(&world, &running, changed), "policy.boot-image");
}

#[test]
fn after_the_mark_nothing_for_the_boot_is_given() {
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "\"tpm\"", "before_closed = true\n", true);
    receives(&world, &running, Shown::default());
    let closed = Shown {
        closed: true,
        ..Shown::default()
    };
    assert_eq!(not_granted(&world, &running, closed), "release.closed");
}
