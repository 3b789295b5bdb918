//! What conditions may look at: proven facts and the outcome of checks, by platform.
//!
//! The one place that knows every platform's facts. A new platform says here which CPU report,
//! quote and TPM it carries; its rows of knowledge then work by its kind's word.

use zeuge_evidence::{UnixTime, dcap::Body, snp::Tcb, tdx::TdReport};
use zeuge_verify::{
    Binding,
    amd::Revocation,
    composite::Cpu,
    dcap::{QuoteFacts, SgxType, TcbStatus},
    snp::{Signer, SnpFacts},
    tpm::{AttestationKey, TpmFacts, TrustBasis},
    x509::KeyKind,
};

use super::{
    Condition, Fact, Floor, Knowledge, Line, Missing, Standing,
    condition::{Answer, Bit, CheckWas, Fixed, Looked, Module, Truth},
    roca,
    schema::JudgedBy,
};
use crate::{Facts, Finding};

/// Facts of one machine.
pub(super) struct Seen<'a> {
    kinds: Vec<&'static str>,
    snp: Option<&'a SnpFacts>,
    quote: Option<&'a QuoteFacts>,
    tpm: Option<&'a TpmFacts>,
    findings: &'a [Finding],
    by: JudgedBy,
}

/// The members of a machine's facts.
type Members<'a> = (
    Option<&'a SnpFacts>,
    Option<&'a QuoteFacts>,
    Option<&'a TpmFacts>,
);

fn members(facts: &Facts) -> Members<'_> {
    match facts {
        Facts::Azure(facts) => match &facts.cpu {
            Cpu::Quote(quote) => (None, Some(quote), facts.tpm.as_deref()),
            Cpu::Snp(snp) => (Some(snp), None, facts.tpm.as_deref()),
        },
        Facts::Composite(facts) => match &facts.cpu {
            Cpu::Quote(quote) => (None, Some(quote), Some(&facts.tpm)),
            Cpu::Snp(snp) => (Some(snp), None, Some(&facts.tpm)),
        },
        // No processor and no TPM of anybody's speaks there.
        Facts::Nitro(_) => (None, None, None),
        Facts::Quote(quote) => (None, Some(quote), None),
        Facts::Snp(snp) => (Some(snp), None, None),
        Facts::Tpm(tpm) => (None, None, Some(tpm)),
    }
}

/// The facts with what no condition reads made alike, where evidence of its kind is often seen again;
/// of other kinds all of them. Beside [`Seen`], which must read nothing that is made alike here.
pub(super) fn readable(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    if let Facts::Snp(snp) = &mut facts {
        let SnpFacts {
            claims,
            product: _,
            product_from: _,
            signer,
            leaf_fingerprint,
            intermediate_fingerprint,
            leaf_public_key,
            leaf_serial,
            leaf_not_before,
            leaf_not_after,
            product_name: _,
            product_name_agrees: _,
            revocation,
            root: _,
            firmware: _,
            notes: _,
            binding,
        } = snp.as_mut();
        if let Signer::Vcek { chip_id } = signer {
            *chip_id = [0; 64];
        }
        *leaf_fingerprint = [0; 32];
        *intermediate_fingerprint = [0; 32];
        // Whether the list is fresh is a finding.
        *revocation = Revocation::Missing;
        leaf_public_key.clear();
        leaf_serial.clear();
        (*leaf_not_before, *leaf_not_after) = (UnixTime(0), UnixTime(0));
        if let Binding::ReportData(data) = binding {
            *data = [0; 64];
        }
        claims.report_data = [0; 64];
        claims.measurement = [0; 48];
        claims.host_data = [0; 32];
        claims.report_id = [0; 32];
        claims.report_id_ma = [0; 32];
        claims.chip_id = [0; 64];
    }
    facts
}

fn listed(list: &[String]) -> String {
    list.join(", ")
}

