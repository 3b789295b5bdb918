//! A release rule against every kind of evidence: the workload and the configuration that it names, the
//! verdict that it demands, and the mark that the boot is over, each with its edge.

mod told_all;

use told_all::{
    azure, enclave, found, nitro, pair, quote, snp, td, told_enclave, tpm, values, wanted,
};
use zeuge_appraise::{
    Cpu, Facts, Policy, ReferenceValues, ReleaseRule, Status, Suite, Verdict, Word, judge,
};
use zeuge_evidence::tpm::HashAlgorithm;
use zeuge_sim::{AzureCpu, Product, QuoteForm, ReportSpec, td_boot};

const WORKLOAD: &str = "release.workload";
const OTHER: &str = "the machine is not the workload that the rule names";

/// A rule for any chip, of these kinds of evidence and with these further lines.
fn rule(evidence: &str, lines: &str) -> ReleaseRule {
    ReleaseRule::parse(&format!(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"a\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [{evidence}]\nminimum_suite = \"x25519\"\n\
         chips = \"dangerous_any_chip\"\n{lines}"
    ))
    .expect("a good rule")
}

/// The verdict on these facts after the rule.
fn ruled(facts: &Facts, values: &ReferenceValues, evidence: &str, lines: &str) -> Verdict {
    let policy = Policy::default();
    let wanted = wanted(&policy, values, None);
    let verdict = judge(facts, &[], &wanted);
    rule(evidence, lines).apply(&verdict, &wanted, "agent", Suite::X25519)
}

/// What was found and what was wanted where the workload is another; `None` where it is this one.
fn differs(
    facts: &Facts,
    values: &ReferenceValues,
    evidence: &str,
    lines: &str,
) -> Option<(String, String)> {
    let verdict = ruled(facts, values, evidence, lines);
    match found(&verdict, WORKLOAD).expect("every rule asks for the workload") {
        (Status::Pass, ..) => None,
        (Status::Fail, because, found, wanted) => {
            assert_eq!(because, OTHER);
            Some((found, wanted))
        }
        other => panic!("{other:?}"),
    }
}

fn both(found: impl Into<String>, wanted: impl Into<String>) -> Option<(String, String)> {
    Some((found.into(), wanted.into()))
}

#[test]
fn an_amd_workload_is_its_measurement_by_name_and_its_host_data() {
    let mut machine = snp(&ReportSpec::new(Product::Milan));
    machine.claims.host_data = [0x4d; 32];
    let measured = hex::encode(machine.claims.measurement);
    let (data, strange) = ("4d".repeat(32), "4e".repeat(32));
    let value = |name: &str, measurement: &str, more: &str| {
        format!("[[snp]]\nname = \"{name}\"\nmeasurements = [\"{measurement}\"]\n{more}\n")
    };
    let known = values(
        &(value("other", &"0f".repeat(48), "")
            + &value("web", &measured, "")
            + &value("paravisor", &measured, "binding_profile = \"hcl\"")),
    );
    let facts = Facts::from(machine);
    let ask = |lines: &str| differs(&facts, &known, "\"snp\"", lines);
    assert_eq!(ask("workload = \"web\""), None);
    assert_eq!(ask("workload = \"other\""), both(&measured, "\"other\""));
    assert_eq!(
        ask("workload = \"paravisor\""),
        both(&measured, "\"paravisor\"")
    );
    assert_eq!(ask("workload = \"nobody\""), both(&measured, "\"nobody\""));
    assert_eq!(ask(&format!("host_data = \"{data}\"")), None);
    assert_eq!(
        ask(&format!("host_data = \"{strange}\"")),
        both(&data, &strange)
    );
    assert_eq!(
        ask(&format!("workload = \"web\"\nhost_data = \"{data}\"")),
        None
    );
    assert_eq!(
        ask(&format!("workload = \"web\"\nhost_data = \"{strange}\"")),
        both(&data, &strange)
    );
    assert_eq!(
        ask(&format!("workload = \"other\"\nhost_data = \"{data}\"")),
        both(&measured, "\"other\"")
    );
}

