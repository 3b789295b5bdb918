//! `zeuge owner`: the keys that decide who gets what, and signatures with them.
//!
//! A key is 32 random bytes in a text file for its owner alone. Never prints a seed, never
//! overwrites a file, never signs a text that the witness's reader would refuse.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path as FilePath, PathBuf},
};

use serde_json::{Value, json};
use zeroize::Zeroizing;
use zeuge_evidence::UnixTime;
use zeuge_protocol::{
    api::VerdictWord,
    document::{Document, Kind, Owner, OwnerSet},
    keys::SigningKey,
    name::Name,
    text::{base64url, from_base64url},
};

use crate::{
    Outcome, apply, archive,
    args::{Format, owner as args, witness::Target},
    clock, contexts, input, output, payload,
    witness::Failure,
};

/// The first line of a key file.
const HEAD: &str = "zeuge-owner-key-v1";
const SECONDS_PER_YEAR: i64 = 365 * 86_400;

/// Runs the command.
pub(crate) fn run(command: &args::Owner) -> Outcome {
    match command {
        args::Owner::Init(arguments) => init(arguments),
        args::Owner::Show(arguments) => show(arguments),
        args::Owner::Sign(arguments) => sign(arguments),
        args::Owner::Check(arguments) => check(arguments),
        args::Owner::Rotate(arguments) => rotate(arguments).or_else(Failure::told),
    }
}

/// An owner's key with what is written beside it. Its `Debug` leaves the seed out.
pub(crate) struct KeyFile {
    /// The person or role.
    pub(crate) person: String,
    /// Whose documents it signs.
    pub(crate) tenant: Name,
    /// The key.
    pub(crate) key: SigningKey,
    seed: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "KeyFile({} of {})",
            self.key.public().id(),
            self.person
        )
    }
}

impl KeyFile {
    fn new(person: &str, tenant: &Name) -> Result<Self, String> {
        let plain = person.chars().all(|letter| !letter.is_control());
        if person.trim().is_empty() || person.len() > 200 || !plain {
            return Err("--name: one line of 1 to 200 bytes is wanted".to_owned());
        }
        let mut seed = Zeroizing::new([0; 32]);
        random(seed.as_mut_slice())?;
        Ok(Self {
            person: person.to_owned(),
            tenant: tenant.clone(),
            key: SigningKey::from_seed(&seed).map_err(payload::refused)?,
            seed,
        })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// A sentence that never quotes the file.
    pub(crate) fn read(path: &FilePath) -> Result<Self, String> {
        let bad = |because: &str| format!("{}: {because}", path.display());
        let bytes = Zeroizing::new(input::read(path)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| bad("this is no owner key"))?;
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err(bad(&format!(
                "this is no owner key: it does not begin with {HEAD}"
            )));
        }
        let mut field = |name: &str| -> Result<&str, String> {
            lines
                .next()
                .and_then(|line| line.strip_prefix(name))
                .and_then(|rest| rest.strip_prefix(": "))
                .ok_or_else(|| bad(&format!("the line \"{name}: \" is missing")))
        };
        let person = field("name")?.to_owned();
        let tenant = Name::parse(field("tenant")?).map_err(payload::refused)?;
        let public = field("public")?;
        let seed = from_base64url(field("seed")?)
            .map(Zeroizing::new)
            .and_then(|seed| <[u8; 32]>::try_from(seed.as_slice()).ok())
            .map(Zeroizing::new)
            .ok_or_else(|| bad("the seed is not 32 bytes in base64url"))?;
        let key = SigningKey::from_seed(&seed).map_err(payload::refused)?;
        if base64url(&key.public().0) != public {
            return Err(bad("the seed is not that of the public key beside it"));
        }
        Ok(Self {
            person,
            tenant,
            key,
            seed,
        })
    }

