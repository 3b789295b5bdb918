//! `zeuged serve`: opens a folder, listens, and on a signal finishes what is under way.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use zeuge_appraise::tpm::{OwnRoot, ROOTS_FILES, named_roots};
use zeuge_collateral::{Ages, Allowance, BaseUrl, Channel, Pcs, Sources};
use zeuge_verify::Anchors;

use super::Serve;
use crate::appraisal::SIM_TENANT;
use crate::clock::Clock;
use crate::health;
use crate::limits::THREADS_MAX;
use crate::witness::{Options, Witness};
use crate::{door, http, tls};

/// How often refusals are written into the log.
const DENIALS: Duration = Duration::from_secs(60);
/// How long requests under way may take to finish after a signal.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until a signal comes.
pub(super) fn serve(options: &Serve) -> io::Result<()> {
    hardened()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(THREADS_MAX)
        .build()?;
    let done = runtime.block_on(run(options));
    // What still reads the database or hangs at a disk is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// Takes this process out of core dumps, and out of the reach of debuggers of the same user: its
/// memory holds every key.
fn hardened() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// What the options say about transport: certificate and key, or plain HTTP.
fn transport(options: &Serve) -> io::Result<Option<(PathBuf, PathBuf)>> {
    let is_loopback = options.listen.ip().is_loopback();
    if options.dangerous_plain_http {
        if !is_loopback {
            tracing::warn!(
                "DANGEROUS: plain HTTP; anybody on the way reads and changes everything"
            );
        }
        return Ok(None);
    }
    if let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) {
        return Ok(Some((certificate.clone(), key.clone())));
    }
    if is_loopback && !options.tls {
        return Ok(None);
    }
    let folder = options.data.join("tls");
    Ok(Some((folder.join("cert.pem"), folder.join("key.pem"))))
}

/// A service under another address than its maker's.
fn base(option: &str, url: &str) -> io::Result<BaseUrl> {
    BaseUrl::parse(url)
        .map_err(|problem| io::Error::other(format!("{}: {option}: {problem}", problem.check())))
}

/// These sources with the addresses that the options name, each with its value.
fn sources(
    mut sources: Sources,
    (kds, amd): (&str, Option<&String>),
    (pcs, intel): (&str, Option<&String>),
) -> io::Result<Sources> {
    if let Some(url) = amd {
        sources.amd = Some(base(kds, url)?);
    }
    if let Some(url) = intel {
        sources.intel = Some(Pcs::cache(base(pcs, url)?));
    }
    Ok(sources)
}

/// What the options say about endorsements and trust.
fn opening(options: &Serve) -> io::Result<Options> {
    let sim = options.dangerous_trust_sim.as_ref().map(|path| {
        let named = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("{}: {error}", path.display()))
        };
        let text = fs::read_to_string(path).map_err(|error| named(&error))?;
        tracing::warn!(
            tenant = SIM_TENANT,
            "DANGEROUS: toy roots are believed for this tenant"
        );
        Anchors::dangerous_sim(&text).map_err(|error| named(&error))
    });
    let makers = match options.offline {
        true => None,
        false => Some(sources(
            Sources::makers(),
            ("--kds", options.kds.as_ref()),
            ("--pcs", options.pcs.as_ref()),
        )?),
    };
    let limits = &options.collateral;
    let sim_makers = sources(
        Sources::default(),
        ("--sim-kds", options.sim_kds.as_ref()),
        ("--sim-pcs", options.sim_pcs.as_ref()),
    )?;
    Ok(Options {
        held_outside: super::recover::held(&options.held_checkpoint)?,
        ages: Ages {
            certificate_secs_max: i64::from(limits.certificate_days).saturating_mul(86_400),
            list_secs_max: i64::from(limits.list_hours).saturating_mul(3600),
            not_found_secs: i64::from(limits.not_found_minutes).saturating_mul(60),
            ..Ages::default()
        },
        allowance: Allowance {
            per_source: limits.requests_per_source,
            all: limits.requests,
        },
        endorsements: options.endorsements.clone(),
        sim: sim.transpose()?,
        archive_bytes_max: options.archive_bytes_max,
        makers,
        sim_makers: Some(sim_makers).filter(|sources| *sources != Sources::default()),
        channel: Channel::served(&options.pcs_update).unwrap_or(Channel::Standard),
        roots: roots(&options.roots)?,
        source_per_second: options.source_per_second,
    })
}

