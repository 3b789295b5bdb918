//! Servers as processes of their own, and what the kernel says of them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use zeuge_protocol::document::Kind;

use crate::common::{Client, World, rule, trust_file};
use crate::floor;

/// A server that is killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What the floor is sent.
    pub(crate) message: Vec<u8>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(command: &mut Command, message: Vec<u8>) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        let address = address.parse().unwrap();
        Self {
            child,
            address,
            message,
        }
    }

    pub(crate) fn floor() -> Self {
        let (key, message) = floor::message();
        let mut command = Command::new(std::env::current_exe().unwrap());
        Self::start(
            command
                .arg("floor")
                .env("ZEUGE_FLOOR_KEY", hex::encode(key)),
            message,
        )
    }

    fn status(&self, key: &str) -> usize {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap();
        line.trim_matches(|letter: char| !letter.is_ascii_digit())
            .parse()
            .unwrap()
    }

    pub(crate) fn resident_kib(&self) -> usize {
        self.status("VmRSS:")
    }

    pub(crate) fn peak_kib(&self) -> usize {
        self.status("VmHWM:")
    }

    /// User and system time so far, in milliseconds. The kernel counts in hundredths of a second.
    pub(crate) fn cpu_ms(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let rest = text.rsplit_once(')').unwrap().1;
        let field = |place: usize| {
            rest.split_whitespace()
                .nth(place)
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };
        (field(11) + field(12)) * 10.0
    }
}

/// A world whose owner wants the toy machine, with a secret for each suite.
pub(crate) struct Witness {
    pub(crate) world: World,
}

/// The secret that goes by X25519.
pub(crate) const CLASSIC: &str = "db/classic";

impl Witness {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let running = world.start();
        world.furnish(&running, "sim");
        let text = rule("sim", CLASSIC).replace("x-wing", "x25519");
        let document = world.document(Kind::ReleaseRule, "sim", CLASSIC, 1, &text);
        let body = serde_json::to_vec(&document).unwrap();
        let at = "/v1/documents/release-rule";
        running.admin("PUT", at, &world.admin, &body).unwrap();
        world
            .put_secret(&running, "sim", CLASSIC, 1, &world.owner)
            .unwrap();
        drop(running);
        Self { world }
    }

    pub(crate) fn serve(&self) -> Server {
        let folder = self.world.folder.path();
        let trust = folder.join("trust.json");
        fs::write(&trust, trust_file()).unwrap();
        Self::serve_folder(&self.world.data(), &trust)
    }

    fn serve_folder(data: &Path, trust: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zeuged"));
        command.arg("serve").arg("--data").arg(data);
        command
            .args([
                "--listen",
                "127.0.0.1:0",
                "--offline",
                "--source-per-second",
                "0",
                "--dangerous-trust-sim",
            ])
            .arg(trust);
        let server = Server::start(command.env("RUST_LOG", "warn"), Vec::new());
        assert_eq!(Client(server.address).get("/readyz").unwrap(), b"ready\n");
        server
    }
}
