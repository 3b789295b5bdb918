//! Quotes of SGX and TDX, bare and wrapped.

use zeuge_evidence::dcap::{Evidence, Quote};

use crate::{
    meter::{Bound, within},
    must,
};

/// A bare quote.
pub(crate) fn quote(bytes: &[u8]) {
    let length = bytes.len();
    match within(Bound::new(0, 4096), length, || Quote::parse(bytes)) {
        Ok(quote) => {
            assert_eq!(Some(quote.signed), bytes.get(..quote.signed.len()));
            assert!(bytes.ends_with(quote.trailing));
            assert_eq!(written(&quote), bytes);
            assert!(zeuge_verify::dcap::needs(&quote).len() <= 16);
            must::show_in_place(&quote.annotate(), bytes);
        }
        Err(malformed) => must::refuse(&malformed, length),
    }
}

/// The quote written again around its signed part, by the layout of Intel's DCAP documents:
/// nothing of it is lost between the parts.
fn written(quote: &Quote<'_>) -> Vec<u8> {
    use zeuge_evidence::dcap::CertificationData as Data;
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
    let data: Vec<u8> = match &quote.certification {
        Data::Platform {
            ppid,
            cpu_svn,
            pce_svn,
            pce_id,
            ..
        } => {
            let pce_id = pce_id.as_ref().map_or(&[][..], |id| &id[..]);
            [ppid, &cpu_svn[..], &pce_svn.to_le_bytes(), pce_id].concat()
        }
        Data::Leaf(bytes) | Data::Chain(bytes) | Data::Manifest(bytes) => bytes.to_vec(),
    };
    let authentication = u16::try_from(quote.qe_authentication.len()).unwrap_or(u16::MAX);
    let inner = [
        quote.qe_report_bytes,
        &quote.qe_report_signature,
        &authentication.to_le_bytes(),
        quote.qe_authentication,
        &quote.certification.number().to_le_bytes(),
        &length(&data),
        &data,
    ]
    .concat();
    let mut section = [&quote.signature[..], &quote.attestation_key].concat();
    if quote.header.version > 3 {
        section.extend(6_u16.to_le_bytes());
        section.extend(length(&inner));
    }
    section.extend(inner);
    [quote.signed, &length(&section), &section, quote.trailing].concat()
}

/// A quote in JSON, protobuf, hex or base64.
pub(crate) fn forms(bytes: &[u8]) {
    let length = bytes.len();
    match within(Bound::TREE, length, || Evidence::read(bytes)) {
        Ok(evidence) => {
            assert!(evidence.notes.len() <= 64, "{} notes", evidence.notes.len());
            assert!(evidence.quote.len() <= length.saturating_add(8192));

            for note in &evidence.notes {
                must::be_short(note);
                assert!(!note.contains(char::is_control), "{note:?}");
            }
            if evidence.form != zeuge_evidence::dcap::EvidenceForm::Raw {
                quote(&evidence.quote);
            }
        }
        Err(malformed) => must::refuse(&malformed, length),
    }
}
