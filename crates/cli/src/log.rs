//! `zeuge log`: a tiled log in a folder or behind an address, verified from its signature down to
//! each entry.
//!
//! Believes nothing before the checkpoint's signature holds under the caller's key.

use std::path::PathBuf;

use serde_json::json;
use zeuge_evidence::UnixTime;
use zeuge_log::{
    Error, Hash,
    checkpoint::VerifiedCheckpoint,
    hash::{leaf_hash, root_of},
    leaf::Leaf,
    note::VerifierKey,
    proof::{TlogProof, verify_consistency, verify_inclusion},
    tile::{Row, TILE_WIDTH, TileId, read_bundle, width_at},
    tree::{TileSource, consistency, inclusion, root},
};

use crate::{
    Outcome,
    args::{
        Format,
        log::{Log, Source},
    },
    input,
    witness::{Client, Failure},
};

/// Entries whose hashes are held in memory at once: 320 MB.
const ENTRIES_MAX: u64 = 10_000_000;

/// Runs the command.
pub(crate) fn run(command: &Log) -> Outcome {
    match command {
        Log::Verify { source, old } => verify(source, old.as_ref()).or_else(Failure::told),
        Log::Prove { source, index } => prove(source, *index).or_else(Failure::told),
        Log::Tail {
            source,
            lines,
            format,
        } => tail(source, *lines, *format).or_else(Failure::told),
        Log::Witness(_) => Err("log witness is not supported yet".to_owned()),
    }
}

/// Where tiles come from.
enum Tiles {
    Folder(PathBuf),
    Address(Client),
}

impl Tiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Folder(folder) => Ok(input::read(&folder.join(path))?),
            Self::Address(client) => Ok(client.get(&format!("/{path}"))?.good()?.body),
        }
    }

    /// A tile; a full one may stand in for a partial one that was deleted.
    fn resource(&self, id: TileId) -> Result<Vec<u8>, Failure> {
        self.read(&id.path()).or_else(|failure| {
            let full = TileId {
                width: TILE_WIDTH,
                ..id
            };
            self.read(&full.path()).map_err(|_| failure)
        })
    }

    fn entries(&self, index: u64, size: u64) -> Result<Vec<Vec<u8>>, Failure> {
        let id = TileId {
            row: Row::Entries,
            index,
            width: width_at(0, index, size),
        };
        let bytes = self.resource(id)?;
        let entries = read_bundle(&bytes).map_err(refused)?;
        let width = usize::from(id.width);
        let entries: Vec<_> = entries
            .iter()
            .take(width)
            .map(|entry| entry.to_vec())
            .collect();
        if entries.len() < width {
            return Err(refused(Error::Tile(
                "as many entries as the bundle's width",
            )));
        }
        Ok(entries)
    }
}

impl TileSource for Tiles {
    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        self.resource(id).ok()
    }
}

fn refused(error: Error) -> Failure {
    Failure::untrusted(format!("{}: {error}", error.check()))
}

fn open(source: &Source) -> Result<(Tiles, VerifierKey, Vec<u8>, VerifiedCheckpoint), Failure> {
    let key = VerifierKey::parse(&source.key).map_err(|error| format!("--key: {error}"))?;
    let tiles = if source.log.contains("://") {
        Tiles::Address(Client::new(&source.log, source.ca.as_deref(), None)?)
    } else {
        Tiles::Folder(PathBuf::from(&source.log))
    };
    let note = tiles.read("checkpoint")?;
    let checkpoint = VerifiedCheckpoint::open(&note, &key, &[]).map_err(refused)?;
    Ok((tiles, key, note, checkpoint))
}

fn verify(source: &Source, old: Option<&PathBuf>) -> Result<u8, Failure> {
    let (tiles, key, _, checkpoint) = open(source)?;
    let body = checkpoint.checkpoint();
    if body.size > ENTRIES_MAX {
        return Err(format!("more than {ENTRIES_MAX} entries are not verified at once").into());
    }
    let mut leaves: Vec<Hash> = Vec::new();
    let mut strange = 0_u64;
    for index in 0..body.size.div_ceil(u64::from(TILE_WIDTH)) {
        for entry in tiles.entries(index, body.size)? {
            strange = strange.saturating_add(u64::from(Leaf::decode(&entry).is_err()));
            leaves.push(leaf_hash(&entry));
        }
    }
    if root_of(&leaves) != body.root {
        return Err(refused(Error::Tile("entries that lead to the signed root")));
    }
    if root(&tiles, body.size).map_err(refused)? != body.root {
        return Err(refused(Error::Tile("tiles that lead to the signed root")));
    }
    let mut text = format!(
        "{}: {} entries, root {}; signature, tiles and entries hold\n",
        body.origin,
        body.size,
        hex::encode(body.root)
    );
    if strange > 0 {
        text.push_str(&format!(
            "{strange} entries are of a form that this program cannot read\n"
        ));
    }
    if let Some(old) = old {
        let old = VerifiedCheckpoint::open(&input::read(old)?, &key, &[]).map_err(refused)?;
        let old = old.checkpoint();
        let path = consistency(&tiles, old.size, body.size).map_err(refused)?;
        verify_consistency(old.size, body.size, &old.root, &body.root, &path).map_err(refused)?;
        text.push_str(&format!(
            "It continues the checkpoint of {} entries\n",
            old.size
        ));
    }
    crate::say(&text)?;
    Ok(0)
}

