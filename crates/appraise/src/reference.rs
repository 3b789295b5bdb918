//! Reference values: what the owner says a good machine measures (`zeuge.reference-values.v1`).
//!
//! A value says for which privilege level and binding profile it was made; the bundle never says
//! that of itself. Never guesses, never pads.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeuge_evidence::snp::{Product, Tcb};

use crate::{
    document::{self, DocumentError, Hex},
    nitro::NitroReference,
    tpm::TpmReference,
};

/// The schema of this document.
pub const SCHEMA: &str = "zeuge.reference-values.v1";

/// The owner's reference values.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceValues {
    schema: String,
    /// AMD SEV-SNP machines.
    #[serde(default)]
    pub snp: Vec<SnpReference>,
    /// Intel TDX trust domains.
    #[serde(default)]
    pub tdx: Vec<TdxReference>,
    /// Intel SGX enclaves.
    #[serde(default)]
    pub sgx: Vec<SgxReference>,
    /// Machines as their TPM tells of them.
    #[serde(default)]
    pub tpm: Vec<TpmReference>,
    /// Nitro enclaves, and instances as their NitroTPM tells of them.
    #[serde(default)]
    pub nitro: Vec<NitroReference>,
    /// Lowest accepted versions by product, above the built-in floor.
    #[serde(default)]
    pub minimum_tcb: BTreeMap<String, TcbFloor>,
}

/// How the evidence is bound to the machine's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindingProfile {
    /// The report data is the binding.
    #[default]
    Direct,
    /// Azure's paravisor binds through its vTPM.
    Hcl,
    /// An SVSM binds through its vTPM.
    Svsm,
}

/// One SEV-SNP workload or image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpReference {
    /// The name that verdicts and release rules use.
    pub name: String,
    /// Launch digests of which one must be reported.
    #[serde(default)]
    pub measurements: Vec<Hex<48>>,
    /// An ID block that pins the image instead of its launch digest.
    #[serde(default)]
    pub id_block: Option<IdBlock>,
    /// HOST_DATA values of which one must be reported; empty: any.
    #[serde(default)]
    pub host_data: Vec<Hex<32>>,
    /// How the evidence is bound.
    #[serde(default)]
    pub binding_profile: BindingProfile,
    /// The privilege level that must have asked, 0 to 3.
    #[serde(default)]
    pub vmpl: u32,
}

/// One TDX trust domain.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxReference {
    /// The name that verdicts and release rules use.
    pub name: String,
    /// MRTD values of which one must be reported.
    pub mr_td: Vec<Hex<48>>,
    /// Values of the run-time registers `0` to `3`, where the owner pins them.
    #[serde(default)]
    pub rtmr: BTreeMap<String, Vec<Hex<48>>>,
    /// MRSEAM values (TDX modules) of which one must be reported; empty: any of Intel's.
    #[serde(default)]
    pub mr_seam: Vec<Hex<48>>,
    /// MRCONFIGID values of which one must be reported; empty: any.
    #[serde(default)]
    pub mr_config_id: Vec<Hex<48>>,
    /// MROWNER values of which one must be reported; empty: any. The host sets it.
    #[serde(default)]
    pub mr_owner: Vec<Hex<48>>,
    /// MROWNERCONFIG values of which one must be reported; empty: any. The host sets it.
    #[serde(default)]
    pub mr_owner_config: Vec<Hex<48>>,
    /// Service TDs that may be bound to this one: MRSERVICETD must be one of them, and so must the
    /// other hashes of service TDs that body type 4 reports; zeros say "none". Empty: any, and a
    /// bound one is a warning.
    #[serde(default)]
    pub mr_service_td: Vec<Hex<48>>,
    /// How the evidence is bound: of `hcl` the values are the paravisor's.
    #[serde(default)]
    pub binding_profile: BindingProfile,
}

