//! The witness's side: makes challenges, checks the binding, has evidence judged, has challenge
//! and leaf committed in one transaction, has secrets released under that leaf, signs the answer.
//!
//! Keeps nothing that must survive a crash: what is spent and what is logged is the store's.
//! Never parses before the challenge's MAC holds; never signs an answer that releases more than
//! the verdict and the leaf allow, whatever the door hands in.

use std::collections::BTreeMap;

use crate::answer::SignedAnswer;
use crate::api::{AttestAnswer, AttestRequest, ChallengeAnswer, Problem, Verdict};
use crate::binding::Binding;
use crate::bundle::Bundle;
use crate::challenge::{Challenge, ChallengeKey, SPENT};
use crate::keys::SigningKey;
use crate::name::Name;
use crate::request::{Purpose, Request};
use crate::suite::Suite;
use crate::{Error, Random};

/// How a witness behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its id.
    pub id: Name,
    /// How many seconds a challenge lives.
    pub challenge_secs: u32,
    /// How many appraisals may be under way; more are refused as `session.busy`.
    pub pending_max: usize,
    /// After how many seconds an appraisal under way is given up.
    pub pending_secs_max: u32,
}

/// What the door knows of a verdict. The admission itself stays in the door.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether there is an admission.
    pub admits: bool,
}

/// What comes in. `from` and `to` are the door's numbers of connections.
#[derive(Debug)]
pub enum Event {
    /// Somebody wants a challenge.
    ChallengeWanted {
        /// The connection.
        from: u64,
        /// For which tenant.
        tenant: Name,
    },
    /// Somebody shows evidence.
    Attest {
        /// The connection.
        from: u64,
        /// The body.
        request: Box<AttestRequest>,
        /// The channel binder of the connection, where the door knows one.
        channel: Option<Vec<u8>>,
    },
    /// `verify` and `appraise` are done.
    Judged {
        /// The ticket.
        ticket: u64,
        /// What came out; an error is a bundle that could not be judged at all.
        outcome: Result<Box<Outcome>, Error>,
    },
    /// The transaction is done: the leaf's hash, or why not (`challenge.spent`).
    Committed {
        /// The ticket.
        ticket: u64,
        /// The leaf's hash.
        leaf: Result<[u8; 32], Error>,
    },
    /// The door has sealed what the admission allows, and made token and receipt.
    Released {
        /// The ticket.
        ticket: u64,
        /// The answer.
        answer: Box<AttestAnswer>,
    },
    /// Time passed.
    Tick,
}

/// What goes out.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request for a challenge.
    Challenge {
        /// The connection.
        to: u64,
        /// The body.
        answer: ChallengeAnswer,
    },
    /// Have this judged.
    Judge {
        /// The ticket to give back.
        ticket: u64,
        /// The binding, checked but for the hardware's word on it and the AK names.
        binding: Box<Binding>,
        /// The request, checked.
        request: Box<Request>,
        /// The bundle, well-formed.
        bundle: Box<Bundle>,
    },
    /// In one transaction: refuse if `expires` has come or the nonce is spent; spend it, write
    /// verdict and leaf.
    Commit {
        /// The ticket to give back.
        ticket: u64,
        /// The nonce to spend; keep it until `expires`.
        nonce: [u8; 32],
        /// The challenge's expiry, in Unix seconds.
        expires: i64,
        /// What the leaf says.
        outcome: Box<Outcome>,
    },
    /// Release under this leaf what the admission allows, and make token and receipt.
    Release {
        /// The ticket to give back.
        ticket: u64,
        /// The leaf's hash.
        leaf: [u8; 32],
    },
    /// Answer an attestation.
    Answer {
        /// The connection.
        to: u64,
        /// The body.
        answer: Box<SignedAnswer>,
    },
    /// Answer with a problem.
    Refuse {
        /// The connection.
        to: u64,
        /// The body.
        problem: Box<Problem>,
    },
}

/// One process's side of all its conversations.
#[derive(Debug)]
pub struct Witness {
    config: Config,
    challenge_key: ChallengeKey,
    answer_key: SigningKey,
    pending: BTreeMap<u64, Pending>,
    next: u64,
}

