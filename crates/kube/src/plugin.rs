//! `kubectl zeuge`: what is known about nodes, what would happen next, and what happened.
//!
//! Only reads the cluster, but for `attest`, which asks a node. What it shows is what objects of the cluster say: whoever runs the API
//! server can change them (`docs/kubernetes.md`); proofs are with the witness.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod attest;
mod key;
mod preview;
mod report;
mod table;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand, ValueEnum, error::ErrorKind};
use k8s_openapi::api::core::v1::{Namespace, Node as KubeNode, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};

use crate::api::{AttestationPolicy, AttestedNode};
use crate::cluster::{self, START_TAINT};
use crate::error::Error;
use crate::model::{Pods, State};
use crate::selection::Rules;

const EXAMPLES: &str = "\
Examples:
  kubectl zeuge nodes
  kubectl zeuge explain worker-1
  kubectl zeuge attest worker-1
  kubectl zeuge drain-preview
  kubectl zeuge drain-preview --if-failed worker-1 --if-failed worker-2
  kubectl zeuge report --from 2026-11-01 --to 2026-12-01 --key auditor.key --out november.json
  kubectl zeuge verify-report november.json --public-key BASE64URL

The cluster is found as kubectl finds it: KUBECONFIG, or ~/.kube/config; --kubeconfig and --context
choose another.

Exit codes: 0 done or affirming; 1 usage, local trouble or no such node; 3 a report's signature does
not hold; 4 the API server is unavailable; 5 the node's evidence failed; 10 the node is unknown, stale
or rebooted, or a report does not reach back far enough.";

/// A signed report in words.
///
/// # Errors
/// Why it is not believed.
pub(crate) fn report(
    signed: &str,
    public: &zeuge_protocol::keys::PublicKey,
) -> Result<String, &'static str> {
    report::opened(signed, public).map(|report| report.text())
}

/// Attested nodes: what is known, what would happen, what happened.
#[derive(Parser)]
#[command(name = "kubectl-zeuge", bin_name = "kubectl zeuge", version, after_help = EXAMPLES)]
struct Program {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Place {
    /// Where the cluster is; by default as kubectl finds it.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the configuration.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The AttestationPolicy to go by.
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    policy: String,
    /// The key of the start taint.
    #[arg(long, global = true, value_name = "KEY", default_value = START_TAINT)]
    start_taint: String,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Every node there is or was, with its last verdict.
    #[command(after_help = "Example:\n  kubectl zeuge nodes --format json")]
    Nodes,
    /// One node: what is known, why, and what happens next.
    #[command(after_help = "Example:\n  kubectl zeuge explain worker-1")]
    Explain {
        /// The node's name.
        node: String,
    },
    /// Ask a node for fresh evidence now, and wait for the verdict.
    #[command(after_help = "Example:\n  kubectl zeuge attest worker-1 --patience 60")]
    Attest {
        /// The node's name.
        node: String,
        /// How long to wait, in seconds.
        #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
        patience: u64,
    },
    /// What the controller would do from here on, which pods would go, which budgets are in the way.
    #[command(after_help = "Example:\n  kubectl zeuge drain-preview --if-failed worker-1")]
    DrainPreview {
        /// As if the evidence of this node failed now. May be repeated.
        #[arg(long, value_name = "NODE")]
        if_failed: Vec<String>,
    },
    /// A span of time: every node, expected and actual attestations, gaps, reactions, waivers.
    #[command(after_help = EXAMPLES)]
    Report(report::Options),
    /// Whether a report is whole and signed by this key.
    #[command(after_help = EXAMPLES)]
    VerifyReport {
        /// The report.
        file: PathBuf,
        /// The signer's public key, base64url, as `zeuge owner show` prints it.
        #[arg(long, value_name = "BASE64URL")]
        public_key: String,
    },
}

/// What the API server says of everything that matters here.
struct Picture {
    cluster_uid: String,
    nodes: Vec<KubeNode>,
    memories: Vec<AttestedNode>,
    pods: Vec<Pod>,
    budgets: Vec<PodDisruptionBudget>,
    policy: AttestationPolicy,
    rules: Rules,
    state: State,
    now: i64,
}

impl Picture {
    async fn take(place: &Place) -> Result<Self, Error> {
        let client = client(place).await?;
        let all = ListParams::default();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let (nodes, memories): (Api<KubeNode>, Api<AttestedNode>) =
            (Api::all(client.clone()), Api::all(client.clone()));
        let (pods, budgets): (Api<Pod>, Api<PodDisruptionBudget>) =
            (Api::all(client.clone()), Api::all(client.clone()));
        let policies: Api<AttestationPolicy> = Api::all(client);
        let missing = || {
            let because = format!("there is no AttestationPolicy {}", place.policy);
            Error::Local(because)
        };
        let policy = policies.get_opt(&place.policy).await?.ok_or_else(missing)?;
        let rules = Rules::of(&policy, policies.list(&all).await?.items.iter());
        let mut picture = Self {
            cluster_uid: namespaces
                .get("kube-system")
                .await?
                .uid()
                .unwrap_or_default(),
            nodes: nodes.list(&all).await?.items,
            memories: memories.list(&all).await?.items,
            pods: pods.list(&all).await?.items,
            budgets: budgets.list(&all).await?.items,
            state: cluster::state(
                std::iter::empty(),
                std::iter::empty(),
                &rules,
                &place.start_taint,
            ),
            policy,
            rules,
            now: now()?,
        };
        picture.state = cluster::state(
            picture.nodes.iter(),
            picture.memories.iter(),
            &picture.rules,
            &place.start_taint,
        );
        for (name, node) in &mut picture.state.nodes {
            node.pods = Pods {
                movable: movable(&picture.pods, name).count(),
            };
        }
        // Waivers are believed by the controller, which has the owners' keys; its word is repeated.
        for memory in &picture.memories {
            let conditions = memory.status.as_ref().map(|it| it.conditions.as_slice());
            let waived = conditions
                .and_then(<[_]>::first)
                .is_some_and(|it| it.reason == crate::error::reason("kube.waiver"));
            if let Some(node) = picture.state.nodes.get_mut(&memory.name_any())
                && waived
            {
                let until = Some(picture.now.saturating_add(1));
                (node.waived_until, node.silence_waived_until) = (until, until);
            }
        }
        Ok(picture)
    }

