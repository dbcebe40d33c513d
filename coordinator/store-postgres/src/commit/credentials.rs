//! Tokens and certificates, row by row: there are few.

use sqlx::query;
use swath_model::access::Credential;
use swath_model::time::Timestamp;

use crate::error::Result;
use crate::session::Session;
use crate::text;

pub(super) async fn write(session: &mut Session, rows: &[Credential]) -> Result<()> {
    for row in rows {
        let (holder, created_by) = (text::kept(&row.holder), text::kept(&row.created_by));
        query!(
            "INSERT INTO credential (id, role, holder, secret, uses_left, created_at, created_by,
                                     expires_at, revoked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (id) DO UPDATE SET
                 role = excluded.role, holder = excluded.holder, secret = excluded.secret,
                 uses_left = excluded.uses_left, created_at = excluded.created_at,
                 created_by = excluded.created_by, expires_at = excluded.expires_at,
                 revoked_at = excluded.revoked_at",
            row.id.key(),
            row.role.name(),
            &*holder,
            row.secret.as_ref().map(|it| &it.as_bytes()[..]),
            row.uses_left.map(i64::from),
            row.created_at.as_ms(),
            &*created_by,
            row.expires_at.map(Timestamp::as_ms),
            row.revoked_at.map(Timestamp::as_ms)
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}
