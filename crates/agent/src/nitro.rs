//! AWS's Nitro hypervisor: a document about this enclave (`/dev/nsm`) or, by its NitroTPM, about
//! this instance.
//!
//! Writes one request and takes the document out of one answer (CBOR, as the NSM's interface has
//! them). Never believes the document.

use std::path::Path;

use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::name::Name;

use crate::device::{NSM, nsm};
use crate::error::{Error, Fault};
use crate::tpm::Tpm;

/// The check ids of this module.
pub(crate) const CHECKS: &[&str] = &["agent.nitro"];

/// The longest nonce or user data in bytes: the interface's own limit.
const FIELD_BYTES_MAX: usize = 512;

/// What speaks for this machine: the module of an enclave, or a TPM.
pub(crate) enum Hypervisor {
    /// `/dev/nsm`.
    Module,
    /// NitroTPM.
    Tpm(Box<Tpm>),
}

impl Hypervisor {
    /// The module where there is one, else the TPM.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn open(socket: Option<&Path>) -> Result<Self, Error> {
        if socket.is_none() && Path::new(NSM).exists() {
            return Ok(Self::Module);
        }
        Ok(Self::Tpm(Box::new(Tpm::open_raw(socket)?)))
    }

    /// A document with this nonce and this user data.
    ///
    /// # Errors
    /// `agent.nitro` where nothing usable is answered; `agent.device` or `agent.tpm` where nothing
    /// answers.
    pub(crate) fn document(&mut self, nonce: &[u8], user_data: &[u8]) -> Result<Vec<u8>, Error> {
        let request = request(nonce, user_data)?;
        let answer = match self {
            Self::Module => nsm(&request)?,
            Self::Tpm(tpm) => tpm.nitro(&request)?,
        };
        document(&answer)
    }

    /// Adds the document: the report data is its nonce and its user data.
    ///
    /// # Errors
    /// Those of [`Self::document`]; `bundle.member`.
    pub(crate) fn speak(
        &mut self,
        report_data: &[u8; 64],
        bundle: &mut Bundle,
    ) -> Result<(), Error> {
        let document = self.document(report_data, report_data)?;
        bundle.put(Name::parse("nitro")?, Media::NitroDocument, document)?;
        Ok(())
    }

    /// The value of one register: a NitroTPM has some; what an enclave was started with is measured
    /// as a whole.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn register(&mut self, index: u32) -> Result<Vec<u8>, Error> {
        match self {
            Self::Module => Ok(Vec::new()),
            Self::Tpm(tpm) => tpm.register(index),
        }
    }
}

fn trouble(because: impl Into<String>) -> Error {
    Error::new("agent.nitro", Fault::Unavailable, because)
}

/// `{"Attestation": {"user_data": …, "nonce": …, "public_key": null}}`.
fn request(nonce: &[u8], user_data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = b"\xa1\x6bAttestation\xa3\x69user_data".to_vec();
    bytes(&mut out, user_data)?;
    out.extend(b"\x65nonce");
    bytes(&mut out, nonce)?;
    out.extend(b"\x6apublic_key\xf6");
    Ok(out)
}

/// A byte string, or nothing.
fn bytes(out: &mut Vec<u8>, content: &[u8]) -> Result<(), Error> {
    if content.len() > FIELD_BYTES_MAX {
        let because = format!("nonce and user data have {FIELD_BYTES_MAX} bytes at most");
        return Err(trouble(because));
    }
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    match length {
        0 => out.push(0xf6),
        _ => {
            out.push(0x59);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend(content);
    Ok(())
}

/// The document in `{"Attestation": {"document": …}}`; what follows the answer is padding.
fn document(answer: &[u8]) -> Result<Vec<u8>, Error> {
    let Some(rest) = answer.strip_prefix(b"\xa1\x6bAttestation\xa1\x68document") else {
        let told = answer.strip_prefix(b"\xa1\x65Error").unwrap_or_default();
        let told = String::from_utf8_lossy(told.get(..40).unwrap_or(told));
        let told = crate::error::printable(&told, 40);
        return Err(trouble(format!("the hypervisor gives no document: {told}")));
    };
    let document = match rest {
        [0x58, length, rest @ ..] => rest.get(..usize::from(*length)),
        [0x59, high, low, rest @ ..] => rest.get(..usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    };
    let document = document.ok_or_else(|| trouble("the hypervisor's answer is cut short"))?;
    Ok(document.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_what_is_to_be_signed() {
        let request = request(&[7; 3], &[]).unwrap();
        assert_eq!(
            request,
            b"\xa1\x6bAttestation\xa3\x69user_data\xf6\x65nonce\x59\x00\x03\x07\x07\x07\x6apublic_key\xf6"
        );
        let error = super::request(&[0; 513], &[]).unwrap_err();
        assert_eq!(error.check, "agent.nitro");
    }

    #[test]
    fn the_document_is_taken_out_of_the_answer_and_nothing_else_is() {
        let answer = |document: &[u8]| [b"\xa1\x6bAttestation\xa1\x68document", document].concat();
        assert_eq!(document(&answer(b"\x58\x02abPADDING")).unwrap(), b"ab");
        assert_eq!(document(&answer(b"\x59\x00\x02ab\0\0")).unwrap(), b"ab");
        for bad in [
            answer(b"\x59\x00\x03ab"),
            answer(b"\xf6"),
            b"\xa1\x65Error\x6fInvalidArgument".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(document(&bad).unwrap_err().check, "agent.nitro");
        }
        let error = document(b"\xa1\x65Error\x6fInvalidArgument").unwrap_err();
        assert!(error.because.contains("InvalidArgument"));
    }
}
