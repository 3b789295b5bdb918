//! `attest`: asks a node for fresh evidence now, and waits for the verdict.
//!
//! Writes one annotation of the node's AttestedNode and nothing else. Whoever may not, learns
//! nothing sooner; a machine that does not answer stays as it is.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::api::AttestedNode;
use crate::error::Error;
use crate::join::ASK_ANNOTATION;

/// How often the answer is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks, and waits until the controller remembers a newer verdict.
///
/// # Errors
/// `kube.api`; `kube.local` when nothing newer comes within `patience`.
pub(super) async fn attest(
    client: Client,
    node: &str,
    now: i64,
    patience: Duration,
) -> Result<(), Error> {
    let api: Api<AttestedNode> = Api::all(client);
    let before = api.get(node).await?.status.unwrap_or_default();
    let asks = json!({"metadata": {"annotations": {ASK_ANNOTATION: now.to_string()}}});
    let put = PatchParams::default();
    api.patch(node, &put, &Patch::Merge(asks)).await?;
    let begun = Instant::now();
    while begun.elapsed() < patience {
        let status = api.get(node).await?.status.unwrap_or_default();
        if status.judged_at != before.judged_at {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Error::Local(format!(
        "{node} brought nothing newer within {} s: look at zeuge-kube node run there",
        patience.as_secs()
    )))
}
