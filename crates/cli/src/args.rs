//! What the command line accepts, with its help.

pub(crate) mod collateral;
pub(crate) mod knowledge;
pub(crate) mod later;
pub(crate) mod log;
pub(crate) mod owner;
pub(crate) mod reference;
pub(crate) mod tenant;
pub(crate) mod tools;
pub(crate) mod witness;

use std::path::PathBuf;

use clap::{ArgGroup, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::Outcome;

/// Is this really a confidential machine, running what I built, and whom do I still have to trust?
#[derive(Debug, Parser)]
#[command(name = "zeuge", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 affirming or done, 1 usage or local I/O, 2 malformed, 3 untrusted, 4 a needed \
endorsement is not at hand, 5 refused (genuine, but not as wanted), 10 accepted with warnings. Of \
several files the worst counts: 1 > 2 > 3 > 4 > 5 > 10 > 0.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print what the bytes say, field by field; nobody believes it yet.
    Inspect(Inspect),
    /// Verify evidence down to the maker's root, and judge it: one verdict per file.
    Verify(VerifyCommand),
    /// The trust report: what a verdict is worth, for anyone and in detail.
    Report(Box<knowledge::Report>),
    /// The owner's keys: make them, look at them, sign documents, change them.
    #[command(subcommand)]
    Owner(owner::Owner),
    /// Bring a folder of rules, policies and reference values to the witness.
    Apply(witness::Apply),
    /// Secrets of machines: bring, list, delete, change.
    #[command(subcommand)]
    Secret(witness::Secret),
    /// Waivers of Kubernetes nodes, as owners signed them.
    #[command(subcommand)]
    Waiver(witness::Waiver),
    /// Machines that get no secrets for now.
    #[command(subcommand)]
    Stop(witness::Stop),
    /// Names for several witnesses.
    #[command(subcommand)]
    Context(witness::Context),
    /// Policies and other texts: check them, explain the checks.
    #[command(subcommand)]
    Policy(tools::Policy),
    /// Known measurements: put, list and retire them one by one, signed by the owner.
    #[command(subcommand)]
    Reference(reference::Reference),
    /// Chips that the owner knows, with the keys that the maker certified for them.
    #[command(subcommand)]
    Hardware(tools::Hardware),
    /// Tokens that a witness signs for relying parties.
    #[command(subcommand)]
    Token(tools::Token),
    /// The witness's log: verify it, prove an entry, look at the newest.
    #[command(subcommand)]
    Log(log::Log),
    /// Tenants of a witness, and tokens for their people.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Certificates and revocation lists of the makers: fetch, carry, look at them.
    #[command(subcommand)]
    Collateral(collateral::Collateral),
    /// What is known about attacks, and how sure that is.
    #[command(subcommand)]
    Threats(knowledge::Threats),
    /// Would a confidential machine help, which kind, and what would it cost?
    Advise(knowledge::Advise),
    /// Is this machine, this configuration, every witness all right?
    #[command(after_help = "Example:\n  zeuge doctor")]
    Doctor,
    /// Not supported yet.
    #[command(flatten)]
    Later(later::Later),
    /// Run the whole loop with a toy instead of silicon: attest, release, and every refusal.
    Demo(crate::demo::Demo),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  zeuge completions bash > /etc/bash_completion.d/zeuge")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff).
    #[command(name = "manual", after_help = "Example:\n  zeuge manual | man -l -")]
    Manual,
}

/// `zeuge inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge inspect report.bin
  zeuge inspect --format json vcek.der crl.der