    fn text(&self) -> Zeroizing<String> {
        // Room beforehand: a growing string would leave a copy of the seed behind.
        let mut text = Zeroizing::new(String::with_capacity(1024));
        for (name, value) in [
            ("name", self.person.as_str()),
            ("tenant", self.tenant.as_str()),
            ("public", base64url(&self.key.public().0).as_str()),
            (
                "seed",
                Zeroizing::new(base64url(self.seed.as_slice())).as_str(),
            ),
        ] {
            if text.is_empty() {
                text.push_str(HEAD);
                text.push('\n');
            }
            for part in [name, ": ", value, "\n"] {
                text.push_str(part);
            }
        }
        text
    }

    fn owner(&self) -> Owner {
        Owner {
            person: self.person.clone(),
            public_key: self.key.public(),
        }
    }
}

/// Random bytes of the system, through the one provider.
///
/// # Errors
/// A sentence, when the system gives none.
pub(crate) fn random(out: &mut [u8]) -> Result<(), String> {
    aws_lc_rs::rand::fill(out).map_err(|_| "the system gives no random bytes".to_owned())
}

fn set_text(set: &OwnerSet) -> Result<String, String> {
    let text = serde_json::to_string_pretty(set).map_err(|error| error.to_string())?;
    Ok(format!("{text}\n"))
}

/// Writes the two files of a key into a folder; neither is overwritten.
fn write(folder: &FilePath, key: &KeyFile, set: &OwnerSet) -> Result<(PathBuf, PathBuf), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (secret, public) = (folder.join("owner.key"), folder.join("owner.pub"));
    if public.exists() {
        return Err(format!(
            "{}: this file exists already and is not overwritten",
            public.display()
        ));
    }
    output::private(&secret, key.text().as_bytes())?;
    output::public(&public, set_text(set)?.as_bytes())?;
    Ok((secret, public))
}

fn init(arguments: &args::Init) -> Outcome {
    let key = KeyFile::new(&arguments.name, &arguments.tenant)?;
    let set = OwnerSet {
        tenant: arguments.tenant.clone(),
        threshold: 1,
        author_is_not_approver: false,
        owners: vec![key.owner()],
        carries: BTreeSet::new(),
    };
    let (secret, public) = write(&arguments.out, &key, &set)?;
    crate::say(&format!(
        "Owner key {} of {}\n  {}  secret: keep it offline, and a copy elsewhere\n  {}  for \
         zeuged init --owner, and for the agents' configuration\n",
        key.key.public().id(),
        key.person,
        secret.display(),
        public.display(),
    ))?;
    Ok(0)
}

fn show(arguments: &args::Show) -> Outcome {
    let bytes = Zeroizing::new(input::read(&arguments.file)?);
    let set = if bytes.starts_with(HEAD.as_bytes()) {
        let key = KeyFile::read(&arguments.file)?;
        OwnerSet {
            tenant: key.tenant.clone(),
            threshold: 1,
            author_is_not_approver: false,
            owners: vec![key.owner()],
            carries: BTreeSet::new(),
        }
    } else {
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| format!("{}: this is not text", arguments.file.display()))?;
        payload::owner_set(text)
            .map_err(|because| format!("{}: {because}", arguments.file.display()))?
    };
    let text = if arguments.format == Format::Text {
        let mut text = format!(
            "tenant {}: {} of {} must sign\n",
            set.tenant,
            set.threshold,
            set.owners.len()
        );
        for owner in &set.owners {
            let public = base64url(&owner.public_key.0);
            let id = owner.public_key.id();
            text.push_str(&format!(
                "  {}  public key {public}  id {id}\n",
                owner.person
            ));
        }
        text
    } else {
        let owners = set.owners.iter().map(|owner| {
            json!({
                "person": owner.person,
                "public_key": owner.public_key,
                "id": owner.public_key.id(),
            })
        });
        let owners: Vec<_> = owners.collect();
        let whole = json!({"tenant": set.tenant, "threshold": set.threshold, "owners": owners});
        format!("{whole}\n")
    };
    crate::say(&text)?;
    Ok(0)
}

