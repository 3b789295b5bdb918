//! The command line: options in, text or JSON and an exit code out. Decides nothing about trust.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum, error::ErrorKind};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zeuge_protocol::bundle::Bundle;
use zeuge_protocol::name::Path as SecretPath;
use zeuge_protocol::request::Wanted;

use crate::commands::{self, Attested};
use crate::error::Error;
use crate::nitro::Hypervisor;
use crate::question::{self, KeyFile};
use crate::state::{LastResult, STATE};
use crate::tpm::{CLOSED_PCR, Paravisor, Tpm, Wanted as TpmWanted};

const EXAMPLES: &str = "\
Examples:
  zeuge-agent detect
  zeuge-agent attest --config /etc/zeuge/agent.json --audience https://vault.example --token-out /run/token
  zeuge-agent get db/password tls/key@3 --config /etc/zeuge/agent.json --out /run/secrets
  zeuge-agent get disk/root --config /etc/zeuge/agent.json --stdout | cryptsetup open /dev/vda2 root -d -
  zeuge-agent get disk/root --config /etc/zeuge/agent.json --out /run/secrets --tpm --close
  zeuge-agent run --config /etc/zeuge/agent.json --audience https://vault.example --token-out /run/token
  zeuge-agent status

Exit codes: 0 affirming or done, 1 usage or local trouble, 2 malformed, 3 untrusted,
4 something needed is unavailable, 5 refused, 10 accepted with warnings.";

/// The attester inside a confidential VM.
#[derive(Parser)]
#[command(name = "zeuge-agent", version, after_help = EXAMPLES)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what this machine is: a confidential VM, an ordinary VM, bare metal.
    #[command(after_help = "Example:\n  zeuge-agent detect --format json")]
    Detect(Output),
    /// Show evidence to the witness and print its verdict.
    #[command(after_help = EXAMPLES)]
    Attest(Attest),
    /// Show evidence and receive secrets.
    #[command(after_help = EXAMPLES)]
    Get(Get),
    /// Attest again and again, and keep a fresh token in a file, until SIGTERM.
    #[command(after_help = EXAMPLES)]
    Run(Run),
    /// At AWS: print the document of the Nitro hypervisor about this enclave, or by its NitroTPM
    /// about this instance. It is binary.
    #[command(
        after_help = "Example:\n  zeuge-agent nitro --nonce 00112233445566778899aabbccddeeff > document.cbor"
    )]
    Nitro {
        /// The nonce, 8 to 64 bytes in hex.
        #[arg(long, value_name = "HEX", value_parser = nonce)]
        nonce: Nonce,
        /// User data, 8 to 64 bytes in hex.
        #[arg(long, value_name = "HEX", value_parser = nonce)]
        user_data: Option<Nonce>,
        #[command(flatten)]
        place: TpmPlace,
    },
    /// The TPM of this machine: who it is, credentials, quotes.
    #[command(
        subcommand,
        after_help = "Example:\n  zeuge-agent tpm identity --out /run/enrolment"
    )]
    Tpm(TpmCommand),
    /// Show the last result.
    #[command(after_help = "Example:\n  zeuge-agent status --format json")]
    Status(Status),
}

