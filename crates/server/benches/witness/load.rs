//! Clients: each keeps one connection and asks again as soon as it was answered, or at a pace.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::request::{Request, Wanted};
use zeuge_protocol::suite::Suite;

use crate::common::{Attempt, evidence, name, path};
use crate::serve::{CLASSIC, Server};

/// When this run began. Machines bring the certificates and lists that they were given once.
fn begun_at() -> i64 {
    static BEGUN: OnceLock<i64> = OnceLock::new();
    *BEGUN.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_secs()).unwrap()
    })
}

/// Fresh evidence beside the certificates of the first: the toy signs others every time.
fn evidence_again(report_data: [u8; 64]) -> Bundle {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    let fresh = evidence(report_data, begun_at());
    let report = fresh.only(Media::SnpReport).unwrap().to_vec();
    let table = TABLE.get_or_init(|| fresh.only(Media::SnpCertificates).unwrap().to_vec());
    let mut bundle = Bundle::new();
    let members = [
        ("snp", Media::SnpReport, report),
        ("snp.certificates", Media::SnpCertificates, table.clone()),
    ];
    for (label, media, bytes) in members {
        bundle.put(name(label), media, bytes).unwrap();
    }
    bundle
}

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// One signature.
    Floor,
    /// A challenge, then an appraisal with a token.
    Appraisal,
    /// A challenge, then the release of one secret, as the agent asks for it.
    Release(Suite),
    /// The same with the whole verdict in the answer.
    Whole(Suite),
}

/// How it is asked.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    connections: usize,
    time: Option<Duration>,
    count: usize,
    /// Per connection.
    pause: Option<Duration>,
}

impl Load {
    pub(crate) fn closed(connections: usize, time: Duration) -> Self {
        Self {
            connections,
            time: Some(time),
            count: usize::MAX,
            pause: None,
        }
    }

    pub(crate) fn counted(connections: usize, count: usize) -> Self {
        Self {
            connections,
            time: None,
            count,
            pause: None,
        }
    }

    /// So many per second in all, whether or not the last was answered in time.
    pub(crate) fn paced(connections: usize, time: Duration, per_second: f64) -> Self {
        let pause = Duration::from_secs_f64(connections as f64 / per_second.max(1.0));
        Self {
            pause: Some(pause),
            ..Self::closed(connections, time)
        }
    }
}

/// What came out.
pub(crate) struct Done {
    pub(crate) count: usize,
    pub(crate) per_second: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Runs a load; every answer must be a success.
pub(crate) fn run(server: &Server, kind: Kind, load: Load) -> Done {
    let waits = Mutex::new(Vec::new());
    let asked = AtomicUsize::new(0);
    // Everything that is made once is made before it counts.
    let mut warm = Line::open(server, 0);
    warm.ask(server, kind);
    let (cpu, begun) = (server.cpu_ms(), Instant::now());
    let is_over = || load.time.is_some_and(|time| begun.elapsed() >= time);
    std::thread::scope(|scope| {
        for number in 0..load.connections {
            let (waits, asked) = (&waits, &asked);
            scope.spawn(move || {
                let (mut line, mut own) = (Line::open(server, number), Vec::new());
                let mut due = begun
                    + load
                        .pause
                        .unwrap_or_default()
                        .mul_f64(number as f64 / load.connections as f64);
                while !is_over() && asked.fetch_add(1, Ordering::Relaxed) < load.count {
                    if let Some(pause) = load.pause {
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        due += pause;
                    }
                    own.push(line.ask(server, kind));
                }
                waits.lock().unwrap().extend(own);
            });
        }
    });
    let took = begun.elapsed();
    let mut waits = waits.into_inner().unwrap();
    waits.sort();
    let at = |part: f64| {
        let place = ((waits.len() as f64 * part) as usize).min(waits.len().saturating_sub(1));
        waits
            .get(place)
            .map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    Done {
        count: waits.len(),
        per_second: waits.len() as f64 / took.as_secs_f64(),
        cpu_ms: (server.cpu_ms() - cpu) / waits.len().max(1) as f64,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    }
}

/// One connection.
struct Line(TcpStream, Vec<u8>);

impl Line {
    /// Each connection is a machine of its own, with an address of its own.
    fn open(server: &Server, number: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let stream = runtime.unwrap().block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            let own = std::net::Ipv4Addr::new(127, 3, 0, u8::try_from(number + 1).unwrap());
            socket.bind((own, 0).into()).unwrap();
            socket
                .connect(server.address)
                .await
                .unwrap()
                .into_std()
                .unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream, Vec::new())
    }

    /// One request, whole; how long its answers took, without the making of evidence.
    fn ask(&mut self, server: &Server, kind: Kind) -> Duration {
        let prefer = match kind {
            Kind::Release(_) => "prefer: return=minimal\r\n",
            _ => "",
        };
        let (at, request, suite) = match kind {
            Kind::Floor => {
                let begun = Instant::now();
                self.post("/", "", &server.message);
                return begun.elapsed();
            }
            Kind::Appraisal => ("/v1/appraisals", Request::appraisal("bench"), Suite::X25519),
            Kind::Release(suite) | Kind::Whole(suite) => {
                let secret = if suite == Suite::X25519 {
                    CLASSIC
                } else {
                    "db/key"
                };
                let wanted = Wanted {
                    path: path(secret),
                    version: 0,
                };
                ("/v1/releases", Request::release([wanted], [suite]), suite)
            }
        };
        let begun = Instant::now();
        let challenge = self.post("/v1/challenges", "", b"{\"tenant\":\"sim\"}");
        let mut took = begun.elapsed();
        let challenge = serde_json::from_slice(&challenge).unwrap();
        let attempt = Attempt::new(challenge, request, suite);
        let bundle = evidence_again(attempt.binding.report_data());
        let body = serde_json::to_vec(&attempt.body(&bundle)).unwrap();
        let begun = Instant::now();
        self.post(at, prefer, &body);
        took += begun.elapsed();
        took
    }

    fn post(&mut self, at: &str, prefer: &str, body: &[u8]) -> Vec<u8> {
        let Self(stream, held) = self;
        let head = format!(
            "POST {at} HTTP/1.1\r\nhost: w1\r\ncontent-length: {}\r\n{prefer}\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        held.clear();
        let mut piece = [0; 16 * 1024];
        loop {
            let end = held.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&held[..end]).to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.unwrap().parse().unwrap();
                if held.len() >= end + 4 + length {
                    let body = held[end + 4..].to_vec();
                    assert!(
                        head.starts_with("http/1.1 200 "),
                        "{head}\n{}",
                        String::from_utf8_lossy(&body)
                    );
                    return body;
                }
            }
            let count = stream.read(&mut piece).unwrap();
            assert!(count > 0, "the connection was closed");
            held.extend_from_slice(&piece[..count]);
        }
    }
}
