//! A small HTTP/1.1 client over one blocking connection per request.
//!
//! TLS by rustls under the certificates of the configuration alone; plain HTTP only to loopback,
//! or where somebody wrote a dangerous option. Everything has a limit: sizes, headers, time.
//! Never follows a redirect, never keeps a connection, never reads the system's root
//! certificates.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::error::{Error, Fault, printable};

/// The check ids of this module.
pub(crate) const CHECKS: &[&str] = &["agent.http", "agent.http.plain"];

/// The longest body in bytes: the longest signed answer (6 MiB) in base64, and room.
pub(crate) const BODY_BYTES_MAX: usize = 9 * 1024 * 1024;
/// The longest head in bytes: what servers commonly allow.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 4;

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
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None if tls => 443,
            None => 80,
        };
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let known = !host.is_empty()
            && plain(rest)
            && !rest.contains(['@', '?', '#', '\\'])
            && host.len() <= 253;
        known.then(|| Self {
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
        self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// The value of the Host field.
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Retry-After in seconds, where it is said so.
    pub(crate) retry_after_secs: Option<u64>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// A client of one witness.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    url: Url,
    tls: Option<Arc<ClientConfig>>,
    time_max: Duration,
    /// Fields of every request, each with its end of line.
    fields: &'static str,
}

impl Client {
    /// A client of the witness at `url`; TLS certificates must stand under `ca` (PEM).
    ///
    /// # Errors
    /// `agent.http` for an address or certificates that cannot be read; `agent.http.plain` for
    /// plain HTTP to another machine without `dangerous_plain`.
    pub(crate) fn new(
        url: &str,
        ca: &str,
        time_max: Duration,
        dangerous_plain: bool,
    ) -> Result<Self, Error> {
        let refuse = |because: String| Error::new("agent.http", Fault::Malformed, because);
        let parsed = Url::parse(url)
            .ok_or_else(|| refuse("the witness's url must be https://host[:port][/path]".into()))?;
        if !parsed.tls && !parsed.is_loopback() && !dangerous_plain {
            return Err(Error::new(
                "agent.http.plain",
                Fault::Refused,
                "plain HTTP to another machine: everybody on the way can read along and change \
                 what comes; use https, or --dangerous-plain-http",
            ));
        }
        let tls = if parsed.tls {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
                certificate
                    .ok()
                    .and_then(|certificate| roots.add(certificate).ok())
                    .ok_or_else(|| refuse("ca is not PEM with certificates".into()))?;
            }
            if roots.is_empty() {
                return Err(refuse(
                    "https needs the witness's certificates in ca".into(),
                ));
            }
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| refuse(error.to_string()))?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Some(Arc::new(config))
        } else {
            None
        };
        Ok(Self {
            url: parsed,
            tls,
            time_max,
            fields: "",
        })
    }

    /// A client of the metadata service that a cloud runs on every machine, at a link-local address.
    ///
    /// # Errors
    /// `agent.http` for an address that cannot be read.
    pub(crate) fn of_metadata(url: &str, time_max: Duration) -> Result<Self, Error> {
        // It speaks plain HTTP alone, and what it says is believed by nobody.
        let client = Self::new(url, "", time_max, true)?;
        Ok(Self {
            fields: "Metadata: true\r\n",
            ..client
        })
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// `agent.http` when nothing usable comes back in time.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Result<Answer, Error> {
        self.post_preferring("", path, body)
    }

    /// As [`Client::post`], with a line `Prefer: …` or nothing.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub(crate) fn post_preferring(
        &self,
        prefer: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, Error> {
        let fields = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n{prefer}",
            body.len()
        );
        self.ask("POST", path, &fields, body)
    }

    /// Fetches bytes.
    ///
    /// # Errors
    /// `agent.http` when nothing usable comes back in time.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, Error> {
        self.ask("GET", path, "", b"")
    }

    fn ask(&self, method: &str, path: &str, fields: &str, body: &[u8]) -> Result<Answer, Error> {
        let authority = self.url.authority();
        let head = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: zeuge-agent\r\n\
             Accept: application/json, application/problem+json, */*\r\nConnection: close\r\n\
             {}{fields}\r\n",
            self.url.prefix, self.fields
        );
        let trouble = |error: io::Error| {
            let because = format!("{method} {path} at {authority}: {error}");
            Error::new("agent.http", Fault::Unavailable, printable(&because, 500))
        };
        let socket = self.connect().map_err(trouble)?;
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        match &self.tls {
            None => converse(socket, &request),
            Some(config) => {
                let name = ServerName::try_from(self.url.host.clone())
                    .map_err(|error| trouble(io::Error::other(error)))?;
                let connection = ClientConnection::new(Arc::clone(config), name)
                    .map_err(|error| trouble(io::Error::other(error)))?;
                converse(StreamOwned::new(connection, socket), &request)
            }
        }
        .map_err(trouble)
    }

    fn connect(&self) -> io::Result<Timed> {
        let until = Instant::now()
            .checked_add(self.time_max)
            .ok_or_else(|| io::Error::other("the time-out is too long"))?;
        let mut last = io::Error::other("the name has no address");
        let addresses = (self.url.host.as_str(), self.url.port).to_socket_addrs()?;
        for address in addresses.take(ADDRESSES_MAX) {
            match TcpStream::connect_timeout(&address, left(until)?) {
                Ok(socket) => return Ok(Timed { socket, until }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// What is left of the time, or an error when nothing is.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no whole answer in time",
        ));
    }
    Ok(left)
}

/// A socket whose reads and writes end together at one instant.
struct Timed {
    socket: TcpStream,
    until: Instant,
}

impl Read for Timed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.until)?))?;
        self.socket.read(out)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.until)?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

fn converse(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Answer> {
    // A server that refuses early may close before it has read everything; what it answered
    // counts.
    let sent = stream.write_all(request).and_then(|()| stream.flush());
    match read_answer(&mut stream) {
        Ok(answer) => Ok(answer),
        Err(error) => Err(sent.err().unwrap_or(error)),
    }
}

fn bad(because: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, because)
}

/// Reads one response (RFC 9112): Content-Length, chunked, or until the end.
fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut input = Input::new(stream);
    let head = input.head()?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| {
            line.strip_prefix("HTTP/1.1 ")
                .or(line.strip_prefix("HTTP/1.0 "))
        })
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse::<u16>().ok())
        .filter(|status| (200..600).contains(status))
        .ok_or_else(|| bad("that is not an HTTP answer"))?;
    let (mut length, mut chunked, mut retry_after_secs) = (None, false, None);
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| bad("a header field has no colon"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let found = value
                    .parse()
                    .map_err(|_| bad("Content-Length is not a number"))?;
                if length.is_some_and(|known| known != found) {
                    return Err(bad("two lengths"));
                }
                length = Some(found);
            }
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => chunked = true,
            "transfer-encoding" => return Err(bad("an unknown transfer encoding")),
            "retry-after" => retry_after_secs = value.parse().ok(),
            _ => {}
        }
    }
    let body = match length {
        _ if chunked => input.chunked()?,
        Some(length) => input.exactly(length)?,
        None if status == 204 || status == 304 => Vec::new(),
        None => input.rest()?,
    };
    Ok(Answer {
        status,
        retry_after_secs,
        body,
    })
}

/// A response as it comes in; what was read beyond the head stays here.
struct Input<'a, R> {
    stream: &'a mut R,
    held: Vec<u8>,
}

impl<'a, R: Read> Input<'a, R> {
    const fn new(stream: &'a mut R) -> Self {
        Self {
            stream,
            held: Vec::new(),
        }
    }

    /// Reads something more; `false` at the end.
    fn more(&mut self) -> io::Result<bool> {
        let mut piece = [0; 8192];
        let count = self.stream.read(&mut piece)?;
        self.held
            .extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    /// Takes everything before the mark, and the mark.
    fn until(&mut self, mark: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut from = 0;
        loop {
            let window = self.held.get(from..).unwrap_or_default();
            if let Some(at) = window.windows(mark.len()).position(|found| found == mark) {
                let end = from.saturating_add(at);
                let mut taken: Vec<u8> =
                    self.held.drain(..end.saturating_add(mark.len())).collect();
                taken.truncate(end);
                return Ok(taken);
            }
            if self.held.len() > bytes_max {
                return Err(bad("a line or head is too long"));
            }
            from = self.held.len().saturating_sub(mark.len());
            if !self.more()? {
                return Err(bad("the answer ends early"));
            }
        }
    }

    fn head(&mut self) -> io::Result<String> {
        let head = self.until(b"\r\n\r\n", HEAD_BYTES_MAX)?;
        String::from_utf8(head).map_err(|_| bad("the head is not text"))
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > BODY_BYTES_MAX {
            return Err(bad("the body is longer than 9 MiB"));
        }
        while self.held.len() < length {
            if !self.more()? {
                return Err(bad("the answer ends early"));
            }
        }
        let rest = self.held.split_off(length);
        Ok(std::mem::replace(&mut self.held, rest))
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n", 256)?;
            let size = std::str::from_utf8(&line)
                .ok()
                .and_then(|line| line.split(';').next())
                .filter(|digits| !digits.starts_with('+'))
                .and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok())
                .ok_or_else(|| bad("a chunk has no size"))?;
            if body.len().saturating_add(size) > BODY_BYTES_MAX {
                return Err(bad("the body is longer than 9 MiB"));
            }
            if size == 0 {
                return Ok(body);
            }
            body.append(&mut self.exactly(size)?);
            if !self.until(b"\r\n", 2)?.is_empty() {
                return Err(bad("a chunk is longer than its size"));
            }
        }
    }

    fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.more()? {
            if self.held.len() > BODY_BYTES_MAX {
                return Err(bad("the body is longer than 9 MiB"));
            }
        }
        Ok(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Answer> {
        read_answer(&mut text.as_bytes())
    }

    #[test]
    fn addresses_are_read_or_refused() {
        let url = Url::parse("https://w.example/zeuge/").unwrap();
        assert_eq!((url.port, url.prefix.as_str()), (443, "/zeuge"));
        let url = Url::parse("http://[::1]:8080").unwrap();
        assert!(url.is_loopback() && url.authority() == "[::1]:8080");
        for bad in [
            "ftp://w.example",
            "https://",
            "https://user@w.example",
            "https://w.example:x",
            "https://w.example/a?b",
            "https://w.example/a b",
            "w.example",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn plain_http_leaves_this_machine_only_by_a_dangerous_option() {
        let client = |url, plain| Client::new(url, "", Duration::from_secs(1), plain);
        assert!(client("http://127.0.0.1:1", false).is_ok());
        assert!(client("http://192.0.2.1", true).is_ok());
        let error = client("http://192.0.2.1", false).unwrap_err();
        assert_eq!(error.check, "agent.http.plain");
        let error = client("https://192.0.2.1", false).unwrap_err();
        assert_eq!(error.check, "agent.http");
    }

    #[test]
    fn lengths_chunks_and_the_end_delimit_bodies() {
        let answer = read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"abc"[..]));
        let answer = read(
            "HTTP/1.1 503 No\r\nRetry-After: 2\r\nTransfer-Encoding: chunked\r\n\r\n\
             2;x=y\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n",
        )
        .unwrap();
        assert_eq!(answer.retry_after_secs, Some(2));
        assert_eq!(answer.body, b"ab0123456789");
        let answer = read("HTTP/1.0 200 OK\r\n\r\nend").unwrap();
        assert_eq!(answer.body, b"end");
    }

    #[test]
    fn answers_that_are_cut_too_long_or_of_two_lengths_are_refused() {
        for bad in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let endless = "HTTP/1.1 200 OK\r\nA: ".to_owned() + &"b".repeat(3 * HEAD_BYTES_MAX);
        assert!(read(&endless).is_err());
    }

    /// A TLS server that answers one request; gives its address and the PEM of its certificate.
    fn tls_server(name: &str) -> (String, String) {
        use rustls::{ServerConfig, ServerConnection};
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        std::thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let connection = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(connection, socket);
            let mut request = [0; 4096];
            // A client that does not trust the certificate goes away here.
            if stream.read(&mut request).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        (url, made.cert.pem())
    }

    #[test]
    fn tls_counts_only_under_the_certificates_of_the_configuration() {
        let client =
            |url: &str, ca: &str| Client::new(url, ca, Duration::from_secs(20), false).unwrap();
        let (url, ca) = tls_server("localhost");
        assert_eq!(client(&url, &ca).get("/x").unwrap().body, b"ok");
        let (url, _) = tls_server("localhost");
        let error = client(&url, &ca).get("/x").unwrap_err();
        assert_eq!((error.check.as_str(), error.exit_code()), ("agent.http", 4));
        let (url, ca) = tls_server("other.example");
        assert!(client(&url, &ca).get("/x").is_err());
    }
}
