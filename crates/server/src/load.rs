//! What is under way, by source: requests, bytes of bodies, and how often somebody asks.
//!
//! A body is read here, whole, within its path's limit, its time and the bytes that may be under way
//! at all, before any room sees the request; so a slow sender holds a connection and nothing else.
//! Sources are addresses of sockets; what a header says about them is never believed.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header;
use futures_core::Stream as _;

use crate::limits::{
    BODIES_BYTES_MAX, BODY, BODY_PAUSE, REQUESTS_MAX, SOURCE_APPRAISALS_MAX,
    SOURCE_BODIES_BYTES_MAX, SOURCE_PER_SECOND, SOURCE_REQUESTS_MAX, SOURCES_MAX, body_max,
};
use crate::refusal::Refusal;

/// What one source has under way, and what it may still begin.
#[derive(Debug, Clone, Copy)]
struct Account {
    requests: usize,
    appraisals: usize,
    bytes: usize,
    /// Requests that it may begin now.
    left: f64,
    at: Instant,
}

#[derive(Debug, Default)]
struct Books {
    requests: usize,
    bytes: usize,
    sources: HashMap<IpAddr, Account>,
    /// When the accounts were looked through last for those that may go.
    swept: Option<Instant>,
}

/// Everything under way.
#[derive(Debug)]
pub struct Load {
    books: Mutex<Books>,
    per_second: f64,
}

/// Figures for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// Requests whose body is there.
    pub requests: usize,
    /// Bytes of bodies.
    pub bytes: usize,
    /// Sources that are told apart.
    pub sources: usize,
}

/// A request under way, or one that arrives; what it holds goes with it.
#[derive(Debug)]
pub struct Place {
    load: Arc<Load>,
    source: IpAddr,
    bytes: usize,
    requests: usize,
    appraisals: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self::new(SOURCE_PER_SECOND)
    }
}

/// One account per address, of IPv6 per /64: whoever has one address there has them all.
pub(crate) fn account(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        },
        IpAddr::V4(_) => source,
    }
}

fn busy(status: u16, because: &str) -> Refusal {
    Refusal::new("session.busy", status, because).retry_after(1)
}

