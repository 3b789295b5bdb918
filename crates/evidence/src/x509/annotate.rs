//! Certificates and revocation lists for people, with AMD's own extensions decoded.
//!
//! Walks the same bytes that the parser has accepted; claims nothing, compares nothing. An
//! extension that this program does not know is shown as raw bytes under its object identifier.

mod extensions;
mod names;

use super::{CERTIFICATE, CRL, Certificate, RevocationList};
use crate::{
    Malformed,
    annotate::Node,
    der::{Der, Element, tag},
};

/// Entries of a list that are shown; the rest is counted. Real lists reach thousands.
pub const ENTRIES_SHOWN_MAX: usize = 1000;

/// A certificate or, if its shape says so, a revocation list that begins at `base` in the whole
/// input.
///
/// # Errors
/// As [`certificate`] or [`revocation_list`].
pub fn annotate(bytes: &[u8], base: usize) -> Result<Node, Malformed> {
    if is_list(bytes) {
        revocation_list(bytes, base)
    } else {
        certificate(bytes, base)
    }
}

/// The fields of a certificate in DER that begins at `base` in the whole input.
///
/// # Errors
/// `x509.certificate`, as [`Certificate::parse`], with offsets from `base`.
pub fn certificate(bytes: &[u8], base: usize) -> Result<Node, Malformed> {
    Certificate::parse(bytes).map_err(|refusal| moved(refusal, base))?;
    let whole = Der::at_offset(bytes, base, CERTIFICATE).any()?;
    let mut parts = whole.inside();
    let signed = parts.any()?;
    let mut children = vec![certificate_body(&signed)?];
    children.push(algorithm(
        "signatureAlgorithm",
        &parts.any()?,
        "RFC 5280 §4.1.1.2",
    )?);
    children.push(signature(&parts.any()?, "RFC 5280 §4.1.1.3"));
    Ok(group("Certificate", &whole, children)
        .meaning("a certificate, believed by nobody yet")
        .spec("RFC 5280 §4.1"))
}

/// The fields of a revocation list in DER that begins at `base` in the whole input.
///
/// # Errors
/// `x509.crl`, as [`RevocationList::parse`], with offsets from `base`.
pub fn revocation_list(bytes: &[u8], base: usize) -> Result<Node, Malformed> {
    RevocationList::parse(bytes).map_err(|refusal| moved(refusal, base))?;
    let whole = Der::at_offset(bytes, base, CRL).any()?;
    let mut parts = whole.inside();
    let signed = parts.any()?;
    let mut children = vec![list_body(&signed)?];
    children.push(algorithm(
        "signatureAlgorithm",
        &parts.any()?,
        "RFC 5280 §5.1.1.2",
    )?);
    children.push(signature(&parts.any()?, "RFC 5280 §5.1.1.3"));
    Ok(group("CertificateList", &whole, children)
        .meaning("a list of revoked certificates, believed by nobody yet")
        .spec("RFC 5280 §5.1"))
}

/// In a list an instant follows the issuer; in a certificate a SEQUENCE of two does.
fn is_list(bytes: &[u8]) -> bool {
    let third = || -> Result<Option<u8>, Malformed> {
        let mut body = Der::new(bytes, CRL).any()?.inside().any()?.inside();
        // An optional version, the algorithm, the issuer. Certificates have a serial number more.
        body.optional(tag::INTEGER)?;
        body.optional(tag::SEQUENCE)?;
        body.optional(tag::SEQUENCE)?;
        Ok(body.peek())
    };
    matches!(third(), Ok(Some(tag::UTC_TIME | tag::GENERALIZED_TIME)))
}

fn moved(refusal: Malformed, base: usize) -> Malformed {
    Malformed {
        offset: base.saturating_add(refusal.offset),
        ..refusal
    }
}

fn certificate_body(signed: &Element<'_>) -> Result<Node, Malformed> {
    let mut body = signed.inside();
    let mut children = Vec::new();
    if let Some(holder) = body.optional(tag::context(0))? {
        let version = holder.inside().any()?.u64()?.saturating_add(1);
        children.push(
            field("version", &holder, version.to_string())
                .meaning("version of the certificate's form")
                .spec("RFC 5280 §4.1.2.1"),
        );
    }
    children.push(serial("serialNumber", &body.any()?).spec("RFC 5280 §4.1.2.2"));
    children.push(algorithm("signature", &body.any()?, "RFC 5280 §4.1.2.3")?);
    children.push(name(
        "issuer",
        &body.any()?,
        "who says so",
        "RFC 5280 §4.1.2.4",
    )?);
    let validity = body.any()?;
    let mut times = validity.inside();
    let times = vec![
        time("notBefore", &times.any()?, "first instant of validity")?,
        time("notAfter", &times.any()?, "last instant of validity")?,
    ];
    children.push(group("validity", &validity, times).spec("RFC 5280 §4.1.2.5"));
    children.push(name(
        "subject",
        &body.any()?,
        "who is certified",
        "RFC 5280 §4.1.2.6",
    )?);
    children.push(public_key(&body.any()?)?);
    while !body.is_empty() {
        let part = body.any()?;
        if part.tag == tag::context(3) {
            children.push(extensions::all(
                "extensions",
                &part,
                CERTIFICATE,
                "RFC 5280 §4.1.2.9",
            )?);
        } else {
            children.push(raw("uniqueID", &part).spec("RFC 5280 §4.1.2.8"));
        }
    }
    Ok(group("tbsCertificate", signed, children)
        .meaning("the signed part")
        .spec("RFC 5280 §4.1.1.1"))
}

