//! What the controller tells witnesses, with the real `zeuged` as a process: waivers are written
//! down afterwards when it was away, and a machine gets no more secrets from it. Skips by name
//! where `zeuged` is not built beside `zeuge-kube`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Client;
use serde_json::{Value, json};

use zeuge_kube::api::AttestedNodeStatus;
use zeuge_kube::belief::Pinned;
use zeuge_kube::tell::{self, Desk, Place, Wanted};
use zeuge_protocol::answer::SignedAnswer;
use zeuge_protocol::api::{AttestAnswer, AttestRequest, ChallengeAnswer};
use zeuge_protocol::binding::{Binding, Role, Witness};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::document::{Owner, OwnerSet};
use zeuge_protocol::ear::Jwks;
use zeuge_protocol::keys::{PublicKey, SigningKey};
use zeuge_protocol::name::{Name, Path as SecretPath};
use zeuge_protocol::request::{Request, Wanted as WantedSecret};
use zeuge_protocol::seal::SessionKey;
use zeuge_protocol::suite::Suite;
use zeuge_protocol::waiver::{self, Waiver};
use zeuge_sim::{Product, ReportSpec, ToyAmd, UnixTime};

const ISSUER: &str = "https://w1";

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// The witness beside `zeuge-kube`, or a word that it is not built.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn zeuged() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_zeuge-kube")).with_file_name("zeuged");
    if path.is_file() {
        return Some(path);
    }
    println!(
        "skipped: {} is not built (cargo build -p zeuge-server)",
        path.display()
    );
    None
}

/// A data folder of a witness, and who owns it.
struct World {
    zeuged: PathBuf,
    folder: tempfile::TempDir,
    owner: SigningKey,
    admin: String,
    answer_key: PublicKey,
}

/// A witness that serves, until dropped.
struct Running {
    process: Child,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl World {
    fn new() -> Option<Self> {
        let zeuged = zeuged()?;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let owner = SigningKey::from_seed(&[9; 32]).unwrap();
        fs::write(at.join("owner"), hex::encode(owner.public().0)).unwrap();
        let trust = ToyAmd::shared().trust_file(&Product::ALL);
        fs::write(at.join("trust.json"), trust).unwrap();
        let init = ["init", "--data", "data", "--owner", "owner", "--id", "w1"];
        let done = Command::new(&zeuged)
            .args(init)
            .args(["--tenant", "sim", "--format", "json"])
            .current_dir(at)
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&done.stdout).unwrap();
        Some(Self {
            admin: said["admin_token"].as_str().unwrap().to_owned(),
            answer_key: serde_json::from_value(said["answer_key"].clone()).unwrap(),
            zeuged,
            folder,
            owner,
        })
    }

