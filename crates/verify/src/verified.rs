//! Belief as a type.

use crate::Trail;

/// A fact that a maker's key vouches for, through a chain that ends in one of the given anchors.
///
/// Made only by `Verified::assertion`, which only this crate can call; the tidy test keeps the
/// list of its call sites. Cannot be read from the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified<T> {
    fact: T,
    trail: Trail,
}

impl<T> Verified<T> {
    /// Mints belief. Every caller stands in the checked-in list of `xtask tidy`.
    pub(crate) const fn assertion(fact: T, trail: Trail) -> Self {
        Self { fact, trail }
    }

    /// The fact.
    pub const fn fact(&self) -> &T {
        &self.fact
    }

    /// The checks that held on the way here.
    pub const fn trail(&self) -> &Trail {
        &self.trail
    }
}
