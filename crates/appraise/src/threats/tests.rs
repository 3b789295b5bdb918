//! The knowledge itself: what it may say, and what it says.

use std::collections::BTreeSet;

use super::*;

fn parsed(text: &str) -> Result<Knowledge, String> {
    Knowledge::parse(text).map_err(|error| error.because)
}

/// The built-in text with one change, which must be possible.
fn changed(from: &str, to: &str) -> Result<Knowledge, String> {
    assert!(BUILT_IN.contains(from), "{from}");
    parsed(&BUILT_IN.replacen(from, to, 1))
}

#[test]
fn the_built_in_knowledge_can_be_read() {
    let knowledge = Knowledge::parse(BUILT_IN).unwrap();
    assert_eq!(Knowledge::built_in(), &knowledge);
    assert_eq!(knowledge.id().version, 1);
    assert_ne!(knowledge.id().digest, [0; 32]);
}

#[test]
fn every_row_of_the_fact_sheet_is_there() {
    let knowledge = Knowledge::built_in();
    let rows = [
        ("AMD", 1, 33),
        ("TDX", 1, 12),
        ("SGX", 1, 15),
        ("PHY", 1, 7),
        ("TPM", 1, 9),
        ("PAR", 1, 5),
        ("PRO", 1, 11),
        ("GPU", 1, 3),
    ];
    let mut sheet = BTreeSet::new();
    for (area, first, last) in rows {
        for number in first..=last {
            let id = format!("{area}-{number:02}");
            assert!(knowledge.threat(&id).is_some(), "{id}");
            sheet.insert(id);
        }
    }
    // And the other way round: what is there beside the sheet was added on purpose, here.
    let known = knowledge.threats().iter().map(|threat| threat.id.clone());
    let added: Vec<_> = known.filter(|id| !sheet.contains(id)).collect();
    assert_eq!(
        added,
        [
            "TDX-00", "CSP-01", "CSP-02", "CSP-03", "MEM-01", "VEN-01", "VEN-02", "WIT-01",
            "OWN-01", "OWN-02", "OWN-03", "OWN-04", "OWN-05",
        ]
    );
    assert_eq!(knowledge.history().len(), 11);
    assert_eq!(knowledge.limits().len(), 8);
}

/// Whether a condition speaks of evidence of this kind.
fn speaks_of(condition: &Condition, kind: &str) -> bool {
    match condition {
        Condition::Evidence(kinds) => kinds.iter().any(|known| known == kind),
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().any(|part| speaks_of(part, kind))
        }
        _ => false,
    }
}

#[test]
fn of_every_platform_something_is_known_for_everybody_below_it() {
    let below = [
        Who::ProviderEmployee,
        Who::PhysicalBrief,
        Who::PhysicalLaboratory,
        Who::ProviderOrganisation,
        Who::CpuMaker,
    ];
    let knowledge = Knowledge::built_in();
    for kind in ["snp", "tdx", "sgx", "tpm", "azure", "nitro"] {
        for who in below {
            let can = &knowledge.adversary(who).expect("all nine stand").can;
            let mut all = knowledge.threats().iter();
            let found = all.any(|threat| {
                speaks_of(&threat.applies, kind)
                    && threat.positions.iter().any(|at| can.contains(at))
            });
            assert!(found, "{kind}: nothing is known of {}", who.word());
        }
    }
}

