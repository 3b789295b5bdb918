//! What AMD writes into a VCEK or VLEK beside the key: TCB, chip, provider (AMD 57230, 58369).
//!
//! Reads extensions by object identifier, as real DER, and says what is absent. Compares nothing
//! with a report and checks no signature. An absent extension is never a comparison that holds.

use zeuge_evidence::{
    der::{Der, tag},
    snp::Product,
    x509::{Certificate, Extension},
};

use super::Broken;

const CHECK: &str = "snp.vcek.extensions";

/// The kind of key that signed, as the certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Versioned Chip Endorsement Key: of one chip.
    Vcek,
    /// Versioned Loaded Endorsement Key: of one provider.
    Vlek,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        }
    }

    /// By the whole common name of the subject: a search for "VCEK" in it takes neither kind.
    pub(crate) fn of_subject(certificate: &Certificate<'_>) -> Option<Self> {
        match certificate.subject.common_name() {
            Some("SEV-VCEK") => Some(Self::Vcek),
            Some("SEV-VLEK") => Some(Self::Vlek),
            _ => None,
        }
    }
}

/// The common name of the intermediate that certifies this kind of key of this product.
pub(crate) const fn issuer_name(kind: Kind, product: Product) -> &'static str {
    match (kind, product) {
        (Kind::Vcek, Product::Milan) => "SEV-Milan",
        (Kind::Vcek, Product::Genoa) => "SEV-Genoa",
        (Kind::Vcek, Product::Turin) => "SEV-Turin",
        (Kind::Vlek, Product::Milan) => "SEV-VLEK-Milan",
        (Kind::Vlek, Product::Genoa) => "SEV-VLEK-Genoa",
        (Kind::Vlek, Product::Turin) => "SEV-VLEK-Turin",
    }
}

/// The kind and product that the leaf's issuer stands for; `None` for any other name.
pub(crate) fn of_issuer(certificate: &Certificate<'_>) -> Option<(Kind, Product)> {
    let name = certificate.issuer.common_name()?;
    [Kind::Vcek, Kind::Vlek]
        .into_iter()
        .flat_map(|kind| Product::ALL.map(|product| (kind, product)))
        .find(|(kind, product)| issuer_name(*kind, *product) == name)
}

/// An extension of AMD's: its name and object identifier.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: &'static str,
    oid: &'static str,
}

const fn field(name: &'static str, oid: &'static str) -> Field {
    Field { name, oid }
}

const STRUCT_VERSION: Field = field("structVersion", "1.3.6.1.4.1.3704.1.1");
const PRODUCT_NAME: Field = field("productName", "1.3.6.1.4.1.3704.1.2");
const BL: Field = field("blSPL", "1.3.6.1.4.1.3704.1.3.1");
const TEE: Field = field("teeSPL", "1.3.6.1.4.1.3704.1.3.2");
const SNP: Field = field("snpSPL", "1.3.6.1.4.1.3704.1.3.3");
const SPL4: Field = field("spl4", "1.3.6.1.4.1.3704.1.3.4");
const SPL5: Field = field("spl5", "1.3.6.1.4.1.3704.1.3.5");
const SPL6: Field = field("spl6", "1.3.6.1.4.1.3704.1.3.6");
const SPL7: Field = field("spl7", "1.3.6.1.4.1.3704.1.3.7");
const UCODE: Field = field("ucodeSPL", "1.3.6.1.4.1.3704.1.3.8");
const FMC: Field = field("fmcSPL", "1.3.6.1.4.1.3704.1.3.9");
const HWID: Field = field("hwID", "1.3.6.1.4.1.3704.1.4");
const CSP_ID: Field = field("cspID", "1.3.6.1.4.1.3704.1.5");

const INTEGER_WANTED: &str = "a DER INTEGER from 0 to 255";
const STRING_WANTED: &str = "a DER IA5String";
const ABSENT: &str = "nothing";

