//! The policies that the documentation hands out can be read, weaken nothing, and work: under each an
//! honest machine of its cloud is accepted, and a machine that lacks what it demands is refused.

mod told;
mod told_behind;
mod told_boot;
mod told_enclave;
mod told_firmware;

use zeuge_appraise::{Policy, Verdict, Word};
use zeuge_sim::{
    AzureLie, GoogleLie, Lie, NitroLie, NitroSpec, Product, ReportSpec, Signer, ToyAmd, TpmLie,
};

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
    for lie in GoogleLie::ALL {
        if *lie == GoogleLie::Svn {
            continue;
        }
        for verdict in told_firmware::verdicts(Some(*lie), &policy) {
            refused(&verdict, "policy.firmware-endorsement");
        }
    }
    // Which version is the lowest good one is the owner's to say.
    let newer = policy.replace(
        "require_endorsement = true",
        "require_endorsement = true\nminimum_svn = 5",
    );
    for verdict in told_firmware::verdicts(Some(GoogleLie::Svn), &newer) {
        refused(&verdict, "policy.firmware-svn");
    }
}

#[test]
fn googles_accepts_no_other_virtual_tpm_and_no_boot_without_log_or_secure_boot() {
    let (policy, values) = (text("google.toml"), told_boot::reference_values());
    let under = |lie, policy: &str| told_boot::verdict(told_boot::facts(lie), policy, &values);
    // The toy's maker is nobody's cloud.
    refused(&under(None, &policy), "policy.tpm-maker");
    let own = policy.replace("\"Google\"", "\"toy TPM\"");
    assert_eq!(under(None, &own).failed(), [""; 0]);
    refused(
        &under(Some(TpmLie::PolicySecureBoot), &own),
        "policy.secure-boot",
    );
    let boot = "schema = \"zeuge.reference-values.v1\"\n[[tpm]]\nname = \"web\"\n\
                pcrs = { sha256 = { \"1\" = [\"PCR\"] } }";
    let without_log = told_boot::facts(Some(TpmLie::PolicyEventLog));
    let boot = boot.replace("PCR", &told_boot::first_pcr(&without_log));
    let secure = own.replace("require_secure_boot = true\n", "");
    refused(
        &told_boot::verdict(without_log, &secure, &boot),
        "policy.event-log",
    );
}

/// An instance of AWS's: a report signed by the key that AMD gave the provider.
fn rented() -> ReportSpec {
    ReportSpec {
        signer: Signer::Vlek,
        provider: "CN=cc-us-east-2.amazonaws.com".to_owned(),
        ..ReportSpec::new(Product::Milan)
    }
}

/// The verdict on this machine under a policy, `days` after the toy's collateral is ten days old.
fn judged(spec: &ReportSpec, lie: Option<Lie>, policy: &str, days: i64) -> Verdict {
    let mut told = ToyAmd::shared().tell(lie, spec, told::instant("2026-03-01T00:00:00Z"));
    told.at = told.at.plus(days * 86_400);
    let wishes = told::Wishes {
        policy: Policy::parse(policy).expect("a policy"),
        // What the honest machine runs.
        ..told::wishes(&rented())
    };
    told::appraised(&told, &told::trusted(), &wishes).0
}

#[test]
fn awss_accepts_the_key_of_the_rented_region_alone() {
    let policy = text("aws-snp.toml");
    let honest = judged(&rented(), None, &policy, 0);
    assert_eq!(honest.failed(), [""; 0]);
    let holders: Vec<_> = honest.roots.iter().map(|root| root.kind.as_str()).collect();
    assert_eq!(holders, ["cpu", "provider-key"]);
    let elsewhere = ReportSpec {
        provider: "CN=cc-eu-west-1.amazonaws.com".to_owned(),
        ..rented()
    };
    // Somebody's own machine, started with the provider's firmware.
    let laboratory = ReportSpec {
        signer: Signer::Vcek,
        ..rented()
    };
    for other in [elsewhere, laboratory] {
        refused(&judged(&other, None, &policy, 0), "policy.provider");
    }
    for lie in [
        Lie::PolicyDebug,
        Lie::PolicyMeasurement,
        Lie::PolicyMigration,
        Lie::PolicyTcb,
        Lie::PolicyVmpl,
    ] {
        refused(&judged(&rented(), Some(lie), &policy, 0), lie.check());
    }
}

#[test]
fn awss_accepts_neither_firmware_that_can_be_rolled_back_nor_an_old_revocation_list() {
    let policy = text("aws-snp.toml");
    let mut provisional = rented();
    provisional.current_tcb.microcode += 1;
    let verdict = judged(&provisional, None, &policy, 0);
    refused(&verdict, "policy.provisional-firmware");
    let bare = ReportSpec {
        revocation_list: false,
        ..rented()
    };
    refused(&judged(&bare, None, &policy, 0), "amd.crl.fresh");
    assert_eq!(judged(&rented(), None, &policy, 82).failed(), [""; 0]);
    refused(&judged(&rented(), None, &policy, 83), "amd.crl.fresh");
}

#[test]
fn azures_and_googles_accept_no_firmware_that_can_be_rolled_back() {
    for name in ["azure.toml", "google.toml"] {
        let mut provisional = rented();
        provisional.current_tcb.microcode += 1;
        // What else they demand has nothing to do with this machine.
        let policy = text(name).replace("require_endorsement = true", "");
        let verdict = judged(&provisional, None, &policy, 0);
        refused(&verdict, "policy.provisional-firmware");
        assert_eq!(judged(&rented(), None, &policy, 0).failed(), [""; 0]);
        refused(&judged(&rented(), None, &policy, 83), "amd.crl.fresh");
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