/// Every row that can say PROVEN, with how sure the rule is and its sources. A new one is looked at
/// by a person, here.
const CAN_PROVE: &[(&str, &str, &str)] = &[
    ("AMD-07", "secondary", "S3"),
    ("AMD-09", "secondary", "S3"),
    ("AMD-10", "secondary", "S3"),
    ("AMD-16", "secondary", "S10 S15"),
    ("AMD-18", "secondary", "S4 S17b"),
    ("AMD-20", "secondary", "S3"),
    ("AMD-21", "secondary", "S6b S11"),
    ("AMD-22", "secondary", "S16"),
    ("AMD-24", "secondary", "S6b S39"),
    ("AMD-25", "secondary", "S2 S16"),
    ("AMD-26", "secondary", "S2 S17"),
    ("AMD-28", "secondary", "S8 S3"),
    ("AMD-33", "secondary", "S3"),
    ("CSP-01", "primary", "S21"),
    ("OWN-01", "primary", "DESIGN"),
    ("OWN-02", "primary", "DESIGN"),
    ("OWN-05", "primary", "DESIGN"),
    ("PRO-01", "primary", "DESIGN"),
    ("PRO-02", "primary", "DESIGN"),
    ("PRO-03", "primary", "DESIGN S19"),
    ("PRO-04", "primary", "DESIGN"),
    ("PRO-05", "primary", "DESIGN"),
    ("PRO-10", "primary", "DESIGN"),
    ("SGX-03", "secondary", "S37 S36 S37"),
    ("SGX-10", "secondary", "S37 S36 S37"),
    ("SGX-11", "secondary", "S37 S36 S37"),
    ("SGX-12", "secondary", "S37 S36 S37"),
    ("TDX-00", "primary", "S36 S37"),
    ("TDX-02", "secondary", "S13 S36 S37"),
    ("TDX-04", "secondary", "S14 S36 S37"),
    ("TDX-07", "secondary", "S14 S36 S37"),
    ("TDX-08", "secondary", "S13"),
    ("TDX-11", "primary", "S18"),
    ("VEN-01", "primary", "DESIGN"),
];

#[test]
fn every_row_that_can_say_proven_stands_in_this_list_with_its_source() {
    let mut found = BTreeSet::new();
    for threat in Knowledge::built_in().threats() {
        for rule in threat
            .rule
            .iter()
            .filter(|rule| rule.state == State::Proven)
        {
            let sure = rule.confidence.unwrap_or(threat.confidence);
            assert!(sure > LOW, "{}", threat.id);
            let sources = if rule.sources.is_empty() {
                &threat.sources
            } else {
                &rule.sources
            };
            found.insert((threat.id.clone(), sure.word().to_owned(), sources.join(" ")));
        }
    }
    let listed = CAN_PROVE.iter();
    let listed: BTreeSet<_> = listed
        .map(|(id, sure, sources)| ((*id).to_owned(), (*sure).to_owned(), (*sources).to_owned()))
        .collect();
    assert_eq!(found, listed);
}

#[test]
fn figures_that_are_disputed_withdrawn_or_from_memory_prove_nothing() {
    let weak: Vec<_> = Knowledge::built_in()
        .floors()
        .iter()
        .filter(|floor| !floor.can_prove())
        .map(|floor| (floor.set.as_str(), floor.standing.word()))
        .collect();
    let sets: BTreeSet<_> = weak.iter().copied().collect();
    assert_eq!(
        sets,
        BTreeSet::from([
            ("AMD-SB-3005", "disputed"),
            ("AMD-SB-3027", "active"),
            ("AMD-SB-3027", "disputed"),
            ("AMD-SB-3030", "disputed"),
            ("AMD-SB-3034", "withdrawn"),
        ])
    );
}

#[test]
fn a_rule_from_memory_that_says_proven_is_refused() {
    let refusal = changed(
        "{ state = \"UNPROVABLE\", when = { all = [{ bit = { field = \"POLICY\", number = 24",
        "{ state = \"PROVEN\", when = { all = [{ bit = { field = \"POLICY\", number = 24",
    );
    let refusal = refusal.unwrap_err();
    assert_eq!(
        refusal,
        "AMD-06: what is known from memory alone is never PROVEN"
    );
}

#[test]
fn nobody_is_left_out_and_nothing_unseen_protects() {
    let refusal = changed("who = \"cpu-maker\"", "who = \"remote\"").unwrap_err();
    assert_eq!(refusal, "the adversary remote must stand once");
    let refusal = changed("invisible = \"not_protected\"", "invisible = \"protected\"");
    let refusal = refusal.unwrap_err();
    assert_eq!(
        refusal,
        "physical-brief: what nobody can see protects nobody"
    );
}

