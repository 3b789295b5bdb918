//! One conversation with the witness: carries the events and effects of the session machine
//! (`zeuge_protocol::session::agent`) to socket and device.
//!
//! Decides nothing that the machine decides. Never believes an unsigned answer; never goes on
//! when the operating system gives no random bytes.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeuge_protocol::api::{AttestAnswer, ChallengeRequest, Problem};
use zeuge_protocol::bundle::Bundle;
use zeuge_protocol::request::{Purpose, Request};
use zeuge_protocol::session::agent::{self, Agent, Bound, Effect, Event, Opened};

use crate::config::Config;
use crate::device::Device;
use crate::error::{Error, Fault};
use crate::http::{Answer, Client};
use crate::nitro::Hypervisor;
use crate::tpm::{Paravisor, Speaker};
use crate::{clock, random};

/// How often a conversation is begun: a witness that is busy or a challenge that ran out deserves
/// another try, and a machine that boots has not long.
const ATTEMPTS_MAX: u32 = 3;
/// How long a busy witness may make us wait.
const RETRY_SECS_MAX: u64 = 10;

/// Who speaks for this machine; at least one of them does.
#[derive(Default)]
pub(crate) struct Sources<'a> {
    /// The CPU.
    pub(crate) cpu: Option<&'a dyn Device>,
    /// The TPM.
    pub(crate) tpm: Option<Speaker>,
    /// What a provider put before the CPU; then nobody else speaks.
    pub(crate) layer: Option<Layer>,
}

/// What a provider put before the CPU.
pub(crate) enum Layer {
    /// Azure's paravisor.
    Azure(Box<Paravisor>),
    /// AWS's hypervisor.
    Nitro(Hypervisor),
}

impl Layer {
    /// The value of one register, as it stands now.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn register(&mut self, index: u32) -> Result<Vec<u8>, Error> {
        match self {
            Self::Azure(paravisor) => paravisor.register(index),
            Self::Nitro(hypervisor) => hypervisor.register(index),
        }
    }
}

impl Sources<'_> {
    /// What has to be bound beside the session's key: this, and the keys of those who quote.
    fn bound(&self, more: Bound) -> Bound {
        let mut names: Vec<_> = self.tpm.iter().map(|tpm| tpm.ak_name().to_vec()).collect();
        if let Some(Layer::Azure(paravisor)) = &self.layer {
            names.push(paravisor.ak_name());
        }
        Bound {
            attestation_keys: names,
            ..more
        }
    }

    fn collect(
        &mut self,
        report_data: &[u8; 64],
        qualifying_data: &[u8; 32],
    ) -> Result<Bundle, Error> {
        let mut bundle = match self.cpu {
            Some(cpu) => cpu.report(report_data)?.bundle()?,
            None => Bundle::new(),
        };
        if let Some(tpm) = &mut self.tpm {
            tpm.speak(qualifying_data, &mut bundle)?;
        }
        match &mut self.layer {
            Some(Layer::Azure(paravisor)) => {
                paravisor.speak(Some(report_data), qualifying_data, &mut bundle)?;
            }
            Some(Layer::Nitro(hypervisor)) => hypervisor.speak(report_data, &mut bundle)?,
            None => {}
        }
        Ok(bundle)
    }
}

/// What a conversation gave.
pub(crate) struct Done {
    /// The witness's answer; its signature holds for this session.
    pub(crate) answer: AttestAnswer,
    /// The secrets, opened; their manifests are the owners'.
    pub(crate) secrets: Vec<Opened>,
}

/// Holds one conversation.
///
/// # Errors
/// Those of the session machine, of the device and of the client.
pub(crate) fn converse(
    config: &Config,
    (request, bound): (Request, Bound),
    sources: &mut Sources<'_>,
    client: &Client,
    step_secs_max: u32,
) -> Result<Done, Error> {
    let path = match request.purpose {
        Purpose::Release => "/v1/releases",
        Purpose::Appraisal | Purpose::Enrolment => "/v1/appraisals",
    };
    let machine = agent::Config {
        witness: config.witness.id.clone(),
        answer_key: config.witness.answer_key,
        tenant: config.tenant.clone(),
        owners: config.owners.clone(),
        suite: config.suite,
        step_secs_max,
        attempts_max: ATTEMPTS_MAX,
    };
    let mut machine = Agent::new(machine, request, sources.bound(bound))?;
    let mut last = Error::new("agent.http", Fault::Unavailable, "the witness said nothing");
    let mut events = VecDeque::from([Event::Begin]);
    while let Some(event) = events.pop_front() {
        let mut drawn = Ok(());
        let mut draw = |out: &mut [u8]| {
            if let Err(error) = random::fill(out) {
                drawn = Err(error);
            }
        };
        let effects = machine.step(event, clock()?, &mut draw);
        drawn?;
        for effect in effects {
            match effect {
                Effect::AskChallenge => {
                    let body = ChallengeRequest {
                        tenant: config.tenant.clone(),
                    };
                    events.push_back(match ask(client, "/v1/challenges", &body)? {
                        Ok(challenge) => Event::Challenged(challenge),
                        Err(problem) => Event::Refused(problem),
                    });
                }
                Effect::Collect {
                    attempt,
                    report_data,
                    qualifying_data,
                } => {
                    let bundle = Box::new(sources.collect(&report_data, &qualifying_data)?);
                    events.push_back(Event::Evidence { attempt, bundle });
                }
                Effect::Attest(body) => events.push_back(match ask(client, path, &*body)? {
                    Ok(answer) => Event::Answered(Box::new(answer)),
                    Err(problem) => Event::Refused(problem),
                }),
                Effect::Accepted {
                    answer, secrets, ..
                } => {
                    return Ok(Done {
                        answer: *answer,
                        secrets,
                    });
                }
                Effect::Ignored(refusal) => last = refusal.into(),
                Effect::Failed(refusal) => return Err(refusal.into()),
            }
        }
    }
    // What came was ignored, and nothing more will come over this connection.
    Err(last)
}

/// One request. A problem that another try may solve is handed to the machine, after the wait
/// that the witness asked for; any other ends the conversation.
fn ask<B: Serialize, A: DeserializeOwned>(
    client: &Client,
    path: &str,
    body: &B,
) -> Result<Result<A, Box<Problem>>, Error> {
    let unusable = |because: &str| Error::new("agent.http", Fault::Unavailable, because);
    let body = serde_json::to_vec(body).map_err(|_| unusable("a request cannot be written"))?;
    // A machine that wants its secrets reads nothing about threats; the witness keeps that.
    let prefer = match path {
        "/v1/releases" => "Prefer: return=minimal\r\n",
        _ => "",
    };
    let answer = client.post_preferring(prefer, path, &body)?;
    if answer.status == 200 || answer.status == 201 {
        return serde_json::from_slice(&answer.body)
            .map(Ok)
            .map_err(|_| unusable("the witness's answer is not of the expected form"));
    }
    let problem = problem(&answer);
    let again = matches!(answer.status, 429 | 503)
        || problem
            .check()
            .is_some_and(|check| check.starts_with("challenge."));
    if !again {
        return Err(Error::problem(&problem));
    }
    let wait = answer.retry_after_secs.unwrap_or(0).min(RETRY_SECS_MAX);
    std::thread::sleep(Duration::from_secs(wait));
    Ok(Err(Box::new(problem)))
}

fn problem(answer: &Answer) -> Problem {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| Problem {
        kind: "about:blank".into(),
        title: format!("HTTP status {}", answer.status),
        status: answer.status,
        detail: None,
        found: None,
        wanted: None,
    })
}
