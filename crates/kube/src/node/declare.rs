//! A pod on a node has the machine attested and declares the result (DaemonSet mode). Makes no key
//! and asks for no certificate: what it brings is shown, and believed for nothing
//! ([`crate::declared`]).

use std::fs;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use zeuge_protocol::request::{DAEMONSET, PLACEMENT};

use super::Identity;
use crate::api::AttestedNode;
use crate::error::Error;

/// The UID of the cluster, as the API server says it: a pod has nothing measured to read it from.
///
/// # Errors
/// `kube.api`; `kube.local` when the namespace kube-system has none.
pub async fn cluster_uid(client: &Client) -> Result<String, Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let uid = namespaces.get("kube-system").await?.uid();
    uid.ok_or_else(|| Error::Local("kube-system has no UID".into()))
}

/// Has the machine attested once and puts the result into the AttestedNode of that name, which the
/// controller makes for each Node. `client` is the pod's own identity.
///
/// # Errors
/// `kube.local` when the agent gives no token; `kube.api` also when the pod does not run on that
/// node (admission policy `zeuge-declared`).
pub async fn declare(identity: &Identity, client: &Client) -> Result<(), Error> {
    fs::create_dir_all(&identity.folder)
        .map_err(|error| Error::Local(format!("{}: {error}", identity.folder.display())))?;
    let placement = format!("{PLACEMENT}={DAEMONSET}");
    let token = identity.ask(&["--context", &placement]).await?;
    let api: Api<AttestedNode> = Api::all(client.clone());
    let patch = Patch::Merge(json!({"spec": {"declared": token}}));
    api.patch(&identity.name, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}