    fn memory(&self, name: &str) -> Option<&AttestedNode> {
        self.memories.iter().find(|it| it.name_any() == name)
    }
}

/// The pods that would have to leave the node.
fn movable<'a>(pods: &'a [Pod], node: &'a str) -> impl Iterator<Item = &'a Pod> {
    let there = move |pod: &&Pod| {
        let spec = pod.spec.as_ref();
        spec.and_then(|it| it.node_name.as_deref()) == Some(node)
    };
    pods.iter().filter(there).filter(|it| cluster::movable(it))
}

fn now() -> Result<i64, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .ok_or_else(|| Error::Local("the clock of this machine stands before 1970".into()))
}

async fn client(place: &Place) -> Result<Client, Error> {
    let bad = |error: &dyn std::fmt::Display| Error::Local(format!("kubeconfig: {error}"));
    let options = KubeConfigOptions {
        context: place.context.clone(),
        ..Default::default()
    };
    let config = match &place.kubeconfig {
        None => Config::from_kubeconfig(&options).await,
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| bad(&error))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
    };
    Ok(Client::try_from(config.map_err(|error| bad(&error))?)?)
}

/// Runs the program with the arguments of the process; returns its exit code.
#[must_use]
pub(crate) fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            let _ = error.print();
            return ExitCode::from(u8::from(!asked));
        }
    };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run(&program)),
        Err(error) => Err(Error::Local(error.to_string())),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("kubectl zeuge: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(program: &Program) -> Result<u8, Error> {
    let (place, text) = (&program.place, program.place.format == Format::Text);
    if let Command::VerifyReport { file, public_key } = &program.command {
        return report::verify(file, public_key, text);
    }
    if let Command::Report(options) = &program.command {
        // Before anything is asked: a key that cannot be read shall not cost a minute.
        let asked = options.check()?;
        return report::run(&Picture::take(place).await?, options, &asked, text);
    }
    if let Command::Attest { node, patience } = &program.command {
        let patience = Duration::from_secs(*patience);
        attest::attest(client(place).await?, node, now()?, patience).await?;
        let told = view::explain(&Picture::take(place).await?, node)?;
        print!("{}", if text { told.text() } else { json(&told)? });
        return Ok(told.exit_code());
    }
    let picture = Picture::take(place).await?;
    match &program.command {
        Command::Nodes => {
            let rows = view::nodes(&picture);
            print!(
                "{}",
                if text {
                    view::table(&rows)
                } else {
                    json(&rows)?
                }
            );
            Ok(0)
        }
        Command::Explain { node } => {
            let told = view::explain(&picture, node)?;
            print!("{}", if text { told.text() } else { json(&told)? });
            Ok(told.exit_code())
        }
        Command::DrainPreview { if_failed } => {
            let told = preview::preview(&picture, if_failed)?;
            print!("{}", if text { told.text() } else { json(&told)? });
            Ok(0)
        }
        Command::Attest { .. } | Command::Report(_) | Command::VerifyReport { .. } => Ok(0),
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Error::Local(format!("this cannot be written: {error}")))?;
    Ok(text + "\n")
}
