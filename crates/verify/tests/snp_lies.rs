//! Every lie of the toy AMD is caught by exactly the check that it is named after, and what it
//! says without lying is believed.
//!
//! The table is one to one in both directions: a check without a lie fails here, and so does a
//! lie without a check.

use std::collections::BTreeSet;

mod told;

use told::{instant, judge, machines, trusted};
use zeuge_sim::{Lie, Product, ReportSpec, Room, ToyAmd};

/// Lies about the file around a report: the business of the reader of such files.
const ABOUT_FILES: [&str; 5] = [
    "snp.json",
    "snp.protobuf",
    "snp.table",
    "x509.certificate",
    "x509.crl",
];

/// The lies that these rooms must catch, about files excepted.
fn lies() -> impl Iterator<Item = Lie> {
    Lie::ALL
        .iter()
        .copied()
        .filter(|lie| lie.room() != Room::Appraise && !ABOUT_FILES.contains(&lie.check()))
}

#[test]
fn every_check_has_its_lie_and_every_lie_its_check() {
    let checks: BTreeSet<&str> = [
        zeuge_evidence::snp::CHECKS,
        zeuge_verify::amd::CHECKS,
        zeuge_verify::binding::CHECKS,
        zeuge_verify::snp::CHECKS,
    ]
    .concat()
    .into_iter()
    .filter(|id| !ABOUT_FILES.contains(id))
    .collect();
    assert_eq!(checks, lies().map(Lie::check).collect());
}

#[test]
fn every_lie_is_caught_by_the_check_it_is_named_after() {
    let (amd, anchors) = (ToyAmd::shared(), trusted());
    let mut wrong = Vec::new();
    for spec in machines() {
        for lie in lies() {
            let told = amd.tell(Some(lie), &spec, instant("2026-03-01T00:00:00Z"));
            let caught = judge(&told, &anchors).map_err(|error| error.check());
            if caught != Err(lie.check()) {
                let (product, signer) = (spec.product, spec.signer);
                wrong.push(format!(
                    "{} of {product:?} {signer:?}: {caught:?}",
                    lie.check()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lies_for_appraisal_are_proven_true() {
    let (amd, anchors) = (ToyAmd::shared(), trusted());
    for spec in machines() {
        for lie in Lie::ALL.iter().filter(|lie| lie.room() == Room::Appraise) {
            let told = amd.tell(Some(*lie), &spec, instant("2026-03-01T00:00:00Z"));
            assert_eq!(judge(&told, &anchors), Ok(()), "{}", lie.check());
        }
    }
}

#[test]
fn honest_evidence_of_every_product_signer_and_version_is_believed() {
    let (amd, anchors) = (ToyAmd::shared(), trusted());
    // Leaves of these two instants carry the two encodings of the PSS parameters.
    for at in ["2024-03-01T00:00:00Z", "2026-03-01T00:00:00Z"] {
        for (machine, version) in
            machines().flat_map(|spec| (2..=5).map(move |version| (spec.clone(), version)))
        {
            for revocation_list in [true, false] {
                let spec = ReportSpec {
                    version,
                    revocation_list,
                    ..machine.clone()
                };
                let told = amd.tell(None, &spec, instant(at));
                assert_eq!(judge(&told, &anchors), Ok(()), "{spec:?} at {at}");
            }
        }
    }
}

#[test]
fn a_toy_is_not_believed_by_those_who_did_not_ask_for_it() {
    let makers = zeuge_verify::Anchors::makers();
    for product in Product::ALL {
        let spec = ReportSpec::new(product);
        let told = ToyAmd::shared().tell(None, &spec, instant("2026-03-01T00:00:00Z"));
        let refusal = judge(&told, &makers).expect_err("nobody trusts a toy");
        assert_eq!(refusal.check(), "amd.ark.pinned");
    }
}
