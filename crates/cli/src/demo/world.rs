//! The demo's world: a folder, three programs as processes, their addresses.
//!
//! Processes end with the world, whatever happened; the folder goes with them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::SystemTime,
};

use serde_json::{Value, json};
use zeroize::Zeroizing;
use zeuge_evidence::{eventlog::EventLog, x509::Certificate};
use zeuge_log::{checkpoint::VerifiedCheckpoint, hash, note::VerifierKey, tile::read_bundle};
use zeuge_protocol::{document::Kind, name::Name};

use super::{
    Platform,
    machine::Machine,
    middle::Middle,
    owner::{self, Person},
};
use crate::{
    say,
    witness::{Answer, Client},
};

/// The path of the demo's secret.
pub(super) const PATH: &str = "demo/disk-key";
/// Tenant of the toy: the only one whose evidence may come from it.
const TENANT: &str = "sim";
pub(super) const WITNESS: &str = "demo-witness";
/// Where the toy trust domain's boot log and registers are mounted.
const TD: &str = "td";
/// The launch digest of the demo's image, and its MRTD.
const MEASUREMENT: &str = "d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3";

/// The other programs.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) agent: PathBuf,
    sim: PathBuf,
    pub(super) witness: PathBuf,
}

impl Programs {
    pub(super) fn find(folder: Option<&Path>) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let folder = folder
            .or_else(|| own.parent())
            .unwrap_or_else(|| Path::new("."));
        let find = |name: &str| {
            let path = folder.join(name);
            path.is_file().then_some(path).ok_or_else(|| {
                format!(
                    "{name} is not beside zeuge in {}; cargo build --release --workspace makes it",
                    folder.display()
                )
            })
        };
        Ok(Self {
            agent: find("zeuge-agent")?,
            sim: find("zeuge-sim")?,
            witness: find("zeuged")?,
        })
    }
}

/// A process that ends with this value.
#[derive(Debug)]
pub(super) struct Process(pub(super) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM first, so that what is mounted is unmounted and what is under way is finished.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }
}

/// A folder that goes with this value.
#[derive(Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The machines of the toy maker.
#[derive(Debug)]
pub(super) struct Machines {
    /// As the owner wants it.
    pub(super) honest: Machine,
    /// With another launch digest.
    pub(super) changed: Machine,
    /// With the debug bit.
    pub(super) debug: Machine,
    /// The first one, whose host changes the log of its boot.
    pub(super) tampered: Option<Machine>,
}

/// Everything that is up. Fields are dropped in their order: programs before the folder.
pub(super) struct World {
    _witness: Process,
    _sim: Process,
    pub(super) programs: Programs,
    pub(super) middle: Middle,
    witness: SocketAddr,
    pub(super) client: Client,
    pub(super) machines: Machines,
    pub(super) config: PathBuf,
    pub(super) secret: Vec<u8>,
    platform: Platform,
    admin: String,
    log_key: String,
    folder: Folder,
}

impl World {
    /// Starts everything, and lets the owner bring documents and secret.
    pub(super) fn start(platform: Platform, programs: Option<&Path>) -> Result<Self, String> {
        let programs = Programs::find(programs)?;
        let folder = folder()?;
        let now = now()?;
        let tenant = Name::parse(TENANT).map_err(|error| error.to_string())?;
        let owner = Person::new(&tenant, now)?;
        let at = |name: &str| folder.0.join(name);
        let set = serde_json::to_vec(&owner.set()).map_err(|error| error.to_string())?;
        write(&at("owner.pub"), &set)?;
        let keys = init(&programs, &at("witness"), &at("owner.pub"), &tenant)?;
        let text = |name: &str| keys[name].as_str().unwrap_or_default().to_owned();
        let (admin, log_key, answer_key) =
            (text("admin_token"), text("log_vkey"), text("answer_key"));

        // The configuration names the address, the measured host data is the hash of the
        // configuration, so the port must be known before anything listens on it.
        let witness = free_address()?;
        let middle = Middle::start(witness)?;
        let config = configuration(&middle, &owner, &answer_key, &log_key)?;
        write(&at("agent.json"), &config)?;
        let host_data = hex::encode(owner::sha256(&config));
        let mut machines = Machines {
            honest: machine(platform, &folder.0, "honest")?,
            changed: machine(platform, &folder.0, "changed")?,
            debug: machine(platform, &folder.0, "debug")?,
            tampered: None,
        };
        say(match platform {
            Platform::Snp => "starting the toy maker (keys of 4096 bits take some seconds) …\n",
            Platform::Tdx => "starting the toy maker …\n",
        })?;
        let sim = start_sim(platform, &programs, &folder.0, &host_data, &machines)?;
        machines.tampered = tampered(&folder.0, &machines.honest)?;
        say("starting the witness …\n")?;
        let serve = start_witness(&programs, &folder.0, witness)?;
        let mut secret = [0; 32];
        owner::random(&mut secret)?;
        let token = Some(Zeroizing::new(admin.clone()));
        let client = Client::new(&format!("http://{witness}"), None, token)?;
        let world = Self {
            client,
            _witness: serve,
            _sim: sim,
            programs,
            middle,
            witness,
            machines,
            config: at("agent.json"),
            secret: hex::encode(secret).into_bytes(),
            platform,
            admin,
            log_key,
            folder,
        };
        world.owner_brings(&owner, &host_data)?;
        Ok(world)
    }

