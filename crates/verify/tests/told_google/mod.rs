//! What the tests of lies about firmware endorsements need: the toys' trust, and the way from a told
//! endorsement beside a report or quote to what is proven.

use zeuge_evidence::{UnixTime, dcap, snp::Report};
use zeuge_sim::{
    EndorsementSpec, GoogleLie, Product, QuoteForm, QuoteSpec, ReportSpec, ToyAmd, ToyGoogle,
    ToyIntel,
};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, QuoteFacts, SnpFacts, Verified, crypto::AWS_LC,
    google::Firmware, quote, snp,
};

/// The instant of all tellings.
pub(crate) const NOW: UnixTime = UnixTime(1_772_323_200);
/// MEASUREMENT of the toy's machines.
pub(crate) const MEASUREMENT: [u8; 48] = [0x61; 48];
/// MRTD of the toy's machines.
pub(crate) const MR_TD: [u8; 48] = [0x62; 48];

/// The endorsement of both.
pub(crate) fn spec() -> EndorsementSpec {
    EndorsementSpec::new(MEASUREMENT, MR_TD)
}

/// The roots of the toys of AMD, Intel and Google.
pub(crate) fn trusted() -> Anchors {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let mut trust = read(&ToyAmd::shared().trust_file(&[Product::Milan]));
    trust["intel"] = read(&ToyIntel::shared().trust_file())["intel"].take();
    trust["google"] = read(&ToyGoogle::shared().trust_file())["google"].take();
    Anchors::dangerous_sim(&trust.to_string()).expect("a good trust file")
}

/// A report verified beside these files.
pub(crate) fn report(beside: &[&[u8]], anchors: &Anchors) -> Result<Verified<SnpFacts>, Error> {
    let mut machine = ReportSpec::new(Product::Milan);
    machine.measurement = MEASUREMENT;
    let told = ToyAmd::shared().tell(None, &machine, NOW);
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    for bytes in beside {
        heap.add_beside(&[("GCE_FIRMWARE_ENDORSEMENT".to_owned(), bytes.to_vec())]);
    }
    let report = Report::parse(&told.report)?;
    let binding = Binding::ReportData(report.claims.report_data);
    snp(&report, &heap, anchors, &binding, told.at, &AWS_LC)
}

/// A quote verified beside these files.
pub(crate) fn domain(beside: &[&[u8]], anchors: &Anchors) -> Result<Verified<QuoteFacts>, Error> {
    let mut machine = QuoteSpec::new(QuoteForm::Tdx4);
    machine.mr_td = MR_TD;
    let told = ToyIntel::shared().tell(None, &machine, NOW);
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    for bytes in beside {
        heap.add("a folder", bytes);
    }
    let read = dcap::Quote::parse(&told.quote)?;
    let binding = Binding::ReportData(*read.report_data());
    quote(&read, &heap, anchors, &binding, told.at, &AWS_LC)
}

/// The firmware of both machines beside an endorsement with this lie.
pub(crate) fn told(lie: Option<GoogleLie>) -> [Firmware; 2] {
    let endorsement = ToyGoogle::shared().tell(lie, &spec(), NOW);
    let anchors = trusted();
    [
        report(&[&endorsement], &anchors)
            .map(|verified| verified.fact().firmware.clone())
            .expect("a good report"),
        domain(&[&endorsement], &anchors)
            .map(|verified| verified.fact().firmware.clone())
            .expect("a good quote"),
    ]
}

/// The ids of the checks that caught this lie, of the report and of the quote.
pub(crate) fn caught(lie: GoogleLie) -> [Option<&'static str>; 2] {
    told(Some(lie)).map(|firmware| match firmware {
        Firmware::Refused(error) => Some(error.check()),
        Firmware::NotGiven | Firmware::Endorsed(_) => None,
    })
}
