//! The whole loop with a toy machine: an owner puts a secret, a machine attests and receives it,
//! a stranger checks the log; and every refusal on the way, by its own check id.

use std::process::Command;

use crate::common::{
    Attempt, Running, SECRET, Wire, World, evidence, evidence_of, found_in, name, path, release_of,
    rule, zeuged,
};
use zeuge_protocol::answer::SignedAnswer;
use zeuge_protocol::api::{AttestAnswer, CheckStatus, Problem, VerdictWord};
use zeuge_protocol::challenge::{Challenge, ChallengeKey};
use zeuge_protocol::document::{Kind, OwnerSet};
use zeuge_protocol::ear::{Jwks, Status, verify_ear};
use zeuge_protocol::keys::SigningKey;
use zeuge_protocol::request::Request;
use zeuge_protocol::seal::{Recipient, SealedSecret};
use zeuge_protocol::session::agent::{Agent, Bound, Config, Effect, Event};
use zeuge_protocol::suite::Suite;
use zeuge_server::keys;
use zeuge_sim::{Product, ReportSpec};

pub(crate) fn id<T: std::fmt::Debug>(refused: Result<T, Box<Problem>>) -> String {
    refused.unwrap_err().check().unwrap().to_owned()
}

/// What a witness answered to an attempt, its signature checked.
pub(crate) fn read(world: &World, attempt: &Attempt, answer: &[u8]) -> AttestAnswer {
    let signed: SignedAnswer = serde_json::from_slice(answer).unwrap();
    let binding = attempt.binding.digest();
    signed
        .verify(&name("w1"), &binding, &world.answer_key)
        .unwrap()
}

pub(crate) fn attest(world: &World, running: &Running, attempt: &Attempt) -> AttestAnswer {
    let bundle = evidence(attempt.binding.report_data(), world.now());
    let answer = running.attest(&attempt.body(&bundle)).unwrap();
    read(world, attempt, &answer)
}

pub(crate) fn open(world: &World, attempt: &Attempt, secret: &SealedSecret) -> Vec<u8> {
    let recipient = Recipient {
        session: &attempt.key,
        binding: &attempt.binding.digest(),
        owners: &world.owners("sim"),
        now: world.now(),
    };
    let opened = recipient.open(secret, &path("db/key"), 0);
    opened.unwrap().to_vec()
}

/// The refusals of an answer, as path and check.
pub(crate) fn refused(answer: &AttestAnswer) -> Vec<(&str, &str)> {
    let refusals = answer.refused.iter();
    refusals
        .map(|refusal| (refusal.path.as_str(), refusal.check.as_str()))
        .collect()
}

