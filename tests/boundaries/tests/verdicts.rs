//! What must hold for verdicts, whatever the machine and its lie: taking endorsements away makes
//! nothing good, strangers' certificates change nothing, and neither does the order in which they
//! are offered. Compared is the whole JSON.

use zeuge_appraise::{Facts, Kind, Policy, ReferenceValues, Verdict, Wanted, judge};
use zeuge_evidence::{UnixTime, dcap, snp};
use zeuge_sim::{
    IntelLie, Lie, Product, QuoteForm, QuoteSpec, ReportSpec, Signer, ToyAmd, ToyIntel,
};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, crypto::AWS_LC, snp::unless_broken_beside,
};

const NOW: UnixTime = UnixTime(1_772_323_200);

type Files = Vec<(String, Vec<u8>)>;
type Proven = (Facts, Vec<&'static str>);

/// Told evidence of either maker.
struct Told {
    name: String,
    kind: Kind,
    evidence: Vec<u8>,
    files: Files,
    at: UnixTime,
    report_data: [u8; 64],
}

struct Judge {
    anchors: Anchors,
    policy: Policy,
    values: ReferenceValues,
}

impl Judge {
    fn new(trust: &str) -> Self {
        Self {
            anchors: Anchors::dangerous_sim(trust).expect("a good trust file"),
            policy: Policy::default(),
            values: ReferenceValues::default(),
        }
    }

    fn proven(&self, told: &Told, files: &[&(String, Vec<u8>)]) -> Result<Proven, Error> {
        let mut heap = Endorsements::new();
        for (name, bytes) in files {
            heap.add(name, bytes);
        }
        let binding = Binding::ReportData(told.report_data);
        if told.kind == Kind::Snp {
            let evidence = snp::Evidence::read(&told.evidence)?;
            let broken = heap.add_beside(&evidence.endorsements);
            let report = snp::Report::parse(&evidence.report)?;
            let proven =
                zeuge_verify::snp(&report, &heap, &self.anchors, &binding, told.at, &AWS_LC);
            let proven = unless_broken_beside(proven, &broken)?;
            let passed = proven.trail().passed().to_vec();
            return Ok((proven.fact().clone().into(), passed));
        }
        let evidence = dcap::Evidence::read(&told.evidence)?;
        let quote = dcap::Quote::parse(&evidence.quote)?;
        let proven = zeuge_verify::quote(&quote, &heap, &self.anchors, &binding, told.at, &AWS_LC)?;
        let passed = proven.trail().passed().to_vec();
        Ok((proven.fact().clone().into(), passed))
    }

    fn verdict(&self, told: &Told, files: &[&(String, Vec<u8>)]) -> Verdict {
        match self.proven(told, files) {
            Ok((facts, passed)) => judge(
                &facts,
                &passed,
                &Wanted {
                    policy: &self.policy,
                    reference_values: &self.values,
                    hardware: None,
                    evaluation_number_seen: None,
                    ahead: None,
                    hardware_only: Some("a test of verdicts"),
                    at: told.at,
                },
            ),
            Err(error) => Verdict::refused(told.kind, &error, told.at),
        }
    }

    fn json(&self, told: &Told, files: &[&(String, Vec<u8>)]) -> String {
        let verdict = zeuge_report::verdict(&self.verdict(told, files), None);
        serde_json::to_string(&verdict).expect("a verdict is JSON")
    }
}

/// Whether a verdict may open a door.
fn is_good(json: &str) -> bool {
    [r#""verdict":"affirming""#, r#""verdict":"warning""#]
        .iter()
        .any(|word| json.contains(word))
}

fn amd() -> (Judge, Vec<Told>) {
    let toy = ToyAmd::shared();
    let told = |lie: Option<Lie>, spec: &ReportSpec| {
        let told = toy.tell(lie, spec, NOW);
        Told {
            name: format!("{:?} {:?} {lie:?}", spec.product, spec.signer),
            kind: Kind::Snp,
            evidence: told.evidence_file,
            files: told.endorsements,
            at: told.at,
            report_data: told.expected_report_data,
        }
    };
    let mut all = Vec::new();
    for product in Product::ALL {
        for signer in Signer::ALL {
            let spec = ReportSpec {
                signer,
                ..ReportSpec::new(product)
            };
            all.push(told(None, &spec));
            let version_2 = ReportSpec { version: 2, ..spec };
            all.push(told(None, &version_2));
        }
    }
    let spec = ReportSpec::new(Product::Genoa);
    all.extend(Lie::ALL.iter().map(|lie| told(Some(*lie), &spec)));
    (Judge::new(&toy.trust_file(&Product::ALL)), all)
}

fn intel() -> (Judge, Vec<Told>) {
    let toy = ToyIntel::shared();
    let told = |lie: Option<IntelLie>, spec: &QuoteSpec| {
        let told = toy.tell(lie, spec, NOW);
        Told {
            name: format!("{:?} {:?} {lie:?}", spec.form, spec.ca),
            kind: Kind::Tdx,
            evidence: told.evidence_file,
            files: told.endorsements,
            at: told.at,
            report_data: told.expected_report_data,
        }
    };
    let specs = QuoteForm::ALL.into_iter().map(QuoteSpec::new);
    let mut all: Vec<Told> = specs.map(|spec| told(None, &spec)).collect();
    let spec = QuoteSpec::new(QuoteForm::Tdx4);
    all.extend(IntelLie::ALL.iter().map(|lie| told(Some(*lie), &spec)));
    (Judge::new(&toy.trust_file()), all)
}

/// Genuine files about others: other chips, other products, another platform, another maker.
fn strangers() -> Files {
    let (amd, intel) = (ToyAmd::shared(), ToyIntel::shared());
    let mut files: Files = Vec::new();
    for product in Product::ALL {
        let mut other = ReportSpec::new(product);
        other.chip_id = product.chip(0x77);
        files.push((format!("chip-{product:?}.der"), amd.leaf(&other, NOW)));
    }
    let mut other = QuoteSpec::new(QuoteForm::Tdx4);
    other.fmspc[0] ^= 0x55;
    let told = intel.tell(None, &other, NOW);
    let about_others = told.endorsements.into_iter();
    files.extend(about_others.filter(|(name, _)| name.starts_with("tcb-info")));
    files.push(("notes.txt".to_owned(), b"nothing here".to_vec()));
    files
}

/// Files under the same names by makers with other keys: whole chains, lists and documents. And
/// the leaves of another provider, which a report signed by a VLEK does not tell from its own:
/// only their key does.
fn impostors() -> Files {
    let (amd, intel) = (ToyAmd::new(), ToyIntel::new());
    let mut files: Files = Vec::new();
    for product in Product::ALL {
        let mut other = ReportSpec::new(product);
        other.signer = Signer::Vlek;
        other.provider = "CN=another.example".to_owned();
        let leaf = ToyAmd::shared().leaf(&other, NOW);
        files.push((format!("provider-{product:?}.der"), leaf));
    }
    for product in [Product::Milan, Product::Genoa] {
        let told = amd.tell(None, &ReportSpec::new(product), NOW);
        let named = told.endorsements.into_iter();
        files.extend(named.map(|(name, bytes)| (format!("false-{product:?}-{name}"), bytes)));
    }
    for form in [QuoteForm::Sgx3, QuoteForm::Tdx4] {
        let told = intel.tell(None, &QuoteSpec::new(form), NOW);
        let named = told.endorsements.into_iter();
        files.extend(named.map(|(name, bytes)| (format!("false-{form:?}-{name}"), bytes)));
    }
    files
}

/// Every subset of so many files, but the whole.
fn subsets(files: &Files, missing_max: u32) -> impl Iterator<Item = Vec<&(String, Vec<u8>)>> {
    let all = 1_u32 << files.len();
    let few = move |mask: &u32| mask.count_ones() <= missing_max;
    (1..all).filter(few).map(move |missing| {
        let kept = (0..)
            .zip(files)
            .filter(move |(bit, _)| missing & (1 << bit) == 0);
        kept.map(|(_, file)| file).collect()
    })
}

#[test]
fn taking_endorsements_away_makes_no_verdict_good() {
    let (amd, intel) = (amd(), intel());
    let mut compared = 0;
    for ((judge, all), missing_max) in [(&amd, 8), (&intel, 2)] {
        for told in all {
            let whole: Vec<_> = told.files.iter().collect();
            if is_good(&judge.json(told, &whole)) {
                continue;
            }
            for kept in subsets(&told.files, missing_max) {
                let json = judge.json(told, &kept);
                let names: Vec<_> = kept.iter().map(|(name, _)| name).collect();
                assert!(
                    !is_good(&json),
                    "{}, with {names:?} only: {json}",
                    told.name
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 1500, "{compared}");
}

#[test]
fn the_honest_are_good_so_that_the_other_tests_mean_something() {
    for (judge, all) in [amd(), intel()] {
        for told in all.iter().filter(|told| told.name.ends_with("None")) {
            let whole: Vec<_> = told.files.iter().collect();
            let json = judge.json(told, &whole);
            assert!(is_good(&json), "{}: {json}", told.name);
        }
    }
}

/// The verdicts with these files after and before a machine's own.
fn crowded(judge: &Judge, told: &Told, others: &Files) -> [String; 2] {
    let after: Vec<_> = told.files.iter().chain(others).collect();
    let before: Vec<_> = others.iter().chain(&told.files).collect();
    [judge.json(told, &after), judge.json(told, &before)]
}

#[test]
fn what_is_certified_about_others_changes_nothing_about_the_honest() {
    let strangers = strangers();
    for (judge, all) in [amd(), intel()] {
        for told in &all {
            let alone = judge.json(told, &told.files.iter().collect::<Vec<_>>());
            for json in crowded(&judge, told, &strangers) {
                if told.name.ends_with("None") {
                    assert_eq!(json, alone, "{}", told.name);
                } else {
                    assert_eq!(is_good(&json), is_good(&alone), "{}: {json}", told.name);
                }
            }
        }
    }
}

/// What impostors wrote is skipped and named, and that is all.
#[test]
fn impostors_are_named_and_change_nothing_else() {
    let impostors = impostors();
    let unnamed = |json: &str| {
        let mut verdict: serde_json::Value = serde_json::from_str(json).expect("JSON");
        let list = verdict["not_proved"].as_array_mut().expect("a list");
        list.retain(|line| {
            !line
                .as_str()
                .is_some_and(|line| line.starts_with("Noted: "))
        });
        verdict
    };
    for (judge, all) in [amd(), intel()] {
        for told in &all {
            let alone = judge.json(told, &told.files.iter().collect::<Vec<_>>());
            for json in crowded(&judge, told, &impostors) {
                if told.name.ends_with("None") {
                    assert_eq!(unnamed(&json), unnamed(&alone), "{}", told.name);
                } else {
                    assert_eq!(is_good(&json), is_good(&alone), "{}: {json}", told.name);
                }
            }
        }
    }
}

#[test]
fn the_order_of_endorsements_changes_nothing() {
    let mut others = impostors();
    others.extend(strangers());
    for (judge, all) in [amd(), intel()] {
        for told in &all {
            let mut files: Vec<_> = told.files.iter().collect();
            let first = judge.json(told, &files);
            for turn in 0..files.len() {
                files.rotate_left(1);
                let turned = judge.json(told, &files);
                assert_eq!(turned, first, "{} turned {turn}", told.name);
            }
            let [after, before] = crowded(&judge, told, &others);
            assert_eq!(after, before, "{} in a crowd", told.name);
            files.extend(&others);
            files.reverse();
            assert_eq!(judge.json(told, &files), after, "{} reversed", told.name);
        }
    }
}
