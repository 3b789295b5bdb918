//! `zeuge collateral`, and the way by which `zeuge verify --fetch` asks the makers.
//!
//! Opens caches and prints; what is kept and what is refused is `zeuge-collateral`'s business.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use zeuge_collateral::{
    Ages, Allowance, BUNDLE_BYTES_MAX, BaseUrl, CacheError, Channel, Collateral, Fetcher,
    HttpFetcher, Obtained, Outcome as Got, Pcs, PcsId, Problem, Proof, Question, QuoteProof,
    QuoteQuestion, Sources, State, Status, Wanted,
};
use zeuge_evidence::{Malformed, UnixTime, dcap, kind, snp};
use zeuge_protocol::api::VerdictWord;
use zeuge_verify::Anchors;

use crate::{
    Outcome,
    args::{
        Format,
        collateral::{Cache, Collateral as Command, Fetch, Makers},
    },
    clock, input, output,
};

/// A person fetches for a fleet: the budget that keeps strangers short is not for them.
const ALLOWANCE: Allowance = Allowance {
    per_source: 2000,
    all: 2000,
};
/// For whom the budget is counted.
pub(crate) const SOURCE: &str = "zeuge";

/// Runs the command.
pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Fetch(arguments) => fetch(arguments),
        Command::Export { out, cache } => {
            let held = open(cache, None)?;
            match held.export(clock::now()?).map_err(disk)? {
                Ok(bytes) => {
                    output::public(out, &bytes)?;
                    crate::say(&format!("{}: written\n", out.display()))?;
                    Ok(0)
                }
                Err(problem) => Ok(told(&problem)),
            }
        }
        Command::Import { file, cache } => import(file, cache),
        Command::Status { format, cache } => status(*format, cache),
        Command::Forecast(arguments) => crate::forecast::run(arguments),
    }
}

/// Roots and the default folder: a toy never shares one with the makers.
fn trust(cache: &Cache) -> Result<(Anchors, PathBuf), String> {
    let (anchors, name) = match &cache.dangerous_trust_sim {
        Some(path) => {
            crate::complain("DANGEROUS: the toy vendor of tests is trusted in this call");
            let anchors = Anchors::dangerous_sim(&input::text(path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            (anchors, "collateral-sim")
        }
        None => (Anchors::makers(), "collateral"),
    };
    let folder = match &cache.cache {
        Some(folder) => folder.clone(),
        None => default_folder(name)?,
    };
    Ok((anchors, folder))
}

fn default_folder(name: &str) -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = match (set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(base), _) => PathBuf::from(base),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => {
            return Err("neither XDG_CACHE_HOME nor HOME is set; give --cache".to_owned());
        }
    };
    Ok(base.join("zeuge").join(name))
}

pub(crate) fn open(cache: &Cache, makers: Option<&Makers>) -> Result<Collateral, String> {
    let (anchors, folder) = trust(cache)?;
    open_with(
        &folder,
        anchors,
        makers,
        cache.dangerous_trust_sim.is_some(),
    )
}

/// What is held in the default folder, where there is one; nobody is asked.
///
/// # Errors
/// A sentence, when the folder cannot be read.
pub(crate) fn held(now: UnixTime) -> Result<Option<Status>, String> {
    let Ok(folder) = default_folder("collateral") else {
        return Ok(None);
    };
    if !folder.is_dir() {
        return Ok(None);
    }
    let held = open_with(&folder, Anchors::makers(), None, false)?;
    held.status(now).map(Some).map_err(disk)
}

fn open_with(
    folder: &Path,
    anchors: Anchors,
    makers: Option<&Makers>,
    sim: bool,
) -> Result<Collateral, String> {
    // The makers are not asked about a toy's machines.
    let mut sources = if sim {
        Sources::default()
    } else {
        Sources::makers()
    };
    let mut fetcher: Option<Arc<dyn Fetcher>> = None;
    if let Some(makers) = makers {
        let read = |option: &str, url: &str| {
            BaseUrl::parse(url)
                .map_err(|problem| format!("{}: {option}: {problem}", problem.check()))
        };
        if let Some(url) = &makers.kds {
            sources.amd = Some(read("--kds", url)?);
        }
        if let Some(url) = &makers.pcs {
            sources.intel = Some(Pcs::cache(read("--pcs", url)?));
        }
        fetcher = Some(Arc::new(
            HttpFetcher::new().map_err(|error| error.to_string())?,
        ));
    }
    Collateral::open(
        folder,
        fetcher,
        sources,
        anchors,
        Ages::default(),
        ALLOWANCE,
    )
    .map_err(disk)
}

