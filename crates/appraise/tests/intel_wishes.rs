//! The Intel half of appraisal: every lie that it must catch is caught by exactly the check it is
//! named after, and every wish of a policy and of reference values has its edge.

mod told_intel;

use sha2::{Digest as _, Sha384};
use told_intel::{NOW, appraised, caught, facts, forms, known, policy, status, values};
use zeuge_appraise::{
    Facts, NotProved, Policy, QuoteFacts, ReferenceValues, ReleaseRule, Status, Suite, Wanted,
    Word, judge, outlook::refused_from,
};
use zeuge_evidence::{dcap::Body, eventlog::EventKind};
use zeuge_sim::{IntelLie, QuoteForm, QuoteSpec, Room, Tee, td_boot};
use zeuge_verify::dcap::{BootLog, Revocation, RtmrEvent, TcbStatus};

const DAY: i64 = 86_400;

/// What one check says about these facts under these lines of `[intel]`.
fn under(facts: &QuoteFacts, lines: &str, id: &str) -> Option<Status> {
    let policy = policy(&format!("[intel]\n{lines}"));
    status(&appraised(facts, &policy, &known()), id)
}

#[test]
fn an_honest_platform_is_accepted_but_for_its_toy_root() {
    for spec in forms() {
        let verdict = appraised(&facts(None, &spec), &Policy::default(), &known());
        assert_eq!(verdict.failed(), [""; 0], "{spec:?}");
        assert_eq!(verdict.word, Word::Warning);
        let weak = verdict
            .findings
            .iter()
            .filter(|finding| finding.status != Status::Pass);
        let weak: Vec<_> = weak.map(|finding| finding.id).collect();
        assert_eq!(weak, ["dangerous.sim-root"], "{spec:?}");
    }
}

