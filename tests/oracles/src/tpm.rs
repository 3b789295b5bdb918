//! TPM quotes, beside `tpm2_checkquote` of tpm2-tools and the crate `tpm2-protocol`.
//!
//! `tpm2_checkquote` is asked what it can know: do key, signature, nonce and PCR values belong
//! together. The AK is believed by the owner's word on our side, since the peer believes the key
//! that it is given. `tpm2-protocol` is asked whether it can read the structures.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tpm2_protocol::{
    TpmUnmarshal,
    data::{TpmsAttest, TpmtPublic, TpmtSignature},
};
use zeuge_evidence::{
    Malformed,
    tpm::{Attest, Body, PcrSelection, Public, QuoteBundle, Signature},
};
use zeuge_sim::{
    ToyTpm, TpmLie, TpmSpec,
    tpm::{AkKind, EkKind, Proof},
};
use zeuge_verify::{
    Endorsements,
    crypto::AWS_LC,
    tpm::{
        AkTrust, AttestationKey, Context, Demand, EnrolledAk, Nonce, Selection, TpmRoots, verify,
    },
};

use crate::{
    corpus::{self, NOW},
    random::Random,
    table::{ACCEPTED, Ledger},
};

const CHECKQUOTE: &str = "tpm2_checkquote";
const PROTOCOL: &str = "tpm2-protocol";

/// A folder for the files that the programs read; gone with this value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new folder of this process.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("zeuge-oracles-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }

    /// Where a file of this name lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a temporary file");
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether the program is installed.
#[must_use]
pub fn installed() -> bool {
    Command::new(CHECKQUOTE).arg("--version").output().is_ok()
}

/// A machine of every kind of AK.
#[must_use]
pub fn specs() -> Vec<TpmSpec> {
    let kinds = [AkKind::Ecdsa, AkKind::Rsassa, AkKind::Rsapss];
    kinds
        .into_iter()
        .map(|kind| TpmSpec {
            proof: Proof::Enrolment,
            ima: false,
            ..TpmSpec::new(EkKind::P256, kind)
        })
        .collect()
}

/// The parts of one quote, and what was asked.
#[derive(Clone)]
struct Question {
    attest: Vec<u8>,
    signature: Vec<u8>,
    public: Vec<u8>,
    /// The values of the asked selection, one after the other.
    bundle: QuoteBundle,
    asked: Vec<PcrSelection>,
    nonce: Vec<u8>,
}

impl Question {
    fn of(bundle: QuoteBundle, asked: Vec<PcrSelection>, nonce: &[u8]) -> Option<Self> {
        Some(Self {
            attest: bundle.attest.clone(),
            signature: bundle.signature.clone(),
            public: bundle.ak_public.clone()?,
            bundle,
            asked,
            nonce: nonce.to_vec(),
        })
    }

    fn ours(&self) -> &'static str {
        let bundle = QuoteBundle {
            attest: self.attest.clone(),
            signature: self.signature.clone(),
            ak_public: Some(self.public.clone()),
            eventlog: None,
            ima: None,
            ..self.bundle.clone()
        };
        let key = AttestationKey::read(&self.public);
        let enrolled: Vec<EnrolledAk> = key
            .iter()
            .map(|key| EnrolledAk::Key(key.key_sha256()))
            .collect();
        let demand = Demand {
            nonce: Nonce::Exact(&self.nonce),
            selection: Selection::Exactly(&self.asked),
            previous: None,
            held: None,
            replayed: Demand::BOOT,
            ima_signers: &[],
            dangerous_sha1_bank: Some("the peer takes any bank"),
        };
        let trust = AkTrust {
            enrolled: &enrolled,
            ..AkTrust::default()
        };
        let (endorsements, roots) = (Endorsements::new(), TpmRoots::default());
        let context = Context {
            endorsements: &endorsements,
            roots: &roots,
            at: NOW,
            crypto: &AWS_LC,
        };
        match verify(&bundle, &demand, trust, context) {
            Ok(_) => ACCEPTED,
            Err(error) => error.check(),
        }
    }

    /// The asked selection and its values as `tpm2_quote --pcr` writes them: the C structures
    /// `TPML_PCR_SELECTION` (16 banks) and, behind their count, `TPML_DIGEST` (8 digests each).
    /// (With `-l` the peer misreads more than 8 values.)
    fn values(&self) -> Vec<u8> {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let mut out = count(self.asked.len()).to_vec();
        let mut digests = Vec::new();
        for selection in &self.asked {
            out.extend(selection.bank.0.to_le_bytes());
            out.push(3);
            out.extend(selection.pcrs.0.to_le_bytes());
            out.push(0);
            for index in selection.pcrs.iter() {
                let mut held = self.bundle.pcrs.iter();
                let value = held.find(|value| value.bank == selection.bank && value.index == index);
                digests.push(value.map(|value| value.value.clone()).unwrap_or_default());
            }
        }
        out.resize(4 + 16 * 8, 0);
        out.extend(count(digests.chunks(8).count()));
        for chunk in digests.chunks(8) {
            let mut list = count(chunk.len()).to_vec();
            for digest in chunk {
                list.extend(
                    u16::try_from(digest.len())
                        .unwrap_or(u16::MAX)
                        .to_le_bytes(),
                );
                list.extend(digest);
                list.resize(list.len() + 64 - digest.len().min(64), 0);
            }
            list.resize(4 + 8 * 66, 0);
            out.extend(list);
        }
        out
    }

    fn theirs(&self, scratch: &Scratch) -> &'static str {
        // A bare key in DER becomes PEM, a TPMT_PUBLIC gets its length.
        let public = if self.public.first() == Some(&0x30) {
            pem(&self.public).into_bytes()
        } else {
            let length = u16::try_from(self.public.len()).unwrap_or(u16::MAX);
            [&length.to_be_bytes()[..], &self.public].concat()
        };
        let done = Command::new(CHECKQUOTE)
            .env("TSS2_LOG", "all+NONE")
            .arg("-u")
            .arg(scratch.file("public", &public))
            .arg("-m")
            .arg(scratch.file("attest", &self.attest))
            .arg("-s")
            .arg(scratch.file("signature", &self.signature))
            .arg("-f")
            .arg(scratch.file("values", &self.values()))
            .args(["-g", "sha256", "-q", &hex::encode(&self.nonce)])
            .output()
            .expect("the peer");
        match done.status.code() {
            Some(0) => ACCEPTED,
            Some(_) => "refused",
            None => "crashed",
        }
    }

    fn ask(&self, ledger: &mut Ledger, scratch: &Scratch, class: &str) {
        let public = self.public.as_slice();
        let files: [(&str, &[u8]); 3] = [
            ("attest.bin", &self.attest),
            ("signature.bin", &self.signature),
            ("public.bin", public),
        ];
        ledger.record(class, CHECKQUOTE, self.ours(), self.theirs(scratch), &files);
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}

