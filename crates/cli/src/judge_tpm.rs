//! Quotes of TPMs: which parts belong together, what is demanded, whom the caller trusts.
//!
//! Takes roots and enrolled keys only from files that the caller named for it, never from
//! evidence and never from endorsements. A key that nothing vouches for is refused.

use std::path::Path;

use zeuge_appraise::{
    Facts, Kind, TpmFacts, Verdict,
    tpm::{NamedRoot, OwnRoot, ROOTS_FILES, named_roots},
};
use zeuge_evidence::{
    Malformed,
    tpm::{Attest, BUNDLE, Body, ClockInfo, HashAlgorithm, PcrSelection, QuoteBundle},
};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_verify::{
    Anchors, Binding, Error, Verified,
    crypto::AWS_LC,
    tpm::{
        AkTrust, AttestationKey, Context, Demand, Nonce, Selection, TpmRoots,
        check_quote_signature, qualifying_data, verify,
    },
};

use crate::{
    input,
    judge::{Setting, wanted},
};

/// What only quotes of TPMs need.
#[derive(Debug, Default)]
pub(crate) struct TpmSetting {
    /// The exact qualifying data, where the caller named it; else it is that of the binding.
    pub(crate) nonce: Option<Vec<u8>>,
    /// Banks and PCRs that must have been quoted, no fewer and no more.
    pub(crate) pcrs: Vec<PcrSelection>,
    /// Roots that the caller added to the shipped ones.
    pub(crate) roots: Vec<OwnRoot>,
    /// The file of an earlier quote of the same TPM.
    pub(crate) previous: Option<Vec<u8>>,
}

/// Reads roots from a folder or the file in it that names them.
pub(crate) fn roots(path: &Path) -> Result<Vec<OwnRoot>, String> {
    let file = if input::is_folder(path) {
        let [file, earlier] = ROOTS_FILES.map(|name| path.join(name));
        match (input::is_there(&file), input::is_there(&earlier)) {
            (true, true) => {
                let (file, earlier) = (file.display(), earlier.display());
                return Err(format!("{file} and {earlier}: one too many"));
            }
            (false, true) => earlier,
            _ => file,
        }
    } else {
        path.to_owned()
    };
    let named = named_roots(&input::text(&file)?)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    let read = |root: NamedRoot| {
        let at = folder.join(&root.file);
        let certificate = input::read(&at)?;
        OwnRoot::new(root, certificate)
            .map_err(|malformed| format!("{}: {malformed}", at.display()))
    };
    named.into_iter().map(read).collect()
}

/// The shipped roots (or the toys in their place) and the caller's own.
pub(crate) fn all_roots(anchors: &Anchors, own: &[OwnRoot]) -> Result<TpmRoots, Malformed> {
    let mut roots = TpmRoots::of(anchors);
    for root in own {
        root.add_to(&mut roots)?;
    }
    Ok(roots)
}

/// The verdict on a file with a quote.
pub(crate) fn file(bytes: &[u8], setting: &Setting) -> Verdict {
    let outcome = QuoteBundle::read(bytes)
        .map_err(Error::from)
        .and_then(|quotes| prove(quotes, setting));
    outcome.unwrap_or_else(|error| Verdict::refused(Kind::Tpm, &error, setting.at))
}

/// The verdict on the quote of a bundle of ours, with the logs that are members of their own.
pub(crate) fn members(bundle: &Bundle, setting: &Setting) -> Verdict {
    let outcome = joined(bundle).and_then(|quotes| prove(quotes, setting));
    outcome.unwrap_or_else(|error| Verdict::refused(Kind::Tpm, &error, setting.at))
}

/// What is proven about the TPM of a bundle, bound as its CPU is.
pub(crate) fn prove_member(
    bundle: &Bundle,
    setting: &Setting,
) -> Result<Verified<TpmFacts>, Error> {
    let bundle = strongest(joined(bundle)?)
        .ok_or_else(|| Malformed::invalid(BUNDLE, 0, "quotes", "there is none"))?;
    let previous = previous(&bundle, setting)?;
    proven(&bundle, None, setting, previous)
}

pub(crate) fn joined(bundle: &Bundle) -> Result<Vec<QuoteBundle>, Error> {
    let bad = |because| Malformed::invalid(BUNDLE, 0, "the bundle", because);
    let quote = bundle
        .only(Media::TpmQuote)
        .ok_or_else(|| bad("it does not hold exactly one TPM quote"))?;
    let mut quotes = QuoteBundle::read(quote)?;
    for (media, name) in [
        (Media::TcgEventLog, "boot log"),
        (Media::ImaList, "IMA list"),
    ] {
        let count = bundle
            .members()
            .values()
            .filter(|member| member.media == media)
            .count();
        let Some(log) = bundle.only(media) else {
            if count > 0 {
                return Err(bad("it holds more than one log of a kind").into());
            }
            continue;
        };
        for quote in &mut quotes {
            let place = match media {
                Media::ImaList => &mut quote.ima,
                _ => &mut quote.eventlog,
            };
            if place.replace(log.to_vec()).is_some() {
                let because = match name {
                    "boot log" => "a boot log stands in the quote and beside it",
                    _ => "an IMA list stands in the quote and beside it",
                };
                return Err(bad(because).into());
            }
        }
    }
    Ok(quotes)
}

