//! Tokens of one tenant: what each role may, and nothing of another tenant.

use serde_json::{Value, json};
use zeuge_protocol::api::Problem;
use zeuge_protocol::document::Kind;
use zeuge_protocol::keys::SigningKey;

use crate::common::{Running, World, name, rule};

fn id<T: std::fmt::Debug>(refused: Result<T, Box<Problem>>) -> String {
    refused.unwrap_err().check().unwrap().to_owned()
}

fn call(
    running: &Running,
    (method, at): (&str, &str),
    token: &str,
    body: &Value,
) -> Result<Value, Box<Problem>> {
    let body = serde_json::to_vec(body).unwrap();
    let answer = running.admin(method, at, token, &body)?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

/// A new token of a tenant.
fn token(world: &World, running: &Running, tenant: &str, role: &str) -> String {
    let at = format!("/v1/tenants/{tenant}/tokens");
    let wanted = json!({"name": role, "role": role});
    let made = call(running, ("POST", &at), &world.admin, &wanted).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_opens_its_tenant_alone_and_goes_as_far_as_its_role() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    world.furnish(&running, "acme");
    let reader = token(&world, &running, "acme", "reader");
    let operator = token(&world, &running, "acme", "operator");
    let ask = |call_at: (&str, &str), token: &str| call(&running, call_at, token, &Value::Null);
    for at in [
        "/v1/documents/release-rule?tenant=acme",
        "/v1/secrets?tenant=acme",
        "/v1/verdicts",
        "/v1/machines?tenant=acme",
    ] {
        ask(("GET", at), &reader).unwrap();
        let other = at
            .replace("acme", "sim")
            .replace("verdicts", "verdicts?tenant=sim");
        assert_eq!(id(ask(("GET", &other), &reader)), "admin.role");
        assert_eq!(id(ask(("GET", &other), &operator)), "admin.role");
        assert_eq!(id(ask(("GET", at), "guess")), "admin.token");
    }
    let seen = ask(("GET", "/v1/tenants"), &reader).unwrap();
    assert_eq!(seen["tenants"], json!(["acme"]));
    // What an operator brings is signed by the owner all the same.
    let put = |tenant: &str, token: &str, signer: &SigningKey| {
        let text = rule(tenant, "db/key");
        let mut document = world.document(Kind::ReleaseRule, tenant, "db/key", 2, &text);
        document.signatures.clear();
        document.sign(signer);
        let body = serde_json::to_value(&document).unwrap();
        call(
            &running,
            ("PUT", "/v1/documents/release-rule"),
            token,
            &body,
        )
    };
    let stranger = SigningKey::from_seed(&[1; 32]).unwrap();
    assert_eq!(id(put("acme", &reader, &world.owner)), "admin.role");
    assert_eq!(id(put("sim", &operator, &world.owner)), "admin.role");
    assert_eq!(id(put("acme", &operator, &stranger)), "document.threshold");
    put("acme", &operator, &world.owner).unwrap();
    let delete = ("DELETE", "/v1/secrets?tenant=acme&path=db/key");
    assert_eq!(id(ask(delete, &reader)), "admin.role");
    let elsewhere = ("DELETE", "/v1/secrets?tenant=sim&path=db/key");
    assert_eq!(id(ask(elsewhere, &operator)), "admin.role");
    ask(delete, &operator).unwrap();
    // Nobody but the administrator makes tokens or tenants.
    let tokens = "/v1/tenants/acme/tokens";
    let more = json!({"name": "more", "role": "operator"});
    for at in [tokens, "/v1/tenants"] {
        let made = call(&running, ("POST", at), &operator, &more);
        assert_eq!(id(made), "admin.role");
    }
    // A token that was taken away is none, also after a restart.
    let listed = ask(("GET", tokens), &world.admin).unwrap();
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(&operator));
    let remove = ("DELETE", "/v1/tenants/acme/tokens?name=operator");
    ask(remove, &world.admin).unwrap();
    assert_eq!(id(ask(remove, &world.admin)), "admin.token");
    drop(running);
    let running = world.start();
    let at = ("GET", "/v1/verdicts");
    assert_eq!(
        id(call(&running, at, &operator, &Value::Null)),
        "admin.token"
    );
    call(&running, at, &reader, &Value::Null).unwrap();
    assert_eq!(
        crate::common::found_in(&world.data(), reader.as_bytes()),
        None
    );
}

