//! Intel's collateral against a toy of Intel's service, in memory and on a socket of this machine.
//! No test waits for time to pass: the instant is an argument.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tempfile::TempDir;
use zeuge_collateral::{
    Ages, Allowance, Answer, BaseUrl, Channel, Collateral, Fetcher, Got, HttpFetcher, Pcs, PcsId,
    Problem, QuoteProof, QuoteQuestion, Sources, State, Unreachable, Wanted,
};
use zeuge_sim::{Certification, QuoteForm, QuoteSpec, ToyIntel, ToyQuote};
use zeuge_verify::{
    Anchors, Binding, Endorsements, UnixTime,
    dcap::{Quote, TcbStatus, Tee},
};

const NOW: UnixTime = UnixTime(1_772_323_200);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const FMSPC: [u8; 6] = [0, 0x80, 0x6f, 5, 0, 0];

/// What the service in memory does.
#[derive(Debug, Clone)]
enum Mood {
    Honest,
    Status(u16),
    /// Puts the second text in the place of the first one in every body.
    Changed(&'static str, &'static str),
    /// Answers for another path.
    Instead(&'static str, &'static str),
    NoChain,
    Dead,
}

#[derive(Debug)]
struct Memory {
    mood: Mutex<(Mood, UnixTime)>,
    asked: AtomicUsize,
}

impl Memory {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new((mood, NOW)),
            asked: AtomicUsize::new(0),
        })
    }

    fn mood(&self, mood: Mood, at: UnixTime) {
        *self.mood.lock().unwrap() = (mood, at);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Fetcher for Memory {
    fn get<'f>(&'f self, address: &'f str, bytes_max: usize) -> Got<'f> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (mood, at) = self.mood.lock().unwrap().clone();
        let path = address.trim_start_matches("http://127.0.0.1:1").to_owned();
        let told = |path: &str| {
            let told = ToyIntel::shared().pcs(path, at);
            assert!(told.body.len() <= bytes_max);
            let chain = told
                .headers
                .iter()
                .find(|(name, _)| name.ends_with("Issuer-Chain"));
            Answer {
                status: told.status,
                retry_after: None,
                issuer_chain: chain.map(|(_, value)| value.clone()),
                body: told.body,
            }
        };
        let result = match mood {
            Mood::Honest => Ok(told(&path)),
            Mood::Status(status) => Ok(Answer {
                status,
                ..told(&path)
            }),
            Mood::Changed(from, to) => {
                let mut answer = told(&path);
                let text = String::from_utf8_lossy(&answer.body).replace(from, to);
                answer.body = text.into_bytes();
                Ok(answer)
            }
            Mood::Instead(from, to) => Ok(told(&path.replace(from, to))),
            Mood::NoChain => Ok(Answer {
                issuer_chain: None,
                ..told(&path)
            }),
            Mood::Dead => Err(Unreachable::Failed("nobody answers".to_owned())),
        };
        Box::pin(async move { result })
    }
}

fn anchors() -> Anchors {
    Anchors::dangerous_sim(&ToyIntel::shared().trust_file()).unwrap()
}

fn open_at(folder: &Path, fetcher: Option<Arc<dyn Fetcher>>, base: &str) -> Collateral {
    let sources = Sources {
        amd: None,
        intel: Some(Pcs::cache(BaseUrl::parse(base).unwrap())),
    };
    let allowance = Allowance {
        per_source: 40,
        all: 100,
    };
    let ages = Ages::default();
    Collateral::open(folder, fetcher, sources, anchors(), ages, allowance).unwrap()
}

fn open(folder: &Path, memory: &Arc<Memory>) -> Collateral {
    let fetcher = Arc::clone(memory) as Arc<dyn Fetcher>;
    open_at(folder, Some(fetcher), "http://127.0.0.1:1")
}

fn offline(folder: &Path) -> Collateral {
    open_at(folder, None, "http://127.0.0.1:1")
}

fn told(form: QuoteForm) -> ToyQuote {
    ToyIntel::shared().tell(None, &QuoteSpec::new(form), NOW)
}

