//! Certificates in which an enclave or a trust domain shows its quote (RA-TLS), in the three forms
//! that are common, and one lie for each check on them.
//!
//! The quote inside is an honest one of the toy; who lies here, lies in the certificate.

use aws_lc_rs::{
    digest,
    signature::{EcdsaKeyPair, KeyPair as _},
};
use zeuge_evidence::UnixTime;

use super::{QuoteSpec, ToyIntel, certificates::CertificateBody, new_key};
use crate::{
    lies::lies,
    x509_write::{DAY, P256, Window, curve_key_info, extension, key_id},
};

lies! {
    /// One lie per check on certificates that carry a quote.
    RatlsLie:
    Evidence {
        Evidence = "ratls.evidence": "The extension for tagged evidence holds something else.";
    }
    Verify {
        Key = "ratls.key": "The quote speaks for another key than the certificate's.";
        Validity = "ratls.validity": "The certificate ran out yesterday.";
    }
}

/// How the quote lies in the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatlsForm {
    /// TCG DICE tagged evidence.
    Dice,
    /// Gramine's own extension.
    Gramine,
    /// Open Enclave's, as EGo writes it.
    OpenEnclave,
}

impl RatlsForm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dice, Self::Gramine, Self::OpenEnclave];

    const fn oid(self) -> &'static [u64] {
        match self {
            Self::Dice => &[2, 23, 133, 5, 4, 9],
            Self::Gramine => &[1, 2, 840, 113_741, 1337, 6],
            Self::OpenEnclave => &[1, 3, 6, 1, 4, 1, 311, 105, 1],
        }
    }
}

impl ToyIntel {
    /// A certificate of this platform's enclave or trust domain for a new key, in DER, with a quote
    /// that speaks for the key; and what endorses it, by file name.
    #[must_use]
    pub fn ra_tls(
        &self,
        lie: Option<RatlsLie>,
        form: RatlsForm,
        spec: &QuoteSpec,
        at: UnixTime,
    ) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
        let key = new_key();
        let info = key_info(&key);
        let spoken_for = match lie {
            Some(RatlsLie::Key) => key_info(&new_key()),
            _ => info.clone(),
        };
        let hash = digest::digest(&digest::SHA256, &spoken_for);
        let claims = claims(hash.as_ref());
        let committed = match form {
            RatlsForm::Dice => digest::digest(&digest::SHA256, &claims),
            RatlsForm::Gramine | RatlsForm::OpenEnclave => hash,
        };
        let mut spec = spec.clone();
        spec.report_data = [0; 64];
        spec.report_data[..32].copy_from_slice(committed.as_ref());
        let told = self.tell(None, &spec, at);
        let mut value = match form {
            RatlsForm::Dice => tagged(&told.quote, &claims),
            RatlsForm::Gramine => told.quote,
            RatlsForm::OpenEnclave => remote_report(&told.quote),
        };
        if lie == Some(RatlsLie::Evidence) {
            value = match form {
                // A bare quote begins with no length that could be wrong.
                RatlsForm::Gramine => Vec::new(),
                _ => value.split_off(1),
            };
        }
        let window = match lie {
            Some(RatlsLie::Validity) => Window::ended_yesterday(at),
            _ => Window {
                from: at.plus(-DAY),
                to: at.plus(DAY),
            },
        };
        let certificate = CertificateBody {
            serial: key_id(key.public_key().as_ref()),
            issuer: "RA-TLS".to_owned(),
            subject: "RA-TLS".to_owned(),
            window,
            key: info,
            extensions: vec![extension(form.oid(), false, &value)],
        };
        (certificate.signed_with(&key), told.endorsements)
    }
}

fn key_info(key: &EcdsaKeyPair) -> Vec<u8> {
    curve_key_info(&P256, key.public_key().as_ref())
}

/// `{"pubkey-hash": bytes of [1, hash]}` in CBOR; 1 is SHA-256.
fn claims(hash: &[u8]) -> Vec<u8> {
    let entry = [&[0x82, 1, 0x58, 32], hash].concat();
    let length = u8::try_from(entry.len()).unwrap_or(u8::MAX);
    [&[0xa1, 0x6b][..], b"pubkey-hash", &[0x58, length], &entry].concat()
}

/// `60000([quote, claims])` in CBOR.
fn tagged(quote: &[u8], claims: &[u8]) -> Vec<u8> {
    let head = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        [&[0x59][..], &length.to_be_bytes(), bytes].concat()
    };
    [&[0xd9, 0xea, 0x60, 0x82][..], &head(quote), &head(claims)].concat()
}

/// Version 1, type 2, length, quote.
fn remote_report(quote: &[u8]) -> Vec<u8> {
    let length = u64::try_from(quote.len()).unwrap_or(u64::MAX);
    [&[1, 0, 0, 0, 2, 0, 0, 0][..], &length.to_le_bytes(), quote].concat()
}