impl<'a> Seen<'a> {
    pub(super) fn new(facts: &'a Facts, findings: &'a [Finding], by: JudgedBy) -> Self {
        let (snp, quote, tpm) = members(facts);
        let mut kinds: Vec<&str> = facts.kinds().into_iter().map(crate::Kind::word).collect();
        // What a provider's layer stands on counts, too: the processor, and its virtual TPM.
        let inside = [
            snp.map(|_| "snp"),
            quote.map(|quote| {
                if trust_domain(quote).is_some() {
                    "tdx"
                } else {
                    "sgx"
                }
            }),
            tpm.map(|_| "tpm"),
        ];
        for kind in inside.into_iter().flatten() {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Self {
            kinds,
            snp,
            quote,
            tpm,
            findings,
            by,
        }
    }

    /// The answer to a condition that is not made of others.
    pub(super) fn answer(&self, leaf: &Condition, knowledge: &Knowledge) -> Answer {
        match leaf {
            Condition::Evidence(kinds) => {
                let holds = kinds.iter().any(|kind| self.kinds.contains(&kind.as_str()));
                let fact = Fact::new(Looked::Evidence, self.kinds.join(", "), listed(kinds));
                Answer::shown(Some(holds), fact)
            }
            Condition::Product(_) | Condition::Line(_) => self.silicon(leaf, knowledge),
            Condition::Floors(set) => self.floors(set, knowledge),
            Condition::Mitigation(_)
            | Condition::ReportVersion(_)
            | Condition::Vmpl(_)
            | Condition::Signer(_)
            | Condition::Committed(_) => self.report(leaf),
            Condition::Bit(bit) => self.bit(bit),
            Condition::AdvisoryOpen(_)
            | Condition::AdvisoryFixed(_)
            | Condition::TcbStatus(_)
            | Condition::Module(_)
            | Condition::ServiceTd(_)
            | Condition::SgxType(_)
            | Condition::PckSmt(_)
            | Condition::Relaunched(_) => self.intel(leaf),
            Condition::Roca(_)
            | Condition::TpmMaker(_)
            | Condition::TpmRoot(_)
            | Condition::TpmFirmware(_) => self.of_tpm(leaf),
            Condition::Check(check) => self.check(check),
            Condition::Dangerous(wanted) => {
                let used = |finding: &&Finding| {
                    finding.id.starts_with("dangerous.") || finding.because.contains("dangerous")
                };
                let found = self.findings.iter().find(used);
                let fact = Fact::new(
                    Looked::Check(found.map_or("dangerous.*", |finding| finding.id).to_owned()),
                    found.map_or("", |finding| finding.status.word()),
                    if *wanted { "used" } else { "unused" },
                );
                Answer::shown(Some(found.is_some() == *wanted), fact)
            }
            Condition::Judged(by) => {
                let word = |by| match by {
                    JudgedBy::Owner => "owner",
                    JudgedBy::Witness => "witness",
                };
                let fact = Fact::new(Looked::Judge, word(self.by), word(*by));
                Answer::shown(Some(self.by == *by), fact)
            }
            // Made of others; evaluated before.
            Condition::All(_) | Condition::Any(_) | Condition::Not(_) | Condition::Always(_) => {
                Answer::shown(None, Fact::new(Looked::Evidence, "", ""))
            }
        }
    }

    fn check(&self, check: &CheckWas) -> Answer {
        let mut all = self.findings.iter();
        let found = all.find(|finding| finding.id == check.id);
        let word = found.map_or("", |finding| finding.status.word());
        let fact = Fact::new(Looked::Check(check.id.clone()), word, check.was.as_str());
        Answer::shown(Some(word == check.was), fact)
    }

    /// The lines of silicon that this report may come from: one by its CPUID, all of the product
    /// where a version 2 report does not say.
    fn lines<'k>(&self, knowledge: &'k Knowledge) -> Vec<&'k Line> {
        let Some(snp) = self.snp else {
            return Vec::new();
        };
        let within = |range: [u8; 2], value: u8| {
            let [first, last] = range;
            (first..=last).contains(&value)
        };
        let fits = |line: &&Line| match snp.claims.cpuid {
            Some(cpuid) => {
                line.family == cpuid.family
                    && within(line.models, cpuid.model)
                    && within(line.steppings, cpuid.stepping)
            }
            None => line.product == snp.product.name(),
        };
        knowledge.lines().iter().filter(fits).collect()
    }

    fn silicon(&self, leaf: &Condition, knowledge: &Knowledge) -> Answer {
        let Some(snp) = self.snp else {
            let fact = Fact::new(Looked::Silicon, "", "AMD");
            return Answer::shown(Some(false), fact);
        };
        let (found, wanted, holds) = match leaf {
            Condition::Product(products) => {
                let name = snp.product.name();
                let holds = products.iter().any(|product| product == name);
                (name.to_owned(), listed(products), Some(holds))
            }
            Condition::Line(lines) => {
                let here = self.lines(knowledge);
                let among = |line: &&&Line| lines.contains(&line.id);
                let count = here.iter().filter(among).count();
                let holds = match count {
                    0 => Some(false),
                    count if count == here.len() => Some(true),
                    _ => None,
                };
                let names: Vec<_> = here.iter().map(|line| line.name.as_str()).collect();
                (names.join(" / "), listed(lines), holds)
            }
            _ => (String::new(), String::new(), None),
        };
        Answer::shown(holds, Fact::new(Looked::Silicon, found, wanted))
    }

    /// All figures of a set, on every line that this may be, in the worst of the four views.
    fn floors(&self, set: &str, knowledge: &Knowledge) -> Answer {
        let Some(snp) = self.snp else {
            let fact = Fact::new(Looked::NoFigure(set.to_owned()), "", set);
            return Answer::of(Truth::Unknown(Missing::NotShown), fact);
        };
        let lines = self.lines(knowledge);
        let unknown = || {
            let found = snp
                .claims
                .cpuid
                .map_or_else(String::new, |cpuid| cpuid.to_string());
            let fact = Fact::new(Looked::NoFigure(set.to_owned()), found, set);
            Answer::of(Truth::Unknown(Missing::NoNumber), fact)
        };
        if lines.is_empty() {
            return unknown();
        }
        let mut answers: Vec<Answer> = lines
            .iter()
            .map(|line| {
                let belongs = |floor: &&Floor| floor.set == set && floor.line == line.id;
                let all = knowledge.floors().iter().filter(belongs);
                on_line(snp, &all.collect::<Vec<_>>()).unwrap_or_else(unknown)
            })
            .collect();
        // A version 2 report may be of any line: it must hold, or fail, on all of them.
        let alike = |truth: Truth| answers.iter().all(|answer| answer.truth == truth);
        if alike(Truth::Yes) || alike(Truth::No) || lines.len() == 1 {
            return answers.swap_remove(0);
        }
        let fact = Fact::new(Looked::Silicon, "", "CPUID");
        Answer::of(Truth::Unknown(Missing::NotShown), fact)
    }

    fn report(&self, leaf: &Condition) -> Answer {
        let field = |name: &str| Looked::Field(name.to_owned());
        let Some(snp) = self.snp else {
            return Answer::shown(None, Fact::new(Looked::Evidence, "", "snp"));
        };
        let claims = &snp.claims;
        match leaf {
            Condition::Mitigation(bit) => {
                let mask = 1_u64.checked_shl(u32::from(*bit)).unwrap_or(0);
                let wanted = format!("bit {bit}");
                let Some(held) = claims.mitigations else {
                    let found = format!("VERSION {}", claims.version);
                    return Answer::shown(
                        None,
                        Fact::new(
                            field("LAUNCH_MIT_VECTOR, CURRENT_MIT_VECTOR"),
                            found,
                            wanted,
                        ),
                    );
                };
                let found = format!("{:#x}, {:#x}", held.launch, held.current);
                let holds = held.launch & mask != 0 && held.current & mask != 0;
                let fact = Fact::new(
                    field("LAUNCH_MIT_VECTOR, CURRENT_MIT_VECTOR"),
                    found,
                    wanted,
                );
                Answer::shown(Some(holds), fact)
            }
            Condition::ReportVersion(least) => {
                let wanted = format!("at least {least}");
                let fact = Fact::new(field("VERSION"), claims.version.to_string(), wanted);
                Answer::shown(Some(claims.version >= *least), fact)
            }
            Condition::Vmpl(levels) => {
                let wanted: Vec<String> = levels.iter().map(u32::to_string).collect();
                let fact = Fact::new(field("VMPL"), claims.vmpl.to_string(), listed(&wanted));
                Answer::shown(Some(levels.contains(&claims.vmpl)), fact)
            }
            Condition::Signer(wanted) => {
                let found = match snp.signer {
                    Signer::Vcek { .. } => "vcek",
                    Signer::Vlek { .. } => "vlek",
                };
                let fact = Fact::new(field("SIGNING_KEY"), found, wanted.as_str());
                Answer::shown(Some(found == wanted), fact)
            }
            Condition::Committed(wanted) => {
                let same = claims.current_tcb == claims.committed_tcb
                    && claims.current_version == claims.committed_version;
                let found = claims.current_version.to_string();
                let fact = Fact::new(
                    field("CURRENT, COMMITTED"),
                    format!("{found}, {}", claims.committed_version),
                    if *wanted { "the same" } else { "different" },
                );
                Answer::shown(Some(same == *wanted), fact)
            }
            _ => Answer::shown(None, Fact::new(Looked::Evidence, "", "")),
        }
    }

    fn bit(&self, bit: &Bit) -> Answer {
        let trust_domain = self.quote.and_then(trust_domain);
        let value = match (bit.field.as_str(), self.snp, trust_domain) {
            ("POLICY", Some(snp), _) => Some(snp.claims.policy.0),
            ("PLATFORM_INFO", Some(snp), _) => Some(snp.claims.platform_info.0),
            ("KEY_INFO", Some(snp), _) => Some(u64::from(snp.claims.key_info.0)),
            ("TD_ATTRIBUTES", _, Some(report)) => Some(report.td_attributes.0),
            _ => None,
        };
        let mask = 1_u64.checked_shl(u32::from(bit.number)).unwrap_or(0);
        let is = value.map(|value| value & mask != 0);
        let version = self.snp.map_or(u32::MAX, |snp| snp.claims.version);
        // Before the version that defines the bit, a zero says nothing.
        let told = is.filter(|is| *is || version >= bit.since);
        let word = |is: bool| if is { "1" } else { "0" };
        let fact = Fact::new(
            Looked::Field(format!("{} bit {}", bit.field, bit.number)),
            told.map_or_else(|| format!("VERSION {version}"), |is| word(is).to_owned()),
            word(bit.is),
        );
        Answer::shown(told.map(|is| is == bit.is), fact)
    }

    fn intel(&self, leaf: &Condition) -> Answer {
        let Some(quote) = self.quote else {
            return Answer::shown(None, Fact::new(Looked::Evidence, "", "tdx, sgx"));
        };
        let field = |name: &str| Looked::Field(name.to_owned());
        match leaf {
            Condition::AdvisoryOpen(ids) => {
                let open = |id: &&String| quote.standing.advisories.contains(id);
                let found: Vec<String> = ids.iter().filter(open).cloned().collect();
                let holds = match (found.is_empty(), quote.standing.status) {
                    (false, _) => Some(true),
                    // Below every level that the document knows: it says nothing about it.
                    (true, TcbStatus::TcbNotSupported) => None,
                    (true, _) => Some(false),
                };
                Answer::shown(
                    holds,
                    Fact::new(Looked::Advisories, listed(&found), listed(ids)),
                )
            }
            Condition::AdvisoryFixed(fixed) => advisory_fixed(quote, fixed),
            Condition::TcbStatus(words) => {
                let found = quote.standing.status.as_str();
                let fact = Fact::new(field("tcbStatus"), found, listed(words));
                Answer::shown(Some(words.iter().any(|word| word == found)), fact)
            }
            Condition::SgxType(types) => {
                let found = match quote.platform.sgx_type {
                    SgxType::Standard => "standard",
                    SgxType::Scalable => "scalable",
                    SgxType::ScalableWithIntegrity => "scalable-with-integrity",
                };
                let fact = Fact::new(field("SGX Type"), found, listed(types));
                Answer::shown(Some(types.iter().any(|kind| kind == found)), fact)
            }
            Condition::PckSmt(wanted) => {
                let found = quote
                    .platform
                    .configuration
                    .and_then(|held| held.smt_enabled);
                let word = found.map_or_else(String::new, |on| on.to_string());
                let fact = Fact::new(field("SMT enabled"), word, wanted.to_string());
                Answer::shown(found.map(|on| on == *wanted), fact)
            }
            Condition::Module(module) => in_module(quote, *module),
            Condition::ServiceTd(wanted) => {
                let report = trust_domain(quote).and_then(|report| report.td15.as_ref());
                let bound = report.map(|td15| td15.mr_service_td != [0; 48]);
                let word = bound.map_or_else(String::new, |bound| bound.to_string());
                let fact = Fact::new(field("MRSERVICETD"), word, wanted.to_string());
                Answer::shown(bound.map(|bound| bound == *wanted), fact)
            }
            Condition::Relaunched(wanted) => {
                let report = trust_domain(quote);
                let td15 = report.and_then(|report| report.td15.as_ref());
                let same = report
                    .zip(td15)
                    .map(|(report, td15)| report.tee_tcb_svn == td15.tee_tcb_svn2);
                let fact = Fact::new(
                    field("TEE_TCB_SVN, TEE_TCB_SVN2"),
                    same.map_or_else(String::new, |same| same.to_string()),
                    wanted.to_string(),
                );
                Answer::shown(same.map(|same| same == *wanted), fact)
            }
            _ => Answer::shown(None, Fact::new(Looked::Evidence, "", "")),
        }
    }

    fn of_tpm(&self, leaf: &Condition) -> Answer {
        let Some(tpm) = self.tpm else {
            return Answer::shown(None, Fact::new(Looked::Evidence, "", "tpm"));
        };
        let ek = match &tpm.trust {
            TrustBasis::Activated(ek) | TrustBasis::Certified(ek) => Some(ek),
            TrustBasis::CommittedByReport
            | TrustBasis::EnrolledByOwner(_)
            | TrustBasis::DangerousUnproven { .. } => None,
        };
        let among = |found: &Option<String>, wanted: &[String]| {
            found.as_ref().map(|found| {
                let found = found.trim_matches(char::from(0)).trim();
                wanted.iter().any(|wanted| wanted == found)
            })
        };
        match leaf {
            Condition::TpmMaker(makers) => {
                let found = ek.and_then(|ek| ek.identity.manufacturer_text());
                let holds = among(&found, makers);
                let looked = Looked::Field("TPM manufacturer".to_owned());
                Answer::shown(
                    holds,
                    Fact::new(looked, found.unwrap_or_default(), listed(makers)),
                )
            }
            Condition::TpmRoot(makers) => {
                let found = ek.map(|ek| ek.root.maker.clone());
                let holds = among(&found, makers);
                let looked = Looked::Field("TPM root".to_owned());
                Answer::shown(
                    holds,
                    Fact::new(looked, found.unwrap_or_default(), listed(makers)),
                )
            }
            Condition::Roca(wanted) => marked(ek.map(|ek| &ek.key), *wanted),
            Condition::TpmFirmware(least) => {
                let looked = Looked::Field("firmwareVersion".to_owned());
                let found = format!("{:#x}", tpm.firmware_version);
                let fact = Fact::new(looked, found, format!("at least {least:#x}"));
                Answer::shown(Some(tpm.firmware_version >= *least), fact)
            }
            _ => Answer::shown(None, Fact::new(Looked::Evidence, "", "")),
        }
    }
}

