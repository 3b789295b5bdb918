//! Leaves: what the log says, as deterministic CBOR (DESIGN §5.6).
//!
//! An array: `"zeuge-leaf-v1"`, the type, then the fields in the order of the variants below.
//! Leaves are public and for ever, so tenant, path, machine and people appear as salted
//! commitments only. Never takes a value that could not be published.

use crate::{
    Error, Hash,
    cbor::{Reader, Writer},
    commitment::Commitment,
    hash::leaf_hash,
    tile::ENTRY_BYTES_MAX,
};

const TAG: &str = "zeuge-leaf-v1";
/// Check ids, kinds, versions and origins are short names.
pub const TEXT_BYTES_MAX: usize = 255;
/// More failed checks than the check table has ids are not honest.
pub const LIST_ITEMS_MAX: usize = 512;
/// Fields of the largest variant, tag and type included.
const FIELDS_MAX: usize = 16;

/// Outcome of one appraisal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything demanded holds.
    Affirming,
    /// Accepted with warnings.
    Warning,
    /// Refused.
    Contraindicated,
}

/// One entry. Times are POSIX seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// `verdict`: one bundle was appraised.
    Verdict {
        /// When.
        time: u64,
        /// Platform kind, such as `snp`.
        platform: String,
        /// Outcome.
        outcome: Outcome,
        /// Ids of failed checks, strictly ascending.
        failed: Vec<String>,
        /// SHA-256 of the evidence.
        evidence: Hash,
        /// Digest of the policy.
        policy: Hash,
        /// Version of the threat knowledge.
        knowledge: String,
        /// Commitments by label, labels strictly ascending.
        commitments: Vec<(String, Commitment)>,
    },
    /// `denials`: refusals of one source in one window, counted.
    Denials {
        /// Start of the window.
        from: u64,
        /// End of the window, not before its start.
        until: u64,
        /// Count by check id, ids strictly ascending.
        counts: Vec<(String, u64)>,
        /// Who asked.
        source: Commitment,
    },
    /// `release-authorised`: a secret version may go to a machine key.
    ReleaseAuthorised {
        /// When.
        time: u64,
        /// Digest of the manifest.
        manifest: Hash,
        /// SHA-256 of the recipient's key.
        recipient: Hash,
        /// SHA-256 of the challenge.
        challenge: Hash,
        /// Epoch of the policy.
        policy_epoch: u64,
        /// Tenant.
        tenant: Commitment,
        /// Path of the secret.
        path: Commitment,
        /// Version of the secret.
        version: Commitment,
        /// Machine.
        machine: Commitment,
    },
    /// `endorsement-seen`: a maker's statement was used.
    EndorsementSeen {
        /// Kind, such as `vcek`.
        kind: String,
        /// SHA-256 of the statement.
        fingerprint: Hash,
        /// SHA-256 of its issuer.
        issuer: Hash,
        /// Whom it is about.
        identity: Commitment,
    },
    /// `document-change`: a policy, rule or reference value was replaced.
    DocumentChange {
        /// Kind of document.
        kind: String,
        /// Its SHA-256.
        digest: Hash,
        /// Its version.
        version: u64,
        /// SHA-256 of the signer's key.
        signer: Hash,
    },
    /// `operator-action`: a person did something.
    OperatorAction {
        /// What, as a name.
        action: String,
        /// Who.
        actor: Commitment,
    },
    /// `recovered-origin`: this log continues another one after recovery.
    RecoveredOrigin {
        /// Origin of the earlier log.
        origin: String,
        /// Size of its last good checkpoint.
        size: u64,
        /// Root of that checkpoint.
        root: Hash,
    },
}