impl Load {
    /// Nothing under way; `per_second` is what one source may begin, 0 for no such limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        let books = Mutex::default();
        Self { books, per_second }
    }

    /// What is under way now.
    #[must_use]
    pub fn under_way(&self) -> UnderWay {
        let books = self.books.lock();
        let figures = |books: &Books| UnderWay {
            requests: books.requests,
            bytes: books.bytes,
            sources: books.sources.len(),
        };
        books.map_or_else(
            |broken| figures(&broken.into_inner()),
            |books| figures(&books),
        )
    }

    fn with<T>(&self, source: IpAddr, body: impl FnOnce(&mut Books, IpAddr) -> T) -> Option<T> {
        let mut books = self.books.lock().ok()?;
        let mut source = account(source);
        if !books.sources.contains_key(&source) && books.sources.len() >= SOURCES_MAX {
            books.sweep(self.per_second, Instant::now());
            if books.sources.len() >= SOURCES_MAX {
                source = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let left = self.per_second * 2.0;
        books.sources.entry(source).or_insert_with(|| Account {
            requests: 0,
            appraisals: 0,
            bytes: 0,
            left,
            at: Instant::now(),
        });
        Some(body(&mut books, source))
    }

    /// Whether this source may begin one more request or connection now.
    ///
    /// # Errors
    /// `session.busy` when it began too many.
    pub fn may_begin(&self, source: IpAddr) -> Result<(), Refusal> {
        if self.per_second <= 0.0 {
            return Ok(());
        }
        let now = Instant::now();
        let may = self.with(source, |books, source| {
            let account = books.sources.get_mut(&source)?;
            let left = account.left(self.per_second, now);
            account.at = now;
            account.left = left;
            (left >= 1.0).then(|| account.left = left - 1.0)
        });
        match may {
            Some(Some(())) => Ok(()),
            Some(None) => Err(busy(429, "this source asks more often than one may")),
            None => Err(busy(503, "the witness is in disorder")),
        }
    }

    /// Room for one more appraisal of this source.
    ///
    /// # Errors
    /// `session.busy` when it has as many under way as one may.
    pub fn appraisal(self: &Arc<Self>, source: IpAddr) -> Result<Place, Refusal> {
        let mut place = Place::of(self, source);
        let begun = self.with(source, |books, source| {
            let account = books.sources.get_mut(&source)?;
            let has_room = account.appraisals < SOURCE_APPRAISALS_MAX;
            has_room.then(|| account.appraisals = account.appraisals.saturating_add(1))?;
            Some(source)
        });
        let full = || busy(429, "too many appraisals of this source are under way");
        place.source = begun.flatten().ok_or_else(full)?;
        place.appraisals = 1;
        Ok(place)
    }

    /// Reads the body of a request and gives it a place among those under way.
    ///
    /// # Errors
    /// `session.busy` when there is no room; `request.malformed` with 413, 415 or 408 for a body
    /// that is too long, encoded, or too slow.
    pub async fn admit(
        self: &Arc<Self>,
        source: IpAddr,
        request: Request,
    ) -> Result<(Request, Place), Refusal> {
        self.may_begin(source)?;
        let mut place = Place::of(self, source);
        let (head, body) = request.into_parts();
        let max = body_max(head.uri.path());
        if let Some(encoding) = head.headers.get(header::CONTENT_ENCODING) {
            let because = "bodies are not compressed here; send it as it is";
            let found = String::from_utf8_lossy(encoding.as_bytes());
            let found: String = found.chars().take(64).collect();
            return Err(Refusal::new("request.malformed", 415, because)
                .difference(found, "no Content-Encoding"));
        }
        let told = head.headers.get(header::CONTENT_LENGTH);
        let told = told.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if told.is_some_and(|told| told > u64::try_from(max).unwrap_or(u64::MAX)) {
            return Err(too_long(max));
        }
        let bytes = tokio::time::timeout(BODY, place.receive(body, max));
        let bytes = bytes.await.map_err(|_| too_slow(BODY))??;
        place.begin()?;
        Ok((Request::from_parts(head, Body::from(bytes)), place))
    }
}

impl Books {
    /// Forgets accounts with nothing under way and everything left, once in a second at most.
    fn sweep(&mut self, per_second: f64, now: Instant) {
        let since = |at| now.saturating_duration_since(at) < Duration::from_secs(1);
        if self.swept.is_some_and(since) {
            return;
        }
        self.swept = Some(now);
        self.sources.retain(|_, account| {
            let is_full = account.left(per_second, now) >= per_second * 2.0;
            account.requests > 0 || account.appraisals > 0 || account.bytes > 0 || !is_full
        });
    }
}

impl Account {
    /// What it may begin at an instant.
    fn left(&self, per_second: f64, now: Instant) -> f64 {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * per_second;
        (self.left + grown).min(per_second * 2.0)
    }
}

fn too_long(max: usize) -> Refusal {
    let because = "the body is longer than this path allows";
    Refusal::new("request.malformed", 413, because)
        .difference("more", format!("at most {max} bytes"))
}

fn too_slow(most: Duration) -> Refusal {
    let because = "the body did not arrive in time";
    Refusal::new("request.malformed", 408, because)
        .difference("slower", format!("within {} s", most.as_secs()))
}

impl Place {
    fn of(load: &Arc<Load>, source: IpAddr) -> Self {
        Self {
            load: Arc::clone(load),
            source,
            bytes: 0,
            requests: 0,
            appraisals: 0,
        }
    }

    async fn receive(&mut self, body: Body, max: usize) -> Result<Bytes, Refusal> {
        let mut stream = body.into_data_stream();
        let mut first = Bytes::new();
        let mut whole = Vec::new();
        loop {
            let next = poll_fn(|context| Pin::new(&mut stream).poll_next(context));
            let next = tokio::time::timeout(BODY_PAUSE, next).await;
            let piece = match next.map_err(|_| too_slow(BODY_PAUSE))? {
                None if whole.is_empty() => return Ok(first),
                None => return Ok(whole.into()),
                Some(Ok(piece)) => piece,
                Some(Err(_)) => {
                    let because = "the body broke off";
                    return Err(Refusal::new("request.malformed", 400, because));
                }
            };
            let held = first.len().max(whole.len());
            if piece.len() > max.saturating_sub(held) {
                return Err(too_long(max));
            }
            self.hold(piece.len())?;
            // Most bodies are one piece, and need no copy.
            if held == 0 {
                first = piece;
            } else {
                if whole.is_empty() {
                    whole.extend_from_slice(&first);
                }
                whole.extend_from_slice(&piece);
            }
        }
    }

    /// Counts bytes that arrived.
    fn hold(&mut self, more: usize) -> Result<(), Refusal> {
        let held = self.load.with(self.source, |books, source| {
            if books.bytes.saturating_add(more) > BODIES_BYTES_MAX {
                return Err(busy(503, "too many bytes are under way"));
            }
            let account = books.sources.get_mut(&source);
            let account = account.ok_or_else(|| busy(503, "the witness is in disorder"))?;
            if account.bytes.saturating_add(more) > SOURCE_BODIES_BYTES_MAX {
                return Err(busy(429, "too many bytes of this source are under way"));
            }
            account.bytes = account.bytes.saturating_add(more);
            books.bytes = books.bytes.saturating_add(more);
            Ok(source)
        });
        self.source = held.unwrap_or_else(|| Err(busy(503, "the witness is in disorder")))?;
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }

    /// The body is there.
    fn begin(&mut self) -> Result<(), Refusal> {
        let begun = self.load.with(self.source, |books, source| {
            if books.requests >= REQUESTS_MAX {
                return Err(busy(503, "too many requests are under way"));
            }
            let account = books.sources.get_mut(&source);
            let account = account.ok_or_else(|| busy(503, "the witness is in disorder"))?;
            if account.requests >= SOURCE_REQUESTS_MAX {
                return Err(busy(429, "too many requests of this source are under way"));
            }
            account.requests = account.requests.saturating_add(1);
            books.requests = books.requests.saturating_add(1);
            Ok(source)
        });
        self.source = begun.unwrap_or_else(|| Err(busy(503, "the witness is in disorder")))?;
        self.requests = 1;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(mut books) = self.load.books.lock() else {
            return;
        };
        books.requests = books.requests.saturating_sub(self.requests);
        books.bytes = books.bytes.saturating_sub(self.bytes);
        if let Some(own) = books.sources.get_mut(&account(self.source)) {
            own.requests = own.requests.saturating_sub(self.requests);
            own.appraisals = own.appraisals.saturating_sub(self.appraisals);
            own.bytes = own.bytes.saturating_sub(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(number).into()
    }

    fn place(load: &Arc<Load>, number: u32) -> Place {
        Place::of(load, source(number))
    }

    #[test]
    fn one_source_fills_its_own_room_and_all_together_the_whole() {
        let load = Arc::new(Load::new(0));
        let mut own: Vec<_> = (0..=SOURCE_REQUESTS_MAX).map(|_| place(&load, 1)).collect();
        let last = own.pop().unwrap().begin();
        own.iter_mut()
            .for_each(|place| assert!(place.begin().is_ok()));
        assert!(last.is_ok(), "the first of them");
        let refused = place(&load, 1).begin().unwrap_err();
        assert_eq!((refused.check, refused.status), ("session.busy", 429));
        let mut others: Vec<_> = (2..)
            .map(|number| place(&load, number))
            .take(REQUESTS_MAX - SOURCE_REQUESTS_MAX)
            .collect();
        others
            .iter_mut()
            .for_each(|place| assert!(place.begin().is_ok()));
        let refused = place(&load, 9999).begin().unwrap_err();
        assert_eq!((refused.check, refused.status), ("session.busy", 503));
        drop((own, others));
        assert_eq!((load.under_way().requests, load.under_way().bytes), (0, 0));
    }

    #[test]
    fn bytes_of_bodies_are_bounded_by_source_and_in_all_and_given_back() {
        let load = Arc::new(Load::new(0));
        let mut own = place(&load, 1);
        own.hold(SOURCE_BODIES_BYTES_MAX).unwrap();
        assert_eq!(place(&load, 1).hold(1).unwrap_err().status, 429);
        let mut others: Vec<_> = (2..5).map(|number| place(&load, number)).collect();
        for other in &mut others {
            other.hold(SOURCE_BODIES_BYTES_MAX).unwrap();
        }
        assert_eq!(place(&load, 9).hold(1).unwrap_err().status, 503);
        drop((own, others));
        place(&load, 9).hold(1).unwrap();
        assert_eq!(load.under_way().bytes, 0);
    }

    #[test]
    fn whoever_asks_too_often_is_refused_alone_and_addresses_of_one_network_are_one_source() {
        let load = Load::new(10);
        for _ in 0..20 {
            load.may_begin(source(1)).unwrap();
        }
        let refused = load.may_begin(source(1)).unwrap_err();
        assert_eq!((refused.check, refused.status), ("session.busy", 429));
        assert_eq!(refused.retry_after_secs, Some(1));
        load.may_begin(source(2)).unwrap();
        let of = |text: &str| account(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn more_sources_than_are_told_apart_share_one_account_and_take_no_memory() {
        // What is under way keeps its account.
        let load = Arc::new(Load::new(0));
        let mut own: Vec<_> = (0..u32::try_from(SOURCES_MAX).unwrap())
            .map(|number| place(&load, number))
            .collect();
        for place in &mut own {
            place.hold(1).unwrap();
        }
        let beyond = u32::try_from(SOURCES_MAX).unwrap();
        let mut others: Vec<_> = (beyond..)
            .map(|number| place(&load, number))
            .take(100)
            .collect();
        for place in &mut others {
            place.hold(1).unwrap();
        }
        assert_eq!(load.under_way().sources, SOURCES_MAX + 1);
        drop((own, others));
        assert_eq!(load.under_way().bytes, 0);
    }
}
