//! What the subcommands do: pin the configuration, hold the conversation, check the receipt, only
//! then hand out token and secrets.
//!
//! Never hands anything out before the receipt holds; never leaves a token behind that the last
//! attestation does not support.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use zeuge_protocol::api::{Refusal, Verdict, VerdictWord};
use zeuge_protocol::request::{Request, Wanted as Secret};
use zeuge_protocol::session::agent::{Bound, Opened};

use crate::cli::{Common, Token};
use crate::config::{self, CONFIG_BYTES_MAX, Config};
use crate::device::{self, Machine, Options};
use crate::error::Error;
use crate::files::{Folder, place};
use crate::http::Client;
use crate::nitro::Hypervisor;
use crate::session::{Layer, Sources};
use crate::state::{LastResult, RemoteTiles, State};
use crate::tpm::{Behind, Paravisor, Speaker, Wanted};
use crate::{clock, question, random, session};

/// What an attestation gave.
#[derive(Debug, Serialize)]
pub(crate) struct Attested {
    /// The result as it is kept.
    pub(crate) result: LastResult,
    /// The witness's verdict.
    pub(crate) verdict: Verdict,
    /// The token, if one was wanted and given.
    pub(crate) token: Option<String>,
    /// Files that were written.
    pub(crate) written: Vec<String>,
    /// What was not released, and why.
    pub(crate) refused: Vec<Refusal>,
    /// The secrets.
    #[serde(skip)]
    pub(crate) secrets: Vec<Opened>,
}

/// `attest`.
///
/// # Errors
/// Everything that keeps a verdict from being believed; a verdict that refuses is no error.
pub(crate) fn attest(
    common: &Common,
    token: &Token,
    token_out: Option<&Path>,
) -> Result<Attested, Error> {
    let bound = Bound {
        keys: question::keys(&token.bind)?,
        ..Bound::default()
    };
    let request = |_: &Config| question::request(&token.audience, &token.context);
    let mut attested = conversation(common, "attest", &request, &bound)?;
    let Some(file) = token_out else {
        return Ok(attested);
    };
    let (folder, name) = Folder::of(file)?;
    if let Some(token) = &attested.token {
        folder.put(&name, token.as_bytes())?;
        attested.written.push(file.display().to_string());
    } else {
        // A token of an earlier attestation would say something that no longer holds.
        folder.remove(&name)?;
    }
    Ok(attested)
}

/// `get`.
///
/// # Errors
/// `agent.target` before anything is asked when the target outlives the machine; `agent.device`
/// likewise when the end of the boot is to be marked and cannot be; those of
/// [`attest`].
pub(crate) fn get(
    common: &Common,
    wanted: &[Secret],
    out: Option<&Path>,
    dangerous_persistent_target: bool,
    close: bool,
) -> Result<Attested, Error> {
    // What cannot be marked afterwards is not asked for.
    let mark = close.then(|| Mark::find(common)).transpose()?;
    let root = out.map(Folder::open).transpose()?;
    if let Some(root) = &root
        && !dangerous_persistent_target
    {
        root.demand_memory()?;
    }
    let request = |config: &Config| Request::release(wanted.iter().cloned(), [config.suite]);
    let mut attested = conversation(common, "get", &request, &Bound::default())?;
    for secret in &attested.secrets {
        let Some(out) = out else { break };
        let (folder, name) = place(Folder::open(out)?, &secret.path)?;
        // Once more, and on the folder that is written to: a mount may lie in between.
        if !dangerous_persistent_target {
            folder.demand_memory()?;
        }
        folder.put(&name, &secret.value)?;
        attested
            .written
            .push(out.join(secret.path.as_str()).display().to_string());
    }
    if let Some(mark) = mark {
        mark.make(common)?;
    }
    if dangerous_persistent_target && out.is_some() {
        attested
            .result
            .dangerous
            .push("secrets may lie on a disk that outlives this machine".into());
    }
    Ok(attested)
}

/// Where the end of the boot is marked.
struct Mark {
    /// In RTMR3 of a trust domain.
    td: bool,
    /// In PCR 15 of a TPM.
    tpm: bool,
}

