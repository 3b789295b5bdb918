//! Lies of genuine parts in the wrong place.
//!
//! Every part is one that its maker made and signed so; only where it stands is a lie. Each is caught
//! by a check that has a lie of its own as well, so these stand apart from [`super::IntelLie`], which
//! has one lie per check.

use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
use zeuge_evidence::UnixTime;

use super::{
    Certification, QuoteSpec, ToyIntel, ToyQuote,
    documents::{self, QeIdentity, TcbInfo},
    issue_window,
};
use crate::lies::lies;

lies! {
    /// One part of a quote, or of what endorses it, in the wrong place.
    IntelSwap:
    Verify {
        QeReport = "dcap.qe.binding": "The QE report, which the PCK signed, vouches for the attestation key of another quote.";
        IdentityKey = "dcap.qe-identity.signature": "The QE Identity is signed by the PCK CA and not by the TCB signing key.";
        PckOfAnotherChip = "dcap.qe.report-signature": "The quote brings the PCK chain of another chip that the same CA certified.";
        TcbInfoKey = "dcap.tcb-info.signature": "The TCB Info is signed by the PCK CA and not by the TCB signing key.";
    }
    Appraise {
        RootListMissing = "dcap.crl.fresh": "The root's revocation list is not at hand, the PCK CA's is.";
    }
}

impl ToyIntel {
    /// A quote of the platform in `spec` with its endorsements, honest but for one part in the wrong
    /// place, as of `now`. It brings its chain, and both lists lie beside it but for the one that a
    /// swap takes away.
    #[must_use]
    pub fn swapped(&self, swap: IntelSwap, spec: &QuoteSpec, now: UnixTime) -> ToyQuote {
        let spec = QuoteSpec {
            certification: Certification::Chain,
            revocation_lists: true,
            ..spec.clone()
        };
        let mut told = self.tell(None, &spec, now);
        let tee = spec.form.tee();
        let house = self.own.pck_ca(spec.ca);
        match swap {
            IntelSwap::PckOfAnotherChip => {
                let mut other = spec.clone();
                other.ppid[0] ^= 1;
                told.quote = self.quote_with(&spec, &other, &self.attestation, now);
            }
            IntelSwap::QeReport => {
                told.quote = self.quote_with(&spec, &spec, &self.own.signing, now);
            }
            IntelSwap::TcbInfoKey => {
                let info = TcbInfo::new(tee, spec.fmspc, issue_window(now)).text();
                let document = documents::signed("tcbInfo", &info, house);
                replace(&mut told, "tcb-info.json", document);
            }
            IntelSwap::IdentityKey => {
                let identity = QeIdentity::new(tee, issue_window(now)).text();
                let document = documents::signed("enclaveIdentity", &identity, house);
                replace(&mut told, "qe-identity.json", document);
            }
            IntelSwap::RootListMissing => {
                told.endorsements.retain(|(name, _)| name != "root-crl.der");
            }
        }
        told.evidence_file.clone_from(&told.quote);
        told
    }

    /// A quote of `spec` with the chain of `chip`, whose QE report vouches for this key.
    fn quote_with(
        &self,
        spec: &QuoteSpec,
        chip: &QuoteSpec,
        vouched: &EcdsaKeyPair,
        at: UnixTime,
    ) -> Vec<u8> {
        let chain = self.chain(None, &self.own, chip, at);
        let vouched = vouched.public_key().as_ref();
        self.tell_quote(None, spec, &chain, vouched)
    }
}

fn replace(told: &mut ToyQuote, name: &str, document: String) {
    let file = told.endorsements.iter_mut().find(|(of, _)| of == name);
    file.expect("the toy's own file name").1 = document.into_bytes();
}
