//! A toy Azure: machines behind a toy paravisor, on the silicon of [`ToyAmd`] or [`ToyIntel`].
//!
//! Writes HCL reports, runtime claims, quotes of a virtual TPM and the JSON of Trustee's clients;
//! shares no code with their readers. Time is an argument; randomness is the operating system's.

use std::sync::OnceLock;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use zeuge_evidence::UnixTime;

use crate::{
    Product, QuoteForm, QuoteSpec, ReportSpec, ToyAmd, ToyIntel,
    der_write::{bits, null, oid, sequence},
    lies::lies,
};

lies! {
    /// One lie per check on machines behind Azure's paravisor. Each lies in one thing and tells
    /// the truth in all others.
    AzureLie:
    Evidence {
        Claims = "azure.claims": "The runtime claims are no JSON, and the report holds their hash.";
        Evidence = "azure.evidence": "The JSON has version 3, which nobody has specified.";
        Hcl = "azure.hcl": "The sizes in the header of the HCL report do not add up.";
        TdReport = "azure.td-report": "The hardware area holds a report of another type than a trust domain's.";
    }
    Verify {
        AkClaimed = "azure.ak.claimed": "A neighbour's key lies beside the quote.";
        AkSigner = "azure.ak.signer": "The quote is one that a neighbour's virtual TPM made for somebody else.";
        ClaimsHash = "azure.claims.hash": "The claims were changed after the processor had signed.";
        QuoteAvailable = "azure.quote.available": "The quote of the virtual TPM did not come along.";
        ReportMachine = "azure.report.machine": "The report is a neighbour's, genuine, with the neighbour's key in its claims.";
        TdQuoteAvailable = "azure.td-quote.available": "The quote of the trust domain did not come along.";
        TdQuoteReport = "azure.td-quote.report": "The quote is of another trust domain with the same report data.";
        UserData = "azure.user-data": "The report was made for the last session.";
    }
    Appraise {
        AkTemplate = "policy.ak-template": "The paravisor's key signs anything, and is named accordingly.";
        GuestBoot = "policy.guest-boot": "The report of the paravisor came alone, to somebody who asked nothing.";
        Console = "policy.hcl-console": "Somebody can type into the machine's console.";
        Machine = "policy.hcl-machine": "The machine is another one of Azure's.";
        SecureBoot = "policy.hcl-secure-boot": "The firmware does not enforce Secure Boot.";
    }
}

/// The silicon below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AzureCpu {
    /// AMD SEV-SNP of this product.
    Snp(Product),
    /// Intel TDX.
    Tdx,
}

/// A machine and what it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureSpec {
    /// The silicon.
    pub cpu: AzureCpu,
    /// Version of the HCL report's header.
    pub header: u32,
    /// Version of the JSON: 0, 1 or 2.
    pub json: u8,
    /// The challenge, at most 64 bytes.
    pub nonce: Vec<u8>,
    /// Milliseconds, resets and restarts that the virtual TPM counts.
    pub clock: (u64, u32, u32),
    /// What the guest wrote for the report; without it version 2 of the JSON has the challenge
    /// there, and the others nothing.
    pub user_data: Option<[u8; 64]>,
}

impl AzureSpec {
    /// A machine with header version 2 that answers in version 2.
    #[must_use]
    pub fn new(cpu: AzureCpu) -> Self {
        Self {
            cpu,
            header: 2,
            json: 2,
            nonce: b"the challenge of a witness for a virtual machine".to_vec(),
            clock: (1_000_000, 3, 1),
            user_data: None,
        }
    }
}

/// What the toy hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToyAzureEvidence {
    /// The evidence file: JSON, or the HCL report alone where the quote is missing.
    pub file: Vec<u8>,
    /// The HCL report as the NV index holds it.
    pub hcl: Vec<u8>,
    /// `TPMS_ATTEST`, the bare RSA signature, and the 24 values.
    pub quote: (Vec<u8>, Vec<u8>, Vec<[u8; 32]>),
    /// The AK beside the quote, as SubjectPublicKeyInfo.
    pub ak_public: Vec<u8>,
    /// The same key as the virtual TPM tells it: `TPMT_PUBLIC`.
    pub ak_area: Vec<u8>,
    /// The quote of the trust domain, where there is one.
    pub td_quote: Option<Vec<u8>>,
    /// What endorses the silicon in one file: a table of certificates, or Intel's collateral.
    pub beside: Vec<u8>,
    /// File names and contents of what endorses the silicon.
    pub endorsements: Vec<(String, Vec<u8>)>,
    /// The instant to verify at.
    pub at: UnixTime,
    /// The challenge.
    pub nonce: Vec<u8>,
}

