//! What stands in a verdict beside its findings, for every kind of machine: what was judged, who must be
//! trusted, what stays open, and what was noticed.

mod told_all;

use told_all::{
    appraised, azure, found, nitro, pair, policy, quote, registry, snp, status, td, told_behind,
    told_enclave, tpm, values, wanted,
};
use zeuge_appraise::{
    Cpu, Facts, Kind, NotProved, Policy, ReferenceValues, Status, Verdict, Word, judge,
    outlook::refused_from,
};
use zeuge_sim::{AzureCpu, Product, QuoteForm, ReportSpec, Signer};
use zeuge_verify::{Binding, amd, dcap::BootLog, tpm::TrustBasis};

use NotProved::{
    AfterLaunch, Freshness, Hands, MakerKeys, Memory, OwnMachine, Paravisor, Programs,
    ProviderAlone, Registers, WhichChip,
};

fn plain(facts: impl Into<Facts>) -> Verdict {
    appraised(facts, &Policy::default(), &ReferenceValues::default(), None)
}

/// The same where a registry is asked.
fn enrolled(facts: impl Into<Facts>) -> Verdict {
    let registry = registry("");
    appraised(
        facts,
        &Policy::default(),
        &ReferenceValues::default(),
        Some(&registry),
    )
}

fn unbound() -> Binding {
    Binding::Unbound {
        because: "a test".to_owned(),
    }
}

/// Maker and kind of every root.
fn roots(verdict: &Verdict) -> Vec<(&str, &str)> {
    let roots = verdict.roots.iter();
    roots
        .map(|root| (root.maker.as_str(), root.kind.as_str()))
        .collect()
}

fn unasked(verdict: &Verdict) -> bool {
    let known = found(verdict, "policy.binding");
    let Some((status, because, ..)) = known else {
        return false;
    };
    assert_eq!(status, Status::Warn);
    assert!(because.ends_with(": a test"), "{because}");
    true
}

#[test]
fn of_amd_the_product_the_roots_and_what_stays_open() {
    for product in Product::ALL {
        let mut machine = snp(&ReportSpec::new(product));
        machine.claims.platform_info.0 = 1;
        let verdict = plain(machine.clone());
        assert_eq!(verdict.kind, Kind::Snp);
        assert_eq!(verdict.product, Some(format!("{product:?}")));
        let root = verdict.roots.clone();
        assert_eq!(root.len(), 1);
        assert_eq!(root[0].fingerprint, machine.root.fingerprint);
        let open = [MakerKeys, Hands, AfterLaunch, OwnMachine];
        assert_eq!(verdict.not_proved, open);
        assert_eq!(verdict.notes, machine.notes);
        assert!(!unasked(&verdict));
        assert_eq!(enrolled(machine.clone()).not_proved, open[..3]);
        let mut loose = machine;
        loose.binding = unbound();
        let verdict = plain(loose);
        assert_eq!(verdict.not_proved, [&open[..], &[Freshness]].concat());
        assert!(unasked(&verdict));
        assert_eq!(
            status(&verdict, "binding.report-data"),
            Some(Status::Unchecked)
        );
    }
}

#[test]
fn a_providers_key_is_a_root_beside_the_makers_under_the_law_of_its_holder() {
    let mut machine = snp(&ReportSpec {
        signer: Signer::Vlek,
        ..ReportSpec::new(Product::Genoa)
    });
    for (holder, law) in [
        ("cek.eu-west-1.amazonaws.com", "US"),
        ("x.azure.net", "US"),
        ("x.google.com", "US"),
        ("x.microsoft.com", "US"),
        ("amazonaws.com.example", "unknown"),
        ("provider.example", "unknown"),
    ] {
        machine.signer = zeuge_verify::snp::Signer::Vlek {
            csp_id: holder.to_owned(),
        };
        let verdict = plain(machine.clone());
        let last = verdict.roots.last().expect("roots");
        assert_eq!(verdict.roots.len(), 2);
        assert_eq!(
            (last.maker.as_str(), last.jurisdiction.as_str()),
            (holder, law)
        );
        assert_eq!((last.kind.as_str(), last.toy), ("provider-key", true));
        assert_eq!(last.fingerprint, machine.leaf_fingerprint);
        assert_eq!(
            verdict.not_proved,
            [MakerKeys, Hands, AfterLaunch, OwnMachine, WhichChip]
        );
    }
}