impl Leaf {
    /// The entry's bytes.
    ///
    /// # Errors
    /// [`Error::Leaf`] for anything that [`Leaf::decode`] would refuse, with its offset.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let bytes = self.write();
        // The decoder is the one place that states the limits and orders.
        Self::decode(&bytes)?;
        Ok(bytes)
    }

    /// The hash of the entry in the tree.
    ///
    /// # Errors
    /// As [`Leaf::encode`].
    pub fn hash(&self) -> Result<Hash, Error> {
        Ok(leaf_hash(&self.encode()?))
    }

    const fn name_and_fields(&self) -> (&'static str, usize) {
        match self {
            Self::Verdict { .. } => ("verdict", 10),
            Self::Denials { .. } => ("denials", 6),
            Self::ReleaseAuthorised { .. } => ("release-authorised", 11),
            Self::EndorsementSeen { .. } => ("endorsement-seen", 6),
            Self::DocumentChange { .. } => ("document-change", 6),
            Self::OperatorAction { .. } => ("operator-action", 4),
            Self::RecoveredOrigin { .. } => ("recovered-origin", 5),
        }
    }

    /// Fields of a verdict; nothing for other leaves.
    fn write_verdict(&self, w: &mut Writer) {
        let Self::Verdict {
            time,
            platform,
            outcome,
            failed,
            evidence,
            policy,
            knowledge,
            commitments,
        } = self
        else {
            return;
        };
        w.uint(*time);
        w.text(platform);
        w.text(match outcome {
            Outcome::Affirming => "affirming",
            Outcome::Warning => "warning",
            Outcome::Contraindicated => "contraindicated",
        });
        w.array(failed.len());
        failed.iter().for_each(|id| w.text(id));
        w.bytes(evidence);
        w.bytes(policy);
        w.text(knowledge);
        w.array(commitments.len());
        for (label, commitment) in commitments {
            w.array(2);
            w.text(label);
            w.bytes(&commitment.0);
        }
    }

    /// Fields of a release; nothing for other leaves.
    fn write_release(&self, w: &mut Writer) {
        let Self::ReleaseAuthorised {
            time,
            manifest,
            recipient,
            challenge,
            policy_epoch,
            tenant,
            path,
            version,
            machine,
        } = self
        else {
            return;
        };
        w.uint(*time);
        [manifest, recipient, challenge]
            .iter()
            .for_each(|hash| w.bytes(*hash));
        w.uint(*policy_epoch);
        [tenant, path, version, machine]
            .iter()
            .for_each(|c| w.bytes(&c.0));
    }

    fn write(&self) -> Vec<u8> {
        let mut w = Writer::default();
        let (name, fields) = self.name_and_fields();
        w.array(fields);
        w.text(TAG);
        w.text(name);
        match self {
            Self::Verdict { .. } => self.write_verdict(&mut w),
            Self::Denials {
                from,
                until,
                counts,
                source,
            } => {
                w.uint(*from);
                w.uint(*until);
                w.array(counts.len());
                for (id, count) in counts {
                    w.array(2);
                    w.text(id);
                    w.uint(*count);
                }
                w.bytes(&source.0);
            }
            Self::ReleaseAuthorised { .. } => self.write_release(&mut w),
            Self::EndorsementSeen {
                kind,
                fingerprint,
                issuer,
                identity,
            } => {
                w.text(kind);
                [fingerprint, issuer, &identity.0]
                    .iter()
                    .for_each(|hash| w.bytes(*hash));
            }
            Self::DocumentChange {
                kind,
                digest,
                version,
                signer,
            } => {
                w.text(kind);
                w.bytes(digest);
                w.uint(*version);
                w.bytes(signer);
            }
            Self::OperatorAction { action, actor } => {
                w.text(action);
                w.bytes(&actor.0);
            }
            Self::RecoveredOrigin { origin, size, root } => {
                w.text(origin);
                w.uint(*size);
                w.bytes(root);
            }
        }
        w.finish()
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`Error::Leaf`] with the offset for an unknown version or type, any other than the
    /// deterministic form, a list out of order, a limit passed.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(Error::Leaf {
                offset: 0,
                wanted: "a leaf of at most 65535 bytes",
            });
        }
        let mut r = Reader::new(bytes);
        let fields = r.array(FIELDS_MAX)?;
        let version = r.refuse("a leaf of version zeuge-leaf-v1");
        if r.text(TEXT_BYTES_MAX)? != TAG {
            return Err(version);
        }
        let unknown = r.refuse("a known leaf type");
        let kind = r.text(TEXT_BYTES_MAX)?;
        let leaf = read_fields(kind, &mut r)?.ok_or(unknown)?;
        r.finish()?;
        if leaf.name_and_fields().1 != fields {
            return Err(Error::Leaf {
                offset: 0,
                wanted: "as many fields as the type has",
            });
        }
        Ok(leaf)
    }
}

