//! QE Identity (version 2): what Intel's quoting enclave looks like, and how its versions stand.

use zeuge_evidence::{UnixTime, dcap::Tee, sgx::EnclaveReport};

use super::{
    Broken, Context, Difference,
    document::{self, Envelope, Issue, Kind},
    json::View,
    tcb::{SvnLevel, svn_levels},
};
use crate::{Error, Trail, Unavailable};

const KIND: Kind = Kind::QeIdentity;

/// A QE Identity whose signature held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QeIdentity {
    pub(crate) issue: Issue,
    misc_select: [u8; 4],
    misc_select_mask: [u8; 4],
    attributes: [u8; 16],
    attributes_mask: [u8; 16],
    mr_signer: [u8; 32],
    isv_prod_id: u16,
    pub(crate) levels: Vec<SvnLevel>,
}

/// The id that Intel gives the quoting enclave of this environment.
pub(crate) const fn id(tee: Tee) -> &'static str {
    match tee {
        Tee::Sgx => "QE",
        Tee::Tdx => "TD_QE",
    }
}

fn is_of(envelope: &Envelope<'_>, tee: Tee) -> bool {
    envelope.content.view().get("id").and_then(View::text) == Some(id(tee))
}

fn absent(check: &'static str, tee: Tee, at: UnixTime) -> Error {
    Error::Unavailable(Unavailable {
        check,
        what: format!("a QE Identity with the id {} in force at {at}", id(tee)),
        remedy: "Intel's provisioning certification service has it",
    })
}

/// Finds the identity among these that counts: highest evaluation number, then one that names advisories,
/// then latest issue.
pub(crate) fn find(
    trail: &mut Trail,
    context: &Context<'_>,
    signers: &[Vec<u8>],
    envelopes: Vec<Envelope<'_>>,
    tee: Tee,
    notes: &mut Vec<String>,
) -> Result<QeIdentity, Error> {
    let mut best: Option<(QeIdentity, Trail)> = None;
    let mut failures = Vec::new();
    let (fitting, others): (Vec<_>, Vec<_>) =
        envelopes.iter().partition(|envelope| is_of(envelope, tee));
    let fits = fitting.len();
    for (index, envelope) in fitting.into_iter().chain(others).enumerate() {
        if index == fits && best.is_some() {
            break;
        }
        let mut own = Trail::new();
        match read(&mut own, context, signers, envelope, tee) {
            Ok(identity) => {
                let better = best
                    .as_ref()
                    .is_none_or(|(held, _)| rank(&identity) > rank(held));
                if better {
                    best = Some((identity, own));
                }
            }
            Err(error) => failures.push((envelope, error)),
        }
    }
    if let Some((identity, own)) = best {
        for (envelope, error) in failures {
            notes.push(format!("{}: {error}", envelope.source));
        }
        trail.extend(own);
        return Ok(identity);
    }
    let position = |wanted: fn(&Error, bool) -> bool| {
        failures
            .iter()
            .position(|(envelope, error)| wanted(error, is_of(envelope, tee)))
    };
    let decisive = position(|error, _| error.check() == KIND.window_check())
        .or_else(|| position(|_, fits| fits))
        .or_else(|| position(|error, _| error.check() == "dcap.qe-identity.id"));
    if let Some(index) = decisive {
        return Err(failures.swap_remove(index).1);
    }
    // spec: dcap.qe-identity.at-hand
    trail.check("dcap.qe-identity.available", || {
        Err(absent("dcap.qe-identity.available", tee, context.at))
    })?;
    // Without the check above: nobody is known to have described the quoting enclave.
    Err(Broken::IdentitySignatureBad(Difference::new("nothing", "a QE Identity")).into())
}

fn rank(identity: &QeIdentity) -> (u32, bool, UnixTime) {
    let names_advisories = identity
        .levels
        .iter()
        .any(|level| !level.advisories.is_empty());
    (
        identity.issue.evaluation_number,
        names_advisories,
        identity.issue.issue_date,
    )
}

