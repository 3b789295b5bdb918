//! What each test reaches, and whether any that reaches a mutant fails with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::compile::Program;

/// Milliseconds of CPU beyond three times what the tests took.
const PATIENCE: u64 = 1_500;

/// Programs that are begun anew for one mutant.
const COLD_MAX: usize = 3;

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    /// Number of its program.
    pub program: usize,
    /// Number inside its program.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What it took, everything made before.
    pub micros: u64,
}

/// All tests, and which reach what.
#[derive(Debug, Default)]
pub struct Reach {
    /// Tests that pass as they stand.
    pub tests: Vec<Test>,
    /// Tests that do not, by name.
    pub failing: Vec<String>,
    /// Tests by mutant, once everything is made that is made once.
    pub warm: BTreeMap<u32, Vec<usize>>,
    /// Tests that reach a mutant only the first time.
    pub cold: BTreeMap<u32, Vec<usize>>,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A test failed.
    Killed(String),
    /// Over its time, or it crashed.
    Ended(String),
    /// All tests that reach it passed.
    Lived,
    /// No test reaches it.
    Unreached,
}

fn start(program: &Program, mode: &str, more: &[(&str, String)]) -> Result<Child, String> {
    let mut command = Command::new(&program.path);
    command
        .env("ZEUGE_MUTANTS", mode)
        .env("CARGO_MANIFEST_DIR", &program.folder);
    // Random inputs: few, for every mutant is asked about each; nothing is shrunk or kept.
    command
        .env("PROPTEST_CASES", "32")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
        .env_remove("ZEUGE_VECTORS");
    for (name, value) in more {
        command.env(name, value);
    }
    command
        .current_dir(&program.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.name))
}

/// What a program's tests reach, as it told in an earlier run of the same tree, or tells now.
fn recorded(program: &Program, folder: &Path, digest: &str) -> Result<String, String> {
    let path = folder.join(format!("reach-{}.tsv", program.name.replace('/', "-")));
    if let Ok(text) = fs::read_to_string(&path)
        && let Some(text) = text.strip_prefix(&format!("{digest}\n"))
    {
        return Ok(text.to_owned());
    }
    let child = start(program, "record", &[])?;
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{}: ended with {}", program.name, output.status));
    }
    fs::write(&path, format!("{digest}\n{text}"))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text)
}

/// Runs every program once to learn what its tests reach.
///
/// # Errors
/// When a program cannot be started.
pub fn reach(programs: &[Program], folder: &Path, digest: &str) -> Result<Reach, String> {
    let mut out = Reach::default();
    for (number, program) in programs.iter().enumerate() {
        let text = recorded(program, folder, digest)?;
        let mut places = BTreeMap::new();
        let mut cold: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [round, index, name, passed, micros, ids] = fields.as_slice() else {
                continue;
            };
            let Ok(index) = index.parse::<usize>() else {
                continue;
            };
            let ids = ids
                .split(' ')
                .filter_map(|id| id.parse().ok())
                .collect::<BTreeSet<u32>>();
            if *passed != "true" {
                out.failing.push(format!("{} {name}", program.name));
                continue;
            }
            if *round == "cold" {
                cold.insert(index, ids);
                continue;
            }
            let at = *places.entry(index).or_insert(out.tests.len());
            out.tests.push(Test {
                program: number,
                index,
                name: format!("{} {name}", program.name),
                micros: micros.parse().unwrap_or(0),
            });
            for id in &ids {
                out.warm.entry(*id).or_default().push(at);
            }
            for id in cold.remove(&index).unwrap_or_default().difference(&ids) {
                out.cold.entry(*id).or_default().push(at);
            }
        }
        println!("{}: {} tests", program.name, places.len());
    }
    for tests in out.warm.values_mut().chain(out.cold.values_mut()) {
        tests.sort_by_key(|at| out.tests[*at].micros);
    }
    Ok(out)
}

#[derive(Debug)]
struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(program: &Program) -> Result<Self, String> {
        let mut child = start(program, "serve", &[])?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err("no pipes".to_owned());
        };
        let mut server = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        };
        match server.line()?.as_str() {
            "ready" => Ok(server),
            other => Err(format!("{}: {other:?} instead of ready", program.name)),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, mutant: u32, milliseconds: u64, tests: &str) -> Result<String, String> {
        writeln!(self.stdin, "{mutant} {milliseconds} {tests}")
            .map_err(|error| error.to_string())?;
        self.line()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Programs that wait, warm, to be asked.
#[derive(Debug)]
pub struct Lane<'a> {
    programs: &'a [Program],
    reach: &'a Reach,
    servers: BTreeMap<usize, Server>,
    /// Tests that take longer, in microseconds, are not asked.
    most: u64,
}

