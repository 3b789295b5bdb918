//! Is this machine, as its TPM tells of it, the one that was wanted?
//!
//! A TPM says what was started, register by register. Only registers that the boot log explains
//! give facts about the boot; a record's words count only where its digest covers them. Never
//! checks a signature, never replays: that is proven before.

mod boot;
mod closed;
mod ima;
mod roots;
mod wishes;

use zeuge_evidence::eventlog::facts::Note;
pub use zeuge_evidence::{
    eventlog::facts::{BootFacts, Measured, Proof, Text},
    ima::Filling,
};
pub use zeuge_verify::tpm::{EkFacts, EnrolledAk, ImaFacts, TrustBasis};
use zeuge_verify::tpm::{Revocation, TpmFacts};

use crate::{Facts, Finding, Findings, Kind, NotProved, RootNamed, Verdict, Wanted, snp::toy};

pub(crate) use boot::is_workload;
pub(crate) use closed::still_open;
pub use roots::{NamedRoot, OwnRoot, ROOTS_FILES, ROOTS_SCHEMA, named_roots};
pub use wishes::{EnrolledTpm, ImaPolicy, ReferenceEvent, TpmPolicy, TpmReference, selection};

/// The ids of this file and its folder (those that it shares with SEV-SNP stand there).
pub const CHECKS: &[&str] = &[
    "dangerous.sha1-bank",
    "dangerous.unproven-ak",
    "policy.boot-event",
    "policy.boot-file",
    "policy.boot-image",
    "policy.command-line",
    "policy.event-log",
    "policy.ima",
    "policy.initrd",
    "policy.mok",
    "policy.pcr",
    "policy.pcr-selection",
    "policy.sbat",
    "policy.secure-boot",
    "policy.stub-section",
    "policy.tpm-maker",
    "tpm.crl.fresh",
];

/// Judges proven facts; every check goes through [`Findings::check`].
pub(crate) fn judge(facts: &TpmFacts, wanted: &Wanted<'_>, findings: &mut Findings) -> Verdict {
    unbound(facts, findings);
    trust(facts, wanted, findings);
    quoted(facts, wanted, findings);
    log(facts, wanted, findings);
    boot::secure_boot(facts, wanted, findings);
    boot::workload(facts, wanted, findings);
    ima::check(facts, wanted, findings);
    let all = Facts::from(facts.clone());
    if let Some(registry) = wanted.hardware {
        crate::hardware::check(registry, &all, findings);
    }
    let list = std::mem::replace(findings, Findings::new(&[])).into_list();
    let mut verdict = Verdict::of(all, list, wanted.at);
    verdict.kind = Kind::Tpm;
    verdict.product = product(facts);
    verdict.roots = root(facts).map(RootNamed::from).into_iter().collect();
    verdict.not_proved = not_proved(facts, wanted);
    verdict.notes = notes(facts);
    verdict
}

/// The root behind the AK, where a certificate or an activation names one.
pub(crate) const fn root(facts: &TpmFacts) -> Option<&zeuge_verify::Root> {
    match &facts.trust {
        TrustBasis::Activated(ek) | TrustBasis::Certified(ek) => Some(&ek.root),
        TrustBasis::CommittedByReport
        | TrustBasis::EnrolledByOwner(_)
        | TrustBasis::DangerousUnproven { .. } => None,
    }
}

/// Maker and model, as the TPM's certificate says.
fn product(facts: &TpmFacts) -> Option<String> {
    let (TrustBasis::Activated(ek) | TrustBasis::Certified(ek)) = &facts.trust else {
        return None;
    };
    let maker = ek.identity.manufacturer_text()?;
    Some(match &ek.identity.model {
        Some(model) => format!("{maker} {model}"),
        None => maker,
    })
}

fn unbound(facts: &TpmFacts, findings: &mut Findings) {
    if let Some(because) = &facts.unbound {
        findings.replace(Finding::unchecked("tpm.quote.nonce", because.clone()));
    }
    findings.check("policy.binding", || {
        facts.unbound.as_ref().map(|because| {
            Finding::warn(
                "policy.binding",
                format!("nothing shows that this quote is fresh or belongs to a key: {because}"),
            )
        })
    });
}

fn trust(facts: &TpmFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    if let Some(root) = root(facts) {
        toy(root, findings);
    }
    findings.check("dangerous.unproven-ak", || {
        let TrustBasis::DangerousUnproven { because } = &facts.trust else {
            return None;
        };
        let because = format!(
            "nothing proves that the AK lives in a TPM; accepted by a dangerous setting: {because}"
        );
        Some(Finding::warn("dangerous.unproven-ak", because))
    });
    findings.check("policy.tpm-maker", || {
        let makers = &wanted.policy.tpm.makers;
        if makers.is_empty() {
            return None;
        }
        let found = root(facts).map_or("nobody", |root| root.maker.as_str());
        Some(if makers.iter().any(|maker| maker == found) {
            Finding::pass("policy.tpm-maker")
        } else {
            Finding::fail("policy.tpm-maker", "the owner accepts other makers of TPMs")
                .difference(found, makers.join(" or "))
        })
    });
    findings.check("tpm.crl.fresh", || {
        let (TrustBasis::Activated(ek) | TrustBasis::Certified(ek)) = &facts.trust else {
            return None;
        };
        let because = stale(ek.revocation, wanted);
        Some(match (because, &wanted.policy.tpm.dangerous_without_crl) {
            (None, _) => Finding::pass("tpm.crl.fresh"),
            (Some(because), None) => Finding::fail("tpm.crl.fresh", because).difference(
                "no fresh list",
                "a list of every issuer, before its nextUpdate",
            ),
            (Some(because), Some(reason)) => Finding::warn(
                "tpm.crl.fresh",
                format!("{because}; accepted by dangerous_without_crl: {reason}"),
            ),
        })
    });
}

