//! Enrolment of TPMs (DESIGN §5.5): a credential that only one TPM can open, its answer, and what
//! the owner is then asked to approve.
//!
//! *Flow*: EK certificate, EK, AK → the chain to a maker's root → a credential → the TPM's answer →
//! "activated", waiting for the owner. *Guarantees*: nothing here enrols; a machine counts when the
//! owners' signed registry names its AK, and that document is a leaf. *Caveats*: what waits lives
//! in memory, bounded and for a while; after a restart a machine asks again. Asking again with the
//! same keys changes nothing but the credential.

use std::collections::BTreeMap;
use std::sync::Mutex;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};
use zeuge_evidence::UnixTime;
use zeuge_evidence::tpm::certificate_in;
use zeuge_evidence::x509::Certificate;
use zeuge_log::hash::sha256;
use zeuge_protocol::name::Name;
use zeuge_protocol::text;
use zeuge_verify::crypto::AWS_LC;
use zeuge_verify::tpm::credential::{self, Activation, Pending, Randomness};
use zeuge_verify::tpm::{Context, Revocation, TpmRoots, verify_ek};
use zeuge_verify::{Anchors, Endorsements};

use crate::appraisal::SIM_TENANT;
use crate::refusal::Refusal;

/// The ids of this file.
pub const CHECKS: &[&str] = &["enrolment.full", "enrolment.unknown"];
/// Enrolments that wait at once; a fleet comes in waves of hundreds.
pub const WAITING_MAX: usize = 4096;
/// How long a TPM may take to open its credential, in seconds.
pub const CREDENTIAL_SECS: i64 = 600;
/// How long an activated TPM waits for its owner, in seconds: a long weekend.
pub const APPROVAL_SECS: i64 = 7 * 86_400;
/// The longest request in bytes: a certificate and two public areas in base64url.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// `POST /v1/enrolments`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    /// The tenant whose owner is to approve.
    pub tenant: Name,
    /// The certificate of the EK, as it lies in NV.
    #[serde(with = "text::b64")]
    pub ek_certificate: Vec<u8>,
    /// `TPMT_PUBLIC` or `TPM2B_PUBLIC` of the EK.
    #[serde(with = "text::b64")]
    pub ek_public: Vec<u8>,
    /// `TPMT_PUBLIC` or `TPM2B_PUBLIC` of the AK.
    #[serde(with = "text::b64")]
    pub ak_public: Vec<u8>,
}

/// `POST /v1/enrolments/{id}/activation`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationRequest {
    /// What the TPM found in the credential.
    #[serde(with = "text::b64")]
    pub answer: Vec<u8>,
}

enum Stage {
    /// A credential is out.
    Asked(Box<Pending>),
    /// The TPM answered rightly.
    Activated(Box<Activation>),
}

struct Waiting {
    tenant: String,
    serial: String,
    expires: i64,
    stage: Stage,
}

/// What waits, and the roots that count.
pub struct Enrolments {
    makers: TpmRoots,
    /// Of the toy, for the tenant `sim`.
    sim: Option<TpmRoots>,
    waiting: Mutex<BTreeMap<String, Waiting>>,
}

impl std::fmt::Debug for Enrolments {
    /// The name only: credentials stay put.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Enrolments")
    }
}

fn disorder() -> Refusal {
    Refusal::store(&"the list of enrolments is in disorder")
}

impl Enrolments {
    /// Nothing waits; a toy's roots count for the tenant `sim` alone.
    #[must_use]
    pub fn new(sim: Option<&Anchors>) -> Self {
        Self {
            makers: TpmRoots::shipped(),
            sim: sim.map(TpmRoots::of),
            waiting: Mutex::default(),
        }
    }

    fn roots(&self, tenant: &str) -> &TpmRoots {
        match &self.sim {
            Some(sim) if tenant == SIM_TENANT => sim,
            _ => &self.makers,
        }
    }