impl TdxReference {
    /// Whether it pins what the firmware started: MRTD is the firmware alone, the kernel, its
    /// command line and what follows stand in RTMR1 to RTMR3.
    #[must_use]
    pub fn pins_what_was_started(&self) -> bool {
        ["1", "2", "3"].iter().any(|index| {
            let values = self.rtmr.get(*index);
            values.is_some_and(|values| !values.is_empty())
        })
    }
}

/// One SGX enclave.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgxReference {
    /// The name that verdicts and release rules use.
    pub name: String,
    /// MRENCLAVE values of which one must be reported; or `mr_signer` with `isv_prod_id`.
    #[serde(default)]
    pub mr_enclave: Vec<Hex<32>>,
    /// MRSIGNER of the enclave's signer.
    pub mr_signer: Option<Hex<32>>,
    /// Which product of that signer.
    pub isv_prod_id: Option<u16>,
    /// Lowest accepted ISVSVN.
    #[serde(default)]
    pub minimum_isv_svn: u16,
}

/// Who signed the image, and which one it is (AMD 56860, ID block).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdBlock {
    /// SHA-384 of the ID key; either this or `author_key_digest` must be given.
    pub id_key_digest: Option<Hex<48>>,
    /// SHA-384 of the author key that certified the ID key.
    pub author_key_digest: Option<Hex<48>>,
    /// FAMILY_ID.
    pub family_id: Hex<16>,
    /// IMAGE_ID.
    pub image_id: Hex<16>,
    /// Lowest accepted GUEST_SVN.
    pub minimum_guest_svn: u32,
}

/// Lowest accepted versions of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcbFloor {
    /// First mutable code (Turin).
    #[serde(default)]
    pub fmc: Option<u8>,
    /// Boot loader.
    #[serde(default)]
    pub boot_loader: u8,
    /// Trusted operating system of the secure processor.
    #[serde(default)]
    pub tee: u8,
    /// SNP firmware.
    #[serde(default)]
    pub snp: u8,
    /// Microcode.
    #[serde(default)]
    pub microcode: u8,
}

impl From<TcbFloor> for Tcb {
    fn from(floor: TcbFloor) -> Self {
        let TcbFloor {
            fmc,
            boot_loader,
            tee,
            snp,
            microcode,
        } = floor;
        Self {
            fmc,
            boot_loader,
            tee,
            snp,
            microcode,
        }
    }
}