/// What this toy says of its machines: MEASUREMENT, or MRTD.
pub const PARAVISOR: [u8; 48] = [0x4c; 48];
/// vmUniqueId of its machines.
pub const MACHINE: &str = "8D2C0F60-0000-4000-8000-000000000001";

/// The toy, with the AK of one machine and that of its neighbour.
pub struct ToyAzure {
    own: KeyPair,
    neighbour: KeyPair,
}

impl std::fmt::Debug for ToyAzure {
    /// The name only: keys stay put.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ToyAzure")
    }
}

impl Default for ToyAzure {
    fn default() -> Self {
        Self::new()
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate(KeySize::Rsa2048).expect("the operating system has random bytes")
}

/// The modulus out of the DER of RSAPublicKey with exponent 65537: five bytes follow it.
fn modulus(key: &KeyPair) -> &[u8] {
    let der = key.public_key().as_ref();
    &der[der.len() - 5 - 256..der.len() - 5]
}

impl ToyAzureEvidence {
    /// The quote as our own agent sends it (`zeuge.tpm-quote.v1`).
    #[must_use]
    pub fn own_quote(&self) -> Vec<u8> {
        let (message, signature, values) = &self.quote;
        let values: serde_json::Map<String, Value> = values
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), json!(hex::encode(value))))
            .collect();
        // TPMT_SIGNATURE: RSASSA, SHA-256.
        let signature = [&[0, 0x14, 0, 0x0b][..], &sized(signature)].concat();
        json!({
            "schema": "zeuge.tpm-quote.v1",
            "attest": STANDARD.encode(message),
            "signature": STANDARD.encode(signature),
            "ak_public": STANDARD.encode(&self.ak_area),
            "pcrs": { "sha256": values },
        })
        .to_string()
        .into_bytes()
    }
}

impl ToyAzure {
    /// The TPM name of the machine's AK.
    #[must_use]
    pub fn ak_name(&self) -> Vec<u8> {
        name(&public_area(&self.own, None))
    }

    /// A toy with new random keys.
    #[must_use]
    pub fn new() -> Self {
        Self {
            own: new_key(),
            neighbour: new_key(),
        }
    }

    /// One toy for the whole process, on the silicon of the shared makers.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ToyAzure> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// The trust file of the maker of this silicon.
    #[must_use]
    pub fn trust_file(&self, cpu: AzureCpu) -> String {
        match cpu {
            AzureCpu::Snp(product) => ToyAmd::shared().trust_file(&[product]),
            AzureCpu::Tdx => ToyIntel::shared().trust_file(),
        }
    }

    /// Evidence of the machine in `spec`, honest or with one lie, as of `now`.
    ///
    /// Lies about trust domains are told by one, the lie about user data in version 2.
    #[must_use]
    pub fn tell(&self, lie: Option<AzureLie>, spec: &AzureSpec, now: UnixTime) -> ToyAzureEvidence {
        use AzureLie as Lie;
        let mut spec = spec.clone();
        match lie {
            Some(Lie::TdReport | Lie::TdQuoteAvailable | Lie::TdQuoteReport) => {
                spec.cpu = AzureCpu::Tdx;
            }
            Some(Lie::UserData) => spec.json = 2,
            // A trust domain's report alone would lack the domain's quote first.
            Some(Lie::QuoteAvailable | Lie::GuestBoot) if spec.cpu == AzureCpu::Tdx => {
                spec.cpu = AzureCpu::Snp(Product::Milan);
            }
            _ => {}
        }
        let claims = self.claims(lie, &spec);
        let hash = digest(&SHA256, &claims);
        let mut report_data = [0; 64];
        report_data[..32].copy_from_slice(hash.as_ref());
        let Silicon {
            area,
            endorsements,
            beside,
            td_quote,
            at,
        } = silicon(lie, &spec, report_data, now);
        let claims = match lie {
            Some(Lie::ClaimsHash) => {
                let text = String::from_utf8(claims).expect("claims are text");
                text.replace("\"tpm-enabled\":true", "\"tpm-enabled\":null")
                    .into_bytes()
            }
            _ => claims,
        };
        let hcl = report(lie, &spec, &area, &claims);
        let quote = self.quote(lie, &spec);
        let file = json_file(lie, &spec, &hcl, &quote, &endorsements, td_quote.as_deref());
        let shown = match lie {
            Some(Lie::AkClaimed) => &self.neighbour,
            _ => &self.own,
        };
        let algorithm = sequence(&[&oid(&[1, 2, 840, 113_549, 1, 1, 1]), &null()]);
        let alone = matches!(lie, Some(Lie::QuoteAvailable | Lie::GuestBoot));
        let mut endorsements = endorsements;
        // The leaf of whole evidence is in the JSON.
        endorsements.retain(|(name, _)| alone || name != "vcek.der");
        ToyAzureEvidence {
            file: if alone { hcl.clone() } else { file },
            hcl,
            quote,
            ak_public: sequence(&[&algorithm, &bits(0, shown.public_key().as_ref())]),
            ak_area: public_area(shown, lie),
            beside,
            td_quote,
            endorsements,
            at,
            nonce: spec.nonce,
        }
    }

