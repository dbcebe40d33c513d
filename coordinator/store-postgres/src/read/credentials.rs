//! Tokens and certificates.

use sqlx::query;
use swath_model::access::Credential;
use swath_store::stored_credential;

use crate::error::Result;
use crate::session::Session;
use crate::text;

/// All of them, by id.
pub(crate) async fn credentials(session: &mut Session) -> Result<Vec<Credential>> {
    let rows = query!(
        "SELECT id, role, holder, secret, uses_left, created_at, created_by, expires_at, revoked_at
         FROM credential ORDER BY id"
    )
    .fetch_all(session)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| Ok(stored_credential!(row, text::told)))
        .collect()
}
