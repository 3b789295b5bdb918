//! AMD's certificates and revocation lists, byte for byte as AMD shapes them.
//!
//! ARK, ASK and ASVK, VCEK and VLEK, and lists: names, serial numbers, order of extensions and
//! both encodings of the PSS parameters are those of real ones. Signs with the keys it is given;
//! never decides who signs what.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use aws_lc_rs::{
    digest::{Context, SHA256 as DIGEST},
    rand::SystemRandom,
    rsa,
    signature::{KeyPair as _, RSA_PSS_SHA256, RSA_PSS_SHA384},
};
use zeuge_evidence::UnixTime;

use super::{Product, Tcb};
use crate::{
    der_write::{
        bits, element, explicit, ia5, integer, null, oid, printable, sequence, set, time, utf8,
    },
    x509_write::{
        self, CERT_SIGN, CRL_SIGN, DIGITAL_SIGNATURE, Window, authority_key_id, basic_constraints,
        extension, key_usage, subject_key_id,
    },
};

/// AMD's arc of private extensions.
const AMD: [u64; 8] = [1, 3, 6, 1, 4, 1, 3704, 1];
const SHA256: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];
const SHA384: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 2];

/// Signatures that are kept: 4 MiB with what stands around them.
const SIGNED_MAX: usize = 8192;
/// Signatures by the digest of key, scheme and message.
static SIGNED: LazyLock<Mutex<HashMap<Vec<u8>, Vec<u8>>>> = LazyLock::new(Mutex::default);

/// How the issuer signs, and how it writes that down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pss {
    /// AMD's parameters with the DEFAULT trailerField written out (CA certificates, leaves up to
    /// autumn 2024).
    TrailerWritten,
    /// AMD's parameters, DEFAULT omitted (lists, leaves since).
    TrailerOmitted,
    /// A good PSS signature that is not AMD's: SHA-256 with a salt of 32 bytes. Google's are.
    Foreign,
}

impl Pss {
    pub(crate) fn identifier(self) -> Vec<u8> {
        let (digest, salt) = match self {
            Self::Foreign => (SHA256, 32),
            Self::TrailerWritten | Self::TrailerOmitted => (SHA384, 48),
        };
        let hash = sequence(&[&oid(&digest), &null()]);
        let mask = sequence(&[&oid(&[1, 2, 840, 113_549, 1, 1, 8]), &hash]);
        let mut parameters = [
            explicit(0, &hash),
            explicit(1, &mask),
            explicit(2, &integer(salt)),
        ]
        .concat();
        if self == Self::TrailerWritten {
            parameters.extend(explicit(3, &integer(1)));
        }
        let scheme = oid(&[1, 2, 840, 113_549, 1, 1, 10]);
        sequence(&[&scheme, &element(0x30, &parameters)])
    }

    /// The same key says the same about the same words: tests ask for one list a thousand times,
    /// and a signature of 4096 bits takes milliseconds.
    pub(crate) fn sign(self, key: &rsa::KeyPair, message: &[u8]) -> Vec<u8> {
        let mut asked = Context::new(&DIGEST);
        asked.update(key.public_key().as_ref());
        asked.update(&[u8::from(self == Self::Foreign)]);
        asked.update(message);
        let asked = asked.finish().as_ref().to_vec();
        let signed = || SIGNED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signature) = signed().get(&asked) {
            return signature.clone();
        }
        let signature = self.sign_anew(key, message);
        let mut signed = signed();
        if signed.len() < SIGNED_MAX {
            signed.insert(asked, signature.clone());
        }
        signature
    }

    fn sign_anew(self, key: &rsa::KeyPair, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; key.public_modulus_len()];
        let padding = if self == Self::Foreign {
            &RSA_PSS_SHA256
        } else {
            &RSA_PSS_SHA384
        };
        key.sign(padding, &SystemRandom::new(), message, &mut signature)
            .expect("a key of 4096 bits signs any message");
        signature
    }
}

/// What an issuer puts its name to.
pub(crate) struct CertificateBody {
    pub(crate) serial: u64,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) window: Window,
    /// SubjectPublicKeyInfo in DER.
    pub(crate) key: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
    pub(crate) pss: Pss,
}

impl CertificateBody {
    /// The certificate in DER.
    pub(crate) fn signed_with(&self, key: &rsa::KeyPair) -> Vec<u8> {
        let algorithm = self.pss.identifier();
        let extensions = element(0x30, &self.extensions.concat());
        let body = sequence(&[
            &explicit(0, &integer(2)),
            &integer(self.serial),
            &algorithm,
            &name(&self.issuer),
            &sequence(&[&time(self.window.from), &time(self.window.to)]),
            &name(&self.subject),
            &self.key,
            &explicit(3, &extensions),
        ]);
        let signature = self.pss.sign(key, &body);
        sequence(&[&body, &algorithm, &bits(0, &signature)])
    }
}

/// What the root says about revoked certificates.
pub(crate) struct ListBody {
    pub(crate) issuer: String,
    pub(crate) issuer_key_id: Vec<u8>,
    pub(crate) this_update: UnixTime,
    pub(crate) next_update: UnixTime,
    pub(crate) number: u64,
    /// Serial numbers and since when.
    pub(crate) revoked: Vec<(u64, UnixTime)>,
}

