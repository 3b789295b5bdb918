//! The way to a TPM: `/dev/tpmrm0`, or the socket of a software TPM for tests and demonstrations.
//!
//! One command, one answer; bounded, never retried without end. Knows headers and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Fault};

/// The kernel's device with a resource manager.
pub(crate) const DEVICE: &str = "/dev/tpmrm0";
/// The same TPM without it.
const RAW_DEVICE: &str = "/dev/tpm0";
/// The longest answer in bytes; the kernel's own buffer is one page.
const ANSWER_BYTES_MAX: usize = 4096;
/// How often a command is sent again when the TPM says "later".
const TRIES_MAX: usize = 50;
/// How long one answer may take: making an RSA key can take a TPM a minute.
const ANSWER_SECS_MAX: u64 = 120;
/// `TPM_RC_RETRY`, `TPM_RC_YIELDED`, `TPM_RC_TESTING`.
const LATER: [u32; 3] = [0x922, 0x908, 0x90a];

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;

pub(super) fn trouble(because: impl Into<String>) -> Error {
    Error::new("agent.tpm", Fault::Unavailable, because)
}

/// An open TPM.
pub(crate) enum Channel {
    Device(File),
    Socket(UnixStream),
}

impl Channel {
    /// Opens the device, or the socket where one is named.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn open(socket: Option<&Path>) -> Result<Self, Error> {
        Self::at(socket, DEVICE)
    }

    /// The same without the kernel's resource manager.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn open_raw(socket: Option<&Path>) -> Result<Self, Error> {
        Self::at(socket, RAW_DEVICE)
    }

    fn at(socket: Option<&Path>, device: &str) -> Result<Self, Error> {
        if let Some(path) = socket {
            let failed = |error| trouble(format!("{}: {error}", path.display()));
            let stream = UnixStream::connect(path).map_err(failed)?;
            let most = Some(Duration::from_secs(ANSWER_SECS_MAX));
            stream.set_read_timeout(most).map_err(failed)?;
            return Ok(Self::Socket(stream));
        }
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(device)
            .map(Self::Device)
            .map_err(|error| trouble(format!("{device}: {error}")))
    }

    /// Sends one command and returns the answer's parameters (behind handles and the size of the
    /// parameters, where there are sessions).
    ///
    /// `handles` is how many handles the answer has; they come first in the result.
    ///
    /// # Errors
    /// `agent.tpm` with the TPM's code.
    pub(super) fn run(&mut self, command: &Command, handles: usize) -> Result<Answer, Error> {
        for _ in 0..TRIES_MAX {
            let (code, body) = self.once(&command.encode())?;
            if LATER.contains(&code) {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            if code != 0 {
                return Err(Error::new(
                    "agent.tpm",
                    Fault::Unavailable,
                    format!("{} answers {code:#x}", command.name),
                ));
            }
            return Answer::parse(command, &body, handles);
        }
        Err(trouble(format!("{} is never done", command.name)))
    }

    fn once(&mut self, bytes: &[u8]) -> Result<(u32, Vec<u8>), Error> {
        let failed = |error: std::io::Error| trouble(format!("the TPM: {error}"));
        let whole = match self {
            Self::Device(file) => {
                file.write_all(bytes).map_err(failed)?;
                let mut answer = vec![0; ANSWER_BYTES_MAX];
                // The device gives one whole answer to one read.
                let length = file.read(&mut answer).map_err(failed)?;
                answer.truncate(length);
                answer
            }
            Self::Socket(stream) => {
                stream.write_all(bytes).map_err(failed)?;
                let mut answer = vec![0; 10];
                stream.read_exact(&mut answer).map_err(failed)?;
                let length = size(&answer)?;
                answer.resize(length, 0);
                let rest = answer.get_mut(10..).unwrap_or_default();
                stream.read_exact(rest).map_err(failed)?;
                answer
            }
        };
        if whole.len() != size(&whole)? {
            return Err(trouble("the TPM's answer is not as long as it says"));
        }
        let code = whole.get(6..10).and_then(|code| code.try_into().ok());
        let code = code.map(u32::from_be_bytes).unwrap_or(u32::MAX);
        Ok((code, whole.get(10..).unwrap_or_default().to_vec()))
    }
}

/// The length in an answer's header, within bounds.
fn size(answer: &[u8]) -> Result<usize, Error> {
    let length = answer.get(2..6).and_then(|size| size.try_into().ok());
    length
        .and_then(|length| usize::try_from(u32::from_be_bytes(length)).ok())
        .filter(|length| (10..=ANSWER_BYTES_MAX).contains(length))
        .ok_or_else(|| trouble("the TPM's answer has an impossible length"))
}

/// How one handle of a command is authorised.
#[derive(Clone, Copy)]
pub(super) enum Authority {
    /// With the empty password.
    Password,
    /// By a policy session.
    Policy(u32),
}

/// One command.
pub(super) struct Command {
    name: &'static str,
    code: u32,
    handles: Vec<u32>,
    authorities: Vec<Authority>,
    parameters: Vec<u8>,
}

impl Command {
    pub(super) const fn new(name: &'static str, code: u32) -> Self {
        Self {
            name,
            code,
            handles: Vec::new(),
            authorities: Vec::new(),
            parameters: Vec::new(),
        }
    }

    /// Adds a handle without authorisation.
    pub(super) fn handle(mut self, handle: u32) -> Self {
        self.handles.push(handle);
        self
    }

    /// Adds a handle with its authorisation; these come first.
    pub(super) fn authorised(mut self, handle: u32, authority: Authority) -> Self {
        self.handles.push(handle);
        self.authorities.push(authority);
        self
    }

