//! `zeuge-sim`: writes toy evidence and its endorsements into a folder, or serves a toy machine
//! and its maker, for tests and demonstrations. Never ships, keeps no key after it ends; opens a
//! socket, on loopback, only for `serve`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod clouds;
mod configfs;
mod fuse_file;
mod nsm;
mod serve;
mod td_files;
mod vendor;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use zeuge_evidence::UnixTime;
use zeuge_sim::{
    IntelLie, Lie, PckCa, Product, QuoteForm, QuoteSpec, ReportSpec, Room, Signer, Tee, ToyAmd,
    ToyIntel, ToyTpm, TpmLie, TpmSpec,
    tpm::{AkKind, EkKind, Proof},
};

const WARNING: &str =
    "This is a toy. Its keys are random and gone when it ends; nothing real trusts it.";
const EXAMPLES: &str = "\
Examples:
  zeuge-sim snp --out toy
  zeuge-sim snp --out toy --product Turin --signer vlek --version 5
  zeuge-sim snp --out toy --lie snp.vcek.chip-id
  zeuge verify --dangerous-trust-sim toy/trust.json --endorsements toy \\
      --unbound \"a toy\" --hardware-only toy/report.bin
  zeuge-sim quote --out toy --tee sgx --version 3
  zeuge-sim quote --out toy --lie tdx.module.signer
  zeuge-sim tpm --out toy --lie policy.boot-image
  zeuge-sim azure --out toy --cpu tdx --lie azure.ak.signer
  zeuge-sim google --out toy
  zeuge-sim nitro --out toy --tpm
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
    /// Write a toy Intel TDX or SGX quote, its endorsements and the trust file into a folder.
    #[command(after_help = EXAMPLES)]
    Quote(Quote),
    /// Write a toy TPM's quote with its logs, its endorsements, a registry that names its AK, and
    /// the trust file into a folder.
    #[command(after_help = EXAMPLES)]
    Tpm(Tpm),
    /// Write the evidence of a machine behind a toy Azure's paravisor, its endorsements and the trust
    /// file into a folder.
    #[command(after_help = EXAMPLES)]
    Azure(clouds::Azure),
    /// Write a toy report or quote with a toy Google's endorsement of its firmware, and the trust file
    /// into a folder.
    #[command(after_help = EXAMPLES)]
    Google(clouds::Google),
    /// Write a document of a toy AWS's Nitro hypervisor and the trust file into a folder.
    #[command(after_help = EXAMPLES)]
    Nitro(clouds::Nitro),
    /// List every lie: the check that must catch it, who tells it, the room of that check, what is
    /// wrong.
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
    /// The provider (cspID) whose key a VLEK is.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
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

#[derive(Args)]
struct Quote {
    /// Folder to write into; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Who speaks: tdx or sgx.
    #[arg(long, default_value = "tdx", value_parser = tee)]
    tee: Tee,
    /// Version of the quote: 4 or 5 for tdx (5 is TDX 1.5), 3 to 5 for sgx; by default the lowest.
    #[arg(long)]
    version: Option<u16>,
    /// Which CA certifies the platform: platform or processor.
    #[arg(long, default_value = "platform", value_parser = ca)]
    ca: PckCa,
    /// Tell this one lie; `zeuge-sim lies` names them.
    #[arg(long, value_name = "ID", value_parser = intel_lie)]
    lie: Option<IntelLie>,
    /// Put the log of a boot (CCEL) beside the quote, and its registers into the quote.
    #[arg(long)]
    boot_log: bool,
    /// REPORTDATA, exactly 64 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = bytes::<64>)]
    report_data: Option<[u8; 64]>,
    /// MRTD of a trust domain, exactly 48 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = bytes::<48>)]
    mr_td: Option<[u8; 48]>,
    /// MRENCLAVE of an enclave, exactly 32 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = bytes::<32>)]
    mr_enclave: Option<[u8; 32]>,
    /// The instant of the evidence; by default now.
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    at: Option<UnixTime>,
}

#[derive(Args)]
struct Tpm {
    /// Folder to write into; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Why the AK is to be believed: certificate or enrolment.
    #[arg(long, default_value = "certificate", value_parser = proof)]
    proof: Proof,
    /// Tell this one lie; `zeuge-sim lies` names them.
    #[arg(long, value_name = "ID", value_parser = tpm_lie)]
    lie: Option<TpmLie>,
    /// The qualifying data, up to 64 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    /// The instant of the evidence; by default now.
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    at: Option<UnixTime>,
}

