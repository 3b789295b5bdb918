//! Data folders: made, copied, given new keys.
//!
//! A folder holds `zeuge.sqlite` (the truth), `keys/`, `tls/`, `archive/`, caches of the makers'
//! certificates in `collateral/`, and `log/` whose tiles derive from the database. Never overwrites a folder or a file.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use serde_json::json;
use zeroize::Zeroizing;
use zeuge_log::hash::sha256;
use zeuge_log::note::VerifierKey;
use zeuge_protocol::document::{Owner, OwnerSet};
use zeuge_protocol::keys::PublicKey;
use zeuge_protocol::name::Name;
use zeuge_protocol::text::{base64url, from_base64url};

use super::{Backup, Format, Init, Restore, Rotate};
use crate::documents;
use crate::keys::{self, Keys, Purpose, write_secret};
use crate::recovery::{self, Halt};
use crate::store::Sqlite;
use crate::witness::lock;

/// An owner file is a key or a small set.
const OWNER_BYTES_MAX: u64 = 64 * 1024;
/// What a backup carries beside the database: of the caches the marks and the index, not what can
/// be fetched again. Tiles derive from the database.
const FOLDERS: [&str; 5] = ["keys", "tls", "archive", "collateral", "collateral-sim"];

/// What the last backup of a folder holds beside its files.
const LAST: &str = "last";

/// The refusal of what comes later.
pub(super) fn later(what: &str, data: &Path) -> io::Error {
    io::Error::other(format!(
        "{what} is not in this version; {} was not touched",
        data.display()
    ))
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(path)
}

/// Refuses a folder that has something in it.
fn make_new(path: &Path) -> io::Result<()> {
    make_folder(path)?;
    if fs::read_dir(path)?.next().is_some() {
        let text = format!("{} is not empty; nothing was changed", path.display());
        return Err(io::Error::other(text));
    }
    Ok(())
}

