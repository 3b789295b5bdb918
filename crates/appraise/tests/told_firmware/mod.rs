//! For every id of appraisal about endorsed firmware one verdict in which exactly that check does
//! not hold.

#[expect(dead_code, reason = "verification uses the rest")]
#[path = "../../../verify/tests/told_google/mod.rs"]
mod told_google;

use told_google::{MEASUREMENT, MR_TD, NOW, domain, report, spec, trusted};
use zeuge_appraise::{Facts, Policy, ReferenceValues, Status, Verdict, Wanted, judge};
use zeuge_sim::{GoogleLie, ToyGoogle};

/// The verdicts on a report and on a quote beside an endorsement with this lie.
pub(crate) fn verdicts(lie: Option<GoogleLie>, policy: &str) -> [Verdict; 2] {
    let policy = Policy::parse(policy).expect("a policy");
    let values = format!(
        "schema = \"zeuge.reference-values.v1\"\n\
         [[snp]]\nname = \"web\"\nmeasurements = [\"{}\"]\n[[tdx]]\nname = \"web\"\nmr_td = [\"{}\"]\n",
        hex::encode(MEASUREMENT),
        hex::encode(MR_TD)
    );
    let values = ReferenceValues::parse(&values).expect("reference values");
    let endorsement = ToyGoogle::shared().tell(lie, &spec(), NOW);
    let beside: &[&[u8]] = match lie {
        Some(GoogleLie::Missing) => &[],
        _ => &[&endorsement],
    };
    let wanted = Wanted {
        policy: &policy,
        reference_values: &values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at: NOW,
    };
    let anchors = trusted();
    let report = report(beside, &anchors).expect("a good report");
    let quote = domain(beside, &anchors).expect("a good quote");
    [
        judge(
            &Facts::from(report.fact().clone()),
            report.trail().passed(),
            &wanted,
        ),
        judge(
            &Facts::from(quote.fact().clone()),
            quote.trail().passed(),
            &wanted,
        ),
    ]
}

/// The ids that do not hold, without the mark of the toy's root.
pub(crate) fn broken(verdict: &Verdict) -> Vec<&'static str> {
    let bad = verdict.findings.iter().filter(|finding| {
        matches!(finding.status, Status::Fail | Status::Warn) && finding.id != "dangerous.sim-root"
    });
    bad.map(|finding| finding.id).collect()
}
