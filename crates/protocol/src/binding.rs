//! The binding, version 1 (DESIGN §5.3): one digest that hardware signs and that ties a machine's
//! evidence to witnesses' nonces, session keys, the request, attestation keys and the channel.
//!
//! Built by the agent, sent in clear, rebuilt and checked field by field by each witness. Never
//! compares with hardware evidence: `verify` does, with the 64 bytes from [`Binding::report_data`].

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256, Sha512};

use crate::Error;
use crate::cbor::Value;
use crate::name::Name;
use crate::suite::Suite;

/// The check ids of this module.
pub const CHECKS: &[&str] = &[
    "binding.attestation-keys",
    "binding.channel",
    "binding.keys",
    "binding.malformed",
    "binding.request",
    "binding.suite",
    "binding.witness",
];

/// What is hashed before the encoding.
pub const PREFIX: &[u8] = b"zeuge-binding-v1";
/// How many witnesses one binding may name (DESIGN §5.3).
pub const WITNESSES_MAX: usize = 16;
/// How many attestation keys one binding may name: one per TPM or device of a machine.
pub const ATTESTATION_KEYS_MAX: usize = 16;
/// The longest COSE_Key in bytes: an ML-DSA-87 public key has 2592, an RSA-4096 one 512.
pub const COSE_KEY_BYTES_MAX: usize = 4096;
/// The longest AK name in bytes: a TPM name is a two-byte algorithm and at most 64 of digest.
pub const AK_NAME_BYTES_MAX: usize = 66;
/// The longest channel binder in bytes: a TLS exporter has 32; SHA-512 gives 64.
pub const CHANNEL_BYTES_MAX: usize = 64;
/// The longest encoding in bytes: 16 witnesses with two names each and five keys are under 32 KiB.
pub const BINDING_BYTES_MAX: usize = 32 * 1024;

/// One witness's entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Witness {
    /// The witness's id.
    pub id: Name,
    /// The tenant for which it is asked.
    pub tenant: Name,
    /// The nonce of its challenge.
    pub nonce: [u8; 32],
}

/// What a bound key is for; in JSON its name in words with hyphens, such as `kubelet-client`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Secrets are sealed to it (HPKE).
    Kem,
    /// It proves a TLS identity.
    Tls,
    /// The kubelet's client certificate.
    KubeletClient,
    /// The kubelet's serving certificate.
    KubeletServing,
    /// A workload's own key.
    Workload,
}

impl Role {
    const ALL: [(i64, Self); 5] = [
        (1, Self::Kem),
        (2, Self::Tls),
        (3, Self::KubeletClient),
        (4, Self::KubeletServing),
        (5, Self::Workload),
    ];

    /// The number on the wire, 1 to 5.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Kem => 1,
            Self::Tls => 2,
            Self::KubeletClient => 3,
            Self::KubeletServing => 4,
            Self::Workload => 5,
        }
    }

    /// The role of a number; `None` for one that is not defined.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == number)
            .map(|(_, role)| *role)
    }
}

/// A public key that exists only in this machine and session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundKey {
    /// An HPKE public key: `[kem, kdf, aead, raw public key]`.
    Kem {
        /// The suite, by its registered numbers.
        suite: Suite,
        /// The raw public key in the KEM's own serialisation.
        public_key: Vec<u8>,
    },
    /// The bytes of a deterministically encoded COSE_Key (RFC 9052 §7).
    Cose(Vec<u8>),
}

/// Everything the binding digest speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    witnesses: Vec<Witness>,
    keys: BTreeMap<Role, BoundKey>,
    request: [u8; 32],
    attestation_keys: Vec<Vec<u8>>,
    channel: Option<Vec<u8>>,
}

