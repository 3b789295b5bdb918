//! TCB Info (version 3): reading, choosing, matching levels, and Intel's way to one status.
//!
//! Follows Intel's quote verification library. Where public readers differ, its way is taken and
//! the place says so. A status is a fact; whether it is acceptable is appraisal's.

use std::fmt;

use zeuge_evidence::{UnixTime, dcap::Tee, tdx::TdReport};

use super::{
    Broken, Context, Difference,
    document::{self, Envelope, Issue, Kind},
    identity::masked,
    json::{Rest, View},
    pck::{PckExtension, PckTcb},
};
use crate::{Error, Trail, Unavailable};

const KIND: Kind = Kind::TcbInfo;
/// Real documents have at most 20 levels.
const LEVELS_MAX: usize = 1024;

/// How a platform stands, in Intel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcbStatus {
    /// Everything that Intel knows of is fixed.
    UpToDate,
    /// The enclave's own software must mitigate something.
    SwHardeningNeeded,
    /// The platform's configuration must change.
    ConfigurationNeeded,
    /// Both of the above.
    ConfigurationAndSwHardeningNeeded,
    /// Known weaknesses are not fixed.
    OutOfDate,
    /// Known weaknesses are not fixed, and the configuration must change.
    OutOfDateConfigurationNeeded,
    /// The platform is current, but this TD was launched before that.
    TdRelaunchAdvised,
    /// As before, and the configuration must change.
    TdRelaunchAdvisedConfigurationNeeded,
    /// Intel has revoked this level.
    Revoked,
    /// Genuine, but below every level that the document knows.
    TcbNotSupported,
}

impl TcbStatus {
    /// Intel's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::TdRelaunchAdvised => "TDRelaunchAdvised",
            Self::TdRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
            Self::Revoked => "Revoked",
            Self::TcbNotSupported => "TcbNotSupported",
        }
    }

    /// The statuses that a level of a document may carry.
    fn of_level(text: &str) -> Option<Self> {
        [
            Self::UpToDate,
            Self::SwHardeningNeeded,
            Self::ConfigurationNeeded,
            Self::ConfigurationAndSwHardeningNeeded,
            Self::OutOfDate,
            Self::OutOfDateConfigurationNeeded,
            Self::Revoked,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
    }

    const fn needs_configuration(self) -> bool {
        matches!(
            self,
            Self::ConfigurationNeeded
                | Self::ConfigurationAndSwHardeningNeeded
                | Self::OutOfDateConfigurationNeeded
        )
    }

    /// This platform status with the status of a part (TDX module or quoting enclave) taken in.
    #[must_use]
    pub const fn converge(self, part: Self) -> Self {
        match (self, part) {
            (Self::Revoked, _) | (_, Self::Revoked) => Self::Revoked,
            (_, Self::TcbNotSupported) => Self::TcbNotSupported,
            (Self::UpToDate | Self::SwHardeningNeeded, Self::OutOfDate) => Self::OutOfDate,
            (
                Self::ConfigurationNeeded | Self::ConfigurationAndSwHardeningNeeded,
                Self::OutOfDate,
            ) => Self::OutOfDateConfigurationNeeded,
            _ => self,
        }
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A level of a TDX module or of a quoting enclave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SvnLevel {
    pub(crate) isv_svn: u16,
    pub(crate) date: UnixTime,
    pub(crate) status: TcbStatus,
    pub(crate) advisories: Vec<String>,
}

/// A level of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Level {
    sgx: [u8; 16],
    pce_svn: u16,
    /// Zeros for SGX.
    tdx: [u8; 16],
    date: UnixTime,
    status: TcbStatus,
    advisories: Vec<String>,
}

/// What a TDX module must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Module {
    mr_signer: [u8; 48],
    attributes: [u8; 8],
    attributes_mask: [u8; 8],
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ModuleIdentity {
    id: String,
    module: Module,
    levels: Vec<SvnLevel>,
}

/// A TCB Info whose signature held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TcbInfo {
    pub(crate) issue: Issue,
    tee: Tee,
    fmspc: [u8; 6],
    pce_id: [u8; 2],
    module: Option<Module>,
    module_identities: Vec<ModuleIdentity>,
    levels: Vec<Level>,
}

