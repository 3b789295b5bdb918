//! The owner's side against a running `zeuged`: two programs, a toy machine in this process, real
//! sockets. Skips by name where `zeuged` is not built beside `zeuge`.

mod programs;
#[path = "programs/world.rs"]
mod world;

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use programs::send;
use serde_json::Value;
use zeuge_evidence::UnixTime;
use zeuge_protocol::{
    api::{AttestAnswer, AttestRequest, ChallengeAnswer},
    binding::{Binding, Role, Witness as BoundWitness},
    bundle::{Bundle, Media},
    keys::SigningKey,
    name::{Name, Path as SecretPath},
    request::{Request, Wanted},
    seal::SessionKey,
    suite::Suite,
    waiver::{self, Waiver},
};
use zeuge_sim::{Product, ReportSpec, ToyAmd};

use world::World;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A witness that trusts the toy AMD.
fn started() -> Option<World> {
    World::start(&ToyAmd::shared().trust_file(&Product::ALL), &[])
}

impl World {
    fn send(&self, method: &str, at: &str, body: &[u8]) -> Vec<u8> {
        send((&self.url, None), method, at, body)
    }

    /// The toy machine attests.
    fn attest(&self, request: Request) -> AttestAnswer {
        let challenge = self.send("POST", "/v1/challenges", b"{\"tenant\":\"sim\"}");
        let challenge: ChallengeAnswer = serde_json::from_slice(&challenge).unwrap();
        let witness = BoundWitness {
            id: challenge.witness.clone(),
            tenant: challenge.tenant.clone(),
            nonce: challenge.nonce,
        };
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).unwrap();
        let key = SessionKey::from_seed(Suite::X_WING, seed).unwrap();
        let keys = [(Role::Kem, key.bound())].into();
        let binding = Binding::new(vec![witness], keys, request.digest(), vec![], None).unwrap();
        let file = machine(binding.report_data());
        let (report, table) = file.split_at(zeuge_sim::REPORT_BYTES);
        let mut bundle = Bundle::new();
        let label = |text| Name::parse(text).unwrap();
        for (name, media, bytes) in [
            ("snp", Media::SnpReport, report),
            ("snp.certificates", Media::SnpCertificates, table),
        ] {
            bundle.put(label(name), media, bytes.to_vec()).unwrap();
        }
        let at = if request.secrets.is_empty() {
            "/v1/appraisals"
        } else {
            "/v1/releases"
        };
        let body = AttestRequest {
            tenant: challenge.tenant,
            challenge: challenge.challenge,
            binding: binding.encode(),
            request,
            bundle: bundle.to_cbor(),
        };
        let answer = self.send("POST", at, &serde_json::to_vec(&body).unwrap());
        let signed: zeuge_protocol::answer::SignedAnswer = serde_json::from_slice(&answer).unwrap();
        signed
            .verify(&label("w1"), &binding.digest(), &self.answer_key)
            .unwrap()
    }

    /// Why the secret at `db/key` was not released; empty when it was.
    fn ask(&self) -> String {
        let wanted = Wanted {
            path: SecretPath::parse("db/key").unwrap(),
            version: 0,
        };
        let answer = self.attest(Request::release([wanted], [Suite::X_WING]));
        assert_eq!(answer.secrets.len() + answer.refused.len(), 1);
        answer
            .refused
            .first()
            .map_or_else(String::new, |refusal| refusal.check.clone())
    }
}

/// Report and certificates of the toy machine.
fn machine(report_data: [u8; 64]) -> Vec<u8> {
    let spec = ReportSpec {
        report_data,
        ..ReportSpec::new(Product::Milan)
    };
    ToyAmd::shared()
        .tell(None, &spec, UnixTime(now()))
        .table_file()
}

fn values(name: &str, byte: &str) -> String {
    format!(
        "schema = \"zeuge.reference-values.v1\"\n[[snp]]\nname = \"{name}\"\n\
         measurements = [\"{}\"]\n",
        byte.repeat(48)
    )
}

const RULE: &str = "schema = \"zeuge.release-rule.v1\"\ntenant = \"sim\"\npath = \"db/key\"\n\
                    door = \"agent\"\nevidence = [\"snp\"]\nminimum_suite = \"x-wing\"\n\
                    chips = \"enrolled\"\nworkload = \"web\"\n";
const KEY: [&str; 2] = ["--key", "owner/owner.key"];

