//! The command line: options in, text and an exit code out. Decides nothing.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;

use crate::api::AttestationPolicy;
use crate::belief::Pinned;
use crate::cluster::START_TAINT;
use crate::controller::{self, Settings};
use crate::error::Error;
use crate::install::{self, DaemonSet, Inside, Shape};
use crate::node::{self, Identity};
use crate::owner::OwnerKey;
use crate::preflight;
use crate::waiver::{self, Waiver};

const EXAMPLES: &str = "\
Examples:
  zeuge-kube install --dry-run
  zeuge-kube install --apply --kubeconfig admin.kubeconfig
  zeuge-kube install --chart ./zeuge-kube
  zeuge-kube install --static-pod IMAGE --audience cluster.example --tenant acme
  zeuge-kube install --apply --daemonset IMAGE --agent-config agent.json --audience cluster.example
  zeuge-kube controller --witness witness.json --audience cluster.example --tenant acme
  zeuge-kube node join --name worker-1 --cluster-uid UID --audience cluster.example \\
      --bootstrap bootstrap.kubeconfig --dir /run/zeuge-kube -- \\
      zeuge-agent attest --config /etc/zeuge/agent.json
  zeuge-kube uninstall --kubeconfig admin.kubeconfig

Exit codes: 0 done, 1 usage or local trouble, 4 the API server is unavailable or the Lease is not held,
5 preflight refuses.";

const WAIVING: &str = "\
Examples:
  zeuge-kube waive --key owner/owner.key --node worker-1 --check policy.tcb --hours 2 \\
      --because \"firmware is being rolled out\"
  zeuge-kube waive --key anna.key --key berta.key --node worker-1 --check kube.node.stale \\
      --hours 4 --because \"the witness is down\" --print

Puts the waiver into the AttestationPolicy; with --print it is only printed. It counts where the
controller knows its signers (--owners), for this cluster alone, and shows in every verdict. The
controller has the witness write it down (tell in its file), afterwards too if that was away.";

/// Kubernetes nodes that join only if attested.
#[derive(Parser)]
#[command(name = "zeuge-kube", version, after_help = EXAMPLES)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Approve attested kubelets, watch nodes, act on those that fail. Runs until it is ended.
    #[command(after_help = EXAMPLES)]
    Controller(Controller),
    /// The node's side, in the machine itself.
    #[command(subcommand, after_help = EXAMPLES)]
    Node(NodeCommand),
    /// Put definitions, rights and admission policies into a cluster; taints no node.
    #[command(after_help = EXAMPLES)]
    Install(Install),
    /// Ask a cluster for what must hold before attestation means anything there; changes nothing.
    #[command(
        after_help = "Example:\n  zeuge-kube preflight --witness witness.json --outage-hours 24\n\n\
                      Exit codes: 0 all holds or cannot be told, 5 something does not hold."
    )]
    Preflight(Preflight),
    /// Break-glass: sign that nodes count as good for at most four hours although checks fail.
    #[command(after_help = WAIVING)]
    Waive(Waive),
    /// Take everything back, taints and labels of nodes too.
    #[command(after_help = "Example:\n  zeuge-kube uninstall --kubeconfig admin.kubeconfig")]
    Uninstall(Place),
}

#[derive(Args)]
struct Place {
    /// Where the cluster is; by default as kubectl finds it.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The key of the taint with which kubelets must register.
    #[arg(long, value_name = "KEY", default_value = START_TAINT)]
    start_taint: String,
}

#[derive(Args)]
struct Controller {
    #[command(flatten)]
    place: Place,
    /// A witness to believe: JSON with its issuer, its key set (jwks) and perhaps how it is told of
    /// waivers and stops (tell: url, ca, token). May be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    witness: Vec<PathBuf>,
    /// For whom Attestation Results must be meant.
    #[arg(long, value_name = "AUDIENCE")]
    audience: String,
    /// The tenant whose policy must have been applied.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// The AttestationPolicy to follow.
    #[arg(long, value_name = "NAME", default_value = "default")]
    policy: String,
    /// How often to look at everything at least, in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
    /// Show numbers for Prometheus and /healthz over plain HTTP; no names are among them.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<std::net::SocketAddr>,
    /// A bootstrap group of machines that are not attested, such as Windows or virtual nodes: they
    /// join without evidence and never get the trust label. May be repeated.
    #[arg(long, value_name = "GROUP", value_parser = bootstrap_group)]
    not_applicable: Vec<String>,
    /// The owner set whose waivers count (owner.pub of zeuge owner init); without it none does.
    #[arg(long, value_name = "FILE")]
    owners: Option<PathBuf>,
}

