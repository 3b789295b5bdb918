//! The agent's configuration, `zeuge.agent.v1` in JSON: whom it asks and whose secrets it takes.
//!
//! It is believed only when its SHA-256 stands in this machine's own report (HOST_DATA,
//! MRCONFIGID), so whoever starts the machine cannot exchange it unseen (DESIGN §5.3). The file
//! cannot say of itself that it is pinned in another way.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeuge_log::note::VerifierKey;
use zeuge_protocol::document::OwnerSet;
use zeuge_protocol::keys::PublicKey;
use zeuge_protocol::name::Name;
use zeuge_protocol::suite::Suite;

use crate::device::Evidence;
use crate::error::{Error, Fault};

/// The check ids of this module.
pub(crate) const CHECKS: &[&str] = &["agent.config", "agent.config.format"];

/// The longest configuration in bytes: 32 owner keys and a certificate chain are under 32 KiB.
pub(crate) const CONFIG_BYTES_MAX: usize = 64 * 1024;
const SCHEMA: &str = "zeuge.agent.v1";

/// The file as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Always `zeuge.agent.v1`.
    pub(crate) schema: String,
    /// The witness.
    pub(crate) witness: WitnessConfig,
    /// The tenant.
    pub(crate) tenant: Name,
    /// Whose secrets are taken.
    pub(crate) owners: OwnerSet,
    /// The HPKE suite as its three registered numbers; X-Wing when absent.
    #[serde(default = "x_wing")]
    pub(crate) suite: Suite,
}

/// The witness and its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WitnessConfig {
    /// Where it listens, such as `https://witness.example:8443`.
    pub(crate) url: String,
    /// Its id.
    pub(crate) id: Name,
    /// The Ed25519 key that signs its answers, in base64url.
    pub(crate) answer_key: PublicKey,
    /// The verifier key of its log, `name+id+base64`.
    pub(crate) log_key: String,
    /// The certificates (PEM) under which its TLS certificate must stand. No others count.
    #[serde(default)]
    pub(crate) ca: String,
}

const fn x_wing() -> Suite {
    Suite::X_WING
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// `agent.config.format` when it is too long, of another schema, or names a log key or an
    /// owner set that cannot be.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |because: String| Error::new("agent.config.format", Fault::Malformed, because);
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(refuse("the configuration is longer than 64 KiB".into()));
        }
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|error| refuse(format!("the configuration is not {SCHEMA}: {error}")))?;
        if config.schema != SCHEMA {
            return Err(refuse(format!("the schema must be {SCHEMA}")));
        }
        if config.owners.tenant != config.tenant {
            return Err(refuse("the owners are another tenant's".into()));
        }
        config
            .owners
            .check()
            .map_err(|error| refuse(error.to_string()))?;
        config.log_key()?;
        Ok(config)
    }

    /// The log's verifier key.
    ///
    /// # Errors
    /// `agent.config.format` when it is not one.
    pub(crate) fn log_key(&self) -> Result<VerifierKey, Error> {
        VerifierKey::parse(&self.witness.log_key).map_err(|error| {
            Error::new(
                "agent.config.format",
                Fault::Malformed,
                format!("log_key: {error}"),
            )
        })
    }
}

/// Compares the file with what this machine was started with.
///
/// # Errors
/// `agent.config` when the report pins nothing, or something else.
pub(crate) fn pinned(file: &[u8], own: &Evidence) -> Result<(), Error> {
    let refuse = |because: String| Err(Error::new("agent.config", Fault::Untrusted, because));
    let digest: [u8; 32] = Sha256::digest(file).into();
    let Some(field) = own.pinned_field() else {
        return refuse(format!(
            "evidence of {} has no field that could pin the configuration",
            own.provider
        ));
    };
    let mut wanted = digest.to_vec();
    // MRCONFIGID has 48 bytes; a SHA-256 in it is followed by zeros.
    wanted.resize(field.bytes.len(), 0);
    if field.bytes == wanted {
        return Ok(());
    }
    if field.bytes.iter().all(|byte| *byte == 0) {
        return refuse(format!(
            "{} is zero: this machine was started without a pinned configuration; start it with \
             {} or see --dangerous-unpinned-config",
            field.name,
            hex::encode(digest)
        ));
    }
    refuse(format!(
        "the file's SHA-256 is {}, but {} of this machine's own report is {}",
        hex::encode(digest),
        field.name,
        hex::encode(field.bytes)
    ))
}

/// The register that may pin a configuration: what was started extends it with the file's SHA-256
/// and nothing else.
pub(crate) const PINNING_PCR: u32 = 8;
/// The word of the kernel's command line that may pin it, before the SHA-256 in hex.
const PINNING_WORD: &str = "zeuge.config=sha256:";