impl ListBody {
    /// The list in DER.
    pub(crate) fn signed_with(&self, key: &rsa::KeyPair) -> Vec<u8> {
        let algorithm = Pss::TrailerOmitted.identifier();
        let entries: Vec<u8> = self
            .revoked
            .iter()
            .flat_map(|(serial, since)| sequence(&[&integer(*serial), &time(*since)]))
            .collect();
        // RFC 5280 §5.1.2.6: absent, not empty, when nothing is revoked.
        let revoked = if entries.is_empty() {
            Vec::new()
        } else {
            element(0x30, &entries)
        };
        let extensions = sequence(&[
            &authority_key_id(&self.issuer_key_id),
            &extension(&[2, 5, 29, 20], false, &integer(self.number)),
        ]);
        let body = sequence(&[
            &integer(1),
            &algorithm,
            &name(&self.issuer),
            &time(self.this_update),
            &time(self.next_update),
            &revoked,
            &explicit(0, &extensions),
        ]);
        let signature = Pss::TrailerOmitted.sign(key, &body);
        sequence(&[&body, &algorithm, &bits(0, &signature)])
    }
}

/// The distinguished name with this common name, in AMD's order and string types.
fn name(common_name: &str) -> Vec<u8> {
    let attribute = |last: u64, value: &[u8]| set(&sequence(&[&oid(&[2, 5, 4, last]), value]));
    sequence(&[
        &attribute(11, &utf8("Engineering")),
        &attribute(6, &printable("US")),
        &attribute(7, &utf8("Santa Clara")),
        &attribute(8, &utf8("CA")),
        &attribute(10, &utf8("Advanced Micro Devices")),
        &attribute(3, &utf8(common_name)),
    ])
}

fn list_place(product: Product, kind: &str) -> Vec<u8> {
    let address = format!("https://kdsintf.amd.com/{kind}/v1/{}/crl", product.name());
    let general_name = element(0x86, address.as_bytes());
    let point = sequence(&[&explicit(0, &explicit(0, &general_name))]);
    extension(&[2, 5, 29, 31], false, &sequence(&[&point]))
}

/// The key id of an authority's key.
pub(crate) fn key_id(key: &rsa::KeyPair) -> Vec<u8> {
    x509_write::key_id(key.public_key().as_ref())
}

/// SubjectPublicKeyInfo of an RSA key: plain rsaEncryption, not id-RSASSA-PSS.
pub(crate) fn rsa_key_info(key: &rsa::KeyPair) -> Vec<u8> {
    let algorithm = sequence(&[&oid(&[1, 2, 840, 113_549, 1, 1, 1]), &null()]);
    sequence(&[&algorithm, &bits(0, key.public_key().as_ref())])
}

/// Extensions of an ARK, in its real order.
pub(crate) fn root_extensions(product: Product, key: &rsa::KeyPair) -> Vec<Vec<u8>> {
    vec![
        key_usage(CERT_SIGN | CRL_SIGN),
        subject_key_id(&key_id(key)),
        basic_constraints(true, None),
        list_place(product, "vcek"),
    ]
}

/// Extensions of an ASK (`kind` is `vcek`) or ASVK (`vlek`), in their real order; `authority` is
/// false for an intermediate that was never allowed to certify keys.
pub(crate) fn intermediate_extensions(
    product: Product,
    kind: &str,
    key: &rsa::KeyPair,
    root: &rsa::KeyPair,
    authority: bool,
) -> Vec<Vec<u8>> {
    let (constraints, usage) = if authority {
        (basic_constraints(true, Some(0)), key_usage(CERT_SIGN))
    } else {
        (basic_constraints(false, None), key_usage(DIGITAL_SIGNATURE))
    };
    vec![
        subject_key_id(&key_id(key)),
        authority_key_id(&key_id(root)),
        constraints,
        usage,
        list_place(product, kind),
    ]
}

/// What a leaf says about its key.
pub(crate) struct LeafClaims {
    pub(crate) product: Product,
    pub(crate) product_name: String,
    pub(crate) tcb: Tcb,
    /// hwID, raw; 64 bytes, or 8 on Turin.
    pub(crate) chip: Option<Vec<u8>>,
    /// cspID.
    pub(crate) provider: Option<String>,
    /// Whether ucodeSPL is written.
    pub(crate) microcode: bool,
}

impl LeafClaims {
    /// AMD's private extensions in the product's real order (which is not numeric).
    pub(crate) fn extensions(&self) -> Vec<Vec<u8>> {
        let at =
            |suffix: &[u64], value: &[u8]| extension(&[&AMD[..], suffix].concat(), false, value);
        let part = |last: u64, value: u8| at(&[3, last], &integer(u64::from(value)));
        let turin = self.product == Product::Turin;
        let mut out = vec![
            at(&[1], &integer(u64::from(turin))),
            at(&[2], &ia5(&self.product_name)),
        ];
        if turin {
            out.push(part(9, self.tcb.fmc));
        }
        out.push(part(1, self.tcb.boot_loader));
        out.push(part(2, self.tcb.tee));
        if turin {
            out.push(part(3, self.tcb.snp));
            out.extend([5, 6, 7].map(|last| part(last, 0)));
        } else {
            out.extend([4, 5, 6, 7].map(|last| part(last, 0)));
            out.push(part(3, self.tcb.snp));
        }
        if self.microcode {
            out.push(part(8, self.tcb.microcode));
        }
        if let Some(chip) = &self.chip {
            // Raw bytes, without an OCTET STRING of their own: so AMD writes them.
            out.push(at(&[4], chip));
        }
        if let Some(provider) = &self.provider {
            out.push(at(&[5], &ia5(provider)));
        }
        out
    }
}