/// How one platform stands under a TCB Info and a quoting enclave's level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The status of the whole.
    pub status: TcbStatus,
    /// The status of the matched level of the platform alone (for TDX the TDX level).
    pub platform: TcbStatus,
    /// The status of the TDX module that launched the TD; `None` for SGX.
    pub module: Option<TcbStatus>,
    /// The status of the quoting enclave.
    pub qe: TcbStatus,
    /// The oldest date of the levels that matched; `None` where none did.
    pub tcb_date: Option<UnixTime>,
    /// Advisories of the matched levels, sorted, each once.
    pub advisories: Vec<String>,
}

/// Which platforms a TCB Info is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) tee: Tee,
    pub(crate) fmspc: [u8; 6],
    /// `None` where any will do: Intel keeps one document per FMSPC.
    pub(crate) pce_id: Option<[u8; 2]>,
}

impl Subject {
    pub(crate) const fn of(tee: Tee, pck: &PckExtension) -> Self {
        Self {
            tee,
            fmspc: pck.fmspc,
            pce_id: Some(pck.pce_id),
        }
    }
}

fn is_about(envelope: &Envelope<'_>, wanted: Subject) -> bool {
    let content = envelope.content.view();
    let fmspc = content.get("fmspc").and_then(View::text);
    content.get("id").and_then(View::text) == Some(wanted.tee.id())
        && fmspc.is_some_and(|text| text.eq_ignore_ascii_case(&hex::encode(wanted.fmspc)))
}

fn absent(check: &'static str, wanted: Subject, at: UnixTime) -> Error {
    let pce_id = wanted
        .pce_id
        .map(|id| format!(" and PCEID {}", hex::encode(id)));
    Error::Unavailable(Unavailable {
        check,
        what: format!(
            "a TCB Info of {} for FMSPC {}{} in force at {at}",
            wanted.tee.id(),
            hex::encode(wanted.fmspc),
            pce_id.unwrap_or_default()
        ),
        remedy: "Intel's provisioning certification service has it",
    })
}

/// Finds the TCB Info among these that counts: highest evaluation number, then latest issue.
pub(crate) fn find(
    trail: &mut Trail,
    context: &Context<'_>,
    signers: &[Vec<u8>],
    mut envelopes: Vec<Envelope<'_>>,
    wanted: Subject,
    notes: &mut Vec<String>,
) -> Result<TcbInfo, Error> {
    // Version 2 documents (SGX only) are served and signed beside version 3 for the same state.
    envelopes
        .retain(|envelope| document::unsigned(envelope.content.view(), "version", 2).is_none());
    let (fitting, others): (Vec<_>, Vec<_>) = envelopes
        .iter()
        .partition(|envelope| is_about(envelope, wanted));
    let mut best: Option<(TcbInfo, Trail)> = None;
    let mut failures = Vec::new();
    let fits = fitting.len();
    for (index, envelope) in fitting.into_iter().chain(others).enumerate() {
        if index == fits && best.is_some() {
            break;
        }
        let mut own = Trail::new();
        match read(&mut own, context, signers, envelope, wanted) {
            Ok(info) => {
                let rank = |info: &TcbInfo| (info.issue.evaluation_number, info.issue.issue_date);
                if best
                    .as_ref()
                    .is_none_or(|(held, _)| rank(&info) > rank(held))
                {
                    best = Some((info, own));
                }
            }
            Err(error) => failures.push((index < fits, envelope.source, error)),
        }
    }
    if let Some((info, own)) = best {
        for (_, source, error) in failures {
            notes.push(format!("{source}: {error}"));
        }
        trail.extend(own);
        return Ok(info);
    }
    // The nearest miss decides: out of its window, then broken, then about something else.
    let position = |check: &str| {
        failures
            .iter()
            .position(|(_, _, error)| error.check() == check)
    };
    let decisive = position(KIND.window_check())
        .or_else(|| failures.iter().position(|(fits, _, _)| *fits))
        .or_else(|| position("dcap.tcb-info.tee"))
        .or_else(|| position("dcap.tcb-info.pce-id"))
        .or_else(|| position("dcap.tcb-info.fmspc"));
    if let Some(index) = decisive {
        return Err(failures.swap_remove(index).2);
    }
    // spec: dcap.tcb-info.at-hand
    trail.check("dcap.tcb-info.available", || {
        Err(absent("dcap.tcb-info.available", wanted, context.at))
    })?;
    // Without the check above: nobody is known to have signed anything about this platform.
    Err(Broken::TcbInfoSignatureBad(Difference::new("nothing", "a TCB Info")).into())
}

