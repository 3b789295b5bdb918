//! For every id of appraisal about Intel's quotes the verdicts in which exactly that check does not
//! hold.
//!
//! What a machine can lie about is told by the toy; what only an owner can wish is wished here, of
//! an honest machine.

use sha2::Digest as _;
use zeuge_appraise::{
    HardwareRegistry, Kind, Policy, QuoteFacts, ReleaseRule, Status, Suite, Verdict,
};
use zeuge_sim::{IntelLie, QuoteForm, QuoteSpec};
use zeuge_verify::dcap::{Revocation, TcbStatus};

use super::{Pins, Wishes, policy, reference_values, verdict, verified, warnings, wishes};

/// Every id of appraisal that these platforms go through.
pub(crate) fn checks() -> Vec<&'static str> {
    [
        zeuge_appraise::dcap::CHECKS,
        zeuge_appraise::outlook::CHECKS,
        zeuge_appraise::hardware::CHECKS,
        zeuge_appraise::rule::CHECKS,
        &[
            "dangerous.sim-root",
            "policy.binding",
            "policy.debug",
            "policy.measurement",
            "policy.migration",
        ],
    ]
    .concat()
}

/// The ids that do not hold in a verdict, the toy's own warning aside.
pub(crate) fn broken(verdict: &Verdict, id: &str) -> Vec<&'static str> {
    let mut ids = verdict.failed();
    ids.extend(warnings(verdict));
    if id == "dangerous.sim-root" {
        let toy = |finding: &&zeuge_appraise::Finding| finding.id == id;
        ids.extend(verdict.findings.iter().filter(toy).map(|toy| toy.id));
    }
    ids
}

/// Whether the check with this id warns or fails in a verdict.
pub(crate) fn is_caught(verdict: &Verdict, id: &str) -> bool {
    verdict
        .findings
        .iter()
        .any(|finding| finding.id == id && matches!(finding.status, Status::Warn | Status::Fail))
}

fn tdx() -> QuoteSpec {
    QuoteSpec::new(QuoteForm::Tdx5)
}

fn sgx() -> QuoteSpec {
    QuoteSpec::new(QuoteForm::Sgx3)
}

fn facts(spec: &QuoteSpec, lie: Option<IntelLie>) -> QuoteFacts {
    verified(lie, spec, false).fact().clone()
}

/// The verdicts in which this check does not hold.
pub(crate) fn of(id: &str) -> Vec<Verdict> {
    let both = [tdx(), sgx()];
    if id.starts_with("release.") || id.starts_with("hardware.") {
        let mut out: Vec<_> = both.iter().map(|spec| of_rule(id, spec, "web")).collect();
        if id == "release.workload" {
            out.extend([firmware_alone(), of_rule(id, &tdx(), "host-data")]);
        }
        return out;
    }
    let mut out = Vec::new();
    if let Some(lie) = IntelLie::about(id) {
        out.extend(both.iter().map(|spec| {
            let wishes = Wishes {
                seen: None,
                ..wishes(spec)
            };
            verdict(facts(spec, Some(lie)), &wishes)
        }));
    }
    for spec in &both {
        out.extend(of_facts(id, spec));
        out.extend(of_wish(id, spec));
    }
    assert!(!out.is_empty(), "{id} has no case");
    out
}

/// Facts that the toy does not tell, or not so.
fn of_facts(id: &str, spec: &QuoteSpec) -> Vec<Verdict> {
    let honest = wishes(spec);
    let with = |change: &dyn Fn(&mut QuoteFacts)| {
        let mut facts = facts(spec, None);
        change(&mut facts);
        verdict(facts, &honest)
    };
    match id {
        "dangerous.sim-root" => vec![with(&|_| {})],
        "policy.binding" => {
            let facts = verified(None, spec, true).fact().clone();
            let mut verdict = verdict(facts, &honest);
            // That the proof itself was not looked at stands beside the policy's warning.
            verdict
                .findings
                .retain(|finding| finding.id != "binding.report-data");
            vec![verdict]
        }
        "dcap.crl.fresh" => {
            let without_lists = QuoteSpec {
                revocation_lists: false,
                ..spec.clone()
            };
            let endless = |list: &mut Revocation| {
                if let Revocation::Checked { next_update, .. } = list {
                    *next_update = None;
                }
            };
            vec![
                verdict(facts(&without_lists, None), &honest),
                with(&|facts| endless(&mut facts.root_revocation)),
                with(&|facts| endless(&mut facts.pck_revocation)),
                with(&|facts| facts.root_revocation = Revocation::Missing),
            ]
        }
        "policy.tcb-status" => [
            TcbStatus::SwHardeningNeeded,
            TcbStatus::ConfigurationNeeded,
            TcbStatus::ConfigurationAndSwHardeningNeeded,
            TcbStatus::OutOfDate,
            TcbStatus::OutOfDateConfigurationNeeded,
            TcbStatus::TdRelaunchAdvised,
            TcbStatus::TdRelaunchAdvisedConfigurationNeeded,
            TcbStatus::Revoked,
            TcbStatus::TcbNotSupported,
        ]
        .into_iter()
        .map(|status| with(&|facts| facts.standing.status = status))
        .collect(),
        "policy.debug" if spec.form == QuoteForm::Tdx5 => {
            // The whole group "TD under debug", not the bit DEBUG alone.
            let mut spec = spec.clone();
            spec.td_attributes |= 1 << 7;
            vec![verdict(facts(&spec, None), &honest)]
        }
        _ => Vec::new(),
    }
}

