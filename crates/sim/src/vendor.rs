//! The maker that `serve` plays, and its one machine: AMD with SEV-SNP, or Intel with TDX.
//!
//! Never shares a key between the two; knows neither sockets nor mount points.

use std::sync::{Arc, Mutex, PoisonError};

use zeuge_evidence::UnixTime;
use zeuge_sim::{
    IntelLie, Lie, Product, QuoteForm, QuoteSpec, REPORT_BYTES, ReportSpec, ToyAmd, ToyIntel,
};

use crate::configfs::{Maker, Provider};
use crate::td_files::Registers;

/// A maker with the machine that it made.
#[derive(Clone)]
pub(crate) enum Vendor {
    /// AMD SEV-SNP.
    Snp(Arc<ToyAmd>, Box<ReportSpec>),
    /// Intel TDX.
    Tdx(Arc<ToyIntel>, Box<QuoteSpec>),
}

/// Status, header lines and body of an answer over HTTP.
pub(crate) type Answer = (u16, String, Vec<u8>);

impl Vendor {
    /// A trust domain with this MRTD, and this digest and zeros as MRCONFIGID.
    pub(crate) fn tdx(
        measurement: Option<[u8; 48]>,
        host_data: Option<[u8; 32]>,
        boot_log: bool,
    ) -> Self {
        let mut spec = QuoteSpec::new(QuoteForm::Tdx4);
        if boot_log {
            spec = spec.with_boot_log();
        }
        spec.mr_td = measurement.unwrap_or(spec.mr_td);
        spec.mr_config_id[..32].copy_from_slice(&host_data.unwrap_or_default());
        Self::Tdx(Arc::new(ToyIntel::new()), Box::new(spec))
    }

    pub(crate) const fn provider(&self) -> Provider {
        match self {
            Self::Snp(..) => Provider::SevGuest,
            Self::Tdx(..) => Provider::TdxGuest,
        }
    }

    /// Whether a lie of this name can be told by this maker's machines.
    pub(crate) fn knows(&self, lie: &str) -> Result<(), String> {
        let known = match self {
            Self::Snp(..) => Lie::about(lie).is_some(),
            Self::Tdx(..) => IntelLie::about(lie).is_some(),
        };
        known
            .then_some(())
            .ok_or_else(|| format!("no lie is for {lie}; see `zeuge-sim lies`"))
    }

    /// The registers that the machine's boot ends with; zeros where it has none.
    pub(crate) fn registers(&self) -> Registers {
        match self {
            Self::Snp(..) => Arc::new(Mutex::new([[0; 48]; 4])),
            Self::Tdx(_, spec) => Arc::new(Mutex::new(spec.rtmr)),
        }
    }

    /// The log of the machine's boot, where it has one.
    pub(crate) fn boot_log(&self, now: UnixTime) -> Option<Vec<u8>> {
        match self {
            Self::Snp(..) => None,
            Self::Tdx(intel, spec) => intel.tell(None, spec, now).boot_log,
        }
    }

    /// Makes evidence for report data and a VMPL, of a machine with these registers; `without` an
    /// SNP certificate table.
    pub(crate) fn maker(
        &self,
        lie: Option<&str>,
        without: bool,
        now: fn() -> UnixTime,
        registers: Registers,
    ) -> Maker {
        match self.clone() {
            Self::Snp(amd, spec) => {
                let lie = lie.and_then(Lie::about);
                Box::new(move |report_data, vmpl| {
                    let mut spec = spec.as_ref().clone();
                    spec.report_data = report_data;
                    spec.vmpl = vmpl;
                    let told = amd.tell(lie, &spec, now());
                    let table = if without {
                        Vec::new()
                    } else {
                        told.table_file()
                            .split_off(told.report.len().min(REPORT_BYTES))
                    };
                    (told.report, table)
                })
            }
            Self::Tdx(intel, spec) => {
                let lie = lie.and_then(IntelLie::about);
                Box::new(move |report_data, _| {
                    let mut spec = spec.as_ref().clone();
                    spec.report_data = report_data;
                    spec.rtmr = *registers.lock().unwrap_or_else(PoisonError::into_inner);
                    (intel.tell(lie, &spec, now()).quote, Vec::new())
                })
            }
        }
    }

    /// What endorses the machine, by file name.
    pub(crate) fn endorsements(&self, lie: Option<&str>, now: UnixTime) -> Vec<(String, Vec<u8>)> {
        match self {
            Self::Snp(amd, spec) => amd.tell(lie.and_then(Lie::about), spec, now).endorsements,
            Self::Tdx(intel, spec) => {
                let lie = lie.and_then(IntelLie::about);
                let told = intel.tell(lie, spec, now);
                let leaf = intel.pck_certificate(spec, now);
                let mut files = told.endorsements;
                files.push(("pck.der".to_owned(), leaf));
                files
            }
        }
    }

    /// The trust file.
    pub(crate) fn trust_file(&self, product: Product) -> String {
        match self {
            Self::Snp(amd, _) => amd.trust_file(&[product]),
            Self::Tdx(intel, _) => intel.trust_file(),
        }
    }

    /// What the maker's service answers at this address.
    pub(crate) fn answer(&self, path: &str, now: UnixTime) -> Answer {
        match self {
            Self::Snp(amd, _) => {
                let answer = amd.kds(path, now);
                let head = format!("Content-Type: {}\r\n", answer.content_type);
                (answer.status, head, answer.body)
            }
            Self::Tdx(intel, _) => {
                let answer = intel.pcs(path, now);
                let lines = answer.headers.iter();
                let head = lines.map(|(name, value)| format!("{name}: {value}\r\n"));
                (answer.status, head.collect(), answer.body)
            }
        }
    }
}