async fn prove_with(
    collateral: &Collateral,
    told: &ToyQuote,
    heap: &Endorsements,
    channel: Channel,
    now: UnixTime,
) -> QuoteProof {
    let question = QuoteQuestion {
        quote: &Quote::parse(&told.quote).unwrap(),
        heap,
        binding: &Binding::ReportData(told.expected_report_data),
        channel,
        source: "a",
        now,
    };
    collateral.prove_quote(&question).await.unwrap()
}

async fn prove(collateral: &Collateral, told: &ToyQuote, now: UnixTime) -> QuoteProof {
    let heap = Endorsements::new();
    prove_with(collateral, told, &heap, Channel::Standard, now).await
}

fn status(proof: &QuoteProof) -> Result<TcbStatus, &'static str> {
    match &proof.outcome {
        Ok(verified) => Ok(verified.fact().standing.status),
        Err(error) => Err(error.check()),
    }
}

fn info(channel: Channel) -> Wanted {
    Wanted::Intel(PcsId::TcbInfo {
        tee: Tee::Tdx,
        fmspc: FMSPC,
        channel,
    })
}

/// What a machine may bring beside its quote.
fn beside(told: &ToyQuote) -> Endorsements {
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    heap
}

#[tokio::test]
async fn a_bare_quote_of_every_form_is_proven_with_what_the_service_adds() {
    for form in [
        QuoteForm::Sgx3,
        QuoteForm::Sgx4,
        QuoteForm::Tdx4,
        QuoteForm::Tdx5Td10,
        QuoteForm::Tdx5,
    ] {
        let folder = TempDir::new().unwrap();
        let memory = Memory::new(Mood::Honest);
        let collateral = open(folder.path(), &memory);
        let told = told(form);
        let proof = prove(&collateral, &told, NOW).await;
        assert_eq!(status(&proof), Ok(TcbStatus::UpToDate), "{form:?}");
        // What it needs, and what is coming.
        assert_eq!(memory.asked(), 6, "{form:?}");
        assert_eq!(proof.seen.unwrap().evaluation_number, 20);
        // And again from the cache, with nobody in reach.
        let proof = prove(&offline(folder.path()), &told, NOW.plus(HOUR)).await;
        assert_eq!(status(&proof), Ok(TcbStatus::UpToDate));
    }
}

#[tokio::test]
async fn a_quote_that_only_names_its_platform_is_proven_too() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::new(Mood::Honest);
    let collateral = open(folder.path(), &memory);
    let spec = QuoteSpec {
        certification: Certification::Ppid,
        ..QuoteSpec::new(QuoteForm::Sgx3)
    };
    let told = ToyIntel::shared().tell(None, &spec, NOW);
    let proof = prove(&collateral, &told, NOW).await;
    assert_eq!(status(&proof), Ok(TcbStatus::UpToDate));
    // Certificate, root's list, identity; then the CA's list and TCB Info that it names; and what
    // is coming.
    assert_eq!(memory.asked(), 7);
}

#[tokio::test]
async fn both_channels_lie_side_by_side_and_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::new(Mood::Honest);
    let collateral = open(folder.path(), &memory);
    let told = told(QuoteForm::Tdx4);
    let heap = Endorsements::new();
    let proof = prove_with(&collateral, &told, &heap, Channel::Standard, NOW).await;
    assert_eq!(status(&proof), Ok(TcbStatus::UpToDate));
    let got = collateral
        .obtain(&[info(Channel::Early), info(Channel::Standard)], "a", NOW)
        .await
        .unwrap();
    let states: Vec<_> = got.outcomes.iter().map(|one| one.state).collect();
    assert_eq!(states, [State::Cached { age_secs: 0 }; 2]);
    // What is held of the other channel only tells what is coming.
    let proof = prove_with(&collateral, &told, &heap, Channel::Standard, NOW).await;
    assert_eq!(status(&proof), Ok(TcbStatus::UpToDate));
    let ahead = proof.ahead.unwrap();
    assert_eq!(ahead.evaluation_number, 21);
    assert_eq!(ahead.standing.status, TcbStatus::OutOfDate);
    let proof = prove_with(&collateral, &told, &heap, Channel::Early, NOW).await;
    assert!(proof.ahead.is_none());
    assert_eq!(status(&proof), Ok(TcbStatus::OutOfDate));
    let facts = proof.outcome.unwrap();
    assert_eq!(facts.fact().tcb_info.evaluation_number, 21);
    assert_eq!(facts.fact().standing.advisories, ["INTEL-SA-01313"]);
}