/// Of several quotes (Google sends one per bank) the one of the strongest bank.
pub(crate) fn strongest(quotes: Vec<QuoteBundle>) -> Option<QuoteBundle> {
    let strength = |quote: &QuoteBundle| {
        let attest = Attest::parse(&quote.attest).ok()?;
        let Body::Quote { selections, .. } = attest.body else {
            return None;
        };
        let chosen = selections.iter().filter(|one| !one.pcrs.is_empty());
        chosen.map(|one| one.bank).min()
    };
    // Numbers of the SHA family grow with their length.
    quotes
        .into_iter()
        .max_by_key(|quote| strength(quote).unwrap_or(HashAlgorithm(0)))
}

fn prove(quotes: Vec<QuoteBundle>, setting: &Setting) -> Result<Verdict, Error> {
    let count = quotes.len();
    let bundle = strongest(quotes)
        .ok_or_else(|| Malformed::invalid(BUNDLE, 0, "quotes", "there is none"))?;
    let previous = previous(&bundle, setting)?;
    let verified = proven(&bundle, setting.tpm.nonce.clone(), setting, previous)?;
    let facts = Facts::from(verified.fact().clone());
    let mut verdict = zeuge_appraise::judge(&facts, verified.trail().passed(), &wanted(setting));
    if count > 1 {
        let note = format!("{count} quotes came along; the one of the strongest bank was judged");
        verdict.notes.push(note);
    }
    if bundle.ek_certificate.is_some() {
        let note = "an EK certificate lies beside the quote; it proves nothing about the AK";
        verdict.notes.push(note.to_owned());
    }
    Ok(verdict)
}

/// The clock of the earlier quote, once the same AK is known to have signed it.
fn previous(bundle: &QuoteBundle, setting: &Setting) -> Result<Option<ClockInfo>, Error> {
    let Some(file) = &setting.tpm.previous else {
        return Ok(None);
    };
    let earlier = strongest(QuoteBundle::read(file)?)
        .ok_or_else(|| Malformed::invalid(BUNDLE, 0, "quotes", "there is none"))?;
    // The key is believed by the later quote's reason; here it only has to be the same one.
    let key = bundle.ak_public.as_deref().unwrap_or_default();
    let key = AttestationKey::read(key)?;
    check_quote_signature(&earlier.attest, &earlier.signature, &key, &AWS_LC)?;
    Ok(Some(Attest::parse(&earlier.attest)?.clock))
}

/// What is proven about one quote. `nonce` is the exact qualifying data; without one it is that of
/// the binding.
fn proven(
    bundle: &QuoteBundle,
    nonce: Option<Vec<u8>>,
    setting: &Setting,
    previous: Option<ClockInfo>,
) -> Result<Verified<TpmFacts>, Error> {
    let policy = &setting.policy.tpm;
    let own = match (nonce, &setting.binding) {
        (None, Binding::ReportData(binding)) => Some(qualifying_data(binding).to_vec()),
        (nonce, _) => nonce,
    };
    let nonce = match (&own, &setting.binding) {
        (None, Binding::Unbound { because }) => Nonce::Unbound { because },
        (own, _) => Nonce::Exact(own.as_deref().unwrap_or_default()),
    };
    let selection = if setting.tpm.pcrs.is_empty() {
        Selection::AsQuoted {
            because: "nobody said which PCRs were asked for (--pcrs)",
        }
    } else {
        Selection::Exactly(&setting.tpm.pcrs)
    };
    let signers = policy.ima_signers();
    let demand = Demand {
        nonce,
        selection,
        previous,
        held: None,
        replayed: Demand::BOOT,
        ima_signers: &signers,
        dangerous_sha1_bank: policy.dangerous_allow_sha1_bank.as_deref(),
    };
    let registry = setting.hardware.as_ref();
    let enrolled = registry.map_or_else(Vec::new, zeuge_appraise::HardwareRegistry::aks);
    let trust = AkTrust {
        activation: None,
        enrolled: &enrolled,
        dangerous_unproven: policy.dangerous_allow_unproven_ak.as_deref(),
    };
    let roots = all_roots(&setting.anchors, &setting.tpm.roots)?;
    let context = Context {
        endorsements: &setting.endorsements,
        roots: &roots,
        at: setting.at,
        crypto: &AWS_LC,
    };
    verify(bundle, &demand, trust, context)
}
