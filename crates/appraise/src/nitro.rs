//! Is this Nitro enclave, or this instance as its NitroTPM tells of it, the one that was wanted?
//!
//! AWS's hypervisor says which image runs; no maker of silicon says anything. Never checks who
//! said it; that is proven before.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeuge_verify::nitro::NitroFacts;
pub use zeuge_verify::nitro::Source;

use crate::{
    Facts, Finding, Findings, Kind, NotProved, RootNamed, Verdict, Wanted,
    snp::{must_be_off, toy},
};

/// The ids of this file (those that it shares with SEV-SNP stand there).
pub const CHECKS: &[&str] = &["policy.nitro-age", "policy.nitro-instance"];

/// The part of the policy for Nitro documents.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NitroPolicy {
    /// Oldest accepted document, in seconds since its timestamp; a nonce proves more.
    #[serde(default)]
    pub age_seconds_max: Option<u32>,
    /// The owner's instances (`i-…`), of which the module must be one; empty: any.
    #[serde(default)]
    pub instances: Vec<String>,
    /// DANGEROUS: accept an enclave whose console its parent instance reads.
    #[serde(default)]
    pub dangerous_allow_debug: Option<String>,
}

/// Whose registers a reference value is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A Nitro enclave.
    Enclave,
    /// The NitroTPM of an instance.
    Tpm,
}

/// One enclave image, or one instance image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NitroReference {
    /// The name that verdicts and release rules use.
    pub name: String,
    /// `enclave` or `tpm`.
    pub source: Origin,
    /// By register: the values of which one must be there, in hex.
    pub pcrs: BTreeMap<String, Vec<String>>,
}

impl NitroReference {
    /// What is wrong with it, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        let name = &self.name;
        // What an image is: its own registers, not those of role, instance or signer alone.
        let telling: &[&str] = match self.source {
            Origin::Enclave => &["0", "1", "2", "8"],
            Origin::Tpm => &["4", "7", "8", "9", "11", "12"],
        };
        if !self
            .pcrs
            .keys()
            .any(|index| telling.contains(&index.as_str()))
        {
            return Some(format!("\"{name}\" pins no register that tells its image"));
        }
        self.pcrs.iter().find_map(|(index, values)| {
            if index.parse::<u8>().ok().is_none_or(|index| index > 31) {
                return Some(format!("\"{name}\" names PCR {index}; there are 0 to 31"));
            }
            let digest = |value: &String| {
                let length = hex::decode(value).map_or(0, |bytes| bytes.len());
                matches!(length, 32 | 48 | 64)
            };
            (values.is_empty() || !values.iter().all(digest)).then(|| {
                format!("PCR {index} of \"{name}\" allows nothing, or what is no digest in hex")
            })
        })
    }
}

/// Whether every register that the value pins is there with one of its values.
pub(crate) fn is_image(value: &NitroReference, facts: &NitroFacts) -> bool {
    difference(value, facts).is_none()
}

/// What was found and what the value wants, of the first register that differs.
fn difference(value: &NitroReference, facts: &NitroFacts) -> Option<(String, String)> {
    let source = match facts.source {
        Source::Enclave => Origin::Enclave,
        Source::Tpm => Origin::Tpm,
    };
    if source != value.source {
        return Some((format!("{source:?}"), format!("{:?}", value.source)));
    }
    value.pcrs.iter().find_map(|(index, allowed)| {
        let number = index.parse::<u8>().ok();
        let found = number.and_then(|number| facts.pcrs.get(&number));
        let found = found.map(hex::encode).unwrap_or_default();
        let known = allowed
            .iter()
            .any(|value| value.eq_ignore_ascii_case(&found));
        (!known).then(|| (format!("PCR{index} {found}"), allowed.join(" or ")))
    })
}

