//! The owner's registry of chips (`zeuge.hardware.v1`): which chips, and with which certified
//! keys. It catches a maker's key that speaks for chips which do not exist, or certifies a second
//! key for a chip that does.
//!
//! Never enrols by itself: there is no trust on first use.

use serde::Deserialize;
use zeuge_verify::{
    dcap::QuoteFacts,
    tpm::{EnrolledAk, TpmFacts, TrustBasis},
};

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
    /// The platforms of Intel's.
    #[serde(default)]
    pub intel: Vec<IntelPlatform>,
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

/// One enrolled platform of Intel's, as its PCK certificate names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntelPlatform {
    /// The owner's name for the machine.
    pub name: String,
    /// PPID, 16 bytes.
    pub ppid: Hex<16>,
    /// Platform Instance ID, 16 bytes; a platform with several packages gets a new one when it is
    /// set up anew. Where it is given it must be the certificate's.
    #[serde(default)]
    pub platform_instance_id: Option<Hex<16>>,
    /// The PCKs that Intel certified for this platform, one per TCB.
    pub keys: Vec<PinnedPck>,
}

/// A certified PCK of an enrolled platform.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedPck {
    /// CPUSVN for which it was certified, 16 bytes.
    pub cpu_svn: Hex<16>,
    /// PCESVN for which it was certified.
    pub pce_svn: u16,
    /// SHA-256 of the public key (the uncompressed point, 65 bytes).
    pub public_key: Hex<32>,
}

impl IntelPlatform {
    fn is_of(&self, facts: &QuoteFacts) -> bool {
        let found = &facts.platform;
        let instance = self
            .platform_instance_id
            .is_none_or(|instance| Some(instance.0) == found.platform_instance_id);
        self.ppid.0 == found.ppid && instance
    }

    /// What is wrong with it beside the earlier ones, if anything.
    fn fault(&self, earlier: &[Self]) -> Option<String> {
        let name = &self.name;
        if self.keys.is_empty() {
            return Some(format!("\"{name}\" has no key"));
        }
        // A machine whose identifier was wiped is nobody in particular.
        if self.ppid.0 == [0; 16] {
            return Some(format!("the PPID of \"{name}\" is zero"));
        }
        let twice = earlier.iter().any(|earlier| {
            let either = [earlier, self].map(|one| one.platform_instance_id);
            earlier.ppid == self.ppid && (either.contains(&None) || either.first() == either.last())
        });
        twice.then(|| format!("the platform of \"{name}\" stands twice"))
    }
}