fn read(
    trail: &mut Trail,
    context: &Context<'_>,
    signers: &[Vec<u8>],
    envelope: &Envelope<'_>,
    wanted: Subject,
) -> Result<TcbInfo, Error> {
    envelope.check(trail, context, signers)?;
    let mut parsed = None;
    // spec: dcap.tcb-info.format
    trail.check("dcap.tcb-info.format", || {
        parsed = Some(parse(envelope)?);
        Ok(())
    })?;
    let Some(info) = parsed else {
        return Err(absent("dcap.tcb-info.available", wanted, context.at));
    };
    let about = |check: &'static str, holds: bool| {
        if holds {
            Ok(())
        } else {
            Err(absent(check, wanted, context.at))
        }
    };
    // spec: dcap.tcb-info.fmspc
    trail.check("dcap.tcb-info.fmspc", || {
        about("dcap.tcb-info.fmspc", info.fmspc == wanted.fmspc)
    })?;
    // spec: dcap.tcb-info.pce-id
    trail.check("dcap.tcb-info.pce-id", || {
        let holds = wanted.pce_id.is_none_or(|id| info.pce_id == id);
        about("dcap.tcb-info.pce-id", holds)
    })?;
    // spec: dcap.tcb-info.tee
    trail.check("dcap.tcb-info.tee", || {
        about("dcap.tcb-info.tee", info.tee == wanted.tee)
    })?;
    document::window(trail, KIND, &info.issue, context.at)?;
    // spec: dcap.tcb-info.order
    trail.check("dcap.tcb-info.order", || info.levels_fall())?;
    // spec: dcap.tcb-info.module-order
    trail.check("dcap.tcb-info.module-order", || {
        for identity in &info.module_identities {
            falling(&identity.levels).map_err(Broken::TcbInfoModuleOrder)?;
        }
        Ok(())
    })?;
    Ok(info)
}

fn parse(envelope: &Envelope<'_>) -> Result<TcbInfo, Broken> {
    let content = envelope.content.view();
    if document::unsigned(content, "version", u64::MAX) != Some(3) {
        return Err(KIND.format("version", "3"));
    }
    if document::unsigned(content, "tcbType", u64::MAX) != Some(0) {
        return Err(KIND.format("tcbType", "0"));
    }
    let tee = match content.get("id").and_then(View::text) {
        Some("SGX") => Tee::Sgx,
        Some("TDX") => Tee::Tdx,
        _ => return Err(KIND.format("id", "SGX or TDX")),
    };
    let module = match (tee, content.get("tdxModule")) {
        (Tee::Sgx, _) => None,
        (Tee::Tdx, Some(object)) => Some(module(object)?),
        (Tee::Tdx, None) => return Err(KIND.format("tdxModule", "present for TDX")),
    };
    let identities = content.get("tdxModuleIdentities").and_then(View::list);
    let mut module_identities = Vec::new();
    for object in identities.into_iter().flatten() {
        let id = object.get("id").and_then(View::text);
        module_identities.push(ModuleIdentity {
            id: id
                .ok_or_else(|| KIND.format("tdxModuleIdentities.id", "a text"))?
                .to_owned(),
            module: self::module(object)?,
            levels: svn_levels(KIND, object)?,
        });
    }
    let mut levels = Vec::new();
    for object in listed_levels(KIND, content)? {
        levels.push(level(object, tee)?);
    }
    Ok(TcbInfo {
        issue: envelope.issue()?,
        tee,
        fmspc: document::hex_bytes(KIND, content, "fmspc")?,
        pce_id: document::hex_bytes(KIND, content, "pceId")?,
        module,
        module_identities,
        levels,
    })
}

fn module(object: View<'_, '_>) -> Result<Module, Broken> {
    Ok(Module {
        mr_signer: document::hex_bytes(KIND, object, "mrsigner")?,
        attributes: document::hex_bytes(KIND, object, "attributes")?,
        attributes_mask: document::hex_bytes(KIND, object, "attributesMask")?,
    })
}

