//! What the agent remembers between calls: the largest checkpoint of the witness's log, receipts,
//! and the last result.
//!
//! A log that is smaller than it was, or not a continuation of what it was, is an alarm: the
//! witness was rolled back, or shows different logs to different people. Never forgets a
//! checkpoint for a smaller one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeuge_log::Hash;
use zeuge_log::checkpoint::{Checkpoint, VerifiedCheckpoint};
use zeuge_log::leaf::{Leaf, Outcome};
use zeuge_log::note::{NOTE_BYTES_MAX, VerifierKey};
use zeuge_log::proof::{TlogProof, verify_consistency, verify_inclusion};
use zeuge_log::receipt::{VerifiedReceipt, WireReceipt};
use zeuge_log::tile::{TILE_WIDTH, TileId};
use zeuge_log::tree::{TileSource, consistency, inclusion};
use zeuge_protocol::api::{AttestAnswer, VerdictWord};
use zeuge_protocol::request::SECRETS_MAX;

use crate::error::{Error, Fault};
use crate::files::Folder;
use crate::http::Client;

/// The check ids of this module.
pub(crate) const CHECKS: &[&str] = &["agent.log-went-back", "agent.receipt"];

/// Where state lies unless somebody says otherwise; gone at reboot, like the machine's keys.
pub(crate) const STATE: &str = "/run/zeuge";
/// How many receipts are kept: a day of re-attesting every five minutes.
const RECEIPTS_MAX: usize = 288;
/// The longest last result in bytes.
const RESULT_BYTES_MAX: u64 = 64 * 1024;
const RESULT: &str = "last.json";

/// The last result as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastResult {
    /// Always [`LastResult::SCHEMA`].
    pub(crate) schema: String,
    /// When, in Unix seconds.
    pub(crate) at: i64,
    /// What was asked for, such as `attest`.
    pub(crate) command: String,
    /// The witness that was asked; absent when it did not come to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) witness: Option<String>,
    /// The verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<VerdictWord>,
    /// The ids of failed checks.
    pub(crate) failed: Vec<String>,
    /// Where in the log the decision stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log_index: Option<u64>,
    /// How large the log was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log_size: Option<u64>,
    /// Everything that was weakened, and why.
    pub(crate) dangerous: Vec<String>,
    /// Why it did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The exit code.
    pub(crate) exit_code: u8,
}

impl LastResult {
    /// The value of `schema`.
    pub(crate) const SCHEMA: &'static str = "zeuge.agent-result.v1";
}

/// The state folder.
#[derive(Debug)]
pub(crate) struct State(pub(crate) Folder);

impl State {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// `agent.local` when that fails.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Folder::open(path).map(Self)
    }

    /// Keeps the result.
    ///
    /// # Errors
    /// `agent.local` when it cannot be written.
    pub(crate) fn put_result(&self, result: &LastResult) -> Result<(), Error> {
        let json =
            serde_json::to_vec_pretty(result).map_err(|error| Error::local(error.to_string()))?;
        self.0.put(RESULT, &json)
    }

    /// The last result; `None` when there is none.
    ///
    /// # Errors
    /// `agent.local` when it cannot be read.
    pub(crate) fn result(&self) -> Result<Option<LastResult>, Error> {
        let Some(json) = self.0.read(RESULT, RESULT_BYTES_MAX)? else {
            return Ok(None);
        };
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(|error| Error::local(format!("{RESULT}: {error}")))
    }

    /// Believes the receipt of an answer, compares the log with what it was, remembers it.
    /// `None` when the answer has no receipt and needs none, because nothing was accepted.
    ///
    /// # Errors
    /// `agent.receipt` when it is missing or for something else; those of `zeuge-log`;
    /// `agent.log-went-back` and `log.proof.consistency` for a log that is not a continuation.
    pub(crate) fn receipt(
        &self,
        answer: &AttestAnswer,
        key: &VerifierKey,
        tiles: &dyn TileSource,
    ) -> Result<Option<VerifiedReceipt>, Error> {
        let accepted = matches!(
            answer.verdict.verdict,
            VerdictWord::Affirming | VerdictWord::Warning
        );
        let Some(text) = &answer.receipt else {
            if accepted || !answer.secrets.is_empty() {
                return Err(untrusted(
                    "there is no receipt: nothing shows that the decision stands in the log",
                ));
            }
            return Ok(None);
        };
        let receipt = WireReceipt::parse(text.as_bytes())?.verify(key, &[], 0)?;
        speaks_of(&receipt, answer)?;
        for secret in &answer.secrets {
            stands_behind(&receipt, &secret.leaf, tiles)?;
        }
        let note = TlogProof::parse(text.as_bytes())?.checkpoint;
        if let Some(known) = self.known(key)? {
            continues(&known, &receipt, tiles)?;
        }
        self.0.put(&file_of(key), note.as_bytes())?;
        self.keep(&receipt, text)?;
        Ok(Some(receipt))
    }

    /// The largest checkpoint of this log that was seen, as the log signed it.
    ///
    /// # Errors
    /// `agent.local` when it cannot be read.
    pub(crate) fn checkpoint(&self, key: &VerifierKey) -> Result<Option<Vec<u8>>, Error> {
        let limit = u64::try_from(NOTE_BYTES_MAX).unwrap_or(u64::MAX);
        self.0.read(&file_of(key), limit)
    }

    fn known(&self, key: &VerifierKey) -> Result<Option<Checkpoint>, Error> {
        let Some(note) = self.checkpoint(key)? else {
            return Ok(None);
        };
        let known = VerifiedCheckpoint::open(&note, key, &[])?;
        Ok(Some(known.checkpoint().clone()))
    }

    fn keep(&self, receipt: &VerifiedReceipt, text: &str) -> Result<(), Error> {
        let folder = self.0.inside("receipts")?;
        // Of equal width, so that the order of names is the order of indices.
        folder.put(&format!("{:020}.receipt", receipt.index()), text.as_bytes())?;
        let names = folder.names()?;
        let surplus = names.len().saturating_sub(RECEIPTS_MAX);
        names
            .iter()
            .take(surplus)
            .try_for_each(|name| folder.remove(name))
    }
}