fn check(arguments: &args::Check) -> Outcome {
    let beside = output::with_suffix(&arguments.file, ".sig");
    let signature = arguments.signature.as_ref().unwrap_or(&beside);
    let set = payload::owner_set(&input::text(&arguments.set)?)
        .map_err(|because| format!("{}: {because}", arguments.set.display()))?;
    let bytes = input::read(&arguments.file)?;
    let name = arguments.file.display();
    match archive::checked(&input::text(signature)?, &bytes, &set) {
        Ok(who) => {
            crate::say(&format!("{name}: signed by {who}\n"))?;
            Ok(0)
        }
        Err(because) => {
            crate::complain(&format!("{name}: {because}"));
            Ok(VerdictWord::Untrusted.exit_code())
        }
    }
}

/// When a document ends: as said, or a year from now.
///
/// # Errors
/// A sentence, for another form or an instant that has passed.
pub(crate) fn ends(text: Option<&str>, now: UnixTime) -> Result<i64, String> {
    let Some(text) = text else {
        return Ok(now.plus(SECONDS_PER_YEAR).0);
    };
    let at = UnixTime::parse_rfc3339(text)
        .ok_or_else(|| format!("--expires {text}: write it like 2027-01-31T12:00:00Z"))?;
    if at <= now {
        return Err(format!("--expires {text}: that has passed"));
    }
    Ok(at.0)
}

fn sign(arguments: &args::Sign) -> Outcome {
    let key = KeyFile::read(&arguments.key)?;
    let now = clock::now()?;
    let life = (now.0, ends(arguments.expires.as_deref(), now)?);
    for file in &arguments.files {
        let named = |because: String| format!("{}: {because}", file.display());
        let text = input::text(file)?;
        if let Ok(mut document) = Document::parse(text.as_bytes()) {
            cosign(&mut document, &key).map_err(named)?;
            output::replace(file, json_of(&document)?.as_bytes())?;
            announce(file, &document)?;
            continue;
        }
        let wanted = (arguments.version, life);
        let document = make(
            &text,
            arguments.kind,
            &key,
            arguments.tenant.as_ref(),
            wanted,
        )
        .map_err(named)?;
        let to = output::with_suffix(file, ".signed");
        put(&to, &document)?;
        announce(&to, &document)?;
    }
    Ok(0)
}

/// Writes a signed document, also in the place of an older version of it.
fn put(to: &FilePath, document: &Document) -> Result<(), String> {
    let json = json_of(document)?;
    let held = input::read(to).ok();
    let held = held.and_then(|bytes| Document::parse(&bytes).ok());
    let older = |held: &Document| {
        let (held, new) = (&held.header, &document.header);
        (held.kind, &held.tenant, &held.name) == (new.kind, &new.tenant, &new.name)
            && held.version < new.version
    };
    if held.as_ref().is_some_and(older) {
        return output::replace(to, json.as_bytes());
    }
    output::public(to, json.as_bytes())
}

/// Reads a text and signs it.
///
/// # Errors
/// A sentence of the text's reader, for version 0, and for another tenant.
pub(crate) fn make(
    text: &str,
    kind: Option<Kind>,
    key: &KeyFile,
    tenant: Option<&Name>,
    (version, life): (u64, (i64, i64)),
) -> Result<Document, String> {
    if version == 0 {
        return Err("document.version: versions start at 1".to_owned());
    }
    let read = payload::read(text, kind)?;
    let tenant = tenant.unwrap_or(&key.tenant);
    let header = payload::header(&read, Some(tenant), version, life)?;
    let mut document = Document::unsigned(header, text.as_bytes().to_vec());
    document.sign(&key.key);
    Ok(document)
}

