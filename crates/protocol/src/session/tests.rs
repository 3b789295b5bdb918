//! A seeded scheduler that drops, repeats, reorders, misroutes, alters, delays and crashes, and the
//! promises that must hold whatever it does.
//!
//! One seed is one run: `ZEUGE_SEED=… cargo test -p zeuge-protocol one_seed -- --nocapture`
//! prints it step by step.

use std::collections::BTreeMap;

use super::{agent, witness};
use crate::api::{AttestAnswer, AttestRequest, Refusal, Verdict, VerdictWord};
use crate::binding::Binding;
use crate::bundle::{Bundle, Media};
use crate::challenge::ChallengeKey;
use crate::document::tests::{key, owners};
use crate::manifest::{EncryptedSecret, encrypt_secret};
use crate::name::{Name, Path};
use crate::request::{Request, Wanted};
use crate::seal::{Release, SealedSecret};
use crate::suite::Suite;
use crate::{Error, Random};
use promises::broken;

mod promises;

const GENUINE: &[u8] = b"the owners' secret";
const IMPOSTOR: &[u8] = b"somebody else's secret";
const AGENTS: usize = 2;
const CHAOS_STEPS: usize = 120;

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.next() as u8;
        }
    }
}

/// What the promises are about.
#[derive(Debug, Clone, PartialEq)]
enum Happened {
    Bound {
        agent: usize,
        life: u32,
        nonce: [u8; 32],
    },
    Spent {
        nonce: [u8; 32],
    },
    Logged {
        leaf: [u8; 32],
        nonce: [u8; 32],
        admits: bool,
    },
    Mixed {
        /// A leaf for one challenge with evidence that was bound to another.
        nonce: [u8; 32],
    },
    Judged {
        /// Whether the request that is judged is the one that was bound.
        own_request: bool,
    },
    Sealed {
        leaf: [u8; 32],
        admits: bool,
    },
    Accepted {
        agent: usize,
        life: u32,
        nonce: [u8; 32],
        leaf: Option<[u8; 32]>,
        value: Vec<u8>,
    },
    Ended {
        agent: usize,
        life: u32,
        check: &'static str,
    },
    Ignored {
        check: &'static str,
    },
    Refused {
        check: String,
    },
    Crashed,
}

#[derive(Clone)]
enum Packet {
    Challenge {
        from: usize,
    },
    Attest {
        from: usize,
        request: Box<AttestRequest>,
    },
    ToAgent {
        agent: usize,
        event: agent::Event,
    },
}

enum Job {
    Evidence {
        agent: usize,
        event: agent::Event,
    },
    Witness(witness::Event),
    Commit {
        ticket: u64,
        nonce: [u8; 32],
        expires: i64,
        admits: bool,
    },
}

/// How the world is bent in this run.
#[derive(Clone, Copy, Default)]
struct Bent {
    /// The witness's administrator swaps the secret.
    swaps: bool,
    /// The second agent's hardware is not what was wanted.
    second_is_bad: bool,
    /// The door seals although there is no admission.
    eager: bool,
    /// The store forgets what it spent.
    forgetful: bool,
}

struct World {
    dice: Dice,
    bent: Bent,
    now: i64,
    agents: Vec<agent::Agent>,
    lives: Vec<u32>,
    witness: witness::Witness,
    spent: BTreeMap<[u8; 32], i64>,
    leaves: u64,
    tickets: BTreeMap<u64, (Box<Binding>, bool)>,
    network: Vec<Packet>,
    jobs: Vec<Job>,
    /// Challenges that an eavesdropper has seen.
    overheard: Vec<String>,
    genuine: EncryptedSecret,
    impostor: EncryptedSecret,
    history: Vec<Happened>,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn path() -> Path {
    Path::parse("disk/root").unwrap()
}

fn new_agent() -> agent::Agent {
    let config = agent::Config {
        witness: name("w1"),
        answer_key: key(50).public(),
        tenant: name("acme"),
        owners: owners(1, &[("ada", 1)]),
        suite: Suite::X25519,
        step_secs_max: 10,
        attempts_max: 4,
    };
    let wanted = Wanted {
        path: path(),
        version: 0,
    };
    let request = Request::release([wanted], [Suite::X25519]);
    agent::Agent::new(config, request, agent::Bound::default()).unwrap()
}

fn new_witness() -> witness::Witness {
    let config = witness::Config {
        id: name("w1"),
        challenge_secs: 20,
        pending_max: 4,
        pending_secs_max: 15,
    };
    witness::Witness::new(config, ChallengeKey::new(&[9; 32]), key(50))
}

fn secret(payload: &[u8], random: Random<'_>) -> EncryptedSecret {
    encrypt_secret(&name("acme"), &path(), 1, &name("w1"), payload, random).unwrap()
}

impl World {
    fn new(seed: u64, bent: Bent) -> Self {
        let mut dice = Dice(seed);
        let genuine = secret(GENUINE, &mut |out| dice.fill(out));
        let impostor = secret(IMPOSTOR, &mut |out| dice.fill(out));
        let mut world = Self {
            dice,
            bent,
            now: 1_000_000,
            agents: (0..AGENTS).map(|_| new_agent()).collect(),
            lives: vec![0; AGENTS],
            witness: new_witness(),
            spent: BTreeMap::new(),
            leaves: 0,
            tickets: BTreeMap::new(),
            network: Vec::new(),
            jobs: Vec::new(),
            overheard: Vec::new(),
            genuine,
            impostor,
            history: Vec::new(),
        };
        for agent in 0..AGENTS {
            world.tell_agent(agent, agent::Event::Begin);
        }
        world
    }

