//! For every id of appraisal about SEV-SNP one verdict in which exactly that check does not hold.
//!
//! What hardware can lie about is told by the toy; what only an owner can wish is wished here, of
//! an honest machine whose facts are changed where no toy has that feature.

use zeuge_appraise::{
    Facts, HardwareRegistry, Kind, ReleaseRule, SnpFacts, Status, Suite, Verdict, judge,
};
use zeuge_evidence::snp::{GuestPolicy, PlatformInfo};
use zeuge_sim::{Lie, Product, ReportSpec, Signer, ToyAmd};
use zeuge_verify::Binding;

use super::{Wishes, bound, instant, policy, reference_values, trusted, warnings, wishes};

/// Every id of appraisal that this platform goes through.
pub(crate) fn checks() -> Vec<&'static str> {
    [
        zeuge_appraise::snp::CHECKS,
        zeuge_appraise::hardware::CHECKS,
        zeuge_appraise::rule::CHECKS,
    ]
    .concat()
}

/// The ids that do not hold in a verdict, the toy's own warning and the verdict's consequence
/// aside.
pub(crate) fn broken(verdict: &Verdict, id: &str) -> Vec<&'static str> {
    let mut ids = verdict.failed();
    ids.extend(warnings(verdict));
    ids.retain(|found| *found == id || *found != "dangerous.sim-root");
    ids
}

/// A machine on Milan, honest but for this lie, with the facts that are proven about it.
fn machine(spec: &ReportSpec, lie: Option<Lie>, binding: Option<&Binding>) -> SnpFacts {
    let told = ToyAmd::shared().tell(lie, spec, instant("2026-03-01T00:00:00Z"));
    let own = Binding::ReportData(told.expected_report_data);
    let verified = bound(&told, &trusted(), binding.unwrap_or(&own));
    verified.fact().clone()
}

fn verdict(facts: SnpFacts, wishes: &Wishes) -> Verdict {
    let at = instant("2026-03-01T00:00:00Z");
    judge(&Facts::from(facts), &[], &wishes.at(at))
}

/// A verdict in which this check does not hold.
pub(crate) fn of(id: &str) -> Verdict {
    let spec = ReportSpec::new(Product::Milan);
    let honest = wishes(&spec);
    if let Some(lie) = Lie::about(id) {
        return verdict(machine(&spec, Some(lie), None), &honest);
    }
    if id.starts_with("release.") || id.starts_with("hardware.") {
        return of_rule(id, machine(&spec, None, None), honest);
    }
    match id {
        "policy.binding" => {
            let because = "a sample".to_owned();
            let facts = machine(&spec, None, Some(&Binding::Unbound { because }));
            let mut verdict = verdict(facts, &honest);
            // That the proof itself was not looked at stands beside the policy's warning.
            verdict
                .findings
                .retain(|finding| finding.id != "binding.report-data");
            verdict
        }
        // spec: sev-snp.vlek.provider-wanted
        "policy.provider" => {
            let signer = Signer::Vlek;
            let facts = machine(&ReportSpec { signer, ..spec }, None, None);
            let policy = policy("providers = [\"CN=another.example\"]");
            verdict(facts, &Wishes { policy, ..honest })
        }
        // spec: sev-snp.launch.host-data
        "policy.host-data" => {
            let pinned = format!("host_data = [\"{}\"]", "77".repeat(32));
            let reference_values = reference_values(&spec.measurement, &pinned);
            let wishes = Wishes {
                reference_values,
                ..honest
            };
            verdict(machine(&spec, None, None), &wishes)
        }
        _ => of_wish(id, machine(&spec, None, None), honest),
    }
}

/// A wish of the owner's that this machine does not fulfil.
fn of_wish(id: &str, mut facts: SnpFacts, honest: Wishes) -> Verdict {
    let claims = &mut facts.claims;
    let (smt, cxl) = (1 << 16, 1 << 21);
    let wish = match id {
        "dangerous.sim-root" => "",
        "policy.alias-check" => {
            claims.platform_info = PlatformInfo(0);
            "require_alias_check = true"
        }
        "policy.ciphertext-hiding" => "require_ciphertext_hiding = true",
        "policy.cxl" => {
            claims.policy = GuestPolicy(claims.policy.0 | cxl);
            "forbid_cxl = true"
        }
        "policy.mitigations" => "required_mitigations = 1",
        "policy.product" => "refused_products = [\"Milan\"]",
        "policy.product-name" => {
            facts.product_name_agrees = false;
            ""
        }
        "policy.provisional-firmware" => {
            claims.committed_tcb.0[7] -= 1;
            "forbid_provisional_firmware = true"
        }
        "policy.single-socket" => "require_single_socket = true",
        "policy.smt" => {
            claims.policy = GuestPolicy(claims.policy.0 | smt);
            "forbid_smt = true"
        }
        _ => panic!("{id} has no case"),
    };
    let policy = policy(wish);
    verdict(facts, &Wishes { policy, ..honest })
}

/// A verdict under a release rule.
fn of_rule(id: &str, facts: SnpFacts, mut wishes: Wishes) -> Verdict {
    let key = if id == "hardware.key" { "00" } else { "" };
    let chip = match id {
        "hardware.enrolled" => "11".repeat(64),
        _ => hex::encode(facts.claims.chip_id),
    };
    let public_key = match key {
        "" => {
            use sha2::Digest as _;
            hex::encode(sha2::Sha256::digest(&facts.leaf_public_key))
        }
        key => key.repeat(32),
    };
    let registry = format!(
        "schema = \"zeuge.hardware.v1\"\n[[chip]]\nname = \"rack\"\nchip_id = \"{chip}\"\n\
         keys = [{{ tcb = \"{}\", public_key = \"{public_key}\" }}]",
        hex::encode(facts.claims.reported_tcb.0)
    );
    wishes.hardware = Some(HardwareRegistry::parse(&registry).expect("a good registry"));
    let workload = match id {
        "release.workload" => "another",
        _ => "web",
    };
    let (affirming, closed) = (id == "release.verdict", id == "release.closed");
    let rule = ReleaseRule::parse(&format!(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"a\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [\"snp\"]\nminimum_suite = \"x-wing\"\n\
         chips = \"enrolled\"\nworkload = \"{workload}\"\ndemand_affirming = {affirming}\n\
         before_closed = {closed}"
    ))
    .expect("a good rule");
    let at = instant("2026-03-01T00:00:00Z");
    let mut wanted = wishes.at(at);
    let registry = wanted.hardware.take();
    let mut verdict = judge(&Facts::from(facts), &[], &wanted);
    wanted.hardware = registry;
    if id == "release.evidence" {
        verdict.kind = Kind::Tdx;
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
    rule.apply(&verdict, &wanted, door, suite)
}

/// Whether the check with this id warns or fails in its verdict.
pub(crate) fn is_caught(id: &str) -> bool {
    of(id)
        .findings
        .iter()
        .any(|finding| finding.id == id && matches!(finding.status, Status::Warn | Status::Fail))
}
