//! JSON as it was received: every member is kept, also one that stands twice.
//!
//! serde_json's own tree keeps the last of two members of one name; a document whose meaning
//! depends on that choice must be refused, not read. Values stand one after the other in one piece of
//! memory, and texts without escapes stay in the file: a TCB Info has a thousand values. Nesting is
//! limited by serde_json (128).

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use zeuge_evidence::json::{OBJECTS_MAX, VALUES_MAX};

/// Members up to which each name is compared with each: cheaper than a set of them.
const FEW: usize = 24;

/// A value, or the name of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    /// `null`, `true` or `false`: nothing here asks for them.
    Other,
    /// A whole number of at most 64 bits; `None` for any other.
    Number(Option<u64>),
    /// A text.
    Text(Cow<'a, str>),
    /// A list, and how many tokens stand in it.
    List(usize),
    /// An object, and how many tokens stand in it: names, each before its value.
    Object(usize),
}

/// A value with all that stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Json<'a>(Vec<Token<'a>>);

/// A value inside of [`Json`]: its token, and those in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View<'j, 'a>(&'j [Token<'a>]);

impl<'a> Json<'a> {
    /// Reads one value; nothing but white space may follow. A text that holds more values than
    /// [`VALUES_MAX`] or more objects than [`OBJECTS_MAX`] is none: each takes memory.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let mut out = Tape {
            tokens: Vec::new(),
            values: VALUES_MAX,
            objects: OBJECTS_MAX,
        };
        Next(&mut out).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(Self(out.tokens))
    }

    /// The value.
    pub(crate) fn view(&self) -> View<'_, 'a> {
        View(&self.0)
    }
}

/// The values of a list, or names and values of an object, that are still to come.
#[derive(Debug, Clone)]
pub(crate) struct Rest<'j, 'a>(&'j [Token<'a>]);

impl<'j, 'a> Rest<'j, 'a> {
    fn value(&mut self) -> Option<View<'j, 'a>> {
        let inside = match self.0.first()? {
            Token::List(inside) | Token::Object(inside) => *inside,
            Token::Other | Token::Number(_) | Token::Text(_) => 0,
        };
        let (value, rest) = self.0.split_at_checked(inside.checked_add(1)?)?;
        self.0 = rest;
        Some(View(value))
    }

    /// Name and value of the members that are still to come.
    fn members(mut self) -> impl Iterator<Item = (&'j str, View<'j, 'a>)> {
        std::iter::from_fn(move || Some((self.value()?.text()?, self.value()?)))
    }
}

impl<'j, 'a> Iterator for Rest<'j, 'a> {
    type Item = View<'j, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.value()
    }
}

impl<'j, 'a> View<'j, 'a> {
    /// The first member of this name.
    pub(crate) fn get(self, name: &str) -> Option<Self> {
        let mut members = self.members()?;
        members.find(|(at, _)| *at == name).map(|(_, value)| value)
    }

    /// The text.
    pub(crate) fn text(self) -> Option<&'j str> {
        match self.0.first() {
            Some(Token::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The whole number.
    pub(crate) fn number(self) -> Option<u64> {
        match self.0.first() {
            Some(Token::Number(number)) => *number,
            _ => None,
        }
    }

    /// The values of a list.
    pub(crate) fn list(self) -> Option<Rest<'j, 'a>> {
        match self.0.split_first() {
            Some((Token::List(_), inside)) => Some(Rest(inside)),
            _ => None,
        }
    }

    /// Names and values of an object, in the order received.
    pub(crate) fn members(self) -> Option<impl Iterator<Item = (&'j str, Self)> + use<'j, 'a>> {
        match self.0.split_first() {
            Some((Token::Object(_), inside)) => Some(Rest(inside).members()),
            _ => None,
        }
    }

    /// A name that stands twice in one object, anywhere in this value.
    pub(crate) fn duplicate(self) -> Option<&'j str> {
        if let Some(mut list) = self.list() {
            return list.find_map(Self::duplicate);
        }
        let mut members = self.members()?;
        self.twice()
            .or_else(|| members.find_map(|(_, value)| value.duplicate()))
    }

    /// The first name that stands twice among the members.
    fn twice(self) -> Option<&'j str> {
        let mut names = self.members()?.map(|(name, _)| name).enumerate();
        if self.members()?.count() > FEW {
            let mut seen = BTreeSet::new();
            return names.map(|(_, name)| name).find(|name| !seen.insert(*name));
        }
        let stood = |(at, name): &(usize, &str)| {
            let earlier = self.members().into_iter().flatten().take(*at);
            earlier.into_iter().any(|(before, _)| before == *name)
        };
        names.find(stood).map(|(_, name)| name)
    }
}

/// What was read, and how many values and objects may still come.
struct Tape<'a> {
    tokens: Vec<Token<'a>>,
    values: usize,
    objects: usize,
}

/// Reads the next value.
struct Next<'t, 'a>(&'t mut Tape<'a>);

impl<'a> Next<'_, 'a> {
    fn put(self, token: Token<'a>) {
        self.0.tokens.push(token);
    }
}

fn one_less<E: serde::de::Error>(left: &mut usize) -> Result<(), E> {
    *left = left.checked_sub(1).ok_or_else(|| E::custom("limit"))?;
    Ok(())
}