/// A group that only a bootstrap token gives, as Kubernetes spells them; the one that every token
/// gives would exempt everybody.
fn bootstrap_group(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("system:bootstrappers:")
        .unwrap_or_default();
    let letter = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    let inside = |it: u8| letter(it) || it == b':' || it == b'-';
    let fits = rest.bytes().all(inside) && rest.bytes().last().is_some_and(letter);
    if fits && rest.len() <= 256 {
        return Ok(text.to_owned());
    }
    Err("a group of bootstrap tokens begins with system:bootstrappers: and a name".to_owned())
}

/// The name of an extended resource: a domain and a name.
fn device_resource(text: &str) -> Result<String, String> {
    let letters = |it: &str| {
        it.bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it))
            && it
                .bytes()
                .next()
                .is_some_and(|it| it.is_ascii_alphanumeric())
            && it
                .bytes()
                .last()
                .is_some_and(|it| it.is_ascii_alphanumeric())
    };
    match text.split_once('/') {
        Some((domain, name)) if letters(domain) && letters(name) && text.len() <= 253 => {
            Ok(text.to_owned())
        }
        _ => Err("a device plugin's resource is a domain, a slash and a name".to_owned()),
    }
}

#[derive(Args)]
struct Preflight {
    #[command(flatten)]
    place: Place,
    /// A witness as the controller is given it. May be repeated.
    #[arg(long, value_name = "FILE")]
    witness: Vec<PathBuf>,
    /// For how long the witness may be away, in hours.
    #[arg(long, value_name = "HOURS")]
    outage_hours: Option<u32>,
}

#[derive(Args)]
struct Waive {
    #[command(flatten)]
    place: Place,
    /// An owner's key; repeatable where the owner set demands several.
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// A node. May be repeated.
    #[arg(long, value_name = "NAME", required = true)]
    node: Vec<String>,
    /// A check that may fail; kube.node.stale and kube.node.rebooted together waive silence.
    #[arg(long, value_name = "ID", required = true)]
    check: Vec<String>,
    /// For how long.
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u8).range(1..=4))]
    hours: u8,
    /// Why.
    #[arg(long, value_name = "SENTENCE")]
    because: String,
    /// The AttestationPolicy to put it into.
    #[arg(long, value_name = "NAME", default_value = "default")]
    policy: String,
    /// Print it, and put it nowhere.
    #[arg(long)]
    print: bool,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
struct Install {
    #[command(flatten)]
    place: Place,
    /// Print what would be applied.
    #[arg(long, group = "what")]
    dry_run: bool,
    /// Apply it.
    #[arg(long, group = "what")]
    apply: bool,
    /// Write the Helm chart with the same objects into this folder.
    #[arg(long, value_name = "DIR", group = "what")]
    chart: Option<PathBuf>,
    /// Print a static pod that runs the controller on a control-plane machine, from this image; it
    /// reads controller.kubeconfig and witness.json in /etc/kubernetes/zeuge-kube there.
    #[arg(long, value_name = "IMAGE", group = "what", requires_all = ["audience", "tenant"])]
    static_pod: Option<String>,
    /// Print the alert rules as a file for Prometheus.
    #[arg(long, group = "what")]
    print_alerts: bool,
    /// Install the alert rules too, for the operator of Prometheus.
    #[arg(long)]
    alerts: bool,
    /// On managed clusters only, where kubelets' keys cannot be attested: run the agent in a pod of
    /// every node, from this image. What it brings is shown as declared and believed for nothing:
    /// docs/kubernetes.md says what is lost.
    #[arg(long, value_name = "IMAGE", requires_all = ["agent_config", "audience"])]
    daemonset: Option<String>,
    /// For --daemonset: the agent's configuration (zeuged init --agent-config).
    #[arg(long, value_name = "FILE", requires = "daemonset")]
    agent_config: Option<PathBuf>,
    /// For --daemonset: the resource of a device plugin that brings /dev/tpmrm0 into the pod, such as
    /// example.org/tpm; by default the pods use configfs-tsm of the node.
    #[arg(long, value_name = "NAME", requires = "daemonset", value_parser = device_resource)]
    device: Option<String>,
    /// Run the controller as pods of this cluster, from this image. Outside is stronger:
    /// docs/kubernetes.md says why.
    #[arg(long, value_name = "IMAGE", requires_all = ["witness", "audience", "tenant"])]
    inside: Option<String>,
    /// For --inside: the witness to believe, JSON with its issuer and its key set (jwks).
    #[arg(long, value_name = "FILE", requires = "inside")]
    witness: Option<PathBuf>,
    /// For --inside, --static-pod and --daemonset: for whom Attestation Results must be meant.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// For --inside and --static-pod: the tenant whose policy must have been applied.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// For --inside: the port of the API server behind its Service.
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    api_server_port: u16,
    /// For --inside: the namespace from which metrics may be fetched.
    #[arg(long, value_name = "NAME", default_value = "monitoring")]
    monitoring_namespace: String,
}