/// Judges proven facts; every check goes through [`Findings::check`].
pub(crate) fn judge(facts: &NitroFacts, wanted: &Wanted<'_>, findings: &mut Findings) -> Verdict {
    toy(&facts.root, findings);
    findings.check("policy.binding", || {
        let because = facts.unbound.as_ref()?;
        Some(Finding::warn(
            "policy.binding",
            format!("nothing shows that this document is fresh or belongs to a key: {because}"),
        ))
    });
    let policy = &wanted.policy.nitro;
    let is_zero = |value: &Vec<u8>| value.iter().all(|byte| *byte == 0);
    must_be_off(
        findings,
        "policy.debug",
        facts.source == Source::Enclave && facts.pcrs.get(&0).is_none_or(is_zero),
        "the enclave runs in debug mode: its registers are zero, and its parent reads its console",
        policy.dangerous_allow_debug.as_deref(),
    );
    image(facts, wanted, findings);
    instance(facts, wanted, findings);
    let all = Facts::from(facts.clone());
    if let Some(registry) = wanted.hardware {
        crate::hardware::check(registry, &all, findings);
    }
    let list = std::mem::replace(findings, Findings::new(&[])).into_list();
    let mut verdict = Verdict::of(all, list, wanted.at);
    verdict.kind = Kind::Nitro;
    verdict.product = Some(
        match facts.source {
            Source::Enclave => "Nitro Enclave",
            Source::Tpm => "NitroTPM",
        }
        .to_owned(),
    );
    verdict.roots = vec![RootNamed::from(&facts.root)];
    verdict.not_proved = not_proved(facts, wanted);
    verdict
}

fn image(facts: &NitroFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let values = &wanted.reference_values.nitro;
    findings.check("policy.measurement", || {
        let known = values.iter().any(|value| is_image(value, facts));
        Some(match (known, wanted.hardware_only) {
            (true, _) => Finding::pass("policy.measurement"),
            (false, Some(reason)) => Finding::unchecked("policy.measurement", reason),
            (false, None) => {
                let nearest = values.first().and_then(|value| difference(value, facts));
                let first = || facts.pcrs.values().next().map(hex::encode);
                let (found, wanted) = nearest
                    .unwrap_or_else(|| (first().unwrap_or_default(), "a known image".to_owned()));
                Finding::fail(
                    "policy.measurement",
                    "these registers are in none of the reference values of Nitro",
                )
                .difference(found, wanted)
            }
        })
    });
}

fn instance(facts: &NitroFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let policy = &wanted.policy.nitro;
    findings.check("policy.nitro-instance", || {
        if policy.instances.is_empty() {
            return None;
        }
        // Of an enclave the module is the instance, `-enc`, and the enclave.
        let found = match facts.module_id.split_once("-enc") {
            Some((instance, _)) => instance,
            None => &facts.module_id,
        };
        Some(if policy.instances.iter().any(|known| known == found) {
            Finding::pass("policy.nitro-instance")
        } else {
            Finding::fail(
                "policy.nitro-instance",
                "the instance is none of those that the owner's policy names",
            )
            .difference(found, policy.instances.join(" or "))
        })
    });
    findings.check("policy.nitro-age", || {
        let most = i64::from(policy.age_seconds_max?);
        let made = i64::try_from(facts.timestamp.div_euclid(1000)).unwrap_or(i64::MAX);
        let age = wanted.at.0.saturating_sub(made);
        Some(if age <= most {
            Finding::pass("policy.nitro-age")
        } else {
            Finding::fail(
                "policy.nitro-age",
                "the document is older than the policy allows",
            )
            .difference(format!("{age} seconds"), format!("at most {most}"))
        })
    });
}

fn not_proved(facts: &NitroFacts, wanted: &Wanted<'_>) -> Vec<NotProved> {
    let mut out = vec![NotProved::ProviderAlone, NotProved::Hands];
    if facts.source == Source::Tpm {
        out.push(NotProved::Memory);
        out.push(NotProved::Programs);
    }
    if wanted.hardware.is_none() {
        out.push(NotProved::OwnMachine);
    }
    if facts.unbound.is_some() {
        out.push(NotProved::Freshness);
    }
    out
}
