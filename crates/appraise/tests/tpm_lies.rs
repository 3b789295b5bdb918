//! Every check of appraisal about TPMs has one machine, or one wish, on which it alone does not
//! hold; an honest toy is accepted; and a refusal names the record.

mod told_boot;

use told_boot::{broken, facts, of, policy, reference_values, verdict};
use zeuge_appraise::{Policy, ReferenceValues, Status, Word};
use zeuge_sim::{Room, TpmLie, tpm::digest_of};

#[test]
fn an_honest_boot_is_accepted_but_for_its_toy_root() {
    let verdict = verdict(facts(None), &policy(), &reference_values());
    assert_eq!(broken(&verdict), [""; 0]);
    assert_eq!(verdict.word, Word::Warning);
    assert_eq!(verdict.product.as_deref(), Some("TOY Toy TPM"));
}

#[test]
fn every_check_alone_does_not_hold_on_its_case() {
    for id in zeuge_appraise::tpm::CHECKS {
        assert_eq!(broken(&of(id)), [*id]);
    }
}

#[test]
fn every_lie_for_appraisal_has_its_check() {
    for lie in TpmLie::ALL
        .iter()
        .filter(|lie| lie.room() == Room::Appraise)
    {
        assert!(
            zeuge_appraise::tpm::CHECKS.contains(&lie.check()),
            "{lie:?}"
        );
    }
}

#[test]
fn a_refusal_names_the_register_the_record_and_what_stands_there() {
    let of = |id| {
        let verdict = of(id);
        let finding = verdict.findings.into_iter().find(|one| one.id == id);
        finding.expect("the finding")
    };
    let rom = of("policy.boot-event");
    assert_eq!(rom.status, Status::Fail);
    assert_eq!(rom.because, "PCR 2 differs at event 4 from \"web\"");
    assert!(rom.found.starts_with("\\rom.efi ") && rom.wanted.starts_with("as ever "));
    let shim = of("policy.boot-image");
    assert_eq!(
        shim.because,
        "PCR 4 differs at event 20: EFI application \\EFI\\toy\\shimx64.efi is not a known EFI \
         application"
    );
    let line = of("policy.command-line");
    assert!(line.found.contains("init=/bin/sh"), "{line:?}");
    let program = of("policy.ima");
    assert!(
        program.found.starts_with("3: /tmp/stranger (sha256:"),
        "{program:?}"
    );
    let level = of("policy.sbat");
    assert_eq!(
        (level.found.as_str(), level.wanted.as_str()),
        ("nothing", "at least 4")
    );
}

#[test]
fn a_refusal_calls_things_by_the_names_that_their_owner_gave_them() {
    let hex_of = |name: &str| hex::encode(digest_of(name));
    let names = format!(
        "names = {{ \"{}\" = \"shim 15.8\", \"{}\" = \"shim 15.7\" }}\ninitrds",
        hex_of("something else"),
        hex_of("shim").to_uppercase(),
    );
    let values = reference_values().replace("initrds", &names);
    assert_eq!(broken(&verdict(facts(None), &policy(), &values)), [""; 0]);
    let verdict = verdict(facts(Some(TpmLie::PolicyBootImage)), &policy(), &values);
    let failed = verdict.findings.iter().find(|it| it.status == Status::Fail);
    let failed = failed.expect("another shim");
    assert_eq!(failed.id, "policy.boot-image");
    assert!(
        failed.because.starts_with("PCR 4 differs at event 2"),
        "{}",
        failed.because
    );
    assert_eq!(
        failed.found,
        format!("shim 15.8 {}", hex_of("something else"))
    );
    let wanted = format!("shim 15.7 {} or ", hex_of("shim"));
    assert!(failed.wanted.starts_with(&wanted), "{}", failed.wanted);
    // The same by the records of a register: names are those of any value.
    let other = format!(
        "[[tpm]]\nname = \"other\"\nimages = [\"{0}\"]\nnames = {{ \"{0}\" = \"card of April\" }}\n",
        hex_of("something else")
    );
    let values = format!("{}{other}", reference_values());
    let verdict = told_boot::verdict(facts(Some(TpmLie::PolicyBootEvent)), &policy(), &values);
    let failed = verdict.findings.iter().find(|it| it.status == Status::Fail);
    let failed = failed.expect("another option ROM");
    assert_eq!(failed.id, "policy.boot-event");
    assert!(failed.because.starts_with("PCR 2 differs at event "));
    assert!(
        failed.found.starts_with("card of April "),
        "{}",
        failed.found
    );
    assert!(failed.wanted.starts_with("as ever "), "{}", failed.wanted);
}

#[test]
fn a_command_line_may_be_known_by_a_pattern() {
    let values = reference_values().replace(
        "command_lines = [\"BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet\"]",
        "command_line_patterns = [\"BOOT_IMAGE=/vmlinuz root=/dev/vd* ro quiet\"]",
    );
    assert_eq!(broken(&verdict(facts(None), &policy(), &values)), [""; 0]);
    let lie = facts(Some(TpmLie::PolicyCommandLine));
    assert_eq!(
        broken(&verdict(lie, &policy(), &values)),
        ["policy.command-line"]
    );
}

#[test]
fn without_reference_values_a_boot_is_unknown() {
    let none = "schema = \"zeuge.reference-values.v1\"";
    assert_eq!(
        broken(&verdict(facts(None), &policy(), none)),
        ["policy.measurement"]
    );
}

#[test]
fn of_several_reference_values_the_nearest_explains_the_refusal() {
    let other = "[[tpm]]\nname = \"other\"\nimages = [\"00\"]\ninitrds = [\"00\"]\n"
        .replace("00", &"00".repeat(32));
    let values = format!("{}{other}", reference_values());
    let lie = facts(Some(TpmLie::PolicyInitrd));
    assert_eq!(broken(&verdict(lie, &policy(), &values)), ["policy.initrd"]);
}

#[test]
fn values_that_pin_nothing_and_misspelt_wishes_are_refused() {
    let values = |text: &str| {
        let text =
            format!("schema = \"zeuge.reference-values.v1\"\n[[tpm]]\nname = \"web\"\n{text}");
        ReferenceValues::parse(&text)
            .map(|_| ())
            .map_err(|error| error.because)
    };
    let refused = |text: &str, because: &str| {
        let found = values(text).expect_err("refused");
        assert!(found.contains(because), "{found}");
    };
    refused("", "pins nothing of the boot");
    refused("images = [\"0011\"]", "is no digest in hex");
    refused("pcrs = { sha256 = { \"24\" = [\"00\"] } }", "PCR 24");
    refused(
        "pcrs = { sha256 = { \"4\" = [\"00\"] } }",
        "values of its bank",
    );
    refused("pcrs = { md5 = { \"4\" = [] } }", "the unknown bank");
    let policy = |text: &str| {
        Policy::parse(&format!("schema = \"zeuge.policy.v1\"\n[tpm]\n{text}")).is_err()
    };
    assert!(policy("pcrs = [\"0,1\"]"));
    assert!(policy("known_mok_lists = [\"x\"]"));
    assert!(policy("dangerous_without_crl = \"\""));
    assert!(policy("[tpm.ima]\nsigners = [\"no key\"]"));
    assert!(policy("[tpm.ima]\ndigests = [\"sha256:00\"]"));
}