/// Why the lists are not fresh; `None` when they are.
fn stale(revocation: Revocation, wanted: &Wanted<'_>) -> Option<String> {
    let Revocation::Checked {
        this_update,
        next_update,
    } = revocation
    else {
        return Some("not every issuer's revocation list is at hand".to_owned());
    };
    let Some(next_update) = next_update else {
        return Some("a revocation list does not say when the next one is due".to_owned());
    };
    let age = i64::from(wanted.policy.crl_age_days_max).saturating_mul(86_400);
    if wanted.at > next_update {
        Some(format!("a revocation list ended at {next_update}"))
    } else if wanted.at > this_update.plus(age) {
        Some(format!(
            "a revocation list is from {this_update}, older than the policy allows"
        ))
    } else {
        None
    }
}

fn quoted(facts: &TpmFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    findings.check("dangerous.sha1-bank", || {
        let because = facts.dangerous_sha1_bank.as_ref()?;
        Some(Finding::warn(
            "dangerous.sha1-bank",
            format!("a SHA-1 bank was quoted; accepted by a dangerous setting: {because}"),
        ))
    });
    findings.check("policy.pcr-selection", || {
        let demanded = wanted.policy.tpm.selections();
        let missing = demanded.iter().find(|selection| {
            let bank = facts.pcrs.get(&selection.bank);
            let has = |index| bank.is_some_and(|bank| bank.contains_key(&index));
            !selection.pcrs.iter().all(has)
        });
        match (missing, &facts.unasked) {
            (Some(missing), _) => Some(
                Finding::fail(
                    "policy.pcr-selection",
                    "PCRs that the policy demands were not quoted",
                )
                .difference(printed(facts), missing.to_string()),
            ),
            (None, Some(because)) if demanded.is_empty() => {
                Some(Finding::unchecked("policy.pcr-selection", because.clone()))
            }
            (None, _) => Some(Finding::pass("policy.pcr-selection")),
        }
    });
}

/// The quoted banks and PCRs, as people write them.
pub(crate) fn printed(facts: &TpmFacts) -> String {
    let banks: Vec<String> = facts
        .pcrs
        .iter()
        .map(|(bank, values)| {
            let list: Vec<String> = values.keys().map(ToString::to_string).collect();
            format!("{bank}:{}", list.join(","))
        })
        .collect();
    banks.join("+")
}

fn log(facts: &TpmFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    findings.check("policy.event-log", || {
        let Some(boot) = &facts.boot else {
            return wanted.policy.tpm.require_event_log.then(|| {
                Finding::fail("policy.event-log", "no boot log came along")
                    .difference("none", "the boot log")
            });
        };
        let odd: Vec<String> = boot.notes.iter().map(|note| sentence(*note)).collect();
        Some(if odd.is_empty() {
            Finding::pass("policy.event-log")
        } else {
            Finding::warn("policy.event-log", odd.join("; "))
        })
    });
}

fn sentence(note: Note) -> String {
    match note {
        Note::SecondSeparator { event } => format!(
            "event {event} ends the firmware's part of a register a second time: nothing between is \
             the firmware's"
        ),
        Note::VariableAfterSeparator { event } => format!(
            "event {event} is a variable of Secure Boot in another register, or after the \
             firmware's part; it does not count"
        ),
        Note::VariableNotProven { event } => format!(
            "event {event} is a variable of Secure Boot that its digest does not cover; it does \
             not count"
        ),
        Note::ErrorSeparator { event } => {
            format!("event {event} reports an error of the firmware")
        }
        Note::UnreadBytes => "bytes behind the end of the log were not read".to_owned(),
    }
}

fn not_proved(facts: &TpmFacts, wanted: &Wanted<'_>) -> Vec<NotProved> {
    let mut out = vec![NotProved::MakerKeys, NotProved::Hands, NotProved::Memory];
    if wanted.hardware.is_none() {
        out.push(NotProved::OwnMachine);
    }
    if facts.unbound.is_some() {
        out.push(NotProved::Freshness);
    }
    if facts.boot.is_none() {
        out.push(NotProved::Registers);
    }
    if facts.ima.is_none() {
        out.push(NotProved::Programs);
    }
    out
}

fn notes(facts: &TpmFacts) -> Vec<String> {
    let mut out = Vec::new();
    if facts.ak_attributes.is_none() && facts.trust != TrustBasis::CommittedByReport {
        out.push(
            "the AK's attributes are vouched for by its certificate or the owner, not by its name"
                .to_owned(),
        );
    }
    if !facts.clock.safe {
        out.push("the TPM's clock may have shown a later time before (safe is not set)".to_owned());
    }
    if let Some(boot) = &facts.boot {
        let unexplained: Vec<String> = facts
            .pcrs
            .get(&boot.bank)
            .into_iter()
            .flat_map(|values| values.keys())
            .filter(|index| !facts.explained.contains(**index))
            .map(ToString::to_string)
            .collect();
        if !unexplained.is_empty() {
            out.push(format!(
                "the boot log does not explain the quoted PCRs {}",
                unexplained.join(", ")
            ));
        }
    }
    out
}
