//! What is proven about a toy of every kind, and what the owner of each knows.

#![expect(dead_code, reason = "each test uses its part")]

#[path = "../told/mod.rs"]
pub(crate) mod told;
#[path = "../told_behind/mod.rs"]
pub(crate) mod told_behind;
#[path = "../told_boot/mod.rs"]
pub(crate) mod told_boot;
#[path = "../told_enclave/mod.rs"]
pub(crate) mod told_enclave;
#[path = "../told_intel/mod.rs"]
pub(crate) mod told_intel;

use zeuge_appraise::{
    AzureFacts, Body, CompositeFacts, Cpu, Facts, HardwareRegistry, NitroFacts, Policy, QuoteFacts,
    ReferenceValues, SnpFacts, Status, TpmFacts, UnixTime, Verdict, Wanted, judge,
};
use zeuge_evidence::{sgx::EnclaveReport, tdx::TdReport};
use zeuge_sim::{AzureCpu, AzureSpec, NitroSpec, QuoteForm, QuoteSpec, ReportSpec, ToyAmd};
use zeuge_verify::Binding;

/// The instant of all tellings.
pub(crate) const NOW: UnixTime = UnixTime(1_772_323_200);

/// What is proven about this SEV-SNP machine.
pub(crate) fn snp(spec: &ReportSpec) -> SnpFacts {
    let told = ToyAmd::shared().tell(None, spec, NOW);
    let binding = Binding::ReportData(told.expected_report_data);
    told::bound(&told, &told::trusted(), &binding)
        .fact()
        .clone()
}

/// What is proven about a machine that quotes in this form.
pub(crate) fn quote(form: QuoteForm) -> QuoteFacts {
    told_intel::facts(None, &QuoteSpec::new(form))
}

/// The trust domain of a quote.
pub(crate) fn td(facts: &mut QuoteFacts) -> &mut TdReport {
    match &mut facts.claims {
        Body::Tdx(report) => report,
        Body::Sgx(_) => panic!("an enclave"),
    }
}

/// The enclave of a quote.
pub(crate) fn enclave(facts: &mut QuoteFacts) -> &mut EnclaveReport {
    match &mut facts.claims {
        Body::Sgx(report) => report,
        Body::Tdx(_) => panic!("a trust domain"),
    }
}

/// What is proven about a machine with a TPM.
pub(crate) fn tpm() -> TpmFacts {
    told_boot::facts(None)
}

/// An enclave, and an instance with a NitroTPM.
pub(crate) fn nitro_machines() -> impl Iterator<Item = NitroSpec> {
    told_enclave::machines()
}

/// What AWS's hypervisor says of an enclave, or of an instance.
pub(crate) fn nitro(instance: bool) -> NitroFacts {
    let verdict = told_enclave::verdict(
        None,
        &NitroSpec::new(instance),
        &told_enclave::honest_values(),
    );
    match verdict.facts {
        Some(Facts::Nitro(facts)) => *facts,
        other => panic!("{other:?}"),
    }
}

/// What is proven about a machine behind Azure's paravisor.
pub(crate) fn azure(cpu: AzureCpu) -> AzureFacts {
    let verdict = told_behind::verdict(None, &AzureSpec::new(cpu), &told_behind::values("hcl"));
    match verdict.facts {
        Some(Facts::Azure(facts)) => *facts,
        other => panic!("{other:?}"),
    }
}

/// A CPU and a TPM that answered one challenge.
pub(crate) fn pair(cpu: Cpu, tpm: TpmFacts) -> CompositeFacts {
    CompositeFacts {
        cpu,
        tpm: Box::new(tpm),
    }
}

/// Reference values of these lines.
pub(crate) fn values(lines: &str) -> ReferenceValues {
    ReferenceValues::parse(&format!("schema = \"zeuge.reference-values.v1\"\n{lines}"))
        .expect("good reference values")
}

/// A policy of these lines.
pub(crate) fn policy(lines: &str) -> Policy {
    Policy::parse(&format!("schema = \"zeuge.policy.v1\"\n{lines}")).expect("a good policy")
}

/// A registry of these lines.
pub(crate) fn registry(lines: &str) -> HardwareRegistry {
    HardwareRegistry::parse(&format!("schema = \"zeuge.hardware.v1\"\n{lines}"))
        .expect("a good registry")
}

/// What an owner wishes, at the instant of all tellings.
pub(crate) fn wanted<'a>(
    policy: &'a Policy,
    reference_values: &'a ReferenceValues,
    hardware: Option<&'a HardwareRegistry>,
) -> Wanted<'a> {
    Wanted {
        policy,
        reference_values,
        hardware,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at: NOW,
    }
}

/// The verdict on these facts under a policy, values and a registry.
pub(crate) fn appraised(
    facts: impl Into<Facts>,
    policy: &Policy,
    values: &ReferenceValues,
    registry: Option<&HardwareRegistry>,
) -> Verdict {
    judge(&facts.into(), &[], &wanted(policy, values, registry))
}

/// What one check found: how it ended, why, what was found and what was wanted.
pub(crate) fn found(verdict: &Verdict, id: &str) -> Option<(Status, String, String, String)> {
    let mut all = verdict.findings.iter().filter(|finding| finding.id == id);
    let one = all.next()?;
    assert!(all.next().is_none(), "{id} stands twice");
    Some((
        one.status,
        one.because.clone(),
        one.found.clone(),
        one.wanted.clone(),
    ))
}

/// How one check ended.
pub(crate) fn status(verdict: &Verdict, id: &str) -> Option<Status> {
    found(verdict, id).map(|(status, ..)| status)
}