impl Binding {
    /// A binding of its parts; witnesses and AK names are sorted bytewise here.
    ///
    /// # Errors
    /// `binding.malformed` when there are no witnesses or more than [`WITNESSES_MAX`], a witness
    /// id or an AK name stands twice, or a length limit of this module is exceeded;
    /// `binding.suite` for an unknown suite; `binding.keys` when a key does not fit its role.
    pub fn new(
        mut witnesses: Vec<Witness>,
        keys: BTreeMap<Role, BoundKey>,
        request: [u8; 32],
        mut attestation_keys: Vec<Vec<u8>>,
        channel: Option<Vec<u8>>,
    ) -> Result<Self, Error> {
        witnesses.sort();
        attestation_keys.sort();
        let binding = Self {
            witnesses,
            keys,
            request,
            attestation_keys,
            channel,
        };
        binding.check()?;
        Ok(binding)
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |because| Err(Error::malformed("binding.malformed", 0, because));
        if self.witnesses.is_empty() || self.witnesses.len() > WITNESSES_MAX {
            return refuse("it must name 1 to 16 witnesses");
        }
        if self.witnesses.array_windows().any(|[a, b]| a.id == b.id) {
            return refuse("a witness stands twice");
        }
        if self.witnesses.array_windows().any(|[a, b]| a >= b) {
            return refuse("witnesses are not sorted");
        }
        if self.attestation_keys.len() > ATTESTATION_KEYS_MAX
            || self
                .attestation_keys
                .iter()
                .any(|name| name.len() > AK_NAME_BYTES_MAX)
        {
            return refuse("too many AK names, or one is too long");
        }
        if self.attestation_keys.array_windows().any(|[a, b]| a >= b) {
            return refuse("AK names are not sorted, or one stands twice");
        }
        if self
            .channel
            .as_ref()
            .is_some_and(|binder| binder.len() > CHANNEL_BYTES_MAX)
        {
            return refuse("the channel binder is too long");
        }
        self.keys.iter().try_for_each(|(role, key)| key.fits(*role))
    }

    /// The witnesses, sorted by id, tenant, nonce.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// The key of a role.
    #[must_use]
    pub fn key(&self, role: Role) -> Option<&BoundKey> {
        self.keys.get(&role)
    }

    /// SHA-256 of the canonical request.
    #[must_use]
    pub const fn request(&self) -> &[u8; 32] {
        &self.request
    }

    /// The names of the attestation keys, sorted.
    #[must_use]
    pub fn attestation_keys(&self) -> &[Vec<u8>] {
        &self.attestation_keys
    }

    /// The HPKE suite and public key to which secrets are sealed, if there is one.
    #[must_use]
    pub fn recipient(&self) -> Option<(Suite, &[u8])> {
        match self.keys.get(&Role::Kem) {
            Some(BoundKey::Kem { suite, public_key }) => Some((*suite, public_key)),
            _ => None,
        }
    }