    /// Chaos for a while, then a fair network until every session has ended.
    fn run(seed: u64, bent: Bent) -> Self {
        let mut world = Self::new(seed, bent);
        for _ in 0..CHAOS_STEPS {
            world.chaos();
        }
        for _ in 0..2000 {
            if world.agents.iter().all(agent::Agent::is_over) {
                break;
            }
            if !world.network.is_empty() {
                let packet = world.network.remove(0);
                world.deliver(packet);
            } else if !world.jobs.is_empty() {
                let job = world.jobs.remove(0);
                world.work(job);
            } else {
                world.pass(5);
            }
        }
        world
    }

    fn chaos(&mut self) {
        let dice = self.dice.below(100);
        match dice {
            0..=34 if !self.network.is_empty() => {
                let index = self.dice.below(self.network.len());
                let packet = self.network.remove(index);
                self.deliver(packet);
            }
            35..=46 if !self.network.is_empty() => {
                let index = self.dice.below(self.network.len());
                let packet = self.network[index].clone();
                self.deliver(packet);
            }
            47..=52 if !self.network.is_empty() => {
                let index = self.dice.below(self.network.len());
                self.network.remove(index);
            }
            53..=58 if !self.network.is_empty() => {
                let index = self.dice.below(self.network.len());
                match self.network[index].clone() {
                    Packet::ToAgent { agent, event } => {
                        self.tell_agent((agent + 1) % AGENTS, event);
                    }
                    Packet::Attest { from, request } => self.alter(from, *request),
                    Packet::Challenge { .. } => {}
                }
            }
            59..=89 if !self.jobs.is_empty() => {
                let index = self.dice.below(self.jobs.len());
                let job = self.jobs.remove(index);
                self.work(job);
            }
            90..=96 => {
                let secs = self.dice.below(8);
                self.pass(secs as i64);
            }
            97 => {
                let agent = self.dice.below(AGENTS);
                self.history.push(Happened::Crashed);
                self.agents[agent] = new_agent();
                self.lives[agent] += 1;
                self.jobs
                    .retain(|job| !matches!(job, Job::Evidence { agent: of, .. } if *of == agent));
                self.tell_agent(agent, agent::Event::Begin);
            }
            98 => {
                self.history.push(Happened::Crashed);
                self.witness = new_witness();
                self.tickets.clear();
                self.jobs.retain(|job| matches!(job, Job::Evidence { .. }));
            }
            _ => {}
        }
    }

    /// A liar in the middle shows evidence for another challenge, or another request with it.
    fn alter(&mut self, from: usize, mut request: AttestRequest) {
        if self.dice.below(3) == 0 {
            let wanted = Wanted {
                path: path(),
                version: 1,
            };
            request.request = Request::release([wanted], [Suite::X25519]);
        } else if !self.overheard.is_empty() {
            let index = self.dice.below(self.overheard.len());
            request.challenge = self.overheard[index].clone();
        }
        let request = Box::new(request);
        self.deliver(Packet::Attest { from, request });
    }

    fn pass(&mut self, secs: i64) {
        self.now += secs;
        let now = self.now;
        self.spent.retain(|_, expires| *expires > now);
        for agent in 0..AGENTS {
            self.tell_agent(agent, agent::Event::Tick);
        }
        self.tell_witness(witness::Event::Tick);
    }

