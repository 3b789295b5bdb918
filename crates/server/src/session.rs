//! One attestation, from the body of a request to a signed answer.
//!
//! *Flow*: the challenge's MAC and expiry, before anything else is read → the binding, field by
//! field → evidence, perhaps with what a maker adds → verdict → admissions → **one transaction** that spends the challenge,
//! compares the epoch and writes verdict and leaves, together with those of others and the checkpoint
//! over all of them → `release` → the answer, signed over the binding.
//!
//! *Guarantees*: what fails before the transaction leaves no trace but a count; what is answered
//! stands in the published log. *Assumptions*: [`Ledger::commit`] is serialisable and durable.
//!
//! The order is that of `zeuge_protocol::session::witness`, whose machine knows one leaf for a
//! whole answer; here every secret has its own, so the same primitives are driven directly.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use tracing::Instrument as _;
use zeuge_appraise::{Admission, Grant, Status, Suite, Word, admission::ADMISSION_SECS_MAX, admit};
use zeuge_evidence::UnixTime;
use zeuge_log::hash::sha256;
use zeuge_log::leaf::{Leaf, Outcome};
use zeuge_log::receipt::Receipt;
use zeuge_protocol::answer::SignedAnswer;
use zeuge_protocol::api::{self, AttestAnswer, AttestRequest, ChallengeAnswer, Refusal as Refused};
use zeuge_protocol::binding::Binding;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::challenge::Challenge;
use zeuge_protocol::document::{Document, Kind};
use zeuge_protocol::keys::KeyId;
use zeuge_protocol::name::Name;
use zeuge_protocol::report::{FileDigest, Record};
use zeuge_protocol::request::{Purpose, Request, Wanted};
use zeuge_protocol::seal::SealedSecret;

use crate::appraisal::{Appraised, Asked, Evidence, Proven, Wishes};
use crate::archive::{self, Room};
use crate::endorsements::Counted;
use crate::keys;
use crate::refusal::Refusal;
use crate::release::{self, Present, Salts, Secret, release};
use crate::remembered::Held;
use crate::secrets::{self, SecretRow, Vault};
use crate::sequencer::{Logged, NewLeaf, salted};
use crate::told::{self, Told};
use crate::tpm::Stand;
use crate::wire::{self, Form};
use crate::witness::Witness;

/// The ids of this file.
pub const CHECKS: &[&str] = &[
    "bundle.evidence",
    "release.rule",
    "release.secret",
    "tenant.unknown",
];
/// How long a challenge lives: a device answers within a second, a slow link within a minute.
pub const CHALLENGE_SECS: u32 = 120;
/// The door of release rules.
const DOOR: &str = "agent";

/// What the one transaction writes (DESIGN §5.6).
#[derive(Debug)]
pub struct Decision {
    /// The instant of the request.
    pub now: i64,
    /// The nonce to spend.
    pub nonce: [u8; 32],
    /// The challenge's expiry.
    pub expires: i64,
    /// The tenant.
    pub tenant: String,
    /// The epoch under which it was judged.
    pub epoch: u64,
    /// The verdict's leaf, then those of the grants.
    pub leaves: Vec<NewLeaf>,
    /// Endorsements that counted; those never seen before become leaves behind the others.
    pub endorsements: Vec<Counted>,
    /// What people look at.
    pub verdict: VerdictRow,
    /// The evidence, to be archived; its SHA-256 stands in the verdict's leaf.
    pub evidence: archive::Evidence,
    /// The room that was kept in the archive for it.
    pub room: Option<Room>,
    /// Where the machine's TPM stood.
    pub stand: Option<Stand>,
}

/// A verdict as it is kept for people; erasable, unlike its leaf.
#[derive(Debug)]
pub struct VerdictRow {
    /// The machine.
    pub machine: String,
    /// The word.
    pub word: String,
    /// The paths that may be released, a JSON array.
    pub released: String,
    /// `zeuge.verdict.v1`, with both lists of its assessment empty.
    pub json: String,
    /// The assessment that belongs into it.
    pub told: Arc<Told>,
    /// What it depended on, as JSON ([`Record`]).
    pub record: String,
}

