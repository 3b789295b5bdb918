//! What Intel's provisioning certification service (PCS), or a cache of it (PCCS), is asked for:
//! the name, the path, and the form in which the answer is kept.
//!
//! An answer is kept as one file that `verify` reads: the body with its issuer's chain, which the
//! service sends in a header. Decides nothing about content: that is `content.rs`.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use zeuge_verify::dcap::{EndorsementId, Tee};

/// PPID plain, or encrypted with RSA of 2048 or 3072 bits.
const PPID_BYTES: [usize; 3] = [16, 256, 384];
/// QE id and CPUSVN.
const SIXTEEN_BYTES: usize = 16;

/// In which of Intel's states of knowledge documents are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// After the time that Intel leaves to update machines; Intel's default.
    #[default]
    Standard,
    /// From the day on which weaknesses become public.
    Early,
    /// Brought by a machine and newer than all before; asked for nowhere.
    Evidence,
}

impl Channel {
    /// Those that can be asked for.
    pub const SERVED: [Self; 2] = [Self::Standard, Self::Early];

    /// The word in keys and, for those that can be asked for, in addresses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Early => "early",
            Self::Evidence => "evidence",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Standard, Self::Early, Self::Evidence]
            .into_iter()
            .find(|channel| channel.word() == text)
    }

    /// Reads a channel that can be asked for: `standard` or `early`.
    #[must_use]
    pub fn served(text: &str) -> Option<Self> {
        Self::parse(text).filter(|channel| Self::SERVED.contains(channel))
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// One thing that Intel's service has, by what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PcsId {
    /// The revocation list of the root.
    RootCrl,
    /// The revocation list of a PCK CA: `platform` or `processor`.
    PckCrl {
        /// Which.
        ca: &'static str,
    },
    /// The TCB Info of a kind of platform.
    TcbInfo {
        /// For SGX or for TDX.
        tee: Tee,
        /// Family, model, stepping, platform type.
        fmspc: [u8; 6],
        /// In which state of knowledge.
        channel: Channel,
    },
    /// The identity of the quoting enclave.
    QeIdentity {
        /// For SGX or for TDX.
        tee: Tee,
        /// In which state of knowledge.
        channel: Channel,
    },
    /// Which evaluation numbers are served.
    EvaluationNumbers {
        /// For SGX or for TDX.
        tee: Tee,
    },
    /// The PCK certificate of a platform that a quote names without certifying it.
    PckCertificate(Box<PckRequest>),
}

/// By what a PCK certificate is asked for; all in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PckRequest {
    /// PPID, plain or encrypted for Intel's service.
    pub ppid: String,
    /// CPUSVN.
    pub cpu_svn: String,
    /// PCESVN, two bytes with the lower one first.
    pub pce_svn: String,
    /// PCEID, two bytes with the lower one first.
    pub pce_id: String,
    /// The id of the quoting enclave; caches look the platform up by it.
    pub qe_id: String,
}

impl PcsId {
    /// What verification names, in one channel.
    #[must_use]
    pub fn of(id: &EndorsementId, channel: Channel) -> Self {
        match id {
            EndorsementId::RootCrl => Self::RootCrl,
            EndorsementId::PckCrl { ca } => Self::PckCrl { ca },
            EndorsementId::TcbInfo { tee, fmspc } => Self::TcbInfo {
                tee: *tee,
                fmspc: *fmspc,
                channel,
            },
            EndorsementId::QeIdentity { tee } => Self::QeIdentity { tee: *tee, channel },
            EndorsementId::PckCertificate {
                ppid,
                cpu_svn,
                pce_svn,
                pce_id,
                qe_id,
            } => Self::PckCertificate(Box::new(PckRequest {
                ppid: ppid.clone(),
                cpu_svn: cpu_svn.clone(),
                pce_svn: hex::encode(pce_svn.to_le_bytes()),
                pce_id: hex::encode(pce_id.unwrap_or_default()),
                qe_id: qe_id.clone(),
            })),
        }
    }

