//! The owner's policy (`zeuge.policy.v1`): what is accepted beyond, and demanded above, the floor.
//!
//! The default is the floor. Everything that goes below it is spelled `dangerous_…`, carries a
//! reason, and shows in every verdict.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeuge_evidence::snp::{Product, Tcb};

use crate::{
    TcbFloor,
    document::{self, DocumentError},
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
        let reasons = [
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
