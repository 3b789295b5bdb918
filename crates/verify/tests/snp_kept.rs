//! A kept chain answers as verification from the beginning does, or not at all.

mod kept_lies;
mod told;

use told::{heap, instant, judge, machines, trusted};
use zeuge_evidence::{UnixTime, snp::Report};
use zeuge_sim::{Lie, Product, ReportSpec, Room, Signer, ToyAmd, ToyEvidence};
use zeuge_verify::{
    Anchors, Binding, Endorsements, SnpFacts, Verified,
    crypto::AWS_LC,
    snp::{KeptChain, snp, snp_with_kept},
};

const DAY: i64 = 86_400;

fn now() -> UnixTime {
    instant("2026-03-01T00:00:00Z")
}

fn binding(told: &ToyEvidence) -> Binding {
    Binding::ReportData(told.expected_report_data)
}

fn cold(told: &ToyEvidence, heap: &Endorsements, at: UnixTime) -> Option<Verified<SnpFacts>> {
    let report = Report::parse(&told.report).ok()?;
    snp(&report, heap, &trusted(), &binding(told), at, &AWS_LC).ok()
}

fn keep(told: &ToyEvidence, heap: &Endorsements) -> KeptChain {
    let report = Report::parse(&told.report).unwrap();
    let (anchors, binding) = (trusted(), binding(told));
    let kept = KeptChain::verify_and_keep(&report, heap, &anchors, &binding, told.at, &AWS_LC);
    let (verified, kept) = kept.unwrap();
    assert_eq!(Some(verified), cold(told, heap, told.at));
    kept
}

fn warm(
    kept: &KeptChain,
    told: &ToyEvidence,
    heap: &Endorsements,
    at: UnixTime,
) -> Option<Verified<SnpFacts>> {
    let report = Report::parse(&told.report).ok()?;
    kept.verify(&report, heap, &trusted(), &binding(told), at)
}

/// The next report of the same machine.
fn next_of(spec: &ReportSpec) -> ReportSpec {
    ReportSpec {
        report_data: [0x77; 64],
        host_data: [0x66; 32],
        vmpl: 1,
        ..spec.clone()
    }
}

#[test]
fn the_next_report_of_a_machine_has_the_same_facts_and_trail_as_from_the_beginning() {
    let amd = ToyAmd::shared();
    for (machine, version) in
        machines().flat_map(|spec| (2..=5).map(move |version| (spec.clone(), version)))
    {
        for revocation_list in [true, false] {
            let spec = ReportSpec {
                version,
                revocation_list,
                ..machine.clone()
            };
            let first = amd.tell(None, &spec, now());
            let heap = heap(&first);
            let kept = keep(&first, &heap);
            for next in [spec.clone(), next_of(&spec)] {
                let told = amd.tell(None, &next, now());
                let answer = warm(&kept, &told, &heap, now());
                assert!(answer.is_some(), "{spec:?}");
                assert_eq!(answer, cold(&told, &heap, now()), "{spec:?}");
            }
            let unbound = Binding::Unbound {
                because: "a test".to_owned(),
            };
            let report = Report::parse(&first.report).unwrap();
            let anchors = trusted();
            assert_eq!(
                kept.verify(&report, &heap, &anchors, &unbound, now()),
                snp(&report, &heap, &anchors, &unbound, now(), &AWS_LC).ok()
            );
        }
    }
}

#[test]
fn no_lie_is_believed_for_a_chain_that_was_kept() {
    let amd = ToyAmd::shared();
    for spec in machines() {
        let honest = amd.tell(None, &spec, now());
        let true_heap = heap(&honest);
        let kept = keep(&honest, &true_heap);
        for lie in Lie::ALL.iter().filter(|lie| lie.room() != Room::Appraise) {
            let told = amd.tell(Some(*lie), &spec, now());
            assert!(judge(&told, &trusted()).is_err());
            // With what the liar brings, and with what was verified.
            for heap in [&heap(&told), &true_heap] {
                let answer = warm(&kept, &told, heap, told.at);
                assert!(
                    answer.is_none() || answer == cold(&told, heap, told.at),
                    "{lie:?}"
                );
            }
        }
    }
}

#[test]
fn each_check_of_the_report_is_made_again_with_a_kept_chain() {
    for spec in machines() {
        for (id, lie) in kept_lies::all(&spec) {
            assert!(!lie.is_believed(), "{id} of {spec:?}");
        }
    }
}

#[test]
fn no_flipped_bit_of_a_report_passes_a_kept_chain() {
    let mut told = ToyAmd::shared().tell(None, &ReportSpec::new(Product::Genoa), now());
    let heap = heap(&told);
    let kept = keep(&told, &heap);
    for byte in 0..told.report.len() {
        told.report[byte] ^= 1 << (byte % 8);
        assert_eq!(warm(&kept, &told, &heap, now()), None, "byte {byte}");
        told.report[byte] ^= 1 << (byte % 8);
    }
    assert!(warm(&kept, &told, &heap, now()).is_some());
}