#[derive(Subcommand)]
enum TpmCommand {
    /// Write what an enrolment needs: ek.crt, ek.pub and ak.pub.
    #[command(after_help = "Example:\n  zeuge-agent tpm identity --out /run/enrolment")]
    Identity {
        /// Folder to write into; it must be there.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        place: TpmPlace,
    },
    /// Open a credential (as zeuge hardware tpm-begin writes it); prints the answer in hex.
    #[command(after_help = "Example:\n  zeuge-agent tpm activate /run/enrolment/credential")]
    Activate {
        /// The credential.
        credential: PathBuf,
        #[command(flatten)]
        place: TpmPlace,
    },
    /// Prove to the witness that the AK is this TPM's: send EK and AK, open its credential. The TPM
    /// then waits for the owner (zeuge hardware list --pending). Again is no change.
    #[command(after_help = "Example:\n  zeuge-agent tpm enroll --config /etc/zeuge/agent.json")]
    Enroll {
        /// Configuration (zeuge.agent.v1): which witness, which tenant.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Allow plain HTTP to another machine.
        #[arg(long)]
        dangerous_plain_http: bool,
        #[command(flatten)]
        place: TpmPlace,
    },
    /// Quote PCRs with this nonce; prints zeuge.tpm-quote.v1 with the boot log and the IMA list.
    #[command(
        after_help = "Example:\n  zeuge-agent tpm quote --nonce 00112233445566778899aabbccddeeff > q.json"
    )]
    Quote {
        /// The qualifying data, 8 to 64 bytes in hex.
        #[arg(long, value_name = "HEX", value_parser = nonce)]
        nonce: Nonce,
        /// PCRs of the SHA-256 bank.
        #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", value_parser = clap::value_parser!(u32).range(0..=23))]
        pcrs: Vec<u32>,
        /// The boot log of a software TPM; the kernel's logs speak of another one.
        #[arg(long, value_name = "FILE", requires = "tpm_socket")]
        event_log: Option<PathBuf>,
        #[command(flatten)]
        place: TpmPlace,
    },
    /// Behind Azure's paravisor: print its HCL report, a quote by its key and the boot log, as a
    /// bundle; of a TDX machine with its quote from Azure's metadata service.
    #[command(
        after_help = "Example:\n  zeuge-agent tpm azure --nonce 00112233445566778899aabbccddeeff > azure.json"
    )]
    Azure(Azure),
    /// Extend PCR 15 with zeuge:closed: quotes after it say that the boot secrets were fetched.
    #[command(after_help = "Example:\n  zeuge-agent tpm close")]
    Close {
        #[command(flatten)]
        place: TpmPlace,
    },
}

/// What `tpm azure` collects.
#[derive(Args)]
struct Azure {
    /// The qualifying data, 8 to 64 bytes in hex; the report of the CPU is the one of the boot.
    #[arg(
        long,
        value_name = "HEX",
        value_parser = nonce,
        required_unless_present = "report_data",
        conflicts_with = "report_data"
    )]
    nonce: Option<Nonce>,
    /// 64 bytes in hex for a new report of the CPU; the quote answers their SHA-256.
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    report_data: Option<[u8; 64]>,
    /// The boot log of a software TPM; the kernel's logs speak of another one.
    #[arg(long, value_name = "FILE", requires = "tpm_socket")]
    event_log: Option<PathBuf>,
    /// A stand-in for Azure's metadata service, beside a software TPM.
    #[arg(long, value_name = "URL", requires = "tpm_socket", hide = true)]
    metadata_service: Option<String>,
    #[command(flatten)]
    place: TpmPlace,
}

/// Where the TPM is.
#[derive(Args)]
struct TpmPlace {
    /// The socket of a software TPM (swtpm) in place of /dev/tpmrm0, for tests.
    #[arg(long, value_name = "SOCKET")]
    tpm_socket: Option<PathBuf>,
}

#[derive(Clone)]
struct Nonce(Vec<u8>);

fn nonce(text: &str) -> Result<Nonce, String> {
    hex::decode(text)
        .ok()
        .filter(|bytes| (8..=64).contains(&bytes.len()))
        .map(Nonce)
        .ok_or_else(|| "8 to 64 bytes in hex are wanted".to_owned())
}

fn report_data(text: &str) -> Result<[u8; 64], String> {
    let bytes = hex::decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "64 bytes in hex are wanted".to_owned())
}

