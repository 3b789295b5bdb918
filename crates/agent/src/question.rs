//! What an attestation is asked for: an audience, a context and public keys of this machine, all
//! of which stand in the binding.
//!
//! Reads public keys only; never a private one. Says nothing about who holds the private part:
//! what is signed with the key later must prove that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeuge_protocol::binding::{BoundKey, Role};
use zeuge_protocol::request::Request;

use crate::error::Error;

/// The longest file of a public key in bytes; a P-256 key in PEM has under 200.
const KEY_BYTES_MAX: u64 = 4096;
/// What precedes the point of a P-256 key in its SubjectPublicKeyInfo (RFC 5480 §2).
const P256_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// What precedes an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410 §4).
const ED25519_HEAD: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A public key to bind, as `ROLE=FILE` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFile {
    role: Role,
    file: PathBuf,
}

/// Reads `ROLE=FILE`; for the command line.
pub(crate) fn key_file(text: &str) -> Result<KeyFile, String> {
    let roles = [
        ("tls", Role::Tls),
        ("kubelet-client", Role::KubeletClient),
        ("kubelet-serving", Role::KubeletServing),
        ("workload", Role::Workload),
    ];
    let (role, file) = text.split_once('=').ok_or("ROLE=FILE")?;
    let (_, role) = roles
        .into_iter()
        .find(|(name, _)| *name == role)
        .ok_or("ROLE is tls, kubelet-client, kubelet-serving or workload")?;
    Ok(KeyFile {
        role,
        file: file.into(),
    })
}

/// Reads `KEY=VALUE`; for the command line.
pub(crate) fn entry(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE")?;
    if key.is_empty() {
        return Err("KEY=VALUE, and the key is not empty".into());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// The request for an Attestation Result.
pub(crate) fn request(audience: &str, context: &[(String, String)]) -> Request {
    Request {
        context: context.iter().cloned().collect(),
        ..Request::appraisal(audience)
    }
}

/// The keys of these files.
///
/// # Errors
/// `agent.local` when a file cannot be read, is no public key in PEM, or a role stands twice.
pub(crate) fn keys(files: &[KeyFile]) -> Result<BTreeMap<Role, BoundKey>, Error> {
    let mut keys = BTreeMap::new();
    for KeyFile { role, file } in files {
        if keys.insert(*role, read(file)?).is_some() {
            return Err(Error::local("--bind names a role twice"));
        }
    }
    Ok(keys)
}

fn read(path: &Path) -> Result<BoundKey, Error> {
    let failed = |error| Error::local(format!("{}: {error}", path.display()));
    let mut text = String::new();
    File::open(path)
        .map_err(failed)?
        .take(KEY_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    parse(&text).ok_or_else(|| {
        Error::local(format!(
            "{}: a P-256 or Ed25519 public key in PEM (BEGIN PUBLIC KEY) is wanted",
            path.display()
        ))
    })
}

fn parse(text: &str) -> Option<BoundKey> {
    let inside = text
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")?
        .strip_suffix("-----END PUBLIC KEY-----")?;
    let inside: String = inside.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(inside).ok()?;
    if let Some(point) = bytes.strip_prefix(P256_HEAD) {
        let (x, y) = point.split_first_chunk::<32>()?;
        return Some(BoundKey::p256(x, y.try_into().ok()?));
    }
    let key = bytes.strip_prefix(ED25519_HEAD)?;
    Some(BoundKey::ed25519(key.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(bytes: &[u8]) -> String {
        let text = STANDARD.encode(bytes);
        let (first, second) = text.split_at(text.len().min(64));
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }

    #[test]
    fn a_public_key_in_pem_becomes_the_key_that_is_bound() {
        let p256 = [P256_HEAD, &[1; 32], &[2; 32]].concat();
        assert_eq!(parse(&pem(&p256)), Some(BoundKey::p256(&[1; 32], &[2; 32])));
        let ed25519 = [ED25519_HEAD, &[3; 32]].concat();
        assert_eq!(parse(&pem(&ed25519)), Some(BoundKey::ed25519(&[3; 32])));
    }

    #[test]
    fn anything_else_is_no_public_key() {
        let long = [P256_HEAD, &[1; 32], &[2; 33]].concat();
        for bad in [pem(&long), pem(&[0; 91]), String::new(), "x".repeat(99)] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
        assert!(key_file("kem=/x").is_err());
        assert!(key_file("kubelet-client=/x").is_ok());
        assert!(entry("=x").is_err());
    }
}