/// Whether the peer reads the whole of it.
fn whole<T: TpmUnmarshal>(bytes: &[u8]) -> &'static str {
    match T::unmarshal(bytes) {
        Ok((_, [])) => ACCEPTED,
        Ok(_) => "trailing bytes",
        Err(_) => "refused",
    }
}

fn word<T>(read: Result<T, Malformed>) -> &'static str {
    read.map_or_else(|bad| bad.check, |_| ACCEPTED)
}

/// What a structure is.
#[derive(Clone, Copy)]
enum Structure {
    Attest,
    Public,
    Signature,
}

impl Structure {
    fn ask(self, ledger: &mut Ledger, class: &str, bytes: &[u8]) {
        let (name, ours, theirs) = match self {
            Self::Attest => (
                "attest",
                match Attest::parse(bytes) {
                    // Here checks of verification's, which needs no body that it does not know; the
                    // peer reads no other magic and every body.
                    Ok(attest) if attest.magic != zeuge_evidence::tpm::TPM_GENERATED_VALUE => {
                        "tpm.quote.magic"
                    }
                    Ok(attest) if attest.kind != zeuge_evidence::tpm::TAG_QUOTE => "tpm.quote.type",
                    read => word(read),
                },
                whole::<TpmsAttest>(bytes),
            ),
            Self::Public => (
                "public",
                word(Public::parse(bytes)),
                whole::<TpmtPublic>(bytes),
            ),
            Self::Signature => (
                "signature",
                word(Signature::parse(bytes)),
                whole::<TpmtSignature>(bytes),
            ),
        };
        let files: [(&str, &[u8]); 1] = [("structure.bin", bytes)];
        ledger.record(&format!("{class}-{name}"), PROTOCOL, ours, theirs, &files);
    }
}

/// Whether a lie is about what the peer looks at: key, statement, values.
fn of_the_quote(lie: TpmLie) -> bool {
    let check = lie.check();
    check.starts_with("tpm.quote.")
        || [
            "tpm.ak.attributes",
            "tpm.ak.key",
            "tpm.attest",
            "tpm.public",
        ]
        .contains(&check)
        || check == "tpm.signature-format"
}

/// Every honest quote and every lie about one, by every kind of AK.
pub fn toys(ledger: &mut Ledger, scratch: Option<&Scratch>) {
    let lies = TpmLie::ALL.iter().copied().filter(|lie| of_the_quote(*lie));
    for spec in specs() {
        for lie in std::iter::once(None).chain(lies.clone().map(Some)) {
            let told = ToyTpm::shared().tell(lie, &spec, NOW);
            let Ok(mut read) = QuoteBundle::read(&told.file) else {
                continue;
            };
            let asked = vec![PcrSelection {
                bank: zeuge_evidence::tpm::HashAlgorithm(told.asked.0),
                pcrs: zeuge_evidence::tpm::PcrSet(told.asked.1),
            }];
            let class = if lie.is_some() { "lie" } else { "toy" };
            let Some(question) = Question::of(read.remove(0), asked, &told.nonce) else {
                continue;
            };
            Structure::Attest.ask(ledger, class, &question.attest);
            Structure::Public.ask(ledger, class, &question.public);
            Structure::Signature.ask(ledger, class, &question.signature);
            // Reset and clock are questions about two quotes.
            let of_two = ["tpm.quote.clock", "tpm.quote.reset"];
            if lie.is_some_and(|lie| of_two.contains(&lie.check())) {
                continue;
            }
            if let Some(scratch) = scratch {
                question.ask(ledger, scratch, &format!("{class}-quote"));
            }
        }
    }
}

