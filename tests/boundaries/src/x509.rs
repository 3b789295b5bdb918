//! Certificates, revocation lists, instants.

use zeuge_evidence::{
    Malformed, UnixTime,
    der::{Der, tag},
    tpm::EkIdentity,
    x509::{Certificate, RevocationList, annotate},
};
use zeuge_verify::{dcap::PckExtension, tpm::AttestationKey};

use crate::{
    meter::{Bound, within},
    must, sparing,
};

/// Names and extensions become lists of strings: many short ones cost most.
const CERTIFICATE: Bound = Bound::new(64, 4096);
/// A revoked entry of 20 bytes becomes one of 48.
const LIST: Bound = Bound::new(32, 4096);

/// A certificate in DER, and what is read out of its extensions.
pub(crate) fn certificate(bytes: &[u8]) {
    let length = bytes.len();
    match within(CERTIFICATE, length, || Certificate::parse(bytes)) {
        Ok(certificate) => {
            assert!(certificate.serial.len() <= length);
            let refused = |result: Result<(), Malformed>| {
                if let Err(malformed) = result {
                    must::refuse(&malformed, length);
                }
            };
            refused(certificate.basic_constraints().map(|_| ()));
            refused(certificate.key_usage().map(|_| ()));
            refused(within(CERTIFICATE, length, || PckExtension::of(&certificate)).map(|_| ()));
            refused(within(CERTIFICATE, length, || EkIdentity::of(&certificate)).map(|_| ()));
            if let Err(error) = AttestationKey::of_certificate(&certificate) {
                must::name_a_check(error.check());
                must::be_short(&error.to_string());
            }
            let _ = zeuge_verify::x509::key_kind(&certificate.public_key);
            if !sparing::chosen(bytes) {
                return;
            }
            let tree = within(Bound::new(512, 64 * 1024), length, || {
                annotate::certificate(bytes, 0)
            });
            match tree {
                Ok(tree) => must::show_in_place(&tree, bytes),
                Err(malformed) => must::refuse(&malformed, length),
            }
        }
        Err(malformed) => must::refuse(&malformed, length),
    }
}

/// A revocation list in DER.
pub(crate) fn revocation_list(bytes: &[u8]) {
    let length = bytes.len();
    match within(LIST, length, || RevocationList::parse(bytes)) {
        Ok(list) => {
            let _ = list.number();
            if !sparing::chosen(bytes) {
                return;
            }
            for revoked in &list.revoked {
                assert!(list.lists(revoked.serial));
            }
            match annotate::revocation_list(bytes, 0) {
                Ok(tree) => must::show_in_place(&tree, bytes),
                Err(malformed) => must::refuse(&malformed, length),
            }
        }
        Err(malformed) => must::refuse(&malformed, length),
    }
}

/// An instant in RFC 3339, and one as a certificate says it.
pub(crate) fn time(bytes: &[u8]) {
    if let Some(at) = std::str::from_utf8(bytes)
        .ok()
        .and_then(UnixTime::parse_rfc3339)
    {
        assert_eq!(UnixTime::parse_rfc3339(&at.to_string()), Some(at));
    }
    for kind in [tag::UTC_TIME, tag::GENERALIZED_TIME] {
        let Ok(length) = u8::try_from(bytes.len()) else {
            return;
        };
        if length >= 128 {
            return;
        }
        let element = [&[kind, length], bytes].concat();
        let element = Der::new(&element, "x509.certificate").any();
        let element = element.expect("an element of this length");
        match element.time() {
            Ok(at) => assert_eq!(UnixTime::parse_rfc3339(&at.to_string()), Some(at)),
            Err(malformed) => must::refuse(&malformed, bytes.len() + 2),
        }
    }
}
