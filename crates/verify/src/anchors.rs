//! The roots that somebody decided to trust: the makers' own, pinned here, or the toys of a file.
//!
//! Never takes a root from evidence. A toy root replaces the pinned root of its maker and product
//! and carries the mark `toy`, which every verdict repeats. The folder `anchors/` holds the pinned
//! certificates with the address that publishes them and their fingerprints.

use std::{borrow::Cow, fmt};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeuge_evidence::{
    Malformed, der,
    snp::Product,
    x509::{CERTIFICATE, Certificate},
};

/// A trust file names at most a handful of certificates of 3 KiB each; this is far above.
pub const SIM_TRUST_BYTES_MAX: usize = 1024 * 1024;
/// A trust file is for one toy vendor; nobody needs more TPM roots than this.
const TPM_ROOTS_MAX: usize = 16;
/// Partitions of AWS's beside the commercial one: China, GovCloud, Europe's, the secret ones.
const PARTITIONS_MAX: usize = 16;
const SCHEMA: &str = "zeuge.sim-trust.v1";
/// SHA-256 of `GCE-cc-tcb-root_1.crt`, which <https://pki.goog/cloud_integrity/GCE-cc-tcb-root_1.crt>
/// publishes in DER; `anchors/google/README.md` says who else pins it.
const GOOGLE_FIRMWARE_ROOT: [u8; 32] = [
    0xe8, 0x76, 0xbc, 0x69, 0x78, 0xbf, 0x4f, 0x3d, 0xa4, 0x45, 0xf9, 0x8a, 0x0a, 0x82, 0x36, 0x3c,
    0x8c, 0x0b, 0xae, 0x5a, 0x1f, 0xc0, 0x33, 0xc6, 0xdf, 0x65, 0x84, 0x6a, 0x6c, 0xb0, 0xf1, 0x8c,
];

/// SHA-256 of DER-encoded bytes.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A root of trust, as the verdict names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Who holds the key: `AMD`, `Intel`, or `toy AMD`.
    pub maker: String,
    /// The law the maker lives under, as an ISO 3166 code; `none` for a toy.
    pub jurisdiction: String,
    /// What the key vouches for: `cpu`, `firmware`, `hypervisor` or `tpm`.
    pub kind: &'static str,
    /// SHA-256 of the certificate in DER.
    pub fingerprint: [u8; 32],
    /// Whether this is a toy that proves nothing about hardware.
    pub toy: bool,
}

/// A root and its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The root, as the verdict names it.
    pub root: Root,
    certificate: Cow<'static, [u8]>,
}

impl Anchor {
    /// The certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn pinned(
        maker: &str,
        jurisdiction: &str,
        kind: &'static str,
        certificate: &'static [u8],
    ) -> Self {
        let root = Root {
            maker: maker.to_owned(),
            jurisdiction: jurisdiction.to_owned(),
            kind,
            fingerprint: fingerprint(certificate),
            toy: false,
        };
        Self {
            root,
            certificate: Cow::Borrowed(certificate),
        }
    }

    fn toy(maker: &str, kind: &'static str, pem: &str) -> Result<Self, BadTrustFile> {
        let blocks = der::pem_blocks(pem.as_bytes(), &["CERTIFICATE"], 2);
        let [certificate] = blocks.as_slice() else {
            return Err(BadTrustFile::NotOneCertificate {
                maker: maker.to_owned(),
            });
        };
        if Certificate::parse(certificate).is_err() {
            return Err(BadTrustFile::NotOneCertificate {
                maker: maker.to_owned(),
            });
        }
        let root = Root {
            maker: format!("toy {maker}"),
            jurisdiction: "none".to_owned(),
            kind,
            fingerprint: fingerprint(certificate),
            toy: true,
        };
        Ok(Self {
            root,
            certificate: Cow::Owned(certificate.clone()),
        })
    }
}

/// A trust file that cannot be used. Not a check: nothing has been verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadTrustFile {
    /// It is longer than [`SIM_TRUST_BYTES_MAX`].
    TooLong,
    /// It is not JSON of this form, or names a member that is unknown.
    Json(String),
    /// Its `schema` is another.
    Schema(String),
    /// A member is not the PEM of exactly one certificate.
    NotOneCertificate {
        /// Whose root was expected.
        maker: String,
    },
    /// It names more TPM roots than a toy needs.
    TooManyTpmRoots,
}