    fn owner_brings(&self, owner: &Person, host_data: &str) -> Result<(), String> {
        let kind = self.platform.word();
        let started = self.machines.honest.td.as_deref().map(registers);
        let started = started.transpose()?.unwrap_or_default();
        let values = self
            .platform
            .reference_values(MEASUREMENT, host_data, &started);
        let registry = match self.platform {
            Platform::Snp => owner::registry(&self.leaf("SEV-VCEK")?)?,
            Platform::Tdx => owner::intel_registry(&self.leaf("Intel SGX PCK Certificate")?)?,
        };
        let rule = format!(
            "schema = \"zeuge.release-rule.v1\"\ntenant = \"{TENANT}\"\npath = \"{PATH}\"\n\
             door = \"agent\"\nevidence = [\"{kind}\"]\nminimum_suite = \"x-wing\"\n\
             chips = \"enrolled\"\nworkload = \"demo\"\n"
        );
        for (kind, name, text) in [
            (Kind::ReferenceValues, "reference-values", values),
            (Kind::HardwareRegistry, "hardware-registry", registry),
            (Kind::ReleaseRule, PATH, rule),
        ] {
            let body = owner.document(kind, name, &text)?;
            let path = format!("/v1/documents/{}", kind.as_str());
            self.client.put(&path, &body)?.good()?;
        }
        let witness = Name::parse(WITNESS).map_err(|error| error.to_string())?;
        let body = owner.secret(&witness, PATH, &self.secret)?;
        self.client.put("/v1/secrets", &body)?.good()?;
        say(&format!(
            "the owner signed reference values, a chip, a rule and the secret {PATH}\n\n"
        ))
    }

    /// The certificate of the toy chip's key.
    fn leaf(&self, name: &str) -> Result<Vec<u8>, String> {
        let folder = self.folder.0.join("maker/endorsements");
        let entries = fs::read_dir(&folder).map_err(|error| error.to_string())?;
        for entry in entries.flatten() {
            let bytes = fs::read(entry.path()).map_err(|error| error.to_string())?;
            let is_leaf = Certificate::parse(&bytes)
                .is_ok_and(|read| read.subject.common_name() == Some(name));
            if is_leaf {
                return Ok(bytes);
            }
        }
        Err("the toy maker wrote no certificate for its chip".to_owned())
    }

    /// What the newest verdict says of a machine of this kind.
    pub(super) fn newest_claims(&self) -> Result<Value, String> {
        let path = format!("/v1/verdicts?tenant={TENANT}&limit=1");
        let mut answer = self.client.get(&path)?.json()?;
        let claims = answer.pointer_mut(&format!(
            "/verdicts/0/verdict/claims/{}",
            self.platform.word()
        ));
        let claims = claims.ok_or("the witness shows no verdict of this machine")?;
        Ok(claims.take())
    }

