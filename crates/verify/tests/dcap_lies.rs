//! Every lie of the toy Intel is caught by exactly the check that it is named after, and what it
//! says without lying is believed.
//!
//! The table is one to one in both directions: a check without a lie fails here, and so does a
//! lie without a check.

use std::collections::BTreeSet;

#[expect(dead_code, reason = "the mutation loop uses the rest")]
mod told_intel;

use told_intel::{NOW, caught, judge, platforms, trusted};
use zeuge_evidence::{
    UnixTime,
    dcap::{Evidence, Quote},
};
use zeuge_sim::{
    Certification, IntelLie, IntelSwap, PcsAnswer, QuoteForm, QuoteSpec, Room, Tee, ToyIntel,
    ToyQuote,
};
use zeuge_verify::{
    Anchors,
    dcap::{EndorsementId, Revocation, TcbStatus, needs},
};

fn lies() -> impl Iterator<Item = IntelLie> {
    let lies = IntelLie::ALL.iter().copied();
    lies.filter(|lie| lie.room() != Room::Appraise)
}

#[test]
fn every_check_has_its_lie_and_every_lie_its_check() {
    let checks: BTreeSet<&str> = [
        zeuge_evidence::dcap::CHECKS,
        zeuge_verify::binding::CHECKS,
        zeuge_verify::dcap::CHECKS,
    ]
    .concat()
    .into_iter()
    .collect();
    assert_eq!(checks, lies().map(IntelLie::check).collect());
}

