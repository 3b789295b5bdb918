//! Mistakes that other verifiers have made, one test each, against the toy vendor; and what a heap
//! of many endorsements does.

use zeuge_evidence::{UnixTime, snp::Report};
use zeuge_sim::{Product, ReportSpec, Signer as ToySigner, ToyAmd, ToyEvidence};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, SnpFacts, Verified,
    amd::Revocation,
    crypto::AWS_LC,
    snp,
    snp::{EndorsementId, ProductSource, Signer, needs},
};

fn now() -> UnixTime {
    UnixTime::parse_rfc3339("2026-03-01T00:00:00Z").unwrap()
}

fn toy_anchors() -> Anchors {
    Anchors::dangerous_sim(&ToyAmd::shared().trust_file(&Product::ALL)).unwrap()
}

fn honest(spec: &ReportSpec) -> ToyEvidence {
    ToyAmd::shared().tell(None, spec, now())
}

fn heap(files: &[(String, Vec<u8>)]) -> Endorsements {
    let mut heap = Endorsements::new();
    for (name, bytes) in files {
        heap.add(name, bytes);
    }
    heap
}

fn verify_under(
    anchors: &Anchors,
    told: &ToyEvidence,
    heap: &Endorsements,
) -> Result<Verified<SnpFacts>, Error> {
    let report = Report::parse(&told.report)?;
    let binding = Binding::ReportData(told.expected_report_data);
    snp(&report, heap, anchors, &binding, told.at, &AWS_LC)
}

fn verify(told: &ToyEvidence, heap: &Endorsements) -> Result<Verified<SnpFacts>, Error> {
    verify_under(&toy_anchors(), told, heap)
}

fn check_of(outcome: Result<Verified<SnpFacts>, Error>) -> &'static str {
    outcome.unwrap_err().check()
}

/// The evidence of this machine with the leaf of another one.
fn with_leaf_of(told: &ToyEvidence, other: &ReportSpec) -> Endorsements {
    let leaf = ToyAmd::shared().leaf(other, now());
    let is_leaf = |name: &str| ["vcek.der", "vlek.der"].contains(&name);
    let mut files = told.endorsements.clone();
    files.retain(|(name, _)| !is_leaf(name));
    files.push(("other.der".to_owned(), leaf));
    heap(&files)
}

#[test]
fn every_product_and_both_kinds_of_key_verify_under_the_toys_roots_and_are_marked() {
    for product in Product::ALL {
        for signer in ToySigner::ALL {
            let mut spec = ReportSpec::new(product);
            spec.signer = signer;
            let told = honest(&spec);
            let verified = verify(&told, &heap(&told.endorsements)).unwrap();
            let facts = verified.fact();
            assert!(facts.root.toy && facts.root.maker == "toy AMD");
            assert_eq!(facts.product_from, ProductSource::Report);
            assert!(facts.product_name_agrees);
            assert!(facts.notes.is_empty(), "{:?}", facts.notes);
            assert_eq!(
                matches!(facts.signer, Signer::Vlek { .. }),
                signer == ToySigner::Vlek
            );
        }
    }
}

#[test]
fn a_toy_means_nothing_to_the_makers_roots() {
    let told = honest(&ReportSpec::new(Product::Milan));
    let outcome = verify_under(&Anchors::makers(), &told, &heap(&told.endorsements));
    assert_eq!(check_of(outcome), "amd.ark.pinned");
    // Without its root it is a chain that ends nowhere.
    let mut rootless = told.endorsements.clone();
    rootless.retain(|(name, _)| name != "ark.der");
    let outcome = verify_under(&Anchors::makers(), &told, &heap(&rootless));
    assert_eq!(check_of(outcome), "amd.ask.signature");
}

// spec: sev-snp.product.version-2
#[test]
fn a_report_of_version_2_takes_its_product_from_the_leaf_under_that_products_root() {
    for product in Product::ALL {
        let mut spec = ReportSpec::new(product);
        spec.version = 2;
        let told = honest(&spec);
        let verified = verify(&told, &heap(&told.endorsements)).unwrap();
        assert_eq!(verified.fact().product_from, ProductSource::Certificate);
        assert_eq!(
            format!("{:?}", verified.fact().product),
            format!("{product:?}")
        );
        assert!(verified.trail().passed().contains(&"snp.product"));
    }
}

// spec: sev-snp.leaf.chip-prefix
#[test]
fn a_prefix_of_the_chips_id_is_another_chip() {
    let mut spec = ReportSpec::new(Product::Milan);
    spec.chip_id = Product::Milan.chip(0x44);
    let told = honest(&spec);
    // The neighbour's id begins with the same 63 bytes.
    spec.chip_id[63] ^= 1;
    let outcome = verify(&told, &with_leaf_of(&told, &spec));
    assert_eq!(check_of(outcome), "snp.vcek.chip-id");
}