#[test]
fn an_agent_receives_what_the_owner_put_and_nothing_else_has_it_in_the_clear() {
    let world = World::new();
    let running = world.start();
    let wire = Wire::tap(running.0);
    let over = wire.client;
    world.furnish(&over, "sim");
    let config = Config {
        witness: name("w1"),
        answer_key: world.answer_key,
        tenant: name("sim"),
        owners: world.owners("sim"),
        suite: Suite::X_WING,
        step_secs_max: 10,
        attempts_max: 1,
    };
    let mut agent = Agent::new(config, release_of(&["db/key"]), Bound::default()).unwrap();
    let mut events = vec![Event::Begin];
    let mut accepted = None;
    while let Some(event) = events.pop() {
        for effect in agent.step(event, world.now(), &mut keys::random) {
            match effect {
                Effect::AskChallenge => events.push(Event::Challenged(over.challenge("sim"))),
                Effect::Collect {
                    attempt,
                    report_data,
                    ..
                } => {
                    let bundle = Box::new(evidence(report_data, world.now()));
                    events.push(Event::Evidence { attempt, bundle });
                }
                Effect::Attest(request) => {
                    let answer = over.attest(&request).unwrap();
                    let signed = serde_json::from_slice(&answer).unwrap();
                    events.push(Event::Answered(Box::new(signed)));
                }
                Effect::Accepted {
                    answer, secrets, ..
                } => accepted = Some((answer, secrets)),
                other => panic!("{other:?}"),
            }
        }
    }
    let (answer, secrets) = accepted.unwrap();
    assert_eq!(secrets[0].value.as_slice(), SECRET);
    // The toy's root is a warning, never more.
    assert_eq!(answer.verdict.verdict, VerdictWord::Warning);
    assert!(
        answer
            .verdict
            .not_proved
            .iter()
            .any(|text| text.contains("checkpoint"))
    );
    let receipt = zeuge_log::receipt::WireReceipt::parse(answer.receipt.unwrap().as_bytes());
    let vkey = zeuge_log::note::VerifierKey::parse(&world.vkey).unwrap();
    receipt.unwrap().verify(&vkey, &[], 0).unwrap();
    assert_eq!(found_in(&world.data(), SECRET), None);
    // Neither in the clear nor in the encodings of the wire.
    let heard = wire.heard();
    assert!(heard.len() > 20_000 && contains(&heard, b"db/key"));
    for spelt in spellings(SECRET) {
        assert!(!contains(&heard, &spelt));
        assert_eq!(found_in(&world.data(), &spelt), None);
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// A secret as it might be written: as it is, in hex, and in base64 at each of its three offsets.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![secret.to_vec(), hex::encode(secret).into_bytes()];
    for offset in 0..3 {
        let whole = secret[offset..].len() / 3 * 3;
        let text = zeuge_protocol::text::base64url(&secret[offset..offset + whole]);
        all.push(text.replace('-', "+").replace('_', "/").into_bytes());
        all.push(text.into_bytes());
    }
    all
}

#[test]
fn the_log_holds_for_a_stranger_and_outlives_a_restart() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let before = attest(
        &world,
        &running,
        &Attempt::honest(&running, "sim", &["db/key"]),
    );
    assert_eq!(before.secrets.len(), 1);
    let checkpoint = running.get("/log/checkpoint").unwrap();
    drop(running);
    let running = world.start();
    assert_eq!(running.get("/log/checkpoint").unwrap(), checkpoint);
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let after = attest(&world, &running, &attempt);
    assert_eq!(open(&world, &attempt, &after.secrets[0]), SECRET);
    running.get("/log/tile/entries/000.p/5").unwrap();
    assert_eq!(id(running.get("/log/tile/entries/000.p/200")), "log.tile");
    // Folder and address, with code that is not ours.
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/outside/verify_log.py"
    );
    // The folder may be a moment late.
    running.witness.sequencer.sequence().unwrap();
    for place in [
        world.data().join("log").display().to_string(),
        format!("http://{}/log", running.0),
    ] {
        let done = Command::new("python3")
            .args([script, &place, &world.vkey])
            .output();
        let done = done.unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{place}: {said}");
    }
    // The tiles derive from the database.
    drop(running);
    std::fs::remove_dir_all(world.data().join("log")).unwrap();
    let running = world.start();
    assert_eq!(
        attest(
            &world,
            &running,
            &Attempt::honest(&running, "sim", &["db/key"])
        )
        .secrets
        .len(),
        1
    );
}

#[test]
fn a_relying_party_gets_a_token_that_says_no_more_than_the_verdict() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let request = Request::appraisal("https://shop.example");
    let attempt = Attempt::new(running.challenge("sim"), request, Suite::X_WING);
    let answer = attest(&world, &running, &attempt);
    let keys: Jwks =
        serde_json::from_slice(&running.get("/.well-known/jwks.json").unwrap()).unwrap();
    let token = answer.token.unwrap();
    let ear = verify_ear(
        &token,
        &keys,
        "https://w1",
        "https://shop.example",
        world.now(),
    );
    let ear = ear.unwrap();
    assert_eq!(ear.status(), Status::Warning);
    assert_eq!(ear.receipt, answer.receipt);
    assert!(answer.secrets.is_empty());
    for (issuer, audience, check) in [
        ("https://w2", "https://shop.example", "token.issuer"),
        ("https://w1", "https://bank.example", "token.audience"),
    ] {
        let refused = verify_ear(&token, &keys, issuer, audience, world.now());
        assert_eq!(refused.unwrap_err().check(), check);
    }
}

