//! The node's side: makes the kubelet's key in the machine, has it attested, joins, and keeps the
//! cluster supplied with fresh results.
//!
//! Evidence is `zeuge-agent`'s business: it is started as a program, with the key, the cluster and
//! the node's name to bind. The private key is written once, into a folder that must not outlive
//! the machine's attested state; it is never sent. Nothing here is believed by the controller but
//! the token that the witness signed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};

use crate::api::AttestedNode;
use crate::error::Error;
use crate::join::{
    ASK_ANNOTATION, BOOT_ID, CLIENT_SIGNER, CLUSTER_UID, NODE_NAME, NODE_USER, RESULT_ANNOTATION,
    SERVING_SIGNER,
};
use crate::{certificate, pkcs10, request};

mod declare;

pub use declare::{cluster_uid, declare};

/// The longest token that an agent may leave behind, as everywhere.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;
/// How often the API server is asked whether a request was decided.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long a renewal may wait for its decision before fresh results matter more.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(30);
/// The kubelet's configuration, in the folder of the identity.
const OWN: &str = "kubelet.kubeconfig";
/// Where Linux says which boot this is.
const BOOT_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// Who this node is, and how it is attested.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The node's name.
    pub name: String,
    /// The UID of the cluster's namespace kube-system, from measured configuration.
    pub cluster_uid: String,
    /// For whom tokens are meant.
    pub audience: String,
    /// `zeuge-agent attest` with the options that say where the witness is.
    pub agent: Vec<String>,
    /// The folder for key, certificate and configuration.
    pub folder: PathBuf,
}

impl Identity {
    /// A token that confirms this public key for this role.
    async fn attest(&self, role: &str, public_pem: &str) -> Result<String, Error> {
        let public = self.folder.join("bound.pub");
        write(&public, public_pem.as_bytes())?;
        let bind = format!("{role}={}", public.display());
        self.ask(&["--bind", &bind]).await
    }

    /// A token about this machine, with more options of the agent.
    async fn ask(&self, options: &[&str]) -> Result<String, Error> {
        let token = self.folder.join("token");
        let _ = fs::remove_file(&token);
        let (program, own) = self
            .agent
            .split_first()
            .ok_or_else(|| Error::Local("no agent is named after --".into()))?;
        let mut command = tokio::process::Command::new(program);
        command
            .args(own)
            .args(["--audience", &self.audience])
            .args(options)
            .arg("--context")
            .arg(format!("{CLUSTER_UID}={}", self.cluster_uid))
            .arg("--context")
            .arg(format!("{NODE_NAME}={}", self.name))
            .arg("--token-out")
            .arg(&token);
        if let Ok(boot) = fs::read_to_string(BOOT_FILE) {
            command
                .arg("--context")
                .arg(format!("{BOOT_ID}={}", boot.trim()));
        }
        let ended = command
            .status()
            .await
            .map_err(|error| Error::Local(format!("{program}: {error}")))?;
        // A machine that is refused gets a token that says so: it is shown, not kept back.
        read(&token).map_err(|_| Error::Local(format!("{program} gave no token ({ended})")))
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    fs::File::open(path)?
        .take(TOKEN_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// A file that only its owner reads, as a whole or not at all.
fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = |error| Error::Local(format!("{}: {error}", path.display()));
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(failed)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&partial, path))
        .map_err(failed)
}

async fn client(kubeconfig: &Kubeconfig) -> Result<Client, Error> {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await;
    let config = config.map_err(|error| Error::Local(format!("kubeconfig: {error}")))?;
    Ok(Client::try_from(config)?)
}

/// Joins: fresh key, result, request, certificate. Leaves `kubelet.kubeconfig` for the kubelet.
///
/// # Errors
/// `kube.local` when the agent gives no token, the request is denied (with the controller's
/// sentence) or is not decided in time; `kube.api`.
pub async fn join(identity: &Identity, bootstrap: &Path, patience: Duration) -> Result<(), Error> {
    let kubeconfig = Kubeconfig::read_from(bootstrap)
        .map_err(|error| Error::Local(format!("{}: {error}", bootstrap.display())))?;
    fs::create_dir_all(&identity.folder)
        .map_err(|error| Error::Local(format!("{}: {error}", identity.folder.display())))?;
    obtain(identity, &kubeconfig, patience).await
}