fn listed_levels<'j, 'a>(kind: Kind, object: View<'j, 'a>) -> Result<Rest<'j, 'a>, Broken> {
    object
        .get("tcbLevels")
        .and_then(View::list)
        .filter(|levels| (1..=LEVELS_MAX).contains(&levels.clone().count()))
        .ok_or_else(|| kind.format("tcbLevels", "a list of levels"))
}

fn status(kind: Kind, object: View<'_, '_>) -> Result<TcbStatus, Broken> {
    let text = object.get("tcbStatus").and_then(View::text);
    text.and_then(TcbStatus::of_level)
        .ok_or_else(|| kind.format(text.unwrap_or("no tcbStatus"), "a status of Intel's list"))
}

fn level(object: View<'_, '_>, tee: Tee) -> Result<Level, Broken> {
    let tcb = object
        .get("tcb")
        .ok_or_else(|| KIND.format("no tcb", "a tcb"))?;
    let pce_svn = document::unsigned(tcb, "pcesvn", u16::MAX.into());
    Ok(Level {
        sgx: components(tcb, "sgxtcbcomponents")?,
        pce_svn: pce_svn
            .and_then(|number| u16::try_from(number).ok())
            .ok_or_else(|| KIND.format("pcesvn", "a number of 16 bits"))?,
        tdx: match tee {
            Tee::Sgx => [0; 16],
            Tee::Tdx => components(tcb, "tdxtcbcomponents")?,
        },
        date: document::instant(KIND, object, "tcbDate")?,
        status: status(KIND, object)?,
        advisories: document::advisories(KIND, object)?,
    })
}

fn components(tcb: View<'_, '_>, name: &str) -> Result<[u8; 16], Broken> {
    let list = tcb.get(name).and_then(View::list);
    let mut svns = list.into_iter().flatten().map(|component| {
        let svn = document::unsigned(component, "svn", u8::MAX.into())?;
        u8::try_from(svn).ok()
    });
    let mut out = [0; 16];
    let filled = out.iter_mut().all(|svn| match svns.next().flatten() {
        Some(read) => {
            *svn = read;
            true
        }
        None => false,
    });
    (filled && svns.next().is_none())
        .then_some(out)
        .ok_or_else(|| KIND.format(name, "16 components with SVNs of 8 bits"))
}

/// Levels `{tcb: {isvsvn}, tcbDate, tcbStatus, advisoryIDs?}` of a module or an enclave.
pub(crate) fn svn_levels(kind: Kind, object: View<'_, '_>) -> Result<Vec<SvnLevel>, Broken> {
    let mut out = Vec::new();
    for level in listed_levels(kind, object)? {
        let svn = level
            .get("tcb")
            .and_then(|tcb| document::unsigned(tcb, "isvsvn", u16::MAX.into()))
            .and_then(|number| u16::try_from(number).ok());
        let status = status(kind, level)?;
        // Intel's convergence has no row for any other status of a part.
        if !matches!(
            status,
            TcbStatus::UpToDate | TcbStatus::OutOfDate | TcbStatus::Revoked
        ) {
            return Err(kind.format(status.as_str(), "UpToDate, OutOfDate or Revoked"));
        }
        out.push(SvnLevel {
            isv_svn: svn.ok_or_else(|| kind.format("isvsvn", "a number of 16 bits"))?,
            date: document::instant(kind, level, "tcbDate")?,
            status,
            advisories: document::advisories(kind, level)?,
        });
    }
    Ok(out)
}

/// Whether the levels fall; the first match counts, so the order is the meaning.
pub(crate) fn falling(levels: &[SvnLevel]) -> Result<(), Difference> {
    for (upper, lower) in levels.iter().zip(levels.iter().skip(1)) {
        if upper.isv_svn <= lower.isv_svn {
            let wanted = format!("below {}", upper.isv_svn);
            return Err(Difference::new(lower.isv_svn.to_string(), wanted));
        }
    }
    Ok(())
}

/// The first level whose SVN the part reaches.
pub(crate) fn svn_match(levels: &[SvnLevel], svn: u16) -> Option<&SvnLevel> {
    levels.iter().find(|level| svn >= level.isv_svn)
}

fn reaches(found: &[u8; 16], wanted: &[u8; 16], from: usize) -> bool {
    found
        .iter()
        .zip(wanted)
        .skip(from)
        .all(|(found, wanted)| found >= wanted)
}