#[derive(Clone)]
struct Nonce(Vec<u8>);

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
    let done = match program.command {
        Command::Lies => {
            list_lies();
            Ok(())
        }
        Command::Quote(quote) => write_quote(&quote),
        Command::Snp(snp) => write_snp(&snp),
        Command::Tpm(tpm) => write_tpm(&tpm),
        Command::Azure(azure) => clouds::write_azure(&azure),
        Command::Google(google) => clouds::write_google(&google),
        Command::Nitro(nitro) => clouds::write_nitro(&nitro),
        Command::Serve(options) => {
            eprintln!("{WARNING}\nMaking keys of 4096 bits …");
            serve::serve(&options, &|line| println!("{line}"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("zeuge-sim: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn list_lies() {
    for lie in Lie::ALL {
        list_lie("AMD", lie.check(), lie.room(), lie.what());
    }
    for lie in IntelLie::ALL {
        list_lie("Intel", lie.check(), lie.room(), lie.what());
    }
    for lie in zeuge_sim::NitroLie::ALL {
        list_lie("AWS", lie.check(), lie.room(), lie.what());
    }
    for lie in zeuge_sim::AzureLie::ALL {
        list_lie("Azure", lie.check(), lie.room(), lie.what());
    }
    for lie in zeuge_sim::GoogleLie::ALL {
        list_lie("Google", lie.check(), lie.room(), lie.what());
    }
    for lie in zeuge_sim::RatlsLie::ALL {
        list_lie("RATLS", lie.check(), lie.room(), lie.what());
    }
    for lie in TpmLie::ALL {
        list_lie("TPM", lie.check(), lie.room(), lie.what());
    }
}

fn list_lie(maker: &str, check: &str, room: Room, what: &str) {
    let room = match room {
        Room::Evidence => "evidence",
        Room::Verify => "verify",
        Room::Appraise => "appraise",
    };
    println!("{check:<31} {maker:<6} {room:<9} {what}");
}

fn write_snp(snp: &Snp) -> Result<(), String> {
    let now = snp.at.map_or_else(clock, Ok)?;
    let mut spec = ReportSpec::new(snp.product);
    spec.signer = snp.signer;
    spec.version = snp.version.unwrap_or(spec.version);
    if let Some(provider) = &snp.provider {
        spec.provider.clone_from(provider);
    }
    spec.report_data = snp.report_data.unwrap_or(spec.report_data);
    spec.measurement = snp.measurement.unwrap_or(spec.measurement);

    let amd = ToyAmd::new();
    eprintln!("{WARNING}\nMaking keys of 4096 bits …");
    let evidence = amd.tell(snp.lie, &spec, now);
    let files = Files {
        evidence: ("report.bin", &evidence.evidence_file),
        endorsements: &evidence.endorsements,
        trust: amd.trust_file(&[snp.product]),
    };
    files.put(&snp.out)?;
    put_values(
        &snp.out,
        &snp_value("web", &ReportSpec::new(snp.product).measurement, ""),
    )?;
    println!("at {}", evidence.at);
    println!("report data {}", hex::encode(evidence.expected_report_data));
    if let Some(lie) = snp.lie {
        println!("lie {}: {}", lie.check(), lie.what());
    }
    Ok(())
}

fn write_quote(quote: &Quote) -> Result<(), String> {
    let now = quote.at.map_or_else(clock, Ok)?;
    let version = quote.version.unwrap_or(match quote.tee {
        Tee::Sgx => 3,
        Tee::Tdx => 4,
    });
    let form = QuoteForm::of(quote.tee, version)
        .ok_or("there are versions 3, 4 and 5 of sgx, and 4 and 5 of tdx")?;
    let mut spec = QuoteSpec::new(form);
    spec.ca = quote.ca;
    spec.report_data = quote.report_data.unwrap_or(spec.report_data);
    spec.mr_td = quote.mr_td.unwrap_or(spec.mr_td);
    spec.mr_enclave = quote.mr_enclave.unwrap_or(spec.mr_enclave);

    if quote.boot_log && quote.tee == Tee::Sgx {
        return Err("an enclave has no boot log".into());
    }
    if quote.boot_log {
        spec = spec.with_boot_log();
    }

    let intel = ToyIntel::new();
    eprintln!("{WARNING}");
    let evidence = intel.tell(quote.lie, &spec, now);
    let files = Files {
        evidence: ("quote.bin", &evidence.evidence_file),
        endorsements: &evidence.endorsements,
        trust: intel.trust_file(),
    };
    files.put(&quote.out)?;
    println!("at {}", evidence.at);
    println!("report data {}", hex::encode(evidence.expected_report_data));
    if let Some(lie) = quote.lie {
        println!("lie {}: {}", lie.check(), lie.what());
    }
    Ok(())
}

fn write_tpm(tpm: &Tpm) -> Result<(), String> {
    let now = tpm.at.map_or_else(clock, Ok)?;
    let mut spec = TpmSpec::new(EkKind::P256, AkKind::Ecdsa);
    spec.proof = tpm.proof;
    if let Some(Nonce(nonce)) = &tpm.nonce {
        spec.nonce.clone_from(nonce);
    }
    let maker = ToyTpm::new();
    eprintln!("{WARNING}");
    let told = maker.tell(tpm.lie, &spec, now);
    let files = Files {
        evidence: ("quote.json", &told.file),
        endorsements: &told.endorsements,
        trust: maker.trust_file(),
    };
    files.put(&tpm.out)?;
    let registry = format!(
        "schema = \"zeuge.hardware.v1\"\n[[tpm]]\nname = \"toy\"\nak_name = \"{}\"\n",
        hex::encode(told.ak_name())
    );
    put(&tpm.out, "hardware.toml", registry.as_bytes())?;
    println!("at {}", told.at);
    println!("nonce {}", hex::encode(&told.nonce));
    if let Some(lie) = tpm.lie {
        println!("lie {}: {}", lie.check(), lie.what());
    }
    Ok(())
}

/// What a telling leaves in a folder.
struct Files<'a> {
    evidence: (&'a str, &'a [u8]),
    endorsements: &'a [(String, Vec<u8>)],
    trust: String,
}

impl Files<'_> {
    fn put(&self, folder: &Path) -> Result<(), String> {
        fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
        let (name, bytes) = self.evidence;
        put(folder, name, bytes)?;
        for (name, bytes) in self.endorsements {
            put(folder, name, bytes)?;
        }
        put(folder, "trust.json", self.trust.as_bytes())
    }
}

/// Writes what the owner of an honest toy knows.
fn put_values(folder: &Path, values: &str) -> Result<(), String> {
    let text = format!("schema = \"zeuge.reference-values.v1\"\n{values}");
    put(folder, "values.toml", text.as_bytes())
}

/// One `[[snp]]` reference value, with these further lines.
fn snp_value(name: &str, measurement: &[u8; 48], more: &str) -> String {
    let measurement = hex::encode(measurement);
    format!("[[snp]]\nname = \"{name}\"\nmeasurements = [\"{measurement}\"]\n{more}")
}

/// One `[[tdx]]` reference value, with these further lines.
fn tdx_value(name: &str, mr_td: &[u8; 48], more: &str) -> String {
    let mr_td = hex::encode(mr_td);
    format!("[[tdx]]\nname = \"{name}\"\nmr_td = [\"{mr_td}\"]\n{more}")
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

fn tee(text: &str) -> Result<Tee, String> {
    Tee::ALL
        .into_iter()
        .find(|tee| tee.name() == text)
        .ok_or_else(|| "there are tdx and sgx".to_owned())
}

fn ca(text: &str) -> Result<PckCa, String> {
    PckCa::ALL
        .into_iter()
        .find(|ca| ca.name() == text)
        .ok_or_else(|| "there are platform and processor".to_owned())
}

fn intel_lie(text: &str) -> Result<IntelLie, String> {
    IntelLie::about(text).ok_or_else(|| "no lie is for this check; see `zeuge-sim lies`".to_owned())
}

fn tpm_lie(text: &str) -> Result<TpmLie, String> {
    TpmLie::about(text).ok_or_else(|| "no lie is for this check; see `zeuge-sim lies`".to_owned())
}

fn proof(text: &str) -> Result<Proof, String> {
    match text {
        "certificate" => Ok(Proof::Certificate),
        "enrolment" => Ok(Proof::Enrolment),
        _ => Err("there are certificate and enrolment".to_owned()),
    }
}

fn nonce(text: &str) -> Result<Nonce, String> {
    hex::decode(text)
        .ok()
        .filter(|bytes| bytes.len() <= 64)
        .map(Nonce)
        .ok_or_else(|| "up to 64 bytes in hex are wanted".to_owned())
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