impl Mark {
    /// A trust domain's own register, and that of a TPM where it speaks or is all there is.
    fn find(common: &Common) -> Result<Self, Error> {
        let td = device::td::can_close(Path::new(device::ROOT));
        let tpm = common.tpm.is_wanted();
        if !td && !tpm && Path::new(device::TDX_GUEST).exists() {
            return Err(device::trouble(
                "this kernel shows no RTMR3 to extend (Linux 6.16 and newer do), so nothing can say \
                 that the boot is over; leave --close out, or name a TPM with --tpm",
            ));
        }
        Ok(Self {
            td,
            tpm: tpm || !td,
        })
    }

    fn make(&self, common: &Common) -> Result<(), Error> {
        if self.td {
            device::td::close(Path::new(device::ROOT))?;
        }
        if self.tpm {
            Speaker::open(&common.tpm)?.close()?;
        }
        Ok(())
    }
}

/// `run`: attests until SIGTERM or SIGINT, and tells every outcome.
///
/// # Errors
/// `agent.local` when signals cannot be awaited; what fails later is told and tried again.
pub(crate) fn run(
    common: &Common,
    token: &Token,
    token_out: &Path,
    interval_secs: u32,
    tell: &mut dyn FnMut(&Result<Attested, Error>),
) -> Result<u8, Error> {
    let mut signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| Error::local(format!("cannot await signals: {error}")))?;
    let (stop, stopped) = mpsc::channel();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _ = stop.send(());
        }
    });
    loop {
        let outcome = attest(common, token, Some(token_out));
        if outcome.is_err() {
            let (folder, name) = Folder::of(token_out)?;
            folder.remove(&name)?;
        }
        tell(&outcome);
        match stopped.recv_timeout(Duration::from_secs(u64::from(interval_secs))) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // The token stays: it is true, and ends by itself within minutes.
            Ok(()) => return Ok(0),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Error::local("nothing awaits signals any more"));
            }
        }
    }
}

/// `status`.
///
/// # Errors
/// `agent.local` when the state cannot be read.
pub(crate) fn status(state: &Path) -> Result<Option<LastResult>, Error> {
    if !state.is_dir() {
        return Ok(None);
    }
    State::open(state)?.result()
}

/// One attestation under the state's lock: the result is kept whether it works or not.
fn conversation(
    common: &Common,
    command: &str,
    request: &dyn Fn(&Config) -> Request,
    bound: &Bound,
) -> Result<Attested, Error> {
    let state = State::open(&common.state)?;
    // Devices want one request at a time, and the checkpoint is read and written.
    let _lock = state.0.lock()?;
    let mut result = LastResult {
        schema: LastResult::SCHEMA.to_owned(),
        at: clock()?,
        command: command.to_owned(),
        witness: None,
        verdict: None,
        failed: Vec::new(),
        log_index: None,
        log_size: None,
        dangerous: Vec::new(),
        error: None,
        exit_code: 0,
    };
    match attempt(common, (request, bound), &state, &mut result) {
        Ok(attested) => {
            state.put_result(&attested.result)?;
            Ok(attested)
        }
        Err(error) => {
            result.error = Some(error.to_string());
            result.exit_code = error.exit_code();
            state.put_result(&result)?;
            Err(error)
        }
    }
}

