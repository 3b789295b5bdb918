//! Release rules (`zeuge.release-rule.v1`): who may get which secret. Without a rule nobody gets
//! anything.
//!
//! A genuine chip and a known firmware are not an identity: a rule names the measured workload or
//! a signed value, and which chips. Never matches a path by prefix, never normalises one.

use serde::Deserialize;

use crate::{
    AzureFacts, BindingProfile, Body, Facts, Finding, Kind, NitroFacts, TpmFacts, Verdict, Wanted,
    Word,
    document::{self, DocumentError, Hex},
    findings::Findings,
    snp::is_workload,
};

/// The schema of this document.
pub const SCHEMA: &str = "zeuge.release-rule.v1";
/// The ids of this file.
pub const CHECKS: &[&str] = &[
    "release.closed",
    "release.door",
    "release.evidence",
    "release.suite",
    "release.verdict",
    "release.workload",
];

/// Which chips a rule accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Chips {
    /// Only chips of the owner's registry.
    #[serde(rename = "enrolled")]
    Enrolled,
    /// DANGEROUS: any genuine chip of the maker's.
    #[serde(rename = "dangerous_any_chip")]
    DangerousAnyChip,
}

/// Lowest HPKE suite, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Suite {
    /// DHKEM over X25519: falls to a quantum computer.
    #[serde(rename = "x25519")]
    X25519,
    /// X-Wing: ML-KEM-768 and X25519.
    #[serde(rename = "x-wing")]
    XWing,
}

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRule {
    schema: String,
    /// The tenant whose secret it is.
    pub tenant: String,
    /// The secret's path, compared byte by byte.
    pub path: String,
    /// The door through which it may leave: `agent`.
    pub door: String,
    /// The kinds of evidence that must all be there, e.g. `["snp"]`.
    pub evidence: Vec<String>,
    /// Lowest HPKE suite of the recipient.
    pub minimum_suite: Suite,
    /// Which chips.
    pub chips: Chips,
    /// Name of the reference value that the machine must match.
    pub workload: Option<String>,
    /// SHA-256 of its configuration, that the machine must report: as HOST_DATA (SEV-SNP), or
    /// followed by zeros as MRCONFIGID (TDX).
    pub host_data: Option<Hex<32>>,
    /// Warnings are not enough.
    #[serde(default)]
    pub demand_affirming: bool,
    /// Only until the machine has said that its boot is over: until PCR 15 of its TPM, or RTMR3 of
    /// a trust domain, holds `zeuge:closed`.
    #[serde(default)]
    pub before_closed: bool,
}