/// Renews: as [`join`], asked for with the certificate that is held.
///
/// # Errors
/// As [`join`]; the old certificate stays where it was.
pub async fn renew(identity: &Identity, patience: Duration) -> Result<(), Error> {
    obtain(identity, &own(identity)?, patience).await
}

fn own(identity: &Identity) -> Result<Kubeconfig, Error> {
    let path = identity.folder.join(OWN);
    Kubeconfig::read_from(&path)
        .map_err(|error| Error::Local(format!("{}: {error}", path.display())))
}

/// Whether half of the certificate's life is over; one that cannot be read is not renewed.
fn is_due(kubeconfig: &Kubeconfig) -> bool {
    let read = || {
        let value = serde_json::to_value(kubeconfig).ok()?;
        let data = value["users"][0]["user"]["client-certificate-data"].as_str()?;
        certificate::validity(&STANDARD.decode(data).ok()?)
    };
    let now = jiff::Timestamp::now().as_second();
    read().is_some_and(|validity| validity.half() <= now)
}

/// A fresh key, attested, and a certificate for it, asked for with the identity of `kubeconfig`.
async fn obtain(
    identity: &Identity,
    kubeconfig: &Kubeconfig,
    patience: Duration,
) -> Result<(), Error> {
    let api: Api<CertificateSigningRequest> = Api::all(client(kubeconfig).await?);
    let (key, secret) = request::key()?;
    let asked = request::client(&identity.name, &key)?;
    let own = pkcs10::read(asked.as_bytes()).map_err(|it| Error::Local(it.into()))?;
    let public = request::public_pem(&own.key.0, &own.key.1);
    let token = identity.attest("kubelet-client", &public).await?;
    let csr = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {
            "generateName": format!("zeuge-{}-", identity.name),
            "annotations": {RESULT_ANNOTATION: token}
        },
        "spec": {
            "signerName": CLIENT_SIGNER, "request": STANDARD.encode(asked),
            "usages": ["digital signature", "client auth"]
        }
    });
    let csr = serde_json::from_value(csr)
        .map_err(|error| Error::Local(format!("the request cannot be written: {error}")))?;
    let csr = api.create(&PostParams::default(), &csr).await?;
    let certificate = decided(&api, &csr.name_any(), patience).await?;
    let key_pem = request::armour("PRIVATE KEY", &secret);
    let own = with_identity(kubeconfig, &identity.name, &certificate, key_pem.as_bytes())?;
    write(&identity.folder.join(OWN), own.to_string().as_bytes())
}

