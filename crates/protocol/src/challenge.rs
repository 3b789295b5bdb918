//! A witness-made challenge: a fresh nonce that any replica of the witness can recognise later.
//!
//! The text form is base64url of `version (1) ‖ expires (8, big-endian) ‖ deterministic CBOR ‖
//! HMAC-SHA-256 (32)`. MAC and expiry are checked before the CBOR is looked at. Whether a
//! challenge is already spent is the store's knowledge, not this module's; only the id of that
//! check is defined here. The agent treats the text as opaque.

use aws_lc_rs::hmac;

use crate::cbor::Value;
use crate::name::Name;
use crate::text::{base64url, from_base64url};
use crate::{Error, Random};

/// The check ids of this module.
pub const CHECKS: &[&str] = &[
    "challenge.expired",
    "challenge.mac",
    "challenge.spent",
    "challenge.tenant",
    "challenge.witness",
];

/// The id under which a store refuses a challenge that it has already spent.
pub const SPENT: &str = "challenge.spent";
/// The longest text form in characters: two names of 253 bytes and the fixed fields in base64url
/// are under 840; anything longer was not made here.
pub const CHALLENGE_TEXT_MAX: usize = 1024;
/// Seconds by which a witness's clock may differ from another replica's (DESIGN §5.6).
pub const SKEW_SECS_MAX: i64 = 30;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
const LABEL: &[u8] = b"zeuge-challenge-v1";

/// What a witness remembers about a nonce, authenticated so that it need not remember at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// 32 random bytes, fresh per challenge.
    pub nonce: [u8; 32],
    /// The witness that made it.
    pub witness: Name,
    /// The tenant for which it was made.
    pub tenant: Name,
    /// When it was made, in Unix seconds.
    pub issued: i64,
    /// The first instant at which it no longer counts, in Unix seconds.
    pub expires: i64,
}

/// The witness's secret for challenges; replicas share it. Its `Debug` says only its name.
pub struct ChallengeKey(hmac::Key);

impl std::fmt::Debug for ChallengeKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ChallengeKey")
    }
}

impl ChallengeKey {
    /// A key from 32 secret random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl Challenge {
    /// A fresh challenge that lives for `lifetime_secs` seconds from `now`.
    #[must_use]
    pub fn issue(
        witness: Name,
        tenant: Name,
        now: i64,
        lifetime_secs: u32,
        random: Random<'_>,
    ) -> Self {
        let mut nonce = [0; 32];
        random(&mut nonce);
        Self {
            nonce,
            witness,
            tenant,
            issued: now,
            expires: now.saturating_add(i64::from(lifetime_secs)),
        }
    }

    /// The opaque text form, authenticated under `key`.
    #[must_use]
    pub fn seal(&self, key: &ChallengeKey) -> String {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.expires.to_be_bytes());
        let body = Value::map([
            (1, Value::bytes(&self.nonce)),
            (2, Value::text(self.witness.as_str())),
            (3, Value::text(self.tenant.as_str())),
            (4, Value::Integer(self.issued)),
        ]);
        out.extend_from_slice(&body.encode());
        let mut mac = hmac::Context::with_key(&key.0);
        mac.update(LABEL);
        mac.update(&out);
        out.extend_from_slice(mac.sign().as_ref());
        base64url(&out)
    }

    /// Recognises a challenge that this witness made for this tenant and that is in force.
    ///
    /// # Errors
    /// In this order: `challenge.mac` when the text was not made under `key`; `challenge.expired`
    /// when `now` is at or after its expiry, or earlier than its making by more than
    /// [`SKEW_SECS_MAX`]; `challenge.witness` and `challenge.tenant` when it was made by or for
    /// another.
    pub fn open(
        text: &str,
        key: &ChallengeKey,
        witness: &Name,
        tenant: &Name,
        now: i64,
    ) -> Result<Self, Error> {
        let bytes = authentic(text, key)?;
        let (expires, body) = split(&bytes).ok_or_else(foreign)?;
        if now >= expires {
            return Err(Error::differs(
                "challenge.expired",
                format!("{now} (now)"),
                format!("before {expires}"),
            ));
        }
        let challenge = Self::parse(body, expires).ok_or_else(foreign)?;
        if now < challenge.issued.saturating_sub(SKEW_SECS_MAX) {
            return Err(Error::differs(
                "challenge.expired",
                format!("{now} (now)"),
                format!("not before {}", challenge.issued),
            ));
        }
        if challenge.witness != *witness {
            return Err(Error::differs(
                "challenge.witness",
                challenge.witness,
                witness.clone(),
            ));
        }
        if challenge.tenant != *tenant {
            return Err(Error::differs(
                "challenge.tenant",
                challenge.tenant,
                tenant.clone(),
            ));
        }
        Ok(challenge)
    }

    fn parse(body: &[u8], expires: i64) -> Option<Self> {
        let value = Value::parse(body, CHALLENGE_TEXT_MAX, "challenge.mac").ok()?;
        let map = value.as_map()?;
        let name = |key: i64| Name::parse(map.get(&key.into())?.as_text()?).ok();
        (map.len() == 4).then_some(())?;
        Some(Self {
            nonce: map.get(&1.into())?.as_array_of()?,
            witness: name(2)?,
            tenant: name(3)?,
            issued: map.get(&4.into())?.as_integer()?,
            expires,
        })
    }
}