impl ReleaseRule {
    /// Reads the document.
    ///
    /// # Errors
    /// [`DocumentError`] for another schema, unknown fields, no evidence kind, an unknown kind or
    /// door, or a rule that names neither a workload nor a signed value.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let rule: Self = document::read(text, SCHEMA, |rule: &Self| &rule.schema)?;
        let bad = |because: &str| {
            Err(DocumentError {
                wanted: SCHEMA,
                because: because.to_owned(),
            })
        };
        if rule.evidence.is_empty() {
            return bad("evidence is empty: a rule names the kinds that must be there");
        }
        let known = [
            Kind::Azure,
            Kind::Nitro,
            Kind::Snp,
            Kind::Tdx,
            Kind::Sgx,
            Kind::Tpm,
        ]
        .map(Kind::word);
        if rule
            .evidence
            .iter()
            .any(|kind| !known.contains(&kind.as_str()))
        {
            return bad(
                "evidence names a kind that rules cannot demand yet; \"azure\", \"nitro\", \"snp\", \
                 \"tdx\", \"sgx\" and \"tpm\" are supported",
            );
        }
        if rule.door != "agent" {
            return bad("the door is not supported; \"agent\" is");
        }
        if rule.workload.is_none() && rule.host_data.is_none() {
            return bad(
                "it names neither workload nor host_data: firmware alone is not an identity",
            );
        }
        Ok(rule)
    }

    /// Adds what this rule demands to a verdict, and decides its word anew.
    ///
    /// `door` is where the request came in, `suite` the recipient's.
    #[must_use]
    pub fn apply(
        &self,
        verdict: &Verdict,
        wanted: &Wanted<'_>,
        door: &str,
        suite: Suite,
    ) -> Verdict {
        let mut findings = Findings::new(&[]);
        findings.check("release.door", || {
            Some(if door == self.door {
                Finding::pass("release.door")
            } else {
                Finding::fail("release.door", "the rule does not open this door")
                    .difference(door, self.door.as_str())
            })
        });
        findings.check("release.evidence", || Some(self.kinds(verdict)));
        findings.check("release.closed", || {
            self.before_closed.then(|| self.still_open(verdict, wanted))
        });
        findings.check("release.suite", || {
            Some(if suite >= self.minimum_suite {
                Finding::pass("release.suite")
            } else {
                Finding::fail(
                    "release.suite",
                    "the recipient's key is weaker than the rule allows",
                )
                .difference(format!("{suite:?}"), format!("{:?}", self.minimum_suite))
            })
        });
        findings.check("release.workload", || self.workloads(verdict, wanted));
        findings.check("release.verdict", || Some(self.good_enough(verdict.word)));
        if self.chips == Chips::Enrolled
            && let Some(facts) = &verdict.facts
        {
            let none = crate::HardwareRegistry::default();
            crate::hardware::check(wanted.hardware.unwrap_or(&none), facts, &mut findings);
        }
        let mut all = verdict.clone();
        // Of a pair one check speaks twice: neither member's word may take the other's place.
        let demanded = findings.into_list();
        let is_old = |held: &Finding| demanded.iter().all(|new| new.id != held.id);
        all.findings.retain(is_old);
        all.findings.extend(demanded);
        if all.failed().is_empty() {
            all
        } else {
            Verdict {
                word: worst(verdict.word),
                ..all
            }
        }
    }

    fn good_enough(&self, word: Word) -> Finding {
        let enough = match word {
            Word::Affirming => true,
            Word::Warning => !self.demand_affirming,
            _ => false,
        };
        if enough {
            return Finding::pass("release.verdict");
        }
        let wanted = if self.demand_affirming {
            "affirming"
        } else {
            "affirming or warning"
        };
        Finding::fail(
            "release.verdict",
            "the verdict is not good enough for this secret",
        )
        .difference(word.word(), wanted)
    }

    fn workload(&self, verdict: &Verdict, wanted: &Wanted<'_>) -> Finding {
        let fail = |found: String, wanted: String| {
            Finding::fail(
                "release.workload",
                "the machine is not the workload that the rule names",
            )
            .difference(found, wanted)
        };
        let facts = match &verdict.facts {
            Some(Facts::Snp(facts)) => facts,
            Some(Facts::Tpm(facts)) => return self.boot(facts, wanted),
            Some(Facts::Azure(facts)) => return self.behind_paravisor(facts, wanted),
            Some(Facts::Nitro(facts)) => return self.image(facts, wanted),
            Some(Facts::Quote(facts)) => return self.quoted(&facts.claims, wanted),
            Some(Facts::Composite(_)) | None => {
                return fail("nothing proven".to_owned(), "a proven workload".to_owned());
            }
        };
        if let Some(host_data) = self.host_data
            && host_data.0 != facts.claims.host_data
        {
            return fail(
                hex::encode(facts.claims.host_data),
                hex::encode(host_data.0),
            );
        }
        if let Some(name) = &self.workload {
            let mut values = wanted.reference_values.snp.iter();
            let fits = values.any(|value| {
                value.name == *name && is_workload(value, BindingProfile::Direct, &facts.claims)
            });
            if !fits {
                return fail(hex::encode(facts.claims.measurement), format!("\"{name}\""));
            }
        }
        Finding::pass("release.workload")
    }
}

impl ReleaseRule {
    /// Whether every kind of evidence that the rule demands is there.
    fn kinds(&self, verdict: &Verdict) -> Finding {
        let kinds = match (&verdict.facts, verdict.kind) {
            (Some(facts), Kind::Composite) => facts.kinds(),
            (_, kind) => vec![kind],
        };
        let kinds: Vec<&str> = kinds.into_iter().map(Kind::word).collect();
        let missing = self
            .evidence
            .iter()
            .find(|wanted| !kinds.contains(&wanted.as_str()));
        match missing {
            None => Finding::pass("release.evidence"),
            Some(missing) => Finding::fail("release.evidence", "evidence of a kind is missing")
                .difference(kinds.join(" and "), missing.as_str()),
        }
    }

