//! The hashes of the tree (RFC 6962 §2.1, SHA-256). Never stores anything.

use sha2::{Digest, Sha256};

/// One SHA-256 value, 32 bytes.
pub type Hash = [u8; 32];

/// Bytes of one hash.
pub const HASH_BYTES: usize = 32;

/// SHA-256 of the parts in order.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

/// Root of the tree without entries: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// Hash of one entry: SHA-256(0x00 ‖ entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// Hash of two subtrees: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// Where RFC 6962 splits a tree of `size` entries: the largest power of two below `size`
/// (0 for sizes below 2, which are not split).
#[must_use]
pub const fn split(size: u64) -> u64 {
    if size < 2 {
        return 0;
    }
    // The highest bit of size - 1 is the largest power of two below size.
    1 << size.saturating_sub(1).ilog2()
}

/// Root over leaf (or subtree) hashes in memory, by folding from the right edge.
#[must_use]
pub fn root_of(hashes: &[Hash]) -> Hash {
    // The stack holds roots of complete subtrees with their entry counts, largest first.
    let mut stack: Vec<(u64, Hash)> = Vec::new();
    for hash in hashes {
        let mut top = (1_u64, *hash);
        while let Some((count, left)) = stack.last() {
            if *count != top.0 {
                break;
            }
            top = (count.saturating_mul(2), node_hash(left, &top.1));
            stack.pop();
        }
        stack.push(top);
    }
    let Some((_, mut root)) = stack.pop() else {
        return empty_root();
    };
    while let Some((_, left)) = stack.pop() {
        root = node_hash(&left, &root);
    }
    root
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The definition of RFC 6962 §2.1, recursive and slow: the reference of the tests.
    pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                node_hash(&naive_root(&many[..k]), &naive_root(&many[k..]))
            }
        }
    }

    #[test]
    fn the_eight_known_entries_give_the_known_root() {
        let entries = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let leaves: Vec<Hash> = entries
            .iter()
            .map(|e| leaf_hash(&hex::decode(e).unwrap()))
            .collect();
        let wanted = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
        assert_eq!(hex::encode(root_of(&leaves)), wanted);
        assert_eq!(hex::encode(naive_root(&leaves)), wanted);
    }

    #[test]
    fn folding_equals_the_recursive_definition() {
        let leaves: Vec<Hash> = (0_u16..300).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        for size in 0..=300 {
            assert_eq!(root_of(&leaves[..size]), naive_root(&leaves[..size]));
        }
    }
}
