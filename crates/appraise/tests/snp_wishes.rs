//! Every check of appraisal has one machine, or one wish, on which it alone does not hold.

mod told;

use told::cases;

#[test]
fn every_check_alone_does_not_hold_on_its_case() {
    for id in cases::checks() {
        let verdict = cases::of(id);
        assert_eq!(cases::broken(&verdict, id), [id]);
    }
}
