//! Roots of TPM makers, and of AWS's other partitions, that somebody adds to those that ship:
//! `zeuge.roots.v1`; files from before AWS's partitions call it `zeuge.tpm-roots.v1`.
//!
//! Says whose a root is, under whose law, and where it was taken from; a root that does not say so
//! is refused. Reads no file itself.
//!
//! ```toml
//! schema = "zeuge.roots.v1"
//! [[root]]
//! file = "amd-ftpm-root.der"
//! maker = "AMD"
//! jurisdiction = "US"
//! origin = "https://ftpm.amd.com/pki/aia/…"
//! kind = "tpm"                     # or "nitro"
//! ```

use std::path::PathBuf;

use serde::Deserialize;
use zeuge_evidence::Malformed;
use zeuge_verify::{Anchors, tpm::TpmRoots};

use crate::document::{self, DocumentError};

/// The schema of a file that names roots.
pub const ROOTS_SCHEMA: &str = "zeuge.roots.v1";
/// The same schema by its earlier name.
const ROOTS_SCHEMA_EARLIER: &str = "zeuge.tpm-roots.v1";
/// Its name in a folder, and the earlier one.
pub const ROOTS_FILES: [&str; 2] = ["roots.toml", "tpm-roots.toml"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootsFile {
    schema: String,
    #[serde(default)]
    root: Vec<NamedRoot>,
}

/// A root as the file names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedRoot {
    /// The certificate, beside the file that names it.
    pub file: PathBuf,
    /// Whose TPMs it vouches for.
    pub maker: String,
    /// Under whose law the maker stands, such as `US`.
    pub jurisdiction: String,
    /// Where the certificate was taken from.
    pub origin: String,
    /// What it vouches for.
    #[serde(default)]
    pub kind: RootKind,
}

/// What a root vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootKind {
    /// TPMs.
    #[default]
    Tpm,
    /// Attestation documents of AWS's Nitro hypervisor in another partition.
    Nitro,
}

/// Reads a file that names roots.
///
/// # Errors
/// [`DocumentError`] for another schema, unknown fields, or a root without maker or jurisdiction.
pub fn named_roots(text: &str) -> Result<Vec<NamedRoot>, DocumentError> {
    let listed: RootsFile = document::read(text, ROOTS_SCHEMA, |file: &RootsFile| {
        match file.schema.as_str() {
            ROOTS_SCHEMA_EARLIER => ROOTS_SCHEMA,
            schema => schema,
        }
    })?;
    let nobodys =
        |root: &NamedRoot| root.maker.trim().is_empty() || root.jurisdiction.trim().is_empty();
    if listed.root.iter().any(nobodys) {
        return Err(DocumentError {
            wanted: ROOTS_SCHEMA,
            because: "a root needs its maker and jurisdiction".to_owned(),
        });
    }
    Ok(listed.root)
}

/// A root with its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRoot {
    named: NamedRoot,
    certificate: Vec<u8>,
}

impl OwnRoot {
    /// A named root and the content of its file.
    ///
    /// # Errors
    /// `x509.certificate` for a file without a certificate.
    pub fn new(named: NamedRoot, certificate: Vec<u8>) -> Result<Self, Malformed> {
        let root = Self { named, certificate };
        root.add_to(&mut TpmRoots::none())?;
        root.add_to_anchors(&mut Anchors::makers())?;
        Ok(root)
    }

    /// Adds it to the roots of TPMs that count, if it is one.
    ///
    /// # Errors
    /// `x509.certificate` beyond the most roots that are held.
    pub fn add_to(&self, roots: &mut TpmRoots) -> Result<(), Malformed> {
        if self.named.kind != RootKind::Tpm {
            return Ok(());
        }
        let NamedRoot {
            file: _,
            maker,
            jurisdiction,
            origin,
            kind: _,
        } = &self.named;
        roots.add(maker, jurisdiction, origin, &self.certificate)?;
        Ok(())
    }

    /// Adds it to the roots of Nitro's documents, if it is one.
    ///
    /// # Errors
    /// `x509.certificate` beyond the most roots that are held.
    pub fn add_to_anchors(&self, anchors: &mut Anchors) -> Result<(), Malformed> {
        match self.named.kind {
            RootKind::Tpm => Ok(()),
            RootKind::Nitro => {
                let NamedRoot {
                    maker,
                    jurisdiction,
                    ..
                } = &self.named;
                anchors.add_nitro(maker, jurisdiction, &self.certificate)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_does_not_say_whose_it_is_is_refused() {
        let text = |maker: &str| {
            format!(
                "schema = \"{ROOTS_SCHEMA}\"\n[[root]]\nfile = \"a.der\"\nmaker = \"{maker}\"\n\
                 jurisdiction = \"US\"\norigin = \"https://maker.example\"\n"
            )
        };
        let roots = named_roots(&text("AMD")).expect("a good file");
        let earlier = text("AMD").replace(ROOTS_SCHEMA, ROOTS_SCHEMA_EARLIER);
        assert_eq!(named_roots(&earlier), Ok(roots.clone()));
        let other = text("AMD").replace(ROOTS_SCHEMA, "zeuge.roots.v2");
        let refused = named_roots(&other).expect_err("another schema");
        assert_eq!(refused.because, "its schema is \"zeuge.roots.v2\"");
        assert_eq!(roots[0].jurisdiction, "US");
        let refused = named_roots(&text(" ")).expect_err("nobody's");
        assert!(refused.because.contains("maker and jurisdiction"));
        let nitro = format!("{}kind = \"nitro\"\n", text("AWS"));
        let partition = named_roots(&nitro).expect("a good file").remove(0);
        assert_eq!(
            (roots[0].kind, partition.kind),
            (RootKind::Tpm, RootKind::Nitro)
        );
        assert!(OwnRoot::new(partition, b"nothing".to_vec()).is_err());
        let malformed = OwnRoot::new(roots[0].clone(), b"nothing".to_vec());
        assert_eq!(
            malformed.expect_err("no certificate").check,
            zeuge_evidence::x509::CERTIFICATE
        );
    }
}