    fn deliver(&mut self, packet: Packet) {
        match packet {
            Packet::Challenge { from } => self.tell_witness(witness::Event::ChallengeWanted {
                from: from as u64,
                tenant: name("acme"),
            }),
            Packet::Attest { from, request } => self.tell_witness(witness::Event::Attest {
                from: from as u64,
                request,
                channel: None,
            }),
            Packet::ToAgent { agent, event } => self.tell_agent(agent, event),
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Evidence { agent, event } => self.tell_agent(agent, event),
            Job::Witness(event) => self.tell_witness(event),
            Job::Commit {
                ticket,
                nonce,
                expires,
                admits,
            } => {
                let leaf = self.commit(nonce, expires, admits);
                self.jobs
                    .push(Job::Witness(witness::Event::Committed { ticket, leaf }));
            }
        }
    }

    /// The store's one transaction.
    fn commit(&mut self, nonce: [u8; 32], expires: i64, admits: bool) -> Result<[u8; 32], Error> {
        if self.now >= expires {
            return Err(Error::differs("challenge.expired", "now", "before"));
        }
        if !self.bent.forgetful && self.spent.insert(nonce, expires).is_some() {
            return Err(Error::differs("challenge.spent", "spent", "not spent"));
        }
        self.leaves += 1;
        let mut leaf = [0; 32];
        leaf[..8].copy_from_slice(&self.leaves.to_be_bytes());
        self.history.push(Happened::Spent { nonce });
        self.history.push(Happened::Logged {
            leaf,
            nonce,
            admits,
        });
        Ok(leaf)
    }

    fn tell_agent(&mut self, agent: usize, event: agent::Event) {
        let (dice, now) = (&mut self.dice, self.now);
        let effects = self.agents[agent].step(event, now, &mut |out| dice.fill(out));
        let life = self.lives[agent];
        for effect in effects {
            match effect {
                agent::Effect::AskChallenge => self.network.push(Packet::Challenge { from: agent }),
                agent::Effect::Collect {
                    attempt,
                    report_data,
                    ..
                } => {
                    let mut report = report_data.to_vec();
                    report.push(u8::from(!(agent == 1 && self.bent.second_is_bad)));
                    let mut bundle = Bundle::new();
                    bundle.put(name("snp"), Media::SnpReport, report).unwrap();
                    let event = agent::Event::Evidence {
                        attempt,
                        bundle: Box::new(bundle),
                    };
                    self.jobs.push(Job::Evidence { agent, event });
                }
                agent::Effect::Attest(request) => {
                    let binding = Binding::parse(&request.binding).unwrap();
                    let nonce = binding.witnesses()[0].nonce;
                    self.history.push(Happened::Bound { agent, life, nonce });
                    self.network.push(Packet::Attest {
                        from: agent,
                        request,
                    });
                }
                agent::Effect::Accepted {
                    nonce,
                    answer,
                    secrets,
                } => {
                    self.history.push(Happened::Accepted {
                        agent,
                        life,
                        nonce,
                        leaf: answer.secrets.first().map(|secret| secret.leaf),
                        value: secrets
                            .first()
                            .map(|opened| opened.value.to_vec())
                            .unwrap_or_default(),
                    });
                }
                agent::Effect::Ignored(refusal) => {
                    self.history.push(Happened::Ignored {
                        check: refusal.check(),
                    });
                }
                agent::Effect::Failed(refusal) => {
                    self.history.push(Happened::Ended {
                        agent,
                        life,
                        check: refusal.check(),
                    });
                }
            }
        }
    }

