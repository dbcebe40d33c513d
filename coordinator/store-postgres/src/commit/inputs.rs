//! Files of programs that travel with sweeps.

use sqlx::query;
use swath_store::{InputKey, InputPiece, NewInput, ShippedInput};

use super::{CHUNK, all_written};
use crate::error::Result;
use crate::session::Session;

/// Pieces per statement: each may have a megabyte.
const PIECES: usize = 16;

pub(super) async fn insert(session: &mut Session, inputs: &[NewInput]) -> Result<()> {
    for chunk in inputs.chunks(CHUNK) {
        let ids: Vec<i64> = chunk.iter().map(|row| row.key.0).collect();
        let digests = chunk.iter().map(|row| row.digest.as_bytes().to_vec());
        let digests: Vec<Vec<u8>> = digests.collect();
        let bytes: Vec<i64> = chunk.iter().map(|row| row.bytes as i64).collect();
        let times: Vec<i64> = chunk.iter().map(|row| row.at.as_ms()).collect();
        query!(
            "INSERT INTO input (id, digest, bytes, kept_at)
             SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[])",
            &ids,
            &digests,
            &bytes,
            &times
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

pub(super) async fn insert_pieces(session: &mut Session, pieces: &[InputPiece]) -> Result<()> {
    for chunk in pieces.chunks(PIECES) {
        let inputs: Vec<i64> = chunk.iter().map(|row| row.input.0).collect();
        let places: Vec<i64> = chunk.iter().map(|row| i64::from(row.place)).collect();
        let contents: Vec<&[u8]> = chunk.iter().map(|row| &row.content[..]).collect();
        query!(
            "INSERT INTO input_piece (input, place, content)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])",
            &inputs,
            &places,
            &contents as &[&[u8]]
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

pub(super) async fn ship(session: &mut Session, shipped: &[ShippedInput]) -> Result<()> {
    for chunk in shipped.chunks(CHUNK) {
        let sweeps: Vec<i64> = chunk.iter().map(|row| row.sweep.0).collect();
        let inputs: Vec<i64> = chunk.iter().map(|row| row.input.0).collect();
        query!(
            "INSERT INTO sweep_input (sweep, input)
             SELECT * FROM unnest($1::bigint[], $2::bigint[])",
            &sweeps,
            &inputs
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

pub(super) async fn delete(session: &mut Session, inputs: &[InputKey]) -> Result<()> {
    if inputs.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = inputs.iter().map(|input| input.0).collect();
    query!(
        "DELETE FROM input_piece WHERE input = ANY($1::bigint[])",
        &keys
    )
    .execute(&mut *session)
    .await?;
    let gone = query!("DELETE FROM input WHERE id = ANY($1::bigint[])", &keys);
    let gone = gone.execute(&mut *session).await?.rows_affected();
    all_written(gone, inputs.len(), "files")
}
