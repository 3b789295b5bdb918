//! The policies that the documentation hands out can be read, weaken nothing, and work: under each an
//! honest machine of its cloud is accepted, and a machine that lacks what it demands is refused.

mod told_behind;
mod told_enclave;
mod told_firmware;

use zeuge_appraise::{Policy, Verdict, Word};
use zeuge_sim::{AzureLie, GoogleLie, NitroLie, NitroSpec};

/// The text of a policy.
fn text(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policies");
    std::fs::read_to_string(format!("{folder}/{name}")).expect("a policy")
}

/// Refused, and by this check alone.
fn refused(verdict: &Verdict, check: &str) {
    assert_eq!(verdict.failed(), [check]);
    assert_eq!(verdict.word, Word::Contraindicated);
}

#[test]
fn azures_accepts_a_machine_with_secure_boot_and_without_console_alone() {
    let policy = text("azure.toml");
    let values = told_behind::values("hcl");
    for spec in told_behind::specs() {
        let under = |lie| told_behind::verdict_under(lie, &spec, &values, &policy);
        assert_eq!(under(None).failed(), [""; 0]);
        for lie in [AzureLie::Console, AzureLie::SecureBoot] {
            refused(&under(Some(lie)), lie.check());
        }
        let direct = told_behind::values("direct");
        let verdict = told_behind::verdict_under(None, &spec, &direct, &policy);
        refused(&verdict, "policy.measurement");
        // The owner's own machines, once they are named.
        let own = policy.replace("# machines", "machines");
        let other = Some(AzureLie::Machine);
        let verdict = told_behind::verdict_under(other, &spec, &values, &own);
        refused(&verdict, "policy.hcl-machine");
        let verdict = told_behind::verdict_under(None, &spec, &values, &own);
        assert_eq!(verdict.failed(), [""; 0]);
    }
}

#[test]
fn googles_accepts_endorsed_firmware_alone() {
    let policy = text("google.toml");
    for verdict in told_firmware::verdicts(None, &policy) {
        assert_eq!(told_firmware::broken(&verdict), [""; 0]);
    }
    for lie in [
        GoogleLie::Missing,
        GoogleLie::Measurement,
        GoogleLie::Signature,
        GoogleLie::Root,
    ] {
        for verdict in told_firmware::verdicts(Some(lie), &policy) {
            refused(&verdict, "policy.firmware-endorsement");
        }
    }
}

#[test]
fn awss_accepts_fresh_documents_of_known_images_alone() {
    let policy = text("aws-nitro.toml");
    let under = |lie, spec: &NitroSpec, values: &str| {
        told_enclave::verdict_under(lie, spec, values, &policy)
    };
    let known = told_enclave::honest_values();
    for spec in told_enclave::machines() {
        assert_eq!(under(None, &spec, &known).failed(), [""; 0]);
        refused(
            &under(Some(NitroLie::Age), &spec, &known),
            "policy.nitro-age",
        );
        let other = told_enclave::values(0x77);
        refused(&under(None, &spec, &other), "policy.measurement");
    }
    let debug = NitroSpec {
        debug: true,
        ..NitroSpec::new(false)
    };
    refused(
        &under(None, &debug, &told_enclave::values(0)),
        "policy.debug",
    );
}

#[test]
fn every_starter_policy_is_read_and_has_nothing_dangerous() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policies");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        Policy::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!text.contains("dangerous_"), "{}", path.display());
        count += 1;
    }
    assert!(count > 0);
}
