//! X.509 certificates and revocation lists (RFC 5280), read and not believed.
//!
//! Keeps the received bytes of everything that is signed. Checks shape only: no signature, no
//! date against a clock, no name against another. Makers' own extensions are kept as raw bytes
//! for the room that knows them.

pub mod annotate;

use crate::{
    Malformed, UnixTime,
    der::{self, Der, Element, tag},
};

/// A maker's certificate is under 3 KiB; ten times that is hostile.
pub const CERTIFICATE_BYTES_MAX: usize = 32 * 1024;
/// Intel's and TPM makers' lists reach a few hundred KiB; beyond 4 MiB nobody issues one.
pub const CRL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Fields of a name, extensions of a certificate: real ones have at most 12 and 20.
const PARTS_MAX: usize = 64;
/// Entries of a list: the largest real one has a few thousand.
const REVOKED_MAX: usize = 200_000;

/// The id under which a broken certificate is refused.
pub const CERTIFICATE: &str = "x509.certificate";
/// The id under which a broken revocation list is refused.
pub const CRL: &str = "x509.crl";
/// The ids of this file.
pub const CHECKS: &[&str] = &["x509.certificate", "x509.crl"];

/// An AlgorithmIdentifier: object identifier in dotted form, and the raw parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Algorithm<'a> {
    /// The object identifier in dotted form.
    pub oid: String,
    /// The parameters as received (tag, length, content); empty when absent.
    pub parameters: &'a [u8],
    /// The whole identifier as received.
    pub raw: &'a [u8],
    /// Offset of the identifier in the input.
    pub offset: usize,
}

/// A distinguished name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<'a> {
    /// The name as received; names are compared byte by byte.
    pub raw: &'a [u8],
    /// Object identifier and text of each attribute, in order. Text that is not UTF-8 is hex.
    pub attributes: Vec<(String, String)>,
}

impl Name<'_> {
    /// The first common name, if there is one.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.attribute("2.5.4.3")
    }

    /// The first attribute with this object identifier.
    #[must_use]
    pub fn attribute(&self, oid: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(at, _)| at == oid)
            .map(|(_, text)| text.as_str())
    }
}

/// One extension: object identifier in dotted form, criticality, and the bytes inside its OCTET
/// STRING.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The object identifier in dotted form.
    pub oid: String,
    /// Whether a reader that does not know it must refuse the certificate.
    pub critical: bool,
    /// The bytes inside the OCTET STRING.
    pub value: &'a [u8],
    /// Offset of `value` in the input.
    pub offset: usize,
}

/// A public key as it stands in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeyInfo<'a> {
    /// The kind of key; for elliptic curves the parameters name the curve.
    pub algorithm: Algorithm<'a>,
    /// The key bits: an RSAPublicKey, or an uncompressed point.
    pub key: &'a [u8],
    /// The whole SubjectPublicKeyInfo as received.
    pub raw: &'a [u8],
}

