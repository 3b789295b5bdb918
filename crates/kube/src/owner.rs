//! An owner's key, as `zeuge owner init` writes it. Never prints a seed, never writes one.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;
use zeuge_protocol::keys::SigningKey;
use zeuge_protocol::text::from_base64url;

use crate::error::Error;

/// The first line of a key file.
const HEAD: &str = "zeuge-owner-key-v1";
/// A key file has four lines.
const KEY_BYTES_MAX: u64 = 4096;
/// An owner's key and whose it is. Its `Debug` leaves the seed out.
#[derive(Debug)]
pub struct OwnerKey {
    /// The person or role.
    pub person: String,
    /// The key.
    pub key: SigningKey,
}

impl OwnerKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// `kube.local`, with a sentence that never quotes the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bad = |because: &str| Error::Local(format!("{}: {because}", path.display()));
        let mut text = Zeroizing::new(String::with_capacity(1024));
        fs::File::open(path)
            .and_then(|file| file.take(KEY_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| bad(&error.to_string()))?;
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err(bad("this is no owner key"));
        }
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix(": "))
        };
        let person = field("name").ok_or_else(|| bad("it names nobody"))?;
        let _tenant = field("tenant");
        let _public = field("public");
        let seed = field("seed")
            .and_then(from_base64url)
            .map(Zeroizing::new)
            .and_then(|seed| <[u8; 32]>::try_from(seed.as_slice()).ok())
            .map(Zeroizing::new)
            .ok_or_else(|| bad("the seed is not 32 bytes in base64url"))?;
        let key = SigningKey::from_seed(&seed).map_err(|error| bad(&error.to_string()))?;
        Ok(Self {
            person: person.to_owned(),
            key,
        })
    }
}
