//! Numbers for Prometheus, and whether the process is alive, over plain HTTP.
//!
//! Says how many and never who: labels are check ids and words, no names of nodes, pods or people.
//! So nothing here is secret, and nothing is believed that a caller sends: of a request only its
//! first line is read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::error::Error;

/// How long a caller may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Callers at once: a scraper and a probe are two.
const CALLERS_MAX: usize = 8;
/// The head of a request; longer ones are nobody's we know.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// A controller that took no turn for so long is not alive.
const ALIVE: Duration = Duration::from_secs(120);

/// Name, kind, the label's name or nothing, and what it says.
pub const METRICS: &[(&str, &str, &str, &str)] = &[
    (
        "zeuge_kube_actions_total",
        "counter",
        "step",
        "Steps that were taken, by step.",
    ),
    (
        "zeuge_kube_action_failures_total",
        "counter",
        "step",
        "Steps that the API server did not take, by step.",
    ),
    (
        "zeuge_kube_bypass",
        "gauge",
        "",
        "Bindings that let somebody join without attestation.",
    ),
    (
        "zeuge_kube_decisions_total",
        "counter",
        "check",
        "Certificate requests that were decided, by check id; attested is an approval.",
    ),
    (
        "zeuge_kube_drains_stuck",
        "gauge",
        "",
        "Nodes whose drain a budget blocks beyond its deadline.",
    ),
    (
        "zeuge_kube_hold",
        "gauge",
        "check",
        "1 while this holds actions back.",
    ),
    (
        "zeuge_kube_leader",
        "gauge",
        "",
        "1 while this process holds the Lease.",
    ),
    (
        "zeuge_kube_nodes",
        "gauge",
        "state",
        "Live nodes by what is known of them: good, failed, never, declared, not-applicable, stale, rebooted, waived.",
    ),
    (
        "zeuge_kube_oldest_verdict_seconds",
        "gauge",
        "",
        "The age of the oldest verdict of a live node that was judged.",
    ),
    (
        "zeuge_kube_pass_failures_total",
        "counter",
        "",
        "Passes that were not finished.",
    ),
    (
        "zeuge_kube_passes_total",
        "counter",
        "",
        "Passes that were finished.",
    ),
    (
        "zeuge_kube_untold",
        "gauge",
        "",
        "Witnesses that could not be told, and waivers that none has written down yet.",
    ),
    (
        "zeuge_kube_without_secrets",
        "gauge",
        "",
        "Machines to which witnesses are told to give no new secrets.",
    ),
];

/// The numbers of one process.
#[derive(Debug)]
pub struct Metrics {
    values: Mutex<BTreeMap<(&'static str, String), i64>>,
    turn: Mutex<Instant>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            values: Mutex::default(),
            turn: Mutex::new(Instant::now()),
        }
    }
}

impl Metrics {
    /// Counts one.
    pub fn count(&self, name: &'static str, label: &str) {
        if let Ok(mut values) = self.values.lock() {
            let value = values.entry((name, label.to_owned())).or_default();
            *value = value.saturating_add(1);
        }
    }

    /// Sets a gauge.
    pub fn set(&self, name: &'static str, label: &str, value: i64) {
        if let Ok(mut values) = self.values.lock() {
            values.insert((name, label.to_owned()), value);
        }
    }

    /// The controller took a turn.
    pub fn turned(&self) {
        if let Ok(mut turn) = self.turn.lock() {
            *turn = Instant::now();
        }
    }

    /// Whether the controller took a turn lately.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.turn.lock().is_ok_and(|turn| turn.elapsed() < ALIVE)
    }

    /// The text form of Prometheus (version 0.0.4).
    #[must_use]
    pub fn text(&self) -> String {
        let values = self.values.lock().map(|values| values.clone());
        let values = values.unwrap_or_default();
        let mut out = String::new();
        for (name, kind, label, help) in METRICS {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            let mut any = false;
            for ((_, value), number) in values.iter().filter(|((it, _), _)| it == name) {
                any = true;
                let _ = if label.is_empty() {
                    writeln!(out, "{name} {number}")
                } else {
                    writeln!(out, "{name}{{{label}=\"{value}\"}} {number}")
                };
            }
            if !any && label.is_empty() {
                let _ = writeln!(out, "{name} 0");
            }
        }
        out
    }
}

/// Answers `/metrics` and `/healthz` until the process ends.
///
/// # Errors
/// `kube.local` when the address cannot be listened at.
pub async fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Result<(), Error> {
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|error| Error::Local(format!("--metrics {address}: {error}")))?;
    tracing::info!(%address, "metrics");
    tokio::spawn(async move {
        let callers = Arc::new(Semaphore::new(CALLERS_MAX));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(caller) = Arc::clone(&callers).try_acquire_owned() else {
                continue;
            };
            let metrics = Arc::clone(&metrics);
            tokio::spawn(async move {
                let _ = tokio::time::timeout(PATIENCE, answer(stream, &metrics)).await;
                drop(caller);
            });
        }
    });
    Ok(())
}

async fn answer(mut stream: TcpStream, metrics: &Metrics) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 256];
    while !head.windows(4).any(|it| it == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    let (status, body) = respond(&head, metrics);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn respond(head: &[u8], metrics: &Metrics) -> (&'static str, String) {
    let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let mut words = line.split(' ');
    match (words.next(), words.next()) {
        (Some("GET"), Some("/metrics")) => ("200 OK", metrics.text()),
        (Some("GET"), Some("/healthz")) if metrics.alive() => ("200 OK", "ok\n".to_owned()),
        (Some("GET"), Some("/healthz")) => {
            ("503 Service Unavailable", "no turn lately\n".to_owned())
        }
        (Some("GET"), Some(_)) => ("404 Not Found", "/metrics or /healthz\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_shown_and_counted_under_its_label() {
        let metrics = Metrics::default();
        metrics.count("zeuge_kube_decisions_total", "kube.csr.key");
        metrics.count("zeuge_kube_decisions_total", "kube.csr.key");
        metrics.set("zeuge_kube_leader", "", 1);
        let text = metrics.text();
        for (name, kind, _, _) in METRICS {
            assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        }
        assert!(text.contains("zeuge_kube_decisions_total{check=\"kube.csr.key\"} 2\n"));
        assert!(text.contains("\nzeuge_kube_leader 1\n"));
        assert!(text.contains("\nzeuge_kube_bypass 0\n"));
    }

    #[test]
    fn only_two_questions_are_answered() {
        let metrics = Metrics::default();
        let status = |head: &[u8]| respond(head, &metrics).0;
        assert_eq!(status(b"GET /metrics HTTP/1.1\r\nHost: a"), "200 OK");
        assert_eq!(status(b"GET /healthz HTTP/1.1\r\n"), "200 OK");
        assert_eq!(status(b"GET / HTTP/1.1\r\n"), "404 Not Found");
        for hostile in [&b""[..], b"\n", b"POST /metrics HTTP/1.1", b"\xff\xff \x00"] {
            assert_eq!(status(hostile), "405 Method Not Allowed");
        }
        *metrics.turn.lock().unwrap() -= ALIVE;
        assert_eq!(
            status(b"GET /healthz HTTP/1.1\r\n"),
            "503 Service Unavailable"
        );
    }

    #[tokio::test]
    async fn a_scraper_gets_the_text_and_a_slow_one_does_not_keep_it_from_others() {
        let found = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = found.local_addr().unwrap();
        drop(found);
        serve(address, Arc::new(Metrics::default())).await.unwrap();
        let _slow = TcpStream::connect(address).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(text.ends_with("zeuge_kube_without_secrets 0\n"), "{text}");
    }
}
