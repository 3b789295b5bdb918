//! Verifying inclusion and consistency (RFC 6962 §2.1, RFC 9162 §2.1.3.2 and §2.1.4.2), and the
//! C2SP tlog-proof text. Never fetches; the root must come from a verified checkpoint.

use crate::{
    Error, Hash,
    hash::node_hash,
    note::{NOTE_BYTES_MAX, decimal},
    tile::{ENTRY_BYTES_MAX, TREE_SIZE_MAX},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A path has at most one hash per bit of the size.
pub const PATH_HASHES_MAX: usize = 63;
/// A note, the largest entry in base64 and 63 hashes; rounded up.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + 96 * 1024;
const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// Shows that `leaf` is entry `index` of the tree with this `size` and `root`.
///
/// # Errors
/// [`Error::Inclusion`] for an index outside the tree, a path of another length, another root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), Error> {
    if index >= size || size > TREE_SIZE_MAX {
        return Err(Error::Inclusion("an index below the tree size"));
    }
    let (mut node, mut last) = (index, size.saturating_sub(1));
    let mut hash = *leaf;
    for beside in path {
        if last == 0 {
            return Err(Error::Inclusion("a path as long as the tree is high"));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(beside, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(Error::Inclusion("a path as long as the tree is high"));
    }
    if hash != *root {
        return Err(Error::Inclusion("a path that leads to the root"));
    }
    Ok(())
}

/// Shows that the tree of `new` entries begins with the tree of `old` entries.
///
/// # Errors
/// [`Error::Consistency`] for a shrunk tree, a path of another length, other roots.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), Error> {
    const LENGTH: Error = Error::Consistency("a path as long as the sizes demand");
    if old > new || new > TREE_SIZE_MAX {
        return Err(Error::Consistency("an old size not above the new one"));
    }
    if old == 0 || old == new {
        if !path.is_empty() {
            return Err(LENGTH);
        }
        // Every tree begins with the empty one.
        if old == new && old_root != new_root {
            return Err(Error::Consistency("equal roots at equal sizes"));
        }
        return Ok(());
    }
    let (first, rest) = if old.is_power_of_two() {
        (old_root, path)
    } else {
        path.split_first().ok_or(LENGTH)?
    };
    if path.is_empty() {
        return Err(LENGTH);
    }
    let (mut node, mut last) = (old.saturating_sub(1), new.saturating_sub(1));
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut from, mut to) = (*first, *first);
    for beside in rest {
        if last == 0 {
            return Err(LENGTH);
        }
        if node & 1 == 1 || node == last {
            from = node_hash(beside, &from);
            to = node_hash(beside, &to);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            to = node_hash(&to, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(LENGTH);
    }
    if from != *old_root || to != *new_root {
        return Err(Error::Consistency("a path that leads to both roots"));
    }
    Ok(())
}

/// A proof file (C2SP tlog-proof): parsed, believed by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Unauthenticated extra bytes; our receipts carry the entry here.
    pub extra: Option<Vec<u8>>,
    /// Entry index.
    pub index: u64,
    /// Inclusion path, the leaf's sibling first.
    pub path: Vec<Hash>,
    /// The checkpoint note, verbatim.
    pub checkpoint: String,
}

impl TlogProof {
    /// The file's text.
    #[must_use]
    pub fn write(&self) -> String {
        let mut out = HEADER.to_owned();
        if let Some(extra) = &self.extra {
            out.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        out.push_str(&format!("index {}\n", self.index));
        for hash in &self.path {
            out.push_str(&STANDARD.encode(hash));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.checkpoint);
        out
    }

    /// Reads a proof file.
    ///
    /// # Errors
    /// [`Error::Inclusion`] for another header, too many hashes, bad numbers or base64.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const WANTED: Error = Error::Inclusion("a tlog-proof file of version 1");
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(Error::Inclusion("a proof file within its size limit"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| WANTED)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(WANTED)?;
        let mut lines = head.strip_prefix(HEADER).ok_or(WANTED)?.split('\n');
        let mut line = lines.next().ok_or(WANTED)?;
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            let decoded = STANDARD.decode(encoded).map_err(|_| WANTED)?;
            if decoded.len() > ENTRY_BYTES_MAX {
                return Err(Error::Inclusion("extra bytes of at most 65535"));
            }
            extra = Some(decoded);
            line = lines.next().ok_or(WANTED)?;
        }
        let index = line
            .strip_prefix("index ")
            .and_then(decimal)
            .ok_or(WANTED)?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() >= PATH_HASHES_MAX {
                return Err(Error::Inclusion("at most 63 hashes in a path"));
            }
            let decoded = STANDARD.decode(line).map_err(|_| WANTED)?;
            path.push(decoded.try_into().map_err(|_| WANTED)?);
        }
        Ok(Self {
            extra,
            index,
            path,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hash::{empty_root, leaf_hash, root_of},
        tree::{MemoryTiles, consistency, grow, inclusion},
    };
    use proptest::prelude::*;

    fn tree(count: u16) -> (Vec<Hash>, MemoryTiles) {
        let leaves: Vec<Hash> = (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut tiles = MemoryTiles::default();
        for (id, bytes) in grow(&tiles, 0, &leaves).unwrap().tiles {
            tiles.put(id, bytes);
        }
        (leaves, tiles)
    }

    #[test]
    fn the_empty_tree_is_a_beginning_of_every_tree() {
        let root = leaf_hash(b"x");
        assert_eq!(verify_consistency(0, 1, &empty_root(), &root, &[]), Ok(()));
        assert_eq!(
            verify_consistency(0, 1, &empty_root(), &root, &[root]),
            Err(Error::Consistency("a path as long as the sizes demand"))
        );
        assert_eq!(
            verify_consistency(1, 1, &empty_root(), &root, &[]),
            Err(Error::Consistency("equal roots at equal sizes"))
        );
        assert_eq!(
            verify_consistency(2, 1, &root, &root, &[]),
            Err(Error::Consistency("an old size not above the new one"))
        );
    }

    proptest! {
        #[test]
        fn a_tampered_proof_is_refused(size in 2_u16..200, index in any::<u16>(), at in any::<usize>(), how in 0..3) {
            let (leaves, tiles) = tree(size);
            let (index, root, n) = (index % size, root_of(&leaves), u64::from(size));
            let spoil = |path: &mut Vec<Hash>| match how {
                0 if !path.is_empty() => { let i = at % path.len(); path[i][at % 32] ^= 1; }
                1 if !path.is_empty() => { path.pop(); }
                _ => path.push([7; 32]),
            };
            let mut path = inclusion(&tiles, index.into(), n).unwrap();
            spoil(&mut path);
            let refused = verify_inclusion(&leaves[usize::from(index)], index.into(), n, &path, &root);
            prop_assert_eq!(refused.unwrap_err().check(), "log.proof.inclusion");
            let old = u64::from(index).max(1);
            let old_root = root_of(&leaves[..usize::try_from(old).unwrap()]);
            let mut path = consistency(&tiles, old, n).unwrap();
            spoil(&mut path);
            let refused = verify_consistency(old, n, &old_root, &root, &path);
            prop_assert_eq!(refused.unwrap_err().check(), "log.proof.consistency");
        }

        #[test]
        fn a_proof_file_is_read_as_it_was_written(extra in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80)), index in 0..TREE_SIZE_MAX, path in proptest::collection::vec(any::<Hash>(), 0..=63)) {
            let proof = TlogProof { extra, index, path, checkpoint: "log\n0\nx\n\nsignatures\n".to_owned() };
            prop_assert_eq!(TlogProof::parse(proof.write().as_bytes()), Ok(proof));
        }

        #[test]
        fn any_text_is_answered(text in "(c2sp.org/tlog-proof@v1\n)?.{0,20}\n(index 1\n)?.{0,50}\n\n.*") {
            let _ = TlogProof::parse(text.as_bytes());
        }
    }
}
