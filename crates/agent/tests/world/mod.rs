//! A witness for tests: the session machine of `zeuge-protocol` and a log in memory behind a
//! blocking socket on loopback. It believes every report that carries the binding; whether a
//! report is genuine is not what these tests are about.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use zeuge_log::Hash;
use zeuge_log::checkpoint::SignedCheckpoint;
use zeuge_log::commitment::Commitment;
use zeuge_log::leaf::{Leaf, Outcome as Word};
use zeuge_log::note::Signer;
use zeuge_log::receipt::Receipt;
use zeuge_log::tile::TileId;
use zeuge_log::tree::{MemoryTiles, TileSource as _, grow};
use zeuge_protocol::api::{AttestAnswer, AttestRequest, Refusal, Verdict, VerdictWord};
use zeuge_protocol::binding::Binding;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::challenge::ChallengeKey;
use zeuge_protocol::document::Document;
use zeuge_protocol::keys::SigningKey;
use zeuge_protocol::manifest::{EncryptedSecret, encrypt_secret};
use zeuge_protocol::name::{Name, Path};
use zeuge_protocol::request::{Purpose, Request};
use zeuge_protocol::seal::{Release, SealedSecret};
use zeuge_protocol::session::witness::{Config, Effect, Event, Outcome, Witness};

pub(crate) const SECRET: &[u8] = b"the owners' secret";
const ANSWER_SEED: u8 = 1;
const OWNER_SEED: u8 = 2;
const LOG_SEED: u8 = 3;

/// In what this witness lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// The machine is not what was wanted.
    Refuses,
    NoReceipt,
    /// Another key signs the answer.
    OtherAnswerKey,
    /// The secret's manifest is signed by a stranger.
    StrangersSecret,
    /// The log begins anew.
    LogFromScratch,
    /// The log is as long as before and longer, and another one.
    OtherLog,
}

struct Inside {
    lie: Lie,
    witness: Witness,
    liar: Witness,
    signer: Signer,
    tiles: MemoryTiles,
    leaves: Vec<Hash>,
    entries: Vec<Vec<u8>>,
    secrets: BTreeMap<Path, (EncryptedSecret, Document)>,
    strangers: BTreeMap<Path, (EncryptedSecret, Document)>,
    asked: usize,
    shown: Vec<Vec<u8>>,
}

/// The running witness.
#[derive(Clone)]
pub(crate) struct ToyWitness {
    pub(crate) url: String,
    inside: Arc<Mutex<Inside>>,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn draw(out: &mut [u8]) {
    aws_lc_rs::rand::fill(out).unwrap();
}

fn witness(answer_seed: u8) -> Witness {
    let config = Config {
        id: name("witness-1"),
        challenge_secs: 60,
        pending_max: 8,
        pending_secs_max: 5,
    };
    Witness::new(
        config,
        ChallengeKey::new(&[9; 32]),
        signing_key(answer_seed),
    )
}

fn secret(path: &Path, value: &[u8], owner_seed: u8) -> (EncryptedSecret, Document) {
    let made = encrypt_secret(&name("acme"), path, 1, &name("witness-1"), value, &mut draw);
    let made = made.unwrap();
    let mut document = made.manifest.document(now() - 10, now() + 1000);
    document.sign(&signing_key(owner_seed));
    (made, document)
}

impl ToyWitness {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let path = Path::parse("db/password").unwrap();
        let inside = Inside {
            lie: Lie::None,
            witness: witness(ANSWER_SEED),
            liar: witness(77),
            signer: Signer::log("witness.example/log", &[LOG_SEED; 32]).unwrap(),
            tiles: MemoryTiles::default(),
            leaves: Vec::new(),
            entries: Vec::new(),
            secrets: BTreeMap::from([(path.clone(), secret(&path, SECRET, OWNER_SEED))]),
            strangers: BTreeMap::from([(path.clone(), secret(&path, b"a trap", 66))]),
            asked: 0,
            shown: Vec::new(),
        };
        let inside = Arc::new(Mutex::new(inside));
        let served = Arc::clone(&inside);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(&served, stream);
            }
        });
        Self { url, inside }
    }

    /// The configuration of an agent that trusts this witness.
    pub(crate) fn config(&self) -> String {
        let inside = self.inside.lock().unwrap();
        json!({
            "schema": "zeuge.agent.v1",
            "witness": {
                "url": self.url, "id": "witness-1",
                "answer_key": signing_key(ANSWER_SEED).public(),
                "log_key": inside.signer.verifier().to_string()
            },
            "tenant": "acme",
            "owners": {
                "tenant": "acme", "threshold": 1,
                "owners": [{"person": "anna", "public_key": signing_key(OWNER_SEED).public()}]
            }
        })
        .to_string()
    }

    pub(crate) fn lie(&self, lie: Lie) {
        let mut inside = self.inside.lock().unwrap();
        inside.lie = lie;
        if matches!(lie, Lie::LogFromScratch | Lie::OtherLog) {
            let length = inside.leaves.len();
            inside.tiles = MemoryTiles::default();
            inside.leaves.clear();
            inside.entries.clear();
            let fillers = if lie == Lie::OtherLog { length } else { 0 };
            for filler in 0..fillers {
                inside.append(vec![u8::try_from(filler).unwrap()]);
            }
        }
    }

    /// The checkpoints that agents showed it.
    pub(crate) fn shown(&self) -> Vec<Vec<u8>> {
        self.inside.lock().unwrap().shown.clone()
    }

    /// How many challenges were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.inside.lock().unwrap().asked
    }
}

