//! The command line of `zeuged`: makes data folders, serves them, copies them.
//!
//! The administrator's token is shown once, by `init`, and kept as a hash. Standard output says
//! what scripts need; the log goes to standard error as one JSON object per line, never with a
//! secret in it.

mod folder;
mod recover;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};
use zeuge_protocol::name::Name;

use crate::audit;
use crate::keys::Purpose;
use crate::limits::SOURCE_PER_SECOND;

const EXAMPLES: &str = "\
Examples:
  zeuge owner init --out owner
  zeuged init --data /var/lib/zeuge --owner owner/owner.pub --id witness-1
  zeuged serve --data /var/lib/zeuge
  zeuged backup --data /var/lib/zeuge --to zeuge.backup
  zeuged restore --from zeuge.backup --data /var/lib/zeuge-new
  zeuged recover --data /var/lib/zeuge-new --held-checkpoint receipt";

/// The witness: verifies machines, keeps the log, releases secrets.
#[derive(Debug, Parser)]
#[command(name = "zeuged", version, after_help = EXAMPLES)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data folder: keys, certificate, database; prints the administrator's token once.
    #[command(
        after_help = "Examples:\n  zeuged init --data /var/lib/zeuge --owner owner.pub \
                            --id witness-1 --tenant acme\n  \
                            zeuged init --data /var/lib/zeuge --owner owner.pub --id witness-1 \
                            --url https://witness-1:8443 --agent-config agent.json"
    )]
    Init(Init),
    /// Serve a data folder over HTTP until SIGTERM or SIGINT, then finish what is under way.
    #[command(after_help = "Examples:\n  zeuged serve --data /var/lib/zeuge\n  \
                            zeuged serve --data /var/lib/zeuge --listen 0.0.0.0:8443 \
                            --endorsements /var/lib/zeuge-endorsements\n  \
                            zeuged serve --data /var/lib/zeuge --kds https://kds-mirror.example\n  \
                            zeuged serve --data /var/lib/zeuge --offline\n  \
                            zeuged serve --data /var/lib/zeuge --roots /etc/zeuge/roots")]
    Serve(Box<Serve>),
    /// Make the next generation of a key; the older ones stay good for what they made.
    #[command(
        after_help = "Example:\n  zeuged rotate --data /var/lib/zeuge --key ear\n\
                            Restart zeuged afterwards. Log and answer keys are pinned by others \
                            and do not rotate."
    )]
    Rotate(Rotate),
    /// Copy a data folder into one file, keys included; the witness may run meanwhile.
    #[command(
        after_help = "Examples:\n  zeuged backup --data /var/lib/zeuge --to zeuge.backup\n  \
                            zeuged backup --data /var/lib/zeuge --to zeuge.backup --last\n\
                            The file holds every key: keep it as safe as the folder."
    )]
    Backup(Backup),
    /// Make a data folder from a backup. It is served after `recover`, unless it is from the last
    /// backup of a folder: who restores cannot know what was decided since.
    #[command(after_help = "Example:\n  zeuged restore --from zeuge.backup \
                            --data /var/lib/zeuge-new")]
    Restore(Restore),
    /// Open a new log that names the last good checkpoint of one that was lost, set back or forked.
    /// Owners must sign their documents anew before anything is released.
    #[command(after_help = "Examples:\n  zeuged recover --data /var/lib/zeuge\n  \
                            zeuged recover --data /var/lib/zeuge --held-checkpoint receipt\n\
                            The witness must be stopped. The old database stays beside.")]
    Recover(Recover),
    /// Not in this version: move to PostgreSQL and S3.
    #[command(after_help = "Example:\n  zeuged migrate --data /var/lib/zeuge")]
    Migrate(Later),
}