#[test]
fn a_kept_chain_answers_only_for_the_endorsements_that_were_verified() {
    let told = ToyAmd::shared().tell(None, &ReportSpec::new(Product::Milan), now());
    let verified = heap(&told);
    let kept = keep(&told, &verified);
    for index in 0..verified.certificates.len() {
        let mut other = verified.clone();
        *other.certificates[index].bytes.last_mut().unwrap() ^= 1;
        assert_eq!(warm(&kept, &told, &other, now()), None);
        let mut other = verified.clone();
        other.certificates[index].source.push('x');
        assert_eq!(warm(&kept, &told, &other, now()), None);
        let mut other = verified.clone();
        other.certificates.remove(index);
        assert_eq!(warm(&kept, &told, &other, now()), None);
    }
    // A list that names the intermediate may have come meanwhile: any other list is another key.
    let mut other = verified.clone();
    *other.revocation_lists[0].bytes.last_mut().unwrap() ^= 1;
    assert_eq!(warm(&kept, &told, &other, now()), None);
    let revoked = ToyAmd::shared().tell(
        Some(Lie::CrlRevoked),
        &ReportSpec::new(Product::Milan),
        now(),
    );
    let mut other = verified.clone();
    other
        .revocation_lists
        .extend(heap(&revoked).revocation_lists);
    assert_eq!(warm(&kept, &told, &other, now()), None);
    assert_eq!(cold(&told, &other, now()), None);
}

#[test]
fn a_kept_chain_says_nothing_under_another_root_or_product() {
    let told = ToyAmd::shared().tell(None, &ReportSpec::new(Product::Milan), now());
    let heap = heap(&told);
    let kept = keep(&told, &heap);
    let report = Report::parse(&told.report).unwrap();
    let makers = Anchors::makers();
    let answer = kept.verify(&report, &heap, &makers, &binding(&told), now());
    assert_eq!(answer, None);
    // A report that names no product may have meant another leaf.
    let spec = ReportSpec {
        version: 2,
        ..ReportSpec::new(Product::Milan)
    };
    let unnamed = ToyAmd::shared().tell(None, &spec, now());
    assert_eq!(warm(&kept, &unnamed, &heap, now()), None);
    assert!(cold(&unnamed, &heap, now()).is_some());
}

#[test]
fn a_kept_chain_ends_with_the_leaf_and_with_the_list() {
    let amd = ToyAmd::shared();
    for spec in machines() {
        let told = amd.tell(None, &spec, now());
        let heap = heap(&told);
        let kept = keep(&told, &heap);
        // Every instant of the year before and after, and the seconds around each turn.
        let until = kept.until().unwrap();
        let due = facts_due(&told, &heap);
        assert!(until <= UnixTime(due.0 + 1), "{until} {due}");
        let days = (-400..400).map(|day| now().plus(day * DAY));
        let turns = (-2..3).map(|second| until.plus(second));
        for at in days.chain(turns) {
            let answer = warm(&kept, &told, &heap, at);
            assert!(answer.is_none() || answer == cold(&told, &heap, at));
            assert!(at < until || answer.is_none(), "{at}");
        }
        assert!(warm(&kept, &told, &heap, until.plus(-1)).is_some());
    }
}

/// The earlier of the leaf's end and the list's next.
fn facts_due(told: &ToyEvidence, heap: &Endorsements) -> UnixTime {
    let verified = cold(told, heap, told.at).unwrap();
    let facts = verified.fact();
    let zeuge_verify::amd::Revocation::Checked { next_update, .. } = &facts.revocation else {
        panic!("the toy has a list");
    };
    facts.leaf_not_after.min(next_update.unwrap())
}

#[test]
fn an_instant_before_the_list_was_made_is_not_answered() {
    let spec = ReportSpec::new(Product::Turin);
    let told = ToyAmd::shared().tell(None, &spec, now());
    let heap = heap(&told);
    let kept = keep(&told, &heap);
    // The list is of ten days before, the leaf of thirty.
    assert_eq!(warm(&kept, &told, &heap, now().plus(-11 * DAY)), None);
    assert!(cold(&told, &heap, now().plus(-11 * DAY)).is_some());
}

#[test]
fn the_chain_is_kept_once_and_replaced_when_it_no_longer_answers() {
    let amd = ToyAmd::shared();
    let anchors = trusted();
    let mut kept = None;
    let mut ask = |told: &ToyEvidence, at| {
        let report = Report::parse(&told.report).unwrap();
        let heap = heap(told);
        let binding = binding(told);
        let outcome = snp_with_kept(&mut kept, &report, &heap, &anchors, &binding, at, &AWS_LC);
        let whole = snp(&report, &heap, &anchors, &binding, at, &AWS_LC);
        assert_eq!(outcome, whole);
        (outcome.is_ok(), kept.as_ref().and_then(KeptChain::until))
    };
    let vcek = amd.tell(None, &ReportSpec::new(Product::Milan), now());
    let (held, first) = ask(&vcek, now());
    assert!(held && first.is_some());
    let lie = amd.tell(
        Some(Lie::Signature),
        &ReportSpec::new(Product::Milan),
        now(),
    );
    assert_eq!(ask(&lie, now()), (false, first));
    let spec = ReportSpec {
        signer: Signer::Vlek,
        ..ReportSpec::new(Product::Turin)
    };
    let vlek = amd.tell(None, &spec, now());
    assert!(ask(&vlek, now()).0);
    // The list has become due: verified anew, and told with its dates.
    let later = now().plus(360 * DAY);
    let (held, second) = ask(&vcek, later);
    assert!(held && second > first);
}
