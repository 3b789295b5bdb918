//! Certificates that carry a quote, told by the toy in every form: honest ones hold, every lie is
//! caught by the check that it is named after, and with the body of a check taken away its lie goes
//! uncaught (only in builds with `--cfg zeuge_mutants`).

use zeuge_evidence::{UnixTime, dcap::Quote, ratls::Carried};
use zeuge_sim::{QuoteForm, QuoteSpec, RatlsForm, RatlsLie, ToyIntel};
use zeuge_verify::{Anchors, Binding, Endorsements, Error, crypto::AWS_LC, dcap, ratls};

const NOW: UnixTime = UnixTime(1_772_323_200);

fn judge(
    lie: Option<RatlsLie>,
    form: RatlsForm,
    quote: QuoteForm,
) -> Result<Vec<&'static str>, Error> {
    let intel = ToyIntel::shared();
    let (certificate, endorsements) = intel.ra_tls(lie, form, &QuoteSpec::new(quote), NOW);
    let carried = Carried::read(&certificate)?.expect("a certificate with a quote");
    let quote = Quote::parse(&carried.quote)?;
    let mut heap = Endorsements::new();
    for (name, bytes) in &endorsements {
        heap.add(name, bytes);
    }
    let anchors = Anchors::dangerous_sim(&intel.trust_file()).unwrap();
    let unbound = Binding::Unbound {
        because: "the certificate's key is what counts".to_owned(),
    };
    dcap::quote(&quote, &heap, &anchors, &unbound, NOW, &AWS_LC)?;
    let trail = ratls::bound(&carried, quote.report_data(), NOW)?;
    Ok(trail.passed().to_vec())
}

fn all() -> impl Iterator<Item = (RatlsForm, QuoteForm)> {
    RatlsForm::ALL
        .into_iter()
        .flat_map(|form| [(form, QuoteForm::Sgx3), (form, QuoteForm::Tdx4)])
}

#[test]
fn an_honest_certificate_holds_in_every_form() {
    for (form, quote) in all() {
        assert_eq!(
            judge(None, form, quote),
            Ok(vec!["ratls.key", "ratls.validity"]),
            "{form:?} {quote:?}"
        );
    }
}

#[test]
fn every_lie_is_caught_by_the_check_it_is_named_after() {
    let checks = [zeuge_evidence::ratls::CHECKS, ratls::CHECKS].concat();
    assert_eq!(
        RatlsLie::ALL
            .iter()
            .map(|lie| lie.check())
            .collect::<Vec<_>>(),
        checks
    );
    for lie in RatlsLie::ALL {
        for (form, quote) in all() {
            let caught = judge(Some(*lie), form, quote).map_err(|error| error.check());
            assert_eq!(caught, Err(lie.check()), "{form:?} {quote:?}");
        }
    }
}

#[test]
fn a_certificate_without_a_quote_carries_none() {
    let intel = ToyIntel::shared();
    assert_eq!(Carried::read(intel.root()), Ok(None));
    assert_eq!(Carried::read(b"no certificate"), Ok(None));
}

#[cfg(zeuge_mutants)]
#[test]
fn without_its_body_no_check_catches_its_lie() {
    for lie in RatlsLie::ALL {
        if !ratls::CHECKS.contains(&lie.check()) {
            continue;
        }
        zeuge_verify::mutants::take_away(Some(lie.check()));
        for (form, quote) in all() {
            let caught = judge(Some(*lie), form, quote).map_err(|error| error.check());
            assert_ne!(caught, Err(lie.check()), "{form:?}");
        }
        zeuge_verify::mutants::take_away(None);
    }
}