/// Makes a data folder and prints what is needed next.
pub(super) fn init(init: &Init) -> io::Result<()> {
    let sets = if init.tenant.is_empty() {
        vec![owners(&init.owner, None)?]
    } else {
        let tenants = init.tenant.iter();
        let sets = tenants.map(|tenant| owners(&init.owner, Some(tenant)));
        sets.collect::<io::Result<Vec<_>>>()?
    };
    make_new(&init.data)?;
    let keys_folder = init.data.join("keys");
    make_folder(&keys_folder)?;
    for purpose in Purpose::ALL {
        keys::make(&keys_folder, purpose)?;
    }
    let certificate = make_certificate(&init.data.join("tls"), &init.id)?;
    let mut secret = Zeroizing::new([0; 32]);
    keys::random(secret.as_mut_slice());
    let token = Zeroizing::new(base64url(secret.as_slice()));
    // An init that ends half-way leaves no folder that serve would take: the database is last.
    let beside = init.data.join("zeuge.sqlite.new");
    let store = Sqlite::open(&beside).map_err(io::Error::other)?;
    let now = crate::clock::Clock::system(0).wall();
    let keys = Keys::open(&keys_folder, init.id.as_str())?;
    let fill = || {
        store.set_meta("id", init.id.as_str().as_bytes())?;
        store.set_meta("admin", &sha256(&[token.as_bytes()]))?;
        for set in &sets {
            store.add_tenant(set.tenant.as_str())?;
            documents::first_owners(&store, &keys, set, now)?;
        }
        store.fold()
    };
    fill().map_err(io::Error::other)?;
    drop(store);
    fs::rename(&beside, init.data.join("zeuge.sqlite"))?;
    for rest in ["zeuge.sqlite.new-wal", "zeuge.sqlite.new-shm"] {
        let _ = fs::remove_file(init.data.join(rest));
    }
    fs::File::open(&init.data)?.sync_all()?;
    if let (Some(url), Some(path), Some(set)) = (&init.url, &init.agent_config, sets.first()) {
        let ca = if url.starts_with("https://") {
            fs::read_to_string(&certificate)?
        } else {
            String::new()
        };
        let config = json!({
            "schema": "zeuge.agent.v1",
            "witness": {
                "url": url, "id": init.id, "answer_key": keys.answer.public(),
                "log_key": keys.log.verifier().to_string(), "ca": ca,
            },
            "tenant": set.tenant,
            "owners": set,
        });
        let mut file = fs::File::create_new(path)?;
        writeln!(file, "{config:#}")?;
        file.sync_all()?;
    }
    let tenants: Vec<_> = sets.iter().map(|set| set.tenant.as_str()).collect();
    say(init, &tenants, &keys, &token, &certificate);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for the terminal")]
fn say(init: &Init, tenants: &[&str], keys: &Keys, token: &str, certificate: &Path) {
    let data = init.data.display();
    let log: &VerifierKey = keys.log.verifier();
    let answer = base64url(&keys.answer.public().0);
    let report = base64url(&keys.report.public().0);
    if init.format == Format::Json {
        let said = json!({
            "witness": init.id, "tenants": tenants, "admin_token": token,
            "log_vkey": log.to_string(), "answer_key": answer, "report_key": report,
            "certificate": certificate,
        });
        println!("{said}");
        return;
    }
    println!("The witness {} is in {data}.", init.id);
    println!("Tenants: {}.\n", tenants.join(", "));
    println!("Administrator's token, shown only now:\n  {token}\n");
    println!("Key of the log:\n  {log}");
    println!("Key of answers, for the agents' configuration:\n  {answer}");
    println!("Key of reports, for who reads them:\n  {report}");
    println!(
        "Certificate that clients must trust:\n  {}\n",
        certificate.display()
    );
    println!("Next:");
    println!("  zeuged serve --data {data}");
    println!("  zeuge apply -f DIR       (rules, policies, reference values, signed by the owner)");
    println!("  zeuge secret put ...     (a secret, signed by the owner)");
}

/// The owner set of a file: a set, one owner, or a bare key.
fn owners(path: &Path, tenant: Option<&Name>) -> io::Result<OwnerSet> {
    let wrong = |because: &str| io::Error::other(format!("{}: {because}", path.display()));
    let length = fs::metadata(path)
        .map_err(|error| wrong(&error.to_string()))?
        .len();
    if length > OWNER_BYTES_MAX {
        return Err(wrong("too long for an owner's public key"));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    let text = text.trim();
    if let Ok(set) = serde_json::from_str::<OwnerSet>(text) {
        if let Some(tenant) = tenant
            && set.tenant != *tenant
        {
            let because = format!("it is the owner set of {}, not of {tenant}", set.tenant);
            return Err(wrong(&because));
        }
        set.check().map_err(|error| wrong(&error.to_string()))?;
        return Ok(set);
    }
    let owner = serde_json::from_str::<Owner>(text).ok().or_else(|| {
        let bytes = from_base64url(text).filter(|bytes| bytes.len() == 32);
        let bytes = bytes.or_else(|| hex::decode(text).ok())?;
        Some(Owner {
            person: "owner".to_owned(),
            public_key: PublicKey(bytes.try_into().ok()?),
        })
    });
    let owner = owner.ok_or_else(|| {
        wrong(
            "not an owner's public key: JSON of an owner or a set, or 32 bytes in base64url or hex",
        )
    })?;
    Ok(OwnerSet {
        tenant: match tenant {
            Some(tenant) => tenant.clone(),
            None => Name::parse("default").map_err(io::Error::other)?,
        },
        threshold: 1,
        author_is_not_approver: false,
        owners: vec![owner],
        carries: Default::default(),
    })
}

/// A self-made certificate for loopback and the witness's id.
fn make_certificate(folder: &Path, id: &Name) -> io::Result<PathBuf> {
    make_folder(folder)?;
    let names = ["localhost", "127.0.0.1", "::1", id.as_str()].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    let path = folder.join("cert.pem");
    fs::write(&path, made.cert.pem())?;
    let key = Zeroizing::new(made.signing_key.serialize_pem());
    write_secret(&folder.join("key.pem"), key.as_bytes())?;
    Ok(path)
}

/// Makes the next generation of a key.
#[expect(clippy::print_stdout, reason = "a program for the terminal")]
pub(super) fn rotate(rotate: &Rotate) -> io::Result<()> {
    let purpose = Purpose::from(rotate.key);
    let made = keys::make(&rotate.data.join("keys"), purpose)?;
    println!(
        "The {} key has generation {made} now; it is used after a restart of zeuged.",
        purpose.name()
    );
    Ok(())
}

/// Copies database, keys, certificate and archive into one file.
#[expect(clippy::print_stdout, reason = "a program for the terminal")]
pub(super) fn backup(backup: &Backup) -> io::Result<()> {
    let source = backup.data.join("zeuge.sqlite");
    if !source.exists() {
        let text = format!("{} holds no witness", backup.data.display());
        return Err(io::Error::other(text));
    }
    // The last backup is of a witness that stands still.
    let lock = backup.last.then(|| lock(&backup.data)).transpose()?;
    let store = Sqlite::open(&source).map_err(io::Error::other)?;
    if lock.is_some() {
        recovery::demand_going(&store).map_err(io::Error::other)?;
    }
    // Made empty and private first: SQLite then writes into it.
    write_secret(&backup.to, b"")?;
    store.copy_to(&backup.to).map_err(io::Error::other)?;
    let copy = Connection::open(&backup.to).map_err(io::Error::other)?;
    let sql = "CREATE TABLE backup_files (path TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT";
    copy.execute_batch(&format!("PRAGMA journal_mode = DELETE; {sql}"))
        .map_err(io::Error::other)?;
    let mut count = 0_u64;
    for folder in FOLDERS {
        for entry in fs::read_dir(backup.data.join(folder)).into_iter().flatten() {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') || !entry.file_type()?.is_file() {
                continue;
            }
            let bytes = Zeroizing::new(fs::read(entry.path())?);
            copy.execute(
                "INSERT INTO backup_files (path, bytes) VALUES (?1, ?2)",
                params![format!("{folder}/{name}"), bytes.as_slice()],
            )
            .map_err(io::Error::other)?;
            count = count.saturating_add(1);
        }
    }
    if lock.is_some() {
        let sql = "INSERT INTO backup_files (path, bytes) VALUES (?1, x'')";
        copy.execute(sql, [LAST]).map_err(io::Error::other)?;
    }
    drop(copy);
    fs::File::open(&backup.to)?.sync_all()?;
    if lock.is_some() {
        let moved = format!(
            "this witness was moved into the backup {}",
            backup.to.display()
        );
        recovery::halt(&store, &Halt::rollback(&moved)).map_err(io::Error::other)?;
        store.fold().map_err(io::Error::other)?;
    }
    println!(
        "{} holds the database and {count} files, keys included: keep it as safe as {}.",
        backup.to.display(),
        backup.data.display()
    );
    Ok(())
}

/// Makes a data folder from a backup.
#[expect(clippy::print_stdout, reason = "a program for the terminal")]
pub(super) fn restore(restore: &Restore) -> io::Result<()> {
    make_new(&restore.data)?;
    let beside = restore.data.join("zeuge.sqlite.new");
    write_secret(&beside, b"")?;
    fs::copy(&restore.from, &beside)?;
    let copy = Connection::open(&beside).map_err(io::Error::other)?;
    for folder in FOLDERS {
        make_folder(&restore.data.join(folder))?;
    }
    let mut statement = copy
        .prepare("SELECT path, bytes FROM backup_files")
        .map_err(io::Error::other)?;
    let rows = statement
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .map_err(io::Error::other)?;
    let mut is_last = false;
    for row in rows {
        let (path, bytes) = row.map_err(io::Error::other)?;
        if path == LAST {
            is_last = true;
            continue;
        }
        let known = path
            .split_once('/')
            .is_some_and(|(folder, name)| FOLDERS.contains(&folder) && is_plain(name));
        if !known {
            let text = format!("the backup names a file where none belongs: {path}");
            return Err(io::Error::other(text));
        }
        write_secret(&restore.data.join(path), &Zeroizing::new(bytes))?;
    }
    drop(statement);
    copy.execute_batch("DROP TABLE backup_files; VACUUM")
        .map_err(io::Error::other)?;
    drop(copy);
    if !is_last {
        let store = Sqlite::open(&beside).map_err(io::Error::other)?;
        let because = "the folder was restored from a backup, and what the witness decided since is \
                       not in it";
        recovery::halt(&store, &Halt::rollback(because)).map_err(io::Error::other)?;
        store.fold().map_err(io::Error::other)?;
    }
    for rest in ["zeuge.sqlite.new-wal", "zeuge.sqlite.new-shm"] {
        let _ = fs::remove_file(restore.data.join(rest));
    }
    fs::rename(&beside, restore.data.join("zeuge.sqlite"))?;
    fs::File::open(&restore.data)?.sync_all()?;
    let data = restore.data.display();
    println!("The witness is in {data}.");
    if is_last {
        println!("It goes on where the old one stopped. Never restore this backup a second time.");
    } else {
        println!(
            "What was decided after the backup is not in it. Collect checkpoints and receipts that \
             others hold, then:\n  zeuged recover --data {data} --held-checkpoint FILE"
        );
    }
    Ok(())
}

/// A file name without any way out of its folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_comes_as_a_set_an_owner_or_a_bare_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owner");
        let tenant = Name::parse("acme").unwrap();
        let key = PublicKey([7; 32]);
        let owner = Owner {
            person: "ada".to_owned(),
            public_key: key,
        };
        let forms = [
            base64url(&key.0),
            format!("{}\n", hex::encode(key.0)),
            serde_json::to_string(&owner).unwrap(),
        ];
        for form in forms {
            fs::write(&path, form).unwrap();
            let set = owners(&path, Some(&tenant)).unwrap();
            assert_eq!(set.owners[0].public_key, key);
            assert_eq!(set.threshold, 1);
        }
        let set = owners(&path, Some(&tenant)).unwrap();
        fs::write(&path, serde_json::to_string(&set).unwrap()).unwrap();
        assert_eq!(owners(&path, Some(&tenant)).unwrap(), set);
        assert_eq!(owners(&path, None).unwrap(), set);
        assert!(owners(&path, Some(&Name::parse("other").unwrap())).is_err());
        fs::write(&path, "nothing").unwrap();
        assert!(owners(&path, Some(&tenant)).is_err());
    }

    #[test]
    fn a_backup_cannot_name_a_file_outside_its_folders() {
        assert!(is_plain("ear.1"));
        assert!(!is_plain("../ear.1"));
        assert!(!is_plain(".."));
        assert!(!is_plain(""));
    }
}
