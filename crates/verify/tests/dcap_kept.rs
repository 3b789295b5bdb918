//! A kept platform answers as verification from the beginning does, or not at all.

#[expect(dead_code, reason = "the mutation loop uses the rest")]
mod told_intel;

use told_intel::{NOW, heap, platforms, trusted};
use zeuge_evidence::{UnixTime, dcap::Quote};
use zeuge_sim::{Certification, IntelLie, QuoteForm, QuoteSpec, ToyIntel, ToyQuote};
use zeuge_verify::{
    Anchors, Binding, Endorsements, QuoteFacts, Verified,
    crypto::AWS_LC,
    dcap::{self, KeptPlatform, quote_with_kept},
};

const DAY: i64 = 86_400;

fn binding(told: &ToyQuote) -> Binding {
    Binding::ReportData(told.expected_report_data)
}

fn cold(told: &ToyQuote, heap: &Endorsements, at: UnixTime) -> Option<Verified<QuoteFacts>> {
    let quote = Quote::parse(&told.quote).ok()?;
    dcap::quote(&quote, heap, &trusted(), &binding(told), at, &AWS_LC).ok()
}

fn keep(told: &ToyQuote, heap: &Endorsements) -> KeptPlatform {
    let quote = Quote::parse(&told.quote).unwrap();
    let (anchors, binding) = (trusted(), binding(told));
    let kept = KeptPlatform::verify_and_keep(&quote, heap, &anchors, &binding, NOW, &AWS_LC);
    let (verified, kept) = kept.unwrap();
    assert_eq!(Some(verified), cold(told, heap, NOW));
    kept.unwrap()
}

fn warm(
    kept: &KeptPlatform,
    told: &ToyQuote,
    heap: &Endorsements,
    at: UnixTime,
) -> Option<Verified<QuoteFacts>> {
    let quote = Quote::parse(&told.quote).ok()?;
    kept.verify(&quote, heap, &trusted(), &binding(told), at)
}

/// Another quote of the same machine: another question, and another state of its own.
fn next_of(spec: &QuoteSpec) -> QuoteSpec {
    let mut next = spec.clone();
    next.report_data = [0x77; 64];
    next.rtmr[3] = [0x66; 48];
    next.mr_enclave = [0x55; 32];
    // Launched under an older module: another status, which is found anew.
    next.tee_tcb_svn[0] = 3;
    next
}

#[test]
fn the_next_quote_of_a_machine_has_the_same_facts_and_trail_as_from_the_beginning() {
    let intel = ToyIntel::shared();
    for machine in platforms() {
        for revocation_lists in [true, false] {
            let spec = QuoteSpec {
                revocation_lists,
                ..machine.clone()
            };
            let first = intel.tell(None, &spec, NOW);
            let heap = heap(&first);
            let kept = keep(&first, &heap);
            for next in [spec.clone(), next_of(&spec)] {
                let mut told = intel.tell(None, &next, NOW);
                told.quote.extend([0; 39]);
                let answer = warm(&kept, &told, &heap, NOW);
                assert!(answer.is_some(), "{spec:?}");
                assert_eq!(answer, cold(&told, &heap, NOW), "{spec:?}");
                let quote = Quote::parse(&told.quote).unwrap();
                let unbound = Binding::Unbound {
                    because: "a sample".to_owned(),
                };
                let answer = kept.verify(&quote, &heap, &trusted(), &unbound, NOW);
                let anew = dcap::quote(&quote, &heap, &trusted(), &unbound, NOW, &AWS_LC);
                assert_eq!(answer, anew.ok());
            }
        }
    }
}

#[test]
fn a_lie_in_a_quote_is_never_believed_for_what_was_kept() {
    let intel = ToyIntel::shared();
    for (id, kept) in told_intel::against_kept() {
        assert!(!kept.is_believed(), "{id}");
    }
    // The next quote brings other certificates of the same key, as after a renewal.
    let spec = QuoteSpec::new(QuoteForm::Tdx4);
    let first = intel.tell(None, &spec, NOW);
    let heap = heap(&first);
    let kept = keep(&first, &heap);
    let renewed = intel.tell(None, &spec, NOW.plus(1));
    assert!(cold(&renewed, &heap, NOW.plus(1)).is_some());
    assert_eq!(warm(&kept, &renewed, &heap, NOW.plus(1)), None);
    // An enclave of the same platform.
    let enclave = intel.tell(None, &QuoteSpec::new(QuoteForm::Sgx3), NOW);
    assert_eq!(warm(&kept, &enclave, &heap, NOW), None);
}