/// The roots that these folders or files name.
fn roots(paths: &[PathBuf]) -> io::Result<Vec<OwnRoot>> {
    let mut out = Vec::new();
    for path in paths {
        let file = if path.is_dir() {
            let [file, earlier] = ROOTS_FILES.map(|name| path.join(name));
            match (file.exists(), earlier.exists()) {
                (true, true) => {
                    let both =
                        format!("{} and {}: one too many", file.display(), earlier.display());
                    return Err(io::Error::other(both));
                }
                (false, true) => earlier,
                _ => file,
            }
        } else {
            path.clone()
        };
        let failed = |at: &Path, error: &dyn std::fmt::Display| {
            io::Error::other(format!("{}: {error}", at.display()))
        };
        let text = fs::read_to_string(&file).map_err(|error| failed(&file, &error))?;
        let folder = file.parent().unwrap_or_else(|| Path::new("."));
        for root in named_roots(&text).map_err(|error| failed(&file, &error))? {
            let at = folder.join(&root.file);
            let certificate = fs::read(&at).map_err(|error| failed(&at, &error))?;
            out.push(OwnRoot::new(root, certificate).map_err(|error| failed(&at, &error))?);
        }
    }
    Ok(out)
}

async fn run(options: &Serve) -> io::Result<()> {
    let opening = opening(options)?;
    let transport = transport(options)?;
    // Before anybody is told that it listens.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let witness = Witness::open(&options.data, opening, Clock::system)?;
    let socket = TcpListener::bind(options.listen).await?;
    let address = socket.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    // The log goes on until the last answer that waits for it is out.
    let (stop_log, log_stopped) = watch::channel(false);
    let log = tokio::spawn(Arc::clone(&witness.sequencer).run(log_stopped));
    let health = tokio::spawn(health::watch(Arc::clone(&witness), stopped.clone()));
    let denials = tokio::spawn(log_denials(Arc::clone(&witness), stopped.clone()));
    let router = http::router(Arc::clone(&witness));
    let acceptor = match &transport {
        None => None,
        Some((certificate, key)) => Some(TlsAcceptor::from(tls::config(certificate, key)?)),
    };
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    say(scheme, address)?;
    let serving = door::serve(socket, acceptor, router, Arc::clone(&witness), stopped);
    let serving = tokio::spawn(serving);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("finishing what is under way");
    witness.feeds.close();
    stop.send_replace(true);
    if tokio::time::timeout(DRAIN, serving).await.is_err() {
        tracing::warn!("requests were still under way");
    }
    stop_log.send_replace(true);
    let _ = denials.await;
    let _ = health.await;
    let _ = log.await;
    let last = Arc::clone(&witness);
    let ended = tokio::task::spawn_blocking(move || {
        last.log_denials()?;
        last.sequencer.sequence()?;
        last.store.fold()
    });
    match ended.await {
        Ok(done) => done.map_err(io::Error::other),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The one line for scripts.
fn say(scheme: &str, address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "listening on {scheme}://{address}")?;
    out.flush()
}

async fn log_denials(witness: Arc<Witness>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(DENIALS) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        let this = Arc::clone(&witness);
        let done = tokio::task::spawn_blocking(move || this.log_denials()).await;
        if let Ok(Err(refusal)) = done {
            tracing::error!(check = refusal.check, %refusal, "refusals were not logged");
        }
    }
}