#[derive(Args)]
struct Output {
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What every conversation with the witness needs.
#[derive(Args)]
pub(crate) struct Common {
    /// Configuration (zeuge.agent.v1). Its SHA-256 must stand in this machine's own report.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Use the configuration although nothing pins it, and say why.
    #[arg(long, value_name = "WHY")]
    pub(crate) dangerous_unpinned_config: Option<String>,
    /// Allow plain HTTP to another machine.
    #[arg(long)]
    pub(crate) dangerous_plain_http: bool,
    /// Folder for receipts, the largest checkpoint and the last result.
    #[arg(long, value_name = "DIR", default_value = STATE)]
    pub(crate) state: PathBuf,
    /// VMPL to ask the kernel for (SEV-SNP).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) privlevel: Option<u8>,
    /// Service to ask through, such as svsm (SEV-SNP).
    #[arg(long, value_name = "NAME", value_parser = ["svsm"])]
    pub(crate) service_provider: Option<String>,
    #[command(flatten)]
    pub(crate) tpm: TpmWanted,
    /// How long to wait for each answer, in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) timeout: u32,
}

/// For whom a token is, and where it goes.
#[derive(Args)]
pub(crate) struct Token {
    /// For whom the Attestation Result is meant.
    #[arg(long, value_name = "AUDIENCE", default_value = "")]
    pub(crate) audience: String,
    /// Bind this public key (PEM) for tls, kubelet-client, kubelet-serving or workload; the token
    /// confirms it. Read anew for each attestation.
    #[arg(long, value_name = "ROLE=FILE", value_parser = question::key_file)]
    pub(crate) bind: Vec<KeyFile>,
    /// What else the evidence is bound to, such as node-name=worker-1; the token repeats it.
    #[arg(long, value_name = "KEY=VALUE", value_parser = question::entry)]
    pub(crate) context: Vec<(String, String)>,
}

#[derive(Args)]
struct Attest {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    token: Token,
    /// Write the token into this file (mode 0600).
    #[arg(long, value_name = "FILE")]
    token_out: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Get {
    /// Secrets as PATH or PATH@VERSION; without a version the newest.
    #[arg(required = true, value_name = "PATH", value_parser = wanted)]
    paths: Vec<Wanted>,
    #[command(flatten)]
    common: Common,
    /// Write each secret to DIR/PATH (mode 0600); DIR must be a tmpfs.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "stdout",
        conflicts_with = "stdout"
    )]
    out: Option<PathBuf>,
    /// Write the one secret to standard output, as it is.
    #[arg(long)]
    stdout: bool,
    /// Write secrets although DIR outlives this machine.
    #[arg(long)]
    dangerous_persistent_target: bool,
    /// Afterwards say that the boot is over: extend RTMR3 of a trust domain (Linux 6.16 or newer)
    /// and PCR 15 of the TPM (as tpm close does) with zeuge:closed.
    #[arg(long)]
    close: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    token: Token,
    /// The file that holds the fresh token (mode 0600); removed when the machine is refused.
    #[arg(long, value_name = "FILE")]
    token_out: PathBuf,
    /// How often to attest, in seconds; tokens live for 300.
    #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    interval: u32,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Status {
    /// Folder for receipts, the largest checkpoint and the last result.
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
    #[command(flatten)]
    output: Output,
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let (path, version) = match text.split_once('@') {
        Some((path, version)) => {
            let version: u64 = version
                .parse()
                .map_err(|_| "PATH@VERSION, a number from 1")?;
            (path, Some(version))
        }
        None => (text, None),
    };
    if version == Some(0) {
        return Err("versions start at 1; without one the newest is meant".into());
    }
    let path = SecretPath::parse(path).map_err(|error| error.to_string())?;
    Ok(Wanted {
        path,
        version: version.unwrap_or(0),
    })
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            // A closed pipe is no reason for another message.
            let _ = error.print();
            return ExitCode::from(u8::from(!asked));
        }
    };
    let code = match &program.command {
        Command::Detect(output) => Ok(detect(output)),
        Command::Attest(attest) => self::attest(attest),
        Command::Get(get) => self::get(get),
        Command::Run(run) => self::run(run),
        Command::Status(status) => self::status(status),
        Command::Nitro {
            nonce,
            user_data,
            place,
        } => nitro(nonce, user_data.as_ref(), place),
        Command::Tpm(command) => tpm(command),
    };
    ExitCode::from(code.unwrap_or_else(|error| {
        eprintln!("zeuge-agent: {error}");
        error.exit_code()
    }))
}

fn detect(output: &Output) -> u8 {
    let detected = crate::detect::detect();
    match output.format {
        Format::Json => println!("{}", json!(detected)),
        Format::Text => print!("{}", detected.text()),
    }
    0
}

/// The longest credential in bytes; one for an RSA-4096 EK has under 700.
const CREDENTIAL_BYTES_MAX: u64 = 4096;