fn read(
    trail: &mut Trail,
    context: &Context<'_>,
    signers: &[Vec<u8>],
    envelope: &Envelope<'_>,
    tee: Tee,
) -> Result<QeIdentity, Error> {
    envelope.check(trail, context, signers)?;
    let mut parsed = None;
    // spec: dcap.qe-identity.format
    trail.check("dcap.qe-identity.format", || {
        parsed = Some(parse(envelope)?);
        Ok(())
    })?;
    let Some(identity) = parsed else {
        return Err(absent("dcap.qe-identity.available", tee, context.at));
    };
    // spec: dcap.qe-identity.id
    trail.check("dcap.qe-identity.id", || {
        if is_of(envelope, tee) {
            return Ok(());
        }
        Err(absent("dcap.qe-identity.id", tee, context.at))
    })?;
    document::window(trail, KIND, &identity.issue, context.at)?;
    // spec: dcap.qe-identity.order
    trail.check("dcap.qe-identity.order", || {
        super::tcb::falling(&identity.levels)
            .map_err(|difference| Broken::IdentityOrder(difference).into())
    })?;
    Ok(identity)
}

fn parse(envelope: &Envelope<'_>) -> Result<QeIdentity, Broken> {
    let content = envelope.content.view();
    if document::unsigned(content, "version", u64::MAX) != Some(2) {
        return Err(KIND.format("version", "2"));
    }
    let prod_id = document::unsigned(content, "isvprodid", u16::MAX.into());
    Ok(QeIdentity {
        issue: envelope.issue()?,
        misc_select: document::hex_bytes(KIND, content, "miscselect")?,
        misc_select_mask: document::hex_bytes(KIND, content, "miscselectMask")?,
        attributes: document::hex_bytes(KIND, content, "attributes")?,
        attributes_mask: document::hex_bytes(KIND, content, "attributesMask")?,
        mr_signer: document::hex_bytes(KIND, content, "mrsigner")?,
        isv_prod_id: prod_id
            .and_then(|number| u16::try_from(number).ok())
            .ok_or_else(|| KIND.format("isvprodid", "a number of 16 bits"))?,
        levels: svn_levels(KIND, content)?,
    })
}

/// `value & mask`, byte by byte.
pub(crate) fn masked<const N: usize>(value: [u8; N], mask: [u8; N]) -> [u8; N] {
    let mut out = value;
    for (byte, mask) in out.iter_mut().zip(mask) {
        *byte &= mask;
    }
    out
}

impl QeIdentity {
    /// Checks that the QE report is of the enclave that this identity describes.
    pub(crate) fn check(&self, trail: &mut Trail, report: &EnclaveReport) -> Result<(), Error> {
        // spec: dcap.qe.misc-select
        trail.check("dcap.qe.misc-select", || {
            let found = masked(report.misc_select.to_le_bytes(), self.misc_select_mask);
            if found == self.misc_select {
                return Ok(());
            }
            Err(Broken::QeMiscSelectDiffers(Difference::hex(&found, &self.misc_select)).into())
        })?;
        // spec: dcap.qe.attributes
        trail.check("dcap.qe.attributes", || {
            let found = masked(report.attribute_bytes, self.attributes_mask);
            if found == self.attributes {
                return Ok(());
            }
            Err(Broken::QeAttributesDiffer(Difference::hex(&found, &self.attributes)).into())
        })?;
        // spec: dcap.qe.signer
        trail.check("dcap.qe.signer", || {
            if report.mr_signer == self.mr_signer {
                return Ok(());
            }
            Err(Broken::QeSignerDiffers(Difference::hex(&report.mr_signer, &self.mr_signer)).into())
        })?;
        // spec: dcap.qe.product
        trail.check("dcap.qe.product", || {
            if report.isv_prod_id == self.isv_prod_id {
                return Ok(());
            }
            let found = report.isv_prod_id.to_string();
            Err(
                Broken::QeProductDiffers(Difference::new(found, self.isv_prod_id.to_string()))
                    .into(),
            )
        })
    }
}
