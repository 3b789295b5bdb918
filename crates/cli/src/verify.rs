//! `zeuge verify`: one verdict per file, the worst exit code of all.
//!
//! The clock is read once, here, and handed down.

use std::{borrow::Cow, path::Path, time::SystemTime};

use zeuge_appraise::{HardwareRegistry, JudgedBy, Knowledge, Policy, ReferenceValues, Verdict};
use zeuge_collateral::Channel;
use zeuge_evidence::UnixTime;
use zeuge_log::hash::sha256;
use zeuge_protocol::{
    api::{self, VerdictWord},
    report_bundle::{REPORT_BUNDLE_BYTES_MAX, ReportBundle},
};
use zeuge_report as report;
use zeuge_verify::{Anchors, Binding};

use crate::{
    Outcome, archive,
    args::{Format, Language, Verify, VerifyCommand, collateral::Makers},
    collateral::Line,
    input,
    judge::{self, Setting},
    judge_tpm::{self, TpmSetting},
    knowledge,
};

/// What is said where nobody says what the evidence answers.
const UNBOUND: &str = "one of --report-data, --nonce and --unbound is required: evidence that \
                       answers no question of yours may be old or somebody else's";
/// Bytes of report data.
const REPORT_DATA: usize = 64;
/// A nonce shorter than this can be guessed.
const NONCE_MIN: usize = 8;

/// Runs the command.
pub(crate) fn run(arguments: &VerifyCommand) -> Outcome {
    let mut codes = Vec::new();
    let mut shared = None;
    for file in &arguments.verify.files {
        match one(file, arguments, &mut shared) {
            Ok(code) => codes.push(code),
            Err(sentence) => {
                crate::complain(&sentence);
                codes.push(crate::USAGE);
            }
        }
    }
    Ok(VerdictWord::worst(codes))
}

/// What all files of one call share.
type Shared = Option<(Setting, Cow<'static, Knowledge>)>;

fn one(file: &Path, arguments: &VerifyCommand, shared: &mut Shared) -> Outcome {
    let name = file.display().to_string();
    let bound = arguments.verify.report_data.is_some()
        || arguments.verify.nonce.is_some()
        || arguments.verify.unbound.is_some();
    if !bound {
        // Only an archive brings its own question along.
        let head = input::read(file).unwrap_or_default();
        if !ReportBundle::is_one(&head) {
            return Err(UNBOUND.to_owned());
        }
        let whole = input::read_up_to(file, REPORT_BUNDLE_BYTES_MAX)?;
        return archive::again(&whole, &name, arguments.format);
    }
    let (setting, knowledge) = match shared {
        Some(shared) => shared,
        None => shared.insert((
            setting(&arguments.verify)?,
            knowledge::in_use(arguments.verify.knowledge.as_deref())?,
        )),
    };
    let bytes = input::read(file)?;
    if ReportBundle::is_one(&bytes) {
        return Err(format!(
            "{name}: an archive brings its own question; leave --report-data, --nonce and \
             --unbound out"
        ));
    }
    let verdict = verdict(&bytes, &name, &arguments.verify, setting, knowledge)?;
    let wire = report::verdict_with(&verdict, Some(&name), knowledge);
    let text = match arguments.format {
        Format::Ear => {
            let build = concat!("zeuge ", env!("CARGO_PKG_VERSION"));
            let developer = "tag:zeuge.invalid,2026";
            let ear = report::unsigned(&verdict, setting.policy_ids.clone(), build, developer);
            format!("{ear}\n")
        }
        Format::Json => {
            let json = serde_json::to_string(&wire).map_err(|error| error.to_string())?;
            format!("{json}\n")
        }
        Format::Text => {
            let language = language(arguments.verify.lang);
            report::render_with(&verdict, Some(&name), knowledge, language)
        }
    };
    crate::say(&text)?;
    Ok(wire.verdict.exit_code())
}

/// The verdict on bytes, with threats assessed by this knowledge.
fn verdict(
    bytes: &[u8],
    name: &str,
    arguments: &Verify,
    setting: &Setting,
    knowledge: &Knowledge,
) -> Result<Verdict, String> {
    let mut verdict = judge::judge(bytes, arguments.kind, setting)
        .map_err(|sentence| format!("{name}: {sentence}"))?;
    if arguments.as_witness {
        verdict.assess(knowledge, JudgedBy::Witness);
    } else if verdict.knowledge != knowledge.id() {
        verdict.assess(knowledge, JudgedBy::Owner);
    }
    Ok(verdict)
}

/// A verdict and its form for the wire.
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) wire: api::Verdict,
}

/// The verdict on the one file of these arguments.
///
/// # Errors
/// A sentence, for arguments or files that cannot be used.
pub(crate) fn judged(arguments: &Verify, knowledge: &Knowledge) -> Result<Judged, String> {
    let [file] = arguments.files.as_slice() else {
        return Err("one file is wanted".to_owned());
    };
    let setting = setting(arguments)?;
    let name = file.display().to_string();
    let bytes = input::read(file)?;
    let verdict = verdict(&bytes, &name, arguments, &setting, knowledge)?;
    let wire = report::verdict_with(&verdict, Some(&name), knowledge);
    Ok(Judged { verdict, wire })
}

/// The words of the command line in those of the reports.
pub(crate) const fn language(language: Language) -> report::Language {
    match language {
        Language::En => report::Language::En,
        Language::De => report::Language::De,
    }
}

