//! Requests that no honest client sends: bodies of every size, nesting, encodings, heads, paths,
//! HTTP/2. Each is answered as documented or its connection closed, and the witness goes on.

use std::time::Duration;

use zeuge_server::limits::{HEAD_BYTES_MAX, HEADERS_MAX, body_max};

use crate::common::World;
use crate::surface::served::{Served, attest, raw, status};

const PATIENCE: Duration = Duration::from_secs(3);

/// The method that takes a body on a path.
fn method(at: &str) -> &str {
    if at == "/v1/secrets" { "PUT" } else { "POST" }
}

fn post(at: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let method = method(at);
    let head = format!(
        "{method} {at} HTTP/1.1\r\nhost: w1\r\nconnection: close\r\n{fields}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The check that refused, by the answer's body.
fn check(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let (_, body) = text.split_once("\r\n\r\n")?;
    let problem: zeuge_protocol::api::Problem = serde_json::from_str(body).ok()?;
    Some(problem.check()?.to_owned())
}

#[test]
fn bodies_of_every_size_up_to_the_limit_are_read_and_none_beyond() {
    let world = World::new();
    let served = Served::start(&world, &["--offline"]);
    let to = served.client.0;
    for at in [
        "/v1/challenges",
        "/v1/releases",
        "/v1/enrolments",
        "/v1/secrets",
    ] {
        let max = body_max(at);
        for (length, wanted) in [
            (0, 400),
            (1, 400),
            (max / 2, 400),
            (max, 400),
            (max + 1, 413),
            (max * 2, 413),
        ] {
            let wanted = if at == "/v1/secrets" && wanted == 400 {
                401
            } else {
                wanted
            };
            let answer = raw(to, &post(at, "", &vec![b' '; length]), PATIENCE);
            assert_eq!(status(&answer), Some(wanted), "{at}: {length}");
        }
        let method = method(at);
        // The length is not told, but counted; or told, and never sent.
        let piece = format!("{max:x}\r\n{}\r\n1\r\n \r\n0\r\n\r\n", " ".repeat(max));
        let head = format!(
            "{method} {at} HTTP/1.1\r\nhost: w1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let answer = raw(to, &[head.as_bytes(), piece.as_bytes()].concat(), PATIENCE);
        assert_eq!(status(&answer), Some(413), "{at}: in pieces");
        let lie =
            format!("{method} {at} HTTP/1.1\r\nhost: w1\r\ncontent-length: 99999999999\r\n\r\n");
        let answer = raw(to, lie.as_bytes(), PATIENCE);
        assert_eq!(
            (status(&answer), check(&answer).as_deref()),
            (Some(413), Some("request.malformed")),
            "{at}: a length alone"
        );
    }
    let (_, peak) = served.memory_mib();
    assert!(peak < 200, "{peak} MiB");
}

#[test]
fn nested_json_and_cbor_are_refused_at_their_depth() {
    let (_world, served) = Served::furnished(&["--offline"]);
    let to = served.client.0;
    let deep = 400_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let body = format!("{}1{}", open.repeat(deep), close.repeat(deep));
        for at in ["/v1/releases", "/v1/appraisals"] {
            let answer = raw(to, &post(at, "", body.as_bytes()), PATIENCE);
            assert_eq!(check(&answer).as_deref(), Some("request.malformed"), "{at}");
            let inside = format!("{{\"tenant\":\"sim\",\"challenge\":\"x\",\"request\":{body}}}");
            let answer = raw(to, &post(at, "", inside.as_bytes()), PATIENCE);
            let refused = check(&answer);
            assert!(refused.is_some(), "{at}: {:?}", status(&answer));
        }
    }
    // As a bundle and as a binding: an array in an array in an array.
    for nested in [vec![0x81; deep], vec![0x9f; deep], vec![0xd8; deep]] {
        let challenge = served.client.challenge("sim");
        let request = crate::common::release_of(&["db/key"]);
        let suite = zeuge_protocol::suite::Suite::X_WING;
        let attempt = crate::common::Attempt::new(challenge, request, suite);
        let mut body = attempt.body(&zeuge_protocol::bundle::Bundle::new());
        body.bundle = nested;
        let refused = served.client.attest(&body).unwrap_err();
        assert!(refused.status == 400, "{refused:?}");
    }
    assert!(attest(served.client).is_some());
}

#[test]
fn nothing_that_is_sent_is_unpacked() {
    let world = World::new();
    let served = Served::start(&world, &["--offline"]);
    let to = served.client.0;
    for encoding in ["gzip", "br", "zstd", "deflate", "identity, gzip"] {
        let fields = format!("content-encoding: {encoding}\r\n");
        let answer = raw(
            to,
            &post("/v1/releases", &fields, b"\x1f\x8b\x08"),
            PATIENCE,
        );
        assert_eq!(
            (status(&answer), check(&answer).as_deref()),
            (Some(415), Some("request.malformed")),
            "{encoding}"
        );
    }
    // As an encoding of the transfer it is no HTTP that is spoken here.
    let gzip = "POST /v1/releases HTTP/1.1\r\nhost: w1\r\ntransfer-encoding: gzip\r\n\r\n\x1f";
    assert!(matches!(
        status(&raw(to, gzip.as_bytes(), PATIENCE)),
        Some(400) | None
    ));
    // Nor is an answer packed, whatever is accepted.
    let accept = "GET /openapi.json HTTP/1.1\r\nhost: w1\r\naccept-encoding: gzip, br\r\n\
                  connection: close\r\n\r\n";
    let answer = raw(to, accept.as_bytes(), PATIENCE);
    let text = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(!text.contains("content-encoding"), "{text}");
}

/// A request, and the statuses with which it may be answered.
type Trick = (String, &'static [u16]);

/// A GET of a target with these fields.
fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: w1\r\nconnection: close\r\n{fields}\r\n")
}

/// Paths that lead nowhere, and fields that open nothing.
fn paths() -> Vec<Trick> {
    let nowhere: &'static [u16] = &[404];
    let none: &'static [u16] = &[400];
    vec![
        (get("//v1/secrets", ""), nowhere),
        (get("/v1/./secrets", ""), nowhere),
        (get("/healthz/../v1/secrets", ""), nowhere),
        (get("/v1/%73ecrets", ""), nowhere),
        (get("/v1/secrets%00", ""), nowhere),
        (get("/v1/secrets/", ""), nowhere),
        (get("/V1/SECRETS", ""), nowhere),
        (get("/log/tile/../../keys/log.1", ""), nowhere),
        (get("/log/tile/0/..%2f..%2fcheckpoint", ""), nowhere),
        (get("/log/tile/%2e%2e/%2e%2e/zeuge.sqlite", ""), nowhere),
        (
            get(
                "/v1/secrets?tenant=sim",
                "x-http-method-override: DELETE\r\n",
            ),
            &[401],
        ),
        (
            get("/v1/secrets?tenant=sim", "authorization: Bearer\r\n"),
            &[401],
        ),
        (
            get("/v1/secrets?tenant=sim", "authorization: Basic YTpi\r\n"),
            &[401],
        ),
        (
            get("/v1/secrets?tenant=sim", "x-original-url: /healthz\r\n"),
            &[401],
        ),
        (
            get(
                "/v1/verdicts?limit=99999999999",
                "authorization: Bearer x\r\n",
            ),
            none,
        ),
    ]
}

/// Heads that are no request.
fn heads() -> Vec<Trick> {
    let long = "a".repeat(HEAD_BYTES_MAX);
    let many = "x: y\r\n".repeat(HEADERS_MAX);
    let none: &'static [u16] = &[400];
    vec![
        (get(&format!("/{long}"), ""), &[414, 431]),
        (get("/healthz", &format!("x: {long}\r\n")), &[431]),
        (get("/healthz", &many), &[431]),
        (get("/healthz", "bad name: x\r\n"), none),
        (get("/healthz", "x: a\u{0}b\r\n"), none),
        (
            get("/healthz", "content-length: 1\r\ncontent-length: 2\r\n"),
            none,
        ),
        (get("/healthz", "content-length: -1\r\n"), none),
        (get("/healthz", "content-length: +1\r\n"), none),
        (
            get("/healthz", "transfer-encoding: chunked, identity\r\n"),
            none,
        ),
        ("GET /healthz HTTP/9.9\r\n\r\n".to_owned(), none),
        ("GET\r\n\r\n".to_owned(), none),
        ("\u{16}\u{3}\u{1}\u{0}\r\n\r\n".to_owned(), none),
        (
            "TRACE /healthz HTTP/1.1\r\nhost: w1\r\nconnection: close\r\n\r\n".to_owned(),
            &[405],
        ),
        (
            "CONNECT w1:443 HTTP/1.1\r\nhost: w1\r\nconnection: close\r\n\r\n".to_owned(),
            &[400, 404, 405],
        ),
        (
            "DELETE /v1/witness HTTP/1.1\r\nhost: w1\r\nconnection: close\r\n\r\n".to_owned(),
            &[405],
        ),
        (
            "BREW /healthz HTTP/1.1\r\nhost: w1\r\nconnection: close\r\n\r\n".to_owned(),
            &[405],
        ),
        (
            "POST /v1/challenges HTTP/1.1\r\nhost: w1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
                .to_owned(),
            none,
        ),
    ]
}

#[test]
fn heads_and_paths_that_trick_others_lead_nowhere() {
    let (_world, served) = Served::furnished(&["--offline"]);
    for (request, wanted) in paths().into_iter().chain(heads()) {
        let answer = raw(served.client.0, request.as_bytes(), PATIENCE);
        let found = status(&answer);
        let shown: String = request.chars().take(80).collect();
        assert!(
            found.is_some_and(|found| wanted.contains(&found)),
            "{shown:?}: {found:?}, wanted {wanted:?}"
        );
    }
    // One body with two lengths is one request and no second one.
    let smuggled = "POST /v1/challenges HTTP/1.1\r\nhost: w1\r\ncontent-length: 60\r\n\
                    transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/witness HTTP/1.1\r\n\
                    host: w1\r\nx: y\r\n\r\n";
    let answer = raw(served.client.0, smuggled.as_bytes(), PATIENCE);
    let text = String::from_utf8_lossy(&answer);
    assert!(!text.contains("answer_key"), "{text}");
    assert!(attest(served.client).is_some());
}

#[test]
fn http2_is_refused_before_there_is_a_stream_to_reset() {
    let world = World::new();
    let served = Served::start(&world, &["--offline"]);
    let mut rapid = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in 0..20_000_u32 {
        let stream = stream * 2 + 1;
        // HEADERS of GET /, then RST_STREAM.
        rapid.extend_from_slice(&[0, 0, 3, 1, 5]);
        rapid.extend_from_slice(&stream.to_be_bytes());
        rapid.extend_from_slice(&[0x82, 0x84, 0x86]);
        rapid.extend_from_slice(&[0, 0, 4, 3, 0]);
        rapid.extend_from_slice(&stream.to_be_bytes());
        rapid.extend_from_slice(&[0, 0, 0, 8]);
    }
    for _ in 0..20 {
        let answer = raw(served.client.0, &rapid, PATIENCE);
        assert!(matches!(status(&answer), Some(400 | 505) | None));
        assert!(!answer.starts_with(b"\0\0"), "frames were answered");
    }
    let upgrade = "GET /healthz HTTP/1.1\r\nhost: w1\r\nconnection: upgrade, http2-settings, close\r\n\
                   upgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    let answer = raw(served.client.0, upgrade.as_bytes(), PATIENCE);
    assert_eq!(status(&answer), Some(200), "HTTP/1.1 goes on");
    let (_, peak) = served.memory_mib();
    assert!(peak < 120, "{peak} MiB");
}