/// Whether every extension that this kind and product needs is there and well encoded.
///
/// Whether a VLEK names a chip or a provider are checks of their own.
pub(crate) fn well_formed(
    leaf: &Certificate<'_>,
    kind: Kind,
    product: Product,
) -> Result<(), Broken> {
    for needed in [STRUCT_VERSION, BL, TEE, SNP, UCODE] {
        demand(leaf, needed)?;
    }
    for optional in [SPL4, SPL5, SPL6, SPL7] {
        number(leaf, optional)?;
    }
    // spec: sev-snp.leaf.fmc
    match (product, number(leaf, FMC)?) {
        (Product::Turin, None) => return Err(broken(FMC, ABSENT.to_owned(), INTEGER_WANTED)),
        (Product::Milan | Product::Genoa, Some(found)) => {
            return Err(broken(FMC, found.to_string(), "nothing before Turin"));
        }
        _ => {}
    }
    if text(leaf, PRODUCT_NAME)?.is_none() {
        return Err(broken(PRODUCT_NAME, ABSENT.to_owned(), STRING_WANTED));
    }
    let csp_id = text(leaf, CSP_ID)?;
    if kind == Kind::Vcek {
        hwid_well_formed(leaf, product)?;
        if let Some(found) = csp_id {
            return Err(broken(CSP_ID, found.to_owned(), "nothing in a VCEK"));
        }
    }
    match leaf.extensions.iter().find(|e| e.critical && !is_known(e)) {
        Some(unknown) => Err(broken(
            field("critical extension", ""),
            unknown.oid.clone(),
            "none that is unknown",
        )),
        None => Ok(()),
    }
}

/// What TCB_VERSION the certificate speaks of, in the layout of the product; `None` where a
/// component is absent or badly encoded. Reserved components that are absent count as zero.
pub(crate) fn tcb(leaf: &Certificate<'_>, product: Product) -> Option<[u8; 8]> {
    let needed = |field| demand(leaf, field).ok();
    let reserved = |field| number(leaf, field).ok().map(Option::unwrap_or_default);
    let (spl5, spl6, spl7) = (reserved(SPL5)?, reserved(SPL6)?, reserved(SPL7)?);
    let (bl, tee, snp, ucode) = (needed(BL)?, needed(TEE)?, needed(SNP)?, needed(UCODE)?);
    Some(match product {
        Product::Milan | Product::Genoa => [bl, tee, reserved(SPL4)?, spl5, spl6, spl7, snp, ucode],
        Product::Turin => [needed(FMC)?, bl, tee, snp, spl5, spl6, spl7, ucode],
    })
}

/// The chip that the certificate names, without the header of an OCTET STRING if there is one.
///
/// AMD writes the bare bytes; other readers also meet them wrapped. The two cannot be confused:
/// the wrapped form is two bytes longer and its header says so.
pub(crate) fn hwid<'a>(leaf: &Certificate<'a>, product: Product) -> Option<&'a [u8]> {
    let value = leaf.extension(HWID.oid)?.value;
    // spec: sev-snp.leaf.hwid-length
    let length = product.chip_id_len();
    match value {
        bare if bare.len() == length => Some(bare),
        [tag::OCTET_STRING, stated, rest @ ..]
            if rest.len() == length && usize::from(*stated) == length =>
        {
            Some(rest)
        }
        _ => None,
    }
}

/// The extension that names a chip, however it is encoded.
pub(crate) fn hwid_extension<'c, 'a>(leaf: &'c Certificate<'a>) -> Option<&'c Extension<'a>> {
    leaf.extension(HWID.oid)
}

/// The provider that a VLEK names.
pub(crate) fn csp_id<'a>(leaf: &Certificate<'a>) -> Option<&'a str> {
    text(leaf, CSP_ID)
        .ok()
        .flatten()
        .filter(|name| !name.is_empty())
}

/// The product's name, perhaps with a stepping: `Milan-B0`.
pub(crate) fn product_name<'a>(leaf: &Certificate<'a>) -> Option<&'a str> {
    text(leaf, PRODUCT_NAME).ok().flatten()
}

fn hwid_well_formed(leaf: &Certificate<'_>, product: Product) -> Result<(), Broken> {
    let wanted = match product {
        Product::Milan | Product::Genoa => "64 bytes",
        Product::Turin => "8 bytes",
    };
    match (hwid_extension(leaf), hwid(leaf, product)) {
        (None, _) => Err(broken(HWID, ABSENT.to_owned(), wanted)),
        (Some(extension), None) => Err(broken(
            HWID,
            format!("{} bytes", extension.value.len()),
            wanted,
        )),
        (Some(_), Some(_)) => Ok(()),
    }
}

fn is_known(extension: &Extension<'_>) -> bool {
    let known = [
        STRUCT_VERSION,
        PRODUCT_NAME,
        BL,
        TEE,
        SNP,
        SPL4,
        SPL5,
        SPL6,
        SPL7,
        UCODE,
        FMC,
        HWID,
        CSP_ID,
    ];
    known.iter().any(|field| field.oid == extension.oid)
}

fn demand(leaf: &Certificate<'_>, field: Field) -> Result<u8, Broken> {
    number(leaf, field)?.ok_or_else(|| broken(field, ABSENT.to_owned(), INTEGER_WANTED))
}

