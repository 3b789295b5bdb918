//! What must hold in a cluster before attestation means anything there, asked of the cluster itself.
//!
//! Changes nothing: what is tried is tried as a dry run. Says of each point whether it holds, does
//! not, or cannot be told.

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs as _};

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::json;

use crate::bypass::bypass;
use crate::certificate;
use crate::error::Error;
use crate::join::{CLIENT_SIGNER, NODE_USER};

/// The check ids of this module.
pub const CHECKS: &[&str] = &[
    "kube.node-restriction",
    "kube.version",
    "kube.witness.inside",
    "kube.witness.outage",
];

/// The first minor version with ValidatingAdmissionPolicy in its final form.
const MINOR_MIN: u32 = 30;
/// How many times a certificate lives longer than a declared outage of the witness.
const OUTAGES: i64 = 4;

/// Whether a point holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not: nothing should be built on it.
    No,
    /// It cannot be told from here.
    Unknown,
}

/// One point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The check id.
    pub check: &'static str,
    /// Whether it holds.
    pub holds: Holds,
    /// What was found, and what to do.
    pub said: String,
}

fn point(check: &'static str, holds: Holds, said: impl Into<String>) -> Point {
    let said = said.into();
    Point { check, holds, said }
}

/// All points. `witnesses` are the addresses of the witnesses; `outage_secs` is how long they may be
/// away.
///
/// # Errors
/// `kube.api` when the cluster cannot be asked.
pub async fn preflight(
    config: &Config,
    witnesses: &[String],
    outage_secs: Option<i64>,
) -> Result<Vec<Point>, Error> {
    let client = Client::try_from(config.clone())?;
    let mut points = vec![version(&client).await?, bypassed(&client).await?];
    points.push(restricted(config).await?);
    let inside = addresses(&client).await?;
    points.extend(witnesses.iter().map(|url| outside(url, &inside)));
    if let Some(outage) = outage_secs {
        points.push(life(&client, outage).await?);
    }
    Ok(points)
}

async fn version(client: &Client) -> Result<Point, Error> {
    let found = client.apiserver_version().await?;
    let digits: String = found.minor.chars().filter(char::is_ascii_digit).collect();
    let new = digits.parse::<u32>().is_ok_and(|it| it >= MINOR_MIN);
    let said = format!(
        "{}; admission policies need 1.{MINOR_MIN} or newer",
        found.git_version
    );
    let holds = if new || found.major != "1" {
        Holds::Yes
    } else {
        Holds::No
    };
    Ok(point("kube.version", holds, said))
}

async fn bypassed(client: &Client) -> Result<Point, Error> {
    let all = ListParams::default();
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let found = bypass(
        &roles.list(&all).await?.items,
        &bindings.list(&all).await?.items,
    );
    let holds = if found.is_empty() {
        Holds::Yes
    } else {
        Holds::No
    };
    let said = match found.is_empty() {
        true => "nobody passes the built-in approver".to_owned(),
        false => format!("{}; delete these bindings", found.join("; ")),
    };
    Ok(point("kube.csr.bypass", holds, said))
}

/// Tries, as a kubelet and without effect, to register with a label that is not a kubelet's to set.
async fn restricted(config: &Config) -> Result<Point, Error> {
    let name = "zeuge-preflight";
    let mut config = config.clone();
    config.auth_info.impersonate = Some(format!("{NODE_USER}{name}"));
    config.auth_info.impersonate_groups = Some(vec!["system:nodes".to_owned()]);
    let node = json!({"metadata": {"name": name,
        "labels": {"preflight.zeuge.node-restriction.kubernetes.io/x": "y"}},
        "spec": {"taints": [{"key": crate::cluster::START_TAINT, "effect": "NoSchedule"}]}});
    let node: Node = serde_json::from_value(node)
        .map_err(|error| Error::Local(format!("a Node cannot be written: {error}")))?;
    let nodes: Api<Node> = Api::all(Client::try_from(config)?);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let check = "kube.node-restriction";
    Ok(match nodes.create(&dry, &node).await {
        Ok(_) => point(
            check,
            Holds::No,
            "a kubelet may give itself any label: start the API server with \
             --enable-admission-plugins=NodeRestriction",
        ),
        Err(kube::Error::Api(status)) if status.message.contains("is not allowed to set") => {
            point(check, Holds::Yes, "kubelets cannot set labels of trust")
        }
        Err(error) => point(
            check,
            Holds::Unknown,
            format!("could not be tried: {error}"),
        ),
    })
}

