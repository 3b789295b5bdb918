//! How this room asks: the trait that a network client implements, and what it may answer.
//!
//! The trait belongs to this room, so that tests never touch a network.

use std::{fmt, future::Future, pin::Pin};

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The Retry-After header, if it is there and is text.
    pub retry_after: Option<String>,
    /// The chain of whoever signed the body (URL-encoded PEM), from the header whose name ends with
    /// `Issuer-Chain`: Intel's service sends it so.
    pub issuer_chain: Option<String>,
    /// The body, at most as long as was asked for.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreachable {
    /// No connection, no TLS, no answer in time, or a broken one.
    Failed(String),
    /// The body is longer than was asked for.
    TooLong,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(because) => out.write_str(because),
            Self::TooLong => out.write_str("the answer is too long"),
        }
    }
}

impl std::error::Error for Unreachable {}

/// The answer to come.
pub type Got<'f> = Pin<Box<dyn Future<Output = Result<Answer, Unreachable>> + Send + 'f>>;

/// Asks one address once.
///
/// Implementations follow no redirect, repeat nothing, read at most `bytes_max` bytes of the body,
/// send nothing that names the asker, and end in bounded time.
pub trait Fetcher: fmt::Debug + Send + Sync {
    /// Sends one GET request.
    fn get<'f>(&'f self, address: &'f str, bytes_max: usize) -> Got<'f>;
}