    /// The deterministic encoding, as it stands on the wire and under the digest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let witnesses = self.witnesses.iter().map(|witness| {
            Value::Array(vec![
                Value::text(witness.id.as_str()),
                Value::text(witness.tenant.as_str()),
                Value::bytes(&witness.nonce),
            ])
        });
        let keys = self
            .keys
            .iter()
            .map(|(role, key)| (role.number(), key.value()));
        let names = self.attestation_keys.iter().map(|name| Value::bytes(name));
        Value::map([
            (1, Value::Array(witnesses.collect())),
            (2, Value::map(keys)),
            (3, Value::bytes(&self.request)),
            (4, Value::Array(names.collect())),
            (5, self.channel.as_deref().map_or(Value::Null, Value::bytes)),
        ])
        .encode()
    }

    /// Reads an encoding; only the one deterministic form is accepted.
    ///
    /// # Errors
    /// As [`Binding::new`]; `binding.malformed` also for anything that is not that form.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const ID: &str = "binding.malformed";
        let value = Value::parse(bytes, BINDING_BYTES_MAX, ID)?;
        let binding = Self::from_value(&value).ok_or_else(|| {
            Error::malformed(ID, 0, "a field is missing, unknown or of another type")
        })?;
        binding.check()?;
        Ok(binding)
    }

    fn from_value(value: &Value) -> Option<Self> {
        let map = value.as_map()?;
        (map.len() == 5).then_some(())?;
        let witnesses = map.get(&1.into())?.as_items()?.iter().map(witness);
        let keys = map.get(&2.into())?.as_map()?.iter().map(|(key, value)| {
            let crate::cbor::Key::Integer(number) = key else {
                return None;
            };
            Some((Role::from_number(*number)?, BoundKey::from_value(value)?))
        });
        let names = map.get(&4.into())?.as_items()?.iter();
        Some(Self {
            witnesses: witnesses.collect::<Option<_>>()?,
            keys: keys.collect::<Option<_>>()?,
            request: map.get(&3.into())?.as_array_of()?,
            attestation_keys: names
                .map(|name| name.as_bytes().map(<[u8]>::to_vec))
                .collect::<Option<_>>()?,
            channel: match map.get(&5.into())? {
                Value::Null => None,
                Value::Bytes(binder) => Some(binder.clone()),
                _ => return None,
            },
        })
    }

    /// SHA-512 of prefix and encoding.
    #[must_use]
    pub fn digest(&self) -> [u8; 64] {
        Sha512::new()
            .chain_update(PREFIX)
            .chain_update(self.encode())
            .finalize()
            .into()
    }

    /// The 64 bytes that hardware puts into its report data.
    #[must_use]
    pub fn report_data(&self) -> [u8; 64] {
        self.digest()
    }

    /// The 32 bytes that a TPM puts into its qualifying data: SHA-256 of [`Binding::digest`].
    #[must_use]
    pub fn qualifying_data(&self) -> [u8; 32] {
        Sha256::digest(self.digest()).into()
    }

    /// A witness's demand: its own entry, exactly once, with its tenant and nonce.
    ///
    /// # Errors
    /// `binding.witness` when the entry is absent or differs.
    pub fn demands(&self, id: &Name, tenant: &Name, nonce: &[u8; 32]) -> Result<(), Error> {
        let wanted = || format!("{id} for {tenant} with nonce {}", hex::encode(nonce));
        let own: Vec<_> = self
            .witnesses
            .iter()
            .filter(|entry| entry.id == *id)
            .collect();
        match own.as_slice() {
            [entry] if entry.tenant == *tenant && entry.nonce == *nonce => Ok(()),
            [] => Err(Error::differs("binding.witness", "no entry", wanted())),
            [entry] => Err(Error::differs(
                "binding.witness",
                format!(
                    "{id} for {} with nonce {}",
                    entry.tenant,
                    hex::encode(entry.nonce)
                ),
                wanted(),
            )),
            _ => Err(Error::differs(
                "binding.witness",
                "several entries",
                wanted(),
            )),
        }
    }

    /// A witness's demand: the digest is that of the request it was sent.
    ///
    /// # Errors
    /// `binding.request` when it differs.
    pub fn demands_request(&self, digest: &[u8; 32]) -> Result<(), Error> {
        if self.request == *digest {
            return Ok(());
        }
        Err(Error::differs(
            "binding.request",
            hex::encode(self.request),
            hex::encode(digest),
        ))
    }

    /// A witness's demand: there is a KEM key and its suite is one of those allowed by the rule.
    ///
    /// # Errors
    /// `binding.keys` when there is no KEM key, `binding.suite` when the suite is not allowed.
    pub fn demands_suite(&self, allowed: &[Suite]) -> Result<(), Error> {
        let (suite, _) = self
            .recipient()
            .ok_or_else(|| Error::differs("binding.keys", "no KEM key", "a KEM key"))?;
        if allowed.contains(&suite) {
            return Ok(());
        }
        let wanted: Vec<_> = allowed.iter().map(Suite::to_string).collect();
        Err(Error::differs(
            "binding.suite",
            suite.to_string(),
            wanted.join(" or "),
        ))
    }

    /// A witness's demand: the bound keys are exactly those that the caller presented.
    ///
    /// # Errors
    /// `binding.keys` when a key is missing, added or different.
    pub fn demands_keys(&self, presented: &BTreeMap<Role, BoundKey>) -> Result<(), Error> {
        if self.keys == *presented {
            return Ok(());
        }
        let roles = |keys: &BTreeMap<Role, BoundKey>| {
            let described = keys.iter().map(|(role, key)| {
                let digest = Sha256::digest(key.value().encode());
                format!("{role:?} sha256:{}", hex::encode(digest))
            });
            described.collect::<Vec<_>>().join(", ")
        };
        Err(Error::differs(
            "binding.keys",
            roles(&self.keys),
            roles(presented),
        ))
    }

    /// A witness's demand: the AK names are exactly those of the keys in the bundle.
    ///
    /// # Errors
    /// `binding.attestation-keys` when they differ.
    pub fn demands_attestation_keys(&self, names: &[&[u8]]) -> Result<(), Error> {
        let mut wanted: Vec<_> = names.to_vec();
        wanted.sort_unstable();
        let found: Vec<&[u8]> = self.attestation_keys.iter().map(Vec::as_slice).collect();
        if found == wanted {
            return Ok(());
        }
        let list = |names: &[&[u8]]| names.iter().map(hex::encode).collect::<Vec<_>>().join(", ");
        Err(Error::differs(
            "binding.attestation-keys",
            format!("[{}]", list(&found)),
            format!("[{}]", list(&wanted)),
        ))
    }

    /// A witness's demand: the channel binder is that of this connection. `None` demands that
    /// there is none; a witness behind a proxy that ends TLS cannot know one.
    ///
    /// # Errors
    /// `binding.channel` when it differs.
    pub fn demands_channel(&self, binder: Option<&[u8]>) -> Result<(), Error> {
        if self.channel.as_deref() == binder {
            return Ok(());
        }
        let show = |binder: Option<&[u8]>| binder.map_or_else(|| "none".to_owned(), hex::encode);
        Err(Error::differs(
            "binding.channel",
            show(self.channel.as_deref()),
            show(binder),
        ))
    }
}

