//! The runtime claims: what the paravisor says about its keys and the machine's configuration.
//!
//! Members that are not known here are ignored: they are covered by the same hash. Nothing is
//! normalised but hex, which the paravisor has written in both cases.

use base64::Engine as _;
use serde_json::{Map, Value};

use super::CLAIMS;
use crate::{Malformed, json::tree};

/// The `kid` of the key with which the virtual TPM attests.
pub const KEY_AK: &str = "HCLAkPub";
/// The `kid` of the virtual TPM's endorsement key.
pub const KEY_EK: &str = "HCLEkPub";
/// The paravisor names two.
const KEYS_MAX: usize = 8;
/// RSA-8192.
const MODULUS_BYTES_MAX: usize = 1024;
/// Bytes of user data (NV index 0x01400002).
const USER_DATA_BYTES: usize = 64;

/// An RSA key that the claims name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedKey {
    /// Its name: [`KEY_AK`], [`KEY_EK`], or another.
    pub kid: String,
    /// The public exponent.
    pub exponent: u32,
    /// The modulus, big-endian.
    pub modulus: Vec<u8>,
}

/// How the machine was configured, in the paravisor's words; `None` where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmConfiguration {
    /// When the claims were made, in seconds since 1970.
    pub current_time: Option<i64>,
    /// Which certificate may release the machine's sealed state; empty where none may.
    pub root_cert_thumbprint: Option<String>,
    /// Whether the machine has a console that the host shows.
    pub console_enabled: Option<bool>,
    /// Whether somebody can type into it.
    pub interactive_console_enabled: Option<bool>,
    /// Whether the machine's firmware enforces Secure Boot.
    pub secure_boot: Option<bool>,
    /// Whether it has a virtual TPM.
    pub tpm_enabled: Option<bool>,
    /// Whether the virtual TPM keeps its state from boot to boot.
    pub tpm_persisted: Option<bool>,
    /// Whether devices of the host's may be assigned to it.
    pub filtered_vpci_devices_allowed: Option<bool>,
    /// Azure's identifier of the machine, as written (in either case).
    pub unique_id: Option<String>,
    /// Who may seal the machine's state to the hardware: `none`, `hash` or `signer`.
    pub hardware_sealing_policy: Option<String>,
}

/// Runtime claims, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeClaims {
    /// The keys.
    pub keys: Vec<ClaimedKey>,
    /// The machine's configuration.
    pub vm: VmConfiguration,
    /// What the guest wrote into NV index 0x01400002 before this report was made, filled up with
    /// zeros; `None` in older reports.
    pub user_data: Option<[u8; 64]>,
}

fn bad(field: &'static str, because: &'static str) -> Malformed {
    Malformed::invalid(CLAIMS, 0, field, because)
}

impl RuntimeClaims {
    /// Reads the claims of an HCL report.
    ///
    /// # Errors
    /// `azure.claims`: no JSON object, a member of another type, a key that is no RSA key or
    /// stands twice, user data longer than its index.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let value = tree(bytes).ok_or_else(|| bad("claims", "they are no JSON"))?;
        let object = value
            .as_object()
            .ok_or_else(|| bad("claims", "they are no JSON object"))?;
        Ok(Self {
            keys: keys(object)?,
            vm: match object.get("vm-configuration") {
                None => VmConfiguration::default(),
                Some(Value::Object(vm)) => configuration(vm)?,
                Some(_) => return Err(bad("vm-configuration", "it is no object")),
            },
            user_data: user_data(object)?,
        })
    }

    /// The key of this name.
    #[must_use]
    pub fn key(&self, kid: &str) -> Option<&ClaimedKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }
}

fn keys(object: &Map<String, Value>) -> Result<Vec<ClaimedKey>, Malformed> {
    let list = object
        .get("keys")
        .and_then(Value::as_array)
        .filter(|list| list.len() <= KEYS_MAX)
        .ok_or_else(|| bad("keys", "a list of at most 8 was expected"))?;
    let mut out: Vec<ClaimedKey> = Vec::new();
    for value in list {
        let key = key(value)?;
        if out.iter().any(|earlier| earlier.kid == key.kid) {
            return Err(bad("kid", "two keys have one name"));
        }
        out.push(key);
    }
    Ok(out)
}

