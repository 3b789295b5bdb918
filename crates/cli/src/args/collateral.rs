//! Arguments of `zeuge collateral`, and those by which other commands fetch.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Format, witness::Target};

/// `zeuge collateral`.
#[derive(Debug, Subcommand)]
pub(crate) enum Collateral {
    /// Ask the makers for what evidence needs, or for chains, lists and identities in common use.
    Fetch(Fetch),
    /// Write the cache into one file, for a machine that reaches no maker.
    #[command(after_help = "Example:\n  zeuge collateral export --out collateral.json")]
    Export {
        /// The file to make.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The cache.
        #[command(flatten)]
        cache: Cache,
    },
    /// Take such a file into the cache: what the makers' roots vouch for and is not older than
    /// what was seen.
    #[command(after_help = "Example:\n  zeuge collateral import collateral.json")]
    Import {
        /// The file; - is standard input.
        file: PathBuf,
        /// The cache.
        #[command(flatten)]
        cache: Cache,
    },
    /// List what the cache holds, how old it is, and whether it would be handed out.
    #[command(after_help = "Example:\n  zeuge collateral status --format json")]
    Status {
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// The cache.
        #[command(flatten)]
        cache: Cache,
    },
    /// Tell how platforms of Intel's stand in both update channels, and from when the policy in
    /// force would refuse them.
    Forecast(Forecast),
}

/// `zeuge collateral fetch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge collateral fetch                      # what machines have in common
  zeuge collateral fetch report.bin quote.bin # what this evidence needs
  zeuge collateral fetch --kds https://kds-mirror.example report.bin
  zeuge collateral fetch --pcs https://pccs.example:8081 quote.bin

Intel's documents are fetched in both channels, standard and early, and kept side by side. What comes is held against the makers' roots before it is kept.")]
pub(crate) struct Fetch {
    /// SEV-SNP reports and quotes of TDX and SGX; - is standard input.
    pub(crate) files: Vec<PathBuf>,
    /// Ask also for what is held and young.
    #[arg(long)]
    pub(crate) refresh: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) makers: Makers,
    /// The cache.
    #[command(flatten)]
    pub(crate) cache: Cache,
}

/// `zeuge collateral forecast`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge collateral forecast                        # every machine that the witness knows
  zeuge collateral forecast quotes/ --fetch        # a folder of quotes
  zeuge collateral forecast quotes/ --policy fleet/policy.toml --format json

Exit code 5: refused under the standard documents already; 4: no documents at hand; 10: refused \
later, or once the early documents are in force.")]
pub(crate) struct Forecast {
    /// Quotes of TDX and SGX, or folders of them; without any, the witness is asked.
    pub(crate) files: Vec<PathBuf>,
    /// The policy; without it the built-in floor. A witness uses its owners'.
    #[arg(long, value_name = "FILE", requires = "files")]
    pub(crate) policy: Option<PathBuf>,
    /// A file or folder of certificates and lists; documents in it are of no channel and do not
    /// count; repeatable.
    #[arg(long, value_name = "PATH", requires = "files")]
    pub(crate) endorsements: Vec<PathBuf>,
    /// Ask Intel's service for what is missing or old.
    #[arg(long, requires = "files")]
    pub(crate) fetch: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) makers: Makers,
    /// The cache.
    #[command(flatten)]
    pub(crate) cache: Cache,
    /// Which witness.
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Whom to ask.
#[derive(Debug, Args)]
pub(crate) struct Makers {
    /// AMD's key service, or a mirror of it: https, or http on this machine.
    #[arg(long, value_name = "URL")]
    pub(crate) kds: Option<String>,
    /// Intel's certification service (PCS), or a cache of it (PCCS): https, or http on this machine.
    #[arg(long, value_name = "URL")]
    pub(crate) pcs: Option<String>,
}

/// Where what was fetched is kept.
#[derive(Debug, Args)]
pub(crate) struct Cache {
    /// The folder; without it zeuge/collateral in XDG_CACHE_HOME or ~/.cache.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// DANGEROUS: trust the toy vendor of tests, whose roots stand in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) dangerous_trust_sim: Option<PathBuf>,
}
