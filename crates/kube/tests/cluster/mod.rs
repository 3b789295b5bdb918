//! A real control plane, the controller that ships, and a witness's key: what the tests stand on.
//! There is no kubelet: tests write what a kubelet writes, with a kubelet's own credentials.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::EcdsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use zeuge_kube::api::AttestedNode;
use zeuge_kube::cluster::START_TAINT;
use zeuge_kube::{pkcs10, request};
use zeuge_protocol::binding::{BoundKey, Role};
use zeuge_protocol::ear::{
    self, Appraisal, Confirmation, Ear, Jwk, Jwks, Status, Vector, VerifierId,
};
use zeuge_protocol::keys::SigningKey;
use zeuge_protocol::name::Name;

pub(crate) const AUDIENCE: &str = "cluster.test";
const PROGRAM: &str = env!("CARGO_BIN_EXE_zeuge-kube");
const TOKEN: (&str, &str) = ("abcdef", "0123456789abcdef");

pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    controller: Option<Child>,
    pub(crate) admin: Client,
    pub(crate) uid: String,
    issued: AtomicI64,
    /// Whom the controller believes, in files.
    pub(crate) witnesses: Vec<String>,
    /// For which tenant they must have judged.
    pub(crate) tenant: &'static str,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_controller();
        let _ = script(&["stop", &self.path("plane")]);
    }
}

/// A machine's key, and how the API server sees it once it has joined.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) key: EcdsaKeyPair,
    secret: Vec<u8>,
    pub(crate) client: Option<Client>,
    beat: Mutex<Option<tokio::task::AbortHandle>>,
    /// What `zeuge-kube node join` would have left for the kubelet.
    pub(crate) kubeconfig: Value,
}

fn script(arguments: &[&str]) -> bool {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../scripts/kubernetes-control-plane"
    );
    let status = Command::new(path)
        .args(arguments)
        .stdout(Stdio::null())
        .status();
    status.unwrap().success()
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

async fn connect(kubeconfig: Value) -> Client {
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

/// Whoever this file says.
pub(crate) async fn client_of(file: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(file).unwrap();
    connect(serde_json::to_value(kubeconfig).unwrap()).await
}

/// Asks until there is an answer. On a machine with nothing else to do all comes within seconds; a
/// loaded one once took 90 s to start a controller-manager.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            println!("{what}: after {:.1} s", begun.elapsed().as_secs_f32());
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(240), "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One control plane at a time: two cores do not carry several, and the tests measure nothing.
pub(crate) async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    ONE.lock().await
}

/// The owner whose waivers count.
pub(crate) fn owner() -> zeuge_kube::owner::OwnerKey {
    zeuge_kube::owner::OwnerKey {
        person: "anna".into(),
        key: SigningKey::from_seed(&[8; 32]).unwrap(),
    }
}

