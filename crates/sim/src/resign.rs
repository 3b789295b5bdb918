//! Evidence that somebody has changed, signed once more by the machine's own key: for tests that
//! ask what a genuine machine could say, where an altered signature would end the question.
//!
//! Never decides what may be changed.

use aws_lc_rs::{rand::SystemRandom, signature::EcdsaKeyPair};

use crate::{
    ReportSpec, ToyAmd, ToyIntel,
    amd::report::{self, Draft},
    intel::documents,
};

impl ToyAmd {
    /// Signs the report of 1184 bytes anew, with the key of the machine in `spec`.
    ///
    /// # Panics
    /// When it is shorter.
    pub fn resign(&self, spec: &ReportSpec, report: &mut [u8]) {
        let signature = fixed(&self.leaf_key(spec), &report[..report::SIGNED_BYTES]);
        let mut draft = Draft::of(report);
        draft.put_signature(&signature);
        report.copy_from_slice(&draft.into_bytes());
    }
}

impl ToyIntel {
    /// Signs header and body of a quote, its first `signed` bytes, anew. The attestation key is
    /// the same for all platforms of a toy.
    ///
    /// # Panics
    /// When the quote has no room for a signature.
    pub fn resign(&self, quote: &mut [u8], signed: usize) {
        let signature = fixed(&self.attestation, &quote[..signed]);
        // The length of the signature section lies between.
        quote[signed + 4..signed + 68].copy_from_slice(&signature);
    }

    /// A document of this text as the toy's service gives it: `member` is `tcbInfo` or
    /// `enclaveIdentity`.
    #[must_use]
    pub fn sign_document(&self, member: &str, text: &str) -> Vec<u8> {
        documents::signed(member, text, &self.own.signing).into_bytes()
    }
}

/// r‖s.
fn fixed(key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), message)
        .expect("a curve key signs any message")
        .as_ref()
        .to_vec()
}
