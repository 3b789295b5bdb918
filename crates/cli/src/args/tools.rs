//! Arguments of the smaller commands of the owner's side.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Format, Language, later::Rest, witness::Target};
use zeuge_protocol::name::Name;

/// `zeuge policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Read policies, reference values, rules and registries as the witness would.
    #[command(after_help = "Example:\n  zeuge policy check fleet/*.toml")]
    Check {
        /// The texts.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Explain a check by its id.
    #[command(after_help = "Example:\n  zeuge policy explain snp.vcek.chip-id --lang de")]
    Explain {
        /// The id, as it stands in verdicts.
        id: String,
        /// The language.
        #[arg(long, value_enum, default_value_t = Language::En)]
        lang: Language,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Not supported yet.
    Test(Rest),
    /// Not supported yet.
    Diff(Rest),
}

/// `zeuge hardware`.
#[derive(Debug, Subcommand)]
pub(crate) enum Hardware {
    /// Verify a machine's report, and add its chip with the certified key to a registry file.
    Enroll(Enroll),
    /// Let a TPM prove that an AK is its own, and add both to a registry file.
    EnrollTpm(EnrollTpm),
    /// Take a TPM that proved itself to the witness into a registry file.
    Approve(Approve),
    /// List the chips of a registry file, or the TPMs that wait at the witness.
    List(HardwareList),
    /// Take a chip out of a registry file.
    #[command(after_help = "Example:\n  zeuge hardware retire web-3 --file fleet/hardware.toml")]
    Retire {
        /// The chip's name.
        name: String,
        /// The registry.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Not supported yet: two certified keys for one chip.
    Conflicts(Rest),
}

/// `zeuge hardware list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge hardware list --file fleet/hardware.toml
  zeuge hardware list --pending --tenant acme")]
pub(crate) struct HardwareList {
    /// The registry.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "pending",
        conflicts_with = "pending"
    )]
    pub(crate) file: Option<PathBuf>,
    /// The TPMs that proved to the witness that their AK is theirs, and wait for their owner.
    #[arg(long, requires = "tenant")]
    pub(crate) pending: bool,
    /// Whose.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<Name>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Which witness.
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `zeuge hardware approve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  zeuge hardware list --pending --tenant acme
  zeuge hardware approve 3fa0c1 --name web-3 --tenant acme --file fleet/hardware.toml
  zeuge apply -f fleet --key owner/owner.key

Shows maker, model and serial number, and takes the AK as the witness tells it: compare the serial \
number with the machine's papers. Who does not want to believe the witness uses enroll-tpm.")]
pub(crate) struct Approve {
    /// The id of the enrolment, or so much of its beginning that only one has it.
    pub(crate) id: String,
    /// Your name for the machine.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Whose it is.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Name,
    /// The registry that the TPM is added to; made when it is not there.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Take this TPM in the place of the one that is enrolled under this name.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Which witness.
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `zeuge hardware enroll-tpm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  zeuge-agent tpm identity --out enrolment                       (on the machine)
  zeuge hardware enroll-tpm enrolment --name web-3 --endorsements tpm/ --file hardware.toml
  zeuge-agent tpm activate enrolment/credential                  (on the machine)

Shows maker, model and serial number, writes FOLDER/credential, and waits for the TPM's answer on \
standard input. Without it nothing is written. Take the files from the machine yourself.")]
pub(crate) struct EnrollTpm {
    /// The folder with ek.crt, ek.pub and ak.pub.
    pub(crate) folder: PathBuf,
    /// Your name for the machine.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// A file or folder of issuers' certificates and revocation lists; repeatable.
    #[arg(long, value_name = "PATH")]
    pub(crate) endorsements: Vec<PathBuf>,
    /// Roots of TPM makers beyond the shipped ones (zeuge.roots.v1); repeatable.
    #[arg(long, visible_alias = "tpm-roots", value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    /// The registry that the TPM is added to; made when it is not there.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Take this TPM in the place of the one that is enrolled under this name.
    #[arg(long)]
    pub(crate) replace: bool,
    /// DANGEROUS: trust the toy vendor of tests, whose roots stand in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) dangerous_trust_sim: Option<PathBuf>,
}

/// `zeuge hardware enroll`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  zeuge hardware enroll report.bin --name web-3 --endorsements amd/ --file fleet/hardware.toml
  zeuge owner sign --key owner/owner.key --version 2 fleet/hardware.toml

A report proves that the chip exists and that the maker certified this key for it, not that the
machine is yours: take it from the machine yourself. A registry file is written anew, without its
comments.")]
pub(crate) struct Enroll {
    /// An SEV-SNP report of the machine.
    pub(crate) report: PathBuf,
    /// Your name for the machine.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// A file or folder of certificates and revocation lists; repeatable.
    #[arg(long, value_name = "PATH")]
    pub(crate) endorsements: Vec<PathBuf>,
    /// The registry that the chip is added to; made when it is not there. Printed when absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The instant to verify at (RFC 3339); now when absent. A report says nothing about its time.
    #[arg(long, value_name = "RFC3339")]
    pub(crate) at: Option<String>,
    /// DANGEROUS: trust the toy vendor of tests, whose roots stand in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) dangerous_trust_sim: Option<PathBuf>,
}

/// `zeuge token`.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Verify an Attestation Result as a relying party would, and print its claims.
    #[command(
        after_help = "Example:\n  zeuge token verify token.jwt --jwks jwks.json \
                            --issuer https://witness-1 --audience my-service"
    )]
    Verify {
        /// The token, JWT or CWT in base64url; - is standard input.
        token: PathBuf,
        /// The witness's keys.
        #[arg(long, value_name = "FILE")]
        jwks: PathBuf,
        /// Who must have made it.
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// For whom it must be made.
        #[arg(long, value_name = "NAME")]
        audience: String,
    },
}
