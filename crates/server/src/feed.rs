//! The live feed of `/v1/verdicts` and `/v1/machines`: server-sent events (WHATWG HTML §9.2), to
//! whoever accepts `text/event-stream`.
//!
//! *Flow*: a checkpoint is published → rows of the leaves under it are read → each goes into the
//! queue of the connection. *Guarantees*: nothing is told before it stands in the published log;
//! whoever comes back with `Last-Event-ID` misses nothing; the caller's token is looked at again
//! before anything is told. *Bounds*: connections, rows read at once, events that wait. A reader
//! that is too slow is told `dropped` and let go; at the end of the witness everybody is told
//! `closing`. Never holds up an attestation.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::refusal::Refusal;
use crate::session::blocking;
use crate::tenants::caller;
use crate::witness::Witness;

/// The ids of this file.
pub const CHECKS: &[&str] = &["feed.busy", "feed.slow"];
/// Connections that follow at all: screens and collectors, not machines.
pub const FOLLOWERS_MAX: usize = 64;
/// Connections that follow one tenant (or, of the administrator, all of them).
pub const FOLLOWERS_OF_ONE_MAX: usize = 8;
/// Events that wait for a reader. One holds a verdict of some KiB.
pub const QUEUE_MAX: usize = 16;
/// Rows that are read at once.
const ROWS_MAX: u32 = 16;
/// The media type.
const EVENTS: &str = "text/event-stream";

/// How long a reader may take, and how often an idle one hears that the connection lives.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After this long with a full queue a reader is dropped.
    pub slow: Duration,
    /// After this long without an event a comment is sent.
    pub alive: Duration,
}

impl Default for Pace {
    /// 30 and 15 seconds.
    fn default() -> Self {
        Self {
            slow: Duration::from_secs(30),
            alive: Duration::from_secs(15),
        }
    }
}

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Every verdict, whole.
    Verdicts,
    /// Every machine whose newest verdict changes.
    Machines,
}

/// The connections that follow.
#[derive(Debug)]
pub struct Feeds {
    followers: Arc<Mutex<HashMap<Option<String>, usize>>>,
    closing: watch::Sender<bool>,
}

impl Default for Feeds {
    fn default() -> Self {
        Self {
            followers: Arc::default(),
            closing: watch::Sender::new(false),
        }
    }
}

impl Feeds {
    /// Tells everybody that the witness ends, and lets go.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    fn enter(&self, tenant: &Option<String>) -> Result<Place, Refusal> {
        let busy = |because, found: usize, most: usize| {
            let refusal = Refusal::new("feed.busy", 429, because).retry_after(5);
            Err(refusal.difference(found.to_string(), format!("below {most}")))
        };
        let Ok(mut followers) = self.followers.lock() else {
            return busy("the witness is in disorder", 0, 0);
        };
        let all = followers.values().sum::<usize>();
        if all >= FOLLOWERS_MAX {
            return busy("as many follow as may at once", all, FOLLOWERS_MAX);
        }
        let own = followers.entry(tenant.clone()).or_default();
        if *own >= FOLLOWERS_OF_ONE_MAX {
            let because = "as many follow this tenant as may at once";
            return busy(because, *own, FOLLOWERS_OF_ONE_MAX);
        }
        *own = own.saturating_add(1);
        Ok(Place {
            followers: Arc::clone(&self.followers),
            tenant: tenant.clone(),
        })
    }
}

/// One connection that follows.
#[derive(Debug)]
struct Place {
    followers: Arc<Mutex<HashMap<Option<String>, usize>>>,
    tenant: Option<String>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(mut followers) = self.followers.lock() else {
            return;
        };
        if let Some(own) = followers.get_mut(&self.tenant) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                followers.remove(&self.tenant);
            }
        }
    }
}

/// Whether a request wants to follow instead of a list.
#[must_use]
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut ranges = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    ranges.any(|media| media.eq_ignore_ascii_case(EVENTS))
}

/// Events on their way to one reader. Ends with the event that says why.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Bytes>,
    end: Arc<OnceLock<Bytes>>,
    has_ended: bool,
    _place: Place,
}

impl Stream for Events {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        match this.queue.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(event)) => Poll::Ready(Some(Ok(event))),
            Poll::Ready(None) => {
                this.has_ended = true;
                Poll::Ready(this.end.get().cloned().map(Ok))
            }
        }
    }
}

/// Answers a request that wants to follow. `tenant` is whom the caller may see: one, or all.
///
/// # Errors
/// `feed.busy` when too many follow already; `request.malformed` for a `Last-Event-ID` that is
/// none of this feed's.
pub fn answer(
    witness: Arc<Witness>,
    subject: Subject,
    tenant: Option<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (events, following) = open(witness, subject, tenant, headers, Pace::default())?;
    tokio::spawn(following);
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static(EVENTS)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((head, Body::from_stream(events)).into_response())
}

