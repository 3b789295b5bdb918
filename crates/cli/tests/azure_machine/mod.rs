//! A stand-in for a machine behind Azure's paravisor: a real TPM 2.0 (swtpm), a paravisor between it
//! and the guest, and the metadata service. The silicon is a toy's.
//!
//! Needs swtpm and tpm2-tools (`scripts/setup` installs them). Without them it says so.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeuge_evidence::{UnixTime, tpm::HashAlgorithm};
use zeuge_sim::{Product, QuoteForm, QuoteSpec, ReportSpec, ToyAmd, ToyIntel};

/// The virtual TPM.
pub(crate) struct Tpm {
    folder: tempfile::TempDir,
    server: Child,
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The agent's program, beside `zeuge`.
pub(crate) fn agent() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_zeuge")).with_file_name("zeuge-agent")
}

impl Tpm {
    /// A running one, or a word why there is none.
    pub(crate) fn new() -> Option<Self> {
        for program in ["swtpm", "tpm2_createprimary"] {
            let asked = Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if asked.is_err() {
                println!("skipped: {program} is not installed");
                return None;
            }
        }
        if !agent().exists() {
            println!("skipped: zeuge-agent is not built (cargo build -p zeuge-agent)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("state")).expect("a folder");
        let at = |name: &str| format!("type=unixio,path={}", folder.path().join(name).display());
        let server = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", folder.path().join("state").display()))
            .args(["--server", &at("sock"), "--ctrl", &at("sock.ctrl")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("swtpm runs");
        let start = Instant::now();
        let is_deaf =
            |name: &str| std::os::unix::net::UnixStream::connect(folder.path().join(name)).is_err();
        // It opens one after the other, in no promised order.
        while is_deaf("sock.ctrl") || is_deaf("sock") {
            assert!(start.elapsed() < Duration::from_secs(20), "swtpm is silent");
            std::thread::yield_now();
        }
        Some(Self { folder, server })
    }

    /// A place in its folder.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs one of tpm2-tools on it.
    pub(crate) fn run(&self, line: &str) {
        let mut words = line.split_whitespace();
        let output = Command::new(words.next().expect("a program"))
            .args(words)
            .current_dir(self.folder.path())
            .env(
                "TPM2TOOLS_TCTI",
                format!("swtpm:path={}", self.at("sock").display()),
            )
            .output()
            .expect("tpm2-tools run");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {told}");
    }

    /// The paravisor's key at its handle; returns its modulus.
    pub(crate) fn ak(&self) -> Vec<u8> {
        self.run(
            "tpm2_createprimary -C e -c ak.ctx -G rsa2048:rsassa-sha256:null -a \
             fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign",
        );
        self.run("tpm2_evictcontrol -C o -c ak.ctx 0x81000003");
        self.run("tpm2_flushcontext -t");
        self.run("tpm2_readpublic -c 0x81000003 -o ak.pub");
        let public = fs::read(self.at("ak.pub")).expect("a key");
        public[public.len() - 256..].to_vec()
    }
}

/// vmUniqueId of the machine.
pub(crate) const MACHINE: &str = "8D2C0F60-0000-4000-8000-000000000007";

/// The silicon below the paravisor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silicon {
    Amd,
    Intel,
}

/// What endorses it, by file name.
pub(crate) type Endorsements = Vec<(String, Vec<u8>)>;

/// What a paravisor leaves in its index: a report whose claims name this key and carry what the
/// guest wrote.
pub(crate) fn report(
    silicon: Silicon,
    modulus: &[u8],
    user_data: &[u8],
    now: UnixTime,
) -> (Vec<u8>, Endorsements) {
    let claims = serde_json::json!({
        "keys": [{
            "kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB",
            "n": URL_SAFE_NO_PAD.encode(modulus),
        }],
        "vm-configuration": {
            "console-enabled": false, "secure-boot": true, "vmUniqueId": MACHINE,
        },
        "user-data": hex::encode_upper(user_data),
    })
    .to_string();
    let digest = HashAlgorithm::SHA256.digest(&[claims.as_bytes()]);
    let mut report_data = [0; 64];
    report_data[..32].copy_from_slice(&digest.expect("SHA-256"));
    let (kind, area, endorsements) = match silicon {
        Silicon::Amd => {
            let machine = ReportSpec {
                report_data,
                ..ReportSpec::new(Product::Milan)
            };
            let told = ToyAmd::shared().tell(None, &machine, now);
            (2, told.report, told.endorsements)
        }
        Silicon::Intel => {
            let mut area = vec![0; 1184];
            area[0] = 0x81;
            area[128..192].copy_from_slice(&report_data);
            area[528..576].copy_from_slice(&QuoteSpec::new(QuoteForm::Tdx4).mr_td);
            let told = domain(report_data, now);
            (4, area, told.endorsements)
        }
    };
    let length = u32::try_from(claims.len()).expect("short");
    let mut hcl = b"HCLA".to_vec();
    for number in [1, length + 1236, 2, 0, 0, 0, 0] {
        hcl.extend(u32::to_le_bytes(number));
    }
    hcl.extend(&area);
    for number in [length + 20, 1, kind, 1, length] {
        hcl.extend(u32::to_le_bytes(number));
    }
    hcl.extend(claims.as_bytes());
    // A software TPM's indexes end at 2048 bytes; Azure's have 2600.
    hcl.resize(2048, 0);
    (hcl, endorsements)
}

fn domain(report_data: [u8; 64], now: UnixTime) -> zeuge_sim::ToyQuote {
    let machine = QuoteSpec {
        report_data,
        ..QuoteSpec::new(QuoteForm::Tdx4)
    };
    ToyIntel::shared().tell(None, &machine, now)
}

/// One command or answer of a TPM.
fn message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 10];
    stream.read_exact(&mut bytes).ok()?;
    let length = u32::from_be_bytes(bytes[2..6].try_into().expect("four bytes"));
    bytes.resize(usize::try_from(length).expect("small"), 0);
    stream.read_exact(&mut bytes[10..]).ok()?;
    Some(bytes)
}

/// A TPM command with the owner's empty password.
fn by_owner(code: u32, index: u32, parameters: &[u8]) -> Vec<u8> {
    let mut body = 0x4000_0001_u32.to_be_bytes().to_vec();
    body.extend(index.to_be_bytes());
    body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    body.extend(parameters);
    let length = u32::try_from(body.len() + 10).expect("short");
    [
        &[0x80, 2][..],
        &length.to_be_bytes(),
        &code.to_be_bytes(),
        &body,
    ]
    .concat()
}

/// Stands between agent and TPM and is the paravisor: what the guest writes to NV index 0x01400002
/// goes into a new report in 0x01400001.
pub(crate) fn paravisor_between(
    tpm: &Tpm,
    silicon: Silicon,
    modulus: &[u8],
    now: UnixTime,
) -> PathBuf {
    let name = format!("paravisor-{}", hex::encode(&modulus[..8]));
    let (outside, inside, modulus) = (tpm.at(&name), tpm.at("sock"), modulus.to_vec());
    let listener = UnixListener::bind(&outside).expect("a socket");
    std::thread::spawn(move || {
        // A paravisor outlives its guest's programs.
        for guest in listener.incoming() {
            let below = UnixStream::connect(&inside).expect("the TPM");
            serve(guest.expect("the agent"), below, (silicon, &modulus, now));
        }
    });
    outside
}

/// One program of the guest's.
fn serve(
    mut guest: UnixStream,
    mut below: UnixStream,
    (silicon, modulus, now): (Silicon, &[u8], UnixTime),
) {
    let mut ask = |command: &[u8]| {
        below.write_all(command).expect("written");
        message(&mut below).expect("an answer")
    };
    while let Some(command) = message(&mut guest) {
        let answer = ask(&command);
        let is_write = command[6..10] == [0, 0, 1, 0x37];
        if is_write && command[14..18] == [0x01, 0x40, 0, 0x02] {
            // Behind two handles and one password: 64 bytes with their length.
            let (hcl, _) = report(silicon, modulus, &command[33..97], now);
            for (number, part) in (0_u16..).zip(hcl.chunks(512)) {
                let mut parameters = vec![2, 0];
                parameters.extend(part);
                parameters.extend((number * 512).to_be_bytes());
                let done = ask(&by_owner(0x137, 0x0140_0001, &parameters));
                assert_eq!(done[6..10], [0; 4], "the report is written");
            }
        }
        guest.write_all(&answer).expect("written");
    }
}

/// Stands in for Azure's metadata service: answers requests that carry its field.
fn metadata(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = String::new();
            let mut part = [0; 4096];
            // A body ends with its brace; a question without one with an empty line.
            while !request.ends_with('}') && !request.ends_with("\r\n\r\n")
                || request.contains("Content-Length") && !request.ends_with('}')
            {
                let length = stream.read(&mut part).expect("a request");
                request.push_str(std::str::from_utf8(&part[..length]).expect("text"));
            }
            let (status, body) = match request.contains("\r\nMetadata: true\r\n") {
                true => ("200 OK", answer(&request)),
                false => ("400 Bad Request", String::new()),
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    format!("http://{address}")
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// Puts the report of the boot into its index, and what endorses the silicon into the folder `makers`,
/// but for what the metadata service has; the address of that.
pub(crate) fn booted(tpm: &Tpm, silicon: Silicon, modulus: &[u8], now: UnixTime) -> String {
    let (hcl, endorsements) = report(silicon, modulus, &[0; 64], now);
    fs::write(tpm.at("hcl.bin"), hcl).expect("a file");
    tpm.run("tpm2_nvdefine 0x01400001 -C o -s 2048 -a ownerread|ownerwrite");
    tpm.run("tpm2_nvwrite 0x01400001 -C o -i hcl.bin");
    let leaf = endorsements.iter().find(|(name, _)| name == "vcek.der");
    let leaf = leaf.map(|(_, der)| pem(der)).unwrap_or_default();
    fs::create_dir(tpm.at("makers")).expect("a folder");
    for (name, bytes) in endorsements.iter().filter(|(name, _)| name != "vcek.der") {
        fs::write(tpm.at("makers").join(name), bytes).expect("a file");
    }
    let trust = match silicon {
        Silicon::Amd => ToyAmd::shared().trust_file(&[Product::Milan]),
        Silicon::Intel => ToyIntel::shared().trust_file(),
    };
    fs::write(tpm.at("trust.json"), trust).expect("a file");
    metadata(move |request| {
        if request.starts_with("GET /metadata/THIM/amd/certification ") {
            return serde_json::json!({ "vcekCert": leaf }).to_string();
        }
        assert!(request.starts_with("POST /acc/tdquote "), "{request}");
        let body = request.rsplit("\r\n").next().expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let report = URL_SAFE_NO_PAD.decode(body["report"].as_str().expect("a report"));
        let report = report.expect("base64url");
        assert_eq!(report.len(), 1024);
        let told = domain(report[128..192].try_into().expect("64 bytes"), now);
        serde_json::json!({ "quote": URL_SAFE_NO_PAD.encode(told.quote) }).to_string()
    })
}