impl Inside {
    fn append(&mut self, entry: Vec<u8>) -> Hash {
        let leaf = zeuge_log::hash::leaf_hash(&entry);
        let size = u64::try_from(self.leaves.len()).unwrap();
        let growth = grow(&self.tiles, size, &[leaf]).unwrap();
        for (id, bytes) in growth.tiles {
            self.tiles.put(id, bytes);
        }
        self.leaves.push(leaf);
        self.entries.push(entry);
        leaf
    }

    fn receipt(&self) -> String {
        let size = u64::try_from(self.leaves.len()).unwrap();
        let root = zeuge_log::tree::root(&self.tiles, size).unwrap();
        let signed = SignedCheckpoint::sign(&self.signer, size, root).unwrap();
        let entry = self.entries.last().unwrap();
        let receipt = Receipt::mint(&signed, &self.tiles, size - 1, entry).unwrap();
        receipt.to_wire()
    }

    fn machine(&mut self) -> &mut Witness {
        if self.lie == Lie::OtherAnswerKey {
            &mut self.liar
        } else {
            &mut self.witness
        }
    }

    fn attest(&mut self, body: &[u8]) -> (u16, Vec<u8>) {
        let request: AttestRequest = serde_json::from_slice(body).unwrap();
        let mut effects = self.machine().step(
            Event::Attest {
                from: 0,
                request: Box::new(request),
                channel: None,
            },
            now(),
            &mut draw,
        );
        let mut judged = None;
        loop {
            let event = match effects.pop().unwrap() {
                Effect::Judge {
                    ticket,
                    binding,
                    request,
                    bundle,
                } => {
                    let outcome = self.judge(&binding, &bundle);
                    judged = Some((binding, request, outcome.clone()));
                    let outcome = Ok(Box::new(outcome));
                    Event::Judged { ticket, outcome }
                }
                Effect::Commit { ticket, .. } => {
                    let (_, request, outcome) = judged.as_ref().unwrap();
                    let leaf = leaf(request, outcome.admits);
                    let leaf = Ok(self.append(leaf.encode().unwrap()));
                    Event::Committed { ticket, leaf }
                }
                Effect::Release { ticket, leaf } => {
                    let (binding, request, outcome) = judged.as_ref().unwrap();
                    let answer = Box::new(self.release(binding, request, outcome, leaf));
                    Event::Released { ticket, answer }
                }
                Effect::Answer { answer, .. } => {
                    return (200, serde_json::to_vec(&answer).unwrap());
                }
                Effect::Refuse { problem, .. } => {
                    return (problem.status, serde_json::to_vec(&problem).unwrap());
                }
                Effect::Challenge { .. } => unreachable!(),
            };
            effects = self.machine().step(event, now(), &mut draw);
        }
    }

