//! Files of programs that travel with sweeps.

use sqlx::{query, query_scalar};
use swath_model::id::InputDigest;
use swath_model::time::Timestamp;
use swath_store::{InputKey, NewInput, ShippedInput, SweepKey};

use crate::error::Result;
use crate::rows;
use crate::session::Session;

/// Every file that is kept, without its content.
pub(crate) async fn inputs(session: &mut Session) -> Result<Vec<NewInput>> {
    let rows = query!("SELECT id, digest, bytes, kept_at FROM input ORDER BY id");
    let rows = rows.fetch_all(session).await?.into_iter();
    rows.map(|row| {
        Ok(NewInput {
            key: InputKey(row.id),
            digest: rows::input_digest(&row.digest)?,
            bytes: row.bytes as u64,
            at: Timestamp::from_ms(row.kept_at),
        })
    })
    .collect()
}

/// Which files travel with which sweeps.
pub(crate) async fn shipped(session: &mut Session) -> Result<Vec<ShippedInput>> {
    let rows = query!("SELECT sweep, input FROM sweep_input ORDER BY sweep, input");
    let rows = rows.fetch_all(session).await?.into_iter();
    let shipped = rows.map(|row| ShippedInput {
        sweep: SweepKey(row.sweep),
        input: InputKey(row.input),
    });
    Ok(shipped.collect())
}

/// Those of these files that are kept.
pub(crate) async fn kept(
    session: &mut Session,
    inputs: Vec<InputDigest>,
) -> Result<Vec<InputDigest>> {
    let digests: Vec<Vec<u8>> = inputs.iter().map(|it| it.as_bytes().to_vec()).collect();
    let kept = query_scalar!(
        "SELECT input.digest FROM unnest($1::bytea[]) WITH ORDINALITY AS named (digest, place)
         JOIN input ON input.digest = named.digest ORDER BY named.place",
        &digests
    );
    let kept = kept.fetch_all(session).await?;
    let kept = kept.iter().map(|it| Ok(rows::input_digest(it)?));
    kept.collect()
}

/// A piece of a file.
pub(crate) async fn piece(
    session: &mut Session,
    input: InputDigest,
    place: u32,
) -> Result<Option<Vec<u8>>> {
    let digest = &input.as_bytes()[..];
    let content = query_scalar!(
        "SELECT content FROM input_piece
         WHERE input = (SELECT id FROM input WHERE digest = $1) AND place = $2",
        digest,
        i64::from(place)
    );
    Ok(content.fetch_optional(session).await?)
}
