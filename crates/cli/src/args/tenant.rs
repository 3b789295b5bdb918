//! Arguments of `zeuge tenant`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use zeuge_protocol::name::Name;

use super::{Format, witness::Target};

/// `zeuge tenant`.
#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// List the tenants that the token sees.
    #[command(after_help = "Example:\n  zeuge tenant list")]
    List {
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// Add a tenant with its first owners.
    #[command(after_help = "Example:\n  zeuge tenant add --owner owner/owner.pub")]
    Add {
        /// The owner set, as zeuge owner init writes it; it names the tenant.
        #[arg(long, value_name = "FILE")]
        owner: PathBuf,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// Make a token for somebody of a tenant, into a file for its owner alone.
    #[command(
        after_help = "Example:\n  zeuge tenant grant acme --name ci --role operator --out ci.token"
    )]
    Grant {
        /// The tenant.
        tenant: Name,
        /// The token's name; one of the same name is replaced.
        #[arg(long, value_name = "NAME")]
        name: Name,
        /// How far it goes.
        #[arg(long, value_enum)]
        role: Role,
        /// The first instant at which the token is none; 90 days from now when absent, a year and
        /// a day at most.
        #[arg(long, value_name = "RFC3339")]
        expires: Option<String>,
        /// The file to make.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// List names, roles and ends of the tokens of a tenant.
    #[command(after_help = "Example:\n  zeuge tenant tokens acme")]
    Tokens {
        /// The tenant.
        tenant: Name,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
    /// Take a token away.
    #[command(after_help = "Example:\n  zeuge tenant revoke acme --name ci")]
    Revoke {
        /// The tenant.
        tenant: Name,
        /// The token's name.
        #[arg(long, value_name = "NAME")]
        name: Name,
        /// Which witness.
        #[command(flatten)]
        target: Target,
    },
}

/// How far a token goes, inside its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Lists documents, secrets without values, verdicts and machines.
    Reader,
    /// Also brings what owners signed, and takes away what releases.
    Operator,
    /// For zeuge-kube: has waivers written down and stops machines; reads and lifts nothing.
    Cluster,
}
