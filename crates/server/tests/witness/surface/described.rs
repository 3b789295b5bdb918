//! Whether the real process answers as its description says: of every call, under every role, with
//! valid, missing, wrong and monstrous parameters and bodies. No status, media type or shape that
//! is not described; never a 500.
//!
//! Generated from `/openapi.json` as it is served, so a call that is described is a call that is
//! tried. `make test-openapi` asks schemathesis the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::World;
use crate::surface::served::{Served, status};

/// Random words that are the same every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below).unwrap()).unwrap()
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.next(all.len())].clone()
    }
}

/// Texts that somebody might have forgotten.
fn odd_texts() -> Vec<Value> {
    let long = "a".repeat(3000);
    [
        "",
        " ",
        "sim",
        "acme",
        "nobody",
        "..",
        "a/../b",
        "\0",
        "ü",
        "\u{202e}",
        "%00",
        "'; DROP TABLE",
        "-1",
        "9223372036854775808",
        "AAAA",
        "AAA",
        "null",
        &long,
    ]
    .iter()
    .map(|text| json!(text))
    .collect()
}

fn odd_values() -> Vec<Value> {
    let mut all = odd_texts();
    all.extend([
        json!(null),
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(1.5e300),
        json!([]),
        json!([[[[]]]]),
        json!({}),
        json!({"a": {"b": {"c": 1}}}),
    ]);
    all
}

struct Described {
    document: Value,
}

impl Described {
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            None => schema,
            Some(reference) => self
                .document
                .pointer(reference.trim_start_matches('#'))
                .unwrap_or_else(|| panic!("{reference} leads nowhere")),
        }
    }

    /// Why a value is not of a schema.
    fn differs(&self, schema: &Value, value: &Value) -> Option<String> {
        let schema = self.resolve(schema);
        let is_of = |kind: &str| match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("{other}: a type that this test does not know"),
        };
        if let Some(kind) = schema["type"].as_str()
            && !is_of(kind)
        {
            return Some(format!("{value} is no {kind}"));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            return Some(format!("{value} is none of {allowed:?}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            if value.get(name).is_none() {
                return Some(format!("{name} is missing in {value}"));
            }
        }
        let members = schema["properties"].as_object().into_iter().flatten();
        let members = members.filter_map(|(name, schema)| Some((schema, value.get(name)?)));
        let items = value.as_array().into_iter().flatten();
        let items = items.map(|item| (&schema["items"], item));
        let mut parts = members.chain(items);
        parts.find_map(|(schema, part)| self.differs(schema, part))
    }

    /// A value of a schema; with `odd` some part of it is not.
    fn make(&self, schema: &Value, dice: &mut Dice, odd: bool) -> Value {
        let schema = self.resolve(schema);
        if odd && dice.next(4) == 0 {
            return dice.of(&odd_values());
        }
        if let Some(allowed) = schema["enum"].as_array() {
            return dice.of(allowed);
        }
        match schema["type"].as_str() {
            Some("object") => {
                let mut made = json!({});
                for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                    if !(odd && dice.next(6) == 0) {
                        made[name] = self.make(schema, dice, odd);
                    }
                }
                if odd && dice.next(6) == 0 {
                    made["surplus"] = json!(1);
                }
                made
            }
            Some("array") => json!([self.make(&schema["items"], dice, odd)]),
            Some("integer") => json!(dice.next(3)),
            _ if schema["contentEncoding"].is_string() => json!("AAAA"),
            _ => dice.of(&[json!("sim"), json!("acme"), json!("x"), json!("policy")]),
        }
    }
}

/// One call of the description.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    described: &'a Value,
}

fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