#[test]
fn every_lie_is_caught_by_the_check_it_is_named_after() {
    let (intel, anchors) = (ToyIntel::shared(), trusted());
    let mut wrong = Vec::new();
    for spec in platforms() {
        for lie in lies() {
            let found = caught(&intel.tell(Some(lie), &spec, NOW), &anchors);
            if found != Err(lie.check()) {
                let (form, ca) = (spec.form, spec.ca);
                wrong.push(format!("{} of {form:?} {ca:?}: {found:?}", lie.check()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_genuine_part_in_the_wrong_place_is_caught_by_name() {
    let (intel, anchors) = (ToyIntel::shared(), trusted());
    for spec in platforms() {
        for swap in IntelSwap::ALL {
            let found = caught(&intel.swapped(*swap, &spec, NOW), &anchors);
            let wanted = match swap.room() {
                Room::Appraise => Ok(()),
                _ => Err(swap.check()),
            };
            assert_eq!(found, wanted, "{swap:?} of {:?} {:?}", spec.form, spec.ca);
        }
    }
}

/// What each of these tells, and the id that says so: no two share one.
#[test]
fn what_may_be_wrong_with_a_platforms_documents_has_an_id_each() {
    let lies = [
        IntelLie::TcbInfoFmspc,
        IntelLie::TcbInfoTee,
        IntelLie::TcbInfoWindow,
        IntelLie::TcbInfoDuplicateKey,
        IntelLie::TcbInfoOrder,
        IntelLie::TcbInfoModuleOrder,
        IntelLie::IdentityOrder,
        IntelLie::PckRevoked,
    ];
    let swaps = [
        IntelSwap::TcbInfoKey,
        IntelSwap::PckOfAnotherChip,
        IntelSwap::QeReport,
        IntelSwap::RootListMissing,
    ];
    let ids = lies.iter().map(|lie| lie.check());
    let ids: BTreeSet<_> = ids.chain(swaps.iter().map(|swap| swap.check())).collect();
    assert_eq!(ids.len(), lies.len() + swaps.len());
}

#[test]
fn lies_for_appraisal_are_proven_true() {
    let (intel, anchors) = (ToyIntel::shared(), trusted());
    for spec in platforms() {
        for lie in IntelLie::ALL
            .iter()
            .filter(|lie| lie.room() == Room::Appraise)
        {
            let told = intel.tell(Some(*lie), &spec, NOW);
            assert_eq!(caught(&told, &anchors), Ok(()), "{}", lie.check());
        }
    }
}

#[test]
fn honest_quotes_of_every_form_and_way_of_certification_are_up_to_date() {
    let (intel, anchors) = (ToyIntel::shared(), trusted());
    for platform in platforms() {
        for certification in [Certification::Chain, Certification::Ppid] {
            for revocation_lists in [true, false] {
                let spec = QuoteSpec {
                    certification,
                    revocation_lists,
                    ..platform.clone()
                };
                let facts = judge(&intel.tell(None, &spec, NOW), &anchors).expect("honest");
                assert_eq!(facts.standing.status, TcbStatus::UpToDate, "{spec:?}");
                assert!(facts.standing.advisories.is_empty() && facts.notes.is_empty());
                assert_eq!(facts.version, spec.form.version());
                assert_eq!(facts.platform.fmspc, spec.fmspc);
                for list in [&facts.root_revocation, &facts.pck_revocation] {
                    let checked = matches!(list, Revocation::Checked { .. });
                    assert_eq!(checked, revocation_lists);
                }
                assert!(facts.root.toy);
            }
        }
    }
}

/// The two documents are seldom of one day: what is told of both is what holds for the older one.
#[test]
fn of_two_documents_the_lower_number_and_the_earlier_end_are_told() {
    let (intel, anchors) = (ToyIntel::shared(), trusted());
    let spec = QuoteSpec::new(QuoteForm::Tdx4);
    let days_ago = UnixTime(NOW.0 - 5 * 24 * 60 * 60);
    let older = intel.tell(Some(IntelLie::PolicyEvaluationNumber), &spec, days_ago);
    let ages = |told: &ToyQuote| {
        let facts = judge(told, &anchors).expect("documents in force");
        (facts.evaluation_number, facts.collateral_until)
    };
    let (now, before) = (ages(&intel.tell(None, &spec, NOW)), ages(&older));
    assert!(before.0 < now.0 && before.1 < now.1);
    for name in ["\"tcbInfo\"", "\"enclaveIdentity\""] {
        let is_it = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(name);
        let mut told = intel.tell(None, &spec, NOW);
        told.endorsements.retain(|(_, bytes)| !is_it(bytes));
        let old = older.endorsements.iter().find(|(_, bytes)| is_it(bytes));
        told.endorsements.push(old.expect("both documents").clone());
        assert_eq!(ages(&told), before, "an older {name}");
    }
}

#[test]
fn a_module_of_major_version_0_stands_by_the_platforms_levels() {
    for form in [QuoteForm::Tdx4, QuoteForm::Tdx5] {
        let mut spec = QuoteSpec::new(form);
        spec.tee_tcb_svn[1] = 0;
        let told = ToyIntel::shared().tell(None, &spec, NOW);
        let facts = judge(&told, &trusted()).expect("honest");
        assert_eq!(facts.standing.status, TcbStatus::UpToDate);
        spec.tee_tcb_svn[0] = 4;
        let told = ToyIntel::shared().tell(None, &spec, NOW);
        let facts = judge(&told, &trusted()).expect("honest");
        assert_eq!(facts.standing.status, TcbStatus::OutOfDate);
    }
}

#[test]
fn a_trust_domain_that_outlived_an_update_should_be_launched_again() {
    let mut spec = QuoteSpec::new(QuoteForm::Tdx5);
    spec.tee_tcb_svn[0] = 3;
    let facts = judge(&ToyIntel::shared().tell(None, &spec, NOW), &trusted()).expect("honest");
    assert_eq!(facts.standing.status, TcbStatus::TdRelaunchAdvised);
    assert_eq!(facts.standing.advisories, ["INTEL-SA-01099"]);
    spec.form = QuoteForm::Tdx5Td10;
    let facts = judge(&ToyIntel::shared().tell(None, &spec, NOW), &trusted()).expect("honest");
    assert_eq!(facts.standing.status, TcbStatus::OutOfDate);
}

#[test]
fn a_quote_is_believed_in_every_file_it_travels_in() {
    let anchors = trusted();
    for form in QuoteForm::ALL {
        let told = ToyIntel::shared().tell(None, &QuoteSpec::new(form), NOW);
        let mut files = vec![told.json_file(), [&told.quote[..], &[0; 39]].concat()];
        // go-tdx-guest has messages for these.
        if [QuoteForm::Tdx4, QuoteForm::Tdx5Td10, QuoteForm::Tdx5].contains(&form) {
            files.push(told.protobuf_file());
        }
        for evidence_file in files {
            let file = ToyQuote {
                evidence_file,
                ..told.clone()
            };
            assert_eq!(caught(&file, &anchors), Ok(()), "{form:?}");
        }
    }
}

#[test]
fn a_toy_is_not_believed_by_those_who_did_not_ask_for_it() {
    for spec in platforms() {
        let told = ToyIntel::shared().tell(None, &spec, NOW);
        let refusal = judge(&told, &Anchors::makers()).expect_err("nobody trusts a toy");
        assert_eq!(refusal.check(), "dcap.root.pinned");
    }
}

/// What the toy's service answers to what a quote needs.
fn fetched(quote: &Quote<'_>) -> Vec<PcsAnswer> {
    let tee = |tee| match tee {
        zeuge_evidence::dcap::Tee::Sgx => Tee::Sgx.name(),
        zeuge_evidence::dcap::Tee::Tdx => Tee::Tdx.name(),
    };
    let request = |need| match need {
        EndorsementId::RootCrl => "/sgx/certification/v4/rootcacrl".to_owned(),
        EndorsementId::PckCrl { ca } => {
            format!("/sgx/certification/v4/pckcrl?ca={ca}&encoding=der")
        }
        EndorsementId::TcbInfo { tee: of, fmspc } => {
            let fmspc = hex::encode(fmspc);
            format!("/{}/certification/v4/tcb?fmspc={fmspc}", tee(of))
        }
        EndorsementId::QeIdentity { tee: of } => {
            format!("/{}/certification/v4/qe/identity?update=early", tee(of))
        }
        EndorsementId::PckCertificate { .. } => panic!("these quotes bring their certificates"),
    };
    let answers = needs(quote).into_iter().map(request);
    answers
        .map(|request| ToyIntel::shared().pcs(&request, NOW))
        .collect()
}

#[test]
fn what_the_service_answers_is_all_that_a_quote_needs() {
    let anchors = trusted();
    for spec in platforms() {
        let mut told = ToyIntel::shared().tell(None, &spec, NOW);
        let evidence = Evidence::read(&told.evidence_file).expect("a quote");
        let quote = Quote::parse(&evidence.quote).expect("a quote");
        told.endorsements.clear();
        for (index, answer) in fetched(&quote).into_iter().enumerate() {
            assert_eq!(answer.status, 200);
            for (name, content) in &answer.headers {
                if name.ends_with("-Issuer-Chain") {
                    let content = content.clone().into_bytes();
                    told.endorsements.push((format!("{index} {name}"), content));
                }
            }
            told.endorsements.push((format!("{index}"), answer.body));
        }
        let facts = judge(&told, &anchors).expect("the service has everything");
        assert_eq!(facts.standing.status, TcbStatus::UpToDate);
        assert!(matches!(facts.pck_revocation, Revocation::Checked { .. }));
        assert!(matches!(facts.root_revocation, Revocation::Checked { .. }));
    }
}