Inspecting never says whether something is genuine. For that, use zeuge verify.")]
pub(crate) struct Inspect {
    /// Reports, quotes, certificates or revocation lists; - is standard input.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// `zeuge verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge verify --report-data \"$EXPECTED\" --reference-values web.toml \\
      --endorsements amd/ report.bin
  zeuge verify --unbound \"a published sample\" --hardware-only --at 2024-10-23T12:00:00Z \\
      --endorsements amd/ --format json report.bin
  zeuge verify --fetch --nonce \"$NONCE\" --reference-values web.toml report.bin
  zeuge verify report.zeuge                    (an archive of zeuge report)

One of --report-data, --nonce and --unbound is required: evidence that answers no question of \
yours may be old or somebody else's. Nothing is fetched without --fetch, and with it only AMD's \
certificates that are neither beside the evidence nor in the cache.")]
pub(crate) struct VerifyCommand {
    #[command(flatten)]
    pub(crate) verify: Verify,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// What every judgement needs to know: `zeuge verify` and `zeuge report`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("binding").args(["report_data", "nonce", "unbound"]))]
pub(crate) struct Verify {
    /// Evidence; - is standard input.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// What the files are.
    #[arg(long, value_enum, default_value_t = Kind::Auto)]
    pub(crate) kind: Kind,
    /// A file or folder of certificates, revocation lists and documents; repeatable. Those that
    /// verify and are in force are chosen.
    #[arg(long, value_name = "PATH")]
    pub(crate) endorsements: Vec<PathBuf>,
    /// The instant to verify at (RFC 3339); now when absent.
    #[arg(long, value_name = "RFC3339")]
    pub(crate) at: Option<String>,
    /// The 64 bytes that the report data must be, as 128 hex digits.
    #[arg(long, value_name = "HEX")]
    pub(crate) report_data: Option<String>,
    /// The nonce, 8 to 64 bytes in hex, that the report data must begin with; zeros must follow. A
    /// TPM's qualifying data must be the nonce and nothing else.
    #[arg(long, value_name = "HEX")]
    pub(crate) nonce: Option<String>,
    /// Demand no binding, for this reason; it shows in the verdict.
    #[arg(long, value_name = "WHY")]
    pub(crate) unbound: Option<String>,
    /// The owner's policy (zeuge.policy.v1).
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The owner's reference values (zeuge.reference-values.v1).
    #[arg(long, value_name = "FILE")]
    pub(crate) reference_values: Option<PathBuf>,
    /// The owner's registry of machines (zeuge.hardware.v1): chips, and TPMs with their AKs.
    #[arg(long, value_name = "FILE")]
    pub(crate) hardware: Option<PathBuf>,
    /// The PCRs that a TPM was asked for, such as sha256:0,1,7; repeatable, one bank each.
    #[arg(long, value_name = "BANK:LIST")]
    pub(crate) pcrs: Vec<String>,
    /// An earlier quote of the same TPM: the machine must not have been restarted since, and its
    /// clock must not stand before that one's.
    #[arg(long, value_name = "FILE")]
    pub(crate) previous: Option<PathBuf>,
    /// Roots of TPM makers, and of AWS's other partitions, beyond the shipped ones: a folder with
    /// roots.toml (zeuge.roots.v1: file, maker, jurisdiction, origin; kind = "nitro" for AWS), or
    /// that file; repeatable.
    #[arg(long, visible_alias = "tpm-roots", value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    /// Demand no measurement: look at the hardware alone. It shows in the verdict.
    #[arg(long)]
    pub(crate) hardware_only: bool,
    /// Ask the makers' services for what is missing; verifies at the present instant.
    #[arg(long, conflicts_with = "at")]
    pub(crate) fetch: bool,
    /// AMD's key service, or a mirror of it: https, or http on this machine.
    #[arg(long, value_name = "URL", requires = "fetch")]
    pub(crate) kds: Option<String>,
    /// Intel's certification service (PCS), or a cache of it (PCCS): https, or http on this machine.
    #[arg(long, value_name = "URL", requires = "fetch")]
    pub(crate) pcs: Option<String>,
    /// In which state of Intel's knowledge documents are fetched: standard or early.
    #[arg(long, value_name = "CHANNEL", requires = "fetch", default_value = "standard", value_parser = ["standard", "early"])]
    pub(crate) update: String,
    /// Where to keep what was fetched; without it zeuge/collateral in XDG_CACHE_HOME or ~/.cache.
    #[arg(long, value_name = "DIR", requires = "fetch")]
    pub(crate) cache: Option<PathBuf>,
    /// DANGEROUS: trust the toy vendor of tests, whose roots stand in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) dangerous_trust_sim: Option<PathBuf>,
    /// Other threat knowledge than the one in use (zeuge.threat-knowledge.v1).
    #[arg(long, value_name = "FILE")]
    pub(crate) knowledge: Option<PathBuf>,
    /// The language of texts.
    #[arg(long, value_enum, default_value_t = Language::En)]
    pub(crate) lang: Language,
    /// Judge as the witness did to which the evidence came; archives of its reports say so.
    #[arg(long, hide = true)]
    pub(crate) as_witness: bool,
    /// The highest tcbEvaluationDataNumber that the witness had seen; archives of its reports say so.
    #[arg(long, hide = true, value_name = "N")]
    pub(crate) evaluation_number_seen: Option<u32>,
}

/// What the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Find out.
    Auto,
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
    /// Intel SGX.
    Sgx,
    /// A quote of a TPM.
    Tpm,
    /// Azure's HCL report, alone or with its quotes.
    Azure,
    /// A document of AWS's Nitro hypervisor: of an enclave, or of NitroTPM.
    Nitro,
    /// A bundle of ours.
    Bundle,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
    /// An unsigned EAR claims set.
    Ear,
}

/// The language of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// English.
    En,
    /// German.
    De,
}

/// Prints a completion script.
pub(crate) fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "zeuge", &mut script);
    crate::say(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

/// Prints the manual page.
pub(crate) fn manual() -> Outcome {
    let mut page = Vec::new();
    clap_mangen::Man::new(Arguments::command())
        .render(&mut page)
        .map_err(|error| format!("the manual page: {error}"))?;
    crate::say(&String::from_utf8_lossy(&page))?;
    Ok(0)
}