pub(crate) fn disk(error: CacheError) -> String {
    error.to_string()
}

/// The exit code that a problem stands for (DESIGN §5.1).
const fn code(problem: &Problem) -> u8 {
    match problem {
        Problem::Address { .. } => crate::USAGE,
        Problem::Bundle { .. } | Problem::Size { .. } => VerdictWord::Malformed.exit_code(),
        Problem::Rollback { .. } => VerdictWord::Untrusted.exit_code(),
        _ => VerdictWord::Unavailable.exit_code(),
    }
}

fn told(problem: &Problem) -> u8 {
    crate::complain(&format!("{}: {problem}", problem.check()));
    code(problem)
}

/// What reports need; chains and lists of every product where there is none.
fn wanted(files: &[PathBuf]) -> Result<Result<Vec<Wanted>, u8>, String> {
    if files.is_empty() {
        return Ok(Ok(Wanted::common()));
    }
    let mut wanted = Vec::new();
    for file in files {
        let bytes = input::read(file)?;
        match of_evidence(&bytes) {
            Ok(more) => wanted.extend(more),
            Err(malformed) => {
                crate::complain(&format!(
                    "{}: {}: {malformed}; fetched for are SEV-SNP reports and quotes of TDX and SGX",
                    file.display(),
                    malformed.check
                ));
                return Ok(Err(VerdictWord::Malformed.exit_code()));
            }
        }
    }
    Ok(Ok(wanted))
}

/// What one report or quote needs; Intel's documents in both channels.
fn of_evidence(bytes: &[u8]) -> Result<Vec<Wanted>, Malformed> {
    if is_quote(bytes) {
        let evidence = dcap::Evidence::read(bytes)?;
        let quote = dcap::Quote::parse(&evidence.quote)?;
        let needs = zeuge_verify::dcap::needs(&quote);
        let both = Channel::SERVED
            .iter()
            .flat_map(|channel| needs.iter().map(|id| PcsId::of(id, *channel)));
        return Ok(both.map(Wanted::from).collect());
    }
    let evidence = snp::Evidence::read(bytes)?;
    let report = snp::Report::parse(&evidence.report)?;
    let needs = zeuge_verify::snp::needs(&report);
    Ok(needs.into_iter().map(Wanted::from).collect())
}

/// Whether these bytes look like a quote of TDX or SGX, in any of its wrappers.
pub(crate) fn is_quote(bytes: &[u8]) -> bool {
    use kind::Kind as Seen;
    matches!(
        kind::detect(bytes),
        Seen::TdxQuote(_) | Seen::TdxProtobuf | Seen::SgxQuote(_) | Seen::QuoteJson
    )
}

fn fetch(arguments: &Fetch) -> Outcome {
    let wanted = match wanted(&arguments.files)? {
        Ok(wanted) => wanted,
        Err(code) => return Ok(code),
    };
    let cache = open(&arguments.cache, Some(&arguments.makers))?;
    let now = clock::now()?;
    let got: Obtained = waiting()?
        .block_on(async {
            if arguments.refresh {
                cache.refresh(&wanted, SOURCE, now).await
            } else {
                cache.obtain(&wanted, SOURCE, now).await
            }
        })
        .map_err(disk)?;
    let mut codes = Vec::new();
    for outcome in &got.outcomes {
        crate::say(&shown(outcome, arguments.format))?;
        if outcome.state == State::Missing {
            codes.extend(outcome.problems.iter().map(code));
        }
    }
    Ok(VerdictWord::worst(codes))
}

fn shown(outcome: &Got, format: Format) -> String {
    let key = outcome.wanted.key();
    let (word, age) = match outcome.state {
        State::Cached { age_secs } => ("cached", Some(age_secs)),
        State::Fetched => ("fetched", None),
        State::Missing => ("missing", None),
        State::Stale { age_secs } => ("stale", Some(age_secs)),
    };
    if format == Format::Text {
        let mut text = format!("{key}: {word}");
        if let Some(secs) = age {
            text.push_str(&format!(", {secs} s old"));
        }
        for problem in &outcome.problems {
            text.push_str(&format!("\n  {}: {problem}", problem.check()));
        }
        return format!("{text}\n");
    }
    let problems: Vec<_> = outcome
        .problems
        .iter()
        .map(|problem| json!({"check": problem.check(), "because": problem.to_string()}))
        .collect();
    let line = json!({"key": key, "state": word, "age_secs": age, "problems": problems});
    format!("{line}\n")
}

