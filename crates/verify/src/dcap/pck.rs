//! The SGX extension of a PCK certificate (1.2.840.113741.1.13.1): which platform, at which TCB.
//!
//! Reads and refuses what is absent, doubled or of the wrong type; unknown members are ignored.
//! Never compares with a quote or a document.

use zeuge_evidence::{
    Malformed,
    der::{Der, Element, tag},
    x509::Certificate,
};

const OID: &str = "1.2.840.113741.1.13.1";
/// The same, encoded.
const ENCODED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1];
/// The arc of the TCB, of which the members are known by the arc behind it.
const TCB: u8 = 2;
/// The arc of the configuration, as above.
const CONFIGURATION: u8 = 7;
const CHECK: &str = "dcap.pck.extension";

/// The platform's security versions as Intel certified them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PckTcb {
    /// SGX TCB components 1 to 16.
    pub components: [u8; 16],
    /// PCESVN.
    pub pce_svn: u16,
    /// CPUSVN.
    pub cpu_svn: [u8; 16],
}

/// What a multi-package platform declared at registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration {
    /// Whether packages may be added later.
    pub dynamic_platform: Option<bool>,
    /// Whether Intel caches the platform's root keys.
    pub cached_keys: Option<bool>,
    /// Whether simultaneous multithreading is on.
    pub smt_enabled: Option<bool>,
}

/// SGX type of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SgxType {
    /// 0: memory encrypted and integrity-protected with a tree; client platforms.
    Standard,
    /// 1: memory encrypted, integrity not protected by cryptography.
    Scalable,
    /// 2: memory encrypted and protected by cryptographic integrity.
    ScalableWithIntegrity,
}

/// The SGX extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PckExtension {
    /// PPID: the platform.
    pub ppid: [u8; 16],
    /// The platform's security versions.
    pub tcb: PckTcb,
    /// PCEID.
    pub pce_id: [u8; 2],
    /// FMSPC: family, model, stepping, platform type.
    pub fmspc: [u8; 6],
    /// SGX type.
    pub sgx_type: SgxType,
    /// Platform Instance ID; only under the Platform CA.
    pub platform_instance_id: Option<[u8; 16]>,
    /// Configuration; only under the Platform CA.
    pub configuration: Option<Configuration>,
}

impl PckExtension {
    /// Reads the extension of a certificate.
    ///
    /// # Errors
    /// `dcap.pck.extension` for an extension that is absent, incomplete or badly encoded.
    pub fn of(certificate: &Certificate<'_>) -> Result<Self, Malformed> {
        let extension = certificate.extension(OID).ok_or_else(|| {
            Malformed::invalid(CHECK, 0, "SGX extension", "the certificate has none")
        })?;
        let mut outer = Der::at_offset(extension.value, extension.offset, CHECK);
        let whole = outer.expect(tag::SEQUENCE, "SGX extension")?;
        outer.finish("SGX extension")?;
        let members = members(&whole, None)?;
        let tcb = tcb(&find(&members, TCB, &whole)?)?;
        let sgx_type = match find(&members, 5, &whole)? {
            Element {
                tag: tag::ENUMERATED,
                content: [0],
                ..
            } => SgxType::Standard,
            Element {
                tag: tag::ENUMERATED,
                content: [1],
                ..
            } => SgxType::Scalable,
            Element {
                tag: tag::ENUMERATED,
                content: [2],
                ..
            } => SgxType::ScalableWithIntegrity,
            other => return Err(other.invalid("SGX type", "there are types 0, 1 and 2")),
        };
        Ok(Self {
            ppid: octets(&find(&members, 1, &whole)?)?,
            tcb,
            pce_id: octets(&find(&members, 3, &whole)?)?,
            fmspc: octets(&find(&members, 4, &whole)?)?,
            sgx_type,
            platform_instance_id: match optional(&members, 6) {
                Some(element) => Some(octets(&element)?),
                None => None,
            },
            configuration: match optional(&members, CONFIGURATION) {
                Some(element) => Some(configuration(&element)?),
                None => None,
            },
        })
    }
}

type Members<'a> = Vec<(u8, Element<'a>)>;

