//! What the folder holds under a name, proven again or known to be what was proven.
//!
//! Never asks anybody; whether what is held may be handed out is decided by the caller.

use zeuge_verify::{Endorsements, UnixTime};

use super::{Collateral, Found, held};
use crate::{CacheError, Problem, Wanted, content, warm::ProvenList};

impl Collateral {
    /// What is held under this key and vouched for, perhaps past its end.
    pub(super) fn look(
        &self,
        wanted: &Wanted,
        heap: &Endorsements,
        now: UnixTime,
    ) -> Result<(Option<Found>, Vec<Problem>), CacheError> {
        let (checked, fetched_at) = match self.proven(wanted)? {
            Some((list, fetched_at)) => (Ok((list.bytes.to_vec(), list.content)), fetched_at),
            None => {
                let Some(entry) = self.with_cache(|cache| cache.held(wanted))? else {
                    return Ok((None, Vec::new()));
                };
                let anchors = &self.inner.anchors;
                let checked = content::check(wanted, &entry.bytes, heap, anchors, now);
                if let Ok(content) = &checked {
                    self.warm().keep_list(wanted, &entry, content);
                }
                let checked = checked.map(|content| (entry.bytes, content));
                (checked, entry.entry.fetched_at)
            }
        };
        let checked = checked.and_then(|(bytes, content)| {
            held(&self.inner.cache).behind(content.mark.as_ref())?;
            Ok((bytes, content))
        });
        Ok(match checked {
            Ok((bytes, content)) => {
                let found = Found {
                    bytes,
                    content,
                    fetched_at: UnixTime(fetched_at),
                };
                (Some(found), Vec::new())
            }
            Err(problem) => (None, vec![problem]),
        })
    }

    /// The list that the index names under this key, if it was read and proven before.
    fn proven(&self, wanted: &Wanted) -> Result<Option<(ProvenList, i64)>, CacheError> {
        let key = wanted.key();
        let Some(list) = self.warm().list(wanted, &key) else {
            return Ok(None);
        };
        self.with_cache(|cache| {
            let entry = cache.index().entries.get(&key);
            let entry = entry.filter(|entry| entry.sha256 == list.sha256);
            Ok(entry.map(|entry| (list, entry.fetched_at)))
        })
    }
}