fn list_body(signed: &Element<'_>) -> Result<Node, Malformed> {
    let mut body = signed.inside();
    let mut children = Vec::new();
    if let Some(version) = body.optional(tag::INTEGER)? {
        let number = version.u64()?.saturating_add(1);
        children.push(
            field("version", &version, number.to_string())
                .meaning("version of the list's form")
                .spec("RFC 5280 §5.1.2.1"),
        );
    }
    children.push(algorithm("signature", &body.any()?, "RFC 5280 §5.1.2.2")?);
    children.push(name(
        "issuer",
        &body.any()?,
        "who says so",
        "RFC 5280 §5.1.2.3",
    )?);
    children.push(
        time("thisUpdate", &body.any()?, "when the list was made")?.spec("RFC 5280 §5.1.2.4"),
    );
    while !body.is_empty() {
        let part = body.any()?;
        children.push(match part.tag {
            tag::UTC_TIME | tag::GENERALIZED_TIME => {
                time("nextUpdate", &part, "when the next one is due")?.spec("RFC 5280 §5.1.2.5")
            }
            tag::SEQUENCE => revoked(&part)?,
            _ => extensions::all("crlExtensions", &part, CRL, "RFC 5280 §5.1.2.7")?,
        });
    }
    Ok(group("tbsCertList", signed, children)
        .meaning("the signed part")
        .spec("RFC 5280 §5.1.1.1"))
}

fn revoked(list: &Element<'_>) -> Result<Node, Malformed> {
    let mut entries = list.inside();
    let mut children = Vec::new();
    let mut count = 0_usize;
    while !entries.is_empty() {
        let entry = entries.any()?;
        count = count.saturating_add(1);
        if count > ENTRIES_SHOWN_MAX {
            continue;
        }
        let mut inside = entry.inside();
        let mut parts = vec![serial("userCertificate", &inside.any()?)];
        parts.push(time("revocationDate", &inside.any()?, "revoked since")?);
        if let Some(holder) = inside.optional(tag::SEQUENCE)? {
            parts.push(extensions::list(
                "crlEntryExtensions",
                &holder,
                CRL,
                "RFC 5280 §5.3",
            )?);
        }
        children.push(group("revokedCertificate", &entry, parts));
    }
    let meaning = match count > ENTRIES_SHOWN_MAX {
        true => format!("{count} entries, of which the first {ENTRIES_SHOWN_MAX} are shown"),
        false => format!("{count} entries"),
    };
    Ok(group("revokedCertificates", list, children)
        .meaning(meaning)
        .spec("RFC 5280 §5.1.2.6"))
}

fn public_key(element: &Element<'_>) -> Result<Node, Malformed> {
    let mut inside = element.inside();
    let kind = algorithm("algorithm", &inside.any()?, "RFC 5280 §4.1.2.7")?;
    let bits = inside.any()?;
    let key = raw("subjectPublicKey", &bits);
    let key = match bits.bits().map(<[u8]>::first) {
        Ok(Some(4)) => key.meaning("an uncompressed point"),
        Ok(Some(&tag::SEQUENCE)) => match modulus_bits(&bits) {
            Some(length) => key.meaning(format!("an RSA key of {length} bits")),
            None => key,
        },
        _ => key,
    };
    Ok(group("subjectPublicKeyInfo", element, vec![kind, key])
        .meaning("the certified key")
        .spec("RFC 5280 §4.1.2.7"))
}

/// Width of the modulus of an RSAPublicKey (RFC 8017 §A.1.1), in bits.
fn modulus_bits(bits: &Element<'_>) -> Option<usize> {
    let mut key = Der::new(bits.bits().ok()?, CERTIFICATE);
    let modulus = key.any().ok()?.inside().any().ok()?;
    let bytes = modulus.unsigned().ok()?;
    let zeros = usize::try_from(bytes.first()?.leading_zeros()).ok()?;
    bytes.len().checked_mul(8)?.checked_sub(zeros)
}