/// Every address that is served by this cluster.
async fn addresses(client: &Client) -> Result<BTreeSet<IpAddr>, Error> {
    let all = ListParams::default();
    let mut texts: Vec<String> = Vec::new();
    let services: Api<Service> = Api::all(client.clone());
    for service in services.list(&all).await? {
        let spec = service.spec.unwrap_or_default();
        texts.extend(spec.cluster_ips.unwrap_or_default());
        texts.extend(spec.external_ips.unwrap_or_default());
        let balancer = service.status.and_then(|it| it.load_balancer);
        let ingress = balancer.and_then(|it| it.ingress).unwrap_or_default();
        texts.extend(ingress.into_iter().filter_map(|it| it.ip));
    }
    let pods: Api<Pod> = Api::all(client.clone());
    for pod in pods.list(&all).await? {
        let ips = pod.status.and_then(|it| it.pod_ips).unwrap_or_default();
        texts.extend(ips.into_iter().map(|it| it.ip));
    }
    let nodes: Api<Node> = Api::all(client.clone());
    for node in nodes.list(&all).await? {
        let list = node.status.and_then(|it| it.addresses).unwrap_or_default();
        texts.extend(list.into_iter().map(|it| it.address));
    }
    Ok(texts.iter().filter_map(|it| it.parse().ok()).collect())
}

/// Host and port of a URL; `None` when there is none.
fn host(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let default = if scheme == "http" { 80 } else { 443 };
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':').and_then(|it| it.parse().ok());
        return Some((host, port.unwrap_or(default)));
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, default)),
    }
}

/// Whether a witness stands outside of the cluster that it serves.
fn outside(url: &str, inside: &BTreeSet<IpAddr>) -> Point {
    let check = "kube.witness.inside";
    let Some((host, port)) = host(url) else {
        return point(check, Holds::Unknown, format!("{url} is no address"));
    };
    let name = host.trim_end_matches('.');
    if [".svc", ".cluster.local"]
        .iter()
        .any(|it| name.ends_with(it))
    {
        let said =
            format!("{url} is a Service: after a power-off, the cluster would wait for itself");
        return point(check, Holds::No, said);
    }
    match (name, port).to_socket_addrs() {
        Err(error) => point(check, Holds::Unknown, format!("{url}: {error}")),
        Ok(found) => {
            let found: Vec<IpAddr> = found.map(|it| it.ip()).collect();
            match found.iter().find(|it| inside.contains(it)) {
                Some(ip) => point(
                    check,
                    Holds::No,
                    format!(
                        "{url} is {ip}, which this cluster serves: after a power-off, it would wait for itself"
                    ),
                ),
                None => point(check, Holds::Yes, format!("{url} is served from elsewhere")),
            }
        }
    }
}

/// Whether kubelets' certificates outlive the declared outage four times.
async fn life(client: &Client, outage_secs: i64) -> Result<Point, Error> {
    let check = "kube.witness.outage";
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let mut shortest: Option<i64> = None;
    for csr in requests.list(&ListParams::default()).await? {
        let signed = csr.status.and_then(|it| it.certificate);
        let of_kubelet = csr.spec.signer_name == CLIENT_SIGNER;
        let Some(validity) = signed
            .filter(|_| of_kubelet)
            .and_then(|it| certificate::validity(&it.0))
        else {
            continue;
        };
        let life = validity.until.saturating_sub(validity.from);
        shortest = Some(shortest.map_or(life, |it| it.min(life)));
    }
    let wanted = outage_secs.saturating_mul(OUTAGES);
    Ok(match shortest {
        None => point(
            check,
            Holds::Unknown,
            format!("no kubelet has a certificate yet; it must live for {wanted} s or more"),
        ),
        Some(life) => {
            let holds = if life >= wanted {
                Holds::Yes
            } else {
                Holds::No
            };
            let said = format!(
                "certificates live for {life} s, {wanted} s are needed for an outage of {outage_secs} s \
                 (--cluster-signing-duration of the controller-manager, and the life of its CA)"
            );
            point(check, holds, said)
        }
    })
}

/// One line per point.
#[must_use]
pub fn text(points: &[Point]) -> String {
    let word = |holds| match holds {
        Holds::Yes => "ok     ",
        Holds::No => "NO     ",
        Holds::Unknown => "unknown",
    };
    let lines = points
        .iter()
        .map(|it| format!("{} {}: {}\n", word(it.holds), it.check, it.said));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_that_the_cluster_serves_is_refused() {
        let inside = BTreeSet::from(["127.0.0.7".parse().unwrap(), "::7".parse().unwrap()]);
        let holds = |url: &str| outside(url, &inside).holds;
        assert_eq!(holds("https://witness.zeuge.svc"), Holds::No);
        assert_eq!(
            holds("https://witness.zeuge.svc.cluster.local.:8443/x"),
            Holds::No
        );
        assert_eq!(holds("http://127.0.0.7:8443"), Holds::No);
        assert_eq!(holds("http://[::7]:8443"), Holds::No);
        assert_eq!(holds("http://user@127.0.0.7"), Holds::No);
        assert_eq!(holds("http://127.0.0.8:8443"), Holds::Yes);
        assert_eq!(holds("nothing"), Holds::Unknown);
        assert_eq!(holds("http://127.0.0.8:port"), Holds::Unknown);
    }
}
