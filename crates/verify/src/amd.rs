//! x
use std::fmt;
/// x
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {}
impl Broken {
    /// x
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match *self {}
    }
}
impl fmt::Display for Broken {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
