//! The owner's registry: which machine is enrolled, under which name, with which certified keys. Never
//! by a chip's number that is zero, and never by a part of what was enrolled.

mod told_all;

use sha2::{Digest as _, Sha256};
use told_all::{appraised, azure, found, nitro, pair, quote, registry, snp, status, tpm};
use zeuge_appraise::{
    Cpu, Facts, HardwareRegistry, Policy, QuoteFacts, ReferenceValues, SnpFacts, Status,
};
use zeuge_sim::{AzureCpu, Product, QuoteForm, ReportSpec, Signer};
use zeuge_verify::tpm::{TpmFacts, TrustBasis};

const ENROLLED: &str = "hardware.enrolled";
const KEY: &str = "hardware.key";

/// What both checks say of these facts under a registry.
fn under(facts: impl Into<Facts>, registry: &HardwareRegistry) -> (Option<Status>, Option<Status>) {
    let values = ReferenceValues::default();
    let verdict = appraised(facts, &Policy::default(), &values, Some(registry));
    (status(&verdict, ENROLLED), status(&verdict, KEY))
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn chip(name: &str, id: &str, keys: &[(&str, &str)]) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|(tcb, key)| format!("{{ tcb = \"{tcb}\", public_key = \"{key}\" }}"))
        .collect();
    format!(
        "[[chip]]\nname = \"{name}\"\nchip_id = \"{id}\"\nkeys = [{}]\n",
        keys.join(", ")
    )
}

/// Its CHIP_ID, its versions and the digest of its key.
fn identity(facts: &SnpFacts) -> (String, String, String) {
    (
        hex::encode(facts.claims.chip_id),
        hex::encode(facts.claims.reported_tcb.0),
        hash(&facts.leaf_public_key),
    )
}

#[test]
fn a_chip_is_enrolled_by_its_number_and_by_a_key_for_its_versions() {
    let machine = snp(&ReportSpec::new(Product::Milan));
    let (id, tcb, key) = identity(&machine);
    let (other, older) = ("77".repeat(64), "00".repeat(8));
    let stranger = "99".repeat(32);
    let (pass, fail) = (Some(Status::Pass), Some(Status::Fail));
    for (lines, wanted) in [
        (String::new(), (fail, None)),
        (chip("rack", &other, &[(&tcb, &key)]), (fail, None)),
        (chip("rack", &id, &[(&tcb, &key)]), (pass, pass)),
        (
            chip("else", &other, &[(&tcb, &stranger)]) + &chip("rack", &id, &[(&tcb, &key)]),
            (pass, pass),
        ),
        // A key for other versions, another key for these, and one of two.
        (chip("rack", &id, &[(&older, &key)]), (pass, fail)),
        (chip("rack", &id, &[(&tcb, &stranger)]), (pass, fail)),
        (
            chip("rack", &id, &[(&tcb, &stranger), (&tcb, &key)]),
            (pass, pass),
        ),
        (
            chip("rack", &id, &[(&tcb, &key), (&tcb, &stranger)]),
            (pass, pass),
        ),
    ] {
        assert_eq!(under(machine.clone(), &registry(&lines)), wanted, "{lines}");
    }
    let (policy, values) = (Policy::default(), ReferenceValues::default());
    let says = |lines: &str, id: &str| {
        found(
            &appraised(machine.clone(), &policy, &values, Some(&registry(lines))),
            id,
        )
    };
    let two = chip("rack", &id, &[(&older, &stranger), (&tcb, &stranger)]);
    assert_eq!(
        says(&two, KEY),
        Some((
            Status::Fail,
            "the maker certified another key for this chip than the enrolled one".to_owned(),
            key.clone(),
            stranger,
        ))
    );
    assert_eq!(
        says(&chip("rack", &id, &[(&older, &key)]), KEY),
        Some((
            Status::Fail,
            "these versions have no approved key yet".to_owned(),
            key.clone(),
            String::new(),
        ))
    );
    assert_eq!(
        says("", ENROLLED),
        Some((
            Status::Fail,
            "this chip is not in the owner's registry".to_owned(),
            id,
            "an enrolled chip".to_owned(),
        ))
    );
}

