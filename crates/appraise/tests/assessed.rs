//! Against whom an honest machine of every kind protects, and how every threat stands: the whole of it, as
//! `assessed.tsv` says. A change of that file is a change of what owners are told; read it before it is
//! taken over.

mod told_all;

use std::fmt::Write as _;

use told_all::{appraised, azure, nitro, pair, quote, snp, tpm};
use zeuge_appraise::{Cpu, Facts, Policy, ReferenceValues, threats::Deciding};
use zeuge_sim::{AzureCpu, Product, QuoteForm, ReportSpec, Signer};
use zeuge_verify::tpm::TrustBasis;

fn machines() -> Vec<(String, Facts)> {
    let mut all: Vec<(String, Facts)> = Vec::new();
    for product in Product::ALL {
        for signer in Signer::ALL {
            let spec = ReportSpec {
                signer,
                ..ReportSpec::new(product)
            };
            all.push((format!("{product:?} {signer:?}"), snp(&spec).into()));
        }
    }
    let mut old = snp(&ReportSpec::new(Product::Milan));
    old.claims.reported_tcb.0 = [0; 8];
    old.claims.mitigations = None;
    old.claims.version = 2;
    old.claims.cpuid = None;
    let report = old.clone();
    all.push(("Milan, old".to_owned(), old.into()));
    for form in [QuoteForm::Tdx4, QuoteForm::Tdx5, QuoteForm::Sgx3] {
        all.push((format!("{form:?}"), quote(form).into()));
    }
    let mut enrolled = tpm();
    enrolled.trust = TrustBasis::CommittedByReport;
    all.push(("TPM".to_owned(), tpm().into()));
    all.push(("TPM, committed".to_owned(), enrolled.into()));
    let old_pair = pair(Cpu::Snp(Box::new(report)), tpm());
    all.push(("old pair".to_owned(), old_pair.into()));
    all.push(("enclave".to_owned(), nitro(false).into()));
    all.push(("instance".to_owned(), nitro(true).into()));
    all.push((
        "Azure on AMD".to_owned(),
        azure(AzureCpu::Snp(Product::Milan)).into(),
    ));
    all.push(("Azure on Intel".to_owned(), azure(AzureCpu::Tdx).into()));
    all
}

/// What the table says of one machine: threats by state, and nine adversaries.
fn told(name: &str, facts: Facts) -> String {
    let verdict = appraised(facts, &Policy::default(), &ReferenceValues::default(), None);
    let mut states: Vec<_> = verdict.threats.iter().map(|one| one.state).collect();
    states.sort_unstable();
    states.dedup();
    let mut out = String::new();
    for state in states {
        let these = verdict.threats.iter().filter(|one| one.state == state);
        let these: Vec<String> = these
            .map(|one| {
                let by = one.voided_by.iter().map(|id| format!(" by {id}"));
                let who = one.who.map_or("nobody", |who| who.word());
                let confidence = one.confidence.word();
                format!("{} ({who}, {confidence}{})", one.id, by.collect::<String>())
            })
            .collect();
        let _ = writeln!(out, "{name}\t{}\t{}", state.word(), these.join(" "));
    }
    for one in &verdict.adversaries {
        let because: Vec<&str> = one
            .because
            .iter()
            .map(|because| match because {
                Deciding::Threat(id) => id.as_str(),
                Deciding::Never => "never",
                Deciding::NothingKnown => "nothing known",
                Deciding::NothingProven { .. } => "nothing proven",
            })
            .collect();
        let _ = writeln!(
            out,
            "{name}\t{}\t{}\t{}\t{}",
            one.who.word(),
            one.protection.word(),
            because.join(" "),
            one.improve.join(" ")
        );
    }
    out
}

#[test]
fn every_kind_of_machine_is_assessed_as_the_table_says() {
    let found: String = machines()
        .into_iter()
        .map(|(name, facts)| told(&name, facts))
        .collect();
    let wanted = include_str!("assessed.tsv");
    if found != wanted {
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/assessed.tsv");
        std::fs::write(path, &found).expect("the folder can be written");
        let mut lines = found.lines().zip(wanted.lines());
        let first = lines.find(|(found, wanted)| found != wanted);
        panic!("the table differs, in {first:?} and perhaps more; what was found is in {path}");
    }
}