#[test]
fn bits_and_bytes_that_no_document_names_are_noticed() {
    let mut machine = snp(&ReportSpec::new(Product::Milan));
    machine.claims.platform_info.0 = 1;
    let notes = |change: fn(&mut zeuge_evidence::snp::Claims)| {
        let mut changed = machine.clone();
        change(&mut changed.claims);
        plain(changed).notes.split_off(machine.notes.len())
    };
    let bits = |name: &str, bits: u64| {
        vec![format!(
            "{name} has bits that no known document names: {bits:#x}"
        )]
    };
    assert_eq!(notes(|_| {}), [""; 0]);
    assert_eq!(
        notes(|claims| claims.policy.0 |= 1 << 63),
        bits("POLICY", 1 << 63)
    );
    assert_eq!(
        notes(|claims| claims.platform_info.0 |= 1 << 62),
        bits("PLATFORM_INFO", 1 << 62)
    );
    assert_eq!(
        notes(|claims| claims.key_info.0 |= 1 << 31),
        bits("KEY_INFO", 1 << 31)
    );
    assert_eq!(
        notes(|claims| claims.reported_tcb.0[3] = 1),
        ["REPORTED_TCB uses bytes that this product's layout leaves unused"]
    );
}

#[test]
fn the_floors_of_amds_bulletins_are_reached_or_not_by_every_component() {
    let policy = Policy::default();
    let values = ReferenceValues::default();
    let below = |product: Product, line: Option<(u8, u8)>, bytes: [u8; 8]| {
        let mut machine = snp(&ReportSpec::new(product));
        machine.claims.reported_tcb.0 = bytes;
        if let Some((model, stepping)) = line {
            let cpuid = machine.claims.cpuid.as_mut().expect("a line");
            (cpuid.model, cpuid.stepping) = (model, stepping);
        }
        let verdict = appraised(machine, &policy, &values, None);
        let (status, because, ..) = found(&verdict, "policy.tcb").expect("asked");
        (status == Status::Fail).then_some(because)
    };
    let refused = |bulletin: &str| {
        let known = "known attacks are not fixed";
        Some(format!(
            "the versions are below the floor of {bulletin}: {known}"
        ))
    };
    let old = |snp: u8, microcode: u8| [0, 0, 0, 0, 0, 0, snp, microcode];
    let (first, second) = (refused("AMD-SB-3019"), refused("AMD-SB-3020"));
    for (product, line, bytes, wanted) in [
        (Product::Milan, Some((1, 1)), old(0, 0xdb), None),
        (Product::Milan, Some((1, 1)), old(0xff, 0xda), first.clone()),
        (Product::Milan, Some((1, 2)), old(0, 0x44), None),
        (Product::Milan, Some((1, 2)), old(0, 0x43), first.clone()),
        (Product::Genoa, Some((0x11, 1)), old(0x17, 0x54), None),
        (
            Product::Genoa,
            Some((0x11, 1)),
            old(0x16, 0x54),
            first.clone(),
        ),
        (
            Product::Genoa,
            Some((0x11, 1)),
            old(0x17, 0x53),
            first.clone(),
        ),
        (Product::Genoa, Some((0x11, 2)), old(0x17, 0x4f), None),
        (
            Product::Genoa,
            Some((0x11, 2)),
            old(0x16, 0x4f),
            first.clone(),
        ),
        (
            Product::Genoa,
            Some((0x11, 2)),
            old(0x17, 0x4e),
            first.clone(),
        ),
        (Product::Genoa, Some((0xa0, 0)), old(0, 0x19), None),
        (Product::Genoa, Some((0xaf, 2)), old(0, 0x19), None),
        (Product::Genoa, Some((0xa0, 0)), old(0, 0x18), first.clone()),
        (Product::Genoa, Some((0x9f, 0)), old(0, 0x19), first.clone()),
        (Product::Genoa, Some((0xb0, 0)), old(0, 0x19), first),
        // FMC, boot loader, TEE, SNP and microcode of Turin.
        (Product::Turin, None, [0, 0, 0, 4, 0, 0, 0, 0], None),
        (Product::Turin, None, [9, 9, 9, 3, 0, 0, 0, 9], second),
    ] {
        assert_eq!(
            below(product, line, bytes),
            wanted,
            "{product:?} {line:?} {bytes:?}"
        );
    }
}