#[test]
fn every_lie_is_caught_by_exactly_the_check_it_is_named_after() {
    let mut wrong = Vec::new();
    for spec in forms() {
        for lie in IntelLie::ALL
            .iter()
            .filter(|lie| lie.room() == Room::Appraise)
        {
            let caught = caught(Some(*lie), &spec);
            if caught != [lie.check()] {
                wrong.push(format!("{} of {:?}: {caught:?}", lie.check(), spec.form));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_policy_accepts_what_intel_revoked_or_does_not_know() {
    let mut facts = facts(None, &QuoteSpec::new(QuoteForm::Tdx4));
    for never in ["Revoked", "TcbNotSupported"] {
        let text =
            format!("schema = \"zeuge.policy.v1\"\n[intel]\naccepted_statuses = [\"{never}\"]");
        assert!(Policy::parse(&text).is_err(), "{never}");
    }
    let all = "accepted_statuses = [\"OutOfDate\", \"ConfigurationNeeded\"]\ngrace_days = 36500";
    for (found, wanted) in [
        (TcbStatus::UpToDate, Status::Pass),
        (TcbStatus::Revoked, Status::Fail),
        (TcbStatus::TcbNotSupported, Status::Fail),
        (TcbStatus::OutOfDate, Status::Warn),
        (TcbStatus::ConfigurationNeeded, Status::Warn),
        (TcbStatus::OutOfDateConfigurationNeeded, Status::Fail),
        (TcbStatus::SwHardeningNeeded, Status::Warn),
    ] {
        facts.standing.status = found;
        assert_eq!(
            under(&facts, all, "policy.tcb-status"),
            Some(wanted),
            "{found:?}"
        );
    }
    // Without a policy only hardening in software is left to the software.
    for (found, wanted) in [
        (TcbStatus::OutOfDate, Status::Fail),
        (TcbStatus::ConfigurationNeeded, Status::Fail),
        (TcbStatus::SwHardeningNeeded, Status::Warn),
    ] {
        facts.standing.status = found;
        assert_eq!(
            under(&facts, "", "policy.tcb-status"),
            Some(wanted),
            "{found:?}"
        );
    }
}

#[test]
fn grace_ends_on_its_last_day_and_is_for_platforms_out_of_date_alone() {
    let mut facts = facts(None, &QuoteSpec::new(QuoteForm::Sgx3));
    facts.standing.status = TcbStatus::OutOfDate;
    let id = "policy.tcb-status";
    facts.standing.tcb_date = Some(NOW.plus(-30 * DAY));
    assert_eq!(under(&facts, "grace_days = 30", id), Some(Status::Warn));
    assert_eq!(under(&facts, "grace_days = 29", id), Some(Status::Fail));
    assert_eq!(under(&facts, "grace_days = 0", id), Some(Status::Fail));
    // No days of grace are no grace, even for a level of this very second.
    facts.standing.tcb_date = Some(NOW);
    assert_eq!(under(&facts, "grace_days = 0", id), Some(Status::Fail));
    assert_eq!(under(&facts, "grace_days = 1", id), Some(Status::Warn));
    facts.standing.tcb_date = None;
    assert_eq!(under(&facts, "grace_days = 30", id), Some(Status::Fail));
    facts.standing.tcb_date = Some(NOW);
    facts.standing.status = TcbStatus::OutOfDateConfigurationNeeded;
    assert_eq!(under(&facts, "grace_days = 30", id), Some(Status::Fail));
}

#[test]
fn advisories_warn_unless_each_is_allowed_and_the_permission_runs() {
    let mut facts = facts(None, &QuoteSpec::new(QuoteForm::Tdx5));
    let id = "policy.advisories";
    let allow = |id: &str, until: &str| {
        format!(
            "[[intel.allowed_advisories]]\nid = \"{id}\"\nbecause = \"seen\"\nuntil = \"{until}\""
        )
    };
    let (later, now, past) = (
        "2027-01-01T00:00:00Z",
        "2026-03-01T00:00:00Z",
        "2026-02-28T23:59:59Z",
    );
    assert_eq!(under(&facts, "", id), Some(Status::Pass));
    facts.standing.advisories = vec!["INTEL-SA-1".to_owned(), "INTEL-SA-2".to_owned()];
    assert_eq!(under(&facts, "", id), Some(Status::Warn));
    let one = allow("INTEL-SA-1", later);
    assert_eq!(under(&facts, &one, id), Some(Status::Warn));
    let both = format!("{one}\n{}", allow("INTEL-SA-2", now));
    assert_eq!(under(&facts, &both, id), Some(Status::Pass));
    let ended = format!("{one}\n{}", allow("INTEL-SA-2", past));
    assert_eq!(under(&facts, &ended, id), Some(Status::Warn));
}

#[test]
fn the_lowest_evaluation_number_is_accepted_and_the_one_below_is_not() {
    let facts = facts(None, &QuoteSpec::new(QuoteForm::Tdx4));
    let (id, number) = ("policy.evaluation-number", facts.evaluation_number);
    let line = |least: u32| format!("minimum_evaluation_number = {least}");
    assert_eq!(under(&facts, "", id), None);
    assert_eq!(under(&facts, &line(number), id), Some(Status::Pass));
    assert_eq!(under(&facts, &line(number + 1), id), Some(Status::Fail));
}

#[test]
fn both_lists_must_be_there_in_force_and_young_enough() {
    let honest = facts(None, &QuoteSpec::new(QuoteForm::Tdx4));
    let id = "dcap.crl.fresh";
    let list = |age: i64, left: Option<i64>| Revocation::Checked {
        this_update: NOW.plus(-age),
        next_update: left.map(|left| NOW.plus(left)),
        number: None,
        fingerprint: [0; 32],
        source: "a test".to_owned(),
    };
    let age = "crl_age_days_max = 10";
    for (found, wanted) in [
        (list(DAY, Some(DAY)), Status::Pass),
        (list(DAY, Some(0)), Status::Pass),
        (list(DAY, Some(-1)), Status::Fail),
        (list(DAY, None), Status::Fail),
        (list(10 * DAY, Some(DAY)), Status::Pass),
        (list(10 * DAY + 1, Some(DAY)), Status::Fail),
        (Revocation::Missing, Status::Fail),
    ] {
        for root in [true, false] {
            let mut facts = honest.clone();
            facts.root_revocation = list(DAY, Some(DAY));
            facts.pck_revocation = list(DAY, Some(DAY));
            let place = if root {
                &mut facts.root_revocation
            } else {
                &mut facts.pck_revocation
            };
            *place = found.clone();
            let verdict = appraised(&facts, &policy(age), &known());
            assert_eq!(status(&verdict, id), Some(wanted), "{found:?}");
            if wanted == Status::Fail {
                let line = format!("{age}\n[intel]\ndangerous_without_crl = \"a test\"");
                let verdict = appraised(&facts, &policy(&line), &known());
                assert_eq!(status(&verdict, id), Some(Status::Warn), "{found:?}");
            }
        }
    }
}

#[test]
fn a_trust_domain_must_match_each_value_that_the_owner_pins() {
    let facts = facts(None, &QuoteSpec::new(QuoteForm::Tdx5));
    let hex = |byte: &str, times: usize| byte.repeat(times);
    let enclave = format!("mr_enclave = [\"{}\"]", hex("e1", 32));
    let Body::Tdx(report) = &facts.claims else {
        panic!("a trust domain")
    };
    let seam = hex::encode(report.mr_seam);
    let config = hex::encode(report.mr_config_id);
    let other = hex("77", 48);
    let (seams, configs, registers) = ("policy.mr-seam", "policy.mr-config-id", "policy.rtmr");
    for (id, lines, wanted) in [
        (seams, format!("mr_seam = [\"{seam}\"]"), Status::Pass),
        (seams, format!("mr_seam = [\"{other}\"]"), Status::Fail),
        (
            configs,
            format!("mr_config_id = [\"{config}\"]"),
            Status::Pass,
        ),
        (
            configs,
            format!("mr_config_id = [\"{other}\"]"),
            Status::Fail,
        ),
        (
            "policy.mr-owner",
            format!("mr_owner = [\"{}\", \"{other}\"]", hex("00", 48)),
            Status::Pass,
        ),
        (
            "policy.mr-owner",
            format!("mr_owner_config = [\"{other}\"]"),
            Status::Fail,
        ),
        (
            "policy.service-td",
            format!("mr_service_td = [\"{}\"]", hex("00", 48)),
            Status::Pass,
        ),
        (
            "policy.service-td",
            format!("mr_service_td = [\"{other}\"]"),
            Status::Fail,
        ),
        (
            registers,
            format!("rtmr = {{ 0 = [\"{}\"] }}", hex("a0", 48)),
            Status::Pass,
        ),
        (
            registers,
            format!("rtmr = {{ 1 = [\"{}\"] }}", hex("a0", 48)),
            Status::Fail,
        ),
        (
            registers,
            format!(
                "rtmr = {{ 0 = [\"{}\"], 2 = [\"{other}\"] }}",
                hex("a0", 48)
            ),
            Status::Fail,
        ),
    ] {
        let verdict = appraised(&facts, &Policy::default(), &values(&lines, &enclave));
        assert_eq!(status(&verdict, id), Some(wanted), "{lines}");
    }
}

#[test]
fn an_enclave_is_known_by_content_or_by_signer_and_product_and_never_below_its_version() {
    let spec = QuoteSpec::new(QuoteForm::Sgx3);
    assert_eq!(spec.form.tee(), Tee::Sgx);
    let facts = facts(None, &spec);
    let Body::Sgx(report) = &facts.claims else {
        panic!("an enclave")
    };
    let (product, svn) = (report.isv_prod_id, report.isv_svn);
    let content = format!("mr_enclave = [\"{}\"]", "e1".repeat(32));
    let signer = format!("mr_signer = \"{}\"", "e2".repeat(32));
    let stranger = format!("mr_signer = \"{}\"", "e3".repeat(32));
    let of = |product: u16| format!("isv_prod_id = {product}");
    let least = |svn: u16| format!("minimum_isv_svn = {svn}");
    let (known, version) = ("policy.measurement", "policy.isv-svn");
    for (id, lines, wanted) in [
        (version, vec![content.clone(), least(svn)], Status::Pass),
        (version, vec![content.clone(), least(svn + 1)], Status::Fail),
        (known, vec![signer.clone(), of(product)], Status::Pass),
        (known, vec![signer.clone(), of(product + 1)], Status::Fail),
        (known, vec![stranger, of(product)], Status::Fail),
        (
            version,
            vec![signer, of(product), least(svn + 1)],
            Status::Fail,
        ),
    ] {
        let values = values("", &lines.join("\n"));
        let verdict = appraised(&facts, &Policy::default(), &values);
        assert_eq!(status(&verdict, id), Some(wanted), "{lines:?}");
    }
}

#[test]
fn a_forecast_names_the_first_instant_at_which_the_policy_refuses() {
    let mut facts = facts(None, &QuoteSpec::new(QuoteForm::Tdx4));
    let values = known();
    let from = |facts: &QuoteFacts, lines: &str| {
        let policy = policy(&format!("[intel]\n{lines}"));
        let wanted = Wanted {
            policy: &policy,
            reference_values: &values,
            hardware: None,
            evaluation_number_seen: None,
            ahead: None,
            hardware_only: None,
            at: NOW,
        };
        refused_from(facts, &wanted).map(|refused| (refused.from, refused.check))
    };
    let certificate_ends = (facts.pck_not_after.plus(1), "dcap.pck.validity");
    assert_eq!(from(&facts, ""), Some(certificate_ends));
    let older = "minimum_evaluation_number = 21";
    assert_eq!(from(&facts, older), Some((NOW, "policy.evaluation-number")));
    facts.standing.status = TcbStatus::OutOfDate;
    facts.standing.tcb_date = Some(NOW.plus(-10 * DAY));
    let (id, accepted) = ("policy.tcb-status", "accepted_statuses = [\"OutOfDate\"]");
    assert_eq!(from(&facts, ""), Some((NOW, id)));
    assert_eq!(
        from(&facts, "grace_days = 30"),
        Some((NOW.plus(20 * DAY + 1), id))
    );
    assert_eq!(from(&facts, accepted), Some(certificate_ends));
    facts.standing.status = TcbStatus::Revoked;
    assert_eq!(from(&facts, accepted), Some((NOW, id)));
}

#[test]
fn what_is_coming_warns_and_never_refuses() {
    let now = facts(None, &QuoteSpec::new(QuoteForm::Tdx4));
    let (policy, values) = (policy("[intel]\ngrace_days = 30"), known());
    let outlook = |now: &QuoteFacts, ahead: Option<&QuoteFacts>| {
        let wanted = Wanted {
            policy: &policy,
            reference_values: &values,
            hardware: None,
            evaluation_number_seen: None,
            ahead,
            hardware_only: None,
            at: NOW,
        };
        let verdict = judge(&Facts::from(now.clone()), &[], &wanted);
        status(&verdict, "policy.tcb-outlook")
    };
    assert_eq!(
        outlook(&now, None),
        None,
        "nothing is known, nothing is foretold"
    );
    let mut ahead = now.clone();
    ahead.standing.status = TcbStatus::Revoked;
    assert_eq!(
        outlook(&now, Some(&ahead)),
        None,
        "documents of the same number are no news"
    );
    ahead.evaluation_number += 1;
    assert_eq!(outlook(&now, Some(&ahead)), Some(Status::Warn));
    ahead.standing.status = TcbStatus::UpToDate;
    assert_eq!(outlook(&now, Some(&ahead)), Some(Status::Pass));
    let mut grace = now.clone();
    grace.standing.status = TcbStatus::OutOfDate;
    grace.standing.tcb_date = Some(NOW);
    assert_eq!(
        outlook(&grace, None),
        Some(Status::Warn),
        "days of grace end"
    );
    grace.standing.status = TcbStatus::Revoked;
    assert_eq!(
        outlook(&grace, None),
        None,
        "refused today, by its own check"
    );
}

// spec: dcap.tdx.td-attributes-reserved
#[test]
fn a_reserved_bit_of_the_attributes_warns_and_is_no_forgery() {
    for bit in [8, 17, 32, 61] {
        let mut spec = QuoteSpec::new(QuoteForm::Tdx4);
        spec.td_attributes |= 1 << bit;
        // The quote is told and proven with the bit: whoever signs it says so.
        let facts = facts(None, &spec);
        let found = under(&facts, "", "policy.td-attributes");
        assert_eq!(found, Some(Status::Warn), "{bit}");
    }
}

/// What a rule for the boot alone says about these facts, under these reference values.
fn for_the_boot(facts: &QuoteFacts, values: &ReferenceValues) -> Option<Status> {
    let rule = ReleaseRule::parse(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"a\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [\"tdx\"]\nminimum_suite = \"x-wing\"\n\
         chips = \"dangerous_any_chip\"\nworkload = \"td\"\nbefore_closed = true",
    );
    let policy = Policy::default();
    let verdict = appraised(facts, &policy, values);
    let wanted = Wanted {
        policy: &policy,
        reference_values: values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at: NOW,
    };
    let ruled = rule
        .unwrap()
        .apply(&verdict, &wanted, "agent", Suite::XWing);
    status(&ruled, "release.closed")
}

#[test]
fn a_rule_for_the_boot_alone_asks_rtmr3_whether_the_mark_was_made() {
    let pinned = |rtmr3: &[u8; 48]| {
        let rtmr = format!("rtmr = {{ 3 = [\"{}\"] }}", hex::encode(rtmr3));
        values(&rtmr, &format!("mr_enclave = [\"{}\"]", "e1".repeat(32)))
    };
    let at_boot = td_boot::extended(&[0; 48], &[5; 48]);
    let facts_of = |rtmr3: [u8; 48]| {
        let mut spec = QuoteSpec::new(QuoteForm::Tdx4);
        spec.rtmr[3] = rtmr3;
        facts(None, &spec)
    };
    for (rtmr3, pins, wanted) in [
        ([0; 48], &[7; 48], Status::Pass),
        (at_boot, &at_boot, Status::Pass),
        (at_boot, &[7; 48], Status::Fail),
        (td_boot::closed(&[0; 48]), &[7; 48], Status::Fail),
        (td_boot::closed(&at_boot), &at_boot, Status::Fail),
    ] {
        let found = for_the_boot(&facts_of(rtmr3), &pinned(pins));
        assert_eq!(found, Some(wanted), "{}", hex::encode(rtmr3));
    }
    // A log that explains the register shows whether the mark is among its records.
    let record = |digest: &[u8]| RtmrEvent {
        index: 9,
        rtmr: 3,
        kind: EventKind::EVENT_TAG,
        digest: digest.to_vec(),
        label: String::new(),
    };
    let mark = Sha384::digest(b"zeuge:closed");
    for (explained, records, wanted) in [
        ([true; 4], vec![record(&[5; 48])], Status::Pass),
        ([true, true, true, false], vec![], Status::Fail),
        (
            [true; 4],
            vec![record(&[5; 48]), record(&mark), record(&[6; 48])],
            Status::Fail,
        ),
    ] {
        let mut facts = facts_of(at_boot);
        facts.boot = Some(BootLog {
            explained,
            events: records,
        });
        assert_eq!(for_the_boot(&facts, &pinned(&[7; 48])), Some(wanted));
    }
    let enclave = facts(None, &QuoteSpec::new(QuoteForm::Sgx3));
    assert_eq!(
        for_the_boot(&enclave, &pinned(&[7; 48])),
        Some(Status::Fail)
    );
}

#[test]
fn a_log_that_explains_all_registers_leaves_nothing_open_about_them() {
    let spec = QuoteSpec::new(QuoteForm::Tdx4);
    let mut facts = facts(None, &spec);
    let open = |facts: &QuoteFacts| {
        let verdict = appraised(facts, &Policy::default(), &known());
        verdict.not_proved.contains(&NotProved::Registers)
    };
    assert!(open(&facts));
    for (last, wanted) in [(false, true), (true, false)] {
        facts.boot = Some(BootLog {
            explained: [true, true, true, last],
            events: Vec::new(),
        });
        assert_eq!(open(&facts), wanted);
    }
}

#[test]
fn what_the_owner_allows_stands_in_every_verdict_with_his_reason() {
    let mut facts = facts(None, &QuoteSpec::new(QuoteForm::Sgx3));
    facts.standing.advisories = vec!["INTEL-SA-00615".to_owned()];
    let text = "[[intel.allowed_advisories]]\nid = \"INTEL-SA-00615\"\n\
                because = \"no such device\"\nuntil = \"2026-04-01T00:00:00Z\"";
    let verdict = appraised(&facts, &policy(text), &known());
    assert_eq!(status(&verdict, "policy.advisories"), Some(Status::Pass));
    let note = "the policy allows INTEL-SA-00615 until 2026-04-01T00:00:00Z: no such device";
    assert!(verdict.notes.iter().any(|found| found == note));
    facts.standing.status = TcbStatus::OutOfDate;
    let accepting = policy("[intel]\naccepted_statuses = [\"OutOfDate\"]");
    let verdict = appraised(&facts, &accepting, &known());
    assert_eq!(status(&verdict, "policy.tcb-status"), Some(Status::Warn));
    assert_eq!(status(&verdict, "policy.advisories"), Some(Status::Warn));
    assert_eq!(verdict.word, Word::Warning);
}
