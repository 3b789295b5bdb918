//! Waivers of Kubernetes nodes (break-glass, `zeuge.waiver.v1`): a witness writes down that owners
//! signed one, also when it was away while it counted.
//!
//! Acts on none: no verdict, token or release changes by it. What a waiver says stays with its
//! owners; the log holds its digest and when it began.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use zeuge_log::leaf::Leaf;
use zeuge_protocol::challenge::SKEW_SECS_MAX;
use zeuge_protocol::document::OwnerSet;
use zeuge_protocol::waiver::{self, Believed};

use crate::audit;
use crate::documents::{self, Shelf as _};
use crate::http::json_answer;
use crate::refusal::Refusal;
use crate::sequencer::NewLeaf;
use crate::session::blocking;
use crate::tenants::caller;
use crate::witness::Witness;

/// The id of this file.
pub const CHECKS: &[&str] = &["document.waiver"];
/// The kind under which the log names a waiver.
pub const KIND: &str = "node-waiver";

/// Whose owners signed.
#[derive(Debug, Deserialize)]
pub(crate) struct Whose {
    tenant: Option<String>,
}

/// Believes a waiver that came in, and makes a leaf of it.
///
/// # Errors
/// `document.waiver`.
fn accept(text: &[u8], owners: &OwnerSet, now: i64) -> Result<(Believed, NewLeaf), Refusal> {
    let refused = |because: String| Refusal::new("document.waiver", 403, because);
    let text = std::str::from_utf8(text).map_err(|_| refused("it is not UTF-8 text".to_owned()))?;
    let believed = waiver::read(text, owners).map_err(refused)?;
    let from = believed.waiver.from;
    let (Ok(version), true) = (
        u64::try_from(from),
        from <= now.saturating_add(SKEW_SECS_MAX),
    ) else {
        let because = "it has not begun; bring it when it counts".to_owned();
        return Err(refused(because).difference(from.to_string(), format!("at most {now} (now)")));
    };
    let leaf = Leaf::DocumentChange {
        kind: KIND.to_owned(),
        digest: believed.digest,
        version,
        signer: *believed.author.as_bytes(),
    };
    Ok((believed, NewLeaf::new(leaf, Vec::new())?))
}

/// Writes a waiver into the log: the body is its text. Again is one leaf more.
pub(crate) async fn write_down(
    State(witness): State<Arc<Witness>>,
    Query(whose): Query<Whose>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let caller = caller(&witness, &headers).await?;
    let unsaid = || Refusal::new("request.malformed", 400, "say whose with ?tenant=NAME");
    let tenant = whose.tenant.ok_or_else(unsaid)?;
    caller.may_change(&tenant)?;
    let (this, of) = (Arc::clone(&witness), tenant.clone());
    let (believed, index) = blocking(move || {
        let now = this.clock.now()?;
        let (_, rows) = this.store.documents(&of)?;
        let owners = documents::owners(&rows, &this.keys, &of, now)?;
        let (believed, leaf) = accept(&body, &owners, now)?;
        let index = this.store.append(&[leaf], now)?;
        Ok((believed, index))
    })
    .await?;
    witness.sequencer.wake();
    let digest = hex::encode(believed.digest);
    audit::done(&witness, &caller, "waiver-write", (&tenant, &digest));
    json_answer(&json!({"tenant": tenant, "digest": digest, "leaf": index}))
}
