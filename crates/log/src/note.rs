//! Signed notes (C2SP signed-note), verifier keys, and the signatures of logs and cosigners.
//!
//! Known keys must verify, unknown ones are ignored, exactly as the document says. Key types that
//! this crate cannot verify (ECDSA 0x02, RFC 6962 0x05, others) are refused by name when such a
//! key is configured; in a note they are unknown keys. Never makes a key or reads a clock.

use crate::{Error, checkpoint::Checkpoint, hash::sha256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ML_DSA_44, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;

/// 64 ML-DSA-44 signature lines of 3.3 KiB each, and a text.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;
/// The document asks for at least 16.
pub const SIGNATURES_MAX: usize = 64;
/// Names are host names with a path; the ML-DSA message has one length byte for them.
pub const NAME_BYTES_MAX: usize = 255;
const DASH: &str = "\u{2014} ";

/// What a key signs and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// 0x01: Ed25519 over the note's text.
    Ed25519,
    /// 0x04: Ed25519 over a time and a checkpoint.
    CosignatureEd25519,
    /// 0x06: ML-DSA-44 over a time, a cosigner's name and a tree.
    CosignatureMlDsa44,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::CosignatureEd25519 => 4,
            Self::CosignatureMlDsa44 => 6,
        }
    }

    const fn key_bytes(self) -> usize {
        match self {
            Self::Ed25519 | Self::CosignatureEd25519 => 32,
            Self::CosignatureMlDsa44 => 1312,
        }
    }
}

/// A verifier key: whose signature is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    kind: KeyKind,
    key: Vec<u8>,
}

impl VerifierKey {
    /// A key from its parts.
    ///
    /// # Errors
    /// [`Error::Note`] for a bad name or a key of another length.
    pub fn new(name: &str, kind: KeyKind, key: &[u8]) -> Result<Self, Error> {
        check_name(name)?;
        if key.len() != kind.key_bytes() {
            return Err(Error::Note("a public key of its type's length"));
        }
        let id = key_id(name, kind, key);
        Ok(Self {
            name: name.to_owned(),
            id,
            kind,
            key: key.to_vec(),
        })
    }

    /// Reads `<name>+<8 hex digits>+<base64 of type and key>`.
    ///
    /// # Errors
    /// [`Error::Note`] for another form, a wrong key id, or a key type that is not verified here.
    pub fn parse(vkey: &str) -> Result<Self, Error> {
        const WANTED: Error = Error::Note("a verifier key name+id+base64");
        let mut parts = vkey.splitn(3, '+');
        let name = parts.next().ok_or(WANTED)?;
        let id = parts.next().ok_or(WANTED)?;
        let encoded = parts.next().ok_or(WANTED)?;
        if encoded.len() > 2048 {
            return Err(WANTED);
        }
        let decoded = STANDARD.decode(encoded).map_err(|_| WANTED)?;
        let (kind, key) = decoded.split_first().ok_or(WANTED)?;
        let kind = match kind {
            1 => KeyKind::Ed25519,
            4 => KeyKind::CosignatureEd25519,
            6 => KeyKind::CosignatureMlDsa44,
            2 => {
                return Err(Error::Note(
                    "a key type other than ECDSA (0x02, not verified here)",
                ));
            }
            5 => {
                return Err(Error::Note(
                    "a key type other than RFC 6962 (0x05, not verified here)",
                ));
            }
            _ => return Err(Error::Note("a key of type 0x01, 0x04 or 0x06")),
        };
        let key = Self::new(name, kind, key)?;
        if hex::encode(key.id) != id {
            return Err(Error::Note("the key id that name and key give"));
        }
        Ok(key)
    }

    /// Name of the key's owner.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Checks one signature payload (what follows the key id) and returns its time.
    fn verify(&self, text: &str, payload: &[u8]) -> Result<u64, Error> {
        if self.kind == KeyKind::Ed25519 {
            return UnparsedPublicKey::new(&ED25519, &self.key)
                .verify(text.as_bytes(), payload)
                .map(|()| 0)
                .map_err(|_| Error::Note("a signature of the known key"));
        }
        const WRONG: Error = Error::Cosignature("a signature of the known cosigner");
        let (time, signature) = payload
            .split_first_chunk::<8>()
            .ok_or(Error::Cosignature("eight bytes of time"))?;
        let time = u64::from_be_bytes(*time);
        if time > u64::MAX >> 1 {
            return Err(Error::Cosignature("a time of at most 2^63-1 seconds"));
        }
        let checkpoint = Checkpoint::parse(text)?;
        if self.kind == KeyKind::CosignatureEd25519 {
            UnparsedPublicKey::new(&ED25519, &self.key)
                .verify(cosignature_text(time, text).as_bytes(), signature)
                .map_err(|_| WRONG)?;
        } else {
            let message = tree_message(&self.name, time, &checkpoint)?;
            UnparsedPublicKey::new(&ML_DSA_44, &self.key)
                .verify(&message, signature)
                .map_err(|_| WRONG)?;
        }
        Ok(time)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = STANDARD.encode([&[self.kind.byte()], self.key.as_slice()].concat());
        write!(f, "{}+{}+{encoded}", self.name, hex::encode(self.id))
    }
}

