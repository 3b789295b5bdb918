//! The last door: `release(admission, receipt, secret)`, and nothing leaves but through it.
//!
//! Recomputes the leaf from the admission and demands the receipt of exactly that leaf; compares
//! expiry and epoch once more. Never decides whether somebody *should* get a secret; that is the
//! admission, which only `zeuge-appraise` makes.

use zeuge_appraise::{Admission, Grant};
use zeuge_evidence::UnixTime;
use zeuge_log::commitment::Opening;
use zeuge_log::leaf::Leaf;
use zeuge_log::receipt::Receipt;
use zeuge_protocol::binding::Binding;
use zeuge_protocol::document::Document;
use zeuge_protocol::keys::KeyId;
use zeuge_protocol::manifest::{Manifest, Share};
use zeuge_protocol::seal::{self, SealedSecret};

use crate::keys;
use crate::refusal::Refusal;

/// The ids of this file.
pub const CHECKS: &[&str] = &["release.epoch", "release.expired", "release.receipt"];

/// What a leaf of release says beside the grant: the salts of its commitments, and the time.
#[derive(Debug, Clone)]
pub struct Salts {
    /// When it was decided, POSIX seconds.
    pub time: u64,
    /// The machine, as the owner or the chip names it.
    pub machine: String,
    /// Salts of tenant, path, version and machine.
    pub salts: [[u8; 32]; 4],
}

/// A secret at the door. Its `Debug` leaves the share out.
#[derive(Debug)]
pub struct Secret {
    /// The owners' manifest, already believed.
    pub manifest: Document,
    /// The encrypted payload.
    pub payload: Vec<u8>,
    /// This witness's share, opened for this release alone.
    pub share: Share,
    /// The session's binding, whose demands have held.
    pub binding: Binding,
    /// What the leaf says beside the grant.
    pub salts: Salts,
}

/// The present: read once per release.
#[derive(Debug, Clone, Copy)]
pub struct Present {
    /// The instant.
    pub at: UnixTime,
    /// The epoch in force.
    pub epoch: u64,
}

/// The leaf that authorises a grant, and what opens its commitments. The same inputs give the
/// same leaf, before the transaction and in [`release`].
///
/// # Errors
/// `release.receipt` when the manifest is not one.
pub fn leaf(
    grant: &Grant,
    manifest: &Document,
    salts: &Salts,
) -> Result<(Leaf, Vec<Opening>), Refusal> {
    let manifest = Manifest::parse(&manifest.payload)?;
    let [tenant, path, version, machine] = salts.salts;
    let opening = |label: &str, salt, value: &[u8]| Opening {
        label: label.to_owned(),
        salt,
        value: value.to_vec(),
    };
    let openings = vec![
        opening("tenant", tenant, grant.tenant.as_bytes()),
        opening("path", path, grant.path.as_bytes()),
        opening("version", version, &grant.version.to_be_bytes()),
        opening("machine", machine, salts.machine.as_bytes()),
    ];
    let commitments: Vec<_> = openings.iter().map(Opening::commit).collect();
    let [tenant, path, version, machine] = commitments.as_slice() else {
        return Err(Refusal::new(
            "release.receipt",
            500,
            "a leaf has four commitments",
        ));
    };
    let leaf = Leaf::ReleaseAuthorised {
        time: salts.time,
        manifest: manifest.digest(),
        recipient: grant.recipient,
        challenge: grant.challenge,
        policy_epoch: grant.epoch,
        tenant: *tenant,
        path: *path,
        version: *version,
        machine: *machine,
    };
    Ok((leaf, openings))
}

/// Seals one secret to the machine that was admitted, and uses the admission up.
///
/// # Errors
/// `release.expired` when the admission's time is over; `release.epoch` when documents changed
/// since; `release.receipt` when the receipt is of another leaf, or the secret or the recipient is
/// not the admission's; `manifest.mismatch`, `seal.suite`, `seal.open` when it cannot be sealed.
pub fn release(
    admission: Admission,
    receipt: Receipt,
    secret: Secret,
    present: Present,
) -> Result<SealedSecret, Refusal> {
    let grant = admission.grant();
    if present.at > grant.expires {
        return Err(Refusal::new(
            "release.expired",
            503,
            "the admission is too old; attest again",
        )
        .difference(present.at.to_string(), format!("until {}", grant.expires)));
    }
    if !admission.is_current(present.at, present.epoch) {
        let because = "the owners' documents changed since the machine was admitted; attest again";
        return Err(Refusal::new("release.epoch", 503, because)
            .difference(present.epoch.to_string(), grant.epoch.to_string()));
    }
    let (leaf, _) = leaf(grant, &secret.manifest, &secret.salts)?;
    let hash = leaf.hash()?;
    let other = |found: String, wanted: String| {
        let because = "what is logged is not what would be released";
        Err(Refusal::new("release.receipt", 500, because).difference(found, wanted))
    };
    if receipt.demand(&hash).is_err() {
        return other(hex::encode(receipt.leaf()), hex::encode(hash));
    }
    let share = &secret.share;
    let (tenant, path) = (share.tenant.as_str(), share.path.as_str());
    if (tenant, path, share.version) != (&grant.tenant, &grant.path, grant.version) {
        return other(
            format!("{tenant}/{path} version {}", share.version),
            format!("{}/{} version {}", grant.tenant, grant.path, grant.version),
        );
    }
    let recipient = secret.binding.recipient();
    let recipient = recipient.map_or([0; 32], |(_, key)| *KeyId::of(key).as_bytes());
    if recipient != grant.recipient {
        return other(hex::encode(recipient), hex::encode(grant.recipient));
    }
    let sealed = SealedSecret::seal(
        &seal::Release {
            binding: &secret.binding,
            leaf: hash,
            manifest: &secret.manifest,
            payload: &secret.payload,
            share,
        },
        &mut keys::random,
    )?;
    drop((admission, receipt, secret));
    Ok(sealed)
}
