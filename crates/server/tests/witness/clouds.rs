//! The whole loop with toys of what clouds put in front of the chip: a machine behind a paravisor and
//! a Nitro enclave receive what their rules name, and every liar is refused by his own check id.

use zeuge_evidence::UnixTime;
use zeuge_protocol::api::AttestAnswer;
use zeuge_protocol::binding::{Binding, Role, Witness as BoundWitness};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::document::Kind;
use zeuge_sim::azure::{MACHINE, PARAVISOR};
use zeuge_sim::nitro::{TOY_IMAGE, TOY_INSTANCE};
use zeuge_sim::{
    AzureCpu, AzureLie, AzureSpec, NitroLie, NitroSpec, Product, ToyAzure, ToyAzureEvidence,
    ToyNitro,
};

use crate::common::{Attempt, Running, SECRET, World, name, rule};
use crate::whole_loop::{id, open, read, refused};

/// The owner knows paravisor, guest and enclave, and gives `db/key` to one kind of machine.
fn furnish(world: &World, running: &Running, kind: &str, workload: &str, profile: &str) {
    let paravisor = hex::encode(PARAVISOR);
    let values = format!(
        "schema = \"zeuge.reference-values.v1\"\n\
         [[snp]]\nname = \"paravisor\"\nmeasurements = [\"{paravisor}\"]\n\
         binding_profile = \"{profile}\"\n\
         [[tdx]]\nname = \"paravisor\"\nmr_td = [\"{paravisor}\"]\nbinding_profile = \"{profile}\"\n\
         [[tpm]]\nname = \"web\"\npcrs = {{ sha256 = {{ \"4\" = [\"{}\"], \"15\" = [\"{}\"] }} }}\n\
         [[nitro]]\nname = \"enclave\"\nsource = \"enclave\"\npcrs = {{ \"0\" = [\"{image}\"] }}\n\
         [[nitro]]\nname = \"instance\"\nsource = \"tpm\"\npcrs = {{ \"4\" = [\"{image}\"] }}\n",
        "04".repeat(32),
        "0f".repeat(32),
        image = hex::encode([TOY_IMAGE; 48]),
    );
    let policy = format!(
        "schema = \"zeuge.policy.v1\"\n[azure]\nrequire_secure_boot = true\nforbid_console = true\n\
         machines = [\"{MACHINE}\"]\n[nitro]\nage_seconds_max = 300\ninstances = [\"{TOY_INSTANCE}\"]\n"
    );
    let rule = rule("sim", "db/key")
        .replace("\"snp\"", &format!("\"{kind}\""))
        .replace("\"web\"", &format!("\"{workload}\""));
    let more = match (kind, workload) {
        ("azure", "web") => "before_closed = true\n",
        _ => "",
    };
    for (kind, at, text) in [
        (Kind::ReferenceValues, "reference-values", values),
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

/// An attempt whose binding names these attestation keys.
fn attempt(running: &Running, names: Vec<Vec<u8>>) -> Attempt {
    let mut attempt = Attempt::honest(running, "sim", &["db/key"]);
    let witness = BoundWitness {
        id: attempt.challenge.witness.clone(),
        tenant: attempt.challenge.tenant.clone(),
        nonce: attempt.challenge.nonce,
    };
    let keys = [(Role::Kem, attempt.key.bound())].into();
    let request = attempt.request.digest();
    attempt.binding = Binding::new(vec![witness], keys, request, names, None).unwrap();
    attempt
}

fn put(bundle: &mut Bundle, label: &str, media: Media, bytes: Vec<u8>) {
    bundle.put(name(label), media, bytes).unwrap();
}

/// What is shown of a machine behind a paravisor.
type Show = fn(&ToyAzureEvidence, &mut Bundle);

/// The bundle as our agent sends it.
fn whole(told: &ToyAzureEvidence, bundle: &mut Bundle) {
    put(bundle, "hcl", Media::AzureHcl, told.hcl.clone());
    put(bundle, "tpm", Media::TpmQuote, told.own_quote());
    if let Some(quote) = &told.td_quote {
        put(bundle, "tdx", Media::TdxQuote, quote.clone());
    }
    // The kind of the hardware report.
    let (label, media) = match told.hcl[1224] {
        4 => ("tdx.collateral", Media::IntelCollateral),
        _ => ("snp.certificates", Media::SnpCertificates),
    };
    put(bundle, label, media, told.beside.clone());
}

fn ask_azure(
    world: &World,
    running: &Running,
    (cpu, lie): (AzureCpu, Option<AzureLie>),
    show: Show,
) -> Result<(Attempt, AttestAnswer), String> {
    let attempt = attempt(running, vec![ToyAzure::shared().ak_name()]);
    let spec = AzureSpec {
        nonce: attempt.binding.qualifying_data().to_vec(),
        user_data: Some(attempt.binding.report_data()),
        ..AzureSpec::new(cpu)
    };
    let told = ToyAzure::shared().tell(lie, &spec, UnixTime(world.now()));
    let mut bundle = Bundle::new();
    show(&told, &mut bundle);
    answered(world, running, attempt, &bundle)
}

fn answered(
    world: &World,
    running: &Running,
    attempt: Attempt,
    bundle: &Bundle,
) -> Result<(Attempt, AttestAnswer), String> {
    match running.attest(&attempt.body(bundle)) {
        Ok(answer) => {
            let answer = read(world, &attempt, &answer);
            Ok((attempt, answer))
        }
        refusal => Err(id(refusal)),
    }
}

fn receives(world: &World, (attempt, answer): &(Attempt, AttestAnswer)) {
    let secret = answer.secrets.first();
    let secret = secret.unwrap_or_else(|| panic!("{:?}", answer.refused));
    assert_eq!(open(world, attempt, secret), SECRET);
}

const CPUS: [AzureCpu; 2] = [AzureCpu::Snp(Product::Genoa), AzureCpu::Tdx];

#[test]
fn a_known_guest_behind_a_known_paravisor_receives_and_no_liar_does() {
    for cpu in CPUS {
        let world = World::new();
        let running = world.start();
        furnish(&world, &running, "azure", "web", "hcl");
        let outcome = ask_azure(&world, &running, (cpu, None), whole).unwrap();
        receives(&world, &outcome);
        for lie in [AzureLie::Console, AzureLie::Machine, AzureLie::SecureBoot] {
            let (_, answer) = ask_azure(&world, &running, (cpu, Some(lie)), whole).unwrap();
            assert_eq!(refused(&answer), [("db/key", lie.check())], "{cpu:?}");
            assert!(answer.secrets.is_empty());
        }
        for lie in [
            AzureLie::AkClaimed,
            AzureLie::AkSigner,
            AzureLie::ClaimsHash,
            AzureLie::ReportMachine,
            AzureLie::UserData,
            AzureLie::Hcl,
            AzureLie::Claims,
        ] {
            let outcome = ask_azure(&world, &running, (cpu, Some(lie)), whole);
            let wanted = match lie {
                // The key beside the quote is not the one that the binding names.
                AzureLie::AkClaimed => "binding.attestation-keys",
                lie => lie.check(),
            };
            assert_eq!(outcome.map(drop).unwrap_err(), wanted, "{cpu:?}");
        }
    }
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "azure", "web", "hcl");
    for lie in [AzureLie::TdQuoteReport, AzureLie::TdQuoteAvailable] {
        let outcome = ask_azure(&world, &running, (AzureCpu::Tdx, Some(lie)), whole);
        assert_eq!(outcome.map(drop).unwrap_err(), lie.check());
    }
}

#[test]
fn the_answer_to_another_question_is_refused_wherever_it_stands() {
    for cpu in CPUS {
        let world = World::new();
        let running = world.start();
        furnish(&world, &running, "azure", "web", "hcl");
        let attempt = || attempt(&running, vec![ToyAzure::shared().ak_name()]);
        for (stale_quote, wanted) in [(true, "tpm.quote.nonce"), (false, "azure.user-data")] {
            let (earlier, attempt) = (attempt(), attempt());
            let [quoted, reported] = match stale_quote {
                true => [&earlier, &attempt],
                false => [&attempt, &earlier],
            };
            let spec = AzureSpec {
                nonce: quoted.binding.qualifying_data().to_vec(),
                user_data: Some(reported.binding.report_data()),
                ..AzureSpec::new(cpu)
            };
            let told = ToyAzure::shared().tell(None, &spec, UnixTime(world.now()));
            let mut bundle = Bundle::new();
            whole(&told, &mut bundle);
            let outcome = answered(&world, &running, attempt, &bundle);
            assert_eq!(outcome.map(drop).unwrap_err(), wanted, "{cpu:?}");
        }
    }
}

/// An honest machine whose virtual TPM shows these milliseconds, resets and restarts.
fn ask_at(
    world: &World,
    running: &Running,
    clock: (u64, u32, u32),
) -> Result<(Attempt, AttestAnswer), String> {
    let attempt = attempt(running, vec![ToyAzure::shared().ak_name()]);
    let spec = AzureSpec {
        nonce: attempt.binding.qualifying_data().to_vec(),
        user_data: Some(attempt.binding.report_data()),
        clock,
        ..AzureSpec::new(AzureCpu::Snp(Product::Milan))
    };
    let told = ToyAzure::shared().tell(None, &spec, UnixTime(world.now()));
    let mut bundle = Bundle::new();
    whole(&told, &mut bundle);
    answered(world, running, attempt, &bundle)
}

#[test]
fn a_machine_that_was_set_back_with_its_virtual_tpm_is_refused_until_its_owner_says_otherwise() {
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "azure", "web", "hcl");
    let ask = |running: &Running, clock| ask_at(&world, running, clock);
    receives(&world, &ask(&running, (5_000, 7, 0)).unwrap());
    // Rebooted: the clock may begin anew.
    receives(&world, &ask(&running, (10, 8, 0)).unwrap());
    let set_back = [(9, 8, 0), (6_000, 7, 2)];
    for clock in set_back {
        let refused = ask(&running, clock).map(drop).unwrap_err();
        assert_eq!(refused, "tpm.quote.clock", "{clock:?}");
    }
    // It is known after a restart of the witness too.
    drop(running);
    let running = world.start();
    let refused = ask(&running, set_back[0]).map(drop).unwrap_err();
    assert_eq!(refused, "tpm.quote.clock");
    // A virtual TPM that its owner cleared counts from zero, and counts as new once he says so.
    let policy = format!(
        "schema = \"zeuge.policy.v1\"\n[azure.cleared]\n\"{}\" = \"2026-11-27\"\n",
        MACHINE.to_lowercase()
    );
    let document = world.document(Kind::Policy, "sim", "policy", 2, &policy);
    let body = serde_json::to_vec(&document).unwrap();
    let at = format!("/v1/documents/{}", Kind::Policy.as_str());
    running.admin("PUT", &at, &world.admin, &body).unwrap();
    receives(&world, &ask(&running, set_back[0]).unwrap());
    let refused = ask(&running, (8, 8, 0)).map(drop).unwrap_err();
    assert_eq!(refused, "tpm.quote.clock");
}

