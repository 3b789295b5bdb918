//! One long-lived toy AMD or Intel: its service over HTTP on loopback, and one machine of its make
//! behind a stand-in for configfs-tsm; or a Nitro enclave behind a stand-in for its module. Ends at
//! SIGTERM or SIGINT and takes its keys with it.
//!
//! Never listens elsewhere than on loopback; answers GET alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use fuser::{Config, MountOption};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use zeuge_evidence::UnixTime;
use zeuge_sim::{NitroLie, Product, ReportSpec, Signer, ToyAmd, ToyNitro};

use crate::configfs::{Configfs, Trouble};
use crate::nsm::Nsm;
use crate::td_files::{Registers, TdFiles};
use crate::vendor::Vendor;

/// The longest request in bytes; an address of the key service has under 300.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// How long a client may take.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(5);

/// Options of `serve`.
#[derive(Args)]
pub(crate) struct Serve {
    /// Folder for trust.json, endorsements/, kds.url and access.log; made if it is not there.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// What is played: snp (AMD), tdx (Intel) or nitro (an enclave at AWS).
    #[arg(long, default_value = "snp", value_parser = ["snp", "tdx", "nitro"])]
    platform: String,
    /// Where the maker's service listens; loopback only.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    kds_listen: SocketAddr,
    /// Folder on which to mount the stand-in for configfs-tsm; needs root and /dev/fuse.
    #[arg(long, value_name = "MOUNTPOINT")]
    configfs: Option<PathBuf>,
    /// Folder on which to mount the stand-in for an enclave's /dev/nsm (nitro); needs root and
    /// /dev/fuse.
    #[arg(long, value_name = "MOUNTPOINT", conflicts_with_all = ["configfs", "td", "liar"])]
    nsm: Option<PathBuf>,
    /// The enclave runs in debug mode (nitro).
    #[arg(long, requires = "nsm")]
    debug_enclave: bool,
    /// Product line.
    #[arg(long, default_value = "Milan", value_parser = crate::product)]
    product: Product,
    /// Which key signs: vcek or vlek.
    #[arg(long, default_value = "vcek", value_parser = crate::signer)]
    signer: Signer,
    /// MEASUREMENT or MRTD, exactly 48 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = crate::bytes::<48>)]
    measurement: Option<[u8; 48]>,
    /// HOST_DATA, exactly 32 bytes in hex; on TDX the first bytes of MRCONFIGID.
    #[arg(long, value_name = "HEX", value_parser = crate::bytes::<32>)]
    host_data: Option<[u8; 32]>,
    /// CHIP_ID, exactly 64 bytes in hex; on Turin the first eight count.
    #[arg(long, value_name = "HEX", value_parser = crate::bytes::<64>)]
    chip: Option<[u8; 64]>,
    /// GUEST_POLICY, 8 bytes in hex as a number, such as 0000000000030000.
    #[arg(long, value_name = "HEX", value_parser = crate::bytes::<8>)]
    guest_policy: Option<[u8; 8]>,
    /// Folder on which to mount what Linux shows a trust domain beside configfs-tsm: the log of a boot,
    /// and the registers, which the machine's quotes then tell (tdx).
    #[arg(long, value_name = "MOUNTPOINT", requires = "configfs")]
    td: Option<PathBuf>,
    /// Tell this one lie in every report; `zeuge-sim lies` names them.
    #[arg(long, value_name = "ID")]
    lie: Option<String>,
    /// Another machine of the same maker that tells a lie, on a mount point of its own: repeatable.
    #[arg(long, value_name = "ID=MOUNTPOINT", value_parser = liar)]
    liar: Vec<(String, PathBuf)>,
    /// Hand out no certificate table (auxblob stays empty), as many clouds do.
    #[arg(long)]
    no_certificates: bool,
    /// Disturb so many reads of outblob by somebody else's write.
    #[arg(long, value_name = "N", default_value_t = 0)]
    races: u32,
    /// Answer so many writes of inblob with EBUSY.
    #[arg(long, value_name = "N", default_value_t = 0)]
    busy: u32,
}

/// Serves until a signal comes. `say` gets one line for each thing that is ready.
pub(crate) fn serve(options: &Serve, say: &dyn Fn(&str)) -> Result<(), String> {
    if !options.kds_listen.ip().is_loopback() {
        return Err("the key service of a toy listens on loopback only".to_owned());
    }
    // Before anything else, so that no signal is missed.
    let mut signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| format!("cannot await signals: {error}"))?;
    if options.platform == "nitro" {
        let mounted = enclave(options, say)?;
        return until_signal(&mut signals, vec![mounted], say);
    }
    let vendor = vendor(options)?;
    write_files(options, &vendor)?;
    let listener = TcpListener::bind(options.kds_listen)
        .map_err(|error| format!("cannot listen on {}: {error}", options.kds_listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let url = format!("http://{address}");
    put(options, "kds.url", format!("{url}\n").as_bytes())?;
    let service = vendor.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away has lost its answer and nothing else.
            let _ = answer(&service, stream);
        }
    });
    say(&format!("kds {url}"));
    let mut mounted = Vec::new();
    let registers = vendor.registers();
    if let Some(mountpoint) = &options.td {
        let area = vendor.boot_log(now()).ok_or("--td needs --platform tdx")?;
        let files = TdFiles::new(Arc::clone(&registers), area);
        mounted.push(fuse(files, mountpoint)?);
        say(&format!("td {}", mountpoint.display()));
    }
    let machines = options
        .configfs
        .iter()
        .map(|mountpoint| (options.lie.as_deref(), mountpoint));
    let liars = options
        .liar
        .iter()
        .map(|(lie, mountpoint)| (Some(lie.as_str()), mountpoint));
    for (lie, mountpoint) in machines.chain(liars) {
        let registers = Arc::clone(&registers);
        mounted.push(mount(options, &vendor, lie, (mountpoint, registers))?);
        say(&format!("configfs {}", mountpoint.display()));
    }
    until_signal(&mut signals, mounted, say)
}

