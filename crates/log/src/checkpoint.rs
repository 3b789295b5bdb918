//! Checkpoints (C2SP tlog-checkpoint): the tree's size and root, and who signed them.
//!
//! A [`SignedCheckpoint`] is ours and comes only from signing; a [`VerifiedCheckpoint`] came from
//! outside and its signature holds. Never decides whether a tree may be published.

use crate::{
    Error, Hash,
    hash::empty_root,
    note::{KnownSignature, Note, NoteSignature, Signer, VerifierKey, decimal},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The body of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Root hash.
    pub root: Hash,
    /// Further lines, not empty. Not recommended: ML-DSA-44 cosignatures leave them out.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            STANDARD.encode(self.root)
        );
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for fewer than three lines, an empty line, another spelling of the
    /// size or one above 2^63−1, a root of another length, or a size 0 with another root.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let lines = text
            .strip_suffix('\n')
            .ok_or(Error::Checkpoint("a newline at the end"))?;
        let mut lines = lines.split('\n');
        let mut next = || {
            lines
                .next()
                .ok_or(Error::Checkpoint("origin, size and root lines"))
        };
        let origin = next()?.to_owned();
        let size = decimal(next()?).ok_or(Error::Checkpoint("a decimal size below 2^63"))?;
        let root: Hash = STANDARD
            .decode(next()?)
            .ok()
            .and_then(|root| root.try_into().ok())
            .ok_or(Error::Checkpoint("a root of 32 bytes in base64"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if origin.is_empty() || extensions.iter().any(String::is_empty) {
            return Err(Error::Checkpoint("no empty lines"));
        }
        if size == 0 && root != empty_root() {
            return Err(Error::Checkpoint("the empty root at size 0"));
        }
        Ok(Self {
            origin,
            size,
            root,
            extensions,
        })
    }
}

/// A checkpoint that this log signed. Only [`SignedCheckpoint::sign`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Signs size and root under the signer's name as origin. The tiles must be durable before.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a size or root that no checkpoint can have.
    pub fn sign(signer: &Signer, size: u64, root: Hash) -> Result<Self, Error> {
        let origin = signer.verifier().name().to_owned();
        let checkpoint = Checkpoint {
            origin,
            size,
            root,
            extensions: Vec::new(),
        };
        let text = checkpoint.text();
        Checkpoint::parse(&text)?;
        let signature = signer.sign(&text)?;
        let note = Note::parse(format!("{text}\n{}", signature.line()).as_bytes())?;
        Ok(Self { checkpoint, note })
    }

    /// Adds a cosignature after checking it.
    ///
    /// # Errors
    /// [`Error::Cosignature`] if it does not hold under `key`, or says time 0.
    pub fn add_cosignature(
        &mut self,
        key: &VerifierKey,
        signature: NoteSignature,
    ) -> Result<(), Error> {
        const WANTED: Error = Error::Cosignature("a signature of the known cosigner");
        let alone = format!("{}\n{}", self.note.text(), signature.line());
        let note = Note::parse(alone.as_bytes())?;
        let known = note.verify(std::slice::from_ref(key)).map_err(|_| WANTED)?;
        if known.iter().all(|signature| signature.time == 0) {
            return Err(Error::Cosignature("a time that is not 0"));
        }
        self.note.push(signature);
        Ok(())
    }

    /// The body.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note as served at `/checkpoint`.
    #[must_use]
    pub fn note(&self) -> String {
        self.note.write()
    }
}

/// A checkpoint from outside whose log signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    cosigners: Vec<(String, u64)>,
}

