//! The HTTP API (DESIGN §5.5): routes, and problems whose type ends in a check id.
//!
//! Thin: calls the room that knows, writes the answer. Bodies are read and bounded before, by
//! [`crate::load`]; what does not fit is shed with 429 or 503 and `Retry-After`.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::serve::IncomingStream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use zeuge_log::tile::TileId;
use zeuge_protocol::answer::SignedAnswer;
use zeuge_protocol::api::{ChallengeRequest, SecretUpload};
use zeuge_protocol::document::{Document, Kind};
use zeuge_protocol::ear::Jwks;
use zeuge_protocol::request::Purpose;
use zeuge_verify::tpm::EnrolledAk;

use crate::audit;
use crate::documents::{self, KINDS, Shelf as _};
use crate::door::Seat;
use crate::enrolment::{ActivationRequest, EnrolmentRequest};
use crate::feed::{self, Subject};
use crate::gauges;
use crate::openapi;
use crate::recovery;
use crate::refusal::Refusal;
use crate::reports;
use crate::secrets::{self, Vault as _};
use crate::session::{self, Attested, blocking, malformed};
use crate::stops;
use crate::tenants::{self, caller};
use crate::waivers;
use crate::wire::Form;
use crate::witness::Witness;

/// Rows in one answer.
pub const ROWS_MAX: u32 = 1000;

/// The preference for a verdict without its assessment.
const MINIMAL: &str = "return=minimal";
/// Unless a token alone is wanted.
const AS_ANSWER: (Form, &str) = (Form::Answer, "application/json");

type Shared = State<Arc<Witness>>;
type Answer = Result<Response, Refusal>;

/// The address at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
        if let Some(secs) = self.retry_after_secs {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response.extensions_mut().insert(Refused(self.check));
        response
    }
}

/// Which check refused, for counters and log.
#[derive(Debug, Clone, Copy)]
struct Refused(&'static str);

/// All routes of a witness.
pub fn router(witness: Arc<Witness>) -> Router {
    let watching = Arc::clone(&witness);
    Router::new()
        .route("/v1/challenges", post(challenges))
        .route("/v1/appraisals", post(appraisals))
        .route("/v1/releases", post(releases))
        .route(
            "/v1/documents/{kind}",
            put(put_document)
                .get(list_documents)
                .delete(retire_document),
        )
        .route(
            "/v1/secrets",
            put(put_secret).get(list_secrets).delete(delete_secret),
        )
        .route("/v1/tenants", get(tenants::list).post(tenants::add))
        .route(
            "/v1/tenants/{tenant}/tokens",
            get(tenants::list_tokens)
                .post(tenants::make_token)
                .delete(tenants::remove_token),
        )
        .route("/v1/enrolments", post(enrol).get(list_enrolments))
        .route("/v1/enrolments/{id}/activation", post(activate))
        .route("/v1/verdicts", get(verdicts))
        .route("/v1/machines", get(machines))
        .route("/v1/machines/{machine}/report", get(report))
        .route("/v1/collateral/forecast", get(forecast))
        .route("/v1/witness", get(about))
        .route("/v1/checkpoints", post(held_checkpoint))
        .route(
            "/v1/stops",
            get(stops::list).post(stops::tighten).delete(stops::lift),
        )
        .route("/v1/waivers", get(waivers::list).post(waivers::write_down))
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/vkey", get(vkey))
        .route("/log/tile/{*path}", get(tile))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/.well-known/openid-configuration", get(configuration))
        .route("/openapi.json", get(described))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        // Bodies are bounded path by path before they come here.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(
            move |ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next| {
                let witness = Arc::clone(&watching);
                async move { watched(&witness, peer.0.ip(), request, next).await }
            },
        ))
        .with_state(witness)
}

/// Bounds what is under way, counts and times it, and logs every refusal, without the body.
async fn watched(witness: &Arc<Witness>, source: IpAddr, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let call = request.extensions().get::<MatchedPath>().cloned();
    let seat = request.extensions().get::<Arc<Seat>>().cloned();
    let response = match witness.load.admit(source, request).await {
        Ok((request, _place)) => {
            seat.iter().for_each(|seat| seat.busy());
            next.run(request).await
        }
        Err(refusal) => shed(&refusal),
    };
    seat.iter().for_each(|seat| seat.idle());
    let response = as_problem(response, &path);
    if let Some(Refused(check)) = response.extensions().get() {
        witness.metrics.count("zeuge_refusals_total", check);
        witness
            .denials
            .count(&source.to_string(), check, witness.clock.wall());
        let status = response.status().as_u16();
        if *check == "session.busy" {
            // A flood must not become one of the log: these are counted above, and no more.
            tracing::debug!(%method, path, %source, check, status, "refused");
        } else {
            tracing::warn!(%method, path, %source, check, status, "refused");
        }
        audit::denied(witness, check, source, (method.as_str(), &path));
    }
    let call = call.as_ref().map_or("", MatchedPath::as_str);
    witness
        .metrics
        .took(openapi::known(&method, call), begun.elapsed());
    response
}