/// A request line's target and a body.
fn request(all: &Described, call: &Operation<'_>, dice: &mut Dice, odd: bool) -> (String, Vec<u8>) {
    let (mut path, mut query) = (call.path.to_owned(), String::new());
    let good = [
        "sim",
        "acme",
        "policy",
        "release-rule",
        "db/key",
        "1",
        "0/000",
    ];
    for parameter in call.described["parameters"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let name = parameter["name"].as_str().unwrap();
        let text = match odd && dice.next(2) == 0 {
            true => dice.of(&odd_texts()).as_str().unwrap().to_owned(),
            false => dice.of(&good).to_owned(),
        };
        if parameter["in"] == "path" {
            path = path.replace(&format!("{{{name}}}"), &encoded(&text));
        } else if parameter["required"] == true && !odd || dice.next(2) == 0 {
            query.push_str(&format!("&{name}={}", encoded(&text)));
        }
    }
    let content = &call.described["requestBody"]["content"];
    let schema = &content["application/json"]["schema"];
    let body = match schema.is_null() {
        true if content["text/plain"].is_object() => {
            dice.of(&odd_texts()).as_str().unwrap().as_bytes().to_vec()
        }
        true if odd && dice.next(3) == 0 => b"{}".to_vec(),
        true => Vec::new(),
        false if odd && dice.next(8) == 0 => {
            let broken: [&[u8]; 6] = [b"", b"{", b"\xff\xfe", b"[]", b"nul", b"{\"a\":1}{"];
            dice.of(&broken).to_vec()
        }
        false => serde_json::to_vec(&all.make(schema, dice, odd)).unwrap(),
    };
    let target = format!("{path}?{}", query.trim_start_matches('&'));
    (target.trim_end_matches('?').to_owned(), body)
}

/// Holds an answer to what is described of its call.
fn hold(all: &Described, call: &Operation<'_>, told: &str, answer: &[u8]) -> u16 {
    let code = status(answer).unwrap_or_else(|| panic!("{told}: no answer"));
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let media = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "))
        .unwrap_or_default();
    let media = media.split(';').next().unwrap().trim();
    let response = &call.described["responses"][code.to_string()];
    assert!(
        response.is_object(),
        "{told}: {code} is not described\n{body}"
    );
    let content = &response["content"][media];
    assert!(
        content.is_object(),
        "{told}: {code} as {media:?} is not described"
    );
    if media.ends_with("json") {
        let value: Value = serde_json::from_str(body).unwrap();
        let differs = all.differs(&content["schema"], &value);
        assert_eq!(differs, None, "{told}: {code}");
        if code >= 400 {
            assert_eq!(value["status"], json!(code), "{told}");
        }
    }
    let tells_when = head.to_lowercase().contains("retry-after: ");
    assert!(tells_when || code != 429, "{told}: when to come back?");
    code
}

#[test]
fn every_call_answers_as_it_is_described_to_every_role_and_never_with_a_500() {
    let world = World::new();
    let served = Served::start(&world, &["--offline", "--source-per-second", "0"]);
    world.furnish(&served.client, "sim");
    let token = |role: &str| {
        let wanted = json!({"name": role, "role": role}).to_string();
        let at = "/v1/tenants/acme/tokens";
        let made = served
            .client
            .admin("POST", at, &world.admin, wanted.as_bytes());
        let made: Value = serde_json::from_slice(&made.unwrap()).unwrap();
        made["token"].as_str().unwrap().to_owned()
    };
    let roles = [
        None,
        Some("guess".to_owned()),
        Some(token("reader")),
        Some(token("operator")),
        Some(world.admin.clone()),
    ];
    let document = served.client.get("/openapi.json").unwrap();
    let all = Described {
        document: serde_json::from_slice(&document).unwrap(),
    };
    let mut dice = Dice(0x5eed_0fa1_1ca1_15ed);
    let (mut seen, mut count) = (BTreeMap::new(), 0);
    for (path, calls) in all.document["paths"].as_object().unwrap() {
        for (method, described) in calls.as_object().unwrap() {
            let call = Operation {
                method,
                path,
                described,
            };
            for role in &roles {
                for round in 0..24 {
                    let (target, body) = request(&all, &call, &mut dice, round >= 6);
                    // A tenant or token that is made stays; the owners of `sim` are needed.
                    let told = format!(
                        "{} {target} {}",
                        call.method,
                        String::from_utf8_lossy(&body)
                    );
                    let method = call.method.to_uppercase();
                    let token = role.as_deref();
                    let answer = served
                        .client
                        .exchange((&method, &target), token, ("*/*", &body));
                    let code = hold(&all, &call, &told, &answer.unwrap());
                    *seen.entry(code).or_insert(0) += 1;
                    count += 1;
                }
            }
        }
    }
    println!("{count} requests, by status: {seen:?}");
    for code in [200, 400, 401, 403, 404] {
        assert!(seen.contains_key(&code), "{code} was never seen: {seen:?}");
    }
    assert!(served.client.get("/readyz").is_ok());
}