/// Waits for the certificate.
async fn decided(
    api: &Api<CertificateSigningRequest>,
    name: &str,
    patience: Duration,
) -> Result<Vec<u8>, Error> {
    let until = std::time::Instant::now() + patience;
    loop {
        let status = api.get(name).await?.status.unwrap_or_default();
        if let Some(certificate) = status.certificate {
            return Ok(certificate.0);
        }
        let conditions = status.conditions.unwrap_or_default();
        if let Some(no) = conditions.iter().find(|it| it.type_ != "Approved") {
            let because = no.message.as_deref().unwrap_or_default();
            return Err(Error::Local(format!("{}: {because}", no.type_)));
        }
        if std::time::Instant::now() > until {
            let because = format!("{name} was not decided within {} s", patience.as_secs());
            return Err(Error::Local(because));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// The bootstrap configuration with the node's own identity in place of the token.
fn with_identity(
    bootstrap: &Kubeconfig,
    node: &str,
    certificate: &[u8],
    key: &[u8],
) -> Result<Value, Error> {
    let bad = |error| Error::Local(format!("kubeconfig: {error}"));
    let mut value = serde_json::to_value(bootstrap).map_err(bad)?;
    let user = format!("{NODE_USER}{node}");
    value["users"] = json!([{"name": user, "user": {
        "client-certificate-data": STANDARD.encode(certificate),
        "client-key-data": STANDARD.encode(key),
    }}]);
    let current = value["current-context"].clone();
    let contexts = value["contexts"].as_array().cloned().unwrap_or_default();
    let context = contexts.into_iter().find(|it| it["name"] == current);
    let mut context =
        context.ok_or_else(|| Error::Local("kubeconfig: no current context".into()))?;
    context["context"]["user"] = json!(user);
    value["contexts"] = json!([context]);
    Ok(value)
}

/// Brings a fresh result for the key of the node's certificate, and one for every pending request
/// of the kubelet; renews the certificate first when half of its life is over.
///
/// # Errors
/// `kube.local`, `kube.api`.
pub async fn refresh(identity: &Identity) -> Result<(), Error> {
    let mut kubeconfig = own(identity)?;
    if is_due(&kubeconfig) {
        // A renewal that is refused or waits is no reason to bring nothing.
        match renew(identity, RENEWAL_PATIENCE).await {
            Ok(()) => kubeconfig = own(identity)?,
            Err(error) => tracing::warn!(%error, "the certificate was not renewed"),
        }
    }
    let client = client(&kubeconfig).await?;
    let mut keys = vec![("kubelet-client", own_key(&kubeconfig)?)];
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let user = format!("{NODE_USER}{}", identity.name);
    for csr in requests.list(&ListParams::default()).await? {
        let decided = csr.status.as_ref().and_then(|it| it.conditions.as_ref());
        let role = match csr.spec.signer_name.as_str() {
            CLIENT_SIGNER => "kubelet-client",
            SERVING_SIGNER => "kubelet-serving",
            _ => continue,
        };
        if csr.spec.username.as_deref() != Some(&user) || decided.is_some_and(|it| !it.is_empty()) {
            continue;
        }
        if let Ok(asked) = pkcs10::read(&csr.spec.request.0) {
            keys.push((role, request::public_pem(&asked.key.0, &asked.key.1)));
        }
    }
    let mut results = Vec::new();
    // As many as an AttestedNode takes.
    for (role, public) in keys.into_iter().take(4) {
        results.push(identity.attest(role, &public).await?);
    }
    let api: Api<AttestedNode> = Api::all(client);
    let patch = json!({"spec": {"results": results}});
    api.patch(
        &identity.name,
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await?;
    Ok(())
}

/// Waits until somebody asks for fresh evidence: the annotation has another value than `known`,
/// which is then the new one. The first look only learns what stands there. Never returns while the
/// API server cannot be asked: a node that may not watch brings its results at its own pace.
pub async fn asked(identity: &Identity, known: &mut Option<String>) {
    let watching = async {
        let client = client(&own(identity)?).await?;
        Ok::<_, Error>(Api::<AttestedNode>::all(client))
    };
    let api = match watching.await {
        Ok(api) => api,
        Err(error) => {
            tracing::debug!(%error, "not asked");
            return std::future::pending().await;
        }
    };
    let mut seen = std::pin::pin!(watch_object(api, &identity.name).default_backoff());
    while let Some(event) = seen.next().await {
        let Ok(Some(memory)) = event else { continue };
        let now = memory.annotations().get(ASK_ANNOTATION).cloned();
        let now = now.unwrap_or_default();
        let before = known.replace(now.clone());
        if before.is_some_and(|before| before != now) {
            return;
        }
    }
    std::future::pending().await
}

/// The public key of the configuration's private key, in PEM.
fn own_key(kubeconfig: &Kubeconfig) -> Result<String, Error> {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    let read = || {
        let value = serde_json::to_value(kubeconfig).ok()?;
        let data = value["users"][0]["user"]["client-key-data"].as_str()?;
        let pem = String::from_utf8(STANDARD.decode(data).ok()?).ok()?;
        let inside = pem
            .trim()
            .strip_prefix("-----BEGIN PRIVATE KEY-----")?
            .strip_suffix("-----END PRIVATE KEY-----")?;
        let inside: String = inside.split_ascii_whitespace().collect();
        let der = STANDARD.decode(inside).ok()?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).ok()?;
        let point = key.public_key().as_ref().strip_prefix(&[4])?;
        let (x, y) = point.split_first_chunk::<32>()?;
        Some(request::public_pem(x, y.try_into().ok()?))
    };
    read().ok_or_else(|| Error::Local("kubelet.kubeconfig holds no key on P-256".into()))
}
