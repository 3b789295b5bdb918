//! Reports of machines, and the owners' threat knowledge.

use serde_json::{Value, json};
use zeuge_appraise::Knowledge;
use zeuge_evidence::{UnixTime, dcap::Quote, snp::Report};
use zeuge_log::leaf::{Leaf, Outcome};
use zeuge_log::note::VerifierKey;
use zeuge_log::receipt::WireReceipt;
use zeuge_protocol::api::Problem;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::document::{Document, Kind};
use zeuge_protocol::keys::{PublicKey, SigningKey};
use zeuge_protocol::report::{FileDigest, Statement, WitnessReport};
use zeuge_verify::{Anchors, Binding, Endorsements, Error, crypto::AWS_LC};

use crate::common::{Attempt, Running, World, evidence, trust_file};

fn id<T: std::fmt::Debug>(refused: Result<T, Box<Problem>>) -> String {
    refused.unwrap_err().check().unwrap().to_owned()
}

/// The toy machine attests once; its name in the record.
fn attested(world: &World, running: &Running, tenant: &str) -> (String, Vec<u8>) {
    let attempt = Attempt::honest(running, tenant, &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    let body = attempt.body(&bundle);
    running.attest(&body).unwrap();
    (newest(world, running, tenant), body.bundle)
}

/// The machine of the newest verdict.
pub(crate) fn newest(world: &World, running: &Running, tenant: &str) -> String {
    let at = format!("/v1/verdicts?tenant={tenant}&limit=1");
    let rows = running.admin("GET", &at, &world.admin, b"").unwrap();
    let rows: Value = serde_json::from_slice(&rows).unwrap();
    rows["verdicts"][0]["machine"].as_str().unwrap().to_owned()
}

/// Proves the CPU's evidence of a machine once more, from the files of its report and nothing else.
pub(crate) fn prove_again(world: &World, running: &Running, machine: &str) -> Result<(), Error> {
    let at = format!("/v1/machines/{machine}/report?tenant=sim");
    let (report, Statement { record, .. }) = report(world, running, &at);
    let bundle = Bundle::parse(report.file(record.evidence).unwrap()).unwrap();
    let mut heap = Endorsements::new();
    for digest in &record.endorsements {
        heap.add(&digest.to_string(), report.file(*digest).unwrap());
    }
    let mut wanted = [0; 64];
    hex::decode_to_slice(&record.report_data, &mut wanted).unwrap();
    let (binding, at) = (Binding::ReportData(wanted), UnixTime(record.at));
    let anchors = Anchors::dangerous_sim(&trust_file()).unwrap();
    if let Some(quote) = bundle.only(Media::TdxQuote) {
        let quote = Quote::parse(quote)?;
        return zeuge_verify::quote(&quote, &heap, &anchors, &binding, at, &AWS_LC).map(drop);
    }
    let snp = Report::parse(bundle.only(Media::SnpReport).unwrap())?;
    zeuge_verify::snp(&snp, &heap, &anchors, &binding, at, &AWS_LC).map(drop)
}

fn report(world: &World, running: &Running, at: &str) -> (WitnessReport, Statement) {
    let json = running.admin("GET", at, &world.admin, b"").unwrap();
    let report = WitnessReport::parse(&json).unwrap();
    let about: Value = serde_json::from_slice(&running.get("/v1/witness").unwrap()).unwrap();
    let key: PublicKey = serde_json::from_value(about["report_key"].clone()).unwrap();
    let statement = report.open(&key).unwrap();
    (report, statement)
}

#[test]
fn a_report_holds_what_the_verdict_rested_on_and_the_receipt_of_its_leaf() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let (machine, bundle) = attested(&world, &running, "sim");
    let at = format!("/v1/machines/{machine}/report?tenant=sim");
    let (report, statement) = report(&world, &running, &at);
    assert_eq!(statement.machine, machine);
    assert_eq!(statement.record.evidence, FileDigest::of(&bundle));
    assert_eq!(report.file(statement.record.evidence).unwrap(), bundle);
    assert!(!statement.record.endorsements.is_empty());
    let kinds: Vec<_> = statement.record.documents.keys().collect();
    assert_eq!(kinds, ["reference-values"]);
    let knowledge = report.file(statement.record.knowledge).unwrap();
    assert_eq!(knowledge, Knowledge::built_in_text().as_bytes());
    let about: Value = serde_json::from_slice(&running.get("/v1/witness").unwrap()).unwrap();
    let log = VerifierKey::parse(about["log_vkey"].as_str().unwrap()).unwrap();
    let receipt = WireReceipt::parse(statement.receipt.as_bytes()).unwrap();
    let receipt = receipt.verify(&log, &[], 0).unwrap();
    let Leaf::Verdict {
        evidence, outcome, ..
    } = Leaf::decode(receipt.entry()).unwrap()
    else {
        panic!("another leaf");
    };
    assert_eq!(FileDigest(evidence), statement.record.evidence);
    assert_eq!(outcome, Outcome::Warning);
    // The report key is there for reports alone.
    let others = [&about["answer_key"], &about["log_vkey"]];
    assert!(!others.contains(&&about["report_key"]));
    // A machine that was never judged, and a leaf that is none of its verdicts.
    for at in [
        "/v1/machines/nobody/report?tenant=sim".to_owned(),
        format!("{at}&leaf=9999"),
        at.replace("tenant=sim", "tenant=acme"),
    ] {
        let refused = running.admin("GET", &at, &world.admin, b"");
        assert_eq!(id(refused), "archive.missing", "{at}");
    }
    // An older verdict is reported on by its leaf.
    let leaf = receipt.index();
    world.pass(60);
    attested(&world, &running, "sim");
    let (_, older) = self::report(&world, &running, &format!("{at}&leaf={leaf}"));
    assert_eq!(older.record, statement.record);
    let (_, newest) = self::report(&world, &running, &at);
    assert_eq!(newest.record.at, statement.record.at + 60);
    // What the archive lost or what was changed in it is no report.
    let database = rusqlite::Connection::open(world.data().join("zeuge.sqlite")).unwrap();
    let sql = "UPDATE archived SET bytes = x'00' WHERE id =
               (SELECT evidence FROM verdicts WHERE leaf = ?1)";
    let leaf = i64::try_from(leaf).unwrap();
    assert_eq!(database.execute(sql, [leaf]).unwrap(), 1);
    let at = format!("{at}&leaf={leaf}");
    let refused = running.admin("GET", &at, &world.admin, b"");
    assert_eq!(id(refused), "archive.missing");
}