#[tokio::test]
async fn over_http_the_issuers_chain_comes_in_a_header() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let path = first.split(' ').nth(1).unwrap_or("/");
            let told = ToyIntel::shared().pcs(path, NOW);
            let headers = told.headers.iter();
            let headers: String = headers
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let head = format!(
                "HTTP/1.1 {} Toy\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                told.status,
                told.body.len()
            );
            stream
                .write_all(&[head.as_bytes(), &told.body].concat())
                .unwrap();
        }
    });
    let folder = TempDir::new().unwrap();
    let fetcher: Arc<dyn Fetcher> = Arc::new(HttpFetcher::new().unwrap());
    let collateral = open_at(folder.path(), Some(fetcher), &base);
    let proof = prove(&collateral, &told(QuoteForm::Tdx4), NOW).await;
    assert_eq!(status(&proof), Ok(TcbStatus::UpToDate));
    let got = collateral
        .obtain(&Wanted::common(), "a", NOW)
        .await
        .unwrap();
    let of_intel = got
        .outcomes
        .iter()
        .filter(|one| matches!(one.wanted, Wanted::Intel(_)));
    for outcome in of_intel {
        assert_eq!(outcome.problems, [], "{}", outcome.wanted);
    }
}

type Wrong = (PcsId, Mood, UnixTime, &'static str);

/// Long before the instant: what was made then has ended.
const THEN: UnixTime = UnixTime(NOW.0 - 40 * DAY);

fn changed(from: &'static str, to: &'static str) -> Mood {
    Mood::Changed(from, to)
}

fn instead(from: &'static str, to: &'static str) -> Mood {
    Mood::Instead(from, to)
}

fn wrong_tcb_info() -> Vec<Wrong> {
    let info = PcsId::TcbInfo {
        tee: Tee::Tdx,
        fmspc: FMSPC,
        channel: Channel::Standard,
    };
    let others = "tcb?fmspc=00806F050000&";
    [
        (changed("OutOfDate", "UpToDate"), NOW, "signature"),
        (instead("00806F05", "00906F05"), NOW, "fmspc"),
        (instead("/tdx/", "/sgx/"), NOW, "tee"),
        (Mood::Honest, THEN, "window"),
        (instead(others, "qe/identity?"), NOW, "available"),
    ]
    .into_iter()
    .map(|(mood, at, check)| (info.clone(), mood, at, check))
    .collect()
}

fn wrong_identity() -> Vec<Wrong> {
    let identity = PcsId::QeIdentity {
        tee: Tee::Tdx,
        channel: Channel::Standard,
    };
    [
        (instead("/tdx/", "/sgx/"), NOW, "id"),
        (Mood::Honest, THEN, "window"),
        (changed("8", "9"), NOW, "signature"),
    ]
    .into_iter()
    .map(|(mood, at, check)| (identity.clone(), mood, at, check))
    .collect()
}

fn wrong_numbers() -> Vec<Wrong> {
    let numbers = PcsId::EvaluationNumbers { tee: Tee::Tdx };
    let member = "\"tcbEvaluationDataNumbers\":{},\"signature\"";
    [
        (changed("20", "22"), NOW, "signature"),
        (instead("/tdx/", "/sgx/"), NOW, "format"),
        (Mood::Honest, THEN, "window"),
        (changed("\"signature\"", member), NOW, "duplicate-key"),
    ]
    .into_iter()
    .map(|(mood, at, check)| (numbers.clone(), mood, at, check))
    .collect()
}

/// An answer that is not what was asked for is not kept, and its refusal names the check.
async fn refused(wrong: Vec<Wrong>, area: &str) {
    for (id, mood, at, check) in wrong {
        let folder = TempDir::new().unwrap();
        let memory = Memory::new(mood.clone());
        memory.mood(mood.clone(), at);
        let collateral = open(folder.path(), &memory);
        let wanted = [Wanted::Intel(id)];
        let got = collateral.obtain(&wanted, "a", NOW).await.unwrap();
        let found: Vec<_> = got.outcomes.iter().flat_map(|one| &one.problems).collect();
        let [Problem::Response { check: found, .. }] = found.as_slice() else {
            panic!("{wanted:?} {mood:?}: {found:?}");
        };
        assert_eq!(*found, format!("{area}{check}"), "{wanted:?} {mood:?}");
        assert!(collateral.status(NOW).unwrap().entries.is_empty());
    }
}

#[tokio::test]
async fn documents_that_are_not_what_was_asked_for_are_refused_by_their_check() {
    refused(wrong_tcb_info(), "dcap.tcb-info.").await;
    refused(wrong_identity(), "dcap.qe-identity.").await;
    refused(wrong_numbers(), "dcap.evaluation-numbers.").await;
}

#[tokio::test]
async fn lists_and_chains_that_are_not_what_was_asked_for_are_refused_by_their_check() {
    let list = PcsId::PckCrl { ca: "platform" };
    let identity = PcsId::QeIdentity {
        tee: Tee::Sgx,
        channel: Channel::Early,
    };
    let missing = "dcap.intermediate.available";
    let wrong = vec![
        (list.clone(), instead("platform", "processor"), NOW, missing),
        (list, Mood::NoChain, NOW, missing),
        (
            PcsId::RootCrl,
            instead("rootcacrl", "pckcrl?ca=platform"),
            NOW,
            "dcap.crl.signature",
        ),
        (identity, Mood::NoChain, NOW, "dcap.tcb-signer.available"),
    ];
    refused(wrong, "").await;
}

#[tokio::test]
async fn a_service_that_is_away_or_has_nothing_is_not_asked_at_once_again() {
    for (mood, check) in [
        (Mood::Dead, "collateral.transport"),
        (Mood::Status(503), "collateral.back-off"),
        (Mood::Status(404), "collateral.not-found"),
    ] {
        let folder = TempDir::new().unwrap();
        let memory = Memory::new(mood);
        let collateral = open(folder.path(), &memory);
        let told = told(QuoteForm::Tdx4);
        let proof = prove(&collateral, &told, NOW).await;
        assert_eq!(status(&proof), Err("dcap.tcb-signer.available"));
        assert!(
            proof
                .problems()
                .any(|(_, problem)| problem.check() == check)
        );
        let asked = memory.asked();
        let proof = prove(&collateral, &told, NOW.plus(1)).await;
        assert_eq!(status(&proof), Err("dcap.tcb-signer.available"));
        assert_eq!(memory.asked(), asked, "{check}");
    }
}

#[tokio::test]
async fn a_bundle_carries_intels_collateral_to_where_nobody_is_reached() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let memory = Memory::new(Mood::Honest);
    let collateral = open(here.path(), &memory);
    let told = told(QuoteForm::Tdx4);
    prove(&collateral, &told, NOW).await;
    let bundle = collateral.export(NOW).unwrap().unwrap();
    let far = offline(there.path());
    assert_eq!(
        status(&prove(&far, &told, NOW).await),
        Err("dcap.tcb-signer.available")
    );
    let imported = far.import(&bundle, NOW).unwrap().unwrap();
    assert_eq!(imported.refused, []);
    assert_eq!(
        status(&prove(&far, &told, NOW).await),
        Ok(TcbStatus::UpToDate)
    );
    // After their end the documents are not handed out, from wherever they came.
    let late = NOW.plus(31 * DAY);
    assert_eq!(
        status(&prove(&far, &told, late).await),
        Err("dcap.tcb-signer.available")
    );
}

