//! The files of toy clouds: a machine behind a toy Azure's paravisor, one with firmware that a toy
//! Google endorses, a document of a toy AWS's hypervisor.
//!
//! Writes what a machine there would hand over, and the trust file; serves nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;
use zeuge_evidence::UnixTime;
use zeuge_sim::{
    AzureCpu, AzureLie, AzureSpec, EndorsementSpec, GoogleLie, NitroLie, NitroSpec, Product,
    QuoteForm, QuoteSpec, ReportSpec, ToyAmd, ToyAzure, ToyGoogle, ToyIntel, ToyNitro,
    azure::PARAVISOR, nitro::TOY_IMAGE,
};

use crate::{
    Files, Nonce, WARNING, clock, instant, nonce, product, put, put_values, snp_value, tdx_value,
};

/// The silicon of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cpu {
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
}

/// Options of `azure`.
#[derive(Args)]
pub(crate) struct Azure {
    /// Folder to write into; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The silicon below the paravisor.
    #[arg(long, value_enum, default_value = "snp")]
    cpu: Cpu,
    /// Product line of SEV-SNP.
    #[arg(long, default_value = "Milan", value_parser = product)]
    product: Product,
    /// Version of the JSON of Trustee's clients: 0, 1 or 2.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    json: u8,
    /// Tell this one lie; `zeuge-sim lies` names them.
    #[arg(long, value_name = "ID", value_parser = azure_lie)]
    lie: Option<AzureLie>,
    /// The challenge, up to 64 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    /// The instant of the evidence; by default now.
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    at: Option<UnixTime>,
}

/// Options of `google`.
#[derive(Args)]
pub(crate) struct Google {
    /// Folder to write into; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The silicon.
    #[arg(long, value_enum, default_value = "snp")]
    cpu: Cpu,
    /// Tell this one lie about the firmware; `zeuge-sim lies` names them.
    #[arg(long, value_name = "ID", value_parser = google_lie)]
    lie: Option<GoogleLie>,
    /// The instant of the evidence; by default now.
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    at: Option<UnixTime>,
}

/// Options of `nitro`.
#[derive(Args)]
pub(crate) struct Nitro {
    /// Folder to write into; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The document of an instance's NitroTPM, not of an enclave.
    #[arg(long)]
    tpm: bool,
    /// The enclave was started in debug mode.
    #[arg(long, conflicts_with = "tpm")]
    debug: bool,
    /// Tell this one lie; `zeuge-sim lies` names them.
    #[arg(long, value_name = "ID", value_parser = nitro_lie)]
    lie: Option<NitroLie>,
    /// The challenge, up to 64 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    /// The instant of the evidence; by default now.
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    at: Option<UnixTime>,
}

const NO_LIE: &str = "no lie is for this check; see `zeuge-sim lies`";

fn azure_lie(text: &str) -> Result<AzureLie, String> {
    AzureLie::about(text).ok_or_else(|| NO_LIE.to_owned())
}

fn google_lie(text: &str) -> Result<GoogleLie, String> {
    GoogleLie::about(text).ok_or_else(|| NO_LIE.to_owned())
}

fn nitro_lie(text: &str) -> Result<NitroLie, String> {
    NitroLie::about(text).ok_or_else(|| NO_LIE.to_owned())
}

/// What was lied about, in a line.
fn tell_lie(lie: Option<(&str, &str)>) {
    if let Some((check, what)) = lie {
        println!("lie {check}: {what}");
    }
}

/// Writes `evidence.json`, or `hcl.bin` where the quote is what is missing.
pub(crate) fn write_azure(options: &Azure) -> Result<(), String> {
    let now = options.at.map_or_else(clock, Ok)?;
    let cpu = match options.cpu {
        Cpu::Snp => AzureCpu::Snp(options.product),
        Cpu::Tdx => AzureCpu::Tdx,
    };
    let mut spec = AzureSpec::new(cpu);
    spec.json = options.json;
    if let Some(Nonce(nonce)) = &options.nonce {
        spec.nonce.clone_from(nonce);
    }
    eprintln!("{WARNING}");
    let azure = ToyAzure::shared();
    let told = azure.tell(options.lie, &spec, now);
    let alone = told.file == told.hcl;
    let files = Files {
        evidence: (if alone { "hcl.bin" } else { "evidence.json" }, &told.file),
        endorsements: &told.endorsements,
        // Some lies are told by the other silicon.
        trust: merged([
            ToyAmd::shared().trust_file(&[options.product]),
            ToyIntel::shared().trust_file(),
        ])?,
    };
    files.put(&options.out)?;
    if !alone {
        put(&options.out, "hcl.bin", &told.hcl)?;
    }
    // What the paravisor is, and what the guest starts.
    let profile = "binding_profile = \"hcl\"\n";
    let values = [
        snp_value("paravisor", &PARAVISOR, profile),
        tdx_value("paravisor", &PARAVISOR, profile),
        format!(
            "[[tpm]]\nname = \"web\"\npcrs = {{ sha256 = {{ \"4\" = [\"{}\"] }} }}\n",
            "04".repeat(32)
        ),
    ];
    put_values(&options.out, &values.concat())?;
    println!("at {}", told.at);
    println!("nonce {}", hex::encode(&told.nonce));
    tell_lie(options.lie.map(|lie| (lie.check(), lie.what())));
    Ok(())
}