/// A certificate, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The whole certificate as received.
    pub raw: &'a [u8],
    /// The signed part as received.
    pub signed: &'a [u8],
    /// 1, 2 or 3.
    pub version: u8,
    /// Serial number, big-endian without leading zeros; empty for zero (AMD's leaves).
    pub serial: &'a [u8],
    /// The algorithm named inside the signed part.
    pub inner_algorithm: Algorithm<'a>,
    /// Who says so.
    pub issuer: Name<'a>,
    /// First instant of validity.
    pub not_before: UnixTime,
    /// Last instant of validity.
    pub not_after: UnixTime,
    /// About whom.
    pub subject: Name<'a>,
    /// The certified key.
    pub public_key: PublicKeyInfo<'a>,
    /// Extensions in the order received; no object identifier occurs twice.
    pub extensions: Vec<Extension<'a>>,
    /// The algorithm named beside the signature.
    pub algorithm: Algorithm<'a>,
    /// The signature bits.
    pub signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads one certificate in DER; nothing may follow it.
    ///
    /// # Errors
    /// `x509.certificate`, with the offset, for anything that is not shaped like RFC 5280 §4.1.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        der::at_most(bytes, CERTIFICATE_BYTES_MAX, CERTIFICATE)?;
        let mut outer = Der::new(bytes, CERTIFICATE);
        let whole = outer.expect(tag::SEQUENCE, "Certificate")?;
        outer.finish("Certificate")?;
        let mut parts = whole.inside();
        let signed = parts.expect(tag::SEQUENCE, "TBSCertificate")?;
        let algorithm = algorithm(&mut parts)?;
        let signature = parts.expect(tag::BIT_STRING, "signatureValue")?.bits()?;
        parts.finish("Certificate")?;

        let mut body = signed.inside();
        let version = version(&mut body)?;
        let serial = serial(&body.expect(tag::INTEGER, "serialNumber")?);
        let inner_algorithm = self::algorithm(&mut body)?;
        let issuer = name(&mut body)?;
        let mut validity = body.expect(tag::SEQUENCE, "validity")?.inside();
        let not_before = validity.any()?.time()?;
        let not_after = validity.any()?.time()?;
        validity.finish("validity")?;
        let subject = name(&mut body)?;
        let public_key = public_key(&mut body)?;
        body.optional(tag::context_primitive(1))?;
        body.optional(tag::context_primitive(2))?;
        let extensions = match body.optional(tag::context(3))? {
            Some(holder) => extensions(&holder)?,
            None => Vec::new(),
        };
        body.finish("TBSCertificate")?;
        Ok(Self {
            raw: whole.raw,
            signed: signed.raw,
            version,
            serial,
            inner_algorithm,
            issuer,
            not_before,
            not_after,
            subject,
            public_key,
            extensions,
            algorithm,
            signature,
        })
    }

    /// The extension with this object identifier.
    #[must_use]
    pub fn extension(&self, oid: &str) -> Option<&Extension<'a>> {
        self.extensions
            .iter()
            .find(|extension| extension.oid == oid)
    }

    /// Whether the two names are equal, byte by byte.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer.raw == self.subject.raw
    }

    /// BasicConstraints (RFC 5280 §4.2.1.9); `None` when the extension is absent.
    ///
    /// # Errors
    /// An extension that is there and broken.
    pub fn basic_constraints(&self) -> Result<Option<BasicConstraints>, Malformed> {
        let Some(extension) = self.extension("2.5.29.19") else {
            return Ok(None);
        };
        let mut outer = Der::at_offset(extension.value, extension.offset, CERTIFICATE);
        let mut inside = outer.expect(tag::SEQUENCE, "basicConstraints")?.inside();
        outer.finish("basicConstraints")?;
        let authority = match inside.optional(tag::BOOLEAN)? {
            Some(element) => element.boolean()?,
            None => false,
        };
        let path_length = match inside.optional(tag::INTEGER)? {
            Some(element) => Some(element.u64()?),
            None => None,
        };
        inside.finish("basicConstraints")?;
        Ok(Some(BasicConstraints {
            authority,
            path_length,
        }))
    }

    /// KeyUsage (RFC 5280 §4.2.1.3) as its first nine bits, bit 0 = `digitalSignature`, bit 5 =
    /// `keyCertSign`, bit 6 = `cRLSign`; `None` when the extension is absent.
    ///
    /// # Errors
    /// An extension that is there and broken.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, Malformed> {
        let Some(extension) = self.extension("2.5.29.15") else {
            return Ok(None);
        };
        let mut outer = Der::at_offset(extension.value, extension.offset, CERTIFICATE);
        let element = outer.expect(tag::BIT_STRING, "keyUsage")?;
        outer.finish("keyUsage")?;
        match element.content {
            [unused, bits @ ..] if *unused < 8 && !bits.is_empty() && bits.len() <= 2 => {
                let first = bits.first().copied().unwrap_or_default();
                Ok(Some(KeyUsage(first.reverse_bits())))
            }
            _ => Err(element.invalid("keyUsage", "it is not a string of one to nine bits")),
        }
    }
}

/// BasicConstraints of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the key may certify other keys.
    pub authority: bool,
    /// How many authorities may follow below.
    pub path_length: Option<u64>,
}

/// KeyUsage of a certificate: bit `n` of the standard is bit `n` here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage(pub u8);

impl KeyUsage {
    /// May certify keys (bit 5).
    #[must_use]
    pub const fn cert_sign(self) -> bool {
        self.0 & (1 << 5) != 0
    }

    /// May sign revocation lists (bit 6).
    #[must_use]
    pub const fn crl_sign(self) -> bool {
        self.0 & (1 << 6) != 0
    }

    /// May sign data (bit 0).
    #[must_use]
    pub const fn digital_signature(self) -> bool {
        self.0 & 1 != 0
    }
}

/// One revoked certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked<'a> {
    /// Serial number, big-endian without leading zeros; empty for zero.
    pub serial: &'a [u8],
    /// When.
    pub at: UnixTime,
}

/// A revocation list, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList<'a> {
    /// The whole list as received.
    pub raw: &'a [u8],
    /// The signed part as received.
    pub signed: &'a [u8],
    /// The algorithm named inside the signed part.
    pub inner_algorithm: Algorithm<'a>,
    /// Who says so.
    pub issuer: Name<'a>,
    /// When it was made.
    pub this_update: UnixTime,
    /// When the next one is due; a list without it says nothing about its age.
    pub next_update: Option<UnixTime>,
    /// The revoked serial numbers, in the order received.
    pub revoked: Vec<Revoked<'a>>,
    /// Extensions in the order received.
    pub extensions: Vec<Extension<'a>>,
    /// The algorithm named beside the signature.
    pub algorithm: Algorithm<'a>,
    /// The signature bits.
    pub signature: &'a [u8],
}