#[test]
fn a_number_of_zeros_is_nobodys_chip() {
    let mut machine = snp(&ReportSpec {
        signer: Signer::Vlek,
        ..ReportSpec::new(Product::Genoa)
    });
    machine.claims.chip_id = [0; 64];
    let (id, tcb, key) = identity(&machine);
    let schema = "schema = \"zeuge.hardware.v1\"\n";
    let text = format!("{schema}{}", chip("rack", &id, &[(&tcb, &key)]));
    let refused = HardwareRegistry::parse(&text).unwrap_err();
    assert_eq!(refused.because, "the CHIP_ID of \"rack\" is zero");
    // Nor does a registry count that came another way.
    let mut held = registry(&chip("rack", &"11".repeat(64), &[(&tcb, &key)]));
    held.chip[0].chip_id.0 = [0; 64];
    assert_eq!(held.name_of(&Facts::Snp(Box::new(machine.clone()))), None);
    assert_eq!(under(machine.clone(), &held), (Some(Status::Fail), None));
    // One byte that is not zero is a number.
    machine.claims.chip_id[63] = 1;
    let (id, tcb, key) = identity(&machine);
    let lines = chip("rack", &id, &[(&tcb, &key)]);
    let both = (Some(Status::Pass), Some(Status::Pass));
    assert_eq!(under(machine, &registry(&lines)), both);
}

fn platform(facts: &QuoteFacts, instance: Option<&str>, svn: (&str, u16), keys: &[&str]) -> String {
    let instance = instance.map(|id| format!("platform_instance_id = \"{id}\"\n"));
    let keys: Vec<String> = keys
        .iter()
        .map(|key| {
            let (cpu, pce) = svn;
            format!("{{ cpu_svn = \"{cpu}\", pce_svn = {pce}, public_key = \"{key}\" }}")
        })
        .collect();
    format!(
        "[[intel]]\nname = \"rack\"\nppid = \"{}\"\n{}keys = [{}]\n",
        hex::encode(facts.platform.ppid),
        instance.unwrap_or_default(),
        keys.join(", ")
    )
}

#[test]
fn a_platform_of_intels_is_enrolled_by_ppid_instance_and_a_key_for_its_versions() {
    let mut machine = quote(QuoteForm::Tdx4);
    machine.platform.platform_instance_id = Some([0x11; 16]);
    let key = hash(&machine.pck_public_key);
    let cpu_svn = hex::encode(machine.platform.tcb.cpu_svn);
    let pce_svn = machine.platform.tcb.pce_svn;
    let svn = (cpu_svn.as_str(), pce_svn);
    let (own, other, stranger) = ("11".repeat(16), "22".repeat(16), "99".repeat(32));
    let older = "00".repeat(16);
    let (pass, fail) = (Some(Status::Pass), Some(Status::Fail));
    let lines = |instance: Option<&str>, svn: (&str, u16), keys: &[&str]| {
        platform(&machine, instance, svn, keys)
    };
    for (lines, wanted) in [
        (String::new(), (fail, None)),
        (lines(None, svn, &[&key]), (pass, pass)),
        (lines(Some(&own), svn, &[&key]), (pass, pass)),
        (lines(Some(&other), svn, &[&key]), (fail, None)),
        (lines(None, (&older, pce_svn), &[&key]), (pass, fail)),
        (lines(None, (&cpu_svn, pce_svn + 1), &[&key]), (pass, fail)),
        (lines(None, svn, &[&stranger]), (pass, fail)),
        (lines(None, svn, &[&stranger, &key]), (pass, pass)),
    ] {
        assert_eq!(under(machine.clone(), &registry(&lines)), wanted, "{lines}");
    }
    let enrolled = registry(&lines(Some(&own), svn, &[&key]));
    let mut another = machine.clone();
    another.platform.ppid[0] ^= 1;
    assert_eq!(under(another.clone(), &enrolled), (fail, None));
    assert_eq!(enrolled.name_of(&another.into()), None);
    let mut nameless = machine.clone();
    nameless.platform.platform_instance_id = None;
    assert_eq!(under(nameless, &enrolled), (fail, None));
    assert_eq!(enrolled.name_of(&machine.clone().into()), Some("rack"));
    let (policy, values) = (Policy::default(), ReferenceValues::default());
    let says = |lines: &str| {
        found(
            &appraised(machine.clone(), &policy, &values, Some(&registry(lines))),
            KEY,
        )
    };
    assert_eq!(
        says(&lines(None, (&older, pce_svn), &[&key])),
        Some((
            Status::Fail,
            "these versions have no approved key yet".to_owned(),
            key.clone(),
            String::new(),
        ))
    );
    assert_eq!(
        says(&lines(None, svn, &[&stranger])),
        Some((
            Status::Fail,
            "the maker certified another key for this platform than the enrolled one".to_owned(),
            key.clone(),
            stranger,
        ))
    );
}

