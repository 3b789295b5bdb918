//! `bench`: what one verification of an SEV-SNP report costs, from one run.
//!
//! From the beginning (chain, list, leaf, report) and with a kept chain, beside the bare
//! signatures of the same library and beside the `sev` crate; CPU time of this thread, not the
//! clock on the wall. Every line is the median of rounds in which all candidates take turns, so
//! that a busy neighbour hits all of them alike. Fails where a target is missed by `--check`.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use zeuge_evidence::{
    snp::Report,
    x509::{Certificate, RevocationList},
};
use zeuge_oracles::{
    corpus::NOW,
    reports::toy_anchors,
    sev_peer::Peer,
    turns::{Candidate, Target, medians},
};
use zeuge_sim::{Product, ReportSpec, ToyAmd};
use zeuge_verify::{
    Binding, Endorsements,
    crypto::AWS_LC,
    snp::{KeptChain, snp},
};

/// Counts what the programs' allocator is asked for. The C library of the provider has its own.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn rsa(key: &Certificate<'_>, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, key.public_key.key)
        .verify(message, signature)
        .is_ok()
}

fn main() -> ExitCode {
    let anchors = toy_anchors();
    let told = ToyAmd::shared().tell(None, &ReportSpec::new(Product::Milan), NOW);
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    let file = |wanted: &str| {
        let found = told.endorsements.iter().find(|(name, _)| name == wanted);
        found
            .map(|(_, bytes)| bytes.as_slice())
            .expect("the toy's files")
    };
    let (ark, ask, leaf, list) = (
        file("ark.der"),
        file("ask.der"),
        file("vcek.der"),
        file("crl.der"),
    );
    let binding = Binding::ReportData(told.expected_report_data);
    let bytes = told.report.as_slice();
    let report = Report::parse(bytes).expect("an honest report");
    let kept = KeptChain::verify_and_keep(&report, &heap, &anchors, &binding, NOW, &AWS_LC);
    let (_, kept) = kept.expect("an honest machine");
    let read = |bytes| Certificate::parse(bytes).expect("a certificate");
    let (root, issuer, key) = (read(ark), read(ask), read(leaf));
    let revocations = RevocationList::parse(list).expect("a list");
    let fixed = report.signature_fixed();
    let sev_leaf = sev::certs::snp::Certificate::from_der(leaf).expect("a leaf that sev reads");

    let p384 = || {
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key.public_key.key);
        assert!(key.verify(report.signed_part(), &fixed).is_ok());
    };
    let bare = || {
        assert!(rsa(&root, issuer.signed, issuer.signature));
        assert!(rsa(&issuer, key.signed, key.signature));
        assert!(rsa(&root, revocations.signed, revocations.signature));
        p384();
    };
    let cold = || {
        let report = Report::parse(bytes).expect("an honest report");
        assert!(snp(&report, &heap, &anchors, &binding, NOW, &AWS_LC).is_ok());
    };
    let gathered = || {
        let mut heap = Endorsements::new();
        for (name, bytes) in &told.endorsements {
            heap.add(name, bytes);
        }
        let report = Report::parse(bytes).expect("an honest report");
        assert!(snp(&report, &heap, &anchors, &binding, NOW, &AWS_LC).is_ok());
    };
    let warm = || {
        let report = Report::parse(bytes).expect("an honest report");
        let answer = kept.verify(&report, &heap, &anchors, &binding, NOW);
        assert!(black_box(answer).is_some());
    };
    let mut candidates: Vec<Candidate<'_>> = vec![
        ("bare P-384 verification", Box::new(p384)),
        ("bare signatures: 3 RSA-4096, 1 P-384", Box::new(bare)),
        ("zeuge, kept chain", Box::new(warm)),
        ("zeuge, from the beginning", Box::new(cold)),
        ("zeuge, from the files", Box::new(gathered)),
        (
            "sev, report under a leaf that was read",
            Box::new(|| assert!(Peer::leaf_only(&sev_leaf, bytes))),
        ),
        (
            "sev, chain and report",
            Box::new(|| assert!(Peer::whole(ark, ask, leaf, bytes))),
        ),
    ];
    let times = medians(&mut candidates, 41, 40);
    for ((name, _), time) in candidates.iter().zip(&times) {
        println!("{name:<42} {time:>9.1} µs");
    }
    drop(candidates);
    // Every allocation of a warm answer, and those that its result holds.
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let parsed = Report::parse(bytes).expect("an honest report");
    let answer = kept
        .verify(&parsed, &heap, &anchors, &binding, NOW)
        .expect("an answer");
    let warm_allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    let held = answer.fact().clone();
    let trail = answer.trail().clone();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    black_box((held.clone(), trail.clone()));
    let of_the_result = ALLOCATIONS.load(Ordering::Relaxed) - before;
    println!("allocations with a kept chain: {warm_allocations}, in the result: {of_the_result}");

    let most = |name, ratio, bound| Target {
        name,
        ratio,
        bound,
        at_least: false,
    };
    let least = |name, ratio, bound| Target {
        at_least: true,
        ..most(name, ratio, bound)
    };
    let targets = [
        most("kept chain / bare P-384", times[2] / times[0], 1.15),
        most(
            "from the beginning / bare signatures",
            times[3] / times[1],
            1.3,
        ),
        least("sev, leaf read / kept chain", times[5] / times[2], 4.0),
        least(
            "sev, chain and report / kept chain",
            times[6] / times[2],
            4.0,
        ),
        least(
            "sev, chain and report / from the beginning",
            times[6] / times[3],
            1.0,
        ),
    ];
    let mut missed = usize::from(warm_allocations != of_the_result);
    missed += targets.iter().filter(|target| !target.tell()).count();
    if missed > 0 && std::env::args().any(|word| word == "--check") {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