fn untrusted(because: impl Into<String>) -> Error {
    Error::new("agent.receipt", Fault::Untrusted, because)
}

/// The file of the largest checkpoint under a log's key.
fn file_of(key: &VerifierKey) -> String {
    let mut digest = hex::encode(Sha256::digest(key.to_string()));
    digest.truncate(16);
    format!("checkpoint-{digest}")
}

/// Whether the entry is about this answer: a verdict's leaf says the same word.
fn speaks_of(receipt: &VerifiedReceipt, answer: &AttestAnswer) -> Result<(), Error> {
    let word = match Leaf::decode(receipt.entry())? {
        Leaf::Verdict { outcome, .. } => outcome,
        // A witness may write one leaf for a release, and none for its verdict.
        Leaf::ReleaseAuthorised { .. } if !answer.secrets.is_empty() => return Ok(()),
        _ => return Err(untrusted("the receipt is for an entry of another kind")),
    };
    let same = match answer.verdict.verdict {
        VerdictWord::Affirming => word == Outcome::Affirming,
        VerdictWord::Warning => word == Outcome::Warning,
        _ => word == Outcome::Contraindicated,
    };
    if same {
        return Ok(());
    }
    Err(untrusted(format!(
        "the log says {word:?}, the answer says {:?}",
        answer.verdict.verdict
    )))
}

/// Whether the leaf that authorised a secret is the receipt's, or stands in the same tree right
/// behind it: a witness writes a verdict and its releases in one transaction.
fn stands_behind(
    receipt: &VerifiedReceipt,
    leaf: &Hash,
    tiles: &dyn TileSource,
) -> Result<(), Error> {
    if receipt.demand(leaf).is_ok() {
        return Ok(());
    }
    let tree = receipt.checkpoint().checkpoint();
    let first = receipt.index().saturating_add(1);
    let grants_max = u64::try_from(SECRETS_MAX).unwrap_or(u64::MAX);
    for index in first..tree.size.min(first.saturating_add(grants_max)) {
        let path = inclusion(tiles, index, tree.size)?;
        if verify_inclusion(leaf, index, tree.size, &path, &tree.root).is_ok() {
            return Ok(());
        }
    }
    Err(untrusted(format!(
        "the log does not hold the entry {} that authorised a secret",
        hex::encode(leaf)
    )))
}

/// Whether the log is what it was, and more.
fn continues(
    known: &Checkpoint,
    receipt: &VerifiedReceipt,
    tiles: &dyn TileSource,
) -> Result<(), Error> {
    let now = receipt.checkpoint().checkpoint();
    // A fresh decision is written behind everything that an earlier receipt has shown.
    if now.size < known.size || receipt.index() < known.size {
        return Err(Error::new(
            "agent.log-went-back",
            Fault::Untrusted,
            format!(
                "ALARM: the log had {} entries, and now shows {} with ours at {}: it was rolled \
                 back, or an old receipt was shown again",
                known.size,
                now.size,
                receipt.index()
            ),
        ));
    }
    let path = consistency(tiles, known.size, now.size)?;
    verify_consistency(known.size, now.size, &known.root, &now.root, &path).map_err(|error| {
        let mut error = Error::from(error);
        error.because = format!(
            "ALARM: the log of {} entries is not the beginning of the log of {}: {}",
            known.size, now.size, error.because
        );
        error
    })
}

/// The witness's tiles over HTTP, each fetched once.
pub(crate) struct RemoteTiles<'a> {
    client: &'a Client,
    held: RefCell<BTreeMap<TileId, Vec<u8>>>,
}

impl<'a> RemoteTiles<'a> {
    /// The tiles of this client's witness.
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self {
            client,
            held: RefCell::new(BTreeMap::new()),
        }
    }
}

impl TileSource for RemoteTiles<'_> {
    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        if let Some(held) = self.held.borrow().get(&id) {
            return Some(held.clone());
        }
        // A partial tile may go once the whole one is there (C2SP tlog-tiles).
        let whole = TileId {
            width: TILE_WIDTH,
            ..id
        };
        let bytes = [id, whole].iter().find_map(|id| {
            let answer = self.client.get(&format!("/log/{}", id.path())).ok()?;
            (answer.status == 200).then_some(answer.body)
        })?;
        self.held.borrow_mut().insert(id, bytes.clone());
        Some(bytes)
    }
}
