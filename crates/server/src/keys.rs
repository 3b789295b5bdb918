//! The witness's keys: one purpose, one file of 32 secret bytes in `keys/`, mode 0600.
//!
//! A file is `<purpose>.<generation>`; the highest generation signs or seals, older ones of EAR,
//! challenge and sealing keys stay good for what was made with them, so rotation has an overlap.
//! Others pin log, answer and report keys, so these do not rotate; a log that was recovered has another
//! origin, and with it another key. Never prints a key.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;
use zeuge_log::note::Signer;
use zeuge_protocol::challenge::ChallengeKey;
use zeuge_protocol::keys::SigningKey;

use crate::refusal::Refusal;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Answers to agents (Ed25519).
    Answer,
    /// Challenges (HMAC-SHA-256).
    Challenge,
    /// Attestation Results (Ed25519).
    Ear,
    /// Checkpoints of the log (Ed25519).
    Log,
    /// Reports of machines (Ed25519).
    Report,
    /// Secrets at rest (AES-256-GCM).
    Sealing,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 6] = [
        Self::Answer,
        Self::Challenge,
        Self::Ear,
        Self::Log,
        Self::Report,
        Self::Sealing,
    ];

    /// The name of its files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Challenge => "challenge",
            Self::Ear => "ear",
            Self::Log => "log",
            Self::Report => "report",
            Self::Sealing => "sealing",
        }
    }

    /// Whether older generations may stand beside a new one.
    #[must_use]
    pub const fn rotates(self) -> bool {
        matches!(self, Self::Challenge | Self::Ear | Self::Sealing)
    }
}

/// Fills the slice with secret random bytes of the operating system.
///
/// # Panics
/// When the operating system gives no randomness: nothing could go on.
pub fn random(out: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "without randomness nothing may go on")]
    SystemRandom::new()
        .fill(out)
        .expect("the operating system gives random bytes");
}

/// Opened keys. Its `Debug` says only its name.
pub struct Keys {
    /// Signs answers.
    pub answer: SigningKey,
    /// Newest first.
    pub challenge: Vec<ChallengeKey>,
    /// Newest first.
    pub ear: Vec<SigningKey>,
    /// Signs checkpoints.
    pub log: Signer,
    /// Signs reports of machines.
    pub report: SigningKey,
    sealing: Vec<(u32, LessSafeKey)>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Keys")
    }
}

/// Makes the next generation of a key and returns its number, counted from 1.
///
/// # Errors
/// Those of the file system; also when the purpose does not rotate and has a key.
pub fn make(folder: &Path, purpose: Purpose) -> io::Result<u32> {
    let last = generations(folder, purpose)?.pop().unwrap_or(0);
    if last > 0 && !purpose.rotates() {
        let text = format!(
            "the {} key is pinned by others and does not rotate here",
            purpose.name()
        );
        return Err(io::Error::other(text));
    }
    let next = last.saturating_add(1);
    make_generation(folder, purpose, next)?;
    Ok(next)
}

fn make_generation(folder: &Path, purpose: Purpose, generation: u32) -> io::Result<()> {
    let mut bytes = Zeroizing::new([0; 32]);
    random(bytes.as_mut_slice());
    write_secret(&path(folder, purpose, generation), bytes.as_slice())
}

/// Which generation of the log key signs for an origin: the first for `w1`, the second for
/// `w1/2`, and so on. A witness's id has no slash.
fn generation_of(origin: &str) -> Option<u32> {
    match origin.rsplit_once('/') {
        None => Some(1),
        Some((_, number)) => number.parse().ok().filter(|number| *number > 1),
    }
}

/// The origin that follows this one, with a key of its own.
///
/// # Errors
/// Those of the file system.
pub fn next_origin(folder: &Path, id: &str, origin: &str) -> io::Result<String> {
    let unknown = || io::Error::other(format!("{origin} is no origin of this witness"));
    let next = generation_of(origin).ok_or_else(unknown)?.saturating_add(1);
    // Left by a recovery that did not end: it never signed anything.
    if !path(folder, Purpose::Log, next).exists() {
        make_generation(folder, Purpose::Log, next)?;
    }
    Ok(format!("{id}/{next}"))
}

