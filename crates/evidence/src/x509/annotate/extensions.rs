//! Extensions of certificates and lists for people.
//!
//! Decodes what RFC 5280 and AMD (57230 for VCEKs, 58369 for VLEKs) define. What does not decode
//! is shown raw and said to be so; nothing here refuses a certificate that the parser accepted.

use super::{field, group, names};
use crate::{
    Malformed,
    annotate::Node,
    der::{Der, Element, tag},
};

/// What AMD writes into its leaves: object identifier, name, form, meaning.
const AMD: &[(&str, &str, Form, &str)] = &[
    (
        "1.3.6.1.4.1.3704.1.1",
        "structVersion",
        Form::Integer,
        "version of AMD's extensions: 0 up to Genoa, 1 since Turin",
    ),
    (
        "1.3.6.1.4.1.3704.1.2",
        "productName",
        Form::Text,
        "product, perhaps with its stepping; AMD has mislabelled chips",
    ),
    (
        "1.3.6.1.4.1.3704.1.3.1",
        "blSPL",
        Form::Integer,
        "version of the boot loader for which the key was derived",
    ),
    (
        "1.3.6.1.4.1.3704.1.3.2",
        "teeSPL",
        Form::Integer,
        "version of the secure processor's operating system",
    ),
    (
        "1.3.6.1.4.1.3704.1.3.3",
        "snpSPL",
        Form::Integer,
        "version of the SNP firmware",
    ),
    (
        "1.3.6.1.4.1.3704.1.3.4",
        "spl4",
        Form::Integer,
        "reserved; absent since Turin",
    ),
    ("1.3.6.1.4.1.3704.1.3.5", "spl5", Form::Integer, "reserved"),
    ("1.3.6.1.4.1.3704.1.3.6", "spl6", Form::Integer, "reserved"),
    ("1.3.6.1.4.1.3704.1.3.7", "spl7", Form::Integer, "reserved"),
    (
        "1.3.6.1.4.1.3704.1.3.8",
        "ucodeSPL",
        Form::Integer,
        "version of the microcode",
    ),
    (
        "1.3.6.1.4.1.3704.1.3.9",
        "fmcSPL",
        Form::Integer,
        "version of the first mutable code; since Turin",
    ),
    (
        "1.3.6.1.4.1.3704.1.4",
        "hwID",
        Form::HardwareId,
        "the chip that owns the key: CHIP_ID of its reports",
    ),
    (
        "1.3.6.1.4.1.3704.1.5",
        "cspID",
        Form::Text,
        "the provider to whom AMD gave the key",
    ),
];

/// How an extension of AMD's is encoded.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Bare bytes; some readers also meet them inside an OCTET STRING.
    HardwareId,
    /// A DER INTEGER from 0 to 255.
    Integer,
    /// A DER IA5String.
    Text,
}

/// The extensions inside their `[0]` or `[3]`.
pub(super) fn all(
    label: &str,
    holder: &Element<'_>,
    check: &'static str,
    spec: &'static str,
) -> Result<Node, Malformed> {
    let mut node = list(label, &holder.inside().any()?, check, spec)?;
    (node.offset, node.length) = (holder.offset, holder.raw.len());
    Ok(node)
}

/// A SEQUENCE of extensions.
pub(super) fn list(
    label: &str,
    sequence: &Element<'_>,
    check: &'static str,
    spec: &'static str,
) -> Result<Node, Malformed> {
    let mut inside = sequence.inside();
    let mut children = Vec::new();
    while !inside.is_empty() {
        children.push(one(&inside.any()?, check)?);
    }
    Ok(group(label, sequence, children).spec(spec))
}

fn one(element: &Element<'_>, check: &'static str) -> Result<Node, Malformed> {
    let mut inside = element.inside();
    let oid = inside.any()?.oid()?;
    let critical = match inside.optional(tag::BOOLEAN)? {
        Some(flag) => flag.boolean()?,
        None => false,
    };
    let value = inside.any()?;
    let content = Der::at_offset(value.content, value.content_offset(), check);
    let node = match amd(&oid, element, &value, content.clone()) {
        Some(node) => node,
        None => standard(&oid, element, &value, content),
    };
    if critical {
        let meaning = match node.meaning.as_str() {
            "" => "critical".to_owned(),
            meaning => format!("critical; {meaning}"),
        };
        return Ok(node.meaning(meaning));
    }
    Ok(node)
}

fn amd(oid: &str, element: &Element<'_>, value: &Element<'_>, content: Der<'_>) -> Option<Node> {
    let (_, name, form, meaning) = AMD.iter().find(|(known, ..)| *known == oid)?;
    let spec = match *name {
        "cspID" => "AMD 58369, cspID",
        _ => "AMD 57230 §3.1",
    };
    let label = format!("{name} ({oid})");
    let decoded = match form {
        Form::Integer => only(content)
            .and_then(|number| number.u64().ok())
            .filter(|number| *number <= 255)
            .map(|number| number.to_string()),
        Form::Text => only(content)
            .filter(|text| text.tag == tag::IA5_STRING)
            .and_then(|text| text.text().ok().map(str::to_owned)),
        Form::HardwareId => hardware_id(value.content).map(hex::encode),
    };
    let node = match decoded {
        Some(text) => field(&label, element, text).meaning(*meaning),
        None => field(&label, element, hex::encode(value.content))
            .meaning(format!("{meaning}; not in the form that AMD gives it")),
    };
    Some(node.spec(spec))
}

/// 64 bytes (Milan, Genoa) or 8 (Turin), bare or as the content of an OCTET STRING.
fn hardware_id(value: &[u8]) -> Option<&[u8]> {
    match value {
        bare if matches!(bare.len(), 8 | 64) => Some(bare),
        [tag::OCTET_STRING, stated, rest @ ..]
            if matches!(rest.len(), 8 | 64) && usize::from(*stated) == rest.len() =>
        {
            Some(rest)
        }
        _ => None,
    }
}

