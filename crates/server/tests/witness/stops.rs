//! A stop takes secrets from machines until an operator lifts it, and takes nothing else.

use serde_json::{Value, json};
use zeuge_log::leaf::Leaf;
use zeuge_log::proof::TlogProof;
use zeuge_protocol::api::{AttestAnswer, Problem, VerdictWord};
use zeuge_server::sequencer::Entries as _;
use zeuge_sim::{Product, ReportSpec};

use crate::common::{Attempt, Running, SECRET, World, evidence_of};
use crate::whole_loop::{id, open, read, refused};

fn call(
    running: &Running,
    (method, at): (&str, &str),
    token: &str,
    body: &Value,
) -> Result<Value, Box<Problem>> {
    let body = match body {
        Value::Null => Vec::new(),
        body => serde_json::to_vec(body).unwrap(),
    };
    let answer = running.admin(method, at, token, &body)?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

fn token(world: &World, running: &Running, role: &str) -> String {
    let wanted = json!({"name": role, "role": role});
    let at = ("POST", "/v1/tenants/sim/tokens");
    let made = call(running, at, &world.admin, &wanted).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

/// What the machine with this chip is answered when it asks for the secret.
fn asks(world: &World, running: &Running, chip: u8) -> (Attempt, AttestAnswer) {
    let attempt = Attempt::honest(running, "sim", &["db/key"]);
    let spec = ReportSpec {
        report_data: attempt.binding.report_data(),
        chip_id: [chip; 64],
        ..ReportSpec::new(Product::Milan)
    };
    let bundle = evidence_of(&spec, world.now());
    let answer = running.attest(&attempt.body(&bundle)).unwrap();
    let answer = read(world, &attempt, &answer);
    (attempt, answer)
}

fn gets(world: &World, running: &Running, chip: u8) {
    let (attempt, answer) = asks(world, running, chip);
    assert_eq!(refused(&answer), []);
    assert_eq!(open(world, &attempt, &answer.secrets[0]), SECRET);
}

/// Its evidence is as good as before, and it gets nothing.
fn gets_nothing(world: &World, running: &Running, chip: u8) {
    let (_, answer) = asks(world, running, chip);
    assert_eq!(refused(&answer), [("db/key", "release.stopped")]);
    assert!(answer.secrets.is_empty());
    assert_ne!(answer.verdict.verdict, VerdictWord::Contraindicated);
}

/// The leaf of the verdict of the machine with this chip.
fn verdict(world: &World, running: &Running, chip: u8) -> u64 {
    let (_, answer) = asks(world, running, chip);
    let receipt = answer.receipt.unwrap();
    TlogProof::parse(receipt.as_bytes()).unwrap().index
}

fn actions(running: &Running) -> Vec<String> {
    let entries = running.witness.store.entries(0, u32::MAX).unwrap();
    let leaves = entries.iter().map(|entry| Leaf::decode(entry).unwrap());
    let actions = leaves.filter_map(|leaf| match leaf {
        Leaf::OperatorAction { action, .. } if action.starts_with("release-") => Some(action),
        _ => None,
    });
    actions.collect()
}

#[test]
fn a_cluster_stops_a_machine_and_only_an_operator_lifts_it() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let cluster = token(&world, &running, "cluster");
    let operator = token(&world, &running, "operator");
    gets(&world, &running, 1);
    let leaf = verdict(&world, &running, 1);
    let at = ("POST", "/v1/stops?tenant=sim");
    let stop = |token: &str, leaves: Value| {
        let wanted = json!({"name": "cluster-1", "because": "the breaker", "leaves": leaves});
        call(&running, at, token, &wanted)
    };
    // Who stands under that number otherwise, and in which tenant, is told to nobody.
    let done = stop(&cluster, json!([leaf, leaf + 1, 999_999])).unwrap();
    assert_eq!(done["new"], 1);
    assert_eq!(done["unknown"], json!([leaf + 1, 999_999]));
    gets_nothing(&world, &running, 1);
    gets(&world, &running, 2);
    // Told again, it is the same; with others, it grows.
    assert_eq!(stop(&cluster, json!([leaf])).unwrap()["new"], 0);
    assert_eq!(actions(&running), ["release-stop"]);
    let other = verdict(&world, &running, 2);
    assert_eq!(stop(&cluster, json!([other])).unwrap()["new"], 1);
    gets_nothing(&world, &running, 1);
    gets_nothing(&world, &running, 2);
    gets(&world, &running, 3);
    // A cluster neither lifts, nor reads, nor stops everybody.
    let lift = ("DELETE", "/v1/stops?tenant=sim&name=cluster-1");
    assert_eq!(
        id(call(&running, lift, &cluster, &Value::Null)),
        "admin.role"
    );
    let list = ("GET", "/v1/stops?tenant=sim");
    assert_eq!(
        id(call(&running, list, &cluster, &Value::Null)),
        "admin.role"
    );
    let all = json!({"name": "cluster-1", "because": "all"});
    assert_eq!(id(call(&running, at, &cluster, &all)), "admin.role");
    gets(&world, &running, 3);
    // Whoever told it may be gone, and so may the process be that was told.
    drop(running);
    let running = world.start();
    gets_nothing(&world, &running, 1);
    let listed = call(&running, list, &operator, &Value::Null).unwrap();
    assert_eq!(listed["stops"].as_array().unwrap().len(), 2);
    assert_eq!(listed["stops"][0]["because"], "the breaker");
    let metrics = String::from_utf8(running.get("/metrics").unwrap()).unwrap();
    assert!(metrics.contains("\nzeuge_release_stops 2\n"), "{metrics}");
    let lifted = call(&running, lift, &operator, &Value::Null).unwrap();
    assert_eq!(lifted["lifted"], 2);
    gets(&world, &running, 1);
    gets(&world, &running, 2);
    let done = ["release-stop", "release-stop", "release-resume"];
    assert_eq!(actions(&running), done);
}

#[test]
fn an_operator_stops_a_whole_tenant_and_no_other() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let operator = token(&world, &running, "operator");
    let all = json!({"name": "incident-7", "because": "somebody was in the building"});
    let at = ("POST", "/v1/stops?tenant=sim");
    let elsewhere = ("POST", "/v1/stops?tenant=acme");
    assert_eq!(id(call(&running, elsewhere, &operator, &all)), "admin.role");
    call(&running, elsewhere, &world.admin, &all).unwrap();
    gets(&world, &running, 1);
    call(&running, at, &operator, &all).unwrap();
    gets_nothing(&world, &running, 1);
    gets_nothing(&world, &running, 2);
    let lift = ("DELETE", "/v1/stops?tenant=sim&name=incident-7");
    call(&running, lift, &operator, &Value::Null).unwrap();
    gets(&world, &running, 1);
}
