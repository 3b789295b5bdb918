//! Talks to a witness: HTTP/1.1 over one blocking connection per request, TLS by rustls under the
//! certificates that the caller named.
//!
//! Everything has a limit: sizes, heads, time. Plain HTTP goes to loopback alone. Never follows a
//! redirect, never reads the system's root certificates, never shows a token or a body.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, TcpStream, ToSocketAddrs as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use zeroize::Zeroizing;
use zeuge_protocol::api::Problem;

use crate::{Outcome, input};

/// The longest answer in bytes: a list of documents of 8 MiB each is refused before it fills
/// the memory.
const BODY_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The longest head in bytes: what servers commonly allow.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A change waits until nothing is released under the old state, five seconds; then the log.
const TIME_MAX: Duration = Duration::from_secs(60);
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// What went wrong: here (exit code 1), or as the witness says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    code: u8,
    /// What it says.
    pub(crate) sentence: String,
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.sentence
    }
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self {
            code: crate::USAGE,
            sentence,
        }
    }
}

impl Failure {
    /// A witness that does not answer.
    fn unavailable(sentence: String) -> Self {
        Self { code: 4, sentence }
    }

    /// What does not hold.
    pub(crate) fn untrusted(sentence: String) -> Self {
        Self { code: 3, sentence }
    }

    /// Says it, and gives the exit code.
    pub(crate) fn told(self) -> Outcome {
        crate::complain(&self.sentence);
        Ok(self.code)
    }
}

/// A witness's address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Url {
    tls: bool,
    host: String,
    port: u16,
    /// Without a slash at its end.
    prefix: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = match text.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let strange = |letter: char| !letter.is_ascii_graphic() || "@?#\\".contains(letter);
        if rest.contains(strange) {
            return None;
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().ok()?,
            None if !port.is_empty() => return None,
            None if tls => 443,
            None => 80,
        };
        (!host.is_empty() && host.len() <= 253).then(|| Self {
            tls,
            host: host.to_owned(),
            port,
            prefix: match path.trim_end_matches('/') {
                "" => String::new(),
                path => format!("/{path}"),
            },
        })
    }

    fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    fn authority(&self) -> String {
        let port = self.port;
        if self.host.contains(':') {
            format!("[{}]:{port}", self.host)
        } else {
            format!("{}:{port}", self.host)
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The Date field, where there is one.
    pub(crate) date: Option<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The answer, unless it is a problem.
    ///
    /// # Errors
    /// The problem with its check id and the exit code that it stands for.
    pub(crate) fn good(self) -> Result<Self, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&self.body) else {
            let sentence = format!("the witness answered with status {}", self.status);
            return Err(sentence.into());
        };
        let code = match problem.title.as_str() {
            "malformed" => 2,
            "untrusted" => 3,
            "unavailable" => 4,
            "refused" => 5,
            _ => crate::USAGE,
        };
        let detail = problem.detail.as_deref().unwrap_or(&problem.title);
        let mut sentence = match problem.check() {
            Some(check) if !detail.starts_with(check) => format!("{check}: {detail}"),
            _ => detail.to_owned(),
        };
        if let (Some(found), Some(wanted)) = (&problem.found, &problem.wanted) {
            sentence.push_str(&format!(" (found {found}, wanted {wanted})"));
        }
        // What comes from the network goes to a terminal.
        sentence.retain(|letter| !letter.is_control());
        Err(Failure { code, sentence })
    }

    /// The check id of a problem; empty for an answer that is none.
    pub(crate) fn check(&self) -> String {
        let problem = serde_json::from_slice::<Problem>(&self.body).ok();
        problem
            .and_then(|problem| problem.check().map(str::to_owned))
            .unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// The problem, or a sentence when the body is no JSON.
    pub(crate) fn json(self) -> Result<Value, Failure> {
        let answer = self.good()?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| format!("the witness's answer is no JSON: {error}").into())
    }
}

/// A client of one witness. Its `Debug` is left out: it holds a token.
pub(crate) struct Client {
    url: Url,
    tls: Option<Arc<ClientConfig>>,
    token: Option<Zeroizing<String>>,
}