    fn tell_witness(&mut self, event: witness::Event) {
        let (dice, now) = (&mut self.dice, self.now);
        let effects = self.witness.step(event, now, &mut |out| dice.fill(out));
        for effect in effects {
            match effect {
                witness::Effect::Challenge { to, answer } => {
                    self.overheard.push(answer.challenge.clone());
                    let event = agent::Event::Challenged(answer);
                    self.network.push(Packet::ToAgent {
                        agent: to as usize,
                        event,
                    });
                }
                witness::Effect::Judge {
                    ticket,
                    binding,
                    request,
                    bundle,
                } => {
                    let own_request = *binding.request() == request.digest();
                    self.history.push(Happened::Judged { own_request });
                    let outcome = judge(&binding, &bundle);
                    let admits = outcome.as_ref().is_ok_and(|outcome| outcome.admits);
                    self.tickets.insert(ticket, (binding, admits));
                    self.jobs
                        .push(Job::Witness(witness::Event::Judged { ticket, outcome }));
                }
                witness::Effect::Commit {
                    ticket,
                    nonce,
                    expires,
                    outcome,
                } => {
                    let admits = outcome.admits;
                    let bound = self.tickets[&ticket].0.witnesses()[0].nonce;
                    if bound != nonce {
                        self.history.push(Happened::Mixed { nonce });
                    }
                    self.jobs.push(Job::Commit {
                        ticket,
                        nonce,
                        expires,
                        admits,
                    });
                }
                witness::Effect::Release { ticket, leaf } => {
                    let answer = Box::new(self.release(ticket, leaf));
                    self.jobs
                        .push(Job::Witness(witness::Event::Released { ticket, answer }));
                }
                witness::Effect::Answer { to, answer } => self.answered(to, answer),
                witness::Effect::Refuse { to, problem } => {
                    let check = problem.check().unwrap().to_owned();
                    self.history.push(Happened::Refused { check });
                    let event = agent::Event::Refused(problem);
                    self.network.push(Packet::ToAgent {
                        agent: to as usize,
                        event,
                    });
                }
            }
        }
    }

    fn answered(&mut self, to: u64, answer: Box<crate::answer::SignedAnswer>) {
        let said: AttestAnswer = serde_json::from_slice(&answer.payload).unwrap();
        for secret in &said.secrets {
            let leaf = secret.leaf;
            let admits = said.verdict.verdict == VerdictWord::Affirming;
            self.history.push(Happened::Sealed { leaf, admits });
        }
        let event = agent::Event::Answered(answer);
        self.network.push(Packet::ToAgent {
            agent: to as usize,
            event,
        });
    }

    /// What a door would do: seal what the admission allows.
    fn release(&mut self, ticket: u64, leaf: [u8; 32]) -> AttestAnswer {
        let (binding, admits) = self.tickets.remove(&ticket).unwrap();
        let mut answer = AttestAnswer {
            verdict: verdict(admits),
            token: None,
            receipt: None,
            secrets: Vec::new(),
            refused: Vec::new(),
        };
        if !admits && !self.bent.eager {
            answer.refused.push(Refusal {
                path: path().to_string(),
                check: "policy.test".into(),
                because: "the machine is not what was wanted".into(),
            });
            return answer;
        }
        let (made, signer) = if self.bent.swaps {
            (&self.impostor, key(66))
        } else {
            (&self.genuine, key(1))
        };
        let mut manifest = made.manifest.document(999_000, 2_000_000);
        manifest.sign(&signer);
        let release = Release {
            binding: &binding,
            leaf,
            manifest: &manifest,
            payload: &made.ciphertext,
            share: &made.share,
        };
        let dice = &mut self.dice;
        let sealed = SealedSecret::seal(&release, &mut |out| dice.fill(out)).unwrap();
        answer.secrets.push(sealed);
        answer
    }
}

fn verdict(admits: bool) -> Verdict {
    let word = if admits {
        VerdictWord::Affirming
    } else {
        VerdictWord::Contraindicated
    };
    Verdict::new(word, "2026-11-24T00:00:00Z")
}

/// What `verify` and `appraise` would say of the toy report: report data, then one byte "good".
fn judge(binding: &Binding, bundle: &Bundle) -> Result<Box<witness::Outcome>, Error> {
    let report = bundle.only(Media::SnpReport).unwrap();
    let (report_data, good) = report.split_at(64);
    if report_data != binding.report_data() {
        return Err(Error::differs("binding.report-data", "other", "ours"));
    }
    let admits = good == [1];
    let verdict = verdict(admits);
    Ok(Box::new(witness::Outcome { verdict, admits }))
}

fn bent(seed: u64) -> Bent {
    Bent {
        swaps: seed % 8 == 3,
        second_is_bad: seed % 3 == 1,
        eager: seed % 6 == 1,
        forgetful: false,
    }
}

#[test]
fn a_thousand_seeds_keep_every_promise() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..1000 {
        let world = World::run(seed, bent(seed));
        if let Some((promise, because)) = broken(&world.history) {
            panic!("ZEUGE_SEED={seed} breaks \"{promise}\": {because}");
        }
        assert!(
            world.agents.iter().all(agent::Agent::is_over),
            "ZEUGE_SEED={seed}: a session does not end on a fair network"
        );
        for happened in &world.history {
            let kind = match happened {
                Happened::Accepted { leaf: Some(_), .. } => "accepted with secret".into(),
                Happened::Accepted { .. } => "accepted without secret".into(),
                Happened::Ended { check, .. } => format!("ended {check}"),
                Happened::Ignored { check } => format!("ignored {check}"),
                Happened::Refused { check } => format!("refused {check}"),
                _ => continue,
            };
            *seen.entry(kind).or_default() += 1;
        }
    }
    // A stray answer must not end a session: only what the asked witness signed for it may.
    assert!(!seen.contains_key("ended seal.open"), "{seen:#?}");
    // A scheduler that never gets anywhere, or never goes wrong, proves nothing.
    for kind in [
        "accepted with secret",
        "accepted without secret",
        "ended manifest.signature",
        "ended session.timeout",
        "ignored answer.signature",
        "ignored challenge.spent",
        "refused binding.request",
        "refused binding.witness",
        "refused challenge.expired",
        "refused challenge.spent",
        "refused session.release",
        "refused session.timeout",
    ] {
        assert!(seen.contains_key(kind), "never seen: {kind}");
    }
}

