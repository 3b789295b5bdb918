//! Hostile clients by the hundred against the real process (`make test-hostile`: by the 100,000).
//!
//! While each attack runs, honest machines attest; afterwards memory and handles are what they
//! were. How much of their rate honest machines keep is printed, and demanded where the machine is
//! quiet enough to measure it: `ZEUGE_HOSTILE=whole`. Attackers come from other addresses of the
//! loopback network than the honest, and give way to them on the processor, which in the world they
//! do not share.
#![expect(clippy::print_stdout, reason = "figures are for people")]

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use zeuge_evidence::UnixTime;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::request::Request;
use zeuge_protocol::suite::Suite;
use zeuge_sim::{Product, ReportSpec, ToyAmd};

use crate::common::{Attempt, Client, World, name};
use crate::surface::served::{Served, attest, real_now};

/// Honest machines at once.
const MACHINES: usize = 2;
/// What a witness may have in memory at most while it is under fire: bodies (64 MiB), connections,
/// and the program.
const MEMORY_MIB_MAX: u64 = 400;

/// How much is thrown at it.
#[derive(Clone, Copy)]
struct Scale {
    is_whole: bool,
    /// Idle connections that are offered.
    idle: usize,
    /// Slow requests at once.
    slow: usize,
    /// Who floods.
    floods: usize,
    time: Duration,
}

fn scale() -> Scale {
    if std::env::var("ZEUGE_HOSTILE").is_ok_and(|word| word == "whole") {
        return Scale {
            is_whole: true,
            idle: 100_000,
            slow: 4_000,
            floods: 64,
            time: Duration::from_secs(10),
        };
    }
    Scale {
        is_whole: false,
        idle: 2_000,
        slow: 200,
        floods: 8,
        time: Duration::from_secs(2),
    }
}

