//! Each wish of an owner about an SEV-SNP machine, from both sides: both halves of a wish that looks at two
//! fields, each entry of a list, and the floor of the owner's own.

mod told_all;

use told_all::{appraised, found, policy, snp, status, values};
use zeuge_appraise::{Policy, ReferenceValues, SnpFacts, Status};
use zeuge_evidence::snp::Mitigations;
use zeuge_sim::{Product, ReportSpec, Signer};

const PASS: Option<Status> = Some(Status::Pass);
const FAIL: Option<Status> = Some(Status::Fail);

fn machine() -> SnpFacts {
    snp(&ReportSpec::new(Product::Milan))
}

/// How one check ends under these lines of `[snp]`.
fn under(machine: &SnpFacts, lines: &str, id: &str) -> Option<Status> {
    let policy = policy(&format!("[snp]\n{lines}"));
    status(
        &appraised(machine.clone(), &policy, &ReferenceValues::default(), None),
        id,
    )
}

#[test]
fn a_wish_about_guest_and_platform_needs_both() {
    let bits = |policy: u64, info: u64| {
        let mut machine = machine();
        machine.claims.policy.0 = (1 << 17) | policy;
        machine.claims.platform_info.0 = info;
        machine
    };
    let (smt, hiding) = ("forbid_smt = true", "require_ciphertext_hiding = true");
    for (policy, info, of_smt) in [
        (0, 0, PASS),
        (1 << 16, 0, FAIL),
        (0, 1, FAIL),
        (1 << 16, 1, FAIL),
    ] {
        assert_eq!(under(&bits(policy, info), smt, "policy.smt"), of_smt);
        assert_eq!(under(&bits(policy, info), "", "policy.smt"), None);
    }
    let id = "policy.ciphertext-hiding";
    for (policy, info, of_hiding) in [
        (0, 0, FAIL),
        (1 << 24, 0, FAIL),
        (0, 1 << 4, FAIL),
        (1 << 24, 1 << 4, PASS),
    ] {
        assert_eq!(under(&bits(policy, info), hiding, id), of_hiding);
    }
    let id = "policy.mitigations";
    for (launch, current, wanted) in [
        (0b110, 0b110, PASS),
        (0b111, 0b1110, PASS),
        (0b110, 0b010, FAIL),
        (0b100, 0b110, FAIL),
        (0, 0, FAIL),
    ] {
        let mut machine = machine();
        machine.claims.mitigations = Some(Mitigations { launch, current });
        assert_eq!(
            under(&machine, "required_mitigations = 6", id),
            wanted,
            "{launch} {current}"
        );
        assert_eq!(under(&machine, "", id), None);
    }
    let mut older = machine();
    older.claims.mitigations = None;
    assert_eq!(under(&older, "required_mitigations = 1", id), FAIL);
}

#[test]
fn firmware_is_committed_in_versions_of_both_kinds() {
    let line = "forbid_provisional_firmware = true";
    let id = "policy.provisional-firmware";
    let same = machine();
    assert_eq!(under(&same, line, id), PASS);
    let mut other = machine();
    other.claims.committed_version.build ^= 1;
    assert_eq!(under(&other, line, id), FAIL);
    let mut other = machine();
    other.claims.committed_tcb.0[0] ^= 1;
    assert_eq!(under(&other, line, id), FAIL);
}

#[test]
fn each_entry_of_a_list_counts_and_no_other() {
    let machine = machine();
    let id = "policy.product";
    assert_eq!(under(&machine, "", id), None);
    assert_eq!(under(&machine, "refused_products = [\"Genoa\"]", id), PASS);
    assert_eq!(
        under(&machine, "refused_products = [\"Genoa\", \"Milan\"]", id),
        FAIL
    );
    assert_eq!(
        under(&machine, "refused_products = [\"Milan\", \"Genoa\"]", id),
        FAIL
    );
    let rented = snp(&ReportSpec {
        signer: Signer::Vlek,
        provider: "cloud".to_owned(),
        ..ReportSpec::new(Product::Genoa)
    });
    let id = "policy.provider";
    assert_eq!(under(&rented, "", id), Some(Status::Warn));
    assert_eq!(under(&rented, "providers = [\"other\"]", id), FAIL);
    assert_eq!(
        under(&rented, "providers = [\"other\", \"cloud\"]", id),
        PASS
    );
    assert_eq!(
        under(&rented, "providers = [\"cloud\", \"other\"]", id),
        PASS
    );
    assert_eq!(
        under(&rented, "require_provider_key = true", id),
        Some(Status::Warn)
    );
    assert_eq!(under(&machine, "providers = [\"cloud\"]", id), None);
    let own = |lines: &str| {
        let policy = policy(&format!("[snp]\nrequire_provider_key = true\n{lines}"));
        let verdict = appraised(machine.clone(), &policy, &ReferenceValues::default(), None);
        let (status, _, found, wanted) = found(&verdict, id).expect("asked");
        (status, found, wanted)
    };
    let told = |wanted: &str| {
        (
            Status::Fail,
            "a chip's own key".to_owned(),
            wanted.to_owned(),
        )
    };
    assert_eq!(own(""), told("a provider's key"));
    assert_eq!(own("providers = [\"a\", \"b\"]"), told("a or b"));
}

