//! Arguments of the commands that talk to a witness.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use zeuge_protocol::name::{Name, Path};

use super::Format;

/// Which witness, and how it is known.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Target {
    /// A witness of the contexts file; the one in use when absent.
    #[arg(long, value_name = "NAME", env = "ZEUGE_CONTEXT")]
    pub(crate) context: Option<String>,
    /// The witness's address, instead of the context's.
    #[arg(long, value_name = "URL")]
    pub(crate) witness: Option<String>,
    /// The certificates that it must show, in PEM; zeuged init wrote tls/cert.pem.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The file with the administrator's token.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// `zeuge apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge apply -f fleet --dry-run
  zeuge apply -f fleet --key owner/owner.key
  zeuge apply -f fleet --key owner/owner.key --prune
  zeuge apply -f fleet --key anna/owner.key --sign-only       (two owners must sign: Anna begins,)
  zeuge owner sign --key berta/owner.key fleet/policy.toml.signed          (Berta approves,)
  zeuge apply -f fleet                                                     (anybody brings it)

Takes *.signed as they are. With --key, texts (*.toml) that changed are signed as the next version.
What the witness has already is left alone. Owner sets go first, release rules last.")]
pub(crate) struct Apply {
    /// The folder.
    #[arg(short = 'f', long = "from", value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Sign texts with this owner key; repeatable where the owner set demands several.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// Sign what changed as the next version into FILE.signed, and send nothing: further owners
    /// sign it where they are, with zeuge owner sign, and then anybody applies the folder.
    #[arg(long, requires = "key", conflicts_with_all = ["dry_run", "prune"])]
    pub(crate) sign_only: bool,
    /// When newly signed documents end; a year from now when absent.
    #[arg(long, value_name = "RFC3339")]
    pub(crate) expires: Option<String>,
    /// Show what would change, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Retire the release rules and reference values that the witness has and the folder has not.
    /// Versions of what was retired never return.
    #[arg(long)]
    pub(crate) prune: bool,
    /// Which witness.
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `zeuge secret`.
#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Encrypt a secret here, sign its manifest, and bring both to the witness.
    Put(SecretPut),
    /// List paths and versions; values are never shown.
    #[command(after_help = "Example:\n  zeuge secret list --tenant acme")]
    List {
        /// Whose secrets.
        #[arg(long, value_name = "NAME")]
        tenant: Name,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// Delete a secret with all its versions.
    #[command(after_help = "Example:\n  zeuge secret delete --tenant acme --path db/key")]
    Delete {
        /// Whose secret.
        #[arg(long, value_name = "NAME")]
        tenant: Name,
        /// Its path.
        #[arg(long, value_name = "PATH")]
        path: Path,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// Replace a secret that exists, by a value of yours or by random bytes nobody sees.
    Rotate(SecretRotate),
}

/// `zeuge secret put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge secret put --tenant acme --path db/key --from db.key --key owner/owner.key
  openssl rand 32 | zeuge secret put --tenant acme --path disk/root --key owner/owner.key")]
pub(crate) struct SecretPut {
    /// Whose secret.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Name,
    /// Its path.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Path,
    /// The file with the value; - is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) from: PathBuf,
    /// How it is signed and where it goes.
    #[command(flatten)]
    pub(crate) signing: SecretSigning,
}

/// `zeuge secret rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge secret rotate --tenant acme --path disk/root --key owner/owner.key
  zeuge secret rotate --tenant acme --path db/key --from new.key --key owner/owner.key")]
pub(crate) struct SecretRotate {
    /// Whose secret.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Name,
    /// Its path.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Path,
    /// The file with the new value; random bytes when absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// How many random bytes.
    #[arg(long, value_name = "N", default_value_t = 32, conflicts_with = "from")]
    pub(crate) bytes: u16,
    /// How it is signed and where it goes.
    #[command(flatten)]
    pub(crate) signing: SecretSigning,
}

/// How a secret's manifest is signed and where both go.
#[derive(Debug, Args)]
pub(crate) struct SecretSigning {
    /// The owner's key; repeatable where the owner set demands several.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) key: Vec<PathBuf>,
    /// The version; one above the witness's when absent.
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
    /// When the secret no longer counts; a year from now when absent.
    #[arg(long, value_name = "RFC3339")]
    pub(crate) expires: Option<String>,
    /// The id of the witness that keeps it; the witness is asked when absent.
    #[arg(long, value_name = "NAME")]
    pub(crate) witness_id: Option<Name>,
    /// Which witness.
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `zeuge waiver`.
#[derive(Debug, Subcommand)]
pub(crate) enum Waiver {
    /// Have the witness write a waiver into its log; afterwards too, if it was away.
    #[command(after_help = "\
Examples:
  zeuge-kube waive --key owner.key --node worker-1 --check policy.tcb --hours 2 \\
      --because \"firmware is being rolled out\" --print | zeuge waiver log --tenant acme
  kubectl get atp default -o jsonpath='{.spec.waivers[0]}' | zeuge waiver log --tenant acme")]
    Log {
        /// The file with the waiver; - is standard input.
        #[arg(long, value_name = "FILE", default_value = "-")]
        from: PathBuf,
        /// Whose owners signed.
        #[arg(long, value_name = "NAME")]
        tenant: Name,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// List the waivers that the witness wrote down, the newest first.
    #[command(after_help = "Example:\n  zeuge waiver list --tenant acme")]
    List {
        /// Whose owners signed.
        #[arg(long, value_name = "NAME")]
        tenant: Name,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
}

/// `zeuge stop`.
#[derive(Debug, Subcommand)]
pub(crate) enum Stop {
    /// Stop the secrets of machines, or of the whole tenant, until somebody lifts that.
    #[command(after_help = "\
Examples:
  zeuge stop put --tenant acme --name incident-7 --because \"somebody was in the building\"
  zeuge stop put --tenant acme --name rack-4 --because \"moved\" --leaf 1812 --leaf 1830

A machine is named by the leaf of any of its verdicts (zeuge log tail, kubectl zeuge explain).
Verdicts, tokens and secrets that were released stay as they are.")]
    Put {
        /// Whose machines.
        #[arg(long, value_name = "NAME")]
        tenant: Name,
        /// The stop's name; one of the same name grows.
        #[arg(long, value_name = "NAME")]
        name: Name,
        /// Why.
        #[arg(long, value_name = "SENTENCE")]
        because: String,
        /// The leaf of a verdict of a machine; repeatable; without any, all machines.
        #[arg(long, value_name = "N")]
        leaf: Vec<u64>,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// List what is stopped.
    #[command(after_help = "Example:\n  zeuge stop list --tenant acme")]
    List {
        /// Whose machines.
        #[arg(long, value_name = "NAME")]
        tenant: Name,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// Lift a stop whole: what owners signed counts again.
    #[command(after_help = "Example:\n  zeuge stop lift --tenant acme --name incident-7")]
    Lift {
        /// Whose machines.
        #[arg(long, value_name = "NAME")]
        tenant: Name,
        /// The stop's name.
        #[arg(long, value_name = "NAME")]
        name: Name,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
}

/// `zeuge context`.
#[derive(Debug, Subcommand)]
pub(crate) enum Context {
    /// Name a witness; the first one is in use from then on.
    #[command(
        after_help = "Example:\n  zeuge context add lab --witness https://10.0.0.1:8443 \
                            --ca witness.pem --token-file admin.token --id witness-1"
    )]
    Add {
        /// The name.
        name: Name,
        /// The witness's address.
        #[arg(long, value_name = "URL")]
        witness: String,
        /// The certificates that it must show, in PEM.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// The file with the administrator's token.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// The witness's id, so that nobody has to be asked for it.
        #[arg(long, value_name = "NAME")]
        id: Option<Name>,
    },
    /// Use a witness from now on.
    #[command(after_help = "Example:\n  zeuge context use lab")]
    Use {
        /// The name.
        name: Name,
    },
    /// List the witnesses.
    #[command(after_help = "Example:\n  zeuge context list --format json")]
    List {
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}
