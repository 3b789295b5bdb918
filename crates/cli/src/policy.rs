//! `zeuge policy`: texts of the owner's as the witness reads them, and what a check is about.
//!
//! Judges nothing.

use serde_json::json;
use zeuge_protocol::api::VerdictWord;
use zeuge_report::{Language, Table};

use crate::{
    Outcome,
    args::{self, Format, tools::Policy},
    input, payload,
};

/// Runs the command.
pub(crate) fn run(command: &Policy) -> Outcome {
    match command {
        Policy::Check { files } => {
            let mut codes = Vec::new();
            for file in files {
                let read = input::text(file)?;
                match payload::read(&read, None) {
                    Ok(read) => {
                        crate::say(&format!("{}: {}\n", file.display(), read.kind.as_str()))?;
                    }
                    Err(because) => {
                        crate::complain(&format!("{}: {because}", file.display()));
                        codes.push(VerdictWord::Malformed.exit_code());
                    }
                }
            }
            Ok(VerdictWord::worst(codes))
        }
        Policy::Explain { id, lang, format } => explain(id, *lang, *format),
        Policy::Test(_) => Err("policy test is not supported yet".to_owned()),
        Policy::Diff(_) => Err("policy diff is not supported yet".to_owned()),
    }
}

fn explain(id: &str, language: args::Language, format: Format) -> Outcome {
    let language = match language {
        args::Language::En => Language::En,
        args::Language::De => Language::De,
    };
    let table = Table::get();
    let Some(entry) = table.explain(id) else {
        let area = id.split('.').next().unwrap_or(id);
        let near = table.ids().filter(|known| known.starts_with(area));
        let near: Vec<_> = near.take(40).collect();
        return Err(format!(
            "there is no check {id}; near it: {}",
            near.join(", ")
        ));
    };
    let general = entry.general(language);
    let detail = entry.detail(language, "…", "…");
    let text = if format == Format::Text {
        format!("{id}\n\n{general}\n\n{detail}\n\n[{}]\n", entry.spec)
    } else {
        let whole = json!({"id": id, "severity": format!("{:?}", entry.severity).to_lowercase(),
                           "general": general, "detail": detail, "spec": entry.spec});
        format!("{whole}\n")
    };
    crate::say(&text)?;
    Ok(0)
}
