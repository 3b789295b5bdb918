//! SEV-SNP reports and their chains, beside the `sev` crate.
//!
//! Our answer comes three ways for every mutated report: from the beginning, with a chain that was
//! kept, and by asking the two whether they are the same, trail included.

use zeuge_evidence::{
    UnixTime,
    snp::{Evidence, Report},
    x509::Certificate,
};
use zeuge_sim::{Lie, Product, ReportSpec, Room, ToyAmd, ToyEvidence};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, SnpFacts, Verified,
    crypto::AWS_LC,
    snp::{KeptChain, snp},
};

use crate::{
    corpus::{self, NOW},
    mutate,
    random::Random,
    sev_peer::Peer,
    table::{ACCEPTED, Ledger},
};

const SEV: &str = "sev";

/// Nothing is demanded of REPORT_DATA: the peer demands nothing either.
fn unbound() -> Binding {
    Binding::Unbound {
        because: "the peers compare no binding".to_owned(),
    }
}

fn ours(
    report: &[u8],
    heap: &Endorsements,
    anchors: &Anchors,
    at: UnixTime,
) -> Result<Verified<SnpFacts>, Error> {
    let report = Report::parse(report)?;
    snp(&report, heap, anchors, &unbound(), at, &AWS_LC)
}

fn word(outcome: &Result<Verified<SnpFacts>, Error>) -> &'static str {
    match outcome {
        Ok(_) => ACCEPTED,
        Err(error) => error.check(),
    }
}

/// The toy's evidence as both sides take it.
struct Told {
    told: ToyEvidence,
    heap: Endorsements,
    ark: Vec<u8>,
    ask: Vec<u8>,
    leaf: Vec<u8>,
}

impl Told {
    fn new(told: ToyEvidence) -> Self {
        let mut heap = Endorsements::new();
        for (name, bytes) in &told.endorsements {
            heap.add(name, bytes);
        }
        let file = |names: &[&str]| {
            let found = told
                .endorsements
                .iter()
                .find(|(name, _)| names.contains(&name.as_str()));
            found.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
        };
        Self {
            ark: file(&["ark.der"]),
            ask: file(&["ask.der", "asvk.der"]),
            leaf: file(&["vcek.der", "vlek.der"]),
            heap,
            told,
        }
    }

    fn peer(&self) -> Peer {
        Peer::new(&self.ark, &self.ask, &self.leaf)
    }
}

/// The toy's roots, in the place of the makers'.
///
/// # Panics
/// When the toy writes a bad trust file.
#[must_use]
pub fn toy_anchors() -> Anchors {
    let file = ToyAmd::shared().trust_file(&Product::ALL);
    Anchors::dangerous_sim(&file).expect("the toy writes a good trust file")
}

/// Every honest report and every lie, of every product, signer and version.
pub fn toys(ledger: &mut Ledger) {
    let anchors = toy_anchors();
    let lies = Lie::ALL.iter().filter(|lie| lie.room() != Room::Appraise);
    for spec in corpus::machines() {
        for lie in std::iter::once(None).chain(lies.clone().copied().map(Some)) {
            let told = Told::new(ToyAmd::shared().tell(lie, &spec, NOW));
            if told.told.evidence_file != told.told.report {
                // A lie about the wrapping, which this peer does not read.
                continue;
            }
            let report = &told.told.report;
            let outcome = ours(report, &told.heap, &anchors, told.told.at);
            let theirs = told.peer().answer(report);
            let class = if lie.is_some() { "lie" } else { "toy-report" };
            let files: [(&str, &[u8]); 4] = [
                ("report.bin", report),
                ("ark.der", &told.ark),
                ("ask.der", &told.ask),
                ("leaf.der", &told.leaf),
            ];
            // A lie about binding is not one here.
            ledger.record(class, SEV, word(&outcome), theirs, &files);
        }
    }
}

/// Reports of real machines, each under every leaf of the folder.
///
/// # Panics
/// When the folder is not one of captures.
pub fn captures(ledger: &mut Ledger, folder: &std::path::Path) {
    let anchors = Anchors::makers();
    let certificates = corpus::der_of_classes(folder, &["amd-cert"]);
    let mut heap = Endorsements::new();
    for (name, bytes) in certificates
        .iter()
        .chain(&corpus::der_of_classes(folder, &["crl"]))
    {
        heap.add(name, bytes);
    }
    let peers = capture_peers(&certificates, &anchors);
    let classes = [
        "snp-report",
        "evidence-bundle",
        "conformance-sev",
        "azure-hcl",
    ];
    for capture in corpus::of_classes(folder, &classes) {
        let mut heap = heap.clone();
        let mut peers_here: Vec<&Peer> = peers.iter().collect();
        let mut own = Vec::new();
        let report = match (capture.class.as_str(), Evidence::read(&capture.bytes)) {
            ("snp-report", _) => capture.bytes.clone(),
            // The report follows the header of 32 bytes.
            ("azure-hcl", _) if capture.bytes.len() > 0x20 + 1184 => {
                capture.bytes[0x20..0x20 + 1184].to_vec()
            }
            (_, Ok(evidence)) => {
                heap.add_beside(&evidence.endorsements);
                own = evidence.endorsements.clone();
                evidence.report
            }
            _ => continue,
        };
        let own = capture_peers(&own, &anchors);
        peers_here.extend(&own);
        let outcome = ours(&report, &heap, &anchors, capture.at);
        let answers: Vec<&str> = peers_here.iter().map(|peer| peer.answer(&report)).collect();
        let theirs = match answers.iter().find(|answer| **answer == ACCEPTED) {
            Some(accepted) => accepted,
            None => answers.first().copied().unwrap_or("no leaf"),
        };
        let files: [(&str, &[u8]); 1] = [(&capture.name, &report)];
        ledger.record("capture-report", SEV, word(&outcome), theirs, &files);
    }
}

