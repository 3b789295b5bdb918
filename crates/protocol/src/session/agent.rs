//! The agent's side: asks for a challenge, binds, shows evidence, accepts what the owners signed.
//!
//! Every attempt has a fresh key pair and a fresh binding; a nonce is bound once. Never sends a
//! session key, never accepts an unsigned answer, never tries more often than it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use zeroize::{Zeroize as _, Zeroizing};

use crate::answer::SignedAnswer;
use crate::api::{AttestAnswer, AttestRequest, ChallengeAnswer, Problem};
use crate::binding::{Binding, BoundKey, Role, Witness};
use crate::bundle::Bundle;
use crate::document::OwnerSet;
use crate::keys::PublicKey;
use crate::name::{Name, Path};
use crate::request::{Purpose, Request};
use crate::seal::{Recipient, SessionKey};
use crate::suite::Suite;
use crate::{Error, Random};

/// What the agent takes from measured or attested configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The witness's id.
    pub witness: Name,
    /// The witness's answer key.
    pub answer_key: PublicKey,
    /// The tenant.
    pub tenant: Name,
    /// The owners.
    pub owners: OwnerSet,
    /// The HPKE suite of session keys.
    pub suite: Suite,
    /// How many seconds to wait for each answer.
    pub step_secs_max: u32,
    /// How many attempts there are, each with a new challenge.
    pub attempts_max: u32,
}

/// What is bound beside witness, session key and request.
#[derive(Debug, Clone, Default)]
pub struct Bound {
    /// Keys of the roles other than KEM.
    pub keys: BTreeMap<Role, BoundKey>,
    /// The names of the attestation keys whose quotes will be in the bundle.
    pub attestation_keys: Vec<Vec<u8>>,
    /// The channel binder of the connection.
    pub channel: Option<Vec<u8>>,
}

/// What comes in.
#[derive(Debug, Clone)]
pub enum Event {
    /// Start.
    Begin,
    /// The witness answered a request for a challenge.
    Challenged(ChallengeAnswer),
    /// The devices gave evidence for this attempt.
    Evidence {
        /// The attempt as [`Effect::Collect`] named it.
        attempt: u32,
        /// The evidence.
        bundle: Box<Bundle>,
    },
    /// The witness answered an attestation.
    Answered(Box<SignedAnswer>),
    /// Something answered with a problem; it is not signed, so it only ends the attempt.
    Refused(Box<Problem>),
    /// Time passed.
    Tick,
}

/// What goes out.
#[derive(Debug)]
pub enum Effect {
    /// Ask the witness for a challenge.
    AskChallenge,
    /// Ask the devices for evidence.
    Collect {
        /// The attempt, to be given back with the evidence.
        attempt: u32,
        /// What hardware reports must carry.
        report_data: [u8; 64],
        /// What TPM quotes must carry.
        qualifying_data: [u8; 32],
    },
    /// Send this to the witness.
    Attest(Box<AttestRequest>),
    /// It is done.
    Accepted {
        /// The nonce of the challenge that was answered.
        nonce: [u8; 32],
        /// The witness's answer.
        answer: Box<AttestAnswer>,
        /// The secrets, opened.
        secrets: Vec<Opened>,
    },
    /// Something came that does not count, and why; for the record.
    Ignored(Error),
    /// It is over without success.
    Failed(Error),
}

/// An opened secret. Its `Debug` leaves the value out.
pub struct Opened {
    /// The path.
    pub path: Path,
    /// The version.
    pub version: u64,
    /// The secret.
    pub value: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Opened({} version {})", self.path, self.version)
    }
}

/// One conversation of an agent with its witness.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    request: Request,
    bound: Bound,
    state: State,
    attempt: u32,
    bound_nonces: BTreeSet<[u8; 32]>,
}

#[derive(Debug)]
enum State {
    Idle,
    AwaitChallenge { deadline: i64 },
    AwaitEvidence { deadline: i64, open: Box<Open> },
    AwaitAnswer { deadline: i64, open: Box<Open> },
    Over,
}

