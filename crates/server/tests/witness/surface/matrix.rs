//! Who may call what: every call of the served description × every role × every tenant. A call
//! without a row here fails, and so does a row without a call.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use zeuge_protocol::api::Problem;
use zeuge_protocol::document::Kind;

use crate::common::{Running, World, rule};

/// Whom a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Everybody.
    Everybody,
    /// Everybody with a token, who sees the own tenant's part.
    Holders,
    /// The tenant's readers and operators, and no cluster's controller.
    Readers,
    /// The tenant's operators.
    Operators,
    /// The tenant's operators and its clusters.
    Tighteners,
    /// The administrator.
    Administrator,
}

/// Every call.
const ROWS: &[(&str, &str, For)] = &[
    ("get", "/.well-known/jwks.json", For::Everybody),
    ("get", "/.well-known/openid-configuration", For::Everybody),
    ("get", "/healthz", For::Everybody),
    ("get", "/log/checkpoint", For::Everybody),
    ("get", "/log/tile/{path}", For::Everybody),
    ("get", "/log/vkey", For::Everybody),
    ("get", "/metrics", For::Everybody),
    ("get", "/openapi.json", For::Everybody),
    ("get", "/readyz", For::Everybody),
    ("post", "/v1/appraisals", For::Everybody),
    ("post", "/v1/challenges", For::Everybody),
    ("post", "/v1/checkpoints", For::Everybody),
    ("get", "/v1/collateral/forecast", For::Readers),
    ("delete", "/v1/documents/{kind}", For::Operators),
    ("get", "/v1/documents/{kind}", For::Readers),
    ("put", "/v1/documents/{kind}", For::Operators),
    ("get", "/v1/enrolments", For::Readers),
    ("post", "/v1/enrolments", For::Everybody),
    ("post", "/v1/enrolments/{id}/activation", For::Everybody),
    ("get", "/v1/machines", For::Readers),
    ("get", "/v1/machines/{machine}/report", For::Readers),
    ("post", "/v1/releases", For::Everybody),
    ("delete", "/v1/secrets", For::Operators),
    ("get", "/v1/secrets", For::Readers),
    ("put", "/v1/secrets", For::Operators),
    ("delete", "/v1/stops", For::Operators),
    ("get", "/v1/stops", For::Readers),
    ("post", "/v1/stops", For::Tighteners),
    ("get", "/v1/tenants", For::Holders),
    ("post", "/v1/tenants", For::Administrator),
    ("delete", "/v1/tenants/{tenant}/tokens", For::Administrator),
    ("get", "/v1/tenants/{tenant}/tokens", For::Administrator),
    ("post", "/v1/tenants/{tenant}/tokens", For::Administrator),
    ("get", "/v1/verdicts", For::Readers),
    ("get", "/v1/waivers", For::Readers),
    ("post", "/v1/waivers", For::Tighteners),
    ("get", "/v1/witness", For::Everybody),
];

/// Who asks: a name, the token, and of which tenant and role it is.
struct Who {
    name: &'static str,
    token: Option<String>,
    of: Option<(&'static str, &'static str)>,
    is_administrator: bool,
}

/// The tenants that are asked about; the last there is not.
const TENANTS: [&str; 3] = ["sim", "acme", "nobody"];

fn callers(world: &World, running: &Running) -> Vec<Who> {
    let token = |tenant: &str, name: &str, role: &str, expires: Option<i64>| {
        let at = format!("/v1/tenants/{tenant}/tokens");
        let wanted = json!({"name": name, "role": role, "expires": expires}).to_string();
        let made = running.admin("POST", &at, &world.admin, wanted.as_bytes());
        let made: Value = serde_json::from_slice(&made.unwrap()).unwrap();
        Some(made["token"].as_str().unwrap().to_owned())
    };
    let who = |name, token, of| Who {
        name,
        token,
        of,
        is_administrator: false,
    };
    let mut all = vec![
        who("nobody", None, None),
        who("a guess", Some("guess".to_owned()), None),
        who("a token of OpenID Connect", Some("a.b.c".to_owned()), None),
    ];
    let ended = token("acme", "ended", "operator", Some(world.now() + 5));
    world.pass(5);
    all.push(who("a token whose time is over", ended, None));
    let removed = token("acme", "removed", "operator", None);
    let at = "/v1/tenants/acme/tokens?name=removed";
    running.admin("DELETE", at, &world.admin, b"").unwrap();
    all.push(who("a token that was taken away", removed, None));
    for tenant in ["sim", "acme"] {
        for (role, name) in [
            ("reader", "a reader"),
            ("operator", "an operator"),
            ("cluster", "a cluster"),
        ] {
            all.push(who(
                name,
                token(tenant, role, role, None),
                Some((tenant, role)),
            ));
        }
    }
    all.push(Who {
        is_administrator: true,
        ..who("the administrator", Some(world.admin.clone()), None)
    });
    all
}