    /// Somebody else than the owner brings a secret.
    pub(super) fn foreign_secret(&self) -> Result<Answer, String> {
        let tenant = Name::parse(TENANT).map_err(|error| error.to_string())?;
        let witness = Name::parse(WITNESS).map_err(|error| error.to_string())?;
        let stranger = Person::new(&tenant, now()?)?;
        let body = stranger.secret(&witness, "demo/foreign", b"not the owner's")?;
        Ok(self.client.put("/v1/secrets", &body)?)
    }

    /// Rebuilds the log's root from its entries, with nothing but HTTP and the log's key; returns
    /// how many there are.
    pub(super) fn log_from_outside(&self) -> Result<u64, String> {
        let get = |path: &str| -> Result<_, String> { Ok(self.client.get(path)?.good()?.body) };
        let key = VerifierKey::parse(&self.log_key).map_err(|error| error.to_string())?;
        let note = get("/log/checkpoint")?;
        let checkpoint =
            VerifiedCheckpoint::open(&note, &key, &[]).map_err(|error| error.to_string())?;
        let size = checkpoint.checkpoint().size;
        let mut hashes = Vec::new();
        let mut bundle = 0_u64;
        while u64::try_from(hashes.len()).unwrap_or(u64::MAX) < size {
            let first = bundle.saturating_mul(256);
            let width = size.saturating_sub(first).min(256);
            let partial = if width < 256 {
                format!(".p/{width}")
            } else {
                String::new()
            };
            let bytes = get(&format!("/log/tile/entries/{bundle:03}{partial}"))?;
            let entries = read_bundle(&bytes).map_err(|error| error.to_string())?;
            hashes.extend(entries.iter().map(|entry| hash::leaf_hash(entry)));
            bundle = bundle.saturating_add(1);
        }
        if hash::root_of(&hashes) == checkpoint.checkpoint().root {
            Ok(size)
        } else {
            Err("the log's entries do not give its signed root".to_owned())
        }
    }

    /// Leaves everything up until Enter.
    pub(super) fn keep(&self) -> Result<(), String> {
        say(&format!(
            "\nwitness   http://{}\nnetwork   http://{}\nfolder    {}\nadmin     {}\nlog key   \
             {}\n\nPress Enter to end.\n",
            self.witness,
            self.middle.address,
            self.folder.0.display(),
            self.admin,
            self.log_key
        ))?;
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        Ok(())
    }
}

fn machine(platform: Platform, folder: &Path, name: &str) -> Result<Machine, String> {
    let td = matches!(platform, Platform::Tdx).then(|| folder.join(TD));
    if let Some(td) = td.as_deref().filter(|td| !td.exists()) {
        fs::create_dir(td).map_err(|error| error.to_string())?;
    }
    let made = Machine {
        configfs: folder.join(name),
        td,
        state: folder.join(format!("{name}-state")),
    };
    fs::create_dir(&made.configfs).map_err(|error| error.to_string())?;
    Ok(made)
}

/// RTMR1 and RTMR2 in hex: what the firmware started, and what that started.
fn registers(td: &Path) -> Result<[String; 2], String> {
    let read = |index: u8| {
        let path = td.join(format!("measurements/rtmr{index}:sha384"));
        let value = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<_, String>(hex::encode(value))
    };
    Ok([read(1)?, read(2)?])
}

/// The same machine with another log of its boot: one byte of the log is not the one that was
/// measured. Only trust domains have such a log.
fn tampered(folder: &Path, honest: &Machine) -> Result<Option<Machine>, String> {
    let Some(td) = &honest.td else {
        return Ok(None);
    };
    let own = folder.join("tampered");
    fs::create_dir_all(own.join("data")).map_err(|error| error.to_string())?;
    let read = |name: &str| fs::read(td.join(name)).map_err(|error| format!("{name}: {error}"));
    let mut area = read("data/CCEL")?;
    let log = EventLog::parse_ccel(&area).map_err(|error| error.to_string())?;
    // Registers are numbered from MRTD's 0 here: this is the first record of RTMR1.
    let of_kernel = log.events.iter().find(|event| event.register == 2);
    let digest = of_kernel.and_then(|event| event.digests.first());
    let (_, digest) = digest.ok_or("the toy's boot log has no record of RTMR1")?;
    let place = area
        .windows(digest.len())
        .position(|window| window == *digest)
        .ok_or("the digest is not where the log has it")?;
    if let Some(byte) = area.get_mut(place) {
        *byte ^= 1;
    }
    write(&own.join("CCEL"), &read("CCEL")?)?;
    write(&own.join("data/CCEL"), &area)?;
    Ok(Some(Machine {
        configfs: honest.configfs.clone(),
        td: Some(own),
        state: folder.join("tampered-state"),
    }))
}