#[test]
fn a_dangerous_floor_is_the_owners_word_and_shows() {
    let mut machine = snp(&ReportSpec::new(Product::Genoa));
    machine.claims.reported_tcb.0 = [0, 0, 0, 0, 0, 0, 5, 6];
    let under = |product: &str, snp: u8| {
        let policy = policy(&format!(
            "[snp.dangerous_minimum_tcb.{product}]\nbecause = \"old racks\"\n\
             floor = {{ snp = {snp}, microcode = 6 }}"
        ));
        let verdict = appraised(machine.clone(), &policy, &ReferenceValues::default(), None);
        let (status, because, ..) = found(&verdict, "policy.tcb").expect("asked");
        (status, because)
    };
    let because = "the versions are below the floor of AMD-SB-3019; accepted by \
                   dangerous_minimum_tcb: old racks";
    assert_eq!(under("Genoa", 5), (Status::Warn, because.to_owned()));
    assert_eq!(under("Genoa", 6).0, Status::Fail);
    assert_eq!(under("Milan", 5).0, Status::Fail);
}

#[test]
fn of_intel_the_kind_the_root_and_what_stays_open() {
    for (form, kind) in [(QuoteForm::Tdx4, Kind::Tdx), (QuoteForm::Sgx3, Kind::Sgx)] {
        let mut machine = quote(form);
        machine.boot = None;
        let verdict = plain(machine.clone());
        assert_eq!((verdict.kind, verdict.product.clone()), (kind, None));
        assert_eq!(verdict.roots.len(), 1);
        assert_eq!(verdict.roots[0].fingerprint, machine.root.fingerprint);
        let mut open = vec![MakerKeys, Hands, OwnMachine];
        open.extend((kind == Kind::Tdx).then_some(Registers));
        assert_eq!(verdict.not_proved, open);
        let end = format!(
            "Intel's documents about this platform count until {}",
            machine.collateral_until
        );
        assert_eq!(
            verdict.notes,
            [&machine.notes[..], std::slice::from_ref(&end)].concat()
        );
        assert!(!enrolled(machine.clone()).not_proved.contains(&OwnMachine));
        let mut explained = machine.clone();
        explained.boot = Some(BootLog {
            explained: [true; 4],
            events: Vec::new(),
        });
        assert_eq!(plain(explained).not_proved, [MakerKeys, Hands, OwnMachine]);
        let mut loose = machine.clone();
        loose.binding = unbound();
        loose.trailing_bytes = 1;
        let verdict = plain(loose);
        open.push(Freshness);
        assert_eq!(verdict.not_proved, open);
        assert!(unasked(&verdict));
        let bytes = "1 bytes follow the quote; nobody signed them".to_owned();
        assert_eq!(verdict.notes, [&machine.notes[..], &[bytes, end]].concat());
    }
}