impl Level {
    fn sgx_met(&self, pck: &PckTcb) -> bool {
        reaches(&pck.components, &self.sgx, 0) && pck.pce_svn >= self.pce_svn
    }

    fn key(&self) -> ([u8; 16], u16, [u8; 16]) {
        (self.sgx, self.pce_svn, self.tdx)
    }
}

/// The module's major version and SVN out of a TEE_TCB_SVN.
const fn module_version(svn: &[u8; 16]) -> (u8, u8) {
    let [module_svn, major, ..] = *svn;
    (major, module_svn)
}

impl TcbInfo {
    /// Intel's documents list levels from newest to oldest, and the first match counts.
    fn levels_fall(&self) -> Result<(), Error> {
        for (upper, lower) in self.levels.iter().zip(self.levels.iter().skip(1)) {
            if upper.key() <= lower.key() {
                let shown = |level: &Level| {
                    let (sgx, tdx) = (hex::encode(level.sgx), hex::encode(level.tdx));
                    format!("SGX {sgx} PCE {} TDX {tdx}", level.pce_svn)
                };
                let wanted = format!("below {}", shown(upper));
                let difference = Difference::new(shown(lower), wanted);
                return Err(Broken::TcbInfoOrder(difference).into());
            }
        }
        Ok(())
    }

    fn module_identity(&self, major: u8) -> Option<&ModuleIdentity> {
        let wanted = format!("TDX_{major:02x}");
        self.module_identities
            .iter()
            .find(|identity| identity.id.eq_ignore_ascii_case(&wanted))
    }

    fn unknown_module(&self, major: u8) -> Difference {
        let identities = self.module_identities.iter();
        let known: Vec<&str> = identities.map(|identity| identity.id.as_str()).collect();
        Difference::new(format!("TDX_{major:02X}"), known.join(", "))
    }

    /// Checks that the TDX module is one that this document describes.
    ///
    /// Intel compares a module of a major version above 0 with the identity of that version; one
    /// public reader always compares with `tdxModule`. Intel's way is taken.
    pub(crate) fn check_module(&self, trail: &mut Trail, report: &TdReport) -> Result<(), Error> {
        let (major, _) = module_version(&report.tee_tcb_svn);
        let module = match major {
            0 => self.module.as_ref(),
            major => self.module_identity(major).map(|identity| &identity.module),
        };
        // spec: dcap.tdx.module-identity
        trail.check("tdx.module.identity", || match module {
            Some(_) => Ok(()),
            None => Err(Broken::ModuleUnknown(self.unknown_module(major)).into()),
        })?;
        let Some(module) = module else {
            return Ok(());
        };
        // spec: dcap.tdx.module-signer
        trail.check("tdx.module.signer", || {
            if report.mr_signer_seam == module.mr_signer {
                return Ok(());
            }
            let difference = Difference::hex(&report.mr_signer_seam, &module.mr_signer);
            Err(Broken::ModuleSignerDiffers(difference).into())
        })?;
        // spec: dcap.tdx.module-attributes
        trail.check("tdx.module.attributes", || {
            let found = masked(report.seam_attributes, module.attributes_mask);
            if found == module.attributes {
                return Ok(());
            }
            Err(Broken::ModuleAttributesDiffer(Difference::hex(&found, &module.attributes)).into())
        })
    }

    /// How an enclave's platform stands.
    pub(crate) fn standing_sgx(&self, pck: &PckTcb, qe: Option<&SvnLevel>) -> Standing {
        let level = self.levels.iter().find(|level| level.sgx_met(pck));
        Standing::new(level, None, qe, level.map(|level| level.status))
    }

