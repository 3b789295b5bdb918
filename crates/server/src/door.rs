//! The door to the network: accepts connections, seats them, shakes hands, speaks HTTP/1.1.
//!
//! *Guarantees*: connections are bounded by the machine's handles and by source; when every seat is
//! taken, the connection that has been idle longest goes, so whoever comes to ask is heard; a peer
//! that says nothing, or too slowly, or does not take its answer, is let go in time. *Bounds*: all
//! in [`crate::limits`]. HTTP/2 is not spoken, so it cannot be reset; nothing is compressed or
//! unpacked.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::http::Peer;
use crate::limits::{
    ANSWER_BYTES_KEPT, ANSWER_PAUSE, CONNECTIONS_MAX, HANDLES_KEPT, HANDSHAKE, HANDSHAKES_MAX,
    HEAD, HEAD_BYTES_MAX, HEADERS_MAX,
};
use crate::load::account;
use crate::metrics::Metrics;
use crate::witness::Witness;

/// Where nobody sits.
const BUSY: u64 = 0;

#[derive(Debug, Default)]
struct Rows {
    next: u64,
    all: usize,
    /// Whoever may be asked to go, the longest idle first.
    idle: BTreeMap<u64, Arc<Notify>>,
    sources: HashMap<IpAddr, usize>,
}

/// The seats of a room with so many of them.
#[derive(Debug)]
pub struct Seats {
    rows: Mutex<Rows>,
    max: usize,
    of_one_max: usize,
}

/// The seat of one connection, until dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    source: IpAddr,
    /// Its place among the idle; [`BUSY`] while a request of it is under way.
    place: Mutex<u64>,
    leave: Arc<Notify>,
}

impl Seats {
    /// A room with `max` seats, of which one source may take so many.
    #[must_use]
    pub fn new(max: usize, of_one_max: usize) -> Arc<Self> {
        Arc::new(Self {
            rows: Mutex::default(),
            max,
            of_one_max,
        })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.rows.lock().map_or(0, |rows| rows.all)
    }

    /// Takes a seat, if need be that of whoever has been idle longest, who is told by `leave`.
    fn enter(self: &Arc<Self>, source: IpAddr, leave: Arc<Notify>) -> Option<Entered> {
        let source = account(source);
        let mut rows = self.rows.lock().ok()?;
        if rows.sources.get(&source).copied().unwrap_or(0) >= self.of_one_max {
            return None;
        }
        let mut evicted = false;
        if rows.all >= self.max {
            // Its count goes when it has left; the seat is over the number for that moment.
            let (_, other) = rows.idle.pop_first()?;
            other.notify_one();
            evicted = true;
        }
        rows.next = rows.next.saturating_add(1);
        rows.all = rows.all.saturating_add(1);
        let place = rows.next;
        rows.idle.insert(place, Arc::clone(&leave));
        let own = rows.sources.entry(source).or_default();
        *own = own.saturating_add(1);
        drop(rows);
        let seat = Seat {
            seats: Arc::clone(self),
            source,
            place: Mutex::new(place),
            leave,
        };
        Some(Entered { seat, evicted })
    }
}

struct Entered {
    seat: Seat,
    evicted: bool,
}

impl Seat {
    /// A request of this connection is under way: it is not asked to go.
    pub fn busy(&self) {
        self.sit(false);
    }

    /// It waits, or sends; it was heard of just now.
    pub fn idle(&self) {
        self.sit(true);
    }

    fn sit(&self, idle: bool) {
        let (Ok(mut place), Ok(mut rows)) = (self.place.lock(), self.seats.rows.lock()) else {
            return;
        };
        if *place != BUSY && rows.idle.remove(&place).is_none() {
            // It was asked to go; that stands.
            return;
        }
        *place = BUSY;
        if idle {
            rows.next = rows.next.saturating_add(1);
            *place = rows.next;
            rows.idle.insert(*place, Arc::clone(&self.leave));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sit(false);
        let Ok(mut rows) = self.seats.rows.lock() else {
            return;
        };
        rows.all = rows.all.saturating_sub(1);
        if let Some(own) = rows.sources.get_mut(&self.source) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                rows.sources.remove(&self.source);
            }
        }
    }
}

/// As many connections as the process has handles for, less those that it needs itself. Asks the
/// system for as many handles as it may have.
#[must_use]
pub fn connections_max() -> usize {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limits.maximum.unwrap_or(u64::MAX);
    let wanted = u64::try_from(CONNECTIONS_MAX).unwrap_or(u64::MAX);
    let wanted = wanted.saturating_add(HANDLES_KEPT).min(most);
    let mut held = limits.current.unwrap_or(u64::MAX);
    if held < wanted {
        let raised = rustix::process::Rlimit {
            current: Some(wanted),
            maximum: limits.maximum,
        };
        if rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).is_ok() {
            held = wanted;
        }
    }
    let free = held.saturating_sub(HANDLES_KEPT).max(held / 2);
    usize::try_from(free)
        .unwrap_or(usize::MAX)
        .clamp(1, CONNECTIONS_MAX)
}

/// What all connections share.
struct House {
    witness: Arc<Witness>,
    router: Router,
    tls: Option<TlsAcceptor>,
    seats: Arc<Seats>,
    handshakes: Arc<Seats>,
    stop: watch::Receiver<bool>,
}

