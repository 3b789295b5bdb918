//! A witness in this process, a toy machine, an owner, and a client that keeps what it was
//! answered.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use zeuge_collateral::{Channel, Sources};
use zeuge_evidence::UnixTime;
use zeuge_protocol::api::{AttestRequest, ChallengeAnswer, Problem, SecretUpload};
use zeuge_protocol::binding::{Binding, Role, Witness as BoundWitness};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::document::{Document, Header, Kind, Owner, OwnerSet};
use zeuge_protocol::keys::{PublicKey, SigningKey};
use zeuge_protocol::manifest::encrypt_secret;
use zeuge_protocol::name::{Name, Path as SecretPath};
use zeuge_protocol::request::{Request, Wanted};
use zeuge_protocol::seal::SessionKey;
use zeuge_protocol::suite::Suite;
use zeuge_server::clock::Clock;
use zeuge_server::http::{Peer, router};
use zeuge_server::keys;
use zeuge_server::witness::{Options, Witness};
use zeuge_sim::{Product, ReportSpec, ToyAmd, ToyIntel, ToyNitro, ToyTpm};
use zeuge_verify::Anchors;

pub(crate) const SECRET: &[u8] = b"the key of the disk: 4b1d-never-in-the-clear";

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

fn real_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Runs `zeuged` with these arguments; standard output of success, standard error of failure.
pub(crate) fn zeuged(arguments: &[&str]) -> Result<String, String> {
    let done = Command::new(env!("CARGO_BIN_EXE_zeuged"))
        .args(arguments)
        .output()
        .unwrap();
    if done.status.success() {
        Ok(String::from_utf8(done.stdout).unwrap())
    } else {
        Err(String::from_utf8(done.stderr).unwrap())
    }
}

/// What `zeuged serve` says on a folder that it must not serve.
pub(crate) fn refused_start(data: &Path, more: &[&str]) -> String {
    let data = data.to_str().unwrap();
    let serve = ["serve", "--data", data, "--listen", "127.0.0.1:0"];
    zeuged(&[&serve[..], more].concat()).unwrap_err()
}

/// Copies a folder with everything in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.unwrap().success());
}

/// A data folder that `zeuged init` made, and everything around it.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) owner: SigningKey,
    pub(crate) admin: String,
    pub(crate) answer_key: PublicKey,
    pub(crate) vkey: String,
    pub(crate) now: Arc<AtomicI64>,
}

