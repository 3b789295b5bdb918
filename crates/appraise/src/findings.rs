//! The list of what was found, and the one door through which every check of appraisal goes.
//!
//! Never stops at the first failure: an honest machine that is out of date gets the whole list.

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It held.
    Pass,
    /// Somebody wrote that it is not to be checked.
    Unchecked,
    /// It is accepted, with a warning.
    Warn,
    /// It did not hold.
    Fail,
}

impl Status {
    /// The word in `zeuge.verdict.v1`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unchecked => "unchecked",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The id of the check.
    pub id: &'static str,
    /// How it went.
    pub status: Status,
    /// Why, as a sentence; empty for a check that held.
    pub because: String,
    /// What was found, where the check compares; empty otherwise.
    pub found: String,
    /// What was wanted (the nearest reference value), where the check compares.
    pub wanted: String,
}

impl Finding {
    /// The check held.
    #[must_use]
    pub const fn pass(id: &'static str) -> Self {
        Self {
            id,
            status: Status::Pass,
            because: String::new(),
            found: String::new(),
            wanted: String::new(),
        }
    }

    /// The check did not hold.
    #[must_use]
    pub fn fail(id: &'static str, because: impl Into<String>) -> Self {
        Self {
            status: Status::Fail,
            because: because.into(),
            ..Self::pass(id)
        }
    }

    /// The check is accepted with a warning.
    #[must_use]
    pub fn warn(id: &'static str, because: impl Into<String>) -> Self {
        Self {
            status: Status::Warn,
            because: because.into(),
            ..Self::pass(id)
        }
    }

    /// The check was not made, for a written reason.
    #[must_use]
    pub fn unchecked(id: &'static str, because: impl Into<String>) -> Self {
        Self {
            status: Status::Unchecked,
            because: because.into(),
            ..Self::pass(id)
        }
    }

    /// The same finding with what was found and what was wanted.
    #[must_use]
    pub fn difference(mut self, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        self.found = found.into();
        self.wanted = wanted.into();
        self
    }
}

/// All findings so far, verification's first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Begins with the checks of verification that held. An id stands once.
    #[must_use]
    pub fn new(passed: &[&'static str]) -> Self {
        let mut list: Vec<Finding> = Vec::with_capacity(passed.len());
        for id in passed {
            if !list.iter().any(|finding| finding.id == *id) {
                list.push(Finding::pass(id));
            }
        }
        Self { list }
    }

    /// Runs the body of the check with this id and keeps what it found. The body returns `None`
    /// when the check does not apply to this evidence.
    pub fn check(&mut self, id: &'static str, body: impl FnOnce() -> Option<Finding>) {
        #[cfg(zeuge_mutants)]
        if zeuge_verify::mutants::is_gone(id) {
            return;
        }
        if let Some(finding) = body() {
            self.list.push(Finding { id, ..finding });
        }
    }

    /// The findings in order.
    #[must_use]
    pub fn into_list(self) -> Vec<Finding> {
        self.list
    }

    /// Replaces the finding of verification with this id, where it passed only because nothing
    /// was demanded.
    pub(crate) fn replace(&mut self, finding: Finding) {
        self.list.retain(|held| held.id != finding.id);
        self.list.push(finding);
    }
}