/// Serves a socket until told to stop; returns when the last connection has ended.
pub async fn serve(
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    witness: Arc<Witness>,
    mut stop: watch::Receiver<bool>,
) {
    let house = Arc::new(House {
        router,
        tls,
        seats: Arc::clone(&witness.seats),
        handshakes: Seats::new(HANDSHAKES_MAX, HANDSHAKES_MAX),
        stop: stop.clone(),
        witness,
    });
    let (alive, mut last) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            biased;
            () = told(&mut stop) => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => seat(&house, stream, peer, alive.clone()),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop((socket, alive));
    let _ = last.recv().await;
}

/// Waits until told to stop, or until nobody can tell any more.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Seats a connection and lets it speak, or closes it.
fn seat(house: &Arc<House>, stream: TcpStream, peer: SocketAddr, alive: mpsc::Sender<()>) {
    let count = |outcome| {
        let metrics: &Metrics = &house.witness.metrics;
        metrics.count("zeuge_connections_total", outcome);
    };
    let leave = Arc::new(Notify::new());
    let entered = match house.witness.load.may_begin(peer.ip()) {
        Ok(()) => house.seats.enter(peer.ip(), Arc::clone(&leave)),
        Err(_) => None,
    };
    let Some(Entered { seat, evicted }) = entered else {
        count("refused");
        return;
    };
    count("accepted");
    if evicted {
        count("evicted");
    }
    let house = Arc::clone(house);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = leave.notified() => {}
            () = converse(&house, stream, peer, (seat, Arc::clone(&leave))) => {}
        }
        drop(alive);
    });
}

/// One connection from its first byte to its last.
async fn converse(
    house: &House,
    stream: TcpStream,
    peer: SocketAddr,
    (seat, leave): (Seat, Arc<Notify>),
) {
    // A peer that says nothing costs a handle and this future, but no buffers.
    let mut stop = house.stop.clone();
    tokio::select! {
        biased;
        spoke = timeout(HEAD, stream.readable()) => match spoke {
            Ok(Ok(())) => {}
            _ => return,
        },
        () = told(&mut stop) => return,
    }
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, ANSWER_BYTES_KEPT);
    match &house.tls {
        // Boxed: who says nothing must not hold the room that a conversation needs.
        None => Box::pin(speak(house, stream, peer, seat)).await,
        Some(acceptor) => {
            let Some(shaking) = house.handshakes.enter(peer.ip(), leave) else {
                return;
            };
            match Box::pin(timeout(HANDSHAKE, acceptor.accept(stream))).await {
                Ok(Ok(stream)) => {
                    drop(shaking);
                    Box::pin(speak(house, stream, peer, seat)).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            }
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    house: &House,
    stream: S,
    peer: SocketAddr,
    seat: Seat,
) {
    let desk = Desk {
        router: TowerToHyperService::new(house.router.clone()),
        peer,
        seat: Arc::new(seat),
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(false);
    let stream = TokioIo::new(Patient {
        stream,
        until: None,
    });
    let mut connection = pin!(builder.serve_connection(stream, desk));
    let mut stop = house.stop.clone();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}

/// Hands each request of one connection to the routes, with who sent it and where it sits.
struct Desk {
    router: TowerToHyperService<Router>,
    peer: SocketAddr,
    seat: Arc<Seat>,
}

impl Service<hyper::Request<Incoming>> for Desk {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Future;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        self.seat.idle();
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(Peer(self.peer)));
        extensions.insert(Arc::clone(&self.seat));
        self.router.call(request)
    }
}

/// A stream whose writes must go on: whoever takes nothing for [`ANSWER_PAUSE`] is let go.
struct Patient<S> {
    stream: S,
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Passes on what a write came to, unless it has waited too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.until = None;
            return written;
        }
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(ANSWER_PAUSE)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn enter(seats: &Arc<Seats>, last: u8) -> Option<(Seat, Arc<Notify>)> {
        let leave = Arc::new(Notify::new());
        let entered = seats.enter(source(last), Arc::clone(&leave))?;
        Some((entered.seat, leave))
    }

    /// Whether somebody was asked to go.
    fn is_asked(leave: &Notify) -> bool {
        let mut waits = pin!(leave.notified());
        let mut context = Context::from_waker(std::task::Waker::noop());
        waits.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn when_every_seat_is_taken_the_longest_idle_goes_and_nobody_who_is_busy() {
        let seats = Seats::new(3, 3);
        let (first, first_leave) = enter(&seats, 1).unwrap();
        let (second, second_leave) = enter(&seats, 2).unwrap();
        let (_third, third_leave) = enter(&seats, 3).unwrap();
        first.busy();
        let (fourth, _) = enter(&seats, 4).unwrap();
        assert!(!is_asked(&first_leave) && is_asked(&second_leave));
        drop(second);
        assert_eq!(seats.taken(), 3);
        // Who was heard of just now is not the next.
        first.idle();
        let (_fifth, _) = enter(&seats, 5).unwrap();
        assert!(is_asked(&third_leave) && !is_asked(&first_leave));
        drop(fourth);
    }

    #[test]
    fn nobody_enters_when_all_are_busy_or_one_source_has_enough() {
        let seats = Seats::new(2, 1);
        let (one, _) = enter(&seats, 1).unwrap();
        assert!(enter(&seats, 1).is_none());
        let (two, _) = enter(&seats, 2).unwrap();
        one.busy();
        two.busy();
        assert!(enter(&seats, 3).is_none());
        drop(one);
        assert!(enter(&seats, 1).is_some());
    }

    #[test]
    fn the_machine_has_handles_for_somebody() {
        assert!((1..=CONNECTIONS_MAX).contains(&connections_max()));
    }
}