impl Install {
    fn shape(&self) -> Result<Shape, Error> {
        let inside = match (&self.inside, &self.witness) {
            (Some(image), Some(witness)) => {
                // What cannot be read here could not be read there.
                let pinned = read_json::<Pinned>(witness)?;
                if pinned.tell.is_some() {
                    let because = "tell: its token would be a Secret of the cluster; a controller \
                                   outside tells witnesses";
                    return Err(Error::Local(because.into()));
                }
                let read = std::fs::read_to_string(witness);
                Some(Inside {
                    image: image.clone(),
                    witness: read.map_err(|it| Error::Local(it.to_string()))?,
                    audience: self.audience.clone().unwrap_or_default(),
                    tenant: self.tenant.clone().unwrap_or_default(),
                    api_server_port: self.api_server_port.to_string(),
                    monitoring_namespace: self.monitoring_namespace.clone(),
                })
            }
            _ => None,
        };
        Ok(Shape {
            start_taint: self.place.start_taint.clone(),
            inside,
            daemonset: self.daemonset()?,
            alerts: self.alerts,
        })
    }

    fn daemonset(&self) -> Result<Option<DaemonSet>, Error> {
        let (Some(image), Some(config)) = (&self.daemonset, &self.agent_config) else {
            return Ok(None);
        };
        // What no agent could read is no configuration.
        read_json::<serde_json::Value>(config)?;
        let read = std::fs::read_to_string(config);
        Ok(Some(DaemonSet {
            image: image.clone(),
            audience: self.audience.clone().unwrap_or_default(),
            config: read.map_err(|it| Error::Local(it.to_string()))?,
            device: self.device.clone(),
        }))
    }

    async fn run(&self) -> Result<(), Error> {
        let shape = self.shape()?;
        if let Some(folder) = &self.chart {
            return chart(folder);
        }
        if let (Some(image), Some(audience), Some(tenant)) =
            (&self.static_pod, &self.audience, &self.tenant)
        {
            let start = &self.place.start_taint;
            let pod = install::static_pod(image, audience, tenant, start);
            print!("{}", install::yaml(&[pod]));
        } else if self.print_alerts {
            let groups = serde_json::json!({"groups": install::groups()});
            print!("{}", install::yaml(&[groups]));
        } else if self.dry_run {
            print!("{}", install::yaml(&install::objects(&shape)));
        } else {
            for line in install::apply(&client(&self.place).await?, &shape).await? {
                println!("applied {line}");
            }
        }
        Ok(())
    }
}

fn chart(folder: &Path) -> Result<(), Error> {
    for (path, text) in install::files() {
        let path = folder.join(path);
        let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        parent
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| Error::Local(format!("{}: {error}", path.display())))?;
        println!("{}", path.display());
    }
    Ok(())
}

