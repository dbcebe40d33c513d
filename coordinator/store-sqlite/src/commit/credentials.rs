//! Tokens and certificates, row by row: there are few.

use sqlx::query;
use swath_model::access::Credential;
use swath_model::time::Timestamp;

use crate::error::Result;
use crate::writer::Tx;

pub(super) async fn write(tx: &mut Tx, rows: &[Credential]) -> Result<()> {
    for row in rows {
        let id = row.id.key();
        let role = row.role.name();
        let secret = row.secret.as_ref().map(|it| &it.as_bytes()[..]);
        let created_at = row.created_at.as_ms();
        let expires_at = row.expires_at.map(Timestamp::as_ms);
        let revoked_at = row.revoked_at.map(Timestamp::as_ms);
        query!(
            "INSERT INTO credential (id, role, holder, secret, uses_left, created_at, created_by,
                                     expires_at, revoked_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET
                 role = excluded.role, holder = excluded.holder, secret = excluded.secret,
                 uses_left = excluded.uses_left, created_at = excluded.created_at,
                 created_by = excluded.created_by, expires_at = excluded.expires_at,
                 revoked_at = excluded.revoked_at",
            id,
            role,
            row.holder,
            secret,
            row.uses_left,
            created_at,
            row.created_by,
            expires_at,
            revoked_at
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}
