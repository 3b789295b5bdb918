//! `zeuge-sim`: writes toy evidence and its endorsements into a folder, or serves a toy machine
//! and its maker, for tests and demonstrations. Never ships, keeps no key after it ends; opens a
//! socket, on loopback, only for `serve`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod configfs;
mod serve;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use zeuge_evidence::UnixTime;
use zeuge_sim::{Lie, Product, ReportSpec, Room, Signer, ToyAmd};

const WARNING: &str =
    "This is a toy. Its keys are random and gone when it ends; nothing real trusts it.";
const EXAMPLES: &str = "\
Examples:
  zeuge-sim snp --out toy
  zeuge-sim snp --out toy --product Turin --signer vlek --version 5
  zeuge-sim snp --out toy --lie snp.vcek.chip-id
  zeuge verify --dangerous-trust-sim toy/trust.json --endorsements toy \\
      --unbound \"a toy\" --hardware-only toy/report.bin
  zeuge-sim lies
  zeuge-sim serve --dir toy --configfs /mnt/toy &
  scripts/in-toy-machine /mnt/toy zeuge-agent detect

This is a toy. Its keys are random and gone when it ends; nothing real trusts it.
What it writes counts only where somebody names its trust.json after --dangerous-trust-sim.";

/// A toy maker of confidential machines, with one lie per check.
#[derive(Parser)]
#[command(name = "zeuge-sim", version, after_help = EXAMPLES)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a toy AMD SEV-SNP report, its endorsements and the trust file into a folder.
    #[command(after_help = EXAMPLES)]
    Snp(Snp),
    /// Serve one toy machine and its maker's key service, until SIGTERM.
    #[command(after_help = EXAMPLES)]
    Serve(serve::Serve),
    /// List every lie: the check that must catch it, the room of that check, what is wrong.
    #[command(after_help = EXAMPLES)]
    Lies,
}

#[derive(Args)]
struct Snp {
    /// Folder to write into; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Product line.
    #[arg(long, default_value = "Milan", value_parser = product)]
    product: Product,
    /// VERSION of the report; by default what the product's firmware writes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=5))]
    version: Option<u32>,
    /// Which key signs: vcek or vlek.
    #[arg(long, default_value = "vcek", value_parser = signer)]
    signer: Signer,
    /// Tell this one lie; `zeuge-sim lies` names them.
    #[arg(long, value_name = "ID", value_parser = lie)]
    lie: Option<Lie>,
    /// REPORT_DATA, exactly 64 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = bytes::<64>)]
    report_data: Option<[u8; 64]>,
    /// MEASUREMENT, exactly 48 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = bytes::<48>)]
    measurement: Option<[u8; 48]>,
    /// The instant of the evidence; by default now.
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    at: Option<UnixTime>,
}

fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            // A closed pipe is no reason for another message.
            let _ = error.print();
            return ExitCode::from(u8::from(!asked));
        }
    };
    match program.command {
        Command::Lies => {
            list_lies();
            ExitCode::SUCCESS
        }
        Command::Snp(snp) => ended(write(&snp)),
        Command::Serve(options) => {
            eprintln!("{WARNING}\nMaking keys of 4096 bits …");
            ended(serve::serve(&options, &|line| println!("{line}")))
        }
    }
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("zeuge-sim: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn list_lies() {
    for lie in Lie::ALL {
        let room = match lie.room() {
            Room::Evidence => "evidence",
            Room::Verify => "verify",
            Room::Appraise => "appraise",
        };
        println!("{:<30} {room:<9} {}", lie.check(), lie.what());
    }
}

fn write(snp: &Snp) -> Result<(), String> {
    let now = match snp.at {
        Some(at) => at,
        None => clock()?,
    };
    let mut spec = ReportSpec::new(snp.product);
    spec.signer = snp.signer;
    spec.version = snp.version.unwrap_or(spec.version);
    spec.report_data = snp.report_data.unwrap_or(spec.report_data);
    spec.measurement = snp.measurement.unwrap_or(spec.measurement);

    let amd = ToyAmd::new();
    eprintln!("{WARNING}\nMaking keys of 4096 bits …");
    let evidence = amd.tell(snp.lie, &spec, now);
    fs::create_dir_all(&snp.out)
        .map_err(|error| format!("cannot make the folder {}: {error}", snp.out.display()))?;
    put(&snp.out, "report.bin", &evidence.evidence_file)?;
    for (name, bytes) in &evidence.endorsements {
        put(&snp.out, name, bytes)?;
    }
    let trust = amd.trust_file(&[snp.product]);
    put(&snp.out, "trust.json", trust.as_bytes())?;
    println!("at {}", evidence.at);
    println!("report data {}", hex::encode(evidence.expected_report_data));
    if let Some(lie) = snp.lie {
        println!("lie {}: {}", lie.check(), lie.what());
    }
    Ok(())
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), String> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("wrote {} ({} bytes)", path.display(), bytes.len());
    Ok(())
}

fn clock() -> Result<UnixTime, String> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .map(UnixTime)
        .ok_or_else(|| "the clock of this machine stands before 1970; use --at".to_owned())
}

fn product(text: &str) -> Result<Product, String> {
    Product::from_name(text).ok_or_else(|| "there are Milan, Genoa and Turin".to_owned())
}

fn signer(text: &str) -> Result<Signer, String> {
    Signer::ALL
        .into_iter()
        .find(|signer| signer.name() == text)
        .ok_or_else(|| "there are vcek and vlek".to_owned())
}

fn lie(text: &str) -> Result<Lie, String> {
    Lie::about(text).ok_or_else(|| "no lie is for this check; see `zeuge-sim lies`".to_owned())
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    hex::decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("exactly {N} bytes in hex are wanted, {} digits", N * 2))
}

fn instant(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text)
        .ok_or_else(|| "an instant as 2026-03-01T00:00:00Z is wanted".to_owned())
}