impl VerifiedCheckpoint {
    /// Opens a checkpoint note of the log with this key (its name is the origin), and counts
    /// the cosigners.
    ///
    /// # Errors
    /// [`Error::Note`], [`Error::Checkpoint`], [`Error::Origin`], or [`Error::Cosignature`] if
    /// a known cosigner's signature is wrong.
    pub fn open(bytes: &[u8], log: &VerifierKey, cosigners: &[VerifierKey]) -> Result<Self, Error> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != log.name() {
            return Err(Error::Origin {
                found: checkpoint.origin,
                wanted: log.name().to_owned(),
            });
        }
        note.verify(std::slice::from_ref(log))?;
        let known = match note.verify(cosigners) {
            // None present is a matter of the quorum that the caller asks for.
            Err(Error::Note("a signature of a known key")) => Vec::new(),
            other => other?,
        };
        let stamp = |s: &KnownSignature<'_>| (s.key.name().to_owned(), s.time);
        let mut names: Vec<(String, u64)> =
            known.iter().filter(|s| s.time != 0).map(stamp).collect();
        // Two keys of one cosigner are one voice.
        names.sort();
        names.dedup_by(|a, b| a.0 == b.0);
        Ok(Self {
            checkpoint,
            cosigners: names,
        })
    }

    /// The body.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Known cosigners by name, with the time each one stated (POSIX seconds).
    #[must_use]
    pub fn cosigners(&self) -> &[(String, u64)] {
        &self.cosigners
    }

    /// Demands at least `quorum` cosigners.
    ///
    /// # Errors
    /// [`Error::Cosignature`] if there are fewer.
    pub fn demand(&self, quorum: usize) -> Result<(), Error> {
        if self.cosigners.len() < quorum {
            return Err(Error::Cosignature("as many known cosigners as the quorum"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_a_checkpoint_are_refused() {
        let root = STANDARD.encode([7; 32]);
        for (text, wanted) in [
            (format!("log\n042\n{root}\n"), "a decimal size below 2^63"),
            (format!("log\n+42\n{root}\n"), "a decimal size below 2^63"),
            (
                format!("log\n9223372036854775808\n{root}\n"),
                "a decimal size below 2^63",
            ),
            ("log\n42\nAAAA\n".to_owned(), "a root of 32 bytes in base64"),
            (format!("log\n42\n{root}"), "a newline at the end"),
            (format!("log\n42\n{root}\n\n"), "no empty lines"),
            (format!("\n42\n{root}\n"), "no empty lines"),
            (format!("log\n0\n{root}\n"), "the empty root at size 0"),
            ("log\n42\n".to_owned(), "origin, size and root lines"),
        ] {
            assert_eq!(
                Checkpoint::parse(&text),
                Err(Error::Checkpoint(wanted)),
                "{text}"
            );
        }
        let text = format!("log\n42\n{root}\nmore\n");
        assert_eq!(Checkpoint::parse(&text).unwrap().text(), text);
    }

    #[test]
    fn a_checkpoint_of_another_log_is_refused_and_cosigners_are_counted() {
        let log = Signer::log("example.invalid/log", &[1; 32]).unwrap();
        let other = Signer::log("example.invalid/other", &[2; 32]).unwrap();
        let witness = Signer::cosigner("witness", &[3; 32]).unwrap();
        let mut signed = SignedCheckpoint::sign(&log, 4, [9; 32]).unwrap();
        let cosignature = witness.cosign(&signed.checkpoint().text(), 7).unwrap();
        signed
            .add_cosignature(witness.verifier(), cosignature.clone())
            .unwrap();
        let keys = [witness.verifier().clone()];
        let opened = VerifiedCheckpoint::open(signed.note().as_bytes(), log.verifier(), &keys);
        let opened = opened.unwrap();
        assert_eq!(opened.cosigners(), [("witness".to_owned(), 7)]);
        assert_eq!(opened.demand(1), Ok(()));
        assert_eq!(
            opened.demand(2),
            Err(Error::Cosignature("as many known cosigners as the quorum"))
        );
        assert_eq!(
            VerifiedCheckpoint::open(signed.note().as_bytes(), other.verifier(), &[]),
            Err(Error::Origin {
                found: "example.invalid/log".to_owned(),
                wanted: "example.invalid/other".to_owned()
            })
        );
        let mut later = SignedCheckpoint::sign(&log, 5, [9; 32]).unwrap();
        assert_eq!(
            later.add_cosignature(witness.verifier(), cosignature),
            Err(Error::Cosignature("a signature of the known cosigner"))
        );
    }
}
