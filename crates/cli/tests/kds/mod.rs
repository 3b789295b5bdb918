//! The toy's key service on a socket of this machine, for tests of the program.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use zeuge_evidence::UnixTime;
use zeuge_sim::ToyAmd;

pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixTime(i64::try_from(since.as_secs()).unwrap())
}

/// The running service.
pub(crate) struct Kds {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
    behind: Arc<AtomicI64>,
}

impl Kds {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kds = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
            down: Arc::default(),
            behind: Arc::default(),
        };
        let asked = Arc::clone(&kds.asked);
        let (down, behind) = (Arc::clone(&kds.down), Arc::clone(&kds.behind));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                reader.read_line(&mut line).unwrap();
                let mut rest = String::new();
                while reader.read_line(&mut rest).is_ok_and(|length| length > 2) {
                    rest.clear();
                }
                asked.fetch_add(1, Ordering::SeqCst);
                if down.load(Ordering::SeqCst) {
                    let _ = stream.write_all(b"HTTP/1.1 500 Down\r\nContent-Length: 0\r\n\r\n");
                    continue;
                }
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                let at = now().plus(-behind.load(Ordering::SeqCst));
                let answer = ToyAmd::shared().kds(&path, at);
                let head = format!(
                    "HTTP/1.1 {} Toy\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    answer.status,
                    answer.body.len()
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&answer.body);
            }
        });
        kds
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Answers errors from now on.
    pub(crate) fn down(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    /// Answers as it would have so many seconds ago.
    pub(crate) fn behind(&self, secs: i64) {
        self.behind.store(secs, Ordering::SeqCst);
    }
}
