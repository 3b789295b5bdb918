//! Arguments of `zeuge collateral`, and those by which other commands fetch.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Format, later::Rest};

/// `zeuge collateral`.
#[derive(Debug, Subcommand)]
pub(crate) enum Collateral {
    /// Ask the makers for what evidence needs, or for chains and lists of every product.
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
    /// Not supported yet: what will run out, and when.
    Forecast(Rest),
}

/// `zeuge collateral fetch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge collateral fetch                      # chains and lists of every product
  zeuge collateral fetch report.bin           # what this report needs
  zeuge collateral fetch --kds https://kds-mirror.example report.bin

What comes is held against the makers' roots before it is kept.")]
pub(crate) struct Fetch {
    /// SEV-SNP reports; - is standard input.
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

/// Whom to ask.
#[derive(Debug, Args)]
pub(crate) struct Makers {
    /// AMD's key service, or a mirror of it: https, or http on this machine.
    #[arg(long, value_name = "URL")]
    pub(crate) kds: Option<String>,
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