impl HardwareRegistry {
    /// Reads the document.
    ///
    /// # Errors
    /// [`DocumentError`] for another schema, unknown fields, a chip without a key or an identifier,
    /// or one that stands twice.
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
            // Firmware that hides the chip writes zeros: that is every such machine, and no chip.
            if chip.chip_id.0 == [0; 64] {
                return bad(format!("the CHIP_ID of \"{}\" is zero", chip.name));
            }
            let earlier = registry.chip.iter().take(index);
            if earlier
                .clone()
                .any(|earlier| earlier.chip_id == chip.chip_id)
            {
                return bad(format!("the chip of \"{}\" stands twice", chip.name));
            }
        }
        let earlier = |index| registry.intel.get(..index).unwrap_or_default();
        let mut intel = registry.intel.iter().enumerate();
        let fault = intel
            .find_map(|(index, platform)| platform.fault(earlier(index)))
            .or_else(|| registry.tpm.iter().find_map(EnrolledTpm::fault));
        if let Some(because) = fault {
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

    /// The owner's name for the TPM with this AK, by the AK's TPM name or SHA-256 of its key.
    #[must_use]
    pub fn name_of_ak(&self, name: Option<&[u8]>, key: &[u8; 32]) -> Option<&str> {
        let is = |ak: &EnrolledAk| match ak {
            EnrolledAk::Name(wanted) => Some(wanted.as_slice()) == name,
            EnrolledAk::Key(wanted) => wanted == key,
        };
        let found = self.tpm.iter().find(|tpm| tpm.aks().iter().any(is));
        found.map(|tpm| tpm.name.as_str())
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

    /// The enrolled chip of this CHIP_ID; zeros are the number of whoever hides his.
    fn chip_of(&self, chip_id: &[u8; 64]) -> Option<&Chip> {
        let enrolled = self.chip.iter().find(|chip| chip.chip_id.0 == *chip_id);
        enrolled.filter(|_| *chip_id != [0; 64])
    }

    fn platform_of(&self, facts: &QuoteFacts) -> Option<&IntelPlatform> {
        self.intel.iter().find(|platform| platform.is_of(facts))
    }

    /// The enrolled name of the machine, if its chip is enrolled. A pair is called by its CPU, and
    /// by its TPM where the CPU has no name.
    #[must_use]
    pub fn name_of(&self, facts: &Facts) -> Option<&str> {
        let facts = match facts {
            Facts::Snp(facts) => facts,
            Facts::Tpm(facts) => return self.tpm_of(facts).map(|tpm| tpm.name.as_str()),
            // No chip of anybody's is named there.
            Facts::Nitro(_) => return None,
            Facts::Azure(facts) => return self.name_of(&crate::azure::cpu(facts)),
            Facts::Composite(pair) => {
                let chip = self.name_of(&crate::composite::cpu(pair));
                return chip.or_else(|| self.name_of(&Facts::Tpm(pair.tpm.clone())));
            }
            Facts::Quote(facts) => {
                return self.platform_of(facts).map(|found| found.name.as_str());
            }
        };
        self.chip_of(&facts.claims.chip_id)
            .map(|chip| chip.name.as_str())
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
        Facts::Nitro(facts) => {
            findings.check("hardware.enrolled", || {
                let because = "AWS's hypervisor names no chip, so none can be enrolled";
                Some(
                    Finding::fail("hardware.enrolled", because)
                        .difference(facts.module_id.as_str(), "an enrolled chip"),
                )
            });
            return;
        }
        Facts::Azure(facts) => return check(registry, &crate::azure::cpu(facts), findings),
        Facts::Composite(facts) => {
            check(registry, &crate::composite::cpu(facts), findings);
            check(registry, &Facts::Tpm(facts.tpm.clone()), findings);
            return;
        }
        Facts::Quote(facts) => return check_intel(registry, facts, findings),
    };
    let chip_id = facts.claims.chip_id;
    let chip = registry.chip_of(&chip_id);
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

/// Whether platform and PCK are enrolled.
fn check_intel(registry: &HardwareRegistry, facts: &QuoteFacts, findings: &mut Findings) {
    let platform = registry.platform_of(facts);
    findings.check("hardware.enrolled", || {
        let because = "this platform is not in the owner's registry";
        Some(match platform {
            Some(_) => Finding::pass("hardware.enrolled"),
            None => Finding::fail("hardware.enrolled", because)
                .difference(hex::encode(facts.platform.ppid), "an enrolled PPID"),
        })
    });
    findings.check("hardware.key", || {
        let platform = platform?;
        let found = sha256(&facts.pck_public_key);
        let tcb = &facts.platform.tcb;
        let is_of = |key: &&PinnedPck| key.cpu_svn.0 == tcb.cpu_svn && key.pce_svn == tcb.pce_svn;
        let pinned: Vec<_> = platform.keys.iter().filter(is_of).collect();
        let because = match pinned.as_slice() {
            [] => "these versions have no approved key yet",
            keys if keys.iter().any(|key| key.public_key.0 == found) => {
                return Some(Finding::pass("hardware.key"));
            }
            _ => "the maker certified another key for this platform than the enrolled one",
        };
        let wanted = pinned.iter().map(|key| hex::encode(key.public_key.0));
        let wanted = wanted.collect::<Vec<_>>().join(" or ");
        Some(Finding::fail("hardware.key", because).difference(hex::encode(found), wanted))
    });
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> Option<String> {
        let text = format!("schema = \"{SCHEMA}\"\n{body}");
        let read = HardwareRegistry::parse(&text);
        read.err().map(|error| error.because)
    }

    fn platform(ppid: &str, instance: &str) -> String {
        let instance = match instance {
            "" => String::new(),
            instance => format!("platform_instance_id = \"{}\"\n", instance.repeat(16)),
        };
        format!(
            "[[intel]]\nname = \"rack\"\nppid = \"{}\"\n{instance}\
             keys = [{{ cpu_svn = \"{}\", pce_svn = 13, public_key = \"{}\" }}]\n",
            ppid.repeat(16),
            "02".repeat(16),
            "aa".repeat(32)
        )
    }

    #[test]
    fn a_platform_of_intels_stands_once_by_its_ppid_and_instance() {
        let twice = Some("the platform of \"rack\" stands twice".to_owned());
        assert_eq!(refusal(&platform("11", "")), None);
        let two =
            |first: &str, second: &str| refusal(&(platform("11", first) + &platform("11", second)));
        assert_eq!(two("", ""), twice);
        assert_eq!(two("01", ""), twice);
        assert_eq!(two("01", "01"), twice);
        assert_eq!(two("01", "02"), None);
    }

    #[test]
    fn a_platform_without_identity_or_key_is_refused() {
        let zero = refusal(&platform("00", ""));
        assert_eq!(zero, Some("the PPID of \"rack\" is zero".to_owned()));
        let keyless = "[[intel]]\nname = \"rack\"\nppid = \"11111111111111111111111111111111\"\n\
                       keys = []";
        let keyless = refusal(keyless);
        assert_eq!(keyless, Some("\"rack\" has no key".to_owned()));
    }
}
