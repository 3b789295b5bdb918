//! The owner's side as a user meets it: the program itself, files, and a listener in the witness's
//! place.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use zeuge_protocol::document::{Document, Kind, OwnerSet};

const POLICY: &str = "schema = \"zeuge.policy.v1\"\n\n[snp]\nforbid_smt = true\n";

fn zeuge(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zeuge"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .output()
        .unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = zeuge(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = zeuge(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn owner(folder: &Path) -> OwnerSet {
    done(
        folder,
        &[
            "owner", "init", "--out", "keys", "--name", "anna", "--tenant", "acme",
        ],
    );
    serde_json::from_slice(&fs::read(folder.join("keys/owner.pub")).unwrap()).unwrap()
}

#[test]
fn what_an_owner_signs_verifies_under_the_set_that_init_made() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let set = owner(folder);
    assert_eq!((set.threshold, set.owners.len()), (1, 1));
    fs::write(folder.join("policy.toml"), POLICY).unwrap();
    let sign = ["owner", "sign", "--key", "keys/owner.key", "--version", "3"];
    let until = ["--expires", "2099-01-01T00:00:00Z", "policy.toml"];
    done(folder, &[&sign[..], &until[..]].concat());
    let document = Document::parse(&fs::read(folder.join("policy.toml.signed")).unwrap()).unwrap();
    let now = document.header.issued;
    let approved = document.verify(&set, Kind::Policy, 3, now).unwrap();
    assert_eq!(approved.payload(), POLICY.as_bytes());
    assert_eq!(
        document
            .verify(&set, Kind::Policy, 4, now)
            .unwrap_err()
            .check(),
        "document.version"
    );
    // The same version again is refused, the next one takes its place.
    let said = refused(folder, &[&sign[..], &until[..]].concat());
    assert!(said.contains("exists already"), "{said}");
    let next = [
        "owner",
        "sign",
        "--key",
        "keys/owner.key",
        "--version",
        "4",
        "policy.toml",
    ];
    done(folder, &next);
}

#[test]
fn a_key_is_readable_by_its_owner_alone_and_never_overwritten_or_shown() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    owner(folder);
    let path = folder.join("keys/owner.key");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("zeuge-owner-key-v1\nname: anna\n"),
        "{}",
        text.len()
    );
    let seed = text
        .lines()
        .find_map(|line| line.strip_prefix("seed: "))
        .unwrap();
    let again = refused(
        folder,
        &["owner", "init", "--out", "keys", "--tenant", "acme"],
    );
    assert!(again.contains("not overwritten"), "{again}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    for format in ["text", "json"] {
        let shown = done(
            folder,
            &["owner", "show", "--format", format, "keys/owner.key"],
        );
        assert!(shown.contains("anna") && !shown.contains(seed));
    }
}

#[test]
fn a_text_that_the_witness_would_refuse_is_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    owner(folder);
    fs::write(
        folder.join("bad.toml"),
        "schema = \"zeuge.policy.v1\"\nsurprise = 1\n",
    )
    .unwrap();
    let said = refused(
        folder,
        &["owner", "sign", "--key", "keys/owner.key", "bad.toml"],
    );
    assert!(
        said.contains("document.schema") && said.contains("surprise"),
        "{said}"
    );
    assert!(!folder.join("bad.toml.signed").exists());
}

#[test]
fn a_new_key_comes_in_a_set_that_the_old_key_signed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let old = owner(folder);
    let rotate = [
        "owner",
        "rotate",
        "--key",
        "keys/owner.key",
        "--set",
        "keys/owner.pub",
    ];
    done(
        folder,
        &[&rotate[..], &["--version", "2", "--out", "new"]].concat(),
    );
    let signed = fs::read(folder.join("new/owner-set.signed")).unwrap();
    let document = Document::parse(&signed).unwrap();
    let now = document.header.issued;
    let approved = document.verify(&old, Kind::OwnerSet, 2, now).unwrap();
    let set: OwnerSet = serde_json::from_slice(approved.payload()).unwrap();
    assert_ne!(set.owners[0].public_key, old.owners[0].public_key);
    let public = fs::read(folder.join("new/owner.pub")).unwrap();
    assert_eq!(set, serde_json::from_slice(&public).unwrap());
}