#[test]
fn a_token_alone_comes_in_the_form_that_the_client_accepts() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let keys: Jwks =
        serde_json::from_slice(&running.get("/.well-known/jwks.json").unwrap()).unwrap();
    let ask = |accept: &str, audience: &str| {
        let request = Request::appraisal(audience);
        let attempt = Attempt::new(running.challenge("sim"), request, Suite::X_WING);
        let bundle = evidence(attempt.binding.report_data(), world.now());
        let body = serde_json::to_vec(&attempt.body(&bundle)).unwrap();
        let answer = running.send_accepting("POST", "/v1/appraisals", None, (accept, &body));
        answer.map(|(head, body)| (head, body, attempt.challenge.nonce))
    };
    for media in ["application/eat+cwt", "application/eat+jwt"] {
        let accept = format!("text/html, {media};q=0.9, */*;q=0.1");
        let (head, body, nonce) = ask(&accept, "shop").unwrap();
        assert!(head.contains(&format!("content-type: {media}")), "{head}");
        let token = match media {
            "application/eat+cwt" => zeuge_protocol::text::base64url(&body),
            _ => String::from_utf8(body).unwrap(),
        };
        let ear = verify_ear(&token, &keys, "https://w1", "shop", world.now()).unwrap();
        assert_eq!(ear.status(), Status::Warning);
        assert_eq!(ear.nonce, Some(zeuge_protocol::text::base64url(&nonce)));
        assert!(ear.receipt.is_some() && !ear.submods["snp"].claims.is_null());
    }
    let refused = ask("application/eat+cwt", "");
    assert_eq!(id(refused), "request.malformed");
}

#[test]
fn every_described_call_is_served() {
    let world = World::new();
    let running = world.start();
    let described: serde_json::Value =
        serde_json::from_slice(&running.get("/openapi.json").unwrap()).unwrap();
    assert_eq!(described["openapi"], "3.1.0");
    for (path, calls) in described["paths"].as_object().unwrap() {
        let path = path.replace("{kind}", "policy").replace("{path}", "0/000");
        for method in ["get", "put", "post", "delete"] {
            let answer = running.send(&method.to_uppercase(), &path, None, b"{}");
            let because = answer.err().and_then(|problem| problem.detail);
            let because = because.unwrap_or_default();
            assert_ne!(because, "there is nothing under this path", "{path}");
            let unserved = because == "this path has no such method";
            assert_eq!(unserved, calls.get(method).is_none(), "{method} {path}");
        }
    }
    let discovery = running.get("/.well-known/openid-configuration").unwrap();
    let discovery: serde_json::Value = serde_json::from_slice(&discovery).unwrap();
    assert_eq!(discovery["issuer"], "https://w1");
}

#[test]
fn what_is_taken_away_releases_nothing_and_never_comes_back() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let remove = |at: &str, token: &str| running.admin("DELETE", at, token, b"");
    let rule_at = "/v1/documents/release-rule?tenant=sim&name=db/key";
    assert_eq!(id(remove(rule_at, "guess")), "admin.token");
    remove(rule_at, &world.admin).unwrap();
    assert_eq!(id(remove(rule_at, &world.admin)), "document.retire");
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let answer = attest(&world, &running, &attempt);
    assert_eq!(refused(&answer), [("db/key", "release.rule")]);
    let put = |version| {
        let text = rule("sim", "db/key");
        let document = world.document(Kind::ReleaseRule, "sim", "db/key", version, &text);
        let body = serde_json::to_vec(&document).unwrap();
        running.admin("PUT", "/v1/documents/release-rule", &world.admin, &body)
    };
    // The administrator has the old document, which the owner signed; it is gone all the same.
    assert_eq!(id(put(1)), "document.version");
    put(2).unwrap();
    for kind in ["policy", "hardware-registry", "owner-set"] {
        let at = format!("/v1/documents/{kind}?tenant=sim");
        assert_eq!(id(remove(&at, &world.admin)), "document.retire");
    }
}

#[test]
fn new_owners_may_keep_what_is_there_in_force_without_signing_it_anew() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let list = |at: &str| -> serde_json::Value {
        let answer = running.admin("GET", at, &world.admin, b"").unwrap();
        serde_json::from_slice(&answer).unwrap()
    };
    let mut set = world.owners("sim");
    let new = SigningKey::from_seed(&[10; 32]).unwrap();
    set.owners[0].public_key = new.public();
    let succession = |set: &OwnerSet, version: u64, signer: &SigningKey| {
        let text = serde_json::to_string(set).unwrap();
        let mut document = world.document(Kind::OwnerSet, "sim", "owner-set", version, &text);
        document.signatures.clear();
        document.sign(signer);
        let body = serde_json::to_vec(&document).unwrap();
        running.admin("PUT", "/v1/documents/owner-set", &world.admin, &body)
    };
    for kind in ["reference-values", "release-rule"] {
        let listed = list(&format!("/v1/documents/{kind}?tenant=sim"));
        let document = listed["documents"][0]["document"].clone();
        let document: zeuge_protocol::document::Document =
            serde_json::from_value(document).unwrap();
        set.carries.insert(hex::encode(document.digest()));
    }
    let secrets = list("/v1/secrets?tenant=sim");
    let digest = secrets["secrets"][0]["digest"].as_str().unwrap();
    set.carries.insert(digest.to_owned());
    succession(&set, 1, &world.owner).unwrap();
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let answer = attest(&world, &running, &attempt);
    let recipient = Recipient {
        session: &attempt.key,
        binding: &attempt.binding.digest(),
        owners: &set,
        now: world.now(),
    };
    let opened = recipient.open(&answer.secrets[0], &path("db/key"), 0);
    assert_eq!(opened.unwrap().as_slice(), SECRET);
    // The old owner has no say any more.
    assert_eq!(id(succession(&set, 2, &world.owner)), "document.threshold");
    let refused = world.put_secret(&running, "sim", "db/key", 2, &world.owner);
    assert_eq!(id(refused), "manifest.signature");
    // Owners who carry nothing: nothing that others signed counts.
    set.carries.clear();
    succession(&set, 2, &new).unwrap();
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    let refused = running.attest(&attempt.body(&bundle));
    assert_eq!(id(refused), "document.threshold");
}