/// What lives from binding to answer.
#[derive(Debug)]
struct Open {
    nonce: [u8; 32],
    challenge: String,
    key: SessionKey,
    binding: Binding,
}

impl Agent {
    /// A conversation that has not begun.
    ///
    /// # Errors
    /// Those of [`Request::check`] and [`OwnerSet::check`]; `seal.suite` when a release does not
    /// name the suite of the session key.
    pub fn new(config: Config, request: Request, bound: Bound) -> Result<Self, Error> {
        request.check()?;
        config.owners.check()?;
        if request.purpose == Purpose::Release && !request.suites.contains(&config.suite) {
            return Err(Error::differs(
                "seal.suite",
                config.suite.to_string(),
                "a suite that the request names",
            ));
        }
        Ok(Self {
            config,
            request,
            bound,
            state: State::Idle,
            attempt: 0,
            bound_nonces: BTreeSet::new(),
        })
    }

    /// Whether the conversation has ended, one way or the other.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// One step. An event that does not fit the state changes nothing.
    pub fn step(&mut self, event: Event, now: i64, random: Random<'_>) -> Vec<Effect> {
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, event) {
            (State::Idle, Event::Begin) => self.ask(now),
            (State::AwaitChallenge { deadline }, Event::Challenged(challenge)) => {
                match self.bind(challenge, now, random) {
                    Ok(effects) => effects,
                    Err(refusal) => {
                        self.state = State::AwaitChallenge { deadline };
                        vec![Effect::Ignored(refusal)]
                    }
                }
            }
            (State::AwaitEvidence { open, .. }, Event::Evidence { attempt, bundle })
                if attempt == self.attempt =>
            {
                self.attest(open, &bundle, now)
            }
            (State::AwaitAnswer { deadline, open }, Event::Answered(answer)) => {
                self.answered(deadline, open, &answer, now)
            }
            (State::AwaitChallenge { .. } | State::AwaitAnswer { .. }, Event::Refused(problem)) => {
                let refusal = Error::differs("session.refused", problem.kind, "an answer");
                self.again(refusal, now)
            }
            (
                State::AwaitChallenge { deadline }
                | State::AwaitEvidence { deadline, .. }
                | State::AwaitAnswer { deadline, .. },
                Event::Tick,
            ) if now >= deadline => {
                let waited = format!("nothing within {} s", self.config.step_secs_max);
                self.again(Error::differs("session.timeout", waited, "an answer"), now)
            }
            (state, _) => {
                self.state = state;
                Vec::new()
            }
        }
    }

    fn deadline(&self, now: i64) -> i64 {
        now.saturating_add(i64::from(self.config.step_secs_max))
    }

    fn ask(&mut self, now: i64) -> Vec<Effect> {
        self.attempt = self.attempt.saturating_add(1);
        self.state = State::AwaitChallenge {
            deadline: self.deadline(now),
        };
        vec![Effect::AskChallenge]
    }

    /// A new attempt with a new challenge and a new key, or the end.
    fn again(&mut self, refusal: Error, now: i64) -> Vec<Effect> {
        if self.attempt >= self.config.attempts_max {
            return vec![Effect::Failed(refusal)];
        }
        let mut effects = vec![Effect::Ignored(refusal)];
        effects.extend(self.ask(now));
        effects
    }

    fn bind(
        &mut self,
        challenge: ChallengeAnswer,
        now: i64,
        random: Random<'_>,
    ) -> Result<Vec<Effect>, Error> {
        let config = &self.config;
        if challenge.witness != config.witness {
            return Err(Error::differs(
                "challenge.witness",
                challenge.witness,
                config.witness.clone(),
            ));
        }
        if challenge.tenant != config.tenant {
            return Err(Error::differs(
                "challenge.tenant",
                challenge.tenant,
                config.tenant.clone(),
            ));
        }
        if self.bound_nonces.contains(&challenge.nonce) {
            return Err(Error::differs(
                "challenge.spent",
                hex::encode(challenge.nonce),
                "a nonce that this session has not bound before",
            ));
        }
        let mut seed = [0; 32];
        random(&mut seed);
        let key = SessionKey::from_seed(config.suite, seed);
        seed.zeroize();
        let key = key?;
        let mut keys = self.bound.keys.clone();
        keys.insert(Role::Kem, key.bound());
        let witness = Witness {
            id: challenge.witness,
            tenant: challenge.tenant,
            nonce: challenge.nonce,
        };
        let binding = Binding::new(
            vec![witness],
            keys,
            self.request.digest(),
            self.bound.attestation_keys.clone(),
            self.bound.channel.clone(),
        )?;
        self.bound_nonces.insert(challenge.nonce);
        let effect = Effect::Collect {
            attempt: self.attempt,
            report_data: binding.report_data(),
            qualifying_data: binding.qualifying_data(),
        };
        self.state = State::AwaitEvidence {
            deadline: self.deadline(now),
            open: Box::new(Open {
                nonce: challenge.nonce,
                challenge: challenge.challenge,
                key,
                binding,
            }),
        };
        Ok(vec![effect])
    }

    fn attest(&mut self, open: Box<Open>, bundle: &Bundle, now: i64) -> Vec<Effect> {
        let request = AttestRequest {
            tenant: self.config.tenant.clone(),
            challenge: open.challenge.clone(),
            binding: open.binding.encode(),
            request: self.request.clone(),
            bundle: bundle.to_cbor(),
        };
        self.state = State::AwaitAnswer {
            deadline: self.deadline(now),
            open,
        };
        vec![Effect::Attest(Box::new(request))]
    }

    fn answered(
        &mut self,
        deadline: i64,
        open: Box<Open>,
        answer: &SignedAnswer,
        now: i64,
    ) -> Vec<Effect> {
        let config = &self.config;
        // Anybody can send something unsigned, or an answer to an earlier attempt: it must not
        // end the session.
        let binding = open.binding.digest();
        let answer = match answer.verify(&config.witness, &binding, &config.answer_key) {
            Ok(answer) => answer,
            Err(refusal) => {
                self.state = State::AwaitAnswer { deadline, open };
                return vec![Effect::Ignored(refusal)];
            }
        };
        match self.open(&open, &answer, now) {
            Ok(secrets) => vec![Effect::Accepted {
                nonce: open.nonce,
                answer: Box::new(answer),
                secrets,
            }],
            Err(refusal) => vec![Effect::Failed(refusal)],
        }
    }

    /// Opens every secret of the answer; each one wanted is there once, or refused by name.
    fn open(&self, open: &Open, answer: &AttestAnswer, now: i64) -> Result<Vec<Opened>, Error> {
        let binding = open.binding.digest();
        let recipient = Recipient {
            session: &open.key,
            binding: &binding,
            owners: &self.config.owners,
            now,
        };
        let incomplete = |found: String| {
            Error::differs(
                "session.incomplete",
                found,
                "every secret that was wanted, once, or its refusal",
            )
        };
        let wanted = &self.request.secrets;
        let mut opened: Vec<Opened> = Vec::new();
        for secret in &answer.secrets {
            let asked = wanted.iter().find(|wanted| wanted.path == secret.path);
            let asked = asked.ok_or_else(|| incomplete(format!("{}, unasked", secret.path)))?;
            if opened.iter().any(|known| known.path == secret.path) {
                return Err(incomplete(format!("{}, twice", secret.path)));
            }
            opened.push(Opened {
                path: secret.path.clone(),
                version: secret.version,
                value: recipient.open(secret, &asked.path, asked.version)?,
            });
        }
        for asked in wanted {
            let refused = |refusal: &crate::api::Refusal| refusal.path == asked.path.as_str();
            if !opened.iter().any(|known| known.path == asked.path)
                && !answer.refused.iter().any(refused)
            {
                return Err(incomplete(format!("nothing about {}", asked.path)));
            }
        }
        Ok(opened)
    }
}
