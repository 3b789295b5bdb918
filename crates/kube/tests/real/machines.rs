//! What real nodes are made of: `zeuged`, `zeuge-sim` and `zeuge-agent` as processes, a toy SEV-SNP
//! machine that is as wanted and one in debug mode, and a TPM in software. Built beside the program
//! under test; nothing of them is linked into it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::cluster::{AUDIENCE, eventually};

/// The only one for which a witness believes toys.
pub(crate) const TENANT: &str = "sim";
const PROGRAM: &str = env!("CARGO_BIN_EXE_zeuge-kube");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Why toy machines cannot be had here, if so.
pub(crate) fn impossible() -> Option<&'static str> {
    let said = Command::new("id").arg("-u").output().unwrap();
    let root = said.stdout.trim_ascii() == b"0";
    let possible = root && Path::new("/dev/fuse").exists();
    (!possible).then_some("toy machines need root and /dev/fuse")
}

/// A program of this repository, of the state that is tested.
fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Where the program under test was built, and as that was.
        let beside = Path::new(PROGRAM).parent().unwrap();
        let release = beside.ends_with("release").then_some("--release");
        let built = Command::new(env!("CARGO"))
            // With an example, and so with the features that a test run of the workspace built.
            .args(["build", "--locked", "--quiet", "--workspace", "--bins"])
            .args(["--example", "kubelet", "--target-dir"])
            .arg(beside.parent().unwrap())
            .args(release)
            .current_dir(ROOT)
            .status();
        assert!(built.unwrap().success());
    });
    Path::new(PROGRAM).with_file_name(name)
}

/// What a program printed, if it succeeded.
fn done(command: &mut Command) -> String {
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{command:?}: {said}");
    String::from_utf8(ended.stdout).unwrap()
}

fn text(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Ends with its owner, in good order: a toy takes its mount with it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.0.wait();
    }
}

/// A witness that is served, and what its owner signs.
struct Witness {
    folder: PathBuf,
    served: Process,
    url: String,
}

impl Witness {
    /// Made, but not yet served: its agents' configuration is part of what a machine is.
    fn init(folder: &Path, owner: &Path, port: u16) -> String {
        fs::create_dir_all(folder).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let made = done(
            Command::new(program("zeuged"))
                .args(["init", "--id", "w", "--tenant", TENANT, "--format", "json"])
                .args(["--url", &url, "--data", path(&folder.join("data"))])
                .args(["--owner", path(&owner.join("owner.pub"))])
                .args(["--agent-config", path(&folder.join("agent.json"))]),
        );
        let made: Value = serde_json::from_str(&made).unwrap();
        let token = folder.join("admin.token");
        text(&token, made["admin_token"].as_str().unwrap());
        let _ = Command::new("chmod").arg("600").arg(&token).status();
        url
    }

    async fn serve(folder: &Path, url: String, options: &[&str]) -> Self {
        let log = fs::File::create(folder.join("log")).unwrap();
        let address = url.strip_prefix("http://").unwrap();
        let served = Command::new(program("zeuged"))
            .args(["serve", "--offline", "--listen", address])
            .args(["--data", path(&folder.join("data"))])
            .args(options)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let witness = Self {
            folder: folder.to_owned(),
            served: Process(served.unwrap()),
            url,
        };
        let ready = || async { witness.ask("/readyz").map(drop) };
        eventually("the witness answers", ready).await;
        witness
    }

    fn ask(&self, at: &str) -> Option<Vec<u8>> {
        let url = format!("{}{at}", self.url);
        let asked = Command::new("curl").args(["-sf", &url]).output().unwrap();
        asked.status.success().then_some(asked.stdout)
    }

    /// `zeuge` as its administrator.
    fn administer(&self, arguments: &[&str]) -> String {
        done(
            Command::new(program("zeuge"))
                .args(arguments)
                .args(["--witness", &self.url, "--token-file"])
                .arg(self.folder.join("admin.token"))
                .env("XDG_CONFIG_HOME", self.folder.join("config"))
                .env("XDG_CACHE_HOME", self.folder.join("cache")),
        )
    }

    /// The owner signs what stands in the folder `fleet`.
    fn apply(&self, owner: &Path) {
        let (fleet, key) = (self.folder.join("fleet"), owner.join("owner.key"));
        self.administer(&["apply", "-f", path(&fleet), "--key", path(&key)]);
    }

