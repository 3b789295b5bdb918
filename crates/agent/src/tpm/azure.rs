//! A machine behind Azure's paravisor: the HCL report out of its virtual TPM, and a quote by the
//! key that the report commits to.
//!
//! *Flow*: report data into NV index 0x01400002 → the paravisor makes a new report over it →
//! 0x01400001 → quote by the key at 0x81000003 → of a trust domain, its quote from Azure's metadata
//! service; of an SEV-SNP machine, the chip's certificate where that service has it.
//!
//! Reads what the paravisor left there and believes nothing of it. The metadata service is asked at
//! its one link-local address, with a limit of time, and never at an address that evidence names.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::name::Name;

use super::channel::{Authority, Command, trouble};
use super::{Loaded, Logs, RH_OWNER, SHA256, Tpm, Wanted, base64};
use crate::error::Error;
use crate::http::Client;

/// Where the paravisor keeps its report.
const HCL_REPORT: u32 = 0x0140_0001;
/// Where the guest writes what the next report shall carry.
const USER_DATA: u32 = 0x0140_0002;
/// The paravisor's AK.
const AK: u32 = 0x8100_0003;
/// All PCRs are quoted: whoever verifies demands it.
const PCRS: std::ops::Range<u32> = 0..24;
/// TPMA_NV_OWNERWRITE, TPMA_NV_OWNERREAD.
const OWNER_ONLY: u32 = 0x0002_0002;
/// How long the paravisor may take for a new report; it takes some seconds.
const FRESH_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether the report is new.
const FRESH_EVERY: Duration = Duration::from_millis(500);
/// Azure's metadata service.
const METADATA: &str = "http://169.254.169.254";
/// How long the metadata service may take; quoting takes some seconds.
const METADATA_MAX: Duration = Duration::from_secs(20);
/// The GUID of a VCEK in a certificate table.
const VCEK: [u8; 16] = *b"\x63\xda\x75\x8d\xe6\x64\x45\x64\xad\xc5\xf4\xb9\x3b\xe8\xac\xcd";

/// The paravisor of this machine.
pub(crate) struct Paravisor {
    tpm: Tpm,
    ak: Loaded,
    logs: Logs,
    metadata: Client,
}

impl Paravisor {
    /// Opens the virtual TPM and reads the paravisor's key.
    ///
    /// # Errors
    /// `agent.tpm`, also where there is no such key.
    pub(crate) fn open(wanted: &Wanted) -> Result<Self, Error> {
        let socket = wanted.tpm_socket.as_deref();
        let mut tpm = Tpm::open(socket)?;
        report(&mut tpm)?;
        let read = Command::new("TPM2_ReadPublic", 0x173).handle(AK);
        let public = tpm.channel.run(&read, 0)?.sized()?;
        let url = wanted.metadata_service.as_deref().unwrap_or(METADATA);
        Ok(Self {
            tpm,
            ak: Loaded { handle: AK, public },
            logs: Logs::of(socket, wanted.tpm_event_log.as_deref()),
            metadata: Client::of_metadata(url, METADATA_MAX)?,
        })
    }

    /// The TPM name of its key, which the binding must list.
    pub(crate) fn ak_name(&self) -> Vec<u8> {
        let mut name = SHA256.to_vec();
        name.extend(Sha256::digest(&self.ak.public));
        name
    }