#[test]
fn a_paravisor_is_never_the_workload_nor_a_direct_guest() {
    let cpu = AzureCpu::Snp(Product::Genoa);
    for (kind, workload, profile, wanted) in [
        // Known firmware is no identity.
        ("azure", "paravisor", "hcl", "release.workload"),
        // A rule for a direct guest, and a value of one.
        ("snp", "paravisor", "direct", "policy.measurement"),
        ("azure", "web", "direct", "policy.measurement"),
        ("snp", "paravisor", "hcl", "release.evidence"),
        ("tpm", "web", "hcl", "release.evidence"),
    ] {
        let world = World::new();
        let running = world.start();
        furnish(&world, &running, kind, workload, profile);
        let (_, answer) = ask_azure(&world, &running, (cpu, None), whole).unwrap();
        assert!(answer.secrets.is_empty());
        assert_eq!(refused(&answer), [("db/key", wanted)], "{kind} {workload}");
        // The paravisor's report, shown as if the guest had asked the chip itself.
        let outcome = ask_azure(&world, &running, (cpu, None), |told, bundle| {
            let report = told.hcl[32..32 + 1184].to_vec();
            put(bundle, "snp", Media::SnpReport, report);
            let table = told.beside.clone();
            put(bundle, "snp.certificates", Media::SnpCertificates, table);
        });
        let wanted = "binding.attestation-keys";
        assert_eq!(outcome.map(drop).unwrap_err(), wanted);
    }
    // The same by somebody whose binding names no key.
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "snp", "paravisor", "direct");
    let attempt = attempt(&running, vec![]);
    let told = ToyAzure::shared().tell(None, &AzureSpec::new(cpu), UnixTime(world.now()));
    let mut bundle = Bundle::new();
    put(
        &mut bundle,
        "snp",
        Media::SnpReport,
        told.hcl[32..32 + 1184].to_vec(),
    );
    let label = "snp.certificates";
    put(
        &mut bundle,
        label,
        Media::SnpCertificates,
        told.beside.clone(),
    );
    let outcome = answered(&world, &running, attempt, &bundle);
    assert_eq!(outcome.map(drop).unwrap_err(), "binding.report-data");
}

