//! Tells witnesses what they are to know from the cluster: waivers, to be written down, and
//! machines to which no secrets are due.
//!
//! Runs beside the passes, so that a witness that is away holds up nothing; what could not be told
//! is told again. Only tightens: nothing here lifts a stop. Asks for the Lease before it tells, and
//! never shows the token. Which witness is told what is for its own people to decide: address,
//! certificates and token stand in the controller's file about it, never in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, Method, Url, redirect};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use zeroize::Zeroizing;
use zeuge_log::proof::TlogProof;
use zeuge_protocol::api::Problem;

use crate::api::AttestedNodeStatus;
use crate::belief::Pinned;
use crate::error::Error;
use crate::leader::Seat;

/// The check id of this module: a witness was not told.
pub const CHECKS: &[&str] = &["kube.witness.untold"];

/// How long a witness may take; a stop waits there until nothing is released under the old state.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The longest answer in bytes: the leaves that a witness does not know are as many as were told.
const ANSWER_BYTES_MAX: usize = 128 * 1024;
/// After trouble, and between two times that the same is told again.
const AGAIN: Duration = Duration::from_secs(10);
/// How many rests of [`AGAIN`] a stop that stands is left alone: a witness may have lost it, or
/// somebody may have lifted it too early.
const RESTS: u32 = 6;
/// Machines in one request, as the witness takes them.
const LEAVES_MAX: usize = 5000;

/// How a witness is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its address, such as `https://witness.example:8443`.
    pub url: String,
    /// The certificates that it must show, in PEM; needed for https.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The file with a token of the role `cluster`.
    pub token: PathBuf,
}

/// What a witness wrote down of a waiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The issuer of the witness.
    pub witness: String,
    /// The number of the leaf in its log.
    pub leaf: u64,
}

impl fmt::Display for Written {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "leaf {} of {}", self.leaf, self.witness)
    }
}

/// What witnesses are to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Waivers by the digest of what was signed.
    pub waivers: BTreeMap<[u8; 32], String>,
    /// Leaves of the verdicts of machines to which no secrets are due, by issuer.
    pub stops: BTreeMap<String, BTreeSet<u64>>,
}

/// What is known of having told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// Where waivers stand.
    pub waivers: BTreeMap<[u8; 32], Written>,
    /// Which machines a witness stopped, by issuer.
    pub stops: BTreeMap<String, BTreeSet<u64>>,
    /// Why a witness was not told, by issuer; gone when it was.
    pub trouble: BTreeMap<String, String>,
}

/// Why a witness was not told.
struct Trouble {
    /// Whether it answered at all.
    answered: bool,
    because: String,
}

impl Trouble {
    fn answered(because: impl Into<String>) -> Self {
        Self {
            answered: true,
            because: because.into(),
        }
    }

    fn silent(because: impl Into<String>) -> Self {
        Self {
            answered: false,
            because: because.into(),
        }
    }
}

/// A witness that can be told.
struct Witness {
    issuer: String,
    base: Url,
    token: PathBuf,
    client: Client,
}

/// What is to be told, and what was.
pub struct Desk {
    witnesses: Vec<Witness>,
    tenant: String,
    cluster_uid: String,
    wanted: Mutex<Wanted>,
    told: Mutex<Told>,
    news: Notify,
}