#[derive(Debug, Args)]
struct Init {
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The first owner's public key, or an owner set: JSON, or 32 bytes in base64url or hex.
    #[arg(long, value_name = "FILE")]
    owner: PathBuf,
    /// The witness's id, of a-z, 0-9, '.', '_' and '-'; also the origin of its log.
    #[arg(long, value_name = "NAME")]
    id: Name,
    /// A tenant; repeatable. Without it: the tenant of the owner set, or "default" for a bare key.
    #[arg(long, value_name = "NAME")]
    tenant: Vec<Name>,
    /// Where agents will reach the witness; goes into their configuration.
    #[arg(long, value_name = "URL", requires = "agent_config")]
    url: Option<String>,
    /// Write the configuration of the (first) tenant's agents here. Its SHA-256 belongs into the
    /// host data of their machines.
    #[arg(long, value_name = "FILE", requires = "url")]
    agent_config: Option<PathBuf>,
    /// Form of what is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
}

#[derive(Debug, Args)]
struct Serve {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen; port 0 takes a free one. The first line of output says which.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// A folder with certificates and revocation lists of the makers; read again when it changes.
    #[arg(long, value_name = "DIR")]
    endorsements: Option<PathBuf>,
    /// Roots of TPM makers, and of AWS's other partitions, beside those that ship: a folder with
    /// roots.toml, or such a file.
    #[arg(long, visible_alias = "tpm-roots", value_name = "PATH")]
    roots: Vec<PathBuf>,
    /// TLS also on loopback, with the certificate that `init` made.
    #[arg(long)]
    tls: bool,
    /// Certificate chain in PEM, instead of the one that `init` made.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Bytes of evidence to keep; when they are used up, nothing more is appraised.
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 30)]
    archive_bytes_max: u64,
    /// A checkpoint of this log that somebody else held: a note, or a receipt that an agent keeps.
    /// Repeatable. A log that does not continue it is not served.
    #[arg(long, value_name = "FILE")]
    held_checkpoint: Vec<PathBuf>,
    /// Ask no maker: what evidence lacks must be in the cache or the folder of endorsements.
    #[arg(long)]
    offline: bool,
    /// AMD's key service, or a mirror of it: https, or http on this machine.
    #[arg(long, value_name = "URL", conflicts_with = "offline")]
    kds: Option<String>,
    /// Intel's certification service (PCS), or a cache of it (PCCS): https, or http on this machine.
    #[arg(long, value_name = "URL", conflicts_with = "offline")]
    pcs: Option<String>,
    /// In which state of Intel's knowledge machines are judged: standard or early.
    #[arg(long, value_name = "CHANNEL", default_value = "standard", value_parser = ["standard", "early"])]
    pcs_update: String,
    /// Requests and connections that one source may begin in a second, twice as many after a pause;
    /// 0 for no such limit.
    #[arg(long, value_name = "N", default_value_t = SOURCE_PER_SECOND)]
    source_per_second: u32,
    /// How the makers are asked.
    #[command(flatten)]
    collateral: CollateralLimits,
    /// DANGEROUS: believe the toy roots of this file for the tenant sim.
    #[arg(long, value_name = "FILE")]
    dangerous_trust_sim: Option<PathBuf>,
    /// The toy's key service, asked for the tenant sim alone; without it nobody is.
    #[arg(
        long,
        value_name = "URL",
        requires = "dangerous_trust_sim",
        conflicts_with = "offline"
    )]
    sim_kds: Option<String>,
    /// The toy's certification service, asked for the tenant sim alone; without it nobody is.
    #[arg(
        long,
        value_name = "URL",
        requires = "dangerous_trust_sim",
        conflicts_with = "offline"
    )]
    sim_pcs: Option<String>,
    /// Append the spans of every attestation to this file, as OTLP in JSON.
    #[cfg(feature = "traces")]
    #[arg(long, value_name = "FILE")]
    traces: Option<PathBuf>,
    /// DANGEROUS: plain HTTP on an address that is not loopback.
    #[arg(long)]
    dangerous_plain_http: bool,
}

