//! Contexts: names for several witnesses, in `zeuge/contexts.toml` of the user's configuration.
//!
//! Holds addresses and names of files, never a token.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    Outcome,
    args::{
        Format,
        witness::{Context as Command, Target},
    },
    input, output,
    witness::Client,
};

/// The contexts file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The name of the one in use.
    #[serde(default)]
    pub(crate) current: Option<String>,
    /// The witnesses by name.
    #[serde(default)]
    pub(crate) context: BTreeMap<String, Context>,
}

/// One witness.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Its address.
    pub(crate) witness: String,
    /// The file of its certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The file of the administrator's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}

fn file() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = match (set("XDG_CONFIG_HOME"), set("HOME")) {
        (Some(base), _) => PathBuf::from(base),
        (None, Some(home)) => PathBuf::from(home).join(".config"),
        (None, None) => return Err("neither XDG_CONFIG_HOME nor HOME is set".to_owned()),
    };
    Ok(base.join("zeuge").join("contexts.toml"))
}

/// Reads the contexts file; none is as good as an empty one.
///
/// # Errors
/// A sentence, when it cannot be read.
pub(crate) fn read() -> Result<Contexts, String> {
    let path = file()?;
    if !path.exists() {
        return Ok(Contexts::default());
    }
    toml::from_str(&input::text(&path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(contexts: &Contexts) -> Result<(), String> {
    let path = file()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let text = toml::to_string(contexts).map_err(|error| error.to_string())?;
    output::replace(&path, text.as_bytes())
}

/// Which witness is meant: the command line over the context.
///
/// # Errors
/// A sentence, when there is none of that name, or none at all.
pub(crate) fn resolve(target: &Target) -> Result<Context, String> {
    let mut chosen = Context::default();
    if target.witness.is_none() || target.context.is_some() {
        let contexts = read()?;
        let name = target.context.clone().or(contexts.current);
        let name = name.ok_or_else(|| {
            "which witness? Give --witness URL, or name one with: zeuge context add".to_owned()
        })?;
        let found = contexts.context.get(&name);
        chosen = found
            .cloned()
            .ok_or_else(|| format!("there is no context {name}; see: zeuge context list"))?;
    }
    if let Some(witness) = &target.witness {
        chosen.witness = witness.clone();
    }
    chosen.ca = target.ca.clone().or(chosen.ca);
    chosen.token_file = target.token_file.clone().or(chosen.token_file);
    Ok(chosen)
}

/// A client of the witness that is meant, and what is known of it.
///
/// # Errors
/// Those of [`resolve`] and [`Client::new`].
pub(crate) fn client(target: &Target) -> Result<(Client, Context), String> {
    let context = resolve(target)?;
    Ok((connect(&context)?, context))
}

/// A client of a witness.
///
/// # Errors
/// A sentence, for a token file or certificates that cannot be read.
pub(crate) fn connect(context: &Context) -> Result<Client, String> {
    let token = match &context.token_file {
        Some(path) => {
            let text = Zeroizing::new(input::text(path)?);
            let token = Zeroizing::new(text.trim().to_owned());
            if token.is_empty() || token.contains(|letter: char| !letter.is_ascii_graphic()) {
                return Err(format!("{}: this is no token", path.display()));
            }
            Some(token)
        }
        None => None,
    };
    Client::new(&context.witness, context.ca.as_deref(), token)
}

/// Runs `zeuge context`.
pub(crate) fn run(command: &Command) -> Outcome {
    let mut contexts = read()?;
    match command {
        Command::Add {
            name,
            witness,
            ca,
            token_file,
            id,
        } => {
            let whole = |path: &Option<PathBuf>| {
                path.as_ref()
                    .map(|path| {
                        std::path::absolute(path)
                            .map_err(|error| format!("{}: {error}", path.display()))
                    })
                    .transpose()
            };
            let context = Context {
                witness: witness.clone(),
                ca: whole(ca)?,
                token_file: whole(token_file)?,
                id: id.as_ref().map(ToString::to_string),
            };
            connect(&context)?;
            contexts.context.insert(name.to_string(), context);
            contexts.current.get_or_insert_with(|| name.to_string());
            write(&contexts)?;
        }
        Command::Use { name } => {
            if !contexts.context.contains_key(name.as_str()) {
                return Err(format!("there is no context {name}"));
            }
            contexts.current = Some(name.to_string());
            write(&contexts)?;
        }
        Command::List { format } => {
            let mut text = String::new();
            for (name, context) in &contexts.context {
                let used = contexts.current.as_ref() == Some(name);
                if *format == Format::Text {
                    let mark = if used { '*' } else { ' ' };
                    text.push_str(&format!("{mark} {name}  {}\n", context.witness));
                } else {
                    let line = json!({"name": name, "current": used, "witness": context.witness,
                                      "id": context.id});
                    text.push_str(&format!("{line}\n"));
                }
            }
            crate::say(&text)?;
        }
    }
    Ok(0)
}