    /// Verifies the EK and makes a credential for the AK. `now` is in Unix seconds.
    ///
    /// # Errors
    /// Those of `zeuge_verify::tpm` about EK and AK; `enrolment.full`.
    pub fn begin(
        &self,
        request: &EnrolmentRequest,
        endorsements: &Endorsements,
        now: i64,
    ) -> Result<Value, Refusal> {
        let context = Context {
            endorsements,
            roots: self.roots(request.tenant.as_str()),
            at: UnixTime(now),
            crypto: &AWS_LC,
        };
        let ek = verify_ek(&request.ek_certificate, context)?;
        let (made, pending) =
            credential::begin(&ek, &request.ek_public, &request.ak_public, &randomness()?)?;
        let tenant = request.tenant.as_str();
        let id = hex::encode(sha256(&[
            tenant.as_bytes(),
            &[0],
            &ek.fact().certificate,
            &sha256(&[&request.ak_public]),
        ]));
        let expires = now.saturating_add(CREDENTIAL_SECS);
        let answer = json!({
            "id": id,
            "state": "asked",
            "id_object": text::base64url(&made.id_object),
            "encrypted_secret": text::base64url(&made.encrypted_secret),
            "expires": expires,
        });
        let mut waiting = self.waiting.lock().map_err(|_| disorder())?;
        waiting.retain(|_, one| one.expires > now);
        // A TPM that is activated already stays so while it asks again.
        if let Some(Waiting {
            stage: Stage::Activated(_),
            ..
        }) = waiting.get(&id)
        {
            return Ok(json!({ "id": id, "state": "activated" }));
        }
        if waiting.len() >= WAITING_MAX && !waiting.contains_key(&id) {
            let because = "too many TPMs wait for their owners";
            return Err(Refusal::new("enrolment.full", 503, because).retry_after(60));
        }
        let stage = Stage::Asked(Box::new(pending));
        waiting.insert(
            id,
            Waiting {
                tenant: tenant.to_owned(),
                serial: serial(&request.ek_certificate),
                expires,
                stage,
            },
        );
        Ok(answer)
    }

    /// Takes the TPM's answer; a wrong one spends the credential.
    ///
    /// # Errors
    /// `enrolment.unknown`, `tpm.ak.activation`.
    pub fn activate(
        &self,
        id: &str,
        request: &ActivationRequest,
        now: i64,
    ) -> Result<Value, Refusal> {
        let mut waiting = self.waiting.lock().map_err(|_| disorder())?;
        waiting.retain(|_, one| one.expires > now);
        let unknown = || {
            let because = "no credential of this id waits; ask again with POST /v1/enrolments";
            Refusal::new("enrolment.unknown", 404, because)
        };
        let held = waiting.remove(id).ok_or_else(unknown)?;
        let activation = match held.stage {
            Stage::Asked(pending) => Box::new(pending.redeem(&request.answer)?),
            Stage::Activated(activation) => activation,
        };
        let one = Waiting {
            expires: now.saturating_add(APPROVAL_SECS),
            stage: Stage::Activated(activation),
            ..held
        };
        let shown = shown(id, &one);
        waiting.insert(id.to_owned(), one);
        shown.ok_or_else(disorder)
    }

    /// The activated TPMs of a tenant, for its owner to look at and to put into the registry.
    ///
    /// # Errors
    /// When the list is in disorder.
    pub fn activated(&self, tenant: &str, now: i64) -> Result<Vec<Value>, Refusal> {
        let waiting = self.waiting.lock().map_err(|_| disorder())?;
        let own = waiting
            .iter()
            .filter(|(_, one)| one.tenant == tenant && one.expires > now);
        Ok(own.filter_map(|(id, one)| shown(id, one)).collect())
    }
}

fn serial(certificate: &[u8]) -> String {
    let der = certificate_in(certificate).unwrap_or_default();
    Certificate::parse(&der).map_or_else(|_| String::new(), |it| hex::encode(it.serial))
}

fn shown(id: &str, one: &Waiting) -> Option<Value> {
    let Stage::Activated(activation) = &one.stage else {
        return None;
    };
    let ek = activation.ek();
    Some(json!({
        "id": id,
        "state": "activated",
        "tenant": one.tenant,
        "expires": one.expires,
        "maker": ek.root.maker,
        "jurisdiction": ek.root.jurisdiction,
        "manufacturer": ek.identity.manufacturer_text(),
        "model": ek.identity.model,
        "version": ek.identity.version,
        "serial": one.serial,
        "withdrawals_asked": matches!(ek.revocation, Revocation::Checked { .. }),
        "ak_name": hex::encode(activation.ak_name()),
        "ek_certificate": hex::encode(ek.certificate),
    }))
}