/// One rule for enrolled chips, one registry with the toy's, one secret.
fn furnish(world: &World) {
    fs::write(world.at().join("report.bin"), machine([7; 64])).unwrap();
    let enroll = ["hardware", "enroll", "report.bin", "--name", "web-3"];
    let more = [
        "--file",
        "fleet/hardware.toml",
        "--dangerous-trust-sim",
        "trust.json",
    ];
    world.put("fleet/rule.toml", RULE);
    world.done(&[&enroll[..], &more[..]].concat());
    world.done(&[&["apply", "-f", "fleet"][..], &KEY].concat());
    world.put("value", "never in the clear");
    let put = [
        "secret", "put", "--tenant", "sim", "--path", "db/key", "--from", "value",
    ];
    world.done(&[&put[..], &KEY].concat());
    world.put("web.toml", &values("web", "22"));
    world.done(&[&["reference", "put", "web.toml"][..], &KEY].concat());
}

#[test]
fn reference_values_change_one_by_one_and_decide_at_once() {
    let Some(world) = started() else {
        return;
    };
    furnish(&world);
    assert_eq!(world.ask(), "");
    world.put("db.toml", &values("db", "33"));
    world.done(&[&["reference", "put", "db.toml"][..], &KEY].concat());
    let listed = world.done(&["reference", "list", "--tenant", "sim"]);
    assert!(listed.starts_with("version 2, until "), "{listed}");
    assert!(listed.ends_with("snp  web\nsnp  db\n"), "{listed}");
    world.done(&[&["reference", "retire", "web"][..], &KEY].concat());
    assert_eq!(world.ask(), "policy.measurement");
    let said = world.refused(&[&["reference", "retire", "web"][..], &KEY].concat(), 1);
    assert!(said.contains("no reference values \"web\""), "{said}");
    // A second owner may be wanted: then it is written instead of brought.
    let out = ["reference", "put", "web.toml", "--out", "values.signed"];
    world.done(&[&out[..], &KEY].concat());
    assert_eq!(world.ask(), "policy.measurement");
}

#[test]
fn an_enrolled_chip_is_known_until_it_is_retired() {
    let Some(world) = started() else {
        return;
    };
    furnish(&world);
    assert_eq!(world.ask(), "");
    let registry = ["--file", "fleet/hardware.toml"];
    let enroll = ["hardware", "enroll", "report.bin", "--name", "again"];
    let trust = ["--dangerous-trust-sim", "trust.json"];
    let said = world.refused(&[&enroll[..], &registry, &trust].concat(), 1);
    assert!(said.contains("enrolled already"), "{said}");
    // Before its certificates counted, the chip cannot be enrolled.
    let early = ["--at", "2001-01-01T00:00:00Z"];
    world.refused(&[&enroll[..], &trust, &early].concat(), 3);
    // Without the toy's roots it is nobody's.
    world.refused(&enroll, 3);
    let listed = world.done(&[&["hardware", "list"][..], &registry].concat());
    assert!(listed.starts_with("web-3  "), "{listed}");
    world.done(&[&["hardware", "retire", "web-3"][..], &registry].concat());
    world.done(&[&["apply", "-f", "fleet"][..], &KEY].concat());
    assert_eq!(world.ask(), "hardware.enrolled");
}

#[test]
fn what_the_folder_lacks_is_retired_for_good_and_a_registry_only_by_its_owners() {
    let Some(world) = started() else {
        return;
    };
    furnish(&world);
    let apply = [&["apply", "-f", "fleet"][..], &KEY].concat();
    let dry = world.done(&[&apply[..], &["--prune", "--dry-run"]].concat());
    assert!(
        dry.contains("reference-values of sim: would be retired"),
        "{dry}"
    );
    assert_eq!(world.ask(), "");
    fs::rename(
        world.at().join("web.toml"),
        world.at().join("fleet/web.toml"),
    )
    .unwrap();
    fs::remove_file(world.at().join("fleet/rule.toml")).unwrap();
    let said = world.done(&[&apply[..], &["--prune"]].concat());
    assert!(
        said.contains("release-rule db/key of sim: retired"),
        "{said}"
    );
    assert_eq!(world.ask(), "release.rule");
    // It may come back as a version above the one that went.
    world.put("fleet/rule.toml", RULE);
    let said = world.done(&apply);
    assert!(
        said.contains("release-rule db/key of sim: version 2"),
        "{said}"
    );
    assert_eq!(world.ask(), "");
    fs::remove_file(world.at().join("fleet/hardware.toml")).unwrap();
    let said = world.refused(&[&apply[..], &["--prune"]].concat(), 1);
    assert!(said.contains("hardware-registry"), "{said}");
    assert_eq!(world.ask(), "");
}

