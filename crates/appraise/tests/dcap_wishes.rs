//! Every check of appraisal has machines, or wishes, of Intel's kind on which it alone does not
//! hold.

mod told_dcap;

use told_dcap::cases;

#[test]
fn every_check_alone_does_not_hold_on_its_cases() {
    for id in cases::checks() {
        for (number, verdict) in cases::of(id).iter().enumerate() {
            assert_eq!(cases::broken(verdict, id), [id], "{id}, case {number}");
        }
    }
}
