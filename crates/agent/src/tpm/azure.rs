//! A machine behind Azure's paravisor: the HCL report out of its virtual TPM, and a quote by the
//! key that the report commits to.
//!
//! Reads what the paravisor left there and believes nothing of it. Never asks Azure's metadata
//! service: the quote of a trust domain is fetched by whoever may speak to it.

use serde_json::{Value, json};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::name::Name;

use super::channel::{Command, trouble};
use super::{Loaded, Tpm, base64};
use crate::error::Error;

/// Where the paravisor keeps its report.
const HCL_REPORT: u32 = 0x0140_0001;
/// The paravisor's AK.
const AK: u32 = 0x8100_0003;
/// All PCRs are quoted: whoever verifies demands it.
const PCRS: std::ops::Range<u32> = 0..24;

impl Tpm {
    /// HCL report and quote with this qualifying data (up to 64 bytes), as a bundle in JSON.
    ///
    /// # Errors
    /// `agent.tpm`, also where this machine has no paravisor's report or key.
    pub(crate) fn azure(&mut self, nonce: &[u8]) -> Result<String, Error> {
        let hcl = self.nv(HCL_REPORT).map_err(|error| {
            trouble(format!(
                "NV index {HCL_REPORT:#010x} holds no HCL report: is this a confidential machine of \
                 Azure's? ({})",
                error.because
            ))
        })?;
        let read = Command::new("TPM2_ReadPublic", 0x173).handle(AK);
        let public = self.channel.run(&read, 0)?.sized()?;
        let ak = Loaded { handle: AK, public };
        let pcrs: Vec<u32> = PCRS.collect();
        let (attest, signature) = self.quote_with(&ak, nonce, &pcrs)?;
        let values: serde_json::Map<String, Value> = self
            .pcrs(&pcrs)?
            .into_iter()
            .map(|(index, value)| (index.to_string(), json!(hex::encode(value))))
            .collect();
        let quote = json!({
            "schema": "zeuge.tpm-quote.v1",
            "attest": base64(&attest),
            "signature": base64(&signature),
            "ak_public": base64(&ak.public),
            "pcrs": { "sha256": values },
        });
        let mut bundle = Bundle::new();
        bundle.put(Name::parse("hcl")?, Media::AzureHcl, hcl)?;
        let quote = quote.to_string().into_bytes();
        bundle.put(Name::parse("tpm")?, Media::TpmQuote, quote)?;
        Ok(bundle.to_json())
    }
}
