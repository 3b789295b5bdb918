//! `zeuge hardware enroll-tpm`: shows whose TPM it is, lets it open a credential, and names its AK
//! in the registry that the owner signs.
//!
//! Never enrols what it has only seen: without the TPM's own answer nothing is written. The secret
//! of the credential lives in this process alone.

use std::{io::BufRead as _, path::Path};

use toml::{Table, Value};
use zeuge_appraise::{HardwareRegistry, hardware::SCHEMA};
use zeuge_evidence::{
    tpm::{Public, certificate_in},
    x509::Certificate,
};
use zeuge_verify::{
    Anchors,
    crypto::AWS_LC,
    tpm::{
        Context, EkFacts, TpmRoots,
        credential::{self, Randomness},
        verify_ek,
    },
};

use crate::{Outcome, args::tools::EnrollTpm, clock, input, judge_tpm, output};

/// Runs the command.
pub(crate) fn run(arguments: &EnrollTpm) -> Outcome {
    let at = |name: &str| arguments.folder.join(name);
    let anchors = match &arguments.dangerous_trust_sim {
        Some(path) => {
            crate::complain("DANGEROUS: the toy vendor of tests is trusted in this call");
            Anchors::dangerous_sim(&input::text(path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => Anchors::makers(),
    };
    let mut own = Vec::new();
    for path in &arguments.roots {
        own.extend(judge_tpm::roots(path)?);
    }
    let roots = judge_tpm::all_roots(&anchors, &own).map_err(|error| error.to_string())?;
    let endorsements = input::endorsements(&arguments.endorsements)?;
    let context = Context {
        endorsements: &endorsements,
        roots: &roots,
        at: clock::now()?,
        crypto: &AWS_LC,
    };
    let refused = |error: zeuge_verify::Error| format!("{}: {error}", error.check());
    let ek_certificate = input::read(&at("ek.crt"))?;
    let ak_public = input::read(&at("ak.pub"))?;
    let ek = verify_ek(&ek_certificate, context).map_err(refused)?;
    let (made, pending) = credential::begin(
        &ek,
        &input::read(&at("ek.pub"))?,
        &ak_public,
        &randomness()?,
    )
    .map_err(refused)?;
    let credential = at("credential");
    std::fs::write(&credential, made.tpm2_tools_file())
        .map_err(|error| format!("{}: {error}", credential.display()))?;
    crate::complain(&shown(ek.fact(), &ek_certificate, &ak_public, &roots));
    crate::complain(&format!(
        "Let the TPM open {} (zeuge-agent tpm activate), and give its answer in hex:",
        credential.display()
    ));
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| format!("standard input: {error}"))?;
    let answer = hex::decode(line.trim()).map_err(|_| "the answer is not hex".to_owned())?;
    let activation = pending.redeem(&answer).map_err(refused)?;
    let mut entry = Table::new();
    let text = |value: String| Value::String(value);
    entry.insert("name".to_owned(), text(arguments.name.clone()));
    entry.insert(
        "ak_name".to_owned(),
        text(hex::encode(activation.ak_name())),
    );
    let certificate = hex::encode(activation.ek().certificate);
    entry.insert("ek_certificate".to_owned(), text(certificate));
    write(&arguments.file, entry, arguments.replace)
}

fn randomness() -> Result<Randomness, String> {
    let mut random = Randomness {
        secret: [0; 32],
        seed: [0; 64],
        oaep: [0; 64],
        ephemeral: [0; 66],
    };
    let parts: [&mut [u8]; 4] = [
        &mut random.secret,
        &mut random.seed,
        &mut random.oaep,
        &mut random.ephemeral,
    ];
    for part in parts {
        aws_lc_rs::rand::fill(part).map_err(|_| "the system gives no random bytes".to_owned())?;
    }
    Ok(random)
}

/// Whose TPM this is, for the owner to look at before anything is written.
fn shown(ek: &EkFacts, certificate: &[u8], ak_public: &[u8], roots: &TpmRoots) -> String {
    let identity = &ek.identity;
    let or = |text: Option<&str>| text.unwrap_or("not said").to_owned();
    let serial = certificate_in(certificate).ok().and_then(|der| {
        Certificate::parse(&der)
            .ok()
            .map(|it| hex::encode(it.serial))
    });
    let ak = Public::parse(ak_public)
        .ok()
        .and_then(|public| public.name());
    let origin = roots
        .roots()
        .iter()
        .find(|root| root.root.fingerprint == ek.root.fingerprint)
        .map_or("", |root| root.origin.as_str());
    format!(
        "TPM of {} ({}), model {}, version {}\n  EK certificate: serial {}, sha256:{}\n  root: \
         sha256:{} {origin}\n  AK: {}\n  withdrawals: {}",
        or(identity.manufacturer_text().as_deref()),
        format_args!("{}, {}", ek.root.maker, ek.root.jurisdiction),
        or(identity.model.as_deref()),
        or(identity.version.as_deref()),
        or(serial.as_deref()),
        hex::encode(ek.certificate),
        hex::encode(ek.root.fingerprint),
        or(ak.map(hex::encode).as_deref()),
        match ek.revocation {
            zeuge_verify::tpm::Revocation::NotChecked =>
                "not every issuer's list is at hand".to_owned(),
            zeuge_verify::tpm::Revocation::Checked { this_update, .. } =>
                format!("looked up in lists of {this_update} or later"),
        }
    )
}

/// Adds the entry. The same machine enrolled again with the same AK changes nothing; another AK
/// under its name takes the place of the old one only where that was asked for.
pub(crate) fn write(file: &Path, entry: Table, replace: bool) -> Outcome {
    let named = |because: String| format!("{}: {because}", file.display());
    let mut table: Table = if file.exists() {
        let text = input::text(file)?;
        HardwareRegistry::parse(&text).map_err(|error| named(error.to_string()))?;
        toml::from_str(&text).map_err(|error| named(error.to_string()))?
    } else {
        output::public(file, b"")?;
        Table::from_iter([("schema".to_owned(), Value::String(SCHEMA.to_owned()))])
    };
    let list = table
        .entry("tpm")
        .or_insert_with(|| Value::Array(Vec::new()))
        .as_array_mut()
        .ok_or_else(|| named("tpm is no list".to_owned()))?;
    let entry = Value::Table(entry);
    if list.contains(&entry) {
        crate::say(&named(
            "this TPM is enrolled already, with this AK\n".to_owned(),
        ))?;
        return Ok(0);
    }
    let same = |held: &Value| held.get("name") == entry.get("name");
    if let Some(held) = list.iter().position(same) {
        if !replace {
            let name = entry.get("name").and_then(Value::as_str);
            return Err(named(format!(
                "\"{}\" is enrolled with another TPM or AK; --replace takes the new one in its \
                 place",
                name.unwrap_or_default()
            )));
        }
        list.remove(held);
    }
    list.push(entry);
    let text = toml::to_string(&table).map_err(|error| error.to_string())?;
    HardwareRegistry::parse(&text).map_err(|error| named(error.to_string()))?;
    output::replace(file, text.as_bytes())?;
    crate::say(&named(
        "written; it counts once it is signed (zeuge owner sign) and brought (zeuge apply)\n"
            .to_owned(),
    ))?;
    Ok(0)
}