#[test]
fn a_challenge_counts_once_in_time_and_for_its_own_witness_and_tenant() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    assert!(running.attest(&attempt.body(&bundle)).is_ok());
    assert_eq!(
        id(running.attest(&attempt.body(&bundle))),
        "challenge.spent"
    );

    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let mut body = attempt.body(&bundle);
    body.tenant = name("acme");
    assert_eq!(id(running.attest(&body)), "challenge.tenant");
    world.pass(121);
    assert_eq!(
        id(running.attest(&attempt.body(&bundle))),
        "challenge.expired"
    );

    // Another witness with the same key, and one with another.
    let key: [u8; 32] = std::fs::read(world.data().join("keys/challenge.1"))
        .unwrap()
        .try_into()
        .unwrap();
    let mut body = Attempt::honest(&running, "sim", &["db/key"]).body(&bundle);
    for (witness, key, check) in [
        ("w2", key, "challenge.witness"),
        ("w1", [1; 32], "challenge.mac"),
    ] {
        let random = &mut keys::random;
        let made = Challenge::issue(name(witness), name("sim"), world.now(), 60, random);
        body.challenge = made.seal(&ChallengeKey::new(&key));
        assert_eq!(id(running.attest(&body)), check);
    }
}

#[test]
fn evidence_bound_to_another_key_request_suite_or_witness_is_refused() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());

    let other_key = Attempt::new(
        attempt.challenge.clone(),
        attempt.request.clone(),
        Suite::X_WING,
    );
    assert_eq!(
        id(running.attest(&other_key.body(&bundle))),
        "binding.report-data"
    );

    let mut other_request = attempt.body(&bundle);
    other_request.request = release_of(&["db/key", "db/more"]);
    assert_eq!(id(running.attest(&other_request)), "binding.request");

    let weak = Attempt::new(
        attempt.challenge.clone(),
        attempt.request.clone(),
        Suite::X25519,
    );
    let weak_bundle = evidence(weak.binding.report_data(), world.now());
    assert_eq!(
        id(running.attest(&weak.body(&weak_bundle))),
        "binding.suite"
    );

    let mut elsewhere = attempt.challenge.clone();
    elsewhere.witness = name("w2");
    let elsewhere = Attempt::new(elsewhere, attempt.request.clone(), Suite::X_WING);
    assert_eq!(
        id(running.attest(&elsewhere.body(&bundle))),
        "binding.witness"
    );

    // None of these spent the challenge.
    assert!(running.attest(&attempt.body(&bundle)).is_ok());
}

#[test]
fn a_weaker_suite_than_the_rule_s_gets_nothing() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let mut request = release_of(&["db/key"]);
    request.suites = [Suite::X25519].into();
    let attempt = Attempt::new(running.challenge("sim"), request, Suite::X25519);
    let answer = attest(&world, &running, &attempt);
    assert_eq!(refused(&answer), [("db/key", "release.suite")]);
    assert!(answer.secrets.is_empty());
}

#[test]
fn nobody_gets_what_no_rule_grants_or_what_is_not_there() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let ruled = world.document(
        Kind::ReleaseRule,
        "sim",
        "db/none",
        1,
        &rule("sim", "db/none"),
    );
    let body = serde_json::to_vec(&ruled).unwrap();
    running
        .admin("PUT", "/v1/documents/release-rule", &world.admin, &body)
        .unwrap();
    world
        .put_secret(&running, "sim", "db/hidden", 1, &world.owner)
        .unwrap();
    let wanted = ["db/hidden", "db/key", "db/none"];
    let attempt = Attempt::honest(&running, "sim", &wanted);
    let answer = attest(&world, &running, &attempt);
    assert_eq!(
        refused(&answer),
        [("db/hidden", "release.rule"), ("db/none", "release.secret")]
    );
    assert_eq!(open(&world, &attempt, &answer.secrets[0]), SECRET);
}

