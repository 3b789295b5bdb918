//! The rules on Intel's documents and levels, on toy documents that a toy key signs.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use zeuge_evidence::{
    UnixTime,
    dcap::Tee,
    reader::Reader,
    tdx::{Form, TdReport},
    x509::Certificate,
};

use super::{
    Context, TcbStatus, document,
    identity::{self, QeIdentity},
    pck::{PckExtension, PckTcb, SgxType},
    tcb::{self, Standing, SvnLevel, TcbInfo},
};
use crate::{Anchors, Endorsements, Error, Trail, crypto::AWS_LC};

const AT: &str = "2026-03-01T00:00:00Z";

struct Toy {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Toy {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap();
        Self { key, random }
    }

    fn signed(&self, member: &str, body: &str) -> Vec<u8> {
        let signature = self.key.sign(&self.random, body.as_bytes()).unwrap();
        let signature = hex::encode(signature.as_ref());
        format!(r#"{{"{member}":{body},"signature":"{signature}"}}"#).into_bytes()
    }

    fn signers(&self) -> Vec<Vec<u8>> {
        vec![self.key.public_key().as_ref().to_vec()]
    }
}

fn components(first: &[u8]) -> String {
    let svns = (0..16).map(|index| first.get(index).copied().unwrap_or_default());
    let parts: Vec<String> = svns.map(|svn| format!(r#"{{"svn":{svn}}}"#)).collect();
    parts.join(",")
}

fn level(sgx: &[u8], pce: u16, tdx: &[u8], status: &str, advisory: &str) -> String {
    format!(
        r#"{{"tcb":{{"sgxtcbcomponents":[{}],"pcesvn":{pce},"tdxtcbcomponents":[{}]}},"tcbDate":"2025-01-01T00:00:00Z","tcbStatus":"{status}","advisoryIDs":["{advisory}"]}}"#,
        components(sgx),
        components(tdx)
    )
}

fn module_level(svn: u16, status: &str, advisory: &str) -> String {
    format!(
        r#"{{"tcb":{{"isvsvn":{svn}}},"tcbDate":"2024-01-01T00:00:00Z","tcbStatus":"{status}","advisoryIDs":["{advisory}"]}}"#
    )
}

/// A TCB Info of TDX with two platform levels and two levels of the module TDX_01.
fn tdx_info(platform: &str) -> String {
    let zero = "00".repeat(48);
    let module = format!(
        r#""mrsigner":"{zero}","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF""#
    );
    let levels = [
        level(&[5, 5], 11, &[5, 0, 6], platform, "SA-1"),
        level(&[4, 4], 5, &[3, 0, 5], "OutOfDate", "SA-2"),
    ];
    let modules = [
        module_level(6, "UpToDate", "SA-3"),
        module_level(2, "OutOfDate", "SA-4"),
    ];
    format!(
        r#"{{"id":"TDX","version":3,"issueDate":"2026-02-20T00:00:00Z","nextUpdate":"2026-03-20T00:00:00Z","fmspc":"00806F050000","pceId":"0000","tcbType":0,"tcbEvaluationDataNumber":18,"tdxModule":{{{module}}},"tdxModuleIdentities":[{{"id":"TDX_01",{module},"tcbLevels":[{}]}}],"tcbLevels":[{}]}}"#,
        modules.join(","),
        levels.join(",")
    )
}

fn qe_identity() -> String {
    let signer = "dc".repeat(32);
    let levels = [
        module_level(4, "UpToDate", "SA-5"),
        module_level(2, "OutOfDate", "SA-6"),
    ];
    format!(
        r#"{{"id":"TD_QE","version":2,"issueDate":"2026-02-20T00:00:00Z","nextUpdate":"2026-03-20T00:00:00Z","tcbEvaluationDataNumber":18,"miscselect":"00000000","miscselectMask":"FFFFFFFF","attributes":"11000000000000000000000000000000","attributesMask":"FBFFFFFFFFFFFFFF0000000000000000","mrsigner":"{signer}","isvprodid":2,"tcbLevels":[{}]}}"#,
        levels.join(",")
    )
}

fn pck(components: &[u8], pce_svn: u16) -> PckExtension {
    let mut cpu_svn = [0; 16];
    cpu_svn[..components.len()].copy_from_slice(components);
    PckExtension {
        ppid: [0; 16],
        tcb: PckTcb {
            components: cpu_svn,
            pce_svn,
            cpu_svn,
        },
        pce_id: [0; 2],
        fmspc: [0, 0x80, 0x6f, 5, 0, 0],
        sgx_type: SgxType::Scalable,
        platform_instance_id: None,
        configuration: None,
    }
}

fn report(svn: [u8; 3], svn2: [u8; 3]) -> TdReport {
    let mut bytes = vec![0; 648];
    bytes[..3].copy_from_slice(&svn);
    bytes[584..587].copy_from_slice(&svn2);
    TdReport::read(&mut Reader::new(&bytes, "test.short"), Form::Td15).unwrap()
}

fn find_with(toy: &Toy, documents: &[Vec<u8>], tee: Tee) -> Result<TcbInfo, Error> {
    let mut heap = Endorsements::new();
    for (index, document) in documents.iter().enumerate() {
        heap.add(&format!("{index}.json"), document);
    }
    let at = UnixTime::parse_rfc3339(AT).unwrap();
    let anchors = Anchors::makers();
    let context = Context {
        heap: &heap,
        anchors: &anchors,
        at,
        crypto: &AWS_LC,
    };
    let signers = toy.signers();
    let mut notes = Vec::new();
    let (infos, _) = document::of_heap(&context, &mut notes);
    let subject = tcb::Subject::of(tee, &pck(&[5, 5], 11));
    let (trail, notes) = (&mut Trail::new(), &mut notes);
    tcb::find(trail, &context, &signers, infos, subject, notes)
}

fn info_check(body: &str) -> &'static str {
    let toy = Toy::new();
    let document = toy.signed("tcbInfo", body);
    find_with(&toy, &[document], Tee::Tdx).unwrap_err().check()
}

fn info(platform: &str) -> TcbInfo {
    let toy = Toy::new();
    let document = toy.signed("tcbInfo", &tdx_info(platform));
    find_with(&toy, &[document], Tee::Tdx).unwrap()
}

fn find_identity(body: &str, tee: Tee) -> Result<QeIdentity, Error> {
    let toy = Toy::new();
    let mut heap = Endorsements::new();
    heap.add("identity.json", &toy.signed("enclaveIdentity", body));
    let at = UnixTime::parse_rfc3339(AT).unwrap();
    let anchors = Anchors::makers();
    let context = Context {
        heap: &heap,
        anchors: &anchors,
        at,
        crypto: &AWS_LC,
    };
    let mut notes = Vec::new();
    let (_, identities) = document::of_heap(&context, &mut notes);
    let (trail, signers) = (&mut Trail::new(), toy.signers());
    identity::find(trail, &context, &signers, identities, tee, &mut notes)
}

fn standing(platform: &str, svn: [u8; 3], svn2: [u8; 3], qe_svn: u16) -> Standing {
    let identity = find_identity(&qe_identity(), Tee::Tdx).unwrap();
    let qe: Option<&SvnLevel> = tcb::svn_match(&identity.levels, qe_svn);
    let (standing, loaded) =
        info(platform).standing_tdx(&pck(&[5, 5], 11).tcb, &report(svn, svn2), qe);
    assert_eq!(loaded, None);
    standing
}

#[test]
fn a_document_of_another_key_is_refused_by_its_signature() {
    let (toy, other) = (Toy::new(), Toy::new());
    let document = other.signed("tcbInfo", &tdx_info("UpToDate"));
    let refusal = find_with(&toy, &[document], Tee::Tdx).unwrap_err();
    assert_eq!(refusal.check(), "dcap.tcb-info.signature");
}

#[test]
fn one_changed_byte_of_the_signed_text_breaks_the_signature() {
    let toy = Toy::new();
    let document = String::from_utf8(toy.signed("tcbInfo", &tdx_info("UpToDate"))).unwrap();
    for (from, to) in [
        ("\"version\":3", "\"version\": 3"),
        ("SA-2", "SA-7"),
        ("OutOfDate", "UpToDate"),
    ] {
        let changed = document.replace(from, to).into_bytes();
        let refusal = find_with(&toy, &[changed], Tee::Tdx).unwrap_err();
        assert_eq!(refusal.check(), "dcap.tcb-info.signature", "{from}");
    }
}

#[test]
fn a_signed_document_is_refused_under_the_id_of_the_rule_it_breaks() {
    let good = tdx_info("UpToDate");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        info_check(&good.replacen(from, to, 1))
    };
    assert_eq!(with("00806F050000", "00806F060000"), "dcap.tcb-info.fmspc");
    assert_eq!(
        with("\"pceId\":\"0000\"", "\"pceId\":\"0001\""),
        "dcap.tcb-info.pce-id"
    );
    assert_eq!(
        with("\"id\":\"TDX\"", "\"id\":\"SGX\""),
        "dcap.tcb-info.tee"
    );
    assert_eq!(with("2026-03-20", "2026-02-28"), "dcap.tcb-info.window");
    assert_eq!(with("2026-02-20", "2026-03-02"), "dcap.tcb-info.window");
    assert_eq!(
        with("\"tcbType\":0", "\"tcbType\":0,\"tcbType\":0"),
        "dcap.tcb-info.duplicate-key"
    );
    assert_eq!(
        with("{\"svn\":5}", "{\"svn\":5,\"svn\":0}"),
        "dcap.tcb-info.duplicate-key"
    );
    assert_eq!(with("{\"svn\":5}", "{\"svn\":256}"), "dcap.tcb-info.format");
    assert_eq!(with("{\"svn\":5}", "{\"svn\":-1}"), "dcap.tcb-info.format");
    assert_eq!(with("{\"svn\":5},", ""), "dcap.tcb-info.format");
    assert_eq!(
        with("\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":\"Fine\""),
        "dcap.tcb-info.format"
    );
    assert_eq!(
        with("\"pcesvn\":11", "\"pcesvn\":65536"),
        "dcap.tcb-info.format"
    );
    assert_eq!(
        with("\"version\":3", "\"version\":4"),
        "dcap.tcb-info.format"
    );
    assert_eq!(with("{\"svn\":5}", "{\"svn\":3}"), "dcap.tcb-info.order");
    assert_eq!(
        with("\"isvsvn\":6", "\"isvsvn\":2"),
        "dcap.tcb-info.module-order"
    );
}

#[test]
fn levels_in_another_order_are_refused() {
    let up = level(&[5, 5], 11, &[5, 0, 6], "UpToDate", "SA-1");
    let down = level(&[4, 4], 5, &[3, 0, 5], "OutOfDate", "SA-2");
    let good = tdx_info("UpToDate");
    let turned = good.replace(&format!("{up},{down}"), &format!("{down},{up}"));
    assert_ne!(good, turned);
    assert_eq!(info_check(&turned), "dcap.tcb-info.order");
    let twice = good.replace(&down, &up);
    assert_eq!(info_check(&twice), "dcap.tcb-info.order");
}

#[test]
fn no_document_at_all_is_unavailable() {
    let refusal = find_with(&Toy::new(), &[], Tee::Tdx).unwrap_err();
    assert_eq!(refusal.check(), "dcap.tcb-info.available");
    assert!(matches!(refusal, Error::Unavailable(_)));
}

#[test]
fn a_document_about_something_else_is_unavailable_and_never_untrusted() {
    let toy = Toy::new();
    let other = tdx_info("UpToDate").replace("00806F050000", "00806F060000");
    let refusal = find_with(&toy, &[toy.signed("tcbInfo", &other)], Tee::Tdx).unwrap_err();
    assert!(matches!(refusal, Error::Unavailable(_)));
}

#[test]
fn the_highest_number_counts_and_then_the_latest_issue() {
    let toy = Toy::new();
    let base = tdx_info("UpToDate");
    let higher = base.replace(
        "\"tcbEvaluationDataNumber\":18",
        "\"tcbEvaluationDataNumber\":19",
    );
    let later = base.replace("2026-02-20", "2026-02-21");
    let bad = base.replace(
        "\"tcbEvaluationDataNumber\":18",
        "\"tcbEvaluationDataNumber\":99",
    );
    let stale = bad.replace("2026-03-20", "2026-02-25");
    let forged = Toy::new().signed("tcbInfo", &bad);
    let sign = |body: &str| toy.signed("tcbInfo", body);
    let found = find_with(
        &toy,
        &[
            sign(&later),
            forged,
            sign(&higher),
            sign(&stale),
            sign(&base),
        ],
        Tee::Tdx,
    );
    assert_eq!(found.unwrap().issue.evaluation_number, 19);
    let found = find_with(&toy, &[sign(&base), sign(&later)], Tee::Tdx).unwrap();
    assert_eq!(found.issue.issue_date.to_string(), "2026-02-21T00:00:00Z");
}

#[test]
fn an_identity_is_refused_under_the_id_of_the_rule_it_breaks() {
    let good = qe_identity();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        find_identity(&good.replacen(from, to, 1), Tee::Tdx)
            .unwrap_err()
            .check()
    };
    assert!(find_identity(&good, Tee::Tdx).is_ok());
    assert_eq!(
        find_identity(&good, Tee::Sgx).unwrap_err().check(),
        "dcap.qe-identity.id"
    );
    assert_eq!(with("2026-03-20", "2026-02-28"), "dcap.qe-identity.window");
    assert_eq!(
        with("\"version\":2", "\"version\":2,\"version\":2"),
        "dcap.qe-identity.duplicate-key"
    );
    assert_eq!(
        with("\"isvsvn\":4", "\"isvsvn\":1"),
        "dcap.qe-identity.order"
    );
    assert_eq!(
        with("\"UpToDate\"", "\"SWHardeningNeeded\""),
        "dcap.qe-identity.format"
    );
    assert_eq!(
        with("\"mrsigner\":\"dc", "\"mrsigner\":\""),
        "dcap.qe-identity.format"
    );
}

