//! Enrolment of TPMs (DESIGN §5.5): a credential that only one TPM can open, its answer, and what
//! the owner is then asked to approve.
//!
//! *Flow*: EK certificate, EK, AK → the chain to a maker's root → a credential → the TPM's answer →
//! "activated", waiting for the owner → "enrolled", once the registry names the AK. *Guarantees*:
//! nothing here enrols; a machine counts when the owners' signed registry names its AK, and that
//! document is a leaf. What is activated is on disk before it is answered. *Caveats*: a credential
//! that is out lives in memory alone, for minutes: its secret is never written. After a restart a
//! machine asks again. Asking again with the same keys changes nothing but the credential.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};
use zeuge_evidence::UnixTime;
use zeuge_evidence::tpm::certificate_in;
use zeuge_evidence::x509::Certificate;
use zeuge_log::hash::sha256;
use zeuge_protocol::name::Name;
use zeuge_protocol::text;
use zeuge_verify::Endorsements;
use zeuge_verify::crypto::AWS_LC;
use zeuge_verify::tpm::credential::{self, Activation, Pending, Randomness};
use zeuge_verify::tpm::{Context, EnrolledAk, Revocation, verify_ek};

use crate::refusal::Refusal;
use crate::tpm::Makers;

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

/// An activated TPM that waits for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRow {
    /// Its id: a hash of tenant, EK certificate and AK.
    pub id: String,
    /// Whose it is to be.
    pub tenant: String,
    /// The TPM name of its AK.
    pub ak_name: Vec<u8>,
    /// Until when it waits, in Unix seconds.
    pub expires: i64,
    /// What the owner looks at, as JSON.
    pub json: String,
}

/// Where activated TPMs wait. A write is on disk when it returns.
pub trait Queue: Send + Sync {
    /// Keeps a row, and forgets those that ended.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`; `enrolment.full` beyond [`WAITING_MAX`] rows.
    fn wait(&self, row: &WaitingRow, now: i64) -> Result<(), Refusal>;
    /// The rows of a tenant that have not ended.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn waiting(&self, tenant: &str, now: i64) -> Result<Vec<WaitingRow>, Refusal>;
}

/// A credential that is out.
struct Asked {
    tenant: String,
    serial: String,
    expires: i64,
    pending: Pending,
}

/// The credentials that are out, the roots that count, and where activated TPMs wait.
pub struct Enrolments {
    makers: Arc<Makers>,
    queue: Arc<dyn Queue>,
    asked: Mutex<BTreeMap<String, Asked>>,
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
    /// No credential is out; what waits in the queue goes on waiting.
    #[must_use]
    pub fn new(makers: Arc<Makers>, queue: Arc<dyn Queue>) -> Self {
        Self {
            makers,
            queue,
            asked: Mutex::default(),
        }
    }

    /// Verifies the EK and makes a credential for the AK. `enrolled` are the AKs that the owner's
    /// registry names; `now` is in Unix seconds.
    ///
    /// # Errors
    /// Those of `zeuge_verify::tpm` about EK and AK; `enrolment.full`; `store.unavailable`.
    pub fn begin(
        &self,
        request: &EnrolmentRequest,
        endorsements: &Endorsements,
        enrolled: &[EnrolledAk],
        now: i64,
    ) -> Result<Value, Refusal> {
        let tenant = request.tenant.as_str();
        let context = Context {
            endorsements,
            roots: self.makers.roots(tenant),
            at: UnixTime(now),
            crypto: &AWS_LC,
        };
        let ek = verify_ek(&request.ek_certificate, context)?;
        let (made, pending) =
            credential::begin(&ek, &request.ek_public, &request.ak_public, &randomness()?)?;
        let id = hex::encode(sha256(&[
            tenant.as_bytes(),
            &[0],
            &ek.fact().certificate,
            &sha256(&[&request.ak_public]),
        ]));
        if enrolled.contains(&EnrolledAk::Name(pending.ak_name().to_vec())) {
            return Ok(json!({ "id": id, "state": "enrolled" }));
        }
        // A TPM that is activated already stays so while it asks again.
        let waiting = self.queue.waiting(tenant, now)?;
        if waiting.iter().any(|row| row.id == id) {
            return Ok(json!({ "id": id, "state": "activated" }));
        }
        let expires = now.saturating_add(CREDENTIAL_SECS);
        let answer = json!({
            "id": id,
            "state": "asked",
            "id_object": text::base64url(&made.id_object),
            "encrypted_secret": text::base64url(&made.encrypted_secret),
            "expires": expires,
        });
        let mut asked = self.asked.lock().map_err(|_| disorder())?;
        asked.retain(|_, one| one.expires > now);
        if asked.len() >= WAITING_MAX && !asked.contains_key(&id) {
            return Err(full());
        }
        let one = Asked {
            tenant: tenant.to_owned(),
            serial: serial(&request.ek_certificate),
            expires,
            pending,
        };
        asked.insert(id, one);
        Ok(answer)
    }