fn key_id(name: &str, kind: KeyKind, key: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", &[kind.byte()], key]);
    [a, b, c, d]
}

fn check_name(name: &str) -> Result<(), Error> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(bad) {
        return Err(Error::Note(
            "a key name of 1 to 255 bytes without spaces and +",
        ));
    }
    Ok(())
}

/// The decimal form of the documents: no sign, no leading zero, at most 2^63−1.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if !plain {
        return None;
    }
    text.parse().ok().filter(|n| *n <= u64::MAX >> 1)
}

fn cosignature_text(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// The message of an ML-DSA-44 cosignature over a whole tree (tlog-cosignature).
fn tree_message(name: &str, time: u64, checkpoint: &Checkpoint) -> Result<Vec<u8>, Error> {
    let mut message = b"subtree/v1\n\0".to_vec();
    let short = |text: &str, message: &mut Vec<u8>| {
        let length = u8::try_from(text.len())
            .map_err(|_| Error::Cosignature("names of at most 255 bytes"))?;
        message.push(length);
        message.extend_from_slice(text.as_bytes());
        Ok::<(), Error>(())
    };
    short(name, &mut message)?;
    message.extend_from_slice(&time.to_be_bytes());
    short(&checkpoint.origin, &mut message)?;
    message.extend_from_slice(&0_u64.to_be_bytes());
    message.extend_from_slice(&checkpoint.size.to_be_bytes());
    message.extend_from_slice(&checkpoint.root);
    Ok(message)
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Key name.
    pub name: String,
    /// Key id.
    pub id: [u8; 4],
    /// What follows the key id.
    pub payload: Vec<u8>,
}

impl NoteSignature {
    /// The line, with its newline.
    #[must_use]
    pub fn line(&self) -> String {
        let encoded = STANDARD.encode([self.id.as_slice(), &self.payload].concat());
        format!("{DASH}{} {encoded}\n", self.name)
    }

    /// Reads a line without its newline.
    ///
    /// # Errors
    /// [`Error::Note`] unless it is dash, name and base64 of at least five bytes.
    pub fn parse(line: &str) -> Result<Self, Error> {
        const WANTED: Error = Error::Note("signature lines of dash, name and base64");
        let (name, encoded) = line
            .strip_prefix(DASH)
            .and_then(|rest| rest.split_once(' '))
            .ok_or(WANTED)?;
        check_name(name)?;
        let decoded = STANDARD.decode(encoded).map_err(|_| WANTED)?;
        let (id, payload) = decoded.split_first_chunk::<4>().ok_or(WANTED)?;
        if payload.is_empty() {
            return Err(WANTED);
        }
        Ok(Self {
            name: name.to_owned(),
            id: *id,
            payload: payload.to_vec(),
        })
    }
}

/// A signed note: parsed, believed by nobody until [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A known key whose signature under the note holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSignature<'k> {
    /// The key.
    pub key: &'k VerifierKey,
    /// POSIX seconds of a cosignature; 0 for plain signatures.
    pub time: u64,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// [`Error::Note`] for control characters, bad UTF-8, a missing newline or separator, no or
    /// more than [`SIGNATURES_MAX`] signatures, or more than [`NOTE_BYTES_MAX`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Error::Note("a note within its size limit"));
        }
        if bytes.iter().any(|b| *b < 0x20 && *b != b'\n') {
            return Err(Error::Note("no control characters"));
        }
        let all = std::str::from_utf8(bytes).map_err(|_| Error::Note("UTF-8"))?;
        let (text, lines) = all
            .rsplit_once("\n\n")
            .ok_or(Error::Note("an empty line before the signatures"))?;
        let lines = lines
            .strip_suffix('\n')
            .ok_or(Error::Note("a newline at the end"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() >= SIGNATURES_MAX {
                return Err(Error::Note("at most 64 signatures"));
            }
            signatures.push(NoteSignature::parse(line)?);
        }
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// The signed text with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines, known or not.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The note's bytes.
    #[must_use]
    pub fn write(&self) -> String {
        let lines: String = self.signatures.iter().map(NoteSignature::line).collect();
        format!("{}\n{lines}", self.text)
    }

    /// Adds a signature line, for example a cosigner's answer.
    pub fn push(&mut self, signature: NoteSignature) {
        self.signatures.push(signature);
    }

    /// Checks the signatures of the given keys; each key counts once.
    ///
    /// # Errors
    /// [`Error::Note`] or [`Error::Cosignature`] if a signature of a known key is wrong, and
    /// [`Error::Note`] if there is none of a known key.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<KnownSignature<'k>>, Error> {
        let mut known: Vec<KnownSignature<'k>> = Vec::new();
        for signature in &self.signatures {
            let Some(key) = keys
                .iter()
                .find(|key| key.name == signature.name && key.id == signature.id)
            else {
                continue;
            };
            let time = key.verify(&self.text, &signature.payload)?;
            if !known.iter().any(|earlier| earlier.key == key) {
                known.push(KnownSignature { key, time });
            }
        }
        if known.is_empty() {
            return Err(Error::Note("a signature of a known key"));
        }
        Ok(known)
    }
}

