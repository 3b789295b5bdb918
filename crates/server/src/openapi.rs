//! The description of the HTTP API (OpenAPI 3.1), written beside the routes and held to them by a
//! test: what is served is described, and what is described is served.
//!
//! Describes; decides nothing.

use serde_json::{Map, Value, json};

/// One call.
struct Call {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Whether a token of the administrator or of the tenant is wanted.
    admin: bool,
    /// The schema of the body; empty where there is none.
    body: &'static str,
    /// Names of query parameters; a `!` at the end of a name: it must be there.
    query: &'static [&'static str],
    /// Media type and schema of the answer.
    answer: (&'static str, &'static str),
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

const fn get(
    path: &'static str,
    summary: &'static str,
    answer: (&'static str, &'static str),
) -> Call {
    Call {
        method: "get",
        path,
        summary,
        admin: false,
        body: "",
        query: &[],
        answer,
    }
}

const fn post(
    path: &'static str,
    summary: &'static str,
    body: &'static str,
    answer: &'static str,
) -> Call {
    Call {
        method: "post",
        body,
        ..get(path, summary, (JSON, answer))
    }
}

const fn owner(
    (method, path): (&'static str, &'static str),
    summary: &'static str,
    (query, body): (&'static [&'static str], &'static str),
    answer: &'static str,
) -> Call {
    Call {
        method,
        admin: true,
        body,
        query,
        ..get(path, summary, (JSON, answer))
    }
}

