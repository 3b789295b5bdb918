//! Every condition of threat knowledge over proven facts: what it answers on either side of its edge, and
//! where evidence cannot show it. Asked by threats of this file's own, beside the built-in ones.
#![expect(clippy::too_many_lines, reason = "tables: a case is a line")]

mod told_all;

use std::fmt::Write as _;

use told_all::{azure, nitro, pair, quote, snp, td, tpm, wanted};
use zeuge_appraise::{
    Cpu, Facts, JudgedBy, Knowledge, Policy, ReferenceValues, judge, threats::State,
};
use zeuge_evidence::{UnixTime, snp::Mitigations};
use zeuge_sim::{AzureCpu, Product, QuoteForm, ReportSpec, Signer};
use zeuge_verify::{
    dcap::{SgxType, TcbStatus},
    tpm::TrustBasis,
};

/// It holds, it does not, the evidence does not show it, no figure can be relied on.
const YES: State = State::Proven;
const NO: State = State::Exposed;
const HIDDEN: State = State::Unprovable;
const VAGUE: State = State::NoThreshold;

/// Figures that sets of this file are made of: set, line, component, least, confidence, standing.
const FIGURES: [(&str, &str, &str, u8, &str, &str); 14] = [
    ("p-both", "milan-b1", "snp", 0x17, "primary", "active"),
    (
        "p-both",
        "milan-b1",
        "microcode",
        0xdb,
        "secondary",
        "active",
    ),
    ("p-gone", "milan-b1", "snp", 0x01, "primary", "withdrawn"),
    ("p-disputed", "milan-b1", "snp", 0x17, "primary", "disputed"),
    ("p-absent", "milan-b1", "fmc", 0x01, "primary", "active"),
    ("p-memory", "milan-b1", "snp", 0x17, "memory", "active"),
    (
        "p-mixed",
        "milan-b1",
        "microcode",
        0x01,
        "primary",
        "withdrawn",
    ),
    ("p-mixed", "milan-b1", "snp", 0x17, "primary", "active"),
    ("p-other", "genoa-b1", "snp", 0x17, "primary", "active"),
    ("p-alike", "milan-b1", "snp", 0x17, "primary", "active"),
    ("p-alike", "milan-x-b2", "snp", 0x17, "primary", "active"),
    ("p-unlike", "milan-b1", "snp", 0x17, "primary", "active"),
    ("p-unlike", "milan-x-b2", "snp", 0x18, "primary", "active"),
    ("p-turin", "turin-c1", "fmc", 0x01, "primary", "active"),
];

/// The built-in knowledge with one threat more for each condition, `PROVEN` where it holds.
fn knowledge(conditions: &[(&str, State)]) -> Knowledge {
    let mut text = Knowledge::built_in_text().to_owned();
    for (number, (condition, _)) in conditions.iter().enumerate() {
        let words = ["general.en", "general.de", "mitigation.en", "mitigation.de"];
        let words = words.map(|name| format!("{name} = \"A word.\"\n")).concat();
        let _ = write!(
            text,
            "\n[[threat]]\nid = \"PROBE-{number}\"\ngroup = \"owner\"\nname = \"a probe\"\n\
             year = \"2026\"\npositions = [\"owner\"]\nbreaks = [\"keys\"]\naffected = \"all\"\n\
             confidence = \"primary\"\nsources = [\"S3\"]\n{words}applies = {{ always = true }}\n\
             rule = [{{ state = \"PROVEN\", when = {condition} }}]\notherwise = \"EXPOSED\"\n"
        );
    }
    for (set, line, component, least, confidence, standing) in FIGURES {
        let _ = write!(
            text,
            "\n[[floor]]\nset = \"{set}\"\nline = \"{line}\"\ncomponent = \"{component}\"\n\
             minimum = {least}\nconfidence = \"{confidence}\"\nstanding = \"{standing}\"\n\
             sources = [\"S3\"]\nchecked = \"2026-11-27\"\n"
        );
    }
    Knowledge::parse(&text).expect("good knowledge")
}

