//! What the bytes say, field by field, for people: the tree behind `zeuge inspect`.
//!
//! Never claims belief: a tree is made from parsed bytes alone, and whoever prints it says so.

/// One field, or a group of fields, of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The field by its vendor's name.
    pub name: String,
    /// Where it begins, in bytes from the start of the whole input.
    pub offset: usize,
    /// How long it is, in bytes.
    pub length: usize,
    /// The value, printed: hex for byte strings, decimal and hex for numbers. Empty for groups.
    pub value: String,
    /// What the value means, as a short sentence. Empty where the name says it all.
    pub meaning: String,
    /// The document and section that defines the field, e.g. `AMD 56860 §7.3`.
    pub spec: &'static str,
    /// The parts, in the order of their offsets.
    pub children: Vec<Node>,
}

impl Node {
    /// A field with a printed value.
    #[must_use]
    pub fn field(
        name: impl Into<String>,
        offset: usize,
        length: usize,
        value: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            offset,
            length,
            value: value.into(),
            meaning: String::new(),
            spec: "",
            children: Vec::new(),
        }
    }

    /// A group of fields.
    #[must_use]
    pub fn group(
        name: impl Into<String>,
        offset: usize,
        length: usize,
        children: Vec<Self>,
    ) -> Self {
        Self {
            children,
            ..Self::field(name, offset, length, "")
        }
    }

    /// A byte string, printed as hex.
    #[must_use]
    pub fn bytes(name: impl Into<String>, offset: usize, bytes: &[u8]) -> Self {
        Self::field(name, offset, bytes.len(), hex::encode(bytes))
    }

    /// The same node with its meaning.
    #[must_use]
    pub fn meaning(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = meaning.into();
        self
    }

    /// The same node with the document and section that defines it.
    #[must_use]
    pub const fn spec(mut self, spec: &'static str) -> Self {
        self.spec = spec;
        self
    }
}
