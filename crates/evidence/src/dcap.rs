//! Quotes of Intel's DCAP format: SGX (versions 3, 4, 5) and TDX (versions 4, 5).
//!
//! Reads the header, the body, the signature section and the certification data; inner lengths
//! must add up, bytes after the quote are kept and reported. Never checks a signature, a
//! certificate or a TCB level: that is `zeuge-verify`.

use crate::{
    Malformed, What,
    reader::Reader,
    sgx::{EnclaveReport, REPORT_BYTES},
    tdx::{Form, TdReport},
};

mod annotate;
mod forms;
mod protobuf;

pub use forms::{Evidence, Form as EvidenceForm, JSON_BYTES_MAX};

/// A quote with three certificates is under 8 KiB, and cloud buffers pad to that; ten times is
/// hostile.
pub const QUOTE_BYTES_MAX: usize = 80 * 1024;

/// Intel's quoting-enclave vendor id.
pub const INTEL_VENDOR: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];

// spec: dcap.quote.length
const LENGTH: &str = "dcap.quote.length";
// spec: dcap.quote.version
const VERSION: &str = "dcap.quote.version";
// spec: dcap.quote.key-type
const KEY_TYPE: &str = "dcap.quote.key-type";
// spec: dcap.quote.tee-type
const TEE_TYPE: &str = "dcap.quote.tee-type";
// spec: dcap.quote.vendor
const VENDOR: &str = "dcap.quote.vendor";
// spec: dcap.quote.body
const BODY: &str = "dcap.quote.body";
const CERTIFICATION: &str = "dcap.certification-data";

/// The ids of the checks in this file.
pub const CHECKS: &[&str] = &[
    CERTIFICATION,
    "dcap.json",
    "dcap.protobuf",
    BODY,
    KEY_TYPE,
    LENGTH,
    TEE_TYPE,
    VENDOR,
    VERSION,
];

/// What kind of environment speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tee {
    /// An SGX enclave (TEE type 0).
    Sgx,
    /// A TDX trust domain (TEE type 0x81).
    Tdx,
}

impl Tee {
    /// The name that Intel's collateral uses: `SGX` or `TDX`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Sgx => "SGX",
            Self::Tdx => "TDX",
        }
    }
}

/// The header of a quote (48 bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 3, 4 or 5.
    pub version: u16,
    /// Whether an enclave or a trust domain speaks.
    pub tee: Tee,
    /// Version 3: the QE's security version. Versions 4 and 5: reserved.
    pub qe_svn: u16,
    /// Version 3: the PCE's security version, the platform's present one, which may be above the
    /// certificate's. Versions 4 and 5: reserved.
    pub pce_svn: u16,
    /// User data; its first 16 bytes are the QE id.
    pub user_data: [u8; 20],
}

/// What the quote is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An enclave.
    Sgx(Box<EnclaveReport>),
    /// A trust domain.
    Tdx(Box<TdReport>),
}

/// How the platform identifier of certification data 1 to 3 is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PpidForm {
    /// In the clear, 16 bytes (type 1).
    Plain,
    /// RSA-2048-OAEP for Intel's service, 256 bytes (type 2).
    Rsa2048,
    /// RSA-3072-OAEP for Intel's service, 384 bytes (type 3).
    Rsa3072,
}