    /// Its issuer and keys, as a controller pins them, and how it is told of what the cluster knows.
    fn pin(&self, file: &Path) {
        let token = self.folder.join("cluster.token");
        let grant = [
            "tenant", "grant", TENANT, "--name", "kube", "--role", "cluster",
        ];
        self.administer(&[&grant[..], &["--out", path(&token)]].concat());
        let read = |at: &str| -> Value { serde_json::from_slice(&self.ask(at).unwrap()).unwrap() };
        let issuer = read("/.well-known/openid-configuration")["issuer"].take();
        let jwks = read("/.well-known/jwks.json");
        let tell = serde_json::json!({"url": self.url, "token": token});
        let pinned = serde_json::json!({"issuer": issuer, "jwks": jwks, "tell": tell});
        text(file, &pinned.to_string());
    }
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// A place where `zeuge-agent` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A toy SEV-SNP machine that is as its owner wants it.
    Good,
    /// The same, in debug mode.
    Debug,
    /// A machine whose TPM alone speaks.
    Tpm,
}

/// Everything beside the cluster; ends with it.
pub(crate) struct Machines {
    folder: PathBuf,
    witnesses: Vec<Witness>,
    _others: Vec<Process>,
    /// Whether there is a machine with a TPM.
    pub(crate) has_tpm: bool,
}

impl Machines {
    /// Starts them; pins their witnesses into these files of the controller.
    pub(crate) async fn start(folder: PathBuf, pins: [&Path; 2]) -> Self {
        let (mut machines, owner) = Self::empty(folder);
        machines.toys(&owner, pins[0]).await;
        match machines.tpm_is_there() {
            true => machines.tpm(&owner, pins[1]).await,
            false => println!("skipped: a node with a TPM needs swtpm, swtpm-tools and tpm2-tools"),
        }
        machines
    }

    /// The toy machines and their witness, and no other.
    pub(crate) async fn toys_alone(folder: PathBuf, pin: &Path) -> Self {
        let (mut machines, owner) = Self::empty(folder);
        machines.toys(&owner, pin).await;
        machines
    }

    fn empty(folder: PathBuf) -> (Self, PathBuf) {
        let owner = folder.join("owner");
        let made = [
            "owner", "init", "--name", "anna", "--tenant", TENANT, "--out",
        ];
        done(Command::new(program("zeuge")).args(made).arg(&owner));
        let machines = Self {
            folder,
            witnesses: Vec::new(),
            _others: Vec::new(),
            has_tpm: false,
        };
        (machines, owner)
    }

    /// The maker with both machines, and the witness that believes it.
    async fn toys(&mut self, owner: &Path, pin: &Path) {
        let folder = self.folder.join("toy");
        let url = Witness::init(&folder, owner, free_port());
        let config = fs::read(folder.join("agent.json")).unwrap();
        let (digest, measurement) = (hex::encode(Sha256::digest(config)), "d3".repeat(48));
        let (good, debug) = (folder.join("good"), folder.join("debug"));
        for mount in [&good, &debug] {
            fs::create_dir(mount).unwrap();
        }
        let maker = folder.join("maker");
        let mut process = Command::new(program("zeuge-sim"))
            .args(["serve", "--product", "Genoa", "--dir", path(&maker)])
            .args(["--configfs", path(&good), "--liar"])
            .arg(format!("policy.debug={}", debug.display()))
            .args(["--measurement", &measurement, "--host-data", &digest])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        self._others.push(Process(process));
        assert!(lines.any(|it| it.is_ok_and(|it| it == "ready")));
        let trust = maker.join("trust.json");
        let endorsements = maker.join("endorsements");
        let options = [
            "--endorsements",
            path(&endorsements),
            "--dangerous-trust-sim",
        ];
        let options = [&options[..], &[path(&trust)]].concat();
        let witness = Witness::serve(&folder, url, &options).await;
        text(
            &folder.join("fleet/values.toml"),
            &format!(
                "schema = \"zeuge.reference-values.v1\"\n[[snp]]\nname = \"node image\"\n\
                 measurements = [\"{measurement}\"]\nhost_data = [\"{digest}\"]\n"
            ),
        );
        witness.apply(owner);
        witness.pin(pin);
        self.witnesses.push(witness);
    }

