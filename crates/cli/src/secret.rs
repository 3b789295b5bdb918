//! `zeuge secret`: secrets are encrypted here, their manifests signed here; the witness gets
//! ciphertext and its share over one connection.
//!
//! Never prints a value, never puts one on the command line or in a file; wipes what it held.

use serde_json::{Value, json};
use zeroize::Zeroizing;
use zeuge_protocol::{
    api::SecretUpload,
    manifest::encrypt_secret,
    name::{Name, Path},
};

use crate::{
    Outcome,
    args::{
        Format,
        witness::{Secret, SecretSigning},
    },
    clock, contexts, input,
    owner::{self, KeyFile},
    payload,
    witness::{Client, Failure},
};

/// Runs the command.
pub(crate) fn run(command: &Secret) -> Outcome {
    go(command).or_else(Failure::told)
}

fn go(command: &Secret) -> Result<u8, Failure> {
    match command {
        Secret::Put(put) => {
            let value = Zeroizing::new(input::read(&put.from)?);
            if value.is_empty() {
                return Err("the value is empty".to_owned().into());
            }
            bring((&put.tenant, &put.path), &value, &put.signing, false)
        }
        Secret::Rotate(rotate) => {
            let value = match &rotate.from {
                Some(path) => Zeroizing::new(input::read(path)?),
                None => {
                    let mut value = Zeroizing::new(vec![0; usize::from(rotate.bytes)]);
                    owner::random(&mut value)?;
                    value
                }
            };
            if value.is_empty() {
                return Err("the value is empty".to_owned().into());
            }
            bring(
                (&rotate.tenant, &rotate.path),
                &value,
                &rotate.signing,
                true,
            )
        }
        Secret::List {
            tenant,
            format,
            target,
        } => {
            let (client, _) = contexts::client(target)?;
            let mut text = String::new();
            for (path, version) in held(&client, tenant)? {
                if *format == Format::Text {
                    text.push_str(&format!("{path}  version {version}\n"));
                } else {
                    let line = json!({"tenant": tenant, "path": path, "version": version});
                    text.push_str(&format!("{line}\n"));
                }
            }
            crate::say(&text)?;
            Ok(0)
        }
        Secret::Delete {
            tenant,
            path,
            target,
        } => {
            let (client, _) = contexts::client(target)?;
            let at = format!("/v1/secrets?tenant={tenant}&path={path}");
            let answer = client.delete(&at)?.json()?;
            let count = answer.get("deleted").and_then(Value::as_u64).unwrap_or(0);
            crate::say(&format!("{tenant}/{path}: {count} version(s) deleted\n"))?;
            Ok(0)
        }
    }
}

/// Paths and versions that the witness has.
fn held(client: &Client, tenant: &Name) -> Result<Vec<(String, u64)>, Failure> {
    let answer = client
        .get(&format!("/v1/secrets?tenant={tenant}"))?
        .json()?;
    let rows = answer.get("secrets").and_then(Value::as_array);
    let row = |row: &Value| {
        let path = Path::parse(row.get("path")?.as_str()?).ok()?;
        Some((path.to_string(), row.get("version")?.as_u64()?))
    };
    Ok(rows.into_iter().flatten().filter_map(row).collect())
}

/// The id of the witness: said, or of the context, or as the witness says itself.
fn witness_id(client: &Client, said: Option<&Name>, known: Option<&str>) -> Result<Name, Failure> {
    if let Some(name) = said {
        return Ok(name.clone());
    }
    if let Some(name) = known {
        return Ok(Name::parse(name).map_err(payload::refused)?);
    }
    let answer = client.get("/v1/witness")?.json()?;
    let name = answer.get("witness").and_then(Value::as_str);
    let name = name.ok_or_else(|| "the witness does not say its id".to_owned())?;
    Ok(Name::parse(name).map_err(payload::refused)?)
}

fn bring(
    (tenant, path): (&Name, &Path),
    value: &[u8],
    signing: &SecretSigning,
    must_exist: bool,
) -> Result<u8, Failure> {
    let keys = signing.key.iter().map(|key| KeyFile::read(key));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let now = clock::now()?;
    let expires = owner::ends(signing.expires.as_deref(), now)?;
    let (client, context) = contexts::client(&signing.target)?;
    let witness = witness_id(&client, signing.witness_id.as_ref(), context.id.as_deref())?;
    let version = match signing.version {
        Some(version) if !must_exist => version,
        wanted => {
            let held = held(&client, tenant)?;
            let held = held.iter().filter(|(held, _)| held == path.as_str());
            let newest = held.map(|(_, version)| *version).max();
            if must_exist && newest.is_none() {
                let sentence = format!("{tenant}/{path}: there is no such secret to replace");
                return Err(sentence.into());
            }
            wanted.unwrap_or_else(|| newest.unwrap_or(0).saturating_add(1))
        }
    };
    let mut dry = None;
    let mut random = |out: &mut [u8]| {
        if let Err(because) = owner::random(out) {
            dry = Some(because);
        }
    };
    let made = encrypt_secret(tenant, path, version, &witness, value, &mut random)
        .map_err(payload::refused)?;
    if let Some(because) = dry {
        return Err(because.into());
    }
    let mut manifest = made.manifest.document(now.0, expires);
    for key in &keys {
        manifest.sign(&key.key);
    }
    let upload = SecretUpload {
        manifest,
        payload: made.ciphertext,
        share: made.share.encode().to_vec(),
    };
    client.put("/v1/secrets", &json_of(&upload)?)?.json()?;
    crate::say(&format!(
        "{tenant}/{path}: version {version} is kept by {witness}\n"
    ))?;
    Ok(0)
}

/// The upload in JSON, in memory that is wiped.
fn json_of(upload: &SecretUpload) -> Result<Zeroizing<Vec<u8>>, String> {
    // Room beforehand: a growing buffer would leave copies of the share behind.
    let room = upload.payload.len().saturating_mul(2);
    let mut json = Zeroizing::new(Vec::with_capacity(room.saturating_add(64 * 1024)));
    serde_json::to_writer(&mut *json, upload).map_err(|error| error.to_string())?;
    Ok(json)
}