#[test]
fn other_endorsements_and_other_roots_are_not_answered_for() {
    let spec = QuoteSpec::new(QuoteForm::Tdx5);
    let told = ToyIntel::shared().tell(None, &spec, NOW);
    let heap = heap(&told);
    let kept = keep(&told, &heap);
    assert!(warm(&kept, &told, &heap, NOW).is_some());
    for kind in 0..3 {
        for place in 0.. {
            let mut less = heap.clone();
            let held = match kind {
                0 => &mut less.certificates,
                1 => &mut less.revocation_lists,
                _ => &mut less.documents,
            };
            if place >= held.len() {
                assert!(place > 0);
                break;
            }
            let mut changed = heap.clone();
            let other = match kind {
                0 => &mut changed.certificates,
                1 => &mut changed.revocation_lists,
                _ => &mut changed.documents,
            };
            *other[place].bytes.last_mut().unwrap() ^= 1;
            held.remove(place);
            assert_eq!(warm(&kept, &told, &less, NOW), None);
            assert_eq!(warm(&kept, &told, &changed, NOW), None);
        }
    }
    let revoking = ToyIntel::shared().tell(IntelLie::about("dcap.pck.revoked"), &spec, NOW);
    assert_eq!(warm(&kept, &told, &told_intel::heap(&revoking), NOW), None);
    let stranger = Anchors::dangerous_sim(&ToyIntel::new().trust_file()).unwrap();
    let quote = Quote::parse(&told.quote).unwrap();
    for anchors in [stranger, Anchors::makers()] {
        assert_eq!(
            kept.verify(&quote, &heap, &anchors, &binding(&told), NOW),
            None
        );
    }
}

#[test]
fn at_every_turn_of_a_date_the_answer_is_the_one_from_the_beginning_or_none() {
    let spec = QuoteSpec::new(QuoteForm::Tdx4);
    let told = ToyIntel::shared().tell(None, &spec, NOW);
    let heap = heap(&told);
    let kept = keep(&told, &heap);
    // Lists and documents were issued ten days before, and count for thirty.
    let until = NOW.plus(20 * DAY + 1);
    assert_eq!(kept.until(), Some(until));
    for (at, answers) in [
        (NOW.plus(-10 * DAY - 1), false),
        (NOW.plus(-10 * DAY), true),
        (NOW, true),
        (NOW.plus(20 * DAY), true),
        (until, false),
        (NOW.plus(4000 * DAY), false),
    ] {
        let answer = warm(&kept, &told, &heap, at);
        assert_eq!(answer.is_some(), answers, "{at}");
        if answers {
            assert_eq!(answer, cold(&told, &heap, at), "{at}");
        }
    }
}

#[test]
fn a_quote_that_names_its_platform_only_is_verified_anew_every_time() {
    let spec = QuoteSpec {
        certification: Certification::Ppid,
        ..QuoteSpec::new(QuoteForm::Sgx3)
    };
    let told = ToyIntel::shared().tell(None, &spec, NOW);
    let quote = Quote::parse(&told.quote).unwrap();
    let (heap, anchors, binding) = (heap(&told), trusted(), binding(&told));
    let mut kept = None;
    let verified =
        quote_with_kept(&mut kept, &quote, &heap, &anchors, &binding, NOW, &AWS_LC).unwrap();
    assert_eq!(Some(verified), cold(&told, &heap, NOW));
    assert!(kept.is_none());
}

#[test]
fn a_note_about_an_instant_keeps_nothing_and_a_changed_quote_keeps_what_was() {
    let spec = QuoteSpec::new(QuoteForm::Tdx4);
    let told = ToyIntel::shared().tell(None, &spec, NOW);
    let mut heap = heap(&told);
    let (anchors, binding) = (trusted(), binding(&told));
    let quote = Quote::parse(&told.quote).unwrap();
    let mut kept = None;
    let mut ask = |quote: &Quote<'_>, heap: &Endorsements| {
        let outcome = quote_with_kept(&mut kept, quote, heap, &anchors, &binding, NOW, &AWS_LC);
        (outcome.map_err(|error| error.check()), kept.is_some())
    };
    // A document that ended yesterday lies beside the good one and is named with the instant.
    let old = ToyIntel::shared().tell(IntelLie::about("dcap.tcb-info.window"), &spec, NOW);
    let old = old
        .endorsements
        .iter()
        .find(|(name, _)| name == "tcb-info.json");
    let mut both = heap.clone();
    both.add("old.json", &old.unwrap().1);
    let (outcome, is_kept) = ask(&quote, &both);
    assert!(!outcome.unwrap().fact().notes.is_empty() && !is_kept);
    let (outcome, is_kept) = ask(&quote, &heap);
    assert!(outcome.is_ok() && is_kept);
    let lie = ToyIntel::shared().tell(IntelLie::about("dcap.quote.signature"), &spec, NOW);
    let (outcome, is_kept) = ask(&Quote::parse(&lie.quote).unwrap(), &heap);
    assert_eq!(
        (outcome.map(drop), is_kept),
        (Err("dcap.quote.signature"), true)
    );
    heap.documents.clear();
    let (outcome, _) = ask(&quote, &heap);
    assert_eq!(outcome.map(drop), Err("dcap.tcb-info.available"));
}