#[test]
fn knowledge_that_cannot_be_evaluated_is_refused() {
    for (from, to, because) in [
        ("version = 1", "version = 0", "version begins with 1"),
        (
            "otherwise = \"UNPROVABLE\"",
            "otherwise = \"PROVEN\"",
            "AMD-01: nothing is PROVEN where no rule holds",
        ),
        (
            "id = \"AMD-02\"",
            "id = \"AMD-01\"",
            "the threat AMD-01 stands twice",
        ),
        (
            "{ floors = \"AMD-SB-3015\" }",
            "{ floors = \"AMD-SB-1\" }",
            "AMD-16: there are no figures of AMD-SB-1",
        ),
        (
            "field = \"PLATFORM_INFO\"",
            "field = \"PLATFORM\"",
            "AMD-06: the field \"PLATFORM\" is not known",
        ),
    ] {
        assert_eq!(changed(from, to).unwrap_err(), because, "{from}");
    }
    let surprise = format!("{BUILT_IN}\nsurprise = 1\n");
    assert!(parsed(&surprise).unwrap_err().contains("surprise"));
}

#[test]
fn a_condition_that_goes_on_for_ever_is_refused() {
    let deep = format!(
        "{}{{ always = true }}{}",
        "{ not = ".repeat(20),
        " }".repeat(20)
    );
    let refusal = changed("applies = { always = false }", &format!("applies = {deep}"));
    let refusal = refusal.unwrap_err();
    assert!(refusal.contains("deep; at most"), "{refusal}");
    let wide = vec!["{ always = true }"; 200].join(", ");
    let wide = format!("applies = {{ all = [{wide}] }}");
    let refusal = changed("applies = { always = false }", &wide).unwrap_err();
    assert!(refusal.contains("201 parts"), "{refusal}");
    let bottomless = format!("applies = {}", "{ not = ".repeat(100_000));
    assert!(changed("applies = { always = false }", &bottomless).is_err());
}

#[test]
fn plain_texts_are_short_and_free_of_jargon() {
    // Words that a reader without the trade does not know; names of attacks stand elsewhere.
    const JARGON: &[&str] = &[
        "TCB",
        "VCEK",
        "PSP",
        "RMP",
        "ABI",
        "SVN",
        "interposer",
        "Interposer",
        "attestation report",
        "XEX",
        "XTS",
        "nonce",
        "Nonce",
        "enclave page",
        "hypercall",
        "VMPL",
        "CPUID",
    ];
    for threat in Knowledge::built_in().threats() {
        for text in [&threat.general.en, &threat.general.de] {
            let id = &threat.id;
            let sentences: Vec<&str> = text.split(". ").collect();
            assert!((1..=2).contains(&sentences.len()), "{id}: {text}");
            for sentence in sentences {
                let words = sentence.split_whitespace().count();
                assert!(words <= 26, "{id}: {words} words: {sentence}");
            }
            assert!(text.ends_with('.'), "{id}: {text}");
            for word in JARGON {
                assert!(!text.contains(word), "{id}: {word}");
            }
        }
        assert_ne!(threat.general.en, threat.general.de, "{}", threat.id);
    }
}

#[test]
fn nobody_with_hands_keys_or_the_building_can_ever_be_plainly_protected_from() {
    let best = |who: Who| who.best();
    for who in [
        Who::PhysicalBrief,
        Who::PhysicalLaboratory,
        Who::ProviderOrganisation,
        Who::CpuMaker,
        Who::WitnessOperator,
        Who::OwnerMistake,
    ] {
        assert_eq!(best(who), Protection::Conditional, "{}", who.word());
    }
}

#[test]
fn states_stand_in_the_order_of_precedence() {
    let order = [
        State::NotApplicable,
        State::Proven,
        State::Invisible,
        State::Unprovable,
        State::NoThreshold,
        State::Exposed,
        State::Forgeable,
    ];
    assert!(order.windows(2).all(|pair| pair[0] < pair[1]));
}