/// Turns away what there is no room for, and the connection with it: whoever floods must knock anew.
fn shed(refusal: &Refusal) -> Response {
    let mut response = refusal.clone().into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Makes a problem of what the framework refuses by itself: unknown paths and methods.
fn as_problem(response: Response, path: &str) -> Response {
    let status = response.status();
    let is_own = response.extensions().get::<Refused>().is_some();
    if is_own || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let because = match status {
        StatusCode::NOT_FOUND => nothing_under(path),
        StatusCode::METHOD_NOT_ALLOWED => "this path has no such method",
        StatusCode::PAYLOAD_TOO_LARGE => "the body is longer than this path allows",
        _ => "the request cannot be read",
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut response = Refusal::new("request.malformed", status.as_u16(), because).into_response();
    response
        .headers_mut()
        .extend(allow.map(|methods| (header::ALLOW, methods)));
    response
}

/// What is said of a path that is not served: calls of the plan that come later are named.
fn nothing_under(path: &str) -> &'static str {
    let later = [
        (
            "/v1/hardware",
            "chips are in the document hardware-registry: /v1/documents/hardware-registry",
        ),
        (
            "/v1/appraisals:replay",
            "judging archived evidence anew is not in this version",
        ),
    ];
    let found = later.iter().find(|(prefix, _)| path.starts_with(prefix));
    found.map_or("there is nothing under this path", |(_, because)| because)
}

pub(crate) fn json_answer(body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).map_err(|error| Refusal::store(&error))?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

async fn challenges(State(witness): Shared, body: Bytes) -> Answer {
    let request: ChallengeRequest =
        serde_json::from_slice(&body).map_err(|error| malformed(&error))?;
    // Nothing waits for the database then.
    let answer = match witness.store.is_known(request.tenant.as_str()) {
        true => session::challenge(&witness, request.tenant)?,
        false => blocking(move || session::challenge(&witness, request.tenant)).await?,
    };
    json_answer(&answer)
}

/// The form that `Accept` names first of those that there are (RFC 9782).
fn form(headers: &HeaderMap) -> (Form, &'static str) {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    let ranges = accepted.flat_map(|value| value.split(','));
    let known = ranges.filter_map(|range| {
        let media = range.split(';').next().unwrap_or_default().trim();
        match media.to_ascii_lowercase().as_str() {
            "application/eat+cwt" => Some((Form::Cwt, "application/eat+cwt")),
            "application/eat+jwt" => Some((Form::Jwt, "application/eat+jwt")),
            "application/json" | "application/*" | "*/*" => Some(AS_ANSWER),
            _ => None,
        }
    });
    match known.into_iter().next() {
        Some((Form::Answer, media)) => (whole_or_minimal(headers), media),
        Some(token) => token,
        None => (whole_or_minimal(headers), AS_ANSWER.1),
    }
}

/// Whether the caller prefers a verdict without its assessment (RFC 7240 §4.2).
fn whole_or_minimal(headers: &HeaderMap) -> Form {
    let preferred = headers.get_all("prefer").iter();
    let preferred = preferred.filter_map(|value| value.to_str().ok());
    let mut each = preferred.flat_map(|value| value.split([',', ';']));
    match each.any(|one| one.trim().eq_ignore_ascii_case(MINIMAL)) {
        true => Form::Minimal,
        false => Form::Answer,
    }
}

/// A signed answer, and whether it is as short as was preferred.
fn attested(answer: &SignedAnswer, form: Form) -> Answer {
    let mut response = json_answer(answer)?;
    if form == Form::Minimal {
        let applied = HeaderValue::from_static(MINIMAL);
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

async fn appraisals(
    State(witness): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let source = peer.0.ip();
    let (form, media) = form(&headers);
    match session::attest(&witness, source, (Purpose::Appraisal, form), &body).await? {
        Attested::Answer(answer) => attested(&answer, form),
        Attested::Token(token) => {
            let kind = HeaderValue::from_static(media);
            Ok(([(header::CONTENT_TYPE, kind)], token).into_response())
        }
    }
}

async fn releases(
    State(witness): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let source = peer.0.ip();
    let form = whole_or_minimal(&headers);
    match session::attest(&witness, source, (Purpose::Release, form), &body).await? {
        Attested::Answer(answer) => attested(&answer, form),
        Attested::Token(_) => Err(Refusal::store(&"a token where an answer was wanted")),
    }
}

async fn enrol(State(witness): Shared, body: Bytes) -> Answer {
    let request: EnrolmentRequest =
        serde_json::from_slice(&body).map_err(|error| malformed(&error))?;
    let answer = blocking(move || {
        let now = witness.clock.now()?;
        let endorsements = witness.judge.at_hand();
        let enrolled = enrolled(&witness, request.tenant.as_str(), now)?;
        let enrolments = &witness.enrolments;
        enrolments.begin(&request, &endorsements, &enrolled, now)
    })
    .await?;
    json_answer(&answer)
}

async fn activate(State(witness): Shared, Path(id): Path<String>, body: Bytes) -> Answer {
    let request: ActivationRequest =
        serde_json::from_slice(&body).map_err(|error| malformed(&error))?;
    let answer = blocking(move || {
        let now = witness.clock.now()?;
        let answer = witness.enrolments.activate(&id, &request, now)?;
        tracing::info!(id, "a TPM was activated and waits for its owner");
        Ok(answer)
    })
    .await?;
    json_answer(&answer)
}

/// The AKs that the registry of a tenant names.
fn enrolled(witness: &Witness, tenant: &str, now: i64) -> Result<Vec<EnrolledAk>, Refusal> {
    let wishes = documents::wishes(witness.store.as_ref(), &witness.keys, tenant, now)?;
    let registry = wishes.hardware.as_ref();
    Ok(registry.map_or_else(Vec::new, zeuge_appraise::HardwareRegistry::aks))
}

async fn list_enrolments(
    State(witness): Shared,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    caller.may_read(filter.tenant()?)?;
    let tenant = filter.tenant()?.to_owned();
    let rows = blocking(move || {
        let now = witness.clock.now()?;
        let enrolled = enrolled(&witness, &tenant, now)?;
        witness.enrolments.activated(&tenant, &enrolled, now)
    })
    .await?;
    json_answer(&json!({ "enrolments": rows }))
}

fn known_kind(word: &str) -> Result<Kind, Refusal> {
    let kind = KINDS.into_iter().find(|kind| kind.as_str() == word);
    kind.ok_or_else(|| {
        let because = "this witness does not take such documents yet";
        Refusal::new("document.kind", 404, because)
            .difference(word, KINDS.map(Kind::as_str).join(", "))
    })
}

/// Runs a change of what the owners want: nothing is released beside it, and when it is answered
/// nothing can be released under the old state any more.
pub(crate) async fn change<T: Send + 'static>(
    witness: Arc<Witness>,
    work: impl FnOnce(&Witness, i64) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let now = witness.clock.now()?;
    let gate = Arc::clone(&witness.gate).write_owned().await;
    let this = Arc::clone(&witness);
    let out = blocking(move || work(&this, now)).await?;
    drop(gate);
    witness.sequencer.wake();
    Ok(out)
}

async fn put_document(
    State(witness): Shared,
    Path(kind): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let kind = known_kind(&kind)?;
    caller.may_change(Document::parse(&body)?.header.tenant.as_str())?;
    let this = Arc::clone(&witness);
    let row = change(witness, move |witness, now| {
        let store = witness.store.as_ref();
        let (row, leaf) = documents::accept(store, &witness.keys, kind, &body, now)?;
        store.put_document(&row, Some(&leaf), now)?;
        Ok(row)
    })
    .await?;
    let what = format!("{}/{} version {}", row.kind, row.name, row.version);
    audit::done(&this, &caller, "document-put", (&row.tenant, &what));
    json_answer(&json!({
        "tenant": row.tenant, "kind": row.kind, "name": row.name, "version": row.version,
    }))
}

/// Which rows are wanted.
#[derive(Debug, Deserialize)]
struct Filter {
    tenant: Option<String>,
    path: Option<String>,
    name: Option<String>,
    leaf: Option<u64>,
    limit: Option<u32>,
}

impl Filter {
    fn tenant(&self) -> Result<&str, Refusal> {
        let missing = || Refusal::new("request.malformed", 400, "say which with ?tenant=NAME");
        self.tenant.as_deref().ok_or_else(missing)
    }

    fn limit(&self) -> u32 {
        self.limit.unwrap_or(100).min(ROWS_MAX)
    }
}

async fn list_documents(
    State(witness): Shared,
    Path(kind): Path<String>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let kind = known_kind(&kind)?;
    caller.may_read(filter.tenant()?)?;
    let (epoch, rows, gone) = blocking(move || {
        let tenant = filter.tenant()?;
        let (epoch, rows) = witness.store.documents(tenant)?;
        Ok((epoch, rows, witness.store.retired(tenant)?))
    })
    .await?;
    let rows = rows.into_iter().filter(|row| row.kind == kind.as_str());
    let rows: Vec<_> = rows
        .map(|row| {
            let document: serde_json::Value = serde_json::from_slice(&row.json).unwrap_or_default();
            json!({"name": row.name, "version": row.version, "document": document})
        })
        .collect();
    let gone = gone.into_iter().filter(|gone| gone.0 == kind.as_str());
    let gone: Vec<_> = gone
        .map(|(_, name, version)| json!({"name": name, "version": version}))
        .collect();
    json_answer(&json!({"epoch": epoch, "documents": rows, "retired": gone}))
}

async fn retire_document(
    State(witness): Shared,
    Path(kind): Path<String>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let kind = known_kind(&kind)?;
    caller.may_change(filter.tenant()?)?;
    if !documents::RETIRABLE.contains(&kind) {
        let because = "without it more might be allowed; bring one that says less, signed by the \
                       owners";
        return Err(Refusal::new("document.retire", 403, because).difference(
            kind.as_str(),
            documents::RETIRABLE.map(Kind::as_str).join(", "),
        ));
    }
    let (this, leaf) = (Arc::clone(&witness), caller.leaf("document-retire")?);
    let tenant = filter.tenant()?.to_owned();
    let what = format!(
        "{}/{}",
        kind.as_str(),
        filter.name.as_deref().unwrap_or_default()
    );
    let retired = change(witness, move |witness, now| {
        let name = match (kind, filter.name.as_deref()) {
            (Kind::ReleaseRule, Some(name)) => name,
            (Kind::ReleaseRule, None) => {
                let because = "say which with &name=PATH";
                return Err(Refusal::new("request.malformed", 400, because));
            }
            (kind, _) => kind.as_str(),
        };
        let which = (filter.tenant()?, kind, name);
        witness.store.retire_document(which, &leaf, now)
    })
    .await?;
    if !retired {
        let because = "there is no such document";
        return Err(Refusal::new("document.retire", 404, because));
    }
    audit::done(&this, &caller, "document-retire", (&tenant, &what));
    json_answer(&json!({"retired": 1}))
}

async fn put_secret(State(witness): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let upload: SecretUpload = serde_json::from_slice(&body).map_err(|error| malformed(&error))?;
    caller.may_change(upload.manifest.header.tenant.as_str())?;
    let this = Arc::clone(&witness);
    let row = change(witness, move |witness, now| {
        let store = witness.store.as_ref();
        let tenant = upload.manifest.header.tenant.as_str();
        let (_, rows) = store.documents(tenant)?;
        let owners = documents::owners(&rows, &witness.keys, tenant, now)?;
        let (row, leaf) = secrets::accept(&upload, &owners, &witness.id, &witness.keys, now)?;
        store.put_secret(&row, &leaf, now)?;
        Ok(row)
    })
    .await?;
    let what = format!("{} version {}", row.path, row.version);
    audit::done(&this, &caller, "secret-put", (&row.tenant, &what));
    json_answer(&json!({"tenant": row.tenant, "path": row.path, "version": row.version}))
}

async fn list_secrets(
    State(witness): Shared,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    caller.may_read(filter.tenant()?)?;
    let rows = blocking(move || witness.store.secrets(filter.tenant()?)).await?;
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(path, version, manifest)| {
            let digest = Document::parse(&manifest).map(|manifest| hex::encode(manifest.digest()));
            json!({"path": path, "version": version, "digest": digest.ok()})
        })
        .collect();
    json_answer(&json!({"secrets": rows}))
}

async fn delete_secret(
    State(witness): Shared,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    caller.may_change(filter.tenant()?)?;
    let (this, leaf) = (Arc::clone(&witness), caller.leaf("secret-delete")?);
    let tenant = filter.tenant()?.to_owned();
    let what = filter.path.clone().unwrap_or_default();
    let count = change(witness, move |witness, now| {
        let missing = || Refusal::new("request.malformed", 400, "say which with &path=PATH");
        let path = filter.path.as_deref().ok_or_else(missing)?;
        let store = witness.store.as_ref();
        store.delete_secret(filter.tenant()?, path, &leaf, now)
    })
    .await?;
    if count == 0 {
        return Err(Refusal::new(
            "release.secret",
            404,
            "there is no such secret",
        ));
    }
    audit::done(&this, &caller, "secret-delete", (&tenant, &what));
    json_answer(&json!({"deleted": count}))
}

async fn verdicts(
    State(witness): Shared,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let limit = filter.limit();
    let tenant = caller.sees(filter.tenant)?;
    if feed::is_wanted(&headers) {
        return feed::answer(witness, Subject::Verdicts, tenant, headers);
    }
    let rows = blocking(move || witness.store.verdicts(tenant.as_deref(), limit));
    json_answer(&json!({"verdicts": rows.await?}))
}

async fn machines(
    State(witness): Shared,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let limit = filter.limit();
    let tenant = caller.sees(filter.tenant)?;
    if feed::is_wanted(&headers) {
        return feed::answer(witness, Subject::Machines, tenant, headers);
    }
    let rows = blocking(move || witness.store.machines(tenant.as_deref(), limit));
    json_answer(&json!({"machines": rows.await?}))
}

/// A machine's verdict with everything that it depended on, signed with the report key.
async fn report(
    State(witness): Shared,
    Path(machine): Path<String>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    caller.may_read(filter.tenant()?)?;
    let report = blocking(move || {
        let tenant = filter.tenant()?;
        reports::report(&witness, tenant, &machine, filter.leaf)
    });
    json_answer(&report.await?)
}

/// How machines of Intel's stand in both update channels.
async fn forecast(
    State(witness): Shared,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller(&witness, &headers).await?;
    let tenant = caller.sees(filter.tenant)?;
    let all = blocking(move || witness.forecasts.all(&witness)).await?;
    let seen = all.iter().filter(|machine| {
        tenant
            .as_ref()
            .is_none_or(|tenant| *tenant == machine.tenant)
    });
    let machines: Vec<_> = seen.map(|machine| &machine.json).collect();
    json_answer(&json!({"machines": machines}))
}

/// Takes a checkpoint or receipt of this log that somebody holds; one that the log does not continue
/// halts the witness.
async fn held_checkpoint(State(witness): Shared, body: Bytes) -> Answer {
    let size = blocking(move || recovery::shown(&witness, &body)).await?;
    json_answer(&json!({"continued": true, "size": size}))
}

/// What a witness says of itself; agents take it from measured configuration instead.
async fn about(State(witness): Shared) -> Answer {
    let this = Arc::clone(&witness);
    let recovered = blocking(move || recovery::recovered(&this.store)).await?;
    json_answer(&json!({
        "recovered": recovered,
        "witness": witness.id,
        "answer_key": witness.keys.answer.public(),
        "report_key": witness.keys.report.public(),
        "log_vkey": witness.sequencer.vkey(),
        "issuer": witness.issuer(),
    }))
}

fn text(body: String) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

async fn checkpoint(State(witness): Shared) -> Answer {
    Ok(text(witness.sequencer.checkpoint()?.note()))
}

async fn vkey(State(witness): Shared) -> Response {
    text(format!("{}\n", witness.sequencer.vkey()))
}

async fn tile(State(witness): Shared, Path(path): Path<String>) -> Answer {
    let unknown = |_| Refusal::new("log.tile", 404, "there is no such tile");
    let id = TileId::parse(&format!("tile/{path}")).map_err(unknown)?;
    let size = witness.sequencer.checkpoint()?.checkpoint().size;
    let bytes = blocking(move || Ok(witness.sequencer.tiles().serve(id, size))).await?;
    let bytes = bytes.ok_or_else(|| Refusal::new("log.tile", 404, "there is no such tile"))?;
    let kind = HeaderValue::from_static("application/octet-stream");
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, forever),
    ];
    Ok((headers, bytes).into_response())
}

async fn jwks(State(witness): Shared) -> Answer {
    let keys: Vec<_> = witness.keys.ear.iter().map(|key| key.public()).collect();
    json_answer(&Jwks::of(&keys))
}

/// OpenID Connect Discovery, as far as a verifier of tokens needs it.
async fn configuration(State(witness): Shared) -> Answer {
    let issuer = witness.issuer();
    json_answer(&json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
    }))
}

/// Written once: whoever asks a thousand times costs no more than the sending.
async fn described() -> Response {
    static WRITTEN: LazyLock<Bytes> = LazyLock::new(|| openapi::document().to_string().into());
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], WRITTEN.clone()).into_response()
}

async fn readyz(State(witness): Shared) -> Answer {
    witness.ready()?;
    Ok(text("ready\n".to_owned()))
}

async fn metrics(State(witness): Shared) -> Answer {
    let text = blocking(move || gauges::text(&witness)).await?;
    let kind = HeaderValue::from_static(crate::metrics::MEDIA);
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