/// The fields after the type; `None` for an unknown type.
fn read_fields(kind: &str, r: &mut Reader<'_>) -> Result<Option<Leaf>, Error> {
    Ok(Some(match kind {
        "verdict" => Leaf::Verdict {
            time: r.uint()?,
            platform: name(r)?,
            outcome: outcome(r)?,
            failed: list(r, name, |id| id)?,
            evidence: hash(r)?,
            policy: hash(r)?,
            knowledge: name(r)?,
            commitments: list(
                r,
                |r| pair(r, |r| hash(r).map(Commitment)),
                |(label, _)| label,
            )?,
        },
        "denials" => {
            let (from, offset) = (r.uint()?, r.refuse("a window that ends after it begins"));
            let until = r.uint()?;
            if until < from {
                return Err(offset);
            }
            let counts = list(r, |r| pair(r, Reader::uint), |(id, _)| id)?;
            Leaf::Denials {
                from,
                until,
                counts,
                source: Commitment(hash(r)?),
            }
        }
        "release-authorised" => Leaf::ReleaseAuthorised {
            time: r.uint()?,
            manifest: hash(r)?,
            recipient: hash(r)?,
            challenge: hash(r)?,
            policy_epoch: r.uint()?,
            tenant: Commitment(hash(r)?),
            path: Commitment(hash(r)?),
            version: Commitment(hash(r)?),
            machine: Commitment(hash(r)?),
        },
        "endorsement-seen" => Leaf::EndorsementSeen {
            kind: name(r)?,
            fingerprint: hash(r)?,
            issuer: hash(r)?,
            identity: Commitment(hash(r)?),
        },
        "document-change" => Leaf::DocumentChange {
            kind: name(r)?,
            digest: hash(r)?,
            version: r.uint()?,
            signer: hash(r)?,
        },
        "operator-action" => Leaf::OperatorAction {
            action: name(r)?,
            actor: Commitment(hash(r)?),
        },
        "recovered-origin" => Leaf::RecoveredOrigin {
            origin: name(r)?,
            size: r.uint()?,
            root: hash(r)?,
        },
        _ => return Ok(None),
    }))
}

fn outcome(r: &mut Reader<'_>) -> Result<Outcome, Error> {
    let refusal = r.refuse("affirming, warning or contraindicated");
    match r.text(TEXT_BYTES_MAX)? {
        "affirming" => Ok(Outcome::Affirming),
        "warning" => Ok(Outcome::Warning),
        "contraindicated" => Ok(Outcome::Contraindicated),
        _ => Err(refusal),
    }
}

fn hash(r: &mut Reader<'_>) -> Result<Hash, Error> {
    let refusal = r.refuse("32 bytes");
    r.bytes(32)?.try_into().map_err(|_| refusal)
}

fn name(r: &mut Reader<'_>) -> Result<String, Error> {
    let refusal = r.refuse("a name of visible ASCII characters");
    let text = r.text(TEXT_BYTES_MAX)?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refusal);
    }
    Ok(text.to_owned())
}