#[test]
fn a_new_owner_key_keeps_in_force_what_the_witness_holds() {
    let Some(world) = started() else {
        return;
    };
    furnish(&world);
    let rotate = [
        "owner",
        "rotate",
        "--set",
        "owner/owner.pub",
        "--version",
        "1",
    ];
    let said = world.done(&[&rotate[..], &KEY, &["--out", "next", "--carry"]].concat());
    assert!(
        said.contains("4 document(s) and secret(s) are carried over"),
        "{said}"
    );
    world.done(&["apply", "-f", "next"]);
    assert_eq!(world.ask(), "");
    let retire = ["reference", "retire", "web"];
    let said = world.refused(&[&retire[..], &KEY].concat(), 5);
    assert!(said.contains("document.threshold"), "{said}");
    world.done(&[&retire[..], &["--key", "next/owner.key"]].concat());
    assert_eq!(world.ask(), "policy.measurement");
}

#[test]
fn a_token_and_the_log_of_a_whole_run_hold_from_outside() {
    let Some(world) = started() else {
        return;
    };
    furnish(&world);
    assert_eq!(world.ask(), "");
    let answer = world.attest(Request::appraisal("shop"));
    world.put("token.jwt", &answer.token.unwrap());
    let keys = world.send("GET", "/.well-known/jwks.json", b"");
    fs::write(world.at().join("jwks.json"), keys).unwrap();
    let verify = |issuer: &str, audience: &str| {
        let who = ["--issuer", issuer, "--audience", audience];
        let what = ["token", "verify", "token.jwt", "--jwks", "jwks.json"];
        world.zeuge(&[&what[..], &who[..]].concat())
    };
    let (code, claims, err) = verify("https://w1", "shop");
    assert_eq!(code, 0, "{err}");
    let claims: Value = serde_json::from_str(&claims).unwrap();
    assert_eq!(claims["submods"]["snp"]["ear_status"], "warning");
    for (issuer, audience, check) in [
        ("https://w2", "shop", "token.issuer"),
        ("https://w1", "bank", "token.audience"),
    ] {
        let (code, _, said) = verify(issuer, audience);
        assert_eq!(code, 3);
        assert!(said.starts_with(&format!("zeuge: {check}")), "{said}");
    }

    let url = format!("{}/log", world.url);
    let key = ["--key", world.vkey.as_str()];
    let tail = |lines: &str| {
        let arguments = ["log", "tail", &url, "--lines", lines];
        world.done(&[&arguments[..], &key].concat())
    };
    // Registry, rule, secret, reference values; then verdict and release, then a verdict; and what
    // endorsed them, of which the toy makes a new certificate each time.
    let whole = tail("100");
    let endorsed = whole.matches("endorsement seen").count();
    assert!((3..=6).contains(&endorsed), "{whole}");
    assert_eq!(whole.lines().count() - endorsed, 7, "{whole}");
    for wanted in [
        "document changed: hardware-registry version 1",
        "document changed: secret-manifest version 1",
        "verdict Warning on snp",
        "release authorised of manifest",
    ] {
        assert!(whole.contains(wanted), "{whole}");
    }
    assert!(
        !whole.contains("web-3") && !whole.contains("db/key"),
        "{whole}"
    );
    let first = world.send("GET", "/log/checkpoint", b"");
    fs::write(world.at().join("old.checkpoint"), &first).unwrap();
    assert_eq!(world.ask(), "");
    let arguments = ["log", "verify", &url, "--old", "old.checkpoint"];
    let said = world.done(&[&arguments[..], &key].concat());
    // Verdict and release of the second machine at least.
    let entries = whole.lines().count();
    let before = format!("continues the checkpoint of {entries} entries");
    assert!(said.contains(&before), "{said}");
    let now = said
        .split(' ')
        .nth(1)
        .and_then(|now| now.parse::<usize>().ok());
    assert!(now >= Some(entries + 2), "{said}");
    let arguments = ["log", "prove", &url, "--index", "5"];
    let proof = world.done(&[&arguments[..], &key].concat());
    let vkey = zeuge_log::note::VerifierKey::parse(&world.vkey).unwrap();
    let receipt = zeuge_log::receipt::WireReceipt::parse(proof.as_bytes()).unwrap();
    assert_eq!(receipt.verify(&vkey, &[], 0).unwrap().index(), 5);
    // Another log's key opens nothing.
    let strange = zeuge_log::note::Signer::log("w1", &[7; 32]).unwrap();
    let strange = strange.verifier().to_string();
    world.refused(&["log", "tail", &url, "--key", &strange], 3);
    world.done(&["doctor"]);
}