impl<'a> RevocationList<'a> {
    /// Reads one list in DER; nothing may follow it.
    ///
    /// # Errors
    /// `x509.crl`, with the offset, for anything that is not shaped like RFC 5280 §5.1.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        der::at_most(bytes, CRL_BYTES_MAX, CRL)?;
        let mut outer = Der::new(bytes, CRL);
        let whole = outer.expect(tag::SEQUENCE, "CertificateList")?;
        outer.finish("CertificateList")?;
        let mut parts = whole.inside();
        let signed = parts.expect(tag::SEQUENCE, "TBSCertList")?;
        let algorithm = algorithm(&mut parts)?;
        let signature = parts.expect(tag::BIT_STRING, "signatureValue")?.bits()?;
        parts.finish("CertificateList")?;

        let mut body = signed.inside();
        if let Some(version) = body.optional(tag::INTEGER)?
            && version.u64()? != 1
        {
            return Err(version.invalid("version", "only version 2 has this form"));
        }
        let inner_algorithm = self::algorithm(&mut body)?;
        let issuer = name(&mut body)?;
        let this_update = body.any()?.time()?;
        let next_update = match body.peek() {
            Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => Some(body.any()?.time()?),
            _ => None,
        };
        let revoked = match body.optional(tag::SEQUENCE)? {
            Some(list) => revoked(&list)?,
            None => Vec::new(),
        };
        let extensions = match body.optional(tag::context(0))? {
            Some(holder) => extensions(&holder)?,
            None => Vec::new(),
        };
        body.finish("TBSCertList")?;
        Ok(Self {
            raw: whole.raw,
            signed: signed.raw,
            inner_algorithm,
            issuer,
            this_update,
            next_update,
            revoked,
            extensions,
            algorithm,
            signature,
        })
    }

    /// Whether this serial number (big-endian, without leading zeros) is listed.
    #[must_use]
    pub fn lists(&self, serial: &[u8]) -> bool {
        self.revoked.iter().any(|entry| entry.serial == serial)
    }

    /// The number of this list (CRLNumber, RFC 5280 §5.2.3), if it fits 64 bits.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        let extension = self
            .extensions
            .iter()
            .find(|extension| extension.oid == "2.5.29.20")?;
        Der::at_offset(extension.value, extension.offset, CRL)
            .any()
            .ok()?
            .u64()
            .ok()
    }
}

fn version(body: &mut Der<'_>) -> Result<u8, Malformed> {
    let Some(holder) = body.optional(tag::context(0))? else {
        return Ok(1);
    };
    let number = holder.inside().expect(tag::INTEGER, "version")?;
    match number.u64()? {
        1 => Ok(2),
        2 => Ok(3),
        _ => Err(number.invalid("version", "there are versions 1, 2 and 3")),
    }
}

/// Serial numbers are compared as numbers; real ones of some makers are negative or padded, so
/// this strips zeros and refuses nothing.
fn serial<'a>(element: &Element<'a>) -> &'a [u8] {
    let zeros = element
        .content
        .iter()
        .take_while(|byte| **byte == 0)
        .count();
    element.content.get(zeros..).unwrap_or_default()
}

fn algorithm<'a>(parts: &mut Der<'a>) -> Result<Algorithm<'a>, Malformed> {
    let element = parts.expect(tag::SEQUENCE, "AlgorithmIdentifier")?;
    let mut inside = element.inside();
    let oid = inside.expect(tag::OID, "algorithm")?.oid()?;
    let parameters = if inside.is_empty() {
        &[][..]
    } else {
        inside.any()?.raw
    };
    inside.finish("AlgorithmIdentifier")?;
    Ok(Algorithm {
        oid,
        parameters,
        raw: element.raw,
        offset: element.offset,
    })
}

fn name<'a>(body: &mut Der<'a>) -> Result<Name<'a>, Malformed> {
    let element = body.expect(tag::SEQUENCE, "Name")?;
    let attributes = name_attributes(&element)?;
    Ok(Name {
        raw: element.raw,
        attributes,
    })
}

