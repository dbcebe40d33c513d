//! Files of programs that travel with sweeps.

use sqlx::{SqliteConnection, query_scalar};
use swath_model::id::InputDigest;

use crate::error::Result;
use crate::rows;

/// Those of these files that are kept.
pub(crate) async fn kept(
    conn: &mut SqliteConnection,
    inputs: Vec<InputDigest>,
) -> Result<Vec<InputDigest>> {
    let digests = rows::json(&inputs);
    let kept = query_scalar!(
        r#"SELECT input.digest FROM json_each(?1) AS named
           CROSS JOIN input ON input.digest = unhex(named.value)
           ORDER BY named.key + 0"#,
        digests
    );
    let kept = kept.fetch_all(conn).await?;
    let kept = kept.iter().map(|it| Ok(rows::input_digest(it)?));
    kept.collect()
}

/// A piece of a file.
pub(crate) async fn piece(
    conn: &mut SqliteConnection,
    input: InputDigest,
    place: u32,
) -> Result<Option<Vec<u8>>> {
    let digest = &input.as_bytes()[..];
    let content = query_scalar!(
        "SELECT content FROM input_piece
         WHERE input = (SELECT id FROM input WHERE digest = ?1) AND place = ?2",
        digest,
        place
    );
    Ok(content.fetch_optional(conn).await?)
}
