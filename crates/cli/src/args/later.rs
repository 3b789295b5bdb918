//! Commands of the plan that this version refuses by name.

use std::ffi::OsString;

use clap::{Args, Subcommand};

/// What follows the name of a command that is refused.
#[derive(Debug, Args)]
pub(crate) struct Rest {
    /// Not read.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

/// Refused by name.
#[derive(Debug, Subcommand)]
pub(crate) enum Later {
    /// Not supported yet: judge archived evidence anew.
    Replay(Rest),
    /// Not supported yet: reference values from artefacts.
    Measure(Rest),
}

impl Later {
    /// The sentence of the refusal.
    pub(crate) fn refusal(&self) -> String {
        let name = match self {
            Self::Replay(_) => "replay",
            Self::Measure(_) => "measure",
        };
        format!("{name} is not supported yet")
    }
}