/// Every call.
const CALLS: &[Call] = &[
    post(
        "/v1/challenges",
        "A fresh challenge for a tenant.",
        "ChallengeRequest",
        "ChallengeAnswer",
    ),
    post(
        "/v1/appraisals",
        "Judges evidence. Accept: application/eat+jwt or application/eat+cwt asks for the token alone; Prefer: return=minimal for a verdict with a digest in the place of its threats and adversaries, without claims, and with those checks alone that did not pass.",
        "AttestRequest",
        "SignedAnswer",
    ),
    post(
        "/v1/releases",
        "Judges evidence and releases secrets, sealed to the key that the evidence is bound to. Prefer: return=minimal asks for a verdict with a digest in the place of its threats and adversaries, without claims, and with those checks alone that did not pass.",
        "AttestRequest",
        "SignedAnswer",
    ),
    owner(
        ("get", "/v1/documents/{kind}"),
        "The documents of a kind.",
        (&["tenant!"], ""),
        "Documents",
    ),
    owner(
        ("put", "/v1/documents/{kind}"),
        "Brings a document that the owners signed.",
        (&[], "Document"),
        "DocumentKept",
    ),
    owner(
        ("delete", "/v1/documents/{kind}"),
        "Takes a release rule or the reference values away; their versions never return.",
        (&["tenant!", "name"], ""),
        "Retired",
    ),
    owner(
        ("get", "/v1/secrets"),
        "Paths, versions and digests of manifests.",
        (&["tenant!"], ""),
        "Secrets",
    ),
    owner(
        ("put", "/v1/secrets"),
        "Brings a secret: manifest, encrypted payload, share.",
        (&[], "SecretUpload"),
        "SecretKept",
    ),
    owner(
        ("delete", "/v1/secrets"),
        "Deletes all versions of a secret.",
        (&["tenant!", "path!"], ""),
        "Deleted",
    ),
    post(
        "/v1/enrolments",
        "Verifies a TPM's EK certificate and makes a credential for its AK.",
        "EnrolmentRequest",
        "Object",
    ),
    post(
        "/v1/enrolments/{id}/activation",
        "Takes the TPM's answer; the TPM then waits for its owner.",
        "ActivationRequest",
        "Object",
    ),
    owner(
        ("get", "/v1/enrolments"),
        "Activated TPMs that the owner's registry does not name yet: maker, model, serial number, AK.",
        (&["tenant!"], ""),
        "Enrolments",
    ),
    owner(
        ("get", "/v1/tenants"),
        "The tenants that the token sees.",
        (&[], ""),
        "Tenants",
    ),
    owner(
        ("post", "/v1/tenants"),
        "Adds a tenant with its first owners.",
        (&[], "OwnerSet"),
        "TenantAdded",
    ),
    owner(
        ("get", "/v1/tenants/{tenant}/tokens"),
        "Names, roles and ends of the tokens of a tenant.",
        (&[], ""),
        "Tokens",
    ),
    owner(
        ("post", "/v1/tenants/{tenant}/tokens"),
        "Makes a token of a tenant, reader, operator or cluster, until expires (90 days when absent), and shows \
         it once.",
        (&[], "TokenRequest"),
        "TokenMade",
    ),
    owner(
        ("delete", "/v1/tenants/{tenant}/tokens"),
        "Takes a token away.",
        (&["name!"], ""),
        "Removed",
    ),
    owner(
        ("get", "/v1/verdicts"),
        "The newest verdicts; followed live by who accepts text/event-stream (events verdict, \
         closing, dropped, refused; Last-Event-ID resumes).",
        (&["tenant", "limit"], ""),
        "Verdicts",
    ),
    owner(
        ("get", "/v1/machines"),
        "Machines with their newest verdict; followed live as the verdicts are (event machine).",
        (&["tenant", "limit"], ""),
        "Machines",
    ),
    owner(
        ("get", "/v1/machines/{machine}/report"),
        "A machine's newest verdict, or that of a leaf, with everything that it depended on, signed \
         with the report key (zeuge.witness-report.v1).",
        (&["tenant!", "leaf"], ""),
        "Object",
    ),
    owner(
        ("get", "/v1/collateral/forecast"),
        "How machines of Intel's stand in both update channels, and from when they are refused.",
        (&["tenant"], ""),
        "Forecast",
    ),
    get(
        "/v1/witness",
        "What the witness says of itself.",
        (JSON, "About"),
    ),
    owner(
        ("get", "/v1/stops"),
        "Machines that get no secrets for now, and tenants as a whole.",
        (&["tenant!"], ""),
        "Stops",
    ),
    owner(
        ("post", "/v1/stops"),
        "Stops the secrets of the machines whose verdicts are these leaves, or with no leaves of the whole \
         tenant; adds to what the stop of this name holds. A cluster's token may name machines only.",
        (&["tenant!"], "StopRequest"),
        "StopMade",
    ),
    owner(
        ("delete", "/v1/stops"),
        "Lifts a stop. What owners signed counts again, and nothing else.",
        (&["tenant!", "name!"], ""),
        "StopLifted",
    ),
    owner(
        ("get", "/v1/waivers"),
        "The waivers of Kubernetes nodes that were written down, newest first.",
        (&["tenant!"], ""),
        "Waivers",
    ),
    owner(
        ("post", "/v1/waivers"),
        "Writes into the log, once, that owners signed a waiver of Kubernetes nodes (zeuge.waiver.v1); \
         acts on none.",
        (&["tenant!"], "Waiver"),
        "WaiverWritten",
    ),
    Call {
        body: "Text",
        ..post(
            "/v1/checkpoints",
            "Shows the witness a checkpoint or receipt of its log that somebody holds. One that it does \
             not continue halts it.",
            "Text",
            "Object",
        )
    },
    get(
        "/log/checkpoint",
        "The newest checkpoint (C2SP tlog-checkpoint).",
        (TEXT, "Text"),
    ),
    get(
        "/log/vkey",
        "The log's key (C2SP signed-note).",
        (TEXT, "Text"),
    ),
    get(
        "/log/tile/{path}",
        "A tile or a bundle of entries (C2SP tlog-tiles); the path has slashes.",
        ("application/octet-stream", "Text"),
    ),
    get(
        "/.well-known/jwks.json",
        "The keys of Attestation Results.",
        (JSON, "Jwks"),
    ),
    get(
        "/.well-known/openid-configuration",
        "Where those keys are, for federation.",
        (JSON, "Discovery"),
    ),
    get("/openapi.json", "This description.", (JSON, "Object")),
    get("/healthz", "The process answers.", (TEXT, "Text")),
    get("/readyz", "The witness can release.", (TEXT, "Text")),
    get(
        "/metrics",
        "Counters, durations and gauges (OpenMetrics 1.0).",
        ("application/openmetrics-text", "Text"),
    ),
];

/// The call that a route of the router serves, as the description has it.
#[must_use]
pub fn known(method: &axum::http::Method, route: &str) -> Option<(&'static str, &'static str)> {
    let route = if route.starts_with("/log/tile/") {
        "/log/tile/{path}"
    } else {
        route
    };
    let is_it =
        |call: &&Call| call.path == route && method.as_str().eq_ignore_ascii_case(call.method);
    CALLS
        .iter()
        .find(is_it)
        .map(|call| (call.method, call.path))
}

/// The description.
#[must_use]
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for call in CALLS {
        let entry = paths
            .entry(call.path.to_owned())
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(call.method.to_owned(), operation(call));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Zeuge: the witness",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every refusal is a problem (RFC 9457) whose type ends in the id of the \
                            check; zeuge policy explain ID says what it is about. Other paths are \
                            refused with 404, other methods with 405. What is no HTTP/1.1 is \
                            answered with 400 or 431 and no body, or closed; docs/limits.md has \
                            every limit.",
            "license": {"name": "Apache-2.0 or MIT"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    })
}