    /// The value of one register, as the virtual TPM says it now.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn register(&mut self, index: u32) -> Result<Vec<u8>, Error> {
        self.tpm.register(index)
    }

    /// Adds report, quote, logs and what Azure's metadata service has. With `report_data` the
    /// paravisor makes a new report over it; without, the one of the boot is taken.
    ///
    /// # Errors
    /// `agent.tpm`, also where this machine has no paravisor's report or it stays old;
    /// `agent.http` where a trust domain's quote is not to be had; `bundle.member`.
    pub(crate) fn speak(
        &mut self,
        report_data: Option<&[u8; 64]>,
        qualifying: &[u8],
        bundle: &mut Bundle,
    ) -> Result<(), Error> {
        let hcl = match report_data {
            Some(data) => self.fresh_report(data)?,
            None => report(&mut self.tpm)?,
        };
        let quote = self.quote(qualifying)?;
        let mut put = |label: &str, media, bytes| {
            bundle
                .put(Name::parse(label)?, media, bytes)
                .map_err(Error::from)
        };
        match hcl.get(1224..1228) {
            Some([4, 0, 0, 0]) => put("tdx", Media::TdxQuote, self.td_quote(&hcl)?)?,
            _ => {
                // Whoever verifies can get it from AMD as well.
                if let Some(table) = self.certificate_table() {
                    put("snp.certificates", Media::SnpCertificates, table)?;
                }
            }
        }
        put("hcl", Media::AzureHcl, hcl)?;
        put("tpm", Media::TpmQuote, quote)?;
        let [event_log, ima] = self.logs.read()?;
        for (label, media, log) in [
            ("tpm.event-log", Media::TcgEventLog, event_log),
            ("tpm.ima", Media::ImaList, ima),
        ] {
            if let Some(log) = log {
                put(label, media, log)?;
            }
        }
        Ok(())
    }

    /// Lets the paravisor make a report that carries these bytes.
    fn fresh_report(&mut self, data: &[u8; 64]) -> Result<Vec<u8>, Error> {
        self.tpm.write_owned(USER_DATA, data)?;
        let start = Instant::now();
        loop {
            let hcl = report(&mut self.tpm)?;
            if user_data(&hcl).as_deref() == Some(data) {
                return Ok(hcl);
            }
            if start.elapsed() >= FRESH_MAX {
                return Err(trouble(format!(
                    "the paravisor's report does not hold what was written to NV index \
                     {USER_DATA:#010x}: its version may be too old"
                )));
            }
            std::thread::sleep(FRESH_EVERY);
        }
    }

    fn quote(&mut self, qualifying: &[u8]) -> Result<Vec<u8>, Error> {
        let pcrs: Vec<u32> = PCRS.collect();
        let (attest, signature) = self.tpm.quote_with(&self.ak, qualifying, &pcrs)?;
        let values: Map<String, Value> = self
            .tpm
            .pcrs(&pcrs)?
            .into_iter()
            .map(|(index, value)| (index.to_string(), json!(hex::encode(value))))
            .collect();
        let quote = json!({
            "schema": "zeuge.tpm-quote.v1",
            "attest": base64(&attest),
            "signature": base64(&signature),
            "ak_public": base64(&self.ak.public),
            "pcrs": { "sha256": values },
        });
        Ok(quote.to_string().into_bytes())
    }

    /// The quote for the TDREPORT in the report.
    fn td_quote(&self, hcl: &[u8]) -> Result<Vec<u8>, Error> {
        let refuse =
            |because: &str| Error::new("agent.http", crate::error::Fault::Unavailable, because);
        let report = hcl.get(32..1056).unwrap_or_default();
        let body = json!({ "report": URL_SAFE_NO_PAD.encode(report) }).to_string();
        let answer = self.metadata.post("/acc/tdquote", body.as_bytes())?;
        if answer.status != 200 {
            return Err(refuse("Azure's metadata service gives no TD quote"));
        }
        let quote = serde_json::from_slice::<Value>(&answer.body).ok();
        let quote = quote
            .as_ref()
            .and_then(|answer| answer.get("quote")?.as_str());
        let quote = quote.map(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')));
        match quote {
            Some(Ok(quote)) => Ok(quote),
            _ => Err(refuse(
                "the TD quote of Azure's metadata service is unreadable",
            )),
        }
    }

    /// A certificate table with the chip's VCEK, where the metadata service has it.
    fn certificate_table(&self) -> Option<Vec<u8>> {
        let answer = self.metadata.get("/metadata/THIM/amd/certification").ok()?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        let pem = answer.get("vcekCert")?.as_str()?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let mut table = VCEK.to_vec();
        // The data begins behind this entry and the one that ends the table.
        table.extend(48_u32.to_le_bytes());
        table.extend(u32::try_from(der.len()).ok()?.to_le_bytes());
        table.resize(48, 0);
        table.extend(der.as_ref());
        Some(table)
    }
}

