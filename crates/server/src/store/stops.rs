//! Stops and waivers in the database. Never forgets a stop by itself.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, params};

use super::sqlite::{Sqlite, append, epoch, mark_time, next_epoch};
use crate::refusal::Refusal;
use crate::sequencer::NewLeaf;
use crate::stops::{Brake, STOPPED_MAX, StopRow, Stopped, Wanted};
use crate::waivers::{Book, WaiverRow};

impl Brake for Sqlite {
    fn stops(&self, tenant: &str) -> Result<Vec<StopRow>, Refusal> {
        let connection = self.lock()?;
        epoch(&connection, tenant)?;
        let mut statement = connection.prepare_cached(
            "SELECT name, scope, machine, because, since FROM stops WHERE tenant = ?1
             ORDER BY name, scope, machine",
        )?;
        let rows = statement.query_map([tenant], |row| {
            // What is no machine is everything: a word that nobody knows loosens nothing.
            let is_one = row.get::<_, String>(1)? == "machine";
            let machine: String = row.get(2)?;
            Ok(StopRow {
                name: row.get(0)?,
                machine: is_one.then_some(machine),
                because: row.get(3)?,
                since: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn stop(
        &self,
        tenant: &str,
        wanted: &Wanted,
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<Stopped, Refusal> {
        self.write(|transaction| {
            mark_time(transaction, now)?;
            epoch(transaction, tenant)?;
            let mut done = Stopped::default();
            let mut lines = BTreeSet::new();
            match &wanted.leaves {
                None => _ = lines.insert(("all", String::new())),
                Some(leaves) => {
                    let sql = "SELECT machine FROM verdicts WHERE leaf = ?1 AND tenant = ?2";
                    let mut statement = transaction.prepare_cached(sql)?;
                    for number in leaves {
                        let at = i64::try_from(*number).unwrap_or(-1);
                        let found = statement.query_row(params![at, tenant], |row| row.get(0));
                        match found.optional()? {
                            Some(machine) => _ = lines.insert(("machine", machine)),
                            None => done.unknown.push(*number),
                        }
                    }
                }
            }
            let mut statement = transaction.prepare_cached(
                "INSERT OR IGNORE INTO stops (tenant, name, scope, machine, because, since)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for (scope, machine) in lines {
                let line = params![tenant, wanted.name, scope, machine, wanted.because, now];
                done.new = done.new.saturating_add(statement.execute(line)?);
            }
            if done.new == 0 {
                return Ok(done);
            }
            let sql = "SELECT COUNT(*) FROM stops WHERE tenant = ?1";
            let count: i64 = transaction.query_row(sql, [tenant], |row| row.get(0))?;
            if usize::try_from(count).unwrap_or(usize::MAX) > STOPPED_MAX {
                let because =
                    "so many machines of one tenant cannot be stopped one by one; stop all";
                return Err(Refusal::new("request.malformed", 400, because)
                    .difference(count.to_string(), format!("at most {STOPPED_MAX}")));
            }
            append(transaction, std::slice::from_ref(leaf))?;
            next_epoch(transaction, tenant)?;
            Ok(done)
        })
    }

    fn lift(&self, tenant: &str, name: &str, leaf: &NewLeaf, now: i64) -> Result<usize, Refusal> {
        self.write(|transaction| {
            mark_time(transaction, now)?;
            epoch(transaction, tenant)?;
            let sql = "DELETE FROM stops WHERE tenant = ?1 AND name = ?2";
            let lifted = transaction.execute(sql, params![tenant, name])?;
            if lifted > 0 {
                append(transaction, std::slice::from_ref(leaf))?;
                next_epoch(transaction, tenant)?;
            }
            Ok(lifted)
        })
    }

    fn stopped(&self) -> Result<u64, Refusal> {
        let connection = self.lock()?;
        let mut statement = connection.prepare_cached("SELECT COUNT(*) FROM stops")?;
        let count: i64 = statement.query_row([], |row| row.get(0))?;
        u64::try_from(count).map_err(|error| Refusal::store(&error))
    }
}

impl Book for Sqlite {
    fn write_waiver(
        &self,
        tenant: &str,
        waiver: &WaiverRow,
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<u64, Refusal> {
        self.transact(false, |transaction| {
            mark_time(transaction, now)?;
            epoch(transaction, tenant)?;
            let sql = "SELECT leaf FROM waivers WHERE tenant = ?1 AND digest = ?2";
            let mut statement = transaction.prepare_cached(sql)?;
            let digest = waiver.digest.as_slice();
            let held: Option<i64> = statement
                .query_row(params![tenant, digest], |row| row.get(0))
                .optional()?;
            if let Some(held) = held {
                return u64::try_from(held).map_err(|error| Refusal::store(&error));
            }
            let at = append(transaction, std::slice::from_ref(leaf))?;
            let number = i64::try_from(at).map_err(|error| Refusal::store(&error))?;
            transaction.execute(
                "INSERT INTO waivers (tenant, digest, leaf, json) VALUES (?1, ?2, ?3, ?4)",
                params![tenant, digest, number, waiver.json],
            )?;
            Ok(at)
        })
    }

    fn waivers(&self, tenant: &str, limit: u32) -> Result<Vec<(u64, WaiverRow)>, Refusal> {
        let connection = self.lock()?;
        epoch(&connection, tenant)?;
        let mut statement = connection.prepare_cached(
            "SELECT leaf, digest, json FROM waivers WHERE tenant = ?1 ORDER BY leaf DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![tenant, limit], |row| {
            let leaf = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
            let (digest, json) = (row.get(1)?, row.get(2)?);
            Ok((leaf, WaiverRow { digest, json }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sqlite::tests::{decision, store};
    use super::*;
    use crate::sequencer::{Entries as _, salted};
    use crate::session::Ledger as _;
    use zeuge_log::leaf::Leaf;

    fn leaf() -> NewLeaf {
        let opening = salted("actor", b"ada");
        let leaf = Leaf::OperatorAction {
            action: "release-stop".to_owned(),
            actor: opening.commit(),
        };
        NewLeaf::new(leaf, vec![opening]).unwrap()
    }

    fn wanted(leaves: Option<&[u64]>) -> Wanted {
        Wanted {
            name: "c".to_owned(),
            because: "a test".to_owned(),
            leaves: leaves.map(<[u64]>::to_vec),
        }
    }

    #[test]
    fn a_stop_is_written_once_with_its_leaf_and_a_new_epoch_and_only_grows() {
        let (_folder, store) = store();
        assert_eq!(store.commit(&decision(1, 10)), Ok(0));
        let leaves = || store.entries(0, 100).unwrap().len();
        let before = (store.epoch("sim").unwrap(), leaves());
        // The second leaf of a decision is no verdict.
        let done = store
            .stop("sim", &wanted(Some(&[0, 1])), &leaf(), 11)
            .unwrap();
        assert_eq!((done.new, done.unknown), (1, vec![1]));
        assert_eq!(store.epoch("sim"), Ok(before.0 + 1));
        assert_eq!(leaves(), before.1 + 1);
        // Again it changes nothing, and a smaller one takes nothing away.
        for again in [&[0_u64, 1][..], &[1][..]] {
            let done = store
                .stop("sim", &wanted(Some(again)), &leaf(), 12)
                .unwrap();
            assert_eq!(done.new, 0);
        }
        assert_eq!(
            (store.epoch("sim").unwrap(), leaves()),
            (before.0 + 1, before.1 + 1)
        );
        let rows = store.stops("sim").unwrap();
        let machines: Vec<_> = rows.iter().map(|row| row.machine.as_deref()).collect();
        assert_eq!(machines, [Some("m")]);
        assert_eq!(
            store.stop("sim", &wanted(None), &leaf(), 13).unwrap().new,
            1
        );
        assert_eq!(store.stops("sim").unwrap().first().unwrap().machine, None);
        assert_eq!(store.stopped(), Ok(2));
        // What was judged under the epoch before is not decided any more.
        assert_eq!(
            store.commit(&decision(2, 14)).unwrap_err().check,
            "release.epoch"
        );
        assert_eq!(store.lift("sim", "other", &leaf(), 14), Ok(0));
        assert_eq!(store.lift("sim", "c", &leaf(), 14), Ok(2));
        assert_eq!(store.epoch("sim"), Ok(before.0 + 3));
        assert!(store.stops("sim").unwrap().is_empty());
        assert_eq!(store.stops("nobody").unwrap_err().check, "tenant.unknown");
    }

    #[test]
    fn a_verdict_of_another_tenant_stops_nobody() {
        let (_folder, store) = store();
        store.add_tenant("other").unwrap();
        assert_eq!(store.commit(&decision(1, 10)), Ok(0));
        let done = store
            .stop("other", &wanted(Some(&[0])), &leaf(), 11)
            .unwrap();
        assert_eq!((done.new, done.unknown), (0, vec![0]));
        assert!(store.stops("other").unwrap().is_empty());
    }
}