#[test]
fn the_quoting_enclave_must_be_the_one_of_the_identity() {
    let identity = find_identity(&qe_identity(), Tee::Tdx).unwrap();
    let mut bytes = vec![0; 384];
    bytes[48] = 0x15;
    bytes[128..160].fill(0xdc);
    bytes[256] = 2;
    let check = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        let mut reader = Reader::new(&bytes, "test.short");
        let report = zeuge_evidence::sgx::EnclaveReport::read(&mut reader).unwrap();
        identity
            .check(&mut Trail::new(), &report)
            .map_err(|error| error.check())
    };
    assert_eq!(check(48, 0x15), Ok(()), "bit 2 is outside the mask");
    assert_eq!(check(56, 7), Ok(()), "XFRM is outside the mask");
    assert_eq!(
        check(48, 0x13),
        Err("dcap.qe.attributes"),
        "a debug enclave"
    );
    assert_eq!(check(16, 1), Err("dcap.qe.misc-select"));
    assert_eq!(check(128, 0), Err("dcap.qe.signer"));
    assert_eq!(check(256, 1), Err("dcap.qe.product"));
}

#[test]
fn convergence_follows_intels_table() {
    use TcbStatus as S;
    let outdated = [
        (S::UpToDate, S::OutOfDate),
        (S::SwHardeningNeeded, S::OutOfDate),
        (S::ConfigurationNeeded, S::OutOfDateConfigurationNeeded),
        (
            S::ConfigurationAndSwHardeningNeeded,
            S::OutOfDateConfigurationNeeded,
        ),
        (S::OutOfDate, S::OutOfDate),
        (
            S::OutOfDateConfigurationNeeded,
            S::OutOfDateConfigurationNeeded,
        ),
        (S::Revoked, S::Revoked),
    ];
    for (platform, wanted) in outdated {
        assert_eq!(platform.converge(S::OutOfDate), wanted);
        assert_eq!(platform.converge(S::UpToDate), platform);
        assert_eq!(platform.converge(S::Revoked), S::Revoked);
    }
    assert_eq!(S::UpToDate.converge(S::TcbNotSupported), S::TcbNotSupported);
    assert_eq!(
        S::TcbNotSupported.converge(S::OutOfDate),
        S::TcbNotSupported
    );
}