fn setting(arguments: &Verify) -> Result<Setting, String> {
    let named = |path: &Path, sentence: String| format!("{}: {sentence}", path.display());
    let mut policy_ids = Vec::new();
    let policy = match &arguments.policy {
        Some(path) => {
            let text = input::text(path)?;
            let digest = sha256(&[text.as_bytes()]);
            policy_ids.push(format!("sha256:{}", hex::encode(digest)));
            Policy::parse(&text).map_err(|error| named(path, error.to_string()))?
        }
        None => Policy::default(),
    };
    let reference_values = match &arguments.reference_values {
        Some(path) => ReferenceValues::parse(&input::text(path)?)
            .map_err(|error| named(path, error.to_string()))?,
        None => ReferenceValues::default(),
    };
    let mut anchors = match &arguments.dangerous_trust_sim {
        Some(path) => {
            crate::complain(
                "DANGEROUS: the toy vendor of tests is trusted in this call; no silicon vouches \
                 for its evidence",
            );
            Anchors::dangerous_sim(&input::text(path)?)
                .map_err(|error| named(path, error.to_string()))?
        }
        None => Anchors::makers(),
    };
    let tpm = tpm(arguments)?;
    for root in &tpm.roots {
        let added = root.add_to_anchors(&mut anchors);
        added.map_err(|malformed| format!("--roots: {malformed}"))?;
    }
    let makers = arguments.fetch.then(|| {
        let sim = arguments.dangerous_trust_sim.is_some();
        let makers = Makers {
            kds: arguments.kds.clone(),
            pcs: arguments.pcs.clone(),
        };
        let channel = Channel::served(&arguments.update).unwrap_or(Channel::Standard);
        Line::open(arguments.cache.as_deref(), &makers, channel, sim, &anchors)
    });
    let reason = "--hardware-only was given: no measurement is demanded";
    Ok(Setting {
        endorsements: input::endorsements(&arguments.endorsements)?,
        anchors,
        binding: binding(arguments)?,
        policy,
        policy_ids,
        reference_values,
        hardware: registry(arguments)?,
        seen: arguments.evaluation_number_seen,
        tpm,
        hardware_only: arguments.hardware_only.then(|| reason.to_owned()),
        at: at(arguments.at.as_deref())?,
        makers: makers.transpose()?,
    })
}

fn registry(arguments: &Verify) -> Result<Option<HardwareRegistry>, String> {
    let Some(path) = &arguments.hardware else {
        return Ok(None);
    };
    HardwareRegistry::parse(&input::text(path)?)
        .map(Some)
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// What only quotes of TPMs need. Their qualifying data has no fixed length: a nonce is compared
/// as it is, never filled up.
fn tpm(arguments: &Verify) -> Result<TpmSetting, String> {
    let pcrs: Result<Vec<_>, String> = arguments
        .pcrs
        .iter()
        .map(|text| {
            zeuge_appraise::tpm::selection(text)
                .ok_or_else(|| format!("--pcrs {text}: write it like sha256:0,1,7"))
        })
        .collect();
    let mut roots = Vec::new();
    for path in &arguments.roots {
        roots.extend(judge_tpm::roots(path)?);
    }
    Ok(TpmSetting {
        nonce: arguments
            .nonce
            .as_ref()
            .and_then(|text| hex::decode(text).ok()),
        pcrs: pcrs?,
        roots,
        previous: match &arguments.previous {
            Some(path) => Some(input::read(path)?),
            None => None,
        },
    })
}

/// The instant of a command line, or now.
///
/// # Errors
/// A sentence, for another form and for a clock before 1970.
pub(crate) fn at(text: Option<&str>) -> Result<UnixTime, String> {
    match text {
        Some(text) => UnixTime::parse_rfc3339(text)
            .ok_or_else(|| format!("--at {text}: write it like 2026-01-31T12:00:00Z")),
        None => SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .map(UnixTime)
            .ok_or_else(|| "the clock of this machine is before 1970; give --at".to_owned()),
    }
}

fn binding(arguments: &Verify) -> Result<Binding, String> {
    if let Some(because) = &arguments.unbound {
        if because.trim().is_empty() {
            return Err("--unbound needs a reason; it shows in the verdict".to_owned());
        }
        return Ok(Binding::Unbound {
            because: because.clone(),
        });
    }
    let (flag, text) = match (&arguments.report_data, &arguments.nonce) {
        (Some(text), _) => ("--report-data", text),
        (None, Some(text)) => ("--nonce", text),
        (None, None) => return Err(UNBOUND.to_owned()),
    };
    let bytes = hex::decode(text).map_err(|_| format!("{flag}: this is not hex"))?;
    let fits = match flag {
        "--nonce" => (NONCE_MIN..=REPORT_DATA).contains(&bytes.len()),
        _ => bytes.len() == REPORT_DATA,
    };
    if !fits {
        return Err(match flag {
            "--nonce" => format!("--nonce: 8 to 64 bytes are wanted, not {}", bytes.len()),
            _ => format!(
                "--report-data: exactly 64 bytes are wanted, not {}",
                bytes.len()
            ),
        });
    }
    // The caller asked for a nonce: the rest of the field is demanded to be zero.
    let mut wanted = [0; REPORT_DATA];
    for (target, byte) in wanted.iter_mut().zip(&bytes) {
        *target = *byte;
    }
    Ok(Binding::ReportData(wanted))
}
