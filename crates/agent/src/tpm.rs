//! The TPM of this machine: its EK with the maker's certificate, an AK, credentials, quotes.
//!
//! Speaks the TPM's own bytes (TCG TPM 2.0 Library, part 3) over `/dev/tpmrm0`, without a library
//! in C. Both keys are primary keys of fixed templates: the TPM makes the same ones again for as
//! long as its endorsement seed lives, so nothing is stored and nothing needs the owner's
//! password. Never decides whether a quote is good, never keeps an object in the TPM.

mod azure;
mod channel;
mod nitro;
mod speaker;

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) use azure::Paravisor;
pub(crate) use channel::Channel;
use channel::{Answer, Authority, Command, trouble};
pub(crate) use speaker::{Behind, Logs, Speaker, Wanted};

use crate::error::Error;

/// The check ids of this module.
pub(crate) const CHECKS: &[&str] = &["agent.tpm"];

/// NV indices of EK certificates: RSA-2048 and P-256 (TCG EK Credential Profile §2.2.1.4).
const RSA_CERTIFICATE: u32 = 0x01c0_0002;
const P256_CERTIFICATE: u32 = 0x01c0_000a;
/// How much of an NV index is read at once, in bytes: every TPM allows this.
const NV_CHUNK: u16 = 512;
/// An NV index holds at most this many bytes on any known TPM.
const NV_BYTES_MAX: u16 = 8192;

const RH_OWNER: u32 = 0x4000_0001;
const RH_NULL: u32 = 0x4000_0007;
const RH_ENDORSEMENT: u32 = 0x4000_000b;
/// `TPM_ALG_NULL`, `TPM_ALG_SHA256`.
const NULL: [u8; 2] = [0, 0x10];
const SHA256: [u8; 2] = [0, 0x0b];

/// The register that says that boot secrets were fetched. It is nobody's but the system's, and it
/// cannot be set back before the machine restarts.
pub(crate) const CLOSED_PCR: u32 = 15;
/// What it is extended with.
pub(crate) const CLOSED: &[u8] = b"zeuge:closed";

/// Fixed TPM, fixed parent, made by the TPM, administered by policy, restricted, decrypts.
const EK_ATTRIBUTES: u32 = 0x0003_00b2;
/// Fixed TPM, fixed parent, made by the TPM, used with the password, no lockout, restricted, signs.
const AK_ATTRIBUTES: u32 = 0x0005_0472;
/// PolicySecret of the endorsement hierarchy (TCG EK Credential Profile, policy A).
const POLICY_A: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// Which EK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EkKind {
    Rsa,
    P256,
}

/// A key that is loaded in the TPM.
struct Loaded {
    handle: u32,
    /// `TPMT_PUBLIC`.
    public: Vec<u8>,
}

/// What a TPM says about itself.
pub(crate) struct Identity {
    /// The certificate as it lies in NV, perhaps with padding behind it.
    pub(crate) ek_certificate: Vec<u8>,
    /// `TPMT_PUBLIC` of the EK.
    pub(crate) ek_public: Vec<u8>,
    /// `TPMT_PUBLIC` of the AK.
    pub(crate) ak_public: Vec<u8>,
}

/// `zeuge.tpm-quote.v1`.
pub(crate) struct Quote(Value);

impl Quote {
    /// Puts boot log and IMA list, in this order, into the file of the quote.
    pub(crate) fn add_logs(&mut self, logs: [Option<Vec<u8>>; 2]) {
        for (field, log) in ["eventlog", "ima"].into_iter().zip(logs) {
            if let (Some(log), Some(object)) = (log, self.0.as_object_mut()) {
                object.insert(field.to_owned(), base64(&log));
            }
        }
    }

    /// The file.
    pub(crate) fn json(&self) -> String {
        self.0.to_string()
    }
}

/// A TPM.
pub(crate) struct Tpm {
    channel: Channel,
}

