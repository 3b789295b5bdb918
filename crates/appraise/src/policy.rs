//! The owner's policy (`zeuge.policy.v1`): what is accepted beyond, and demanded above, the floor.
//!
//! The default is the floor. Everything that goes below it is spelled `dangerous_…`, carries a
//! reason, and shows in every verdict.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeuge_evidence::{
    UnixTime,
    snp::{Product, Tcb},
};

use crate::{
    TcbFloor,
    document::{self, DocumentError},
    google::GooglePolicy,
    nitro::NitroPolicy,
    tpm::TpmPolicy,
};

/// The schema of this document.
pub const SCHEMA: &str = "zeuge.policy.v1";

/// A wish, or the written reason why there is none. There is no silent third case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect<T> {
    /// One of these.
    AnyOf(Vec<T>),
    /// Not checked, for this reason; it travels into the verdict.
    Unchecked {
        /// Why.
        because: String,
    },
}

/// What the owner accepts and demands.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    schema: String,
    /// Oldest accepted revocation list, in days since its `thisUpdate`. AMD's live a year.
    #[serde(default = "crl_days")]
    pub crl_age_days_max: u32,
    /// AMD SEV-SNP.
    #[serde(default)]
    pub snp: SnpPolicy,
    /// Intel TDX and SGX.
    #[serde(default)]
    pub intel: IntelPolicy,
    /// TPMs and the boot.
    #[serde(default)]
    pub tpm: TpmPolicy,
    /// Machines behind Azure's paravisor.
    #[serde(default)]
    pub azure: AzurePolicy,
    /// Firmware that Google endorses.
    #[serde(default)]
    pub google: GooglePolicy,
    /// Attestation documents of AWS's Nitro hypervisor.
    #[serde(default)]
    pub nitro: NitroPolicy,
}

/// The part for machines behind Azure's paravisor, beside those for its CPU and its virtual TPM.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzurePolicy {
    /// The paravisor must say that it enforces Secure Boot.
    #[serde(default)]
    pub require_secure_boot: bool,
    /// The paravisor must say that the guest has no console, neither to read nor to type into.
    #[serde(default)]
    pub forbid_console: bool,
    /// Azure's identifiers (vmUniqueId) of the owner's machines, in either case; empty: any.
    #[serde(default)]
    pub machines: Vec<String>,
    /// Machines (vmUniqueId) whose virtual TPM was cleared, each with a word of the owner's, such as
    /// the date: its clock counts from zero again, and a witness that remembers the earlier one
    /// takes it for new under this word.
    #[serde(default)]
    pub cleared: BTreeMap<String, String>,
}

impl AzurePolicy {
    /// The owner's word for what came of a cleared virtual TPM.
    #[must_use]
    pub fn cleared_as(&self, machine: &str) -> Option<&str> {
        let mut cleared = self.cleared.iter();
        let found = cleared.find(|(known, _)| known.eq_ignore_ascii_case(machine))?;
        Some(found.1.as_str())
    }
}

/// The part for Intel TDX and SGX.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntelPolicy {
    /// Statuses that are accepted with a warning, in Intel's spelling. `Revoked` and
    /// `TcbNotSupported` cannot be accepted. Not spelled dangerous: Intel leaves these statuses to
    /// whoever relies on them, and every verdict warns and names the status.
    #[serde(default)]
    pub accepted_statuses: Vec<String>,
    /// Advisories that do not matter here, each with its reason and its end.
    #[serde(default)]
    pub allowed_advisories: Vec<AllowedAdvisory>,
    /// Days after the date of its level during which an out-of-date platform is accepted, with a
    /// warning that says when they end.
    #[serde(default)]
    pub grace_days: u32,
    /// Lowest accepted tcbEvaluationDataNumber.
    #[serde(default)]
    pub minimum_evaluation_number: Option<u32>,
    /// DANGEROUS: accept a guest or enclave that others may read.
    #[serde(default)]
    pub dangerous_allow_debug: Option<String>,
    /// DANGEROUS: accept a guest that a migration TD may take elsewhere.
    #[serde(default)]
    pub dangerous_allow_migration: Option<String>,
    /// DANGEROUS: accept a platform without fresh revocation lists.
    #[serde(default)]
    pub dangerous_without_crl: Option<String>,
}

