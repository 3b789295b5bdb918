//! Structure-aware: honest evidence of the toy makers, changed field by field and, if the input
//! says so, signed once more by the machine's own key; then the whole way to the verdict in JSON.
//!
//! What is accepted is held against what the bytes say, read by offsets that share nothing with
//! the readers.

use std::{collections::HashMap, sync::OnceLock};

use zeuge_appraise::{Facts, Policy, ReferenceValues, Verdict, Wanted, judge};
use zeuge_evidence::{UnixTime, dcap::Quote, snp::Report};
use zeuge_sim::{
    PckCa, Product, QuoteForm, QuoteSpec, ReportSpec, Signer, ToyAmd, ToyEvidence, ToyIntel,
    ToyQuote,
};
use zeuge_verify::{Anchors, Binding, Endorsements, Error, crypto::AWS_LC};

use crate::{must, seeds};

const NOW: UnixTime = UnixTime(seeds::NOW);

/// Fields of a report: offset and length (AMD 56860 §7.3).
const FIELDS: [(usize, usize); 32] = [
    (0x000, 4),
    (0x004, 4),
    (0x008, 8),
    (0x010, 16),
    (0x020, 16),
    (0x030, 4),
    (0x034, 4),
    (0x038, 8),
    (0x040, 8),
    (0x048, 4),
    (0x04c, 4),
    (0x050, 64),
    (0x090, 48),
    (0x0c0, 32),
    (0x0e0, 48),
    (0x110, 48),
    (0x140, 32),
    (0x160, 32),
    (0x180, 8),
    (0x188, 3),
    (0x18b, 21),
    (0x1a0, 64),
    (0x1e0, 8),
    (0x1e8, 4),
    (0x1ec, 4),
    (0x1f0, 8),
    (0x1f8, 16),
    (0x208, 152),
    (0x2a0, 72),
    (0x2e8, 72),
    (0x330, 368),
    (0x008, 3),
];

/// GUEST_POLICY: debug and migration.
const DEBUG_OR_MIGRATION: u64 = (1 << 19) | (1 << 18);

struct Machine {
    spec: ReportSpec,
    told: ToyEvidence,
}

struct Amd {
    anchors: Anchors,
    machines: Vec<Machine>,
}

fn amd() -> &'static Amd {
    static AMD: OnceLock<Amd> = OnceLock::new();
    AMD.get_or_init(|| {
        let toy = ToyAmd::shared();
        let machines = Product::ALL.into_iter().flat_map(|product| {
            Signer::ALL.into_iter().map(move |signer| {
                let spec = ReportSpec {
                    signer,
                    ..ReportSpec::new(product)
                };
                let told = ToyAmd::shared().tell(None, &spec, NOW);
                Machine { spec, told }
            })
        });
        Amd {
            machines: machines.collect(),
            anchors: Anchors::dangerous_sim(&toy.trust_file(&Product::ALL))
                .expect("the toy writes a good trust file"),
        }
    })
}

/// `machine, missing, (field, place, value)*`: bit 7 of `machine` signs anew; `missing` leaves one
/// endorsement out.
pub(crate) fn snp(bytes: &[u8]) {
    let [machine, missing, edits @ ..] = bytes else {
        return;
    };
    let amd = amd();
    let Machine { spec, told } = &amd.machines[usize::from(machine & 0x3f) % 6];
    let mut report = told.report.clone();
    for edit in edits.chunks_exact(3) {
        let (at, length) = FIELDS[usize::from(edit[0]) % FIELDS.len()];
        report[at + usize::from(edit[1]) % length] = edit[2];
    }
    let signed_anew = machine & 0x80 != 0;
    if signed_anew {
        ToyAmd::shared().resign(spec, &mut report);
    }
    let missing = usize::from(*missing);
    let mut heap = Endorsements::new();
    for (index, (name, bytes)) in told.endorsements.iter().enumerate() {
        if index + 1 != missing {
            heap.add(name, bytes);
        }
    }
    let proven = Report::parse(&report)
        .map_err(Error::from)
        .and_then(|report| {
            let binding = Binding::ReportData(told.expected_report_data);
            zeuge_verify::snp(&report, &heap, &amd.anchors, &binding, NOW, &AWS_LC)
        });
    let untouched = report == told.report;
    match proven {
        Ok(proven) => {
            if !signed_anew {
                assert_eq!(report[..0x2a0], told.report[..0x2a0], "signed, yet changed");
            }
            believable(&report, spec, told);
            let facts = Facts::from(proven.fact().clone());
            decided(&facts, proven.trail().passed(), || {
                let policy = u64_at(&report, 0x008);
                policy & DEBUG_OR_MIGRATION == 0 && report[0x030..0x034] == [0; 4]
            });
        }
        Err(error) => {
            assert!(
                !untouched || (1..=2).contains(&missing),
                "{error:?} of an honest report"
            );
            refused(&error);
        }
    }
}