/// The events for a reader, and the work that makes them.
///
/// # Errors
/// As [`answer`].
pub fn open(
    witness: Arc<Witness>,
    subject: Subject,
    tenant: Option<String>,
    headers: HeaderMap,
    pace: Pace,
) -> Result<(Events, impl Future<Output = ()> + Send), Refusal> {
    let place = witness.feeds.enter(&tenant)?;
    let next = match headers.get("last-event-id") {
        // From now on.
        None => witness.sequencer.checkpoint()?.checkpoint().size,
        Some(last) => {
            let last = last.to_str().ok().and_then(|last| last.parse().ok());
            let wrong =
                || Refusal::new("request.malformed", 400, "Last-Event-ID is a leaf's number");
            last.and_then(|last: u64| last.checked_add(1))
                .ok_or_else(wrong)?
        }
    };
    let (queue, events) = mpsc::channel(QUEUE_MAX);
    let end = Arc::new(OnceLock::new());
    let events = Events {
        queue: events,
        end: Arc::clone(&end),
        has_ended: false,
        _place: place,
    };
    let follower = Follower {
        witness,
        subject,
        tenant,
        headers,
        pace,
        queue,
        next,
    };
    let following = async move {
        if let Some(event) = follower.follow().await {
            let _ = end.set(event);
        }
    };
    Ok((events, following))
}

/// The work behind one connection.
struct Follower {
    witness: Arc<Witness>,
    subject: Subject,
    tenant: Option<String>,
    headers: HeaderMap,
    pace: Pace,
    queue: mpsc::Sender<Bytes>,
    /// The first leaf that was not told.
    next: u64,
}

impl Follower {
    /// Tells until somebody ends it; the last event, if there is one.
    async fn follow(mut self) -> Option<Bytes> {
        let mut shown = self.witness.sequencer.subscribe();
        let mut closing = self.witness.feeds.closing.subscribe();
        loop {
            let size = match &*shown.borrow_and_update() {
                Ok(signed) => signed.checkpoint().size,
                // The log stands still: nothing new is published.
                Err(_) => self.next,
            };
            if let Err(end) = self.tell(size).await {
                return end;
            }
            tokio::select! {
                changed = shown.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = ended(&mut closing) => {
                    let because = "the witness ends; come back with the last id";
                    return Some(event("closing", None, &json!({"because": because})));
                }
                () = self.queue.closed() => return None,
                () = tokio::time::sleep(self.pace.alive) => {
                    let alive = Bytes::from_static(b": alive\n\n");
                    if let Err(end) = self.put(alive).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Tells of the leaves below `size`; refuses with the last event.
    async fn tell(&mut self, size: u64) -> Result<(), Option<Bytes>> {
        while self.next < size {
            let (store, tenant) = (Arc::clone(&self.witness.store), self.tenant.clone());
            let from = self.next;
            let read = move || store.verdicts_between(tenant.as_deref(), (from, size), ROWS_MAX);
            let rows = blocking(read)
                .await
                .map_err(|refusal| Some(refused(&refusal)))?;
            if rows.is_empty() {
                self.next = size;
                break;
            }
            // A token may have ended or been taken away since the last time.
            let caller = caller(&self.witness, &self.headers).await;
            let seen = caller.and_then(|caller| caller.sees(self.tenant.clone()));
            seen.map_err(|refusal| Some(refused(&refusal)))?;
            for (leaf, row) in rows {
                let told = match self.subject {
                    Subject::Verdicts => event("verdict", Some(leaf), &row),
                    Subject::Machines => event("machine", Some(leaf), &of_machine(&row)),
                };
                self.put(told).await?;
                self.next = leaf.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Puts an event into the queue, and drops a reader that does not make room.
    async fn put(&self, event_bytes: Bytes) -> Result<(), Option<Bytes>> {
        let sent = self.queue.send_timeout(event_bytes, self.pace.slow).await;
        match sent {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(None),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                let refusal = Refusal::new(
                    "feed.slow",
                    503,
                    "the reader took too long; come back with the last id",
                );
                self.witness
                    .metrics
                    .count("zeuge_refusals_total", refusal.check);
                let told = json!({"check": refusal.check, "because": refusal.because});
                Err(Some(event("dropped", None, &told)))
            }
        }
    }
}

/// Waits for the end of the witness.
async fn ended(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// What a verdict's row says about its machine.
fn of_machine(row: &Value) -> Value {
    let part = |name: &str| row.get(name).cloned().unwrap_or_default();
    json!({
        "tenant": part("tenant"), "machine": part("machine"), "word": part("word"),
        "leaf": part("leaf"), "time": part("time"),
    })
}

/// The end of a connection whose caller may not follow any more, or that cannot be served.
fn refused(refusal: &Refusal) -> Bytes {
    let told = json!({"check": refusal.check, "because": refusal.because});
    event("refused", None, &told)
}

/// One event. JSON has no line ends of its own, so one data line holds it.
fn event(name: &str, id: Option<u64>, data: &Value) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    Bytes::from(format!("event: {name}\n{id}data: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_and_everybody_together_have_their_bounds_and_places_come_back() {
        let feeds = Feeds::default();
        let tenant = |number: usize| Some(format!("tenant-{number}"));
        let refused = |tenant: &Option<String>| feeds.enter(tenant).map(drop).unwrap_err().check;
        let mut places = Vec::new();
        for number in 0..FOLLOWERS_MAX / FOLLOWERS_OF_ONE_MAX {
            for _ in 0..FOLLOWERS_OF_ONE_MAX {
                places.push(feeds.enter(&tenant(number)).unwrap());
            }
            assert_eq!(refused(&tenant(number)), "feed.busy");
        }
        assert_eq!(refused(&None), "feed.busy");
        places.pop();
        feeds.enter(&None).unwrap();
        drop(places);
        assert!(feeds.followers.lock().unwrap().is_empty());
    }

    #[test]
    fn only_who_accepts_events_follows() {
        let accepting = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(value));
            is_wanted(&headers)
        };
        assert!(accepting("text/event-stream"));
        assert!(accepting("application/json;q=0.1, Text/Event-Stream; q=1"));
        assert!(!accepting("*/*"));
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