#[derive(Debug)]
struct Pending {
    to: u64,
    nonce: [u8; 32],
    binding: [u8; 64],
    expires: i64,
    deadline: i64,
    request: Box<Request>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Judging,
    Committing { admits: bool },
    Releasing { admits: bool, leaf: [u8; 32] },
}

/// What has held of an [`AttestRequest`] before anything is judged.
struct Opened {
    challenge: Challenge,
    binding: Box<Binding>,
    bundle: Box<Bundle>,
}

impl Witness {
    /// A process that has just started.
    #[must_use]
    pub const fn new(config: Config, challenge_key: ChallengeKey, answer_key: SigningKey) -> Self {
        Self {
            config,
            challenge_key,
            answer_key,
            pending: BTreeMap::new(),
            next: 0,
        }
    }

    /// How many appraisals are under way.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// One step. An event whose ticket is unknown, or that comes out of turn, changes nothing.
    pub fn step(&mut self, event: Event, now: i64, random: Random<'_>) -> Vec<Effect> {
        match event {
            Event::ChallengeWanted { from, tenant } => self.challenge(from, tenant, now, random),
            Event::Attest {
                from,
                request,
                channel,
            } => self.attest(from, *request, channel.as_deref(), now),
            Event::Judged { ticket, outcome } => self.judged(ticket, outcome, now),
            Event::Committed { ticket, leaf } => self.committed(ticket, leaf),
            Event::Released { ticket, answer } => self.released(ticket, &answer),
            Event::Tick => self.tick(now),
        }
    }

    fn challenge(&self, to: u64, tenant: Name, now: i64, random: Random<'_>) -> Vec<Effect> {
        let (id, secs) = (self.config.id.clone(), self.config.challenge_secs);
        let challenge = Challenge::issue(id, tenant, now, secs, random);
        let answer = ChallengeAnswer {
            challenge: challenge.seal(&self.challenge_key),
            witness: challenge.witness,
            tenant: challenge.tenant,
            nonce: challenge.nonce,
            expires: challenge.expires,
        };
        vec![Effect::Challenge { to, answer }]
    }

    fn attest(
        &mut self,
        to: u64,
        request: AttestRequest,
        channel: Option<&[u8]>,
        now: i64,
    ) -> Vec<Effect> {
        let opened = match self.open(&request, channel, now) {
            Ok(opened) => opened,
            Err(refusal) => return refuse(to, &refusal),
        };
        if self.pending.len() >= self.config.pending_max {
            let problem = Problem::new("session.busy", "busy", 503);
            let problem = Box::new(problem);
            return vec![Effect::Refuse { to, problem }];
        }
        let ticket = self.next;
        self.next = self.next.saturating_add(1);
        let deadline = now.saturating_add(i64::from(self.config.pending_secs_max));
        let request = Box::new(request.request);
        let pending = Pending {
            to,
            nonce: opened.challenge.nonce,
            binding: opened.binding.digest(),
            expires: opened.challenge.expires,
            deadline,
            request: request.clone(),
            stage: Stage::Judging,
        };
        self.pending.insert(ticket, pending);
        vec![Effect::Judge {
            ticket,
            binding: opened.binding,
            request,
            bundle: opened.bundle,
        }]
    }

    /// The challenge first, then the request, the binding field by field, and the bundle's shape.
    fn open(
        &self,
        request: &AttestRequest,
        channel: Option<&[u8]>,
        now: i64,
    ) -> Result<Opened, Error> {
        let (id, tenant) = (&self.config.id, &request.tenant);
        let challenge = Challenge::open(&request.challenge, &self.challenge_key, id, tenant, now)?;
        if self
            .pending
            .values()
            .any(|pending| pending.nonce == challenge.nonce)
        {
            return Err(Error::differs(
                SPENT,
                hex::encode(challenge.nonce),
                "a nonce that is not being answered already",
            ));
        }
        request.request.check()?;
        let binding = Binding::parse(&request.binding)?;
        binding.demands(id, tenant, &challenge.nonce)?;
        binding.demands_request(&request.request.digest())?;
        binding.demands_channel(channel)?;
        if request.request.purpose == Purpose::Release {
            let named: Vec<Suite> = request.request.suites.iter().copied().collect();
            binding.demands_suite(&named)?;
        }
        let bundle = Bundle::parse(&request.bundle)?;
        Ok(Opened {
            challenge,
            binding: Box::new(binding),
            bundle: Box::new(bundle),
        })
    }