/// Where decisions stay. [`Ledger::commit`] is one serialisable transaction that is durable when
/// it returns: of two with one nonce exactly one succeeds, and none under another epoch.
pub trait Ledger: Send + Sync {
    /// The epoch of a tenant.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn epoch(&self, tenant: &str) -> Result<u64, Refusal>;
    /// Writes a decision; returns the number of its first leaf.
    ///
    /// # Errors
    /// `challenge.spent`, `challenge.expired`, `release.epoch`, `time.jump`; `tenant.unknown`,
    /// `store.unavailable`; `tpm.quote.clock` where a later quote of the same TPM was decided
    /// meanwhile. Nothing is written then.
    fn commit(&self, decision: &Decision) -> Result<u64, Refusal>;
}

/// The only parts of a body that are read before the challenge has held.
#[derive(Deserialize)]
struct Head {
    tenant: Name,
    challenge: String,
}

/// A request whose challenge and binding have held.
struct Opened {
    challenge: Challenge,
    challenge_hash: [u8; 32],
    binding: Binding,
    /// SHA-512 over the binding: what the evidence carries, and what the answer is signed over.
    digest: [u8; 64],
    bundle: Bundle,
    evidence: Vec<u8>,
    request: Request,
}

/// A grant that waits for its receipt.
struct Pending {
    admission: Admission,
    row: SecretRow,
    manifest: Document,
    salts: Salts,
}

/// What an attestation is answered with.
#[derive(Debug)]
pub enum Attested {
    /// Verdict, receipt, token and secrets, signed over the binding.
    Answer(Box<SignedAnswer>),
    /// The signed token alone.
    Token(Vec<u8>),
}

/// What was decided, and is to be answered once it stands in the log.
struct Decided {
    opened: Opened,
    verdict: zeuge_appraise::Verdict,
    wire: api::Verdict,
    told: Arc<Told>,
    policy_digest: [u8; 32],
    pending: Vec<Pending>,
    refused: Vec<Refused>,
}

/// Makes a challenge for a tenant.
///
/// # Errors
/// `tenant.unknown`; `time.jump`; `store.unavailable`.
pub fn challenge(witness: &Witness, tenant: Name) -> Result<ChallengeAnswer, Refusal> {
    witness.ready()?;
    let now = witness.clock.now()?;
    witness.store.epoch(tenant.as_str())?;
    let id = witness.id.clone();
    let made = Challenge::issue(id, tenant, now, CHALLENGE_SECS, &mut keys::random);
    let key = witness.keys.challenge.first();
    let key = key.ok_or_else(|| Refusal::store(&"there is no challenge key"))?;
    witness.metrics.count("zeuge_challenges_total", "");
    Ok(ChallengeAnswer {
        challenge: made.seal(key),
        witness: made.witness,
        tenant: made.tenant,
        nonce: made.nonce,
        expires: made.expires,
    })
}