#[test]
fn a_service_td_that_nobody_named_warns_and_a_named_one_does_not() {
    let hash = [0x5d; 48];
    let zeros = "00".repeat(48);
    let known = |lines: &str| {
        values(&format!(
            "[[tdx]]\nname = \"td\"\nmr_td = [\"{}\"]\n{lines}",
            "d1".repeat(48)
        ))
    };
    let named = format!("mr_service_td = [\"{}\"]", hex::encode(hash));
    let none = format!("mr_service_td = [\"{zeros}\"]");
    let (pass, warn, fail) = (Status::Pass, Status::Warn, Status::Fail);
    let alone = quote(QuoteForm::Tdx5);
    let mut bound = alone.clone();
    td(&mut bound).td15.as_mut().expect("TDX 1.5").mr_service_td = hash;
    for (machine, lines, wanted) in [
        (&alone, "", pass),
        (&alone, none.as_str(), pass),
        (&alone, named.as_str(), fail),
        (&bound, "", warn),
        (&bound, named.as_str(), pass),
        (&bound, none.as_str(), fail),
    ] {
        let verdict = appraised(machine.clone(), &Policy::default(), &known(lines), None);
        let told = status(&verdict, "policy.service-td");
        assert_eq!(told, Some(wanted), "{lines}");
    }
    let verdict = plain(bound);
    assert_eq!(status(&verdict, "policy.service-td"), Some(warn));
}

#[test]
fn which_statuses_a_policy_can_accept_and_which_none_can() {
    use zeuge_verify::dcap::TcbStatus;
    let mut machine = quote(QuoteForm::Tdx4);
    let all = policy(
        "[intel]\naccepted_statuses = [\"SWHardeningNeeded\", \"ConfigurationNeeded\", \
         \"ConfigurationAndSWHardeningNeeded\", \"OutOfDate\", \"OutOfDateConfigurationNeeded\", \
         \"TDRelaunchAdvised\", \"TDRelaunchAdvisedConfigurationNeeded\"]\ngrace_days = 36500",
    );
    for (found, default, accepted) in [
        (TcbStatus::UpToDate, Status::Pass, Status::Pass),
        (TcbStatus::SwHardeningNeeded, Status::Warn, Status::Warn),
        (TcbStatus::ConfigurationNeeded, Status::Fail, Status::Warn),
        (TcbStatus::OutOfDate, Status::Fail, Status::Warn),
        (
            TcbStatus::OutOfDateConfigurationNeeded,
            Status::Fail,
            Status::Warn,
        ),
        (TcbStatus::Revoked, Status::Fail, Status::Fail),
        (TcbStatus::TcbNotSupported, Status::Fail, Status::Fail),
    ] {
        machine.standing.status = found;
        let values = ReferenceValues::default();
        for (policy, wanted) in [(&Policy::default(), default), (&all, accepted)] {
            let verdict = appraised(machine.clone(), policy, &values, None);
            assert_eq!(
                status(&verdict, "policy.tcb-status"),
                Some(wanted),
                "{found:?}"
            );
        }
    }
}

#[test]
fn a_forecast_is_silent_about_certificates_until_the_last_weeks() {
    let machine = quote(QuoteForm::Tdx4);
    let (policy, values) = (Policy::default(), ReferenceValues::default());
    let mut wishes = wanted(&policy, &values, None);
    let ends = machine.pck_not_after;
    let refused = refused_from(&machine, &wishes).expect("a certificate ends");
    assert_eq!(
        (refused.from, refused.check),
        (ends.plus(1), "dcap.pck.validity")
    );
    let mut at = |seconds: i64| {
        wishes.at = ends.plus(1 - 90 * 86_400 + seconds);
        let verdict = judge(&Facts::from(machine.clone()), &[], &wishes);
        status(&verdict, "policy.tcb-outlook")
    };
    assert_eq!(at(-1), None);
    assert_eq!(at(0), Some(Status::Warn));
    assert_eq!(at(1), Some(Status::Warn));
}