#[derive(Subcommand)]
enum NodeCommand {
    /// Make a key, have it attested, ask for a certificate, write kubelet.kubeconfig.
    #[command(after_help = EXAMPLES)]
    Join {
        #[command(flatten)]
        node: Node,
        /// The bootstrap configuration, good for nothing but asking.
        #[arg(long, value_name = "FILE")]
        bootstrap: PathBuf,
        /// How long to wait for the decision, in seconds.
        #[arg(long, value_name = "SECS", default_value_t = 120)]
        patience: u64,
    },
    /// Replace key and certificate now; run does it at half of the certificate's life.
    #[command(after_help = EXAMPLES)]
    Renew {
        #[command(flatten)]
        node: Node,
        /// How long to wait for the decision, in seconds.
        #[arg(long, value_name = "SECS", default_value_t = 120)]
        patience: u64,
    },
    /// Bring fresh results again and again, also for requests of the kubelet that are pending.
    #[command(after_help = EXAMPLES)]
    Run {
        #[command(flatten)]
        node: Node,
        /// How often, in seconds.
        #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        interval: u64,
        /// Once only.
        #[arg(long)]
        once: bool,
    },
    /// In a pod of a DaemonSet, where the kubelet's key cannot be attested: bring results that are
    /// shown and believed for nothing (docs/kubernetes.md). Needs no key and joins nothing.
    #[command(
        after_help = "Example, as install --daemonset runs it:\n  zeuge-kube node declare --name \"$NODE_NAME\" \
                      --audience cluster.example --dir /run/zeuge -- \\\n      zeuge-agent attest --config \
                      /etc/zeuge/agent.json --state /run/zeuge/agent"
    )]
    Declare {
        #[command(flatten)]
        declared: Declared,
        /// How often, in seconds.
        #[arg(long, value_name = "SECS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        interval: u64,
        /// Once only.
        #[arg(long)]
        once: bool,
    },
}

#[derive(Args)]
struct Declared {
    /// The node's name, as the API server told it to the pod.
    #[arg(long)]
    name: String,
    /// For whom Attestation Results are meant.
    #[arg(long, value_name = "AUDIENCE")]
    audience: String,
    /// Folder for what the agent leaves behind.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where the cluster is; by default the pod's own identity.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The agent and its options.
    #[arg(last = true, required = true)]
    agent: Vec<String>,
}

#[derive(Args)]
struct Node {
    /// The node's name.
    #[arg(long)]
    name: String,
    /// The UID of the namespace kube-system, from measured configuration.
    #[arg(long, value_name = "UID")]
    cluster_uid: String,
    /// For whom Attestation Results are meant.
    #[arg(long, value_name = "AUDIENCE")]
    audience: String,
    /// Folder for key and configuration; one that does not outlive the machine.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The agent and its options, such as: zeuge-agent attest --config /etc/zeuge/agent.json
    #[arg(last = true, required = true)]
    agent: Vec<String>,
}