/// Adds a further owner's signature to a document that its reader takes.
///
/// # Errors
/// A sentence of the text's reader; when this key has signed already.
pub(crate) fn cosign(document: &mut Document, key: &KeyFile) -> Result<(), String> {
    let text = std::str::from_utf8(&document.payload)
        .map_err(|_| "a payload that is no text is not signed here".to_owned())?;
    let read = payload::read(text, Some(document.header.kind))?;
    let header = &document.header;
    payload::header(&read, Some(&header.tenant), header.version, (0, 0))?;
    let id = key.key.public().id();
    if document.signatures.iter().any(|held| held.key == id) {
        return Err("this key has signed already".to_owned());
    }
    document.sign(&key.key);
    Ok(())
}

/// A document as it travels.
///
/// # Errors
/// A sentence, when it cannot be written as JSON.
pub(crate) fn json_of(document: &Document) -> Result<String, String> {
    let json = serde_json::to_string_pretty(document).map_err(|error| error.to_string())?;
    Ok(format!("{json}\n"))
}

fn announce(path: &FilePath, document: &Document) -> Result<(), String> {
    let header = &document.header;
    crate::say(&format!(
        "{}: {} {} of {}, version {}, until {}, {} signature(s)\n",
        path.display(),
        header.kind.as_str(),
        header.name,
        header.tenant,
        header.version,
        UnixTime(header.expires),
        document.signatures.len(),
    ))
}

/// Digests of what a witness holds of a tenant: documents and manifests of secrets.
fn held_by(target: &Target, tenant: &Name) -> Result<BTreeSet<String>, Failure> {
    let (client, _) = contexts::client(target)?;
    let mut digests = BTreeSet::new();
    for kind in payload::KINDS {
        if kind != Kind::OwnerSet {
            let documents = apply::held(&client, kind, tenant)?.documents;
            digests.extend(documents.iter().map(|held| hex::encode(held.digest())));
        }
    }
    let at = format!("/v1/secrets?tenant={tenant}");
    let secrets = client.get(&at)?.json()?;
    let rows = secrets.get("secrets").and_then(Value::as_array);
    for row in rows.into_iter().flatten() {
        let digest = row.get("digest").and_then(Value::as_str);
        digests.extend(digest.map(str::to_owned));
    }
    Ok(digests)
}

fn rotate(arguments: &args::Rotate) -> Result<u8, Failure> {
    let old = KeyFile::read(&arguments.key)?;
    let now = clock::now()?;
    let life = (now.0, ends(arguments.expires.as_deref(), now)?);
    let mut set = payload::owner_set(&input::text(&arguments.set)?)
        .map_err(|because| format!("{}: {because}", arguments.set.display()))?;
    let new = KeyFile::new(&old.person, &old.tenant)?;
    let place = set
        .owners
        .iter_mut()
        .find(|owner| owner.public_key == old.key.public())
        .ok_or_else(|| format!("{}: the old key is not in it", arguments.set.display()))?;
    *place = new.owner();
    set.carries = if arguments.carry {
        held_by(&arguments.target, &set.tenant)?
    } else {
        BTreeSet::new()
    };
    let carried = set.carries.len();
    let text = set_text(&set)?;
    let wanted = (arguments.version, life);
    let document = make(&text, Some(Kind::OwnerSet), &old, Some(&set.tenant), wanted)?;
    let (secret, public) = write(&arguments.out, &new, &set)?;
    let to = arguments.out.join("owner-set.signed");
    output::public(&to, json_of(&document)?.as_bytes())?;
    announce(&to, &document)?;
    crate::say(&format!(
        "New key {}\n  {}  secret\n  {}  for the agents' configuration\nNext: zeuge apply -f {}; \
         {carried} document(s) and secret(s) are carried over; what else only the old key signed \
         stops counting.\n",
        new.key.public().id(),
        secret.display(),
        public.display(),
        arguments.out.display(),
    ))?;
    Ok(0)
}