fn tpm(command: &TpmCommand) -> Result<u8, Error> {
    let place = match command {
        TpmCommand::Identity { place, .. }
        | TpmCommand::Activate { place, .. }
        | TpmCommand::Enroll { place, .. }
        | TpmCommand::Azure(Azure { place, .. })
        | TpmCommand::Quote { place, .. }
        | TpmCommand::Close { place } => place,
    };
    if let TpmCommand::Azure(options) = command {
        return azure(options);
    }
    let mut tpm = Tpm::open(place.tpm_socket.as_deref())?;
    match command {
        TpmCommand::Identity { out, .. } => {
            let identity = tpm.identity()?;
            for (name, bytes) in [
                ("ek.crt", &identity.ek_certificate),
                ("ek.pub", &identity.ek_public),
                ("ak.pub", &identity.ak_public),
            ] {
                let path = out.join(name);
                std::fs::write(&path, bytes)
                    .map_err(|error| Error::local(format!("{}: {error}", path.display())))?;
                println!("wrote {} ({} bytes)", path.display(), bytes.len());
            }
        }
        TpmCommand::Activate { credential, .. } => {
            let (id_object, secret) = credential_parts(credential)?;
            println!("{}", hex::encode(tpm.activate(&id_object, &secret)?));
        }
        TpmCommand::Enroll {
            config,
            dangerous_plain_http,
            ..
        } => println!(
            "{}",
            crate::enrol::enrol(config, &mut tpm, *dangerous_plain_http)?
        ),
        TpmCommand::Quote {
            nonce,
            pcrs,
            event_log,
            ..
        } => {
            let mut quote = tpm.quote(&nonce.0, pcrs)?;
            let logs = crate::tpm::Logs::of(place.tpm_socket.as_deref(), event_log.as_deref());
            quote.add_logs(logs.read()?);
            println!("{}", quote.json());
        }
        // Done above: it opens more than a TPM.
        TpmCommand::Azure(_) => {}
        TpmCommand::Close { .. } => {
            tpm.close()?;
            println!("PCR {CLOSED_PCR} was extended");
        }
    }
    Ok(0)
}

/// Report, quote and boot log of a machine behind Azure's paravisor.
fn azure(options: &Azure) -> Result<u8, Error> {
    let wanted = TpmWanted::of(
        options.place.tpm_socket.clone(),
        options.event_log.clone(),
        options.metadata_service.clone(),
    );
    let qualifying = match (&options.nonce, options.report_data) {
        (Some(nonce), _) => nonce.0.clone(),
        (None, data) => Sha256::digest(data.unwrap_or([0; 64])).to_vec(),
    };
    let mut bundle = Bundle::new();
    let mut paravisor = Paravisor::open(&wanted)?;
    paravisor.speak(options.report_data.as_ref(), &qualifying, &mut bundle)?;
    println!("{}", bundle.to_json());
    Ok(0)
}

/// The document of AWS's hypervisor.
fn nitro(nonce: &Nonce, user_data: Option<&Nonce>, place: &TpmPlace) -> Result<u8, Error> {
    let mut hypervisor = Hypervisor::open(place.tpm_socket.as_deref())?;
    let user_data = user_data.map_or(&[][..], |data| &data.0);
    let document = hypervisor.document(&nonce.0, user_data)?;
    std::io::stdout()
        .write_all(&document)
        .map_err(|error| Error::local(format!("standard output: {error}")))?;
    Ok(0)
}

