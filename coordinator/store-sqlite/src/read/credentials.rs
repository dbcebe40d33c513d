//! Tokens and certificates.

use sqlx::{SqliteConnection, query};
use swath_model::access::Credential;
use swath_store::stored_credential;

use crate::error::Result;

/// All of them, by id.
pub(crate) async fn credentials(conn: &mut SqliteConnection) -> Result<Vec<Credential>> {
    let rows = query!(
        r#"SELECT id AS "id!", role, holder, secret, uses_left, created_at, created_by,
                  expires_at, revoked_at
           FROM credential ORDER BY id"#
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| Ok(stored_credential!(row, std::convert::identity)))
        .collect()
}