/// The whole number, never its last byte alone.
fn number(leaf: &Certificate<'_>, field: Field) -> Result<Option<u8>, Broken> {
    // spec: sev-snp.leaf.by-oid
    let Some(extension) = leaf.extension(field.oid) else {
        return Ok(None);
    };
    let mut der = Der::at_offset(extension.value, extension.offset, CHECK);
    // spec: sev-snp.leaf.integer
    let read = || -> Option<u8> {
        let value = der.expect(tag::INTEGER, field.name).ok()?.u64().ok()?;
        der.finish(field.name).ok()?;
        u8::try_from(value).ok()
    };
    let mut read = read;
    read()
        .map(Some)
        .ok_or_else(|| broken(field, hex::encode(extension.value), INTEGER_WANTED))
}

fn text<'a>(leaf: &Certificate<'a>, field: Field) -> Result<Option<&'a str>, Broken> {
    let Some(extension) = leaf.extension(field.oid) else {
        return Ok(None);
    };
    let mut der = Der::at_offset(extension.value, extension.offset, CHECK);
    let element = der.expect(tag::IA5_STRING, field.name);
    match element.and_then(|element| der.finish(field.name).and_then(|()| element.text())) {
        Ok(text) if text.is_ascii() => Ok(Some(text)),
        _ => Err(broken(field, hex::encode(extension.value), STRING_WANTED)),
    }
}

