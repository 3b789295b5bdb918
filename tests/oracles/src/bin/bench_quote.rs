//! `bench_quote`: what one verification of a TDX or SGX quote costs, from one run: from the beginning,
//! and with a kept platform, beside the bare signatures of the same library and beside `dcap-qvl`.
//! Fails where a target is missed by `--check`.

use std::{hint::black_box, path::Path, process::ExitCode};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey, VerificationAlgorithm,
};
use dcap_qvl::{QuoteCollateralV3, verify::QuoteVerifier};
use zeuge_evidence::{
    UnixTime,
    dcap::Quote,
    x509::{Certificate, RevocationList},
};
use zeuge_oracles::{
    corpus::{self, NOW},
    quotes::{collateral, toy_anchors},
    turns::{Candidate, Target, medians},
};
use zeuge_sim::{QuoteForm, QuoteSpec, ToyIntel};
use zeuge_verify::{
    Anchors, Binding, Endorsements,
    crypto::AWS_LC,
    dcap::{KeptPlatform, certificates, quote},
};

/// Rounds; each runs every candidate once for [`CALLS`] calls.
const ROUNDS: usize = 41;
const CALLS: u32 = 20;

/// A quote with everything that endorses it, and nothing else.
struct Machine {
    name: String,
    quote: Vec<u8>,
    heap: Endorsements,
    anchors: Anchors,
    at: UnixTime,
    peer: QuoteCollateralV3,
}

/// A signature of the kind that Intel's chains are made of: key, message, signature.
struct Signed {
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    fixed: bool,
}

impl Signed {
    fn check(&self) {
        let algorithm: &'static dyn VerificationAlgorithm = if self.fixed {
            &ECDSA_P256_SHA256_FIXED
        } else {
            &ECDSA_P256_SHA256_ASN1
        };
        let key = UnparsedPublicKey::new(algorithm, &self.key);
        assert!(key.verify(&self.message, &self.signature).is_ok());
    }

    fn of(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Self {
        Self {
            key: issuer.public_key.key.to_vec(),
            message: certificate.signed.to_vec(),
            signature: certificate.signature.to_vec(),
            fixed: false,
        }
    }
}

impl Machine {
    fn toy(form: QuoteForm) -> Self {
        let told = ToyIntel::shared().tell(None, &QuoteSpec::new(form), NOW);
        let mut heap = Endorsements::new();
        for (name, bytes) in &told.endorsements {
            heap.add(name, bytes);
        }
        let anchors = toy_anchors();
        let peer = collateral(&told.quote, &heap, &anchors, NOW).expect("the toy's files");
        Self {
            name: format!("toy {form:?}"),
            quote: told.quote,
            heap,
            anchors,
            at: NOW,
            peer,
        }
    }

    /// A genuine quote out of the folder of captures, with the documents that count for it alone.
    fn genuine(folder: &Path) -> Option<Self> {
        let wanted = "v4-b0c06f000000__dcap-qvl__tdx_quote.bin";
        let captures = corpus::of_classes(folder, &["tdx-quote"]);
        let capture = captures
            .into_iter()
            .find(|one| one.name.ends_with(wanted))?;
        let anchors = Anchors::makers();
        let mut all = Endorsements::new();
        for one in corpus::of_classes(folder, &["intel-cert", "intel-collateral", "crl"]) {
            all.add(&one.name, &one.bytes);
        }
        let length = zeuge_oracles::quotes::whole(&capture.bytes)?;
        let bytes = capture.bytes.get(..length)?.to_vec();
        let peer = collateral(&bytes, &all, &anchors, capture.at)?;
        let mut heap = Endorsements::new();
        for chain in [&peer.pck_crl_issuer_chain, &peer.tcb_info_issuer_chain] {
            heap.add("chain.pem", chain.as_bytes());
        }
        heap.add("root.crl", &peer.root_ca_crl);
        heap.add("pck.crl", &peer.pck_crl);
        for (member, text, signature) in [
            ("tcbInfo", &peer.tcb_info, &peer.tcb_info_signature),
            (
                "enclaveIdentity",
                &peer.qe_identity,
                &peer.qe_identity_signature,
            ),
        ] {
            let signature = hex::encode(signature);
            let file = format!("{{\"{member}\":{text},\"signature\":\"{signature}\"}}");
            heap.add(member, file.as_bytes());
        }
        Some(Self {
            name: "genuine TDX".to_owned(),
            quote: bytes,
            heap,
            anchors,
            at: capture.at,
            peer,
        })
    }

