//! Where things are had: base URLs from the configuration, paths by AMD's and Intel's rules.
//!
//! The only file that writes addresses. Never takes one from evidence, never follows one.

use std::net::IpAddr;

use reqwest::Url;
use zeuge_verify::snp::{EndorsementId, Product};

use crate::{Problem, Wanted, pcs::PcsId, wanted::kind};

/// AMD's key distribution service (AMD 57230 §4).
const AMD: &str = "https://kdsintf.amd.com";
/// Intel's provisioning certification service, API version 4.
const INTEL: &str = "https://api.trustedservices.intel.com";
/// Where the certificate of Intel's root says that its list lies; the service itself has none.
const INTEL_ROOT_LIST: &str = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";
/// Base URLs are short; longer ones are a mistake.
const BASE_BYTES_MAX: usize = 512;
const PERMITTED: &str = "https://host[:port][/path] without user, query and fragment; http:// for an address of this machine alone";

/// The beginning of every address of one service: `https://host[:port][/path]`.
///
/// Plain `http://` only for addresses of this machine (`127.0.0.0/8`, `[::1]`, `localhost`), where
/// a mirror or a toy stands; what comes is held against pinned roots either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    host: String,
}

impl BaseUrl {
    /// Reads a base URL.
    ///
    /// # Errors
    /// `collateral.address` for another scheme, another machine over plain HTTP, a user, a query or
    /// a fragment, or more than 512 bytes.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let refuse = |found: &str| Problem::Address {
            found: found.to_owned(),
            wanted: PERMITTED,
        };
        if text.len() > BASE_BYTES_MAX {
            return Err(refuse("more than 512 bytes"));
        }
        let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        let Some(host) = url.host_str() else {
            return Err(refuse("no host"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            // Not repeated: it may be a password.
            return Err(refuse("an address with a user"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("an address with a query or a fragment"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_this_machine(host) => {}
            other => return Err(refuse(&format!("{other}://{host}"))),
        }
        let port = url.port().map(|port| format!(":{port}"));
        Ok(Self {
            host: format!("{host}{}", port.unwrap_or_default()),
            text: url.as_str().trim_end_matches('/').to_owned(),
        })
    }

    /// Host and port, as back-off and people name it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// Intel's service: the original, or a cache of it (PCCS) that has the root's list itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcs {
    base: BaseUrl,
    is_cache: bool,
}

impl Pcs {
    /// A cache of the service, or a toy: the root's list is asked for there, too.
    #[must_use]
    pub const fn cache(base: BaseUrl) -> Self {
        Self {
            base,
            is_cache: true,
        }
    }
}

/// Who is asked for what; what has no source is asked for nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// AMD's service, a mirror of it, or a toy.
    pub amd: Option<BaseUrl>,
    /// Intel's service, a cache of it, or a toy.
    pub intel: Option<Pcs>,
}

impl Sources {
    /// The makers' own services.
    #[must_use]
    pub fn makers() -> Self {
        let known = |text: &str| BaseUrl {
            text: text.to_owned(),
            host: text.trim_start_matches("https://").to_owned(),
        };
        Self {
            amd: Some(known(AMD)),
            intel: Some(Pcs {
                base: known(INTEL),
                is_cache: false,
            }),
        }
    }

    /// The host that is asked, and the whole address; `None` where nobody is asked.
    pub(crate) fn place(&self, wanted: &Wanted) -> Option<(String, String)> {
        match wanted {
            Wanted::Amd(id) => {
                let base = self.amd.as_ref()?;
                Some((base.host.clone(), format!("{}{}", base.text, amd_path(id))))
            }
            Wanted::Intel(id) => {
                let pcs = self.intel.as_ref()?;
                if *id == PcsId::RootCrl && !pcs.is_cache {
                    let host = INTEL_ROOT_LIST.trim_start_matches("https://");
                    let host = host.split('/').next().unwrap_or_default();
                    return Some((host.to_owned(), INTEL_ROOT_LIST.to_owned()));
                }
                let path = id.path()?;
                let base = &pcs.base;
                Some((base.host.clone(), format!("{}{path}", base.text)))
            }
        }
    }
}

/// Path and query by AMD's rules: decimal values of two digits, hex in lower case.
fn amd_path(id: &EndorsementId) -> String {
    match id {
        EndorsementId::Vcek { product, hwid, tcb } => {
            let path = format!("/vcek/v1/{}/{hwid}", product.name());
            match (product, tcb) {
                (Product::Milan | Product::Genoa, [bl, tee, _, _, _, _, snp, ucode]) => format!(
                    "{path}?blSPL={bl:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={ucode:02}"
                ),
                (Product::Turin, [fmc, bl, tee, snp, _, _, _, ucode]) => format!(
                    // spec: sev-snp.kds.vcek-address
                    "{path}?fmcSPL={fmc:02}&blSPL={bl:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={ucode:02}"
                ),
            }
        }
        EndorsementId::AmdChain { product, vlek } => {
            format!("/{}/v1/{}/cert_chain", kind(*vlek), product.name())
        }
        EndorsementId::AmdCrl { product, vlek } => {
            format!("/{}/v1/{}/crl", kind(*vlek), product.name())
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use zeuge_verify::dcap::Tee;

    use super::*;
    use crate::pcs::{Channel, PckRequest};

    // spec: sev-snp.kds.vcek-address
    #[test]
    fn addresses_are_those_of_the_key_service() {
        let at = |id| Sources::makers().place(&Wanted::Amd(id)).unwrap().1;
        let (product, vlek) = (Product::Milan, true);
        assert_eq!(
            at(EndorsementId::AmdChain { product, vlek }),
            "https://kdsintf.amd.com/vlek/v1/Milan/cert_chain"
        );
        assert_eq!(
            at(EndorsementId::AmdCrl {
                product,
                vlek: false
            }),
            "https://kdsintf.amd.com/vcek/v1/Milan/crl"
        );
        assert_eq!(
            at(EndorsementId::Vcek {
                product: Product::Genoa,
                hwid: "ab".repeat(64),
                tcb: [7, 0, 0, 0, 0, 0, 14, 72],
            }),
            format!(
                "https://kdsintf.amd.com/vcek/v1/Genoa/{}?blSPL=07&teeSPL=00&snpSPL=14&ucodeSPL=72",
                "ab".repeat(64)
            )
        );
        assert_eq!(
            at(EndorsementId::Vcek {
                product: Product::Turin,
                hwid: "0123456789abcdef".to_owned(),
                tcb: [1, 2, 3, 4, 0, 0, 0, 200],
            }),
            "https://kdsintf.amd.com/vcek/v1/Turin/0123456789abcdef?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=200"
        );
    }

    #[test]
    fn a_mirror_may_have_a_path_and_this_machine_plain_http() {
        for (text, host) in [
            ("https://mirror.example/kds/", "mirror.example"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:9/x", "[::1]:9"),
            ("http://localhost", "localhost"),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().host(), host);
        }
        let amd = BaseUrl::parse("https://mirror.example/kds/").unwrap();
        let id = EndorsementId::AmdCrl {
            product: Product::Milan,
            vlek: false,
        };
        let sources = Sources {
            amd: Some(amd),
            intel: None,
        };
        assert_eq!(
            sources.place(&id.into()).unwrap().1,
            "https://mirror.example/kds/vcek/v1/Milan/crl"
        );
        assert_eq!(sources.place(&PcsId::RootCrl.into()), None);
    }

    #[test]
    fn addresses_are_those_of_intels_service_and_of_caches_of_it() {
        let fmspc = [0, 0x80, 0x6f, 5, 0, 0];
        let info = |channel| PcsId::TcbInfo {
            tee: Tee::Tdx,
            fmspc,
            channel,
        };
        let request = PckRequest {
            ppid: "ab".repeat(16),
            cpu_svn: "cd".repeat(16),
            pce_svn: "0d00".to_owned(),
            pce_id: "0000".to_owned(),
            qe_id: "ef".repeat(16),
        };
        let pck = format!(
            "/sgx/certification/v4/pckcert?qeid={}&encrypted_ppid={}&cpusvn={}&pcesvn=0d00&pceid=0000",
            request.qe_id, request.ppid, request.cpu_svn
        );
        let api = "https://api.trustedservices.intel.com";
        let cache = "https://pccs.example:8081";
        for (id, path) in [
            (
                PcsId::PckCrl { ca: "platform" },
                "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
            ),
            (
                info(Channel::Early),
                "/tdx/certification/v4/tcb?fmspc=00806F050000&update=early",
            ),
            (
                PcsId::QeIdentity {
                    tee: Tee::Sgx,
                    channel: Channel::Standard,
                },
                "/sgx/certification/v4/qe/identity?update=standard",
            ),
            (
                PcsId::EvaluationNumbers { tee: Tee::Tdx },
                "/tdx/certification/v4/tcbevaluationdatanumbers",
            ),
            (PcsId::PckCertificate(Box::new(request)), pck.as_str()),
        ] {
            let wanted = Wanted::Intel(id);
            let (host, address) = Sources::makers().place(&wanted).unwrap();
            assert_eq!(host, "api.trustedservices.intel.com");
            assert_eq!(address, format!("{api}{path}"));
            let pcs = Pcs::cache(BaseUrl::parse(cache).unwrap());
            let sources = Sources {
                amd: None,
                intel: Some(pcs),
            };
            assert_eq!(sources.place(&wanted).unwrap().1, format!("{cache}{path}"));
            let root = sources.place(&Wanted::Intel(PcsId::RootCrl)).unwrap();
            assert_eq!(root.1, format!("{cache}/sgx/certification/v4/rootcacrl"));
        }
        let root = Sources::makers().place(&Wanted::Intel(PcsId::RootCrl));
        assert_eq!(
            root,
            Some((
                "certificates.trustedservices.intel.com".to_owned(),
                INTEL_ROOT_LIST.to_owned()
            ))
        );
        let brought = Wanted::Intel(info(Channel::Evidence));
        assert_eq!(Sources::makers().place(&brought), None);
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in [
            "",
            "kdsintf.amd.com",
            "http://kdsintf.amd.com",
            "http://127.0.0.1.example",
            "file:///etc/passwd",
            "https://user:secret@mirror.example",
            "https://mirror.example/?a=b",
            "https://mirror.example/#a",
        ] {
            let problem = BaseUrl::parse(text).unwrap_err();
            assert_eq!(problem.check(), "collateral.address", "{text}");
            assert!(!problem.to_string().contains("secret"));
        }
    }
}
