//! Random bytes of the operating system, by the cryptography provider. Never falls back.

use crate::error::Error;

/// Fills the slice.
///
/// # Errors
/// `agent.local` when the operating system gives none.
pub(crate) fn fill(out: &mut [u8]) -> Result<(), Error> {
    aws_lc_rs::rand::fill(out)
        .map_err(|_| Error::local("the operating system gives no random bytes"))
}