/// The agent's configuration; its hash is what the toy machine reports as HOST_DATA.
pub(super) fn configuration(
    middle: &Middle,
    owner: &Person,
    answer_key: &str,
    log_key: &str,
) -> Result<Vec<u8>, String> {
    let config = json!({
        "schema": "zeuge.agent.v1",
        "witness": {
            "url": format!("http://{}", middle.address),
            "id": WITNESS,
            "answer_key": answer_key,
            "log_key": log_key,
        },
        "tenant": owner.tenant(),
        "owners": owner.set(),
    });
    serde_json::to_vec(&config).map_err(|error| error.to_string())
}

fn start_sim(
    platform: Platform,
    programs: &Programs,
    folder: &Path,
    host_data: &str,
    machines: &Machines,
) -> Result<Process, String> {
    let liar = |id: &str, machine: &Machine| format!("{id}={}", machine.configfs.display());
    let mut sim = Command::new(&programs.sim);
    sim.arg("serve").arg("--dir").arg(folder.join("maker"));
    sim.arg("--configfs").arg(&machines.honest.configfs);
    sim.args([
        "--platform",
        platform.word(),
        "--product",
        "Genoa",
        "--measurement",
        MEASUREMENT,
        "--host-data",
        host_data,
    ]);
    if let Some(td) = &machines.honest.td {
        sim.arg("--td").arg(td);
    }
    sim.args(["--liar", &liar("policy.measurement", &machines.changed)]);
    sim.args(["--liar", &liar("policy.debug", &machines.debug)]);
    started(sim, "zeuge-sim", "ready", &folder.join("sim.log"))
}

fn start_witness(
    programs: &Programs,
    folder: &Path,
    address: SocketAddr,
) -> Result<Process, String> {
    let mut serve = Command::new(&programs.witness);
    serve.arg("serve").arg("--data").arg(folder.join("witness"));
    serve.args(["--listen", &address.to_string()]);
    serve
        .arg("--endorsements")
        .arg(folder.join("maker/endorsements"));
    serve
        .arg("--dangerous-trust-sim")
        .arg(folder.join("maker/trust.json"));
    started(serve, "zeuged", "listening on", &folder.join("witness.log"))
}

pub(super) fn folder() -> Result<Folder, String> {
    let mut name = [0; 8];
    owner::random(&mut name)?;
    let path = std::env::temp_dir().join(format!("zeuge-demo-{}", hex::encode(name)));
    fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Folder(path))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

pub(super) fn now() -> Result<i64, String> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok();
    since
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .ok_or_else(|| "the clock of this machine is before 1970".to_owned())
}

pub(super) fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port on loopback: {error}"))
}

/// `zeuged init`; what it prints, once.
pub(super) fn init(
    programs: &Programs,
    data: &Path,
    owner: &Path,
    tenant: &Name,
) -> Result<Value, String> {
    let output = Command::new(&programs.witness)
        .arg("init")
        .arg("--data")
        .arg(data)
        .arg("--owner")
        .arg(owner)
        .args(["--id", WITNESS, "--tenant", tenant.as_str()])
        .args(["--format", "json"])
        .output()
        .map_err(|error| format!("zeuged init: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("zeuged init: {}", said.trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("zeuged init: {error}"))
}

/// Starts a program and waits for the line that says that it is ready. What it says on standard
/// error goes to a file, and into the error when it ends early.
pub(super) fn started(
    mut command: Command,
    name: &str,
    ready: &str,
    log: &Path,
) -> Result<Process, String> {
    let file = fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file)
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    let mut process = Process(child);
    let stdout = process
        .0
        .stdout
        .take()
        .ok_or_else(|| format!("{name}: no output"))?;
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(|error| format!("{name}: {error}"))?;
        if line.starts_with(ready) {
            return Ok(process);
        }
    }
    let said = fs::read_to_string(log).unwrap_or_default();
    Err(format!("{name} did not start: {}", said.trim()))
}