/// Wishes that an honest machine does not fulfil.
fn of_wish(id: &str, spec: &QuoteSpec) -> Vec<Verdict> {
    let honest = wishes(spec);
    let with_policy = |lie, policy: Policy| {
        let wishes = Wishes {
            policy,
            ..honest.clone()
        };
        verdict(facts(spec, lie), &wishes)
    };
    let with_values = |tables: &str| {
        let wishes = Wishes {
            reference_values: reference_values(tables),
            ..honest.clone()
        };
        verdict(facts(spec, None), &wishes)
    };
    match id {
        "dcap.crl.fresh" => {
            let text = "schema = \"zeuge.policy.v1\"\ncrl_age_days_max = 9";
            vec![with_policy(None, Policy::parse(text).expect("a policy"))]
        }
        "dcap.collateral.rollback" => {
            let lie = IntelLie::about("policy.evaluation-number");
            vec![with_policy(lie, policy(""))]
        }
        "policy.advisories" => {
            let lie = IntelLie::about(id);
            let allow = |id: &str, until: &str| {
                policy(&format!(
                    "[[intel.allowed_advisories]]\nid = \"{id}\"\nbecause = \"no such device\"\n\
                     until = \"{until}\""
                ))
            };
            vec![
                with_policy(lie, allow("INTEL-SA-00615", "2026-02-28T23:59:59Z")),
                with_policy(lie, allow("INTEL-SA-00616", "2027-01-01T00:00:00Z")),
            ]
        }
        "policy.tcb-outlook" => {
            let ahead = |change: &dyn Fn(&mut QuoteFacts)| {
                let mut ahead = facts(spec, None);
                ahead.evaluation_number += 1;
                change(&mut ahead);
                let wishes = Wishes {
                    ahead: Some(ahead),
                    ..honest.clone()
                };
                verdict(facts(spec, None), &wishes)
            };
            vec![
                ahead(&|facts| facts.standing.status = TcbStatus::OutOfDate),
                ahead(&|facts| facts.standing.status = TcbStatus::ConfigurationNeeded),
                ahead(&|facts| facts.standing.status = TcbStatus::Revoked),
                ahead(&|facts| facts.pck_not_after = super::now().plus(30 * 86_400)),
            ]
        }
        "policy.measurement" => {
            let signer = format!(
                "[[sgx]]\nname = \"web\"\nmr_signer = \"{}\"\nisv_prod_id = 8\n",
                hex::encode(spec.mr_signer)
            );
            vec![with_values(""), with_values(&signer)]
        }
        _ => of_pins(id, spec),
    }
}

/// Reference values that pin something else than an honest machine is, and the rest as it is.
fn of_pins(id: &str, spec: &QuoteSpec) -> Vec<Verdict> {
    let is_tdx = spec.form == QuoteForm::Tdx5;
    let with_values = |tables: &str| {
        let wishes = Wishes {
            reference_values: reference_values(tables),
            ..wishes(spec)
        };
        verdict(facts(spec, None), &wishes)
    };
    let pins = Pins::of(spec);
    let other = [0x77; 48];
    match id {
        "policy.isv-svn" if !is_tdx => {
            let minimum_isv_svn = 2;
            let pins = Pins {
                minimum_isv_svn,
                ..pins
            };
            vec![with_values(&pins.values("web", spec))]
        }
        "policy.rtmr" if is_tdx => {
            let pins = Pins {
                rtmr1: other,
                ..pins
            };
            vec![with_values(&pins.values("web", spec))]
        }
        "policy.mr-config-id" if is_tdx => {
            let pins = Pins {
                mr_config_id: other,
                ..pins
            };
            vec![with_values(&pins.values("web", spec))]
        }
        "policy.mr-owner" if is_tdx => {
            let (mut owner, mut config) = (pins.clone(), pins);
            (owner.mr_owner, config.mr_owner_config) = (other, other);
            [owner, config]
                .iter()
                .map(|pins| with_values(&pins.values("web", spec)))
                .collect()
        }
        "policy.service-td" if is_tdx => bound_to_a_service_td(spec),
        "policy.mr-seam" if is_tdx => {
            let (mut kernel, mut module) = (pins.clone(), pins);
            (kernel.rtmr1, module.mr_seam) = (other, other);
            let module = module.values("module", spec);
            // Two values of which each has something against the machine do not make a good one.
            let two = kernel.values("kernel", spec) + &module;
            vec![with_values(&module), with_values(&two)]
        }
        _ => Vec::new(),
    }
}