fn marked(key: Option<&AttestationKey>, wanted: bool) -> Answer {
    let marked = key.and_then(|key| match key.kind {
        KeyKind::Rsa => roca::is_marked(&key.key),
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => Some(false),
    });
    let found = marked.map_or_else(String::new, |marked| marked.to_string());
    let looked = Looked::Field("ROCA".to_owned());
    let fact = Fact::new(looked, found, wanted.to_string());
    Answer::shown(marked.map(|marked| marked == wanted), fact)
}

fn trust_domain(quote: &QuoteFacts) -> Option<&TdReport> {
    match &quote.claims {
        Body::Tdx(report) => Some(report),
        Body::Sgx(_) => None,
    }
}

/// Intel: a level is not vulnerable to advisories released on or before its date, except those
/// that the level itself names.
fn advisory_fixed(quote: &QuoteFacts, fixed: &Fixed) -> Answer {
    let standing = &quote.standing;
    let open: Vec<String> = fixed
        .ids
        .iter()
        .filter(|id| standing.advisories.contains(id))
        .cloned()
        .collect();
    let wanted = format!("{}; tcbDate {}", listed(&fixed.ids), fixed.out_by);
    if !open.is_empty() {
        return Answer::shown(
            Some(false),
            Fact::new(Looked::Advisories, listed(&open), wanted),
        );
    }
    let by = UnixTime::parse_rfc3339(&format!("{}T00:00:00Z", fixed.out_by));
    let holds = match (standing.tcb_date, by) {
        (Some(date), Some(by)) if date >= by => Some(true),
        _ => None,
    };
    let date = standing
        .tcb_date
        .map_or_else(String::new, |date| date.to_string());
    let fact = Fact::new(Looked::Advisories, format!("tcbDate {date}"), wanted);
    Answer::shown(holds, fact)
}