/// Everything that a proven report must say, read again.
fn believable(report: &[u8], spec: &ReportSpec, told: &ToyEvidence) {
    assert!((2..=5).contains(&report[0]) && report[1..4] == [0; 3]);
    assert!(report[0x030] < 4 && report[0x031..0x034] == [0; 3]);
    assert_eq!(report[0x034..0x038], [1, 0, 0, 0]);
    let key_info = report[0x048];
    assert_eq!(report[0x049..0x050], [0; 7]);
    let signer = u8::from(spec.signer == Signer::Vlek);
    assert_eq!((key_info >> 2, key_info & 2), (signer, 0));
    assert_eq!(report[0x050..0x090], told.expected_report_data);
    assert_eq!(report[0x180..0x188], told.report[0x180..0x188]);
    if spec.signer == Signer::Vcek {
        assert_eq!(report[0x1a0..0x1e0], told.report[0x1a0..0x1e0]);
    }
    if report[0] >= 3 {
        let (family, model) = (report[0x188], report[0x189]);
        assert!(fits(spec.product, family, model), "{family:#x} {model:#x}");
    }
    assert!(u64_at(report, 0x008) & (1 << 17) != 0);
    let layout: &[usize] = match spec.product {
        Product::Milan | Product::Genoa => &[0, 1, 6, 7],
        Product::Turin => &[0, 1, 2, 3, 7],
    };
    for part in layout {
        let [current, reported, committed, launch] =
            [0x038, 0x180, 0x1e0, 0x1f0].map(|at| report[at + part]);
        assert!(reported <= committed && committed <= current && launch <= current);
    }
}

/// Which processors are of a product (AMD 57230, table of families and models).
const fn fits(product: Product, family: u8, model: u8) -> bool {
    match product {
        Product::Milan => family == 0x19 && model <= 0x0f,
        Product::Genoa => family == 0x19 && matches!(model, 0x10..=0x1f | 0xa0..=0xaf),
        Product::Turin => family == 0x1a && model <= 0x11,
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let part = bytes[at..at + 8].try_into();
    u64::from_le_bytes(part.expect("eight bytes"))
}

fn refused(error: &Error) {
    must::name_a_check(error.check());
    must::be_short(&error.to_string());
    let verdict = Verdict::refused(zeuge_appraise::Kind::Unknown, error, NOW);
    assert_eq!(verdict.failed(), [error.check()]);
}

/// The verdict in JSON: twice the same, and never good where it must not be.
fn decided(facts: &Facts, passed: &[&'static str], may_be_good: impl FnOnce() -> bool) {
    let (policy, values) = (Policy::default(), ReferenceValues::default());
    let wanted = Wanted {
        policy: &policy,
        reference_values: &values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: Some("fuzzing"),
        at: NOW,
    };
    let json = |_| {
        let verdict = judge(facts, passed, &wanted);
        serde_json::to_string(&zeuge_report::verdict(&verdict, None)).expect("a verdict is JSON")
    };
    let [first, second] = [0, 1].map(json);
    assert_eq!(first, second);
    let good =
        first.contains(r#""verdict":"warning""#) || first.contains(r#""verdict":"affirming""#);
    assert!(!good || may_be_good(), "{first}");
    for finding in &judge(facts, passed, &wanted).findings {
        must::name_a_check(finding.id);
    }
}

struct Platform {
    told: ToyQuote,
    signed: usize,
}

struct Intel {
    anchors: Anchors,
    platforms: Vec<Platform>,
}

fn intel() -> &'static Intel {
    static INTEL: OnceLock<Intel> = OnceLock::new();
    INTEL.get_or_init(|| {
        let toy = ToyIntel::shared();
        let platforms = QuoteForm::ALL.into_iter().flat_map(|form| {
            PckCa::ALL.into_iter().map(move |ca| {
                let spec = QuoteSpec {
                    ca,
                    ..QuoteSpec::new(form)
                };
                let told = ToyIntel::shared().tell(None, &spec, NOW);
                let signed = Quote::parse(&told.quote).expect("honest").signed.len();
                Platform { told, signed }
            })
        });
        Intel {
            platforms: platforms.collect(),
            anchors: Anchors::dangerous_sim(&toy.trust_file()).expect("a good trust file"),
        }
    })
}

fn prove(
    quote: &[u8],
    heap: &Endorsements,
    told: &ToyQuote,
) -> Result<(Facts, Vec<&'static str>), Error> {
    let binding = Binding::ReportData(told.expected_report_data);
    let quote = Quote::parse(quote)?;
    let proven = zeuge_verify::quote(&quote, heap, &intel().anchors, &binding, NOW, &AWS_LC)?;
    let passed = proven.trail().passed().to_vec();
    Ok((Facts::from(proven.fact().clone()), passed))
}

/// `platform, missing, (place in two bytes, value)*`: bit 7 of `platform` signs header and body
/// anew.
pub(crate) fn quote(bytes: &[u8]) {
    let [platform, missing, edits @ ..] = bytes else {
        return;
    };
    let Platform { told, signed } = &intel().platforms[usize::from(platform & 0x3f) % 12];
    let mut quote = told.quote.clone();
    let length = quote.len();
    for edit in edits.chunks_exact(3) {
        quote[usize::from(u16::from_le_bytes([edit[0], edit[1]])) % length] = edit[2];
    }
    let signed_anew = platform & 0x80 != 0;
    if signed_anew {
        ToyIntel::shared().resign(&mut quote, *signed);
    }
    let mut heap = Endorsements::new();
    for (index, (name, bytes)) in told.endorsements.iter().enumerate() {
        if index + 1 != usize::from(*missing) {
            heap.add(name, bytes);
        }
    }
    match prove(&quote, &heap, told) {
        Ok((facts, passed)) => {
            if !signed_anew {
                assert_eq!(quote[..*signed], told.quote[..*signed]);
            }
            // The attestation key, the QE's report, its signature and what it vouches for.
            let vouched = |quote: &[u8]| {
                let read = Quote::parse(quote).expect("it was read before");
                (
                    read.attestation_key,
                    read.qe_report_bytes.to_vec(),
                    read.qe_authentication.to_vec(),
                    read.report_data().to_vec(),
                )
            };
            assert_eq!(vouched(&quote), vouched(&told.quote));
            decided(&facts, &passed, || true);
        }
        Err(error) => refused(&error),
    }
}

/// `platform, which, text`: TCB Info or QE Identity of this text, or edits `(place in two bytes,
/// value)*` of an honest one, signed by the toy unless bit 7 of `platform` is set.
pub(crate) fn intel_document(bytes: &[u8]) {
    let [platform, which, edits @ ..] = bytes else {
        return;
    };
    let Platform { told, .. } = &intel().platforms[usize::from(platform & 0x3f) % 12];
    let (file, member) = match which & 1 {
        0 => ("tcb-info.json", "tcbInfo"),
        _ => ("qe-identity.json", "enclaveIdentity"),
    };
    let (honest, body) = honest_document(told, file, member);
    let text = if edits.first() == Some(&b'{') {
        edits.to_vec()
    } else {
        let mut text = body.clone().into_bytes();
        let length = text.len();
        for edit in edits.chunks_exact(3) {
            text[usize::from(u16::from_le_bytes([edit[0], edit[1]])) % length] = edit[2];
        }
        text
    };
    let Ok(text) = String::from_utf8(text) else {
        return;
    };
    let signed = platform & 0x80 == 0;
    let document = if signed {
        ToyIntel::shared().sign_document(member, &text)
    } else {
        String::from_utf8_lossy(&honest)
            .replacen(&body, &text, 1)
            .into_bytes()
    };
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, if name == file { &document } else { bytes });
    }
    match prove(&told.quote, &heap, told) {
        Ok((facts, passed)) => {
            assert!(signed || text == body, "an unsigned document was believed");
            decided(&facts, &passed, || true);
        }
        Err(error) => refused(&error),
    }
}

