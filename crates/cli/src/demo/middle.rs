//! The network between agent and witness, as an attacker sees it: it passes bytes on, keeps what
//! was sent, and can put another key in.
//!
//! Plain HTTP on loopback, so that there is something to see; a real witness speaks TLS, and even
//! then nothing here would depend on it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use zeuge_protocol::{
    api::{AttestRequest, Problem},
    binding::{Binding, Role},
    seal::SessionKey,
};

/// The longest request that is passed on; a bundle is under 6 MiB.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;
const TIME_MAX: Duration = Duration::from_secs(30);

/// What happens to requests for secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They are passed on as they are.
    Pass,
    /// The machine's key is replaced by one of the attacker's.
    OtherKey,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    recorded: Option<Vec<u8>>,
    answered: String,
}

/// The network.
#[derive(Debug)]
pub(super) struct Middle {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Middle {
    /// Listens on a free port of loopback and passes on to `witness`.
    pub(super) fn start(witness: SocketAddr) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the network of the demo: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = State {
            mode: Mode::Pass,
            recorded: None,
            answered: String::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up has lost an answer and nothing else.
                let _ = pass(stream, witness, &shared);
            }
        });
        Ok(Self { address, state })
    }

    fn lock(&self) -> Result<std::sync::MutexGuard<'_, State>, String> {
        self.state
            .lock()
            .map_err(|_| "the network of the demo stopped".to_owned())
    }

    /// Changes what happens from now on.
    pub(super) fn set(&self, mode: Mode) -> Result<(), String> {
        self.lock()?.mode = mode;
        Ok(())
    }

    /// The last request for secrets that was answered with them.
    pub(super) fn recorded(&self) -> Result<Vec<u8>, String> {
        self.lock()?
            .recorded
            .clone()
            .ok_or_else(|| "nothing was recorded".to_owned())
    }

    /// The check id of the last problem that was answered.
    pub(super) fn answered(&self) -> Result<String, String> {
        Ok(self.lock()?.answered.clone())
    }
}

fn pass(mut client: TcpStream, witness: SocketAddr, state: &Mutex<State>) -> std::io::Result<()> {
    client.set_read_timeout(Some(TIME_MAX))?;
    let Some((head, mut body)) = request(&mut client)? else {
        return Ok(());
    };
    let releases = head.starts_with("POST /v1/releases ");
    let mode = state.lock().map_or(Mode::Pass, |state| state.mode);
    if releases && mode == Mode::OtherKey {
        body = with_other_key(&body).unwrap_or(body);
    }
    let mut upstream = TcpStream::connect_timeout(&witness, TIME_MAX)?;
    upstream.set_read_timeout(Some(TIME_MAX))?;
    upstream.write_all(rewritten(&head, body.len()).as_bytes())?;
    upstream.write_all(&body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    if let (true, Ok(mut state)) = (releases, state.lock()) {
        if answer.starts_with(b"HTTP/1.1 200") {
            state.recorded = Some(body);
        } else {
            state.answered = check(&answer);
        }
    }
    client.write_all(&answer)
}

/// The head as text, and the whole body by its Content-Length.
fn request(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let (head, rest) = bytes.split_at(at);
            let head = String::from_utf8_lossy(head).into_owned();
            let mut body = rest.get(4..).unwrap_or_default().to_vec();
            let length = content_length(&head).min(REQUEST_BYTES_MAX);
            while body.len() < length {
                let count = client.read(&mut piece)?;
                if count == 0 {
                    return Ok(None);
                }
                body.extend_from_slice(piece.get(..count).unwrap_or_default());
            }
            return Ok(Some((head, body)));
        }
        let count = client.read(&mut piece)?;
        if count == 0 || bytes.len() > REQUEST_BYTES_MAX {
            return Ok(None);
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}

fn content_length(head: &str) -> usize {
    let of = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(of).unwrap_or(0)
}

/// The same head with another length, for a connection of one request.
fn rewritten(head: &str, length: usize) -> String {
    let keep = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("connection")
    };
    let lines: Vec<_> = head.lines().filter(keep).collect();
    format!(
        "{}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
        lines.join("\r\n")
    )
}

/// The same request with the attacker's key in the machine's place.
fn with_other_key(body: &[u8]) -> Option<Vec<u8>> {
    let mut request: AttestRequest = serde_json::from_slice(body).ok()?;
    let binding = Binding::parse(&request.binding).ok()?;
    let (suite, _) = binding.recipient()?;
    let attacker = SessionKey::from_seed(suite, [0x66; 32]).ok()?;
    let forged = Binding::new(
        binding.witnesses().to_vec(),
        [(Role::Kem, attacker.bound())].into(),
        *binding.request(),
        binding.attestation_keys().to_vec(),
        None,
    );
    request.binding = forged.ok()?.encode();
    serde_json::to_vec(&request).ok()
}

fn check(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let from = text.find('{').unwrap_or(0);
    let to = text.rfind('}').map_or(0, |at| at.saturating_add(1));
    let problem = text
        .get(from..to)
        .and_then(|json| serde_json::from_str::<Problem>(json).ok());
    problem
        .and_then(|problem| problem.check().map(str::to_owned))
        .unwrap_or_default()
}
