//! HPKE suites by their registered numbers; the three numbers stand on the wire, in the binding
//! and in the release rule (DESIGN §5.3).
//!
//! Never negotiates: an unknown suite is refused by its numbers, nothing falls back to another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// KEM, KDF and AEAD by their IANA HPKE numbers; on the wire an array of three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "[u16; 3]", into = "[u16; 3]")]
pub struct Suite {
    /// Key encapsulation: 0x647a X-Wing, 0x0020 DHKEM(X25519, HKDF-SHA256).
    pub kem: u16,
    /// Key derivation: 0x0001 HKDF-SHA256.
    pub kdf: u16,
    /// Encryption: 0x0002 AES-256-GCM, 0x0003 ChaCha20-Poly1305.
    pub aead: u16,
}

impl Suite {
    /// X-Wing (ML-KEM-768 with X25519), HKDF-SHA256, AES-256-GCM: the default.
    pub const X_WING: Self = Self {
        kem: 0x647a,
        kdf: 0x0001,
        aead: 0x0002,
    };
    /// X-Wing with ChaCha20-Poly1305, for machines without AES instructions.
    pub const X_WING_CHACHA: Self = Self {
        kem: 0x647a,
        kdf: 0x0001,
        aead: 0x0003,
    };
    /// X25519 alone with AES-256-GCM: not safe against a later quantum computer, by rule only.
    pub const X25519: Self = Self {
        kem: 0x0020,
        kdf: 0x0001,
        aead: 0x0002,
    };
    /// X25519 alone with ChaCha20-Poly1305, by rule only.
    pub const X25519_CHACHA: Self = Self {
        kem: 0x0020,
        kdf: 0x0001,
        aead: 0x0003,
    };
    /// Every suite that this program can use, strongest first.
    pub const ALL: [Self; 4] = [
        Self::X_WING,
        Self::X_WING_CHACHA,
        Self::X25519,
        Self::X25519_CHACHA,
    ];

    /// Whether this program can use the suite.
    #[must_use]
    pub fn is_known(self) -> bool {
        Self::ALL.contains(&self)
    }

    /// Whether the KEM holds against a quantum computer that records today.
    #[must_use]
    pub const fn is_post_quantum(self) -> bool {
        self.kem == Self::X_WING.kem
    }

    /// The length of a raw public key in bytes; `None` for an unknown KEM.
    #[must_use]
    pub const fn public_key_bytes(self) -> Option<usize> {
        match self.kem {
            0x647a => Some(1216),
            0x0020 => Some(32),
            _ => None,
        }
    }
}

impl From<[u16; 3]> for Suite {
    fn from([kem, kdf, aead]: [u16; 3]) -> Self {
        Self { kem, kdf, aead }
    }
}

impl From<Suite> for [u16; 3] {
    fn from(suite: Suite) -> Self {
        [suite.kem, suite.kdf, suite.aead]
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kem = match self.kem {
            0x647a => "X-Wing",
            0x0020 => "X25519",
            _ => "unknown KEM",
        };
        write!(
            out,
            "{kem} ({:#06x}/{:#06x}/{:#06x})",
            self.kem, self.kdf, self.aead
        )
    }
}