/// An advisory that the owner has looked at.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedAdvisory {
    /// Its id, e.g. `INTEL-SA-00615`.
    pub id: String,
    /// Why it does not matter here.
    pub because: String,
    /// Until when, in RFC 3339.
    pub until: String,
}

impl IntelPolicy {
    /// Whether the owner allows this advisory at this instant.
    #[must_use]
    pub fn allows(&self, id: &str, at: UnixTime) -> bool {
        self.allowance(id, at).is_some()
    }

    /// The owner's words by which this advisory is allowed at this instant.
    #[must_use]
    pub fn allowance(&self, id: &str, at: UnixTime) -> Option<&AllowedAdvisory> {
        self.allowed_advisories.iter().find(|allowed| {
            let until = UnixTime::parse_rfc3339(&allowed.until);
            allowed.id == id && until.is_some_and(|until| at <= until)
        })
    }

    /// What is wrong with this part of the document, if anything.
    fn fault(&self) -> Option<String> {
        const ACCEPTABLE: [&str; 7] = [
            "SWHardeningNeeded",
            "ConfigurationNeeded",
            "ConfigurationAndSWHardeningNeeded",
            "OutOfDate",
            "OutOfDateConfigurationNeeded",
            "TDRelaunchAdvised",
            "TDRelaunchAdvisedConfigurationNeeded",
        ];
        let unknown = |word: &&String| !ACCEPTABLE.contains(&word.as_str());
        if let Some(word) = self.accepted_statuses.iter().find(unknown) {
            return Some(format!("the status \"{word}\" cannot be accepted"));
        }
        let undated = |allowed: &&AllowedAdvisory| {
            UnixTime::parse_rfc3339(&allowed.until).is_none() || allowed.because.trim().is_empty()
        };
        let advisory = self.allowed_advisories.iter().find(undated)?;
        Some(format!(
            "the allowance of {} needs a reason and an end (RFC 3339)",
            advisory.id
        ))
    }
}

/// The part for AMD SEV-SNP.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpPolicy {
    /// Sibling threads must be off, in policy and platform.
    #[serde(default)]
    pub forbid_smt: bool,
    /// Memory and devices on CXL must be forbidden by the guest policy.
    #[serde(default)]
    pub forbid_cxl: bool,
    /// The guest must be restricted to one socket.
    #[serde(default)]
    pub require_single_socket: bool,
    /// The alias check (BadRAM) must have run.
    #[serde(default)]
    pub require_alias_check: bool,
    /// Ciphertext hiding must be required by the guest and on in the platform.
    #[serde(default)]
    pub require_ciphertext_hiding: bool,
    /// Firmware that runs but is not committed must be refused.
    #[serde(default)]
    pub forbid_provisional_firmware: bool,
    /// Bits that both mitigation vectors must have (version 5 reports).
    #[serde(default)]
    pub required_mitigations: u64,
    /// Products that are refused whatever they prove.
    #[serde(default)]
    pub refused_products: Vec<String>,
    /// Providers (cspID) whose VLEK is accepted; empty: any, with a warning.
    #[serde(default)]
    pub providers: Vec<String>,
    /// Only a provider's key (VLEK) may have signed: the owner rents, and a chip's own key speaks
    /// for a machine that stands elsewhere.
    #[serde(default)]
    pub require_provider_key: bool,
    /// DANGEROUS: accept a guest whose host may read its memory.
    #[serde(default)]
    pub dangerous_allow_debug: Option<String>,
    /// DANGEROUS: accept a guest that a migration agent may take elsewhere.
    #[serde(default)]
    pub dangerous_allow_migration: Option<String>,
    /// DANGEROUS: accept a machine without a fresh revocation list.
    #[serde(default)]
    pub dangerous_without_crl: Option<String>,
    /// DANGEROUS: a floor below the built-in one, by product.
    #[serde(default)]
    pub dangerous_minimum_tcb: BTreeMap<String, DangerousFloor>,
}

