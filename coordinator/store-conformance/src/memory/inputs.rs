//! Files of programs that travel with sweeps.

use swath_model::id::InputDigest;
use swath_model::program::{INPUT_PIECE_BYTES, INPUTS_BYTES_MAX};

use super::commit::{Refused, ensure};
use super::tables::Tables;
use crate::{InputKey, InputPiece, NewInput, ShippedInput};

impl Tables {
    pub(super) fn add_input(&mut self, new: NewInput) -> Refused {
        let key = new.key;
        let last = self.inputs.keys().next_back();
        ensure(last.is_none_or(|last| *last < key) && key.0 > 0, || {
            format!("file {key} is not after the last one")
        })?;
        let there = self.input_of(new.digest).is_some();
        ensure(!there, || format!("file {key} is there twice"))?;
        ensure(new.bytes <= INPUTS_BYTES_MAX, || {
            format!("file {key} is too large")
        })?;
        self.inputs.insert(key, (new, Vec::new()));
        Ok(())
    }

    pub(super) fn add_piece(&mut self, piece: InputPiece) -> Refused {
        let key = piece.input;
        let (_, pieces) = self.inputs.get_mut(&key).ok_or("there is no such file")?;
        let before = pieces
            .last()
            .map_or(INPUT_PIECE_BYTES, |it| it.content.len());
        let follows = piece.place as usize == pieces.len() + 1 && before == INPUT_PIECE_BYTES;
        let fits = (1..=INPUT_PIECE_BYTES).contains(&piece.content.len());
        ensure(follows && fits, || {
            format!("piece {} of file {key} does not follow", piece.place)
        })?;
        pieces.push(piece);
        Ok(())
    }

    pub(super) fn ship(&mut self, row: ShippedInput) -> Refused {
        let there = self.inputs.contains_key(&row.input) && self.sweeps.contains_key(&row.sweep);
        ensure(there && self.shipped.insert(row), || {
            format!("file {} cannot travel with sweep {}", row.input, row.sweep)
        })
    }

    pub(super) fn delete_input(&mut self, key: InputKey) -> Refused {
        let gone = self.inputs.remove(&key).is_some();
        let travels = self.shipped.iter().any(|row| row.input == key);
        ensure(gone && !travels, || {
            format!("file {key} is not there to be deleted, or travels with a sweep")
        })
    }

    /// Whether every file is whole.
    pub(super) fn inputs_hold(&self) -> Refused {
        self.inputs.values().try_for_each(|(input, pieces)| {
            let bytes: usize = pieces.iter().map(|piece| piece.content.len()).sum();
            ensure(bytes as u64 == input.bytes, || {
                format!("file {} has {bytes} bytes", input.key)
            })
        })
    }

    fn input_of(&self, digest: InputDigest) -> Option<&(NewInput, Vec<InputPiece>)> {
        self.inputs
            .values()
            .find(|(input, _)| input.digest == digest)
    }

    pub(super) fn kept(&self, inputs: &[InputDigest]) -> Vec<InputDigest> {
        let kept = |digest: &&InputDigest| self.input_of(**digest).is_some();
        inputs.iter().filter(kept).copied().collect()
    }

    pub(super) fn piece(&self, input: InputDigest, place: u32) -> Option<Vec<u8>> {
        let (_, pieces) = self.input_of(input)?;
        let piece = pieces.get((place as usize).checked_sub(1)?)?;
        Some(piece.content.clone())
    }
}