fn witness(value: &Value) -> Option<Witness> {
    let [id, tenant, nonce] = value.as_items()? else {
        return None;
    };
    Some(Witness {
        id: Name::parse(id.as_text()?).ok()?,
        tenant: Name::parse(tenant.as_text()?).ok()?,
        nonce: nonce.as_array_of()?,
    })
}

impl BoundKey {
    /// A COSE_Key for an Ed25519 public key (RFC 9053 §7.2).
    #[must_use]
    pub fn ed25519(public_key: &[u8; 32]) -> Self {
        let key = Value::map([
            (1, Value::Integer(1)),
            (-1, Value::Integer(6)),
            (-2, Value::bytes(public_key)),
        ]);
        Self::Cose(key.encode())
    }

    /// A COSE_Key for a P-256 public key (RFC 9053 §7.1).
    #[must_use]
    pub fn p256(x: &[u8; 32], y: &[u8; 32]) -> Self {
        let key = Value::map([
            (1, Value::Integer(2)),
            (-1, Value::Integer(1)),
            (-2, Value::bytes(x)),
            (-3, Value::bytes(y)),
        ]);
        Self::Cose(key.encode())
    }

    fn value(&self) -> Value {
        match self {
            Self::Kem { suite, public_key } => Value::Array(vec![
                Value::Integer(i64::from(suite.kem)),
                Value::Integer(i64::from(suite.kdf)),
                Value::Integer(i64::from(suite.aead)),
                Value::bytes(public_key),
            ]),
            Self::Cose(bytes) => Value::bytes(bytes),
        }
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Bytes(bytes) = value {
            return Some(Self::Cose(bytes.clone()));
        }
        let [kem, kdf, aead, public_key] = value.as_items()? else {
            return None;
        };
        let number = |value: &Value| u16::try_from(value.as_integer()?).ok();
        Some(Self::Kem {
            suite: Suite {
                kem: number(kem)?,
                kdf: number(kdf)?,
                aead: number(aead)?,
            },
            public_key: public_key.as_bytes()?.to_vec(),
        })
    }