#[test]
fn another_workload_is_judged_and_logged_and_gets_nothing() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let spec = ReportSpec {
        report_data: attempt.binding.report_data(),
        measurement: [0x23; 48],
        ..ReportSpec::new(Product::Milan)
    };
    let answer = running.attest(&attempt.body(&evidence_of(&spec, world.now())));
    let answer = read(&world, &attempt, &answer.unwrap());
    assert_eq!(answer.verdict.verdict, VerdictWord::Contraindicated);
    assert_eq!(refused(&answer), [("db/key", "policy.measurement")]);
    assert!(answer.secrets.is_empty());
    let rows = running.admin("GET", "/v1/verdicts?tenant=sim", &world.admin, b"");
    let rows: serde_json::Value = serde_json::from_slice(&rows.unwrap()).unwrap();
    assert_eq!(rows["verdicts"][0]["word"], "contraindicated");
    let rows = running
        .admin("GET", "/v1/machines", &world.admin, b"")
        .unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&rows).unwrap();
    assert_eq!(rows["machines"][0]["verdicts"], 1);
}

#[test]
fn toy_evidence_counts_for_the_tenant_sim_alone() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "acme");
    let attempt = Attempt::honest(&running, "acme", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    let refusal = running.attest(&attempt.body(&bundle)).unwrap_err();
    assert!(refusal.check().unwrap().starts_with("amd."), "{refusal:?}");
}

#[test]
fn only_owners_say_what_is_wanted_and_only_forwards() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let stranger = SigningKey::from_seed(&[1; 32]).unwrap();
    assert_eq!(
        id(world.put_secret(&running, "sim", "db/key", 2, &stranger)),
        "manifest.signature"
    );
    assert_eq!(
        id(world.put_secret(&running, "sim", "db/key", 1, &world.owner)),
        "document.version"
    );
    let put = |document: &zeuge_protocol::document::Document, token: &str| {
        let body = serde_json::to_vec(document).unwrap();
        running.admin("PUT", "/v1/documents/release-rule", token, &body)
    };
    let good = world.document(
        Kind::ReleaseRule,
        "sim",
        "db/key",
        2,
        &rule("sim", "db/key"),
    );
    assert_eq!(id(put(&good, "guess")), "admin.token");
    let mut foreign = good.clone();
    foreign.signatures.clear();
    foreign.sign(&stranger);
    assert_eq!(id(put(&foreign, &world.admin)), "document.threshold");
    let old = world.document(
        Kind::ReleaseRule,
        "sim",
        "db/key",
        1,
        &rule("sim", "db/key"),
    );
    assert_eq!(id(put(&old, &world.admin)), "document.version");
    let swapped = world.document(
        Kind::ReleaseRule,
        "sim",
        "db/key",
        2,
        &rule("sim", "db/more"),
    );
    assert_eq!(id(put(&swapped, &world.admin)), "document.subject");
    assert!(put(&good, &world.admin).is_ok());
    // A deleted secret is gone, and its versions with it.
    let at = "/v1/secrets?tenant=sim&path=db/key";
    running.admin("DELETE", at, &world.admin, b"").unwrap();
    let answer = attest(
        &world,
        &running,
        &Attempt::honest(&running, "sim", &["db/key"]),
    );
    assert_eq!(refused(&answer), [("db/key", "release.secret")]);
    assert_eq!(
        id(world.put_secret(&running, "sim", "db/key", 1, &world.owner)),
        "document.version"
    );
}

#[test]
fn what_the_owner_signed_ends_when_the_owner_said() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    world.pass(86_401);
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    assert_eq!(
        id(running.attest(&attempt.body(&bundle))),
        "document.expired"
    );
}

#[test]
fn a_clock_that_jumps_stops_release_until_it_is_right_again() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    for ahead in [-31, 31] {
        running
            .wall
            .store(ahead, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(id(running.get("/readyz")), "time.jump");
        assert_eq!(id(running.attest(&attempt.body(&bundle))), "time.jump");
    }
    running.wall.store(0, std::sync::atomic::Ordering::Relaxed);
    assert!(running.get("/readyz").is_ok());
    assert!(running.attest(&attempt.body(&bundle)).is_ok());
}

