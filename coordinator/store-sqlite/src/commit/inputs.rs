//! Files of programs that travel with sweeps.

use sqlx::query;
use swath_store::{InputKey, InputPiece, NewInput, ShippedInput};

use super::all_written;
use crate::error::Result;
use crate::rows;
use crate::writer::Tx;

pub(super) async fn insert(tx: &mut Tx, inputs: &[NewInput]) -> Result<()> {
    for input in inputs {
        let (bytes, at) = (input.bytes as i64, input.at.as_ms());
        let digest = &input.digest.as_bytes()[..];
        query!(
            "INSERT INTO input (id, digest, bytes, kept_at) VALUES (?1, ?2, ?3, ?4)",
            input.key.0,
            digest,
            bytes,
            at
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn insert_pieces(tx: &mut Tx, pieces: &[InputPiece]) -> Result<()> {
    for piece in pieces {
        query!(
            "INSERT INTO input_piece (input, place, content) VALUES (?1, ?2, ?3)",
            piece.input.0,
            piece.place,
            piece.content
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn ship(tx: &mut Tx, shipped: &[ShippedInput]) -> Result<()> {
    if shipped.is_empty() {
        return Ok(());
    }
    let pairs: Vec<(i64, i64)> = shipped.iter().map(|it| (it.sweep.0, it.input.0)).collect();
    let pairs = rows::json(&pairs);
    query!(
        "INSERT INTO sweep_input (sweep, input)
         SELECT value ->> 0, value ->> 1 FROM json_each(?1)",
        pairs
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

pub(super) async fn delete(tx: &mut Tx, inputs: &[InputKey]) -> Result<()> {
    if inputs.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = inputs.iter().map(|input| input.0).collect();
    let keys = rows::json(&keys);
    query!(
        "DELETE FROM input_piece WHERE input IN (SELECT value FROM json_each(?1))",
        keys
    )
    .execute(&mut tx.conn)
    .await?;
    let gone = query!(
        "DELETE FROM input WHERE id IN (SELECT value FROM json_each(?1))",
        keys
    );
    let gone = gone.execute(&mut tx.conn).await?.rows_affected();
    all_written("files", gone, inputs.len())
}