fn witness() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plane = folder.path().join("plane");
        assert!(script(&["start", plane.to_str().unwrap()]));
        let config = Kubeconfig::read_from(plane.join("admin.kubeconfig")).unwrap();
        let admin = connect(serde_json::to_value(config).unwrap()).await;
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(admin.clone());
        let find = || async { namespaces.get("kube-system").await.ok()?.uid() };
        let uid = eventually("the cluster has a name", find).await;
        let cluster = Self {
            witnesses: vec![folder.path().join("witness.json").display().to_string()],
            tenant: "acme",
            folder,
            controller: None,
            admin,
            uid,
            issued: AtomicI64::new(now() - 200),
        };
        let pinned = json!({"issuer": "https://w1.test", "jwks": jwks()});
        fs::write(cluster.path("witness.json"), pinned.to_string()).unwrap();
        let set = json!({"tenant": "acme", "threshold": 1,
            "owners": [{"person": "anna", "public_key": owner().key.public()}]});
        fs::write(cluster.path("owners.json"), set.to_string()).unwrap();
        cluster.bootstrap().await;
        cluster
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn output(&self, arguments: &[&str]) -> std::process::Output {
        let kubeconfig = self.path("plane/admin.kubeconfig");
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .args(["--kubeconfig", &kubeconfig])
            .output()
            .unwrap()
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> String {
        let ended = self.output(arguments);
        assert!(
            ended.status.success(),
            "{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        String::from_utf8(ended.stdout).unwrap()
    }

    /// The same where it may be refused: the exit code, and all that was said.
    pub(crate) fn attempt(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let ended = self.output(arguments);
        let mut said = String::from_utf8(ended.stdout).unwrap();
        said.push_str(&String::from_utf8_lossy(&ended.stderr));
        (ended.status.code(), said)
    }

    /// Everything ends at once, the controller too, and the control plane alone comes back.
    pub(crate) fn power_off_and_on(&mut self) {
        self.stop_controller();
        assert!(script(&["power-off", &self.path("plane")]));
        assert!(script(&["power-on", &self.path("plane")]));
    }

    pub(crate) fn restart_api(&self) {
        assert!(script(&["restart-api", &self.path("plane")]));
    }

    /// The admin's configuration with another user.
    fn kubeconfig(&self, user: Value) -> Value {
        let file = Path::new(&self.path("plane")).join("admin.kubeconfig");
        let mut value = serde_json::to_value(Kubeconfig::read_from(file).unwrap()).unwrap();
        value["users"][0]["user"] = user;
        value
    }

    /// What kubeadm would make, without the bindings that approve by themselves.
    async fn bootstrap(&self) {
        let (id, secret) = TOKEN;
        self.apply(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token", "stringData": {"token-id": id,
            "token-secret": secret, "usage-bootstrap-authentication": "true"}}))
            .await;
        self.bind(
            "bootstrap",
            "system:node-bootstrapper",
            "system:bootstrappers",
        )
        .await;
    }

    pub(crate) async fn bind(&self, name: &str, role: &str, group: &str) {
        let api = "rbac.authorization.k8s.io";
        self.apply(
            json!({"apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": api, "kind": "Group", "name": group}]}),
        )
        .await;
    }

    /// Applies any object as the administrator, as kubectl would.
    pub(crate) async fn apply(&self, object: Value) {
        use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
        let (group, version) = object["apiVersion"]
            .as_str()
            .unwrap()
            .rsplit_once('/')
            .unwrap_or(("", "v1"));
        let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
        let plural = match kind.kind.as_str() {
            "AttestationPolicy" => "attestationpolicies".to_owned(),
            other => format!("{}s", other.to_lowercase()),
        };
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.admin.clone(), namespace, &resource),
            None => Api::all_with(self.admin.clone(), &resource),
        };
        let name = object["metadata"]["name"].as_str().unwrap();
        let ours = PatchParams::apply("test").force();
        api.patch(name, &ours, &Patch::Apply(&object))
            .await
            .unwrap();
    }

    /// Starts the controller with the identity that the installation made, and no more rights.
    pub(crate) async fn start_controller(&mut self) {
        // The one before was killed and could not give the Lease back; a power failure would cost
        // its life of 15 s, which is tested where two controllers are.
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
            Api::namespaced(self.admin.clone(), "zeuge-system");
        let free = json!({"spec": {"holderIdentity": null}});
        let put = PatchParams::default();
        let freed = || async {
            let free = Patch::Merge(free.clone());
            leases.patch("zeuge-kube", &put, &free).await.ok().map(drop)
        };
        eventually("the Lease is free", freed).await;
        self.controller = Some(self.spawn_controller("log").await);
    }

    /// The same, for a test that runs several; each writes its own log.
    pub(crate) async fn spawn_controller(&self, log: &str) -> Child {
        self.spawn_controller_every(log, "1").await
    }

    pub(crate) async fn spawn_controller_every(&self, log: &str, interval: &str) -> Child {
        use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
        use k8s_openapi::api::core::v1::ServiceAccount;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), "zeuge-system");
        let asked = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![],
                ..Default::default()
            },
            ..Default::default()
        };
        let made = accounts
            .create_token_request("zeuge-kube", &PostParams::default(), &asked)
            .await;
        let token = made.unwrap().status.unwrap().token;
        let file = self.path("controller.kubeconfig");
        fs::write(&file, self.kubeconfig(json!({"token": token})).to_string()).unwrap();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(log))
            .unwrap();
        let child = Command::new(PROGRAM)
            .args([
                "controller",
                "--interval",
                interval,
                "--tenant",
                self.tenant,
                "--audience",
                AUDIENCE,
            ])
            .args([
                "--kubeconfig",
                &file,
                "--owners",
                &self.path("owners.json"),
                "--not-applicable",
                "system:bootstrappers:plain",
            ])
            .args(self.witnesses.iter().flat_map(|it| ["--witness", it]))
            .stderr(log)
            .spawn();
        child.unwrap()
    }

    /// Kills the controller as a power failure would.
    pub(crate) fn stop_controller(&mut self) {
        if let Some(mut child) = self.controller.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A result for the key; each newer than the last. `failed` makes it one that refuses.
    pub(crate) fn result(&self, machine: &Machine, failed: &[&str]) -> Ear {
        self.result_at(machine, failed, self.issued.fetch_add(1, Ordering::Relaxed))
    }

    /// A result for the key, issued then.
    pub(crate) fn result_at(&self, machine: &Machine, failed: &[&str], issued: i64) -> Ear {
        let asked = request::client(&machine.name, &machine.key).unwrap();
        let (x, y) = pkcs10::read(asked.as_bytes()).unwrap().key;
        let status = if failed.is_empty() {
            Status::Affirming
        } else {
            Status::Contraindicated
        };
        let device = Appraisal {
            status,
            vector: Vector::default(),
            policy_ids: vec![],
            failed: failed.iter().map(|&id| id.to_owned()).collect(),
            makers: vec!["AMD".into()],
            product: Some("Milan".into()),
            adversaries: [("provider-employee".into(), "conditional".into())].into(),
            claims: Value::Null,
        };
        let context = [
            ("cluster-uid", self.uid.as_str()),
            ("node-name", machine.name.as_str()),
        ];
        Ear {
            profile: ear::PROFILE.into(),
            issuer: "https://w1.test".into(),
            audience: AUDIENCE.into(),
            issued,
            expires: issued + 300,
            nonce: None,
            verifier_id: VerifierId {
                developer: "test".into(),
                build: "test".into(),
            },
            confirmation: Some(Confirmation {
                jwk: Jwk::from_bound(&BoundKey::p256(&x, &y)).unwrap(),
            }),
            confirmation_role: Some(Role::KubeletClient),
            context: BTreeMap::from(context.map(|(key, value)| (key.into(), value.into()))),
            tenant: Name::parse("acme").unwrap(),
            policy_digest: [4; 32],
            knowledge_version: 0,
            receipt: None,
            submods: BTreeMap::from([("snp".into(), device)]),
        }
    }

    pub(crate) async fn newcomer(&self) -> Client {
        let token = format!("{}.{}", TOKEN.0, TOKEN.1);
        connect(self.kubeconfig(json!({"token": token}))).await
    }

    /// The newcomer's configuration as a file, for the program.
    pub(crate) fn bootstrap_file(&self) -> String {
        let token = format!("{}.{}", TOKEN.0, TOKEN.1);
        self.file_with_token("bootstrap.kubeconfig", &token)
    }

    pub(crate) fn file_with_token(&self, name: &str, token: &str) -> String {
        let file = self.path(name);
        fs::write(&file, self.kubeconfig(json!({"token": token})).to_string()).unwrap();
        file
    }

    /// A kubelet with what `zeuge-kube node join` left for it.
    pub(crate) async fn kubelet(&self, name: &str, kubeconfig: Value) -> Machine {
        let mut machine = Machine::new(name);
        machine.client = Some(connect(kubeconfig.clone()).await);
        machine.kubeconfig = kubeconfig;
        machine
    }

    /// A newcomer whose token gives a group of its own.
    pub(crate) async fn newcomer_of(&self, group: &str) -> Client {
        let (id, secret) = ("group1", TOKEN.1);
        self.apply(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token", "stringData": {"token-id": id,
            "token-secret": secret, "usage-bootstrap-authentication": "true",
            "auth-extra-groups": format!("system:bootstrappers:{group}")}}))
            .await;
        connect(self.kubeconfig(json!({"token": format!("{id}.{secret}")}))).await
    }

    /// Asks for a certificate as `client`, with a result or without; the request's name.
    pub(crate) async fn ask(
        &self,
        client: &Client,
        machine: &Machine,
        result: Option<&Ear>,
    ) -> String {
        self.ask_with(client, machine, result.map(token)).await
    }

    /// The controller looked at everything so many times from now on: requests that nobody's name
    /// stands in are denied at sight.
    pub(crate) async fn passes(&self, count: usize) {
        for _ in 0..count {
            let nobody = Machine::new("NOBODY");
            let csr = self.ask(&self.newcomer().await, &nobody, None).await;
            let malformed = ("Denied".into(), "KubeCsrMalformed".into());
            assert_eq!(self.decision(&csr).await, malformed);
        }
    }

    /// The same with any token.
    pub(crate) async fn ask_with(
        &self,
        client: &Client,
        machine: &Machine,
        result: Option<String>,
    ) -> String {
        let asked = request::client(&machine.name, &machine.key).unwrap();
        let mut csr = json!({"metadata": {"generateName": "test-"}, "spec": {
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "request": STANDARD.encode(asked), "usages": ["digital signature", "client auth"]}});
        if let Some(token) = result {
            csr["metadata"]["annotations"] = json!({"zeuge.dev/result": token});
        }
        let csr: CertificateSigningRequest = serde_json::from_value(csr).unwrap();
        let api: Api<CertificateSigningRequest> = Api::all(client.clone());
        let made = api.create(&PostParams::default(), &csr).await;
        made.unwrap().name_any()
    }

    /// What was decided: the condition's type and reason.
    pub(crate) async fn decision(&self, name: &str) -> (String, String) {
        let api: Api<CertificateSigningRequest> = Api::all(self.admin.clone());
        eventually(&format!("{name} is decided"), || async {
            let status = api.get(name).await.ok()?.status?;
            let condition = status.conditions?.into_iter().next()?;
            Some((condition.type_, condition.reason.unwrap_or_default()))
        })
        .await
    }

    pub(crate) async fn pending(&self, name: &str) -> bool {
        let api: Api<CertificateSigningRequest> = Api::all(self.admin.clone());
        let status = api.get(name).await.unwrap().status;
        status
            .and_then(|it| it.conditions)
            .is_none_or(|it| it.is_empty())
    }

    /// Takes the certificate of an approved request as the machine's own.
    pub(crate) async fn take(&self, name: &str, machine: &mut Machine) {
        let api: Api<CertificateSigningRequest> = Api::all(self.admin.clone());
        let certificate = eventually(&format!("{name} is signed"), || async {
            Some(api.get(name).await.ok()?.status?.certificate?.0)
        })
        .await;
        let key = request::armour("PRIVATE KEY", &machine.secret);
        let user = json!({"client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key)});
        machine.kubeconfig = self.kubeconfig(user);
        machine.client = Some(connect(machine.kubeconfig.clone()).await);
    }

    /// Joins with a good result and registers as a kubelet does: Ready, with the start taint.
    pub(crate) async fn join(&self, name: &str) -> Machine {
        let mut machine = Machine::new(name);
        let result = self.result(&machine, &[]);
        let csr = self
            .ask(&self.newcomer().await, &machine, Some(&result))
            .await;
        assert_eq!(
            self.decision(&csr).await,
            ("Approved".into(), "Attested".into())
        );
        self.take(&csr, &mut machine).await;
        machine.register(true).await.unwrap();
        machine.keep_ready();
        self.node(name, "is trusted", |node| {
            trusted(node) && !tainted(node, START_TAINT)
        })
        .await;
        machine
    }

    /// Brings results as the node does.
    pub(crate) async fn bring(
        &self,
        machine: &Machine,
        results: &[&Ear],
    ) -> Result<(), kube::Error> {
        let api: Api<AttestedNode> = Api::all(machine.client.clone().unwrap());
        let results: Vec<String> = results.iter().map(|it| token(it)).collect();
        let patch = json!({"spec": {"results": results}});
        let patched = api
            .patch(&machine.name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.map(drop)
    }

    pub(crate) async fn node(&self, name: &str, what: &str, is: impl Fn(&Node) -> bool) {
        let api: Api<Node> = Api::all(self.admin.clone());
        eventually(&format!("{name} {what}"), || async {
            api.get(name).await.ok().filter(|node| is(node)).map(drop)
        })
        .await;
    }
}

/// The witness's keys, as relying parties get them.
pub(crate) fn jwks() -> Jwks {
    Jwks::of(&[witness().public()])
}

pub(crate) fn token(ear: &Ear) -> String {
    ear::jwt::sign(ear, &witness()).unwrap()
}

pub(crate) fn trusted(node: &Node) -> bool {
    node.labels().contains_key(zeuge_kube::cluster::TRUST_LABEL)
}

pub(crate) fn tainted(node: &Node, key: &str) -> bool {
    let taints = node.spec.as_ref().and_then(|it| it.taints.as_ref());
    taints.is_some_and(|taints| taints.iter().any(|it| it.key == key))
}

pub(crate) fn cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|it| it.unschedulable) == Some(true)
}

