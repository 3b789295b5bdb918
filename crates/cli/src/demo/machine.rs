//! A toy machine: the unmodified agent, in a mount namespace in which the stand-in for
//! configfs-tsm lies where Linux puts the real one, and of a trust domain the log of its boot.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use super::world::{PATH, World};

/// What the shell does inside the namespace before it becomes the agent.
const INSIDE: &str = "set -eu
mountpoint=$1
shift
mount -t tmpfs -o mode=0755 tmpfs /sys/kernel
mkdir -p /sys/kernel/config/tsm/report
mount --bind \"$mountpoint\" /sys/kernel/config/tsm/report
if [ -n \"${TOY_TD:-}\" ]; then
    mount -t tmpfs -o mode=0755 tmpfs /sys/firmware
    mkdir -p /sys/firmware/acpi/tables
    mount --bind \"$TOY_TD\" /sys/firmware/acpi/tables
fi
exec \"$@\"";

/// One machine of the toy maker.
#[derive(Debug)]
pub(super) struct Machine {
    /// Where its stand-in for configfs-tsm is mounted.
    pub(super) configfs: PathBuf,
    /// What lies below /sys/firmware/acpi/tables: the log of a trust domain's boot.
    pub(super) td: Option<PathBuf>,
    /// The agent's folder of state.
    pub(super) state: PathBuf,
}

/// How the agent ended.
#[derive(Debug)]
pub(super) struct Result {
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Result {
    /// What it said, on either stream.
    pub(super) fn text(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}{}", text(&self.stdout), text(&self.stderr))
    }
}

impl Machine {
    /// `zeuge-agent attest`.
    pub(super) fn attest(&self, world: &World) -> std::result::Result<Result, String> {
        self.agent(world, &["attest"])
    }

    /// `zeuge-agent get`, to standard output.
    pub(super) fn get(&self, world: &World) -> std::result::Result<Result, String> {
        self.agent(world, &["get", PATH, "--stdout"])
    }

    fn agent(&self, world: &World, words: &[&str]) -> std::result::Result<Result, String> {
        let mut inside = Command::new("unshare");
        inside.env_remove("TOY_TD");
        if let Some(td) = &self.td {
            inside.env("TOY_TD", td);
        }
        let output = inside
            .args(["--mount", "sh", "-c", INSIDE, "sh"])
            .arg(&self.configfs)
            .arg(&world.programs.agent)
            .args(words)
            .arg("--config")
            .arg(&world.config)
            .arg("--state")
            .arg(&self.state)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("unshare: {error}"))?;
        Ok(Result {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }
}