fn import(file: &Path, cache: &Cache) -> Outcome {
    let bytes = input::read_up_to(file, BUNDLE_BYTES_MAX)?;
    let cache = open(cache, None)?;
    let imported = match cache.import(&bytes, clock::now()?).map_err(disk)? {
        Ok(imported) => imported,
        Err(problem) => return Ok(told(&problem)),
    };
    for key in &imported.kept {
        crate::say(&format!("{key}: kept\n"))?;
    }
    let mut codes = Vec::new();
    for (key, problem) in &imported.refused {
        crate::say(&format!("{key}: {}: {problem}\n", problem.check()))?;
        codes.push(code(problem));
    }
    Ok(VerdictWord::worst(codes))
}

fn status(format: Format, cache: &Cache) -> Outcome {
    let now = clock::now()?;
    let held = open(cache, None)?.status(now).map_err(disk)?;
    let age = |at: UnixTime| now.0.saturating_sub(at.0);
    let mut text = String::new();
    for entry in &held.entries {
        let problem = entry.problem.as_ref();
        if format == Format::Text {
            let until = entry
                .until
                .map_or_else(|| "no end".to_owned(), |until| format!("until {until}"));
            let problem = problem.map(|problem| format!("; {}: {problem}", problem.check()));
            text.push_str(&format!(
                "{}  {} s old, {until}{}\n",
                entry.key,
                age(entry.fetched_at),
                problem.unwrap_or_default()
            ));
        } else {
            let line = json!({
                "key": entry.key, "bytes": entry.bytes, "age_secs": age(entry.fetched_at),
                "until": entry.until.map(|until| until.to_string()), "origin": entry.origin,
                "check": problem.map(Problem::check),
            });
            text.push_str(&format!("{line}\n"));
        }
    }
    for (key, http, until) in &held.not_found {
        text.push_str(&match format {
            Format::Text => {
                format!("{key}  not there (status {http}), asked again after {until}\n")
            }
            _ => format!(
                "{}\n",
                json!({"key": key, "not_found": http, "until": until.to_string()})
            ),
        });
    }
    for (host, until) in &held.back_off {
        text.push_str(&match format {
            Format::Text => format!("{host}  not asked until {until}\n"),
            _ => format!("{}\n", json!({"paused": host, "until": until.to_string()})),
        });
    }
    for (issuer, mark) in &held.marks {
        text.push_str(&match format {
            Format::Text => format!("root {issuer}  {mark} was seen; older ones are refused\n"),
            _ => format!(
                "{}\n",
                json!({"root": issuer, "number": mark.number, "this_update": mark.this_update})
            ),
        });
    }
    crate::say(&text)?;
    Ok(0)
}

/// Who waits for the makers.
pub(crate) fn waiting() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
}

/// The makers, for commands that verify.
pub(crate) struct Line {
    cache: Collateral,
    channel: Channel,
    runtime: tokio::runtime::Runtime,
}

impl Line {
    /// Opens the cache and the way to the makers.
    ///
    /// # Errors
    /// A sentence, for a folder or an address that cannot be used.
    pub(crate) fn open(
        folder: Option<&Path>,
        makers: &Makers,
        channel: Channel,
        sim: bool,
        anchors: &Anchors,
    ) -> Result<Self, String> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => default_folder(if sim { "collateral-sim" } else { "collateral" })?,
        };
        Ok(Self {
            cache: open_with(&folder, anchors.clone(), Some(makers), sim)?,
            channel,
            runtime: waiting()?,
        })
    }

    /// Verifies a report with what the makers add.
    ///
    /// # Errors
    /// A sentence, when the folder cannot be used.
    pub(crate) fn prove(
        &self,
        report: &snp::Report<'_>,
        heap: &zeuge_verify::Endorsements,
        binding: &zeuge_verify::Binding,
    ) -> Result<Proof, String> {
        let question = Question {
            report,
            heap,
            binding,
            source: SOURCE,
            now: clock::now()?,
        };
        self.runtime
            .block_on(self.cache.prove(&question))
            .map_err(disk)
    }

    /// Verifies a quote with what the makers add.
    ///
    /// # Errors
    /// A sentence, when the folder cannot be used.
    pub(crate) fn prove_quote(
        &self,
        quote: &dcap::Quote<'_>,
        heap: &zeuge_verify::Endorsements,
        binding: &zeuge_verify::Binding,
    ) -> Result<QuoteProof, String> {
        let question = QuoteQuestion {
            quote,
            heap,
            binding,
            channel: self.channel,
            source: SOURCE,
            now: clock::now()?,
        };
        self.runtime
            .block_on(self.cache.prove_quote(&question))
            .map_err(disk)
    }
}