#[test]
fn a_tenants_people_bring_what_owners_signed_and_see_nothing_of_others() {
    let Some(world) = started() else {
        return;
    };
    furnish(&world);
    world.done(&["owner", "init", "--out", "acme", "--tenant", "acme"]);
    world.done(&["tenant", "add", "--owner", "acme/owner.pub"]);
    let said = world.refused(&["tenant", "add", "--owner", "acme/owner.pub"], 5);
    assert!(said.contains("tenant.exists"), "{said}");
    let grant = [
        "tenant", "grant", "acme", "--name", "ci", "--role", "operator",
    ];
    world.done(&[&grant[..], &["--out", "ci.token"]].concat());
    let tokens = world.done(&["tenant", "tokens", "acme"]);
    assert!(
        tokens.starts_with("ci  operator  until 20") && !tokens.contains("over"),
        "{tokens}"
    );
    let ci = ["--token-file", "ci.token"];
    let with = |arguments: &[&str]| world.done(&[arguments, &ci].concat());
    assert_eq!(with(&["tenant", "list"]), "acme\n");
    world.put("fleet-acme/web.toml", &values("web", "22"));
    let apply = ["apply", "-f", "fleet-acme", "--key", "acme/owner.key"];
    let said = with(&apply);
    assert!(
        said.contains("reference-values of acme: version 1"),
        "{said}"
    );
    let other = ["secret", "list", "--tenant", "sim"];
    let said = world.refused(&[&other[..], &ci].concat(), 5);
    assert!(said.contains("admin.role"), "{said}");
    world.done(&["tenant", "revoke", "acme", "--name", "ci"]);
    let said = world.refused(&[&apply[..], &ci].concat(), 5);
    assert!(said.contains("admin.token"), "{said}");
}

#[test]
fn two_owners_sign_one_after_the_other_and_one_alone_changes_nothing() {
    let Some(world) = started() else {
        return;
    };
    for person in ["anna", "berta"] {
        let init = ["owner", "init", "--tenant", "pair", "--name", person];
        world.done(&[&init[..], &["--out", person]].concat());
    }
    let public = |person: &str| -> Value {
        let file = world.at().join(person).join("owner.pub");
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    };
    let mut set = public("anna");
    let second = public("berta")["owners"][0].clone();
    set["owners"].as_array_mut().unwrap().push(second);
    set["threshold"] = 2.into();
    set["author_is_not_approver"] = true.into();
    fs::write(world.at().join("pair.pub"), set.to_string()).unwrap();
    world.done(&["tenant", "add", "--owner", "pair.pub"]);
    let fleet = world.at().join("pair");
    fs::create_dir(&fleet).unwrap();
    let text = "schema = \"zeuge.policy.v1\"\n";
    fs::write(fleet.join("policy.toml"), text).unwrap();
    let (anna, berta) = ("anna/owner.key", "berta/owner.key");
    let apply = ["apply", "-f", "pair"];
    let alone = world.refused(&[&apply[..], &["--key", anna]].concat(), 5);
    assert!(alone.contains("document.threshold"), "{alone}");
    assert!(alone.contains("zeuge owner sign"), "{alone}");
    // One begins, the other approves, anybody brings it.
    let begun = world.done(&[&apply[..], &["--key", anna, "--sign-only"]].concat());
    assert!(begun.contains("version 1 is signed"), "{begun}");
    let early = world.refused(&apply, 5);
    assert!(early.contains("document.threshold"), "{early}");
    let signed = "pair/policy.toml.signed";
    world.refused(&["owner", "sign", "--key", anna, signed], 1);
    world.done(&["owner", "sign", "--key", berta, signed]);
    assert!(world.done(&apply).contains("version 1\n"));
    assert!(world.done(&apply).contains("unchanged"));
    // Where both keys are at hand one call does it, for documents and for secrets.
    fs::write(fleet.join("policy.toml"), format!("{text}# more\n")).unwrap();
    let both = ["--key", anna, "--key", berta];
    assert!(
        world
            .done(&[&apply[..], &both].concat())
            .contains("version 2\n")
    );
    fs::write(world.at().join("value"), "a value").unwrap();
    let put = ["secret", "put", "--tenant", "pair", "--path", "db/key"];
    let put = [&put[..], &["--from", "value"]].concat();
    let alone = world.refused(&[&put[..], &["--key", anna]].concat(), 5);
    assert!(alone.contains("manifest.signature"), "{alone}");
    world.done(&[&put[..], &both].concat());
}