/// Asks all conditions about these facts.
fn ask(facts: impl Into<Facts>, policy: &str, by: JudgedBy, conditions: &[(&str, State)]) {
    let policy = Policy::parse(&format!("schema = \"zeuge.policy.v1\"\n{policy}")).expect("good");
    let values = ReferenceValues::default();
    let knowledge = knowledge(conditions);
    let mut verdict = judge(&facts.into(), &[], &wanted(&policy, &values, None));
    verdict.assess(&knowledge, by);
    let mut wrong = Vec::new();
    for (number, (condition, wanted)) in conditions.iter().enumerate() {
        let id = format!("PROBE-{number}");
        let found = verdict
            .threats
            .iter()
            .find(|one| one.id == id)
            .expect("asked");
        if found.state != *wanted {
            wrong.push(format!("{condition}: {:?}, not {wanted:?}", found.state));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn owner(facts: impl Into<Facts>, conditions: &[(&str, State)]) {
    ask(facts, "", JudgedBy::Owner, conditions);
}

#[test]
fn a_condition_of_others_answers_in_three_values() {
    let (yes, no) = ("{ always = true }", "{ always = false }");
    // Of a TPM alone a bit of a report is not shown, and a set of figures neither.
    let hidden = "{ vmpl = [0] }";
    let all = |parts: &[&str]| format!("{{ all = [{}] }}", parts.join(", "));
    let any = |parts: &[&str]| format!("{{ any = [{}] }}", parts.join(", "));
    let not = |part: &str| format!("{{ not = {part} }}");
    let cases = [
        (yes.to_owned(), YES),
        (no.to_owned(), NO),
        (hidden.to_owned(), HIDDEN),
        (not(yes), NO),
        (not(no), YES),
        (not(hidden), HIDDEN),
        (all(&[yes, yes]), YES),
        (all(&[yes, no]), NO),
        (all(&[no, yes]), NO),
        (all(&[hidden, no]), NO),
        (all(&[hidden, yes]), HIDDEN),
        (all(&[yes, hidden]), HIDDEN),
        (any(&[no, no]), NO),
        (any(&[no, yes]), YES),
        (any(&[hidden, yes]), YES),
        (any(&[hidden, no]), HIDDEN),
        (any(&[no, hidden]), HIDDEN),
    ];
    let cases: Vec<_> = cases
        .iter()
        .map(|(text, state)| (text.as_str(), *state))
        .collect();
    owner(tpm(), &cases);
}

#[test]
fn figures_must_be_reached_in_all_four_views_and_prove_only_where_they_can_be_relied_on() {
    let mut machine = snp(&ReportSpec::new(Product::Milan));
    let reach = |machine: &mut zeuge_appraise::SnpFacts, snp: u8, microcode: u8| {
        let claims = &mut machine.claims;
        for view in [
            &mut claims.current_tcb,
            &mut claims.reported_tcb,
            &mut claims.committed_tcb,
            &mut claims.launch_tcb,
        ] {
            (view.0[6], view.0[7]) = (snp, microcode);
        }
    };
    reach(&mut machine, 0x17, 0xdb);
    owner(
        machine.clone(),
        &[
            ("{ floors = \"p-both\" }", YES),
            ("{ floors = \"p-gone\" }", VAGUE),
            ("{ floors = \"p-disputed\" }", VAGUE),
            ("{ floors = \"p-absent\" }", HIDDEN),
            ("{ floors = \"p-memory\" }", VAGUE),
            ("{ floors = \"p-mixed\" }", VAGUE),
            ("{ floors = \"p-other\" }", VAGUE),
            ("{ floors = \"p-alike\" }", YES),
            ("{ floors = \"p-unlike\" }", YES),
            ("{ line = [\"milan-b1\"] }", YES),
            ("{ line = [\"milan-x-b2\"] }", NO),
            ("{ line = [\"genoa-b1\", \"milan-b1\"] }", YES),
            ("{ product = [\"Milan\"] }", YES),
            ("{ product = [\"Genoa\", \"Turin\"] }", NO),
        ],
    );
    for view in 0..4 {
        for (place, both, memory) in [(6, NO, NO), (7, NO, VAGUE)] {
            let mut older = machine.clone();
            let claims = &mut older.claims;
            let views = [
                &mut claims.current_tcb,
                &mut claims.reported_tcb,
                &mut claims.committed_tcb,
                &mut claims.launch_tcb,
            ];
            views.into_iter().nth(view).expect("four").0[place] -= 1;
            let disputed = ("{ floors = \"p-disputed\" }", VAGUE);
            let mixed = ("{ floors = \"p-mixed\" }", memory);
            owner(
                older,
                &[
                    ("{ floors = \"p-both\" }", both),
                    ("{ floors = \"p-memory\" }", memory),
                    disputed,
                    mixed,
                ],
            );
        }
    }
    // A report of version 2 does not name its line: all of the product's must agree.
    let mut nameless = machine.clone();
    nameless.claims.cpuid = None;
    owner(
        nameless.clone(),
        &[
            ("{ floors = \"p-alike\" }", YES),
            ("{ floors = \"p-unlike\" }", HIDDEN),
            ("{ line = [\"milan-b1\"] }", HIDDEN),
            ("{ line = [\"milan-b1\", \"milan-x-b2\"] }", YES),
            ("{ line = [\"genoa-b1\"] }", NO),
        ],
    );
    reach(&mut nameless, 0x16, 0xdb);
    owner(
        nameless,
        &[
            ("{ floors = \"p-alike\" }", NO),
            ("{ floors = \"p-unlike\" }", NO),
        ],
    );
    // Silicon that nobody listed has no figures.
    for change in 0..3 {
        let mut strange = machine.clone();
        let cpuid = strange.claims.cpuid.as_mut().expect("a line");
        match change {
            0 => cpuid.family += 1,
            1 => cpuid.model += 1,
            _ => cpuid.stepping = 0,
        }
        owner(
            strange,
            &[
                ("{ floors = \"p-both\" }", VAGUE),
                ("{ line = [\"milan-b1\"] }", NO),
            ],
        );
    }
    let turin = snp(&ReportSpec::new(Product::Turin));
    owner(
        turin,
        &[
            ("{ floors = \"p-turin\" }", YES),
            ("{ floors = \"p-both\" }", VAGUE),
        ],
    );
    owner(
        tpm(),
        &[
            ("{ floors = \"p-both\" }", HIDDEN),
            ("{ line = [\"milan-b1\"] }", NO),
        ],
    );
}

#[test]
fn the_fields_of_a_report_are_read_by_bit_level_version_and_signer() {
    let mut machine = snp(&ReportSpec::new(Product::Milan));
    machine.claims.version = 5;
    machine.claims.vmpl = 2;
    machine.claims.policy.0 = 1 << 19;
    machine.claims.platform_info.0 = 1 << 63;
    machine.claims.key_info.0 = 1;
    machine.claims.mitigations = Some(Mitigations {
        launch: 0b011,
        current: 0b101,
    });
    let bit = |field: &str, number: u8, is: bool, since: u32| {
        format!(
            "{{ bit = {{ field = \"{field}\", number = {number}, is = {is}, since = {since} }} }}"
        )
    };
    let bits = [
        (bit("POLICY", 19, true, 0), YES),
        (bit("POLICY", 19, false, 0), NO),
        (bit("POLICY", 18, true, 0), NO),
        (bit("POLICY", 18, false, 0), YES),
        (bit("POLICY", 18, false, 5), YES),
        (bit("POLICY", 18, false, 6), HIDDEN),
        (bit("POLICY", 18, true, 6), HIDDEN),
        // A bit that is set says so in every version.
        (bit("POLICY", 19, true, 6), YES),
        (bit("PLATFORM_INFO", 63, true, 0), YES),
        (bit("PLATFORM_INFO", 0, true, 0), NO),
        (bit("KEY_INFO", 0, true, 0), YES),
        (bit("KEY_INFO", 32, true, 0), NO),
        (bit("TD_ATTRIBUTES", 0, true, 0), HIDDEN),
    ];
    let mut cases: Vec<_> = bits
        .iter()
        .map(|(text, state)| (text.as_str(), *state))
        .collect();
    cases.extend([
        ("{ mitigation = 0 }", YES),
        ("{ mitigation = 1 }", NO),
        ("{ mitigation = 2 }", NO),
        ("{ mitigation = 3 }", NO),
        ("{ report-version = 4 }", YES),
        ("{ report-version = 5 }", YES),
        ("{ report-version = 6 }", NO),
        ("{ vmpl = [2] }", YES),
        ("{ vmpl = [0, 1, 2] }", YES),
        ("{ vmpl = [0, 1, 3] }", NO),
        ("{ signer = \"vcek\" }", YES),
        ("{ signer = \"vlek\" }", NO),
        ("{ committed = true }", YES),
        ("{ committed = false }", NO),
        ("{ evidence = [\"snp\"] }", YES),
        ("{ evidence = [\"tdx\", \"tpm\"] }", NO),
        ("{ sgx-type = [\"standard\"] }", HIDDEN),
        ("{ roca = true }", HIDDEN),
    ]);
    owner(machine.clone(), &cases);
    let mut older = machine.clone();
    older.claims.mitigations = None;
    older.claims.current_tcb.0[0] ^= 1;
    owner(
        older,
        &[
            ("{ mitigation = 0 }", HIDDEN),
            ("{ committed = true }", NO),
            ("{ committed = false }", YES),
        ],
    );
    let mut provisional = machine;
    provisional.claims.committed_version.build ^= 1;
    owner(provisional, &[("{ committed = true }", NO)]);
    let rented = snp(&ReportSpec {
        signer: Signer::Vlek,
        ..ReportSpec::new(Product::Milan)
    });
    owner(
        rented,
        &[
            ("{ signer = \"vcek\" }", NO),
            ("{ signer = \"vlek\" }", YES),
        ],
    );
    owner(
        quote(QuoteForm::Sgx3),
        &[
            ("{ mitigation = 0 }", HIDDEN),
            ("{ signer = \"vcek\" }", HIDDEN),
        ],
    );
}

#[test]
fn what_intel_says_of_a_platform_is_read_from_its_documents_and_its_certificate() {
    let mut machine = quote(QuoteForm::Tdx5);
    machine.standing.status = TcbStatus::OutOfDate;
    machine.standing.advisories = vec!["INTEL-SA-1".to_owned()];
    machine.standing.tcb_date = UnixTime::parse_rfc3339("2026-01-31T00:00:00Z");
    machine.platform.sgx_type = SgxType::Scalable;
    if let Some(held) = &mut machine.platform.configuration {
        held.smt_enabled = Some(true);
    }
    let report = td(&mut machine);
    report.tee_tcb_svn = [3; 16];
    report.tee_tcb_svn[1] = 1;
    report.td_attributes.0 = 1 << 28;
    let td15 = report.td15.as_mut().expect("TDX 1.5");
    td15.tee_tcb_svn2 = report.tee_tcb_svn;
    td15.mr_service_td = [0; 48];
    let fixed = |ids: &str, day: &str| {
        format!("{{ advisory-fixed = {{ ids = [{ids}], out_by = \"{day}\" }} }}")
    };
    let (open, other) = ("\"INTEL-SA-1\"", "\"INTEL-SA-2\"");
    let both = format!("{other}, {open}");
    let dated = [
        (fixed(other, "2026-01-30"), YES),
        (fixed(other, "2026-01-31"), YES),
        (fixed(other, "2026-02-01"), HIDDEN),
        (fixed(open, "2026-01-30"), NO),
        (fixed(&both, "2026-01-30"), NO),
    ];
    let mut cases: Vec<_> = dated
        .iter()
        .map(|(text, state)| (text.as_str(), *state))
        .collect();
    cases.extend([
        ("{ advisory-open = [\"INTEL-SA-1\"] }", YES),
        ("{ advisory-open = [\"INTEL-SA-2\", \"INTEL-SA-1\"] }", YES),
        ("{ advisory-open = [\"INTEL-SA-2\"] }", NO),
        ("{ tcb-status = [\"OutOfDate\"] }", YES),
        ("{ tcb-status = [\"UpToDate\", \"OutOfDate\"] }", YES),
        ("{ tcb-status = [\"UpToDate\"] }", NO),
        ("{ sgx-type = [\"scalable\"] }", YES),
        (
            "{ sgx-type = [\"standard\", \"scalable-with-integrity\"] }",
            NO,
        ),
        ("{ module = { major = 1, minor = 2 } }", YES),
        ("{ module = { major = 1, minor = 3 } }", YES),
        ("{ module = { major = 1, minor = 4 } }", NO),
        ("{ module = { major = 2, minor = 0 } }", HIDDEN),
        ("{ service-td = false }", YES),
        ("{ service-td = true }", NO),
        ("{ relaunched = true }", YES),
        ("{ relaunched = false }", NO),
        (
            "{ bit = { field = \"TD_ATTRIBUTES\", number = 28, is = true } }",
            YES,
        ),
        (
            "{ bit = { field = \"TD_ATTRIBUTES\", number = 27, is = true } }",
            NO,
        ),
        (
            "{ bit = { field = \"POLICY\", number = 0, is = true } }",
            HIDDEN,
        ),
        ("{ evidence = [\"tdx\"] }", YES),
        ("{ evidence = [\"sgx\"] }", NO),
    ]);
    owner(machine.clone(), &cases);
    let mut changed = machine.clone();
    changed.standing.status = TcbStatus::TcbNotSupported;
    changed.standing.tcb_date = None;
    let td15 = td(&mut changed).td15.as_mut().expect("TDX 1.5");
    td15.mr_service_td[47] = 1;
    td15.tee_tcb_svn2[0] ^= 1;
    let undated = fixed(other, "2026-01-30");
    owner(
        changed,
        &[
            ("{ advisory-open = [\"INTEL-SA-1\"] }", YES),
            ("{ advisory-open = [\"INTEL-SA-2\"] }", HIDDEN),
            (undated.as_str(), HIDDEN),
            ("{ service-td = true }", YES),
            ("{ service-td = false }", NO),
            ("{ relaunched = true }", NO),
            ("{ relaunched = false }", YES),
        ],
    );
    let mut first = quote(QuoteForm::Tdx4);
    first.platform.configuration = None;
    first.platform.sgx_type = SgxType::ScalableWithIntegrity;
    owner(
        first,
        &[
            ("{ service-td = false }", HIDDEN),
            ("{ relaunched = true }", HIDDEN),
            ("{ pck-smt = true }", HIDDEN),
            ("{ sgx-type = [\"scalable-with-integrity\"] }", YES),
        ],
    );
    let mut enclave = quote(QuoteForm::Sgx3);
    enclave.platform.sgx_type = SgxType::Standard;
    owner(
        enclave,
        &[
            ("{ module = { major = 1, minor = 2 } }", HIDDEN),
            ("{ sgx-type = [\"standard\"] }", YES),
            ("{ evidence = [\"sgx\"] }", YES),
            ("{ evidence = [\"tdx\"] }", NO),
        ],
    );
    if machine.platform.configuration.is_some() {
        owner(
            machine,
            &[("{ pck-smt = true }", YES), ("{ pck-smt = false }", NO)],
        );
    }
    owner(tpm(), &[("{ tcb-status = [\"UpToDate\"] }", HIDDEN)]);
}

#[test]
fn what_is_known_of_a_tpm_comes_from_its_certificate_and_its_quote() {
    let mut machine = tpm();
    machine.firmware_version = 0x10;
    let TrustBasis::Activated(ek) = &machine.trust else {
        panic!("an activated AK")
    };
    let maker = ek.identity.manufacturer_text().expect("a maker");
    let maker = maker.trim_matches(char::from(0)).trim().to_owned();
    let maker = format!("{{ tpm-maker = [\"ZZZ\", \"{maker}\"] }}");
    let root = format!("{{ tpm-root = [\"{}\"] }}", ek.root.maker);
    let firmware = [
        ("{ tpm-firmware = 15 }", YES),
        ("{ tpm-firmware = 16 }", YES),
        ("{ tpm-firmware = 17 }", NO),
    ];
    let certified = [
        (maker.as_str(), YES),
        ("{ tpm-maker = [\"ZZZ\"] }", NO),
        (root.as_str(), YES),
        ("{ tpm-root = [\"nobody\"] }", NO),
        ("{ roca = true }", NO),
        ("{ roca = false }", YES),
        ("{ evidence = [\"tpm\"] }", YES),
        ("{ evidence = [\"snp\"] }", NO),
    ];
    owner(machine.clone(), &[&firmware[..], &certified[..]].concat());
    let mut enrolled = machine.clone();
    enrolled.trust = TrustBasis::CommittedByReport;
    let hidden = certified[..6].iter().map(|(text, _)| (*text, HIDDEN));
    let hidden: Vec<_> = hidden.chain(firmware).collect();
    owner(enrolled, &hidden);
    let report = snp(&ReportSpec::new(Product::Milan));
    owner(report, &[("{ tpm-firmware = 0 }", HIDDEN)]);
}

#[test]
fn every_member_of_a_machine_is_looked_at() {
    let report = snp(&ReportSpec::new(Product::Milan));
    let quoted = quote(QuoteForm::Tdx4);
    let of = |kinds: [State; 6]| {
        [
            ("{ evidence = [\"snp\"] }", kinds[0]),
            ("{ evidence = [\"tdx\"] }", kinds[1]),
            ("{ evidence = [\"sgx\"] }", kinds[2]),
            ("{ evidence = [\"tpm\"] }", kinds[3]),
            ("{ evidence = [\"azure\"] }", kinds[4]),
            ("{ evidence = [\"nitro\"] }", kinds[5]),
        ]
    };
    owner(
        pair(Cpu::Snp(Box::new(report)), tpm()),
        &of([YES, NO, NO, YES, NO, NO]),
    );
    owner(
        pair(Cpu::Quote(Box::new(quoted)), tpm()),
        &of([NO, YES, NO, YES, NO, NO]),
    );
    owner(
        azure(AzureCpu::Snp(Product::Milan)),
        &of([YES, NO, NO, YES, YES, NO]),
    );
    owner(azure(AzureCpu::Tdx), &of([NO, YES, NO, YES, YES, NO]));
    let mut alone = azure(AzureCpu::Tdx);
    alone.tpm = None;
    owner(alone, &of([NO, YES, NO, NO, YES, NO]));
    owner(nitro(false), &of([NO, NO, NO, NO, NO, YES]));
}

#[test]
fn outcomes_of_checks_dangerous_settings_and_the_judge_are_looked_at() {
    let mut machine = snp(&ReportSpec::new(Product::Milan));
    machine.root.toy = false;
    let judged = [
        ("{ judged = \"owner\" }", "{ judged = \"witness\" }"),
        ("{ judged = \"witness\" }", "{ judged = \"owner\" }"),
    ];
    for (by, (yes, no)) in [JudgedBy::Owner, JudgedBy::Witness].into_iter().zip(judged) {
        ask(
            machine.clone(),
            "",
            by,
            &[
                (yes, YES),
                (no, NO),
                ("{ check = { id = \"policy.debug\", was = \"pass\" } }", YES),
                ("{ check = { id = \"policy.debug\", was = \"fail\" } }", NO),
                (
                    "{ check = { id = \"policy.measurement\", was = \"fail\" } }",
                    YES,
                ),
                ("{ check = { id = \"policy.smt\", was = \"pass\" } }", NO),
                ("{ dangerous = false }", YES),
                ("{ dangerous = true }", NO),
            ],
        );
    }
    let used = [("{ dangerous = true }", YES), ("{ dangerous = false }", NO)];
    let mut open = machine.clone();
    open.claims.policy.0 |= 1 << 19;
    let line = "[snp]\ndangerous_allow_debug = \"a laboratory\"";
    ask(open, line, JudgedBy::Owner, &used);
    let mut toy = machine;
    toy.root.toy = true;
    owner(toy, &used);
}
