//! Documents of AWS's Nitro hypervisor: an enclave's, or an instance's by its NitroTPM.
//!
//! The binding is the document's nonce. Never asks AWS for anything: a document brings its whole
//! chain, and the root is pinned.

use zeuge_evidence::nitro::Signed;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_verify::Error;
use zeuge_verify::crypto::AWS_LC;
use zeuge_verify::nitro::{Demand, nitro};

use crate::appraisal::{Asked, Evidence, Judge, Proven};
use crate::refusal::Refusal;

impl Judge {
    /// Verifies the one document of a bundle; nothing else may lie beside it.
    pub(crate) fn nitro(&self, bundle: &Bundle, asked: &Asked<'_>) -> Result<Proven, Refusal> {
        let alone = bundle.members().len() == 1;
        let Some(document) = bundle.only(Media::NitroDocument).filter(|_| alone) else {
            let mut members = bundle.members().values();
            // docs/decisions/0031-aws-two-answers.md
            let because = match members.any(|member| member.media == Media::SnpReport) {
                true => {
                    "nothing can show that an SEV-SNP report and a Nitro document are of one machine: \
                     show them one after the other"
                }
                false => "a Nitro document stands alone: what lies beside it would not be judged",
            };
            return Err(Refusal::new("bundle.evidence", 403, because));
        };
        let signed = Signed::parse(document).map_err(Error::from)?;
        let anchors = self.line(asked.tenant).anchors();
        let demand = Demand::Nonce(&asked.report_data);
        let verified = nitro(&signed, demand, anchors, asked.at, &AWS_LC)?;
        Ok(Proven {
            evidence: Evidence::Nitro(Box::new(verified)),
            seen: None,
            ahead: None,
            endorsements: Vec::new(),
            epoch: None,
            stand: None,
        })
    }
}