impl Desk {
    /// For the witnesses whose files say how they are reached.
    ///
    /// # Errors
    /// `kube.local` for an address, certificates or a token file that cannot be used.
    pub fn open(pinned: &[Pinned], tenant: &str, cluster_uid: &str) -> Result<Self, Error> {
        let reached = pinned.iter().filter_map(|it| Some((it, it.tell.as_ref()?)));
        let witnesses = reached.map(|(pinned, place)| Witness::open(&pinned.issuer, place));
        Ok(Self {
            witnesses: witnesses.collect::<Result<_, _>>()?,
            tenant: tenant.to_owned(),
            cluster_uid: cluster_uid.to_owned(),
            wanted: Mutex::default(),
            told: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// Whether there is any witness to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.witnesses.is_empty()
    }

    /// Whether this witness can be told.
    #[must_use]
    pub fn reaches(&self, issuer: &str) -> bool {
        self.witnesses.iter().any(|it| it.issuer == issuer)
    }

    /// From now on this is to be known.
    pub fn want(&self, wanted: Wanted) {
        let mut held = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if *held != wanted {
            *held = wanted;
            self.news.notify_one();
        }
    }

    /// What was told by now.
    #[must_use]
    pub fn told(&self) -> Told {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }

    /// The name of this cluster's stop.
    #[must_use]
    pub fn stop_name(&self) -> String {
        format!("cluster-{}", self.cluster_uid)
    }

    /// Tells for ever, while the Lease is held.
    pub async fn run(self: Arc<Self>, seat: Arc<Seat>) {
        let mut rests = 0_u32;
        loop {
            let fresh = tokio::time::timeout(AGAIN, self.news.notified()).await;
            rests = if fresh.is_ok() {
                0
            } else {
                rests.saturating_add(1)
            };
            if !seat.held() {
                continue;
            }
            let anew = rests >= RESTS;
            if anew {
                rests = 0;
            }
            self.turn(anew).await;
        }
    }

    /// Tells every witness once what it does not know; `anew`, its stop too where that stands.
    pub async fn turn(&self, anew: bool) {
        for witness in &self.witnesses {
            self.tell(witness, anew).await;
        }
    }

    /// Stops first: a waiver can wait.
    async fn tell(&self, witness: &Witness, anew: bool) {
        let wanted = {
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.clone()
        };
        let known = self.told();
        let mut trouble = Vec::new();
        let leaves = wanted.stops.get(&witness.issuer).cloned();
        let leaves = leaves.unwrap_or_default();
        let before = known.stops.get(&witness.issuer);
        if !leaves.is_empty() && (anew || before != Some(&leaves)) {
            match self.stop(witness, &leaves).await {
                Ok(()) => self.note(|told| {
                    told.stops.insert(witness.issuer.clone(), leaves);
                }),
                Err(refused) => trouble.push(refused),
            }
        }
        for (digest, text) in &wanted.waivers {
            // Whoever does not answer is not asked once more for each of them.
            if trouble.iter().any(|it| !it.answered) {
                break;
            }
            if !known.waivers.contains_key(digest) {
                match self.write_down(witness, text).await {
                    Ok(written) => self.note(|told| _ = told.waivers.insert(*digest, written)),
                    Err(refused) => trouble.push(refused),
                }
            }
        }
        self.note(|told| match trouble.into_iter().next() {
            Some(Trouble { because, .. }) => {
                if told.trouble.get(&witness.issuer) != Some(&because) {
                    let issuer = &witness.issuer;
                    tracing::error!(check = "kube.witness.untold", issuer, because, "not told");
                }
                told.trouble.insert(witness.issuer.clone(), because);
            }
            None => _ = told.trouble.remove(&witness.issuer),
        });
    }

    async fn write_down(&self, witness: &Witness, text: &str) -> Result<Written, Trouble> {
        let path = format!("/v1/waivers?tenant={}", self.tenant);
        let answer = witness.post(&path, text.as_bytes().to_vec()).await?;
        let unsaid = || Trouble::answered("it does not say where it wrote");
        Ok(Written {
            witness: witness.issuer.clone(),
            leaf: answer["leaf"].as_u64().ok_or_else(unsaid)?,
        })
    }

    async fn stop(&self, witness: &Witness, leaves: &BTreeSet<u64>) -> Result<(), Trouble> {
        let all: Vec<u64> = leaves.iter().copied().collect();
        let path = format!("/v1/stops?tenant={}", self.tenant);
        for some in all.chunks(LEAVES_MAX) {
            let body = json!({"name": self.stop_name(), "leaves": some,
                "because": format!("the cluster {} wants no new secrets for machines that fail or \
                    whose keys are declared compromised", self.cluster_uid)});
            let answer = witness.post(&path, body.to_string().into_bytes()).await?;
            let unknown = answer["unknown"].as_array().map_or(0, Vec::len);
            if unknown > 0 {
                let because = format!("it knows no verdicts of {unknown} machines");
                return Err(Trouble::answered(because));
            }
        }
        tracing::warn!(
            issuer = witness.issuer,
            machines = all.len(),
            "no new secrets"
        );
        Ok(())
    }

    fn note(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Witness {
    fn open(issuer: &str, place: &Place) -> Result<Self, Error> {
        let bad = |because: String| Error::Local(format!("{}: {because}", place.url));
        let base = Url::parse(&place.url).map_err(|error| bad(error.to_string()))?;
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|it| it.is_loopback());
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX);
        match (base.scheme(), &place.ca) {
            ("https", Some(ca)) => builder = builder.tls_backend_preconfigured(tls(ca)?),
            ("https", None) => {
                return Err(bad("https needs the witness's certificates: ca".into()));
            }
            // What is never used still has to be set up.
            ("http", _) if loopback => {
                builder = builder.tls_backend_preconfigured(config(RootCertStore::empty())?)
            }
            _ => {
                return Err(bad(
                    "plain HTTP to another machine would show the token".into()
                ));
            }
        }
        let witness = Self {
            issuer: issuer.to_owned(),
            base,
            token: place.token.clone(),
            client: builder.build().map_err(|error| bad(error.to_string()))?,
        };
        witness.token().map_err(bad)?;
        Ok(witness)
    }

    /// Read each time: a token ends, and whoever renews it need not start anything.
    fn token(&self) -> Result<Zeroizing<String>, String> {
        let read = std::fs::read_to_string(&self.token).map(Zeroizing::new);
        let read = read.map_err(|error| format!("{}: {error}", self.token.display()))?;
        let token = Zeroizing::new(read.trim().to_owned());
        if token.is_empty() || !token.bytes().all(|it| it.is_ascii_graphic()) {
            return Err(format!("{}: no token", self.token.display()));
        }
        Ok(token)
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Value, Trouble> {
        let failed = |error: reqwest::Error| {
            tracing::debug!(issuer = self.issuer, %error, "no answer");
            Trouble::silent(match error.is_timeout() {
                true => "it does not answer in time",
                false => "it does not answer",
            })
        };
        let url = self.base.join(path);
        let url = url.map_err(|error| Trouble::silent(error.to_string()))?;
        let token = self.token().map_err(Trouble::silent)?;
        let request = self.client.request(Method::POST, url);
        let request = request.bearer_auth(token.as_str()).body(body);
        let request = request.header(reqwest::header::CONTENT_TYPE, "application/json");
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut whole = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if whole.len().saturating_add(part.len()) > ANSWER_BYTES_MAX {
                return Err(Trouble::answered("its answer is too long"));
            }
            whole.extend_from_slice(&part);
        }
        if status.is_success() {
            let read = serde_json::from_slice(&whole);
            return read.map_err(|_| Trouble::answered("its answer is no JSON"));
        }
        let problem = serde_json::from_slice::<Problem>(&whole).ok();
        let check = problem.as_ref().and_then(Problem::check).unwrap_or("");
        // Words from the network go no further than the name of the check.
        let known = |letter: char| letter.is_ascii_alphanumeric() || ".-".contains(letter);
        let check: String = check.chars().filter(|it| known(*it)).take(64).collect();
        let because = format!("it refuses with {} {check}", status.as_u16());
        Err(Trouble::answered(because))
    }
}

fn config(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Local(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn tls(ca: &Path) -> Result<ClientConfig, Error> {
    let bad = |because: String| Error::Local(format!("{}: {because}", ca.display()));
    let pem = std::fs::read(ca).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(format!("{error:?}")))?;
        roots
            .add(certificate)
            .map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate in it (PEM)".to_owned()));
    }
    config(roots)
}

/// Which verdict a machine's result stands for: issuer and leaf of the receipt in it.
#[must_use]
pub fn verdict(status: &AttestedNodeStatus) -> Option<(String, u64)> {
    let receipt = status.receipt.as_ref()?;
    let proof = TlogProof::parse(receipt.as_bytes()).ok()?;
    Some((status.witness.clone()?, proof.index))
}
