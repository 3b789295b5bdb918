//! Documents of AWS's Nitro hypervisor: what is demanded of them.
//!
//! Takes the document out of its wrapping and hands it on; never asks AWS for anything.

use zeuge_appraise::{Facts, Kind, Verdict};
use zeuge_evidence::nitro::{Signed, unwrapped};
use zeuge_verify::{
    Binding, Error,
    crypto::AWS_LC,
    nitro::{Demand, nitro},
};

use crate::judge::{Setting, wanted};

/// Where a binding stands that the caller demands (`--report-data`).
#[derive(Clone, Copy)]
enum Bound {
    /// In the user data, where most tools put theirs.
    UserData,
    /// In the nonce, as our agent asks and a witness demands.
    Nonce,
}

/// The verdict on a file with a document.
pub(crate) fn file(bytes: &[u8], setting: &Setting) -> Verdict {
    told(prove(bytes, Bound::UserData, setting), setting)
}

/// The verdict on the document of a bundle of ours.
pub(crate) fn member(document: &[u8], setting: &Setting) -> Verdict {
    told(prove(document, Bound::Nonce, setting), setting)
}

fn told(outcome: Result<Verdict, Error>, setting: &Setting) -> Verdict {
    outcome.unwrap_or_else(|error| Verdict::refused(Kind::Nitro, &error, setting.at))
}

fn prove(bytes: &[u8], bound: Bound, setting: &Setting) -> Result<Verdict, Error> {
    let (document, note) = unwrapped(bytes)?;
    let signed = Signed::parse(&document)?;
    let demand = match (&setting.tpm.nonce, &setting.binding) {
        (Some(nonce), _) => Demand::Nonce(nonce),
        (None, Binding::ReportData(binding)) => match bound {
            Bound::UserData => Demand::UserData(binding),
            Bound::Nonce => Demand::Nonce(binding),
        },
        (None, Binding::Unbound { because }) => Demand::Unbound { because },
    };
    let verified = nitro(&signed, demand, &setting.anchors, setting.at, &AWS_LC)?;
    let facts = Facts::from(verified.fact().clone());
    let mut verdict = zeuge_appraise::judge(&facts, verified.trail().passed(), &wanted(setting));
    verdict.notes.extend(note.map(str::to_owned));
    if setting.makers.is_some() {
        let unasked = "--fetch asks AMD alone; a Nitro document brings its whole chain";
        verdict.notes.push(unasked.to_owned());
    }
    Ok(verdict)
}