/// The request of a call about a tenant, good enough to come as far as the token.
fn request(world: &World, method: &str, path: &str, tenant: &str) -> (String, Vec<u8>) {
    let at = path
        .replace("{kind}", "release-rule")
        .replace("{tenant}", tenant)
        .replace("{id}", "00")
        .replace("{machine}", "none")
        .replace("{path}", "0/000");
    let body = match (method, path) {
        ("post", "/v1/tenants") => serde_json::to_vec(&world.owners(tenant)),
        ("post", "/v1/tenants/{tenant}/tokens") => {
            serde_json::to_vec(&json!({"name": "more", "role": "reader"}))
        }
        ("put", "/v1/secrets") => {
            serde_json::to_vec(&world.upload(tenant, "db/key", 1, &world.owner))
        }
        ("put", _) => {
            let text = rule(tenant, "db/key");
            let kind = Kind::ReleaseRule;
            serde_json::to_vec(&world.document(kind, tenant, "db/key", 1, &text))
        }
        ("post", "/v1/challenges") => serde_json::to_vec(&json!({"tenant": tenant})),
        _ => Ok(Vec::new()),
    };
    let query = match (method, path) {
        ("delete", "/v1/tenants/{tenant}/tokens") => "?name=nobody".to_owned(),
        ("delete", "/v1/stops") => format!("?tenant={tenant}&name=nobody"),
        ("get", "/v1/tenants" | "/v1/tenants/{tenant}/tokens") => String::new(),
        ("delete", _) => format!("?tenant={tenant}&path=no/such&name=no/such"),
        ("get", _) | ("post", "/v1/stops" | "/v1/waivers") => format!("?tenant={tenant}"),
        _ => String::new(),
    };
    (format!("{at}{query}"), body.unwrap())
}

/// Whether the token kept the request out: its status, where it did.
fn kept_out(answer: &Result<Vec<u8>, Box<Problem>>) -> Option<u16> {
    let problem = answer.as_ref().err()?;
    let check = problem.check()?;
    match (check, problem.status) {
        ("admin.token" | "admin.token.expired", 401) | ("admin.role", 403) => Some(problem.status),
        _ => None,
    }
}

/// With which status a caller must be kept out; nothing where it must not.
fn wanted(whom: For, who: &Who, tenant: &str) -> Option<u16> {
    if whom == For::Everybody || who.is_administrator {
        return None;
    }
    let Some((own, role)) = who.of else {
        return Some(401);
    };
    let may = match whom {
        For::Everybody | For::Holders => true,
        For::Readers => own == tenant && role != "cluster",
        For::Tighteners => own == tenant && role != "reader",
        For::Operators => own == tenant && role == "operator",
        For::Administrator => false,
    };
    (!may).then_some(403)
}

#[test]
fn every_call_lets_in_exactly_those_whom_its_row_names() {
    let world = World::new();
    let running = world.start();
    let document = running.get("/openapi.json").unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let calls = document["paths"].as_object().unwrap().iter();
    let calls = calls.flat_map(|(path, calls)| {
        let methods = calls.as_object().unwrap().keys();
        methods.map(|method| (method.clone(), path.clone()))
    });
    let rows: BTreeMap<_, _> = ROWS
        .iter()
        .map(|(method, path, whom)| (((*method).to_owned(), (*path).to_owned()), *whom))
        .collect();
    let listed: BTreeSet<_> = rows.keys().cloned().collect();
    assert_eq!(
        listed,
        calls.collect(),
        "a call without a row, or a row without a call"
    );
    assert_eq!(rows.len(), ROWS.len(), "a call has two rows");
    let callers = callers(&world, &running);
    let mut cells = 0;
    for ((method, path), whom) in &rows {
        for who in &callers {
            for tenant in TENANTS {
                let (at, body) = request(&world, method, path, tenant);
                let token = who.token.as_deref();
                let answer = running.send(&method.to_uppercase(), &at, token, &body);
                assert_eq!(
                    kept_out(&answer),
                    wanted(*whom, who, tenant),
                    "{} {:?}: {method} {at}: {:?}",
                    who.name,
                    who.of,
                    answer.err()
                );
                cells += 1;
            }
        }
    }
    assert_eq!(cells, ROWS.len() * callers.len() * TENANTS.len());
    // What is described as wanting a token is what somebody is kept out of.
    for ((method, path), whom) in &rows {
        let is_guarded = document["paths"][path][method]["security"].is_array();
        assert_eq!(is_guarded, *whom != For::Everybody, "{method} {path}");
    }
}

#[test]
fn whoever_holds_a_token_sees_the_own_tenant_alone_when_none_is_named() {
    let world = World::new();
    let running = world.start();
    for who in callers(&world, &running) {
        let Some((own, role)) = who.of else { continue };
        let token = who.token.as_deref();
        let reads = role != "cluster";
        let seen = running.send("GET", "/v1/tenants", token, b"").unwrap();
        let seen: Value = serde_json::from_slice(&seen).unwrap();
        let wanted = if reads { json!([own]) } else { json!([]) };
        assert_eq!(seen["tenants"], wanted);
        for at in ["/v1/verdicts", "/v1/machines", "/v1/collateral/forecast"] {
            let answer = running.send("GET", at, token, b"");
            assert_eq!(kept_out(&answer), (!reads).then_some(403), "{at}");
        }
    }
}