#[test]
fn components_0_and_1_of_a_module_above_version_0_are_not_compared() {
    let found = standing("UpToDate", [6, 1, 6], [6, 1, 6], 4);
    assert_eq!(
        (found.status, found.module),
        (TcbStatus::UpToDate, Some(TcbStatus::UpToDate))
    );
    assert_eq!(found.advisories, ["SA-1", "SA-3", "SA-5"]);
    let lower = standing("UpToDate", [4, 0, 6], [0, 0, 0], 4);
    assert_eq!(
        lower.status,
        TcbStatus::OutOfDate,
        "version 0 is compared from 0 on"
    );
    assert_eq!(lower.module, Some(TcbStatus::UpToDate));
    assert_eq!(lower.advisories, ["SA-2", "SA-5"]);
}

#[test]
fn what_is_below_every_level_is_not_supported() {
    let below = standing("UpToDate", [6, 1, 4], [0, 0, 0], 4);
    assert_eq!(
        (below.status, below.platform),
        (TcbStatus::TcbNotSupported, TcbStatus::TcbNotSupported)
    );
    assert_eq!(
        standing("UpToDate", [1, 1, 6], [0, 0, 0], 4).status,
        TcbStatus::TcbNotSupported
    );
    assert_eq!(
        standing("UpToDate", [6, 1, 6], [0, 0, 0], 1).status,
        TcbStatus::TcbNotSupported
    );
}

