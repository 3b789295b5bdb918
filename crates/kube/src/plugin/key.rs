//! The key that signs a report: an owner's, as `zeuge owner init` writes it. Never prints a seed.

use std::fmt;
use std::path::Path;

use zeuge_protocol::keys::{PublicKey, SigningKey};
use zeuge_protocol::text::{base64url, from_base64url};

use crate::error::Error;

/// The first line of a key file.
const HEAD: &str = "zeuge-owner-key-v1";
/// Five short lines; more is something else.
const FILE_BYTES_MAX: u64 = 8 * 1024;

/// A key and whose it is. Its `Debug` leaves the seed out, as the key's own does.
pub(super) struct Signer {
    pub(super) person: String,
    pub(super) key: SigningKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Signer({} of {})", self.key.public().id(), self.person)
    }
}

/// Reads a key file.
///
/// # Errors
/// `kube.local`, in a sentence that never quotes the file.
pub(super) fn read(path: &Path) -> Result<Signer, Error> {
    use std::io::Read as _;
    let bad = |because: &str| Error::Local(format!("{}: {because}", path.display()));
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| bad(&error.to_string()))?;
    let signer = parse(&text);
    wipe(text);
    signer.map_err(bad)
}

/// Overwrites what was read; a copy that the system made stays what it is.
fn wipe(text: String) {
    let mut bytes = text.into_bytes();
    bytes.fill(0);
    std::hint::black_box(&bytes);
}

fn parse(text: &str) -> Result<Signer, &'static str> {
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Err("this is no owner key (zeuge owner init makes one)");
    }
    let field = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.and_then(|rest| rest.strip_prefix(": "))
    };
    let person = field("name").ok_or("the line \"name: \" is missing")?;
    let public = field("public").ok_or("the line \"public: \" is missing")?;
    let mut seed = field("seed")
        .and_then(from_base64url)
        .and_then(|seed| <[u8; 32]>::try_from(seed.as_slice()).ok())
        .ok_or("the seed is not 32 bytes in base64url")?;
    let key = SigningKey::from_seed(&seed);
    seed.fill(0);
    std::hint::black_box(&seed);
    let key = key.map_err(|_| "the seed gives no key")?;
    if base64url(&key.public().0) != public {
        return Err("the seed is not that of the public key beside it");
    }
    Ok(Signer {
        person: person.to_owned(),
        key,
    })
}

/// A public key from base64url.
///
/// # Errors
/// `kube.local`.
pub(super) fn public(text: &str) -> Result<PublicKey, Error> {
    from_base64url(text.trim())
        .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok())
        .map(PublicKey)
        .ok_or_else(|| Error::Local("--public-key: not 32 bytes in base64url".into()))
}

#[cfg(test)]
pub(super) fn sample() -> (String, PublicKey) {
    let key = SigningKey::from_seed(&[9; 32]).unwrap();
    let public = key.public();
    let (shown, seed) = (base64url(&public.0), base64url(&[9; 32]));
    let text = format!("{HEAD}\nname: Ada\ntenant: acme\npublic: {shown}\nseed: {seed}\n");
    (text, public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_read_and_never_shown() {
        let (text, public) = sample();
        let signer = parse(&text).unwrap();
        assert_eq!(
            (signer.person.as_str(), signer.key.public()),
            ("Ada", public)
        );
        assert!(!format!("{signer:?}").contains(&base64url(&[9; 32])));
        assert!(
            parse(&text.replace(HEAD, "x"))
                .unwrap_err()
                .contains("no owner key")
        );
        assert!(
            parse(&text.replace("seed: CQkJ", "seed: CQkK"))
                .unwrap_err()
                .contains("beside")
        );
        assert!(
            parse(&text.replace("seed", "sead"))
                .unwrap_err()
                .contains("32 bytes")
        );
        assert!(super::public("AAAA").is_err());
    }
}
