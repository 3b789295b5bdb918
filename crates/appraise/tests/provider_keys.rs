//! A key that the provider holds is a root of its own: the verdict names it beside the maker's.

use zeuge_appraise::{Facts, Policy, ReferenceValues, Verdict, Wanted, judge};
use zeuge_evidence::{UnixTime, snp::Report};
use zeuge_sim::{Product, ReportSpec, Signer, ToyAmd};
use zeuge_verify::{Anchors, Binding, Endorsements, crypto::AWS_LC, snp};

const NOW: UnixTime = UnixTime(1_772_323_200);

fn verdict(signer: Signer, provider: &str) -> Verdict {
    let spec = ReportSpec {
        signer,
        provider: provider.to_owned(),
        ..ReportSpec::new(Product::Milan)
    };
    let told = ToyAmd::shared().tell(None, &spec, NOW);
    let trust = ToyAmd::shared().trust_file(&[Product::Milan]);
    let anchors = Anchors::dangerous_sim(&trust).expect("a trust file");
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    let report = Report::parse(&told.report).expect("a report");
    let binding = Binding::ReportData(told.expected_report_data);
    let verified = snp(&report, &heap, &anchors, &binding, NOW, &AWS_LC).expect("honest");
    let (policy, values) = (Policy::default(), ReferenceValues::default());
    let wanted = Wanted {
        policy: &policy,
        reference_values: &values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: Some("only the keys are looked at"),
        at: NOW,
    };
    let facts = Facts::from(verified.fact().clone());
    judge(&facts, verified.trail().passed(), &wanted)
}

#[test]
fn a_vlek_names_its_holder_and_the_law_it_lives_under() {
    for (provider, jurisdiction) in [
        ("CN=cc-us-east-2.amazonaws.com", "US"),
        ("CN=somebody.example", "unknown"),
    ] {
        let roots = verdict(Signer::Vlek, provider).roots;
        let [_, holder] = roots.as_slice() else {
            panic!("two roots are wanted: {roots:?}");
        };
        assert_eq!(
            (holder.maker.as_str(), holder.kind.as_str()),
            (provider, "provider-key")
        );
        assert_eq!(
            (holder.jurisdiction.as_str(), holder.toy),
            (jurisdiction, true)
        );
        assert_ne!(holder.fingerprint, [0; 32]);
    }
}

#[test]
fn the_key_of_a_chip_is_nobody_elses() {
    assert_eq!(verdict(Signer::Vcek, "CN=x").roots.len(), 1);
}