    fn judged(
        &mut self,
        ticket: u64,
        outcome: Result<Box<Outcome>, Error>,
        now: i64,
    ) -> Vec<Effect> {
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return Vec::new();
        };
        if !matches!(pending.stage, Stage::Judging) {
            return Vec::new();
        }
        // The store forgets spent nonces once they have expired, so an appraisal that outlived its
        // challenge must not reach it.
        let outcome = if now < pending.expires {
            outcome
        } else {
            Err(Error::differs(
                "challenge.expired",
                format!("{now} (now)"),
                format!("before {}", pending.expires),
            ))
        };
        match outcome {
            Ok(outcome) => {
                pending.stage = Stage::Committing {
                    admits: outcome.admits,
                };
                vec![Effect::Commit {
                    ticket,
                    nonce: pending.nonce,
                    expires: pending.expires,
                    outcome,
                }]
            }
            Err(refusal) => self.give_up(ticket, &refusal),
        }
    }

    fn committed(&mut self, ticket: u64, leaf: Result<[u8; 32], Error>) -> Vec<Effect> {
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return Vec::new();
        };
        let Stage::Committing { admits } = pending.stage else {
            return Vec::new();
        };
        match leaf {
            Ok(leaf) => {
                pending.stage = Stage::Releasing { admits, leaf };
                vec![Effect::Release { ticket, leaf }]
            }
            Err(refusal) => self.give_up(ticket, &refusal),
        }
    }

    fn released(&mut self, ticket: u64, answer: &AttestAnswer) -> Vec<Effect> {
        let Some(pending) = self.pending.get(&ticket) else {
            return Vec::new();
        };
        let Stage::Releasing { admits, leaf } = pending.stage else {
            return Vec::new();
        };
        let signed = self.allowed(pending, admits, &leaf, answer).and_then(|()| {
            SignedAnswer::sign(answer, &self.config.id, &pending.binding, &self.answer_key)
        });
        match signed {
            Ok(answer) => {
                let to = pending.to;
                self.pending.remove(&ticket);
                let answer = Box::new(answer);
                vec![Effect::Answer { to, answer }]
            }
            Err(refusal) => self.give_up(ticket, &refusal),
        }
    }

    /// The last look before the signature: no secret without admission, leaf and wish.
    fn allowed(
        &self,
        pending: &Pending,
        admits: bool,
        leaf: &[u8; 32],
        answer: &AttestAnswer,
    ) -> Result<(), Error> {
        for secret in &answer.secrets {
            let wanted = pending.request.secrets.iter().any(|wanted| {
                wanted.path == secret.path
                    && (wanted.version == 0 || wanted.version == secret.version)
            });
            if !admits || !wanted || secret.leaf != *leaf || secret.witness != self.config.id {
                return Err(Error::differs(
                    "session.release",
                    format!(
                        "{} version {} under leaf {}, admitted {admits}, wanted {wanted}",
                        secret.path,
                        secret.version,
                        hex::encode(secret.leaf)
                    ),
                    format!(
                        "a secret wanted and admitted under leaf {}",
                        hex::encode(leaf)
                    ),
                ));
            }
        }
        Ok(())
    }

    fn give_up(&mut self, ticket: u64, refusal: &Error) -> Vec<Effect> {
        self.pending
            .remove(&ticket)
            .map(|pending| refuse(pending.to, refusal))
            .unwrap_or_default()
    }

    fn tick(&mut self, now: i64) -> Vec<Effect> {
        let late: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| now >= pending.deadline)
            .map(|(ticket, _)| *ticket)
            .collect();
        let refusal = Error::differs(
            "session.timeout",
            format!("nothing within {} s", self.config.pending_secs_max),
            "a verdict, a commit and a release",
        );
        late.into_iter()
            .flat_map(|ticket| self.give_up(ticket, &refusal))
            .collect()
    }
}

fn refuse(to: u64, refusal: &Error) -> Vec<Effect> {
    vec![Effect::Refuse {
        to,
        problem: Box::new(Problem::of(refusal)),
    }]
}
