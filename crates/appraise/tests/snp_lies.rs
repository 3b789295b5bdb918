//! Every lie that appraisal must catch is caught by exactly the check it is named after, and an
//! honest toy is accepted with the one warning that no toy escapes.

mod told;

use told::{appraised, instant, machines, trusted, wishes};
use zeuge_appraise::Word;
use zeuge_sim::{Lie, Room, ToyAmd};

#[test]
fn honest_evidence_is_accepted_but_for_its_toy_root() {
    let (amd, anchors) = (ToyAmd::shared(), trusted());
    for spec in machines() {
        let told = amd.tell(None, &spec, instant("2026-03-01T00:00:00Z"));
        let (verdict, warned) = appraised(&told, &anchors, &wishes(&spec));
        assert_eq!(verdict.failed(), [""; 0], "{spec:?}");
        assert_eq!(warned, ["dangerous.sim-root"], "{spec:?}");
        assert_eq!(verdict.word, Word::Warning);
    }
}

#[test]
fn every_lie_is_caught_by_exactly_the_check_it_is_named_after() {
    let (amd, anchors) = (ToyAmd::shared(), trusted());
    let mut wrong = Vec::new();
    for spec in machines() {
        for lie in Lie::ALL.iter().filter(|lie| lie.room() == Room::Appraise) {
            let told = amd.tell(Some(*lie), &spec, instant("2026-03-01T00:00:00Z"));
            let (verdict, _) = appraised(&told, &anchors, &wishes(&spec));
            if verdict.failed() != [lie.check()] || verdict.word != Word::Contraindicated {
                let (product, signer) = (spec.product, spec.signer);
                let failed = verdict.failed();
                wrong.push(format!(
                    "{} of {product:?} {signer:?}: {failed:?}",
                    lie.check()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
