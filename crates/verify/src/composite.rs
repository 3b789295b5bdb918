//! A CPU and a TPM that answer one challenge: decided here, before their facts meet, and nowhere
//! else.
//!
//! Each member is verified by itself; this file proves that both answered the same binding. It
//! never says that they are one machine: a host can pass a question on to another machine's TPM.
//! That is declared by people who enrol the pair, until a report commits to a key made inside the
//! measured part (DESIGN §5.3).

use std::fmt;

use zeuge_evidence::dcap::Body;

use crate::{
    Error, QuoteFacts, Trail, Untrusted, Verified,
    snp::SnpFacts,
    tpm::{TpmFacts, qualifying_data},
};

/// The ids of the checks in this file.
pub const CHECKS: &[&str] = &["composite.binding", "composite.members"];

/// What the CPU said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cpu {
    /// A quote of Intel TDX or SGX.
    Quote(Box<QuoteFacts>),
    /// A report of AMD SEV-SNP.
    Snp(Box<SnpFacts>),
}

impl Cpu {
    /// The 64 bytes that it was bound to.
    #[must_use]
    pub const fn report_data(&self) -> &[u8; 64] {
        match self {
            Self::Quote(facts) => match &facts.claims {
                Body::Sgx(report) => &report.report_data,
                Body::Tdx(report) => &report.report_data,
            },
            Self::Snp(facts) => &facts.claims.report_data,
        }
    }
}

/// What a verified CPU member is.
#[derive(Debug, Clone, Copy)]
pub enum VerifiedCpu<'a> {
    /// A quote of Intel TDX or SGX.
    Quote(&'a Verified<QuoteFacts>),
    /// A report of AMD SEV-SNP.
    Snp(&'a Verified<SnpFacts>),
}

/// Facts of both, each with its speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompositeFacts {
    /// What the CPU said.
    pub cpu: Cpu,
    /// What the TPM said.
    pub tpm: Box<TpmFacts>,
}

/// A rule of bundles with several devices that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// `composite.binding`: the members answer different challenges; one was swapped in.
    BindingDiffers {
        /// The TPM's qualifying data, in hex.
        found: String,
        /// What stands for the CPU's report data, in hex.
        wanted: String,
    },
    /// `composite.members`: a member is missing, or there is one too many.
    Members {
        /// How many of each kind there are.
        found: String,
    },
}

impl Broken {
    /// The id of the check that failed.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::BindingDiffers { .. } => "composite.binding",
            Self::Members { .. } => "composite.members",
        }
    }

    /// What was found and what was wanted.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        Some(match self {
            Self::BindingDiffers { found, wanted } => (found.clone(), wanted.clone()),
            Self::Members { found } => (found.clone(), "one CPU and one TPM".to_owned()),
        })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BindingDiffers { found, wanted } => write!(
                out,
                "the TPM answers another challenge than the CPU: its qualifying data is {found}, \
                 wanted {wanted}"
            ),
            Self::Members { found } => write!(
                out,
                "the bundle holds {found}; exactly one CPU and one TPM are wanted"
            ),
        }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::Untrusted(Untrusted::Composite(broken))
    }
}

/// Joins what was verified member by member.
///
/// # Errors
/// `composite.members` unless there is exactly one of each, `composite.binding` when the TPM's
/// qualifying data is not SHA-256 of the CPU's report data.
pub fn join(
    cpus: &[VerifiedCpu<'_>],
    tpms: &[&Verified<TpmFacts>],
) -> Result<Verified<CompositeFacts>, Error> {
    let mut trail = Trail::new();
    let refuse = || Broken::Members {
        found: format!("{} CPUs and {} TPMs", cpus.len(), tpms.len()),
    };
    trail.check("composite.members", || match (cpus, tpms) {
        ([_], [_]) => Ok(()),
        _ => Err(refuse().into()),
    })?;
    // Where the check was taken away, the first of each stand for the rest.
    let cpu = cpus.first().ok_or_else(refuse)?;
    let tpm = tpms.first().ok_or_else(refuse)?;
    let (cpu, passed) = match cpu {
        VerifiedCpu::Quote(quote) => {
            let facts = Cpu::Quote(Box::new(quote.fact().clone()));
            (facts, quote.trail().clone())
        }
        VerifiedCpu::Snp(report) => {
            let facts = Cpu::Snp(Box::new(report.fact().clone()));
            (facts, report.trail().clone())
        }
    };
    let facts = tpm.fact();
    trail.check("composite.binding", || {
        let wanted = qualifying_data(cpu.report_data());
        if facts.nonce == wanted {
            return Ok(());
        }
        Err(Broken::BindingDiffers {
            found: hex::encode(&facts.nonce),
            wanted: hex::encode(wanted),
        }
        .into())
    })?;
    let mut all = passed;
    all.extend(tpm.trail().clone());
    all.extend(trail);
    let facts = CompositeFacts {
        cpu,
        tpm: Box::new(facts.clone()),
    };
    Ok(Verified::assertion(facts, all))
}
