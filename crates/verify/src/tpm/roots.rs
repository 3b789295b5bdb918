//! Roots of TPM makers: shipped ones by name, others as somebody gives them.
//!
//! Never takes a root from evidence. A root need not be self-signed: a maker's own root may hang
//! below a commercial one that nobody needs.

use std::borrow::Cow;

use zeuge_evidence::{Malformed, der, x509::Certificate};

use crate::anchors::{Anchors, Root, fingerprint};

/// A folder of somebody's own roots holds tens; more is a mistake.
pub const ROOTS_MAX: usize = 1024;

/// One root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakerRoot {
    /// Whose TPMs it vouches for, as the verdict names it.
    pub root: Root,
    /// Where the certificate is published, or the file that it came from.
    pub origin: String,
    certificate: Cow<'static, [u8]>,
}

impl MakerRoot {
    /// The certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

/// The roots that a verification may end in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TpmRoots {
    roots: Vec<MakerRoot>,
}

type Shipped = (&'static str, &'static str, &'static str, &'static [u8]);

const NUVOTON: &str = "https://www.nuvoton.com/security/NTC-TPM-EK-Cert/";
const GOOGLE: &str = "https://github.com/google/go-tpm-tools/tree/main/server/ca-certs";

/// Maker, jurisdiction, origin, certificate. The fingerprints stand in the test below, so that a
/// changed file is seen. Infineon's root of 2005 is left out: all that it signed is SHA-1.
const SHIPPED: [Shipped; 10] = [
    (
        "Google",
        "US",
        GOOGLE,
        include_bytes!("../anchors/tpm/google-cloud-host-root-1.der"),
    ),
    (
        "Google",
        "US",
        GOOGLE,
        include_bytes!("../anchors/tpm/google-ek-ak-root.der"),
    ),
    (
        "Infineon",
        "DE",
        "https://pki.infineon.com/OptigaRsaRootCA/OptigaRsaRootCA.crt",
        include_bytes!("../anchors/tpm/infineon-optiga-rsa-root.der"),
    ),
    (
        "Intel",
        "US",
        "https://upgrades.intel.com/content/CRL/ekcert/EKRootPublicKey.cer",
        include_bytes!("../anchors/tpm/intel-ek-root.der"),
    ),
    (
        "Nuvoton",
        "TW",
        NUVOTON,
        include_bytes!("../anchors/tpm/nuvoton-root-0100.der"),
    ),
    (
        "Nuvoton",
        "TW",
        NUVOTON,
        include_bytes!("../anchors/tpm/nuvoton-root-1110.der"),
    ),
    (
        "Nuvoton",
        "TW",
        NUVOTON,
        include_bytes!("../anchors/tpm/nuvoton-root-1111.der"),
    ),
    (
        "Nuvoton",
        "TW",
        NUVOTON,
        include_bytes!("../anchors/tpm/nuvoton-root-2110.der"),
    ),
    (
        "Nuvoton",
        "TW",
        NUVOTON,
        include_bytes!("../anchors/tpm/nuvoton-root-2111.der"),
    ),
    // STMicroelectronics' TPMs hang below a root that GlobalSign (Belgium) holds.
    (
        "STMicroelectronics (root held by GlobalSign)",
        "BE",
        "https://secure.globalsign.com/cacert/gstpmroot.crt",
        include_bytes!("../anchors/tpm/globalsign-tpm-root.der"),
    ),
];