/// How long what the makers answered is kept, and how often they are asked.
#[derive(Debug, Args)]
struct CollateralLimits {
    /// After how many days a certificate in the cache is asked for again.
    #[arg(long = "certificate-days", value_name = "N", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=3650))]
    certificate_days: u32,
    /// After how many hours a revocation list in the cache is asked for again. No list counts past
    /// its own end.
    #[arg(long = "list-hours", value_name = "N", default_value_t = 24)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=8760))]
    list_hours: u32,
    /// For how many minutes a maker is not asked again for what it does not have.
    #[arg(long = "not-found-minutes", value_name = "N", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10080))]
    not_found_minutes: u32,
    /// Requests to makers per hour that one source may cause.
    #[arg(long = "requests-per-source", value_name = "N", default_value_t = 30)]
    requests_per_source: u32,
    /// Requests to makers per hour in all.
    #[arg(long = "requests", value_name = "N", default_value_t = 600)]
    requests: u32,
}

#[derive(Debug, Args)]
struct Rotate {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Which key.
    #[arg(long, value_enum)]
    key: Rotating,
}

/// Keys that rotate.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rotating {
    /// Of challenges.
    Challenge,
    /// Of Attestation Results.
    Ear,
    /// Of secrets at rest.
    Sealing,
}

impl From<Rotating> for Purpose {
    fn from(key: Rotating) -> Self {
        match key {
            Rotating::Challenge => Self::Challenge,
            Rotating::Ear => Self::Ear,
            Rotating::Sealing => Self::Sealing,
        }
    }
}

#[derive(Debug, Args)]
struct Backup {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The file to write; it must not exist.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The last one: the witness is stopped, and this folder is not served again. What is restored
    /// from it goes on as the same witness, with the same log. Restore it once.
    #[arg(long)]
    last: bool,
}

#[derive(Debug, Args)]
struct Recover {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A checkpoint of the lost log that somebody holds: a note, or a receipt that an agent keeps.
    /// Repeatable.
    #[arg(long, value_name = "FILE")]
    held_checkpoint: Vec<PathBuf>,
    /// Form of what is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
struct Restore {
    /// The backup.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The folder to make.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct Later {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Runs the program. Exit code 0 when it is done, 1 when it could not.
#[must_use]
#[expect(clippy::print_stderr, reason = "a program for the terminal")]
pub fn main() -> ExitCode {
    let program = Program::parse_or_exit();
    let done = logged(&program.command).and_then(|()| match program.command {
        Command::Init(init) => folder::init(&init),
        Command::Serve(options) => serve::serve(&options),
        Command::Rotate(rotate) => folder::rotate(&rotate),
        Command::Backup(backup) => folder::backup(&backup),
        Command::Restore(restore) => folder::restore(&restore),
        Command::Recover(recover) => recover::recover(&recover),
        Command::Migrate(later) => Err(folder::later("migrate", &later.data)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zeuged: {error}");
            ExitCode::from(1)
        }
    }
}

/// Begins to log, and to trace where that is built in and wanted.
fn logged(command: &Command) -> std::io::Result<()> {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(std::io::stderr)
        .with_filter(filter());
    let log = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "traces")]
    let log = {
        let file = match command {
            Command::Serve(serve) => serve.traces.as_deref(),
            _ => None,
        };
        let traces = file.map(crate::traces::Traces::append).transpose()?;
        let own = tracing_subscriber::filter::Targets::new();
        let own = own.with_target("zeuge_server", tracing::Level::DEBUG);
        log.with(traces.map(|traces| traces.with_filter(own)))
    };
    #[cfg(not(feature = "traces"))]
    let _ = command;
    log.init();
    Ok(())
}

/// What is logged: as `RUST_LOG` says, and audit events always.
fn filter() -> EnvFilter {
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    match format!("{}=info", audit::TARGET).parse() {
        Ok(always) => wanted.add_directive(always),
        Err(_) => wanted,
    }
}

impl Program {
    /// Reads the arguments; usage faults exit with 1 (DESIGN §5.1), help and version with 0.
    fn parse_or_exit() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            let _ = error.print();
            std::process::exit(i32::from(error.use_stderr()))
        })
    }
}