#[test]
fn of_a_tpm_the_maker_the_root_and_what_stays_open() {
    let machine = tpm();
    let TrustBasis::Activated(ek) = machine.trust.clone() else {
        panic!("an activated AK")
    };
    let maker = ek.identity.manufacturer_text().expect("a maker");
    let model = ek.identity.model.clone();
    let full = model.map_or_else(|| maker.clone(), |model| format!("{maker} {model}"));
    let verdict = plain(machine.clone());
    assert_eq!((verdict.kind, verdict.product), (Kind::Tpm, Some(full)));
    assert_eq!(verdict.roots[0].fingerprint, ek.root.fingerprint);
    let open = [MakerKeys, Hands, Memory, OwnMachine];
    assert_eq!(verdict.not_proved, open);
    assert_eq!(enrolled(machine.clone()).not_proved, open[..3]);
    let mut bare = machine.clone();
    let mut nameless = ek;
    nameless.identity.model = None;
    bare.trust = TrustBasis::Certified(nameless);
    (bare.boot, bare.ima, bare.unbound) = (None, None, Some("a test".to_owned()));
    let verdict = plain(bare);
    assert_eq!(verdict.product, Some(maker));
    assert_eq!(
        verdict.not_proved,
        [
            MakerKeys, Hands, Memory, OwnMachine, Freshness, Registers, Programs
        ]
    );
    assert!(unasked(&verdict));
    assert_eq!(status(&verdict, "tpm.quote.nonce"), Some(Status::Unchecked));
    let mut committed = machine;
    committed.trust = TrustBasis::CommittedByReport;
    let verdict = plain(committed);
    assert_eq!((verdict.product, verdict.roots.len()), (None, 0));
}

#[test]
fn what_a_tpm_leaves_to_the_word_of_others_is_noted() {
    let mut machine = tpm();
    machine.clock.safe = true;
    let word =
        "the AK's attributes are vouched for by its certificate or the owner, not by its name";
    let clock = "the TPM's clock may have shown a later time before (safe is not set)";
    let count = |machine: &zeuge_appraise::TpmFacts, note: &str| {
        let verdict = plain(machine.clone());
        verdict.notes.iter().filter(|found| *found == note).count()
    };
    assert_eq!((count(&machine, word), count(&machine, clock)), (0, 0));
    machine.clock.safe = false;
    machine.ak_attributes = None;
    assert_eq!((count(&machine, word), count(&machine, clock)), (1, 1));
    machine.trust = TrustBasis::CommittedByReport;
    assert_eq!(count(&machine, word), 0);
    machine.explained = zeuge_evidence::tpm::PcrSet::of(&[]);
    let verdict = plain(machine.clone());
    let all: Vec<String> = machine.pcrs[&machine.boot.as_ref().expect("a log").bank]
        .keys()
        .map(ToString::to_string)
        .collect();
    let note = format!(
        "the boot log does not explain the quoted PCRs {}",
        all.join(", ")
    );
    assert!(verdict.notes.contains(&note), "{:?}", verdict.notes);
}

#[test]
fn of_nitro_the_source_the_root_and_what_stays_open() {
    for (instance, product) in [(false, "Nitro Enclave"), (true, "NitroTPM")] {
        let machine = nitro(instance);
        let verdict = plain(machine.clone());
        assert_eq!(
            (verdict.kind, verdict.product),
            (Kind::Nitro, Some(product.to_owned()))
        );
        assert_eq!(verdict.roots.len(), 1);
        assert_eq!(verdict.roots[0].fingerprint, machine.root.fingerprint);
        let mut open = vec![ProviderAlone, Hands];
        open.extend(instance.then_some([Memory, Programs]).into_iter().flatten());
        assert_eq!(enrolled(machine.clone()).not_proved, open);
        open.push(OwnMachine);
        assert_eq!(verdict.not_proved, open);
        let mut loose = machine;
        loose.unbound = Some("a test".to_owned());
        let verdict = plain(loose);
        open.push(Freshness);
        assert_eq!(verdict.not_proved, open);
        assert!(unasked(&verdict));
    }
}

#[test]
fn an_enclave_is_in_debug_mode_when_its_register_is_zero_or_not_there_and_an_instance_never() {
    let debug = |instance: bool, value: Option<Vec<u8>>| {
        let mut machine = nitro(instance);
        machine.pcrs.remove(&0);
        if let Some(value) = value {
            machine.pcrs.insert(0, value);
        }
        status(&plain(machine), "policy.debug")
    };
    let mut almost = vec![0; 48];
    almost[47] = 1;
    for (value, of_enclave) in [
        (None, Status::Fail),
        (Some(vec![0; 48]), Status::Fail),
        (Some(almost), Status::Pass),
        (Some(vec![1; 48]), Status::Pass),
    ] {
        assert_eq!(debug(false, value.clone()), Some(of_enclave), "{value:?}");
        assert_eq!(debug(true, value), Some(Status::Pass));
    }
}