/// Signs notes, or as a cosigner checkpoints, with an Ed25519 key.
pub struct Signer {
    key: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier)
    }
}

impl Signer {
    /// A log's signer (type 0x01) from a 32-byte seed.
    ///
    /// # Errors
    /// [`Error::Note`] for a bad name or seed.
    pub fn log(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        Self::new(name, KeyKind::Ed25519, seed)
    }

    /// A cosigner (type 0x04) from a 32-byte seed. Use one key per cosigner and never the log's.
    ///
    /// # Errors
    /// [`Error::Note`] for a bad name or seed.
    pub fn cosigner(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        Self::new(name, KeyKind::CosignatureEd25519, seed)
    }

    fn new(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| Error::Note("an Ed25519 seed of 32 bytes"))?;
        let verifier = VerifierKey::new(name, kind, key.public_key().as_ref())?;
        Ok(Self { key, verifier })
    }

    /// The public half.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text that ends with a newline.
    ///
    /// # Errors
    /// [`Error::Note`] if the text cannot be a note's, or this signer is a cosigner.
    pub fn sign(&self, text: &str) -> Result<NoteSignature, Error> {
        if self.verifier.kind != KeyKind::Ed25519 {
            return Err(Error::Note("a log's key, not a cosigner's"));
        }
        if !text.ends_with('\n') || text.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(Error::Note("a text of lines, each with its newline"));
        }
        Ok(self.signature(self.key.sign(text.as_bytes()).as_ref().to_vec()))
    }

    /// Cosigns a checkpoint at `time` (POSIX seconds, not 0). The caller has checked consistency
    /// and stored the new size before.
    ///
    /// # Errors
    /// [`Error::Cosignature`] for time 0 or a log's key; [`Error::Checkpoint`] for another text.
    pub fn cosign(&self, checkpoint: &str, time: u64) -> Result<NoteSignature, Error> {
        if self.verifier.kind != KeyKind::CosignatureEd25519 || time == 0 || time > u64::MAX >> 1 {
            return Err(Error::Cosignature("a cosigner's key and a time"));
        }
        Checkpoint::parse(checkpoint)?;
        let signature = self.key.sign(cosignature_text(time, checkpoint).as_bytes());
        Ok(self.signature([time.to_be_bytes().as_slice(), signature.as_ref()].concat()))
    }

    fn signature(&self, payload: Vec<u8>) -> NoteSignature {
        NoteSignature {
            name: self.verifier.name.clone(),
            id: self.verifier.id,
            payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::empty_root;
    use aws_lc_rs::signature::{ML_DSA_44_SIGNING, PqdsaKeyPair};
    use proptest::prelude::*;

    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn body() -> String {
        Checkpoint {
            origin: "log".to_owned(),
            size: 0,
            root: empty_root(),
            extensions: vec![],
        }
        .text()
    }

    #[test]
    fn the_example_of_the_specification_verifies() {
        let keys = [VerifierKey::parse(VKEY).unwrap()];
        assert_eq!(keys[0].to_string(), VKEY);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.verify(&keys).unwrap().len(), 1);
        assert_eq!(note.write(), NOTE);
        let altered = Note::parse(NOTE.replace("an example", "no example").as_bytes()).unwrap();
        assert_eq!(
            altered.verify(&keys),
            Err(Error::Note("a signature of the known key"))
        );
        assert!(
            VerifierKey::parse(
                "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
            )
            .is_ok()
        );
    }

    #[test]
    fn unknown_keys_are_ignored_and_duplicates_count_once() {
        let (one, two) = (
            Signer::log("a", &[1; 32]).unwrap(),
            Signer::log("b", &[2; 32]).unwrap(),
        );
        let signatures = vec![one.sign("x\n").unwrap(); 2];
        let mut note = Note {
            text: "x\n".to_owned(),
            signatures,
        };
        note.push(two.sign("other\n").unwrap());
        assert_eq!(
            note.verify(std::slice::from_ref(&one.verifier))
                .unwrap()
                .len(),
            1
        );
        let stranger = [Signer::log("c", &[3; 32]).unwrap().verifier];
        let none = note.verify(&stranger);
        assert_eq!(none, Err(Error::Note("a signature of a known key")));
        let known = [one.verifier, two.verifier];
        let both = note.verify(&known);
        assert_eq!(both, Err(Error::Note("a signature of the known key")));
    }

    #[test]
    fn malformed_notes_are_refused() {
        for (note, wanted) in [
            (NOTE.trim_end().to_owned(), "a newline at the end"),
            (NOTE.replace('\n', "\r\n"), "no control characters"),
            (
                NOTE.replace("an example", "an\texample"),
                "no control characters",
            ),
            (
                NOTE.replace("\n\n", "\n"),
                "an empty line before the signatures",
            ),
            (
                NOTE.replace("foo U", "foo  U"),
                "signature lines of dash, name and base64",
            ),
        ] {
            assert_eq!(Note::parse(note.as_bytes()), Err(Error::Note(wanted)));
        }
        assert_eq!(
            VerifierKey::parse(&VKEY.replace("530d", "530e")),
            Err(Error::Note("the key id that name and key give"))
        );
    }

    #[test]
    fn a_cosignature_holds_for_its_time_and_checkpoint_only() {
        let witness = Signer::cosigner("witness", &[4; 32]).unwrap();
        let keys = [witness.verifier().clone()];
        let mut signature = witness.cosign(&body(), 1_700_000_000).unwrap();
        assert_eq!(signature.payload.len(), 72);
        let note = |s: &NoteSignature| Note {
            text: body(),
            signatures: vec![s.clone()],
        };
        assert_eq!(
            note(&signature).verify(&keys).unwrap()[0].time,
            1_700_000_000
        );
        signature.payload[7] ^= 1;
        let wrong = Err(Error::Cosignature("a signature of the known cosigner"));
        assert_eq!(note(&signature).verify(&keys), wrong);
        assert_eq!(
            witness.cosign(&body(), 0).unwrap_err().check(),
            "log.cosignature"
        );
    }

    #[test]
    fn an_ml_dsa_cosignature_verifies() {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &[5; 32]).unwrap();
        let key = VerifierKey::new(
            "witness",
            KeyKind::CosignatureMlDsa44,
            pair.public_key().as_ref(),
        )
        .unwrap();
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key.clone()));
        let message = tree_message("witness", 9, &Checkpoint::parse(&body()).unwrap()).unwrap();
        let mut bytes = vec![0; 2420];
        pair.sign(&message, &mut bytes).unwrap();
        let payload = [9_u64.to_be_bytes().as_slice(), &bytes].concat();
        let signature = NoteSignature {
            name: "witness".to_owned(),
            id: key.id,
            payload,
        };
        let mut note = Note {
            text: body(),
            signatures: vec![signature],
        };
        assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap()[0].time, 9);
        note.text = note.text.replace("log", "another log");
        let wrong = Err(Error::Cosignature("a signature of the known cosigner"));
        assert_eq!(note.verify(&[key]), wrong);
    }

    proptest! {
        #[test]
        fn any_note_is_answered(text in "[a-z\n]{0,40}", tail in "(\n\u{2014} [a-z]{0,3} [A-Za-z0-9+/=]{0,24}\n)*.*") {
            if let Ok(note) = Note::parse(format!("{text}\n{tail}").as_bytes()) {
                prop_assert_eq!(Note::parse(note.write().as_bytes()), Ok(note));
            }
            let _ = VerifierKey::parse(&tail);
        }
    }
}