impl fmt::Display for BadTrustFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(
                out,
                "the trust file is longer than {SIM_TRUST_BYTES_MAX} bytes"
            ),
            Self::Json(because) => {
                write!(out, "the trust file is not of the form {SCHEMA}: {because}")
            }
            Self::Schema(found) => write!(
                out,
                "the trust file has schema {found:?}, wanted {SCHEMA:?}"
            ),
            Self::NotOneCertificate { maker } => {
                write!(
                    out,
                    "the trust file's root of {maker} is not the PEM of one certificate"
                )
            }
            Self::TooManyTpmRoots => {
                write!(
                    out,
                    "the trust file names more than {TPM_ROOTS_MAX} TPM roots"
                )
            }
        }
    }
}

impl std::error::Error for BadTrustFile {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    schema: String,
    #[serde(default)]
    amd: AmdRoots,
    #[serde(default)]
    intel: IntelRoots,
    #[serde(default)]
    tpm: TpmRoots,
    #[serde(default)]
    aws: AwsRoots,
    #[serde(default)]
    google: GoogleRoots,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AmdRoots {
    #[serde(rename = "Milan")]
    milan: Option<String>,
    #[serde(rename = "Genoa")]
    genoa: Option<String>,
    #[serde(rename = "Turin")]
    turin: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntelRoots {
    root: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AwsRoots {
    root: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoogleRoots {
    root: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TpmRoots {
    #[serde(default)]
    roots: Vec<String>,
}

/// The roots of one verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    milan: Anchor,
    genoa: Anchor,
    turin: Anchor,
    intel: Anchor,
    nitro: Anchor,
    nitro_partitions: Vec<Anchor>,
    google: Root,
    toy_tpm: Vec<Anchor>,
}

impl Anchors {
    /// The makers' own roots, as pinned in this program.
    #[must_use]
    pub fn makers() -> Self {
        let amd = |certificate| Anchor::pinned("AMD", "US", "cpu", certificate);
        Self {
            milan: amd(include_bytes!("anchors/amd/ark-milan.der")),
            genoa: amd(include_bytes!("anchors/amd/ark-genoa.der")),
            turin: amd(include_bytes!("anchors/amd/ark-turin.der")),
            intel: Anchor::pinned(
                "Intel",
                "US",
                "cpu",
                include_bytes!("anchors/intel/sgx-root-ca.der"),
            ),
            nitro: Anchor::pinned(
                "AWS",
                "US",
                "hypervisor",
                include_bytes!("anchors/nitro/aws-nitro-enclaves-g1.der"),
            ),
            nitro_partitions: Vec::new(),
            google: Root {
                maker: "Google".to_owned(),
                jurisdiction: "US".to_owned(),
                kind: "firmware",
                fingerprint: GOOGLE_FIRMWARE_ROOT,
                toy: false,
            },
            toy_tpm: Vec::new(),
        }
    }

    /// The makers' roots, with those that the trust file of a toy vendor names in their place.
    ///
    /// Dangerous: whoever holds the toy's keys can then make evidence of any machine. A toy root
    /// replaces the pinned root of its product; it never stands beside it.
    ///
    /// # Errors
    /// [`BadTrustFile`] for another schema, unknown members, or what is not one certificate.
    pub fn dangerous_sim(trust_file: &str) -> Result<Self, BadTrustFile> {
        if trust_file.len() > SIM_TRUST_BYTES_MAX {
            return Err(BadTrustFile::TooLong);
        }
        let file: TrustFile = serde_json::from_str(trust_file)
            .map_err(|error| BadTrustFile::Json(error.to_string()))?;
        if file.schema != SCHEMA {
            return Err(BadTrustFile::Schema(file.schema));
        }
        if file.tpm.roots.len() > TPM_ROOTS_MAX {
            return Err(BadTrustFile::TooManyTpmRoots);
        }
        let mut anchors = Self::makers();
        let amd = [
            (file.amd.milan, &mut anchors.milan),
            (file.amd.genoa, &mut anchors.genoa),
            (file.amd.turin, &mut anchors.turin),
        ];
        for (toy, anchor) in amd {
            if let Some(pem) = toy {
                *anchor = Anchor::toy("AMD", "cpu", &pem)?;
            }
        }
        if let Some(pem) = file.intel.root {
            anchors.intel = Anchor::toy("Intel", "cpu", &pem)?;
        }
        if let Some(pem) = file.aws.root {
            anchors.nitro = Anchor::toy("AWS", "hypervisor", &pem)?;
        }
        if let Some(pem) = file.google.root {
            anchors.google = Anchor::toy("Google", "firmware", &pem)?.root;
        }
        for pem in &file.tpm.roots {
            anchors.toy_tpm.push(Anchor::toy("TPM", "tpm", pem)?);
        }
        Ok(anchors)
    }

    /// AMD's root (ARK) of this product.
    #[must_use]
    pub const fn amd(&self, product: Product) -> &Anchor {
        match product {
            Product::Milan => &self.milan,
            Product::Genoa => &self.genoa,
            Product::Turin => &self.turin,
        }
    }

    /// Intel's root of SGX and TDX, or the toy that stands in its place.
    ///
    /// It counts by its key: Intel has published more than one certificate of it.
    #[must_use]
    pub const fn intel(&self) -> &Anchor {
        &self.intel
    }

    /// AWS's root of Nitro attestation documents, or the toy that stands in its place.
    #[must_use]
    pub const fn nitro(&self) -> &Anchor {
        &self.nitro
    }

    /// Adds the root of another partition of AWS's, which somebody has taken from AWS himself.
    ///
    /// # Errors
    /// `x509.certificate` for what is no certificate in DER or PEM, and beyond the most that are
    /// held.
    pub fn add_nitro(
        &mut self,
        owner: &str,
        jurisdiction: &str,
        file: &[u8],
    ) -> Result<(), Malformed> {
        let mut blocks = der::pem_blocks(file, &["CERTIFICATE"], 1);
        let certificate = blocks.pop().unwrap_or_else(|| file.to_vec());
        Certificate::parse(&certificate)?;
        if self.nitro_partitions.len() >= PARTITIONS_MAX {
            let because = "there are more than AWS has partitions";
            return Err(Malformed::invalid(CERTIFICATE, 0, "roots", because));
        }
        let root = Root {
            maker: owner.to_owned(),
            jurisdiction: jurisdiction.to_owned(),
            kind: "hypervisor",
            fingerprint: fingerprint(&certificate),
            toy: false,
        };
        self.nitro_partitions.push(Anchor {
            root,
            certificate: Cow::Owned(certificate),
        });
        Ok(())
    }

    /// The root of Nitro documents with this certificate, if it is one that counts.
    #[must_use]
    pub fn nitro_root(&self, certificate: &[u8]) -> Option<&Anchor> {
        let mut roots = std::iter::once(&self.nitro).chain(&self.nitro_partitions);
        roots.find(|anchor| anchor.certificate() == certificate)
    }

    /// Google's root of firmware endorsements, or the toy that stands in its place. Named by its
    /// fingerprint: the certificate travels with the endorsement.
    #[must_use]
    pub const fn google(&self) -> &Root {
        &self.google
    }

    /// The toy roots that stand in the place of the TPM makers', if the trust file named some.
    #[must_use]
    pub fn toy_tpm(&self) -> &[Anchor] {
        &self.toy_tpm
    }

    /// AMD's intermediates of this product that this program carries: ASK, then ASVK, in DER.
    ///
    /// They are **not** trusted: most evidence brings the leaf alone, so they save a fetch, and
    /// they are checked like any that comes with evidence. None for a toy root.
    #[must_use]
    pub const fn amd_intermediates(&self, product: Product) -> &'static [&'static [u8]] {
        if self.amd(product).root.toy {
            return &[];
        }
        match product {
            Product::Milan => &[
                include_bytes!("anchors/amd/ask-milan.der"),
                include_bytes!("anchors/amd/asvk-milan.der"),
            ],
            Product::Genoa => &[
                include_bytes!("anchors/amd/ask-genoa.der"),
                include_bytes!("anchors/amd/asvk-genoa.der"),
            ],
            Product::Turin => &[
                include_bytes!("anchors/amd/ask-turin.der"),
                include_bytes!("anchors/amd/asvk-turin.der"),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_amd_certificates_have_the_published_fingerprints() {
        // Published in the folder's README with the address of each file.
        let wanted = [
            "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
            "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
            "c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5",
            "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
            "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
            "197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372",
            "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
            "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185",
            "104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c",
        ];
        let anchors = Anchors::makers();
        let mut found = Vec::new();
        for product in Product::ALL {
            let anchor = anchors.amd(product);
            assert_eq!(fingerprint(anchor.certificate()), anchor.root.fingerprint);
            found.push(hex::encode(anchor.root.fingerprint));
            for intermediate in anchors.amd_intermediates(product) {
                found.push(hex::encode(fingerprint(intermediate)));
            }
        }
        assert_eq!(found, wanted);
        let readme = include_str!("anchors/amd/README.md");
        for fingerprint in wanted {
            assert!(
                readme.contains(fingerprint),
                "{fingerprint} is not in the README"
            );
        }
    }

    #[test]
    fn the_pinned_intel_root_has_the_published_fingerprint() {
        let anchors = Anchors::makers();
        let wanted = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3";
        let found = hex::encode(fingerprint(anchors.intel().certificate()));
        assert_eq!(found, wanted);
        assert!(include_str!("anchors/intel/README.md").contains(wanted));
        let root = Certificate::parse(anchors.intel().certificate()).unwrap();
        assert_eq!(root.subject.common_name(), Some("Intel SGX Root CA"));
        assert!(root.is_self_issued());
    }

    #[test]
    fn the_pinned_nitro_root_has_the_published_fingerprint() {
        let anchors = Anchors::makers();
        let wanted = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";
        assert_eq!(
            hex::encode(fingerprint(anchors.nitro().certificate())),
            wanted
        );
        assert!(include_str!("anchors/nitro/README.md").contains(wanted));
        let root = Certificate::parse(anchors.nitro().certificate()).unwrap();
        assert_eq!(root.subject.common_name(), Some("aws.nitro-enclaves"));
        assert!(root.is_self_issued());
    }

    #[test]
    fn the_pinned_roots_name_their_products() {
        for (product, name) in Product::ALL
            .into_iter()
            .zip(["ARK-Milan", "ARK-Genoa", "ARK-Turin"])
        {
            let anchors = Anchors::makers();
            let ark = Certificate::parse(anchors.amd(product).certificate()).unwrap();
            assert_eq!(ark.subject.common_name(), Some(name));
            assert!(ark.is_self_issued());
        }
    }

    fn pem(der: &[u8]) -> String {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\\n{body}\\n-----END CERTIFICATE-----\\n")
    }

    #[test]
    fn a_toy_root_replaces_the_pinned_one_of_its_product_and_no_other() {
        let makers = Anchors::makers();
        let toy = pem(makers.amd(Product::Genoa).certificate());
        let file = format!(r#"{{"schema":"zeuge.sim-trust.v1","amd":{{"Milan":"{toy}"}}}}"#);
        let anchors = Anchors::dangerous_sim(&file).unwrap();
        assert_eq!(
            anchors.amd(Product::Milan).certificate(),
            makers.amd(Product::Genoa).certificate()
        );
        assert!(anchors.amd(Product::Milan).root.toy);
        assert_eq!(anchors.amd(Product::Milan).root.maker, "toy AMD");
        assert!(anchors.amd_intermediates(Product::Milan).is_empty());
        assert_eq!(anchors.amd(Product::Genoa), makers.amd(Product::Genoa));
        assert_eq!(anchors.amd(Product::Turin), makers.amd(Product::Turin));
    }

    #[test]
    fn trust_files_of_another_form_are_refused_by_name() {
        let refusal = |file: &str| Anchors::dangerous_sim(file).unwrap_err();
        assert!(matches!(refusal("{}"), BadTrustFile::Json(_)));
        assert!(matches!(
            refusal(r#"{"schema":"zeuge.sim-trust.v1","arm":{}}"#),
            BadTrustFile::Json(_)
        ));
        assert!(matches!(
            refusal(r#"{"schema":"zeuge.sim-trust.v1","amd":{"Rome":"x"}}"#),
            BadTrustFile::Json(_)
        ));
        assert_eq!(
            refusal(r#"{"schema":"zeuge.sim-trust.v2"}"#),
            BadTrustFile::Schema("zeuge.sim-trust.v2".to_owned())
        );
        assert_eq!(
            refusal(r#"{"schema":"zeuge.sim-trust.v1","intel":{"root":"nothing"}}"#),
            BadTrustFile::NotOneCertificate {
                maker: "Intel".to_owned()
            }
        );
        assert_eq!(
            refusal(&" ".repeat(SIM_TRUST_BYTES_MAX + 1)),
            BadTrustFile::TooLong
        );
    }
}