#[test]
fn a_nitro_document_may_be_as_old_as_the_policy_says_and_of_any_of_its_instances() {
    let mut machine = nitro(false);
    let made = told_all::NOW.plus(-600);
    machine.timestamp = u64::try_from(made.0).expect("after 1970") * 1000;
    machine.module_id = "i-0aa-enc0bb".to_owned();
    let under = |machine: &zeuge_appraise::NitroFacts, lines: &str, id: &str| {
        let policy = policy(&format!("[nitro]\n{lines}"));
        let values = ReferenceValues::parse(&told_enclave::honest_values()).expect("values");
        status(&appraised(machine.clone(), &policy, &values, None), id)
    };
    let (age, instance) = ("policy.nitro-age", "policy.nitro-instance");
    let (pass, fail) = (Some(Status::Pass), Some(Status::Fail));
    for (lines, id, wanted) in [
        ("", age, None),
        ("age_seconds_max = 601", age, pass),
        ("age_seconds_max = 600", age, pass),
        ("age_seconds_max = 599", age, fail),
        ("", instance, None),
        ("instances = [\"i-0aa\"]", instance, pass),
        ("instances = [\"i-0bb\", \"i-0aa\"]", instance, pass),
        ("instances = [\"i-0aa\", \"i-0bb\"]", instance, pass),
        ("instances = [\"i-0bb\"]", instance, fail),
        ("instances = [\"i-0aa-enc0bb\"]", instance, fail),
    ] {
        assert_eq!(under(&machine, lines, id), wanted, "{lines}");
    }
    // Several values of one register: one must be there, in either case.
    let value = hex::encode(&machine.pcrs[&4]).to_uppercase();
    for (list, wanted) in [
        (format!("\"{value}\", \"{}\"", "77".repeat(48)), pass),
        (format!("\"{}\", \"{value}\"", "77".repeat(48)), pass),
        (format!("\"{}\"", "77".repeat(48)), fail),
    ] {
        let known = values(&format!(
            "[[nitro]]\nname = \"web\"\nsource = \"enclave\"\npcrs = {{ 4 = [{list}], 8 = [\"{}\"] }}",
            hex::encode(&machine.pcrs[&8])
        ));
        let verdict = appraised(machine.clone(), &Policy::default(), &known, None);
        assert_eq!(status(&verdict, "policy.measurement"), wanted, "{list}");
    }
}

#[test]
fn a_pair_is_called_by_both_trusts_both_and_leaves_open_what_neither_shows() {
    let report = snp(&ReportSpec::new(Product::Milan));
    let with = tpm();
    let chip = plain(report.clone());
    let boot = plain(with.clone());
    let both = plain(pair(Cpu::Snp(Box::new(report)), with.clone()));
    assert_eq!(both.kind, Kind::Composite);
    let product = format!("Milan with {}", boot.product.clone().expect("a maker"));
    assert_eq!(both.product, Some(product));
    assert_eq!(both.roots, [chip.roots, boot.roots.clone()].concat());
    assert_eq!(both.not_proved, [MakerKeys, Hands, AfterLaunch, OwnMachine]);
    assert_eq!(both.notes, [chip.notes, boot.notes.clone()].concat());
    // A quote's registers are what the TPM's log stands for; without one they stay open.
    let mut quoted = quote(QuoteForm::Tdx4);
    quoted.boot = None;
    let both = plain(pair(Cpu::Quote(Box::new(quoted.clone())), with.clone()));
    assert_eq!(both.product, boot.product);
    assert_eq!(both.not_proved, [MakerKeys, Hands, OwnMachine]);
    let mut bare = with;
    (bare.boot, bare.ima) = (None, None);
    let both = plain(pair(Cpu::Quote(Box::new(quoted)), bare));
    assert_eq!(
        both.not_proved,
        [MakerKeys, Hands, OwnMachine, Registers, Programs]
    );
}

