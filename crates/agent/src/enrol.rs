//! A TPM proves itself to the witness: EK and AK go out, a credential comes back, and only the TPM
//! that holds both can answer it.
//!
//! Nothing secret passes here and nothing is believed: the owner decides, with what the witness
//! proved. So the configuration need not be pinned; a wrong witness learns public keys.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use zeuge_protocol::api::Problem;
use zeuge_protocol::text::{base64url, from_base64url};

use crate::commands::read_config;
use crate::config::Config;
use crate::error::{Error, Fault, printable};
use crate::http::Client;
use crate::tpm::Tpm;

/// How long to wait for each answer.
const TIME_MAX: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Begun {
    id: String,
    state: String,
    #[serde(default)]
    id_object: String,
    #[serde(default)]
    encrypted_secret: String,
}

/// Enrols this machine's TPM; one line for people that says how far it is.
///
/// # Errors
/// `agent.tpm`, those of configuration and client, and what the witness refuses.
pub(crate) fn enrol(
    config: &Path,
    tpm: &mut Tpm,
    dangerous_plain_http: bool,
) -> Result<String, Error> {
    let config = Config::parse(&read_config(config)?)?;
    let (url, ca) = (&config.witness.url, &config.witness.ca);
    let client = Client::new(url, ca, TIME_MAX, dangerous_plain_http)?;
    let identity = tpm.identity()?;
    let body = json!({
        "tenant": config.tenant,
        "ek_certificate": base64url(&identity.ek_certificate),
        "ek_public": base64url(&identity.ek_public),
        "ak_public": base64url(&identity.ak_public),
    });
    let mut begun: Begun = post(&client, "/v1/enrolments", &body)?;
    if begun.state == "asked" {
        let part = |text: &str| {
            from_base64url(text).ok_or_else(|| unusable("a credential that is not base64url"))
        };
        let (id_object, secret) = (part(&begun.id_object)?, part(&begun.encrypted_secret)?);
        let answer = tpm.activate(&id_object, &secret)?;
        // The id goes into a path: it is the witness's, and hex.
        if !begun.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unusable("an id that is not hex"));
        }
        let path = format!("/v1/enrolments/{}/activation", begun.id);
        begun = post(&client, &path, &json!({ "answer": base64url(&answer) }))?;
    }
    let id = printable(&begun.id, 64);
    Ok(match begun.state.as_str() {
        "enrolled" => format!("{id}: enrolled, the owner's registry names this AK"),
        "activated" => format!("{id}: activated, and waits for its owner"),
        other => format!("{id}: {}", printable(other, 64)),
    })
}

fn unusable(because: &str) -> Error {
    let because = format!("the witness answers {because}");
    Error::new("agent.http", Fault::Unavailable, because)
}

fn post<A: for<'de> Deserialize<'de>>(
    client: &Client,
    path: &str,
    body: &Value,
) -> Result<A, Error> {
    let answer = client.post(path, body.to_string().as_bytes())?;
    if answer.status == 200 {
        let form = |_| unusable("something of another form");
        return serde_json::from_slice(&answer.body).map_err(form);
    }
    let problem: Result<Problem, _> = serde_json::from_slice(&answer.body);
    Err(problem.map_or_else(
        |_| unusable("with an error that cannot be read"),
        |problem| Error::problem(&problem),
    ))
}
