//! `zeuge token verify`: what a relying party believes of a token.
//!
//! Never fetches keys: they come from a file that the caller trusts.

use zeuge_protocol::{
    Error,
    ear::{Jwks, verify_ear},
};

use crate::{Outcome, args::tools::Token, clock, input};

/// Runs the command.
pub(crate) fn run(command: &Token) -> Outcome {
    let Token::Verify {
        token,
        jwks,
        issuer,
        audience,
    } = command;
    let keys: Jwks = serde_json::from_str(&input::text(jwks)?)
        .map_err(|error| format!("{}: these are no keys (JWKS): {error}", jwks.display()))?;
    let token = input::text(token)?;
    match verify_ear(token.trim(), &keys, issuer, audience, clock::now()?.0) {
        Ok(ear) => {
            crate::say(&format!("{}\n", ear.claims()))?;
            Ok(0)
        }
        Err(error) => {
            crate::complain(&error.to_string());
            Ok(match error {
                Error::Malformed { .. } | Error::Misuse { .. } => 2,
                Error::Differs { .. } | Error::Unproven { .. } => 3,
            })
        }
    }
}
