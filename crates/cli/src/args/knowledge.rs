//! Arguments of `zeuge threats`, `zeuge report` and `zeuge advise`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use zeuge_protocol::name::Name;

use super::{Format, Language, Verify, witness::Target};

/// How threats are printed.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// Other knowledge than the one in use (zeuge.threat-knowledge.v1).
    #[arg(long, value_name = "FILE")]
    pub(crate) knowledge: Option<PathBuf>,
    /// The language of texts.
    #[arg(long, value_enum, default_value_t = Language::En)]
    pub(crate) lang: Language,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// `zeuge threats`.
#[derive(Debug, Subcommand)]
pub(crate) enum Threats {
    /// Every threat that is known: id, names, who can do it, how sure that is.
    #[command(
        after_help = "Examples:\n  zeuge threats list --lang de\n  zeuge threats list \
                            --whole > knowledge.toml"
    )]
    List {
        /// Only threats whose id begins so.
        #[arg(long, value_name = "PREFIX")]
        id: Option<String>,
        /// The built-in document as it stands (TOML), to begin one's own with.
        #[arg(long, conflicts_with_all = ["id", "knowledge", "format"])]
        whole: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Everything about one threat: figures, conflicts, sources.
    #[command(after_help = "Example:\n  zeuge threats show AMD-30")]
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Plain words about a threat, a state or an adversary.
    #[command(
        after_help = "Examples:\n  zeuge threats explain FORGEABLE\n  zeuge threats explain \
                            provider-employee --lang de\n  zeuge threats explain PHY-03"
    )]
    Explain {
        /// A threat's id, a state, or an adversary.
        word: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Take knowledge that owners signed; every later verdict uses it.
    Update(Update),
}

/// `zeuge threats update`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge owner sign --key owner/owner.key --version 1 knowledge.toml
  zeuge threats update knowledge.toml.signed --owners owner/owner.pub
  zeuge threats update --drop

The document is kept in zeuge/threat-knowledge.json of XDG_DATA_HOME (or ~/.local/share), and
verified again whenever it is used: one that has ended, or that somebody changed, stops every
verdict until it is renewed or dropped. Versions only go up.")]
pub(crate) struct Update {
    /// The signed document.
    #[arg(
        value_name = "FILE",
        required_unless_present = "drop",
        conflicts_with = "drop"
    )]
    pub(crate) file: Option<PathBuf>,
    /// The owner set that must have signed it.
    #[arg(long, value_name = "FILE", required_unless_present = "drop")]
    pub(crate) owners: Option<PathBuf>,
    /// Forget what is kept, and use the built-in knowledge again.
    #[arg(long)]
    pub(crate) drop: bool,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For a terminal.
    Text,
    /// One page, self-contained, for screen and paper.
    Html,
    /// zeuge.report.v1.
    Json,
}

/// `zeuge report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge report --unbound \"an audit\" --hardware-only --endorsements amd/ \\
      --format html --lang de --out report.html report.bin
  zeuge report --nonce \"$NONCE\" --reference-values web.toml --endorsements amd/ \\
      --format html --out report.html --sign owner/owner.key --bundle report.zeuge report.bin
  zeuge report --machine web-1 --tenant acme --format html --out web-1.html --bundle web-1.zeuge
  zeuge verify report.zeuge

With --machine the witness is asked for the evidence that it judged and archived, and for
everything that its verdict rested on. Its signature, the receipt of its log and the leaf are held
against each other, the same bytes are judged again here, and the report says whether the same
comes out; exit code 3 where it does not.

The page works without scripts and prints on A4. The archive holds everything that the verdict
depends on; zeuge verify judges it again, offline, and says what differs. Exit codes are those of
zeuge verify.")]
#[command(mut_arg("files", |files| files.required(false).required_unless_present("machine")))]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) verify: Verify,
    /// A machine of a witness's, by the owner's name or by its chip, as GET /v1/machines lists it.
    #[arg(long, value_name = "ID", requires = "tenant", conflicts_with_all = [
        "files", "report_data", "nonce", "unbound", "endorsements", "at", "policy",
        "reference_values", "hardware", "hardware_only", "pcrs", "previous", "fetch", "knowledge",
    ])]
    pub(crate) machine: Option<String>,
    /// Whose machine it is.
    #[arg(long, value_name = "NAME", requires = "machine")]
    pub(crate) tenant: Option<Name>,
    /// The verdict with this leaf instead of the newest.
    #[arg(long, value_name = "N", requires = "machine")]
    pub(crate) leaf: Option<u64>,
    /// The report key that the witness must have, as zeuged init showed it.
    #[arg(long, value_name = "KEY", requires = "machine")]
    pub(crate) report_key: Option<String>,
    /// The log's key that the witness must have (C2SP signed-note).
    #[arg(long, value_name = "VKEY", requires = "machine")]
    pub(crate) log_key: Option<String>,
    /// Which witness.
    #[command(flatten)]
    pub(crate) target: Target,
    /// How to print.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Where to write the report; standard output when absent. Overwrites nothing.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Sign the report with this owner key; the signature is written beside it, as FILE.sig.
    #[arg(long, value_name = "KEY", requires = "out")]
    pub(crate) sign: Option<PathBuf>,
    /// Write an archive that reproduces the verdict offline. Overwrites nothing.
    #[arg(long, value_name = "OUT", conflicts_with = "fetch")]
    pub(crate) bundle: Option<PathBuf>,
}

/// `zeuge advise`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge advise
  zeuge advise --data health --against provider-employee --against cpu-maker --provider azure \\
      --budget small --lang de

Asks what is not given, on a terminal. Every statement comes from the knowledge base, with its
source; figures of cost are published ones, not measured here.")]
pub(crate) struct Advise {
    /// What kind of data it is about.
    #[arg(long, value_enum)]
    pub(crate) data: Option<Data>,
    /// Against whom it must be protected; repeatable, as verdicts spell them.
    #[arg(long, value_name = "WHO", value_parser = crate::advise::parse_who)]
    pub(crate) against: Vec<zeuge_appraise::threats::Who>,
    /// Where it shall run.
    #[arg(long, value_enum)]
    pub(crate) provider: Option<Provider>,
    /// How much slower or dearer it may become.
    #[arg(long, value_enum)]
    pub(crate) budget: Option<Budget>,
    /// Other knowledge than the one in use (zeuge.threat-knowledge.v1).
    #[arg(long, value_name = "FILE")]
    pub(crate) knowledge: Option<PathBuf>,
    /// The language of texts.
    #[arg(long, value_enum, default_value_t = Language::En)]
    pub(crate) lang: Language,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// What kind of data it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Data {
    /// Anybody may know it.
    Public,
    /// Business secrets.
    Business,
    /// Data about people.
    Personal,
    /// Data about health.
    Health,
    /// Keys that open other things.
    Keys,
}

/// Where it shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Provider {
    /// Hardware of your own.
    Own,
    /// Amazon.
    Aws,
    /// Microsoft.
    Azure,
    /// Google.
    Gcp,
    /// Somebody else.
    Other,
}

impl Provider {
    /// The word in the knowledge base.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
            Self::Other => "other",
        }
    }
}

/// How much slower or dearer it may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Budget {
    /// Hardly.
    Small,
    /// Noticeably.
    Medium,
    /// As much as it takes.
    Large,
}