#[test]
fn a_tpm_is_enrolled_by_its_ak_or_by_the_certificate_of_its_ek() {
    let machine = tpm();
    let TrustBasis::Activated(ek) = machine.trust.clone() else {
        panic!("an activated AK")
    };
    let name = machine.ak_name.clone().expect("a name");
    let of = |called: &str, line: String| format!("[[tpm]]\nname = \"{called}\"\n{line}\n");
    let by_name = |called: &str| of(called, format!("ak_name = \"{}\"", hex::encode(&name)));
    let by_key = |called: &str| {
        of(
            called,
            format!("ak_key = \"{}\"", hex::encode(machine.ak_key)),
        )
    };
    let stranger = of("stranger", format!("ak_key = \"{}\"", "99".repeat(32)));
    let with_ek = |certificate: &str| {
        of(
            "ek",
            format!(
                "ak_key = \"{}\"\nek_certificate = \"{certificate}\"",
                "98".repeat(32)
            ),
        )
    };
    let by_ek = with_ek(&hex::encode(ek.certificate));
    let other_ek = with_ek(&"97".repeat(32));
    let (pass, fail) = ((Some(Status::Pass), None), (Some(Status::Fail), None));
    for (lines, wanted, called) in [
        (String::new(), fail, None),
        (stranger.clone(), fail, None),
        (other_ek.clone(), fail, None),
        (by_name("name"), pass, Some("name")),
        (by_key("key"), pass, Some("key")),
        (by_ek.clone(), pass, Some("ek")),
        (stranger + &other_ek + &by_key("key"), pass, Some("key")),
    ] {
        let registry = registry(&lines);
        assert_eq!(under(machine.clone(), &registry), wanted, "{lines}");
        assert_eq!(registry.name_of(&machine.clone().into()), called, "{lines}");
    }
    // Without an activation the certificate names nobody.
    let mut committed = machine.clone();
    committed.trust = TrustBasis::CommittedByReport;
    committed.ak_name = None;
    assert_eq!(under(committed.clone(), &registry(&by_ek)), fail);
    assert_eq!(under(committed, &registry(&by_name("name"))), fail);
    let both = registry(&(by_name("name") + &by_key("key")));
    assert_eq!(both.aks().len(), 2);
    let key = machine.ak_key;
    for (name, key, called) in [
        (Some(name.as_slice()), [0; 32], Some("name")),
        (None, key, Some("key")),
        (Some(&[1, 2][..]), key, Some("key")),
        (Some(&[1, 2][..]), [0; 32], None),
        (None, [0; 32], None),
    ] {
        assert_eq!(both.name_of_ak(name, &key), called);
    }
}

/// A CPU and a TPM, and the lines that enrol each.
fn enrolled_pair() -> (SnpFacts, TpmFacts, String, String) {
    let machine = snp(&ReportSpec::new(Product::Milan));
    let (id, tcb, key) = identity(&machine);
    let with = tpm();
    let chip = chip("rack", &id, &[(&tcb, &key)]);
    let enrolled_tpm = format!(
        "[[tpm]]\nname = \"tpm\"\nak_key = \"{}\"\n",
        hex::encode(with.ak_key)
    );
    (machine, with, chip, enrolled_tpm)
}