/// Writes a report or quote, and the endorsement of its firmware as `firmware.binarypb`.
pub(crate) fn write_google(options: &Google) -> Result<(), String> {
    let now = options.at.map_or_else(clock, Ok)?;
    eprintln!("{WARNING}");
    let report = ReportSpec::new(Product::Milan);
    let quote = QuoteSpec::new(QuoteForm::Tdx4);
    let firmware = EndorsementSpec::new(report.measurement, quote.mr_td);
    let mut trust = vec![ToyGoogle::shared().trust_file()];
    let (evidence, mut endorsements, report_data) = match options.cpu {
        Cpu::Snp => {
            let told = ToyAmd::shared().tell(None, &report, now);
            trust.push(ToyAmd::shared().trust_file(&[Product::Milan]));
            let data = told.expected_report_data;
            (("report.bin", told.evidence_file), told.endorsements, data)
        }
        Cpu::Tdx => {
            let told = ToyIntel::shared().tell(None, &quote, now);
            trust.push(ToyIntel::shared().trust_file());
            let data = told.expected_report_data;
            (("quote.bin", told.evidence_file), told.endorsements, data)
        }
    };
    if options.lie != Some(GoogleLie::Missing) {
        let endorsement = ToyGoogle::shared().tell(options.lie, &firmware, now);
        endorsements.push(("firmware.binarypb".to_owned(), endorsement));
    }
    let files = Files {
        evidence: (evidence.0, &evidence.1),
        endorsements: &endorsements,
        trust: merged(trust)?,
    };
    files.put(&options.out)?;
    let values = [
        snp_value("web", &report.measurement, ""),
        tdx_value("web", &quote.mr_td, ""),
    ];
    put_values(&options.out, &values.concat())?;
    println!("at {now}");
    println!("report data {}", hex::encode(report_data));
    tell_lie(options.lie.map(|lie| (lie.check(), lie.what())));
    Ok(())
}

/// Writes `document.cbor`.
pub(crate) fn write_nitro(options: &Nitro) -> Result<(), String> {
    let now = options.at.map_or_else(clock, Ok)?;
    let mut spec = NitroSpec {
        debug: options.debug,
        ..NitroSpec::new(options.tpm)
    };
    if let Some(Nonce(nonce)) = &options.nonce {
        spec.nonce.clone_from(nonce);
    }
    eprintln!("{WARNING}");
    let told = ToyNitro::shared().tell(options.lie, &spec, now);
    let files = Files {
        evidence: ("document.cbor", &told.file),
        endorsements: &[],
        trust: ToyNitro::shared().trust_file(),
    };
    files.put(&options.out)?;
    let image = hex::encode([TOY_IMAGE; 48]);
    let value = |source: &str, index: u8| {
        format!(
            "[[nitro]]\nname = \"{source}\"\nsource = \"{source}\"\n\
             pcrs = {{ \"{index}\" = [\"{image}\"] }}\n"
        )
    };
    put_values(
        &options.out,
        &[value("enclave", 0), value("tpm", 4)].concat(),
    )?;
    println!("at {}", told.at);
    println!("nonce {}", hex::encode(&told.nonce));
    tell_lie(options.lie.map(|lie| (lie.check(), lie.what())));
    Ok(())
}

/// One trust file of several makers'.
fn merged(files: impl IntoIterator<Item = String>) -> Result<String, String> {
    let mut all = serde_json::Map::new();
    for file in files {
        let read: Value = serde_json::from_str(&file).map_err(|error| error.to_string())?;
        let Value::Object(members) = read else {
            return Err("a trust file is an object".to_owned());
        };
        // A maker who says nothing of another does not take his roots away.
        let said = members
            .into_iter()
            .filter(|(_, value)| value.as_object().is_none_or(|roots| !roots.is_empty()));
        all.extend(said);
    }
    Ok(format!("{:#}\n", Value::Object(all)))
}
