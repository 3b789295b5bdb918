//! The list of checks that held, in order, and the one door through which every check goes.
//!
//! Never decides anything itself. Because every check passes here, the mutation loop can take the
//! body of any one of them away and see whether its lie is still caught (`make mutants`).

use crate::Error;

/// The ids of the checks that held so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trail {
    passed: Vec<&'static str>,
}

impl Trail {
    /// An empty trail.
    #[must_use]
    pub const fn new() -> Self {
        Self { passed: Vec::new() }
    }

    /// An empty trail with room for this many ids.
    pub(crate) fn with_room(ids: usize) -> Self {
        Self {
            passed: Vec::with_capacity(ids),
        }
    }

    /// Puts these ids in the place of all after the first `kept`. For a chain that was verified
    /// before: its checks held on the same bytes, and stand in the order of that verification.
    pub(crate) fn replace_after(&mut self, kept: usize, ids: &[&'static str]) {
        self.passed.truncate(kept);
        self.passed.extend_from_slice(ids);
    }

    /// Runs the body of the check with this id; records it when it holds.
    ///
    /// # Errors
    /// What the body returned; the first failure ends verification.
    pub fn check(
        &mut self,
        id: &'static str,
        body: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        #[cfg(zeuge_mutants)]
        if mutants::is_gone(id) {
            return Ok(());
        }
        body()?;
        self.passed.push(id);
        Ok(())
    }

    /// The ids that held, in order. An id may stand more than once (one per certificate).
    #[must_use]
    pub fn passed(&self) -> &[&'static str] {
        &self.passed
    }

    /// Takes over what another trail recorded.
    pub fn extend(&mut self, other: Self) {
        self.passed.extend(other.passed);
    }
}

/// Which check has lost its body, in builds made with `--cfg zeuge_mutants` and nowhere else.
#[cfg(zeuge_mutants)]
pub mod mutants {
    use std::sync::Mutex;

    static GONE: Mutex<Option<String>> = Mutex::new(None);

    /// Takes the body of the check with this id away, or gives all bodies back.
    pub fn take_away(id: Option<&str>) {
        if let Ok(mut gone) = GONE.lock() {
            *gone = id.map(str::to_owned);
        }
    }

    /// Whether the body of this check is gone.
    #[must_use]
    pub fn is_gone(id: &str) -> bool {
        GONE.lock().is_ok_and(|gone| gone.as_deref() == Some(id))
    }
}