/// Makes a new challenge key and takes all older ones away: challenges that were made before count
/// no more.
///
/// # Errors
/// Those of the file system.
pub fn forget_challenges(folder: &Path) -> io::Result<()> {
    let old = generations(folder, Purpose::Challenge)?;
    make(folder, Purpose::Challenge)?;
    for generation in old {
        fs::remove_file(path(folder, Purpose::Challenge, generation))?;
    }
    fs::File::open(folder)?.sync_all()
}

/// Makes the first generation of a key where there is none: a folder that an earlier build made.
///
/// # Errors
/// Those of the file system.
pub fn ensure(folder: &Path, purpose: Purpose) -> io::Result<()> {
    if generations(folder, purpose)?.is_empty() {
        make(folder, purpose)?;
    }
    Ok(())
}

/// Writes a new file that only its owner can read, and syncs it and its folder.
///
/// # Errors
/// Those of the file system; also when the file is there already.
pub fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match path.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn path(folder: &Path, purpose: Purpose, generation: u32) -> PathBuf {
    folder.join(format!("{}.{generation}", purpose.name()))
}

/// The generations of a key, lowest first.
fn generations(folder: &Path, purpose: Purpose) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u32> = name
            .to_str()
            .and_then(|name| name.strip_prefix(purpose.name()))
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|number| number.parse().ok());
        found.extend(number);
    }
    found.sort_unstable();
    Ok(found)
}

/// All generations of a key, newest first.
fn read_all(folder: &Path, purpose: Purpose) -> io::Result<Vec<(u32, Zeroizing<[u8; 32]>)>> {
    let mut keys = Vec::new();
    for generation in generations(folder, purpose)?.into_iter().rev() {
        let bytes = Zeroizing::new(fs::read(path(folder, purpose, generation))?);
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| {
            io::Error::other(format!("{}.{generation} has not 32 bytes", purpose.name()))
        })?;
        keys.push((generation, Zeroizing::new(bytes)));
    }
    if keys.is_empty() {
        let text = format!("there is no {} key in {}", purpose.name(), folder.display());
        return Err(io::Error::other(text));
    }
    Ok(keys)
}

impl Keys {
    /// Opens the keys of a folder. `origin` is the name of the log.
    ///
    /// # Errors
    /// Those of the file system; also for a missing key or one of another length.
    pub fn open(folder: &Path, origin: &str) -> io::Result<Self> {
        let signing = |purpose| -> io::Result<Vec<SigningKey>> {
            let seeds = read_all(folder, purpose)?;
            let keys = seeds.iter().map(|(_, seed)| SigningKey::from_seed(seed));
            keys.collect::<Result<_, _>>().map_err(io::Error::other)
        };
        let challenge = read_all(folder, Purpose::Challenge)?;
        let wanted = generation_of(origin);
        let log = read_all(folder, Purpose::Log)?
            .into_iter()
            .find(|(generation, _)| Some(*generation) == wanted);
        let missing = || io::Error::other(format!("there is no log key of the origin {origin}"));
        let (_, log) = log.ok_or_else(missing)?;
        let sealing = read_all(folder, Purpose::Sealing)?
            .iter()
            .map(|(generation, key)| {
                let key = UnboundKey::new(&AES_256_GCM, key.as_slice());
                let key = key.map_err(|_| io::Error::other("the sealing key is not usable"))?;
                Ok((*generation, LessSafeKey::new(key)))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            answer: signing(Purpose::Answer)?.swap_remove(0),
            challenge: challenge
                .iter()
                .map(|(_, key)| ChallengeKey::new(key))
                .collect(),
            ear: signing(Purpose::Ear)?,
            log: Signer::log(origin, &log).map_err(io::Error::other)?,
            report: signing(Purpose::Report)?.swap_remove(0),
            sealing,
        })
    }