fn pair<'a, T>(
    r: &mut Reader<'a>,
    value: impl Fn(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<(String, T), Error> {
    let refusal = r.refuse("a pair");
    if r.array(2)? != 2 {
        return Err(refusal);
    }
    Ok((name(r)?, value(r)?))
}

fn list<'a, T>(
    r: &mut Reader<'a>,
    item: impl Fn(&mut Reader<'a>) -> Result<T, Error>,
    key: impl Fn(&T) -> &String,
) -> Result<Vec<T>, Error> {
    let count = r.array(LIST_ITEMS_MAX)?;
    let mut items: Vec<T> = Vec::new();
    for _ in 0..count {
        let refusal = r.refuse("a list in strictly ascending order");
        let next = item(r)?;
        if items.last().is_some_and(|last| key(last) >= key(&next)) {
            return Err(refusal);
        }
        items.push(next);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::btree_map, prelude::*};

    fn action() -> Leaf {
        Leaf::OperatorAction {
            action: "login".to_owned(),
            actor: Commitment([7; 32]),
        }
    }

    #[test]
    fn a_leaf_has_these_bytes() {
        let wanted = [
            b"\x84\x6dzeuge-leaf-v1\x6foperator-action\x65login\x58\x20".as_slice(),
            &[7; 32],
        ]
        .concat();
        assert_eq!(action().encode().unwrap(), wanted);
    }

    #[test]
    fn other_forms_of_the_same_leaf_are_refused() {
        let bytes = action().encode().unwrap();
        let refused = |bytes: &[u8], offset, wanted| {
            assert_eq!(Leaf::decode(bytes), Err(Error::Leaf { offset, wanted }));
        };
        refused(
            &[b"\x98\x04", &bytes[1..]].concat(),
            0,
            "the shortest form of a number",
        );
        refused(&[b"\x9f", &bytes[1..]].concat(), 0, "a definite length");
        refused(
            &[b"\x85", &bytes[1..]].concat(),
            0,
            "as many fields as the type has",
        );
        refused(
            &[bytes.as_slice(), b"\0"].concat(),
            bytes.len(),
            "nothing after the leaf",
        );
        refused(&bytes[..60], 39, "as many bytes as the length says");
        let mut later = bytes.clone();
        later[14] = b'2';
        refused(&later, 1, "a leaf of version zeuge-leaf-v1");
        let mut other = bytes.clone();
        other[16] = b'x';
        refused(&other, 15, "a known leaf type");
        refused(&vec![0; 65_536], 0, "a leaf of at most 65535 bytes");
    }

    #[test]
    fn lists_out_of_order_are_not_written() {
        let counts = vec![("b".to_owned(), 1), ("a".to_owned(), 1)];
        let leaf = Leaf::Denials {
            from: 1,
            until: 2,
            counts,
            source: Commitment([0; 32]),
        };
        assert_eq!(
            leaf.encode(),
            Err(Error::Leaf {
                offset: 30,
                wanted: "a list in strictly ascending order"
            })
        );
    }

    fn any_leaf() -> impl Strategy<Value = Leaf> {
        let named = || btree_map("[a-z.-]{1,20}", any::<Hash>(), 0..6);
        let hashes = any::<[Hash; 7]>();
        (0..7, any::<(u64, u64)>(), "[!-~]{1,40}", named(), hashes).prop_map(
            |(kind, (a, b), text, named, [h0, h1, h2, h3, h4, h5, h6])| match kind {
                0 => Leaf::Verdict {
                    time: a,
                    platform: text.clone(),
                    outcome: Outcome::Warning,
                    failed: named.keys().cloned().collect(),
                    evidence: h0,
                    policy: h1,
                    knowledge: text,
                    commitments: named.into_iter().map(|(l, h)| (l, Commitment(h))).collect(),
                },
                1 => Leaf::Denials {
                    from: a.min(b),
                    until: a.max(b),
                    counts: named.into_keys().map(|id| (id, b)).collect(),
                    source: Commitment(h0),
                },
                2 => Leaf::ReleaseAuthorised {
                    time: a,
                    manifest: h0,
                    recipient: h1,
                    challenge: h2,
                    policy_epoch: b,
                    tenant: Commitment(h3),
                    path: Commitment(h4),
                    version: Commitment(h5),
                    machine: Commitment(h6),
                },
                3 => Leaf::EndorsementSeen {
                    kind: text,
                    fingerprint: h0,
                    issuer: h1,
                    identity: Commitment(h2),
                },
                4 => Leaf::DocumentChange {
                    kind: text,
                    digest: h0,
                    version: a,
                    signer: h1,
                },
                5 => Leaf::OperatorAction {
                    action: text,
                    actor: Commitment(h0),
                },
                _ => Leaf::RecoveredOrigin {
                    origin: text,
                    size: a,
                    root: h0,
                },
            },
        )
    }

    proptest! {
        #[test]
        fn every_leaf_is_read_as_it_was_written(leaf in any_leaf()) {
            prop_assert_eq!(Leaf::decode(&leaf.encode().unwrap()), Ok(leaf));
        }

        #[test]
        fn what_is_read_has_one_spelling(leaf in any_leaf(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = leaf.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Leaf::decode(&bytes) {
                prop_assert_eq!(read.encode().unwrap(), bytes);
            }
        }
    }
}
