//! What the tests of pairs need: a toy CPU and a toy TPM, asked for one binding or for two.

use sha2::{Digest as _, Sha256};
use zeuge_evidence::{
    UnixTime,
    snp::Report,
    tpm::{HashAlgorithm, PcrSelection, PcrSet, QuoteBundle},
};
use zeuge_sim::{
    Product, ReportSpec, ToyAmd, ToyTpm, TpmSpec,
    tpm::{AkKind, EkKind, Proof},
};
use zeuge_verify::{
    Anchors, Binding, Endorsements, SnpFacts, Verified,
    composite::{CompositeFacts, VerifiedCpu, join},
    crypto::AWS_LC,
    snp,
    tpm::{AkTrust, Context, Demand, EnrolledAk, Nonce, Selection, TpmFacts, TpmRoots, verify},
};

const NOW: UnixTime = UnixTime(1_772_323_200);

fn cpu() -> Verified<SnpFacts> {
    let told = ToyAmd::shared().tell(None, &ReportSpec::new(Product::Milan), NOW);
    let trust = ToyAmd::shared().trust_file(&[Product::Milan]);
    let anchors = Anchors::dangerous_sim(&trust).expect("a trust file");
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    let report = Report::parse(&told.report).expect("a report");
    let binding = Binding::ReportData(told.expected_report_data);
    snp(&report, &heap, &anchors, &binding, told.at, &AWS_LC).expect("the toy signs well")
}

fn tpm(nonce: &[u8]) -> Verified<TpmFacts> {
    let spec = TpmSpec {
        nonce: nonce.to_vec(),
        proof: Proof::Enrolment,
        ..TpmSpec::new(EkKind::P256, AkKind::Ecdsa)
    };
    let told = ToyTpm::shared().tell(None, &spec, NOW);
    let enrolled = [EnrolledAk::Name(told.ak_name())];
    let asked = [PcrSelection {
        bank: HashAlgorithm(told.asked.0),
        pcrs: PcrSet(told.asked.1),
    }];
    let demand = Demand {
        nonce: Nonce::Exact(nonce),
        selection: Selection::Exactly(&asked),
        previous: None,
        held: None,
        replayed: Demand::BOOT,
        ima_signers: &[],
        dangerous_sha1_bank: None,
    };
    let trust = AkTrust {
        enrolled: &enrolled,
        ..AkTrust::default()
    };
    let context = Context {
        endorsements: &Endorsements::new(),
        roots: &TpmRoots::none(),
        at: NOW,
        crypto: &AWS_LC,
    };
    let bundle = QuoteBundle::read(&told.file).expect("a file").remove(0);
    verify(&bundle, &demand, trust, context).expect("the toy signs well")
}

fn joined(
    cpus: &[Verified<SnpFacts>],
    tpms: &[Verified<TpmFacts>],
) -> Result<CompositeFacts, &'static str> {
    let cpus: Vec<_> = cpus.iter().map(VerifiedCpu::Snp).collect();
    let tpms: Vec<_> = tpms.iter().collect();
    let proven = join(&cpus, &tpms).map_err(|error| error.check())?;
    Ok(proven.fact().clone())
}

fn nonce(cpu: &Verified<SnpFacts>) -> Vec<u8> {
    Sha256::digest(cpu.fact().claims.report_data).to_vec()
}

/// Both for one binding.
pub(crate) fn honest() -> Result<CompositeFacts, &'static str> {
    caught(1, 1)
}

/// The TPM of somebody else's conversation.
pub(crate) fn swapped() -> Result<CompositeFacts, &'static str> {
    joined(&[cpu()], &[tpm(b"the challenge of somebody else")])
}

/// So many of each.
pub(crate) fn caught(cpus: usize, tpms: usize) -> Result<CompositeFacts, &'static str> {
    let nonce = nonce(&cpu());
    let cpus: Vec<_> = (0..cpus).map(|_| cpu()).collect();
    let tpms: Vec<_> = (0..tpms).map(|_| tpm(&nonce)).collect();
    joined(&cpus, &tpms)
}