    /// Adds bytes to the parameters.
    pub(super) fn with(mut self, bytes: &[u8]) -> Self {
        self.parameters.extend(bytes);
        self
    }

    /// Adds a TPM2B.
    pub(super) fn sized(self, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.with(&length.to_be_bytes()).with(bytes)
    }

    fn encode(&self) -> Vec<u8> {
        let mut body: Vec<u8> = self
            .handles
            .iter()
            .flat_map(|it| it.to_be_bytes())
            .collect();
        let mut tag = NO_SESSIONS;
        if !self.authorities.is_empty() {
            tag = SESSIONS;
            let mut area = Vec::new();
            for authority in &self.authorities {
                let (session, attributes) = match authority {
                    // TPM_RS_PW, and nothing to continue.
                    Authority::Password => (0x4000_0009_u32, 0_u8),
                    Authority::Policy(session) => (*session, 1),
                };
                area.extend(session.to_be_bytes());
                // No nonce, no secret.
                area.extend([0, 0, attributes, 0, 0]);
            }
            let length = u32::try_from(area.len()).unwrap_or(u32::MAX);
            body.extend(length.to_be_bytes());
            body.extend(area);
        }
        body.extend(&self.parameters);
        let length = u32::try_from(body.len().saturating_add(10)).unwrap_or(u32::MAX);
        let mut out = tag.to_be_bytes().to_vec();
        out.extend(length.to_be_bytes());
        out.extend(self.code.to_be_bytes());
        out.extend(body);
        out
    }
}

/// The parameters of an answer, read front to back.
pub(super) struct Answer {
    name: &'static str,
    pub(super) handles: Vec<u32>,
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn parse(command: &Command, body: &[u8], handles: usize) -> Result<Self, Error> {
        let mut out = Self {
            name: command.name,
            handles: Vec::new(),
            bytes: body.to_vec(),
            at: 0,
        };
        for _ in 0..handles {
            let handle = out.number()?;
            out.handles.push(handle);
        }
        if !command.authorities.is_empty() {
            let length = usize::try_from(out.number()?).unwrap_or(usize::MAX);
            let end = out.at.saturating_add(length);
            if end > out.bytes.len() {
                return Err(out.short());
            }
            // What follows are the sessions' answers, which are empty passwords here.
            out.bytes.truncate(end);
        }
        Ok(out)
    }

    fn short(&self) -> Error {
        trouble(format!("{} answers too little", self.name))
    }

    pub(super) fn take(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let end = self.at.saturating_add(length);
        let part = self.bytes.get(self.at..end).ok_or_else(|| self.short())?;
        let part = part.to_vec();
        self.at = end;
        Ok(part)
    }

    pub(super) fn number(&mut self) -> Result<u32, Error> {
        let bytes = self.take(4)?;
        let bytes = bytes.try_into().map_err(|_| self.short())?;
        Ok(u32::from_be_bytes(bytes))
    }

    pub(super) fn short_number(&mut self) -> Result<u16, Error> {
        let bytes = self.take(2)?;
        let bytes = bytes.try_into().map_err(|_| self.short())?;
        Ok(u16::from_be_bytes(bytes))
    }

    /// The content of a TPM2B.
    pub(super) fn sized(&mut self) -> Result<Vec<u8>, Error> {
        let length = usize::from(self.short_number()?);
        self.take(length)
    }

    /// What is left.
    pub(super) fn rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.at.min(self.bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_its_length_and_its_sessions_before_its_parameters() {
        let plain = Command::new("GetRandom", 0x17b).with(&[0, 8]);
        assert_eq!(hex::encode(plain.encode()), "80010000000c0000017b0008");
        let quote = Command::new("Quote", 0x158)
            .authorised(0x8101_0001, Authority::Password)
            .sized(b"hi");
        assert_eq!(
            hex::encode(quote.encode()),
            "80020000001f0000015881010001000000094000000900000000000002".to_owned() + "6869"
        );
    }

    #[test]
    fn no_answer_of_a_tpm_makes_its_readers_panic_or_take_what_is_not_there() {
        let command = Command::new("test", 0x17e);
        let mut state = 0x5a5a_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        for _ in 0..20_000 {
            let length = usize::from(next()) % 64;
            // Small numbers are lengths that may fit.
            let bytes: Vec<u8> = (0..length)
                .map(|_| next() % if next() < 128 { 6 } else { 255 })
                .collect();
            if let Ok(size) = size(&bytes) {
                assert!((10..=ANSWER_BYTES_MAX).contains(&size));
            }
            for handles in 0..3 {
                let Ok(mut answer) = Answer::parse(&command, &bytes, handles) else {
                    continue;
                };
                let mut taken = 0;
                while let Ok(part) = answer.sized() {
                    taken += 2 + part.len();
                }
                assert!(taken + answer.rest().len() <= bytes.len());
            }
        }
    }

    #[test]
    fn an_answer_that_promises_more_than_it_holds_is_refused() {
        let command = Command::new("Quote", 0x158).authorised(1, Authority::Password);
        let refused = Answer::parse(&command, &[0, 0, 0, 9, 1], 0);
        assert!(refused.is_err_and(|error| error.check == "agent.tpm"));
        let mut answer =
            Answer::parse(&command, &[0, 0, 0, 4, 0, 2, 7, 8, 0, 0, 0, 0, 0], 0).expect("whole");
        assert_eq!(answer.sized().expect("two bytes"), [7, 8]);
        assert!(answer.number().is_err());
        assert!(size(&[0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0]).is_err());
    }
}