/// What the quote brings to find or prove the platform's certificate (PCK).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificationData<'a> {
    /// Types 1 to 3: the platform by its identifier; the certificate must come from elsewhere.
    Platform {
        /// How `ppid` is wrapped.
        form: PpidForm,
        /// The identifier, 16, 256 or 384 bytes.
        ppid: &'a [u8],
        /// CPUSVN of the certificate to use.
        cpu_svn: [u8; 16],
        /// PCESVN of the certificate to use.
        pce_svn: u16,
        /// PCEID, which types 1 and 2 may leave out.
        pce_id: Option<[u8; 2]>,
    },
    /// Type 4: the certificate alone, as received.
    Leaf(&'a [u8]),
    /// Type 5: the chain as PEM, leaf first, as received.
    Chain(&'a [u8]),
    /// Type 7: a platform manifest, opaque here.
    Manifest(&'a [u8]),
}

impl CertificationData<'_> {
    /// Intel's number of this type.
    #[must_use]
    pub const fn number(&self) -> u16 {
        match self {
            Self::Platform { form, .. } => match form {
                PpidForm::Plain => 1,
                PpidForm::Rsa2048 => 2,
                PpidForm::Rsa3072 => 3,
            },
            Self::Leaf(_) => 4,
            Self::Chain(_) => 5,
            Self::Manifest(_) => 7,
        }
    }
}

/// A quote, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote<'a> {
    /// The header.
    pub header: Header,
    /// What the quote is about.
    pub body: Body,
    /// Header, body descriptor and body as received: what the attestation key signs.
    pub signed: &'a [u8],
    /// ECDSA P-256 r‖s over `signed`.
    pub signature: [u8; 64],
    /// The attestation key, X‖Y.
    pub attestation_key: [u8; 64],
    /// The QE's report on itself, read.
    pub qe_report: EnclaveReport,
    /// The QE's report as received: what the PCK signs.
    pub qe_report_bytes: &'a [u8],
    /// ECDSA P-256 r‖s over `qe_report_bytes`.
    pub qe_report_signature: [u8; 64],
    /// QE authentication data, any length.
    pub qe_authentication: &'a [u8],
    /// What the quote brings to find or prove the PCK certificate.
    pub certification: CertificationData<'a>,
    /// Bytes after the quote; cloud buffers are padded.
    pub trailing: &'a [u8],
    places: Places,
}

/// Where the parts lie, for the annotated tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Places {
    body: usize,
    signature_length: usize,
    signature: usize,
    qe_report: usize,
    qe_authentication: usize,
    certification: usize,
    certification_length: usize,
    trailing: usize,
}

/// Whether these bytes begin like a DCAP quote: a known version, key type and Intel's vendor id.
#[must_use]
pub fn looks_like(bytes: &[u8]) -> bool {
    matches!(bytes.get(..2), Some([3..=5, 0])) && bytes.get(12..28) == Some(&INTEL_VENDOR[..])
}

impl<'a> Quote<'a> {
    /// Reads a quote; what follows it is kept in `trailing`.
    ///
    /// # Errors
    /// One of [`CHECKS`], with the offset.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > QUOTE_BYTES_MAX {
            return Err(Malformed::new(
                LENGTH,
                QUOTE_BYTES_MAX,
                What::TooLong {
                    limit: QUOTE_BYTES_MAX,
                    found: bytes.len(),
                },
            ));
        }
        let mut reader = Reader::new(bytes, LENGTH);
        let header = header(&mut reader)?;
        let form = body_form(&mut reader, &header)?;
        let body_at = reader.offset();
        let body = match form {
            None => Body::Sgx(Box::new(EnclaveReport::read(&mut reader)?)),
            Some(form) => Body::Tdx(Box::new(TdReport::read(&mut reader, form)?)),
        };
        let signed = bytes.get(..reader.offset()).unwrap_or_default();
        let signature_length = reader.offset();
        let length = reader.u32_le()?;
        let mut section = reader.part(usize::try_from(length).unwrap_or(usize::MAX))?;
        let trailing = reader.rest();
        let signature_at = section.offset();
        let signature = section.array()?;
        let attestation_key = section.array()?;
        let mut inner = if header.version == 3 {
            section
        } else {
            nested(&mut section)?
        };
        let qe_report_at = inner.offset();
        let qe_report_bytes = inner.take(REPORT_BYTES)?;
        let qe_report = EnclaveReport::read(&mut Reader::at_offset(
            qe_report_bytes,
            qe_report_at,
            LENGTH,
        ))?;
        let qe_report_signature = inner.array()?;
        let authentication_length = usize::from(inner.u16_le()?);
        let qe_authentication_at = inner.offset();
        let qe_authentication = inner.take(authentication_length)?;
        let certification_at = inner.offset();
        let (certification, certification_length) = certification(&mut inner)?;
        finish(&inner)?;
        Ok(Self {
            header,
            body,
            signed,
            signature,
            attestation_key,
            qe_report,
            qe_report_bytes,
            qe_report_signature,
            qe_authentication,
            certification,
            trailing,
            places: Places {
                body: body_at,
                signature_length,
                signature: signature_at,
                qe_report: qe_report_at,
                qe_authentication: qe_authentication_at,
                certification: certification_at,
                certification_length,
                trailing: reader.offset(),
            },
        })
    }

    /// REPORTDATA of whoever speaks.
    #[must_use]
    pub const fn report_data(&self) -> &[u8; 64] {
        match &self.body {
            Body::Sgx(report) => &report.report_data,
            Body::Tdx(report) => &report.report_data,
        }
    }
}