const REPORT: [&str; 7] = [
    "report",
    "--machine",
    "web-3",
    "--tenant",
    "sim",
    "--dangerous-trust-sim",
    "trust.json",
];

#[test]
fn a_machine_is_judged_again_from_the_archive_of_its_witness_and_its_word_is_held_to_the_log() {
    let Some(world) = started() else {
        return;
    };
    furnish(&world);
    assert_eq!(world.ask(), "");
    let made = ["--format", "html", "--lang", "de", "--out", "web-3.html"];
    let bundle = ["--bundle", "web-3.zeuge"];
    let (code, _, err) = world.zeuge(&[&REPORT[..], &made, &bundle].concat());
    assert!(matches!(code, 0 | 10), "{code}: {err}");
    let page = fs::read_to_string(world.at().join("web-3.html")).unwrap();
    for part in [
        "Der Zeuge w1 hat die Maschine web-3 von sim",
        "kommt dasselbe heraus",
        "steht in seinem Protokoll als Eintrag",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let (json_code, json, _) = world.zeuge(&[&REPORT[..], &["--format", "json"]].concat());
    assert_eq!(json_code, code);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["witnessed"]["same"], true, "{}", json["witnessed"]);
    assert_eq!(json["witnessed"]["witness"], "w1");
    assert_eq!(json["witnessed"]["log"], "w1");
    // Offline, with nothing but the archive.
    fs::rename(world.at().join("trust.json"), world.at().join("away")).unwrap();
    let (again, said, err) = world.zeuge(&["verify", "web-3.zeuge"]);
    assert_eq!(again, code, "{said}{err}");
    assert!(said.contains("reproduced: the same verdict"), "{said}");
    assert!(said.contains("the witness w1 signed its verdict"), "{said}");
    changed_word(&world);
    fs::rename(world.at().join("away"), world.at().join("trust.json")).unwrap();
    // Whoever does not trust the toy gets another verdict than the witness, and is told so.
    let said = world.refused(&REPORT[..5], 3);
    assert!(said.contains("report.record"), "{said}");
    // Keys that were told at init are demanded.
    let keys = ["--log-key", &world.vkey];
    let (pinned, _, err) = world.zeuge(&[&REPORT[..], &keys].concat());
    assert_eq!(pinned, code, "{err}");
    let said = world.refused(&[&REPORT[..], &["--report-key", "AAAA"]].concat(), 3);
    assert!(said.contains("report.signature"), "{said}");
    let mut other = REPORT;
    other[2] = "web-4";
    let said = world.refused(&other, 1);
    assert!(said.contains("archive.missing"), "{said}");
    let said = world.refused(&[&REPORT[..], &["report.bin"]].concat(), 1);
    assert!(said.contains("cannot be used with"), "{said}");
    let said = world.refused(&["report", "--unbound", "why"], 1);
    assert!(said.contains("required"), "{said}");
}

/// An archive whose witness said something else, or with another log's key.
fn changed_word(world: &World) {
    let archive = fs::read_to_string(world.at().join("web-3.zeuge")).unwrap();
    let whole: Value = serde_json::from_str(&archive).unwrap();
    let statement = whole["witness"]["statement"].as_str().unwrap();
    for (name, value, wanted) in [
        (
            "statement",
            statement.replacen("web-3", "web-9", 1),
            "report.signature",
        ),
        ("log", "w2+12345678+AAAA".to_owned(), "log."),
    ] {
        let mut changed = whole.clone();
        changed["witness"][name] = Value::String(value);
        world.put("changed.zeuge", &changed.to_string());
        let (code, said, err) = world.zeuge(&["verify", "changed.zeuge"]);
        assert_eq!(code, 3, "{name}: {said}{err}");
        assert!(said.contains("NOT reproduced"), "{name}: {said}");
        assert!(said.contains(wanted), "{name}: {said}");
    }
}