    fn claims(&self, lie: Option<AzureLie>, spec: &AzureSpec) -> Vec<u8> {
        use AzureLie as Lie;
        if lie == Some(Lie::Claims) {
            return b"no claims at all".to_vec();
        }
        let key = |kid: &str, operation: &str, key: &KeyPair| {
            json!({
                "kid": kid, "key_ops": [operation], "kty": "RSA", "e": "AQAB",
                "n": URL_SAFE_NO_PAD.encode(modulus(key)),
            })
        };
        let mut user_data = spec.user_data.unwrap_or([0; 64]);
        if spec.user_data.is_none() && spec.json == 2 {
            user_data[..spec.nonce.len()].copy_from_slice(&spec.nonce);
        }
        if lie == Some(Lie::UserData) {
            user_data[0] ^= 1;
        }
        let claimed = match lie {
            Some(Lie::ReportMachine) => &self.neighbour,
            _ => &self.own,
        };
        let machine = match lie {
            Some(Lie::Machine) => MACHINE.replace("0001", "0002"),
            _ => MACHINE.to_owned(),
        };
        json!({
            "keys": [key("HCLAkPub", "sign", claimed), key("HCLEkPub", "encrypt", &self.neighbour)],
            "vm-configuration": {
                "root-cert-thumbprint": "",
                "console-enabled": lie == Some(Lie::Console),
                "secure-boot": lie != Some(Lie::SecureBoot),
                "tpm-enabled": true,
                "tpm-persisted": true,
                "vmUniqueId": machine,
            },
            "user-data": hex::encode_upper(user_data),
        })
        .to_string()
        .into_bytes()
    }