#[test]
fn a_trust_domain_is_the_workload_in_everything_that_its_value_pins() {
    let mut machine = quote(QuoteForm::Tdx5);
    let report = td(&mut machine);
    let own = |register: &[u8; 48]| hex::encode(register);
    let measured = own(&report.mr_td);
    let pins = [
        ("mr_seam", own(&report.mr_seam)),
        ("mr_config_id", own(&report.mr_config_id)),
        ("mr_owner", own(&report.mr_owner)),
        ("mr_owner_config", own(&report.mr_owner_config)),
        ("mr_service_td", "00".repeat(48)),
    ];
    let registers = report.rtmr;
    let other = "77".repeat(48);
    let facts = Facts::from(machine);
    let wanted = "\"td\", with RTMR1, RTMR2 or RTMR3 pinned";
    let no = || both(&measured, wanted);
    let ask = |lines: &str| {
        let known = values(&format!("[[tdx]]\nname = \"td\"\n{lines}"));
        differs(&facts, &known, "\"tdx\"", "workload = \"td\"")
    };
    let base = format!("mr_td = [\"{other}\", \"{measured}\"]\n");
    let rtmr = |index: usize, value: &str| format!("rtmr = {{ {index} = [\"{value}\"] }}\n");
    // MRTD and the firmware's own register are the firmware alone.
    assert_eq!(ask(&base), no());
    assert_eq!(
        ask(&format!("{base}{}", rtmr(0, &own(&registers[0])))),
        no()
    );
    for (index, register) in registers.iter().enumerate().skip(1) {
        let fits = rtmr(index, &own(register));
        assert_eq!(ask(&format!("{base}{fits}")), None, "{index}");
        assert_eq!(
            ask(&format!("{base}{}", rtmr(index, &other))),
            no(),
            "{index}"
        );
        assert_eq!(
            ask(&format!("mr_td = [\"{other}\"]\n{fits}")),
            no(),
            "{index}"
        );
        assert_eq!(
            ask(&format!("{base}binding_profile = \"hcl\"\n{fits}")),
            no(),
            "{index}"
        );
    }
    let started = format!("{base}{}", rtmr(2, &own(&registers[2])));
    for (name, value) in pins {
        assert_eq!(
            ask(&format!("{started}{name} = [\"{value}\"]\n")),
            None,
            "{name}"
        );
        assert_eq!(
            ask(&format!("{started}{name} = [\"{other}\"]\n")),
            no(),
            "{name}"
        );
    }
    let others = values(&format!("[[tdx]]\nname = \"other\"\n{started}"));
    assert_eq!(
        differs(&facts, &others, "\"tdx\"", "workload = \"td\""),
        no()
    );
}

#[test]
fn a_configuration_is_mr_config_id_followed_by_zeros() {
    let digest = "4d".repeat(32);
    let mut configured = [0; 48];
    configured[..32].fill(0x4d);
    let mut longer = configured;
    longer[47] = 1;
    let mut shifted = configured;
    shifted[32] = 0x4d;
    let mut other = configured;
    other[31] ^= 1;
    let line = format!("host_data = \"{digest}\"");
    let no = |value: &[u8; 48]| both(hex::encode(value), &digest);
    for (value, wanted) in [
        (configured, None),
        (longer, no(&longer)),
        (shifted, no(&shifted)),
        (other, no(&other)),
        ([0; 48], no(&[0; 48])),
    ] {
        let mut machine = quote(QuoteForm::Tdx4);
        td(&mut machine).mr_config_id = value;
        let measured = hex::encode(td(&mut machine).mr_td);
        let facts = Facts::from(machine);
        let nothing = ReferenceValues::default();
        assert_eq!(differs(&facts, &nothing, "\"tdx\"", &line), wanted);
        // With a configuration the firmware by name is enough, and a name alone is not.
        let known = values(&format!("[[tdx]]\nname = \"td\"\nmr_td = [\"{measured}\"]"));
        let named = format!("workload = \"td\"\n{line}");
        assert_eq!(differs(&facts, &known, "\"tdx\"", &named), wanted);
        let unnamed = format!("workload = \"nobody\"\n{line}");
        assert!(differs(&facts, &known, "\"tdx\"", &unnamed).is_some());
    }
}