    /// The key below `intel/`.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::RootCrl => "crl/root".to_owned(),
            Self::PckCrl { ca } => format!("crl/{ca}"),
            Self::TcbInfo {
                tee,
                fmspc,
                channel,
            } => format!("tcb/{}/{}/{channel}", word(*tee), hex::encode(fmspc)),
            Self::QeIdentity { tee, channel } => format!("qe/{}/{channel}", word(*tee)),
            Self::EvaluationNumbers { tee } => format!("numbers/{}", word(*tee)),
            Self::PckCertificate(request) => format!(
                "pck/{}/{}/{}/{}/{}",
                request.qe_id, request.cpu_svn, request.pce_svn, request.pce_id, request.ppid
            ),
        }
    }

    /// The key under which things of one kind are counted together.
    pub(crate) fn group(&self) -> String {
        match self {
            Self::TcbInfo { tee, channel, .. } => format!("tcb/{}/{channel}", word(*tee)),
            Self::PckCertificate(_) => "pck".to_owned(),
            other => other.key(),
        }
    }

    /// The inverse of [`Self::key`]; may give what is not well-formed.
    pub(crate) fn parse(parts: &[&str]) -> Option<Self> {
        Some(match parts {
            ["crl", "root"] => Self::RootCrl,
            ["crl", "platform"] => Self::PckCrl { ca: "platform" },
            ["crl", "processor"] => Self::PckCrl { ca: "processor" },
            ["tcb", tee, fmspc, channel] => Self::TcbInfo {
                tee: tee_of(tee)?,
                fmspc: hex::decode(fmspc).ok()?.try_into().ok()?,
                channel: Channel::parse(channel)?,
            },
            ["qe", tee, channel] => Self::QeIdentity {
                tee: tee_of(tee)?,
                channel: Channel::parse(channel)?,
            },
            ["numbers", tee] => Self::EvaluationNumbers { tee: tee_of(tee)? },
            ["pck", qe_id, cpu_svn, pce_svn, pce_id, ppid] => {
                Self::PckCertificate(Box::new(PckRequest {
                    ppid: (*ppid).to_owned(),
                    cpu_svn: (*cpu_svn).to_owned(),
                    pce_svn: (*pce_svn).to_owned(),
                    pce_id: (*pce_id).to_owned(),
                    qe_id: (*qe_id).to_owned(),
                }))
            }
            _ => return None,
        })
    }

    /// Whether the parts have the forms that addresses and file names rely on.
    pub(crate) fn is_well_formed(&self) -> bool {
        let Self::PckCertificate(request) = self else {
            return true;
        };
        let long = |text: &str, bytes: usize| {
            text.len() == bytes.saturating_mul(2)
                && text
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        PPID_BYTES.iter().any(|bytes| long(&request.ppid, *bytes))
            && long(&request.cpu_svn, SIXTEEN_BYTES)
            && long(&request.qe_id, SIXTEEN_BYTES)
            && long(&request.pce_svn, 2)
            && long(&request.pce_id, 2)
    }

    /// Path and query of Intel's API, version 4; `None` for what is asked for nowhere.
    pub(crate) fn path(&self) -> Option<String> {
        Some(match self {
            Self::RootCrl => "/sgx/certification/v4/rootcacrl".to_owned(),
            Self::PckCrl { ca } => format!("/sgx/certification/v4/pckcrl?ca={ca}&encoding=der"),
            Self::TcbInfo {
                channel: Channel::Evidence,
                ..
            }
            | Self::QeIdentity {
                channel: Channel::Evidence,
                ..
            } => return None,
            Self::TcbInfo {
                tee,
                fmspc,
                channel,
            } => format!(
                "/{}/certification/v4/tcb?fmspc={}&update={channel}",
                word(*tee),
                hex::encode_upper(fmspc)
            ),
            Self::QeIdentity { tee, channel } => format!(
                "/{}/certification/v4/qe/identity?update={channel}",
                word(*tee)
            ),
            Self::EvaluationNumbers { tee } => {
                format!("/{}/certification/v4/tcbevaluationdatanumbers", word(*tee))
            }
            Self::PckCertificate(request) => {
                let PckRequest {
                    ppid,
                    cpu_svn,
                    pce_svn,
                    pce_id,
                    qe_id,
                } = request.as_ref();
                format!(
                    "/sgx/certification/v4/pckcert?qeid={qe_id}&encrypted_ppid={ppid}&cpusvn={cpu_svn}&pcesvn={pce_svn}&pceid={pce_id}"
                )
            }
        })
    }

    /// The file that is kept: the body with its issuer's chain. What is not of the form is kept as
    /// it came, and refused when it is held against the roots.
    pub(crate) fn file(&self, body: Vec<u8>, issuer_chain: Option<&str>) -> Vec<u8> {
        let chain = issuer_chain.unwrap_or_default();
        let file = match self {
            Self::RootCrl => return body,
            Self::PckCrl { .. } => {
                // Some caches answer with hex where DER was asked for.
                let list = hex::decode(body.trim_ascii()).unwrap_or(body);
                json!({"crl_data_base64": BASE64_STANDARD.encode(list), "issuer_chain": chain})
            }
            Self::PckCertificate(_) => {
                json!({"pck_certificate": String::from_utf8_lossy(&body), "issuer_chain": chain})
            }
            Self::TcbInfo { .. } | Self::QeIdentity { .. } | Self::EvaluationNumbers { .. } => {
                let Ok(text) = String::from_utf8(body) else {
                    return Vec::new();
                };
                json!({self.member(): text, "issuer_chain": chain})
            }
        };
        file.to_string().into_bytes()
    }

    /// The member of a kept file that holds a document.
    const fn member(&self) -> &'static str {
        match self {
            Self::QeIdentity { .. } => "enclave_identity_json",
            Self::EvaluationNumbers { .. } => NUMBERS,
            _ => "tcb_info_json",
        }
    }
}

const NUMBERS: &str = "tcb_evaluation_data_numbers_json";

/// The document of a kept list of evaluation numbers.
pub(crate) fn numbers(file: &[u8]) -> Option<String> {
    let file: serde_json::Value = serde_json::from_slice(file).ok()?;
    file.get(NUMBERS)?.as_str().map(str::to_owned)
}

/// The word in keys and addresses.
pub(crate) const fn word(tee: Tee) -> &'static str {
    match tee {
        Tee::Sgx => "sgx",
        Tee::Tdx => "tdx",
    }
}

fn tee_of(text: &str) -> Option<Tee> {
    [Tee::Sgx, Tee::Tdx]
        .into_iter()
        .find(|tee| word(*tee) == text)
}
