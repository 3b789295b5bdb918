//! The whole room against a toy of AMD's key service, on a socket of this machine and in memory.
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
use tokio::sync::{Notify, Semaphore};
use zeuge_collateral::{
    Ages, Allowance, Answer, BaseUrl, Collateral, Fetcher, Got, HttpFetcher, Mark, Obtained,
    Problem, Proof, Question, Sources, State, Unreachable, Wanted,
};
use zeuge_sim::{Product as ToyProduct, ReportSpec, Signer, Tcb, ToyAmd};
use zeuge_verify::{
    Anchors, Binding, Endorsements, SnpFacts, UnixTime, Verified,
    crypto::AWS_LC,
    snp::{EndorsementId, Product, Report, needs},
};

const NOW: UnixTime = UnixTime(1_772_323_200);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const VLEK: bool = false;
const CHAIN: Wanted = Wanted::Amd(EndorsementId::AmdChain {
    product: Product::Milan,
    vlek: VLEK,
});
const LIST: Wanted = Wanted::Amd(EndorsementId::AmdCrl {
    product: Product::Milan,
    vlek: VLEK,
});

/// What the service in memory does.
#[derive(Debug, Clone)]
enum Mood {
    Honest { at: UnixTime },
    Status(u16, Option<&'static str>),
    Body(Vec<u8>),
    Dead,
}

/// The toy without a socket, counting requests.
#[derive(Debug)]
struct Memory {
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

impl Memory {
    fn honest() -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(Mood::Honest { at: NOW }),
            asked: AtomicUsize::new(0),
        })
    }

    fn mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Fetcher for Memory {
    fn get<'f>(&'f self, address: &'f str, bytes_max: usize) -> Got<'f> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = self.mood.lock().unwrap().clone();
        let path = address.trim_start_matches("http://127.0.0.1:1");
        let answer = |status, retry_after: Option<&str>, body| Answer {
            status,
            retry_after: retry_after.map(str::to_owned),
            issuer_chain: None,
            body,
        };
        let result = match mood {
            Mood::Honest { at } => {
                let told = ToyAmd::shared().kds(path, at);
                assert!(told.body.len() <= bytes_max);
                Ok(answer(told.status, None, told.body))
            }
            Mood::Status(status, retry_after) => Ok(answer(status, retry_after, Vec::new())),
            Mood::Body(body) => Ok(answer(200, None, body)),
            Mood::Dead => Err(Unreachable::Failed("nobody answers".to_owned())),
        };
        Box::pin(async move { result })
    }
}

fn anchors() -> Anchors {
    let trust = ToyAmd::shared().trust_file(&[ToyProduct::Milan]);
    Anchors::dangerous_sim(&trust).unwrap()
}

fn open_with(
    folder: &Path,
    fetcher: Option<Arc<dyn Fetcher>>,
    base: &str,
    ages: Ages,
) -> Collateral {
    let sources = Sources {
        amd: Some(BaseUrl::parse(base).unwrap()),
        intel: None,
    };
    let allowance = Allowance {
        per_source: 5,
        all: 100,
    };
    Collateral::open(folder, fetcher, sources, anchors(), ages, allowance).unwrap()
}

fn open(folder: &Path, memory: &Arc<Memory>) -> Collateral {
    let fetcher = Arc::clone(memory) as Arc<dyn Fetcher>;
    open_with(folder, Some(fetcher), "http://127.0.0.1:1", Ages::default())
}

fn spec() -> ReportSpec {
    ReportSpec::new(ToyProduct::Milan)
}

fn wanted() -> Vec<Wanted> {
    let told = ToyAmd::shared().tell(None, &spec(), NOW);
    let report = Report::parse(&told.report).unwrap();
    needs(&report).into_iter().map(Wanted::from).collect()
}

fn verify(obtained: &Obtained, at: UnixTime) -> Verified<SnpFacts> {
    let told = ToyAmd::shared().tell(None, &spec(), NOW);
    let report = Report::parse(&told.report).unwrap();
    let binding = Binding::ReportData(told.expected_report_data);
    zeuge_verify::snp(
        &report,
        &obtained.endorsements,
        &anchors(),
        &binding,
        at,
        &AWS_LC,
    )
    .unwrap()
}

