//! Who may do what on the owner's side: the administrator everything, a token of one tenant what
//! its role says, inside that tenant alone (DESIGN §5.5).
//!
//! Tokens are 32 random bytes, shown once and kept as a hash, and end by themselves. No token stands in for an owner's
//! signature. OpenID Connect and client certificates are refused by name.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;
use zeuge_log::hash::sha256;
use zeuge_log::leaf::Leaf;
use zeuge_protocol::document::OwnerSet;
use zeuge_protocol::name::Name;
use zeuge_protocol::text::base64url;

use crate::http::{change, json_answer};
use crate::refusal::Refusal;
use crate::sequencer::{NewLeaf, salted};
use crate::session::{blocking, malformed};
use crate::witness::Witness;
use crate::{audit, documents, keys};

/// The ids of this file.
pub const CHECKS: &[&str] = &[
    "admin.role",
    "admin.token",
    "admin.token.expired",
    "tenant.exists",
];
/// Tokens of one tenant: people and machines that bring documents.
pub const TOKENS_MAX: usize = 256;
/// How long a token counts when nobody says: a quarter.
const TOKEN_SECS: i64 = 90 * 86_400;
/// How long at most: what nobody renews within a year and a day, nobody misses.
const TOKEN_SECS_MAX: i64 = 366 * 86_400;

/// What a token of a tenant may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// List documents, secrets without values, verdicts and machines.
    Reader,
    /// Also bring what owners signed, and take away what releases.
    Operator,
    /// Nothing but what a cluster's controller must tell: waivers that owners signed, and machines
    /// that get no secrets. Reads nothing, lifts nothing.
    Cluster,
}

impl Role {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Cluster => "cluster",
        }
    }
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Whose it is.
    pub tenant: String,
    /// Its name inside the tenant.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The first instant at which it is none, in Unix seconds.
    pub expires: i64,
}

/// Where tenants and tokens stay. Writes are one transaction with their leaf.
pub trait Register: Send + Sync {
    /// Adds a tenant with its first owners, as [`documents::sealed_first`] makes them.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.exists`.
    fn add_tenant_with(
        &self,
        tenant: &Name,
        owners: &[u8],
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<(), Refusal>;
    /// The token with this hash.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, Refusal>;
    /// The tokens of a tenant.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn tokens(&self, tenant: &str) -> Result<Vec<TokenRow>, Refusal>;
    /// Keeps a token, in the place of one of the same name.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn put_token(
        &self,
        token: &TokenRow,
        hash: &[u8; 32],
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<(), Refusal>;
    /// Forgets a token; `false` when there is none of that name.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn remove_token(
        &self,
        tenant: &str,
        name: &str,
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<bool, Refusal>;
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The administrator of the witness.
    Administrator,
    /// Somebody of one tenant.
    Of(TokenRow),
}

impl Caller {
    /// Whether the caller may list what a tenant has.
    pub(crate) fn may_read(&self, tenant: &str) -> Result<(), Refusal> {
        match self {
            Self::Of(token) if token.tenant != tenant => Err(self.refused(tenant)),
            Self::Of(token) if token.role == Role::Cluster => Err(self.refused("reader")),
            _ => Ok(()),
        }
    }

    /// Whether the caller may have written down what owners signed, and stop machines.
    pub(crate) fn may_tighten(&self, tenant: &str) -> Result<(), Refusal> {
        match self {
            Self::Of(token) if token.role == Role::Cluster && token.tenant == tenant => Ok(()),
            _ => self.may_change(tenant),
        }
    }

    /// Whether the caller may bring and take away what a tenant has.
    pub(crate) fn may_change(&self, tenant: &str) -> Result<(), Refusal> {
        match self {
            Self::Of(token) if token.role != Role::Operator => Err(self.refused("operator")),
            _ => self.may_read(tenant),
        }
    }

    /// Whether the caller runs the witness.
    pub(crate) fn may_administer(&self) -> Result<(), Refusal> {
        match self {
            Self::Administrator => Ok(()),
            Self::Of(_) => Err(self.refused("administrator")),
        }
    }

    /// The one tenant that the caller sees, or the one asked for, or all.
    pub(crate) fn sees(&self, asked: Option<String>) -> Result<Option<String>, Refusal> {
        match (self, asked) {
            (Self::Of(token), None) => self
                .may_read(&token.tenant)
                .map(|()| Some(token.tenant.clone())),
            (_, Some(tenant)) => self.may_read(&tenant).map(|()| Some(tenant)),
            (Self::Administrator, None) => Ok(None),
        }
    }

    /// Who it is, by the name of the token.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Administrator => "administrator".to_owned(),
            Self::Of(token) => format!("{}/{}", token.tenant, token.name),
        }
    }

    /// The leaf of what the caller did; who it was stands in it as a commitment.
    pub(crate) fn leaf(&self, action: &str) -> Result<NewLeaf, Refusal> {
        let opening = salted("actor", self.name().as_bytes());
        let leaf = Leaf::OperatorAction {
            action: action.to_owned(),
            actor: opening.commit(),
        };
        NewLeaf::new(leaf, vec![opening])
    }

    fn refused(&self, wanted: &str) -> Refusal {
        let found = match self {
            Self::Administrator => "administrator".to_owned(),
            Self::Of(token) => format!("{} of {}", token.role.as_str(), token.tenant),
        };
        Refusal::new("admin.role", 403, "the token does not go so far").difference(found, wanted)
    }
}

