//! The README's walk by hand, run as it stands there. Needs root, `/dev/fuse` and the other programs
//! built beside `zeuge`; skips by name without them.

use std::{fs, net::TcpListener, path::Path, process::Command};

const README: &str = include_str!("../../../README.md");
const BEGIN: &str = "<!-- walk: crates/cli/tests/by_hand.rs runs what follows -->\n```sh\n";
const END: &str = "```\n<!-- walk: end -->";

/// Why the walk cannot be run here.
fn obstacle(programs: &Path) -> Option<String> {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root || !Path::new("/dev/fuse").exists() {
        return Some("it needs root and /dev/fuse".to_owned());
    }
    let missing = ["zeuged", "zeuge-agent", "zeuge-sim"]
        .into_iter()
        .find(|name| !programs.join(name).is_file())?;
    Some(format!("{missing} is not built beside zeuge"))
}

#[test]
fn the_walk_of_the_readme_works_as_it_stands_there() {
    let (_, rest) = README.split_once(BEGIN).unwrap();
    let (walk, _) = rest.split_once(END).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_zeuge")).parent().unwrap();
    if let Some(because) = obstacle(programs) {
        println!("skipped: the walk of the README: {because}");
        return;
    }
    // Another port, so that nothing else on this machine is in the way.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let walk = walk.replace("8443", &port);
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{walk}");
    let folder = tempfile::tempdir().unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env_remove("XDG_CONFIG_HOME")
        .env(
            "PATH",
            format!("{}:{}:{path}", programs.display(), scripts.display()),
        )
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    let secret = fs::read(folder.path().join("secret")).unwrap();
    assert_eq!(secret, b"the key of the disk\n");
    assert!(out.contains("release authorised of manifest"), "{out}");
    assert!(
        out.contains("release-rule demo/disk-key of sim: retired"),
        "{out}"
    );
}
