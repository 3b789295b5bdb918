//! What travels around Intel's quotes: certificates that carry one, answers of Intel's service, the
//! boot log of a trust domain.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use zeuge_evidence::{
    UnixTime,
    dcap::{Body, Quote, Tee},
    ratls::Carried,
    tpm::HashAlgorithm,
};
use zeuge_sim::{QuoteForm, QuoteSpec, RatlsForm, ToyIntel};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, QuoteFacts, Verified,
    crypto::AWS_LC,
    dcap::{
        self,
        held::{self, Basis},
    },
    ratls,
};

use crate::{
    meter::{Bound, within},
    must,
};

const NOW: UnixTime = UnixTime(1_772_323_200);
/// The certificate, its copy, the quote, and the claims beside it; PEM is decoded once.
const CARRIED: Bound = Bound::new(70, 16 * 1024);

fn refused(error: &Error) {
    must::name_a_check(error.check());
    must::be_short(&error.to_string());
}

/// A certificate that may carry a quote, in DER or PEM.
pub(crate) fn ra_tls(bytes: &[u8]) {
    let length = bytes.len();
    let carried = match within(CARRIED, length, || Carried::read(bytes)) {
        Ok(Some(carried)) => carried,
        Ok(None) => return,
        Err(malformed) => return must::refuse(&malformed, length),
    };
    assert!(!carried.quote.is_empty() && carried.notes.len() <= 2);
    assert!(carried.certificate.len() <= length);
    let holds = |part: &[u8]| {
        carried
            .certificate
            .windows(part.len())
            .any(|window| window == part)
    };
    assert!(
        holds(&carried.quote),
        "the quote is not one of the certificate's bytes"
    );
    if bytes.first() == Some(&0x30) {
        assert_eq!(carried.certificate, bytes);
    }
    let mut own = [0; 64];
    if let Ok(quote) = Quote::parse(&carried.quote) {
        own = *quote.report_data();
    }
    let mut other = own;
    other[63] ^= 1;
    let outcomes = [own, other].map(|data| ratls::bound(&carried, &data, NOW));
    // What follows the hash is zero, so never both.
    assert!(outcomes.iter().filter(|outcome| outcome.is_ok()).count() <= 1);
    for outcome in outcomes {
        match outcome {
            Ok(trail) => assert_eq!(trail.passed(), ["ratls.key", "ratls.validity"]),
            Err(error) => refused(&error),
        }
    }
}

/// A toy of Intel's with what its service answers about one platform, and a machine that booted.
struct Toy {
    anchors: Anchors,
    answer: Vec<u8>,
    proven: Verified<QuoteFacts>,
    log: Vec<u8>,
}

fn toy() -> &'static Toy {
    static TOY: OnceLock<Toy> = OnceLock::new();
    TOY.get_or_init(|| {
        let intel = ToyIntel::shared();
        let anchors = Anchors::dangerous_sim(&intel.trust_file()).expect("the toy's trust file");
        let spec = QuoteSpec::new(QuoteForm::Tdx5).with_boot_log();
        let told = intel.tell(None, &spec, NOW);
        let mut heap = Endorsements::new();
        for (name, bytes) in &told.endorsements {
            heap.add(name, bytes);
        }
        let quote = Quote::parse(&told.quote).expect("an honest quote");
        let binding = Binding::ReportData(told.expected_report_data);
        let proven = dcap::quote(&quote, &heap, &anchors, &binding, NOW, &AWS_LC);
        Toy {
            answer: told.collateral_file(),
            anchors,
            proven: proven.expect("an honest machine"),
            log: told.boot_log.expect("a machine that booted"),
        }
    })
}

/// `{` begins a text of one's own; else edits `(place in two bytes, value)*` of an honest one.
fn edited(honest: &[u8], own: bool, edits: &[u8]) -> Vec<u8> {
    if own {
        return edits.to_vec();
    }
    let mut out = honest.to_vec();
    for edit in edits.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        let length = out.len();
        out[place % length] = edit[2];
    }
    out
}