fn header(reader: &mut Reader<'_>) -> Result<Header, Malformed> {
    let unsupported = |check, offset, field, found: u64| {
        Err(Malformed::new(
            check,
            offset,
            What::Unsupported { field, found },
        ))
    };
    let version = reader.u16_le()?;
    if !(3..=5).contains(&version) {
        return unsupported(VERSION, 0, "version", version.into());
    }
    let key_type = reader.u16_le()?;
    if key_type != 2 {
        return unsupported(KEY_TYPE, 2, "attestation key type", key_type.into());
    }
    let tee = match (reader.u32_le()?, version) {
        (0, _) => Tee::Sgx,
        (0x81, 4 | 5) => Tee::Tdx,
        (other, _) => return unsupported(TEE_TYPE, 4, "TEE type", other.into()),
    };
    let qe_svn = reader.u16_le()?;
    let pce_svn = reader.u16_le()?;
    if reader.array::<16>()? != INTEL_VENDOR {
        return Err(Malformed::invalid(
            VENDOR,
            12,
            "QE vendor id",
            "it is not Intel's, and nobody else's rules are known here",
        ));
    }
    Ok(Header {
        version,
        tee,
        qe_svn,
        pce_svn,
        user_data: reader.array()?,
    })
}

/// The form of the TD body; `None` for an enclave's report.
fn body_form(reader: &mut Reader<'_>, header: &Header) -> Result<Option<Form>, Malformed> {
    if header.version < 5 {
        return Ok(match header.tee {
            Tee::Sgx => None,
            Tee::Tdx => Some(Form::Td10),
        });
    }
    let at = reader.offset();
    let number = reader.u16_le()?;
    let size = reader.u32_le()?;
    let (form, tee) = match number {
        1 => (None, Tee::Sgx),
        2 => (Some(Form::Td10), Tee::Tdx),
        3 => (Some(Form::Td15), Tee::Tdx),
        4 => (Some(Form::Td15Extended), Tee::Tdx),
        other => {
            let found = other.into();
            let field = "body type";
            return Err(Malformed::new(BODY, at, What::Unsupported { field, found }));
        }
    };
    if tee != header.tee {
        let because = "it contradicts the TEE type of the header";
        return Err(Malformed::invalid(BODY, at, "body type", because));
    }
    let wanted = form.map_or(REPORT_BYTES, Form::bytes);
    if usize::try_from(size) != Ok(wanted) {
        let because = "it is not the length of this body type";
        let at = at.saturating_add(2);
        return Err(Malformed::invalid(BODY, at, "body size", because));
    }
    Ok(form)
}

/// Versions 4 and 5 wrap the QE report and what follows it as certification data of type 6.
fn nested<'a>(section: &mut Reader<'a>) -> Result<Reader<'a>, Malformed> {
    let at = section.offset();
    let number = section.u16_le()?;
    if number != 6 {
        let because = "versions 4 and 5 carry a QE report here (type 6)";
        let field = "certification data type";
        return Err(Malformed::invalid(CERTIFICATION, at, field, because));
    }
    let length = section.u32_le()?;
    let inner = section.part(usize::try_from(length).unwrap_or(usize::MAX))?;
    finish(section)?;
    Ok(inner)
}

fn certification<'a>(inner: &mut Reader<'a>) -> Result<(CertificationData<'a>, usize), Malformed> {
    let at = inner.offset();
    let number = inner.u16_le()?;
    let length = usize::try_from(inner.u32_le()?).unwrap_or(usize::MAX);
    let start = inner.offset();
    let content = inner.take(length)?;
    let platform = |form, ppid_length| platform(content, start, form, ppid_length);
    let data = match number {
        1 => platform(PpidForm::Plain, 16)?,
        2 => platform(PpidForm::Rsa2048, 256)?,
        3 => platform(PpidForm::Rsa3072, 384)?,
        4 => CertificationData::Leaf(content),
        5 => CertificationData::Chain(content),
        7 => CertificationData::Manifest(content),
        other => {
            return Err(Malformed::new(
                CERTIFICATION,
                at,
                What::Unsupported {
                    field: "certification data type",
                    found: other.into(),
                },
            ));
        }
    };
    Ok((data, length))
}