/// The report as it lies there. An ordinary TPM has none, and is left alone.
fn report(tpm: &mut Tpm) -> Result<Vec<u8>, Error> {
    tpm.nv(HCL_REPORT).map_err(|error| {
        trouble(format!(
            "NV index {HCL_REPORT:#010x} holds no HCL report: is this a confidential machine of \
             Azure's? ({})",
            error.because
        ))
    })
}

/// What a report says that the guest wrote: 64 bytes.
fn user_data(hcl: &[u8]) -> Option<Vec<u8>> {
    let length = u32::from_le_bytes(*hcl.get(1232..)?.first_chunk()?);
    let end = usize::try_from(length).ok()?.checked_add(1236)?;
    let claims: Value = serde_json::from_slice(hcl.get(1236..end)?).ok()?;
    hex::decode(claims.get("user-data")?.as_str()?).ok()
}

impl Tpm {
    /// Writes an NV index that is the owner's, and makes it with this size where it is not there.
    fn write_owned(&mut self, index: u32, data: &[u8]) -> Result<(), Error> {
        let public = Command::new("TPM2_NV_ReadPublic", 0x169).handle(index);
        let size = u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes();
        let found = self.channel.run(&public, 0).and_then(|mut it| it.sized());
        if !found.as_ref().is_ok_and(|public| public.ends_with(&size)) {
            if found.is_ok() {
                self.undefine(index)?;
            }
            self.define(index, OWNER_ONLY, size)?;
        }
        self.write(RH_OWNER, index, data)
    }

    pub(super) fn define(
        &mut self,
        index: u32,
        attributes: u32,
        size: [u8; 2],
    ) -> Result<(), Error> {
        let mut public = index.to_be_bytes().to_vec();
        public.extend(SHA256);
        public.extend(attributes.to_be_bytes());
        public.extend([0, 0]);
        public.extend(size);
        let command = Command::new("TPM2_NV_DefineSpace", 0x12a)
            .authorised(RH_OWNER, Authority::Password)
            .sized(&[])
            .sized(&public);
        self.channel.run(&command, 0).map(|_| ())
    }

    pub(super) fn undefine(&mut self, index: u32) -> Result<(), Error> {
        let command = Command::new("TPM2_NV_UndefineSpace", 0x122)
            .authorised(RH_OWNER, Authority::Password)
            .handle(index);
        self.channel.run(&command, 0).map(|_| ())
    }

    pub(super) fn write(&mut self, by: u32, index: u32, data: &[u8]) -> Result<(), Error> {
        let mut offset = 0_u16;
        for part in data.chunks(usize::from(super::NV_CHUNK)) {
            let command = Command::new("TPM2_NV_Write", 0x137)
                .authorised(by, Authority::Password)
                .handle(index)
                .sized(part)
                .with(&offset.to_be_bytes());
            self.channel.run(&command, 0)?;
            offset = offset.saturating_add(super::NV_CHUNK);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guest_wrote_is_found_in_either_case_and_nowhere_else() {
        let claims = format!("{{\"user-data\":\"{}\"}}", "0A".repeat(64));
        let mut hcl = vec![0; 1232];
        hcl.extend(u32::try_from(claims.len()).unwrap().to_le_bytes());
        hcl.extend(claims.as_bytes());
        assert_eq!(user_data(&hcl), Some(vec![10; 64]));
        hcl.pop();
        assert_eq!(user_data(&hcl), None);
        assert_eq!(user_data(&[]), None);
    }
}
