//! A real TPM 2.0 in software (swtpm) with an EK certificate of a CA that exists for this demo alone,
//! and the firmware that measures a boot into it and writes the log.
//!
//! The firmware is played: it starts nothing. The TPM is real: what it signs nobody here can change.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{owner::sha256, world::Process};

/// How long swtpm may take to listen.
const START_MAX: Duration = Duration::from_secs(30);

/// One record of the boot.
pub(super) struct Measured {
    pub(super) pcr: u32,
    kind: u32,
    pub(super) digest: Vec<u8>,
    data: Vec<u8>,
}

/// `EV_SEPARATOR`, `EV_COMPACT_HASH`, `EV_EFI_BOOT_SERVICES_APPLICATION`.
const SEPARATOR: u32 = 4;
const COMPACT_HASH: u32 = 0x0c;
const APPLICATION: u32 = 0x8000_0003;

/// The boot of the demo: separators, one image, and the digest of the agent's configuration, alone
/// in PCR 8.
pub(super) fn boot(image: &[u8], config: &[u8]) -> Vec<Measured> {
    let mut out: Vec<Measured> = (0..8)
        .map(|pcr| Measured {
            pcr,
            kind: SEPARATOR,
            digest: sha256(&[0; 4]),
            data: vec![0; 4],
        })
        .collect();
    out.push(Measured {
        pcr: 4,
        kind: APPLICATION,
        digest: sha256(image),
        // Address, length and link-time address of an image, and an empty device path.
        data: vec![0; 32],
    });
    out.push(Measured {
        pcr: 8,
        kind: COMPACT_HASH,
        digest: sha256(config),
        data: b"the agent's configuration".to_vec(),
    });
    out
}

/// The crypto-agile log of these records, with a SHA-256 bank.
pub(super) fn log(records: &[Measured]) -> Vec<u8> {
    // Class 0, version 2.0, sizes of 64 bits, one hash: SHA-256 with 32 bytes; no vendor bytes.
    let mut header = b"Spec ID Event03\0".to_vec();
    header.extend([0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 0x0b, 0, 32, 0, 0]);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    // EV_NO_ACTION in PCR 0, with an empty SHA-1 digest.
    let mut out = [&[0, 0, 0, 0, 3, 0, 0, 0][..], &[0; 20], &length(&header)].concat();
    out.extend(header);
    for record in records {
        out.extend(record.pcr.to_le_bytes());
        out.extend(record.kind.to_le_bytes());
        out.extend([1, 0, 0, 0, 0x0b, 0]);
        out.extend(&record.digest);
        out.extend(length(&record.data));
        out.extend(&record.data);
    }
    out
}

/// A running TPM.
pub(super) struct SoftwareTpm {
    folder: PathBuf,
    process: Option<Process>,
}

impl SoftwareTpm {
    /// Makes a TPM below `folder`, certified by a CA below `ca`, and starts it.
    pub(super) fn new(folder: &Path, ca: &Path) -> Result<Self, String> {
        for part in [folder, ca, &folder.join("state")] {
            fs::create_dir_all(part).map_err(|error| format!("{}: {error}", part.display()))?;
        }
        set_up(folder, ca)?;
        let mut tpm = Self {
            folder: folder.to_owned(),
            process: None,
        };
        tpm.start()?;
        Ok(tpm)
    }

    /// The socket on which it takes commands.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("sock")
    }

    /// Switches it off, and on again: its registers are empty, its counter of resets is not.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        // The machine goes down in order, as its firmware would see to it.
        self.command(0x8001, 0x145, &[0, 0])?;
        self.process = None;
        self.start()
    }

    fn start(&mut self) -> Result<(), String> {
        let (socket, control) = (self.socket(), self.folder.join("sock.ctrl"));
        for old in [&socket, &control] {
            if old.exists() {
                fs::remove_file(old).map_err(|error| format!("{}: {error}", old.display()))?;
            }
        }
        let path = |path: &Path| format!("type=unixio,path={}", path.display());
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", self.folder.join("state").display()))
            .args(["--server", &path(&socket), "--ctrl", &path(&control)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("swtpm: {error}; scripts/setup installs it"))?;
        self.process = Some(Process(child));
        let start = Instant::now();
        // It opens one after the other, in no promised order.
        while UnixStream::connect(&control).is_err() || UnixStream::connect(&socket).is_err() {
            if start.elapsed() > START_MAX {
                return Err("swtpm does not listen".to_owned());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Extends the registers as the records say.
    pub(super) fn measure(&self, records: &[Measured]) -> Result<(), String> {
        for record in records {
            self.extend(record.pcr, &record.digest)?;
        }
        Ok(())
    }

    /// `TPM2_PCR_Extend` of one register of the SHA-256 bank.
    pub(super) fn extend(&self, pcr: u32, digest: &[u8]) -> Result<(), String> {
        let mut body = pcr.to_be_bytes().to_vec();
        // One authorisation: the empty password.
        body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
        body.extend([0, 0, 0, 1, 0, 0x0b]);
        body.extend(digest);
        self.command(0x8002, 0x182, &body)
    }

    fn command(&self, tag: u16, code: u32, body: &[u8]) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("the software TPM: {error}");
        let length = u32::try_from(body.len().saturating_add(10)).unwrap_or(u32::MAX);
        let mut bytes = tag.to_be_bytes().to_vec();
        bytes.extend(length.to_be_bytes());
        bytes.extend(code.to_be_bytes());
        bytes.extend(body);
        let mut stream = UnixStream::connect(self.socket()).map_err(failed)?;
        stream.set_read_timeout(Some(START_MAX)).map_err(failed)?;
        stream.write_all(&bytes).map_err(failed)?;
        let mut head = [0; 10];
        stream.read_exact(&mut head).map_err(failed)?;
        match head {
            [.., 0, 0, 0, 0] => Ok(()),
            [.., a, b, c, d] => Err(format!(
                "the software TPM answers {:#x}",
                u32::from_be_bytes([a, b, c, d])
            )),
        }
    }
}

/// Lets swtpm make the TPM, its EK, and the certificates above it, all below these folders.
fn set_up(folder: &Path, ca: &Path) -> Result<(), String> {
    let put = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (own, ca) = (folder.display(), ca.display());
    put(
        "setup.conf",
        format!(
            "create_certs_tool = /usr/bin/swtpm_localca\n\
             create_certs_tool_config = {own}/localca.conf\n\
             create_certs_tool_options = {own}/localca.options\nactive_pcr_banks = sha256\n"
        ),
    )?;
    put(
        "localca.conf",
        format!(
            "statedir = {ca}\nsigningkey = {ca}/signkey.pem\nissuercert = {ca}/issuercert.pem\n\
             certserial = {ca}/certserial\n"
        ),
    )?;
    let options = "--platform-manufacturer Demo\n--platform-version 1\n--platform-model Demo\n";
    put("localca.options", options.to_owned())?;
    let made = Command::new("swtpm_setup")
        .args([
            "--tpm2",
            "--create-ek-cert",
            "--overwrite",
            "--pcr-banks",
            "sha256",
        ])
        .arg("--tpmstate")
        .arg(folder.join("state"))
        .arg("--config")
        .arg(folder.join("setup.conf"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            format!("swtpm_setup: {error}; scripts/setup installs it (swtpm-tools)")
        })?;
    if made.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    Err(format!("swtpm_setup: {}", said.trim()))
}