/// The attributes of a Name (also of one inside another extension): object identifier in dotted
/// form and text.
///
/// # Errors
/// Anything that is not shaped like RFC 5280 §4.1.2.4, or more than 64 attributes.
pub fn name_attributes(name: &Element<'_>) -> Result<Vec<(String, String)>, Malformed> {
    let mut attributes = Vec::new();
    let mut sets = name.inside();
    while !sets.is_empty() {
        let element = sets.expect(tag::SET, "RelativeDistinguishedName")?;
        let mut set = element.inside();
        // RFC 5280 §4.1.2.4: SET SIZE (1..MAX). Readers disagree about what an empty one means.
        if set.is_empty() {
            return Err(element.invalid("RelativeDistinguishedName", "it is empty"));
        }
        while !set.is_empty() {
            let mut pair = set.expect(tag::SEQUENCE, "AttributeTypeAndValue")?.inside();
            let oid = pair.expect(tag::OID, "type")?.oid()?;
            let value = pair.any()?;
            pair.finish("AttributeTypeAndValue")?;
            let text = match value.text() {
                Ok(text) => text.to_owned(),
                Err(_) => hex::encode(value.content),
            };
            if attributes.len() >= PARTS_MAX {
                return Err(name.invalid("Name", "it has more than 64 attributes"));
            }
            attributes.push((oid, text));
        }
    }
    Ok(attributes)
}

fn public_key<'a>(body: &mut Der<'a>) -> Result<PublicKeyInfo<'a>, Malformed> {
    let element = body.expect(tag::SEQUENCE, "SubjectPublicKeyInfo")?;
    let mut inside = element.inside();
    let algorithm = algorithm(&mut inside)?;
    let key = inside.expect(tag::BIT_STRING, "subjectPublicKey")?.bits()?;
    inside.finish("SubjectPublicKeyInfo")?;
    Ok(PublicKeyInfo {
        algorithm,
        key,
        raw: element.raw,
    })
}

fn extensions<'a>(holder: &Element<'a>) -> Result<Vec<Extension<'a>>, Malformed> {
    let mut outer = holder.inside();
    let mut list = outer.expect(tag::SEQUENCE, "Extensions")?.inside();
    outer.finish("Extensions")?;
    let mut out: Vec<Extension<'a>> = Vec::new();
    while !list.is_empty() {
        let element = list.expect(tag::SEQUENCE, "Extension")?;
        let mut inside = element.inside();
        let oid = inside.expect(tag::OID, "extnID")?.oid()?;
        let critical = match inside.optional(tag::BOOLEAN)? {
            Some(flag) => flag.boolean()?,
            None => false,
        };
        let value = inside.expect(tag::OCTET_STRING, "extnValue")?;
        inside.finish("Extension")?;
        if out.iter().any(|earlier| earlier.oid == oid) {
            return Err(element.invalid("extnID", "the same extension occurs twice"));
        }
        if out.len() >= PARTS_MAX {
            return Err(element.invalid("Extensions", "there are more than 64"));
        }
        out.push(Extension {
            oid,
            critical,
            value: value.content,
            offset: value.content_offset(),
        });
    }
    Ok(out)
}

fn revoked<'a>(list: &Element<'a>) -> Result<Vec<Revoked<'a>>, Malformed> {
    let mut entries = list.inside();
    let mut out = Vec::new();
    while !entries.is_empty() {
        let element = entries.expect(tag::SEQUENCE, "revokedCertificate")?;
        let mut inside = element.inside();
        let serial = serial(&inside.expect(tag::INTEGER, "userCertificate")?);
        let at = inside.any()?.time()?;
        inside.optional(tag::SEQUENCE)?;
        inside.finish("revokedCertificate")?;
        if out.len() >= REVOKED_MAX {
            return Err(element.invalid("revokedCertificates", "there are more than 200000"));
        }
        out.push(Revoked { serial, at });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_input_is_refused_at_its_start() {
        let refusal = Certificate::parse(&[]).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), (CERTIFICATE, 0));
        let refusal = RevocationList::parse(&[]).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), (CRL, 0));
    }

    #[test]
    fn an_input_over_the_limit_is_refused_before_it_is_read() {
        let long = vec![0x30; CERTIFICATE_BYTES_MAX + 1];
        let refusal = Certificate::parse(&long).unwrap_err();
        assert_eq!(refusal.offset, CERTIFICATE_BYTES_MAX);
    }

    #[test]
    fn a_name_may_be_empty_and_a_part_of_it_may_not() {
        let read = |bytes: &[u8]| {
            let element = Der::new(bytes, CERTIFICATE).any().unwrap();
            name_attributes(&element).map_err(|refusal| refusal.offset)
        };
        assert_eq!(read(&[0x30, 0]), Ok(Vec::new()));
        assert_eq!(read(&[0x30, 2, 0x31, 0]), Err(2));
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_parsers_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..256)) {
            let _ = Certificate::parse(&bytes);
            let _ = RevocationList::parse(&bytes);
        }
    }
}