fn states(obtained: &Obtained) -> Vec<State> {
    obtained.outcomes.iter().map(|one| one.state).collect()
}

fn checks(obtained: &Obtained) -> Vec<&'static str> {
    let problems = obtained.outcomes.iter().flat_map(|one| &one.problems);
    problems.map(Problem::check).collect()
}

/// The toy on a socket of this machine; answers one request per connection until the test ends.
fn serve() -> String {
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
            let (status, more, body) = match path {
                "/moved/vcek/v1/Milan/crl" => (302, "Location: /vcek/v1/Milan/crl\r\n", vec![]),
                "/busy/vcek/v1/Milan/crl" => (429, "Retry-After: 90\r\n", vec![]),
                "/long/vcek/v1/Milan/crl" => (200, "", vec![0; 300_000]),
                _ => {
                    let told = ToyAmd::shared().kds(path, NOW);
                    (told.status, "", told.body)
                }
            };
            let head = format!(
                "HTTP/1.1 {status} Toy\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // The client may have gone away when it had read enough.
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    base
}

#[tokio::test]
async fn what_a_report_needs_is_fetched_over_http_and_then_verifies() {
    let folder = TempDir::new().unwrap();
    let fetcher: Arc<dyn Fetcher> = Arc::new(HttpFetcher::new().unwrap());
    let collateral = open_with(folder.path(), Some(fetcher), &serve(), Ages::default());
    let obtained = collateral.obtain(&wanted(), "a", NOW).await.unwrap();
    assert_eq!(
        states(&obtained),
        [State::Fetched; 3],
        "{:?}",
        obtained.outcomes
    );
    verify(&obtained, NOW);
}

#[tokio::test]
async fn over_http_pauses_are_read_and_redirects_and_long_answers_are_refused() {
    let base = serve();
    for (place, check) in [
        ("busy", "collateral.back-off"),
        ("moved", "collateral.transport"),
        ("long", "collateral.size"),
    ] {
        let folder = TempDir::new().unwrap();
        let fetcher: Arc<dyn Fetcher> = Arc::new(HttpFetcher::new().unwrap());
        let place = format!("{base}/{place}");
        let collateral = open_with(folder.path(), Some(fetcher), &place, Ages::default());
        let obtained = collateral.obtain(&[LIST], "a", NOW).await.unwrap();
        assert_eq!(checks(&obtained), [check]);
        let pauses = collateral.status(NOW).unwrap().back_off;
        let secs = if check == "collateral.back-off" {
            90
        } else {
            30
        };
        assert_eq!(pauses[0].1, NOW.plus(secs));
    }
}

#[tokio::test]
async fn a_witness_starts_and_verifies_from_its_cache_with_no_maker_in_reach() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    open(folder.path(), &memory)
        .obtain(&wanted(), "a", NOW)
        .await
        .unwrap();
    let offline = open_with(folder.path(), None, "http://127.0.0.1:1", Ages::default());
    let soon = NOW.plus(HOUR);
    let obtained = offline.obtain(&wanted(), "a", soon).await.unwrap();
    assert_eq!(states(&obtained), [State::Cached { age_secs: HOUR }; 3]);
    verify(&obtained, soon);
}

#[tokio::test]
async fn without_maker_and_cache_everything_is_missing_and_named() {
    let folder = TempDir::new().unwrap();
    let offline = open_with(folder.path(), None, "http://127.0.0.1:1", Ages::default());
    let obtained = offline.obtain(&wanted(), "a", NOW).await.unwrap();
    assert_eq!(states(&obtained), [State::Missing; 3]);
    assert_eq!(checks(&obtained), ["collateral.offline"; 3]);
}

