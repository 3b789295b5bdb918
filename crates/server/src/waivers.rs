//! Waivers of Kubernetes nodes (break-glass, `zeuge.waiver.v1`): a witness writes down that owners
//! signed one, also when it was away while it counted.
//!
//! Acts on none: no verdict, token or release changes by it. The log holds its digest and when it
//! began; what it says is kept for who reads the tenant's affairs.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use zeuge_log::leaf::Leaf;
use zeuge_protocol::challenge::SKEW_SECS_MAX;
use zeuge_protocol::document::OwnerSet;
use zeuge_protocol::waiver::{self, Believed};

use crate::audit;
use crate::documents::{self, Shelf as _};
use crate::http::{ROWS_MAX, json_answer};
use crate::refusal::Refusal;
use crate::sequencer::NewLeaf;
use crate::session::blocking;
use crate::tenants::caller;
use crate::witness::Witness;

/// The id of this file.
pub const CHECKS: &[&str] = &["document.waiver"];
/// The kind under which the log names a waiver.
pub const KIND: &str = "node-waiver";

/// A waiver as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiverRow {
    /// SHA-256 of what was signed.
    pub digest: [u8; 32],
    /// Its text, as it came.
    pub json: Vec<u8>,
}

/// Where waivers stay.
pub trait Book: Send + Sync {
    /// Writes a waiver down with its leaf; one that stands there already is left alone. The number
    /// of its leaf.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn write_waiver(
        &self,
        tenant: &str,
        waiver: &WaiverRow,
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<u64, Refusal>;
    /// The newest waivers of a tenant with their leaves, newest first.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn waivers(&self, tenant: &str, limit: u32) -> Result<Vec<(u64, WaiverRow)>, Refusal>;
}

/// Whose owners signed.
#[derive(Debug, Deserialize)]
pub(crate) struct Whose {
    tenant: Option<String>,
}

impl Whose {
    fn of(self) -> Result<String, Refusal> {
        let unsaid = || Refusal::new("request.malformed", 400, "say whose with ?tenant=NAME");
        self.tenant.ok_or_else(unsaid)
    }
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

/// Writes a waiver into the log, once: the body is its text.
pub(crate) async fn write_down(
    State(witness): State<Arc<Witness>>,
    Query(whose): Query<Whose>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let caller = caller(&witness, &headers).await?;
    let tenant = whose.of()?;
    caller.may_tighten(&tenant)?;
    let (this, of) = (Arc::clone(&witness), tenant.clone());
    let (believed, index) = blocking(move || {
        let now = this.clock.now()?;
        let (_, rows) = this.store.documents(&of)?;
        let owners = documents::owners(&rows, &this.keys, &of, now)?;
        let (believed, leaf) = accept(&body, &owners, now)?;
        let row = WaiverRow {
            digest: believed.digest,
            json: body.to_vec(),
        };
        let index = this.store.write_waiver(&of, &row, &leaf, now)?;
        Ok((believed, index))
    })
    .await?;
    witness.sequencer.wake();
    let digest = hex::encode(believed.digest);
    audit::done(&witness, &caller, "waiver-write", (&tenant, &digest));
    json_answer(&json!({"tenant": tenant, "digest": digest, "leaf": index}))
}

/// Lists the waivers that were written down.
pub(crate) async fn list(
    State(witness): State<Arc<Witness>>,
    Query(whose): Query<Whose>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = caller(&witness, &headers).await?;
    let tenant = whose.of()?;
    caller.may_read(&tenant)?;
    let rows = blocking(move || witness.store.waivers(&tenant, ROWS_MAX)).await?;
    let rows: Vec<_> = rows.iter().map(|(leaf, row)| told(*leaf, row)).collect();
    json_answer(&json!({"waivers": rows}))
}

/// A waiver for people. Who signed was looked at when it came.
fn told(leaf: u64, row: &WaiverRow) -> Value {
    let text = std::str::from_utf8(&row.json).unwrap_or_default();
    let said = waiver::said(text);
    json!({
        "leaf": leaf, "digest": hex::encode(row.digest), "waiver": said,
        "text": text,
    })
}