    fn tpm_is_there(&self) -> bool {
        let there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
        ["swtpm", "swtpm_setup", "swtpm_localca", "tpm2_pcrextend"]
            .iter()
            .all(there)
    }

    /// A TPM in software with a CA of its own, and the witness that believes this CA and no toy.
    async fn tpm(&mut self, owner: &Path, pin: &Path) {
        let folder = self.folder.join("tpm");
        let url = Witness::init(&folder, owner, free_port());
        self._others.push(software_tpm(&folder));
        let (issuers, roots) = (folder.join("issuers"), folder.join("roots"));
        let options = [
            "--endorsements",
            path(&issuers),
            "--tpm-roots",
            path(&roots),
        ];
        let witness = Witness::serve(&folder, url, &options).await;
        let zeros = "00".repeat(32);
        text(
            &folder.join("fleet/values.toml"),
            &format!(
                "schema = \"zeuge.reference-values.v1\"\n[[tpm]]\nname = \"node image\"\n\
                 pcrs = {{ sha256 = {{ \"0\" = [\"{zeros}\"], \"4\" = [\"{zeros}\"] }} }}\n"
            ),
        );
        text(
            &folder.join("fleet/policy.toml"),
            "schema = \"zeuge.policy.v1\"\n[tpm]\npcrs = [\"sha256:0,4\"]\n",
        );
        let socket = folder.join("sock");
        eventually("the TPM listens", || async {
            socket.exists().then_some(())
        })
        .await;
        done(
            Command::new(program("zeuge-agent"))
                .args([
                    "tpm",
                    "enroll",
                    "--config",
                    path(&folder.join("agent.json")),
                ])
                .args(["--tpm-socket", path(&folder.join("sock"))]),
        );
        let pending = [
            "hardware",
            "list",
            "--pending",
            "--tenant",
            TENANT,
            "--format",
            "json",
        ];
        let pending = witness.administer(&pending);
        let id = pending.split("\"id\":").nth(1).unwrap();
        let id = id.split('"').nth(1).unwrap();
        let list = folder.join("fleet/hardware.toml");
        let approve = [
            "hardware", "approve", id, "--name", "worker-4", "--tenant", TENANT,
        ];
        witness.administer(&[&approve[..], &["--file", path(&list)]].concat());
        witness.apply(owner);
        witness.pin(pin);
        self.witnesses.push(witness);
        self.has_tpm = true;
    }

    /// `zeuge` as administrator of the toys' witness.
    pub(crate) fn administer(&self, arguments: &[&str]) -> String {
        self.witnesses[0].administer(arguments)
    }

    /// The owner's key, and the set that it belongs to.
    pub(crate) fn owner(&self) -> [PathBuf; 2] {
        ["owner/owner.key", "owner/owner.pub"].map(|it| self.folder.join(it))
    }

    /// The toys' witness answers nobody from now on, or goes on: its process gets this signal.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.witnesses[0].served.0.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// The machine boots something else, as far as its TPM can tell.
    pub(crate) fn measure_something_else(&self) {
        let socket = self.folder.join("tpm/sock");
        let digest = "e1".repeat(32);
        done(
            Command::new("tpm2_pcrextend")
                .env("TPM2TOOLS_TCTI", format!("swtpm:path={}", socket.display()))
                .arg(format!("4:sha256={digest}")),
        );
    }

    /// `zeuge-kube node` in that machine, to its end.
    pub(crate) fn node(
        &self,
        command: &str,
        name: &str,
        kind: Kind,
        cluster_uid: &str,
        options: &[&str],
    ) -> Output {
        let folder = self.place(name);
        fs::create_dir_all(folder.join("agent")).unwrap();
        let mut node = Command::new(PROGRAM);
        node.args([
            "node",
            command,
            "--name",
            name,
            "--cluster-uid",
            cluster_uid,
        ])
        .args(["--audience", AUDIENCE, "--dir", path(&folder)])
        .args(options)
        .arg("--");
        let home = self
            .folder
            .join(if kind == Kind::Tpm { "tpm" } else { "toy" });
        if kind != Kind::Tpm {
            node.arg(format!("{ROOT}/scripts/in-toy-machine"))
                .arg(self.toy(kind));
        }
        node.arg(program("zeuge-agent"))
            .args(["attest", "--config", path(&home.join("agent.json"))])
            .args(["--state", path(&folder.join("agent"))]);
        if kind == Kind::Tpm {
            let socket = home.join("sock");
            // In an image its boot pins the configuration; a bare TPM here does not.
            node.args(["--tpm-pcrs", "0,4", "--tpm-socket", path(&socket)])
                .args(["--dangerous-unpinned-config", "a test"]);
        }
        node.output().unwrap()
    }