/// Answers an attestation that came in with `purpose` as its path says.
///
/// # Errors
/// Every refusal of the flow above, by its check id.
pub async fn attest(
    witness: &Arc<Witness>,
    source: IpAddr,
    (purpose, form): (Purpose, Form),
    body: &[u8],
) -> Result<Attested, Refusal> {
    // What could not be written down is not begun.
    witness.ready()?;
    let now = witness.clock.now()?;
    let head: Head = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    let challenge = recognise(witness, &head, now)?;
    let _own = witness.load.appraisal(source)?;
    let _slot = Arc::clone(&witness.slots)
        .try_acquire_owned()
        .map_err(|_| Refusal::new("session.busy", 503, "too many appraisals").retry_after(1))?;
    let opened = open(witness, &head, challenge, purpose, body)?;
    if matches!(form, Form::Jwt | Form::Cwt) && opened.request.audience.is_empty() {
        let because = "a token alone is for somebody: name an audience in the request";
        return Err(Refusal::new("request.malformed", 400, because));
    }
    let span = tracing::info_span!("attest", tenant = %head.tenant, %source);
    let (this, inside, asker) = (Arc::clone(witness), span.clone(), source.to_string());
    let judging = move || {
        let _all = inside.entered();
        let part = tracing::debug_span!("prove").entered();
        let (opened, proven) = prove(&this, opened, &asker, now)?;
        drop(part);
        // Asking a maker takes its time; what is granted is granted from now on.
        let now = this.clock.now()?;
        // Until everything is sealed, see `Witness::gate`.
        let gate = Arc::clone(&this.gate).read_owned();
        let gate = tokio::runtime::Handle::current().block_on(gate);
        let _part = tracing::debug_span!("decide").entered();
        let (decision, decided) = decide(&this, opened, proven, now)?;
        Ok((gate, now, decision, decided))
    };
    let (gate, now, decision, decided) = blocking(judging).await?;
    let waits = Instant::now();
    let publishing = witness.sequencer.decide(decision);
    let part = tracing::debug_span!(parent: &span, "publish");
    let logged = publishing.instrument(part).await?;
    witness.metrics.published(waits.elapsed());
    let this = Arc::clone(witness);
    let answering = move || {
        let _all = span.entered();
        let _part = tracing::debug_span!("answer").entered();
        count(&this, &decided, logged.first);
        answer(&this, decided, logged, (now, form))
    };
    // Nothing waits for the database then.
    let answer = match witness.store.is_known(head.tenant.as_str()) {
        true => answering()?,
        false => blocking(answering).await?,
    };
    drop(gate);
    Ok(answer)
}

/// Runs work that waits for disk or processor where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Refusal::store(&error))?
}

pub(crate) fn malformed(error: &serde_json::Error) -> Refusal {
    let because = format!("the body is not the JSON that is wanted here: {error}");
    Refusal::new("request.malformed", 400, because)
}