/// A mark without its bytes would refuse every machine after a restart.
#[tokio::test]
async fn what_a_machine_brought_is_there_after_a_restart_as_its_marks_are() {
    let folder = TempDir::new().unwrap();
    let spec = QuoteSpec::new(QuoteForm::Tdx4);
    let told = told(QuoteForm::Tdx4);
    let brought = beside(&told);
    let before = offline(folder.path());
    let proof = prove_with(&before, &told, &brought, Channel::Standard, NOW).await;
    assert_eq!(status(&proof), Ok(TcbStatus::UpToDate));
    assert!(proof.seen.unwrap().raised);
    drop(before);
    let after = offline(folder.path());
    // The next machine of the kind brings nothing.
    let other = ToyIntel::shared().tell(
        None,
        &QuoteSpec {
            ppid: [0x77; 16],
            ..spec
        },
        NOW,
    );
    let proof = prove(&after, &other, NOW.plus(HOUR)).await;
    assert_eq!(status(&proof), Ok(TcbStatus::UpToDate));
    assert_eq!(proof.rollback, None);
    assert!(!proof.seen.unwrap().raised);
    let facts = proof.outcome.unwrap();
    assert!(matches!(
        facts.fact().pck_revocation,
        zeuge_verify::dcap::Revocation::Checked { .. }
    ));
}