    /// Whether the registers that mark the end of the boot still stand as at its beginning: every
    /// one that the evidence shows.
    fn still_open(&self, verdict: &Verdict, wanted: &Wanted<'_>) -> Finding {
        let (quote, tpm) = match &verdict.facts {
            Some(Facts::Tpm(facts)) => (None, Some(facts)),
            Some(Facts::Quote(facts)) => (Some(facts), None),
            Some(Facts::Composite(pair)) => match &pair.cpu {
                crate::Cpu::Quote(facts) => (Some(facts), Some(&pair.tpm)),
                crate::Cpu::Snp(_) => (None, Some(&pair.tpm)),
            },
            Some(Facts::Azure(facts)) => (None, facts.tpm.as_ref()),
            _ => (None, None),
        };
        let name = self.workload.as_deref().unwrap_or_default();
        let values = wanted.reference_values;
        let of_tpm = tpm.map(|facts| {
            let named = values.tpm.iter().filter(|value| value.name == name);
            crate::tpm::still_open(facts, named)
        });
        let of_quote = quote.and_then(|facts| match &facts.claims {
            Body::Tdx(report) => {
                let named = values.tdx.iter().filter(|value| value.name == name);
                Some(crate::dcap::still_open(report, facts.boot.as_ref(), named))
            }
            Body::Sgx(_) => None,
        });
        let shown = of_tpm.into_iter().chain(of_quote);
        shown
            .max_by_key(|finding| finding.status)
            .unwrap_or_else(|| {
                Finding::fail(
                    "release.closed",
                    "nothing in this evidence shows whether the boot is over",
                )
                .difference(
                    "no register",
                    "a quoted PCR 15 of a TPM, or RTMR3 of a trust domain",
                )
            })
    }

    /// Of a pair, whoever the rule demands must be the workload, each by its own values.
    fn workloads(&self, verdict: &Verdict, wanted: &Wanted<'_>) -> Option<Finding> {
        let Some(Facts::Composite(pair)) = &verdict.facts else {
            return Some(self.workload(verdict, wanted));
        };
        let demanded = |facts: &Facts| {
            let kinds = facts.kinds();
            kinds
                .iter()
                .any(|kind| self.evidence.iter().any(|wanted| wanted == kind.word()))
        };
        let members = [crate::composite::cpu(pair), Facts::Tpm(pair.tpm.clone())];
        // What the CPU pins with its launch, the TPM beside it need not repeat; it is still the
        // workload by its own values.
        let beside = Self {
            host_data: None,
            ..self.clone()
        };
        let [cpu, _] = &members;
        let by_launch = demanded(cpu) && self.workload.is_some();
        let findings = members.into_iter().filter(demanded).map(|facts| {
            let rule = match facts {
                Facts::Tpm(_) if by_launch => &beside,
                _ => self,
            };
            let alone = Verdict {
                facts: Some(facts),
                ..verdict.clone()
            };
            rule.workload(&alone, wanted)
        });
        findings.max_by_key(|finding| finding.status)
    }

    /// The workload as AWS's hypervisor tells of it. It has no HOST_DATA.
    fn image(&self, facts: &NitroFacts, wanted: &Wanted<'_>) -> Finding {
        let because = "the machine is not the workload that the rule names";
        let fail = |found: String, wanted: String| {
            Finding::fail("release.workload", because).difference(found, wanted)
        };
        if let Some(host_data) = self.host_data {
            return fail("Nitro has none".to_owned(), hex::encode(host_data.0));
        }
        let name = self.workload.as_deref().unwrap_or_default();
        let mut values = wanted.reference_values.nitro.iter();
        if values.any(|value| value.name == name && crate::nitro::is_image(value, facts)) {
            Finding::pass("release.workload")
        } else {
            fail(facts.module_id.clone(), format!("\"{name}\""))
        }
    }

    /// The workload as the virtual TPM of a paravisor tells of it: which paravisor that is was
    /// judged already, and is no identity of the guest's.
    fn behind_paravisor(&self, facts: &AzureFacts, wanted: &Wanted<'_>) -> Finding {
        match &facts.tpm {
            Some(quoted) => self.boot(quoted, wanted),
            None => Finding::fail(
                "release.workload",
                "without a quote nothing says what the guest started",
            )
            .difference("no quote", "a quote of the virtual TPM"),
        }
    }

