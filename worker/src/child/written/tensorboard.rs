//! TensorBoard's event files: records of protocol buffers, of which the scalars
//! count.
//!
//! Format: TensorFlow, `core/lib/io/record_writer.h` (length, its checksum, data,
//! their checksum), `core/util/event.proto` and `core/framework/summary.proto`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use prost::Message;
use swath_agent::Row;

use super::{Rows, files, told};

/// The longest record, in bytes: one with images.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a checksum.
const CHECKSUM: usize = 4;

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    number: Option<f32>,
    #[prost(message, optional, tag = "8")]
    tensor: Option<Tensor>,
}

/// A scalar of newer writers.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(bytes = "vec", tag = "4")]
    content: Vec<u8>,
    #[prost(float, repeated, tag = "5")]
    floats: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    doubles: Vec<f64>,
}

/// The kinds of numbers in a tensor.
const FLOAT: i32 = 1;
const DOUBLE: i32 = 2;

impl Value {
    fn scalar(&self) -> Option<f64> {
        if let Some(value) = self.number {
            return Some(f64::from(value));
        }
        let tensor = self.tensor.as_ref()?;
        let one = |bytes: &[u8]| match tensor.dtype {
            FLOAT => Some(f64::from(f32::from_le_bytes(bytes.try_into().ok()?))),
            DOUBLE => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
            _ => None,
        };
        match (&tensor.floats[..], &tensor.doubles[..]) {
            ([value], []) => Some(f64::from(*value)),
            ([], [value]) => Some(*value),
            ([], []) => one(&tensor.content),
            _ => None,
        }
    }
}

/// Reads a row per step, of all event files under a directory.
pub(super) fn read(directory: &Path, rows: &mut Rows<'_>) -> Result<(), String> {
    let found = files(directory, ".tfevents.").map_err(told(directory))?;
    if found.is_empty() {
        return Err(told(directory)("has no file with `.tfevents.` in its name"));
    }
    let mut steps: BTreeMap<i64, Row> = BTreeMap::new();
    for path in found {
        let file = File::open(&path).map_err(told(&path))?;
        let mut reader = BufReader::new(file);
        while let Some(event) = next(&mut reader).map_err(told(&path))? {
            let values = event.summary.into_iter().flat_map(|summary| summary.value);
            for value in values {
                if let Some(number) = value.scalar() {
                    let row = steps.entry(event.step).or_default();
                    row.values.push((value.tag, number));
                }
            }
        }
    }
    for (step, mut row) in steps {
        row.values.push(("step".to_owned(), step as f64));
        rows.push(row);
    }
    Ok(())
}

/// The next record; none at the end, or where a writer was interrupted.
fn next(reader: &mut impl Read) -> std::io::Result<Option<Event>> {
    let mut head = [0; 8 + CHECKSUM];
    if !filled(reader, &mut head)? {
        return Ok(None);
    }
    let mut length = [0; 8];
    length.copy_from_slice(&head[..8]);
    let length = u64::from_le_bytes(length);
    if length > RECORD_BYTES_MAX {
        return Err(std::io::Error::new(
            ErrorKind::InvalidData,
            "is no event file",
        ));
    }
    let mut record = vec![0; length as usize + CHECKSUM];
    if !filled(reader, &mut record)? {
        return Ok(None);
    }
    record.truncate(length as usize);
    let event = Event::decode(&*record);
    event
        .map(Some)
        .map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))
}

fn filled(reader: &mut impl Read, bytes: &mut [u8]) -> std::io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(event: &Event) -> Vec<u8> {
        let data = event.encode_to_vec();
        let mut bytes = (data.len() as u64).to_le_bytes().to_vec();
        bytes.extend([0; CHECKSUM]);
        bytes.extend(data);
        bytes.extend([0; CHECKSUM]);
        bytes
    }

    fn event(step: i64, value: Value) -> Vec<u8> {
        let summary = Some(Summary { value: vec![value] });
        record(&Event { step, summary })
    }

    #[test]
    fn scalars_old_and_new_are_rows_by_their_step() {
        let directory = tempfile::tempdir().unwrap();
        let simple = |tag: &str, value: f32| Value {
            tag: tag.to_owned(),
            number: Some(value),
            tensor: None,
        };
        let tensor = Value {
            tag: "val/acc".to_owned(),
            number: None,
            tensor: Some(Tensor {
                dtype: FLOAT,
                content: 0.75_f32.to_le_bytes().to_vec(),
                ..Tensor::default()
            }),
        };
        let mut bytes = record(&Event::default());
        bytes.extend(event(2, simple("loss", 0.5)));
        bytes.extend(event(1, simple("loss", 1.5)));
        bytes.extend(event(2, tensor));
        // The writer was killed here.
        bytes.extend(&event(3, simple("loss", 0.25))[..20]);
        let inner = directory.path().join("run");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("events.out.tfevents.1.host"), bytes).unwrap();
        let read = |directory: &Path| {
            let mut rows = Rows::new("loss");
            read(directory, &mut rows)?;
            let rows = std::iter::from_fn(|| rows.kept.pop_if(|_| true));
            Ok::<_, String>(rows.map(|row| row.values).collect::<Vec<_>>())
        };
        let pair = |name: &str, value: f64| (name.to_owned(), value);
        let wanted = [
            vec![pair("loss", 1.5), pair("step", 1.0)],
            vec![pair("loss", 0.5), pair("val/acc", 0.75), pair("step", 2.0)],
        ];
        assert_eq!(read(directory.path()), Ok(wanted.into()));
        let empty = tempfile::tempdir().unwrap();
        assert!(read(empty.path()).unwrap_err().contains("has no file"));
    }
}
