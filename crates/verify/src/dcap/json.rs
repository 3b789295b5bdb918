//! A JSON tree that keeps every member, also one that stands twice.
//!
//! serde_json's own tree keeps the last of two members of one name; a document whose meaning
//! depends on that choice must be refused, not read. Nesting is limited by serde_json (128).

use std::{collections::BTreeSet, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use zeuge_evidence::json::is_modest;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    /// `null`, `true` or `false`: nothing here asks for them.
    Other,
    /// A whole number of at most 64 bits; `None` for any other.
    Number(Option<u64>),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Members in the order received.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value; nothing but white space may follow. A text that holds too many values is
    /// none (see [`is_modest`]).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if is_modest(bytes) {
            serde_json::from_slice(bytes).ok()
        } else {
            None
        }
    }

    /// The first member of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        members
            .iter()
            .find(|(at, _)| at == name)
            .map(|(_, value)| value)
    }

    /// The text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number.
    pub(crate) const fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => *number,
            _ => None,
        }
    }

    /// The list.
    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// A name that stands twice in one object, anywhere in the tree.
    pub(crate) fn duplicate(&self) -> Option<&str> {
        match self {
            Self::Other | Self::Number(_) | Self::Text(_) => None,
            Self::List(list) => list.iter().find_map(Self::duplicate),
            Self::Object(members) => {
                let mut seen = BTreeSet::new();
                members.iter().find_map(|(name, value)| {
                    if seen.insert(name) {
                        value.duplicate()
                    } else {
                        Some(name.as_str())
                    }
                })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(Some(number)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some(value) = list.next_element()? {
            out.push(value);
        }
        Ok(Json::List(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some(member) = map.next_entry()? {
            out.push(member);
        }
        Ok(Json::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_found_at_any_depth() {
        let twice = |text: &str| {
            Json::parse(text.as_bytes())
                .unwrap()
                .duplicate()
                .map(str::to_owned)
        };
        assert_eq!(twice(r#"{"a":1,"b":[{"c":1},{"c":2}]}"#), None);
        assert_eq!(twice(r#"{"a":1,"b":2,"a":1}"#), Some("a".to_owned()));
        assert_eq!(
            twice(r#"{"a":[{"b":{"c":1,"\u0063":2}}]}"#),
            Some("c".to_owned())
        );
    }

    #[test]
    fn only_whole_numbers_that_fit_are_numbers() {
        let number = |text: &str| Json::parse(text.as_bytes()).unwrap().number();
        assert_eq!(number("7"), Some(7));
        assert_eq!(number("-1"), None);
        assert_eq!(number("1.5"), None);
        assert_eq!(number("10000000000000000000000000"), None);
        assert_eq!(Json::parse(b"{} x"), None);
    }
}