#[test]
fn refusals_are_counted_into_the_log_without_names() {
    let world = World::new();
    let running = world.start();
    let body = br#"{"tenant":"sim","challenge":"AAAA"}"#;
    for _ in 0..3 {
        let refusal = running.send("POST", "/v1/releases", None, body);
        assert_eq!(id(refusal), "challenge.mac");
    }
    let metrics = String::from_utf8(running.get("/metrics").unwrap()).unwrap();
    assert!(metrics.contains("zeuge_refusals_total{check=\"challenge.mac\"} 3\n"));
    running.witness.log_denials().unwrap();
    running.witness.sequencer.sequence().unwrap();
    let bundle = running.get("/log/tile/entries/000.p/1").unwrap();
    let entries = zeuge_log::tile::read_bundle(&bundle).unwrap();
    let zeuge_log::leaf::Leaf::Denials { counts, .. } =
        zeuge_log::leaf::Leaf::decode(entries[0]).unwrap()
    else {
        panic!("another leaf");
    };
    assert_eq!(counts, [("challenge.mac".to_owned(), 3)]);
    assert!(!bundle.windows(9).any(|window| window == b"127.0.0.1"));
}

#[test]
fn a_folder_is_served_once_and_a_backup_gives_another_witness_with_the_same_secrets() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let data = world.data();
    let data = data.to_str().unwrap();
    let second = zeuged(&["serve", "--data", data, "--listen", "127.0.0.1:0"]).unwrap_err();
    assert!(second.contains("another zeuged runs"), "{second}");
    let file = world.folder.path().join("backup");
    let file = file.to_str().unwrap();
    zeuged(&["backup", "--data", data, "--to", file]).unwrap();
    assert!(zeuged(&["backup", "--data", data, "--to", file]).is_err());
    drop(running);
    let copy = world.folder.path().join("copy");
    zeuged(&["restore", "--from", file, "--data", copy.to_str().unwrap()]).unwrap();
    zeuged(&["recover", "--data", copy.to_str().unwrap()]).unwrap();
    let running = world.start_on(&copy);
    world.catch_up();
    world.furnish_again(&running, "sim");
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let answer = attest(&world, &running, &attempt);
    assert_eq!(open(&world, &attempt, &answer.secrets[0]), SECRET);
    let refusal = zeuged(&["migrate", "--data", data]).unwrap_err();
    assert!(refusal.contains("not in this version"), "{refusal}");
}

#[test]
fn who_prefers_a_minimal_answer_gets_the_digest_of_what_stands_at_the_witness() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    let body = serde_json::to_vec(&attempt.body(&bundle)).unwrap();
    let preferring = "*/*\r\nprefer: respond-async, return=minimal";
    let call = ("POST", "/v1/releases");
    let answer = running.exchange(call, None, (preferring, &body)).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("preference-applied: return=minimal"),
        "{head}"
    );
    let minimal = read(&world, &attempt, body.as_bytes());
    assert_eq!(open(&world, &attempt, &minimal.secrets[0]), SECRET);
    assert!(minimal.verdict.threats.is_empty() && minimal.verdict.adversaries.is_empty());
    let told: Vec<_> = minimal
        .verdict
        .checks
        .iter()
        .map(|check| check.status)
        .collect();
    assert!(!told.is_empty() && !told.contains(&CheckStatus::Pass));
    let rows = running.admin("GET", "/v1/verdicts?tenant=sim", &world.admin, b"");
    let rows: serde_json::Value = serde_json::from_slice(&rows.unwrap()).unwrap();
    let whole = serde_json::from_value(rows["verdicts"][0]["verdict"].clone());
    let whole: zeuge_protocol::api::Verdict = whole.unwrap();
    assert!(!whole.threats.is_empty() && !whole.adversaries.is_empty());
    let text = format!(
        "\"threats\":{},\"adversaries\":{}",
        serde_json::to_string(&whole.threats).unwrap(),
        serde_json::to_string(&whole.adversaries).unwrap()
    );
    let digest = hex::encode(zeuge_log::hash::sha256(&[text.as_bytes()]));
    assert_eq!(minimal.verdict.assessment, Some(format!("sha256:{digest}")));
    // Who says nothing gets the whole verdict, also of a state that was assessed before.
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let answer = attest(&world, &running, &attempt);
    assert_eq!(answer.verdict.threats, whole.threats);
    assert_eq!(answer.verdict.adversaries, whole.adversaries);
    assert_eq!(answer.verdict.assessment, None);
}
