//! `zeuged` as a process, watched from outside through `/proc`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeuge_protocol::suite::Suite;

use crate::common::{Attempt, Client, World, evidence, release_of, trust_file};

pub(crate) fn real_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A running `zeuged`, killed when dropped.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) client: Client,
    /// What it wrote on standard error.
    pub(crate) log: PathBuf,
    pub(crate) is_tls: bool,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    pub(crate) fn start(world: &World, more: &[&str]) -> Self {
        Self::start_after("", world, more)
    }

    /// Serves the world's folder with the toy's roots, from a shell that did this before.
    pub(crate) fn start_after(before: &str, world: &World, more: &[&str]) -> Self {
        let trust = world.folder.path().join("trust.json");
        fs::write(&trust, trust_file()).unwrap();
        let log = world.folder.path().join("zeuged.log");
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_zeuged"))
            .args(["serve", "--data", world.data().to_str().unwrap()])
            .args(["--listen", "127.0.0.1:0", "--dangerous-trust-sim"])
            .arg(trust)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let told = || fs::read_to_string(&log).unwrap();
        let url = line.trim().strip_prefix("listening on ");
        let url = url.unwrap_or_else(|| panic!("not listening: {}", told()));
        let (scheme, address) = url.split_once("://").unwrap();
        let is_tls = scheme == "https";
        let client = Client(address.parse().unwrap());
        Self {
            child,
            client,
            log,
            is_tls,
        }
    }

    /// A served world whose tenant `sim` has a rule and a secret.
    pub(crate) fn furnished(more: &[&str]) -> (World, Self) {
        let world = World::new();
        let served = Self::start(&world, more);
        world.furnish(&served.client, "sim");
        (world, served)
    }

    fn status(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let digits = line
            .unwrap()
            .trim_matches(|letter: char| !letter.is_ascii_digit());
        digits.parse().unwrap()
    }

    /// Resident memory now and at its highest, in MiB.
    pub(crate) fn memory_mib(&self) -> (u64, u64) {
        (self.status("VmRSS:") / 1024, self.status("VmHWM:") / 1024)
    }

    /// Handles in use, by its own word: only root may look.
    pub(crate) fn handles(&self) -> u64 {
        let metrics = self.client.get("/metrics").unwrap();
        value(&String::from_utf8(metrics).unwrap(), "process_open_fds").unwrap()
    }

    /// Ends it as an administrator would; what it wrote.
    pub(crate) fn terminate(mut self) -> String {
        let ended = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(ended.unwrap().success());
        assert!(self.child.wait().unwrap().success());
        fs::read_to_string(&self.log).unwrap()
    }
}

/// The value of a series in an exposition.
pub(crate) fn value(metrics: &str, series: &str) -> Option<u64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|number| number.parse::<f64>().unwrap() as u64)
}

/// Sends bytes on a connection of their own; everything that comes back until it is closed or
/// nothing comes for this long.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.set_write_timeout(Some(patience)).unwrap();
    // Whoever is refused early may find the connection closed while it still sends.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..count]);
    }
    answer
}

/// The status of the first answer in these bytes.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    let code = text.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    code.parse().ok()
}

/// An honest machine's whole attestation with a release; `None` when anything of it was refused.
pub(crate) fn attest(client: Client) -> Option<()> {
    let wanted = b"{\"tenant\":\"sim\"}";
    let challenge = client.try_answer("POST", "/v1/challenges", None, wanted)?;
    let challenge = serde_json::from_slice(&challenge.ok()?).unwrap();
    let attempt = Attempt::new(challenge, release_of(&["db/key"]), Suite::X_WING);
    let bundle = evidence(attempt.binding.report_data(), real_now());
    let body = serde_json::to_vec(&attempt.body(&bundle)).unwrap();
    let answer = client.try_answer("POST", "/v1/releases", None, &body)?;
    answer.ok().map(drop)
}
