//! The TPM as a speaker for this machine: its quote and the logs that explain it, as members of a
//! bundle.
//!
//! The quote comes first, the logs are read after it: reading files is itself measured. Never sends a
//! log that another TPM knows of: beside a software TPM the kernel's logs are left out.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::name::Name;

use super::{Tpm, trouble};
use crate::error::Error;

/// Where the kernel shows the boot log.
const EVENT_LOG: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";
/// Where the kernel shows the IMA list.
const IMA_LIST: &str = "/sys/kernel/security/ima/binary_runtime_measurements";

/// Whether and how the TPM speaks in a conversation.
#[derive(Args)]
pub(crate) struct Wanted {
    /// Let the TPM speak too: its quote goes beside the CPU's evidence, or alone where no CPU
    /// speaks. The kernel's command line (zeuge.config=sha256:HEX) or PCR 8 then pins the
    /// configuration.
    #[arg(long)]
    tpm: bool,
    /// The socket of a software TPM (swtpm) in place of /dev/tpmrm0; means --tpm.
    #[arg(long, value_name = "SOCKET")]
    pub(super) tpm_socket: Option<PathBuf>,
    /// PCRs of the SHA-256 bank to quote.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", value_parser = clap::value_parser!(u32).range(0..=23))]
    tpm_pcrs: Vec<u32>,
    /// The boot log of a software TPM; the kernel's logs speak of another one.
    #[arg(long, value_name = "FILE", requires = "tpm_socket")]
    pub(super) tpm_event_log: Option<PathBuf>,
    /// What speaks for this machine in the CPU's place, where it is not to be found out: the
    /// paravisor of azure, or the nitro hypervisor of AWS (an enclave's, or a NitroTPM).
    #[arg(long, value_enum, value_name = "WHAT")]
    behind: Option<Behind>,
    /// A stand-in for Azure's metadata service, beside a software TPM.
    #[arg(long, value_name = "URL", requires = "tpm_socket", hide = true)]
    pub(super) metadata_service: Option<String>,
}

/// What a provider puts before the CPU and that speaks for the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Behind {
    /// Azure's paravisor.
    Azure,
    /// AWS's Nitro hypervisor.
    Nitro,
}

impl Wanted {
    /// Whether the TPM is to speak.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.behind.is_none() && (self.tpm || self.tpm_socket.is_some())
    }

    /// The socket of a software TPM, where one stands in.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.tpm_socket.as_deref()
    }

    /// What speaks in the CPU's place, by the caller's word.
    pub(crate) const fn behind(&self) -> Option<Behind> {
        self.behind
    }

    /// A software TPM in the place of the machine's own.
    pub(crate) const fn of(
        tpm_socket: Option<PathBuf>,
        tpm_event_log: Option<PathBuf>,
        metadata_service: Option<String>,
    ) -> Self {
        Self {
            tpm: true,
            tpm_socket,
            tpm_pcrs: Vec::new(),
            tpm_event_log,
            behind: None,
            metadata_service,
        }
    }
}

/// Where the logs are that explain a TPM's registers.
pub(crate) struct Logs([Option<PathBuf>; 2]);

impl Logs {
    /// The kernel's, or the boot log that somebody kept beside a software TPM.
    pub(crate) fn of(socket: Option<&Path>, event_log: Option<&Path>) -> Self {
        match socket {
            Some(_) => Self([event_log.map(Path::to_owned), None]),
            None => Self([EVENT_LOG, IMA_LIST].map(|path| Some(PathBuf::from(path)))),
        }
    }

    /// Boot log and IMA list; `None` where there is none.
    ///
    /// # Errors
    /// `agent.tpm` for one that cannot be read, or is longer than a bundle takes.
    pub(crate) fn read(&self) -> Result<[Option<Vec<u8>>; 2], Error> {
        let [event_log, ima] = &self.0;
        Ok([
            read(event_log.as_deref(), Media::TcgEventLog)?,
            read(ima.as_deref(), Media::ImaList)?,
        ])
    }
}

fn read(path: Option<&Path>, media: Media) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = path else { return Ok(None) };
    let failed = |error: std::io::Error| trouble(format!("{}: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let limit = media.bytes_max();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        let because = format!("{}: it is longer than {limit} bytes", path.display());
        return Err(trouble(because));
    }
    Ok((!bytes.is_empty()).then_some(bytes))
}

/// An open TPM that is to speak in a conversation.
pub(crate) struct Speaker {
    tpm: Tpm,
    ak_name: Vec<u8>,
    pcrs: Vec<u32>,
    logs: Logs,
}

impl Speaker {
    /// Opens the TPM and lets it make its AK.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn open(wanted: &Wanted) -> Result<Self, Error> {
        let socket = wanted.tpm_socket.as_deref();
        let mut tpm = Tpm::open(socket)?;
        Ok(Self {
            ak_name: tpm.ak_name()?,
            tpm,
            pcrs: wanted.tpm_pcrs.clone(),
            logs: Logs::of(socket, wanted.tpm_event_log.as_deref()),
        })
    }

    /// The TPM name of its AK, which the binding must list.
    pub(crate) fn ak_name(&self) -> &[u8] {
        &self.ak_name
    }

    /// The value of one register, as the TPM says it now.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn register(&mut self, index: u32) -> Result<Vec<u8>, Error> {
        self.tpm.register(index)
    }

    /// Adds the quote and the logs to a bundle.
    ///
    /// # Errors
    /// `agent.tpm`; `bundle.member` for a part that a bundle does not take.
    pub(crate) fn speak(
        &mut self,
        qualifying: &[u8; 32],
        bundle: &mut Bundle,
    ) -> Result<(), Error> {
        let quote = self.tpm.quote(qualifying, &self.pcrs)?;
        let put = |bundle: &mut Bundle, label: &str, media, bytes| {
            bundle
                .put(Name::parse(label)?, media, bytes)
                .map_err(Error::from)
        };
        put(bundle, "tpm", Media::TpmQuote, quote.json().into_bytes())?;
        let [event_log, ima] = self.logs.read()?;
        for (label, media, log) in [
            ("tpm.event-log", Media::TcgEventLog, event_log),
            ("tpm.ima", Media::ImaList, ima),
        ] {
            if let Some(log) = log {
                put(bundle, label, media, log)?;
            }
        }
        Ok(())
    }

    /// Extends the register that says that the boot is over.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        self.tpm.close()
    }
}