/// The challenge, under the newest key or one that was replaced a short while ago.
fn recognise(witness: &Witness, head: &Head, now: i64) -> Result<Challenge, Refusal> {
    let mut refusal = None;
    for key in &witness.keys.challenge {
        match Challenge::open(&head.challenge, key, &witness.id, &head.tenant, now) {
            Ok(challenge) => return Ok(challenge),
            Err(error) if error.check() == "challenge.mac" => refusal = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    let refusal = refusal.map(Refusal::from);
    Err(refusal.unwrap_or_else(|| Refusal::store(&"there is no challenge key")))
}

/// Everything that must hold of a request before its evidence is looked at.
fn open(
    witness: &Witness,
    head: &Head,
    challenge: Challenge,
    purpose: Purpose,
    body: &[u8],
) -> Result<Opened, Refusal> {
    let request: AttestRequest = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    let AttestRequest {
        binding,
        request,
        bundle: evidence,
        ..
    } = request;
    request.check()?;
    if request.purpose != purpose {
        let because = "the purpose of the request is not that of this path";
        return Err(Refusal::new("request.malformed", 400, because)
            .difference(request.purpose.as_str(), purpose.as_str()));
    }
    let binding = Binding::parse(&binding)?;
    binding.demands(&witness.id, &challenge.tenant, &challenge.nonce)?;
    binding.demands_request(&request.digest())?;
    binding.demands_channel(None)?;
    if purpose == Purpose::Release {
        let named: Vec<_> = request.suites.iter().copied().collect();
        binding.demands_suite(&named)?;
    }
    let bundle = Bundle::parse(&evidence)?;
    let names = crate::tpm::attestation_keys(&bundle)?;
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    binding.demands_attestation_keys(&names)?;
    Ok(Opened {
        challenge,
        challenge_hash: sha256(&[head.challenge.as_bytes()]),
        digest: binding.digest(),
        binding,
        bundle,
        evidence,
        request,
    })
}

fn wanted_of(witness: &Witness, tenant: &str, now: i64) -> Result<Arc<Held>, Refusal> {
    let (store, keys) = (witness.store.as_ref(), &witness.keys);
    witness.remembered.wishes(store, keys, tenant, now)
}

/// Verifies, perhaps with what a maker adds.
fn prove(
    witness: &Witness,
    opened: Opened,
    source: &str,
    now: i64,
) -> Result<(Opened, Proven), Refusal> {
    let tenant = opened.challenge.tenant.as_str();
    // A TPM's key is believed by the owners' word alone.
    let wishes = match opened.bundle.only(Media::TpmQuote) {
        Some(_) => Some(wanted_of(witness, tenant, now)?),
        None => None,
    };
    let asked = Asked {
        tenant,
        report_data: opened.digest,
        wishes: wishes.as_ref().map(|held| &held.wishes),
        clocks: witness.store.as_ref(),
        source,
        at: UnixTime(now),
    };
    let proven = witness.judge.verify(&opened.bundle, &asked)?;
    Ok((opened, proven))
}

/// Judges and admits; what is to be written, and what is to be answered then.
fn decide(
    witness: &Witness,
    mut opened: Opened,
    proven: Proven,
    now: i64,
) -> Result<(Decision, Decided), Refusal> {
    let at = UnixTime(now);
    let tenant = opened.challenge.tenant.to_string();
    let held = wanted_of(witness, &tenant, now)?;
    let wishes = &held.wishes;
    if proven.epoch.is_some_and(|epoch| epoch != wishes.epoch) {
        let because = "the owners' documents changed while the evidence was verified; attest again";
        return Err(Refusal::new("release.epoch", 503, because).retry_after(0));
    }
    let appraised = witness.judge.judge(proven, wishes, at)?;
    let evidence = sha256(&[&opened.evidence]);
    let record = record(witness, &opened, &appraised, wishes, (evidence, now))?;
    let names = record.endorsements.iter().map(|name| name.0);
    let parts = appraised.endorsements.iter().map(Vec::as_slice).zip(names);
    let own = archive::Evidence::cut(std::mem::take(&mut opened.evidence), parts);
    let room = witness.archive.reserve(own.bytes.len())?;
    let (mut leaves, mut pending, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    leaves.push(verdict_leaf(&tenant, &appraised, wishes, evidence, now)?);
    for wanted in &opened.request.secrets {
        match grant(witness, &opened, &appraised, &held, wanted, now) {
            Ok((granted, leaf)) => {
                pending.push(granted);
                leaves.push(leaf);
            }
            Err(refusal) if refusal.check == crate::store::UNAVAILABLE => return Err(refusal),
            Err(refusal) => {
                witness.metrics.count("zeuge_refusals_total", refusal.check);
                refused.push(Refused {
                    path: wanted.path.to_string(),
                    check: refusal.check.to_owned(),
                    because: refusal.to_string(),
                });
            }
        }
    }
    let released: Vec<_> = pending.iter().map(|pending| &pending.row.path).collect();
    let json = |error: serde_json::Error| Refusal::store(&error);
    let context = &opened.request.context;
    let wire = wire::verdict(witness, &appraised.verdict, wishes.knowledge(), context);
    let decision = Decision {
        now,
        nonce: opened.challenge.nonce,
        expires: opened.challenge.expires,
        epoch: wishes.epoch,
        leaves,
        endorsements: appraised.evidence.counted(),
        verdict: VerdictRow {
            machine: appraised.machine,
            word: appraised.verdict.word.word().to_owned(),
            released: serde_json::to_string(&released).map_err(json)?,
            json: serde_json::to_string(&wire).map_err(json)?,
            told: Arc::clone(&appraised.told),
            record: serde_json::to_string(&record).map_err(json)?,
        },
        tenant,
        evidence: own,
        room: Some(room),
        stand: appraised.stand,
    };
    let decided = Decided {
        opened,
        verdict: appraised.verdict,
        wire,
        told: appraised.told,
        policy_digest: wishes.policy_digest,
        pending,
        refused,
    };
    Ok((decision, decided))
}

/// Counts and tells what stands in the log now.
fn count(witness: &Witness, decided: &Decided, first: u64) {
    let word = decided.verdict.word.word();
    witness.metrics.count("zeuge_verdicts_total", word);
    count_findings(witness, &decided.verdict);
    tracing::info!(
        leaf = first,
        verdict = word,
        granted = decided.pending.len(),
        refused = decided.refused.len(),
        "decided"
    );
}

/// Archives what the verdict depends on, and names it.
fn record(
    witness: &Witness,
    opened: &Opened,
    appraised: &Appraised,
    wishes: &Wishes,
    (evidence, now): ([u8; 32], i64),
) -> Result<Record, Refusal> {
    let archive = &witness.archive;
    let endorsements = appraised.endorsements.iter();
    let endorsements = endorsements.map(|bytes| Ok(FileDigest(archive.keep(bytes)?)));
    let texts = wishes.texts.iter();
    let documents = texts
        .filter(|(kind, _)| *kind != Kind::ThreatKnowledge)
        .map(|(kind, text)| Ok((kind.as_str().to_owned(), FileDigest(archive.keep(text)?))));
    let knowledge = wishes.knowledge().id().digest;
    // Long, and the same for most: hashed once, when it was read.
    if !archive.has(&knowledge) {
        archive.keep(wishes.knowledge_text())?;
    }
    Ok(Record {
        program: concat!("zeuged ", env!("CARGO_PKG_VERSION")).to_owned(),
        at: now,
        report_data: hex::encode(opened.digest),
        evidence: FileDigest(evidence),
        endorsements: endorsements.collect::<Result<_, Refusal>>()?,
        documents: documents.collect::<Result<_, Refusal>>()?,
        knowledge: FileDigest(knowledge),
        evaluation_number_seen: appraised.seen,
    })
}

/// Counts what failed or warned, by check id.
fn count_findings(witness: &Witness, verdict: &zeuge_appraise::Verdict) {
    for finding in &verdict.findings {
        match finding.status {
            Status::Fail => witness.metrics.finding(finding.id, "fail"),
            Status::Warn => witness.metrics.finding(finding.id, "warn"),
            Status::Pass | Status::Unchecked => {}
        }
    }
}

fn verdict_leaf(
    tenant: &str,
    appraised: &Appraised,
    wishes: &Wishes,
    evidence: [u8; 32],
    now: i64,
) -> Result<NewLeaf, Refusal> {
    let verdict = &appraised.verdict;
    let outcome = match verdict.word {
        Word::Affirming => Outcome::Affirming,
        Word::Warning => Outcome::Warning,
        Word::Contraindicated | Word::Malformed | Word::Unavailable | Word::Untrusted => {
            Outcome::Contraindicated
        }
    };
    let mut failed: Vec<_> = verdict.failed().into_iter().map(str::to_owned).collect();
    failed.sort();
    failed.dedup();
    let openings = vec![
        salted("machine", appraised.machine.as_bytes()),
        salted("tenant", tenant.as_bytes()),
    ];
    let commitments = openings
        .iter()
        .map(|opening| (opening.label.clone(), opening.commit()));
    let leaf = Leaf::Verdict {
        time: u64::try_from(now).unwrap_or(0),
        platform: verdict.kind.word().to_owned(),
        outcome,
        failed,
        evidence,
        policy: wishes.policy_digest,
        knowledge: verdict.knowledge.version.to_string(),
        commitments: commitments.collect(),
    };
    NewLeaf::new(leaf, openings)
}

/// Demands that the owners have signed this rule, and what is not about single paths, since the log
/// was recovered: a state that was set back may hold what they took away.
fn confirmed(wishes: &Wishes, path: &str) -> Result<(), Refusal> {
    let old = wishes
        .unconfirmed
        .iter()
        .find(|(kind, name)| *kind != Kind::ReleaseRule || name == path);
    let Some((kind, name)) = old else {
        return Ok(());
    };
    let because = "the witness's state was set back and its log recovered: the owners must bring \
                   their documents anew, with the next versions, before anything is released";
    let refusal = Refusal::new("release.recovered", 403, because);
    Err(refusal.difference(
        format!("{} {name}, signed before the recovery", kind.as_str()),
        "one that the owners signed after it",
    ))
}

/// Looks for rule and secret, and asks for the admission.
fn grant(
    witness: &Witness,
    opened: &Opened,
    appraised: &Appraised,
    held: &Held,
    wanted: &Wanted,
    now: i64,
) -> Result<(Pending, NewLeaf), Refusal> {
    let wishes = &held.wishes;
    let tenant = &opened.challenge.tenant;
    let path = wanted.path.as_str();
    held.stops.demand(appraised)?;
    let rule = wishes.rules.get(path).ok_or_else(|| {
        let because = "no release rule of the owners' names this path";
        Refusal::new("release.rule", 403, because)
    })?;
    confirmed(wishes, path)?;
    let row = witness
        .store
        .secret(tenant.as_str(), path, wanted.version)?;
    let row = row.ok_or_else(|| {
        let because = "there is no such secret, or not in this version";
        Refusal::new("release.secret", 404, because)
    })?;
    let believed = held.manifest(&row, now)?;
    let (document, manifest) = believed.as_ref();
    let no_key = || Refusal::new("binding.keys", 403, "the binding holds no KEM key");
    let (suite, key) = opened.binding.recipient().ok_or_else(no_key)?;
    let suite = if suite.is_post_quantum() {
        Suite::XWing
    } else {
        Suite::X25519
    };
    let grant = Grant {
        tenant: tenant.to_string(),
        path: path.to_owned(),
        version: manifest.version,
        recipient: *KeyId::of(key).as_bytes(),
        challenge: opened.challenge_hash,
        epoch: wishes.epoch,
        expires: UnixTime(now).plus(ADMISSION_SECS_MAX),
    };
    let at = UnixTime(now);
    let wanted = wishes.wanted(at, appraised.seen, appraised.ahead.as_deref());
    let admitted = match &appraised.evidence {
        Evidence::Snp(verified) => admit(verified, rule, &wanted, DOOR, suite, grant),
        Evidence::Quote(verified) => admit(verified, rule, &wanted, DOOR, suite, grant),
        Evidence::Tpm(verified) => admit(verified, rule, &wanted, DOOR, suite, grant),
        Evidence::Composite(verified) => admit(verified, rule, &wanted, DOOR, suite, grant),
        Evidence::Azure(verified) => admit(verified, rule, &wanted, DOOR, suite, grant),
        Evidence::Nitro(verified) => admit(verified, rule, &wanted, DOOR, suite, grant),
    };
    let Some(admission) = admitted.admission else {
        return Err(not_admitted(&admitted.verdict));
    };
    let mut salts = Salts {
        time: u64::try_from(now).unwrap_or(0),
        machine: appraised.machine.clone(),
        salts: [[0; 32]; 4],
    };
    for salt in &mut salts.salts {
        keys::random(salt);
    }
    let (leaf, openings) = release::leaf(admission.grant(), document, &salts)?;
    let pending = Pending {
        admission,
        row,
        manifest: document.clone(),
        salts,
    };
    Ok((pending, NewLeaf::new(leaf, openings)?))
}

/// The finding that kept a machine from a secret: the rule's own before those of the floor.
fn not_admitted(verdict: &zeuge_appraise::Verdict) -> Refusal {
    let failed =
        |finding: &&zeuge_appraise::Finding| finding.status == zeuge_appraise::Status::Fail;
    let failed: Vec<_> = verdict.findings.iter().filter(failed).collect();
    let consequence = |id: &str| matches!(id, "release.verdict" | "release.workload");
    let first = failed
        .iter()
        .find(|finding| !consequence(finding.id))
        .or_else(|| failed.first());
    let Some(finding) = first else {
        return Refusal::new("release.verdict", 403, "the machine was not admitted");
    };
    Refusal {
        difference: (!finding.wanted.is_empty())
            .then(|| (finding.found.clone(), finding.wanted.clone())),
        ..Refusal::new(finding.id, 403, finding.because.clone())
    }
}

/// Lets one secret go, if everything still stands.
fn released(
    witness: &Witness,
    opened: &Opened,
    pending: Pending,
    receipt: Receipt,
) -> Result<SealedSecret, Refusal> {
    let number = receipt.index();
    let secret = Secret {
        manifest: pending.manifest,
        share: secrets::share(&pending.row, &witness.keys)?,
        payload: pending.row.payload,
        binding: opened.binding.clone(),
        salts: pending.salts,
    };
    // Also not what was admitted before somebody showed that the log is not what it was.
    witness.sequencer.checkpoint()?;
    let present = Present {
        at: UnixTime(witness.clock.now()?),
        epoch: witness.store.epoch(opened.challenge.tenant.as_str())?,
    };
    let sealed = release(pending.admission, receipt, secret, present)?;
    witness.metrics.count("zeuge_releases_total", "");
    tracing::info!(leaf = number, "released");
    Ok(sealed)
}

/// Releases, and signs the answer.
fn answer(
    witness: &Witness,
    decided: Decided,
    logged: Logged,
    (now, form): (i64, Form),
) -> Result<Attested, Refusal> {
    let Decided {
        opened,
        verdict,
        mut wire,
        told,
        policy_digest,
        pending,
        refused,
    } = decided;
    let mut receipts = logged.receipts.into_iter();
    let missing = || Refusal::new("release.receipt", 500, "a leaf has no receipt");
    let receipt = receipts.next().ok_or_else(missing)?;
    let mut sealed = Vec::new();
    for pending in pending {
        let receipt = receipts.next().ok_or_else(missing)?;
        sealed.push(released(witness, &opened, pending, receipt)?);
    }
    let session = wire::Session {
        witness,
        binding: &opened.binding,
        audience: &opened.request.audience,
        context: &opened.request.context,
        tenant: &opened.challenge.tenant,
        nonce: &opened.challenge.nonce,
        policy_digest,
        now,
    };
    let receipt = receipt.to_wire();
    let ear = wire::token(&session, &verdict, &receipt);
    let token = ear.map(|ear| wire::sign(witness, &ear, form)).transpose()?;
    let token = match (form, token) {
        (Form::Answer | Form::Minimal, None) => None,
        (Form::Answer | Form::Minimal, Some(token)) => {
            Some(String::from_utf8(token).map_err(|error| Refusal::store(&error))?)
        }
        (_, token) => return Ok(Attested::Token(token.unwrap_or_default())),
    };
    if form == Form::Minimal {
        wire.checks
            .retain(|check| check.status != api::CheckStatus::Pass);
        wire.claims = serde_json::Value::Object(serde_json::Map::new());
        wire.assessment = Some(format!("sha256:{}", hex::encode(told.digest)));
    }
    let answer = AttestAnswer {
        verdict: wire,
        token,
        receipt: Some(receipt),
        secrets: sealed,
        refused,
    };
    let binding = opened.digest;
    let (id, key) = (&witness.id, &witness.keys.answer);
    let alone = serde_json::to_string(&answer).map_err(|error| Refusal::store(&error))?;
    let written = match form {
        Form::Minimal => alone,
        _ => told::whole(&alone, &told.text),
    };
    let signed = SignedAnswer::sign_written(written.into_bytes(), id, &binding, key);
    Ok(Attested::Answer(Box::new(signed)))
}