#[test]
fn an_enclave_is_the_workload_by_content_and_version_and_has_no_configuration() {
    let mut machine = quote(QuoteForm::Sgx3);
    let report = enclave(&mut machine).clone();
    let measured = hex::encode(report.mr_enclave);
    let facts = Facts::from(machine);
    let ask = |name: &str, lines: &str| {
        let known = values(&format!("[[sgx]]\nname = \"{name}\"\n{lines}"));
        differs(&facts, &known, "\"sgx\"", "workload = \"e\"")
    };
    let content = format!("mr_enclave = [\"{measured}\"]");
    let least = |svn: u16| format!("{content}\nminimum_isv_svn = {svn}");
    let no = || both(&measured, "\"e\"");
    assert_eq!(ask("e", &content), None);
    assert_eq!(ask("f", &content), no());
    assert_eq!(
        ask("e", &format!("mr_enclave = [\"{}\"]", "77".repeat(32))),
        no()
    );
    assert_eq!(ask("e", &least(report.isv_svn)), None);
    assert_eq!(ask("e", &least(report.isv_svn + 1)), no());
    let digest = "4d".repeat(32);
    let line = format!("host_data = \"{digest}\"");
    let nothing = ReferenceValues::default();
    assert_eq!(
        differs(&facts, &nothing, "\"sgx\"", &line),
        both("an enclave has none", &digest)
    );
}

#[test]
fn a_boot_and_an_image_are_workloads_by_name_and_have_no_host_data() {
    let machine = tpm();
    let first = told_all::told_boot::first_pcr(&machine);
    let pinned = |name: &str, value: &str| {
        format!("[[tpm]]\nname = \"{name}\"\npcrs = {{ sha256 = {{ 1 = [\"{value}\"] }} }}\n")
    };
    let quoted = {
        let banks = machine.pcrs.iter().map(|(bank, values)| {
            let list: Vec<_> = values.keys().map(ToString::to_string).collect();
            format!("{bank}:{}", list.join(","))
        });
        banks.collect::<Vec<_>>().join("+")
    };
    let digest = "4d".repeat(32);
    let facts = Facts::from(machine);
    let known = values(
        &(pinned("other", &"77".repeat(32)) + &pinned("web", &first) + &pinned("web2", &first)),
    );
    let ask = |lines: &str| differs(&facts, &known, "\"tpm\"", lines);
    assert_eq!(ask("workload = \"web\""), None);
    assert_eq!(ask("workload = \"other\""), both(&quoted, "\"other\""));
    assert_eq!(ask("workload = \"nobody\""), both(&quoted, "\"nobody\""));
    assert_eq!(
        ask(&format!("workload = \"web\"\nhost_data = \"{digest}\"")),
        both("a TPM has none", &digest)
    );
    for instance in [false, true] {
        let machine = nitro(instance);
        let module = machine.module_id.clone();
        let (own, other) = if instance {
            ("vm", "web")
        } else {
            ("web", "vm")
        };
        let facts = Facts::from(machine);
        let known = ReferenceValues::parse(&told_enclave::honest_values()).expect("good values");
        let ask = |lines: &str| differs(&facts, &known, "\"nitro\"", lines);
        let named = |name: &str| format!("workload = \"{name}\"");
        assert_eq!(ask(&named(own)), None);
        assert_eq!(ask(&named(other)), both(&module, format!("\"{other}\"")));
        assert_eq!(
            ask(&format!("workload = \"{own}\"\nhost_data = \"{digest}\"")),
            both("Nitro has none", &digest)
        );
    }
}

#[test]
fn without_a_quote_of_the_virtual_tpm_no_guest_is_a_workload() {
    for cpu in [AzureCpu::Snp(Product::Milan), AzureCpu::Tdx] {
        let mut machine = azure(cpu);
        machine.tpm = None;
        let nothing = ReferenceValues::default();
        let verdict = ruled(&machine.into(), &nothing, "\"azure\"", "workload = \"web\"");
        assert_eq!(
            found(&verdict, WORKLOAD),
            Some((
                Status::Fail,
                "without a quote nothing says what the guest started".to_owned(),
                "no quote".to_owned(),
                "a quote of the virtual TPM".to_owned(),
            ))
        );
    }
}

