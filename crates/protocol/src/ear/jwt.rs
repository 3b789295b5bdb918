//! EAR as JWT: JWS compact serialisation (RFC 7515), nothing of JOSE beyond it.
//!
//! The header chooses nothing: `kid` names a key of the relying party's own set, and `alg` must be
//! that key's. `crit`, `b64`, embedded keys and key URLs are refused or never followed.

use serde::{Deserialize, Serialize};

use super::jwk::Jwks;
use super::{Ear, malformed, unsigned};
use crate::Error;
use crate::keys::SigningKey;
use crate::text::{base64url, from_base64url};

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b64: Option<serde_json::Value>,
}

/// Signs claims as a JWT with EdDSA.
///
/// # Errors
/// `token.malformed` when the profile is not ours or the life is not 1 to 300 s; `token.status`
/// when there is no device or a status is better than its vector.
pub fn sign(ear: &Ear, key: &SigningKey) -> Result<String, Error> {
    ear.fit_to_sign()?;
    let header = Header {
        alg: "EdDSA".to_owned(),
        typ: Some("JWT".to_owned()),
        kid: Some(key.public().id().to_string()),
        crit: None,
        b64: None,
    };
    let write = |what: Result<Vec<u8>, _>| match what {
        Ok(bytes) => Ok(base64url(&bytes)),
        Err(_) => Err(malformed("the claims cannot be written as JSON")),
    };
    let header = write(serde_json::to_vec(&header))?;
    let claims = write(serde_json::to_vec(ear))?;
    let input = format!("{header}.{claims}");
    let signature = base64url(&key.sign(input.as_bytes()));
    Ok(format!("{input}.{signature}"))
}

/// Claims whose signature holds; nothing else about them is checked here.
pub(super) fn open(token: &str, keys: &Jwks) -> Result<Ear, Error> {
    let (input, signature) = token
        .rsplit_once('.')
        .ok_or_else(|| malformed("it has no three parts"))?;
    let (header, claims) = input
        .split_once('.')
        .filter(|(_, claims)| !claims.contains('.'))
        .ok_or_else(|| malformed("it has no three parts"))?;
    let decode = |part: &str| {
        from_base64url(part).ok_or_else(|| malformed("a part is not base64url without padding"))
    };
    let signature = decode(signature)?;
    let header: Header = serde_json::from_slice(&decode(header)?)
        .map_err(|_| malformed("the header is not a JOSE header"))?;
    if header.crit.is_some() || header.b64.is_some() {
        return Err(malformed("the header demands an extension"));
    }
    if header.typ.is_some_and(|typ| {
        !["JWT", "ear+jwt"]
            .iter()
            .any(|known| typ.eq_ignore_ascii_case(known))
    }) {
        return Err(malformed(
            "the header says it is something else than an EAR",
        ));
    }
    let key = keys
        .find(header.kid.as_deref())
        .ok_or_else(|| unsigned("no key of the set has the token's key name"))?;
    if key.algorithm().map(super::jwk::Algorithm::jose) != Some(header.alg.as_str()) {
        return Err(unsigned("the token's algorithm is not its key's"));
    }
    if !key.verifies(input.as_bytes(), &signature) {
        return Err(unsigned("the signature does not hold"));
    }
    serde_json::from_slice(&decode(claims)?)
        .map_err(|_| malformed("the claims are not those of an EAR"))
}
