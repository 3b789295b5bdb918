//! From a TPM's certificate to a maker's root.
//!
//! An issuer's name can lead to several certificates, even with the same key, so every candidate
//! is tried, within a budget. Subjects may be empty and SANs critical: both occur in real EK
//! certificates. Never fetches, never follows a URL, never trusts a root from evidence.

use zeuge_evidence::{
    UnixTime,
    x509::{Certificate, RevocationList},
};

use super::roots::{MakerRoot, TpmRoots};
use crate::{
    Endorsements,
    crypto::CryptoProvider,
    x509::{is_valid_at, list_signed_by, signed_by},
};

/// Real chains have one to three issuers below the root.
const DEPTH_MAX: usize = 5;
/// Signature checks in one search; real ones need under ten.
const BUDGET: usize = 64;

/// Extensions that this file understands; another critical one breaks the chain. Policies are
/// understood as "any": no TPM maker constrains them.
const UNDERSTOOD: [&str; 7] = [
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.31",
    "2.5.29.32",
    "2.5.29.35",
    "2.5.29.37",
];

/// Where verification looks.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What somebody brought: issuers and revocation lists.
    pub endorsements: &'a Endorsements,
    /// The roots that count.
    pub roots: &'a TpmRoots,
    /// The instant.
    pub at: UnixTime,
    /// Who checks signatures.
    pub crypto: &'a CryptoProvider,
}

/// Why there is no chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// No certificate of an issuer is at hand.
    Missing { issuer: String },
    /// Every way ends elsewhere.
    NoWay { last: String },
    /// There is a way, but not at this instant.
    Expired { which: String },
    /// There is a way, but the issuer withdrew a certificate on it.
    Revoked { which: String },
}

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path<'a> {
    pub(super) root: &'a MakerRoot,
    /// Issuers between, in order from the leaf.
    pub(super) issuers: usize,
    /// The oldest of the lists that were looked at, one for each certificate on the way; absent
    /// where an issuer's list is not at hand.
    pub(super) revocation: Revocation,
}

/// Whether the issuers on a way were asked about withdrawals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// For one certificate at least, no list of its issuer was at hand.
    NotChecked,
    /// Every certificate was looked up; the dates are those of the list that ends first.
    Checked {
        /// Its thisUpdate.
        this_update: UnixTime,
        /// Its nextUpdate, if it says one.
        next_update: Option<UnixTime>,
    },
}

impl Revocation {
    /// What holds of both: the one that counts for the shorter time.
    fn and(self, other: Self) -> Self {
        let end = |one: &Self| match one {
            Self::NotChecked => UnixTime(i64::MIN),
            // A list without an end is judged by its age: as old as it is.
            Self::Checked {
                this_update,
                next_update,
            } => next_update.unwrap_or(*this_update),
        };
        if end(&self) <= end(&other) {
            self
        } else {
            other
        }
    }
}

struct Search<'a> {
    context: Context<'a>,
    candidates: Vec<Certificate<'a>>,
    lists: Vec<RevocationList<'a>>,
    roots: Vec<(&'a MakerRoot, Certificate<'a>)>,
    at: Option<UnixTime>,
    budget: usize,
    fault: Option<Fault>,
}

// spec: tpm.ek.chain
/// Finds a chain from the leaf to a root, through `extra` certificates and the endorsements.
pub(super) fn path<'a>(
    leaf: &Certificate<'a>,
    extra: &'a [Vec<u8>],
    context: Context<'a>,
) -> Result<Path<'a>, Fault> {
    let held = context.endorsements;
    let certificates = held.certificates.iter().map(|held| held.bytes.as_slice());
    let certificates = certificates.chain(extra.iter().map(Vec::as_slice));
    let lists = held.revocation_lists.iter();
    let mut search = Search {
        context,
        candidates: certificates
            .filter_map(|bytes| Certificate::parse(bytes).ok())
            .collect(),
        lists: lists
            .filter_map(|held| RevocationList::parse(&held.bytes).ok())
            .collect(),
        roots: context
            .roots
            .roots()
            .iter()
            .filter_map(|root| Some((root, Certificate::parse(root.certificate()).ok()?)))
            .collect(),
        at: Some(context.at),
        budget: BUDGET,
        fault: None,
    };
    if let Some(found) = search.from(leaf, 0) {
        return Ok(found);
    }
    let first = search.fault.take();
    if matches!(first, Some(Fault::Revoked { .. })) {
        return Err(first.unwrap_or_else(|| nowhere(leaf)));
    }
    // Whether only the instant is wrong decides which check fails.
    search.at = None;
    search.budget = BUDGET;
    match (search.from(leaf, 0), first) {
        (Some(_), Some(expired @ Fault::Expired { .. })) => Err(expired),
        (_, Some(fault @ (Fault::Missing { .. } | Fault::NoWay { .. }))) => Err(fault),
        _ => Err(search.fault.unwrap_or_else(|| nowhere(leaf))),
    }
}

fn nowhere(leaf: &Certificate<'_>) -> Fault {
    Fault::NoWay {
        last: describe(leaf),
    }
}