#[test]
fn owners_bring_threat_knowledge_to_the_witness_and_it_stands_in_verdict_and_report() {
    let Some(world) = started() else {
        return;
    };
    furnish(&world);
    let built_in = world.done(&["threats", "list", "--whole"]);
    let newer = built_in.replacen("version = 1", "version = 41", 1);
    world.put("fleet/knowledge.toml", &newer);
    let said = world.done(&[&["apply", "-f", "fleet"][..], &KEY].concat());
    assert!(
        said.contains("threat-knowledge threat-knowledge of sim: version 1"),
        "{said}"
    );
    assert_eq!(world.ask(), "");
    let (_, json, err) = world.zeuge(&[&REPORT[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{err}"));
    assert_eq!(json["knowledge"]["version"], 41);
    assert_eq!(json["verdict"]["knowledge"]["version"], 41);
    assert_eq!(json["witnessed"]["same"], true, "{}", json["witnessed"]);
    // Going back would turn warnings off.
    world.put("fleet/knowledge.toml", &built_in);
    let said = world.refused(&[&["apply", "-f", "fleet"][..], &KEY].concat(), 5);
    assert!(said.contains("document.version"), "{said}");
}

/// The key that `zeuge owner init` made.
fn owner_key(world: &World) -> SigningKey {
    let text = fs::read_to_string(world.at().join("owner/owner.key")).unwrap();
    let seed = text.lines().find_map(|line| line.strip_prefix("seed: "));
    let seed = zeuge_protocol::text::from_base64url(seed.unwrap()).unwrap();
    SigningKey::from_seed(&seed.try_into().unwrap()).unwrap()
}

#[test]
fn secrets_are_stopped_for_a_machine_or_for_all_until_that_is_lifted() {
    let Some(world) = started() else {
        return;
    };
    furnish(&world);
    let receipt = world.attest(Request::appraisal("me")).receipt.unwrap();
    let leaf = zeuge_log::proof::TlogProof::parse(receipt.as_bytes());
    let leaf = leaf.unwrap().index.to_string();
    assert_eq!(world.ask(), "");
    fn of<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--tenant", "sim"]].concat()
    }
    let put = of(&["stop", "put", "--name", "rack-4", "--because", "moved"]);
    let said = world.done(&[&put[..], &["--leaf", &leaf]].concat());
    assert_eq!(said, "rack-4: these machines of sim get no secrets\n");
    assert_eq!(world.ask(), "release.stopped");
    let said = world.done(&[&put[..], &["--leaf", &leaf]].concat());
    assert_eq!(said, "rack-4: stands already\n");
    let said = world.refused(&[&put[..], &["--leaf", "999999"]].concat(), 1);
    assert!(said.contains("no verdicts of sim: 999999"), "{said}");
    let listed = world.done(&of(&["stop", "list"]));
    assert!(listed.starts_with("rack-4  web-3  since 20"), "{listed}");
    world.done(&of(&["stop", "lift", "--name", "rack-4"]));
    assert_eq!(world.ask(), "");
    let all = of(&["stop", "put", "--name", "all", "--because", "a visit"]);
    assert_eq!(world.done(&all), "all: no machine of sim gets secrets\n");
    assert_eq!(world.ask(), "release.stopped");
    let listed = world.done(&of(&["stop", "list"]));
    assert!(
        listed.starts_with("all  every machine  since 20"),
        "{listed}"
    );
    world.done(&of(&["stop", "lift", "--name", "all"]));
    let said = world.refused(&of(&["stop", "lift", "--name", "all"]), 1);
    assert!(said.contains("sim has no stop all"), "{said}");
    assert_eq!(world.ask(), "");
}

#[test]
fn a_waiver_is_written_down_once_and_listed() {
    let Some(world) = started() else {
        return;
    };
    let said = Waiver {
        because: "firmware is being rolled out".into(),
        from: now() - 60,
        until: now() + 60,
        ..Waiver::new("c".into(), vec!["n-1".into()], vec!["policy.tcb".into()])
    };
    let text = waiver::sign(&said, &[&owner_key(&world)]);
    world.put("waiver", &format!("{text}\n"));
    let log = ["waiver", "log", "--from", "waiver", "--tenant", "sim"];
    let first = world.done(&log);
    assert!(first.starts_with("written down as leaf "), "{first}");
    assert_eq!(world.done(&log), first);
    let listed = world.done(&["waiver", "list", "--tenant", "sim"]);
    assert!(listed.contains("policy.tcb of n-1  20"), "{listed}");
    assert!(
        listed.ends_with("firmware is being rolled out\n"),
        "{listed}"
    );
    assert_eq!(listed.lines().count(), 1);
    let stranger = SigningKey::from_seed(&[66; 32]).unwrap();
    world.put("waiver", &waiver::sign(&said, &[&stranger]));
    let refused = world.refused(&log, 5);
    assert!(refused.contains("document.waiver"), "{refused}");
}