fn randomness() -> Result<Randomness, Refusal> {
    let mut random = Randomness {
        secret: [0; 32],
        seed: [0; 64],
        oaep: [0; 64],
        ephemeral: [0; 66],
    };
    let source = SystemRandom::new();
    let parts: [&mut [u8]; 4] = [
        &mut random.secret,
        &mut random.seed,
        &mut random.oaep,
        &mut random.ephemeral,
    ];
    for part in parts {
        source
            .fill(part)
            .map_err(|_| Refusal::store(&"the system gives no random bytes"))?;
    }
    Ok(random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeuge_sim::tpm::{AkKind, EkKind};
    use zeuge_sim::{ToyTpm, ToyTpmQuote, TpmLie, TpmSpec};

    const NOW: i64 = 1_772_323_200;

    struct World {
        told: ToyTpmQuote,
        endorsements: Endorsements,
    }

    impl World {
        fn new(lie: Option<TpmLie>) -> Self {
            let maker = ToyTpm::shared();
            let spec = TpmSpec::new(EkKind::P256, AkKind::Ecdsa);
            let told = maker.tell(lie, &spec, UnixTime(NOW));
            let mut endorsements = Endorsements::new();
            for (name, bytes) in &told.endorsements {
                endorsements.add(name, bytes);
            }
            Self { told, endorsements }
        }

        fn enrolments() -> Enrolments {
            let trust = ToyTpm::shared().trust_file();
            Enrolments::new(Some(&Anchors::dangerous_sim(&trust).unwrap()))
        }

        fn begin(&self, enrolments: &Enrolments, now: i64) -> Result<Value, Refusal> {
            self.of("sim", enrolments, now)
        }

        fn of(&self, tenant: &str, enrolments: &Enrolments, now: i64) -> Result<Value, Refusal> {
            let request = EnrolmentRequest {
                tenant: Name::parse(tenant).unwrap(),
                ek_certificate: self.told.ek_certificate.clone(),
                ek_public: self.told.ek_public.clone(),
                ak_public: self.told.ak_public.clone(),
            };
            enrolments.begin(&request, &self.endorsements, now)
        }

        fn answer(&self, begun: &Value) -> ActivationRequest {
            let part = |name: &str| text::from_base64url(begun[name].as_str().unwrap()).unwrap();
            ActivationRequest {
                answer: self
                    .told
                    .activate(&part("id_object"), &part("encrypted_secret")),
            }
        }
    }

    fn check(outcome: Result<Value, Refusal>) -> &'static str {
        outcome.unwrap_err().check
    }

    #[test]
    fn a_tpm_that_opens_its_credential_waits_for_its_owner_and_asks_again_in_vain() {
        let (world, enrolments) = (World::new(None), World::enrolments());
        let begun = world.begin(&enrolments, NOW).unwrap();
        let id = begun["id"].as_str().unwrap();
        assert!(enrolments.activated("sim", NOW).unwrap().is_empty());
        let done = enrolments.activate(id, &world.answer(&begun), NOW).unwrap();
        assert_eq!(done["state"], "activated");
        assert_eq!(done["ak_name"], hex::encode(world.told.ak_name()));
        assert_eq!(
            (&done["manufacturer"], &done["maker"]),
            (&json!("TOY"), &json!("toy TPM"))
        );
        assert_eq!(
            enrolments.activated("sim", NOW).unwrap(),
            vec![done.clone()]
        );
        assert!(enrolments.activated("another", NOW).unwrap().is_empty());
        // Again: the same id, and still activated.
        let again = world.begin(&enrolments, NOW + 1).unwrap();
        assert_eq!(
            (&again["id"], &again["state"]),
            (&begun["id"], &json!("activated"))
        );
        let late = NOW + 1 + APPROVAL_SECS;
        assert!(enrolments.activated("sim", late).unwrap().is_empty());
    }

    #[test]
    fn a_wrong_answer_spends_the_credential() {
        let world = World::new(Some(TpmLie::AkActivation));
        let enrolments = World::enrolments();
        let begun = world.begin(&enrolments, NOW).unwrap();
        let id = begun["id"].as_str().unwrap();
        let guess = world.answer(&begun);
        assert_eq!(
            check(enrolments.activate(id, &guess, NOW)),
            "tpm.ak.activation"
        );
        let honest = World::new(None).answer(&begun);
        assert_eq!(
            check(enrolments.activate(id, &honest, NOW)),
            "enrolment.unknown"
        );
    }

    #[test]
    fn a_credential_that_nobody_opened_in_time_is_gone() {
        let (world, enrolments) = (World::new(None), World::enrolments());
        let begun = world.begin(&enrolments, NOW).unwrap();
        let id = begun["id"].as_str().unwrap();
        let late = enrolments.activate(id, &world.answer(&begun), NOW + CREDENTIAL_SECS);
        assert_eq!(check(late), "enrolment.unknown");
    }

    #[test]
    fn a_strange_or_withdrawn_tpm_and_a_key_that_signs_anything_get_no_credential() {
        let enrolments = World::enrolments();
        for lie in [
            TpmLie::EkChain,
            TpmLie::EkRevoked,
            TpmLie::EkKey,
            TpmLie::AkAttributes,
        ] {
            let refused = World::new(Some(lie)).begin(&enrolments, NOW);
            assert_eq!(check(refused), lie.check());
        }
        // A toy counts for its tenant alone.
        let toy = World::new(None).of("acme", &enrolments, NOW);
        assert_eq!(check(toy), "tpm.ek.available");
    }
}