#[test]
fn the_leaf_of_the_same_chip_at_another_tcb_is_told_as_such() {
    for product in Product::ALL {
        let spec = ReportSpec::new(product);
        let told = honest(&spec);
        let mut other = spec.clone();
        other.reported_tcb.boot_loader ^= 1;
        let outcome = verify(&told, &with_leaf_of(&told, &other));
        assert_eq!(check_of(outcome), "snp.vcek.tcb");
    }
}

// spec: sev-snp.tcb.component-wise
#[test]
fn a_higher_component_does_not_make_up_for_a_lower_one() {
    let mut spec = ReportSpec::new(Product::Genoa);
    spec.committed_tcb.boot_loader -= 1;
    spec.committed_tcb.microcode = spec.current_tcb.microcode;
    let told = honest(&spec);
    let outcome = verify(&told, &heap(&told.endorsements));
    assert_eq!(check_of(outcome), "snp.tcb.order");
}

// spec: sev-snp.leaf.chip-masked
#[test]
fn a_masked_chip_is_not_bound_by_any_vcek() {
    let mut spec = ReportSpec::new(Product::Milan);
    spec.chip_id = [0; 64];
    let told = honest(&spec);
    let outcome = verify(&told, &heap(&told.endorsements));
    assert_eq!(check_of(outcome), "snp.vcek.chip-id");
}

#[test]
fn the_right_leaf_is_found_in_a_heap_of_neighbours_and_older_firmware() {
    let amd = ToyAmd::shared();
    let spec = ReportSpec::new(Product::Milan);
    let told = honest(&spec);
    let mut files = Vec::new();
    for fill in 1..6 {
        let mut neighbour = spec.clone();
        neighbour.chip_id = Product::Milan.chip(fill);
        files.push((format!("neighbour-{fill}.der"), amd.leaf(&neighbour, now())));
        let mut older = spec.clone();
        older.reported_tcb.microcode -= fill;
        files.push((format!("older-{fill}.der"), amd.leaf(&older, now())));
    }
    files.extend(told.endorsements.clone());
    let verified = verify(&told, &heap(&files)).unwrap();
    assert!(verified.fact().notes.is_empty());
}

// spec: sev-snp.leaf.reissued
#[test]
fn of_two_certificates_of_one_key_the_later_one_is_taken() {
    let amd = ToyAmd::shared();
    let spec = ReportSpec::new(Product::Turin);
    let told = honest(&spec);
    let mut files = told.endorsements.clone();
    let early = now().plus(-400 * 86_400);
    files.insert(0, ("early.der".to_owned(), amd.leaf(&spec, early)));
    let verified = verify(&told, &heap(&files)).unwrap();
    assert!(verified.fact().leaf_not_before > early);
}

#[test]
fn a_leaf_that_is_out_of_force_does_not_hide_one_that_is_in_force() {
    let amd = ToyAmd::shared();
    let spec = ReportSpec::new(Product::Milan);
    let told = honest(&spec);
    let mut files = told.endorsements.clone();
    let future = now().plus(90 * 86_400);
    files.insert(0, ("future.der".to_owned(), amd.leaf(&spec, future)));
    assert!(verify(&told, &heap(&files)).is_ok());
    files.retain(|(name, _)| name != "vcek.der");
    let outcome = verify(&told, &heap(&files));
    assert_eq!(check_of(outcome), "snp.vcek.validity");
}

#[test]
fn without_a_list_revocation_is_missing_and_never_checked() {
    let mut spec = ReportSpec::new(Product::Genoa);
    spec.revocation_list = false;
    let told = honest(&spec);
    let verified = verify(&told, &heap(&told.endorsements)).unwrap();
    assert_eq!(verified.fact().revocation, Revocation::Missing);
    assert!(!verified.trail().passed().contains(&"amd.crl.revoked"));
}

// spec: sev-snp.crl.future
#[test]
fn the_newest_list_is_taken_and_one_of_the_future_is_not() {
    let amd = ToyAmd::shared();
    let told = honest(&ReportSpec::new(Product::Genoa));
    let list = |days: i64| amd.revocation_list(Product::Genoa, now().plus(days * 86_400));
    let mut files = told.endorsements.clone();
    files.push(("stale.der".to_owned(), list(-800)));
    files.push(("future.der".to_owned(), list(30)));
    files.push(("older.der".to_owned(), list(-20)));
    let verified = verify(&told, &heap(&files)).unwrap();
    match &verified.fact().revocation {
        Revocation::Checked { source, number, .. } => {
            assert_eq!((source.as_str(), *number), ("crl.der", Some(3)));
        }
        Revocation::Missing => panic!("the list was not used"),
    }
    files.retain(|(name, _)| name != "crl.der" && name != "older.der");
    let verified = verify(&told, &heap(&files)).unwrap();
    let Revocation::Checked { source, .. } = &verified.fact().revocation else {
        panic!("a stale list is a fact with its dates");
    };
    assert_eq!(source, "stale.der");
}

