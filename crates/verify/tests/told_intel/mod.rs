//! What both tests of Intel lies need: the toy's trust, its platforms, and the way from a told
//! file to what is proven.

use zeuge_evidence::{
    UnixTime,
    dcap::{Evidence, Quote},
};
use zeuge_sim::{PckCa, QuoteForm, QuoteSpec, ToyIntel, ToyQuote};
use zeuge_verify::{Anchors, Binding, Endorsements, Error, QuoteFacts, crypto::AWS_LC, dcap};

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
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    let binding = Binding::ReportData(told.expected_report_data);
    let proven = dcap::quote(&quote, &heap, anchors, &binding, told.at, &AWS_LC)?;
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