const fn broken(field: Field, found: String, wanted: &'static str) -> Broken {
    Broken::LeafExtension {
        field: field.name,
        found,
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: &[u8] = include_bytes!("../anchors/amd/ask-milan.der");

    fn extension(field: Field, value: &'static [u8]) -> Extension<'static> {
        Extension {
            oid: field.oid.to_owned(),
            critical: false,
            value,
            offset: 0,
        }
    }

    /// A certificate in memory with the extensions of a leaf; it needs no signature here.
    fn certificate(extensions: Vec<Extension<'static>>) -> Certificate<'static> {
        let mut certificate = Certificate::parse(ASK).unwrap();
        certificate.extensions = extensions;
        certificate
    }

    const CHIP: &[u8] = &[7; 64];

    fn milan() -> Vec<Extension<'static>> {
        vec![
            extension(STRUCT_VERSION, &[2, 1, 0]),
            extension(PRODUCT_NAME, b"\x16\x08Milan-B0"),
            extension(BL, &[2, 1, 3]),
            extension(TEE, &[2, 1, 0]),
            extension(SNP, &[2, 1, 8]),
            extension(SPL4, &[2, 1, 0]),
            extension(UCODE, &[2, 2, 0, 0xdb]),
            extension(HWID, CHIP),
        ]
    }

    fn with(field: Field, value: &'static [u8]) -> Certificate<'static> {
        let mut extensions = milan();
        extensions.retain(|other| other.oid != field.oid);
        extensions.push(extension(field, value));
        certificate(extensions)
    }

    fn without(field: Field) -> Certificate<'static> {
        let mut extensions = milan();
        extensions.retain(|other| other.oid != field.oid);
        certificate(extensions)
    }

    fn refusal(certificate: &Certificate<'_>, kind: Kind, product: Product) -> &'static str {
        match well_formed(certificate, kind, product) {
            Err(Broken::LeafExtension { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    // spec: sev-snp.leaf.by-oid
    #[test]
    fn a_leaf_is_looked_up_by_object_identifier_in_any_order() {
        let mut reversed = milan();
        reversed.reverse();
        let leaf = certificate(reversed);
        assert_eq!(well_formed(&leaf, Kind::Vcek, Product::Milan), Ok(()));
        assert_eq!(
            tcb(&leaf, Product::Milan),
            Some([3, 0, 0, 0, 0, 0, 8, 0xdb])
        );
        assert_eq!(product_name(&leaf), Some("Milan-B0"));
    }

    #[test]
    fn an_absent_extension_is_refused_and_never_skipped() {
        for field in [STRUCT_VERSION, PRODUCT_NAME, BL, TEE, SNP, UCODE, HWID] {
            let leaf = without(field);
            assert_eq!(refusal(&leaf, Kind::Vcek, Product::Milan), field.name);
        }
        for field in [BL, TEE, SNP, UCODE] {
            assert_eq!(tcb(&without(field), Product::Milan), None, "{}", field.name);
        }
        assert_eq!(hwid(&without(HWID), Product::Milan), None);
    }

    // spec: sev-snp.leaf.integer
    #[test]
    fn the_whole_integer_is_read_and_not_its_last_byte() {
        for value in [
            &[2, 2, 1, 8][..],
            &[2, 1, 0x88],
            &[2, 2, 0, 8],
            &[2, 0],
            &[4, 1, 8],
            &[2, 1, 8, 0],
            &[8],
        ] {
            let leaf = with(SNP, Box::leak(value.to_vec().into_boxed_slice()));
            assert_eq!(
                refusal(&leaf, Kind::Vcek, Product::Milan),
                "snpSPL",
                "{value:?}"
            );
            assert_eq!(tcb(&leaf, Product::Milan), None);
        }
    }

    // spec: sev-snp.leaf.hwid-length
    #[test]
    fn the_chips_id_is_read_bare_or_wrapped_and_in_no_other_length() {
        let wrapped: Vec<u8> = [&[4, 64][..], CHIP].concat();
        let leaf = with(HWID, Box::leak(wrapped.clone().into_boxed_slice()));
        assert_eq!(hwid(&leaf, Product::Milan), Some(CHIP));
        let short = [4, 63]
            .into_iter()
            .chain(CHIP.iter().copied())
            .collect::<Vec<u8>>();
        for value in [&wrapped[..65], &CHIP[..63], &CHIP[..8], &[], &short] {
            let leaf = with(HWID, Box::leak(value.to_vec().into_boxed_slice()));
            assert_eq!(hwid(&leaf, Product::Milan), None);
            assert_eq!(refusal(&leaf, Kind::Vcek, Product::Milan), "hwID");
        }
        assert_eq!(
            hwid(&with(HWID, &CHIP[..8]), Product::Turin),
            Some(&CHIP[..8])
        );
        assert_eq!(hwid(&with(HWID, CHIP), Product::Turin), None);
    }

    // spec: sev-snp.leaf.fmc
    #[test]
    fn fmc_belongs_to_turin_and_to_no_earlier_product() {
        let leaf = with(FMC, &[2, 1, 1]);
        assert_eq!(refusal(&leaf, Kind::Vcek, Product::Genoa), "fmcSPL");
        assert_eq!(
            refusal(&without(SPL4), Kind::Vcek, Product::Turin),
            "fmcSPL"
        );
        assert_eq!(
            tcb(&leaf, Product::Turin),
            Some([1, 3, 0, 8, 0, 0, 0, 0xdb])
        );
        assert_eq!(tcb(&without(FMC), Product::Turin), None);
    }

    #[test]
    fn a_vcek_names_no_provider_and_no_leaf_has_unknown_critical_extensions() {
        let leaf = with(CSP_ID, b"\x16\x03abc");
        assert_eq!(refusal(&leaf, Kind::Vcek, Product::Milan), "cspID");
        assert_eq!(csp_id(&leaf), Some("abc"));
        assert_eq!(csp_id(&with(CSP_ID, b"\x16\x00")), None);
        let mut unknown = with(field("", "1.2.3"), b"x");
        assert_eq!(well_formed(&unknown, Kind::Vcek, Product::Milan), Ok(()));
        unknown.extensions.last_mut().unwrap().critical = true;
        assert_eq!(
            refusal(&unknown, Kind::Vcek, Product::Milan),
            "critical extension"
        );
    }

    #[test]
    fn the_kind_is_the_whole_common_name() {
        let named = |name: &str| {
            let mut leaf = certificate(Vec::new());
            leaf.subject.attributes = vec![("2.5.4.3".to_owned(), name.to_owned())];
            Kind::of_subject(&leaf)
        };
        assert_eq!(named("SEV-VCEK"), Some(Kind::Vcek));
        assert_eq!(named("SEV-VLEK"), Some(Kind::Vlek));
        for other in [
            "VCEK",
            "VLEK",
            "SEV-VLEK-Milan",
            "SEV-Milan",
            "sev-vcek",
            "SEV-VCEK ",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn the_issuer_names_kind_and_product_and_nothing_like_them() {
        let named = |name: &str| {
            let mut leaf = certificate(Vec::new());
            leaf.issuer.attributes = vec![("2.5.4.3".to_owned(), name.to_owned())];
            of_issuer(&leaf)
        };
        assert_eq!(named("SEV-Genoa"), Some((Kind::Vcek, Product::Genoa)));
        assert_eq!(named("SEV-VLEK-Turin"), Some((Kind::Vlek, Product::Turin)));
        assert_eq!(named("SEV-Rome"), None);
        assert_eq!(named("ARK-Milan"), None);
    }
}
