//! Where each TPM stood when it was last believed, in the database.

use rusqlite::{OptionalExtension as _, Transaction, params};
use zeuge_evidence::tpm::ClockInfo;

use super::sqlite::Sqlite;
use crate::refusal::Refusal;
use crate::tpm::{ClockOf, Clocks, Stand};

/// Resets, restarts and milliseconds, big-endian: the database compares them as they are.
fn ordered(clock: ClockInfo) -> Vec<u8> {
    let resets = clock.reset_count.to_be_bytes();
    let restarts = clock.restart_count.to_be_bytes();
    [&resets[..], &restarts, &clock.clock.to_be_bytes()].concat()
}

fn read(bytes: &[u8]) -> Option<ClockInfo> {
    let (resets, rest) = bytes.split_first_chunk()?;
    let (restarts, rest) = rest.split_first_chunk()?;
    Some(ClockInfo {
        clock: u64::from_be_bytes(rest.try_into().ok()?),
        reset_count: u32::from_be_bytes(*resets),
        restart_count: u32::from_be_bytes(*restarts),
        safe: true,
    })
}

impl Clocks for Sqlite {
    fn clock(&self, of: &ClockOf) -> Result<Option<ClockInfo>, Refusal> {
        let sql = "SELECT stand FROM tpm_clocks WHERE tenant = ?1 AND machine = ?2 AND ak = ?3";
        let held: Option<Vec<u8>> = self
            .lock()?
            .query_row(
                sql,
                params![of.tenant, of.machine, of.ak.as_slice()],
                |row| row.get(0),
            )
            .optional()?;
        let broken = || Refusal::store(&"the stored clock of a TPM is not one");
        held.map(|bytes| read(&bytes).ok_or_else(broken))
            .transpose()
    }
}

/// Writes a stand, and refuses one before the one that is held: a later quote was decided since
/// this one was verified, and a new question settles which of the two is the machine's present.
pub(super) fn mark(transaction: &Transaction<'_>, stand: &Stand) -> Result<(), Refusal> {
    let Stand { of, clock } = stand;
    let written = transaction.execute(
        "INSERT INTO tpm_clocks (tenant, machine, ak, stand) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET stand = excluded.stand WHERE excluded.stand >= stand",
        params![of.tenant, of.machine, of.ak.as_slice(), ordered(*clock)],
    )?;
    if written == 0 {
        let because = "a later quote of this TPM was decided meanwhile; attest again";
        return Err(Refusal::new("tpm.quote.clock", 503, because).retry_after(0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Decision, Ledger as _};
    use crate::store::sqlite::tests::{check, decision, store};

    #[test]
    fn the_clock_of_a_tpm_goes_forward_alone_and_each_name_has_its_own() {
        let (folder, store) = store();
        let of = |machine: &str| ClockOf {
            tenant: "sim".to_owned(),
            machine: machine.to_owned(),
            ak: [1; 32],
        };
        let clock = |resets, clock| ClockInfo {
            clock,
            reset_count: resets,
            restart_count: 0,
            safe: true,
        };
        let decided = |nonce, machine, clock| {
            let of = of(machine);
            store.commit(&Decision {
                stand: Some(Stand { of, clock }),
                ..decision(nonce, 10)
            })
        };
        assert_eq!(store.clock(&of("rack-7")), Ok(None));
        decided(1, "rack-7", clock(300, 256)).unwrap();
        // A reset may set the clock back; the same stand twice is two questions within one tick.
        decided(2, "rack-7", clock(301, 5)).unwrap();
        decided(3, "rack-7", clock(301, 5)).unwrap();
        for earlier in [clock(301, 4), clock(300, 1000), clock(45, 1 << 40)] {
            assert_eq!(check(decided(4, "rack-7", earlier)), "tpm.quote.clock");
        }
        decided(4, "rack-7b", clock(0, 1)).unwrap();
        let again = Sqlite::open(&folder.path().join("db")).unwrap();
        assert_eq!(again.clock(&of("rack-7")), Ok(Some(clock(301, 5))));
        assert_eq!(again.clock(&of("rack-7b")), Ok(Some(clock(0, 1))));
    }
}