    /// Takes the TPM's answer; a wrong one spends the credential.
    ///
    /// # Errors
    /// `enrolment.unknown`, `tpm.ak.activation`, `enrolment.full`, `store.unavailable`.
    pub fn activate(
        &self,
        id: &str,
        request: &ActivationRequest,
        now: i64,
    ) -> Result<Value, Refusal> {
        let held = {
            let mut asked = self.asked.lock().map_err(|_| disorder())?;
            asked.retain(|_, one| one.expires > now);
            asked.remove(id)
        };
        let held = held.ok_or_else(|| {
            let because = "no credential of this id waits; ask again with POST /v1/enrolments";
            Refusal::new("enrolment.unknown", 404, because)
        })?;
        let activation = held.pending.redeem(&request.answer)?;
        let expires = now.saturating_add(APPROVAL_SECS);
        let shown = shown(id, (&held.tenant, &held.serial), &activation, expires);
        let row = WaitingRow {
            id: id.to_owned(),
            tenant: held.tenant,
            ak_name: activation.ak_name().to_vec(),
            expires,
            json: shown.to_string(),
        };
        self.queue.wait(&row, now)?;
        Ok(shown)
    }

    /// The activated TPMs of a tenant whose AK the registry does not name yet, for the owner to
    /// look at.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn activated(
        &self,
        tenant: &str,
        enrolled: &[EnrolledAk],
        now: i64,
    ) -> Result<Vec<Value>, Refusal> {
        let rows = self.queue.waiting(tenant, now)?.into_iter();
        let open = rows.filter(|row| !enrolled.contains(&EnrolledAk::Name(row.ak_name.clone())));
        open.map(|row| serde_json::from_str(&row.json).map_err(|error| Refusal::store(&error)))
            .collect()
    }
}

/// The refusal of more than can wait.
pub(crate) fn full() -> Refusal {
    let because = "too many TPMs wait for their owners";
    Refusal::new("enrolment.full", 503, because).retry_after(60)
}

fn serial(certificate: &[u8]) -> String {
    let der = certificate_in(certificate).unwrap_or_default();
    Certificate::parse(&der).map_or_else(|_| String::new(), |it| hex::encode(it.serial))
}

