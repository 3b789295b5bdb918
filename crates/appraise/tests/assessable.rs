//! An assessment that is kept answers for every verdict of the same state, and for no other.

mod told;

use told::{appraised, instant, machines, trusted, wishes};
use zeuge_appraise::{Verdict, threats::Assessable};
use zeuge_sim::{ReportSpec, ToyAmd};

const AT: &str = "2026-03-01T00:00:00Z";

fn judged(spec: &ReportSpec) -> (Assessable, Verdict) {
    let told = ToyAmd::shared().tell(None, spec, instant(AT));
    let (verdict, _) = appraised(&told, &trusted(), &wishes(spec));
    (verdict.assessable(), verdict)
}

#[test]
fn another_session_or_workload_is_the_same_state_with_the_same_threats() {
    for spec in machines() {
        let (state, verdict) = judged(&spec);
        let other = ReportSpec {
            report_data: [9; 64],
            host_data: [8; 32],
            measurement: [7; 48],
            ..spec.clone()
        };
        let (same, again) = judged(&other);
        assert_eq!(state, same);
        assert_ne!(verdict.facts, again.facts);
        assert_eq!(verdict.threats, again.threats);
        assert_eq!(verdict.adversaries, again.adversaries);
    }
}

#[test]
fn whatever_a_condition_may_read_makes_another_state() {
    for spec in machines() {
        let (state, _) = judged(&spec);
        for other in [
            ReportSpec {
                policy: spec.policy ^ (1 << 16),
                ..spec.clone()
            },
            ReportSpec {
                platform_info: spec.platform_info ^ 1,
                ..spec.clone()
            },
            ReportSpec {
                vmpl: 1,
                ..spec.clone()
            },
        ] {
            assert_ne!(judged(&other).0, state, "{other:?}");
        }
    }
    let all: Vec<_> = machines().map(|spec| judged(&spec).0).collect();
    for (place, one) in all.iter().enumerate() {
        let mut rest = all.iter().skip(place + 1);
        assert!(rest.all(|other| other != one), "{one:?}");
    }
}