#[test]
fn of_a_pair_whoever_is_demanded_must_be_the_workload() {
    let mut machine = snp(&ReportSpec::new(Product::Milan));
    machine.claims.host_data = [0x4d; 32];
    let with = tpm();
    let measured = hex::encode(machine.claims.measurement);
    let first = told_all::told_boot::first_pcr(&with);
    let other = "77".repeat(48);
    let facts = Facts::from(pair(Cpu::Snp(Box::new(machine)), with));
    let ask = |cpu: &str, boot: &str, evidence: &str, lines: &str| {
        let known = values(&format!(
            "[[snp]]\nname = \"web\"\nmeasurements = [\"{cpu}\"]\n\
             [[tpm]]\nname = \"web\"\npcrs = {{ sha256 = {{ 1 = [\"{boot}\"] }} }}"
        ));
        let verdict = ruled(&facts, &known, evidence, lines);
        found(&verdict, WORKLOAD).map(|(status, ..)| status)
    };
    let (short, named) = (&other[..64], "workload = \"web\"");
    let (cpu, boot, pair) = ("\"snp\"", "\"tpm\"", "\"snp\", \"tpm\"");
    let (pass, fail) = (Some(Status::Pass), Some(Status::Fail));
    for (evidence, only_cpu, only_boot) in
        [(cpu, pass, fail), (boot, fail, pass), (pair, fail, fail)]
    {
        assert_eq!(ask(&measured, &first, evidence, named), pass, "{evidence}");
        assert_eq!(
            ask(&measured, short, evidence, named),
            only_cpu,
            "{evidence}"
        );
        assert_eq!(
            ask(&other, &first, evidence, named),
            only_boot,
            "{evidence}"
        );
        assert_eq!(ask(&other, short, evidence, named), fail, "{evidence}");
    }
    // What the CPU pins with its launch, the TPM beside it need not repeat.
    let data = format!("host_data = \"{}\"", "4d".repeat(32));
    let named_data = format!("{named}\n{data}");
    assert_eq!(ask(&measured, &first, pair, &named_data), pass);
    assert_eq!(ask(&measured, short, pair, &named_data), fail);
    assert_eq!(ask(&measured, &first, cpu, &data), pass);
    assert_eq!(
        ask(&measured, &first, pair, &data),
        fail,
        "no name for the TPM"
    );
    assert_eq!(
        ask(&measured, &first, boot, &named_data),
        fail,
        "a TPM has none"
    );
    // Evidence of a kind that the pair does not hold.
    let known = values("");
    let missing = ruled(&facts, &known, "\"tdx\", \"tpm\"", named);
    assert_eq!(
        found(&missing, "release.evidence"),
        Some((
            Status::Fail,
            "evidence of a kind is missing".to_owned(),
            "snp and tpm".to_owned(),
            "tdx".to_owned(),
        ))
    );
}

#[test]
fn a_verdict_must_be_good_enough_and_a_failed_demand_makes_a_good_one_bad() {
    let machine = Facts::from(snp(&ReportSpec::new(Product::Milan)));
    let Facts::Snp(report) = &machine else {
        panic!("a report")
    };
    let known = values(&format!(
        "[[snp]]\nname = \"web\"\nmeasurements = [\"{}\"]",
        hex::encode(report.claims.measurement)
    ));
    let policy = Policy::default();
    let wanted = wanted(&policy, &known, None);
    let judged = judge(&machine, &[], &wanted);
    let because = "the verdict is not good enough for this secret";
    for (word, lax, strict) in [
        (Word::Affirming, true, true),
        (Word::Warning, true, false),
        (Word::Contraindicated, false, false),
        (Word::Untrusted, false, false),
        (Word::Malformed, false, false),
        (Word::Unavailable, false, false),
    ] {
        let base = Verdict {
            word,
            ..judged.clone()
        };
        for (line, holds, demanded) in [
            ("workload = \"web\"", lax, "affirming or warning"),
            (
                "workload = \"web\"\ndemand_affirming = true",
                strict,
                "affirming",
            ),
        ] {
            let verdict = rule("\"snp\"", line).apply(&base, &wanted, "agent", Suite::X25519);
            let found = found(&verdict, "release.verdict").expect("asked");
            if holds {
                assert_eq!(found.0, Status::Pass, "{word:?}");
                assert_eq!(verdict.word, word);
            } else {
                let told = (Status::Fail, because.to_owned(), word.word().to_owned());
                assert_eq!((found.0, found.1, found.2), told);
                assert_eq!(found.3, demanded);
                let worse = if word == Word::Warning {
                    Word::Contraindicated
                } else {
                    word
                };
                assert_eq!(verdict.word, worse);
            }
        }
        // A demand of the rule's fails, whatever the word was.
        let other = rule("\"snp\"", "workload = \"other\"");
        let verdict = other.apply(&base, &wanted, "agent", Suite::X25519);
        let worse = match word {
            Word::Affirming | Word::Warning => Word::Contraindicated,
            word => word,
        };
        assert_eq!(verdict.word, worse);
        assert!(verdict.failed().contains(&WORKLOAD));
    }
}