    fn quote(&self, lie: Option<AzureLie>, spec: &AzureSpec) -> (Vec<u8>, Vec<u8>, Vec<[u8; 32]>) {
        let key = match lie {
            Some(AzureLie::AkSigner) => &self.neighbour,
            _ => &self.own,
        };
        let values: Vec<[u8; 32]> = (0..24).map(|index| [index; 32]).collect();
        let nonce = match lie {
            Some(AzureLie::AkSigner) => b"the question of somebody else".to_vec(),
            _ => spec.nonce.clone(),
        };
        let message = attest(key, lie, (&nonce, spec.clock), &values);
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            &message,
            &mut signature,
        )
        .expect("a key of 2048 bits signs any message");
        (message, signature, values)
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A name: the number of SHA-256, and the digest.
fn name(of: &[u8]) -> Vec<u8> {
    [&[0, 0x0b][..], digest(&SHA256, of).as_ref()].concat()
}

/// `TPMT_PUBLIC` of an AK, as the paravisor's template makes it.
fn public_area(key: &KeyPair, lie: Option<AzureLie>) -> Vec<u8> {
    let attributes: u32 = match lie {
        // Without restricted.
        Some(AzureLie::AkTemplate) => 0x0004_0472,
        _ => 0x0005_0472,
    };
    let mut public = vec![0, 1, 0, 0x0b];
    public.extend(attributes.to_be_bytes());
    public.extend([0, 0, 0, 0x10, 0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0]);
    public.extend(sized(modulus(key)));
    public
}

/// `TPMS_ATTEST` over all 24 PCRs of the SHA-256 bank.
fn attest(
    key: &KeyPair,
    lie: Option<AzureLie>,
    (nonce, (milliseconds, resets, restarts)): (&[u8], (u64, u32, u32)),
    values: &[[u8; 32]],
) -> Vec<u8> {
    let public = public_area(key, lie);
    let hierarchy = 0x4000_000b_u32.to_be_bytes();
    let mut out = hex::decode("ff5443478018").expect("hex");
    out.extend(sized(&name(&[&hierarchy[..], &name(&public)].concat())));
    out.extend(sized(nonce));
    out.extend(milliseconds.to_be_bytes());
    out.extend(resets.to_be_bytes());
    out.extend(restarts.to_be_bytes());
    out.push(1);
    out.extend(0x2016_0510_0016_3636_u64.to_be_bytes());
    out.extend([0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0xff, 0xff]);
    out.extend(sized(digest(&SHA256, &values.concat()).as_ref()));
    out
}

/// What the silicon says.
struct Silicon {
    /// The hardware area.
    area: Vec<u8>,
    endorsements: Vec<(String, Vec<u8>)>,
    /// The endorsements in one file: a table of certificates, or Intel's collateral.
    beside: Vec<u8>,
    td_quote: Option<Vec<u8>>,
    at: UnixTime,
}

/// A report, or the report and the quote of a trust domain.
fn silicon(
    lie: Option<AzureLie>,
    spec: &AzureSpec,
    report_data: [u8; 64],
    now: UnixTime,
) -> Silicon {
    match spec.cpu {
        AzureCpu::Snp(product) => {
            let mut machine = ReportSpec::new(product);
            machine.report_data = report_data;
            machine.measurement = PARAVISOR;
            machine.policy = 0x3_001f;
            let told = ToyAmd::shared().tell(None, &machine, now);
            let table = told.table_file().split_off(told.report.len());
            Silicon {
                area: told.report,
                endorsements: told.endorsements,
                beside: table,
                td_quote: None,
                at: told.at,
            }
        }
        AzureCpu::Tdx => {
            let mut machine = QuoteSpec::new(QuoteForm::Tdx4);
            machine.report_data = report_data;
            machine.mr_td = PARAVISOR;
            let mut area = vec![0; 1184];
            area[0] = match lie {
                Some(AzureLie::TdReport) => 0x80,
                _ => 0x81,
            };
            area[128..192].copy_from_slice(&report_data);
            area[528..576].copy_from_slice(&PARAVISOR);
            if lie == Some(AzureLie::TdQuoteReport) {
                machine.mr_td[0] ^= 1;
            }
            let told = ToyIntel::shared().tell(None, &machine, now);
            let quote = (lie != Some(AzureLie::TdQuoteAvailable)).then(|| told.quote.clone());
            Silicon {
                area,
                beside: told.collateral_file(),
                endorsements: told.endorsements,
                td_quote: quote,
                at: told.at,
            }
        }
    }
}

/// The content of the NV index: header, hardware area, claims, zeros.
fn report(lie: Option<AzureLie>, spec: &AzureSpec, area: &[u8], claims: &[u8]) -> Vec<u8> {
    let length = u32::try_from(claims.len()).expect("claims are short");
    let kind = match spec.cpu {
        AzureCpu::Snp(_) => 2,
        AzureCpu::Tdx => 4,
    };
    let beyond = u32::from(lie == Some(AzureLie::Hcl));
    let mut out = b"HCLA".to_vec();
    for number in [spec.header, length + 1236 + beyond, 2, 0, 0, 0, 0] {
        out.extend(u32::to_le_bytes(number));
    }
    out.extend(area);
    for number in [length + 20, 1, kind, 1, length] {
        out.extend(u32::to_le_bytes(number));
    }
    out.extend(claims);
    out.resize(2600, 0);
    out
}

fn json_file(
    lie: Option<AzureLie>,
    spec: &AzureSpec,
    hcl: &[u8],
    (message, signature, values): &(Vec<u8>, Vec<u8>, Vec<[u8; 32]>),
    endorsements: &[(String, Vec<u8>)],
    td_quote: Option<&[u8]>,
) -> Vec<u8> {
    let leaf = endorsements.iter().find(|(name, _)| name == "vcek.der");
    let leaf = leaf.map(|(_, der)| der.as_slice());
    let mut file = if spec.json == 0 {
        let pem = leaf.map(|der| crate::der_write::pem("CERTIFICATE", der));
        let quote = json!({ "signature": signature, "message": message, "pcrs": values });
        match spec.cpu {
            AzureCpu::Snp(_) => json!({ "quote": quote, "report": hcl, "vcek": pem }),
            AzureCpu::Tdx => json!({ "tpm_quote": quote, "hcl_report": hcl, "td_quote": td_quote }),
        }
    } else {
        let mut file = json!({
            "version": spec.json,
            "tpm_quote": {
                "signature": hex::encode(signature),
                "message": hex::encode(message),
                "pcrs": values.iter().map(hex::encode).collect::<Vec<_>>(),
            },
            "hcl_report": URL_SAFE_NO_PAD.encode(hcl),
        });
        if let Some(leaf) = leaf {
            file["vcek"] = json!(URL_SAFE_NO_PAD.encode(leaf));
        }
        if let Some(quote) = td_quote {
            file["td_quote"] = json!(URL_SAFE_NO_PAD.encode(quote));
        }
        file
    };
    if lie == Some(AzureLie::Evidence) {
        file["version"] = Value::from(3);
    }
    file.to_string().into_bytes()
}
