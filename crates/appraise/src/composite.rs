//! Is this pair of CPU and TPM the machine that was wanted?
//!
//! Judges each member by its own rules and keeps who said what. That both are one machine is
//! declared by the owner's registry, where one name stands for the chip and for the TPM; no
//! evidence that is read here proves it.

use zeuge_verify::composite::{CompositeFacts, Cpu};

use crate::{Facts, Finding, Findings, Kind, NotProved, Verdict, Wanted, dcap, snp, tpm};

/// The ids of this file.
pub const CHECKS: &[&str] = &["composite.same-machine"];

/// What is known about the two members being one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameMachine {
    /// The owner enrolled both under one name.
    Declared,
    /// Nothing says so.
    NotShown,
}

impl SameMachine {
    /// The word in `zeuge.verdict.v1`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::NotShown => "not_shown",
        }
    }
}

/// The CPU's facts alone.
pub(crate) fn cpu(facts: &CompositeFacts) -> Facts {
    match &facts.cpu {
        Cpu::Quote(facts) => Facts::Quote(facts.clone()),
        Cpu::Snp(facts) => Facts::Snp(facts.clone()),
    }
}

/// Whether the registry names chip and TPM alike.
#[must_use]
pub fn same_machine(facts: &CompositeFacts, wanted: &Wanted<'_>) -> SameMachine {
    let tpm = Facts::Tpm(facts.tpm.clone());
    let named = wanted.hardware.and_then(|registry| {
        let chip = registry.name_of(&cpu(facts))?;
        Some(registry.name_of(&tpm)? == chip)
    });
    if named == Some(true) {
        SameMachine::Declared
    } else {
        SameMachine::NotShown
    }
}

/// Judges both; every finding keeps its place.
pub(crate) fn judge(
    facts: &CompositeFacts,
    passed: &[&'static str],
    wanted: &Wanted<'_>,
) -> Verdict {
    let mut first = Findings::new(passed);
    let of_cpu = match &facts.cpu {
        Cpu::Quote(quote) => dcap::judge(quote, wanted, &mut first),
        Cpu::Snp(report) => snp::judge(report, wanted, &mut first),
    };
    let of_tpm = tpm::judge(&facts.tpm, wanted, &mut Findings::new(&[]));
    let mut own = Findings::new(&[]);
    own.check("composite.same-machine", || {
        Some(match same_machine(facts, wanted) {
            SameMachine::Declared => Finding::pass("composite.same-machine"),
            SameMachine::NotShown => Finding::warn(
                "composite.same-machine",
                "nothing shows that CPU and TPM are parts of one machine: they answered the same \
                 challenge, and no registry names them alike",
            ),
        })
    });
    let mut list = of_cpu.findings;
    list.extend(of_tpm.findings);
    list.extend(own.into_list());
    let mut verdict = Verdict::of(Facts::from(facts.clone()), list, wanted.at);
    verdict.kind = Kind::Composite;
    verdict.product = match (of_cpu.product, of_tpm.product) {
        (Some(cpu), Some(tpm)) => Some(format!("{cpu} with {tpm}")),
        (cpu, tpm) => cpu.or(tpm),
    };
    verdict.roots = [of_cpu.roots, of_tpm.roots].concat();
    // The CPU speaks about memory, the TPM about what the registers stand for.
    let mut open = of_cpu.not_proved;
    open.retain(|item| *item != NotProved::Registers);
    let more = of_tpm.not_proved.into_iter();
    let more = more.filter(|item| *item != NotProved::Memory && !open.contains(item));
    let more: Vec<NotProved> = more.collect();
    verdict.not_proved = [open, more].concat();
    verdict.notes = [of_cpu.notes, of_tpm.notes].concat();
    verdict
}