/// One peer for each leaf, with the pinned root and the carried intermediate of its issuer.
fn capture_peers(certificates: &[(String, Vec<u8>)], anchors: &Anchors) -> Vec<Peer> {
    let mut out = Vec::new();
    for (_, bytes) in certificates {
        let Ok(leaf) = Certificate::parse(bytes) else {
            continue;
        };
        for product in zeuge_evidence::snp::Product::ALL {
            for ask in anchors.amd_intermediates(product) {
                let issuer = Certificate::parse(ask).expect("a carried certificate");
                if issuer.subject.raw == leaf.issuer.raw {
                    out.push(Peer::new(anchors.amd(product).certificate(), ask, bytes));
                }
            }
        }
    }
    out
}

/// Reports with changed fields, most of them signed again by the machine's own key, so that a rule
/// and not the signature has to refuse them. Returns how many were asked.
///
/// # Panics
/// When a kept chain answers otherwise than verification from the beginning.
pub fn mutants(ledger: &mut Ledger, seed: u64, numbers: std::ops::Range<u64>) {
    let anchors = toy_anchors();
    let machines: Vec<(ReportSpec, Told, Peer, KeptChain)> = corpus::machines()
        .into_iter()
        .map(|spec| {
            let told = Told::new(ToyAmd::shared().tell(None, &spec, NOW));
            let peer = told.peer();
            let report = Report::parse(&told.told.report).expect("an honest report");
            let heap = &told.heap;
            let kept =
                KeptChain::verify_and_keep(&report, heap, &anchors, &unbound(), NOW, &AWS_LC);
            let (_, kept) = kept.expect("an honest machine");
            (spec, told, peer, kept)
        })
        .collect();
    for number in numbers {
        let mut random = Random::of(seed, number);
        let machine = usize::try_from(number).unwrap_or_default() % machines.len();
        let (spec, told, peer, kept) = &machines[machine];
        let mut report = told.told.report.clone();
        let single = number / u64::try_from(machines.len()).unwrap_or(1);
        let signed_only = mutate::report(&mut random, single, &mut report);
        // Nobody signs changed signatures; of the others one in eight stays unsigned.
        if signed_only && (single < mutate::SINGLE_CHANGES || random.below(8) != 0) {
            ToyAmd::shared().resign(spec, &mut report);
        }
        let outcome = ours(&report, &told.heap, &anchors, NOW);
        let again = Report::parse(&report)
            .ok()
            .and_then(|report| kept.verify(&report, &told.heap, &anchors, &unbound(), NOW));
        assert_eq!(
            again.as_ref(),
            outcome.as_ref().ok(),
            "a kept chain answers otherwise: mutation {number} of seed {seed}"
        );
        let theirs = peer.answer(&report);
        let files: [(&str, &[u8]); 4] = [
            ("report.bin", &report),
            ("ark.der", &told.ark),
            ("ask.der", &told.ask),
            ("leaf.der", &told.leaf),
        ];
        ledger.record("report-mutant", SEV, word(&outcome), theirs, &files);
    }
}

/// Chains in which the root, the intermediate or the leaf has changed elements.
pub fn chain_mutants(ledger: &mut Ledger, seed: u64, numbers: std::ops::Range<u64>) {
    let anchors = toy_anchors();
    let machines: Vec<Told> = corpus::machines()
        .iter()
        .map(|spec| Told::new(ToyAmd::shared().tell(None, spec, NOW)))
        .collect();
    for number in numbers {
        let mut random = Random::of(seed, number);
        let told = random.one_of(&machines);
        let mut files = [told.ark.clone(), told.ask.clone(), told.leaf.clone()];
        let changed = 1 + random.below(2);
        files[changed] = mutate::der(&mut random, number / 2, &files[changed]);
        let mut heap = Endorsements::new();
        for (bytes, name) in files.iter().zip(["ark.der", "ask.der", "leaf.der"]) {
            heap.add(name, bytes);
        }
        heap.revocation_lists
            .clone_from(&told.heap.revocation_lists);
        let report = &told.told.report;
        let outcome = ours(report, &heap, &anchors, NOW);
        let theirs = Peer::new(&files[0], &files[1], &files[2]).answer(report);
        let kept: [(&str, &[u8]); 4] = [
            ("report.bin", report),
            ("ark.der", &files[0]),
            ("ask.der", &files[1]),
            ("leaf.der", &files[2]),
        ];
        ledger.record("chain-mutant", SEV, word(&outcome), theirs, &kept);
    }
}