impl ReferenceValues {
    /// Reads the document.
    ///
    /// # Errors
    /// [`DocumentError`] for another schema, unknown fields, hex of another length, a value that
    /// pins nothing, an unknown product, a level above 3, or a name that stands twice.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let values: Self = document::read(text, SCHEMA, |values: &Self| &values.schema)?;
        let bad = |because: String| {
            Err(DocumentError {
                wanted: SCHEMA,
                because,
            })
        };
        for (index, value) in values.snp.iter().enumerate() {
            let name = &value.name;
            if value.measurements.is_empty() && value.id_block.is_none() {
                return bad(format!(
                    "\"{name}\" names neither measurements nor an id_block"
                ));
            }
            if let Some(block) = &value.id_block
                && block.id_key_digest.is_none()
                && block.author_key_digest.is_none()
            {
                return bad(format!("the id_block of \"{name}\" names no key"));
            }
            if value.vmpl > 3 {
                return bad(format!("vmpl {} of \"{name}\" does not exist", value.vmpl));
            }
            if values
                .snp
                .iter()
                .take(index)
                .any(|earlier| earlier.name == *name)
            {
                return bad(format!("the name \"{name}\" stands twice"));
            }
        }
        let snp = values
            .snp
            .iter()
            .map(|value| (&value.name, value.binding_profile));
        let tdx = values
            .tdx
            .iter()
            .map(|value| (&value.name, value.binding_profile));
        let mut profiles = snp.chain(tdx);
        if let Some((name, _)) = profiles.find(|(_, profile)| *profile == BindingProfile::Svsm) {
            return bad(format!(
                "the binding profile of \"{name}\" is not supported yet; \"direct\" and \"hcl\" are"
            ));
        }
        let tpm = values.tpm.iter().find_map(TpmReference::fault);
        let nitro = values.nitro.iter().find_map(NitroReference::fault);
        let nitro = nitro.or_else(|| {
            let name = twice(values.nitro.iter().map(|value| &value.name))?;
            Some(format!("the name \"{name}\" stands twice"))
        });
        if let Some(because) = values.intel_fault().or(tpm).or(nitro) {
            return bad(because);
        }
        for product in values.minimum_tcb.keys() {
            if Product::from_name(product).is_none() {
                return bad(format!(
                    "minimum_tcb names the unknown product \"{product}\""
                ));
            }
        }
        Ok(values)
    }

    /// What is wrong with the values for Intel, if anything.
    fn intel_fault(&self) -> Option<String> {
        for value in &self.tdx {
            if value.mr_td.is_empty() {
                return Some(format!("\"{}\" names no mr_td", value.name));
            }
            if let Some(index) = value
                .rtmr
                .keys()
                .find(|index| !matches!(index.as_str(), "0" | "1" | "2" | "3"))
            {
                return Some(format!(
                    "\"{}\" names rtmr {index}; there are 0 to 3",
                    value.name
                ));
            }
            if let Some((index, _)) = value.rtmr.iter().find(|(_, values)| values.is_empty()) {
                return Some(format!("rtmr {index} of \"{}\" allows nothing", value.name));
            }
        }
        let names = self.tdx.iter().map(|value| &value.name);
        let enclaves = self.sgx.iter().map(|value| &value.name);
        if let Some(name) = twice(names).or_else(|| twice(enclaves)) {
            return Some(format!("the name \"{name}\" stands twice"));
        }
        let unpinned = |value: &&SgxReference| {
            value.mr_enclave.is_empty()
                && (value.mr_signer.is_none() || value.isv_prod_id.is_none())
        };
        let value = self.sgx.iter().find(unpinned)?;
        Some(format!(
            "\"{}\" names neither mr_enclave nor mr_signer with isv_prod_id",
            value.name
        ))
    }

    /// The owner's floor for a product.
    #[must_use]
    pub fn floor(&self, product: Product) -> Option<Tcb> {
        self.minimum_tcb
            .get(product.name())
            .map(|floor| Tcb::from(*floor))
    }
}

/// A name that stands twice, if there is one.
fn twice<'a>(names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = std::collections::BTreeSet::new();
    let mut names = names;
    names.find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        let text = format!("schema = \"{SCHEMA}\"\n{body}");
        ReferenceValues::parse(&text).unwrap_err().because
    }

    #[test]
    fn a_value_that_pins_nothing_is_refused() {
        assert_eq!(
            refusal("[[snp]]\nname = \"web\""),
            "\"web\" names neither measurements nor an id_block"
        );
    }

    #[test]
    fn a_measurement_of_another_length_is_refused_and_never_padded() {
        assert!(
            refusal("[[snp]]\nname = \"web\"\nmeasurements = [\"00\"]").contains("96 hex digits")
        );
    }

    #[test]
    fn another_schema_and_unknown_fields_are_refused() {
        let other = ReferenceValues::parse("schema = \"zeuge.policy.v1\"").unwrap_err();
        assert_eq!(other.because, "its schema is \"zeuge.policy.v1\"");
        assert!(refusal("surprise = 1").contains("surprise"));
        assert!(refusal("[minimum_tcb.Rome]\nsnp = 1").contains("Rome"));
    }

    #[test]
    fn a_floor_is_found_by_product() {
        let text = format!("schema = \"{SCHEMA}\"\n[minimum_tcb.Genoa]\nsnp = 27\nmicrocode = 84");
        let values = ReferenceValues::parse(&text).unwrap();
        let floor = values.floor(Product::Genoa).unwrap();
        assert_eq!((floor.snp, floor.microcode, floor.boot_loader), (27, 84, 0));
        assert_eq!(values.floor(Product::Milan), None);
    }
}