#[test]
fn a_td_launched_under_an_old_module_on_a_current_platform_should_be_launched_again() {
    let (old, current) = ([2, 1, 6], [6, 1, 6]);
    let found = standing("UpToDate", old, current, 4);
    assert_eq!(found.status, TcbStatus::TdRelaunchAdvised);
    assert_eq!(
        found.advisories,
        ["SA-1", "SA-4", "SA-5"],
        "the advisories stay"
    );
    assert_eq!(
        standing("UpToDate", old, [5, 0, 6], 4).status,
        TcbStatus::TdRelaunchAdvised
    );
    assert_eq!(
        standing("ConfigurationNeeded", old, current, 4).status,
        TcbStatus::TdRelaunchAdvisedConfigurationNeeded
    );
    for (svn2, qe) in [([5, 1, 6], 4), ([6, 1, 5], 4), ([4, 0, 6], 4), (current, 2)] {
        assert_eq!(
            standing("UpToDate", old, svn2, qe).status,
            TcbStatus::OutOfDate,
            "{svn2:?} {qe}"
        );
    }
    assert_eq!(
        standing("Revoked", old, current, 4).status,
        TcbStatus::Revoked
    );
}

#[test]
fn an_outdated_level_alone_leads_to_no_relaunch() {
    // Other readers advise it when only the microcode was old at launch; Intel's does not.
    let found = standing("UpToDate", [6, 1, 5], [6, 1, 6], 4);
    assert_eq!(
        (found.status, found.module),
        (TcbStatus::OutOfDate, Some(TcbStatus::UpToDate))
    );
}