/// With what a call may be refused, and what that means; the check is in the problem's `type`.
fn refusals(call: &Call) -> Vec<(u16, &'static str)> {
    let mut all = vec![
        (400, "The request cannot be read, or contradicts itself."),
        (408, "The body did not arrive in time."),
        (413, "The body is longer than this path allows."),
        (415, "The body is encoded; it is taken as it is."),
        (
            429,
            "This source has as much under way as it may; see Retry-After.",
        ),
        (
            503,
            "The witness cannot do it now: it is busy, or its clock, store, log or a maker fails.",
        ),
    ];
    if call.admin {
        all.push((
            401,
            "No token, none of this witness, or one whose time is over.",
        ));
    }
    if call.admin || !call.body.is_empty() {
        all.push((
            403,
            "The token does not go so far, or what was sent is not believed.",
        ));
    }
    if call.path.starts_with("/v1/") || call.path.starts_with("/log/") {
        all.push((404, "There is no such thing, or no such tenant."));
    }
    all
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn operation(call: &Call) -> Value {
    let (media, schema) = call.answer;
    let mut content = json!({media: {"schema": reference(schema)}});
    if call.path == "/v1/appraisals" {
        for token in ["application/eat+cwt", "application/eat+jwt"] {
            content[token] = json!({"schema": reference("Text")});
        }
    }
    if matches!(call.path, "/v1/verdicts" | "/v1/machines") {
        content["text/event-stream"] = json!({"schema": reference("Text")});
    }
    let problem = json!({"application/problem+json": {"schema": reference("Problem")}});
    let mut parameters: Vec<Value> = call
        .query
        .iter()
        .map(|name| {
            let required = name.ends_with('!');
            let name = name.trim_end_matches('!');
            json!({"name": name, "in": "query", "required": required, "schema": {"type": "string"}})
        })
        .collect();
    if let Some((_, rest)) = call.path.split_once('{') {
        let name = rest.split('}').next().unwrap_or_default();
        parameters.push(
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
        );
    }
    let mut operation = json!({
        "summary": call.summary,
        "responses": {"200": {"description": "Done.", "content": content}},
    });
    for (status, because) in refusals(call) {
        let described = json!({"description": because, "content": problem});
        operation["responses"][status.to_string()] = described;
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if !call.body.is_empty() {
        let media = if call.body == "Text" { TEXT } else { JSON };
        let content = json!({media: {"schema": reference(call.body)}});
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    if call.admin {
        operation["security"] = json!([{"admin": []}]);
    }
    operation
}

/// An object whose members of these names must be there.
fn object(members: &[(&str, Value)]) -> Value {
    let names: Vec<_> = members.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "required": names, "properties": properties})
}

/// An object with members that may be absent.
fn with_optional(mut object: Value, members: &[(&str, Value)]) -> Value {
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, schema) in members {
            properties.insert((*name).to_owned(), schema.clone());
        }
    }
    object
}

fn problem_schema() -> Value {
    let text = || json!({"type": "string"});
    with_optional(
        object(&[
            ("type", text()),
            ("title", text()),
            ("status", json!({"type": "integer"})),
        ]),
        &[("detail", text()), ("found", text()), ("wanted", text())],
    )
}

fn token_request_schema() -> Value {
    with_optional(
        object(&[
            ("name", json!({"type": "string"})),
            ("role", json!({"enum": ["reader", "operator", "cluster"]})),
        ]),
        &[("expires", json!({"type": "integer"}))],
    )
}

fn document_schema() -> Value {
    let text = || json!({"type": "string"});
    let bytes = || json!({"type": "string", "contentEncoding": "base64url"});
    let number = || json!({"type": "integer"});
    let header = object(&[
        ("kind", text()),
        ("tenant", text()),
        ("name", text()),
        ("version", number()),
        ("issued", number()),
        ("expires", number()),
    ]);
    let signature = object(&[("key", text()), ("signature", bytes())]);
    object(&[
        ("header", header),
        ("payload", bytes()),
        ("signatures", list(signature)),
    ])
}

fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let bytes = || json!({"type": "string", "contentEncoding": "base64url"});
    let number = || json!({"type": "integer"});
    let request = json!({
        "type": "object",
        "description": "purpose (appraisal or release), secrets, suites, audience, context",
    });
    let mut all = json!({
        "Object": {"type": "object"},
        "Text": {"type": "string"},
        "Problem": problem_schema(),
        "ChallengeRequest": object(&[("tenant", text())]),
        "ChallengeAnswer": object(&[
            ("witness", text()),
            ("tenant", text()),
            ("nonce", bytes()),
            ("challenge", text()),
            ("expires", number()),
        ]),
        "AttestRequest": object(&[
            ("tenant", text()),
            ("challenge", text()),
            ("binding", bytes()),
            ("request", request),
            ("bundle", bytes()),
        ]),
        "EnrolmentRequest": object(&[
            ("tenant", text()),
            ("ek_certificate", bytes()),
            ("ek_public", bytes()),
            ("ak_public", bytes()),
        ]),
        "ActivationRequest": object(&[("answer", bytes())]),
        "SignedAnswer": object(&[
            ("witness", text()),
            ("payload", bytes()),
            ("signature", bytes()),
        ]),
        "Document": document_schema(),
        "OwnerSet": object(&[
            ("tenant", text()),
            ("threshold", number()),
            ("owners", json!({"type": "array", "items": object(&[
                ("person", text()),
                ("public_key", bytes()),
            ])})),
        ]),
        "TokenRequest": token_request_schema(),
        "SecretUpload": object(&[
            ("manifest", reference("Document")),
            ("payload", bytes()),
            ("share", bytes()),
        ]),
        "StopRequest": with_optional(
            object(&[("name", text()), ("because", text())]),
            &[("leaves", list(number()))],
        ),
        "Waiver": object(&[("payload", bytes()), ("signatures", list(json!({"type": "object"})))]),
    });
    if let (Some(all), Value::Object(answers)) = (all.as_object_mut(), answers()) {
        all.extend(answers);
    }
    all
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

/// The schemas of answers to the owner's side, and of what a witness says of itself.
fn answers() -> Value {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer"});
    let any = || json!({"type": "object"});
    let version = || [("name", text()), ("version", number())];
    let document = object(&[
        ("name", text()),
        ("version", number()),
        ("document", reference("Document")),
    ]);
    let secret = object(&[("path", text()), ("version", number()), ("digest", text())]);
    let token = || [("name", text()), ("role", text()), ("expires", number())];
    let row = || {
        [
            ("leaf", number()),
            ("time", number()),
            ("tenant", text()),
            ("machine", text()),
            ("word", text()),
        ]
    };
    let with =
        |members: &[(&str, Value)], more: &[(&str, Value)]| object(&[members, more].concat());
    json!({
        "About": object(&[
            ("witness", text()),
            ("answer_key", text()),
            ("log_vkey", text()),
            ("issuer", text()),
        ]),
        "Deleted": object(&[("deleted", number())]),
        "Discovery": object(&[("issuer", text()), ("jwks_uri", text())]),
        "DocumentKept": with(&version(), &[("tenant", text()), ("kind", text())]),
        "Documents": object(&[
            ("epoch", number()),
            ("documents", list(document)),
            ("retired", list(object(&version()))),
        ]),
        "Enrolments": object(&[("enrolments", list(any()))]),
        "Forecast": object(&[("machines", list(any()))]),
        "Jwks": object(&[("keys", list(any()))]),
        "Machines": object(&[("machines", list(with(&row(), &[("verdicts", number())])))]),
        "Removed": object(&[("removed", number())]),
        "Retired": object(&[("retired", number())]),
        "SecretKept": object(&[("tenant", text()), ("path", text()), ("version", number())]),
        "Secrets": object(&[("secrets", list(secret))]),
        "StopLifted": object(&[("tenant", text()), ("name", text()), ("lifted", number())]),
        "StopMade": object(&[
            ("tenant", text()),
            ("name", text()),
            ("new", number()),
            ("unknown", list(number())),
        ]),
        "Stops": object(&[("stops", list(any()))]),
        "TenantAdded": object(&[("tenant", text())]),
        "Tenants": object(&[("tenants", list(text()))]),
        "TokenMade": with(&token(), &[("tenant", text()), ("token", text())]),
        "Tokens": object(&[("tokens", list(object(&token())))]),
        "Waivers": object(&[("waivers", list(any()))]),
        "WaiverWritten": object(&[("tenant", text()), ("digest", text()), ("leaf", number())]),
        "Verdicts": object(&[("verdicts", list(with(&row(), &[
            ("released", list(text())),
            ("verdict", any()),
        ])))]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_the_router_serves_is_described_and_what_is_described_is_served() {
        // Path and method as the router's source writes them.
        let source = include_str!("http.rs");
        let router = source.split("pub fn router").nth(1).unwrap();
        let router = router.split("\n}\n").next().unwrap();
        let mut served = BTreeSet::new();
        for route in router.split(".route(").skip(1) {
            let path = route.split('"').nth(1).unwrap().replace("{*", "{");
            let calls = route.split(".layer(").next().unwrap();
            for method in ["get", "put", "post", "delete", "patch"] {
                let called =
                    calls.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                if called.into_iter().any(|word| word == method) {
                    served.insert((path.clone(), method.to_owned()));
                }
            }
        }
        let document = document();
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, calls)| {
                let calls = calls.as_object().unwrap().keys();
                calls.map(|method| (path.clone(), method.clone()))
            })
            .collect();
        assert_eq!(served, described);
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let document = document();
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
    }
}