#[tokio::test]
async fn a_pause_that_the_service_asks_for_is_kept_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    memory.mood(Mood::Status(429, Some("120")));
    let collateral = open(folder.path(), &memory);
    let obtained = collateral.obtain(&wanted(), "a", NOW).await.unwrap();
    assert_eq!(checks(&obtained), ["collateral.back-off"; 3]);
    assert_eq!(memory.asked(), 1, "the pause holds for the whole service");
    memory.mood(Mood::Honest { at: NOW });
    let restarted = open(folder.path(), &memory);
    let early = NOW.plus(119);
    let obtained = restarted.obtain(&[LIST], "a", early).await.unwrap();
    let until = NOW.plus(120);
    let host = "127.0.0.1:1".to_owned();
    assert_eq!(
        obtained.outcomes[0].problems,
        [Problem::BackOff { host, until }]
    );
    assert_eq!(memory.asked(), 1);
    let obtained = restarted.obtain(&[LIST], "a", until).await.unwrap();
    assert_eq!(states(&obtained), [State::Fetched]);
    assert!(restarted.status(until).unwrap().back_off.is_empty());
}

#[tokio::test]
async fn what_a_service_does_not_have_is_not_asked_for_again_at_once() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    memory.mood(Mood::Status(404, None));
    let collateral = open(folder.path(), &memory);
    let until = NOW.plus(HOUR);
    let refusal = Problem::NotFound { status: 404, until };
    for later in [0, 1, HOUR - 1] {
        let obtained = collateral
            .obtain(&[LIST], "a", NOW.plus(later))
            .await
            .unwrap();
        assert_eq!(
            obtained.outcomes[0].problems,
            std::slice::from_ref(&refusal)
        );
    }
    assert_eq!(memory.asked(), 1);
    memory.mood(Mood::Honest { at: NOW });
    let obtained = collateral.obtain(&[LIST], "a", until).await.unwrap();
    assert_eq!(states(&obtained), [State::Fetched]);
}

/// Holds every request until it is let go.
#[derive(Debug)]
struct Gate {
    behind: Arc<Memory>,
    entered: Notify,
    open: Semaphore,
}

impl Fetcher for Gate {
    fn get<'f>(&'f self, address: &'f str, bytes_max: usize) -> Got<'f> {
        Box::pin(async move {
            self.entered.notify_one();
            self.open.acquire().await.unwrap().forget();
            self.behind.get(address, bytes_max).await
        })
    }
}

#[tokio::test]
async fn two_who_ask_for_the_same_at_once_cause_one_request() {
    let folder = TempDir::new().unwrap();
    let gate = Arc::new(Gate {
        behind: Memory::honest(),
        entered: Notify::new(),
        open: Semaphore::new(0),
    });
    let fetcher = Arc::clone(&gate) as Arc<dyn Fetcher>;
    let collateral = open_with(
        folder.path(),
        Some(fetcher),
        "http://127.0.0.1:1",
        Ages::default(),
    );
    let lists = [LIST];
    let (first, second, ()) = tokio::join!(
        collateral.obtain(&lists, "a", NOW),
        collateral.obtain(&lists, "b", NOW),
        async {
            gate.entered.notified().await;
            gate.open.add_permits(10);
        }
    );
    assert_eq!(gate.behind.asked(), 1);
    let mut both = states(&first.unwrap());
    both.extend(states(&second.unwrap()));
    assert_eq!(both, [State::Fetched, State::Cached { age_secs: 0 }]);
}

#[tokio::test]
async fn old_certificates_are_handed_out_when_the_service_fails() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let collateral = open(folder.path(), &memory);
    collateral.obtain(&wanted(), "a", NOW).await.unwrap();
    memory.mood(Mood::Dead);
    let later = NOW.plus(100 * DAY);
    let obtained = collateral.obtain(&wanted(), "a", later).await.unwrap();
    let age_secs = 100 * DAY;
    assert_eq!(states(&obtained), [State::Stale { age_secs }; 3]);
    let wanted_checks = [
        "collateral.transport",
        "collateral.back-off",
        "collateral.back-off",
    ];
    assert_eq!(checks(&obtained), wanted_checks);
    verify(&obtained, later);
}