#[test]
fn a_pair_needs_both_and_is_called_by_its_cpu() {
    let (machine, with, chip, enrolled_tpm) = enrolled_pair();
    let facts = Facts::from(pair(Cpu::Snp(Box::new(machine)), with));
    let values = ReferenceValues::default();
    let all = |lines: &str| {
        let registry = registry(lines);
        let verdict = appraised(facts.clone(), &Policy::default(), &values, Some(&registry));
        let mut found: Vec<_> = verdict
            .findings
            .iter()
            .filter(|finding| finding.id.starts_with("hardware."))
            .map(|finding| (finding.id, finding.status))
            .collect();
        found.sort_by_key(|(id, status)| (*id, *status as u8));
        (found, registry.name_of(&facts).map(str::to_owned))
    };
    let (pass, fail) = ((ENROLLED, Status::Pass), (ENROLLED, Status::Fail));
    let key = (KEY, Status::Pass);
    assert_eq!(all(""), (vec![fail, fail], None));
    assert_eq!(all(&chip), (vec![pass, fail, key], Some("rack".to_owned())));
    assert_eq!(
        all(&enrolled_tpm),
        (vec![pass, fail], Some("tpm".to_owned()))
    );
    let both = all(&(chip + &enrolled_tpm));
    assert_eq!(both, (vec![pass, pass, key], Some("rack".to_owned())));
}

#[test]
fn a_rule_for_enrolled_chips_asks_every_member_of_a_pair() {
    use zeuge_appraise::{ReleaseRule, Suite, judge};
    let (machine, with, chip, enrolled_tpm) = enrolled_pair();
    let alone = Facts::from(machine.clone());
    let facts = Facts::from(pair(Cpu::Snp(Box::new(machine)), with));
    let rule = ReleaseRule::parse(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"a\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [\"snp\"]\nminimum_suite = \"x25519\"\n\
         chips = \"enrolled\"\nworkload = \"web\"",
    )
    .expect("a good rule");
    let (policy, values) = (Policy::default(), ReferenceValues::default());
    let failed = |facts: &Facts, lines: Option<&str>| {
        let registry = lines.map(registry);
        let wanted = told_all::wanted(&policy, &values, registry.as_ref());
        // Judged without a registry: the rule asks for itself.
        let verdict = judge(facts, &[], &told_all::wanted(&policy, &values, None));
        let ruled = rule.apply(&verdict, &wanted, "agent", Suite::X25519);
        ruled.failed().contains(&ENROLLED)
    };
    assert!(failed(&alone, None));
    assert!(failed(&alone, Some("")));
    assert!(!failed(&alone, Some(&chip)));
    assert!(failed(&facts, Some(&chip)));
    assert!(failed(&facts, Some(&enrolled_tpm)));
    assert!(!failed(&facts, Some(&(chip + &enrolled_tpm))));
}

#[test]
fn behind_azures_paravisor_the_chip_is_asked_and_behind_nitro_there_is_none() {
    let machine = azure(AzureCpu::Snp(Product::Milan));
    let Cpu::Snp(report) = &machine.cpu else {
        panic!("a report")
    };
    let (id, tcb, key) = identity(report);
    let enrolled = registry(&chip("rack", &id, &[(&tcb, &key)]));
    let (pass, fail) = (Some(Status::Pass), Some(Status::Fail));
    assert_eq!(under(machine.clone(), &enrolled), (pass, pass));
    assert_eq!(under(machine.clone(), &registry("")), (fail, None));
    assert_eq!(enrolled.name_of(&machine.into()), Some("rack"));
    for instance in [false, true] {
        let machine = nitro(instance);
        assert_eq!(enrolled.name_of(&machine.clone().into()), None);
        let values = ReferenceValues::default();
        let verdict = appraised(
            machine.clone(),
            &Policy::default(),
            &values,
            Some(&enrolled),
        );
        assert_eq!(
            found(&verdict, ENROLLED),
            Some((
                Status::Fail,
                "AWS's hypervisor names no chip, so none can be enrolled".to_owned(),
                machine.module_id,
                "an enrolled chip".to_owned(),
            ))
        );
    }
}