impl Machine {
    pub(crate) fn new(name: &str) -> Self {
        let (key, secret) = request::key().unwrap();
        Self {
            name: name.into(),
            key,
            secret,
            client: None,
            beat: Mutex::new(None),
            kubeconfig: Value::Null,
        }
    }

    /// Creates the Node object with the machine's own credentials.
    pub(crate) async fn register(&self, with_taint: bool) -> Result<Node, kube::Error> {
        let taints = if with_taint {
            json!([{"key": START_TAINT, "effect": "NoSchedule"}])
        } else {
            json!([])
        };
        let node = json!({"metadata": {"name": self.name,
            "labels": {"kubernetes.io/hostname": self.name}}, "spec": {"taints": taints}});
        let api: Api<Node> = Api::all(self.client.clone().unwrap());
        api.create(
            &PostParams::default(),
            &serde_json::from_value(node).unwrap(),
        )
        .await
    }

    /// Says nothing any more.
    pub(crate) fn lose_power(&self) {
        if let Some(beat) = self.beat.lock().unwrap().take() {
            beat.abort();
        }
    }

    /// Reports Ready every few seconds, as a kubelet does, until the test ends or power is lost.
    pub(crate) fn keep_ready(&self) {
        let api: Api<Node> = Api::all(self.client.clone().unwrap());
        let name = self.name.clone();
        let beat = tokio::spawn(async move {
            loop {
                let at = zeuge_kube::belief::time(now());
                let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
                    "reason": "Test", "message": "", "lastHeartbeatTime": at,
                    "lastTransitionTime": at}]}});
                // Refused while the credentials are denied, and while the API server is away.
                let put = PatchParams::default();
                let _ = api
                    .patch_status(&name, &put, &Patch::Strategic(patch))
                    .await;
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        *self.beat.lock().unwrap() = Some(beat.abort_handle());
    }
}
