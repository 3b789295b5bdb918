//! What TPMs say, and the files it comes in.

use zeuge_evidence::tpm::{
    Attest, Public, QuoteBundle, Signature, annotate_attest, annotate_public, certificate_in,
};
use zeuge_verify::tpm::AttestationKey;

use crate::{
    meter::{Bound, within},
    must,
};

/// Lists of selections grow by a few bytes each.
const PARTS: Bound = Bound::new(16, 4096);

/// A `TPMS_ATTEST`.
pub(crate) fn attest(bytes: &[u8]) {
    let length = bytes.len();
    match within(PARTS, length, || Attest::parse(bytes)) {
        Ok(_) => {
            let tree = annotate_attest(bytes, 0).expect("what is read can be shown");
            must::show_in_place(&tree, bytes);
        }
        Err(malformed) => {
            must::refuse(&malformed, length);
            assert!(annotate_attest(bytes, 0).is_err());
        }
    }
}

/// A `TPMT_PUBLIC` or `TPM2B_PUBLIC`, and a key in any of the forms of an AK.
pub(crate) fn public(bytes: &[u8]) {
    let length = bytes.len();
    match within(PARTS, length, || Public::parse(bytes)) {
        Ok(public) => {
            if let Some(name) = public.name() {
                assert!(name.len() > 2 && name.len() <= 66);
            }
            let tree = annotate_public(bytes, 0).expect("what is read can be shown");
            must::show_in_place(&tree, bytes);
        }
        Err(malformed) => must::refuse(&malformed, length),
    }
    match within(Bound::new(64, 4096), length, || AttestationKey::read(bytes)) {
        Ok(key) => must::be_short(&key.text()),
        Err(error) => {
            must::name_a_check(error.check());
            must::be_short(&error.to_string());
        }
    }
}

/// A `TPMT_SIGNATURE`, or the bare bytes of one.
pub(crate) fn signature(bytes: &[u8]) {
    let length = bytes.len();
    for result in [
        within(PARTS, length, || Signature::parse(bytes)),
        within(PARTS, length, || Signature::parse_any(bytes)),
    ] {
        if let Err(malformed) = result {
            must::refuse(&malformed, length);
        }
    }
}

/// Eight quotes of one message have a copy each of what they share.
const FILE: Bound = Bound::new(9, 48 * 1024 * 1024);

/// A file of quotes in any known form.
pub(crate) fn bundle(bytes: &[u8]) {
    let length = bytes.len();
    match within(FILE, length, || QuoteBundle::read(bytes)) {
        Ok(bundles) => {
            assert!(!bundles.is_empty() && bundles.len() <= 8);
            for bundle in &bundles {
                let _ = Attest::parse(&bundle.attest);
                let _ = Signature::parse_any(&bundle.signature);
                assert!(bundle.certificates.len() <= 16);
            }
        }
        Err(malformed) => must::refuse(&malformed, length),
    }
}

/// A file with the certificate of an endorsement key.
pub(crate) fn ek_file(bytes: &[u8]) {
    let length = bytes.len();
    match within(Bound::new(80, 8192), length, || certificate_in(bytes)) {
        Ok(der) => {
            assert!(der.len() <= length);
            crate::x509::certificate(&der);
        }
        Err(malformed) => must::refuse(&malformed, length),
    }
}
