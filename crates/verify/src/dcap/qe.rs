//! The quoting enclave (QE): who signed its report, and which attestation key it vouched for.

use sha2::{Digest as _, Sha256};
use zeuge_evidence::dcap::Quote;

use super::{Broken, Difference};
use crate::{
    Error, Trail,
    crypto::{CryptoProvider, Scheme},
};

/// Whether this key (an uncompressed point) signed the QE report.
pub(crate) fn report_signed_by(quote: &Quote<'_>, key: &[u8], crypto: &CryptoProvider) -> bool {
    let scheme = Scheme::EcdsaP256Sha256Fixed;
    let signature = &quote.qe_report_signature;
    let signatures = crypto.signatures;
    signatures
        .verify(scheme, key, quote.qe_report_bytes, signature)
        .is_ok()
}

/// Checks PCK → QE report → attestation key → quote, over the bytes as received.
pub(crate) fn check(
    trail: &mut Trail,
    crypto: &CryptoProvider,
    quote: &Quote<'_>,
    pck_key: &[u8],
) -> Result<(), Error> {
    // spec: dcap.qe.report-signature
    trail.check("dcap.qe.report-signature", || {
        if report_signed_by(quote, pck_key, crypto) {
            return Ok(());
        }
        let difference = Difference::new("another signer, or other bytes", hex::encode(pck_key));
        Err(Broken::QeReportSignatureBad(difference).into())
    })?;
    // spec: dcap.qe.binding
    trail.check("dcap.qe.binding", || {
        let mut hash = Sha256::new();
        hash.update(quote.attestation_key);
        hash.update(quote.qe_authentication);
        let mut wanted = [0u8; 64];
        for (byte, digest) in wanted.iter_mut().zip(hash.finalize()) {
            *byte = digest;
        }
        let found = &quote.qe_report.report_data;
        if *found == wanted {
            return Ok(());
        }
        Err(Broken::QeBindingDiffers(Difference::hex(found, &wanted)).into())
    })?;
    // spec: dcap.quote.signature
    trail.check("dcap.quote.signature", || {
        let mut key = vec![4u8];
        key.extend_from_slice(&quote.attestation_key);
        let scheme = Scheme::EcdsaP256Sha256Fixed;
        let signatures = crypto.signatures;
        signatures
            .verify(scheme, &key, quote.signed, &quote.signature)
            .map_err(|_| {
                let wanted = hex::encode(quote.attestation_key);
                let difference = Difference::new("another signer, or other bytes", wanted);
                Broken::QuoteSignatureBad(difference).into()
            })
    })
}
