//! Waivers of Kubernetes nodes are written down when owners signed them, and change nothing.

use serde_json::Value;
use zeuge_log::leaf::Leaf;
use zeuge_protocol::api::Problem;
use zeuge_protocol::keys::SigningKey;
use zeuge_protocol::waiver::{self, Waiver};
use zeuge_server::documents::Shelf as _;
use zeuge_server::sequencer::Entries as _;

use crate::common::{Running, World};

fn signed(from: i64, key: &SigningKey) -> String {
    let waiver = Waiver {
        because: "the witness was down".into(),
        from,
        until: from + 3600,
        ..Waiver::new("c".into(), vec!["n".into()], vec!["policy.tcb".into()])
    };
    waiver::sign(&waiver, &[key])
}

fn bring(
    world: &World,
    running: &Running,
    tenant: &str,
    text: &str,
) -> Result<Value, Box<Problem>> {
    let at = format!("/v1/waivers?tenant={tenant}");
    let answer = running.admin("POST", &at, &world.admin, text.as_bytes())?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

#[test]
fn a_waiver_is_written_down_afterwards_and_only_what_owners_signed() {
    let world = World::new();
    let running = world.start();
    let epoch = || running.witness.store.documents("sim").unwrap().0;
    let before = epoch();
    // It ended two hours ago: the witness was away.
    let from = world.now() - 3 * 3600;
    let text = signed(from, &world.owner);
    let told = bring(&world, &running, "sim", &text).unwrap();
    let leaf = told["leaf"].as_u64().unwrap();
    let entries = running.witness.store.entries(leaf, 1).unwrap();
    let Leaf::DocumentChange {
        kind,
        digest,
        version,
        signer,
    } = Leaf::decode(&entries[0]).unwrap()
    else {
        panic!("another leaf");
    };
    assert_eq!(
        (kind.as_str(), version),
        ("node-waiver", from.cast_unsigned())
    );
    assert_eq!(told["digest"], hex::encode(digest));
    assert_eq!(&signer, world.owner.public().id().as_bytes());
    // Brought again, it stands there already.
    let again = bring(&world, &running, "sim", &text).unwrap();
    assert_eq!(again["leaf"], leaf);
    let list = "/v1/waivers?tenant=sim";
    let listed = running.admin("GET", list, &world.admin, b"").unwrap();
    let listed: Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(listed["waivers"].as_array().unwrap().len(), 1);
    assert_eq!(listed["waivers"][0]["leaf"], leaf);
    assert_eq!(
        listed["waivers"][0]["waiver"]["because"],
        "the witness was down"
    );
    // Nobody's documents changed.
    assert_eq!(epoch(), before);
    let refused = |text: &str, part: &str| {
        let problem = bring(&world, &running, "sim", text).unwrap_err();
        assert_eq!(
            (problem.check(), problem.status),
            (Some("document.waiver"), 403)
        );
        let detail = problem.detail.unwrap();
        assert!(detail.contains(part), "{detail}");
    };
    let stranger = SigningKey::from_seed(&[66; 32]).unwrap();
    refused(&signed(from, &stranger), "0 owners signed, 1 must");
    let mut mixed: Value = serde_json::from_str(&text).unwrap();
    let other: Value = serde_json::from_str(&signed(from + 1, &world.owner)).unwrap();
    mixed["payload"] = other["payload"].clone();
    refused(&mixed.to_string(), "does not hold");
    refused("{}", "it cannot be read");
    refused(&signed(world.now() + 600, &world.owner), "it has not begun");
    let unknown = bring(&world, &running, "nobody", &text).unwrap_err();
    assert_eq!(unknown.check(), Some("tenant.unknown"));
    let none = running.admin("POST", "/v1/waivers", &world.admin, text.as_bytes());
    assert_eq!(none.unwrap_err().check(), Some("request.malformed"));
}