/// An AlgorithmIdentifier; the parameters of RSASSA-PSS are shown one by one.
fn algorithm(label: &str, element: &Element<'_>, spec: &'static str) -> Result<Node, Malformed> {
    let mut inside = element.inside();
    let kind = inside.any()?;
    let oid = kind.oid()?;
    let mut children = vec![field("algorithm", &kind, oid.clone()).meaning(names::of(&oid))];
    if !inside.is_empty() {
        let parameters = inside.any()?;
        children.push(match oid.as_str() {
            names::RSASSA_PSS => pss(&parameters),
            _ => parameter(&parameters),
        });
    }
    Ok(group(label, element, children)
        .meaning(names::of(&oid))
        .spec(spec))
}

fn parameter(element: &Element<'_>) -> Node {
    match (element.tag, element.oid()) {
        (_, Ok(oid)) => field("parameters", element, oid.clone()).meaning(names::of(&oid)),
        (tag::NULL, _) => field("parameters", element, "NULL"),
        _ => raw("parameters", element),
    }
}

/// RSASSA-PSS-params (RFC 4055 §3.1). An absent part has its default, which is shown as well: a
/// part that is not written is still a part of what was agreed.
fn pss(element: &Element<'_>) -> Node {
    let defaults = [
        ("hashAlgorithm", "SHA-1"),
        ("maskGenAlgorithm", "MGF1 with SHA-1"),
        ("saltLength", "20"),
        ("trailerField", "1"),
    ];
    let mut inside = element.inside();
    let mut parts = Vec::new();
    for (number, (label, default)) in (0_u8..).zip(defaults) {
        let part = match inside.optional(tag::context(number)) {
            Ok(Some(holder)) => match pss_part(&holder) {
                Some(text) => field(label, &holder, text),
                None => raw(label, &holder).meaning("not in the form of RFC 4055"),
            },
            _ => Node::field(label, inside.offset(), 0, default).meaning("absent: the default"),
        };
        parts.push(part);
    }
    Node {
        children: parts,
        ..raw("parameters", element).spec("RFC 4055 §3.1")
    }
}

fn pss_part(holder: &Element<'_>) -> Option<String> {
    let value = holder.inside().any().ok()?;
    if value.tag == tag::INTEGER {
        return Some(value.u64().ok()?.to_string());
    }
    let mut inside = value.inside();
    let oid = inside.any().ok()?.oid().ok()?;
    if oid != names::MGF1 {
        return Some(names::or_dotted(&oid));
    }
    let hash = inside.any().ok()?.inside().any().ok()?.oid().ok()?;
    Some(format!("MGF1 with {}", names::or_dotted(&hash)))
}

/// A Name, attribute by attribute.
fn name(
    label: &str,
    element: &Element<'_>,
    meaning: &str,
    spec: &'static str,
) -> Result<Node, Malformed> {
    let mut children = Vec::new();
    let mut sets = element.inside();
    while !sets.is_empty() {
        let mut set = sets.any()?.inside();
        while !set.is_empty() {
            let pair = set.any()?;
            let mut parts = pair.inside();
            let oid = parts.any()?.oid()?;
            let value = parts.any()?;
            let text = value
                .text()
                .map_or_else(|_| hex::encode(value.content), str::to_owned);
            children.push(field(&names::or_dotted(&oid), &pair, text));
        }
    }
    Ok(group(label, element, children).meaning(meaning).spec(spec))
}

/// A serial number in hex; AMD's leaves all have zero.
fn serial(label: &str, element: &Element<'_>) -> Node {
    let significant = element.content.iter().skip_while(|byte| **byte == 0);
    let digits: Vec<u8> = significant.copied().collect();
    let (value, meaning) = match digits.is_empty() {
        true => ("0".to_owned(), "zero, as in every leaf of AMD's"),
        false => (
            format!("0x{}", hex::encode(digits)),
            "number of the certificate at its issuer",
        ),
    };
    field(label, element, value).meaning(meaning)
}

fn time(label: &str, element: &Element<'_>, meaning: &str) -> Result<Node, Malformed> {
    Ok(field(label, element, element.time()?.to_string()).meaning(meaning))
}

fn signature(element: &Element<'_>, spec: &'static str) -> Node {
    raw("signatureValue", element)
        .meaning("over the signed part, as received")
        .spec(spec)
}

fn group(label: &str, element: &Element<'_>, children: Vec<Node>) -> Node {
    Node::group(label, element.offset, element.raw.len(), children)
}

fn field(label: &str, element: &Element<'_>, value: impl Into<String>) -> Node {
    Node::field(label, element.offset, element.raw.len(), value)
}

/// The content as hex, without tag and length; the place covers both.
fn raw(label: &str, element: &Element<'_>) -> Node {
    field(label, element, hex::encode(element.content))
}

#[cfg(test)]
mod tests;
