//! Every place where bytes of somebody else come in, as one function each that asserts what must
//! hold for *any* bytes: no panic, a refusal names a check of the table and a place inside the
//! input, what was read can be written again, and no more memory than the bound that stands there.
//!
//! The same functions run under libFuzzer (`fuzz/`) and over the corpora in `cargo test`
//! (`tests/replay.rs`). Nothing here ships, and nothing here decides what is right: a function
//! that panics has found a mistake in a reader, or in its own idea of one.

mod boot;
mod cloud;
mod dcap;
mod intel;
mod kinds;
mod kube;
mod ledger;
pub mod meter;
mod owner;
mod reports;
pub mod seeds;
mod snp;
pub mod sparing;
mod told;
mod told_tpm;
mod tpm;
mod wire;
mod x509;

/// One boundary.
#[derive(Debug)]
pub struct Target {
    /// Its name: the folder of its corpus and the argument of `make fuzz`.
    pub name: &'static str,
    /// The longest input that the fuzzer makes, in bytes; longer ones teach it nothing.
    pub length_max: usize,
    /// Asserts everything about these bytes.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, length_max: usize, run: fn(&[u8])) -> Target {
    Target {
        name,
        length_max,
        run,
    }
}

/// All boundaries, by name.
pub const TARGETS: &[Target] = &[
    target("answer-told", 4096, intel::answer),
    target("api", 8192, wire::api),
    target("azure-evidence", 16384, cloud::evidence),
    target("azure-hcl", 2700, cloud::hcl),
    target("binding", 2048, wire::binding),
    target("bundle", 4096, wire::bundle),
    target("cbor", 1024, wire::cbor),
    target("ccel-told", 4096, intel::boot_log),
    target("certificate", 4096, x509::certificate),
    target("challenge", 512, wire::challenge),
    target("checkpoint", 1024, ledger::checkpoint),
    target("crl", 4096, x509::revocation_list),
    target("document", 4096, wire::document),
    target("ek", 4096, tpm::ek_file),
    target("endorsements", 4096, kinds::endorsements),
    target("event-log", 4096, boot::event_log),
    target("google-endorsement", 8192, cloud::endorsement),
    target("hardware", 4096, owner::hardware),
    target("ima", 2048, boot::ima),
    target("intel-document", 4096, told::intel_document),
    target("kind", 4096, kinds::detect),
    target("knowledge", 8192, owner::knowledge),
    target("kube-certificate", 4096, kube::validity),
    target("kube-report", 4096, kube::report),
    target("kube-request", 4096, kube::request),
    target("leaf", 1024, ledger::leaf),
    target("manifest", 1024, wire::manifest),
    target("name", 300, wire::name),
    target("nitro", 8192, cloud::document),
    target("policy", 4096, owner::policy),
    target("proof", 4096, ledger::proof),
    target("quote", 8192, dcap::quote),
    target("quote-forms", 16384, dcap::forms),
    target("quote-told", 512, told::quote),
    target("ra-tls", 8192, intel::ra_tls),
    target("reference-values", 4096, owner::reference_values),
    target("release-rule", 4096, owner::release_rule),
    target("report-bundle", 4096, reports::archive),
    target("secure-boot", 4096, boot::secure_boot),
    target("sentence", 1024, reports::sentence),
    target("snp-json", 4096, snp::json),
    target("snp-protobuf", 4096, snp::protobuf),
    target("snp-report", 1200, snp::report),
    target("snp-table", 1024, snp::table),
    target("snp-told", 256, told::snp),
    target("tile", 1024, ledger::tile),
    target("time", 64, x509::time),
    target("token", 4096, wire::token),
    target("tpm-attest", 512, tpm::attest),
    target("tpm-bundle", 8192, tpm::bundle),
    target("tpm-public", 1024, tpm::public),
    target("tpm-roots", 4096, owner::tpm_roots),
    target("tpm-signature", 1024, tpm::signature),
    target("tpm-told", 256, told_tpm::quote),
    target("trust-file", 8192, owner::trust_file),
    target("waiver", 4096, wire::waiver),
    target("witness-report", 4096, reports::witness),
];

/// The boundary of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// What refusals and trees must keep.
pub(crate) mod must {
    use zeuge_evidence::{Malformed, annotate::Node};
    use zeuge_report::Table;

    /// A refusal is short whatever was refused: it may be logged.
    const SENTENCE_CHARACTERS_MAX: usize = 2000;

    /// The id of a refusal stands in the table of checks.
    pub(crate) fn name_a_check(id: &str) {
        assert!(
            Table::get().explain(id).is_some(),
            "{id:?} stands in no table"
        );
    }

    /// A sentence of bounded length.
    pub(crate) fn be_short(sentence: &str) {
        assert!(
            sentence.len() <= SENTENCE_CHARACTERS_MAX,
            "{} bytes of refusal",
            sentence.len()
        );
    }

    /// A refusal of a reader: a check of the table, a place inside the input, a short sentence.
    pub(crate) fn refuse(malformed: &Malformed, length: usize) {
        name_a_check(malformed.check);
        be_short(&malformed.to_string());
        assert!(
            malformed.offset <= length,
            "{malformed:?} lies outside {length} bytes"
        );
    }

    /// A refusal of the wire.
    pub(crate) fn refuse_on_the_wire(error: &zeuge_protocol::Error) {
        name_a_check(error.check());
        be_short(&error.to_string());
    }

    /// A tree of fields that lie inside the input, children inside their parents, with a text
    /// that grows no faster than the input.
    pub(crate) fn show(tree: &Node, length: usize) {
        let mut characters = 0_usize;
        inside(tree, 0, length, &mut characters);
        let most = length.saturating_mul(64).saturating_add(64 * 1024);
        assert!(characters <= most, "{characters} characters are shown");
    }

    /// The same for a tree of bytes that stand in the input themselves: what is shown as a byte
    /// string is what stands there.
    pub(crate) fn show_in_place(tree: &Node, bytes: &[u8]) {
        show(tree, bytes.len());
        equal(tree, bytes);
    }

    /// The same for evidence out of its wrapping: each part counts from its own start, and may be
    /// longer than the packed file.
    pub(crate) fn show_unwrapped(tree: &Node) {
        for part in &tree.children {
            show(part, part.offset.saturating_add(part.length));
        }
    }

    fn equal(node: &Node, bytes: &[u8]) {
        // Shorter ones may be numbers.
        let shown =
            Some(&node.value).filter(|value| node.length >= 16 && value.len() == 2 * node.length);
        if let Some(shown) = shown.and_then(|value| hex::decode(value).ok()) {
            let found = &bytes[node.offset..node.offset + node.length];
            assert_eq!(found, shown, "{} at {}", node.name, node.offset);
        }
        node.children.iter().for_each(|child| equal(child, bytes));
    }

    fn inside(node: &Node, from: usize, to: usize, characters: &mut usize) {
        let end = node.offset.checked_add(node.length);
        assert!(
            node.offset >= from && end.is_some_and(|end| end <= to),
            "{} at {} of {} bytes lies outside {from}..{to}",
            node.name,
            node.offset,
            node.length
        );
        *characters += node.name.len() + node.value.len() + node.meaning.len();
        for child in &node.children {
            inside(child, node.offset, node.offset + node.length, characters);
        }
    }
}