#[test]
fn parts_that_nobody_would_look_at_or_that_are_missing_are_refused() {
    let cpu = AzureCpu::Snp(Product::Genoa);
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "azure", "web", "hcl");
    let refused = |show: Show| ask_azure(&world, &running, (cpu, None), show).map(drop);
    let alone = refused(|told, bundle| {
        put(bundle, "hcl", Media::AzureHcl, told.hcl.clone());
    });
    assert_eq!(alone.unwrap_err(), "binding.attestation-keys");
    let twice = refused(|told, bundle| {
        whole(told, bundle);
        put(bundle, "hcl.other", Media::AzureHcl, told.hcl.clone());
    });
    assert_eq!(twice.unwrap_err(), "azure.evidence");
    let unread = refused(|told, bundle| {
        whole(told, bundle);
        put(bundle, "other", Media::NitroDocument, vec![1]);
    });
    assert_eq!(unread.unwrap_err(), "azure.evidence");
}

fn ask_nitro(
    world: &World,
    running: &Running,
    (spec, lie): (&NitroSpec, Option<NitroLie>),
    more: bool,
) -> Result<(Attempt, AttestAnswer), String> {
    let attempt = attempt(running, vec![]);
    let spec = NitroSpec {
        nonce: attempt.binding.report_data().to_vec(),
        ..spec.clone()
    };
    let told = ToyNitro::shared().tell(lie, &spec, UnixTime(world.now()));
    let mut bundle = Bundle::new();
    put(&mut bundle, "nitro", Media::NitroDocument, told.file);
    if more {
        put(&mut bundle, "snp", Media::SnpReport, vec![0; 1184]);
    }
    answered(world, running, attempt, &bundle)
}