fn platform(
    content: &[u8],
    start: usize,
    form: PpidForm,
    ppid_length: usize,
) -> Result<CertificationData<'_>, Malformed> {
    let mut reader = Reader::at_offset(content, start, CERTIFICATION);
    let ppid = reader.take(ppid_length)?;
    let cpu_svn = reader.array()?;
    let pce_svn = reader.u16_le()?;
    // Intel's structure leaves PCEID out of types 1 and 2 unless a compile switch is set.
    let pce_id = if reader.is_empty() && form != PpidForm::Rsa3072 {
        None
    } else {
        Some(reader.array()?)
    };
    if !reader.is_empty() {
        return Err(Malformed::invalid(
            CERTIFICATION,
            reader.offset(),
            "certification data",
            "bytes follow that belong to nothing",
        ));
    }
    Ok(CertificationData::Platform {
        form,
        ppid,
        cpu_svn,
        pce_svn,
        pce_id,
    })
}

/// Inner lengths must add up: the header of certification data is signed by nobody.
fn finish(reader: &Reader<'_>) -> Result<(), Malformed> {
    if reader.is_empty() {
        return Ok(());
    }
    Err(Malformed::invalid(
        LENGTH,
        reader.offset(),
        "signature data",
        "its inner lengths do not add up to its length",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quote with zeros wherever a value does not matter for its shape.
    fn shape(version: u16, tee: u32, body: &[u8], kind: u16, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(version.to_le_bytes());
        out.extend(2u16.to_le_bytes());
        out.extend(tee.to_le_bytes());
        out.extend([0; 4]);
        out.extend(INTEL_VENDOR);
        out.extend([0; 20]);
        out.extend(body);
        let mut inner = vec![0; 384 + 64];
        inner.extend(32u16.to_le_bytes());
        inner.extend([7; 32]);
        inner.extend(kind.to_le_bytes());
        inner.extend((content.len() as u32).to_le_bytes());
        inner.extend(content);
        let mut section = vec![0; 128];
        if version > 3 {
            section.extend(6u16.to_le_bytes());
            section.extend((inner.len() as u32).to_le_bytes());
        }
        section.extend(inner);
        out.extend((section.len() as u32).to_le_bytes());
        out.extend(section);
        out
    }

    fn body5(number: u16, length: u32) -> Vec<u8> {
        let mut out = number.to_le_bytes().to_vec();
        out.extend(length.to_le_bytes());
        out.extend(vec![0; length as usize]);
        out
    }

    fn refusal(bytes: &[u8]) -> (&'static str, usize) {
        let refusal = Quote::parse(bytes).unwrap_err();
        (refusal.check, refusal.offset)
    }

    #[test]
    fn every_version_and_body_type_is_read() {
        let shapes = [
            (shape(3, 0, &[0; 384], 5, b"x"), Tee::Sgx),
            (shape(4, 0, &[0; 384], 4, b"x"), Tee::Sgx),
            (shape(4, 0x81, &[0; 584], 5, b"x"), Tee::Tdx),
            (shape(5, 0, &body5(1, 384), 7, b"x"), Tee::Sgx),
            (shape(5, 0x81, &body5(2, 584), 5, b"x"), Tee::Tdx),
            (shape(5, 0x81, &body5(3, 648), 5, b"x"), Tee::Tdx),
            (shape(5, 0x81, &body5(4, 885), 5, b"x"), Tee::Tdx),
        ];
        for (mut bytes, tee) in shapes {
            let signed = bytes.len();
            bytes.extend([0; 5]);
            let quote = Quote::parse(&bytes).unwrap();
            assert_eq!(quote.header.tee, tee);
            assert_eq!(quote.trailing.len(), 5);
            assert_eq!(quote.qe_authentication, [7; 32]);
            let tree = quote.annotate();
            assert_eq!(tree.length, signed + 5);
            for truncated in [0, 1, 47, 48, 60, 500, signed - 1] {
                assert!(Quote::parse(&bytes[..truncated]).is_err());
            }
        }
    }

    #[test]
    fn certification_data_of_every_type_is_read_at_its_length() {
        let read = |kind, length| {
            Quote::parse(&shape(3, 0, &[0; 384], kind, &vec![0; length]))
                .map(|quote| quote.certification.number())
        };
        assert_eq!(read(1, 34), Ok(1));
        assert_eq!(read(1, 36), Ok(1));
        assert_eq!(read(2, 274), Ok(2));
        assert_eq!(read(2, 276), Ok(2));
        assert_eq!(read(3, 404), Ok(3));
        assert_eq!(read(4, 9), Ok(4));
        assert_eq!(read(5, 9), Ok(5));
        assert_eq!(read(7, 9), Ok(7));
        for (kind, length) in [(1, 33), (1, 37), (2, 277), (3, 402), (6, 9), (8, 9)] {
            assert_eq!(
                read(kind, length).unwrap_err().check,
                "dcap.certification-data"
            );
        }
    }

    #[test]
    fn each_field_of_the_header_is_refused_under_its_own_id() {
        let good = shape(4, 0x81, &[0; 584], 5, b"x");
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            refusal(&bytes)
        };
        assert_eq!(with(0, 6), ("dcap.quote.version", 0));
        assert_eq!(with(2, 3), ("dcap.quote.key-type", 2));
        assert_eq!(with(4, 0x82), ("dcap.quote.tee-type", 4));
        assert_eq!(with(12, 0), ("dcap.quote.vendor", 12));
        assert_eq!(
            refusal(&shape(3, 0x81, &[0; 384], 5, b"x")),
            ("dcap.quote.tee-type", 4)
        );
    }

    #[test]
    fn a_body_type_must_fit_the_header_and_its_size() {
        assert_eq!(
            refusal(&shape(5, 0, &body5(2, 584), 5, b"x")),
            ("dcap.quote.body", 48)
        );
        assert_eq!(
            refusal(&shape(5, 0x81, &body5(3, 584), 5, b"x")),
            ("dcap.quote.body", 50)
        );
        assert_eq!(
            refusal(&shape(5, 0x81, &body5(9, 584), 5, b"x")),
            ("dcap.quote.body", 48)
        );
    }

    #[test]
    fn inner_lengths_must_add_up() {
        let mut bytes = shape(3, 0, &[0; 384], 5, b"x");
        let length = (bytes.len() - 436 + 1) as u32;
        bytes[432..436].copy_from_slice(&length.to_le_bytes());
        bytes.push(0);
        assert_eq!(refusal(&bytes), ("dcap.quote.length", bytes.len() - 1));
        let mut outer = shape(4, 0, &[0; 384], 5, b"x");
        outer[432 + 4 + 128] = 5;
        assert_eq!(refusal(&outer), ("dcap.certification-data", 564));
    }

    #[test]
    fn a_quote_over_the_limit_is_refused_before_it_is_read() {
        assert_eq!(
            refusal(&vec![0; QUOTE_BYTES_MAX + 1]),
            ("dcap.quote.length", QUOTE_BYTES_MAX)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_parser_panic(
            tail in proptest::collection::vec(proptest::num::u8::ANY, 0..1400),
            version in 3u8..6,
            tdx in proptest::bool::ANY,
        ) {
            let mut bytes = vec![version, 0, 2, 0, if tdx { 0x81 } else { 0 }, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend(INTEL_VENDOR);
            bytes.extend(&tail);
            if let Ok(quote) = Quote::parse(&bytes) {
                let _ = quote.annotate();
            }
            let _ = Quote::parse(&tail);
        }

        #[test]
        fn a_flipped_byte_never_makes_the_parser_panic(at in 0usize..1300, value in proptest::num::u8::ANY) {
            let mut bytes = shape(4, 0x81, &[0; 584], 5, b"not a certificate");
            let length = bytes.len();
            bytes[at % length] = value;
            if let Ok(quote) = Quote::parse(&bytes) {
                let _ = quote.annotate();
            }
        }
    }
}