/// The two parts of a credential file: magic, version 1, and each part with its length before it.
fn credential_parts(path: &std::path::Path) -> Result<(Vec<u8>, Vec<u8>), Error> {
    use std::io::Read as _;
    let failed = |error| Error::local(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(CREDENTIAL_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let bad = || Error::local(format!("{}: this is no credential", path.display()));
    let rest = bytes
        .strip_prefix(&[0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1])
        .ok_or_else(bad)?;
    let split = |rest: &[u8]| -> Option<(Vec<u8>, Vec<u8>)> {
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
        let (part, rest) = rest.split_at_checked(length.checked_add(2)?)?;
        Some((part.to_vec(), rest.to_vec()))
    };
    let (id_object, rest) = split(rest).ok_or_else(bad)?;
    let (secret, rest) = split(&rest).ok_or_else(bad)?;
    if rest.is_empty() {
        Ok((id_object, secret))
    } else {
        Err(bad())
    }
}

fn attest(options: &Attest) -> Result<u8, Error> {
    let (common, token) = (&options.common, &options.token);
    let attested = commands::attest(common, token, options.token_out.as_deref())?;
    print(&attested, options.output.format);
    Ok(attested.result.exit_code)
}

fn get(options: &Get) -> Result<u8, Error> {
    if options.stdout && options.paths.len() != 1 {
        return Err(Error::local(
            "--stdout gives one secret; several need --out DIR",
        ));
    }
    let attested = commands::get(
        &options.common,
        &options.paths,
        options.out.as_deref(),
        options.dangerous_persistent_target,
        options.close,
    )?;
    if options.stdout {
        if let Some(secret) = attested.secrets.first() {
            let mut out = std::io::stdout().lock();
            out.write_all(&secret.value)
                .and_then(|()| out.flush())
                .map_err(|error| Error::local(format!("standard output: {error}")))?;
        }
        eprint!("{}", text(&attested));
    } else {
        print(&attested, options.output.format);
    }
    Ok(attested.result.exit_code)
}

fn run(options: &Run) -> Result<u8, Error> {
    commands::run(
        &options.common,
        &options.token,
        &options.token_out,
        options.interval,
        &mut |outcome| match outcome {
            Ok(attested) => print(attested, options.output.format),
            Err(error) => eprintln!("zeuge-agent: {error}"),
        },
    )
}

fn status(options: &Status) -> Result<u8, Error> {
    let Some(result) = commands::status(&options.state)? else {
        return Err(Error::local(format!(
            "there is no result in {} yet",
            options.state.display()
        )));
    };
    match options.output.format {
        Format::Json => println!("{}", json!(result)),
        Format::Text => print!("{}", result_text(&result)),
    }
    Ok(result.exit_code)
}

fn print(attested: &Attested, format: Format) {
    match format {
        Format::Text => print!("{}", text(attested)),
        Format::Json => println!(
            "{}",
            json!({
                "schema": "zeuge.agent-answer.v1",
                "result": attested.result,
                "verdict": attested.verdict,
                "token": attested.token,
                "written": attested.written,
                "refused": attested.refused,
            })
        ),
    }
}

/// The answer for people. Sentences of the witness are printed without control characters.
fn text(attested: &Attested) -> String {
    use std::fmt::Write as _;
    let mut out = result_text(&attested.result);
    for check in attested
        .verdict
        .checks
        .iter()
        .filter(|check| check.because.is_some())
    {
        let because = check.because.as_deref().unwrap_or_default();
        let line = format!("{:?} {}: {because}", check.status, check.id);
        // Writing into a String does not fail.
        let _ = writeln!(out, "  {}", crate::error::printable(&line, 500));
    }
    for line in &attested.verdict.not_proved {
        let _ = writeln!(out, "  not proved: {}", crate::error::printable(line, 500));
    }
    for path in &attested.written {
        let _ = writeln!(out, "wrote {path}");
    }
    for refusal in &attested.refused {
        let line = format!("{}: {} ({})", refusal.path, refusal.because, refusal.check);
        let _ = writeln!(out, "refused {}", crate::error::printable(&line, 500));
    }
    out
}

fn result_text(result: &LastResult) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let verdict = match result.verdict {
        Some(verdict) => format!("{verdict:?}").to_lowercase(),
        None => "none".to_owned(),
    };
    let _ = writeln!(
        out,
        "{} at {}: verdict {verdict}",
        result.command, result.at
    );
    if let Some(witness) = &result.witness {
        let _ = writeln!(out, "witness {witness}");
    }
    if let (Some(index), Some(size)) = (result.log_index, result.log_size) {
        let _ = writeln!(out, "entry {index} of a log of {size}, receipt checked");
    }
    if !result.failed.is_empty() {
        let failed = crate::error::printable(&result.failed.join(", "), 500);
        let _ = writeln!(out, "failed: {failed}");
    }
    for weakened in &result.dangerous {
        let _ = writeln!(out, "DANGEROUS: {weakened}");
    }
    if let Some(error) = &result.error {
        let _ = writeln!(out, "error {error}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_every_subcommand_has_an_example() {
        let mut command = Program::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands_mut() {
            assert!(
                sub.render_help().to_string().contains("zeuge-agent "),
                "{}",
                sub.get_name()
            );
        }
    }

    #[test]
    fn secrets_are_named_by_path_and_version() {
        let wanted_of = |text| wanted(text).map(|it| (it.path.to_string(), it.version));
        assert_eq!(wanted_of("a/b"), Ok(("a/b".into(), 0)));
        assert_eq!(wanted_of("a/b@3"), Ok(("a/b".into(), 3)));
        for bad in ["a/../b", "a@0", "a@x", "/a", "A", ""] {
            assert!(wanted_of(bad).is_err(), "{bad}");
        }
    }
}