impl<'de> DeserializeSeed<'de> for Next<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        one_less(&mut self.0.values)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Next<'_, 'de> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(Token::Other);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.put(Token::Other);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.put(Token::Number(Some(number)));
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.put(Token::Number(None));
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.put(Token::Number(None));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.put(Token::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.put(Token::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let at = self.0.tokens.len();
        self.0.tokens.push(Token::List(0));
        while list.next_element_seed(Next(&mut *self.0))?.is_some() {}
        self.0.close(at, Token::List);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        one_less(&mut self.0.objects)?;
        let at = self.0.tokens.len();
        self.0.tokens.push(Token::Object(0));
        while let Some(name) = map.next_key_seed(Name)? {
            self.0.tokens.push(Token::Text(name));
            map.next_value_seed(Next(&mut *self.0))?;
        }
        self.0.close(at, Token::Object);
        Ok(())
    }
}

impl<'a> Tape<'a> {
    /// Says of the list or object at this place how many tokens stand in it.
    fn close(&mut self, at: usize, token: fn(usize) -> Token<'a>) {
        let inside = self.tokens.len().saturating_sub(at).saturating_sub(1);
        if let Some(open) = self.tokens.get_mut(at) {
            *open = token(inside);
        }
    }
}

/// Reads the name of a member; without escapes it stays where it is.
pub(crate) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_found_at_any_depth() {
        let twice = |text: &str| {
            let json = Json::parse(text.as_bytes()).unwrap();
            json.view().duplicate().map(str::to_owned)
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
        let number = |text: &str| Json::parse(text.as_bytes()).unwrap().view().number();
        assert_eq!(number("7"), Some(7));
        assert_eq!(number("-1"), None);
        assert_eq!(number("1.5"), None);
        assert_eq!(number("10000000000000000000000000"), None);
        assert_eq!(Json::parse(b"{} x"), None);
    }

    #[test]
    fn among_many_members_a_name_that_stands_twice_is_found_too() {
        let member = |number: usize| format!("\"m{number}\":{number}");
        for many in [FEW, FEW + 1, 3 * FEW] {
            let mut members: Vec<_> = (0..many).map(member).collect();
            let text = format!("{{{}}}", members.join(","));
            let json = Json::parse(text.as_bytes()).unwrap();
            assert_eq!(json.view().duplicate(), None);
            members.push(member(many / 2));
            let text = format!("{{{}}}", members.join(","));
            let twice = format!("m{}", many / 2);
            let json = Json::parse(text.as_bytes()).unwrap();
            assert_eq!(json.view().duplicate(), Some(twice.as_str()));
        }
    }

    #[test]
    fn a_text_with_one_value_or_object_too_many_is_not_read() {
        // The list itself is a value.
        let list = |count: usize| format!("[0{}]", ",0".repeat(count - 2));
        assert!(Json::parse(list(VALUES_MAX).as_bytes()).is_some());
        assert!(Json::parse(list(VALUES_MAX + 1).as_bytes()).is_none());
        let objects = |count: usize| format!("[{{}}{}]", ",{}".repeat(count - 1));
        assert!(Json::parse(objects(OBJECTS_MAX).as_bytes()).is_some());
        assert!(Json::parse(objects(OBJECTS_MAX + 1).as_bytes()).is_none());
    }

    #[test]
    fn texts_stay_where_they_are_unless_they_are_escaped() {
        let text = br#"{"a":"plain","\u0062":"\u0063"}"#;
        let json = Json::parse(text).unwrap();
        let borrowed = |token: &Token<'_>| match token {
            Token::Text(text) => (matches!(text, Cow::Borrowed(_)), text.to_string()),
            _ => panic!("a text"),
        };
        let seen: Vec<_> = json.0[1..].iter().map(borrowed).collect();
        let seen: Vec<_> = seen
            .iter()
            .map(|(own, text)| (*own, text.as_str()))
            .collect();
        assert_eq!(
            seen,
            [(true, "a"), (true, "plain"), (false, "b"), (false, "c")]
        );
    }

    #[test]
    fn what_stands_in_a_value_is_found_and_nothing_beside_it() {
        let text = br#"{"a":[1,{"b":[],"c":"x"},[2,3]],"d":{"b":4},"e":[true,null]}"#;
        let json = Json::parse(text).unwrap();
        let root = json.view();
        let list: Vec<_> = root.get("a").unwrap().list().unwrap().collect();
        assert_eq!((list.len(), list[0].number()), (3, Some(1)));
        assert_eq!(list[1].get("c").and_then(View::text), Some("x"));
        assert_eq!(list[1].get("b").unwrap().list().unwrap().count(), 0);
        assert_eq!(
            list[2]
                .list()
                .unwrap()
                .filter_map(View::number)
                .sum::<u64>(),
            5
        );
        assert_eq!(
            root.get("d")
                .and_then(|d| d.get("b"))
                .and_then(View::number),
            Some(4)
        );
        assert_eq!(root.get("e").unwrap().list().unwrap().count(), 2);
        assert!(root.get("b").is_none() && root.list().is_none() && root.text().is_none());
        assert_eq!(
            root.members()
                .unwrap()
                .map(|(name, _)| name)
                .collect::<String>(),
            "ade"
        );
    }
}
