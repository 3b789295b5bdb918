//! Certificates that carry a quote (RA-TLS): whether the quote speaks for the certificate's key.
//!
//! *Guarantees*: who holds the certified key is who the quote speaks for. *Caveats*: the quote itself
//! is verified by [`crate::dcap::quote()`]; that somebody holds the key, a TLS handshake proves; when
//! the quote was made, nothing in a certificate does. The certificate's own signature is not looked
//! at: such certificates sign themselves, and the quote says more.

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use std::fmt;
use zeuge_evidence::{
    UnixTime,
    ratls::{Carried, Form},
    x509::Certificate,
};

use crate::{Error, Trail, dcap::Difference, x509::is_valid_at};

/// The ids of this file.
pub const CHECKS: &[&str] = &["ratls.key", "ratls.validity"];

/// A rule that a certificate with a quote breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// `ratls.key`: the quote speaks for another key than the certificate's.
    KeyDiffers(Difference),
    /// `ratls.validity`: the certificate is not in force at the instant.
    OutOfWindow(Difference),
}

impl Broken {
    /// The id of the check that failed.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::KeyDiffers(_) => "ratls.key",
            Self::OutOfWindow(_) => "ratls.validity",
        }
    }

    /// What was found and what was wanted.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        let (Self::KeyDiffers(difference) | Self::OutOfWindow(difference)) = self;
        Some((difference.found.clone(), difference.wanted.clone()))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sentence, difference) = match self {
            Self::KeyDiffers(difference) => (
                "the quote in the certificate speaks for another key",
                difference,
            ),
            Self::OutOfWindow(difference) => {
                ("the certificate with the quote is not in force", difference)
            }
        };
        let Difference { found, wanted } = difference;
        write!(out, "{sentence}: found {found}, wanted {wanted}")
    }
}

/// Checks that a quote with this report data speaks for the key of the certificate that carries it,
/// and that the certificate is in force. Returns the checks that held.
///
/// # Errors
/// The first check that fails; those of the certificate's format.
pub fn bound(carried: &Carried, report_data: &[u8; 64], at: UnixTime) -> Result<Trail, Error> {
    let certificate = Certificate::parse(&carried.certificate)?;
    let mut trail = Trail::new();
    trail.check("ratls.key", || {
        let key = certificate.public_key.raw;
        let (claimed, committed) = match &carried.form {
            Form::Gramine | Form::OpenEnclave => (true, Sha256::digest(key)),
            Form::Dice {
                claims,
                algorithm,
                key_hash,
            } => (is_hash(*algorithm, key_hash, key), Sha256::digest(claims)),
        };
        let mut wanted = [0; 64];
        for (byte, digest) in wanted.iter_mut().zip(committed) {
            *byte = digest;
        }
        if claimed && *report_data == wanted {
            return Ok(());
        }
        let difference = if claimed {
            Difference::hex(report_data, &wanted)
        } else {
            Difference::new(
                "claims about another key",
                "a hash of the certificate's key",
            )
        };
        Err(Broken::KeyDiffers(difference).into())
    })?;
    trail.check("ratls.validity", || {
        if is_valid_at(&certificate, at) {
            return Ok(());
        }
        Err(Broken::OutOfWindow(Difference::window(at, &certificate)).into())
    })?;
    Ok(trail)
}

/// Whether this is the hash of the key by the named algorithm; another algorithm proves nothing.
fn is_hash(algorithm: u64, hash: &[u8], key: &[u8]) -> bool {
    match algorithm {
        1 => Sha256::digest(key).as_slice() == hash,
        7 => Sha384::digest(key).as_slice() == hash,
        8 => Sha512::digest(key).as_slice() == hash,
        _ => false,
    }
}
