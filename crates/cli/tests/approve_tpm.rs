//! A TPM that proved itself to a running `zeuged`, and the owner who takes it into the registry:
//! the first one, and the one that came in its place. Skips by name where `zeuged` is not built
//! beside `zeuge`.

mod programs;

use std::{
    fs,
    path::Path,
    process::Child,
    time::{SystemTime, UNIX_EPOCH},
};

use programs::{run, send, serve, zeuged};
use serde_json::{Value, json};
use zeuge_evidence::UnixTime;
use zeuge_protocol::text::{base64url, from_base64url};
use zeuge_sim::{
    ToyTpm, ToyTpmQuote, TpmSpec,
    tpm::{AkKind, EkKind},
};

/// A witness of the tenant `sim` that believes the toy maker, until dropped.
struct World {
    folder: tempfile::TempDir,
    process: Child,
    url: String,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The TPM of a machine, before and after somebody replaced it.
fn toy(ek: EkKind, ak: AkKind) -> ToyTpmQuote {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = UnixTime(i64::try_from(since.as_secs()).unwrap());
    ToyTpm::shared().tell(None, &TpmSpec::new(ek, ak), now)
}

impl World {
    fn start(issuers: &[(String, Vec<u8>)]) -> Option<Self> {
        let zeuged = zeuged()?;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let zeuge = Path::new(env!("CARGO_BIN_EXE_zeuge"));
        let owner = ["owner", "init", "--out", "owner", "--tenant", "sim"];
        assert_eq!(run(zeuge, at, &owner).0, 0);
        let init = ["init", "--data", "data", "--owner", "owner/owner.pub"];
        let more = ["--id", "w1", "--format", "json"];
        let (code, said, err) = run(&zeuged, at, &[&init[..], &more].concat());
        assert_eq!(code, 0, "{err}");
        let said: Value = serde_json::from_str(&said).unwrap();
        fs::write(at.join("token"), said["admin_token"].as_str().unwrap()).unwrap();
        fs::write(at.join("trust.json"), ToyTpm::shared().trust_file()).unwrap();
        fs::create_dir(at.join("issuers")).unwrap();
        for (name, bytes) in issuers {
            fs::write(at.join("issuers").join(name), bytes).unwrap();
        }
        let more = [
            "--endorsements",
            "issuers",
            "--dangerous-trust-sim",
            "trust.json",
        ];
        let (process, url) = serve(&zeuged, at, &more);
        let world = Self {
            process,
            url,
            folder,
        };
        let add = ["context", "add", "lab", "--token-file", "token"];
        world.done(&[&add[..], &["--witness", &world.url]].concat());
        Some(world)
    }

    fn zeuge(&self, arguments: &[&str]) -> (i32, String, String) {
        let zeuge = Path::new(env!("CARGO_BIN_EXE_zeuge"));
        run(zeuge, self.folder.path(), arguments)
    }

    fn done(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.zeuge(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    }

    fn post(&self, at: &str, body: &Value) -> Value {
        let answer = send((&self.url, None), "POST", at, body.to_string().as_bytes());
        serde_json::from_slice(&answer).unwrap()
    }

    /// The machine's agent: asks for a credential and opens it. Returns the id of what waits.
    fn activates(&self, tpm: &ToyTpmQuote) -> String {
        let begun = self.post(
            "/v1/enrolments",
            &json!({
                "tenant": "sim",
                "ek_certificate": base64url(&tpm.ek_certificate),
                "ek_public": base64url(&tpm.ek_public),
                "ak_public": base64url(&tpm.ak_public),
            }),
        );
        assert_eq!(begun["state"], "asked", "{begun}");
        let part = |name: &str| from_base64url(begun[name].as_str().unwrap()).unwrap();
        let answer = tpm.activate(&part("id_object"), &part("encrypted_secret"));
        let id = begun["id"].as_str().unwrap();
        let activated = self.post(
            &format!("/v1/enrolments/{id}/activation"),
            &json!({ "answer": base64url(&answer) }),
        );
        assert_eq!(activated["state"], "activated", "{activated}");
        id.to_owned()
    }

    fn approve(&self, id: &str, more: &[&str]) -> (i32, String) {
        let words = ["hardware", "approve", &id[..12], "--tenant", "sim"];
        let file = ["--name", "rack-7", "--file", "fleet/hardware.toml"];
        let (code, out, err) = self.zeuge(&[&words[..], &file, more].concat());
        (code, out + &err)
    }

    fn pending(&self) -> String {
        self.done(&["hardware", "list", "--pending", "--tenant", "sim"])
    }

    fn registry(&self) -> String {
        fs::read_to_string(self.folder.path().join("fleet/hardware.toml")).unwrap()
    }

    fn applied(&self) {
        self.done(&["apply", "-f", "fleet", "--key", "owner/owner.key"]);
    }
}

#[test]
fn a_tpm_that_was_replaced_takes_the_place_of_the_old_one_only_by_its_owners_word() {
    let first = toy(EkKind::P256, AkKind::Ecdsa);
    let second = toy(EkKind::Rsa, AkKind::Rsassa);
    let issuers = [&first.endorsements[..], &second.endorsements].concat();
    let Some(world) = World::start(&issuers) else {
        return;
    };
    fs::create_dir(world.folder.path().join("fleet")).unwrap();
    let names = [&first, &second].map(|tpm| hex::encode(tpm.ak_name()));
    let id = world.activates(&first);
    // Maker and serial number are there to be compared; nothing is believed yet.
    let shown = world.pending();
    assert!(
        shown.contains("serial") && shown.contains(&id[..12]),
        "{shown}"
    );
    assert_eq!(world.approve(&id, &[]).0, 0);
    assert!(world.registry().contains(&names[0]));
    world.applied();
    assert!(!world.pending().contains(&id[..12]));
    // Enrolling again with the same TPM changes nothing.
    assert!(
        world
            .approve(&id, &[])
            .1
            .contains("names no TPM that waits")
    );

    // The board was replaced: another EK, another AK, the same machine.
    let id = world.activates(&second);
    let (code, said) = world.approve(&id, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("--replace"), "{said}");
    assert!(world.registry().contains(&names[0]));
    let (code, said) = world.approve(&id, &["--replace"]);
    assert_eq!(code, 0, "{said}");
    let registry = world.registry();
    assert!(registry.contains(&names[1]) && !registry.contains(&names[0]));
    assert_eq!(registry.matches("rack-7").count(), 1);
    world.applied();
    // The old one is out: it would have to ask its owner again.
    assert!(!world.pending().contains(&id[..12]));
    assert!(
        world.pending().contains("serial"),
        "the first TPM waits again"
    );
}