#[test]
fn a_secret_leaves_by_its_door_to_a_key_that_is_strong_enough() {
    let machine = Facts::from(snp(&ReportSpec::new(Product::Milan)));
    let (policy, known) = (Policy::default(), ReferenceValues::default());
    let wanted = wanted(&policy, &known, None);
    let judged = judge(&machine, &[], &wanted);
    let strong = "schema = \"zeuge.release-rule.v1\"\ntenant = \"a\"\npath = \"db/key\"\n\
                  door = \"agent\"\nevidence = [\"snp\"]\nminimum_suite = \"x-wing\"\n\
                  chips = \"dangerous_any_chip\"\nworkload = \"web\"";
    let strong = ReleaseRule::parse(strong).expect("a good rule");
    let weak = rule("\"snp\"", "workload = \"web\"");
    let ask = |rule: &ReleaseRule, door: &str, suite: Suite, id: &str| {
        found(&rule.apply(&judged, &wanted, door, suite), id).map(|(status, ..)| status)
    };
    let (pass, fail) = (Some(Status::Pass), Some(Status::Fail));
    for (rule, suite, wanted) in [
        (&strong, Suite::X25519, fail),
        (&strong, Suite::XWing, pass),
        (&weak, Suite::X25519, pass),
        (&weak, Suite::XWing, pass),
    ] {
        assert_eq!(ask(rule, "agent", suite, "release.suite"), wanted);
    }
    assert_eq!(ask(&weak, "agent", Suite::XWing, "release.door"), pass);
    assert_eq!(ask(&weak, "window", Suite::XWing, "release.door"), fail);
    // About evidence that proves nothing there is no workload.
    let nothing = Verdict {
        facts: None,
        ..judged.clone()
    };
    let verdict = weak.apply(&nothing, &wanted, "agent", Suite::XWing);
    assert_eq!(
        found(&verdict, WORKLOAD),
        Some((
            Status::Fail,
            OTHER.to_owned(),
            "nothing proven".to_owned(),
            "a proven workload".to_owned(),
        ))
    );
}

/// What a rule for the boot alone finds.
fn closed(facts: &Facts, known: &ReferenceValues, evidence: &str) -> (Status, String) {
    let lines = "workload = \"web\"\nbefore_closed = true";
    let verdict = ruled(facts, known, evidence, lines);
    let found = found(&verdict, "release.closed").expect("asked");
    (found.0, found.1)
}

const OPEN: (Status, &str) = (Status::Pass, "");
const OVER: (Status, &str) = (Status::Fail, "the machine has said that its boot is over");
const ODD: (Status, &str) = (
    Status::Fail,
    "the register that marks the end of the boot holds something that no reference value names",
);
const UNQUOTED: (Status, &str) = (
    Status::Fail,
    "the register that marks the end of the boot was not quoted",
);
const NOTHING: (Status, &str) = (
    Status::Fail,
    "nothing in this evidence shows whether the boot is over",
);

/// PCR 15 after the mark: SHA-256 over zeros and over SHA-256 of the mark.
fn marked() -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let event = Sha256::digest(b"zeuge:closed");
    Sha256::digest([&[0; 32][..], &event].concat()).to_vec()
}