#[test]
fn a_tenant_is_made_once_with_the_owners_that_it_keeps() {
    let world = World::new();
    let running = world.start();
    let owner = SigningKey::from_seed(&[33; 32]).unwrap();
    let mut owners = world.owners("late");
    owners.owners[0].public_key = owner.public();
    let body = serde_json::to_value(&owners).unwrap();
    let add = || call(&running, ("POST", "/v1/tenants"), &world.admin, &body);
    add().unwrap();
    assert_eq!(id(add()), "tenant.exists");
    assert_eq!(running.challenge("late").tenant, name("late"));
    let stranger = world.put_secret(&running, "late", "db/key", 1, &world.owner);
    assert_eq!(id(stranger), "manifest.signature");
    world
        .put_secret(&running, "late", "db/key", 1, &owner)
        .unwrap();
    // What OpenID Connect would send is refused by name.
    let foreign = call(
        &running,
        ("GET", "/v1/tenants"),
        "aaa.bbb.ccc",
        &Value::Null,
    );
    let foreign = foreign.unwrap_err();
    assert_eq!(foreign.check(), Some("admin.token"));
    assert!(foreign.detail.unwrap().contains("OpenID Connect"));
}

#[test]
fn calls_that_come_later_are_refused_by_name() {
    let world = World::new();
    let running = world.start();
    for (at, word) in [
        ("/v1/hardware", "hardware-registry"),
        ("/v1/appraisals:replay", "not in this version"),
        ("/v1/else", "nothing under this path"),
    ] {
        let problem = running.send("POST", at, None, b"{}").unwrap_err();
        assert_eq!(
            (problem.check(), problem.status),
            (Some("request.malformed"), 404)
        );
        let because = problem.detail.unwrap();
        assert!(because.contains(word), "{at}: {because}");
    }
}

#[test]
fn a_token_ends_by_itself_and_says_when() {
    let world = World::new();
    let running = world.start();
    let at = ("POST", "/v1/tenants/acme/tokens");
    let make = |name: &str, expires: Option<i64>| {
        let wanted = json!({"name": name, "role": "reader", "expires": expires});
        call(&running, at, &world.admin, &wanted)
    };
    const DAY: i64 = 86_400;
    let now = world.now();
    for wrong in [now - 1, now, now + 366 * DAY + 1] {
        assert_eq!(id(make("wrong", Some(wrong))), "request.malformed");
    }
    let quarter = make("quarter", None).unwrap();
    assert_eq!(quarter["expires"], json!(now + 90 * DAY));
    let day = make("day", Some(now + DAY)).unwrap();
    let list = |token: &Value| {
        let token = token["token"].as_str().unwrap();
        call(&running, ("GET", "/v1/verdicts"), token, &Value::Null)
    };
    world.pass(DAY - 1);
    list(&day).unwrap();
    world.pass(1);
    let over = list(&day).unwrap_err();
    assert_eq!(
        (over.check(), over.status),
        (Some("admin.token.expired"), 401)
    );
    list(&quarter).unwrap();
    let tokens = ("GET", "/v1/tenants/acme/tokens");
    let listed = call(&running, tokens, &world.admin, &Value::Null).unwrap();
    let wanted = json!([
        {"name": "day", "role": "reader", "expires": now + DAY},
        {"name": "quarter", "role": "reader", "expires": now + 90 * DAY},
    ]);
    assert_eq!(listed["tokens"], wanted);
    // A clock that cannot be believed does not make a token good.
    running
        .wall
        .store(-31, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(id(list(&day)), "time.jump");
}