impl Tpm {
    /// Opens the device, or the socket of a software TPM.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn open(socket: Option<&Path>) -> Result<Self, Error> {
        let channel = Channel::open(socket)?;
        Ok(Self { channel })
    }

    /// Opens the device without the kernel's resource manager, which knows no makers' commands; or
    /// the socket of a software TPM.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn open_raw(socket: Option<&Path>) -> Result<Self, Error> {
        let channel = Channel::open_raw(socket)?;
        Ok(Self { channel })
    }

    /// The value of one register of the SHA-256 bank, as the TPM says it now.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn register(&mut self, index: u32) -> Result<Vec<u8>, Error> {
        let mut values = self.pcrs(&[index])?;
        Ok(values.remove(&index).unwrap_or_default())
    }

    /// EK, its certificate and the AK. An RSA certificate is preferred, as makers do.
    ///
    /// # Errors
    /// `agent.tpm`, also where the TPM has no EK certificate.
    pub(crate) fn identity(&mut self) -> Result<Identity, Error> {
        let (kind, ek_certificate) = self.certificate()?;
        let ek = self.ek(kind)?;
        let ak = self.ak();
        self.flush(ek.handle)?;
        let ak = ak?;
        self.flush(ak.handle)?;
        Ok(Identity {
            ek_certificate,
            ek_public: ek.public,
            ak_public: ak.public,
        })
    }

    fn certificate(&mut self) -> Result<(EkKind, Vec<u8>), Error> {
        let indices = [
            (EkKind::Rsa, RSA_CERTIFICATE),
            (EkKind::P256, P256_CERTIFICATE),
        ];
        let mut last = trouble("the TPM has no EK certificate");
        for (kind, index) in indices {
            match self.nv(index) {
                Ok(bytes) => return Ok((kind, bytes)),
                Err(error) => last = error,
            }
        }
        Err(trouble(format!(
            "the TPM has no EK certificate that can be read ({})",
            last.because
        )))
    }

    /// Opens a credential: only the TPM that holds this EK and this AK can.
    ///
    /// Both parts with their lengths before them.
    ///
    /// # Errors
    /// `agent.tpm`, also where the credential is for another TPM or another key.
    pub(crate) fn activate(
        &mut self,
        id_object: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (kind, _) = self.certificate()?;
        let ek = self.ek(kind)?;
        let opened = self.activate_with(&ek, id_object, encrypted_secret);
        self.flush(ek.handle)?;
        opened
    }

    fn activate_with(
        &mut self,
        ek: &Loaded,
        id_object: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let ak = self.ak()?;
        let session = self.policy_session();
        let opened = session.and_then(|session| {
            let command = Command::new("TPM2_ActivateCredential", 0x147)
                .authorised(ak.handle, Authority::Password)
                .authorised(ek.handle, Authority::Policy(session))
                .with(id_object)
                .with(encrypted_secret);
            let opened = self
                .channel
                .run(&command, 0)
                .and_then(|mut answer| answer.sized());
            self.flush(session)?;
            opened
        });
        self.flush(ak.handle)?;
        opened
    }

    /// A session in which the endorsement hierarchy has agreed: what the EK's policy demands.
    fn policy_session(&mut self) -> Result<u32, Error> {
        let mut nonce = [0; 16];
        crate::random::fill(&mut nonce)?;
        let start = Command::new("TPM2_StartAuthSession", 0x176)
            .handle(RH_NULL)
            .handle(RH_NULL)
            .sized(&nonce)
            .sized(&[])
            // A policy session, no cipher, SHA-256.
            .with(&[1])
            .with(&NULL)
            .with(&SHA256);
        let session = first(&self.channel.run(&start, 1)?)?;
        let secret = Command::new("TPM2_PolicySecret", 0x151)
            .authorised(RH_ENDORSEMENT, Authority::Password)
            .handle(session)
            .sized(&[])
            .sized(&[])
            .sized(&[])
            .with(&[0; 4]);
        if let Err(error) = self.channel.run(&secret, 0) {
            self.flush(session)?;
            return Err(error);
        }
        Ok(session)
    }

    /// A quote of these PCRs of the SHA-256 bank, with this qualifying data (up to 64 bytes), as
    /// `zeuge.tpm-quote.v1`, without logs: those are read after it.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn quote(&mut self, qualifying: &[u8], pcrs: &[u32]) -> Result<Quote, Error> {
        let ak = self.ak()?;
        let quoted = self.quote_with(&ak, qualifying, pcrs);
        self.flush(ak.handle)?;
        let (attest, signature) = quoted?;
        let values: serde_json::Map<String, Value> = self
            .pcrs(pcrs)?
            .into_iter()
            .map(|(index, value)| (index.to_string(), json!(hex::encode(value))))
            .collect();
        Ok(Quote(json!({
            "schema": "zeuge.tpm-quote.v1",
            "attest": base64(&attest),
            "signature": base64(&signature),
            "ak_public": base64(&ak.public),
            "pcrs": { "sha256": values },
        })))
    }

    /// The TPM name of the AK: its name algorithm, and the hash of its public area.
    ///
    /// # Errors
    /// `agent.tpm`.
    fn ak_name(&mut self) -> Result<Vec<u8>, Error> {
        let ak = self.ak()?;
        self.flush(ak.handle)?;
        let mut name = SHA256.to_vec();
        name.extend(Sha256::digest(&ak.public));
        Ok(name)
    }

    fn quote_with(
        &mut self,
        ak: &Loaded,
        qualifying: &[u8],
        pcrs: &[u32],
    ) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let command = Command::new("TPM2_Quote", 0x158)
            .authorised(ak.handle, Authority::Password)
            .sized(qualifying)
            .with(&NULL)
            .with(&selection(pcrs));
        let mut answer = self.channel.run(&command, 0)?;
        Ok((answer.sized()?, answer.rest()))
    }

    /// The values of these PCRs. A TPM gives at most eight at once.
    fn pcrs(&mut self, pcrs: &[u32]) -> Result<BTreeMap<u32, Vec<u8>>, Error> {
        let mut out = BTreeMap::new();
        for some in pcrs.chunks(8) {
            let command = Command::new("TPM2_PCR_Read", 0x17e).with(&selection(some));
            let mut answer = self.channel.run(&command, 0)?;
            // Update counter, then the selection that was read.
            answer.number()?;
            if answer.take(10)? != selection(some) {
                return Err(trouble("the TPM has no SHA-256 bank with these PCRs"));
            }
            answer.number()?;
            let mut sorted = some.to_vec();
            sorted.sort_unstable();
            for index in sorted {
                out.insert(index, answer.sized()?);
            }
        }
        Ok(out)
    }

    /// Extends [`CLOSED_PCR`] with [`CLOSED`]: whoever asks later sees that boot is over.
    ///
    /// # Errors
    /// `agent.tpm`.
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        let command = Command::new("TPM2_PCR_Extend", 0x182)
            .authorised(CLOSED_PCR, Authority::Password)
            .with(&[0, 0, 0, 1])
            .with(&SHA256)
            .with(&Sha256::digest(CLOSED));
        self.channel.run(&command, 0).map(|_| ())
    }

    fn nv(&mut self, index: u32) -> Result<Vec<u8>, Error> {
        let command = Command::new("TPM2_NV_ReadPublic", 0x169).handle(index);
        let public = self.channel.run(&command, 0)?.sized()?;
        // Index, hash, attributes, policy, then the size at the end.
        let size = public
            .last_chunk::<2>()
            .map(|size| u16::from_be_bytes(*size));
        let size = size
            .filter(|size| *size <= NV_BYTES_MAX)
            .ok_or_else(|| trouble("an NV index is larger than any known"))?;
        let mut out = Vec::new();
        while out.len() < usize::from(size) {
            let offset = u16::try_from(out.len()).unwrap_or(u16::MAX);
            let length = NV_CHUNK.min(size.saturating_sub(offset));
            let read = |authority: u32| {
                Command::new("TPM2_NV_Read", 0x14e)
                    .authorised(authority, Authority::Password)
                    .handle(index)
                    .with(&length.to_be_bytes())
                    .with(&offset.to_be_bytes())
            };
            // The index' own password is empty; the owner's need not be.
            let answer = match self.channel.run(&read(index), 0) {
                Ok(answer) => answer,
                Err(_) => self.channel.run(&read(RH_OWNER), 0)?,
            };
            let part = { answer }.sized()?;
            if part.is_empty() {
                return Err(trouble("an NV index gives nothing"));
            }
            out.extend(part);
        }
        Ok(out)
    }

    /// The EK of the standard template (L-1, L-2).
    fn ek(&mut self, kind: EkKind) -> Result<Loaded, Error> {
        let mut template = head(kind == EkKind::Rsa, EK_ATTRIBUTES, &POLICY_A);
        // AES-128 in CFB, no scheme.
        template.extend([0, 6, 0, 0x80, 0, 0x43, 0, 0x10]);
        match kind {
            EkKind::Rsa => {
                template.extend([0x08, 0, 0, 0, 0, 0, 0x01, 0]);
                template.extend([0; 256]);
            }
            EkKind::P256 => {
                template.extend([0, 3, 0, 0x10]);
                for _ in 0..2 {
                    template.extend([0, 32]);
                    template.extend([0; 32]);
                }
            }
        }
        self.primary(&template)
    }

    /// The AK: on P-256, signs with ECDSA and SHA-256, and only what the TPM made.
    fn ak(&mut self) -> Result<Loaded, Error> {
        let mut template = head(false, AK_ATTRIBUTES, &[]);
        template.extend([0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10]);
        // A number of our own, so that this key is nobody else's.
        template.extend([0, 32]);
        template.extend(Sha256::digest(b"zeuge attestation key 1"));
        template.extend([0, 32]);
        template.extend([0; 32]);
        self.primary(&template)
    }

    fn primary(&mut self, template: &[u8]) -> Result<Loaded, Error> {
        let command = Command::new("TPM2_CreatePrimary", 0x131)
            .authorised(RH_ENDORSEMENT, Authority::Password)
            // No password, no data; nothing from outside; no PCRs.
            .with(&[0, 4, 0, 0, 0, 0])
            .sized(template)
            .sized(&[])
            .with(&[0; 4]);
        let mut answer = self.channel.run(&command, 1)?;
        Ok(Loaded {
            handle: first(&answer)?,
            public: answer.sized()?,
        })
    }

    fn flush(&mut self, handle: u32) -> Result<(), Error> {
        let command = Command::new("TPM2_FlushContext", 0x165).with(&handle.to_be_bytes());
        self.channel.run(&command, 0).map(|_| ())
    }
}