/// A certificate for people: its subject's common name, else its serial number.
pub(super) fn describe(certificate: &Certificate<'_>) -> String {
    match certificate.subject.common_name() {
        Some(name) => format!("{name:?}"),
        None => format!("serial {}", hex::encode(certificate.serial)),
    }
}

impl<'a> Search<'a> {
    fn from(&mut self, certificate: &Certificate<'a>, depth: usize) -> Option<Path<'a>> {
        if let Some(oid) = unknown_critical(certificate) {
            let last = format!("{}: critical extension {oid}", describe(certificate));
            self.fault = Some(Fault::NoWay { last });
            return None;
        }
        if !self.is_in_time(certificate) {
            return None;
        }
        let roots = self.roots.clone();
        for (root, issuer) in &roots {
            if issuer.subject.raw == certificate.issuer.raw && self.signs(issuer, certificate) {
                if !self.is_in_time(issuer) {
                    return None;
                }
                let revocation = self.looked_up(issuer, certificate)?;
                return Some(Path {
                    root,
                    issuers: depth,
                    revocation,
                });
            }
        }
        self.through(certificate, depth)
    }

    fn through(&mut self, certificate: &Certificate<'a>, depth: usize) -> Option<Path<'a>> {
        let candidates: Vec<Certificate<'a>> = self
            .candidates
            .iter()
            .filter(|issuer| {
                issuer.subject.raw == certificate.issuer.raw && issuer.raw != certificate.raw
            })
            .cloned()
            .collect();
        let known = self
            .roots
            .iter()
            .any(|(_, root)| root.subject.raw == certificate.issuer.raw);
        if candidates.is_empty() && self.fault.is_none() {
            self.fault = Some(if certificate.is_self_issued() || known {
                nowhere(certificate)
            } else {
                let issuer = certificate.issuer.common_name().unwrap_or("without a name");
                Fault::Missing {
                    issuer: issuer.to_owned(),
                }
            });
        }
        if depth >= DEPTH_MAX {
            return None;
        }
        for issuer in candidates {
            if !may_issue(&issuer, depth) || !self.signs(&issuer, certificate) {
                if self.fault.is_none() {
                    self.fault = Some(nowhere(certificate));
                }
                continue;
            }
            let Some(revocation) = self.looked_up(&issuer, certificate) else {
                continue;
            };
            if let Some(path) = self.from(&issuer, depth.saturating_add(1)) {
                return Some(Path {
                    revocation: path.revocation.and(revocation),
                    ..path
                });
            }
        }
        None
    }

    // spec: tpm.ek.validity
    fn is_in_time(&mut self, certificate: &Certificate<'_>) -> bool {
        let Some(at) = self.at else { return true };
        let valid = is_valid_at(certificate, at);
        if !valid {
            let which = format!(
                "{} valid {} to {}",
                describe(certificate),
                certificate.not_before,
                certificate.not_after
            );
            self.fault = Some(Fault::Expired { which });
        }
        valid
    }

    fn signs(&mut self, issuer: &Certificate<'a>, certificate: &Certificate<'a>) -> bool {
        let Some(left) = self.budget.checked_sub(1) else {
            return false;
        };
        self.budget = left;
        signed_by(certificate, &issuer.public_key, self.context.crypto).is_ok()
    }

    // spec: tpm.ek.revocation
    /// The newest list of this issuer; `None` when one of its lists names the certificate.
    fn looked_up(
        &mut self,
        issuer: &Certificate<'a>,
        certificate: &Certificate<'a>,
    ) -> Option<Revocation> {
        let mut newest = Revocation::NotChecked;
        for list in &self.lists {
            let its = list.issuer.raw == issuer.subject.raw
                && list.this_update <= self.context.at
                && list_signed_by(list, &issuer.public_key, self.context.crypto).is_ok();
            if !its {
                continue;
            }
            let older = matches!(newest, Revocation::Checked { this_update, .. }
                if this_update >= list.this_update);
            if !older {
                newest = Revocation::Checked {
                    this_update: list.this_update,
                    next_update: list.next_update,
                };
            }
            if list.lists(certificate.serial) {
                let serial = hex::encode(certificate.serial);
                self.fault = Some(Fault::Revoked {
                    which: format!("{}, serial {serial}", describe(certificate)),
                });
                return None;
            }
        }
        Some(newest)
    }
}

// spec: tpm.ek.critical
fn unknown_critical(certificate: &Certificate<'_>) -> Option<String> {
    certificate
        .extensions
        .iter()
        .find(|extension| extension.critical && !UNDERSTOOD.contains(&extension.oid.as_str()))
        .map(|extension| extension.oid.clone())
}

// spec: tpm.ek.issuers
/// An authority with the right to certify, and with room for the `below` authorities under it.
fn may_issue(issuer: &Certificate<'_>, below: usize) -> bool {
    let authority = matches!(issuer.basic_constraints(), Ok(Some(constraints))
    if constraints.authority
        && constraints.path_length.is_none_or(|most| {
            usize::try_from(most).is_ok_and(|most| below <= most)
        }));
    let usage = issuer
        .key_usage()
        .is_ok_and(|usage| usage.is_none_or(|usage| usage.cert_sign()));
    authority && usage
}
