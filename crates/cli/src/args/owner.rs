//! Arguments of `zeuge owner`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use zeuge_protocol::{document::Kind, name::Name};

use super::{Format, witness::Target};
use crate::payload;

/// The owner's keys. Whoever holds one decides who gets which secret: keep it off the machines
/// that are judged.
#[derive(Debug, Subcommand)]
pub(crate) enum Owner {
    /// Make an owner key, and the owner set that a witness and agents are set up with.
    Init(Init),
    /// Say what a key or owner set is, never its secret.
    Show(Show),
    /// Sign documents: FILE becomes FILE.signed. A signed document gets one signature more.
    Sign(Sign),
    /// Check the signature over a report, and whose it is.
    Check(Check),
    /// Make a new key, and the owner set with it in the old one's place, signed by the old one.
    Rotate(Rotate),
}

/// `zeuge owner init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  zeuge owner init --out owner --name anna --tenant acme
  zeuged init --data /var/lib/zeuge --owner owner/owner.pub --id witness-1 --tenant acme

Writes owner.key (secret, readable by you alone) and owner.pub. Overwrites nothing.")]
pub(crate) struct Init {
    /// The folder for both files; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The person or role that holds the key; two keys of one person count as one person.
    #[arg(long, value_name = "NAME", default_value = "owner")]
    pub(crate) name: String,
    /// Whose documents the key signs.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) tenant: Name,
}

/// `zeuge owner show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  zeuge owner show owner/owner.pub")]
pub(crate) struct Show {
    /// A key or an owner set.
    pub(crate) file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// `zeuge owner sign`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge owner sign --key owner/owner.key --version 1 --expires 2027-12-31T00:00:00Z policy.toml
  zeuge owner sign --key berta/owner.key policy.toml.signed      (a second owner approves)

A text is read before it is signed, by the reader that the witness uses; one that would be refused
there is not signed.")]
pub(crate) struct Sign {
    /// The owner's key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// What the files are; their schema says it when this is absent.
    #[arg(long, value_name = "KIND", value_parser = payload::parse_kind)]
    pub(crate) kind: Option<Kind>,
    /// Counts up with every change; a witness takes only what is above the version it holds.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) version: u64,
    /// The first instant at which the document no longer counts; a year from now when absent.
    #[arg(long, value_name = "RFC3339")]
    pub(crate) expires: Option<String>,
    /// Whose document it is; the key's tenant when absent.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<Name>,
    /// Texts, or signed documents that need one signature more.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// `zeuge owner check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  zeuge owner check report.html --set owner/owner.pub

Reads FILE.sig beside the file, as zeuge report --sign writes it. Exit code 3 where it does not hold, \
or is nobody's of the set.")]
pub(crate) struct Check {
    /// The report.
    pub(crate) file: PathBuf,
    /// The signature; FILE.sig when absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
    /// The owner set that one of must have signed.
    #[arg(long, value_name = "FILE")]
    pub(crate) set: PathBuf,
}

/// `zeuge owner rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  zeuge owner rotate --key owner/owner.key --set owner/owner.pub --version 2 --out owner-2027
  zeuge apply -f owner-2027
  zeuge owner rotate --key owner/owner.key --set owner/owner.pub --version 2 --out owner-2027 \\
      --carry --token-file admin.token --witness https://witness-1:8443

With --carry the new set vouches for what the witness holds: it stays in force until it expires or
is replaced, also where the old key is not trusted any more. Without it, what only the old key
signed stops counting. Agents take owner keys from their measured configuration: give them the new
set there, which carries the old manifests too.")]
pub(crate) struct Rotate {
    /// The old key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The present owner set.
    #[arg(long, value_name = "FILE")]
    pub(crate) set: PathBuf,
    /// The version of the new owner set; above the one the witness holds.
    #[arg(long, value_name = "N")]
    pub(crate) version: u64,
    /// When the set no longer counts; a year from now when absent.
    #[arg(long, value_name = "RFC3339")]
    pub(crate) expires: Option<String>,
    /// The folder for the new files.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Vouch for the documents and secrets that the witness holds now.
    #[arg(long)]
    pub(crate) carry: bool,
    /// Which witness to ask what it holds.
    #[command(flatten)]
    pub(crate) target: Target,
}