/// One of many sources of attackers.
fn attacker(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number % 120).unwrap();
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 7, 0, 1).to_bits() + number)
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// How many attestations honest machines complete in this time; where a busy machine lets none be
/// complete by then, in as long as it takes for one, or in half a minute.
fn honest(client: Client, time: Duration) -> usize {
    let (begun, done) = (Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..MACHINES {
            scope.spawn(|| {
                while begun.elapsed() < time
                    || done.load(Ordering::Relaxed) == 0
                        && begun.elapsed() < Duration::from_secs(30)
                {
                    if attest(client).is_some() {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    done.into_inner()
}

/// What an attack and its measurement tell each other.
struct Attack {
    over: AtomicBool,
    did: AtomicUsize,
    /// Told of the first thing that was done.
    begun: mpsc::Sender<()>,
}

impl Attack {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn did_one(&self) {
        if self.did.fetch_add(1, Ordering::Relaxed) == 0 {
            let _ = self.begun.send(());
        }
    }

    fn did(&self) -> usize {
        self.did.load(Ordering::Relaxed)
    }
}

/// Runs the attack beside honest machines and holds the witness to what it promises. The attack
/// gets the address, counts what it does, and ends when it is over.
fn under_fire<A, F>(name: &str, served: &Served, attack: A)
where
    A: Fn(SocketAddr, Arc<Attack>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let scale = scale();
    let (client, time) = (served.client, scale.time);
    honest(client, time / 4);
    let before = honest(client, time);
    let handles = served.handles();
    let attackers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(give_way)
        .build()
        .unwrap();
    let (begun, first) = mpsc::channel();
    let told = Arc::new(Attack {
        over: AtomicBool::new(false),
        did: AtomicUsize::new(0),
        begun,
    });
    let attack = attackers.spawn(attack(client.0, Arc::clone(&told)));
    // A busy machine lets attackers begin late: nothing is measured before they have.
    let first = first.recv_timeout(Duration::from_secs(300));
    assert_eq!(first, Ok(()), "{name}: nothing was done");
    honest(client, time / 4);
    let during = honest(client, time);
    let (resident, peak) = served.memory_mib();
    told.over.store(true, Ordering::Relaxed);
    attackers.block_on(attack).unwrap();
    attackers.shutdown_timeout(Duration::from_secs(5));
    let did = told.did();
    let after = honest(client, time);
    println!(
        "{name}: {did} things done to it; honest attestations {before} before, {during} during, \
         {after} after; {resident} MiB, at most {peak} MiB"
    );
    assert!(during > 0, "{name}: no honest machine was heard");
    assert!(peak < MEMORY_MIB_MAX, "{name}: {peak} MiB");
    if scale.is_whole {
        let rate = during as f64 / before.min(after).max(1) as f64;
        assert!(
            rate >= 0.5,
            "{name}: honest machines keep {rate:.2} of their rate"
        );
    }
    // Whoever was let go is gone from the table of handles.
    let until = Instant::now() + Duration::from_secs(20);
    while served.handles() > handles + 64 {
        assert!(Instant::now() < until, "{name}: handles stay in use");
        std::thread::yield_now();
    }
}

/// Lets everybody else on this machine go first.
fn give_way() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let thread = thread.file_name().unwrap();
    let nice = std::process::Command::new("renice")
        .args(["-n", "19", "-p"])
        .arg(thread)
        .output();
    assert!(nice.is_ok_and(|done| done.status.success()), "renice");
}

#[test]
fn slow_heads_and_slow_bodies_hold_a_connection_and_nothing_else() {
    let (_world, served) = Served::furnished(&["--offline"]);
    let heads = "POST /v1/challenges HTTP/1.1\r\nhost: w1\r\nx: ";
    let bodies = "POST /v1/releases HTTP/1.1\r\nhost: w1\r\ncontent-length: 6000000\r\n\r\n{";
    for (name, head) in [("slow heads", heads), ("slow bodies", bodies)] {
        under_fire(name, &served, |to, attack| async move {
            let mut held = Vec::new();
            while attack.goes_on() {
                for number in 0..scale().slow {
                    if !attack.goes_on() {
                        break;
                    }
                    // One more byte of each that is there, or a new one.
                    match held.get_mut(number) {
                        Some(stream) => {
                            let stream: &mut TcpStream = stream;
                            if stream.write_all(b"a").await.is_ok() {
                                attack.did_one();
                            } else if let Ok(new) = connect(attacker(number), to).await {
                                *stream = new;
                                let _ = stream.write_all(head.as_bytes()).await;
                            }
                        }
                        None => {
                            if let Ok(mut stream) = connect(attacker(number), to).await {
                                let _ = stream.write_all(head.as_bytes()).await;
                                held.push(stream);
                            }
                        }
                    }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
}

#[test]
fn idle_connections_are_held_up_to_the_handles_and_then_make_room() {
    let scale = scale();
    let world = World::new();
    // As many as the machine gives; few in the quick version, so that the end is reached.
    let few = if scale.is_whole {
        ""
    } else {
        "ulimit -n 1024;"
    };
    let served = Served::start_after(few, &world, &["--offline"]);
    world.furnish(&served.client, "sim");
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let own = usize::try_from(own.current.unwrap_or(100_000)).unwrap();
    let most = own.saturating_sub(300);
    under_fire("idle connections", &served, move |to, attack| async move {
        let (mut held, mut offered) = (VecDeque::new(), 0);
        while offered < scale.idle || attack.goes_on() {
            if held.len() >= most {
                held.pop_front();
            }
            if offered >= scale.idle {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            if let Ok(stream) = connect(attacker(offered), to).await {
                held.push_back(stream);
            }
            offered += 1;
            attack.did_one();
        }
    });
    let metrics = String::from_utf8(served.client.get("/metrics").unwrap()).unwrap();
    let count = |outcome| {
        let name = format!("zeuge_connections_total{{outcome=\"{outcome}\"}}");
        crate::surface::served::value(&metrics, &name).unwrap_or(0)
    };
    // On a machine of many handles an idle connection's time is over before there is no room.
    if scale.is_whole {
        assert!(count("accepted") >= scale.idle as u64, "{metrics}");
    } else {
        assert!(count("evicted") > 0, "{metrics}");
    }
}

#[test]
fn a_flood_of_challenges_leaves_room_for_the_honest() {
    let (_world, served) = Served::furnished(&["--offline"]);
    under_fire("flood of challenges", &served, |to, attack| async move {
        let mut floods = tokio::task::JoinSet::new();
        for number in 0..scale().floods {
            let attack = Arc::clone(&attack);
            floods.spawn(async move {
                let ask = "POST /v1/challenges HTTP/1.1\r\nhost: w1\r\ncontent-length: 16\r\n\r\n\
                           {\"tenant\":\"sim\"}";
                let mut piece = [0; 16 * 1024];
                while attack.goes_on() {
                    // Few sources, so that the rate of each is what bounds them.
                    let Ok(mut stream) = connect(attacker(number % 4), to).await else {
                        continue;
                    };
                    while attack.goes_on()
                        && stream.write_all(ask.as_bytes()).await.is_ok()
                        && stream.read(&mut piece).await.is_ok_and(|count| count > 0)
                    {
                        attack.did_one();
                    }
                }
            });
        }
        floods.join_all().await;
    });
    assert!(served.client.get("/readyz").is_ok());
}

/// A maker that takes every connection and answers none.
fn silent_maker() -> (String, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            held.push(stream);
        }
    });
    (url, asked)
}

#[test]
fn a_flood_of_invented_chips_spends_its_own_budget_even_when_the_maker_is_silent() {
    let (url, asked) = silent_maker();
    let (_world, served) = Served::furnished(&["--sim-kds", &url]);
    under_fire("invented chips", &served, |to, attack| async move {
        let mut floods = tokio::task::JoinSet::new();
        for number in 0..scale().floods {
            let attack = Arc::clone(&attack);
            floods.spawn(async move {
                let mut chips = number * 100_000..;
                while attack.goes_on()
                    && let Some(chip) = chips.next()
                {
                    if invented(attacker(number), to, chip).await {
                        attack.did_one();
                    }
                }
            });
        }
        floods.join_all().await;
    });
    let asked = asked.load(Ordering::Relaxed);
    println!("the maker was asked {asked} times");
    // What its budget in all is, whoever asked; connections that are tried anew count as well.
    assert!(asked <= 600, "{asked}");
}

/// One request with the report of a chip that nobody knows: was it answered?
async fn invented(from: Ipv4Addr, to: SocketAddr, number: usize) -> bool {
    let wanted = b"{\"tenant\":\"sim\"}".to_vec();
    let Some(challenge) = ask(from, to, "/v1/challenges", wanted).await else {
        return false;
    };
    let Ok(challenge) = serde_json::from_slice(&challenge) else {
        return false;
    };
    let attempt = Attempt::new(challenge, Request::appraisal("me"), Suite::X_WING);
    let mut spec = ReportSpec {
        report_data: attempt.binding.report_data(),
        ..ReportSpec::new(Product::Milan)
    };
    spec.chip_id = [0xee; 64];
    spec.chip_id[..8].copy_from_slice(&number.to_be_bytes());
    let told = ToyAmd::shared().tell(None, &spec, UnixTime(real_now()));
    let mut bundle = Bundle::new();
    bundle
        .put(name("snp"), Media::SnpReport, told.report)
        .unwrap();
    let body = serde_json::to_vec(&attempt.body(&bundle)).unwrap();
    ask(from, to, "/v1/appraisals", body).await.is_some()
}

/// A request on a connection of its own; the body of the answer.
async fn ask(from: Ipv4Addr, to: SocketAddr, at: &str, body: Vec<u8>) -> Option<Vec<u8>> {
    let mut stream = connect(from, to).await.ok()?;
    let head = format!(
        "POST {at} HTTP/1.1\r\nhost: w1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.as_bytes(), &body].concat())
        .await
        .ok()?;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), reading)
        .await
        .ok()?
        .ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(answer.split_off(end + 4))
}

#[test]
fn whoever_takes_no_answer_is_let_go() {
    let (_world, served) = Served::furnished(&["--offline"]);
    under_fire(
        "answers that nobody takes",
        &served,
        |to, attack| async move {
            let ask = "GET /openapi.json HTTP/1.1\r\nhost: w1\r\n\r\n".repeat(1000);
            let mut held = Vec::new();
            while attack.goes_on() {
                if held.len() >= scale().slow {
                    held.clear();
                }
                if let Ok(mut stream) = connect(attacker(attack.did()), to).await {
                    let sent = stream.write_all(ask.as_bytes());
                    let _ = tokio::time::timeout(Duration::from_millis(200), sent).await;
                    held.push(stream);
                    attack.did_one();
                }
            }
        },
    );
}
