//! An IMA list for people, entry by entry: the tree behind `zeuge inspect`.
//!
//! Made from the parsed list alone; claims nothing.

use super::{Entry, parse_any};
use crate::{Malformed, annotate::Node};

/// Entries that are shown; a tree is for people.
const SHOWN_MAX: usize = 10_000;

/// The entries of a list, one node each.
///
/// # Errors
/// `ima.line`, as the readers.
pub fn annotate(bytes: &[u8]) -> Result<Node, Malformed> {
    let part = parse_any(bytes)?;
    let shown = part.entries.iter().take(SHOWN_MAX);
    let children = shown.enumerate().map(entry).collect();
    let mut meaning = format!("{} entries", part.entries.len());
    if part.entries.len() > SHOWN_MAX {
        meaning.push_str(&format!(", the first {SHOWN_MAX} are shown"));
    }
    let left = bytes.len().saturating_sub(part.consumed);
    if left > 0 {
        meaning.push_str(&format!("; {left} bytes at the end are no whole entry"));
    }
    let tree = Node::group("IMA list", 0, part.consumed, children);
    Ok(tree.meaning(meaning).spec("Linux, IMA templates"))
}

fn entry((index, entry): (usize, &Entry)) -> Node {
    let name = format!("entry {index}: PCR {}, {}", entry.pcr, entry.template);
    let digest = format!(
        "{}{}:{}",
        if entry.verity { "verity:" } else { "" },
        entry.algorithm,
        hex::encode(&entry.digest)
    );
    let meaning = if entry.is_violation() {
        format!("{} changed while it was measured", entry.name)
    } else if entry.digest_holds() {
        entry.name.clone()
    } else {
        format!(
            "{}; its template digest is not a hash of the entry",
            entry.name
        )
    };
    Node::field(name, entry.offset, entry.data.len(), digest).meaning(meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_a_node_and_a_rest_is_told() {
        let line = format!(
            "10 {} ima-ng sha1:{} /a\n",
            "00".repeat(20),
            "11".repeat(20)
        );
        let tree = annotate(format!("{line}10 00").as_bytes()).unwrap();
        assert_eq!(tree.children.len(), 1);
        assert!(tree.meaning.contains("1 entries; 5 bytes at the end"));
    }
}