// spec: sev-snp.crl.issuer
#[test]
fn a_list_of_another_product_says_nothing() {
    let amd = ToyAmd::shared();
    let told = honest(&ReportSpec::new(Product::Milan));
    let mut files = told.endorsements.clone();
    files.retain(|(name, _)| name != "crl.der");
    let other = amd.revocation_list(Product::Genoa, now());
    files.push(("genoa.der".to_owned(), other));
    let verified = verify(&told, &heap(&files)).unwrap();
    assert_eq!(verified.fact().revocation, Revocation::Missing);
}

#[test]
fn what_a_report_needs_names_chip_tcb_chain_and_list() {
    let spec = ReportSpec::new(Product::Turin);
    let told = honest(&spec);
    let report = Report::parse(&told.report).unwrap();
    let wanted = needs(&report);
    assert_eq!(wanted.len(), 3);
    let EndorsementId::Vcek { hwid, tcb, .. } = &wanted[0] else {
        panic!("{wanted:?}");
    };
    assert_eq!(hwid.len(), 16);
    assert_eq!(*tcb, spec.reported_tcb.bytes(Product::Turin));
    assert!(matches!(
        wanted[1],
        EndorsementId::AmdChain { vlek: false, .. }
    ));
    assert!(matches!(
        wanted[2],
        EndorsementId::AmdCrl { vlek: false, .. }
    ));
}

// spec: sev-snp.kds.vlek
#[test]
fn a_vlek_is_never_asked_of_the_key_service() {
    let mut spec = ReportSpec::new(Product::Milan);
    spec.signer = ToySigner::Vlek;
    let told = honest(&spec);
    let wanted = needs(&Report::parse(&told.report).unwrap());
    assert!(
        wanted
            .iter()
            .all(|id| !matches!(id, EndorsementId::Vcek { .. }))
    );
    assert_eq!(wanted.len(), 2);
}

#[test]
fn a_report_of_version_2_asks_for_every_product_it_could_be() {
    let mut spec = ReportSpec::new(Product::Genoa);
    spec.version = 2;
    let told = honest(&spec);
    let wanted = needs(&Report::parse(&told.report).unwrap());
    let vceks = |id: &&EndorsementId| matches!(id, EndorsementId::Vcek { .. });
    assert_eq!(wanted.iter().filter(vceks).count(), 2);
}

/// The same list with its number marked critical; nobody signed that.
fn with_critical_number(list: &[u8]) -> Vec<u8> {
    let mut bytes = list.to_vec();
    let number = [6, 3, 0x55, 0x1d, 20];
    let at = bytes.windows(5).position(|part| part == number).unwrap();
    // [0] and the sequence of extensions begin before it and end with it.
    let end = at + usize::from(bytes[at - 1]);
    let holder = (0..at)
        .find(|from| {
            let lengths = [bytes[from + 1], bytes[from + 3]];
            bytes[*from] == 0xa0
                && bytes[from + 2] == 0x30
                && usize::from(lengths[0]) + from + 2 == end
                && lengths[0] == lengths[1] + 2
        })
        .unwrap();
    for length in [at - 1, holder + 1, holder + 3] {
        bytes[length] += 3;
    }
    bytes.splice(at + 5..at + 5, [1, 1, 0xff]);
    // Outer sequence and signed part have lengths of two bytes.
    for length in [2, 6] {
        let old = u16::from_be_bytes([bytes[length], bytes[length + 1]]);
        bytes[length..length + 2].copy_from_slice(&(old + 3).to_be_bytes());
    }
    bytes
}

// spec: sev-snp.crl.partial
#[test]
fn a_list_that_is_only_a_part_is_not_used_and_named() {
    let told = honest(&ReportSpec::new(Product::Milan));
    let mut files = told.endorsements.clone();
    for (name, bytes) in &mut files {
        if name == "crl.der" {
            *bytes = with_critical_number(bytes);
        }
    }
    let verified = verify(&told, &heap(&files)).unwrap();
    assert_eq!(verified.fact().revocation, Revocation::Missing);
    assert_eq!(
        verified.fact().notes,
        ["crl.der: the list has a critical extension"]
    );
}
