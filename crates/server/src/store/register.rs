//! Tenants and their tokens in the database.

use rusqlite::{OptionalExtension as _, params};
use zeuge_protocol::name::Name;

use super::sqlite::{Sqlite, append, epoch, mark_time};
use crate::refusal::Refusal;
use crate::sequencer::NewLeaf;
use crate::tenants::{Register, Role, TokenRow};

/// A role as the database spells it; an unknown word may nothing more than read.
fn role(word: &str) -> Role {
    let known = [Role::Operator, Role::Cluster];
    let named = known.into_iter().find(|role| role.as_str() == word);
    named.unwrap_or(Role::Reader)
}

impl Register for Sqlite {
    fn add_tenant_with(
        &self,
        tenant: &Name,
        owners: &[u8],
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<(), Refusal> {
        self.write(|transaction| {
            mark_time(transaction, now)?;
            let tenant = tenant.as_str();
            let added = transaction.execute(
                "INSERT OR IGNORE INTO tenants (name, epoch) VALUES (?1, 1)",
                [tenant],
            )?;
            if added == 0 {
                let because = "there is a tenant of this name already";
                return Err(Refusal::new("tenant.exists", 403, because));
            }
            transaction.execute(
                "INSERT INTO documents (tenant, kind, name, version, json)
                 VALUES (?1, 'first-owners', 'first-owners', 1, ?2)",
                params![tenant, owners],
            )?;
            append(transaction, std::slice::from_ref(leaf))?;
            Ok(())
        })
    }

    fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, Refusal> {
        let connection = self.lock()?;
        let row = connection
            .query_row(
                "SELECT tenant, name, role, expires FROM tokens WHERE hash = ?1",
                [hash.as_slice()],
                |row| {
                    Ok(TokenRow {
                        tenant: row.get(0)?,
                        name: row.get(1)?,
                        role: role(&row.get::<_, String>(2)?),
                        expires: row.get(3)?,
                    })
                },
            )
            .optional()?;
        Ok(row)
    }

    fn tokens(&self, tenant: &str) -> Result<Vec<TokenRow>, Refusal> {
        let connection = self.lock()?;
        epoch(&connection, tenant)?;
        let mut statement = connection
            .prepare("SELECT name, role, expires FROM tokens WHERE tenant = ?1 ORDER BY name")?;
        let rows = statement.query_map([tenant], |row| {
            Ok(TokenRow {
                tenant: tenant.to_owned(),
                name: row.get(0)?,
                role: role(&row.get::<_, String>(1)?),
                expires: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn put_token(
        &self,
        token: &TokenRow,
        hash: &[u8; 32],
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<(), Refusal> {
        self.write(|transaction| {
            mark_time(transaction, now)?;
            epoch(transaction, &token.tenant)?;
            transaction.execute(
                "INSERT OR REPLACE INTO tokens (tenant, name, role, hash, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    token.tenant,
                    token.name,
                    token.role.as_str(),
                    hash.as_slice(),
                    token.expires
                ],
            )?;
            append(transaction, std::slice::from_ref(leaf))?;
            Ok(())
        })
    }

    fn remove_token(
        &self,
        tenant: &str,
        name: &str,
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<bool, Refusal> {
        self.write(|transaction| {
            mark_time(transaction, now)?;
            let sql = "DELETE FROM tokens WHERE tenant = ?1 AND name = ?2";
            let count = transaction.execute(sql, params![tenant, name])?;
            if count > 0 {
                append(transaction, std::slice::from_ref(leaf))?;
            }
            Ok(count > 0)
        })
    }
}