fn in_module(quote: &QuoteFacts, module: Module) -> Answer {
    let looked = Looked::Field("TEE_TCB_SVN".to_owned());
    let Some(report) = trust_domain(quote) else {
        return Answer::shown(None, Fact::new(looked, "", ""));
    };
    let [minor, major, ..] = report.tee_tcb_svn;
    let found = format!("{major}.{minor}");
    let fact = Fact::new(looked, found, format!("{}.{}", module.major, module.minor));
    let holds = (major == module.major).then_some(minor >= module.minor);
    Answer::shown(holds, fact)
}

/// The figures of one line; `None` where there is none that says anything.
fn on_line(snp: &SnpFacts, floors: &[&Floor]) -> Option<Answer> {
    let layout = snp.product.layout();
    let claims = &snp.claims;
    let views = [
        claims.current_tcb,
        claims.reported_tcb,
        claims.committed_tcb,
        claims.launch_tcb,
    ];
    let mut facts = Vec::new();
    let mut weak = None;
    for floor in floors {
        let of = |tcb: Tcb| {
            let mut all = tcb.components();
            all.find(|(name, _)| *name == floor.component)
        };
        let lowest = views.iter().filter_map(|view| of(view.parts(layout)));
        let lowest = lowest.map(|(_, version)| version).min();
        let looked = Looked::Version {
            component: floor.component.clone(),
            set: floor.set.clone(),
        };
        let found = lowest.map_or_else(String::new, |version| version.to_string());
        let fact = Fact::new(looked, found, floor.minimum.to_string());
        let fact = fact.read_in(&floor.sources);
        match (floor.standing, lowest) {
            (Standing::Withdrawn, _) => weak = Some(weak.unwrap_or(fact)),
            (_, None) => return Some(Answer::shown(None, fact)),
            (Standing::Active, Some(lowest)) if lowest < floor.minimum => {
                return Some(Answer::shown(Some(false), fact));
            }
            (_, Some(lowest)) if lowest >= floor.minimum && floor.can_prove() => facts.push(fact),
            // Reached or not: nobody can rely on the figure.
            _ => weak = Some(weak.unwrap_or(fact)),
        }
    }
    match weak {
        Some(fact) => Some(Answer::of(Truth::Unknown(Missing::NoNumber), fact)),
        None if facts.is_empty() => None,
        None => Some(Answer {
            truth: Truth::Yes,
            facts,
        }),
    }
}