#[test]
fn behind_azures_paravisor_the_cpu_the_guest_and_the_paravisor_itself_are_named() {
    for (cpu, product, makers_open) in [
        (
            AzureCpu::Snp(Product::Milan),
            Some("Milan behind Azure's paravisor"),
            vec![MakerKeys, Hands, OwnMachine],
        ),
        (AzureCpu::Tdx, None, vec![MakerKeys, Hands, OwnMachine]),
    ] {
        let machine = azure(cpu);
        let verdict = plain(machine.clone());
        assert_eq!(verdict.product.as_deref(), product);
        let mut guest = makers_open.clone();
        guest.extend([Registers, Programs, Paravisor]);
        let quoted = machine.tpm.as_ref().expect("a quote");
        let shows = |open: &NotProved| match open {
            Registers => quoted.boot.is_none(),
            Programs => quoted.ima.is_none(),
            _ => true,
        };
        guest.retain(shows);
        assert_eq!(verdict.not_proved, guest);
        let paravisor = verdict.roots.last().expect("roots");
        assert_eq!(
            (paravisor.maker.as_str(), paravisor.toy),
            ("toy Microsoft", true)
        );
        assert_eq!(paravisor.jurisdiction, "none");
        assert_eq!(paravisor.fingerprint, machine.ak_key.unwrap_or_default());
        // What the guest did after the launch stays open where its TPM says nothing.
        let mut alone = machine.clone();
        alone.tpm = None;
        alone.unbound = Some("a test".to_owned());
        let verdict = plain(alone.clone());
        let mut open = makers_open.clone();
        if matches!(alone.cpu, Cpu::Snp(_)) {
            open.insert(2, AfterLaunch);
        }
        open.push(Paravisor);
        assert_eq!(verdict.not_proved, open);
        assert!(unasked(&verdict));
        // A quote says so itself, once.
        let mut quoted = machine.clone();
        quoted.unbound = Some("a test".to_owned());
        assert_eq!(found(&plain(quoted), "policy.binding"), None);
        let mut genuine = machine;
        match &mut genuine.cpu {
            Cpu::Snp(facts) => facts.root.toy = false,
            Cpu::Quote(facts) => facts.root.toy = false,
        }
        let verdict = plain(genuine);
        let paravisor = verdict.roots.last().expect("roots");
        assert_eq!(
            (paravisor.maker.as_str(), paravisor.toy),
            ("Microsoft", false)
        );
        assert_eq!(
            (paravisor.jurisdiction.as_str(), roots(&verdict).len()),
            ("US", 2)
        );
    }
}

#[test]
fn azures_findings_are_those_of_cpu_guest_and_paravisor_and_wishes_count_where_they_stand() {
    let machine = azure(AzureCpu::Snp(Product::Milan));
    let values = ReferenceValues::parse(&told_behind::values("hcl")).expect("values");
    let under = |lines: &str| appraised(machine.clone(), &policy(lines), &values, None);
    let ids = |verdict: &Verdict| -> Vec<&str> {
        verdict.findings.iter().map(|finding| finding.id).collect()
    };
    let plain = under("");
    for id in ["policy.tcb", "policy.pcr-selection", "amd.crl.fresh"] {
        assert!(ids(&plain).contains(&id), "{id}");
    }
    let asked = [
        ("require_secure_boot = true", "policy.hcl-secure-boot"),
        ("forbid_console = true", "policy.hcl-console"),
    ];
    for (line, id) in asked {
        assert!(!ids(&plain).contains(&id), "{id}");
        assert_eq!(
            status(&under(&format!("[azure]\n{line}")), id),
            Some(Status::Pass)
        );
    }
    let id = machine.vm.unique_id.clone().expect("an identifier");
    let machines = "policy.hcl-machine";
    assert_eq!(status(&plain, machines), None);
    for (list, wanted) in [
        (
            format!("\"{}\", \"other\"", id.to_uppercase()),
            Status::Pass,
        ),
        (
            format!("\"other\", \"{}\"", id.to_lowercase()),
            Status::Pass,
        ),
        ("\"other\"".to_owned(), Status::Fail),
    ] {
        let verdict = under(&format!("[azure]\nmachines = [{list}]"));
        assert_eq!(status(&verdict, machines), Some(wanted), "{list}");
    }
    let mut notes = plain.notes.clone();
    let mut quoted = machine.tpm.clone().expect("a quote");
    quoted.clock.safe = !quoted.clock.safe;
    let mut other = machine.clone();
    other.tpm = Some(quoted);
    let told = appraised(other, &Policy::default(), &values, None).notes;
    assert_ne!(notes, told);
    notes.retain(|note| !told.contains(note));
    assert!(notes.len() <= 1, "{notes:?}");
}

