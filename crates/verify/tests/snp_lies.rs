//! Every lie of the toy AMD is caught by exactly the check that it is named after, and what it
//! says without lying is believed.
//!
//! The table is one to one in both directions: a check without a lie fails here, and so does a
//! lie without a check.

use std::collections::BTreeSet;

mod told;

use told::{instant, judge, machines, trusted};
use zeuge_sim::{Lie, Product, ReportSpec, Room, ToyAmd};

/// The lies that these rooms must catch.
fn lies() -> impl Iterator<Item = Lie> {
    Lie::ALL
        .iter()
        .copied()
        .filter(|lie| lie.room() != Room::Appraise)
}

#[test]
fn every_check_has_its_lie_and_every_lie_its_check() {
    let checks: BTreeSet<&str> = [
        zeuge_evidence::snp::CHECKS,
        zeuge_evidence::x509::CHECKS,
        zeuge_verify::amd::CHECKS,
        zeuge_verify::binding::CHECKS,
        zeuge_verify::snp::CHECKS,
    ]
    .concat()
    .into_iter()
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
fn honest_evidence_is_believed_in_every_form_with_what_lies_beside_it() {
    let (amd, anchors) = (ToyAmd::shared(), trusted());
    for spec in machines() {
        let told = amd.tell(None, &spec, instant("2026-03-01T00:00:00Z"));
        let leaf = format!("{}.der", spec.signer.name());
        let mut in_table = told.clone();
        in_table.evidence_file = told.table_file();
        in_table.endorsements.clear();
        assert_eq!(judge(&in_table, &anchors), Ok(()), "table of {spec:?}");
        for (form, bytes) in [
            ("JSON", told.json_file()),
            ("protobuf", told.protobuf_file()),
        ] {
            let mut beside = told.clone();
            beside.evidence_file = bytes;
            beside.endorsements.retain(|(name, _)| *name != leaf);
            assert_eq!(judge(&beside, &anchors), Ok(()), "{form} of {spec:?}");
        }
    }
}

#[test]
fn a_broken_certificate_or_list_beside_the_report_decides_nothing_where_a_good_one_is_left() {
    let (amd, anchors) = (ToyAmd::shared(), trusted());
    for spec in machines() {
        let honest = amd.tell(None, &spec, instant("2026-03-01T00:00:00Z"));
        for lie in [Lie::Certificate, Lie::RevocationList] {
            let mut told = amd.tell(Some(lie), &spec, instant("2026-03-01T00:00:00Z"));
            told.endorsements.clone_from(&honest.endorsements);
            assert_eq!(judge(&told, &anchors), Ok(()), "{}", lie.check());
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