fn key(value: &Value) -> Result<ClaimedKey, Malformed> {
    let text = |name: &'static str| {
        let text = value.get(name).and_then(Value::as_str);
        text.ok_or_else(|| bad(name, "it is missing or no text"))
    };
    let number = |name: &'static str| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text(name)?.trim_end_matches('='))
            .map_err(|_| bad(name, "it is not base64url"))
    };
    if text("kty")? != "RSA" {
        return Err(bad("kty", "only RSA is known"));
    }
    let exponent = number("e")?;
    let modulus = number("n")?;
    let exponent = exponent.iter().try_fold(0_u32, |sum, byte| {
        sum.checked_mul(256)?.checked_add(u32::from(*byte))
    });
    if modulus.len() > MODULUS_BYTES_MAX {
        return Err(bad("n", "it is longer than RSA-8192"));
    }
    Ok(ClaimedKey {
        kid: text("kid")?.to_owned(),
        exponent: exponent.ok_or_else(|| bad("e", "it is longer than 32 bits"))?,
        modulus,
    })
}

fn configuration(object: &Map<String, Value>) -> Result<VmConfiguration, Malformed> {
    let flag = |name: &'static str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(bad(name, "it is neither true nor false")),
    };
    let text = |name: &'static str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(name, "it is no text")),
    };
    let time = match object.get("current-time") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            value
                .as_i64()
                .ok_or_else(|| bad("current-time", "it is no number of seconds"))?,
        ),
    };
    Ok(VmConfiguration {
        current_time: time,
        root_cert_thumbprint: text("root-cert-thumbprint")?,
        console_enabled: flag("console-enabled")?,
        interactive_console_enabled: flag("interactive-console-enabled")?,
        secure_boot: flag("secure-boot")?,
        tpm_enabled: flag("tpm-enabled")?,
        tpm_persisted: flag("tpm-persisted")?,
        filtered_vpci_devices_allowed: flag("filtered-vpci-devices-allowed")?,
        unique_id: text("vmUniqueId")?,
        hardware_sealing_policy: text("hardware-sealing-policy")?,
    })
}

fn user_data(object: &Map<String, Value>) -> Result<Option<[u8; 64]>, Malformed> {
    let Some(value) = object.get("user-data").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let bytes = value
        .as_str()
        .and_then(|text| hex::decode(text).ok())
        .filter(|bytes| bytes.len() <= USER_DATA_BYTES)
        .ok_or_else(|| bad("user-data", "at most 64 bytes in hex were expected"))?;
    let mut out = [0; USER_DATA_BYTES];
    for (target, byte) in out.iter_mut().zip(bytes) {
        *target = byte;
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let refusal = RuntimeClaims::parse(text.as_bytes()).unwrap_err();
        assert_eq!(refusal.check, CLAIMS);
        refusal.to_string()
    }

    #[test]
    fn claims_give_keys_configuration_and_user_data_in_either_case() {
        let claims = RuntimeClaims::parse(
            br#"{"keys":[{"kid":"HCLAkPub","key_ops":["encrypt"],"kty":"RSA","e":"AQAB","n":"wAE"}],
                "vm-configuration":{"secure-boot":true,"vmUniqueId":"0A-b"},"user-data":"00fF","x":1}"#,
        )
        .unwrap();
        let key = claims.key(KEY_AK).unwrap();
        assert_eq!(
            (key.exponent, key.modulus.as_slice()),
            (65_537, &[0xc0, 1][..])
        );
        assert_eq!(claims.vm.secure_boot, Some(true));
        assert_eq!(claims.vm.console_enabled, None);
        assert_eq!(claims.user_data.map(|data| data[1]), Some(0xff));
        assert_eq!(claims.key(KEY_EK), None);
    }

    #[test]
    fn claims_of_another_form_are_refused_by_member() {
        let key = r#"{"kid":"a","kty":"RSA","e":"AQAB","n":"wAE"}"#;
        for (text, member) in [
            ("[]".to_owned(), "claims"),
            ("{".to_owned(), "claims"),
            ("{}".to_owned(), "keys"),
            (format!(r#"{{"keys":[{key},{key}]}}"#), "kid"),
            (r#"{"keys":[{"kid":"a","kty":"EC"}]}"#.to_owned(), "kty"),
            (
                r#"{"keys":[{"kid":"a","kty":"RSA","e":"AQAB"}]}"#.to_owned(),
                "n",
            ),
            (
                r#"{"keys":[{"kid":"a","kty":"RSA","e":"AQABAAA","n":""}]}"#.to_owned(),
                "e",
            ),
            (
                r#"{"keys":[],"vm-configuration":{"secure-boot":1}}"#.to_owned(),
                "secure-boot",
            ),
            (
                r#"{"keys":[],"vm-configuration":7}"#.to_owned(),
                "vm-configuration",
            ),
            (
                format!(r#"{{"keys":[],"user-data":"{}"}}"#, "00".repeat(65)),
                "user-data",
            ),
        ] {
            let found = refused(&text);
            assert!(found.starts_with(member), "{text}: {found}");
        }
    }
}