/// The document as it is served, and its signed text.
fn honest_document(told: &ToyQuote, file: &str, member: &str) -> (Vec<u8>, String) {
    let mut files = told.endorsements.iter();
    let (_, document) = files.find(|(name, _)| name == file).expect("it is told");
    let text = String::from_utf8(document.clone()).expect("documents are text");
    let head = format!(r#"{{"{member}":"#);
    let end = text.rfind(r#","signature":"#).expect("it is signed");
    (document.clone(), text[head.len()..end].to_owned())
}

/// Honest evidence by the name that a seed gets.
pub(crate) fn evidence() -> HashMap<String, Vec<u8>> {
    let mut out = HashMap::new();
    for (index, Machine { told, .. }) in amd().machines.iter().enumerate() {
        out.insert(format!("snp-report/{index}"), told.report.clone());
        // One machine of each signer is enough to begin with.
        if index > 1 {
            continue;
        }
        out.insert(format!("snp-json/{index}"), told.json_file());
        out.insert(format!("snp-protobuf/{index}"), told.protobuf_file());
        let table = told.table_file()[Report::LEN..].to_vec();
        out.insert(format!("snp-table/{index}"), table);
        for (name, bytes) in &told.endorsements {
            let target = if name.starts_with("crl") {
                "crl"
            } else {
                "certificate"
            };
            out.insert(format!("{target}/amd-{index}-{name}"), bytes.clone());
        }
    }
    // Every form, under one CA.
    for (index, Platform { told, .. }) in intel().platforms.iter().enumerate().step_by(2) {
        out.insert(format!("quote/{index}"), told.quote.clone());
        out.insert(format!("quote-forms/json-{index}"), told.json_file());
        if told.quote[4] == 0x81 && told.quote[0] == 4 {
            let protobuf = told.protobuf_file();
            out.insert(format!("quote-forms/protobuf-{index}"), protobuf);
        }
        if index > 0 {
            continue;
        }
        for (name, bytes) in &told.endorsements {
            out.insert(format!("endorsements/intel-{index}-{name}"), bytes.clone());
            if name.ends_with("crl.der") {
                out.insert(format!("crl/intel-{index}-{name}"), bytes.clone());
            }
        }
    }
    out.insert(
        "trust-file/amd".to_owned(),
        ToyAmd::shared().trust_file(&Product::ALL).into(),
    );
    out.insert(
        "trust-file/intel".to_owned(),
        ToyIntel::shared().trust_file().into(),
    );
    out
}
