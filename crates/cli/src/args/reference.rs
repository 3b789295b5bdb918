//! Arguments of `zeuge reference`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use zeuge_protocol::name::Name;

use super::{Format, witness::Target};

/// `zeuge reference`.
#[derive(Debug, Subcommand)]
pub(crate) enum Reference {
    /// Add known values to the witness's, or replace those of the same name, signed by the owner.
    Put(Put),
    /// List the values that the witness has.
    #[command(after_help = "Example:\n  zeuge reference list --tenant acme")]
    List {
        /// Whose values.
        #[arg(long, value_name = "NAME")]
        tenant: Name,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// Take values away by their name: machines that measure them are no longer known.
    #[command(after_help = "Example:\n  zeuge reference retire web-1.4 --key owner/owner.key")]
    Retire {
        /// The name, as release rules use it.
        name: String,
        /// How it is signed and where it goes.
        #[command(flatten)]
        signing: Signing,
    },
}

/// `zeuge reference put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  zeuge reference put web.toml --key owner/owner.key

The file is of the schema zeuge.reference-values.v1. The rest of the witness's values stays.")]
pub(crate) struct Put {
    /// The values.
    pub(crate) file: PathBuf,
    /// How it is signed and where it goes.
    #[command(flatten)]
    pub(crate) signing: Signing,
}

/// How the changed values are signed and where they go.
#[derive(Debug, Args)]
pub(crate) struct Signing {
    /// The owner's key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// When the values no longer count; a year from now when absent.
    #[arg(long, value_name = "RFC3339")]
    pub(crate) expires: Option<String>,
    /// Write the signed document here instead of bringing it, for another owner to sign.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Which witness.
    #[command(flatten)]
    pub(crate) target: Target,
}
