//! What a kubelet's certificate request says (PKCS #10, RFC 2986), for keys on P-256.
//!
//! Reads strict DER within a limit and proves that whoever made the request holds the key. Never
//! panics on hostile bytes; an attribute or extension that a kubelet does not ask for is refused,
//! not skipped. Whether the names are the wanted ones is decided in [`crate::join`].

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;

use crate::der::Reader;

/// The longest request in bytes of DER: a kubelet's with ten addresses has under 1 KiB.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// The most names of one kind: a node has a handful of addresses.
pub const NAMES_MAX: usize = 64;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// id-ecPublicKey with the named curve P-256, as AlgorithmIdentifier without its head.
const P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07,
];
/// ecdsa-with-SHA256, as AlgorithmIdentifier without its head.
const ECDSA_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A request whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Every organization of the subject, in order.
    pub organizations: Vec<String>,
    /// Every common name of the subject, in order.
    pub common_names: Vec<String>,
    /// The public key's coordinates.
    pub key: ([u8; 32], [u8; 32]),
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// Reads a request in PEM and checks its signature.
///
/// # Errors
/// What is wrong with it, for `kube.csr.malformed`.
pub fn read(pem: &[u8]) -> Result<Request, &'static str> {
    let der = der(pem).ok_or("it is not one CERTIFICATE REQUEST in PEM of at most 16 KiB")?;
    let mut outer = Reader(&der);
    let mut request = Reader(outer.take(0x30).ok_or("it is no PKCS #10 request")?);
    let whole = request.0;
    let information = request.take(0x30).ok_or("it is no PKCS #10 request")?;
    let signed_length = whole.len().saturating_sub(request.0.len());
    let signed = whole.get(..signed_length).unwrap_or_default();
    let algorithm = request.take(0x30);
    let signature = request.take(0x03).and_then(|bits| bits.strip_prefix(&[0]));
    if !outer.0.is_empty() || !request.0.is_empty() {
        return Err("bytes follow its end");
    }
    let (Some(ECDSA_SHA256), Some(signature)) = (algorithm, signature) else {
        return Err("it is not signed by ECDSA with SHA-256");
    };
    let read = information_of(information)?;
    let point = [&[4][..], &read.key.0, &read.key.1].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(signed, signature)
        .map_err(|_| "whoever made it does not hold its key")?;
    Ok(read)
}

fn der(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    if text.len() > REQUEST_BYTES_MAX.saturating_mul(2) {
        return None;
    }
    let inside = text
        .trim()
        .strip_prefix("-----BEGIN CERTIFICATE REQUEST-----")?
        .strip_suffix("-----END CERTIFICATE REQUEST-----")?;
    let inside: String = inside.split_ascii_whitespace().collect();
    let der = STANDARD.decode(inside).ok()?;
    (der.len() <= REQUEST_BYTES_MAX).then_some(der)
}

fn information_of(bytes: &[u8]) -> Result<Request, &'static str> {
    let mut fields = Reader(bytes);
    if fields.take(0x02) != Some(&[0]) {
        return Err("its version is not 1");
    }
    let subject = fields.take(0x30).ok_or("it has no subject")?;
    let (organizations, common_names) = names(subject).ok_or("its subject cannot be read")?;
    let key = fields
        .take(0x30)
        .and_then(key)
        .ok_or("its key is not on P-256")?;
    let mut read = Request {
        organizations,
        common_names,
        key,
        dns: Vec::new(),
        addresses: Vec::new(),
    };
    if let Some(attributes) = fields.take(0xa0) {
        attributes_of(attributes, &mut read)
            .ok_or("it asks for more than alternative names, or not in DER")?;
    }
    if fields.0.is_empty() {
        Ok(read)
    } else {
        Err("bytes follow its attributes")
    }
}

/// Organizations and common names; any other attribute type is refused.
fn names(subject: &[u8]) -> Option<(Vec<String>, Vec<String>)> {
    let mut sets = Reader(subject);
    let (mut organizations, mut common_names) = (Vec::new(), Vec::new());
    while !sets.0.is_empty() {
        let mut set = Reader(sets.take(0x31)?);
        while !set.0.is_empty() {
            let mut pair = Reader(set.take(0x30)?);
            let kind = pair.take(0x06)?;
            let value = pair.take(0x0c).or_else(|| pair.take(0x13))?;
            let value = std::str::from_utf8(value).ok()?.to_owned();
            match kind {
                COMMON_NAME => common_names.push(value),
                ORGANIZATION => organizations.push(value),
                _ => return None,
            }
            let count = organizations.len().saturating_add(common_names.len());
            if !pair.0.is_empty() || count > NAMES_MAX {
                return None;
            }
        }
    }
    Some((organizations, common_names))
}