#[tokio::test]
async fn a_list_past_its_end_is_not_handed_out_unless_somebody_said_so() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let collateral = open(folder.path(), &memory);
    collateral.obtain(&[CHAIN, LIST], "a", NOW).await.unwrap();
    memory.mood(Mood::Dead);
    let later = NOW.plus(400 * DAY);
    let obtained = collateral.obtain(&[CHAIN, LIST], "a", later).await.unwrap();
    let age_secs = 400 * DAY;
    assert_eq!(
        states(&obtained),
        [State::Stale { age_secs }, State::Missing]
    );
    assert_eq!(
        checks(&obtained),
        [
            "collateral.transport",
            "collateral.back-off",
            "collateral.list-ended"
        ]
    );
    assert!(obtained.endorsements.revocation_lists.is_empty());

    let ages = Ages {
        dangerous_list_past_end_secs: 60 * DAY,
        ..Ages::default()
    };
    let lenient = open_with(folder.path(), None, "http://127.0.0.1:1", ages);
    let obtained = lenient.obtain(&[LIST], "a", later).await.unwrap();
    assert_eq!(states(&obtained), [State::Stale { age_secs }]);
    assert_eq!(
        checks(&obtained),
        ["collateral.offline", "collateral.list-ended"]
    );
}

#[tokio::test]
async fn a_fetched_list_past_its_end_is_refused() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let collateral = open(folder.path(), &memory);
    let later = NOW.plus(400 * DAY);
    let obtained = collateral.obtain(&[LIST], "a", later).await.unwrap();
    assert_eq!(states(&obtained), [State::Missing]);
    assert_eq!(checks(&obtained), ["collateral.list-ended"]);
    assert!(collateral.status(later).unwrap().entries.is_empty());
}

#[tokio::test]
async fn an_older_list_than_one_seen_is_refused_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    open(folder.path(), &memory)
        .obtain(&[LIST], "a", NOW)
        .await
        .unwrap();
    memory.mood(Mood::Honest {
        at: NOW.plus(-30 * DAY),
    });
    let collateral = open(folder.path(), &memory);
    let later = NOW.plus(2 * DAY);
    let obtained = collateral.obtain(&[LIST], "a", later).await.unwrap();
    let mark = |this_update| Mark {
        number: Some(3),
        this_update,
    };
    let rollback = Problem::Rollback {
        found: mark(NOW.0 - 40 * DAY),
        wanted: mark(NOW.0 - 10 * DAY),
    };
    assert_eq!(obtained.outcomes[0].problems, [rollback]);
    // The newer one, already held, still counts.
    assert_eq!(states(&obtained), [State::Stale { age_secs: 2 * DAY }]);
}

#[tokio::test]
async fn a_list_that_came_with_evidence_raises_the_mark_and_never_lowers_it() {
    let (early, late) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let memory = Memory::honest();
    let old = open(early.path(), &memory);
    let old_proof = verify(&old.obtain(&wanted(), "a", NOW).await.unwrap(), NOW);
    let later = NOW.plus(20 * DAY);
    memory.mood(Mood::Honest { at: later });
    let new = open(late.path(), &memory);
    let new_proof = verify(&new.obtain(&wanted(), "a", later).await.unwrap(), later);

    let nothing = Endorsements::new();
    old.observe(&new_proof, &nothing, later).unwrap().unwrap();
    let refused = old.observe(&old_proof, &nothing, later).unwrap();
    assert_eq!(refused.unwrap_err().check(), "collateral.rollback");
    let marks = old.status(later).unwrap().marks;
    assert_eq!(marks[0].1.this_update, NOW.0 + 10 * DAY);
    // What is held is now behind and no longer counts.
    memory.mood(Mood::Dead);
    let obtained = old.obtain(&[LIST], "b", later).await.unwrap();
    assert_eq!(states(&obtained), [State::Missing]);
    assert_eq!(
        checks(&obtained),
        ["collateral.rollback", "collateral.transport"]
    );
}