#[test]
fn a_known_enclave_and_a_known_instance_receive_and_no_liar_does() {
    for (tpm, workload) in [(false, "enclave"), (true, "instance")] {
        let (world, spec) = (World::new(), NitroSpec::new(tpm));
        let running = world.start();
        furnish(&world, &running, "nitro", workload, "hcl");
        let outcome = ask_nitro(&world, &running, (&spec, None), false).unwrap();
        receives(&world, &outcome);
        for lie in [NitroLie::Age, NitroLie::Instance] {
            let (_, answer) = ask_nitro(&world, &running, (&spec, Some(lie)), false).unwrap();
            assert_eq!(refused(&answer), [("db/key", lie.check())]);
        }
        for lie in [
            NitroLie::Cose,
            NitroLie::Document,
            NitroLie::Nonce,
            NitroLie::RootPinned,
            NitroLie::ChainSignature,
            NitroLie::ChainValidity,
            NitroLie::Signature,
            NitroLie::Timestamp,
        ] {
            let outcome = ask_nitro(&world, &running, (&spec, Some(lie)), false);
            assert_eq!(outcome.map(drop).unwrap_err(), lie.check());
        }
        let beside = ask_nitro(&world, &running, (&spec, None), true);
        assert_eq!(beside.map(drop).unwrap_err(), "bundle.evidence");
    }
}

#[test]
fn an_enclave_in_debug_mode_or_of_another_kind_receives_nothing() {
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, "nitro", "enclave", "hcl");
    let debug = NitroSpec {
        debug: true,
        ..NitroSpec::new(false)
    };
    let (_, answer) = ask_nitro(&world, &running, (&debug, None), false).unwrap();
    assert!(answer.secrets.is_empty());
    assert_eq!(refused(&answer), [("db/key", "policy.debug")]);
    // The registers of an instance are no enclave's, though their values are the same.
    let (_, answer) = ask_nitro(&world, &running, (&NitroSpec::new(true), None), false).unwrap();
    assert_eq!(refused(&answer), [("db/key", "release.workload")]);
}
