//! What both tests of Intel lies need: the toy's trust, its platforms, and the way from a told
//! file to what is proven.

use zeuge_evidence::{
    UnixTime,
    dcap::{Evidence, Quote},
};
use zeuge_sim::{IntelLie, PckCa, QuoteForm, QuoteSpec, ToyIntel, ToyQuote};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, QuoteFacts,
    crypto::AWS_LC,
    dcap::{self, KeptPlatform},
};

/// The instant of all tellings.
pub(crate) const NOW: UnixTime = UnixTime(1_772_323_200);

/// The root of the process's toy Intel.
pub(crate) fn trusted() -> Anchors {
    let file = ToyIntel::shared().trust_file();
    Anchors::dangerous_sim(&file).expect("the toy writes a good trust file")
}

/// A platform of either CA, speaking in every form.
pub(crate) fn platforms() -> impl Iterator<Item = QuoteSpec> {
    QuoteForm::ALL.into_iter().flat_map(|form| {
        PckCa::ALL.into_iter().map(move |ca| QuoteSpec {
            ca,
            ..QuoteSpec::new(form)
        })
    })
}

/// Reads the quote of a told file and verifies it at its instant.
pub(crate) fn judge(told: &ToyQuote, anchors: &Anchors) -> Result<QuoteFacts, Error> {
    let evidence = Evidence::read(&told.evidence_file)?;
    let quote = Quote::parse(&evidence.quote)?;
    let binding = Binding::ReportData(told.expected_report_data);
    let proven = dcap::quote(&quote, &heap(told), anchors, &binding, told.at, &AWS_LC)?;
    let proven = match &evidence.event_log {
        Some(log) => dcap::with_event_log(&proven, log)?,
        None => proven,
    };
    Ok(proven.fact().clone())
}

/// The id of the check that caught a told file, if one did.
pub(crate) fn caught(told: &ToyQuote, anchors: &Anchors) -> Result<(), &'static str> {
    judge(told, anchors)
        .map(|_| ())
        .map_err(|error| error.check())
}

/// What lies beside a told quote.
pub(crate) fn heap(told: &ToyQuote) -> Endorsements {
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    heap
}

/// A lie of a machine whose platform was proven and kept: nothing but one check of the quote can catch
/// it.
pub(crate) struct KeptLie {
    told: ToyQuote,
    endorsements: Endorsements,
    kept: KeptPlatform,
}

impl KeptLie {
    /// Whether what was kept answers for the lie.
    pub(crate) fn is_believed(&self) -> bool {
        let quote = Quote::parse(&self.told.quote).expect("a lie that can be read");
        let binding = Binding::ReportData(self.told.expected_report_data);
        let (heap, anchors) = (&self.endorsements, trusted());
        let answer = self.kept.verify(&quote, heap, &anchors, &binding, NOW);
        answer.is_some()
    }
}

/// One lie for every check that depends on the quote, in every form that can tell it.
pub(crate) fn against_kept() -> Vec<(&'static str, KeptLie)> {
    let both = [
        "binding.report-data",
        "dcap.qe.attributes",
        "dcap.qe.binding",
        "dcap.qe.misc-select",
        "dcap.qe.product",
        "dcap.qe.report-signature",
        "dcap.qe.signer",
        "dcap.quote.signature",
    ];
    let of_domains = [
        "tdx.module.attributes",
        "tdx.module.identity",
        "tdx.module.loaded",
        "tdx.module.signer",
    ];
    let mut out = Vec::new();
    let enclave = both.into_iter().map(|id| (id, QuoteForm::Sgx3));
    let all = enclave
        .chain(both.into_iter().map(|id| (id, QuoteForm::Tdx5)))
        .chain(of_domains.into_iter().map(|id| (id, QuoteForm::Tdx5)));
    for (id, form) in all {
        let (intel, spec) = (ToyIntel::shared(), QuoteSpec::new(form));
        let honest = intel.tell(None, &spec, NOW);
        let endorsements = heap(&honest);
        let quote = Quote::parse(&honest.quote).expect("an honest quote");
        let binding = Binding::ReportData(honest.expected_report_data);
        let kept = KeptPlatform::verify_and_keep(
            &quote,
            &endorsements,
            &trusted(),
            &binding,
            NOW,
            &AWS_LC,
        );
        let (_, kept) = kept.expect("an honest platform");
        out.push((
            id,
            KeptLie {
                told: intel.tell(IntelLie::about(id), &spec, NOW),
                endorsements,
                kept: kept.expect("a platform that can be kept"),
            },
        ));
    }
    out
}
