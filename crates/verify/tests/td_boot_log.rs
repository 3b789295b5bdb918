//! The boot log of a trust domain against the registers of its quote: the toy's, and real pairs.

use std::{fs, path::PathBuf};

use zeuge_evidence::{
    UnixTime,
    dcap::{Body, Evidence, Quote},
    eventlog::EventLog,
    tpm::HashAlgorithm,
};
use zeuge_sim::{QuoteForm, QuoteSpec, ToyIntel, td_boot};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, QuoteFacts, Verified, crypto::AWS_LC, dcap,
};

/// The instant of all tellings.
const NOW: UnixTime = UnixTime(1_772_323_200);

fn trusted() -> Anchors {
    Anchors::dangerous_sim(&ToyIntel::shared().trust_file()).unwrap()
}

/// What is proven about a machine, and the log of its boot.
fn machine(spec: &QuoteSpec) -> (Verified<QuoteFacts>, Vec<u8>) {
    let told = ToyIntel::shared().tell(None, spec, NOW);
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    let quote = Quote::parse(&told.quote).unwrap();
    let binding = Binding::ReportData(told.expected_report_data);
    let proven = dcap::quote(&quote, &heap, &trusted(), &binding, NOW, &AWS_LC).unwrap();
    let log = ToyIntel::shared().tell(None, &booted(QuoteForm::Tdx4), NOW);
    (proven, log.boot_log.unwrap())
}

fn booted(form: QuoteForm) -> QuoteSpec {
    QuoteSpec::new(form).with_boot_log()
}

fn refused(outcome: Result<Verified<QuoteFacts>, Error>) -> (&'static str, String) {
    let error = outcome.unwrap_err();
    (error.check(), error.to_string())
}

#[test]
fn a_log_that_adds_up_explains_every_register_and_each_of_its_records() {
    for form in [QuoteForm::Tdx4, QuoteForm::Tdx5Td10, QuoteForm::Tdx5] {
        let (proven, log) = machine(&booted(form));
        assert_eq!(proven.fact().boot, None);
        let read = dcap::with_event_log(&proven, &log).unwrap();
        assert_eq!(read.trail().passed().last(), Some(&"tdx.eventlog.replay"));
        let boot = read.fact().boot.clone().unwrap();
        assert_eq!(boot.explained, [true; 4]);
        assert_eq!(boot.events.len(), 10);
        let kernel = &boot.events[5];
        assert_eq!((kernel.index, kernel.rtmr), (5, 1));
        assert_eq!(kernel.label, "\\vmlinuz.efi");
        assert!(read.fact().notes.is_empty());
    }
}

#[test]
fn what_software_extends_later_is_told_and_its_records_are_not_believed() {
    let mut spec = booted(QuoteForm::Tdx4);
    spec.rtmr[2] = td_boot::extended(&spec.rtmr[2], &[7; 48]);
    spec.rtmr[3] = td_boot::closed(&spec.rtmr[3]);
    let (proven, log) = machine(&spec);
    let read = dcap::with_event_log(&proven, &log).unwrap();
    let boot = read.fact().boot.clone().unwrap();
    assert_eq!(boot.explained, [true, true, false, false]);
    assert!(boot.events.iter().all(|event| event.rtmr < 2));
    let notes = read.fact().notes.join("\n");
    assert!(notes.contains("does not explain RTMR2"), "{notes}");
    assert!(
        notes.contains("RTMR3") && notes.contains("no record speaks of it"),
        "{notes}"
    );
}

#[test]
fn the_first_register_that_differs_and_the_record_to_look_at_are_named() {
    // The firmware measured something behind its last record of RTMR0.
    let mut more = booted(QuoteForm::Tdx4);
    more.rtmr[0] = td_boot::extended(&more.rtmr[0], &[1; 48]);
    more.rtmr[1][0] ^= 1;
    let (proven, log) = machine(&more);
    let (check, text) = refused(dcap::with_event_log(&proven, &log));
    assert_eq!(check, "tdx.eventlog.replay");
    assert!(
        text.contains("found RTMR0 ") && text.contains("(look at event 2, EV_SEPARATOR)"),
        "{text}"
    );
    // The log tells of a boot that went further than the machine did.
    let (_, log) = machine(&booted(QuoteForm::Tdx4));
    let whole = EventLog::parse_ccel(&log).unwrap();
    let mut less = booted(QuoteForm::Tdx4);
    less.rtmr[1] = [0; 48];
    for event in whole
        .events
        .iter()
        .filter(|event| event.register == 2)
        .take(2)
    {
        let digest = event.digest(HashAlgorithm::SHA384).unwrap();
        less.rtmr[1] = td_boot::extended(&less.rtmr[1], digest.try_into().unwrap());
    }
    let (proven, _) = machine(&less);
    let (_, text) = refused(dcap::with_event_log(&proven, &log));
    let wanted = "(look at event 5, EV_EFI_BOOT_SERVICES_APPLICATION)";
    assert!(
        text.contains("found RTMR1 ") && text.contains(wanted),
        "{text}"
    );
}

#[test]
fn a_log_of_another_bank_or_beside_an_enclave_is_refused_and_rubbish_is_malformed() {
    let (proven, log) = machine(&booted(QuoteForm::Tdx4));
    // SM3 has 32 bytes: Hygon's logs.
    let mut other = log[..65].to_vec();
    other[60..64].copy_from_slice(&[0x12, 0, 32, 0]);
    let (check, text) = refused(dcap::with_event_log(&proven, &other));
    assert_eq!(check, "tdx.eventlog.replay");
    assert!(text.contains("a log without SHA-384"), "{text}");
    let (enclave, _) = machine(&QuoteSpec::new(QuoteForm::Sgx3));
    let (check, text) = refused(dcap::with_event_log(&enclave, &log));
    assert_eq!(check, "tdx.eventlog.replay");
    assert!(text.contains("an enclave"), "{text}");
    for rubbish in [&[][..], &log[..40], &[0; 64]] {
        let outcome = dcap::with_event_log(&proven, rubbish);
        assert!(matches!(outcome, Err(Error::Malformed(_))), "{outcome:?}");
    }
}

/// Every real quote of a trust domain and every real log: which logs add up to which registers.
#[test]
fn real_logs_add_up_to_the_registers_of_real_quotes() {
    let Some(folder) = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from) else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return;
    };
    let files = |class: &str| {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder.join("open").join(class))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths
            .into_iter()
            .map(|path| (path.clone(), fs::read(path).unwrap()))
    };
    let quotes: Vec<_> = files("tdx-quote")
        .filter_map(|(path, bytes)| Some((path, Evidence::read(&bytes).ok()?.quote)))
        .collect();
    let (mut whole, mut boot) = (0, 0);
    for (path, bytes) in files("eventlog-ccel") {
        let Ok(log) = EventLog::parse_ccel(&bytes) else {
            continue;
        };
        let Some(replay) = log.replay(HashAlgorithm::SHA384) else {
            continue;
        };
        for (of, quote) in &quotes {
            let Ok(Quote {
                body: Body::Tdx(report),
                ..
            }) = Quote::parse(quote)
            else {
                continue;
            };
            let explained: Vec<bool> = (1..)
                .zip(&report.rtmr)
                .map(|(register, value)| replay.value(register).as_deref() == Some(value))
                .collect();
            if explained[0] && explained[1] {
                println!(
                    "{} explains {:?} of {}",
                    path.display(),
                    explained,
                    of.display()
                );
                boot += 1;
                whole += usize::from(explained == [true; 4]);
            }
        }
    }
    assert!(boot > 0 && whole > 0, "{boot} boots, {whole} of them whole");
}
