//! The owner's side as a user meets it: the program itself, files, and a listener in the witness's
//! place.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use zeuge_protocol::{
    api::SecretUpload,
    document::{Document, Kind, OwnerSet},
    manifest::{Manifest, Share, decrypt_secret},
};

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

/// Answers requests in their order, one connection each, and gives back what was sent.
fn listener(answers: Vec<&'static str>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for body in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !whole(&request) {
                let count = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..count]);
            }
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            requests.push(String::from_utf8(request).unwrap());
        }
        requests
    });
    (url, thread)
}

fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}

#[test]
fn a_secret_leaves_encrypted_with_a_manifest_that_the_owner_signed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let set = owner(folder);
    let secret = "a value that must not be seen on the way";
    fs::write(folder.join("value"), secret).unwrap();
    fs::write(folder.join("token"), "t0ken\n").unwrap();
    let (url, thread) = listener(vec![
        r#"{"witness":"witness-1"}"#,
        r#"{"secrets":[{"path":"db/key","version":4}]}"#,
        r#"{"tenant":"acme","path":"db/key","version":5}"#,
    ]);
    let add = [
        "context",
        "add",
        "lab",
        "--witness",
        &url,
        "--token-file",
        "token",
    ];
    done(folder, &add);
    let put = [
        "secret", "put", "--tenant", "acme", "--path", "db/key", "--from", "value",
    ];
    let said = done(folder, &[&put[..], &["--key", "keys/owner.key"]].concat());
    assert!(
        said.contains("version 5") && !said.contains(secret),
        "{said}"
    );
    let requests = thread.join().unwrap();
    let (head, body) = requests[2].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("PUT /v1/secrets HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\nAuthorization: Bearer t0ken\r\n"),
        "{head}"
    );
    let upload: SecretUpload = serde_json::from_str(body).unwrap();
    let in_sight = |bytes: &[u8]| {
        bytes
            .windows(8)
            .any(|found| found == &secret.as_bytes()[..8])
    };
    assert!(!in_sight(body.as_bytes()));
    assert!(!in_sight(&upload.payload) && !in_sight(&upload.share));
    let now = upload.manifest.header.issued;
    let manifest = Manifest::believe(&upload.manifest, &set, 5, now).unwrap();
    let share = Share::parse(&upload.share).unwrap();
    let opened = decrypt_secret(&manifest, &upload.payload, &share).unwrap();
    assert_eq!(opened.as_slice(), secret.as_bytes());
}

#[test]
fn a_dry_run_shows_the_difference_and_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    owner(folder);
    fs::create_dir(folder.join("fleet")).unwrap();
    fs::write(folder.join("fleet/policy.toml"), POLICY).unwrap();
    let (url, thread) = listener(vec![r#"{"epoch":1,"documents":[]}"#]);
    let apply = [
        "apply",
        "-f",
        "fleet",
        "--key",
        "keys/owner.key",
        "--witness",
        &url,
    ];
    let said = done(folder, &[&apply[..], &["--dry-run"]].concat());
    assert!(
        said.contains("policy policy of acme: would become version 1"),
        "{said}"
    );
    assert!(said.contains("+ forbid_smt = true"), "{said}");
    assert!(thread.join().unwrap()[0].starts_with("GET /v1/documents/policy?tenant=acme "));
    let (url, thread) = listener(vec![
        r#"{"epoch":1,"documents":[]}"#,
        r#"{"tenant":"acme","kind":"policy","name":"policy","version":1}"#,
    ]);
    let apply = [
        "apply",
        "-f",
        "fleet",
        "--key",
        "keys/owner.key",
        "--witness",
        &url,
    ];
    done(folder, &apply);
    let requests = thread.join().unwrap();
    let (head, body) = requests[1].split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("PUT /v1/documents/policy HTTP/1.1\r\n"),
        "{head}"
    );
    let document = Document::parse(body.as_bytes()).unwrap();
    assert_eq!(document.payload, POLICY.as_bytes());
    // Without a key, a text that nobody signed is named and not sent.
    let said = refused(
        folder,
        &["apply", "-f", "fleet", "--witness", "http://127.0.0.1:1"],
    );
    assert!(said.contains("not signed"), "{said}");
}

#[test]
fn a_log_in_a_folder_is_verified_to_its_last_byte() {
    use zeuge_log::{
        checkpoint::SignedCheckpoint,
        hash::leaf_hash,
        note::Signer,
        tile::{Row, TileId, write_bundle},
        tree::{MemoryTiles, grow},
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let entries: Vec<Vec<u8>> = (0..5_u8).map(|byte| vec![byte; 9]).collect();
    let hashes: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let growth = grow(&MemoryTiles::default(), 0, &hashes).unwrap();
    let bundle = TileId {
        row: Row::Entries,
        index: 0,
        width: 5,
    };
    let mut files: Vec<_> = growth.tiles.clone();
    files.push((bundle, write_bundle(&entries).unwrap()));
    for (id, bytes) in files {
        let path = folder.join(id.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let signer = Signer::log("witness-1", &[7; 32]).unwrap();
    let signed = SignedCheckpoint::sign(&signer, growth.size, growth.root).unwrap();
    fs::write(folder.join("checkpoint"), signed.note()).unwrap();
    let key = signer.verifier().to_string();
    let said = done(folder, &["log", "verify", ".", "--key", &key]);
    assert!(said.contains("5 entries"), "{said}");
    let proof = done(
        folder,
        &["log", "prove", ".", "--key", &key, "--index", "3"],
    );
    let receipt = zeuge_log::receipt::WireReceipt::parse(proof.as_bytes()).unwrap();
    let verified = receipt.verify(signer.verifier(), &[], 0).unwrap();
    assert_eq!((verified.index(), verified.entry()), (3, &[3; 9][..]));
    // One byte of one entry, and nothing holds any more.
    let path = folder.join(bundle.path());
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let output = zeuge(folder, &["log", "verify", ".", "--key", &key]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("log.tile")
    );
}

#[test]
fn texts_are_checked_checks_explained_and_the_rest_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("policy.toml"), POLICY).unwrap();
    fs::write(
        folder.join("bad.toml"),
        "schema = \"zeuge.policy.v1\"\nx = 1\n",
    )
    .unwrap();
    done(folder, &["policy", "check", "policy.toml"]);
    let output = zeuge(folder, &["policy", "check", "bad.toml", "policy.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = done(
        folder,
        &["policy", "explain", "snp.vcek.chip-id", "--lang", "de"],
    );
    assert!(said.contains("Chip"), "{said}");
    for command in [
        &["replay", "--all"][..],
        &["measure", "snp"],
        &["policy", "test"],
        &["policy", "diff"],
        &["log", "witness"],
        &["hardware", "conflicts"],
    ] {
        let said = refused(folder, command);
        assert!(said.contains("not supported yet"), "{command:?}: {said}");
    }
}
