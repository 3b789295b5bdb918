//! How much a tree of JSON may cost before one is built.
//!
//! A text of 16 MiB can hold five million small objects, and a tree of them takes a hundred times
//! the memory of the text. So values are counted in the text first, without memory of its own.
//! Never reads a value, never decides what a document means.

use serde_json::Value;

/// Values of one tree: a boot log of 256 KiB as a list of numbers fits, with everything around it.
/// Each takes 32 bytes.
pub const VALUES_MAX: usize = 512 * 1024;
/// Objects of one tree: all of Intel's collateral for a fleet of platform models has under 10,000.
/// Each takes under 700 bytes.
pub const OBJECTS_MAX: usize = 16 * 1024;

/// Whether a tree of this text keeps [`VALUES_MAX`] and [`OBJECTS_MAX`]. Says nothing about
/// whether it is JSON: text that is not is counted by the same marks.
#[must_use]
pub fn is_modest(bytes: &[u8]) -> bool {
    let (mut values, mut objects) = (0_usize, 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for byte in bytes {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{') => objects = objects.saturating_add(1),
            // Every value but the first of its list or object follows a comma.
            (false, b',' | b'[') => values = values.saturating_add(1),
            _ => {}
        }
    }
    values <= VALUES_MAX && objects <= OBJECTS_MAX
}

/// Reads a tree from a text that [`is_modest`]; `None` for any other, and for what is no JSON.
/// Nesting is limited by serde_json (128).
#[must_use]
pub fn tree(bytes: &[u8]) -> Option<Value> {
    if is_modest(bytes) {
        serde_json::from_slice(bytes).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_one_value_or_object_too_many_is_not_read() {
        let list = |count: usize| format!("[0{}]", ",0".repeat(count));
        assert!(tree(list(VALUES_MAX - 1).as_bytes()).is_some());
        assert!(tree(list(VALUES_MAX).as_bytes()).is_none());
        let objects = |count: usize| format!("[{{}}{}]", ",{}".repeat(count));
        assert!(tree(objects(OBJECTS_MAX - 1).as_bytes()).is_some());
        assert!(tree(objects(OBJECTS_MAX).as_bytes()).is_none());
    }

    #[test]
    fn marks_inside_texts_are_not_counted() {
        let text = format!(
            r#"{{"a\"{}":"\\{}"}}"#,
            "{".repeat(OBJECTS_MAX),
            ",".repeat(VALUES_MAX)
        );
        assert!(is_modest(text.as_bytes()));
    }
}
