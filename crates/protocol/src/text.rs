//! Bytes in text: base64url without padding, and lower-case hexadecimal, as serde helpers.
//!
//! Never lenient: padding, other alphabets and stray trailing bits are refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serializer, de};

/// Values of one JSON text that becomes a tree: a verdict has some thousands, and each costs a
/// hundred times the byte that it may take in the text.
pub(crate) const JSON_VALUES_MAX: usize = 262_144;

/// How many values a JSON text holds at most: its brackets, braces and commas outside strings.
pub(crate) fn json_values(text: &[u8]) -> usize {
    let (mut count, mut inside, mut escaped) = (0_usize, false, false);
    for byte in text {
        match (inside, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => inside = !inside,
            (false, b'{' | b'[' | b',') => count = count.saturating_add(1),
            _ => {}
        }
    }
    count
}

/// base64url without padding (RFC 4648 §5).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding; `None` for anything else.
#[must_use]
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Byte strings as base64url: `#[serde(with = "text::b64")]`.
pub mod b64 {
    use super::{Deserialize, Deserializer, Serializer, base64url, de, from_base64url};

    /// Writes base64url without padding.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&base64url(bytes))
    }

    /// Reads base64url without padding.
    ///
    /// # Errors
    /// When the text is not base64url without padding.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        from_base64url(&text).ok_or_else(|| de::Error::custom("not base64url without padding"))
    }
}

/// Fixed byte arrays as base64url: `#[serde(with = "text::b64_array")]`.
pub mod b64_array {
    use super::{Deserializer, Serializer, b64, de};

    /// Writes base64url without padding.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        b64::serialize(bytes, to)
    }

    /// Reads exactly `N` bytes.
    ///
    /// # Errors
    /// When the text is not base64url of exactly `N` bytes.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<[u8; N], D::Error> {
        b64::deserialize(from)?
            .try_into()
            .map_err(|found: Vec<u8>| de::Error::invalid_length(found.len(), &"another length"))
    }
}

/// Fixed byte arrays as lower-case hexadecimal: `#[serde(with = "text::hex_array")]`.
pub mod hex_array {
    use super::{Deserialize, Deserializer, Serializer, de};

    /// Writes lower-case hexadecimal.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(bytes))
    }

    /// Reads exactly `N` bytes in lower-case hexadecimal.
    ///
    /// # Errors
    /// When the text is not that.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(from)?;
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(de::Error::custom("upper-case hexadecimal"));
        }
        let mut bytes = [0; N];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| de::Error::custom("not hexadecimal of the right length"))?;
        Ok(bytes)
    }
}