#[test]
fn a_module_of_an_unknown_version_is_refused() {
    let info = info("UpToDate");
    let check = |report: &TdReport| {
        info.check_module(&mut Trail::new(), report)
            .map_err(|error| error.check())
    };
    assert_eq!(
        check(&report([6, 3, 6], [0; 3])),
        Err("tdx.module.identity")
    );
    let mut other = report([6, 1, 6], [0; 3]);
    assert_eq!(check(&other), Ok(()));
    other.seam_attributes[0] = 1;
    assert_eq!(check(&other), Err("tdx.module.attributes"));
    other.mr_signer_seam[0] = 1;
    assert_eq!(check(&other), Err("tdx.module.signer"));
}

#[test]
fn an_unknown_module_loaded_now_is_refused_where_a_relaunch_hangs_on_it() {
    let identity = find_identity(&qe_identity(), Tee::Tdx).unwrap();
    let qe = tcb::svn_match(&identity.levels, 4);
    let report = report([2, 1, 6], [6, 3, 6]);
    let (_, broken) = info("UpToDate").standing_tdx(&pck(&[5, 5], 11).tcb, &report, qe);
    assert_eq!(broken.unwrap().check(), "tdx.module.loaded");
}

#[test]
fn the_text_of_another_key_does_not_hide_in_a_second_member() {
    let toy = Toy::new();
    let good = String::from_utf8(toy.signed("tcbInfo", &tdx_info("UpToDate"))).unwrap();
    let evil = tdx_info("UpToDate").replace("OutOfDate", "UpToDate");
    let twice = good.replacen(
        ",\"signature\"",
        &format!(",\"tcbInfo\":{evil},\"signature\""),
        1,
    );
    let refusal = find_with(&toy, &[twice.into_bytes()], Tee::Tdx).unwrap_err();
    assert_eq!(refusal.check(), "dcap.tcb-info.duplicate-key");
}