/// A witness that serves, until dropped.
pub(crate) struct Running {
    pub(crate) witness: Arc<Witness>,
    client: Client,
    pub(crate) wall: Arc<AtomicI64>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::within(|_| true).unwrap()
    }

    /// The same with a data folder that somebody prepares; nothing when that cannot be done.
    pub(crate) fn within(prepare: impl FnOnce(&Path) -> bool) -> Option<Self> {
        // Captured with the test, and shown when it fails.
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_test_writer()
            .try_init();
        let folder = tempfile::tempdir().unwrap();
        if !prepare(&folder.path().join("data")) {
            return None;
        }
        let owner = SigningKey::from_seed(&[9; 32]).unwrap();
        let file = folder.path().join("owner");
        fs::write(&file, hex::encode(owner.public().0)).unwrap();
        let data = folder.path().join("data");
        let said = zeuged(&[
            "init",
            "--data",
            data.to_str().unwrap(),
            "--owner",
            file.to_str().unwrap(),
            "--id",
            "w1",
            "--tenant",
            "sim",
            "--tenant",
            "acme",
            "--format",
            "json",
        ])
        .unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        Some(Self {
            folder,
            owner,
            admin: text("admin_token"),
            answer_key: serde_json::from_value(said["answer_key"].clone()).unwrap(),
            vkey: text("log_vkey"),
            now: Arc::new(AtomicI64::new(real_now())),
        })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The world's clock is set to that of the machine, by which processes go.
    pub(crate) fn catch_up(&self) {
        self.now.fetch_max(real_now(), Ordering::Relaxed);
    }

    /// Time passes.
    pub(crate) fn pass(&self, secs: i64) {
        self.now.fetch_add(secs, Ordering::Relaxed);
    }

    pub(crate) fn owners(&self, tenant: &str) -> OwnerSet {
        OwnerSet {
            tenant: name(tenant),
            threshold: 1,
            author_is_not_approver: false,
            owners: vec![Owner {
                person: "owner".to_owned(),
                public_key: self.owner.public(),
            }],
            carries: Default::default(),
        }
    }

    pub(crate) fn start(&self) -> Running {
        self.start_on(&self.data())
    }

    /// Serves a folder with the toy's roots for the tenant `sim`. Its clocks are this world's.
    pub(crate) fn start_on(&self, data: &Path) -> Running {
        self.start_with(data, None)
    }

    /// The same, with a key service for the tenant `sim`.
    pub(crate) fn start_with(&self, data: &Path, sim_kds: Option<Sources>) -> Running {
        self.open(data, sim_kds).unwrap()
    }

    /// Serves the folder, or says why not.
    pub(crate) fn try_start(&self) -> Result<Running, String> {
        self.try_start_on(&self.data())
    }

    /// The same for another folder.
    pub(crate) fn try_start_on(&self, data: &Path) -> Result<Running, String> {
        self.open(data, None)
    }

    fn open(&self, data: &Path, sim_kds: Option<Sources>) -> Result<Running, String> {
        let options = Options {
            endorsements: None,
            sim: Some(Anchors::dangerous_sim(&trust_file()).unwrap()),
            archive_bytes_max: 1 << 30,
            makers: None,
            sim_makers: sim_kds,
            channel: Channel::Standard,
            ..Options::default()
        };
        // What the wall clock is ahead of true time.
        let wall = Arc::new(AtomicI64::new(0));
        let (ahead, passed, monotonic) = (wall.clone(), self.now.clone(), self.now.clone());
        let witness = Witness::open(data, options, move |high_water| {
            Clock::new(
                move || passed.load(Ordering::Relaxed) + ahead.load(Ordering::Relaxed),
                move || monotonic.load(Ordering::Relaxed),
                high_water,
            )
        })
        .map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let socket = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let service = router(Arc::clone(&witness)).into_make_service_with_connect_info::<Peer>();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        runtime.spawn(Arc::clone(&witness.sequencer).run(stopped.clone()));
        runtime.spawn(zeuge_server::health::watch(Arc::clone(&witness), stopped));
        runtime.spawn(async move {
            let _stop = stop;
            axum::serve(socket, service).await
        });
        Ok(Running {
            witness,
            client: Client(address),
            wall,
            runtime: Some(runtime),
        })
    }

    /// A document that the owner signed.
    pub(crate) fn document(
        &self,
        kind: Kind,
        tenant: &str,
        at: &str,
        version: u64,
        text: &str,
    ) -> Document {
        let header = Header {
            kind,
            tenant: name(tenant),
            name: path(at),
            version,
            issued: self.now(),
            expires: self.now() + 86_400,
        };
        let mut document = Document::unsigned(header, text.as_bytes().to_vec());
        document.sign(&self.owner);
        document
    }

    /// What the owner wants in the tests: one known measurement, one rule.
    pub(crate) fn furnish(&self, running: &Client, tenant: &str) {
        self.bring_documents(running, tenant, 1);
        self.put_secret(running, tenant, "db/key", 1, &self.owner)
            .unwrap();
    }

    /// The owner's documents once more, as they are brought after a recovery.
    pub(crate) fn furnish_again(&self, running: &Client, tenant: &str) {
        // What is signed within the second of a recovery does not count as signed after it.
        self.pass(1);
        self.bring_documents(running, tenant, 2);
    }

    fn bring_documents(&self, running: &Client, tenant: &str, version: u64) {
        let values = format!(
            "schema = \"zeuge.reference-values.v1\"\n[[snp]]\nname = \"web\"\n\
             measurements = [\"{}\"]\n",
            "22".repeat(48)
        );
        let values = self.document(
            Kind::ReferenceValues,
            tenant,
            "reference-values",
            version,
            &values,
        );
        let rule = self.document(
            Kind::ReleaseRule,
            tenant,
            "db/key",
            version,
            &rule(tenant, "db/key"),
        );
        for (kind, document) in [("reference-values", values), ("release-rule", rule)] {
            let body = serde_json::to_vec(&document).unwrap();
            let at = format!("/v1/documents/{kind}");
            running.admin("PUT", &at, &self.admin, &body).unwrap();
        }
    }

    /// Encrypts, signs and uploads a secret.
    pub(crate) fn put_secret(
        &self,
        running: &Client,
        tenant: &str,
        at: &str,
        version: u64,
        signer: &SigningKey,
    ) -> Result<Vec<u8>, Box<Problem>> {
        let upload = self.upload(tenant, at, version, signer);
        let body = serde_json::to_vec(&upload).unwrap();
        running.admin("PUT", "/v1/secrets", &self.admin, &body)
    }

    /// A secret, encrypted and signed.
    pub(crate) fn upload(
        &self,
        tenant: &str,
        at: &str,
        version: u64,
        signer: &SigningKey,
    ) -> SecretUpload {
        let made = encrypt_secret(
            &name(tenant),
            &path(at),
            version,
            &name("w1"),
            SECRET,
            &mut keys::random,
        )
        .unwrap();
        let mut manifest = made.manifest.document(self.now(), self.now() + 86_400);
        manifest.sign(signer);
        SecretUpload {
            manifest,
            payload: made.ciphertext,
            share: made.share.encode().to_vec(),
        }
    }
}

