//! Is this machine behind Azure's paravisor the one that was wanted?
//!
//! Two things were measured and both must be known: the paravisor by the CPU, against reference
//! values of the binding profile `hcl` alone, and the guest's boot by the paravisor's virtual TPM.
//! A known paravisor says nothing about the guest. Never takes a value of a direct guest for a
//! paravisor, nor the other way round.

use zeuge_verify::{azure::AzureFacts, composite::Cpu};

use crate::{
    BindingProfile, Facts, Finding, Findings, Kind, NotProved, RootNamed, Verdict, Wanted, dcap,
    snp, tpm,
};

/// The ids of this file.
pub const CHECKS: &[&str] = &[
    "policy.ak-template",
    "policy.guest-boot",
    "policy.hcl-console",
    "policy.hcl-machine",
    "policy.hcl-secure-boot",
];

/// The CPU's facts alone.
pub(crate) fn cpu(facts: &AzureFacts) -> Facts {
    match &facts.cpu {
        Cpu::Quote(facts) => Facts::Quote(facts.clone()),
        Cpu::Snp(facts) => Facts::Snp(facts.clone()),
    }
}

/// Judges paravisor and guest; every finding keeps its place.
pub(crate) fn judge(facts: &AzureFacts, passed: &[&'static str], wanted: &Wanted<'_>) -> Verdict {
    let mut first = Findings::new(passed);
    let of_cpu = match &facts.cpu {
        Cpu::Quote(quote) => dcap::judge_as(quote, BindingProfile::Hcl, wanted, &mut first),
        Cpu::Snp(report) => snp::judge_as(report, BindingProfile::Hcl, wanted, &mut first),
    };
    // The virtual TPM is nobody's hardware: the chip is what an owner enrols.
    let without_registry = Wanted {
        hardware: None,
        ..wanted.clone()
    };
    let of_tpm = facts
        .tpm
        .as_ref()
        .map(|quoted| tpm::judge(quoted, &without_registry, &mut Findings::new(&[])));
    let mut own = Findings::new(&[]);
    unbound(facts, &mut own);
    guest(facts, wanted, &mut own);
    configuration(facts, wanted, &mut own);
    let mut list = of_cpu.findings;
    let mut notes = of_cpu.notes;
    let mut open = of_cpu.not_proved;
    // The registers are the paravisor's; what the guest did stands in its virtual TPM.
    open.retain(|item| *item != NotProved::Registers);
    if let Some(verdict) = of_tpm {
        open.retain(|item| *item != NotProved::AfterLaunch);
        let not_open = |item: &NotProved| {
            !matches!(item, NotProved::Memory | NotProved::OwnMachine) && !open.contains(item)
        };
        let more: Vec<NotProved> = verdict.not_proved.into_iter().filter(not_open).collect();
        open.extend(more);
        list.extend(verdict.findings);
        notes.extend(verdict.notes);
    }
    open.push(NotProved::Paravisor);
    list.extend(own.into_list());
    let mut verdict = Verdict::of(Facts::from(facts.clone()), list, wanted.at);
    verdict.kind = Kind::Azure;
    verdict.product = of_cpu
        .product
        .map(|product| format!("{product} behind Azure's paravisor"));
    verdict.roots = of_cpu.roots;
    let toy = verdict.roots.iter().any(|root| root.toy);
    verdict.roots.push(paravisor(facts, toy));
    verdict.not_proved = open;
    verdict.notes = notes;
    verdict
}

/// Whoever wrote the paravisor holds the AK, and with it every PCR.
fn paravisor(facts: &AzureFacts, toy: bool) -> RootNamed {
    RootNamed {
        maker: if toy { "toy Microsoft" } else { "Microsoft" }.to_owned(),
        jurisdiction: if toy { "none" } else { "US" }.to_owned(),
        kind: "paravisor".to_owned(),
        fingerprint: facts.ak_key.unwrap_or_default(),
        toy,
    }
}

/// A quote says so itself.
fn unbound(facts: &AzureFacts, findings: &mut Findings) {
    findings.check("policy.binding", || {
        let because = facts.unbound.as_ref().filter(|_| facts.tpm.is_none())?;
        Some(Finding::warn(
            "policy.binding",
            format!("nothing shows that this report is fresh or belongs to a key: {because}"),
        ))
    });
}

fn guest(facts: &AzureFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    findings.check("policy.guest-boot", || {
        let because = "the report is about the paravisor; without a quote of its virtual TPM \
                       nothing says what the guest started";
        match (&facts.tpm, wanted.hardware_only) {
            (Some(_), _) => None,
            (None, Some(reason)) => Some(Finding::unchecked("policy.guest-boot", reason)),
            (None, None) => Some(
                Finding::fail("policy.guest-boot", because)
                    .difference("no quote", "a quote of the virtual TPM"),
            ),
        }
    });
    findings.check("policy.ak-template", || {
        (facts.ak_is_primary == Some(false)).then(|| {
            Finding::warn(
                "policy.ak-template",
                "the key that signed is not made from the paravisor's known template: whether it \
                 signs only what the virtual TPM made rests on the paravisor's word",
            )
        })
    });
}

fn configuration(facts: &AzureFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let (vm, policy) = (&facts.vm, &wanted.policy.azure);
    let word = |flag: Option<bool>| match flag {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    };
    findings.check("policy.hcl-secure-boot", || {
        policy.require_secure_boot.then(|| match vm.secure_boot {
            Some(true) => Finding::pass("policy.hcl-secure-boot"),
            other => Finding::fail(
                "policy.hcl-secure-boot",
                "the paravisor does not say that it enforces Secure Boot",
            )
            .difference(word(other), "on"),
        })
    });
    findings.check("policy.hcl-console", || {
        // What is shown and what can be typed into are two flags; older layers know the first alone.
        let console = match (vm.console_enabled, vm.interactive_console_enabled) {
            (_, Some(true)) => Some(true),
            (shown, _) => shown,
        };
        policy.forbid_console.then(|| match console {
            Some(false) => Finding::pass("policy.hcl-console"),
            other => Finding::fail(
                "policy.hcl-console",
                "the host may have a console of the guest's",
            )
            .difference(word(other), "off"),
        })
    });
    findings.check("policy.hcl-machine", || {
        if policy.machines.is_empty() {
            return None;
        }
        let found = vm.unique_id.as_deref().unwrap_or_default();
        let mut known = policy.machines.iter();
        Some(if known.any(|known| known.eq_ignore_ascii_case(found)) {
            Finding::pass("policy.hcl-machine")
        } else {
            Finding::fail(
                "policy.hcl-machine",
                "the machine is none of those that the owner's policy names",
            )
            .difference(found, policy.machines.join(" or "))
        })
    });
}