#[test]
fn what_verification_passed_stands_first_and_once() {
    let machine = Facts::from(snp(&ReportSpec::new(Product::Milan)));
    let (policy, values) = (Policy::default(), ReferenceValues::default());
    let wishes = wanted(&policy, &values, None);
    let passed = ["b.check", "a.check", "b.check", "a.check"];
    let verdict = judge(&machine, &passed, &wishes);
    let ids: Vec<_> = verdict.findings.iter().map(|one| one.id).take(3).collect();
    assert_eq!(ids[..2], ["b.check", "a.check"]);
    assert_ne!(ids[2], "b.check");
    assert_eq!(verdict.findings[0].status, Status::Pass);
    // What was not demanded did not pass.
    let Facts::Snp(facts) = &machine else {
        panic!("a report")
    };
    let mut loose = facts.as_ref().clone();
    loose.binding = unbound();
    let both = ["x.check", "binding.report-data"];
    let verdict = judge(&Facts::from(loose), &both, &wishes);
    let (status, because, ..) = found(&verdict, "binding.report-data").expect("once");
    assert_eq!((status, because.as_str()), (Status::Unchecked, "a test"));
    assert_eq!(verdict.findings[0].id, "x.check");
    assert_eq!(verdict.word, Word::Contraindicated);
    assert!(!verdict.threats.is_empty() && verdict.adversaries.len() == 9);
}

#[test]
fn lists_of_revoked_certificates_count_to_their_last_second() {
    const DAY: i64 = 86_400;
    let now = told_all::NOW;
    let young = policy("crl_age_days_max = 10");
    let values = ReferenceValues::default();
    for (age, left, wanted) in [
        (DAY, Some(DAY), Status::Pass),
        (DAY, Some(0), Status::Pass),
        (DAY, Some(-1), Status::Fail),
        (DAY, None, Status::Fail),
        (10 * DAY, Some(DAY), Status::Pass),
        (10 * DAY + 1, Some(DAY), Status::Fail),
    ] {
        let mut machine = snp(&ReportSpec::new(Product::Milan));
        let amd::Revocation::Checked {
            this_update,
            next_update,
            ..
        } = &mut machine.revocation
        else {
            panic!("a list")
        };
        *this_update = now.plus(-age);
        *next_update = left.map(|left| now.plus(left));
        let verdict = appraised(machine, &young, &values, None);
        assert_eq!(
            status(&verdict, "amd.crl.fresh"),
            Some(wanted),
            "{age} {left:?}"
        );
        let mut machine = tpm();
        let (TrustBasis::Activated(ek) | TrustBasis::Certified(ek)) = &mut machine.trust else {
            panic!("a certificate")
        };
        ek.revocation = zeuge_verify::tpm::Revocation::Checked {
            this_update: now.plus(-age),
            next_update: left.map(|left| now.plus(left)),
        };
        let verdict = appraised(machine, &young, &values, None);
        assert_eq!(
            status(&verdict, "tpm.crl.fresh"),
            Some(wanted),
            "{age} {left:?}"
        );
    }
}
