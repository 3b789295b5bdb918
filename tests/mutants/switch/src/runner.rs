//! Runs the tests of one binary: all of them and what they reach, or, forked from a process in
//! which all toys are made already, some of them with one mutant switched on.

use std::{
    fs::File,
    io::{BufRead, Write},
    os::fd::FromRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering::Relaxed,
    time::Instant,
};

use test::{ShouldPanic, TestDescAndFn, TestFn};

use crate::{ACTIVE, REACHED, RECORD};

/// Memory of a process that runs a mutant, in bytes.
const MEMORY_MAX: u64 = 6 << 30;
/// Seconds by the clock after which a mutant that waits for something is stopped.
const WAITING_MAX: u32 = 300;

/// What the attribute `test_runner` names.
pub fn runner(tests: &[&TestDescAndFn]) {
    let tests: Vec<&TestDescAndFn> = tests
        .iter()
        .copied()
        .filter(|test| !test.desc.ignore)
        .collect();
    match std::env::var("ZEUGE_MUTANTS").unwrap_or_default().as_str() {
        "record" => record(&tests),
        "serve" => serve(&tests),
        "cold" => cold(&tests),
        _ => {
            let failed = tests.iter().filter(|test| !passes(test)).count();
            std::process::exit(i32::from(failed > 0));
        }
    }
}

fn passes(test: &TestDescAndFn) -> bool {
    let TestFn::StaticTestFn(function) = &test.testfn else {
        return true;
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| function().is_ok()));
    match test.desc.should_panic {
        ShouldPanic::No => matches!(outcome, Ok(true)),
        ShouldPanic::Yes | ShouldPanic::YesWithMessage(_) => outcome.is_err(),
    }
}

fn number(name: &str) -> u32 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The stream of answers: what was standard output before tests print on it.
fn answers() -> File {
    // SAFETY: plain calls about descriptors of this process.
    unsafe {
        let kept = libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 10);
        let nothing = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY);
        libc::dup2(nothing, 1);
        if std::env::var_os("ZEUGE_MUTANTS_LOUD").is_none() {
            libc::dup2(nothing, 2);
        }
        File::from_raw_fd(kept)
    }
}

/// Each test twice: cold, and again when what is made once stands.
fn record(tests: &[&TestDescAndFn]) {
    let mut out = answers();
    for round in ["cold", "warm"] {
        for (index, test) in tests.iter().enumerate() {
            REACHED.iter().for_each(|reached| reached.store(0, Relaxed));
            ACTIVE.store(RECORD, Relaxed);
            let begin = Instant::now();
            let passed = passes(test);
            let micros = begin.elapsed().as_micros();
            ACTIVE.store(0, Relaxed);
            let mut line = format!("{round}\t{index}\t{}\t{passed}\t{micros}\t", test.desc.name);
            for (id, reached) in REACHED.iter().enumerate() {
                if reached.load(Relaxed) != 0 {
                    line.push_str(&format!("{id} "));
                }
            }
            writeln!(out, "{line}").expect("the driver reads");
        }
    }
}

/// The chosen tests in this process, from its beginning with the mutant.
fn cold(tests: &[&TestDescAndFn]) {
    let mut out = answers();
    limits(number("ZEUGE_MUTANTS_CPU"));
    ACTIVE.store(number("ZEUGE_MUTANT"), Relaxed);
    let chosen = std::env::var("ZEUGE_MUTANTS_TESTS").unwrap_or_default();
    let failed = first_failure(tests, &chosen);
    let failed = failed.map_or("lived".to_owned(), |index| format!("killed {index}"));
    writeln!(out, "{failed}").expect("the driver reads");
    std::process::exit(0);
}

fn first_failure(tests: &[&TestDescAndFn], chosen: &str) -> Option<usize> {
    let chosen = chosen
        .split(',')
        .filter_map(|index| index.parse::<usize>().ok());
    chosen
        .filter(|index| *index < tests.len())
        .find(|index| !passes(tests[*index]))
}

fn limits(milliseconds: u32) {
    // SAFETY: limits of this process and its timers.
    unsafe {
        let memory = libc::rlimit {
            rlim_cur: MEMORY_MAX,
            rlim_max: MEMORY_MAX,
        };
        libc::setrlimit(libc::RLIMIT_AS, &raw const memory);
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        let timer = libc::itimerval {
            it_interval: libc::timeval {
                tv_sec: 0,
                tv_usec: 0,
            },
            it_value: libc::timeval {
                tv_sec: i64::from(milliseconds / 1000),
                tv_usec: i64::from(milliseconds % 1000) * 1000,
            },
        };
        libc::setitimer(libc::ITIMER_PROF, &raw const timer, std::ptr::null_mut());
        libc::alarm(WAITING_MAX);
    }
}

/// Answers `mutant milliseconds test,test,…` line by line, each in a child of its own.
fn serve(tests: &[&TestDescAndFn]) {
    let mut out = answers();
    for test in tests {
        passes(test);
    }
    writeln!(out, "ready").expect("the driver reads");
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap_or_default();
        let (mutant, milliseconds, chosen) = (next(), next(), next());
        let mutant = mutant.parse().unwrap_or(0);
        let milliseconds = milliseconds.parse().unwrap_or(10_000);
        let answer = forked(mutant, milliseconds, || first_failure(tests, chosen));
        writeln!(out, "{answer}").expect("the driver reads");
    }
}

fn forked(mutant: u32, milliseconds: u32, run: impl FnOnce() -> Option<usize>) -> String {
    let mut ends = [0; 2];
    // SAFETY: this process has one thread; the child ends by itself with `_exit`.
    unsafe {
        libc::pipe(ends.as_mut_ptr());
        let child = libc::fork();
        if child == 0 {
            limits(milliseconds);
            std::panic::set_hook(Box::new(|_| {}));
            ACTIVE.store(mutant, Relaxed);
            let failed = run();
            if let Some(index) = failed {
                let bytes = (index as u64).to_le_bytes();
                libc::write(ends[1], bytes.as_ptr().cast(), bytes.len());
            }
            libc::_exit(i32::from(failed.is_some()));
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        libc::close(ends[1]);
        let mut bytes = [0_u8; 8];
        let read = libc::read(ends[0], bytes.as_mut_ptr().cast(), 8);
        libc::close(ends[0]);
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            "lived".to_owned()
        } else if read == 8 {
            format!("killed {}", u64::from_le_bytes(bytes))
        } else if libc::WIFSIGNALED(status)
            && matches!(libc::WTERMSIG(status), libc::SIGPROF | libc::SIGALRM)
        {
            "late".to_owned()
        } else {
            "crashed".to_owned()
        }
    }
}