fn key(bytes: &[u8]) -> Option<([u8; 32], [u8; 32])> {
    let mut fields = Reader(bytes);
    if fields.take(0x30)? != P256 {
        return None;
    }
    let point = fields.take(0x03)?.strip_prefix(&[0, 4])?;
    let (x, y) = point.split_first_chunk::<32>()?;
    fields.0.is_empty().then_some((*x, y.try_into().ok()?))
}

fn attributes_of(bytes: &[u8], read: &mut Request) -> Option<()> {
    let mut attributes = Reader(bytes);
    while !attributes.0.is_empty() {
        let mut attribute = Reader(attributes.take(0x30)?);
        if attribute.take(0x06)? != EXTENSION_REQUEST {
            return None;
        }
        let mut values = Reader(attribute.take(0x31)?);
        let mut extensions = Reader(values.take(0x30)?);
        while !extensions.0.is_empty() {
            let mut extension = Reader(extensions.take(0x30)?);
            if extension.take(0x06)? != ALTERNATIVE_NAMES {
                return None;
            }
            let _critical = extension.take(0x01);
            alternative_names(extension.take(0x04)?, read)?;
            if !extension.0.is_empty() {
                return None;
            }
        }
        if !values.0.is_empty() || !attribute.0.is_empty() {
            return None;
        }
    }
    Some(())
}

fn alternative_names(bytes: &[u8], read: &mut Request) -> Option<()> {
    let mut outer = Reader(bytes);
    let mut names = Reader(outer.take(0x30)?);
    while !names.0.is_empty() {
        if let Some(name) = names.take(0x82) {
            read.dns.push(std::str::from_utf8(name).ok()?.to_owned());
        } else {
            let address = names.take(0x87)?;
            read.addresses.push(
                <[u8; 4]>::try_from(address)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(address).map(IpAddr::from))
                    .ok()?,
            );
        }
        if read.dns.len().saturating_add(read.addresses.len()) > NAMES_MAX {
            return None;
        }
    }
    outer.0.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A request as OpenSSL writes it.
    fn openssl(subject: &str, extra: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("csr");
        let made = Command::new("openssl")
            .args(["req", "-new", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-sha256", "-subj"])
            .arg(subject)
            .args(extra)
            .arg("-keyout")
            .arg(folder.path().join("key"))
            .arg("-out")
            .arg(&out)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        std::fs::read(out).unwrap()
    }

    const SUBJECT: &str = "/O=system:nodes/CN=system:node:worker-1";

    #[test]
    fn names_and_addresses_are_read_as_openssl_wrote_them() {
        let names = "subjectAltName=DNS:worker-1,IP:192.0.2.7,IP:2001:db8::1";
        let read = read(&openssl(SUBJECT, &["-addext", names])).unwrap();
        assert_eq!(read.organizations, ["system:nodes"]);
        assert_eq!(read.common_names, ["system:node:worker-1"]);
        assert_eq!(read.dns, ["worker-1"]);
        let addresses: [IpAddr; 2] = ["192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(read.addresses, addresses);
    }

    #[test]
    fn what_a_kubelet_does_not_ask_for_is_refused() {
        let constraint = ["-addext", "basicConstraints=CA:TRUE"];
        let uri = ["-addext", "subjectAltName=URI:spiffe://x/y"];
        for extra in [constraint, uri] {
            assert_eq!(
                read(&openssl(SUBJECT, &extra)),
                Err("it asks for more than alternative names, or not in DER")
            );
        }
        let country = "/C=DE/O=system:nodes/CN=system:node:worker-1";
        assert_eq!(
            read(&openssl(country, &[])),
            Err("its subject cannot be read")
        );
    }

    #[test]
    fn no_changed_byte_and_no_shorter_request_is_read() {
        let pem = openssl(SUBJECT, &[]);
        let whole = der(&pem).unwrap();
        assert!(read(&pem).is_ok());
        let armoured = |der: &[u8]| {
            format!(
                "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
                STANDARD.encode(der)
            )
        };
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(read(armoured(&changed).as_bytes()).is_err(), "byte {at}");
            assert!(read(armoured(&whole[..at]).as_bytes()).is_err(), "end {at}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(
            read(armoured(&longer).as_bytes()),
            Err("bytes follow its end")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let text = format!(
                "-----BEGIN CERTIFICATE REQUEST-----{}-----END CERTIFICATE REQUEST-----",
                STANDARD.encode(&bytes)
            );
            let _ = read(text.as_bytes());
            let _ = information_of(&bytes);
            let _ = read(&bytes);
        }
    }
}
