//! The rules of TPMs that can be found broken, each with what was found and what was wanted.

use std::fmt;

/// A rule of a TPM, its keys or its log that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// `tpm.ak.activation`: the answer is not the secret that only the TPM could open.
    ActivationDiffers,
    /// `tpm.ak.attributes`: the key could sign what the TPM did not make, or leave it.
    AkAttributes {
        /// The attributes of the key.
        found: String,
    },
    /// `tpm.ak.certificate`: the certificate is not one of this key, or not one for attesting.
    AkCertificate {
        /// What the certificate is for.
        found: String,
        /// What it must be for.
        wanted: String,
    },
    /// `tpm.ak.chain`: the certificate of the AK does not lead to a known root.
    AkChain {
        /// Where the chain breaks.
        found: String,
    },
    /// `tpm.ak.key`: the key is of a kind that this program does not accept.
    AkKey {
        /// Kind and length.
        found: String,
    },
    /// `tpm.ak.trust`: nothing proves that the key lives in a genuine TPM.
    AkNotTrusted {
        /// The key's name, or the digest of its public part.
        found: String,
    },
    /// `tpm.ak.validity`: a certificate in the chain is not valid at the instant.
    AkValidity {
        /// Which, and its window.
        found: String,
        /// The instant.
        wanted: String,
    },
    /// `tpm.ek.chain`: the certificate of the EK does not lead to a known root.
    EkChain {
        /// Where the chain breaks.
        found: String,
    },
    /// `tpm.ek.key`: the key is not an EK, or another one than the certificate's.
    EkKey {
        /// The key.
        found: String,
        /// What it must be.
        wanted: String,
    },
    /// `tpm.ek.revoked`: the issuer withdrew a certificate of the chain.
    EkRevoked {
        /// Whose, and its serial number.
        found: String,
    },
    /// `tpm.ek.validity`: a certificate in the chain is not valid at the instant.
    EkValidity {
        /// Which, and its window.
        found: String,
        /// The instant.
        wanted: String,
    },
    /// `tpm.eventlog.replay`: the log does not add up to a signed register.
    EventLogReplay {
        /// The first PCR that differs.
        pcr: u32,
        /// The record to look at: behind it the log says more than the register, or it is the
        /// last one of this register; `None` when no record speaks of it.
        event: Option<usize>,
        /// What the log adds up to, in hex; empty when it cannot be replayed.
        found: String,
        /// The signed value, in hex.
        wanted: String,
    },
    /// `tpm.ima.replay`: no beginning of the list adds up to the signed PCR 10.
    ImaReplay {
        /// How many entries the list has.
        entries: usize,
        /// The signed value, in hex.
        wanted: String,
    },
    /// `tpm.quote.bank`: a bank of SHA-1.
    QuoteBank {
        /// The banks quoted.
        found: String,
    },
    /// `tpm.quote.clock`: the clock ran backwards since the last quote.
    QuoteClock {
        /// Resets, restarts and milliseconds now.
        found: (u32, u32, u64),
        /// Resets, restarts and milliseconds in the latest quote that was seen before.
        wanted: (u32, u32, u64),
    },
    /// `tpm.quote.magic`: the statement is not one that a TPM made itself.
    QuoteMagic {
        /// The magic found.
        found: u32,
    },
    /// `tpm.quote.nonce`: the quote answers another question.
    QuoteNonce {
        /// The qualifying data, in hex.
        found: String,
        /// The nonce demanded, in hex.
        wanted: String,
    },
    /// `tpm.quote.pcr-digest`: the values are not the ones that were signed.
    QuotePcrDigest {
        /// The digest of the values, in hex; what is missing, where a value is.
        found: String,
        /// The signed digest, in hex.
        wanted: String,
    },
    /// `tpm.quote.reset`: the machine was restarted since the last quote.
    QuoteReset {
        /// Resets and restarts now.
        found: (u32, u32),
        /// Resets and restarts in the earlier quote.
        wanted: (u32, u32),
    },
    /// `tpm.quote.selection`: other PCRs than those asked for.
    QuoteSelection {
        /// The selection signed.
        found: String,
        /// The selection demanded.
        wanted: String,
    },
    /// `tpm.quote.signature`: the signature is not one of this key over these bytes.
    QuoteSignature {
        /// The scheme of the signature.
        found: String,
        /// The key.
        wanted: String,
    },
    /// `tpm.quote.type`: another statement than a quote.
    QuoteType {
        /// The structure tag.
        found: u16,
    },
}