/// Every file of Intel's collateral in the captures: what the index calls signed must be found in
/// its wrapper and verify, what it calls a reject must not.
#[test]
fn every_shape_of_collateral_is_opened() {
    let Some(folder) = std::env::var_os("ZEUGE_VECTORS").map(std::path::PathBuf::from) else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return;
    };
    let chain = "open/intel-cert/attestation-rs__qe_identity_signing_chain.pem";
    let mut signing = Endorsements::new();
    signing.add("chain", &std::fs::read(folder.join(chain)).unwrap());
    let signers: Vec<Vec<u8>> = signing
        .certificates
        .iter()
        .map(|held| {
            Certificate::parse(&held.bytes)
                .unwrap()
                .public_key
                .key
                .to_vec()
        })
        .collect();
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let mut seen = (0, 0);
    for row in index.lines() {
        let cells: Vec<&str> = row.split('\t').collect();
        if cells[1] != "intel-collateral" {
            continue;
        }
        let mut heap = Endorsements::new();
        heap.add(cells[0], &std::fs::read(folder.join(cells[0])).unwrap());
        let anchors = Anchors::makers();
        let at = UnixTime::parse_rfc3339(AT).unwrap();
        let context = Context {
            heap: &heap,
            anchors: &anchors,
            at,
            crypto: &AWS_LC,
        };
        let (infos, identities) = document::of_heap(&context, &mut Vec::new());
        let found = infos.iter().chain(&identities).any(|envelope| {
            envelope
                .check(&mut Trail::new(), &context, &signers)
                .is_ok()
        });
        // The container of Steward is not opened (it holds no QE Identity), and Intel's library has a
        // test root.
        let foreign = ["steward__", "SGX-TDX-DCAP-QuoteVerificationLibrary"]
            .iter()
            .any(|part| cells[0].contains(part));
        match cells[3] {
            "signed-ok" => {
                assert_eq!(found, !foreign, "{}", cells[0]);
                seen.0 += 1;
            }
            "reject" => {
                assert!(!found, "{}", cells[0]);
                seen.1 += 1;
            }
            _ => {}
        }
    }
    assert!(seen.0 > 40 && seen.1 > 50, "{seen:?}");
}

proptest::proptest! {
    #[test]
    fn no_signed_text_makes_the_readers_panic(
        at in 0usize..2000,
        text in "[\\[\\]{}:,\"0-9a-z]{0,12}",
    ) {
        for (member, body) in [("tcbInfo", tdx_info("UpToDate")), ("enclaveIdentity", qe_identity())] {
            let at = at % body.len();
            let end = (at + text.len()).min(body.len());
            let changed = format!("{}{text}{}", &body[..at], &body[end..]);
            let toy = Toy::new();
            let mut heap = Endorsements::new();
            heap.add("document.json", &toy.signed(member, &changed));
            let anchors = Anchors::makers();
            let at = UnixTime::parse_rfc3339(AT).unwrap();
            let context = Context { heap: &heap, anchors: &anchors, at, crypto: &AWS_LC };
            let pck = pck(&[5, 5], 11);
            let (infos, identities) = document::of_heap(&context, &mut Vec::new());
            let (subject, signers) = (tcb::Subject::of(Tee::Tdx, &pck), toy.signers());
            let _ = tcb::find(&mut Trail::new(), &context, &signers, infos, subject, &mut Vec::new());
            let _ = identity::find(&mut Trail::new(), &context, &signers, identities, Tee::Tdx, &mut Vec::new());
        }
    }
}
