//! The clock of this machine, read here and handed down.

use std::time::SystemTime;

use zeuge_evidence::UnixTime;

/// Now.
pub(crate) fn now() -> Result<UnixTime, String> {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .map(UnixTime)
        .ok_or_else(|| "the clock of this machine is before 1970".to_owned())
}
