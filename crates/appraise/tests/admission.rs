//! An admission is made only for what the rule names, only for seconds, and only when the verdict
//! is good enough; and it ends.

mod told;

use told::{bound, instant, trusted, wishes};
use zeuge_appraise::{Grant, ReleaseRule, Suite, admission::ADMISSION_SECS_MAX, admit};
use zeuge_sim::{Lie, Product, ReportSpec, ToyAmd};
use zeuge_verify::Binding;

const AT: &str = "2026-03-01T00:00:00Z";

fn grant(tenant: &str, path: &str, lives: i64) -> Grant {
    Grant {
        tenant: tenant.to_owned(),
        path: path.to_owned(),
        version: 1,
        recipient: [1; 32],
        challenge: [2; 32],
        epoch: 7,
        expires: instant(AT).plus(lives),
    }
}

/// Whether a machine that tells this lie, or none, is admitted for this grant.
fn admits(lie: Option<Lie>, demand_affirming: bool, grant: Grant) -> bool {
    admits_bound(lie, demand_affirming, grant, true)
}

/// The same for evidence that answers the grant's question, or any question.
fn admits_bound(lie: Option<Lie>, demand_affirming: bool, grant: Grant, is_bound: bool) -> bool {
    let spec = ReportSpec::new(Product::Milan);
    let told = ToyAmd::shared().tell(lie, &spec, instant(AT));
    let because = "a test".to_owned();
    let binding = match is_bound {
        true => Binding::ReportData(told.expected_report_data),
        false => Binding::Unbound { because },
    };
    let verified = bound(&told, &trusted(), &binding);
    let wishes = wishes(&spec);
    let rule = format!(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"sim\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [\"snp\"]\nminimum_suite = \"x-wing\"\n\
         workload = \"web\"\ndemand_affirming = {demand_affirming}\n\
         chips = \"dangerous_any_chip\""
    );
    let rule = ReleaseRule::parse(&rule).unwrap();
    let wanted = wishes.at(instant(AT));
    let admitted = admit(&verified, &rule, &wanted, "agent", Suite::XWing, grant);
    admitted.admission.is_some()
}

#[test]
fn a_grant_is_admitted_for_the_rules_tenant_and_path_alone() {
    assert!(admits(None, false, grant("sim", "db/key", 1)));
    assert!(!admits(None, false, grant("other", "db/key", 1)));
    assert!(!admits(None, false, grant("sim", "db/keys", 1)));
    assert!(!admits(None, false, grant("other", "db/keys", 1)));
}

#[test]
fn a_grant_lives_for_seconds() {
    assert!(admits(
        None,
        false,
        grant("sim", "db/key", ADMISSION_SECS_MAX)
    ));
    let long = ADMISSION_SECS_MAX + 1;
    assert!(!admits(None, false, grant("sim", "db/key", long)));
    assert!(!admits(None, false, grant("other", "db/key", long)));
}

#[test]
fn a_machine_that_is_refused_is_not_admitted_and_a_warning_may_be_too_little() {
    let lie = Some(Lie::PolicyDebug);
    assert!(!admits(lie, false, grant("sim", "db/key", 1)));
    // The toy's root alone is a warning.
    assert!(!admits(None, true, grant("sim", "db/key", 1)));
}

#[test]
fn evidence_that_answers_no_question_is_not_admitted() {
    let grant = || grant("sim", "db/key", 1);
    assert!(admits_bound(None, false, grant(), true));
    assert!(!admits_bound(None, false, grant(), false));
}

#[test]
fn an_admission_ends_with_its_time_and_with_its_epoch() {
    let spec = ReportSpec::new(Product::Milan);
    let told = ToyAmd::shared().tell(None, &spec, instant(AT));
    let binding = Binding::ReportData(told.expected_report_data);
    let verified = bound(&told, &trusted(), &binding);
    let wishes = wishes(&spec);
    let rule = ReleaseRule::parse(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"sim\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [\"snp\"]\nminimum_suite = \"x-wing\"\n\
         workload = \"web\"\nchips = \"dangerous_any_chip\"",
    )
    .unwrap();
    let wanted = wishes.at(instant(AT));
    let grant = grant("sim", "db/key", 5);
    let admitted = admit(&verified, &rule, &wanted, "agent", Suite::XWing, grant);
    let admission = admitted.admission.unwrap();
    assert!(admission.is_current(instant(AT), 7));
    assert!(admission.is_current(instant(AT).plus(5), 7));
    assert!(!admission.is_current(instant(AT).plus(6), 7));
    assert!(!admission.is_current(instant(AT), 8));
    assert!(!admission.is_current(instant(AT).plus(6), 8));
}
