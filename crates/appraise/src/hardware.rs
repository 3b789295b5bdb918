//! The owner's registry of chips (`zeuge.hardware.v1`): which chips, and with which certified
//! keys. It catches a maker's key that speaks for chips which do not exist, or certifies a second
//! key for a chip that does.
//!
//! Never enrols by itself: there is no trust on first use.

use serde::Deserialize;
use zeuge_verify::tpm::{EnrolledAk, TpmFacts, TrustBasis};

use crate::{
    Facts,
    document::{self, DocumentError, Hex},
    findings::{Finding, Findings},
    tpm::EnrolledTpm,
};

/// The schema of this document.
pub const SCHEMA: &str = "zeuge.hardware.v1";
/// The ids of this file.
pub const CHECKS: &[&str] = &["hardware.enrolled", "hardware.key"];

/// The enrolled chips.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardwareRegistry {
    schema: String,
    /// The chips.
    #[serde(default)]
    pub chip: Vec<Chip>,
    /// The TPMs.
    #[serde(default)]
    pub tpm: Vec<EnrolledTpm>,
}

/// One enrolled chip.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chip {
    /// The owner's name for the machine.
    pub name: String,
    /// CHIP_ID of an SEV-SNP chip.
    pub chip_id: Hex<64>,
    /// The keys that the maker certified for this chip, one per set of versions.
    pub keys: Vec<PinnedKey>,
}

/// A certified key of an enrolled chip.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedKey {
    /// REPORTED_TCB for which it was certified, 8 bytes as received.
    pub tcb: Hex<8>,
    /// SHA-256 of the public key (the uncompressed point).
    pub public_key: Hex<32>,
}

impl HardwareRegistry {
    /// Reads the document.
    ///
    /// # Errors
    /// [`DocumentError`] for another schema, unknown fields, a chip without a key or one that
    /// stands twice.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let registry: Self = document::read(text, SCHEMA, |registry: &Self| &registry.schema)?;
        for (index, chip) in registry.chip.iter().enumerate() {
            let bad = |because: String| {
                Err(DocumentError {
                    wanted: SCHEMA,
                    because,
                })
            };
            if chip.keys.is_empty() {
                return bad(format!("\"{}\" has no key", chip.name));
            }
            let earlier = registry.chip.iter().take(index);
            if earlier
                .clone()
                .any(|earlier| earlier.chip_id == chip.chip_id)
            {
                return bad(format!("the chip of \"{}\" stands twice", chip.name));
            }
        }
        if let Some(because) = registry.tpm.iter().find_map(EnrolledTpm::fault) {
            return Err(DocumentError {
                wanted: SCHEMA,
                because,
            });
        }
        Ok(registry)
    }

    /// The AKs that the owner vouches for.
    #[must_use]
    pub fn aks(&self) -> Vec<EnrolledAk> {
        self.tpm.iter().flat_map(EnrolledTpm::aks).collect()
    }

    /// The enrolled TPM that these facts come from, by its AK or by its EK certificate.
    fn tpm_of(&self, facts: &TpmFacts) -> Option<&EnrolledTpm> {
        let certificate = match &facts.trust {
            TrustBasis::Activated(ek) => Some(ek.certificate),
            _ => None,
        };
        self.tpm.iter().find(|tpm| {
            let ak = tpm.aks().iter().any(|ak| match ak {
                EnrolledAk::Name(name) => Some(name) == facts.ak_name.as_ref(),
                EnrolledAk::Key(key) => *key == facts.ak_key,
            });
            let ek = tpm
                .ek_certificate
                .is_some_and(|ek| Some(ek.0) == certificate);
            ak || ek
        })
    }

    /// The enrolled name of the machine, if its chip is enrolled.
    #[must_use]
    pub fn name_of(&self, facts: &Facts) -> Option<&str> {
        let facts = match facts {
            Facts::Snp(facts) => facts,
            Facts::Tpm(facts) => return self.tpm_of(facts).map(|tpm| tpm.name.as_str()),
            Facts::Composite(_) | Facts::Quote(_) => return None,
        };
        let chip = self
            .chip
            .iter()
            .find(|chip| chip.chip_id.0 == facts.claims.chip_id)?;
        Some(&chip.name)
    }
}

/// Whether chip and key are enrolled.
pub(crate) fn check(registry: &HardwareRegistry, facts: &Facts, findings: &mut Findings) {
    let facts = match facts {
        Facts::Snp(facts) => facts,
        Facts::Tpm(facts) => {
            findings.check("hardware.enrolled", || {
                Some(match registry.tpm_of(facts) {
                    Some(_) => Finding::pass("hardware.enrolled"),
                    None => Finding::fail(
                        "hardware.enrolled",
                        "this TPM is not in the owner's registry",
                    )
                    .difference(
                        hex::encode(facts.ak_key),
                        "an enrolled AK or EK certificate",
                    ),
                })
            });
            return;
        }
        Facts::Composite(facts) => {
            check(registry, &crate::composite::cpu(facts), findings);
            check(registry, &Facts::Tpm(facts.tpm.clone()), findings);
            return;
        }
        Facts::Quote(_) => {
            findings.check("hardware.enrolled", || {
                let because = "only chips of SEV-SNP and TPMs can be enrolled yet";
                Some(Finding::fail("hardware.enrolled", because))
            });
            return;
        }
    };
    let chip_id = facts.claims.chip_id;
    let chip = registry
        .chip
        .iter()
        .find(|chip| chip.chip_id.0 == chip_id && chip_id.iter().any(|byte| *byte != 0));
    findings.check("hardware.enrolled", || {
        Some(match chip {
            Some(_) => Finding::pass("hardware.enrolled"),
            None => Finding::fail(
                "hardware.enrolled",
                "this chip is not in the owner's registry",
            )
            .difference(hex::encode(chip_id), "an enrolled chip"),
        })
    });
    findings.check("hardware.key", || {
        let chip = chip?;
        let found = sha256(&facts.leaf_public_key);
        let tcb = facts.claims.reported_tcb.0;
        let pinned: Vec<_> = chip.keys.iter().filter(|key| key.tcb.0 == tcb).collect();
        let because = match pinned.as_slice() {
            [] => "these versions have no approved key yet",
            keys if keys.iter().any(|key| key.public_key.0 == found) => {
                return Some(Finding::pass("hardware.key"));
            }
            _ => "the maker certified another key for this chip than the enrolled one",
        };
        let wanted: Vec<_> = pinned
            .iter()
            .map(|key| hex::encode(key.public_key.0))
            .collect();
        let finding = Finding::fail("hardware.key", because);
        Some(finding.difference(hex::encode(found), wanted.join(" or ")))
    });
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}
