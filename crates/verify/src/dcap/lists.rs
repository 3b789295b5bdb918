//! Revocation lists: whose they are, whether their issuer signed them, and whom they name.
//!
//! A list with a bad signature is skipped and named, and decides only where no good one is left.
//! Whether a list is fresh is appraisal's: what was found is told with its dates.

use zeuge_evidence::{
    UnixTime,
    x509::{Certificate, RevocationList},
};

use super::{Broken, Context, Difference, chain::name};
use crate::{Error, Trail, anchors::fingerprint, x509::list_signed_by};

/// A folder with years of lists has a few dozen per issuer; beyond, the rest is skipped and named.
const LISTS_MAX: usize = 128;

/// What is known from one issuer's revocation lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// A list that the issuer signed was at hand and names nobody of this chain. It may be stale:
    /// appraisal compares the dates.
    Checked {
        /// When the list was made.
        this_update: UnixTime,
        /// When the next one is due; `None` for a list that does not say.
        next_update: Option<UnixTime>,
        /// The list's number, if it has one that fits 64 bits.
        number: Option<u64>,
        /// SHA-256 of the list in DER.
        fingerprint: [u8; 32],
        /// Where the list came from.
        source: String,
    },
    /// No list of this issuer at hand that had been made by the instant.
    Missing,
}

/// A list out of the heap, not believed.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    source: &'a str,
    list: RevocationList<'a>,
}

/// The lists of the heap that can be read and had been made by the instant.
pub(crate) fn read<'a>(context: &Context<'a>) -> Vec<Read<'a>> {
    let held = context.heap.revocation_lists.iter();
    let read = held.filter_map(|held| {
        let list = RevocationList::parse(&held.bytes).ok()?;
        let source = held.source.as_str();
        (list.this_update <= context.at).then_some(Read { source, list })
    });
    read.collect()
}

/// One list of an issuer, by name.
#[derive(Debug)]
pub(crate) struct List<'a> {
    source: &'a str,
    list: &'a RevocationList<'a>,
    is_signed: bool,
}

/// The lists that name one issuer.
pub(crate) type Lists<'a> = Vec<List<'a>>;

impl List<'_> {
    /// In force before stale, then newest, then highest number.
    fn rank(&self, at: UnixTime) -> (bool, UnixTime, Option<u64>) {
        let in_force = self.list.next_update.is_some_and(|next| at <= next);
        (in_force, self.list.this_update, self.list.number())
    }
}

/// The lists among these that name this issuer; whether it signed each.
pub(crate) fn of_issuer<'a>(
    context: &Context<'_>,
    all: &'a [Read<'a>],
    issuer: &Certificate<'_>,
    notes: &mut Vec<String>,
) -> Lists<'a> {
    let mut out = Vec::new();
    let named = |read: &&Read<'_>| read.list.issuer.raw == issuer.subject.raw;
    for Read { source, list } in all.iter().filter(named) {
        if list.extensions.iter().any(|extension| extension.critical) {
            // A delta or partial list says so in a critical extension; Intel issues none.
            notes.push(format!("{source}: the list has a critical extension"));
        } else if out.len() >= LISTS_MAX {
            notes.push(format!(
                "{source}: more than {LISTS_MAX} lists of this issuer"
            ));
        } else {
            let is_signed = list_signed_by(list, &issuer.public_key, context.crypto).is_ok();
            out.push(List {
                source,
                list,
                is_signed,
            });
        }
    }
    out
}

/// Those that their issuer signed.
pub(crate) fn signed<'l>(all: &'l Lists<'_>) -> Vec<&'l List<'l>> {
    all.iter().filter(|list| list.is_signed).collect()
}