fn attempt(
    common: &Common,
    (request, bound): (&dyn Fn(&Config) -> Request, &Bound),
    state: &State,
    result: &mut LastResult,
) -> Result<Attested, Error> {
    let machine = Machine {
        options: Options {
            privlevel: common.privlevel,
            service_provider: common.service_provider.clone(),
        },
    };
    let layer = layer(&common.tpm)?;
    let tpm = match layer.is_none() && common.tpm.is_wanted() {
        true => Some(Speaker::open(&common.tpm)?),
        false => None,
    };
    // Without a CPU that speaks, and only then, the TPM speaks alone.
    let alone = tpm.is_none() && layer.is_none();
    let cpu = (alone || (layer.is_none() && device::is_there()?)).then_some(&machine);
    let mut sources = Sources {
        cpu: cpu.map(|machine| machine as &dyn device::Device),
        tpm,
        layer,
    };
    let file = read_config(&common.config)?;
    if let Some(because) = &common.dangerous_unpinned_config {
        result.dangerous.push(format!(
            "nothing pins the configuration ({because}): whoever starts this machine chooses \
             witness and owners"
        ));
    } else {
        pinned(&file, &mut sources)?;
    }
    let config = Config::parse(&file)?;
    result.witness = Some(format!("{} ({})", config.witness.url, config.witness.id));
    if common.dangerous_plain_http {
        result
            .dangerous
            .push("plain HTTP to the witness is allowed".into());
    }
    let time_max = Duration::from_secs(u64::from(common.timeout));
    let (url, ca) = (&config.witness.url, &config.witness.ca);
    let client = Client::new(url, ca, time_max, common.dangerous_plain_http)?;
    let question = (request(&config), bound.clone());
    let done = session::converse(&config, question, &mut sources, &client, common.timeout)?;
    let key = config.log_key()?;
    let receipt = state.receipt(&done.answer, &key, &RemoteTiles::new(&client));
    let receipt = receipt.inspect_err(|error| {
        // A witness that does not know that it was set back learns it, and halts.
        if ["agent.log-went-back", "log.proof.consistency"].contains(&error.check.as_str())
            && let Ok(Some(known)) = state.checkpoint(&key)
        {
            let _ = client.post("/v1/checkpoints", &known);
        }
    })?;
    let answer = done.answer;
    result.verdict = Some(answer.verdict.verdict);
    result.failed.clone_from(&answer.verdict.failed);
    result.log_index = receipt.as_ref().map(|receipt| receipt.index());
    result.log_size = receipt.map(|receipt| receipt.checkpoint().checkpoint().size);
    // A secret that was refused is a refusal, whatever the machine's verdict.
    let refused = (!answer.refused.is_empty()).then_some(5);
    let codes = [answer.verdict.verdict.exit_code(), refused.unwrap_or(0)];
    result.exit_code = VerdictWord::worst(codes);
    Ok(Attested {
        result: result.clone(),
        verdict: answer.verdict,
        token: answer.token,
        written: Vec::new(),
        refused: answer.refused,
        secrets: done.secrets,
    })
}

/// What a provider put before the CPU: by the caller's word, or because nothing else can speak and
/// this machine looks like it. A wrong guess ends where nothing answers.
fn layer(wanted: &Wanted) -> Result<Option<Layer>, Error> {
    let behind = match wanted.behind() {
        None if !wanted.is_wanted() => match crate::detect::behind_what() {
            Some(behind) if !device::is_there()? => Some(behind),
            _ => None,
        },
        behind => behind,
    };
    Ok(match behind {
        Some(Behind::Azure) => Some(Layer::Azure(Box::new(Paravisor::open(wanted)?))),
        Some(Behind::Nitro) => Some(Layer::Nitro(Hypervisor::open(wanted.socket())?)),
        None => None,
    })
}

/// Holds the configuration against what this machine was started with.
fn pinned(file: &[u8], sources: &mut Sources<'_>) -> Result<(), Error> {
    if let Some(cpu) = sources.cpu {
        // Report data that nobody uses again.
        let mut report_data = [0; 64];
        random::fill(&mut report_data)?;
        return config::pinned(file, &cpu.report(&report_data)?);
    }
    let register = match (&mut sources.tpm, &mut sources.layer) {
        (Some(tpm), _) => tpm.register(config::PINNING_PCR)?,
        (None, Some(layer)) => layer.register(config::PINNING_PCR)?,
        (None, None) => Vec::new(),
    };
    config::pinned_by_boot(file, &crate::detect::command_line(), &register)
}

/// The bytes of a configuration.
///
/// # Errors
/// `agent.local` when it cannot be read.
pub(crate) fn read_config(path: &Path) -> Result<Vec<u8>, Error> {
    // The file may be a link, as configuration often is: its digest decides.
    let path = std::fs::canonicalize(path)
        .map_err(|error| Error::local(format!("{}: {error}", path.display())))?;
    let (folder, name) = Folder::of(&path)?;
    let limit = u64::try_from(CONFIG_BYTES_MAX).unwrap_or(u64::MAX);
    folder
        .read(&name, limit.saturating_add(1))?
        .ok_or_else(|| Error::local(format!("{} is not there", path.display())))
}
