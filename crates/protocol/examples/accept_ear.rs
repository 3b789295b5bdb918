//! A relying party in ten lines: accept a machine that this witness has just found affirming.
//!
//! `cargo run --example accept_ear -- JWKS.json TOKEN.jwt https://witness.example my-service`
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::time::{SystemTime, UNIX_EPOCH};

use zeuge_protocol::ear::{Jwks, Status, verify_ear};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [keys, token, issuer, audience] = arguments.as_slice() else {
        return Err("usage: accept_ear JWKS.json TOKEN.jwt ISSUER AUDIENCE".into());
    };
    let keys: Jwks = serde_json::from_slice(&std::fs::read(keys)?)?;
    let token = std::fs::read_to_string(token)?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;

    let kinds = accept(&keys, &token, issuer, audience, now)?;
    println!("accepted: {}", kinds.join(", "));
    Ok(())
}

/// The kinds of evidence of a machine that may be served.
pub(crate) fn accept(
    keys: &Jwks,
    token: &str,
    issuer: &str,
    audience: &str,
    now: i64,
) -> Result<Vec<String>, zeuge_protocol::Error> {
    let ear = verify_ear(token.trim(), keys, issuer, audience, now)?;
    ear.demands(Status::Affirming)?;
    Ok(ear.submods.into_keys().collect())
}