/// The members `{OID, value}` of a sequence by the last arc of their identifier under the
/// extension's and this one, if one is given.
fn members<'a>(sequence: &Element<'a>, under: Option<u8>) -> Result<Members<'a>, Malformed> {
    if sequence.tag != tag::SEQUENCE {
        return Err(sequence.invalid("SGX extension", "a SEQUENCE was expected"));
    }
    let mut out: Members<'a> = Vec::new();
    let mut inside = sequence.inside();
    while !inside.is_empty() {
        let pair = inside.expect(tag::SEQUENCE, "SGX extension")?;
        let mut parts = pair.inside();
        let oid = parts.expect(tag::OID, "SGX extension")?;
        let value = parts.any()?;
        parts.finish("SGX extension")?;
        let arc = match (oid.content.strip_prefix(ENCODED), under) {
            (Some([arc @ ..=0x7f]), None) => *arc,
            (Some([parent, arc @ ..=0x7f]), Some(under)) if *parent == under => *arc,
            _ => {
                // Something that nobody here knows; but an identifier it must be.
                oid.oid()?;
                continue;
            }
        };
        if optional(&out, arc).is_some() {
            return Err(pair.invalid("SGX extension", "a member stands twice"));
        }
        out.push((arc, value));
    }
    Ok(out)
}

fn optional<'a>(members: &Members<'a>, arc: u8) -> Option<Element<'a>> {
    members
        .iter()
        .find(|(at, _)| *at == arc)
        .map(|(_, value)| *value)
}

fn find<'a>(members: &Members<'a>, arc: u8, whole: &Element<'a>) -> Result<Element<'a>, Malformed> {
    optional(members, arc).ok_or_else(|| whole.invalid("SGX extension", "a member is missing"))
}

fn octets<const N: usize>(element: &Element<'_>) -> Result<[u8; N], Malformed> {
    if element.tag != tag::OCTET_STRING {
        return Err(element.invalid("SGX extension", "an OCTET STRING was expected"));
    }
    let wrong = |_| element.invalid("SGX extension", "a member has another length");
    element.content.try_into().map_err(wrong)
}

fn tcb(element: &Element<'_>) -> Result<PckTcb, Malformed> {
    let members = members(element, Some(TCB))?;
    let mut components = [0u8; 16];
    for (arc, component) in (1u8..).zip(components.iter_mut()) {
        let member = find(&members, arc, element)?;
        let wrong = |_| member.invalid("TCB component", "it is above 255");
        *component = u8::try_from(member.u64()?).map_err(wrong)?;
    }
    let pce = find(&members, 17, element)?;
    let wrong = |_| pce.invalid("PCESVN", "it is above 65535");
    Ok(PckTcb {
        components,
        pce_svn: u16::try_from(pce.u64()?).map_err(wrong)?,
        cpu_svn: octets(&find(&members, 18, element)?)?,
    })
}

fn configuration(element: &Element<'_>) -> Result<Configuration, Malformed> {
    let members = members(element, Some(CONFIGURATION))?;
    let flag = |arc| {
        optional(&members, arc)
            .map(|flag| flag.boolean())
            .transpose()
    };
    Ok(Configuration {
        dynamic_platform: flag(1)?,
        cached_keys: flag(2)?,
        smt_enabled: flag(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(path: &str) -> Option<Vec<u8>> {
        let Some(folder) = std::env::var_os("ZEUGE_VECTORS") else {
            println!("skipped: ZEUGE_VECTORS is not set");
            return None;
        };
        Some(std::fs::read(std::path::Path::new(&folder).join(path)).unwrap())
    }

    #[test]
    fn the_extension_of_a_real_certificate_is_read() {
        let Some(der) = capture("open/intel-cert/phala-cloud__api-quickstart-1.der") else {
            return;
        };
        let certificate = Certificate::parse(&der).unwrap();
        let extension = PckExtension::of(&certificate).unwrap();
        assert_eq!(extension.pce_id, [0, 0]);
        assert_eq!(extension.tcb.components, extension.tcb.cpu_svn);
        assert!(extension.platform_instance_id.is_some() && extension.configuration.is_some());
    }

    #[test]
    fn no_changed_byte_makes_the_reader_of_the_extension_panic() {
        let Some(der) = capture("open/intel-cert/phala-cloud__api-quickstart-1.der") else {
            return;
        };
        for index in 0..der.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[index] ^= flip;
                if let Ok(certificate) = Certificate::parse(&changed) {
                    let _ = PckExtension::of(&certificate);
                }
            }
        }
    }
}