    fn judge(&self, binding: &Binding, bundle: &Bundle) -> Outcome {
        let report = bundle.only(Media::SnpReport).unwrap();
        let bound = report[0x50..0x90] == binding.report_data();
        let word = match (bound, self.lie) {
            (false, _) => VerdictWord::Untrusted,
            (true, Lie::Refuses) => VerdictWord::Contraindicated,
            (true, _) => VerdictWord::Affirming,
        };
        let mut verdict = Verdict::new(word, "2026-11-24T00:00:00Z");
        if word == VerdictWord::Contraindicated {
            verdict.failed.push("policy.measurement".into());
        }
        let admits = word == VerdictWord::Affirming;
        Outcome { verdict, admits }
    }

    fn release(
        &self,
        binding: &Binding,
        request: &Request,
        outcome: &Outcome,
        leaf: Hash,
    ) -> AttestAnswer {
        let held = if self.lie == Lie::StrangersSecret {
            &self.strangers
        } else {
            &self.secrets
        };
        let (mut secrets, mut refused) = (Vec::new(), Vec::new());
        for wanted in &request.secrets {
            match held.get(&wanted.path).filter(|_| outcome.admits) {
                Some((secret, document)) => {
                    let release = Release {
                        binding,
                        leaf,
                        manifest: document,
                        payload: &secret.ciphertext,
                        share: &secret.share,
                    };
                    secrets.push(SealedSecret::seal(&release, &mut draw).unwrap());
                }
                None => refused.push(Refusal {
                    path: wanted.path.to_string(),
                    check: "policy.release-rule".into(),
                    because: "no rule allows it".into(),
                }),
            }
        }
        AttestAnswer {
            verdict: outcome.verdict.clone(),
            token: (outcome.admits && !request.audience.is_empty()).then(|| "a.b.c".to_owned()),
            receipt: (self.lie != Lie::NoReceipt).then(|| self.receipt()),
            secrets,
            refused,
        }
    }
}

fn leaf(request: &Request, admits: bool) -> Leaf {
    let nothing = Commitment([0; 32]);
    let time = u64::try_from(now()).unwrap();
    if request.purpose == Purpose::Release && admits {
        return Leaf::ReleaseAuthorised {
            time,
            manifest: [1; 32],
            recipient: [2; 32],
            challenge: random_hash(),
            policy_epoch: 0,
            tenant: nothing,
            path: nothing,
            version: nothing,
            machine: nothing,
        };
    }
    Leaf::Verdict {
        time,
        platform: "snp".into(),
        outcome: if admits {
            Word::Affirming
        } else {
            Word::Contraindicated
        },
        failed: Vec::new(),
        evidence: random_hash(),
        policy: [4; 32],
        knowledge: "0".into(),
        commitments: Vec::new(),
    }
}

fn random_hash() -> Hash {
    let mut seed = [0; 32];
    draw(&mut seed);
    Sha256::digest(seed).into()
}

fn serve(inside: &Mutex<Inside>, mut stream: TcpStream) {
    let mut request = Vec::new();
    let head = loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).unwrap();
        request.extend_from_slice(&piece[..count]);
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert!(count > 0, "a request that ends early");
    };
    let text = String::from_utf8(request[..head].to_vec()).unwrap();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = request[head..].to_vec();
    while body.len() < length {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).unwrap();
        body.extend_from_slice(&piece[..count]);
    }
    let path = text.split(' ').nth(1).unwrap();
    let mut inside = inside.lock().unwrap();
    let (status, answer) = match path {
        "/v1/challenges" => {
            inside.asked += 1;
            let tenant = name("acme");
            let wanted = Event::ChallengeWanted { from: 0, tenant };
            match inside.machine().step(wanted, now(), &mut draw).pop() {
                Some(Effect::Challenge { answer, .. }) => {
                    (200, serde_json::to_vec(&answer).unwrap())
                }
                other => panic!("{other:?}"),
            }
        }
        "/v1/appraisals" | "/v1/releases" => inside.attest(&body),
        "/v1/checkpoints" => {
            inside.shown.push(body);
            (503, Vec::new())
        }
        _ => match path.strip_prefix("/log/").map(TileId::parse) {
            Some(Ok(id)) => match inside.tiles.tile(id) {
                Some(bytes) => (200, bytes[..usize::from(id.width) * 32].to_vec()),
                None => (404, Vec::new()),
            },
            _ => (404, Vec::new()),
        },
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&answer).unwrap();
}
