//! A real TPM 2.0 (swtpm) with a CA of its own: activation, quotes, replay, and what must be
//! refused.
//!
//! Needs swtpm, swtpm_setup and tpm2-tools; without them the test says so and passes. Everything
//! it writes lies in one temporary folder.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use zeuge_evidence::{
    UnixTime,
    tpm::{Attest, ClockInfo, HashAlgorithm, PcrSelection, PcrSet, PcrValue, QuoteBundle},
};
use zeuge_verify::{
    Endorsements, Error, Untrusted,
    crypto::AWS_LC,
    tpm::{
        AkTrust, Broken, Context, Demand, EnrolledAk, Nonce, Selection, TpmRoots, TrustBasis,
        credential::{self, Activation, Randomness},
        verify, verify_ek,
    },
};

const RSA_EK: &str = "0x81010001";
const P384_EK: &str = "0x81010016";

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

fn is_missing(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
}

impl Tpm {
    fn new() -> Option<Self> {
        for program in ["swtpm", "swtpm_setup", "tpm2_quote"] {
            if is_missing(program) {
                println!("skipped: {program} is not installed");
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for sub in ["ca", "state"] {
            fs::create_dir(at.join(sub)).unwrap();
        }
        let shown = at.display();
        let setup = format!(
            "create_certs_tool = /usr/bin/swtpm_localca\n\
             create_certs_tool_config = {shown}/localca.conf\n\
             create_certs_tool_options = {shown}/localca.options\n\
             active_pcr_banks = sha256\n"
        );
        let ca = format!(
            "statedir = {shown}/ca\nsigningkey = {shown}/ca/signkey.pem\n\
             issuercert = {shown}/ca/issuercert.pem\ncertserial = {shown}/ca/certserial\n"
        );
        fs::write(at.join("setup.conf"), setup).unwrap();
        fs::write(at.join("localca.conf"), ca).unwrap();
        let options = "--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n";
        fs::write(at.join("localca.options"), options).unwrap();
        let made = Command::new("swtpm_setup")
            .args([
                "--tpm2",
                "--create-ek-cert",
                "--overwrite",
                "--pcr-banks",
                "sha256,sha1",
            ])
            .arg("--tpmstate")
            .arg(at.join("state"))
            .arg("--config")
            .arg(at.join("setup.conf"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stdout)
        );
        let server = serve(at);
        Some(Self { folder, server })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs one of tpm2-tools in the folder, then frees what it left in the TPM.
    fn run(&self, line: &str) {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        let out = self.in_place(command.args(words));
        assert!(
            out.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let _ = self.in_place(Command::new("tpm2_flushcontext").arg("-t"));
    }

    fn in_place(&self, command: &mut Command) -> std::process::Output {
        let socket = self.path("sock");
        command
            .current_dir(self.folder.path())
            .env("TPM2TOOLS_TCTI", format!("swtpm:path={}", socket.display()))
            .output()
            .unwrap()
    }

    /// Powers the TPM off and on.
    fn restart(&mut self) {
        self.run("tpm2_shutdown -c");
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        self.server = serve(self.folder.path());
    }

    fn quote(&self, ak: &str, pcrs: &[u32], nonce: &[u8], eventlog: &[u8]) -> QuoteBundle {
        let list: Vec<String> = pcrs.iter().map(ToString::to_string).collect();
        let list = format!("sha256:{}", list.join(","));
        let nonce = hex::encode(nonce);
        self.run(&format!(
            "tpm2_quote -c {ak}.handle -l {list} -q {nonce} -m q.msg -s q.sig -g sha256 --scheme {}",
            scheme(ak)
        ));
        self.run(&format!("tpm2_pcrread {list} -o q.pcrs"));
        let values = self.read("q.pcrs");
        QuoteBundle {
            attest: self.read("q.msg"),
            signature: self.read("q.sig"),
            ak_public: Some(self.read(&format!("{ak}.pub"))),
            pcrs: pcrs
                .iter()
                .zip(values.chunks_exact(32))
                .map(|(index, value)| PcrValue {
                    bank: HashAlgorithm::SHA256,
                    index: *index,
                    value: value.to_vec(),
                })
                .collect(),
            eventlog: Some(eventlog.to_vec()),
            ..QuoteBundle::default()
        }
    }

    fn create_ak(&self, name: &str, options: &str, handle: &str) {
        self.run(&format!(
            "tpm2_createak -C {RSA_EK} -c {name}.ctx -u {name}.pub {options}"
        ));
        self.run(&format!(
            "tpm2_evictcontrol -C o -c {name}.ctx -o {name}.handle {handle}"
        ));
    }
}

fn serve(folder: &Path) -> Child {
    let server = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", folder.join("state").display()))
        .arg("--server")
        .arg(format!(
            "type=unixio,path={}",
            folder.join("sock").display()
        ))
        .arg("--ctrl")
        .arg(format!(
            "type=unixio,path={}",
            folder.join("sock.ctrl").display()
        ))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let is_deaf = |name: &str| std::os::unix::net::UnixStream::connect(folder.join(name)).is_err();
    // It opens one after the other, in no promised order.
    while is_deaf("sock.ctrl") || is_deaf("sock") {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "swtpm does not listen"
        );
        std::thread::yield_now();
    }
    server
}

/// The signature scheme of an AK by its name in these tests.
fn scheme(ak: &str) -> &'static str {
    match ak {
        "pss" => "rsapss",
        "p256" | "p384" => "ecdsa",
        _ => "rsassa",
    }
}

/// A crypto-agile log of these records, whose digests are hashes of their data.
fn log(records: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend(3_u32.to_le_bytes());
    out.extend([0; 20]);
    out.extend(33_u32.to_le_bytes());
    out.extend(b"Spec ID Event03\0");
    out.extend([0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 0x0b, 0, 32, 0, 0]);
    for (register, kind, data) in records {
        out.extend(register.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend([1, 0, 0, 0, 0x0b, 0]);
        out.extend(HashAlgorithm::SHA256.digest(&[data]).unwrap());
        out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        out.extend(*data);
    }
    out
}

fn random(filling: u8) -> Randomness {
    Randomness {
        secret: [filling; 32],
        seed: [filling ^ 1; 64],
        oaep: [filling ^ 2; 64],
        ephemeral: [filling ^ 3; 66],
    }
}

struct World {
    endorsements: Endorsements,
    roots: TpmRoots,
}

impl World {
    fn of(tpm: &Tpm) -> Self {
        let mut endorsements = Endorsements::new();
        endorsements.add("issuer", &tpm.read("ca/issuercert.pem"));
        let root = tpm.read("ca/swtpm-localca-rootca-cert.pem");
        let mut roots = TpmRoots::shipped();
        let added = roots.add("swtpm", "none", "made by this test", &root);
        assert_eq!(added, Ok(1));
        Self {
            endorsements,
            roots,
        }
    }

    fn now(&self) -> Context<'_> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        Context {
            endorsements: &self.endorsements,
            roots: &self.roots,
            at: UnixTime(i64::try_from(now).unwrap() + 60),
            crypto: &AWS_LC,
        }
    }
}

/// Activates an AK with one of the two EKs; `session` for the EK that demands a policy.
fn activate(tpm: &Tpm, world: &World, ak: &str, ek: &str, nv: &str, session: bool) -> Activation {
    tpm.run(&format!("tpm2_nvread {nv} -C o -o ek.crt"));
    tpm.run(&format!("tpm2_readpublic -c {ek} -o ek.pub"));
    let verified = verify_ek(&tpm.read("ek.crt"), world.now()).unwrap();
    assert_eq!(verified.fact().root.maker, "swtpm");
    let maker = verified.fact().identity.manufacturer_text();
    assert_eq!(maker.as_deref(), Some("00001014"));
    let (made, pending) = credential::begin(
        &verified,
        &tpm.read("ek.pub"),
        &tpm.read(&format!("{ak}.pub")),
        &random(0x51),
    )
    .unwrap();
    fs::write(tpm.path("credential"), made.tpm2_tools_file()).unwrap();
    let open = format!("tpm2_activatecredential -c {ak}.handle -C {ek} -i credential -o opened");
    if session {
        tpm.run("tpm2_startauthsession --policy-session -S session");
        tpm.run("tpm2_policysecret -S session -c e");
        tpm.run(&format!("{open} -P session:session"));
        tpm.run("tpm2_flushcontext session");
    } else {
        tpm.run(&open);
    }
    let (_, spent) = credential::begin(
        &verified,
        &tpm.read("ek.pub"),
        &tpm.read(&format!("{ak}.pub")),
        &random(0x51),
    )
    .unwrap();
    assert_eq!(
        spent.redeem(b"a guess").unwrap_err().check(),
        "tpm.ak.activation"
    );
    pending.redeem(&tpm.read("opened")).unwrap()
}

fn demand<'a>(nonce: &'a [u8], selection: &'a [PcrSelection]) -> Demand<'a> {
    Demand {
        nonce: Nonce::Exact(nonce),
        selection: Selection::Exactly(selection),
        previous: None,
        held: None,
        replayed: PcrSet::ALL,
        ima_signers: &[],
        dangerous_sha1_bank: None,
    }
}

fn clock(bundle: &QuoteBundle) -> ClockInfo {
    Attest::parse(&bundle.attest).unwrap().clock
}

const RECORDS: [(u32, u32, &[u8]); 3] =
    [(0, 8, b"version 1"), (7, 4, &[0; 4]), (4, 13, b"a loader")];
const PCRS: [u32; 4] = [0, 4, 7, 16];

fn selection(pcrs: &[u32]) -> [PcrSelection; 1] {
    [PcrSelection {
        bank: HashAlgorithm::SHA256,
        pcrs: PcrSet::of(pcrs),
    }]
}

fn extend(tpm: &Tpm, register: u32, data: &[u8]) {
    let digest = hex::encode(HashAlgorithm::SHA256.digest(&[data]).unwrap());
    tpm.run(&format!("tpm2_pcrextend {register}:sha256={digest}"));
}

#[test]
fn an_activated_ak_quotes_and_every_lie_about_it_is_refused_by_name() {
    let Some(mut tpm) = Tpm::new() else { return };
    let world = World::of(&tpm);
    for (register, _, data) in RECORDS {
        extend(&tpm, register, data);
    }
    tpm.create_ak("ak", "-G rsa -g sha256 -s rsassa", "0x81020001");
    let activation = activate(&tpm, &world, "ak", RSA_EK, "0x1c00002", true);
    let trust = AkTrust {
        activation: Some(&activation),
        ..AkTrust::default()
    };
    let wanted = selection(&PCRS);
    let honest = tpm.quote("ak", &PCRS, b"first question", &log(&RECORDS));
    let first = verify(
        &honest,
        &demand(b"first question", &wanted),
        trust,
        world.now(),
    )
    .unwrap();
    assert!(matches!(first.fact().trust, TrustBasis::Activated(_)));
    assert_eq!(first.fact().explained, PcrSet::of(&PCRS));

    extend(&tpm, 16, b"later");
    let mut records = RECORDS.to_vec();
    records.push((16, 13, b"later"));
    let second = tpm.quote("ak", &PCRS, b"second question", &log(&records));
    let mut again = demand(b"second question", &wanted);
    again.previous = Some(clock(&honest));
    verify(&second, &again, trust, world.now()).unwrap();

    refused(&tpm, &world, trust, &honest, &second);

    tpm.restart();
    let after = tpm.quote("ak", &[0], b"third question", &log(&[]));
    let one = selection(&[0]);
    let mut third = demand(b"third question", &one);
    third.previous = Some(clock(&second));
    let error = verify(&after, &third, trust, world.now()).unwrap_err();
    assert_eq!(error.check(), "tpm.quote.reset");
}

fn refused(
    tpm: &Tpm,
    world: &World,
    trust: AkTrust<'_>,
    honest: &QuoteBundle,
    second: &QuoteBundle,
) {
    let wanted = selection(&PCRS);
    let check = |bundle: &QuoteBundle, demand: Demand<'_>, trust: AkTrust<'_>| {
        verify(bundle, &demand, trust, world.now()).unwrap_err()
    };
    let replayed = check(honest, demand(b"second question", &wanted), trust);
    assert_eq!(replayed.check(), "tpm.quote.nonce");

    let other = selection(&[0, 4, 7]);
    let selected = check(honest, demand(b"first question", &other), trust);
    assert_eq!(selected.check(), "tpm.quote.selection");

    let mut tampered = RECORDS;
    tampered[2].2 = b"another loader";
    let mut bundle = honest.clone();
    bundle.eventlog = Some(log(&tampered));
    let error = check(&bundle, demand(b"first question", &wanted), trust);
    assert!(matches!(
        error,
        Error::Untrusted(Untrusted::Tpm(Broken::EventLogReplay {
            pcr: 4,
            event: Some(2),
            ..
        }))
    ));

    // A log that says more than the register: the record behind the explained part is named.
    let longer = [
        RECORDS[0],
        RECORDS[1],
        RECORDS[2],
        (4, 13, &b"never ran"[..]),
    ];
    bundle.eventlog = Some(log(&longer));
    let error = check(&bundle, demand(b"first question", &wanted), trust);
    assert!(matches!(
        error,
        Error::Untrusted(Untrusted::Tpm(Broken::EventLogReplay {
            pcr: 4,
            event: Some(3),
            ..
        }))
    ));

    let mut bundle = honest.clone();
    bundle.pcrs[1].value[0] ^= 1;
    let error = check(&bundle, demand(b"first question", &wanted), trust);
    assert_eq!(error.check(), "tpm.quote.pcr-digest");

    let mut backwards = demand(b"first question", &wanted);
    let ahead = clock(second);
    backwards.previous = Some(ClockInfo {
        clock: ahead.clock + 1,
        ..ahead
    });
    assert_eq!(check(honest, backwards, trust).check(), "tpm.quote.clock");

    tpm.create_ak("other", "-G rsa -g sha256 -s rsassa", "0x81020002");
    let stranger = tpm.quote("other", &PCRS, b"first question", &log(&RECORDS));
    let error = check(&stranger, demand(b"first question", &wanted), trust);
    assert_eq!(error.check(), "tpm.ak.trust");
    let mut swapped = honest.clone();
    swapped.ak_public.clone_from(&stranger.ak_public);
    let error = check(&swapped, demand(b"first question", &wanted), trust);
    assert_eq!(error.check(), "tpm.quote.signature");

    // A key that signs anything: the same quote could be text that somebody had signed.
    tpm.run(&format!(
        "tpm2_createprimary -C e -G rsa2048:rsassa-sha256:null -c free.ctx -a {}",
        "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"
    ));
    tpm.run("tpm2_readpublic -c free.ctx -o free.pub");
    let mut free = honest.clone();
    free.ak_public = Some(tpm.read("free.pub"));
    let error = check(&free, demand(b"first question", &wanted), trust);
    assert_eq!(error.check(), "tpm.ak.attributes");
}

// spec: tpm.signature.pss-salt, tpm.activation.seed, tpm.activation.kdfa, tpm.activation.blob
#[test]
fn every_kind_of_ak_is_activated_by_both_kinds_of_ek_and_its_quote_holds() {
    let Some(tpm) = Tpm::new() else { return };
    let world = World::of(&tpm);
    let kinds = [
        ("pss", "-G rsa -g sha256 -s rsapss", "0x81020001"),
        ("p256", "-G ecc256 -g sha256 -s ecdsa", "0x81020002"),
        ("p384", "-G ecc384 -g sha384 -s ecdsa", "0x81020003"),
    ];
    let wanted = selection(&[0]);
    for (ak, options, handle) in kinds {
        tpm.create_ak(ak, options, handle);
        let bundle = if ak == "p384" {
            quote_sha384(&tpm, ak)
        } else {
            tpm.quote(ak, &[0], b"question", &log(&[]))
        };
        for (ek, nv, session) in [(RSA_EK, "0x1c00002", true), (P384_EK, "0x1c00016", false)] {
            let activation = activate(&tpm, &world, ak, ek, nv, session);
            let trust = AkTrust {
                activation: Some(&activation),
                ..AkTrust::default()
            };
            let verified = verify(&bundle, &demand(b"question", &wanted), trust, world.now());
            verified.unwrap();
            let enrolled = [EnrolledAk::Name(activation.ak_name().to_vec())];
            let trust = AkTrust {
                enrolled: &enrolled,
                ..AkTrust::default()
            };
            verify(&bundle, &demand(b"question", &wanted), trust, world.now()).unwrap();
        }
    }
}

/// A quote whose signature and PCR digest are by SHA-384 over the SHA-256 bank.
fn quote_sha384(tpm: &Tpm, ak: &str) -> QuoteBundle {
    let nonce = hex::encode("question");
    tpm.run(&format!(
        "tpm2_quote -c {ak}.handle -l sha256:0 -q {nonce} -m q.msg -s q.sig -g sha384 --scheme {}",
        scheme(ak)
    ));
    tpm.run("tpm2_pcrread sha256:0 -o q.pcrs");
    QuoteBundle {
        attest: tpm.read("q.msg"),
        signature: tpm.read("q.sig"),
        ak_public: Some(tpm.read(&format!("{ak}.pub"))),
        pcrs: vec![PcrValue {
            bank: HashAlgorithm::SHA256,
            index: 0,
            value: tpm.read("q.pcrs"),
        }],
        ..QuoteBundle::default()
    }
}

#[test]
fn a_tpm_whose_ca_nobody_chose_is_refused() {
    let Some(tpm) = Tpm::new() else { return };
    let mut world = World::of(&tpm);
    world.roots = TpmRoots::shipped();
    tpm.run("tpm2_nvread 0x1c00002 -C o -o ek.crt");
    let error = verify_ek(&tpm.read("ek.crt"), world.now()).unwrap_err();
    assert_eq!(error.check(), "tpm.ek.available");
    // With the self-made root beside it the chain is whole, and still leads to nobody.
    world
        .endorsements
        .add("root", &tpm.read("ca/swtpm-localca-rootca-cert.pem"));
    let error = verify_ek(&tpm.read("ek.crt"), world.now()).unwrap_err();
    assert_eq!(error.check(), "tpm.ek.chain");
    let mut early = World::of(&tpm);
    early.endorsements = world.endorsements;
    let mut context = early.now();
    context.at = UnixTime(0);
    let error = verify_ek(&tpm.read("ek.crt"), context).unwrap_err();
    assert_eq!(error.check(), "tpm.ek.validity");
}