#[tokio::test]
async fn a_number_that_was_seen_is_not_forgotten_when_the_channel_is_behind() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::new(Mood::Honest);
    let collateral = open(folder.path(), &memory);
    let told = told(QuoteForm::Tdx4);
    let heap = Endorsements::new();
    // A machine brings the early documents.
    let early = collateral
        .obtain(&[info(Channel::Early)], "a", NOW)
        .await
        .unwrap();
    let proof = prove_with(
        &collateral,
        &told,
        &early.endorsements,
        Channel::Standard,
        NOW,
    )
    .await;
    assert_eq!(status(&proof), Ok(TcbStatus::OutOfDate));
    // The next one is judged under them, too, also after a restart.
    let proof = prove_with(
        &offline(folder.path()),
        &told,
        &heap,
        Channel::Standard,
        NOW,
    )
    .await;
    assert_eq!(status(&proof), Ok(TcbStatus::OutOfDate));
}

#[tokio::test]
async fn a_forecast_tells_both_channels_apart_and_raises_no_mark() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::new(Mood::Honest);
    let collateral = open(folder.path(), &memory);
    let told = told(QuoteForm::Sgx3);
    // Documents at hand are of no channel and do not count.
    let heap = beside(&told);
    let question = QuoteQuestion {
        quote: &Quote::parse(&told.quote).unwrap(),
        heap: &heap,
        binding: &Binding::Unbound {
            because: "a forecast".to_owned(),
        },
        channel: Channel::Standard,
        source: "a",
        now: NOW,
    };
    let both = collateral.both_channels(&question, true).await.unwrap();
    let found: Vec<_> = both
        .iter()
        .map(|one| {
            let facts = one.outcome.as_ref().unwrap();
            (one.channel, facts.evaluation_number, facts.standing.status)
        })
        .collect();
    assert_eq!(
        found,
        [
            (Channel::Standard, 20, TcbStatus::UpToDate),
            (Channel::Early, 21, TcbStatus::OutOfDate)
        ]
    );
    let marks = collateral.status(NOW).unwrap().marks;
    assert!(marks.iter().all(|(key, _)| !key.ends_with("00806f050000")));
    // With nobody in reach and nothing held, it says what is lacking.
    let empty = TempDir::new().unwrap();
    let both = offline(empty.path())
        .both_channels(&question, true)
        .await
        .unwrap();
    for one in both {
        assert_eq!(one.outcome.unwrap_err().check(), "dcap.tcb-info.available");
        assert!(!one.problems.is_empty());
    }
}

#[tokio::test]
async fn ages_of_intels_documents_are_counted_by_kind() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::new(Mood::Honest);
    let collateral = open(folder.path(), &memory);
    prove(&collateral, &told(QuoteForm::Tdx4), NOW).await;
    let ages = collateral.held_ages(NOW.plus(HOUR)).unwrap();
    let of = |key: &str| ages.iter().find(|age| age.key == key).unwrap();
    assert_eq!(of("intel/tcb/tdx/standard").oldest_secs, HOUR);
    assert_eq!(
        of("intel/tcb/tdx/standard").left_secs,
        Some(20 * DAY - HOUR)
    );
    assert_eq!(of("intel/crl/root").count, 1);
}