    /// Serves over TLS, with the certificate that `init` made.
    fn serve(&self, listen: &str) -> Running {
        let mut process = Command::new(&self.zeuged)
            .args(["serve", "--data", "data", "--listen", listen, "--tls"])
            .args(["--offline", "--dangerous-trust-sim", "trust.json"])
            .current_dir(self.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = process.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap();
        let url = url.to_owned();
        Running { process, url }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("data/tls/cert.pem")
    }

    fn pinned(&self, url: &str, token: &str) -> Pinned {
        let file = self.folder.path().join("cluster.token");
        fs::write(&file, format!("{token}\n")).unwrap();
        Pinned {
            issuer: ISSUER.into(),
            jwks: Jwks::of(&[]),
            tell: Some(Place {
                url: url.to_owned(),
                ca: Some(self.certificate()),
                token: file,
            }),
        }
    }

    fn client(&self) -> Client {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let pem = fs::read(self.certificate()).unwrap();
        let only = reqwest::Certificate::from_pem(&pem).unwrap();
        Client::builder()
            .tls_certs_only([only])
            .no_proxy()
            .build()
            .unwrap()
    }

    async fn ask(
        &self,
        url: &str,
        method: &str,
        at: &str,
        token: &str,
        body: &Value,
    ) -> (u16, Value) {
        let method = method.parse().unwrap();
        let request = self.client().request(method, format!("{url}{at}"));
        let request = request.bearer_auth(token).body(body.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
        )
    }

    async fn cluster_token(&self, url: &str) -> String {
        let wanted = json!({"name": "kube", "role": "cluster"});
        let at = "/v1/tenants/sim/tokens";
        let (status, made) = self.ask(url, "POST", at, &self.admin, &wanted).await;
        assert_eq!(status, 200, "{made}");
        made["token"].as_str().unwrap().to_owned()
    }

    /// What the toy machine with this chip is answered when it asks for a secret.
    async fn attest(&self, url: &str, chip: u8) -> AttestAnswer {
        let tenant = json!({"tenant": "sim"});
        let (_, made) = self.ask(url, "POST", "/v1/challenges", "", &tenant).await;
        let made: ChallengeAnswer = serde_json::from_value(made).unwrap();
        let wanted = WantedSecret {
            path: SecretPath::parse("db/key").unwrap(),
            version: 0,
        };
        let request = Request::release([wanted], [Suite::X_WING]);
        let key = SessionKey::from_seed(Suite::X_WING, [chip; 32]).unwrap();
        let witness = Witness {
            id: made.witness.clone(),
            tenant: made.tenant.clone(),
            nonce: made.nonce,
        };
        let keys = BTreeMap::from([(Role::Kem, key.bound())]);
        let digest = request.digest();
        let binding = Binding::new(vec![witness], keys, digest, vec![], None).unwrap();
        let spec = ReportSpec {
            report_data: binding.report_data(),
            chip_id: [chip; 64],
            ..ReportSpec::new(Product::Milan)
        };
        let told = ToyAmd::shared().tell(None, &spec, UnixTime(now()));
        let file = told.table_file();
        let (report, table) = file.split_at(zeuge_sim::REPORT_BYTES);
        let mut bundle = Bundle::new();
        let certificates = name("snp.certificates");
        bundle
            .put(name("snp"), Media::SnpReport, report.to_vec())
            .unwrap();
        bundle
            .put(certificates, Media::SnpCertificates, table.to_vec())
            .unwrap();
        let body = AttestRequest {
            tenant: made.tenant,
            challenge: made.challenge,
            binding: binding.encode(),
            request,
            bundle: bundle.to_cbor(),
        };
        let body = serde_json::to_value(&body).unwrap();
        let (status, answer) = self.ask(url, "POST", "/v1/releases", "", &body).await;
        assert_eq!(status, 200, "{answer}");
        let signed: SignedAnswer = serde_json::from_value(answer).unwrap();
        signed
            .verify(&name("w1"), &binding.digest(), &self.answer_key)
            .unwrap()
    }
}

fn refused(answer: &AttestAnswer) -> Vec<&str> {
    answer.refused.iter().map(|it| it.check.as_str()).collect()
}

fn waiver(world: &World) -> ([u8; 32], String) {
    let said = Waiver {
        because: "the witness is down".into(),
        from: now() - 3 * 3600,
        until: now() - 3600,
        ..Waiver::new("c".into(), vec!["n".into()], vec!["policy.tcb".into()])
    };
    let text = waiver::sign(&said, &[&world.owner]);
    let owners = OwnerSet {
        tenant: name("sim"),
        threshold: 1,
        author_is_not_approver: false,
        owners: vec![Owner {
            person: "owner".into(),
            public_key: world.owner.public(),
        }],
        carries: BTreeSet::new(),
    };
    (waiver::read(&text, &owners).unwrap().digest, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiver_is_written_down_once_the_witness_is_back() {
    let Some(world) = World::new() else { return };
    let running = world.serve("127.0.0.1:0");
    let (url, token) = (running.url.clone(), world.cluster_token(&running.url).await);
    let pinned = [world.pinned(&url, &token)];
    drop(running);
    let desk = Desk::open(&pinned, "sim", "c").unwrap();
    let (digest, text) = waiver(&world);
    desk.want(Wanted {
        waivers: BTreeMap::from([(digest, text)]),
        ..Wanted::default()
    });
    desk.turn(false).await;
    let told = desk.told();
    assert!(told.waivers.is_empty());
    assert_eq!(told.trouble[ISSUER], "it does not answer");
    let running = world.serve(url.strip_prefix("https://").unwrap());
    assert_eq!(running.url, url);
    desk.turn(false).await;
    let told = desk.told();
    assert!(told.trouble.is_empty(), "{told:?}");
    let leaf = told.waivers[&digest].leaf;
    let list = "/v1/waivers?tenant=sim";
    let (_, listed) = world
        .ask(&url, "GET", list, &world.admin, &Value::Null)
        .await;
    assert_eq!(listed["waivers"][0]["leaf"], leaf);
    assert_eq!(listed["waivers"][0]["digest"], hex::encode(digest));
    // A controller that starts anew is told the same leaf.
    let anew = Desk::open(&pinned, "sim", "c").unwrap();
    anew.want(Wanted {
        waivers: BTreeMap::from([(digest, waiver(&world).1)]),
        ..Wanted::default()
    });
    anew.turn(false).await;
    assert_eq!(anew.told().waivers.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_verdict_is_told_gets_no_more_secrets_and_others_do() {
    let Some(world) = World::new() else { return };
    let running = world.serve("127.0.0.1:0");
    let url = running.url.clone();
    let token = world.cluster_token(&url).await;
    let before = world.attest(&url, 1).await;
    // No owner brought a rule; the stop comes before that.
    assert_eq!(refused(&before), ["release.rule"]);
    let status = AttestedNodeStatus {
        receipt: before.receipt.clone(),
        witness: Some(ISSUER.into()),
        ..AttestedNodeStatus::default()
    };
    let (issuer, leaf) = tell::verdict(&status).unwrap();
    let stop = |leaves: &[u64]| Wanted {
        stops: BTreeMap::from([(issuer.clone(), leaves.iter().copied().collect())]),
        ..Wanted::default()
    };
    let desk = Desk::open(&[world.pinned(&url, &token)], "sim", "c").unwrap();
    desk.want(stop(&[leaf]));
    desk.turn(false).await;
    assert!(desk.told().trouble.is_empty(), "{:?}", desk.told());
    assert_eq!(refused(&world.attest(&url, 1).await), ["release.stopped"]);
    assert_eq!(refused(&world.attest(&url, 2).await), ["release.rule"]);
    // What it does not know is told to people, and what it knows is stopped all the same.
    desk.want(stop(&[leaf, 999_999]));
    desk.turn(false).await;
    let trouble = &desk.told().trouble[ISSUER];
    assert_eq!(trouble, "it knows no verdicts of 1 machines");
    // Nothing that the controller says lifts a stop.
    desk.want(Wanted::default());
    desk.turn(true).await;
    assert_eq!(refused(&world.attest(&url, 1).await), ["release.stopped"]);
    let lift = format!("/v1/stops?tenant=sim&name={}", desk.stop_name());
    let (refusal, _) = world.ask(&url, "DELETE", &lift, &token, &Value::Null).await;
    assert_eq!(refusal, 403);
    let (lifted, _) = world
        .ask(&url, "DELETE", &lift, &world.admin, &Value::Null)
        .await;
    assert_eq!(lifted, 200);
    assert_eq!(refused(&world.attest(&url, 1).await), ["release.rule"]);
    // While it is wanted it is told again, in case that somebody lifted it too early.
    desk.want(stop(&[leaf]));
    desk.turn(true).await;
    assert_eq!(refused(&world.attest(&url, 1).await), ["release.stopped"]);
    // A token that is none any more is said so.
    fs::write(world.folder.path().join("cluster.token"), "guess").unwrap();
    desk.turn(true).await;
    assert_eq!(
        desk.told().trouble[ISSUER],
        "it refuses with 401 admin.token"
    );
}

#[test]
fn a_witness_is_told_over_tls_or_on_this_machine_and_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "t\n").unwrap();
    let open = |url: &str, ca: Option<PathBuf>, token: &Path| {
        let pinned = Pinned {
            issuer: ISSUER.into(),
            jwks: Jwks::of(&[]),
            tell: Some(Place {
                url: url.into(),
                ca,
                token: token.to_owned(),
            }),
        };
        let opened = Desk::open(&[pinned], "sim", "c");
        opened.map(|_| ()).map_err(|error| error.to_string())
    };
    assert!(open("http://127.0.0.1:1", None, &token).is_ok());
    let refused = |url: &str, ca: Option<PathBuf>, token: &Path, part: &str| {
        let because = open(url, ca, token).unwrap_err();
        assert!(because.contains(part), "{because}");
    };
    refused("http://192.0.2.1", None, &token, "would show the token");
    refused(
        "https://192.0.2.1",
        None,
        &token,
        "needs the witness's certificates",
    );
    refused(
        "https://192.0.2.1",
        Some(token.clone()),
        &token,
        "no certificate",
    );
    refused("ftp://127.0.0.1", None, &token, "would show the token");
    refused("nowhere", None, &token, "nowhere");
    let missing = folder.path().join("missing");
    refused("http://127.0.0.1:1", None, &missing, "missing");
}
