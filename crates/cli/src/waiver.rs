//! `zeuge waiver`: has a witness write down a waiver that owners signed (`zeuge-kube waive`).
//!
//! Signs nothing and asks no cluster: the text is brought as it is.

use serde_json::Value;

use crate::{Outcome, args::witness::Waiver, contexts, input, witness::Failure};

/// Runs the command.
pub(crate) fn run(command: &Waiver) -> Outcome {
    let Waiver::Log {
        from,
        tenant,
        target,
    } = command;
    let done = || -> Result<u8, Failure> {
        let (client, _) = contexts::client(target)?;
        let text = input::read(from)?;
        let path = format!("/v1/waivers?tenant={tenant}");
        let answer = client.post(&path, text.trim_ascii())?.json()?;
        let digest = answer.get("digest").and_then(Value::as_str);
        let leaf = answer.get("leaf").and_then(Value::as_u64);
        let (Some(digest), Some(leaf)) = (digest, leaf) else {
            return Err("the witness does not say what it wrote".to_owned().into());
        };
        crate::say(&format!("written down as leaf {leaf}: {digest}\n"))?;
        Ok(0)
    };
    done().or_else(Failure::told)
}
