//! `instructions write DIR | cold DIR | warm DIR`: one verification for `valgrind` to count.
//!
//! `write` lets the toy make evidence (slow, and never counted); the others verify it with a
//! provider that computes no signature and says yes, so that the count is that of this program's
//! own work and the same on every processor. They print how many signatures were asked for.
//! `scripts/instructions` compares both with `instructions.tsv`.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use zeuge_evidence::snp::Report;
use zeuge_oracles::corpus::NOW;
use zeuge_sim::{Product, ReportSpec, ToyAmd};
use zeuge_verify::{
    Anchors, Binding, Endorsements, SnpFacts, Verified,
    crypto::{BadSignature, CryptoProvider, Scheme, Signatures},
    snp::{KeptChain, snp},
};

static ASKED: AtomicU64 = AtomicU64::new(0);

/// Says yes. For counting only; nothing that is proven with it is proven.
#[derive(Debug)]
struct Yes;

impl Signatures for Yes {
    fn verify(&self, _: Scheme, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

const YES: CryptoProvider = CryptoProvider { signatures: &Yes };

/// What is counted: the report is read and verified.
#[inline(never)]
fn counted_cold(bytes: &[u8], heap: &Endorsements, anchors: &Anchors) -> Verified<SnpFacts> {
    let report = Report::parse(bytes).expect("an honest report");
    snp(&report, heap, anchors, &unbound(), NOW, &YES).expect("an honest machine")
}

/// What is counted: the report is read and verified with a kept chain.
#[inline(never)]
fn counted_warm(
    kept: &KeptChain,
    bytes: &[u8],
    heap: &Endorsements,
    anchors: &Anchors,
) -> Verified<SnpFacts> {
    let report = Report::parse(bytes).expect("an honest report");
    let answer = kept.verify(&report, heap, anchors, &unbound(), NOW);
    answer.expect("the chain that was kept")
}

fn unbound() -> Binding {
    Binding::Unbound {
        because: String::new(),
    }
}

fn write(folder: &Path) -> std::io::Result<()> {
    let told = ToyAmd::shared().tell(None, &ReportSpec::new(Product::Milan), NOW);
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join("trust.json"),
        ToyAmd::shared().trust_file(&Product::ALL),
    )?;
    fs::write(folder.join("report.bin"), &told.report)?;
    for (name, bytes) in &told.endorsements {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn verify(folder: &Path, warm: bool) -> std::io::Result<()> {
    let anchors = Anchors::dangerous_sim(&fs::read_to_string(folder.join("trust.json"))?)
        .map_err(std::io::Error::other)?;
    let bytes = fs::read(folder.join("report.bin"))?;
    let mut heap = Endorsements::new();
    for name in ["vcek.der", "ask.der", "ark.der", "crl.der"] {
        heap.add(name, &fs::read(folder.join(name))?);
    }
    let report = Report::parse(&bytes).map_err(std::io::Error::other)?;
    let kept = KeptChain::verify_and_keep(&report, &heap, &anchors, &unbound(), NOW, &YES);
    let (_, kept) = kept.map_err(std::io::Error::other)?;
    ASKED.store(0, Ordering::Relaxed);
    let verified = if warm {
        counted_warm(&kept, &bytes, &heap, &anchors)
    } else {
        counted_cold(&bytes, &heap, &anchors)
    };
    std::hint::black_box(verified);
    println!("signatures {}", ASKED.load(Ordering::Relaxed));
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.as_slice() {
        [word, folder] if word == "write" => write(Path::new(folder)),
        [word, folder] if word == "cold" => verify(Path::new(folder), false),
        [word, folder] if word == "warm" => verify(Path::new(folder), true),
        _ => Err(std::io::Error::other(
            "usage: instructions write|cold|warm DIR",
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}
