//! The agent behind a stand-in for Azure's paravisor: a real TPM 2.0 (swtpm) with a toy's HCL report
//! in NV index 0x01400001 and the key that it commits to at 0x81000003.
//!
//! Needs swtpm and tpm2-tools (`scripts/setup` installs them). Without them it says so and passes.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeuge_evidence::{UnixTime, tpm::HashAlgorithm};
use zeuge_sim::{Product, ReportSpec, ToyAmd};

const NOW: UnixTime = UnixTime(1_772_323_200);
const AT: &str = "2026-03-01T00:00:00Z";
const NONCE: &str = "00112233445566778899aabbccddeeff";

struct Tpm {
    folder: tempfile::TempDir,
    server: Child,
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn agent() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_zeuge")).with_file_name("zeuge-agent")
}

impl Tpm {
    fn new() -> Option<Self> {
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
        while std::os::unix::net::UnixStream::connect(folder.path().join("sock.ctrl")).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "swtpm is silent");
            std::thread::yield_now();
        }
        Some(Self { folder, server })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, line: &str) {
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

    fn agent(&self) -> Output {
        Command::new(agent())
            .args(["tpm", "azure", "--nonce", NONCE, "--tpm-socket"])
            .arg(self.at("sock"))
            .output()
            .expect("the agent runs")
    }

    fn verify(&self, nonce: &str) -> (i32, serde_json::Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_zeuge"))
            .args(["verify", "--kind", "azure", "--hardware-only", "--at", AT])
            .args(["--format", "json", "--nonce", nonce, "--endorsements"])
            .arg(self.at("amd"))
            .arg("--dangerous-trust-sim")
            .args([self.at("trust.json"), self.at("azure.json")])
            .output()
            .expect("the program runs");
        let said = serde_json::from_slice(&output.stdout);
        (output.status.code().expect("a code"), said.expect("JSON"))
    }

    /// An HCL report of the toy's chip that commits to this key, in the index; what endorses it
    /// beside it.
    fn paravisor(&self, modulus: &[u8]) {
        let claims = serde_json::json!({
            "keys": [{
                "kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB",
                "n": URL_SAFE_NO_PAD.encode(modulus),
            }],
            "vm-configuration": { "secure-boot": true },
        })
        .to_string();
        let digest = HashAlgorithm::SHA256.digest(&[claims.as_bytes()]);
        let mut machine = ReportSpec::new(Product::Milan);
        machine.report_data = [0; 64];
        machine.report_data[..32].copy_from_slice(&digest.expect("SHA-256"));
        let told = ToyAmd::shared().tell(None, &machine, NOW);
        let length = u32::try_from(claims.len()).expect("short");
        let mut hcl = b"HCLA".to_vec();
        for number in [1, length + 1236, 2, 0, 0, 0, 0] {
            hcl.extend(u32::to_le_bytes(number));
        }
        hcl.extend(&told.report);
        for number in [length + 20, 1, 2, 1, length] {
            hcl.extend(u32::to_le_bytes(number));
        }
        hcl.extend(claims.as_bytes());
        // A software TPM's indexes end at 2048 bytes; Azure's have 2600.
        hcl.resize(2048, 0);
        fs::write(self.at("hcl.bin"), hcl).expect("a file");
        fs::create_dir(self.at("amd")).expect("a folder");
        for (name, bytes) in &told.endorsements {
            fs::write(self.at("amd").join(name), bytes).expect("a file");
        }
        let trust = ToyAmd::shared().trust_file(&[Product::Milan]);
        fs::write(self.at("trust.json"), trust).expect("a file");
        self.run("tpm2_nvdefine 0x01400001 -C o -s 2048 -a ownerread|ownerwrite");
        self.run("tpm2_nvwrite 0x01400001 -C o -i hcl.bin");
    }
}

#[test]
fn the_agent_takes_report_and_quote_out_of_the_virtual_tpm() {
    let Some(tpm) = Tpm::new() else { return };
    let output = tpm.agent();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "there is no report yet");
    assert!(told.contains("holds no HCL report"), "{told}");
    tpm.run(
        "tpm2_createprimary -C e -c ak.ctx -G rsa2048:rsassa-sha256:null -a \
         fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign",
    );
    tpm.run("tpm2_evictcontrol -C o -c ak.ctx 0x81000003");
    tpm.run("tpm2_flushcontext -t");
    tpm.run("tpm2_readpublic -c 0x81000003 -o ak.pub");
    let public = fs::read(tpm.at("ak.pub")).expect("a key");
    tpm.paravisor(&public[public.len() - 256..]);
    let output = tpm.agent();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    fs::write(tpm.at("azure.json"), output.stdout).expect("a file");
    let (code, said) = tpm.verify(NONCE);
    assert_eq!(code, 10, "{said}");
    assert_eq!(said["claims"]["azure"]["same_machine"], "proven");
    assert_eq!(said["claims"]["azure"]["ak_is_primary"], true);
    assert_eq!(said["claims"]["tpm"]["nonce"], NONCE);
    let (code, said) = tpm.verify("ffeeddccbbaa99887766554433221100");
    assert_eq!((code, &said["failed"][0]), (3, &"tpm.quote.nonce".into()));
}