impl Client {
    /// A client; `ca` is the file of the certificates for https.
    ///
    /// # Errors
    /// A sentence, for an address or a file that cannot be used, and for plain HTTP to another
    /// machine.
    pub(crate) fn new(
        url: &str,
        ca: Option<&Path>,
        token: Option<Zeroizing<String>>,
    ) -> Result<Self, String> {
        let parsed = Url::parse(url)
            .ok_or_else(|| format!("{url}: write it like https://host:8443 or http://127.0.0.1"))?;
        if !parsed.tls && !parsed.is_loopback() {
            return Err(format!(
                "{url}: plain HTTP to another machine would show secrets and tokens on the way; \
                 use https"
            ));
        }
        let tls = if parsed.tls {
            let ca = ca.ok_or_else(|| {
                format!("{url}: https needs the witness's certificates (--ca FILE)")
            })?;
            Some(tls(ca)?)
        } else {
            None
        };
        Ok(Self {
            url: parsed,
            tls,
            token,
        })
    }

    /// Fetches.
    ///
    /// # Errors
    /// A sentence, when nothing usable comes back in time.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask("GET", path, None)
    }

    /// Deletes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.ask("DELETE", path, None)
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        self.ask("POST", path, Some(body))
    }

    /// Puts JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) fn put(&self, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        self.ask("PUT", path, Some(body))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Answer, Failure> {
        let authority = self.url.authority();
        let mut length = 512_usize;
        for part in [path.len(), authority.len(), body.map_or(0, <[u8]>::len)] {
            length = length.saturating_add(part);
        }
        let token = self.token.as_deref().map_or("", String::as_str);
        // Room beforehand: the request may hold a share and a token, and is wiped afterwards.
        let mut request = Zeroizing::new(Vec::with_capacity(length.saturating_add(token.len())));
        let head = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: zeuge\r\n\
             Accept: application/json, */*\r\nConnection: close\r\n",
            self.url.prefix
        );
        request.extend_from_slice(head.as_bytes());
        if !token.is_empty() {
            for part in ["Authorization: Bearer ", token, "\r\n"] {
                request.extend_from_slice(part.as_bytes());
            }
        }
        if let Some(body) = body {
            let fields = format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
            request.extend_from_slice(fields.as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body.unwrap_or_default());
        self.exchange(&request).map_err(|error| {
            Failure::unavailable(format!("{method} {path} at {authority}: {error}"))
        })
    }

    fn exchange(&self, request: &[u8]) -> io::Result<Answer> {
        let until = Instant::now() + TIME_MAX;
        let mut last = io::Error::other("the name has no address");
        let mut socket = None;
        for address in (self.url.host.as_str(), self.url.port)
            .to_socket_addrs()?
            .take(4)
        {
            match TcpStream::connect_timeout(&address, CONNECT_MAX) {
                Ok(found) => {
                    socket = Some(found);
                    break;
                }
                Err(error) => last = error,
            }
        }
        let socket = Timed {
            socket: socket.ok_or(last)?,
            until,
        };
        match &self.tls {
            None => converse(socket, request),
            Some(config) => {
                let name = ServerName::try_from(self.url.host.clone()).map_err(io::Error::other)?;
                let connection =
                    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                converse(StreamOwned::new(connection, socket), request)
            }
        }
    }
}

fn tls(ca: &Path) -> Result<Arc<ClientConfig>, String> {
    let bad = |because: String| format!("{}: {because}", ca.display());
    let pem = input::read(ca)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(format!("{error:?}")))?;
        roots
            .add(certificate)
            .map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate in it (PEM)".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A socket whose reads and writes end together at one instant.
struct Timed {
    socket: TcpStream,
    until: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let because = "no whole answer in time";
            return Err(io::Error::new(io::ErrorKind::TimedOut, because));
        }
        Ok(left)
    }
}

impl Read for Timed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(out)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Sends, and reads to the end of the connection, which the request asked for.
fn converse(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Answer> {
    // A server that refuses early may close before it has read everything; what it answered
    // counts.
    let sent = stream.write_all(request).and_then(|()| stream.flush());
    let mut whole = Vec::new();
    let read = stream.take(BODY_BYTES_MAX).read_to_end(&mut whole);
    match (answer(&whole), sent, read) {
        (Ok(answer), _, _) => Ok(answer),
        (Err(_), Err(error), _) | (Err(_), Ok(()), Err(error)) => Err(error),
        (Err(because), Ok(()), Ok(_)) => Err(because),
    }
}

fn bad(because: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, because)
}

/// Reads one whole response (RFC 9112).
fn answer(whole: &[u8]) -> io::Result<Answer> {
    let window = whole
        .get(..whole.len().min(HEAD_BYTES_MAX))
        .unwrap_or_default();
    let end = window
        .windows(4)
        .position(|found| found == b"\r\n\r\n")
        .ok_or_else(|| bad("that is not an HTTP answer"))?;
    let (head, rest) = whole.split_at(end);
    let rest = rest.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| bad("the head is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3)?.parse::<u16>().ok())
        .ok_or_else(|| bad("that is not an HTTP answer"))?;
    let (mut length, mut chunked, mut date) = (None, false, None);
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| bad("a header field has no colon"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" if length.is_some() => return Err(bad("two lengths")),
            "content-length" => length = Some(value.parse().map_err(|_| bad("no length"))?),
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => chunked = true,
            "transfer-encoding" => return Err(bad("an unknown transfer encoding")),
            "date" => date = Some(value.to_owned()),
            _ => {}
        }
    }
    let body = match length {
        _ if chunked => unchunk(rest)?,
        Some(length) => rest
            .get(..length)
            .ok_or_else(|| bad("the answer ends early"))?
            .to_vec(),
        // Without a length, an answer that was cut cannot be told from a whole one.
        None if matches!(status, 204 | 304) => Vec::new(),
        None => return Err(bad("the answer has no length")),
    };
    Ok(Answer { status, date, body })
}

fn unchunk(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let early = || bad("the answer ends early");
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).take(256).position(|found| found == b"\r\n");
        let (line, after) = rest.split_at(end.ok_or_else(early)?);
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.split(';').next())
            .and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok())
            .ok_or_else(|| bad("a chunk has no size"))?;
        let after = after.get(2..).unwrap_or_default();
        if size == 0 {
            return Ok(body);
        }
        let (chunk, after) = after.split_at_checked(size).ok_or_else(early)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").ok_or_else(early)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let url = Url::parse("https://w.example/zeuge/").unwrap();
        assert_eq!((url.port, url.prefix.as_str()), (443, "/zeuge"));
        let url = Url::parse("http://[::1]:8080").unwrap();
        assert!(url.is_loopback() && url.authority() == "[::1]:8080");
        for wrong in [
            "ftp://w.example",
            "https://",
            "https://me@w.example",
            "https://w.example:x",
            "https://w.example/a?b",
            "https://w.example/a b",
            "w.example",
        ] {
            assert_eq!(Url::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine_and_https_needs_certificates() {
        assert!(Client::new("http://127.0.0.1:1", None, None).is_ok());
        let refusal = |url| Client::new(url, None, None).err().unwrap();
        assert!(refusal("http://192.0.2.1").contains("use https"));
        assert!(refusal("https://192.0.2.1").contains("--ca"));
    }

    #[test]
    fn an_answer_that_was_cut_is_no_answer() {
        let whole = b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 3\r\n\r\nabc";
        let read = answer(whole).unwrap();
        assert_eq!((read.status, read.body.as_slice()), (200, &b"abc"[..]));
        for cut in 0..whole.len() {
            assert!(answer(&whole[..cut]).is_err(), "{cut}");
        }
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(answer(chunked).unwrap().body, b"abc");
        assert!(answer(&chunked[..chunked.len() - 6]).is_err());
    }

    #[test]
    fn a_problem_gives_its_id_and_its_exit_code() {
        let problem = Problem {
            detail: Some("too\u{1b} old".to_owned()),
            ..Problem::new("document.version", "refused", 403)
        };
        let body = serde_json::to_vec(&problem).unwrap();
        let answer = Answer {
            status: 403,
            date: None,
            body,
        };
        let failure = answer.good().unwrap_err();
        assert_eq!(failure.code, 5);
        assert_eq!(failure.sentence, "document.version: too old");
    }
}
