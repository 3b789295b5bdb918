//! Arguments of `zeuge log`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;

/// Where a log is, and whose it is.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// A folder or address with a checkpoint and tile/ below it (C2SP tlog-tiles).
    #[arg(value_name = "FOLDER|URL")]
    pub(crate) log: String,
    /// The log's verifier key, NAME+ID+BASE64; take it from where the witness cannot change it.
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: String,
    /// The certificates that an https address must show, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

/// `zeuge log`.
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Verify signature, tiles and every entry; and that an older checkpoint is continued.
    #[command(
        after_help = "Example:\n  zeuge log verify https://127.0.0.1:8443/log --ca cert.pem \
                            --key \"$VKEY\" --old last-week.checkpoint"
    )]
    Verify {
        /// The log.
        #[command(flatten)]
        source: Source,
        /// A checkpoint of the same log from before, which it must continue.
        #[arg(long, value_name = "FILE")]
        old: Option<PathBuf>,
    },
    /// Print the proof that an entry is in the log (C2SP tlog-proof).
    #[command(after_help = "Example:\n  zeuge log prove log/ --key \"$VKEY\" --index 17")]
    Prove {
        /// The log.
        #[command(flatten)]
        source: Source,
        /// Which entry, from 0.
        #[arg(long, value_name = "N")]
        index: u64,
    },
    /// Print the newest entries, each proven to be in the log.
    #[command(after_help = "Example:\n  zeuge log tail log/ --key \"$VKEY\" --lines 5")]
    Tail {
        /// The log.
        #[command(flatten)]
        source: Source,
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 10)]
        lines: u16,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Not supported yet: cosign the checkpoints of other logs.
    Witness(super::later::Rest),
}