#[tokio::test]
async fn an_answer_about_something_else_is_not_kept() {
    let memory = Memory::honest();
    let toy = ToyAmd::shared();
    let other_chip = ReportSpec {
        chip_id: ToyProduct::Milan.chip(0x77),
        ..spec()
    };
    let other_tcb = spec().with_tcb(Tcb {
        fmc: 0,
        boot_loader: 1,
        tee: 0,
        snp: 1,
        microcode: 1,
    });
    let providers = ReportSpec {
        signer: Signer::Vlek,
        ..spec()
    };
    let asvk = toy.intermediate(ToyProduct::Milan, Signer::Vlek);
    let stranger = ToyAmd::new().revocation_list(ToyProduct::Milan, NOW);
    let leaf = wanted()
        .into_iter()
        .find(|one| one.key().contains("/vcek/M"))
        .unwrap();
    for (asked, body) in [
        (LIST, b"<html>log in first</html>".to_vec()),
        (LIST, stranger),
        (CHAIN, toy.root(ToyProduct::Milan).to_vec()),
        (CHAIN, asvk),
        (leaf.clone(), toy.leaf(&other_chip, NOW)),
        (leaf.clone(), toy.leaf(&other_tcb, NOW)),
        (leaf, toy.leaf(&providers, NOW)),
    ] {
        let folder = TempDir::new().unwrap();
        memory.mood(Mood::Honest { at: NOW });
        let collateral = open(folder.path(), &memory);
        collateral.obtain(&[CHAIN], "a", NOW).await.unwrap();
        memory.mood(Mood::Body(body));
        let obtained = collateral
            .refresh(std::slice::from_ref(&asked), "a", NOW.plus(1))
            .await
            .unwrap();
        assert_eq!(checks(&obtained), ["collateral.response"], "{asked}");
        assert_eq!(collateral.status(NOW).unwrap().entries.len(), 1);
    }
}

#[tokio::test]
async fn whoever_invents_chips_spends_only_its_own_budget() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let collateral = open(folder.path(), &memory);
    collateral.obtain(&[CHAIN], "owner", NOW).await.unwrap();
    let invented = |number: u8| {
        Wanted::Amd(EndorsementId::Vcek {
            product: Product::Milan,
            hwid: hex::encode([number; 64]),
            tcb: [3, 0, 0, 0, 0, 0, 8, 115],
        })
    };
    let chips: Vec<Wanted> = (1..=6).map(invented).collect();
    let obtained = collateral.obtain(&chips, "mallory", NOW).await.unwrap();
    assert_eq!(checks(&obtained), ["collateral.budget"]);
    assert_eq!(memory.asked(), 6);
    let obtained = collateral.obtain(&[LIST], "alice", NOW).await.unwrap();
    assert_eq!(states(&obtained), [State::Fetched]);
}

#[tokio::test]
async fn a_bundle_carries_the_cache_to_where_no_maker_is() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let memory = Memory::honest();
    let connected = open(here.path(), &memory);
    connected.obtain(&wanted(), "a", NOW).await.unwrap();
    let bundle = connected.export(NOW).unwrap().unwrap();

    let offline = open_with(there.path(), None, "http://127.0.0.1:1", Ages::default());
    let imported = offline.import(&bundle, NOW.plus(HOUR)).unwrap().unwrap();
    assert_eq!((imported.kept.len(), imported.refused.len()), (3, 0));
    let obtained = offline
        .obtain(&wanted(), "a", NOW.plus(HOUR))
        .await
        .unwrap();
    assert_eq!(states(&obtained), [State::Cached { age_secs: HOUR }; 3]);
    verify(&obtained, NOW.plus(HOUR));
    let status = offline.status(NOW.plus(HOUR)).unwrap();
    assert!(
        status
            .entries
            .iter()
            .all(|entry| entry.origin == "import" && entry.problem.is_none())
    );
}

#[tokio::test]
async fn a_bundle_brings_back_no_older_list_and_nothing_of_a_stranger() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let memory = Memory::honest();
    let old = open(here.path(), &memory);
    old.obtain(&[CHAIN, LIST], "a", NOW).await.unwrap();
    let bundle = old.export(NOW).unwrap().unwrap();

    let later = NOW.plus(20 * DAY);
    memory.mood(Mood::Honest { at: later });
    let new = open(there.path(), &memory);
    new.obtain(&[LIST], "a", later).await.unwrap();
    let imported = new.import(&bundle, later).unwrap().unwrap();
    assert_eq!(imported.kept, [CHAIN.key()]);
    assert_eq!(imported.refused[0].1.check(), "collateral.rollback");

    let strict = Collateral::open(
        TempDir::new().unwrap().path(),
        None,
        Sources::makers(),
        Anchors::makers(),
        Ages::default(),
        Allowance::default(),
    )
    .unwrap();
    let imported = strict.import(&bundle, NOW).unwrap().unwrap();
    assert!(imported.kept.is_empty());
    let refused: Vec<_> = imported
        .refused
        .iter()
        .map(|(_, problem)| problem.check())
        .collect();
    assert_eq!(refused, ["collateral.response"; 2]);
}