/// The roots of all toy makers in one file.
pub(crate) fn trust_file() -> String {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let mut trust = read(&ToyAmd::shared().trust_file(&Product::ALL));
    trust["intel"] = read(&ToyIntel::shared().trust_file())["intel"].take();
    trust["tpm"] = read(&ToyTpm::shared().trust_file())["tpm"].take();
    trust["aws"] = read(&ToyNitro::shared().trust_file())["aws"].take();
    trust.to_string()
}

/// A rule for the toy workload.
pub(crate) fn rule(tenant: &str, at: &str) -> String {
    format!(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"{tenant}\"\npath = \"{at}\"\n\
         door = \"agent\"\nevidence = [\"snp\"]\nminimum_suite = \"x-wing\"\n\
         chips = \"dangerous_any_chip\"\nworkload = \"web\"\n"
    )
}

/// Speaks HTTP to an address.
#[derive(Clone, Copy)]
pub(crate) struct Client(pub(crate) SocketAddr);

impl std::ops::Deref for Running {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Client {
    pub(crate) fn send(
        &self,
        method: &str,
        at: &str,
        token: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<u8>, Box<Problem>> {
        self.send_accepting(method, at, token, ("*/*", body))
            .map(|(_, body)| body)
    }

    /// Head and body of the answer to a request that says what it accepts.
    pub(crate) fn send_accepting(
        &self,
        method: &str,
        at: &str,
        token: Option<&str>,
        (accept, body): (&str, &[u8]),
    ) -> Result<(String, Vec<u8>), Box<Problem>> {
        let answer = self.exchange((method, at), token, (accept, body)).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let body = answer[end + 4..].to_vec();
        if answer.starts_with(b"HTTP/1.1 200 ") {
            let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
            Ok((head, body))
        } else {
            Err(serde_json::from_slice(&body)
                .unwrap_or_else(|_| panic!("not a problem: {}", String::from_utf8_lossy(&answer))))
        }
    }

    /// Body or problem from a witness that may die on the way; nothing when it did.
    pub(crate) fn try_answer(
        &self,
        method: &str,
        at: &str,
        token: Option<&str>,
        body: &[u8],
    ) -> Option<Result<Vec<u8>, Problem>> {
        let answer = self.exchange((method, at), token, ("*/*", body)).ok()?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if length.and_then(|length| length.parse().ok()) != Some(body.len()) {
            return None;
        }
        if head.starts_with("HTTP/1.1 200 ") {
            return Some(Ok(body.to_vec()));
        }
        serde_json::from_slice(body).ok().map(Err)
    }

    pub(crate) fn exchange(
        &self,
        (method, at): (&str, &str),
        token: Option<&str>,
        (accept, body): (&str, &[u8]),
    ) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.0)?;
        let token = token.map_or_else(String::new, |token| {
            format!("authorization: Bearer {token}\r\n")
        });
        let head = format!(
            "{method} {at} HTTP/1.1\r\nhost: w1\r\nconnection: close\r\naccept: {accept}\r\n{token}\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    pub(crate) fn admin(
        &self,
        method: &str,
        at: &str,
        token: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, Box<Problem>> {
        self.send(method, at, Some(token), body)
    }

    pub(crate) fn get(&self, at: &str) -> Result<Vec<u8>, Box<Problem>> {
        self.send("GET", at, None, b"")
    }

    pub(crate) fn challenge(&self, tenant: &str) -> ChallengeAnswer {
        let body = format!("{{\"tenant\":\"{tenant}\"}}");
        let answer = self.send("POST", "/v1/challenges", None, body.as_bytes());
        serde_json::from_slice(&answer.unwrap()).unwrap()
    }

    pub(crate) fn attest(&self, request: &AttestRequest) -> Result<Vec<u8>, Box<Problem>> {
        let at = match request.request.purpose {
            zeuge_protocol::request::Purpose::Appraisal => "/v1/appraisals",
            _ => "/v1/releases",
        };
        self.send("POST", at, None, &serde_json::to_vec(request).unwrap())
    }
}

/// A wire between a client and a witness that somebody listens to.
pub(crate) struct Wire {
    pub(crate) client: Client,
    heard: Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Wire {
    pub(crate) fn tap(to: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client(listener.local_addr().unwrap());
        let heard: Arc<std::sync::Mutex<Vec<u8>>> = Arc::default();
        let ears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(to).unwrap();
                for (mut from, mut into) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far, near),
                ] {
                    let ears = Arc::clone(&ears);
                    std::thread::spawn(move || {
                        let mut piece = [0; 4096];
                        while let Ok(count @ 1..) = from.read(&mut piece) {
                            ears.lock().unwrap().extend(&piece[..count]);
                            if into.write_all(&piece[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = into.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
        Self { client, heard }
    }

    /// Everything that went over it, in both directions.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // As `zeuged serve` does at its end; disks that do not take it are some tests' business.
            let _ = self.witness.sequencer.sequence();
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        }
    }
}

/// The toy machine's evidence over this report data.
pub(crate) fn evidence(report_data: [u8; 64], now: i64) -> Bundle {
    evidence_of(
        &ReportSpec {
            report_data,
            ..ReportSpec::new(Product::Milan)
        },
        now,
    )
}

pub(crate) fn evidence_of(spec: &ReportSpec, now: i64) -> Bundle {
    let told = ToyAmd::shared().tell(None, spec, UnixTime(now));
    let file = told.table_file();
    let (report, table) = file.split_at(zeuge_sim::REPORT_BYTES);
    let mut bundle = Bundle::new();
    bundle
        .put(name("snp"), Media::SnpReport, report.to_vec())
        .unwrap();
    let label = name("snp.certificates");
    bundle
        .put(label, Media::SnpCertificates, table.to_vec())
        .unwrap();
    bundle
}

/// One attempt, made by hand so that it can be made wrong.
pub(crate) struct Attempt {
    pub(crate) challenge: ChallengeAnswer,
    pub(crate) key: SessionKey,
    pub(crate) request: Request,
    pub(crate) binding: Binding,
}

impl Attempt {
    pub(crate) fn new(challenge: ChallengeAnswer, request: Request, suite: Suite) -> Self {
        let mut seed = [0; 32];
        keys::random(&mut seed);
        let key = SessionKey::from_seed(suite, seed).unwrap();
        let witness = BoundWitness {
            id: challenge.witness.clone(),
            tenant: challenge.tenant.clone(),
            nonce: challenge.nonce,
        };
        let keys = [(Role::Kem, key.bound())].into();
        let binding = Binding::new(vec![witness], keys, request.digest(), vec![], None).unwrap();
        Self {
            challenge,
            key,
            request,
            binding,
        }
    }

    /// As an honest agent would do it.
    pub(crate) fn honest(running: &Running, tenant: &str, wanted: &[&str]) -> Self {
        Self::new(running.challenge(tenant), release_of(wanted), Suite::X_WING)
    }

    pub(crate) fn body(&self, bundle: &Bundle) -> AttestRequest {
        AttestRequest {
            tenant: self.challenge.tenant.clone(),
            challenge: self.challenge.challenge.clone(),
            binding: self.binding.encode(),
            request: self.request.clone(),
            bundle: bundle.to_cbor(),
        }
    }
}

pub(crate) fn release_of(wanted: &[&str]) -> Request {
    let wanted = wanted.iter().map(|at| Wanted {
        path: path(at),
        version: 0,
    });
    Request::release(wanted, [Suite::X_WING])
}

/// Whether any file below a folder holds these bytes.
pub(crate) fn found_in(folder: &Path, needle: &[u8]) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).unwrap() {
        let at = entry.unwrap().path();
        if at.is_dir() {
            if let Some(found) = found_in(&at, needle) {
                return Some(found);
            }
        } else if fs::read(&at)
            .unwrap()
            .windows(needle.len())
            .any(|window| window == needle)
        {
            return Some(at);
        }
    }
    None
}

/// A GET over TLS that trusts exactly this certificate (PEM); head and body.
pub(crate) fn get_over_tls(address: SocketAddr, certificate: &[u8], at: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let head = format!("GET {at} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}