#[test]
fn pcr_15_shows_whether_the_boot_is_over_wherever_a_tpm_quoted() {
    let set = |value: Option<&[u8]>| {
        let mut machine = tpm();
        let bank = machine
            .pcrs
            .get_mut(&HashAlgorithm::SHA256)
            .expect("a bank");
        bank.remove(&15);
        if let Some(value) = value {
            bank.insert(15, value.to_vec());
        }
        machine
    };
    let pinned = |name: &str| {
        let value = "06".repeat(32).to_uppercase();
        values(&format!(
            "[[tpm]]\nname = \"{name}\"\npcrs = {{ sha256 = {{ 15 = [\"{value}\"] }} }}"
        ))
    };
    let mut almost = [0; 32];
    almost[31] = 1;
    let report = snp(&ReportSpec::new(Product::Milan));
    let mut quoted = quote(QuoteForm::Tdx4);
    td(&mut quoted).rtmr[3] = [0; 48];
    for (value, of_web, of_other) in [
        (Some(&[0; 32][..]), OPEN, OPEN),
        (Some(&[6; 32][..]), OPEN, ODD),
        (Some(&almost[..]), ODD, ODD),
        (Some(marked().as_slice()), OVER, OVER),
        (None, UNQUOTED, UNQUOTED),
    ] {
        let machine = set(value);
        let mut behind = azure(AzureCpu::Tdx);
        behind.tpm = Some(Box::new(machine.clone()));
        let members = pair(Cpu::Snp(Box::new(report.clone())), machine.clone());
        let beside = pair(Cpu::Quote(Box::new(quoted.clone())), machine.clone());
        for (facts, evidence) in [
            (Facts::from(machine), "\"tpm\""),
            (Facts::from(members), "\"snp\", \"tpm\""),
            (Facts::from(beside), "\"tdx\", \"tpm\""),
            (Facts::from(behind), "\"azure\""),
        ] {
            for (name, wanted) in [("web", of_web), ("other", of_other)] {
                let (status, because) = closed(&facts, &pinned(name), evidence);
                assert_eq!((status, because.as_str()), wanted, "{evidence} {value:?}");
            }
        }
    }
    let mut behind = azure(AzureCpu::Tdx);
    behind.tpm = None;
    for (facts, evidence) in [
        (Facts::from(behind), "\"azure\""),
        (Facts::from(report), "\"snp\""),
        (Facts::from(quote(QuoteForm::Sgx3)), "\"sgx\""),
        (Facts::from(nitro(false)), "\"nitro\""),
    ] {
        let (status, because) = closed(&facts, &pinned("web"), evidence);
        assert_eq!((status, because.as_str()), NOTHING, "{evidence}");
    }
}

#[test]
fn of_a_pair_both_registers_must_show_that_the_boot_is_not_over() {
    let mut over = quote(QuoteForm::Tdx4);
    td(&mut over).rtmr[3] = td_boot::closed(&[0; 48]);
    let mut strange = quote(QuoteForm::Tdx4);
    td(&mut strange).rtmr[3] = [7; 48];
    let mut machine = tpm();
    let bank = machine
        .pcrs
        .get_mut(&HashAlgorithm::SHA256)
        .expect("a bank");
    bank.insert(15, vec![0; 32]);
    let odd = (
        Status::Fail,
        "the register that marks the end of the boot holds something that neither a reference value \
         names nor a boot log explains",
    );
    let value = |name: &str| {
        let measured = "d1".repeat(48);
        values(&format!(
            "[[tdx]]\nname = \"{name}\"\nmr_td = [\"{measured}\"]\nrtmr = {{ 3 = [\"{}\"] }}",
            "07".repeat(48)
        ))
    };
    let mut plain = quote(QuoteForm::Tdx4);
    td(&mut plain).rtmr[3] = [0; 48];
    for (found, of_web, of_other) in [
        (plain, OPEN, OPEN),
        (over, OVER, OVER),
        (strange, OPEN, odd),
    ] {
        let facts = Facts::from(pair(Cpu::Quote(Box::new(found.clone())), machine.clone()));
        let alone = Facts::from(found);
        for (name, wanted) in [("web", of_web), ("other", of_other)] {
            for (facts, evidence) in [(&facts, "\"tdx\", \"tpm\""), (&alone, "\"tdx\"")] {
                let (status, because) = closed(facts, &value(name), evidence);
                assert_eq!((status, because.as_str()), wanted, "{evidence}");
            }
        }
    }
    // A rule that does not ask is not answered.
    let verdict = ruled(
        &Facts::from(machine),
        &value("web"),
        "\"tpm\"",
        "workload = \"web\"",
    );
    assert_eq!(found(&verdict, "release.closed"), None);
}