fn first(answer: &Answer) -> Result<u32, Error> {
    let handle = answer.handles.first().copied();
    handle.ok_or_else(|| trouble("the TPM gives no handle"))
}

/// Type, name algorithm, attributes and policy of a template.
fn head(rsa: bool, attributes: u32, policy: &[u8]) -> Vec<u8> {
    let mut out = if rsa { vec![0, 1] } else { vec![0, 0x23] };
    out.extend(SHA256);
    out.extend(attributes.to_be_bytes());
    out.extend(
        u16::try_from(policy.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes(),
    );
    out.extend(policy);
    out
}

/// `TPML_PCR_SELECTION` of one SHA-256 bank; PCRs over 23 do not exist and are left out.
fn selection(pcrs: &[u32]) -> Vec<u8> {
    let bits = pcrs
        .iter()
        .filter(|index| **index < 24)
        .fold(0_u32, |bits, index| bits | 1 << *index);
    let mut out = vec![0, 0, 0, 1];
    out.extend(SHA256);
    out.push(3);
    out.extend(bits.to_le_bytes().get(..3).unwrap_or_default());
    out
}

fn base64(bytes: &[u8]) -> Value {
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_has_one_bit_for_each_pcr() {
        assert_eq!(
            hex::encode(selection(&[0, 15, 23, 24])),
            "00000001000b03018080"
        );
    }
}