    fn fits(&self, role: Role) -> Result<(), Error> {
        let refuse = |because| Err(Error::malformed("binding.keys", 0, because));
        match self {
            Self::Kem { suite, public_key } => {
                if role != Role::Kem {
                    return refuse("a KEM key stands under another role");
                }
                if !suite.is_known() {
                    let known: Vec<_> = Suite::ALL.iter().map(Suite::to_string).collect();
                    return Err(Error::differs(
                        "binding.suite",
                        suite.to_string(),
                        known.join(" or "),
                    ));
                }
                if suite.public_key_bytes() != Some(public_key.len()) {
                    return refuse("the KEM public key has the wrong length for its suite");
                }
                Ok(())
            }
            Self::Cose(bytes) => {
                if role == Role::Kem {
                    return refuse("the KEM role holds a key that is not for a KEM");
                }
                let key = Value::parse(bytes, COSE_KEY_BYTES_MAX, "binding.keys")?;
                let has_type = key.as_map().is_some_and(|map| map.contains_key(&1.into()));
                // -4 is the private part of every key type in RFC 9053.
                let has_private = key
                    .as_map()
                    .is_some_and(|map| map.contains_key(&(-4).into()));
                if !has_type || has_private {
                    return refuse("it is not a public COSE_Key");
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn entry(id: &str, nonce: u8) -> Witness {
        Witness {
            id: name(id),
            tenant: name("acme"),
            nonce: [nonce; 32],
        }
    }

    fn keys() -> BTreeMap<Role, BoundKey> {
        BTreeMap::from([
            (
                Role::Kem,
                BoundKey::Kem {
                    suite: Suite::X25519,
                    public_key: vec![9; 32],
                },
            ),
            (Role::Tls, BoundKey::ed25519(&[8; 32])),
        ])
    }

    fn binding() -> Binding {
        Binding::new(
            vec![entry("w2", 2), entry("w1", 1)],
            keys(),
            [3; 32],
            vec![vec![0, 11, 4]],
            Some(vec![5; 32]),
        )
        .unwrap()
    }

    #[test]
    fn the_digest_is_of_prefix_and_encoding_and_stays_as_it_is() {
        let binding = binding();
        let mut whole = b"zeuge-binding-v1".to_vec();
        whole.extend(binding.encode());
        assert_eq!(binding.report_data()[..], Sha512::digest(&whole)[..]);
        assert_eq!(
            binding.qualifying_data()[..],
            Sha256::digest(binding.report_data())[..]
        );
        // Written down once: a change of this value is a change of the wire.
        assert_eq!(
            hex::encode(&binding.encode()[..12]),
            "a50182836277316461636d65"
        );
    }

    #[test]
    fn each_witness_finds_its_own_entry_exactly_once() {
        let binding = binding();
        assert_eq!(
            binding.demands(&name("w1"), &name("acme"), &[1; 32]),
            Ok(())
        );
        assert_eq!(
            binding.demands(&name("w2"), &name("acme"), &[2; 32]),
            Ok(())
        );
        let refusal = binding.demands(&name("w1"), &name("acme"), &[2; 32]);
        assert_eq!(
            refusal,
            Err(Error::differs(
                "binding.witness",
                format!("w1 for acme with nonce {}", "01".repeat(32)),
                format!("w1 for acme with nonce {}", "02".repeat(32)),
            ))
        );
        let refusal = binding.demands(&name("w3"), &name("acme"), &[1; 32]);
        assert_eq!(
            refusal,
            Err(Error::differs(
                "binding.witness",
                "no entry",
                format!("w3 for acme with nonce {}", "01".repeat(32)),
            ))
        );
        let refusal = binding.demands(&name("w1"), &name("other"), &[1; 32]);
        assert_eq!(
            refusal.map_err(|error| error.check()),
            Err("binding.witness")
        );
    }

    #[test]
    fn a_witness_that_stands_twice_is_refused() {
        let made = Binding::new(
            vec![entry("w1", 1), entry("w1", 2)],
            keys(),
            [3; 32],
            vec![],
            None,
        );
        assert_eq!(
            made,
            Err(Error::malformed(
                "binding.malformed",
                0,
                "a witness stands twice"
            ))
        );
    }

    #[test]
    fn none_and_seventeen_witnesses_are_refused_and_sixteen_are_not() {
        let many = |count: u8| {
            let witnesses = (0..count).map(|index| entry(&format!("w{index}"), index));
            Binding::new(witnesses.collect(), keys(), [3; 32], vec![], None).map(drop)
        };
        let refusal = Error::malformed("binding.malformed", 0, "it must name 1 to 16 witnesses");
        assert_eq!(many(0), Err(refusal.clone()));
        assert_eq!(many(16), Ok(()));
        assert_eq!(many(17), Err(refusal));
    }

    #[test]
    fn every_demand_names_its_own_check() {
        let binding = binding();
        assert_eq!(
            binding.demands_request(&[4; 32]),
            Err(Error::differs(
                "binding.request",
                "03".repeat(32),
                "04".repeat(32)
            ))
        );
        assert_eq!(
            binding.demands_suite(&[Suite::X_WING]),
            Err(Error::differs(
                "binding.suite",
                Suite::X25519.to_string(),
                Suite::X_WING.to_string()
            ))
        );
        assert_eq!(
            binding.demands_suite(&[Suite::X_WING, Suite::X25519]),
            Ok(())
        );
        assert_eq!(binding.demands_keys(&keys()), Ok(()));
        let refusal = binding
            .demands_keys(&BTreeMap::new())
            .map_err(|error| error.check());
        assert_eq!(refusal, Err("binding.keys"));
        assert_eq!(binding.demands_attestation_keys(&[&[0, 11, 4]]), Ok(()));
        assert_eq!(
            binding.demands_attestation_keys(&[]),
            Err(Error::differs("binding.attestation-keys", "[000b04]", "[]"))
        );
        assert_eq!(binding.demands_channel(Some(&[5; 32])), Ok(()));
        assert_eq!(
            binding.demands_channel(None),
            Err(Error::differs("binding.channel", "05".repeat(32), "none"))
        );
    }

    #[test]
    fn a_key_under_the_wrong_role_is_refused() {
        let with = |role, key| {
            let keys = BTreeMap::from([(role, key)]);
            Binding::new(vec![entry("w1", 1)], keys, [3; 32], vec![], None).map(drop)
        };
        let kem = |suite: Suite, length| BoundKey::Kem {
            suite,
            public_key: vec![0; length],
        };
        assert_eq!(
            with(Role::Tls, kem(Suite::X25519, 32)),
            Err(Error::malformed(
                "binding.keys",
                0,
                "a KEM key stands under another role"
            ))
        );
        assert_eq!(
            with(Role::Kem, kem(Suite::X_WING, 32)),
            Err(Error::malformed(
                "binding.keys",
                0,
                "the KEM public key has the wrong length for its suite"
            ))
        );
        assert_eq!(
            with(Role::Kem, BoundKey::ed25519(&[1; 32])),
            Err(Error::malformed(
                "binding.keys",
                0,
                "the KEM role holds a key that is not for a KEM"
            ))
        );
        let unknown = Suite {
            kem: 0x10,
            kdf: 1,
            aead: 1,
        };
        assert_eq!(
            with(Role::Kem, kem(unknown, 65)).map_err(|error| error.check()),
            Err("binding.suite")
        );
        let private = Value::map([(1, Value::Integer(1)), (-4, Value::bytes(&[1]))]);
        assert_eq!(
            with(Role::Tls, BoundKey::Cose(private.encode())),
            Err(Error::malformed(
                "binding.keys",
                0,
                "it is not a public COSE_Key"
            ))
        );
    }

    #[test]
    fn witnesses_out_of_order_on_the_wire_are_refused() {
        let mut binding = binding();
        binding.witnesses.reverse();
        assert_eq!(
            Binding::parse(&binding.encode()),
            Err(Error::malformed(
                "binding.malformed",
                0,
                "witnesses are not sorted"
            ))
        );
    }

    proptest! {
        #[test]
        fn a_binding_is_read_back_as_it_was_written(
            ids in proptest::collection::btree_set("[a-z]{1,8}", 1..16),
            request in any::<[u8; 32]>(),
            channel in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..64)),
        ) {
            let witnesses = ids.iter().map(|id| entry(id, 1)).collect();
            let made = Binding::new(witnesses, keys(), request, vec![], channel).unwrap();
            prop_assert_eq!(Binding::parse(&made.encode()), Ok(made));
        }

        #[test]
        fn a_flipped_bit_never_gives_the_same_binding(bit in 0_usize..2000) {
            let made = binding();
            let mut bytes = made.encode();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Binding::parse(&bytes) {
                prop_assert_ne!(other.report_data(), made.report_data());
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Binding::parse(&bytes));
        }
    }
}