/// Runs `dcap.crl.signature` and the given check on an issuer's lists.
///
/// A list with a bad signature is skipped and named, and decides only if no good one is left. A
/// revocation is for ever: any list that the issuer signed counts, however old.
pub(crate) fn revoked(
    trail: &mut Trail,
    context: &Context<'_>,
    (issuer, all): (&Certificate<'_>, &Lists<'_>),
    notes: &mut Vec<String>,
    check: impl FnOnce(&mut Trail, &[&List<'_>]) -> Result<(), Error>,
) -> Result<Revocation, Error> {
    let (signed, bad): (Vec<_>, Vec<_>) = all.iter().partition(|list| list.is_signed);
    let best = |lists: &[&List<'_>]| {
        lists
            .iter()
            .max_by_key(|list| list.rank(context.at))
            .map(|list| Revocation::Checked {
                this_update: list.list.this_update,
                next_update: list.list.next_update,
                number: list.list.number(),
                fingerprint: fingerprint(list.list.raw),
                source: list.source.to_owned(),
            })
    };
    if signed.is_empty() && bad.is_empty() {
        return Ok(Revocation::Missing);
    }
    // spec: dcap.chain.crl-signature
    trail.check("dcap.crl.signature", || match bad.first() {
        Some(list) if signed.is_empty() => {
            let difference = Difference::new(list.source, name(&issuer.subject));
            Err(Broken::CrlSignatureBad(difference).into())
        }
        _ => Ok(()),
    })?;
    for list in &bad {
        notes.push(format!(
            "{}: its signature is not its issuer's",
            list.source
        ));
    }
    check(trail, &signed)?;
    Ok(best(&signed)
        .or_else(|| best(&bad))
        .unwrap_or(Revocation::Missing))
}

/// Whether no list has an entry about this certificate.
pub(crate) fn not_listed(
    lists: &[&List<'_>],
    certificate: &Certificate<'_>,
) -> Result<(), Difference> {
    for list in lists {
        let entry = list
            .list
            .revoked
            .iter()
            .find(|entry| entry.serial == certificate.serial);
        if let Some(entry) = entry {
            let serial = hex::encode(certificate.serial);
            let found = format!("serial {serial} in {}, since {}", list.source, entry.at);
            return Err(Difference::new(found, "no entry"));
        }
    }
    Ok(())
}

/// Checks that this issuer signed a whole list.
pub(crate) fn check_list(
    trail: &mut Trail,
    context: &Context<'_>,
    list: &RevocationList<'_>,
    issuer: &Certificate<'_>,
) -> Result<(), Error> {
    trail.check("dcap.crl.signature", || {
        // A delta or partial list says so in a critical extension; Intel issues none.
        let whole = list.extensions.iter().all(|extension| !extension.critical);
        let named = list.issuer.raw == issuer.subject.raw;
        if named && whole && list_signed_by(list, &issuer.public_key, context.crypto).is_ok() {
            return Ok(());
        }
        let difference = Difference::new(name(&list.issuer), name(&issuer.subject));
        Err(Broken::CrlSignatureBad(difference).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(path: &str) -> Option<Vec<u8>> {
        let Some(folder) = std::env::var_os("ZEUGE_VECTORS") else {
            println!("skipped: ZEUGE_VECTORS is not set");
            return None;
        };
        Some(std::fs::read(std::path::Path::new(&folder).join(path)).unwrap())
    }

    #[test]
    fn a_listed_serial_number_is_found_and_no_other() {
        let Some(crl) = capture("open/crl/attestation-rs__pck_crl_platform.der") else {
            return;
        };
        let Some(der) = capture("open/intel-cert/phala-cloud__api-quickstart-1.der") else {
            return;
        };
        let list = RevocationList::parse(&crl).unwrap();
        assert!(list.revoked.len() > 50);
        let mut certificate = Certificate::parse(&der).unwrap();
        let serials: Vec<&[u8]> = list.revoked.iter().map(|entry| entry.serial).collect();
        let list = List {
            source: "list.der",
            list: &list,
            is_signed: true,
        };
        let lists = [&list];
        assert_eq!(not_listed(&lists, &certificate), Ok(()));
        for serial in serials {
            certificate.serial = serial;
            assert!(not_listed(&lists, &certificate).is_err());
        }
    }
}
