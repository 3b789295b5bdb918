//! A witness of the tenant `sim` with its owner, and the owner's program beside it.

use std::{fs, path::Path, process::Child};

use serde_json::Value;
use zeuge_protocol::keys::PublicKey;

use crate::programs::{run, serve, zeuged};

/// A witness of the tenant `sim` with its owner, until dropped.
pub(crate) struct World {
    folder: tempfile::TempDir,
    process: Child,
    pub(crate) url: String,
    pub(crate) answer_key: PublicKey,
    pub(crate) vkey: String,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl World {
    /// A running one that trusts these toys, with these further options.
    pub(crate) fn start(trust: &str, more: &[&str]) -> Option<Self> {
        let zeuged = zeuged()?;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let zeuge = Path::new(env!("CARGO_BIN_EXE_zeuge"));
        let owner = ["owner", "init", "--out", "owner", "--tenant", "sim"];
        assert_eq!(run(zeuge, at, &owner).0, 0);
        let init = [
            "init",
            "--data",
            "data",
            "--owner",
            "owner/owner.pub",
            "--id",
            "w1",
        ];
        let (code, said, err) = run(&zeuged, at, &[&init[..], &["--format", "json"]].concat());
        assert_eq!(code, 0, "{err}");
        let said: Value = serde_json::from_str(&said).unwrap();
        fs::write(at.join("token"), said["admin_token"].as_str().unwrap()).unwrap();
        fs::write(at.join("trust.json"), trust).unwrap();
        let trust = ["--dangerous-trust-sim", "trust.json"];
        let (process, url) = serve(&zeuged, at, &[&trust[..], more].concat());
        let world = Self {
            process,
            url,
            answer_key: serde_json::from_value(said["answer_key"].clone()).unwrap(),
            vkey: said["log_vkey"].as_str().unwrap().to_owned(),
            folder,
        };
        let add = [
            "context",
            "add",
            "lab",
            "--token-file",
            "token",
            "--witness",
        ];
        world.done(&[&add[..], &[&world.url]].concat());
        Some(world)
    }

    pub(crate) fn at(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.at().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn zeuge(&self, arguments: &[&str]) -> (i32, String, String) {
        run(Path::new(env!("CARGO_BIN_EXE_zeuge")), self.at(), arguments)
    }

    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.zeuge(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    }

    pub(crate) fn refused(&self, arguments: &[&str], code: i32) -> String {
        let (found, out, err) = self.zeuge(arguments);
        assert_eq!(found, code, "{arguments:?}: {out}{err}");
        err
    }
}
