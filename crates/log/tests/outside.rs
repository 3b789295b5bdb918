//! The log as a stranger sees it: a folder of tiles, a verifier key, and a Python script that
//! shares no code with us. Never uses the network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use zeuge_log::{
    checkpoint::SignedCheckpoint,
    commitment::Commitment,
    hash::leaf_hash,
    leaf::Leaf,
    note::Signer,
    receipt::Receipt,
    tile::{new_bundles, write_bundle},
    tree::{MemoryTiles, grow},
};

/// Writes a log of 600 leaves, grown in two steps, with three receipts; gives folder and vkey.
fn write_log(name: &str) -> (PathBuf, String) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    let entries: Vec<Vec<u8>> = (0..600_u64)
        .map(|size| {
            let root = leaf_hash(&size.to_be_bytes());
            let action = Leaf::OperatorAction {
                action: "login".to_owned(),
                actor: Commitment(root),
            };
            action.encode().unwrap()
        })
        .collect();
    let signer = Signer::log("example.invalid/log", &[9; 32]).unwrap();
    let mut tiles = MemoryTiles::default();
    let (mut size, mut signed) = (0, None);
    for end in [300, 600_usize] {
        let from = usize::try_from(size).unwrap();
        let leaves: Vec<_> = entries[from..end].iter().map(|e| leaf_hash(e)).collect();
        let growth = grow(&tiles, size, &leaves).unwrap();
        for (id, bytes) in growth.tiles {
            tiles.put(id, bytes);
        }
        for id in new_bundles(size, growth.size) {
            let first = usize::try_from(id.index).unwrap() * 256;
            let held = &entries[first..first + usize::from(id.width)];
            tiles.put(id, write_bundle(held).unwrap());
        }
        size = growth.size;
        let now = SignedCheckpoint::sign(&signer, size, growth.root).unwrap();
        fs::create_dir_all(&folder).unwrap();
        for index in [0, end - 1] {
            let at = u64::try_from(index).unwrap();
            let receipt = Receipt::mint(&now, &tiles, at, &entries[index]).unwrap();
            fs::write(
                folder.join(format!("{end}-{index}.receipt")),
                receipt.to_wire(),
            )
            .unwrap();
        }
        signed = Some(now);
    }
    for (id, bytes) in tiles.iter() {
        let path = folder.join(id.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::write(folder.join("checkpoint"), signed.unwrap().note()).unwrap();
    (folder, signer.verifier().to_string())
}

#[expect(clippy::print_stderr, reason = "a skipped test must say why")]
fn verify(folder: &Path, vkey: &str) -> Option<(bool, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/outside/verify_log.py");
    match Command::new("python3")
        .arg(script)
        .arg(folder)
        .arg(vkey)
        .output()
    {
        Ok(run) => {
            let said = [run.stdout, run.stderr].concat();
            Some((
                run.status.success(),
                String::from_utf8_lossy(&said).into_owned(),
            ))
        }
        Err(error) => {
            eprintln!("skipped: python3 cannot be run: {error}");
            None
        }
    }
}

#[test]
fn a_stranger_with_python_finds_the_log_in_order() {
    let (folder, vkey) = write_log("outside-good");
    let Some((success, said)) = verify(&folder, &vkey) else {
        return;
    };
    assert!(success, "{said}");
    assert!(said.starts_with("holds: 600 entries"), "{said}");
    assert!(said.trim_end().ends_with("4 receipts"), "{said}");
}

#[test]
fn a_stranger_with_python_finds_one_changed_byte() {
    for (case, file, wanted) in [
        (
            "entry",
            "tile/entries/001",
            "root of the entries is the checkpoint's",
        ),
        ("tile", "tile/0/001", "hash tiles of level 0"),
        ("root", "checkpoint", "signature of the checkpoint"),
    ] {
        let (folder, vkey) = write_log(&format!("outside-bad-{case}"));
        let path = folder.join(file);
        let mut bytes = fs::read(&path).unwrap();
        // Byte 20 is in the first entry, the first hash, and the checkpoint's size.
        bytes[20] ^= 1;
        fs::write(path, bytes).unwrap();
        let Some((success, said)) = verify(&folder, &vkey) else {
            return;
        };
        assert!(!success, "{said}");
        assert!(said.contains(wanted), "{case}: {said}");
    }
}

#[test]
fn a_stranger_with_python_refuses_a_receipt_of_another_entry() {
    let (folder, vkey) = write_log("outside-bad-receipt");
    let path = folder.join("600-599.receipt");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("index 599", "index 598")).unwrap();
    let Some((success, said)) = verify(&folder, &vkey) else {
        return;
    };
    assert!(
        !success && said.contains("receipt's entry is in the log"),
        "{said}"
    );
}
