//! Files that hold the certificate of an endorsement key, and what the TCG wrote into it.
//!
//! Finds the certificate behind the wrapping of TPM 1.2 and before the padding of an NV area,
//! reads the TCG's attributes of the subject's alternative name. Never checks a chain.

use super::EK_FORMAT;
use crate::{
    Malformed, What,
    der::{self, Der, Element, tag},
    x509::{Certificate, name_attributes},
};

/// An NV index holds at most 2 KiB, PEM a third more; ten times that is hostile.
pub const EK_FILE_BYTES_MAX: usize = 32 * 1024;

/// Who made the TPM, as its certificate says (TCG EK Credential Profile §3.1.2, §3.2.9).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EkIdentity {
    /// The four bytes of the maker's id; `None` when absent or not eight hex digits.
    pub manufacturer: Option<[u8; 4]>,
    /// The model, free text.
    pub model: Option<String>,
    /// The firmware version, free text.
    pub version: Option<String>,
    /// The extended key usages in dotted form.
    pub usages: Vec<String>,
}

impl EkIdentity {
    /// Reads what the certificate says; absent parts stay empty.
    ///
    /// # Errors
    /// `x509.certificate` for an extension that is there and broken.
    pub fn of(certificate: &Certificate<'_>) -> Result<Self, Malformed> {
        let mut out = Self::default();
        for (oid, text) in alternative_name(certificate)? {
            match oid.as_str() {
                "2.23.133.2.1" => out.manufacturer = manufacturer(&text),
                "2.23.133.2.2" => out.model = Some(text),
                "2.23.133.2.3" => out.version = Some(text),
                _ => {}
            }
        }
        if let Some(extension) = certificate.extension("2.5.29.37") {
            let mut outer =
                Der::at_offset(extension.value, extension.offset, crate::x509::CERTIFICATE);
            let mut list = outer.expect(tag::SEQUENCE, "extKeyUsage")?.inside();
            while !list.is_empty() && out.usages.len() < 16 {
                out.usages
                    .push(list.expect(tag::OID, "extKeyUsage")?.oid()?);
            }
        }
        Ok(out)
    }

    /// The maker's id as text: its ASCII letters, or hex where it has none (swtpm's 00001014).
    #[must_use]
    pub fn manufacturer_text(&self) -> Option<String> {
        self.manufacturer.map(|id| {
            let text: String = id
                .iter()
                .filter(|byte| byte.is_ascii_graphic())
                .map(|byte| char::from(*byte))
                .collect();
            if text.len() >= 3 {
                text
            } else {
                hex::encode(id)
            }
        })
    }
}

// spec: tpm.ek.manufacturer
fn manufacturer(text: &str) -> Option<[u8; 4]> {
    let digits = text.strip_prefix("id:")?;
    hex::decode(digits).ok()?.try_into().ok()
}

// spec: tpm.ek.san
fn alternative_name(certificate: &Certificate<'_>) -> Result<Vec<(String, String)>, Malformed> {
    let Some(extension) = certificate.extension("2.5.29.17") else {
        return Ok(Vec::new());
    };
    let mut outer = Der::at_offset(extension.value, extension.offset, crate::x509::CERTIFICATE);
    let mut names = outer.expect(tag::SEQUENCE, "subjectAltName")?.inside();
    let mut out = Vec::new();
    while !names.is_empty() {
        let name = names.any()?;
        // [4] is directoryName; other forms of name say nothing about the TPM.
        if name.tag == tag::context(4) {
            let directory: Element<'_> = name.inside().expect(tag::SEQUENCE, "directoryName")?;
            out.extend(name_attributes(&directory)?);
        }
        if out.len() > 64 {
            return Err(name.invalid("subjectAltName", "it has more than 64 attributes"));
        }
    }
    Ok(out)
}

// spec: tpm.ek.container
/// The DER certificate in a file: DER, PEM, an NV area with padding behind the certificate, or
/// the wrapping of TPM 1.2 (`10 01 00`, length, `10 02`).
///
/// # Errors
/// `tpm.ek.format`: over the limit, no certificate inside, or a TCG attribute certificate (a
/// platform certificate), which is refused by name.
pub fn certificate_in(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    if bytes.len() > EK_FILE_BYTES_MAX {
        let what = What::TooLong {
            limit: EK_FILE_BYTES_MAX,
            found: bytes.len(),
        };
        return Err(Malformed::new(EK_FORMAT, EK_FILE_BYTES_MAX, what));
    }
    let pem = der::pem_blocks(bytes, &["CERTIFICATE", "TRUSTED CERTIFICATE"], 1).pop();
    let bytes = pem.as_deref().unwrap_or(bytes);
    let (bytes, base) = match bytes {
        [0x10, 0x01, 0x00, _, _, 0x10, 0x02, rest @ ..] => (rest, 7),
        _ => (bytes, 0),
    };
    let element = Der::at_offset(bytes, base, EK_FORMAT).expect(tag::SEQUENCE, "certificate")?;
    if is_attribute_certificate(&element) {
        return Err(Malformed::invalid(
            EK_FORMAT,
            element.offset,
            "certificate",
            "it is an attribute certificate of a platform, not of a key",
        ));
    }
    Certificate::parse(element.raw)?;
    Ok(element.raw.to_vec())
}

// spec: tpm.ek.not-attribute
/// An attribute certificate (RFC 5755) begins with a bare version number and then a holder whose
/// first element is a context tag; a certificate's version stands in `[0]`.
fn is_attribute_certificate(element: &Element<'_>) -> bool {
    let mut parts = element.inside();
    let Ok(body) = parts.expect(tag::SEQUENCE, "body") else {
        return false;
    };
    let mut inside = body.inside();
    inside.peek() == Some(tag::INTEGER)
        && inside.any().is_ok()
        && inside
            .any()
            .is_ok_and(|holder| holder.tag == tag::SEQUENCE && holder.inside().peek() >= Some(0xa0))
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: tpm.ek.manufacturer
    #[test]
    fn a_maker_is_read_from_eight_hex_digits_only() {
        assert_eq!(manufacturer("id:53544D20"), Some(*b"STM "));
        assert_eq!(manufacturer("id:53544D"), None);
        assert_eq!(manufacturer("STM"), None);
        let swtpm = EkIdentity {
            manufacturer: Some([0, 0, 0x10, 0x14]),
            ..EkIdentity::default()
        };
        assert_eq!(swtpm.manufacturer_text().as_deref(), Some("00001014"));
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let refusal = certificate_in(b"nothing").unwrap_err();
        assert_eq!(refusal.check, EK_FORMAT);
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = certificate_in(&bytes);
        }
    }
}