impl<'a> Lane<'a> {
    /// A lane in which nothing runs yet.
    #[must_use]
    pub const fn new(programs: &'a [Program], reach: &'a Reach, most: u64) -> Self {
        Self {
            programs,
            reach,
            servers: BTreeMap::new(),
            most,
        }
    }

    /// Asks the tests that reach a mutant, quick programs first; `None` where only tests that are not
    /// asked are left.
    ///
    /// # Errors
    /// When a program cannot be started or does not answer.
    pub fn fate(&mut self, mutant: u32) -> Result<Option<Fate>, String> {
        let none = Vec::new();
        let warm = self.reach.warm.get(&mutant).unwrap_or(&none);
        let cold = self.reach.cold.get(&mutant).unwrap_or(&none);
        if warm.is_empty() && cold.is_empty() {
            return Ok(Some(Fate::Unreached));
        }
        let quick = |at: &&usize| self.reach.tests[**at].micros <= self.most;
        let asked: Vec<usize> = warm.iter().filter(quick).copied().collect();
        for (program, tests) in self.by_program(&asked) {
            let (list, milliseconds) = self.asked(&tests);
            if !self.servers.contains_key(&program) {
                let server = Server::start(&self.programs[program])?;
                self.servers.insert(program, server);
                let server = self.servers.get_mut(&program).expect("just put in");
                // Nothing is switched on: what fails now fails because of the fork.
                let all: Vec<usize> = (0..self.reach.tests.len())
                    .filter(|at| self.reach.tests[*at].program == program)
                    .collect();
                let indexes: Vec<String> = all
                    .iter()
                    .map(|at| self.reach.tests[*at].index.to_string())
                    .collect();
                let answer = server.ask(0, 600_000, &indexes.join(","))?;
                if answer != "lived" {
                    return Err(format!(
                        "{}: {answer} without a mutant",
                        self.programs[program].name
                    ));
                }
            }
            let server = self.servers.get_mut(&program).expect("started above");
            let answer = server.ask(mutant, milliseconds, &list)?;
            if let Some(fate) = self.told(program, &answer) {
                return Ok(Some(fate));
            }
        }
        if asked.len() < warm.len() || (warm.is_empty() && self.most < u64::MAX) {
            return Ok(None);
        }
        // What is made once is looked at by whoever comes first: where other tests reach it too, they
        // have spoken, and each of these begins a process that makes its toys anew.
        let cold = if warm.is_empty() { cold } else { &none };
        for (program, tests) in self.by_program(cold).into_iter().take(COLD_MAX) {
            let (list, milliseconds) = self.asked(&tests);
            let more = [
                ("ZEUGE_MUTANT", mutant.to_string()),
                ("ZEUGE_MUTANTS_TESTS", list),
                ("ZEUGE_MUTANTS_CPU", (milliseconds + 30_000).to_string()),
            ];
            let child = start(&self.programs[program], "cold", &more)?;
            let output = child
                .wait_with_output()
                .map_err(|error| error.to_string())?;
            let answer = String::from_utf8_lossy(&output.stdout);
            if let Some(fate) = self.told(program, answer.trim()) {
                return Ok(Some(fate));
            }
        }
        Ok(Some(Fate::Lived))
    }

    fn told(&self, program: usize, answer: &str) -> Option<Fate> {
        match answer.split_once(' ') {
            Some(("killed", index)) => {
                let found = self
                    .reach
                    .tests
                    .iter()
                    .find(|test| test.program == program && test.index.to_string() == index);
                Some(Fate::Killed(
                    found.map(|test| test.name.clone()).unwrap_or_default(),
                ))
            }
            _ if answer == "lived" => None,
            _ => Some(Fate::Ended(format!(
                "{answer} in {}",
                self.programs[program].name
            ))),
        }
    }

    /// Tests by program, the programs that are asked cheapest first.
    fn by_program(&self, tests: &[usize]) -> Vec<(usize, Vec<usize>)> {
        let mut out: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in tests {
            out.entry(self.reach.tests[*at].program)
                .or_default()
                .push(*at);
        }
        let mut out: Vec<(usize, Vec<usize>)> = out.into_iter().collect();
        out.sort_by_key(|(_, tests)| {
            tests
                .iter()
                .map(|at| self.reach.tests[*at].micros)
                .sum::<u64>()
        });
        out
    }

    fn asked(&self, tests: &[usize]) -> (String, u64) {
        let list: Vec<String> = tests
            .iter()
            .map(|at| self.reach.tests[*at].index.to_string())
            .collect();
        let micros: u64 = tests.iter().map(|at| self.reach.tests[*at].micros).sum();
        (list.join(","), PATIENCE + micros.saturating_mul(3) / 1000)
    }
}