    /// How a trust domain's platform stands, and what is broken if the module that is loaded now
    /// had to be looked up and is unknown.
    ///
    /// TDX components 0 and 1 of a level speak of the module of major version 0 only: for other
    /// versions they are skipped, as Intel does (one public reader compares them, and finds no
    /// level for genuine machines).
    pub(crate) fn standing_tdx(
        &self,
        pck: &PckTcb,
        report: &TdReport,
        qe: Option<&SvnLevel>,
    ) -> (Standing, Option<Broken>) {
        let (major, svn) = module_version(&report.tee_tcb_svn);
        let from = if major > 0 { 2 } else { 0 };
        let sgx_level = self.levels.iter().find(|level| level.sgx_met(pck));
        let tdx_level = self
            .levels
            .iter()
            .find(|level| level.sgx_met(pck) && reaches(&report.tee_tcb_svn, &level.tdx, from));
        // That the identity is there, the check of the module has seen to.
        let module = (major > 0).then(|| {
            let identity = self.module_identity(major);
            identity.and_then(|identity| svn_match(&identity.levels, svn.into()))
        });
        let mut loaded_unknown = None;
        let module_status = part(module);
        let mut status = tdx_level.map(|level| level.status.converge(module_status));
        if let (Some(found), Some(sgx_level), Some(td15)) = (status, sgx_level, &report.td15) {
            let qe_current = qe.is_some_and(|level| level.status == TcbStatus::UpToDate);
            if qe_current && module_status == TcbStatus::OutOfDate {
                match self.relaunch(found, sgx_level.status, &td15.tee_tcb_svn2) {
                    Ok(advised) => status = Some(advised),
                    Err(broken) => loaded_unknown = Some(broken),
                }
            }
        }
        let standing = Standing::new(tdx_level, Some(module), qe, status);
        (standing, loaded_unknown)
    }

    /// Whether the TD should be launched again: the platform is current now, but its TDX module
    /// was not when the TD was launched.
    ///
    /// Only an outdated *module* leads here, as in Intel's library; another reader also advises
    /// it for outdated microcode, and fails where SVN2 matches no level. The stricter way stands.
    fn relaunch(
        &self,
        found: TcbStatus,
        sgx: TcbStatus,
        now: &[u8; 16],
    ) -> Result<TcbStatus, Broken> {
        let behind = matches!(
            found,
            TcbStatus::OutOfDate | TcbStatus::OutOfDateConfigurationNeeded
        );
        let current = matches!(
            sgx,
            TcbStatus::UpToDate
                | TcbStatus::SwHardeningNeeded
                | TcbStatus::ConfigurationNeeded
                | TcbStatus::ConfigurationAndSwHardeningNeeded
        );
        let Some(latest) = self.levels.first().filter(|_| behind && current) else {
            return Ok(found);
        };
        let [module_wanted, _, microcode_wanted, ..] = latest.tdx;
        let [_, _, microcode, ..] = *now;
        let (major, svn) = module_version(now);
        let module_current = if major == 0 {
            svn >= module_wanted
        } else {
            let identity = self
                .module_identity(major)
                .ok_or_else(|| Broken::LoadedModuleUnknown(self.unknown_module(major)))?;
            let newest = identity.levels.first();
            newest.is_some_and(|level| u16::from(svn) >= level.isv_svn)
        };
        if !module_current || microcode < microcode_wanted {
            return Ok(found);
        }
        Ok(
            if sgx.needs_configuration() || found.needs_configuration() {
                TcbStatus::TdRelaunchAdvisedConfigurationNeeded
            } else {
                TcbStatus::TdRelaunchAdvised
            },
        )
    }
}

/// The status of a part: current where the part has no levels of its own, not supported where
/// none of its levels is reached.
fn part(level: Option<Option<&SvnLevel>>) -> TcbStatus {
    match level {
        None => TcbStatus::UpToDate,
        Some(None) => TcbStatus::TcbNotSupported,
        Some(Some(level)) => level.status,
    }
}

impl Standing {
    /// `module` is `None` for SGX and `Some(None)` for a module of major version 0.
    fn new(
        level: Option<&Level>,
        module: Option<Option<Option<&SvnLevel>>>,
        qe: Option<&SvnLevel>,
        status: Option<TcbStatus>,
    ) -> Self {
        let qe_status = part(Some(qe));
        let module_level = module.flatten().flatten();
        let mut advisories: Vec<String> = Vec::new();
        let mut dates = Vec::new();
        if let Some(level) = level {
            advisories.extend(level.advisories.iter().cloned());
            dates.push(level.date);
        }
        for part in [module_level, qe].into_iter().flatten() {
            advisories.extend(part.advisories.iter().cloned());
            dates.push(part.date);
        }
        advisories.sort();
        advisories.dedup();
        Self {
            status: status
                .unwrap_or(TcbStatus::TcbNotSupported)
                .converge(qe_status),
            platform: level.map_or(TcbStatus::TcbNotSupported, |level| level.status),
            module: module.map(part),
            qe: qe_status,
            tcb_date: dates.into_iter().min(),
            advisories,
        }
    }
}