    /// `zeuge-kube node declare` once, as in a pod with this configuration, in that machine.
    pub(crate) fn declare(&self, name: &str, kind: Kind, kubeconfig: &str) -> Output {
        let folder = self.place(name);
        let mount = self.toy(kind);
        Command::new(PROGRAM)
            .args([
                "node",
                "declare",
                "--once",
                "--name",
                name,
                "--dir",
                path(&folder),
            ])
            .args(["--audience", AUDIENCE, "--kubeconfig", kubeconfig, "--"])
            .arg(format!("{ROOT}/scripts/in-toy-machine"))
            .arg(mount)
            .arg(program("zeuge-agent"))
            .args(["attest", "--config", &self.toy_config()])
            .args(["--state", path(&folder.join("agent"))])
            .output()
            .unwrap()
    }

    /// Where the stand-in for that machine's device is.
    fn toy(&self, kind: Kind) -> PathBuf {
        let mount = if kind == Kind::Good { "good" } else { "debug" };
        self.folder.join("toy").join(mount)
    }

    /// The agents' configuration for the toy machines' witness.
    pub(crate) fn toy_config(&self) -> String {
        path(&self.folder.join("toy/agent.json")).to_owned()
    }

    /// The folder of a node's identity.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.join("nodes").join(name)
    }

    /// What `zeuge-kube node join` left for the kubelet.
    pub(crate) fn kubeconfig(&self, name: &str) -> Value {
        let mut text = String::new();
        let mut file = fs::File::open(self.place(name).join("kubelet.kubeconfig")).unwrap();
        file.read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// Makes and starts it: `folder/sock`, its root in `folder/roots`, its issuer in `folder/issuers`.
fn software_tpm(folder: &Path) -> Process {
    let (ca, state, at) = (folder.join("ca"), folder.join("state"), folder.display());
    for part in [&ca, &state] {
        fs::create_dir_all(part).unwrap();
    }
    let tool = done(Command::new("sh").args(["-c", "command -v swtpm_localca"]));
    text(
        &folder.join("setup.conf"),
        &format!(
            "create_certs_tool = {}\ncreate_certs_tool_config = {at}/localca.conf\n\
             create_certs_tool_options = {at}/localca.options\nactive_pcr_banks = sha256\n",
            tool.trim()
        ),
    );
    text(
        &folder.join("localca.conf"),
        &format!(
            "statedir = {at}/ca\nsigningkey = {at}/ca/signkey.pem\n\
             issuercert = {at}/ca/issuercert.pem\ncertserial = {at}/ca/certserial\n"
        ),
    );
    text(
        &folder.join("localca.options"),
        "--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n",
    );
    done(
        Command::new("swtpm_setup")
            .args([
                "--tpm2",
                "--create-ek-cert",
                "--pcr-banks",
                "sha256",
                "--overwrite",
            ])
            .args(["--tpmstate", path(&state), "--config"])
            .arg(folder.join("setup.conf")),
    );
    text(
        &folder.join("roots/tpm-roots.toml"),
        "schema = \"zeuge.tpm-roots.v1\"\n[[root]]\nfile = \"root.pem\"\nmaker = \"the CA of a test\"\n\
         jurisdiction = \"none\"\norigin = \"made by this test\"\n",
    );
    fs::copy(
        ca.join("swtpm-localca-rootca-cert.pem"),
        folder.join("roots/root.pem"),
    )
    .unwrap();
    fs::create_dir(folder.join("issuers")).unwrap();
    fs::copy(ca.join("issuercert.pem"), folder.join("issuers/issuer.pem")).unwrap();
    let process = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .arg("--server")
        .arg(format!("type=unixio,path={at}/sock"))
        .arg("--ctrl")
        .arg(format!("type=unixio,path={at}/sock.ctrl"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Process(process.unwrap())
}