#[test]
fn the_owners_floor_counts_above_the_built_in_one_and_below_no_dangerous_one() {
    let mut machine = machine();
    machine.claims.reported_tcb.0 = [4, 1, 0, 0, 0, 0, 30, 0xdc];
    let under = |floor: &str, dangerous: &str| {
        let values = values(&format!("[minimum_tcb.Milan]\n{floor}"));
        let verdict = appraised(machine.clone(), &policy(dangerous), &values, None);
        let (status, because, ..) = found(&verdict, "policy.tcb").expect("asked");
        (status, because)
    };
    let pass = (Status::Pass, String::new());
    let below = "the versions are below the owner's minimum_tcb";
    for (name, held) in [
        ("boot_loader", 4),
        ("tee", 1),
        ("snp", 30),
        ("microcode", 0xdc),
    ] {
        assert_eq!(under(&format!("{name} = {held}"), ""), pass, "{name}");
        let above = under(&format!("{name} = {}", held + 1), "");
        assert_eq!(above, (Status::Fail, below.to_owned()), "{name}");
    }
    // A dangerous floor lowers the built-in one and never the owner's.
    let dangerous = "[snp.dangerous_minimum_tcb.Milan]\nbecause = \"x\"\nfloor = { snp = 1 }";
    let both = under("snp = 31", dangerous);
    assert_eq!(both, (Status::Fail, below.to_owned()));
    let others = values("[minimum_tcb.Genoa]\nsnp = 99");
    let verdict = appraised(machine.clone(), &Policy::default(), &others, None);
    assert_eq!(status(&verdict, "policy.tcb"), PASS);
}

#[test]
fn host_data_and_level_are_those_of_a_value_that_fits() {
    let mut machine = machine();
    machine.claims.host_data = [0x4d; 32];
    machine.claims.vmpl = 2;
    let measured = hex::encode(machine.claims.measurement);
    let (own, other) = (
        format!("\"{}\"", "4d".repeat(32)),
        format!("\"{}\"", "4e".repeat(32)),
    );
    let value = |name: &str, lines: &str| {
        format!("[[snp]]\nname = \"{name}\"\nmeasurements = [\"{measured}\"]\n{lines}\n")
    };
    let pins = |name: &str, list: &str| value(name, &format!("host_data = [{list}]\nvmpl = 2"));
    let ask = |lines: &str, id: &str| {
        let values = values(lines);
        status(
            &appraised(machine.clone(), &Policy::default(), &values, None),
            id,
        )
    };
    let id = "policy.host-data";
    for (lines, wanted) in [
        (value("a", ""), None),
        (pins("a", &own), PASS),
        (pins("a", &other), FAIL),
        (pins("a", &format!("{other}, {own}")), PASS),
        (pins("a", &format!("{own}, {other}")), PASS),
        (pins("a", &other) + &pins("b", &own), PASS),
        (pins("a", &own) + &pins("b", &other), PASS),
        (pins("a", &other) + &value("b", ""), PASS),
    ] {
        assert_eq!(ask(&lines, id), wanted, "{lines}");
    }
    let id = "policy.vmpl";
    for (lines, wanted) in [
        (String::new(), FAIL),
        (value("a", ""), FAIL),
        (value("a", "vmpl = 2"), PASS),
        (value("a", "vmpl = 1"), FAIL),
        (value("a", "vmpl = 1") + &value("b", "vmpl = 2"), PASS),
    ] {
        assert_eq!(ask(&lines, id), wanted, "{lines}");
    }
    machine.claims.vmpl = 0;
    let none = appraised(
        machine,
        &Policy::default(),
        &ReferenceValues::default(),
        None,
    );
    assert_eq!(status(&none, id), PASS);
}

#[test]
fn an_unknown_measurement_says_why_and_what_is_nearest() {
    let machine = machine();
    let measured = hex::encode(machine.claims.measurement);
    let (first, second) = ("0a".repeat(48), "0b".repeat(48));
    let value = |name: &str, measurement: &str, profile: &str| {
        format!(
            "[[snp]]\nname = \"{name}\"\nmeasurements = [\"{measurement}\"]\n\
             binding_profile = \"{profile}\"\n"
        )
    };
    let ask = |lines: &str| {
        let verdict = appraised(machine.clone(), &Policy::default(), &values(lines), None);
        let (status, because, found, wanted) =
            found(&verdict, "policy.measurement").expect("asked");
        assert_eq!((status, found), (Status::Fail, measured.clone()));
        (because, wanted)
    };
    let none = "no reference values were given, so this measurement is unknown; give \
                --reference-values or, to look at the hardware alone, --hardware-only";
    let unknown = "this measurement is in none of the reference values";
    let profile = "this measurement is known, but for another binding profile (direct or hcl)";
    let (hcl, direct) = ("hcl", "direct");
    for (lines, because, nearest) in [
        (String::new(), none, "a known one"),
        (
            value("a", &first, direct) + &value("b", &second, direct),
            unknown,
            first.as_str(),
        ),
        (
            value("a", &first, hcl) + &value("b", &second, direct),
            unknown,
            second.as_str(),
        ),
        (value("a", &first, hcl), unknown, "a known one"),
        (value("a", &measured, hcl), profile, "a known one"),
        (
            value("a", &first, hcl) + &value("b", &measured, hcl),
            profile,
            "a known one",
        ),
    ] {
        assert_eq!(
            ask(&lines),
            (because.to_owned(), nearest.to_owned()),
            "{lines}"
        );
    }
}