    /// Every signature that somebody must check: leaf, CA, both lists, signer, both documents; and
    /// the two that every quote has anew.
    fn signatures(&self) -> (Vec<Signed>, [Signed; 2]) {
        let read = |bytes| Certificate::parse(bytes).expect("a certificate");
        let quote = Quote::parse(&self.quote).expect("a quote");
        let own = certificates(&quote);
        let root = read(self.anchors.intel().certificate());
        let leaf = read(&own[0]);
        let held: Vec<_> = self
            .heap
            .certificates
            .iter()
            .map(|held| read(&held.bytes))
            .collect();
        let by_name = |part: &str| {
            let found = held.iter().find(|one| {
                one.subject
                    .common_name()
                    .is_some_and(|name| name.contains(part))
            });
            found.expect("an authority")
        };
        let signer = by_name("TCB Signing");
        let ca = held
            .iter()
            .find(|one| one.subject.raw == leaf.issuer.raw)
            .expect("the leaf's issuer");
        let mut out = vec![
            Signed::of(&leaf, ca),
            Signed::of(ca, &root),
            Signed::of(signer, &root),
        ];
        for (list, issuer) in [(&self.peer.root_ca_crl, &root), (&self.peer.pck_crl, ca)] {
            let list = RevocationList::parse(list).expect("a list");
            out.push(Signed {
                key: issuer.public_key.key.to_vec(),
                message: list.signed.to_vec(),
                signature: list.signature.to_vec(),
                fixed: false,
            });
        }
        for (text, signature) in [
            (&self.peer.tcb_info, &self.peer.tcb_info_signature),
            (&self.peer.qe_identity, &self.peer.qe_identity_signature),
        ] {
            out.push(Signed {
                key: signer.public_key.key.to_vec(),
                message: text.as_bytes().to_vec(),
                signature: signature.clone(),
                fixed: true,
            });
        }
        let of_quote = [
            Signed {
                key: leaf.public_key.key.to_vec(),
                message: quote.qe_report_bytes.to_vec(),
                signature: quote.qe_report_signature.to_vec(),
                fixed: true,
            },
            Signed {
                key: [&[4][..], &quote.attestation_key].concat(),
                message: quote.signed.to_vec(),
                signature: quote.signature.to_vec(),
                fixed: true,
            },
        ];
        (out, of_quote)
    }

    /// Measures and prints; says of each target whether it is met.
    fn measured(&self) -> Vec<bool> {
        let (of_platform, of_quote) = self.signatures();
        let (heap, anchors, at) = (&self.heap, &self.anchors, self.at);
        let binding = Binding::Unbound {
            because: "the peer compares no binding".to_owned(),
        };
        let parsed = Quote::parse(&self.quote).expect("a quote");
        let kept = KeptPlatform::verify_and_keep(&parsed, heap, anchors, &binding, at, &AWS_LC);
        let kept = kept
            .expect("an honest quote")
            .1
            .expect("a platform to keep");
        let root = anchors.intel().certificate().to_vec();
        let seconds = u64::try_from(at.0).unwrap_or_default();
        let two = || of_quote.iter().for_each(Signed::check);
        let bare = || of_platform.iter().chain(&of_quote).for_each(Signed::check);
        let cold = || {
            let parsed = Quote::parse(&self.quote).expect("a quote");
            assert!(quote(&parsed, heap, anchors, &binding, at, &AWS_LC).is_ok());
        };
        let warm = || {
            let parsed = Quote::parse(&self.quote).expect("a quote");
            assert!(black_box(kept.verify(&parsed, heap, anchors, &binding, at)).is_some());
        };
        let peer = || {
            let verifier: QuoteVerifier = QuoteVerifier::new(root.clone());
            let verifier = verifier.allow_debug(true).allow_service_td(true);
            assert!(verifier.verify(&self.quote, &self.peer, seconds).is_ok());
        };
        let mut candidates: Vec<Candidate<'_>> = vec![
            ("two bare P-256 verifications", Box::new(two)),
            ("bare signatures: 9 on P-256", Box::new(bare)),
            ("zeuge, kept platform", Box::new(warm)),
            ("zeuge, from the beginning", Box::new(cold)),
            ("dcap-qvl, from the beginning", Box::new(peer)),
        ];
        let times = medians(&mut candidates, ROUNDS, CALLS);
        println!("\n{}: {} bytes", self.name, self.quote.len());
        for ((name, _), time) in candidates.iter().zip(&times) {
            println!("{name:<42} {time:>9.1} µs");
        }
        let [two, bare, warm, cold, peer] = times[..] else {
            return Vec::new();
        };
        let target = |name, ratio, bound, at_least| Target {
            name,
            ratio,
            bound,
            at_least,
        };
        vec![
            target("kept platform / two bare P-256", warm / two, 1.2, false).tell(),
            target(
                "from the beginning / bare signatures",
                cold / bare,
                1.25,
                false,
            )
            .tell(),
            target("dcap-qvl / kept platform", peer / warm, 5.0, true).tell(),
            target("dcap-qvl / from the beginning", peer / cold, 1.0, true).tell(),
        ]
    }
}

fn main() -> ExitCode {
    let mut machines = vec![Machine::toy(QuoteForm::Tdx4), Machine::toy(QuoteForm::Sgx3)];
    match std::env::var_os("ZEUGE_VECTORS") {
        Some(folder) => machines.extend(Machine::genuine(Path::new(&folder))),
        None => println!("skipped: a genuine quote (ZEUGE_VECTORS is not set)"),
    }
    let met: Vec<bool> = machines.iter().flat_map(Machine::measured).collect();
    if met.contains(&false) && std::env::args().any(|word| word == "--check") {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