#[test]
fn every_run_is_replayed_from_its_seed() {
    for seed in [0, 1, 3, 77, 999] {
        let one = World::run(seed, bent(seed));
        let other = World::run(seed, bent(seed));
        assert_eq!(one.history, other.history);
    }
}

#[test]
fn one_seed_can_be_looked_at() {
    let Some(seed) = std::env::var("ZEUGE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    else {
        println!("skipped: ZEUGE_SEED is not set");
        return;
    };
    let world = World::run(seed, bent(seed));
    for happened in &world.history {
        println!("{happened:?}");
    }
    assert_eq!(broken(&world.history), None);
}

#[test]
fn the_scheduler_notices_a_store_that_forgets_what_it_spent() {
    let bent = Bent {
        forgetful: true,
        ..Bent::default()
    };
    let noticed = (0..200).any(|seed| {
        broken(&World::run(seed, bent).history)
            .is_some_and(|(promise, _)| promise == "a challenge is spent once")
    });
    assert!(noticed);
}

#[test]
fn on_a_quiet_network_a_secret_arrives_with_one_challenge() {
    let mut world = World::new(5, Bent::default());
    while !world.agents.iter().all(agent::Agent::is_over) {
        if !world.network.is_empty() {
            let packet = world.network.remove(0);
            world.deliver(packet);
        } else {
            let job = world.jobs.remove(0);
            world.work(job);
        }
    }
    let spent = |happened: &&Happened| matches!(happened, Happened::Spent { .. });
    assert_eq!(world.history.iter().filter(spent).count(), AGENTS);
    let accepted = |happened: &&Happened| matches!(happened, Happened::Accepted { value, .. } if value == GENUINE);
    assert_eq!(world.history.iter().filter(accepted).count(), AGENTS);
}

#[test]
fn a_release_that_does_not_name_the_session_s_suite_does_not_begin() {
    let mut request = Request::release(
        [Wanted {
            path: path(),
            version: 0,
        }],
        [Suite::X_WING],
    );
    let config = agent::Config {
        witness: name("w1"),
        answer_key: key(50).public(),
        tenant: name("acme"),
        owners: owners(1, &[("ada", 1)]),
        suite: Suite::X25519,
        step_secs_max: 10,
        attempts_max: 1,
    };
    let begun = agent::Agent::new(config.clone(), request.clone(), agent::Bound::default());
    assert_eq!(
        begun.map(drop).map_err(|error| error.check()),
        Err("seal.suite")
    );
    request.suites.insert(Suite::X25519);
    assert!(agent::Agent::new(config, request, agent::Bound::default()).is_ok());
}

#[test]
fn an_appraisal_that_outlives_its_challenge_is_not_committed() {
    let mut world = World::new(5, Bent::default());
    let judged = loop {
        if !world.network.is_empty() {
            let packet = world.network.remove(0);
            world.deliver(packet);
            continue;
        }
        match world.jobs.remove(0) {
            Job::Witness(event) => break event,
            job => world.work(job),
        }
    };
    // The challenge lives for 20 s, the appraisal is given up after 15; no tick came between.
    let effects = world.witness.step(judged, world.now + 20, &mut |_| {});
    let [witness::Effect::Refuse { problem, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(problem.check(), Some("challenge.expired"));
}