impl Broken {
    /// The id of the check that failed.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::ActivationDiffers => "tpm.ak.activation",
            Self::AkAttributes { .. } => "tpm.ak.attributes",
            Self::AkCertificate { .. } => "tpm.ak.certificate",
            Self::AkChain { .. } => "tpm.ak.chain",
            Self::AkKey { .. } => "tpm.ak.key",
            Self::AkNotTrusted { .. } => "tpm.ak.trust",
            Self::AkValidity { .. } => "tpm.ak.validity",
            Self::EkChain { .. } => "tpm.ek.chain",
            Self::EkKey { .. } => "tpm.ek.key",
            Self::EkRevoked { .. } => "tpm.ek.revoked",
            Self::EkValidity { .. } => "tpm.ek.validity",
            Self::EventLogReplay { .. } => "tpm.eventlog.replay",
            Self::ImaReplay { .. } => "tpm.ima.replay",
            Self::QuoteBank { .. } => "tpm.quote.bank",
            Self::QuoteClock { .. } => "tpm.quote.clock",
            Self::QuoteMagic { .. } => "tpm.quote.magic",
            Self::QuoteNonce { .. } => "tpm.quote.nonce",
            Self::QuotePcrDigest { .. } => "tpm.quote.pcr-digest",
            Self::QuoteReset { .. } => "tpm.quote.reset",
            Self::QuoteSelection { .. } => "tpm.quote.selection",
            Self::QuoteSignature { .. } => "tpm.quote.signature",
            Self::QuoteType { .. } => "tpm.quote.type",
        }
    }

    /// What was found and what was wanted.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        let known_root = || "a chain to a root among the anchors".to_owned();
        Some(match self {
            Self::ActivationDiffers => return None,
            Self::AkAttributes { found } => (found.clone(), ATTRIBUTES.to_owned()),
            Self::AkChain { found } | Self::EkChain { found } => (found.clone(), known_root()),
            Self::AkKey { found } => (
                found.clone(),
                "RSA of 2048 bits or more, P-256, P-384 or P-521".to_owned(),
            ),
            Self::AkNotTrusted { found } => (
                found.clone(),
                "an activated, certified or enrolled AK".to_owned(),
            ),
            Self::EkRevoked { found } => (found.clone(), "no withdrawn certificate".to_owned()),
            Self::AkCertificate { found, wanted }
            | Self::AkValidity { found, wanted }
            | Self::EkKey { found, wanted }
            | Self::EkValidity { found, wanted }
            | Self::EventLogReplay { found, wanted, .. }
            | Self::QuoteNonce { found, wanted }
            | Self::QuotePcrDigest { found, wanted }
            | Self::QuoteSelection { found, wanted }
            | Self::QuoteSignature { found, wanted } => (found.clone(), wanted.clone()),
            Self::ImaReplay { entries, wanted } => {
                (format!("a list of {entries} entries"), wanted.clone())
            }
            Self::QuoteBank { found } => (found.clone(), "SHA-256 or longer".to_owned()),
            Self::QuoteClock { found, wanted } => {
                let told = |(resets, restarts, clock): (u32, u32, u64)| {
                    format!("{clock} ms after {resets} resets and {restarts} restarts")
                };
                (told(*found), format!("not before {}", told(*wanted)))
            }
            Self::QuoteMagic { found } => (format!("{found:#010x}"), "0xff544347".to_owned()),
            Self::QuoteReset { found, wanted } => (
                format!("{} resets, {} restarts", found.0, found.1),
                format!("{} resets, {} restarts", wanted.0, wanted.1),
            ),
            Self::QuoteType { found } => (format!("{found:#06x}"), "0x8018".to_owned()),
        })
    }

    const fn sentence(&self) -> &'static str {
        match self {
            Self::ActivationDiffers => "the answer is not the secret of the credential",
            Self::AkAttributes { .. } => "the AK may do more than attest",
            Self::AkCertificate { .. } => "the certificate is not one of this AK",
            Self::AkChain { .. } => "the certificate of the AK leads to no known root",
            Self::AkKey { .. } => "the AK is of a kind that is not accepted",
            Self::AkNotTrusted { .. } => "nothing proves that the AK lives in a genuine TPM",
            Self::AkValidity { .. } => "a certificate in the AK's chain is not valid then",
            Self::EkChain { .. } => "the certificate of the EK leads to no known root",
            Self::EkKey { .. } => "the key is not the certified EK",
            Self::EkRevoked { .. } => "a certificate in the EK's chain was withdrawn",
            Self::EkValidity { .. } => "a certificate in the EK's chain is not valid then",
            Self::EventLogReplay { .. } => "the boot log does not add up to the signed PCRs",
            Self::ImaReplay { .. } => "no beginning of the IMA list adds up to the signed PCR 10",
            Self::QuoteBank { .. } => "a SHA-1 bank was quoted",
            Self::QuoteClock { .. } => "the TPM's clock ran backwards",
            Self::QuoteMagic { .. } => "the statement was not made by a TPM",
            Self::QuoteNonce { .. } => "the quote answers another challenge",
            Self::QuotePcrDigest { .. } => "the PCR values are not the signed ones",
            Self::QuoteReset { .. } => "the machine was restarted since the last quote",
            Self::QuoteSelection { .. } => "other PCRs were quoted than asked for",
            Self::QuoteSignature { .. } => "the quote's signature does not hold",
            Self::QuoteType { .. } => "the statement is not a quote",
        }
    }
}

/// What an AK must be.
const ATTRIBUTES: &str = "fixedTPM fixedParent sensitiveDataOrigin restricted sign, not decrypt";

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.sentence())?;
        if let Self::EventLogReplay { pcr, event, .. } = self {
            write!(out, ": PCR {pcr}")?;
            if let Some(event) = event {
                write!(out, ", look at event {event}")?;
            }
        }
        match self.difference() {
            Some((found, wanted)) => write!(out, " (found {found}, wanted {wanted})"),
            None => Ok(()),
        }
    }
}