/// Whose token a request carries; the administrator's is compared in constant time by its hash.
///
/// # Errors
/// `admin.token` for none, an unknown one, or one of OpenID Connect; `admin.token.expired` for one
/// whose time is over; `time.jump` when that cannot be told.
pub(crate) async fn caller(witness: &Arc<Witness>, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    let hash = sha256(&[token.as_bytes()]);
    if verify_slices_are_equal(&hash, &witness.admin).is_ok() {
        return Ok(Caller::Administrator);
    }
    let this = Arc::clone(witness);
    if let Some(row) = blocking(move || this.store.token(&hash)).await? {
        let now = witness.clock.now()?;
        if now >= row.expires {
            let because = "the time of this token is over; let the administrator make another";
            return Err(Refusal::new("admin.token.expired", 401, because)
                .difference(format!("{now} (now)"), format!("before {}", row.expires)));
        }
        return Ok(Caller::Of(row));
    }
    let because = if token.contains('.') {
        "tokens of OpenID Connect are not taken in this version; send a token of this witness"
    } else {
        "send the administrator's token, or a token of the tenant, as Authorization: Bearer"
    };
    Err(Refusal::new("admin.token", 401, because))
}

type Shared = State<Arc<Witness>>;
type Answer = Result<Response, Refusal>;

/// Lists the tenants that the caller sees.
pub(crate) async fn list(State(witness): Shared, headers: HeaderMap) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let this = Arc::clone(&witness);
    let tenants = blocking(move || documents::Shelf::tenants(this.store.as_ref())).await?;
    let seen = tenants
        .into_iter()
        .filter(|tenant| caller.may_read(tenant).is_ok());
    json_answer(&json!({"tenants": seen.collect::<Vec<_>>()}))
}

/// Adds a tenant: the body is its first owner set.
pub(crate) async fn add(State(witness): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let caller = caller(&witness, &headers).await?;
    caller.may_administer()?;
    let owners: OwnerSet = serde_json::from_slice(&body).map_err(|error| malformed(&error))?;
    let tenant = owners.tenant.clone();
    let (this, leaf) = (Arc::clone(&witness), caller.leaf("tenant-add")?);
    change(witness, move |witness, now| {
        let sealed = documents::sealed_first(&witness.keys, &owners)?;
        let store = &witness.store;
        store.add_tenant_with(&owners.tenant, &sealed, &leaf, now)
    })
    .await?;
    audit::done(&this, &caller, "tenant-add", (tenant.as_str(), ""));
    json_answer(&json!({"tenant": tenant}))
}

/// What a token is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: Name,
    role: Role,
    /// The first instant at which it is none, in Unix seconds; 90 days from now when absent.
    expires: Option<i64>,
}

/// Makes a token of a tenant; it is shown in the answer and never again.
pub(crate) async fn make_token(
    State(witness): Shared,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    caller.may_administer()?;
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| malformed(&error))?;
    let mut secret = Zeroizing::new([0; 32]);
    keys::random(secret.as_mut_slice());
    let token = Zeroizing::new(base64url(secret.as_slice()));
    let hash = sha256(&[token.as_bytes()]);
    let now = witness.clock.now()?;
    let row = TokenRow {
        tenant,
        name: wanted.name.to_string(),
        role: wanted.role,
        expires: lifetime(wanted.expires, now)?,
    };
    let kept = row.clone();
    let (this, leaf) = (Arc::clone(&witness), caller.leaf("token-make")?);
    change(witness, move |witness, now| {
        if witness.store.tokens(&kept.tenant)?.len() >= TOKENS_MAX {
            let because = "this tenant has as many tokens as it may";
            return Err(Refusal::new("admin.role", 403, because));
        }
        witness.store.put_token(&kept, &hash, &leaf, now)
    })
    .await?;
    audit::done(&this, &caller, "token-make", (&row.tenant, &row.name));
    json_answer(&json!({
        "tenant": row.tenant, "name": row.name, "role": row.role, "expires": row.expires,
        "token": token.as_str(),
    }))
}

/// When a token ends.
fn lifetime(wanted: Option<i64>, now: i64) -> Result<i64, Refusal> {
    let ends = wanted.unwrap_or_else(|| now.saturating_add(TOKEN_SECS));
    let last = now.saturating_add(TOKEN_SECS_MAX);
    if ends <= now || ends > last {
        let because = "a token ends after now and within a year and a day";
        return Err(Refusal::new("request.malformed", 400, because)
            .difference(ends.to_string(), format!("above {now}, at most {last}")));
    }
    Ok(ends)
}

/// Lists the tokens of a tenant, without their values.
pub(crate) async fn list_tokens(
    State(witness): Shared,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller(&witness, &headers).await?.may_administer()?;
    let rows = blocking(move || witness.store.tokens(&tenant)).await?;
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| json!({"name": row.name, "role": row.role, "expires": row.expires}))
        .collect();
    json_answer(&json!({"tokens": rows}))
}

/// Which token.
#[derive(Debug, Deserialize)]
pub(crate) struct Which {
    name: Name,
}

/// Takes a token away; what it is used for from then on is refused.
pub(crate) async fn remove_token(
    State(witness): Shared,
    Path(tenant): Path<String>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    caller.may_administer()?;
    let (this, leaf) = (Arc::clone(&witness), caller.leaf("token-remove")?);
    let (of, name) = (tenant.clone(), which.name.to_string());
    let removed = change(witness, move |witness, now| {
        let store = &witness.store;
        store.remove_token(&of, &name, &leaf, now)
    })
    .await?;
    if !removed {
        let because = "there is no token of this name";
        return Err(Refusal::new("admin.token", 404, because));
    }
    audit::done(
        &this,
        &caller,
        "token-remove",
        (&tenant, which.name.as_str()),
    );
    json_answer(&json!({"removed": 1}))
}