fn standard(oid: &str, element: &Element<'_>, value: &Element<'_>, content: Der<'_>) -> Node {
    let label = match names::of(oid) {
        "" => oid.to_owned(),
        name => format!("{name} ({oid})"),
    };
    let decoded = only(content).and_then(|inner| decode(oid, &inner));
    let (text, meaning, spec) =
        decoded.unwrap_or_else(|| (hex::encode(value.content), "raw bytes", ""));
    field(&label, element, text).meaning(meaning).spec(spec)
}

type Decoded = (String, &'static str, &'static str);

fn decode(oid: &str, inner: &Element<'_>) -> Option<Decoded> {
    Some(match oid {
        "2.5.29.14" if inner.tag == tag::OCTET_STRING => (
            hex::encode(inner.content),
            "name of the certified key",
            "RFC 5280 §4.2.1.2",
        ),
        "2.5.29.15" => (
            key_usage(inner)?,
            "what the key may be used for",
            "RFC 5280 §4.2.1.3",
        ),
        "2.5.29.19" => (
            basic_constraints(inner)?,
            "whether the key may certify others",
            "RFC 5280 §4.2.1.9",
        ),
        "2.5.29.20" => (
            number(inner)?,
            "number of the list; later ones are higher",
            "RFC 5280 §5.2.3",
        ),
        "2.5.29.21" => (
            reason(inner.content)?.to_owned(),
            "why it was revoked",
            "RFC 5280 §5.3.1",
        ),
        "2.5.29.24" => (
            inner.time().ok()?.to_string(),
            "since when the key may not be trusted",
            "RFC 5280 §5.3.2",
        ),
        "2.5.29.31" => (
            locations(inner)?,
            "where the issuer publishes its list; never followed",
            "RFC 5280 §4.2.1.13",
        ),
        "2.5.29.35" => (
            authority_key(inner)?,
            "name of the issuer's key",
            "RFC 5280 §4.2.1.1",
        ),
        "2.5.29.37" => (
            purposes(inner)?,
            "purposes of the key",
            "RFC 5280 §4.2.1.12",
        ),
        _ => return None,
    })
}

/// The one element that fills the whole content.
fn only(mut content: Der<'_>) -> Option<Element<'_>> {
    let element = content.any().ok()?;
    content.is_empty().then_some(element)
}

fn number(inner: &Element<'_>) -> Option<String> {
    match inner.u64() {
        Ok(number) => Some(number.to_string()),
        Err(_) => inner
            .unsigned()
            .ok()
            .map(|bytes| format!("0x{}", hex::encode(bytes))),
    }
}

fn basic_constraints(inner: &Element<'_>) -> Option<String> {
    let mut parts = inner.inside();
    let authority = match parts.optional(tag::BOOLEAN).ok()? {
        Some(flag) => flag.boolean().ok()?,
        None => false,
    };
    let length = match parts.optional(tag::INTEGER).ok()? {
        Some(length) => format!(", pathLen {}", length.u64().ok()?),
        None => String::new(),
    };
    parts.is_empty().then(|| format!("CA {authority}{length}"))
}

fn key_usage(inner: &Element<'_>) -> Option<String> {
    const USES: [&str; 9] = [
        "digitalSignature",
        "nonRepudiation",
        "keyEncipherment",
        "dataEncipherment",
        "keyAgreement",
        "keyCertSign",
        "cRLSign",
        "encipherOnly",
        "decipherOnly",
    ];
    let [_, bits @ ..] = inner.content else {
        return None;
    };
    let set = bits
        .iter()
        .flat_map(|byte| (0..8_u32).map(move |bit| byte.rotate_left(bit) & 0x80 != 0));
    let uses: Vec<&str> = USES
        .into_iter()
        .zip(set)
        .filter(|(_, set)| *set)
        .map(|(name, _)| name)
        .collect();
    (inner.tag == tag::BIT_STRING).then(|| uses.join(", "))
}

fn authority_key(inner: &Element<'_>) -> Option<String> {
    let id = inner
        .inside()
        .optional(tag::context_primitive(0))
        .ok()
        .flatten()?;
    Some(hex::encode(id.content))
}

fn purposes(inner: &Element<'_>) -> Option<String> {
    let mut list = inner.inside();
    let mut out = Vec::new();
    while !list.is_empty() {
        out.push(names::or_dotted(&list.any().ok()?.oid().ok()?));
    }
    Some(out.join(", "))
}

/// The addresses of the full names of distribution points; other forms are not decoded.
fn locations(inner: &Element<'_>) -> Option<String> {
    let mut points = inner.inside();
    let mut out = Vec::new();
    while !points.is_empty() {
        let point = points.any().ok()?.inside().any().ok()?;
        let full = point.inside().any().ok()?;
        if full.tag != tag::context(0) {
            return None;
        }
        let mut names = full.inside();
        while !names.is_empty() {
            let name = names.any().ok()?;
            if name.tag == tag::context_primitive(6) {
                out.push(std::str::from_utf8(name.content).ok()?.to_owned());
            }
        }
    }
    (!out.is_empty()).then(|| out.join(", "))
}

fn reason(content: &[u8]) -> Option<&'static str> {
    Some(match content {
        [0] => "unspecified",
        [1] => "keyCompromise",
        [2] => "cACompromise",
        [3] => "affiliationChanged",
        [4] => "superseded",
        [5] => "cessationOfOperation",
        [6] => "certificateHold",
        [8] => "removeFromCRL",
        [9] => "privilegeWithdrawn",
        [10] => "aACompromise",
        _ => return None,
    })
}
