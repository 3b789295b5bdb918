//! The AR4SI trustworthiness vector and its tiers (draft-ietf-rats-ar4si).
//!
//! Never judges: the numbers come from `appraise` by way of `report`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The tier of a claim or a device, best first. As EAR counts them, "none" is the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Status {
    /// Nothing is said.
    #[default]
    None,
    /// As wanted.
    Affirming,
    /// Wanted with warnings.
    Warning,
    /// Not as wanted.
    Contraindicated,
}

impl Status {
    /// The word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }

    /// The number in CBOR: 0, 2, 32, 96.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Affirming => 2,
            Self::Warning => 32,
            Self::Contraindicated => 96,
        }
    }

    /// The status of a number in CBOR; `None` for any other number.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            2 => Some(Self::Affirming),
            32 => Some(Self::Warning),
            96 => Some(Self::Contraindicated),
            _ => None,
        }
    }

    /// The tier of a claim's value.
    #[must_use]
    pub const fn of_claim(value: i8) -> Self {
        match value {
            -1..=1 => Self::None,
            2..=31 | -32..=-2 => Self::Affirming,
            32..=95 | -96..=-33 => Self::Warning,
            96..=127 | -128..=-97 => Self::Contraindicated,
        }
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        [
            Self::None,
            Self::Affirming,
            Self::Warning,
            Self::Contraindicated,
        ]
        .into_iter()
        .find(|status| status.as_str() == word)
        .ok_or_else(|| de::Error::custom("not a status"))
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls skip_serializing_if with a reference"
)]
const fn is_absent(value: &i8) -> bool {
    *value == 0
}

/// The eight claims; 0 says nothing and is left out. Values and meanings are AR4SI's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Vector {
    /// Is the device known?
    #[serde(skip_serializing_if = "is_absent")]
    pub instance_identity: i8,
    /// Is it configured as wanted?
    #[serde(skip_serializing_if = "is_absent")]
    pub configuration: i8,
    /// Does it run what is wanted?
    #[serde(skip_serializing_if = "is_absent")]
    pub executables: i8,
    /// Are its files as wanted?
    #[serde(skip_serializing_if = "is_absent")]
    pub file_system: i8,
    /// Is its hardware genuine and up to date?
    #[serde(skip_serializing_if = "is_absent")]
    pub hardware: i8,
    /// Is its memory hidden from others?
    #[serde(skip_serializing_if = "is_absent")]
    pub runtime_opaque: i8,
    /// Is its storage hidden from others?
    #[serde(skip_serializing_if = "is_absent")]
    pub storage_opaque: i8,
    /// Is what it reads good?
    #[serde(skip_serializing_if = "is_absent")]
    pub sourced_data: i8,
}

impl Vector {
    /// The values in the order of their CBOR keys, 0 to 7.
    #[must_use]
    pub const fn values(&self) -> [i8; 8] {
        let Self {
            instance_identity,
            configuration,
            executables,
            file_system,
            hardware,
            runtime_opaque,
            storage_opaque,
            sourced_data,
        } = *self;
        [
            instance_identity,
            configuration,
            executables,
            file_system,
            hardware,
            runtime_opaque,
            storage_opaque,
            sourced_data,
        ]
    }

    /// The vector of values in the order of their CBOR keys.
    #[must_use]
    pub const fn from_values(values: [i8; 8]) -> Self {
        let [
            instance_identity,
            configuration,
            executables,
            file_system,
            hardware,
            runtime_opaque,
            storage_opaque,
            sourced_data,
        ] = values;
        Self {
            instance_identity,
            configuration,
            executables,
            file_system,
            hardware,
            runtime_opaque,
            storage_opaque,
            sourced_data,
        }
    }

    /// The worst tier of all claims.
    #[must_use]
    pub fn worst(&self) -> Status {
        self.values()
            .into_iter()
            .map(Status::of_claim)
            .max()
            .unwrap_or_default()
    }
}
