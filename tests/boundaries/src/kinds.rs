//! Files of any kind: the guess that chooses a reader, and the heap of endorsements.

use zeuge_evidence::{
    Malformed,
    annotate::Node,
    azure, dcap, eventlog,
    kind::{self, Kind},
    snp, tpm, x509,
};
use zeuge_verify::Endorsements;

use crate::{
    meter::{Bound, within},
    must, sparing,
};

/// The guess, and the tree that `zeuge inspect` shows for it.
pub(crate) fn detect(bytes: &[u8]) {
    let kind = within(Bound::new(0, 0), bytes.len(), || kind::detect(bytes));
    if !sparing::chosen(bytes) {
        return;
    }
    match tree(kind, bytes) {
        Some(Ok(tree)) if matches!(kind, Kind::SnpJson | Kind::SnpProtobuf) => {
            must::show_unwrapped(&tree);
        }
        Some(Ok(tree)) => must::show(&tree, bytes.len()),
        Some(Err(malformed)) => must::refuse(&malformed, bytes.len()),
        None => {}
    }
}

fn tree(kind: Kind, bytes: &[u8]) -> Option<Result<Node, Malformed>> {
    Some(match kind {
        Kind::SnpReport | Kind::SnpJson | Kind::SnpProtobuf => snp::annotate::evidence(bytes),
        Kind::TdxQuote(_) | Kind::SgxQuote(_) => {
            dcap::Quote::parse(bytes).map(|quote| quote.annotate())
        }
        Kind::Certificate | Kind::Crl => x509::annotate::annotate(bytes, 0),
        Kind::AzureHcl => azure::annotate(bytes),
        Kind::TpmAttest => tpm::annotate_attest(bytes, 0),
        Kind::EventLog => eventlog::EventLog::parse_tpm(bytes).map(|log| eventlog::annotate(&log)),
        _ => return None,
    })
}

/// A file of endorsements in any form: what is kept can be read again, and twice is once.
pub(crate) fn endorsements(bytes: &[u8]) {
    let mut heap = Endorsements::new();
    let found = within(Bound::new(8, 64 * 1024 * 1024), bytes.len(), || {
        heap.add("a file", bytes)
    });
    assert_eq!(found, heap.len());
    assert!(heap.skipped.len() <= 1);
    if !sparing::chosen(bytes) {
        return;
    }
    for held in &heap.certificates {
        assert!(x509::Certificate::parse(&held.bytes).is_ok());
    }
    for held in &heap.revocation_lists {
        assert!(x509::RevocationList::parse(&held.bytes).is_ok());
    }
    assert_eq!(heap.add("the same file", bytes), 0);
}