/// A floor that goes below the built-in one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DangerousFloor {
    /// Why.
    pub because: String,
    /// The floor.
    pub floor: TcbFloor,
}

const fn crl_days() -> u32 {
    366
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            crl_age_days_max: crl_days(),
            snp: SnpPolicy::default(),
            intel: IntelPolicy::default(),
            tpm: TpmPolicy::default(),
            azure: AzurePolicy::default(),
            google: GooglePolicy::default(),
            nitro: NitroPolicy::default(),
        }
    }
}

impl Policy {
    /// Reads the document.
    ///
    /// # Errors
    /// [`DocumentError`] for another schema, unknown fields, an unknown product, or a dangerous
    /// setting without a reason.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let policy: Self = document::read(text, SCHEMA, |policy: &Self| &policy.schema)?;
        let bad = |because: String| {
            Err(DocumentError {
                wanted: SCHEMA,
                because,
            })
        };
        let snp = &policy.snp;
        let named = snp
            .refused_products
            .iter()
            .chain(snp.dangerous_minimum_tcb.keys());
        for product in named {
            if Product::from_name(product).is_none() {
                return bad(format!(
                    "\"{product}\" is not a product that this program knows"
                ));
            }
        }
        if let Some(because) = policy.intel.fault().or_else(|| policy.tpm.fault()) {
            return bad(because);
        }
        let reasons = [
            &policy.intel.dangerous_allow_debug,
            &policy.intel.dangerous_allow_migration,
            &policy.intel.dangerous_without_crl,
            &policy.nitro.dangerous_allow_debug,
            &policy.tpm.dangerous_without_crl,
            &policy.tpm.dangerous_allow_sha1_bank,
            &policy.tpm.dangerous_allow_unproven_ak,
            &snp.dangerous_allow_debug,
            &snp.dangerous_allow_migration,
            &snp.dangerous_without_crl,
        ];
        let floors = snp
            .dangerous_minimum_tcb
            .values()
            .map(|floor| &floor.because);
        let is_empty = |reason: &String| reason.trim().is_empty();
        if reasons.into_iter().flatten().any(is_empty) || floors.into_iter().any(is_empty) {
            return bad("a dangerous_… setting needs its reason as its value".to_owned());
        }
        Ok(policy)
    }

    /// The dangerous floor of a product, if the owner set one.
    #[must_use]
    pub fn dangerous_floor(&self, product: Product) -> Option<(Tcb, &str)> {
        let set = self.snp.dangerous_minimum_tcb.get(product.name())?;
        Some((Tcb::from(set.floor), set.because.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dangerous_setting_without_a_reason_is_refused() {
        let text = format!("schema = \"{SCHEMA}\"\n[snp]\ndangerous_allow_debug = \" \"");
        assert!(
            Policy::parse(&text)
                .unwrap_err()
                .because
                .contains("needs its reason")
        );
    }

    #[test]
    fn an_empty_policy_is_the_floor() {
        let policy = Policy::parse(&format!("schema = \"{SCHEMA}\"")).unwrap();
        assert_eq!(policy.crl_age_days_max, 366);
        assert_eq!(policy.snp.dangerous_allow_debug, None);
    }

    #[test]
    fn a_misspelt_wish_is_refused_and_not_ignored() {
        let text = format!("schema = \"{SCHEMA}\"\n[snp]\nforbid_smtt = true");
        assert!(Policy::parse(&text).is_err());
    }
}