fn shown(id: &str, (tenant, serial): (&str, &str), activation: &Activation, expires: i64) -> Value {
    let ek = activation.ek();
    json!({
        "id": id,
        "state": "activated",
        "tenant": tenant,
        "expires": expires,
        "maker": ek.root.maker,
        "jurisdiction": ek.root.jurisdiction,
        "manufacturer": ek.identity.manufacturer_text(),
        "model": ek.identity.model,
        "version": ek.identity.version,
        "serial": serial,
        "withdrawals_asked": matches!(ek.revocation, Revocation::Checked { .. }),
        "ak_name": hex::encode(activation.ak_name()),
        "ek_certificate": hex::encode(ek.certificate),
    })
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
    use crate::store::Sqlite;
    use std::path::Path;
    use zeuge_sim::tpm::{AkKind, EkKind};
    use zeuge_sim::{ToyTpm, ToyTpmQuote, TpmLie, TpmSpec};
    use zeuge_verify::Anchors;

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

        /// Over a store of its own.
        fn enrolments() -> Enrolments {
            let store = Sqlite::open(Path::new(":memory:")).unwrap();
            store.add_tenant("sim").unwrap();
            store.add_tenant("another").unwrap();
            Self::over(&Arc::new(store))
        }

        fn over(store: &Arc<Sqlite>) -> Enrolments {
            let trust = ToyTpm::shared().trust_file();
            let anchors = Anchors::dangerous_sim(&trust).unwrap();
            let makers = Arc::new(Makers::new(&[], Some(&anchors)).unwrap());
            Enrolments::new(makers, Arc::clone(store) as Arc<dyn Queue>)
        }

        fn begin(&self, enrolments: &Enrolments, now: i64) -> Result<Value, Refusal> {
            self.of("sim", enrolments, now)
        }

        fn request(&self, tenant: &str) -> EnrolmentRequest {
            EnrolmentRequest {
                tenant: Name::parse(tenant).unwrap(),
                ek_certificate: self.told.ek_certificate.clone(),
                ek_public: self.told.ek_public.clone(),
                ak_public: self.told.ak_public.clone(),
            }
        }

        fn of(&self, tenant: &str, enrolments: &Enrolments, now: i64) -> Result<Value, Refusal> {
            enrolments.begin(&self.request(tenant), &self.endorsements, &[], now)
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
        assert!(enrolments.activated("sim", &[], NOW).unwrap().is_empty());
        let done = enrolments.activate(id, &world.answer(&begun), NOW).unwrap();
        assert_eq!(done["state"], "activated");
        assert_eq!(done["ak_name"], hex::encode(world.told.ak_name()));
        assert_eq!(
            (&done["manufacturer"], &done["maker"]),
            (&json!("TOY"), &json!("toy TPM"))
        );
        assert_eq!(
            enrolments.activated("sim", &[], NOW).unwrap(),
            vec![done.clone()]
        );
        assert!(
            enrolments
                .activated("another", &[], NOW)
                .unwrap()
                .is_empty()
        );
        // Again: the same id, and still activated.
        let again = world.begin(&enrolments, NOW + 1).unwrap();
        assert_eq!(
            (&again["id"], &again["state"]),
            (&begun["id"], &json!("activated"))
        );
        let late = NOW + 1 + APPROVAL_SECS;
        assert!(enrolments.activated("sim", &[], late).unwrap().is_empty());
    }

    #[test]
    fn what_waits_survives_a_restart_and_ends_when_the_registry_names_it() {
        let world = World::new(None);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zeuge.sqlite");
        let store = Arc::new(Sqlite::open(&file).unwrap());
        store.add_tenant("sim").unwrap();
        let enrolments = World::over(&store);
        let begun = world.begin(&enrolments, NOW).unwrap();
        let id = begun["id"].as_str().unwrap();
        let shown = enrolments.activate(id, &world.answer(&begun), NOW).unwrap();
        drop((enrolments, store));
        let enrolments = World::over(&Arc::new(Sqlite::open(&file).unwrap()));
        assert_eq!(enrolments.activated("sim", &[], NOW + 1).unwrap(), [shown]);
        let again = world.begin(&enrolments, NOW + 1).unwrap();
        assert_eq!(again, json!({"id": id, "state": "activated"}));
        let named = [EnrolledAk::Name(world.told.ak_name())];
        assert!(
            enrolments
                .activated("sim", &named, NOW + 1)
                .unwrap()
                .is_empty()
        );
        let request = world.request("sim");
        let enrolled = enrolments.begin(&request, &world.endorsements, &named, NOW + 1);
        assert_eq!(enrolled.unwrap(), json!({"id": id, "state": "enrolled"}));
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