/// Compares the file with the boot of a machine whose CPU says nothing: its digest stands in the
/// kernel's command line, which is measured, or alone in PCR 8.
///
/// # Errors
/// `agent.config` when neither pins it.
pub(crate) fn pinned_by_boot(
    file: &[u8],
    command_line: &str,
    register: &[u8],
) -> Result<(), Error> {
    let digest = Sha256::digest(file);
    let wanted = hex::encode(digest);
    let mut words = command_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(PINNING_WORD));
    let extended = Sha256::new_with_prefix([0; 32])
        .chain_update(digest)
        .finalize();
    // Of several such words only one can be meant; whoever adds a second one means another.
    let by_word = (words.next(), words.next()) == (Some(wanted.as_str()), None);
    if by_word || register == extended.as_slice() {
        return Ok(());
    }
    let because = format!(
        "the file's SHA-256 is {wanted}, and neither {PINNING_WORD}… of the kernel's command line \
         nor PCR {PINNING_PCR} pins it; start the machine with {PINNING_WORD}{wanted} or see \
         --dangerous-unpinned-config"
    );
    Err(Error::new("agent.config", Fault::Untrusted, because))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::device::Provider;
    use zeuge_protocol::keys::SigningKey;

    /// A configuration for a witness at this address.
    pub(crate) fn example(url: &str) -> String {
        let key = |byte: u8| SigningKey::from_seed(&[byte; 32]).unwrap().public();
        let log = zeuge_log::note::Signer::log("witness.example/log", &[3; 32]).unwrap();
        serde_json::json!({
            "schema": SCHEMA,
            "witness": {
                "url": url, "id": "witness-1", "answer_key": key(1),
                "log_key": log.verifier().to_string()
            },
            "tenant": "acme",
            "owners": {
                "tenant": "acme", "threshold": 1,
                "owners": [{"person": "anna", "public_key": key(2)}]
            }
        })
        .to_string()
    }

    fn report(host_data: &[u8]) -> Evidence {
        let mut outblob = vec![0; 1184];
        outblob[0xc0..0xe0].copy_from_slice(host_data);
        Evidence {
            provider: Provider::SevGuest,
            outblob,
            auxblob: Vec::new(),
            event_log: None,
        }
    }

    #[test]
    fn a_configuration_is_used_only_when_the_own_report_names_it() {
        let file = example("https://witness.example");
        let digest = Sha256::digest(&file);
        assert_eq!(pinned(file.as_bytes(), &report(&digest)), Ok(()));
        for other in [[0; 32], [7; 32]] {
            let error = pinned(file.as_bytes(), &report(&other)).unwrap_err();
            assert_eq!(
                (error.check.as_str(), error.exit_code()),
                ("agent.config", 3)
            );
        }
    }

    #[test]
    fn a_tdx_quote_pins_the_digest_followed_by_zeros() {
        let file = example("https://witness.example");
        let mut outblob = vec![0; 700];
        outblob[..2].copy_from_slice(&4_u16.to_le_bytes());
        outblob[232..264].copy_from_slice(&Sha256::digest(&file));
        let mut own = Evidence {
            provider: Provider::TdxGuest,
            outblob,
            auxblob: Vec::new(),
            event_log: None,
        };
        assert_eq!(pinned(file.as_bytes(), &own), Ok(()));
        own.outblob[279] = 1;
        assert_eq!(
            pinned(file.as_bytes(), &own).unwrap_err().check,
            "agent.config"
        );
    }

    #[test]
    fn unknown_fields_and_other_schemas_are_refused() {
        let good = example("https://witness.example");
        assert!(Config::parse(good.as_bytes()).is_ok());
        for bad in [
            good.replace("zeuge.agent.v1", "zeuge.agent.v2"),
            good.replacen('{', "{\"more\":1,", 1),
            good.replace("\"threshold\":1", "\"threshold\":2"),
            good.replace("witness.example/log+", "witness.example/log+0"),
        ] {
            let error = Config::parse(bad.as_bytes()).unwrap_err();
            assert_eq!(error.check, "agent.config.format", "{bad}");
        }
    }

    #[test]
    fn a_boot_pins_a_configuration_by_one_word_or_by_one_register() {
        let file = b"a configuration";
        let digest = hex::encode(Sha256::digest(file));
        let word = format!("quiet {PINNING_WORD}{digest} ro");
        assert_eq!(pinned_by_boot(file, &word, &[]), Ok(()));
        let register = Sha256::new_with_prefix([0; 32]).chain_update(Sha256::digest(file));
        assert_eq!(pinned_by_boot(file, "quiet", &register.finalize()), Ok(()));
        let other = format!("{PINNING_WORD}{} {word}", "00".repeat(32));
        for (line, register) in [("quiet", [0; 32]), (other.as_str(), [0; 32]), ("", [7; 32])] {
            let error = pinned_by_boot(file, line, &register).unwrap_err();
            assert_eq!(error.check, "agent.config");
        }
    }
}
