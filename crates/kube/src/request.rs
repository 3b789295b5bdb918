//! A kubelet's key and certificate request, made in the machine itself.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::join::NODE_USER;

/// A fresh key on P-256 and its PKCS #8, which is secret.
///
/// # Errors
/// `kube.local` when the system gives no random bytes.
pub fn key() -> Result<(EcdsaKeyPair, Vec<u8>), Error> {
    let none = |_| Error::Local("no key can be made".into());
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let bytes = made.map_err(none)?.as_ref().to_vec();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &bytes);
    let key = key.map_err(|_| Error::Local("no key can be made".into()))?;
    Ok((key, bytes))
}

/// The key's SubjectPublicKeyInfo in PEM, from its coordinates.
#[must_use]
pub fn public_pem(x: &[u8; 32], y: &[u8; 32]) -> String {
    armour("PUBLIC KEY", &public_der(&[&[4][..], x, y].concat()))
}

/// PEM.
#[must_use]
pub fn armour(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at.is_multiple_of(64) {
            out.push('\n');
        }
        out.push(letter);
    }
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}

/// A request for the client certificate of `node`, in PEM.
///
/// # Errors
/// `kube.local` when the system gives no random bytes.
pub fn client(node: &str, key: &EcdsaKeyPair) -> Result<String, Error> {
    let name = |kind: u8, tag: u8, value: &str| {
        let kind = der(0x06, &[0x55, 0x04, kind]);
        let value = der(tag, value.as_bytes());
        der(0x31, &der(0x30, &[kind, value].concat()))
    };
    let subject = [
        name(0x0a, 0x0c, "system:nodes"),
        name(0x03, 0x0c, &format!("{NODE_USER}{node}")),
    ]
    .concat();
    let information = der(
        0x30,
        &[
            der(0x02, &[0]),
            der(0x30, &subject),
            public_der(key.public_key().as_ref()),
            der(0xa0, &[]),
        ]
        .concat(),
    );
    let signature = key
        .sign(&SystemRandom::new(), &information)
        .map_err(|_| Error::Local("the key cannot sign".into()))?;
    let algorithm = der(
        0x30,
        &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
    );
    let signature = der(0x03, &[&[0][..], signature.as_ref()].concat());
    let whole = der(0x30, &[information, algorithm, signature].concat());
    Ok(armour("CERTIFICATE REQUEST", &whole))
}

fn public_der(point: &[u8]) -> Vec<u8> {
    let algorithm = der(
        0x30,
        &[
            0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07,
        ],
    );
    let bits = der(0x03, &[&[0][..], point].concat());
    der(0x30, &[algorithm, bits].concat())
}

/// One element; what is written here has less than 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let mut out = vec![tag];
    match length.to_be_bytes() {
        [0, short @ 0..=0x7f] => out.push(short),
        [0, long] => out.extend([0x81, long]),
        both => {
            out.push(0x82);
            out.extend(both);
        }
    }
    out.extend(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkcs10;

    #[test]
    fn what_is_asked_for_is_read_as_what_it_is() {
        let (key, _) = key().unwrap();
        let name = "worker-1.".repeat(20) + "example";
        let read = pkcs10::read(client(&name, &key).unwrap().as_bytes()).unwrap();
        assert_eq!(read.organizations, ["system:nodes"]);
        assert_eq!(read.common_names, [format!("system:node:{name}")]);
        let (x, y) = read.key;
        assert_eq!([&[4][..], &x, &y].concat(), key.public_key().as_ref());
        assert!(public_pem(&x, &y).contains("\nMFkw") || public_pem(&x, &y).contains("MFkwEwYH"));
    }
}