/// An entry and its verified path.
fn proven(
    tiles: &Tiles,
    checkpoint: &VerifiedCheckpoint,
    index: u64,
) -> Result<(Vec<u8>, Vec<Hash>), Failure> {
    let body = checkpoint.checkpoint();
    let path = inclusion(tiles, index, body.size).map_err(refused)?;
    let width = u64::from(TILE_WIDTH);
    let entries = tiles.entries(index / width, body.size)?;
    let place = usize::try_from(index % width).unwrap_or(usize::MAX);
    let entry = entries
        .into_iter()
        .nth(place)
        .ok_or_else(|| refused(Error::Tile("the entry in its bundle")))?;
    verify_inclusion(&leaf_hash(&entry), index, body.size, &path, &body.root).map_err(refused)?;
    Ok((entry, path))
}

fn prove(source: &Source, index: u64) -> Result<u8, Failure> {
    let (tiles, _, note, checkpoint) = open(source)?;
    let (entry, path) = proven(&tiles, &checkpoint, index)?;
    let checkpoint = String::from_utf8(note).map_err(|error| error.to_string())?;
    let proof = TlogProof {
        extra: Some(entry),
        index,
        path,
        checkpoint,
    };
    crate::say(&proof.write())?;
    Ok(0)
}

fn tail(source: &Source, lines: u16, format: Format) -> Result<u8, Failure> {
    let (tiles, _, _, checkpoint) = open(source)?;
    let size = checkpoint.checkpoint().size;
    for index in size.saturating_sub(u64::from(lines))..size {
        let (entry, _) = proven(&tiles, &checkpoint, index)?;
        let said = match Leaf::decode(&entry) {
            Ok(leaf) => shown(&leaf),
            Err(error) => format!("unreadable: {error}"),
        };
        if format == Format::Text {
            crate::say(&format!("{index}  {said}\n"))?;
        } else {
            let line = json!({"index": index, "leaf_hash": hex::encode(leaf_hash(&entry)),
                              "entry": hex::encode(&entry), "shown": said});
            crate::say(&format!("{line}\n"))?;
        }
    }
    Ok(0)
}

/// An entry for people; what it commits to stays closed.
fn shown(leaf: &Leaf) -> String {
    match leaf {
        Leaf::Verdict {
            time,
            platform,
            outcome,
            failed,
            evidence,
            ..
        } => format!(
            "{} verdict {outcome:?} on {platform}, evidence {}, failed: {}",
            instant(*time),
            hex::encode(evidence),
            if failed.is_empty() {
                "nothing".to_owned()
            } else {
                failed.join(", ")
            }
        ),
        Leaf::Denials { until, counts, .. } => {
            let counts: Vec<_> = counts
                .iter()
                .map(|(id, count)| format!("{id} {count}"))
                .collect();
            format!("{} denials: {}", instant(*until), counts.join(", "))
        }
        Leaf::ReleaseAuthorised {
            time,
            manifest,
            recipient,
            ..
        } => format!(
            "{} release authorised of manifest {} to key {}",
            instant(*time),
            hex::encode(manifest),
            hex::encode(recipient)
        ),
        Leaf::EndorsementSeen {
            kind, fingerprint, ..
        } => format!("endorsement seen: {kind} {}", hex::encode(fingerprint)),
        Leaf::DocumentChange {
            kind,
            digest,
            version,
            ..
        } => format!(
            "document changed: {kind} version {version} {}",
            hex::encode(digest)
        ),
        Leaf::OperatorAction { action, .. } => format!("operator: {action}"),
        Leaf::RecoveredOrigin { origin, size, .. } => {
            format!("continues the log {origin} of {size} entries")
        }
    }
}

fn instant(time: u64) -> UnixTime {
    UnixTime(i64::try_from(time).unwrap_or(i64::MAX))
}
