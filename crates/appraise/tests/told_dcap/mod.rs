//! What the tests of lies about Intel's quotes need: the toy's trust, its machines, the owner who
//! knows them, and the way from a told quote to a verdict.

#![expect(dead_code, reason = "each test uses its part")]

pub(crate) mod cases;

use zeuge_appraise::{
    Facts, HardwareRegistry, Policy, QuoteFacts, ReferenceValues, Status, UnixTime, Verdict,
    Wanted, judge,
};
use zeuge_evidence::dcap::Quote;
use zeuge_sim::{IntelLie, QuoteSpec, ToyIntel, ToyQuote};
use zeuge_verify::{Anchors, Binding, Endorsements, Verified, crypto::AWS_LC, dcap};

/// MRSEAM of the toy's TDX module.
pub(crate) const MR_SEAM: [u8; 48] = [0x5e; 48];

/// An instant in RFC 3339.
pub(crate) fn instant(text: &str) -> UnixTime {
    UnixTime::parse_rfc3339(text).expect("a good instant")
}

/// The instant of all tests.
pub(crate) fn now() -> UnixTime {
    instant("2026-03-01T00:00:00Z")
}

/// What an owner wishes.
#[derive(Clone)]
pub(crate) struct Wishes {
    pub(crate) policy: Policy,
    pub(crate) reference_values: ReferenceValues,
    pub(crate) hardware: Option<HardwareRegistry>,
    pub(crate) seen: Option<u32>,
    pub(crate) ahead: Option<QuoteFacts>,
}

impl Wishes {
    /// The same wishes as an argument of the appraisal.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            policy: &self.policy,
            reference_values: &self.reference_values,
            hardware: self.hardware.as_ref(),
            evaluation_number_seen: self.seen,
            ahead: self.ahead.as_ref(),
            hardware_only: None,
            at: now(),
        }
    }
}

/// A policy with these lines in its part for Intel.
pub(crate) fn policy(intel: &str) -> Policy {
    let text = format!("schema = \"zeuge.policy.v1\"\n[intel]\n{intel}");
    Policy::parse(&text).expect("a good policy")
}

/// What a reference value pins of a machine's state, each as a line of TOML.
#[derive(Clone)]
pub(crate) struct Pins {
    pub(crate) rtmr1: [u8; 48],
    pub(crate) mr_seam: [u8; 48],
    pub(crate) mr_config_id: [u8; 48],
    pub(crate) mr_owner: [u8; 48],
    pub(crate) mr_owner_config: [u8; 48],
    /// None: any, which warns.
    pub(crate) mr_service_td: Option<[u8; 48]>,
    pub(crate) minimum_isv_svn: u16,
}

impl Pins {
    /// What this machine is.
    pub(crate) fn of(spec: &QuoteSpec) -> Self {
        Self {
            rtmr1: spec.rtmr[1],
            mr_seam: MR_SEAM,
            mr_config_id: spec.mr_config_id,
            mr_owner: [0; 48],
            mr_owner_config: [0; 48],
            mr_service_td: None,
            minimum_isv_svn: 1,
        }
    }

    /// A trust domain and an enclave of this name; one value for each.
    pub(crate) fn values(&self, name: &str, spec: &QuoteSpec) -> String {
        let service_td = self.mr_service_td.map(hex::encode);
        let service_td = service_td.map(|hash| format!("\"{hash}\""));
        format!(
            "[[tdx]]\nname = \"{name}\"\nmr_td = [\"{}\"]\nrtmr = {{ \"1\" = [\"{}\"] }}\n\
             mr_seam = [\"{}\"]\nmr_config_id = [\"{}\"]\n\
             mr_owner = [\"{}\"]\nmr_owner_config = [\"{}\"]\nmr_service_td = [{}]\n\
             [[sgx]]\nname = \"{name}\"\nmr_enclave = [\"{}\"]\nminimum_isv_svn = {}\n",
            hex::encode(spec.mr_td),
            hex::encode(self.rtmr1),
            hex::encode(self.mr_seam),
            hex::encode(self.mr_config_id),
            hex::encode(self.mr_owner),
            hex::encode(self.mr_owner_config),
            service_td.unwrap_or_default(),
            hex::encode(spec.mr_enclave),
            self.minimum_isv_svn,
        )
    }
}

/// Reference values with these tables.
pub(crate) fn reference_values(tables: &str) -> ReferenceValues {
    let text = format!("schema = \"zeuge.reference-values.v1\"\n{tables}");
    ReferenceValues::parse(&text).expect("good reference values")
}

/// What the owner of this machine wishes: everything pinned, the newest documents.
pub(crate) fn wishes(spec: &QuoteSpec) -> Wishes {
    Wishes {
        policy: policy("minimum_evaluation_number = 20"),
        reference_values: reference_values(&Pins::of(spec).values("web", spec)),
        hardware: None,
        seen: Some(20),
        ahead: None,
    }
}

/// Verifies what the toy tells, bound to what was expected or to nothing; it must hold.
pub(crate) fn verified(
    lie: Option<IntelLie>,
    spec: &QuoteSpec,
    unbound: bool,
) -> Verified<QuoteFacts> {
    proven(&ToyIntel::shared().tell(lie, spec, now()), unbound)
}

/// What is proven about a told quote, bound to what was expected or to nothing; it must hold.
pub(crate) fn proven(told: &ToyQuote, unbound: bool) -> Verified<QuoteFacts> {
    let binding = if unbound {
        Binding::Unbound {
            because: "a sample".to_owned(),
        }
    } else {
        Binding::ReportData(told.expected_report_data)
    };
    let anchors = Anchors::dangerous_sim(&ToyIntel::shared().trust_file()).expect("a trust file");
    let quote = Quote::parse(&told.quote).expect("a quote");
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    let verified = dcap::quote(&quote, &heap, &anchors, &binding, told.at, &AWS_LC);
    verified.expect("the toy signs well")
}

/// The verdict on facts.
pub(crate) fn verdict(facts: QuoteFacts, wishes: &Wishes) -> Verdict {
    judge(&Facts::from(facts), &[], &wishes.wanted())
}

/// The ids that warn or were not checked, but for the toy's own.
pub(crate) fn warnings(verdict: &Verdict) -> Vec<&'static str> {
    let weak = |status| matches!(status, Status::Warn | Status::Unchecked);
    let findings = verdict.findings.iter();
    findings
        .filter(|finding| weak(finding.status) && finding.id != "dangerous.sim-root")
        .map(|finding| finding.id)
        .collect()
}