#[tokio::test]
async fn a_list_is_read_and_proven_once_and_the_one_that_follows_it_anew() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let damage = || {
        for file in std::fs::read_dir(folder.path().join("content")).unwrap() {
            std::fs::write(file.unwrap().path(), b"damaged").unwrap();
        }
    };
    let collateral = open(folder.path(), &memory);
    collateral.obtain(&[LIST], "a", NOW).await.unwrap();
    let first = collateral.obtain(&[LIST], "a", NOW).await.unwrap();
    damage();
    let again = collateral.obtain(&[LIST], "a", NOW).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(states(&again), [State::Cached { age_secs: 0 }]);
    // Another file under its name is another list, and one behind the mark is behind it.
    let later = NOW.plus(2 * DAY);
    memory.mood(Mood::Honest { at: later });
    let next = collateral.obtain(&[LIST], "a", later).await.unwrap();
    assert_eq!(states(&next), [State::Fetched]);
    assert_ne!(next.endorsements, first.endorsements);
    let held = collateral.obtain(&[LIST], "a", later).await.unwrap();
    assert_eq!(held.endorsements, next.endorsements);
    // Whoever did not prove it reads the file.
    damage();
    let offline = open_with(folder.path(), None, "http://127.0.0.1:1", Ages::default());
    let obtained = offline.obtain(&[LIST], "a", later).await.unwrap();
    assert_eq!(states(&obtained), [State::Missing]);
}

#[tokio::test]
async fn a_damaged_file_and_a_broken_index_are_an_empty_cache_but_broken_marks_stop() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let collateral = open(folder.path(), &memory);
    collateral.obtain(&[LIST], "a", NOW).await.unwrap();
    for file in std::fs::read_dir(folder.path().join("content")).unwrap() {
        std::fs::write(file.unwrap().path(), b"damaged").unwrap();
    }
    let obtained = collateral.obtain(&[LIST], "a", NOW).await.unwrap();
    assert_eq!(states(&obtained), [State::Fetched]);
    std::fs::write(folder.path().join("index.json"), b"{").unwrap();
    let obtained = open(folder.path(), &memory)
        .obtain(&[LIST], "a", NOW)
        .await
        .unwrap();
    assert_eq!(states(&obtained), [State::Fetched]);
    std::fs::write(folder.path().join("marks.json"), b"{").unwrap();
    let refused = Collateral::open(
        folder.path(),
        None,
        Sources::default(),
        anchors(),
        Ages::default(),
        Allowance::default(),
    );
    assert!(refused.unwrap_err().to_string().contains("marks.json"));
}

#[tokio::test]
async fn a_chip_id_of_another_form_never_gets_into_an_address() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let collateral = open(folder.path(), &memory);
    for hwid in ["../../vlek", "AB", ""] {
        let strange = Wanted::Amd(EndorsementId::Vcek {
            product: Product::Milan,
            hwid: hwid.to_owned(),
            tcb: [0; 8],
        });
        let obtained = collateral.obtain(&[strange], "a", NOW).await.unwrap();
        assert_eq!(checks(&obtained), ["collateral.address"]);
    }
    assert_eq!(memory.asked(), 0);
}

/// Proves the toy's report of an instant with this beside it.
async fn prove(
    collateral: &Collateral,
    beside: &[(String, Vec<u8>)],
    made: UnixTime,
    now: UnixTime,
) -> Proof {
    let told = ToyAmd::shared().tell(None, &spec(), made);
    let report = Report::parse(&told.report).unwrap();
    let mut heap = Endorsements::new();
    for (name, bytes) in beside {
        heap.add(name, bytes);
    }
    let question = Question {
        report: &report,
        heap: &heap,
        binding: &Binding::ReportData(told.expected_report_data),
        source: "a",
        now,
    };
    collateral.prove(&question).await.unwrap()
}