/// A trust domain with a service TD that is not the one of its reference value, in either body of
/// TDX 1.5; and one without, where the value demands one.
fn bound_to_a_service_td(spec: &QuoteSpec) -> Vec<Verdict> {
    let mut bound = QuoteSpec {
        form: QuoteForm::Tdx5Service,
        mr_service_td: [1; 48],
        ..spec.clone()
    };
    let judged = |machine: &QuoteSpec, pinned| {
        let pins = Pins {
            mr_service_td: pinned,
            ..Pins::of(machine)
        };
        let wishes = Wishes {
            reference_values: reference_values(&pins.values("web", machine)),
            ..wishes(machine)
        };
        verdict(facts(machine, None), &wishes)
    };
    let mut out = vec![
        judged(&bound, None),
        judged(&bound, Some([2; 48])),
        judged(spec, Some([1; 48])),
    ];
    // The first hash is the one that was pinned, the one of today is not.
    bound.service_td_hash = [3; 48];
    out.push(judged(&bound, Some([1; 48])));
    bound.form = QuoteForm::Tdx5;
    out.push(judged(&bound, None));
    assert_eq!(judged(&bound, Some([1; 48])).failed(), [""; 0]);
    out
}

/// A registry with the platform of these facts, or as the check wants it.
pub(crate) fn registry(id: &str, facts: &QuoteFacts) -> HardwareRegistry {
    let ppid = match id {
        "hardware.enrolled" => "11".repeat(16),
        _ => hex::encode(facts.platform.ppid),
    };
    let public_key = match id {
        "hardware.key" => "00".repeat(32),
        _ => hex::encode(sha2::Sha256::digest(&facts.pck_public_key)),
    };
    let text = format!(
        "schema = \"zeuge.hardware.v1\"\n[[intel]]\nname = \"rack\"\nppid = \"{ppid}\"\n\
         keys = [{{ cpu_svn = \"{}\", pce_svn = {}, public_key = \"{public_key}\" }}]",
        hex::encode(facts.platform.tcb.cpu_svn),
        facts.platform.tcb.pce_svn,
    );
    HardwareRegistry::parse(&text).expect("a good registry")
}

/// A rule for this kind of evidence, with these lines.
pub(crate) fn rule(kind: &str, more: &str) -> ReleaseRule {
    ReleaseRule::parse(&format!(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"a\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [\"{kind}\"]\nminimum_suite = \"x-wing\"\n\
         chips = \"enrolled\"\n{more}"
    ))
    .expect("a good rule")
}

/// A verdict under a release rule.
fn of_rule(id: &str, spec: &QuoteSpec, name: &str) -> Verdict {
    let mut machine = spec.clone();
    if id == "release.closed" {
        machine.rtmr[3] = zeuge_sim::td_boot::closed(&[0; 48]);
    }
    let facts = facts(&machine, None);
    let mut wishes = wishes(spec);
    let registry = registry(id, &facts);
    let workload = if id == "release.workload" && name == "web" {
        "another"
    } else {
        "web"
    };
    let mut more = format!("workload = \"{workload}\"\n");
    if name == "host-data" {
        more += &format!("host_data = \"{}\"\n", "33".repeat(32));
    }
    if id == "release.verdict" {
        more += "demand_affirming = true\n";
    }
    if id == "release.closed" {
        more += "before_closed = true\n";
    }
    let kind = if spec.form == QuoteForm::Tdx5 {
        "tdx"
    } else {
        "sgx"
    };
    let mut verdict = verdict(facts, &wishes);
    if id == "release.evidence" {
        verdict.kind = Kind::Snp;
    }
    let door = if id == "release.door" {
        "kube"
    } else {
        "agent"
    };
    let suite = match id {
        "release.suite" => Suite::X25519,
        _ => Suite::XWing,
    };
    wishes.hardware = Some(registry);
    rule(kind, &more).apply(&verdict, &wishes.wanted(), door, suite)
}

/// A reference value that pins MRTD alone does not name a workload.
fn firmware_alone() -> Verdict {
    let spec = tdx();
    let facts = facts(&spec, None);
    let mut wishes = wishes(&spec);
    wishes.reference_values = reference_values(&format!(
        "[[tdx]]\nname = \"web\"\nmr_td = [\"{}\"]\nrtmr = {{ \"0\" = [\"{}\"] }}",
        hex::encode(spec.mr_td),
        hex::encode(spec.rtmr[0])
    ));
    let registry = registry("", &facts);
    let verdict = verdict(facts, &wishes);
    wishes.hardware = Some(registry);
    let rule = rule("tdx", "workload = \"web\"");
    rule.apply(&verdict, &wishes.wanted(), "agent", Suite::XWing)
}