/// A Nitro enclave behind the stand-in for its module.
fn enclave(options: &Serve, say: &dyn Fn(&str)) -> Result<fuser::BackgroundSession, String> {
    let mountpoint = options.nsm.as_ref();
    let mountpoint = mountpoint.ok_or("--platform nitro needs --nsm")?;
    let lie = options.lie.as_deref().map(|lie| {
        let known = NitroLie::about(lie);
        known.ok_or_else(|| format!("no lie is for {lie}; see `zeuge-sim lies`"))
    });
    let folder = &options.dir;
    fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
    put(
        options,
        "trust.json",
        ToyNitro::shared().trust_file().as_bytes(),
    )?;
    let mounted = fuse(
        Nsm::new(lie.transpose()?, options.debug_enclave, now),
        mountpoint,
    )?;
    say(&format!("nsm {}", mountpoint.display()));
    Ok(mounted)
}

/// Says that all is up, and takes it down at a signal.
fn until_signal(
    signals: &mut Signals,
    mounted: Vec<fuser::BackgroundSession>,
    say: &dyn Fn(&str),
) -> Result<(), String> {
    say("ready");
    let _ = signals.forever().next();
    for session in mounted {
        session
            .umount_and_join()
            .map_err(|error| format!("cannot unmount: {error}"))?;
    }
    Ok(())
}

/// Mounts one machine's stand-in for configfs-tsm. All machines write one access log.
fn mount(
    options: &Serve,
    vendor: &Vendor,
    lie: Option<&str>,
    (mountpoint, registers): (&Path, Registers),
) -> Result<fuser::BackgroundSession, String> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(options.dir.join("access.log"))
        .map_err(|error| format!("cannot write access.log: {error}"))?;
    let trouble = Trouble {
        races: options.races,
        busy: options.busy,
    };
    let maker = vendor.maker(lie, options.no_certificates, now, registers);
    let stand_in = Configfs::new(vendor.provider(), maker, trouble, log);
    fuse(stand_in, mountpoint)
}

fn fuse(
    stand_in: impl fuser::Filesystem + 'static,
    mountpoint: &Path,
) -> Result<fuser::BackgroundSession, String> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("zeuge-sim".to_owned()),
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoExec,
    ];
    fuser::spawn_mount(stand_in, mountpoint, &config).map_err(|error| {
        format!(
            "cannot mount on {}: {error} (this needs root and /dev/fuse)",
            mountpoint.display()
        )
    })
}

/// `ID=MOUNTPOINT` of a machine that lies.
fn liar(text: &str) -> Result<(String, PathBuf), String> {
    let (id, mountpoint) = text.split_once('=').ok_or("write it as ID=MOUNTPOINT")?;
    Ok((id.to_owned(), PathBuf::from(mountpoint)))
}

/// The maker, with new keys, and its machine. Refuses lies that are not its own.
fn vendor(options: &Serve) -> Result<Vendor, String> {
    let vendor = if options.platform == "tdx" {
        Vendor::tdx(options.measurement, options.host_data, options.td.is_some())
    } else {
        Vendor::Snp(Arc::new(ToyAmd::new()), Box::new(spec(options)))
    };
    let liars = options.liar.iter().map(|(lie, _)| lie);
    for lie in options.lie.iter().chain(liars) {
        vendor.knows(lie)?;
    }
    Ok(vendor)
}

fn spec(options: &Serve) -> ReportSpec {
    let mut spec = ReportSpec::new(options.product);
    spec.signer = options.signer;
    spec.measurement = options.measurement.unwrap_or(spec.measurement);
    spec.host_data = options.host_data.unwrap_or(spec.host_data);
    spec.policy = options.guest_policy.map_or(spec.policy, u64::from_be_bytes);
    if let Some(chip) = options.chip {
        // Only the bytes that count in the product's form.
        spec.chip_id = [0; 64];
        let bytes = options.product.chip_bytes();
        spec.chip_id[..bytes].copy_from_slice(&chip[..bytes]);
    }
    spec
}

fn write_files(options: &Serve, vendor: &Vendor) -> Result<(), String> {
    let folder = options.dir.join("endorsements");
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
    for (name, bytes) in vendor.endorsements(options.lie.as_deref(), now()) {
        put(options, &format!("endorsements/{name}"), &bytes)?;
    }
    let trust = vendor.trust_file(options.product);
    put(options, "trust.json", trust.as_bytes())
}

fn put(options: &Serve, name: &str, bytes: &[u8]) -> Result<(), String> {
    let path = options.dir.join(name);
    fs::write(&path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The present; a clock before 1970 gives certificates that count nowhere, as it should.
fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let seconds = since.and_then(|since| i64::try_from(since.as_secs()).ok());
    UnixTime(seconds.unwrap_or(0))
}

/// One request, one answer, no more.
fn answer(vendor: &Vendor, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_TIME_MAX))?;
    stream.set_write_timeout(Some(CLIENT_TIME_MAX))?;
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece)?;
        request.extend_from_slice(&piece[..count]);
        if count == 0 || request.len() > REQUEST_BYTES_MAX {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&request);
    let mut words = text.split_ascii_whitespace();
    let (status, lines, body) = match (words.next(), words.next()) {
        (Some("GET"), Some(path)) => vendor.answer(path, now()),
        _ => {
            let refusal = b"this toy answers GET alone\n".to_vec();
            (405, "Content-Type: text/plain\r\n".to_owned(), refusal)
        }
    };
    let head = format!(
        "HTTP/1.1 {status} Toy\r\n{lines}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}
