//! A toy machine for tests: `zeuge-sim serve` with its stand-in for configfs-tsm, and the agent
//! that ships, run inside by `scripts/in-toy-machine`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_zeuge-agent");

/// Whether toy machines can be had here; says why not.
pub(crate) fn possible(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if root && Path::new("/dev/fuse").exists() {
        return true;
    }
    println!("skipped: {test} needs root and /dev/fuse");
    false
}

/// The toy maker's program, built beside the agent: a door has no arrow to it.
fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "zeuge-sim"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success());
        let debug = Path::new(AGENT).parent().unwrap().join("zeuge-sim");
        assert!(debug.is_file(), "{} is not there", debug.display());
        debug
    })
}

/// A running toy machine; everything goes when it does.
pub(crate) struct Sim {
    child: Child,
    folder: tempfile::TempDir,
    /// Whether it is a trust domain, with a boot log and registers.
    tdx: bool,
}

impl Drop for Sim {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Sim {
    /// A machine started with these options of `zeuge-sim serve`. Its configuration for the agent
    /// is to be written to `path("agent.json")`.
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for mountpoint in ["report", "td"] {
            fs::create_dir(folder.path().join(mountpoint)).unwrap();
        }
        let interface = match options.contains(&"nitro") {
            true => "--nsm",
            false => "--configfs",
        };
        let mut child = Command::new(program())
            .arg("serve")
            .arg("--dir")
            .arg(folder.path().join("toy"))
            .arg(interface)
            .arg(folder.path().join("report"))
            .args(options)
            .args(
                options
                    .contains(&"tdx")
                    .then(|| ["--td".into(), folder.path().join("td")])
                    .into_iter()
                    .flatten(),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line == "ready");
        let tdx = options.contains(&"tdx");
        let sim = Self { child, folder, tdx };
        assert!(ready, "zeuge-sim serve did not become ready");
        sim
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn command(&self, program: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/in-toy-machine");
        let mut command = Command::new(script);
        command.arg(self.path("report")).args(program);
        if self.tdx {
            command.env("TOY_TD", self.path("td"));
        }
        command
    }

    pub(crate) fn agent(&self, arguments: &[&str]) -> Output {
        let mut all = vec![AGENT];
        all.extend(arguments);
        let (config, state) = (self.path("agent.json"), self.path("state"));
        if !matches!(arguments, ["detect" | "status", ..]) {
            all.extend(["--config", &config]);
        }
        if arguments.first() != Some(&"detect") {
            all.extend(["--state", &state]);
        }
        self.command(&all).output().unwrap()
    }

    pub(crate) fn access_log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("toy/access.log")).unwrap();
        log.lines().map(str::to_owned).collect()
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The check named on standard error, and the exit code.
#[track_caller]
pub(crate) fn refused(output: &Output, check: &str, code: i32) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&format!("zeuge-agent: {check}: ")), "{text}");
    assert_eq!(output.status.code(), Some(code), "{text}");
}

#[track_caller]
pub(crate) fn accepted(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
}