const fn foreign() -> Error {
    Error::Unproven {
        check: "challenge.mac",
        because: "this witness did not make this challenge",
    }
}

/// The bytes before the MAC, once the MAC has held.
fn authentic(text: &str, key: &ChallengeKey) -> Result<Vec<u8>, Error> {
    if text.len() > CHALLENGE_TEXT_MAX {
        return Err(foreign());
    }
    let mut bytes = from_base64url(text).ok_or_else(foreign)?;
    let at = bytes.len().checked_sub(MAC_BYTES).ok_or_else(foreign)?;
    let mac = bytes.split_off(at);
    let mut message = LABEL.to_vec();
    message.extend_from_slice(&bytes);
    hmac::verify(&key.0, &message, &mac).map_err(|_| foreign())?;
    Ok(bytes)
}

fn split(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (version, rest) = bytes.split_first()?;
    let (expires, body) = rest.split_first_chunk::<8>()?;
    (*version == VERSION).then(|| (i64::from_be_bytes(*expires), body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn made() -> (ChallengeKey, Challenge) {
        let challenge = Challenge::issue(name("w1"), name("acme"), 1000, 60, &mut |out| {
            out.fill(7);
        });
        (ChallengeKey::new(&[1; 32]), challenge)
    }

    fn open(text: &str, witness: &str, tenant: &str, now: i64) -> Result<Challenge, Error> {
        Challenge::open(text, &made().0, &name(witness), &name(tenant), now)
    }

    #[test]
    fn a_challenge_is_recognised_until_its_last_second() {
        let (key, challenge) = made();
        let text = challenge.seal(&key);
        assert_eq!(open(&text, "w1", "acme", 1059), Ok(challenge.clone()));
        assert_eq!(open(&text, "w1", "acme", 970), Ok(challenge));
        assert_eq!(
            open(&text, "w1", "acme", 1060),
            Err(Error::differs(
                "challenge.expired",
                "1060 (now)",
                "before 1060"
            ))
        );
        assert_eq!(
            open(&text, "w1", "acme", 969),
            Err(Error::differs(
                "challenge.expired",
                "969 (now)",
                "not before 1000"
            ))
        );
    }

    #[test]
    fn a_challenge_of_another_witness_or_tenant_is_refused() {
        let (key, challenge) = made();
        let text = challenge.seal(&key);
        assert_eq!(
            open(&text, "w2", "acme", 1000),
            Err(Error::differs("challenge.witness", "w1", "w2"))
        );
        assert_eq!(
            open(&text, "w1", "other", 1000),
            Err(Error::differs("challenge.tenant", "acme", "other"))
        );
    }

    #[test]
    fn a_challenge_under_another_key_is_refused_before_its_expiry_is_read() {
        let (_, challenge) = made();
        let text = challenge.seal(&ChallengeKey::new(&[2; 32]));
        assert_eq!(open(&text, "w1", "acme", 9_999_999), Err(foreign()));
    }

    #[test]
    fn the_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", made().0), "ChallengeKey");
    }

    proptest! {
        #[test]
        fn any_changed_character_is_refused(at in 0_usize..150, to in "[A-Za-z0-9_-]") {
            let (key, challenge) = made();
            let text = challenge.seal(&key);
            let at = at % text.len();
            let mut changed = text.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != text);
            prop_assert_eq!(open(&changed, "w1", "acme", 1000), Err(foreign()));
        }

        #[test]
        fn arbitrary_text_is_refused(text in ".{0,200}") {
            prop_assert_eq!(open(&text, "w1", "acme", 1000), Err(foreign()));
        }
    }
}