impl TpmRoots {
    /// No root at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { roots: Vec::new() }
    }

    /// The makers' roots that ship with this program.
    #[must_use]
    pub fn shipped() -> Self {
        let roots = SHIPPED
            .iter()
            .map(|(maker, jurisdiction, origin, certificate)| MakerRoot {
                root: root(maker, jurisdiction, certificate),
                origin: (*origin).to_owned(),
                certificate: Cow::Borrowed(certificate),
            })
            .collect();
        Self { roots }
    }

    /// The roots for these anchors: the shipped ones, or the toys that stand in their place.
    #[must_use]
    pub fn of(anchors: &Anchors) -> Self {
        let toys = anchors.toy_tpm();
        if toys.is_empty() {
            return Self::shipped();
        }
        let roots = toys
            .iter()
            .map(|toy| MakerRoot {
                root: toy.root.clone(),
                origin: "the trust file of a toy vendor".to_owned(),
                certificate: Cow::Owned(toy.certificate().to_vec()),
            })
            .collect();
        Self { roots }
    }

    /// Adds the roots of one file that the owner chose: a certificate in DER, or any number in
    /// PEM. Returns how many. A folder of them is added file by file.
    ///
    /// # Errors
    /// `x509.certificate` for a file without a certificate, or beyond [`ROOTS_MAX`] roots.
    pub fn add(
        &mut self,
        maker: &str,
        jurisdiction: &str,
        origin: &str,
        file: &[u8],
    ) -> Result<usize, Malformed> {
        let mut certificates = der::pem_blocks(file, &["CERTIFICATE"], ROOTS_MAX);
        if certificates.is_empty() {
            certificates.push(file.to_vec());
        }
        let added = certificates.len();
        for certificate in certificates {
            Certificate::parse(&certificate)?;
            if self.roots.len() >= ROOTS_MAX {
                return Err(Malformed::invalid(
                    zeuge_evidence::x509::CERTIFICATE,
                    0,
                    "roots",
                    "there are more than 1024",
                ));
            }
            self.roots.push(MakerRoot {
                root: root(maker, jurisdiction, &certificate),
                origin: origin.to_owned(),
                certificate: Cow::Owned(certificate),
            });
        }
        Ok(added)
    }

    /// The roots, in order.
    #[must_use]
    pub fn roots(&self) -> &[MakerRoot] {
        &self.roots
    }
}

fn root(maker: &str, jurisdiction: &str, certificate: &[u8]) -> Root {
    Root {
        maker: maker.to_owned(),
        jurisdiction: jurisdiction.to_owned(),
        kind: "tpm",
        fingerprint: fingerprint(certificate),
        toy: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_roots_are_the_ones_that_were_looked_at() {
        let wanted = [
            "9bd5285f8fb18502a7947e621ffd470266f49fcd3b73e19a190f690ad32a7caf",
            "594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2",
            "899e35474c9807eb4c7f2f7a12da0028fb250cd02154d0009fca7d9c66574f3b",
            "2e1b3ba79af56d758be51697621bc4b9e8cee0983db3e749c55eb9b37c6d2ae0",
            "887bc9658ffc6ad7f4eeb85c8819772ff609ee64c4dac4a6dca654a39e94b289",
            "2782e51a95e86d9557fe4204316cf805bd6f5898f81f9732e944d742bcdc5f54",
            "e38c280f7c0e0b49f31efc7531032bb6a86c3fba4eb89beb1d510eaa4510ae4a",
            "4aebe77a51ed29959a7f9f5e07a24a558dee8167f3985d724995a541c258dfda",
            "cd8185ff8995ed09811970090a8c36fafab34ef87f47fa51fdb9ecf95c9c2e04",
            "f27bf02c6e00c73d915eeb6a6a2f5fbf0c31ae0393149e6b5c31e41b113841c3",
        ];
        let roots = TpmRoots::shipped();
        let found: Vec<String> = roots
            .roots()
            .iter()
            .map(|root| hex::encode(root.root.fingerprint))
            .collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn bytes_that_are_no_certificate_do_not_become_a_root() {
        let mut roots = TpmRoots::none();
        let refusal = roots.add("x", "none", "", b"nothing").unwrap_err();
        assert_eq!(refusal.check, zeuge_evidence::x509::CERTIFICATE);
        assert!(roots.roots().is_empty());
    }
}