    /// Seals bytes for the disk: generation (4, big-endian) ‖ nonce (12) ‖ ciphertext ‖ tag (16).
    /// `context` must be given again to open.
    ///
    /// # Errors
    /// `store.unavailable` when the provider fails.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, Refusal> {
        let failed = || Refusal::store(&"sealing failed");
        let (generation, key) = self.sealing.first().ok_or_else(failed)?;
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce);
        // Room for the tag: growing would leave a copy of the plaintext behind.
        let mut body = Zeroizing::new(Vec::with_capacity(plain.len().saturating_add(16)));
        body.extend_from_slice(plain);
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut *body,
        )
        .map_err(|_| failed())?;
        Ok([&generation.to_be_bytes()[..], &nonce, body.as_slice()].concat())
    }

    /// Opens what [`Keys::seal`] sealed under the same context.
    ///
    /// # Errors
    /// `store.unavailable` when it was changed, moved to another context, or its key is gone.
    pub fn open_sealed(
        &self,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let failed = || Refusal::store(&"a sealed secret does not open");
        let (generation, rest) = sealed.split_first_chunk::<4>().ok_or_else(failed)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(failed)?;
        let generation = u32::from_be_bytes(*generation);
        let key = self
            .sealing
            .iter()
            .find(|(number, _)| *number == generation);
        let (_, key) = key.ok_or_else(failed)?;
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.open_in_place(nonce, Aad::from(context), &mut body);
        let length = opened.map_err(|_| failed())?.len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for purpose in Purpose::ALL {
            assert_eq!(make(folder.path(), purpose).unwrap(), 1);
        }
        folder
    }

    #[test]
    fn keys_differ_and_only_their_owner_can_read_them() {
        let folder = folder();
        let mut seen = Vec::new();
        for purpose in Purpose::ALL {
            let path = path(folder.path(), purpose, 1);
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
            seen.push(fs::read(path).unwrap());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), Purpose::ALL.len());
    }

    #[test]
    fn a_folder_of_an_earlier_build_gets_the_key_that_it_lacks_once() {
        let folder = folder();
        let report = path(folder.path(), Purpose::Report, 1);
        fs::remove_file(&report).unwrap();
        assert!(Keys::open(folder.path(), "w1").is_err());
        ensure(folder.path(), Purpose::Report).unwrap();
        let made = fs::read(&report).unwrap();
        ensure(folder.path(), Purpose::Report).unwrap();
        assert_eq!(fs::read(&report).unwrap(), made);
        Keys::open(folder.path(), "w1").unwrap();
    }

    #[test]
    fn what_an_older_sealing_key_sealed_still_opens_and_only_in_its_place() {
        let folder = folder();
        let keys = Keys::open(folder.path(), "w1").unwrap();
        let sealed = keys.seal(b"here", b"secret").unwrap();
        make(folder.path(), Purpose::Sealing).unwrap();
        let keys = Keys::open(folder.path(), "w1").unwrap();
        assert_eq!(
            keys.open_sealed(b"here", &sealed).unwrap().as_slice(),
            b"secret"
        );
        assert!(keys.open_sealed(b"there", &sealed).is_err());
        assert_eq!(keys.seal(b"here", b"secret").unwrap()[..4], [0, 0, 0, 2]);
    }

    #[test]
    fn keys_that_others_pin_do_not_rotate() {
        let folder = folder();
        for purpose in [Purpose::Answer, Purpose::Log, Purpose::Report] {
            assert!(make(folder.path(), purpose).is_err());
        }
        assert_eq!(make(folder.path(), Purpose::Ear).unwrap(), 2);
        assert_eq!(Keys::open(folder.path(), "w1").unwrap().ear.len(), 2);
    }

    #[test]
    fn every_origin_of_a_witness_has_a_key_of_its_own() {
        let folder = folder();
        let key =
            |origin| Keys::open(folder.path(), origin).map(|keys| keys.log.verifier().clone());
        let first = key("w1").unwrap();
        assert!(key("w1/2").is_err());
        let next = || next_origin(folder.path(), "w1", "w1").unwrap();
        assert_eq!(next(), "w1/2");
        let second = key("w1/2").unwrap();
        // Again after a recovery that did not end: the same key, which never signed.
        assert_eq!(next(), "w1/2");
        assert_eq!(key("w1/2").unwrap(), second);
        assert_eq!(key("w1").unwrap(), first);
        assert!(key("w1/1").is_err() && key("w1/x").is_err());
        assert_eq!(next_origin(folder.path(), "w1", "w1/2").unwrap(), "w1/3");
    }

    #[test]
    fn challenges_are_forgotten_with_their_key() {
        let folder = folder();
        make(folder.path(), Purpose::Challenge).unwrap();
        forget_challenges(folder.path()).unwrap();
        assert_eq!(generations(folder.path(), Purpose::Challenge).unwrap(), [3]);
    }
}