impl Node {
    fn identity(&self) -> Identity {
        Identity {
            name: self.name.clone(),
            cluster_uid: self.cluster_uid.clone(),
            audience: self.audience.clone(),
            agent: self.agent.clone(),
            folder: self.dir.clone(),
        }
    }
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
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .init();
    // One provider ships; nothing of another is in the program.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(&program.command)),
        Err(error) => Err(Error::Local(error.to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zeuge-kube: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(command: &Command) -> Result<(), Error> {
    match command {
        Command::Controller(options) => {
            let settings = Settings {
                witnesses: options
                    .witness
                    .iter()
                    .map(|it| read_json(it))
                    .collect::<Result<_, _>>()?,
                audience: options.audience.clone(),
                tenant: options.tenant.clone(),
                policy: options.policy.clone(),
                start_taint: options.place.start_taint.clone(),
                interval: Duration::from_secs(options.interval),
                metrics: options.metrics,
                not_applicable: options.not_applicable.clone(),
                owners: options.owners.as_deref().map(read_json).transpose()?,
            };
            controller::run(client(&options.place).await?, settings).await
        }
        Command::Node(command) => on_node(command).await,
        Command::Install(options) => options.run().await,
        Command::Preflight(options) => preflight(options).await,
        Command::Waive(options) => waive(options).await,
        Command::Uninstall(place) => {
            for line in install::remove(&client(place).await?, &place.start_taint).await? {
                println!("removed {line}");
            }
            Ok(())
        }
    }
}

async fn on_node(command: &NodeCommand) -> Result<(), Error> {
    match command {
        NodeCommand::Join {
            node,
            bootstrap,
            patience,
        } => {
            node::join(&node.identity(), bootstrap, Duration::from_secs(*patience)).await?;
            println!("joined as {}", node.name);
            Ok(())
        }
        NodeCommand::Renew { node, patience } => {
            node::renew(&node.identity(), Duration::from_secs(*patience)).await?;
            println!("renewed as {}", node.name);
            Ok(())
        }
        NodeCommand::Run {
            node,
            interval,
            once,
        } => {
            let identity = node.identity();
            let mut known = None;
            loop {
                let done = node::refresh(&identity).await;
                match done {
                    done if *once => return done,
                    Ok(()) => {}
                    Err(error) => eprintln!("zeuge-kube: {error}"),
                }
                let pace = Duration::from_secs(*interval);
                let sooner = tokio::time::timeout(pace, node::asked(&identity, &mut known));
                if sooner.await.is_ok() {
                    eprintln!("zeuge-kube: somebody asks for fresh evidence");
                }
            }
        }
        NodeCommand::Declare {
            declared,
            interval,
            once,
        } => loop {
            // The pod's token is renewed in its file: each time it is read anew.
            let pace = match declare(declared).await {
                done if *once => return done,
                Ok(()) => *interval,
                // The controller may not know a new node yet.
                Err(error) => {
                    eprintln!("zeuge-kube: {error}");
                    (*interval).min(15)
                }
            };
            tokio::time::sleep(Duration::from_secs(pace)).await;
        },
    }
}

async fn declare(options: &Declared) -> Result<(), Error> {
    let place = Place {
        kubeconfig: options.kubeconfig.clone(),
        start_taint: START_TAINT.to_owned(),
    };
    let client = client(&place).await?;
    let identity = Identity {
        name: options.name.clone(),
        cluster_uid: node::cluster_uid(&client).await?,
        audience: options.audience.clone(),
        agent: options.agent.clone(),
        folder: options.dir.clone(),
    };
    node::declare(&identity, &client).await
}

/// Tells every point; an error names the first one that does not hold.
async fn preflight(options: &Preflight) -> Result<(), Error> {
    let witnesses = options.witness.iter().map(|it| read_json::<Pinned>(it));
    let witnesses = witnesses.map(|it| it.map(|it| it.issuer));
    let witnesses = witnesses.collect::<Result<Vec<_>, _>>()?;
    let outage = options.outage_hours.map(|it| i64::from(it) * 3600);
    let config = config(&options.place).await?;
    let points = preflight::preflight(&config, &witnesses, outage).await?;
    print!("{}", preflight::text(&points));
    match points.iter().find(|it| it.holds == preflight::Holds::No) {
        Some(point) => Err(Error::Refused(point.check)),
        None => Ok(()),
    }
}

/// Signs a waiver and puts it beside those that still count.
async fn waive(options: &Waive) -> Result<(), Error> {
    let keys = options.key.iter().map(|it| OwnerKey::read(it));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let client = client(&options.place).await?;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let uid = namespaces.get("kube-system").await?.metadata.uid;
    let uid = uid.ok_or_else(|| Error::Local("kube-system has no UID".into()))?;
    let now = jiff::Timestamp::now().as_second();
    let waiver = Waiver {
        because: options.because.clone(),
        from: now,
        until: now.saturating_add(i64::from(options.hours) * 3600),
        ..Waiver::new(uid, options.node.clone(), options.check.clone())
    };
    let signed = waiver::sign(&waiver, &keys);
    if options.print {
        println!("{signed}");
        return Ok(());
    }
    let policies: Api<AttestationPolicy> = Api::all(client);
    let mut policy = policies.get(&options.policy).await?;
    let waivers = &mut policy.spec.waivers;
    waivers.retain(|it| waiver::until(it).is_some_and(|until| until > now));
    waivers.push(signed);
    let put = kube::api::PostParams::default();
    policies.replace(&options.policy, &put, &policy).await?;
    println!("waived; the policy's status says whether the controller believes it");
    Ok(())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let failed = |because: String| Error::Local(format!("{}: {because}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}

async fn client(place: &Place) -> Result<Client, Error> {
    Ok(Client::try_from(config(place).await?)?)
}

async fn config(place: &Place) -> Result<Config, Error> {
    let bad = |error: &dyn std::fmt::Display| Error::Local(format!("kubeconfig: {error}"));
    let mut config = match &place.kubeconfig {
        None => Config::infer().await.map_err(|error| bad(&error))?,
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| bad(&error))?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            config.map_err(|error| bad(&error))?
        }
    };
    // A disruption budget answers 429: trying again inside of one request would hold up the pass.
    config.default_retry = false;
    Ok(config)
}