fn beside(at: UnixTime) -> Vec<(String, Vec<u8>)> {
    ToyAmd::shared().tell(None, &spec(), at).endorsements
}

#[tokio::test]
async fn what_a_report_lacks_is_had_once_and_nobody_is_called_for_one_that_lacks_nothing() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let collateral = open(folder.path(), &memory);
    let proof = prove(&collateral, &[], NOW, NOW).await;
    proof.outcome.unwrap();
    assert_eq!(memory.asked(), 3);
    memory.mood(Mood::Dead);
    let proof = prove(&collateral, &[], NOW, NOW.plus(60)).await;
    proof.outcome.unwrap();
    assert_eq!(memory.asked(), 3, "the cache has it");
    // The list beside is ten days old, so a younger one is looked for, in the cache first.
    let proof = prove(&collateral, &beside(NOW), NOW, NOW.plus(60)).await;
    assert_eq!((proof.rollback, memory.asked()), (None, 3));
    let ages = collateral.held_ages(NOW.plus(60)).unwrap();
    let of = |key: &str| ages.iter().find(|age| age.key == key).unwrap();
    assert_eq!((of("amd/vcek").count, of("amd/vcek").oldest_secs), (1, 60));
    assert!(of("amd/crl/Milan/vcek").left_secs.unwrap() > 0);
}

#[tokio::test]
async fn a_certificate_of_another_chip_beside_a_report_does_not_hide_the_right_one() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let collateral = open(folder.path(), &memory);
    let other = ReportSpec {
        chip_id: ToyProduct::Milan.chip(0x77),
        ..spec()
    };
    let leaf = ToyAmd::shared().leaf(&other, NOW);
    let proof = prove(&collateral, &[("other".to_owned(), leaf)], NOW, NOW).await;
    proof.outcome.unwrap();
}

#[tokio::test]
async fn a_list_beside_a_report_raises_the_mark_and_is_kept_and_an_older_one_proves_nothing() {
    let folder = TempDir::new().unwrap();
    let offline = |folder: &Path| open_with(folder, None, "http://127.0.0.1:1", Ages::default());
    let collateral = offline(folder.path());
    let later = NOW.plus(20 * DAY);
    let proof = prove(&collateral, &beside(later), later, later).await;
    assert_eq!(proof.rollback, None);
    // The next machine brings the older list; the newer one was kept and counts.
    let restarted = offline(folder.path());
    let proof = prove(&restarted, &beside(NOW), later, later).await;
    assert_eq!(proof.rollback, None);
    proof.outcome.unwrap();
    // Without the kept one the mark still stands.
    std::fs::remove_file(folder.path().join("index.json")).unwrap();
    let restarted = offline(folder.path());
    let proof = prove(&restarted, &beside(NOW), later, later).await;
    let rollback = proof.rollback.as_ref().map(Problem::check);
    assert_eq!(rollback, Some("collateral.rollback"));
    let problems: Vec<_> = proof
        .problems()
        .map(|(_, problem)| problem.check())
        .collect();
    assert!(problems.contains(&"collateral.offline"), "{problems:?}");
}

#[tokio::test]
async fn nobody_is_called_for_a_report_that_no_certificate_can_mend() {
    let folder = TempDir::new().unwrap();
    let memory = Memory::honest();
    let collateral = open(folder.path(), &memory);
    let told = ToyAmd::shared().tell(None, &spec(), NOW);
    let report = Report::parse(&told.report).unwrap();
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    let question = Question {
        report: &report,
        heap: &heap,
        binding: &Binding::ReportData([1; 64]),
        source: "a",
        now: NOW,
    };
    let proof = collateral.prove(&question).await.unwrap();
    assert_eq!(proof.outcome.unwrap_err().check(), "binding.report-data");
    assert_eq!(memory.asked(), 0);
}