    /// The workload as a quote of Intel's tells of it.
    fn quoted(&self, claims: &Body, wanted: &Wanted<'_>) -> Finding {
        let because = "the machine is not the workload that the rule names";
        let fail = |found: String, wanted: String| {
            Finding::fail("release.workload", because).difference(found, wanted)
        };
        match (claims, self.host_data) {
            (Body::Tdx(report), Some(digest)) if !pins(&report.mr_config_id, &digest.0) => {
                return fail(hex::encode(report.mr_config_id), hex::encode(digest.0));
            }
            (Body::Sgx(_), Some(digest)) => {
                return fail("an enclave has none".to_owned(), hex::encode(digest.0));
            }
            _ => {}
        }
        let Some(name) = &self.workload else {
            return Finding::pass("release.workload");
        };
        let values = wanted.reference_values;
        let (fits, found, wanted) = match claims {
            Body::Tdx(report) => {
                let mut named = values.tdx.iter().filter(|value| value.name == *name);
                // MRTD is the firmware alone; what it started stands in the registers.
                let fits = named.any(|value| {
                    crate::dcap::is_trust_domain(value, report)
                        && (value.pins_what_was_started() || self.host_data.is_some())
                });
                let wanted = format!("\"{name}\", with RTMR1, RTMR2 or RTMR3 pinned");
                (fits, hex::encode(report.mr_td), wanted)
            }
            Body::Sgx(report) => {
                let mut named = values.sgx.iter().filter(|value| value.name == *name);
                let fits = named.any(|value| crate::dcap::is_enclave(value, report));
                (fits, hex::encode(report.mr_enclave), format!("\"{name}\""))
            }
        };
        if fits {
            Finding::pass("release.workload")
        } else {
            fail(found, wanted)
        }
    }

    /// The workload as a TPM tells of it. It has no HOST_DATA.
    fn boot(&self, facts: &TpmFacts, wanted: &Wanted<'_>) -> Finding {
        let because = "the machine is not the workload that the rule names";
        let fail = |found: String, wanted: String| {
            Finding::fail("release.workload", because).difference(found, wanted)
        };
        if let Some(host_data) = self.host_data {
            return fail("a TPM has none".to_owned(), hex::encode(host_data.0));
        }
        let name = self.workload.as_deref().unwrap_or_default();
        let mut values = wanted.reference_values.tpm.iter();
        if values.any(|value| value.name == name && crate::tpm::is_workload(value, facts)) {
            Finding::pass("release.workload")
        } else {
            fail(crate::tpm::printed(facts), format!("\"{name}\""))
        }
    }
}

/// Whether MRCONFIGID is this digest, followed by zeros.
fn pins(mr_config_id: &[u8; 48], digest: &[u8; 32]) -> bool {
    mr_config_id
        .split_at_checked(digest.len())
        .is_some_and(|(head, tail)| head == digest && tail.iter().all(|byte| *byte == 0))
}

/// A failed demand makes a good verdict bad and leaves a bad one as it is.
const fn worst(word: Word) -> Word {
    match word {
        Word::Affirming | Word::Warning => Word::Contraindicated,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(body: &str) -> Result<ReleaseRule, DocumentError> {
        ReleaseRule::parse(&format!(
            "schema = \"{SCHEMA}\"\ntenant = \"a\"\npath = \"db/key\"\nminimum_suite = \"x-wing\"\n\
             {body}"
        ))
    }

    #[test]
    fn a_rule_that_names_no_workload_is_refused() {
        let refusal = rule("door = \"agent\"\nevidence = [\"snp\"]\nchips = \"enrolled\"");
        assert!(
            refusal
                .unwrap_err()
                .because
                .contains("firmware alone is not an identity")
        );
    }

    #[test]
    fn a_rule_must_say_which_chips() {
        let refusal = rule("door = \"agent\"\nevidence = [\"snp\"]\nworkload = \"web\"");
        assert!(refusal.unwrap_err().because.contains("chips"));
    }

    #[test]
    fn an_unknown_kind_or_door_is_refused_by_name() {
        let kinds = "evidence = [\"gpu\"]\nworkload = \"web\"\nchips = \"enrolled\"";
        assert!(rule(&format!("door = \"agent\"\n{kinds}")).is_err());
        let doors = "evidence = [\"snp\"]\nworkload = \"web\"\nchips = \"enrolled\"";
        assert!(rule(&format!("door = \"window\"\n{doors}")).is_err());
    }
}