/// Quotes of real machines: read by both; checked by both where key, signature and values came in
/// one file.
pub fn captures(ledger: &mut Ledger, scratch: Option<&Scratch>, folder: &Path) {
    let mut checked = 0;
    for capture in corpus::of_classes(folder, &["tpm-quote", "azure-hcl", "evidence-bundle"]) {
        if capture.bytes.starts_with(&[0xff, 0x54, 0x43, 0x47]) {
            Structure::Attest.ask(ledger, "capture", &capture.bytes);
        }
        for bundle in QuoteBundle::read(&capture.bytes).unwrap_or_default() {
            Structure::Attest.ask(ledger, "capture", &bundle.attest);
            let Ok(attest) = Attest::parse(&bundle.attest) else {
                continue;
            };
            let Body::Quote { selections, .. } = &attest.body else {
                continue;
            };
            let (asked, nonce) = (selections.clone(), attest.extra_data.to_vec());
            let bundle = bundle.clone();
            let Some(question) = Question::of(bundle, asked, &nonce) else {
                continue;
            };
            if question.public.first() != Some(&0x30) {
                Structure::Public.ask(ledger, "capture", &question.public);
            }
            if Signature::parse(&question.signature).is_err() {
                continue;
            }
            Structure::Signature.ask(ledger, "capture", &question.signature);
            if let Some(scratch) = scratch {
                question.ask(ledger, scratch, "capture-quote");
                checked += 1;
            }
        }
    }
    println!("captured quotes with all parts for {CHECKQUOTE}: {checked}");
}

/// One to three changed bytes, most of them where numbers stand.
fn change(random: &mut Random, bytes: &mut [u8], numbers: usize) {
    for _ in 0..=random.below(3) {
        let end = if random.below(3) == 0 {
            bytes.len()
        } else {
            numbers.min(bytes.len())
        };
        if end == 0 {
            return;
        }
        let at = random.below(end);
        bytes[at] = match random.below(3) {
            0 => bytes[at] ^ (1 << random.below(8)),
            1 => bytes[at].wrapping_add(1),
            _ => random.byte(),
        };
    }
}

fn honest(spec: &TpmSpec) -> Question {
    let told = ToyTpm::shared().tell(None, spec, NOW);
    let read = QuoteBundle::read(&told.file)
        .expect("an honest quote")
        .remove(0);
    let asked = vec![PcrSelection {
        bank: zeuge_evidence::tpm::HashAlgorithm(told.asked.0),
        pcrs: zeuge_evidence::tpm::PcrSet(told.asked.1),
    }];
    Question::of(read, asked, &told.nonce).expect("an honest quote")
}

/// Structures with changed bytes, cut or longer, for the crate alone.
pub fn structures(ledger: &mut Ledger, seed: u64, numbers: std::ops::Range<u64>) {
    let honest: Vec<Question> = specs().iter().map(honest).collect();
    for number in numbers {
        let mut random = Random::of(seed, number);
        let question = random.one_of(&honest);
        let (structure, mut bytes) = match random.below(3) {
            0 => (Structure::Attest, question.attest.clone()),
            1 => (Structure::Public, question.public.clone()),
            _ => (Structure::Signature, question.signature.clone()),
        };
        match random.below(8) {
            0 => bytes.truncate(random.below(bytes.len())),
            1 => bytes.push(random.byte()),
            _ => change(&mut random, &mut bytes, 32),
        }
        structure.ask(ledger, "mutant", &bytes);
    }
}

/// Quotes with one changed part, most statements signed again by the AK.
pub fn mutants(ledger: &mut Ledger, scratch: &Scratch, seed: u64, numbers: std::ops::Range<u64>) {
    let specs = specs();
    let all: Vec<Question> = specs.iter().map(honest).collect();
    for number in numbers {
        let mut random = Random::of(seed, number);
        let which = random.below(specs.len());
        let mut question = all[which].clone();
        match random.below(8) {
            0 => change(&mut random, &mut question.signature, 8),
            1 => change(&mut random, &mut question.nonce, 64),
            2 => {
                let at = random.below(question.bundle.pcrs.len());
                change(&mut random, &mut question.bundle.pcrs[at].value, 32);
            }
            3 => change(&mut random, &mut question.public, 32),
            _ => {
                change(&mut random, &mut question.attest, 1024);
                if random.below(8) != 0 {
                    question.signature = ToyTpm::shared().resign(&specs[which], &question.attest);
                }
            }
        }
        question.ask(ledger, scratch, "quote-mutant");
    }
}