#[test]
fn a_report_goes_to_the_people_of_its_tenant_alone() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let (machine, _) = attested(&world, &running, "sim");
    let at = format!("/v1/machines/{machine}/report?tenant=sim");
    let token = |tenant: &str| {
        let wanted = serde_json::to_vec(&json!({"name": "r", "role": "reader"})).unwrap();
        let at = format!("/v1/tenants/{tenant}/tokens");
        let made = running.admin("POST", &at, &world.admin, &wanted).unwrap();
        let made: Value = serde_json::from_slice(&made).unwrap();
        made["token"].as_str().unwrap().to_owned()
    };
    running.admin("GET", &at, &token("sim"), b"").unwrap();
    let foreign = running.admin("GET", &at, &token("acme"), b"");
    assert_eq!(id(foreign), "admin.role");
    assert_eq!(id(running.get(&at)), "admin.token");
    let nobodys = at.replace("?tenant=sim", "");
    let refused = running.admin("GET", &nobodys, &world.admin, b"");
    assert_eq!(id(refused), "request.malformed");
}

fn knowledge(version: u64) -> String {
    let text = Knowledge::built_in_text();
    let built_in = Knowledge::built_in().id().version;
    text.replacen(
        &format!("version = {built_in}"),
        &format!("version = {version}"),
        1,
    )
}

#[test]
fn owners_replace_the_threat_knowledge_while_the_witness_runs_and_it_only_grows() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let built_in = Knowledge::built_in().id().version;
    let document = |version: u64, text: &str| {
        let name = "threat-knowledge";
        world.document(Kind::ThreatKnowledge, "sim", name, version, text)
    };
    let put = |document: &Document| {
        let body = serde_json::to_vec(document).unwrap();
        let at = "/v1/documents/threat-knowledge";
        running.admin("PUT", at, &world.admin, &body)
    };
    let seen = || {
        let (machine, _) = attested(&world, &running, "sim");
        let at = format!("/v1/machines/{machine}/report?tenant=sim");
        let (report, statement) = report(&world, &running, &at);
        let text = report.file(statement.record.knowledge).unwrap().to_vec();
        let id = statement.verdict.knowledge.unwrap();
        assert_eq!(id.digest, format!("sha256:{}", FileDigest::of(&text)));
        id.version
    };
    assert_eq!(seen(), built_in);
    let mut strangers = document(1, &knowledge(built_in + 4));
    strangers.signatures.clear();
    strangers.sign(&SigningKey::from_seed(&[1; 32]).unwrap());
    assert_eq!(id(put(&strangers)), "document.threshold");
    put(&document(1, &knowledge(built_in + 4))).unwrap();
    assert_eq!(seen(), built_in + 4);
    // The document's version and the knowledge's go up, each by itself.
    let again = document(1, &knowledge(built_in + 5));
    assert_eq!(id(put(&again)), "document.version");
    let older = document(2, &knowledge(built_in + 3));
    assert_eq!(id(put(&older)), "document.version");
    let loose =
        knowledge(built_in + 6).replacen("otherwise = \"EXPOSED\"", "otherwise = \"PROVEN\"", 1);
    assert_eq!(id(put(&document(2, &loose))), "document.schema");
    let away = "/v1/documents/threat-knowledge?tenant=sim";
    let away = running.admin("DELETE", away, &world.admin, b"");
    assert_eq!(id(away), "document.retire");
    assert_eq!(seen(), built_in + 4);
    put(&document(2, &knowledge(built_in + 7))).unwrap();
    assert_eq!(seen(), built_in + 7);
    // It ends as every document does, and then nobody is judged in silence by something older.
    world.pass(86_401);
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    let refused = running.attest(&attempt.body(&bundle));
    assert_eq!(id(refused), "document.expired");
}
