//! An answer of a witness, signed with its answer key over the received bytes (DESIGN §5.3).
//!
//! The signature covers the binding digest and with it nonce and session key, so an answer cannot
//! be shown to another session, not even to one that was handed the same challenge.
//! Never read before it holds.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::api::{AttestAnswer, BODY_BYTES_MAX};
use crate::cbor::Value;
use crate::keys::{PublicKey, SigningKey};
use crate::name::Name;
use crate::text;

/// The check ids of this module.
pub const CHECKS: &[&str] = &["answer.malformed", "answer.signature", "answer.witness"];

/// The body of every answer to an attestation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAnswer {
    /// The witness that answers.
    pub witness: Name,
    /// [`AttestAnswer`] in JSON, as bytes.
    #[serde(with = "text::b64")]
    pub payload: Vec<u8>,
    /// Ed25519 by the witness's answer key.
    #[serde(with = "text::b64_array")]
    pub signature: [u8; 64],
}

impl SignedAnswer {
    /// Signs an answer to the session with this binding digest.
    ///
    /// # Errors
    /// `answer.malformed` when the answer cannot be written as JSON.
    pub fn sign(
        answer: &AttestAnswer,
        witness: &Name,
        binding: &[u8; 64],
        key: &SigningKey,
    ) -> Result<Self, Error> {
        let payload = serde_json::to_vec(answer).map_err(|_| Error::Misuse {
            check: "answer.malformed",
            because: "the answer cannot be written as JSON",
        })?;
        Ok(Self::sign_written(payload, witness, binding, key))
    }

    /// As [`SignedAnswer::sign`], of an [`AttestAnswer`] that was written as JSON before.
    #[must_use]
    pub fn sign_written(
        payload: Vec<u8>,
        witness: &Name,
        binding: &[u8; 64],
        key: &SigningKey,
    ) -> Self {
        let signature = key.sign(&signing_input(witness, binding, &payload));
        Self {
            witness: witness.clone(),
            payload,
            signature,
        }
    }

    /// Believes the answer if the wanted witness signed it for this binding digest.
    ///
    /// # Errors
    /// `answer.witness` when another witness answers; `answer.signature` when the signature does
    /// not hold for this binding; `answer.malformed` when the signed payload is longer than
    /// [`BODY_BYTES_MAX`] or not an answer.
    pub fn verify(
        &self,
        witness: &Name,
        binding: &[u8; 64],
        key: &PublicKey,
    ) -> Result<AttestAnswer, Error> {
        if self.witness != *witness {
            return Err(Error::differs(
                "answer.witness",
                self.witness.clone(),
                witness.clone(),
            ));
        }
        if !key.verifies(
            &signing_input(witness, binding, &self.payload),
            &self.signature,
        ) {
            return Err(Error::Unproven {
                check: "answer.signature",
                because: "the witness did not sign this answer for this session",
            });
        }
        if self.payload.len() > BODY_BYTES_MAX {
            return Err(Error::malformed(
                "answer.malformed",
                BODY_BYTES_MAX,
                "it is too long",
            ));
        }
        serde_json::from_slice(&self.payload)
            .map_err(|_| Error::malformed("answer.malformed", 0, "the payload is not an answer"))
    }
}

fn signing_input(witness: &Name, binding: &[u8; 64], payload: &[u8]) -> Vec<u8> {
    Value::Array(vec![
        Value::text("zeuge-answer-v1"),
        Value::text(witness.as_str()),
        Value::bytes(binding),
        Value::bytes(payload),
    ])
    .encode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Verdict, VerdictWord};
    use crate::document::tests::key;

    #[test]
    fn an_answer_counts_for_its_own_witness_and_session_only() {
        let name = |text: &str| Name::parse(text).unwrap();
        let answer = AttestAnswer {
            verdict: Verdict::new(VerdictWord::Affirming, "2026-11-24T00:00:00Z"),
            token: None,
            receipt: None,
            secrets: vec![],
            refused: vec![],
        };
        let signed = SignedAnswer::sign(&answer, &name("w1"), &[1; 64], &key(1)).unwrap();
        let verify = |signed: &SignedAnswer, witness: &str, binding, seed| {
            signed.verify(&name(witness), binding, &key(seed).public())
        };
        let unsigned = Error::Unproven {
            check: "answer.signature",
            because: "the witness did not sign this answer for this session",
        };
        assert_eq!(verify(&signed, "w1", &[1; 64], 1), Ok(answer));
        assert_eq!(verify(&signed, "w1", &[2; 64], 1), Err(unsigned.clone()));
        assert_eq!(verify(&signed, "w1", &[1; 64], 2), Err(unsigned.clone()));
        assert_eq!(
            verify(&signed, "w2", &[1; 64], 1),
            Err(Error::differs("answer.witness", "w1", "w2"))
        );
        let mut changed = signed;
        changed.payload.push(b' ');
        assert_eq!(verify(&changed, "w1", &[1; 64], 1), Err(unsigned));
    }
}
