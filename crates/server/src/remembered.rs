//! What the owners want, proven once per epoch and remembered until any document of it ends.
//!
//! Reading and verifying the documents costs as many signatures as there are; nothing of it changes
//! while the epoch stands, which the transaction of every decision checks once more. Never answers
//! for another epoch or another time than was proven, and never invents: what is not remembered is
//! proven anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use zeuge_log::hash::sha256;
use zeuge_protocol::document::Document;
use zeuge_protocol::manifest::Manifest;

use crate::appraisal::Wishes;
use crate::documents::{self, Shelf};
use crate::keys::Keys;
use crate::refusal::Refusal;
use crate::secrets::{self, SecretRow};
use crate::session::Ledger;
use crate::stops::{Brake, Stops};

/// Tenants whose documents are remembered at once; with more of them all are forgotten.
const TENANTS_MAX: usize = 256;
/// Manifests of one tenant that are remembered at once.
const MANIFESTS_MAX: usize = 1024;

/// A manifest that the owners of one epoch signed, with its document.
type Believed = Arc<(Document, Manifest)>;

/// What holds for one tenant under one epoch.
#[derive(Debug)]
pub struct Held {
    /// What the owners want.
    pub wishes: Wishes,
    /// Which machines get nothing for now.
    pub stops: Stops,
    /// From when to before when every document holds.
    time: (i64, i64),
    manifests: Mutex<HashMap<([u8; 32], i64), Believed>>,
}

/// What is remembered of all tenants.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<HashMap<String, Arc<Held>>>);

impl Remembered {
    /// What the owners of a tenant want at an instant, under the present epoch.
    ///
    /// # Errors
    /// As [`documents::wishes`] and [`Brake::stops`].
    pub fn wishes<S: Shelf + Ledger + Brake>(
        &self,
        store: &S,
        keys: &Keys,
        tenant: &str,
        now: i64,
    ) -> Result<Arc<Held>, Refusal> {
        let epoch = store.epoch(tenant)?;
        if let Ok(all) = self.0.lock()
            && let Some(held) = all.get(tenant)
            && held.wishes.epoch == epoch
            && (held.time.0..held.time.1).contains(&now)
        {
            return Ok(Arc::clone(held));
        }
        let (wishes, until) = documents::wishes_until(store, keys, tenant, now)?;
        // Whoever changes these starts a new epoch: what is decided under this one is not written then.
        let stops = Stops::of(store.stops(tenant)?);
        let held = Arc::new(Held {
            wishes,
            stops,
            time: (now, until),
            manifests: Mutex::default(),
        });
        if let Ok(mut all) = self.0.lock() {
            if all.len() >= TENANTS_MAX {
                all.clear();
            }
            all.insert(tenant.to_owned(), Arc::clone(&held));
        }
        Ok(held)
    }
}

impl Held {
    /// The manifest of a row, if these owners signed it.
    ///
    /// # Errors
    /// As [`secrets::manifest`].
    pub fn manifest(&self, row: &SecretRow, now: i64) -> Result<Believed, Refusal> {
        let key = (sha256(&[&row.manifest]), row.version);
        let is_in_force = |held: &&Believed| {
            let header = &held.0.header;
            (self.time.0..header.expires).contains(&now)
        };
        if let Ok(manifests) = self.manifests.lock()
            && let Some(held) = manifests.get(&key).filter(is_in_force)
        {
            return Ok(Arc::clone(held));
        }
        let believed = Arc::new(secrets::manifest(row, &self.wishes.owners, now)?);
        if let Ok(mut manifests) = self.manifests.lock() {
            if manifests.len() >= MANIFESTS_MAX {
                manifests.clear();
            }
            manifests.insert(key, Arc::clone(&believed));
        }
        Ok(believed)
    }
}