/// An answer of Intel's service with its issuers' chains, as it is kept: whatever is changed in it, what
/// is believed says what the honest one said.
pub(crate) fn answer(bytes: &[u8]) {
    let toy = toy();
    let own = bytes.first() == Some(&b'{');
    let answer = edited(&toy.answer, own, bytes);
    let basis = Basis {
        anchors: &toy.anchors,
        at: NOW,
        crypto: &AWS_LC,
    };
    let facts = toy.proven.fact();
    for (issue, honest) in [
        (
            held::tcb_info(&answer, Tee::Tdx, facts.platform.fmspc, basis),
            &facts.tcb_info,
        ),
        (
            held::qe_identity(&answer, Tee::Tdx, basis),
            &facts.qe_identity,
        ),
    ] {
        match issue {
            Ok(issue) => assert_eq!(issue.fact().fingerprint, honest.fingerprint),
            Err(error) => refused(&error),
        }
    }
    for (ca, honest) in [
        (None, &facts.root_revocation),
        (Some("platform"), &facts.pck_revocation),
    ] {
        match (held::list(&answer, ca, basis), honest) {
            (
                Ok(list),
                dcap::Revocation::Checked {
                    this_update,
                    next_update,
                    number,
                    ..
                },
            ) => {
                let list = list.fact();
                assert_eq!(
                    (list.this_update, list.next_update),
                    (*this_update, *next_update)
                );
                assert_eq!(list.number, *number);
            }
            (Ok(_), dcap::Revocation::Missing) => panic!("a list that nobody made"),
            (Err(error), _) => refused(&error),
        }
    }
    // The toy's file holds neither a list of the other CA, nor a platform's certificate, nor numbers.
    let others = [
        held::list(&answer, Some("processor"), basis).map(drop),
        held::pck(&answer, basis).map(drop),
        held::evaluation_numbers(&answer, &answer, Tee::Tdx, basis).map(drop),
        held::tcb_info(&answer, Tee::Sgx, facts.platform.fmspc, basis).map(drop),
    ];
    for other in others {
        refused(&other.expect_err("nobody signed this"));
    }
}

/// The boot log beside a proven quote: what is believed adds up to the signed registers.
pub(crate) fn boot_log(bytes: &[u8]) {
    let toy = toy();
    let own = bytes.get(..8) == Some(&[1, 0, 0, 0, 3, 0, 0, 0]);
    let log = edited(&toy.log, own, bytes);
    let read = match dcap::with_event_log(&toy.proven, &log) {
        Ok(read) => read,
        Err(Error::Malformed(malformed)) => return must::refuse(&malformed, log.len()),
        Err(error) => return refused(&error),
    };
    let facts = read.fact();
    let Body::Tdx(report) = &facts.claims else {
        panic!("it was a trust domain before");
    };
    let boot = facts.boot.as_ref().expect("what was believed");
    assert!(boot.explained[0] && boot.explained[1]);
    for (rtmr, (signed, explained)) in report.rtmr.iter().zip(boot.explained).enumerate() {
        let mut value = vec![0; 48];
        let mut records = boot
            .events
            .iter()
            .filter(|event| event.rtmr == rtmr)
            .peekable();
        assert!(explained || records.peek().is_none());
        for record in records {
            let next = HashAlgorithm::SHA384.digest(&[&value, &record.digest]);
            value = next.expect("a hash that is computed");
        }
        assert!(!explained || value == signed);
    }
}

/// Seeds of these boundaries.
pub(crate) fn seeds(out: &mut BTreeMap<String, Vec<u8>>) {
    let spec = QuoteSpec::new(QuoteForm::Sgx3);
    for form in RatlsForm::ALL {
        let (certificate, _) = ToyIntel::shared().ra_tls(None, form, &spec, NOW);
        out.insert(format!("ra-tls/{form:?}").to_lowercase(), certificate);
    }
    for name in ["answer-told", "ccel-told"] {
        out.insert(format!("{name}/honest"), vec![0]);
        out.insert(format!("{name}/changed"), vec![200, 1, 0x5a]);
    }
    out.insert(
        "answer-told/text".to_owned(),
        b"{\"tcb_info\":\"{}\"}".to_vec(),
    );
    let mut header = vec![1, 0, 0, 0, 3, 0, 0, 0];
    header.resize(32, 0);
    out.insert("ccel-told/own".to_owned(), header);
}
