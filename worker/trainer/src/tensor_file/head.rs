//! The header of a safetensors file, checked before the tensors are read.
//!
//! A file is the length of its header (u64, little-endian), the header (JSON: name to
//! type, shape and place), and the tensors, one after the other.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;

use safetensors::{SafeTensorError, SafeTensors};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use swath_files::Named;
use swath_model::text;

/// The longest header, in bytes.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// The most tensors of a file.
const TENSORS_MAX: usize = 10_000;

/// Bytes of the length of the header.
const LENGTH_BYTES: usize = 8;

/// What PyTorch writes: zip archives, and pickles of the protocols from 2 on. Both
/// hold programs, which run when they are loaded.
const ZIP: &[u8] = b"PK";
const PICKLE: u8 = 0x80;

/// Reads the header with its length, and checks it against the file's.
///
/// # Errors
///
/// What is wrong with the file.
pub(super) fn head(named: &mut Named) -> Result<Vec<u8>, String> {
    let io = |error: std::io::Error| error.to_string();
    let mut head = Vec::new();
    let mut take = |bytes: usize, head: &mut Vec<u8>| {
        let mut part = named.file.by_ref().take(bytes as u64);
        part.read_to_end(head).map_err(io)
    };
    take(LENGTH_BYTES, &mut head)?;
    let Ok(length) = head[..].try_into().map(u64::from_le_bytes) else {
        return Err("not a whole safetensors file (it ends before its header)".to_owned());
    };
    let behind = named.length.saturating_sub(LENGTH_BYTES as u64);
    if length > HEADER_BYTES_MAX.min(behind) {
        return Err(not_a_header(&head, length, behind));
    }
    take(length as usize, &mut head)?;
    let tensors: Tensors = serde_json::from_slice(&head[LENGTH_BYTES..]).map_err(broken)?;
    match SafeTensors::read_metadata(&head) {
        // The tensors themselves are not there yet.
        Ok(_) | Err(SafeTensorError::MetadataIncompleteBuffer) => {}
        Err(error) => return Err(broken(error)),
    }
    let promised = tensors.end.checked_add(head.len() as u64);
    if promised != Some(named.length) {
        return Err(format!(
            "not a whole safetensors file (its header promises {} of tensors, it has {})",
            text::bytes(tensors.end),
            text::bytes(named.length.saturating_sub(head.len() as u64))
        ));
    }
    Ok(head)
}

fn broken(error: impl fmt::Display) -> String {
    format!("not a whole safetensors file ({error})")
}

/// What is wrong with a file of which `behind` bytes come after a length that no
/// header of it can have.
fn not_a_header(start: &[u8], length: u64, behind: u64) -> String {
    if start.starts_with(ZIP) || (start[0] == PICKLE && (2..=5).contains(&start[1])) {
        return "a file of PyTorch (.pt), which may run programs when it is loaded, not a \
                safetensors file; write one with `safetensors.torch.save_file`"
            .to_owned();
    }
    if length > behind {
        return broken("its header would be longer than the file");
    }
    format!(
        "its header has {}, and at most {} are read; store fewer tensors in a file",
        text::bytes(length),
        text::bytes(HEADER_BYTES_MAX)
    )
}

/// What the header says of the tensors together.
struct Tensors {
    /// Where the last one ends, in bytes after the header.
    end: u64,
}

/// What is read of one tensor here.
#[derive(Deserialize)]
struct Place {
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

/// Counts the names; a map would keep the last of two that are the same.
struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Tensors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tensors, A::Error> {
        let mut names = HashSet::new();
        let mut end = 0;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                end = map.next_value::<Place>()?.data_offsets.1.max(end);
            }
            if names.len() > TENSORS_MAX {
                return Err(A::Error::custom(format!("more than {TENSORS_MAX} tensors")));
            }
            if let Some(twice) = names.replace(name) {
                return Err(A::Error::custom(format!("`{twice}` is there twice")));
            }
        }
        Ok(Tensors { end })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::path::Path;

    use proptest::prelude::*;

    use crate::tensor_file::TensorFile;

    /// A file with this header and so many bytes of tensors.
    fn file(header: &str, data: u64) -> (u64, Vec<u8>, u64) {
        (header.len() as u64, header.as_bytes().to_vec(), data)
    }

    fn told(path: &Path, (length, header, data): (u64, Vec<u8>, u64)) -> String {
        let mut file = File::create(path).unwrap();
        file.write_all(&length.to_le_bytes()).unwrap();
        file.write_all(&header).unwrap();
        file.set_len(8 + header.len() as u64 + data).unwrap();
        let read = TensorFile::read(path).and_then(|file| file.parse().map(|it| it.len()));
        read.map_or_else(
            |failure| failure.to_string(),
            |count| format!("{count} read"),
        )
    }

    fn tensor(name: &str, dtype: &str, shape: &str, from: u64, to: u64) -> String {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{from},{to}]}}"#)
    }

    fn of(tensors: &[String]) -> String {
        format!("{{{}}}", tensors.join(","))
    }

    #[test]
    fn what_is_no_such_file_is_told_by_its_header() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("x.safetensors");
        let a = tensor("a", "U8", "4", 0, 4);
        let many: Vec<String> = (0..200_000).map(|at| format!(r#""{at}":0"#)).collect();
        let some: Vec<String> = (0..10_002_u64)
            .map(|at| tensor(&at.to_string(), "U8", "1", at, at + 1))
            .collect();
        let overflow = "4294967296,4294967296,4294967296";
        let huge = 1 << 40;
        let cases = [
            (file(&of(std::slice::from_ref(&a)), 4), "1 read"),
            (file(r#"{"__metadata__":{"classes":"3"}}"#, 0), "0 read"),
            ((100 << 20, Vec::new(), 200 << 20), "its header has 100 MiB"),
            ((u64::MAX, vec![0; 4], 0), "longer than the file"),
            ((9, vec![0; 4], 0), "longer than the file"),
            (file(&of(&many), 0), "its header has"),
            (file(&of(&some), 10_002), "more than 10000 tensors"),
            (file(&of(&[a.clone(), a.clone()]), 4), "`a` is there twice"),
            (
                file(&of(&[a.clone(), tensor("b", "U8", "4", 2, 6)]), 6),
                "offset",
            ),
            (
                file(&of(&[a.clone(), tensor("b", "U8", "4", 6, 10)]), 10),
                "offset",
            ),
            (file(&of(&[tensor("a", "U8", "4", 4, 0)]), 4), "not a whole"),
            (file(&of(&[tensor("a", "U8", "4", 0, 5)]), 5), "not a whole"),
            (
                file(&of(&[tensor("a", "F32", overflow, 0, huge)]), 9),
                "verflow",
            ),
            (
                file(&of(&[tensor("a", "U8", "4", 0, huge)]), 4),
                "not a whole",
            ),
            (
                file(&of(&[tensor("a", "U8", "1", u64::MAX - 1, u64::MAX)]), 4),
                "not a whole",
            ),
            (file(&of(&[tensor("a", "U9", "4", 0, 4)]), 4), "not a whole"),
            (
                file(&of(std::slice::from_ref(&a)), 3),
                "promises 4 B of tensors, it has 3 B",
            ),
            (
                file(&of(&[a]), 1 << 33),
                "promises 4 B of tensors, it has 8 GiB",
            ),
            (file(&"[".repeat(100_000), 0), "not a whole"),
            (
                file(&format!(r#"{{"a":{}"#, r#"{"a":"#.repeat(100_000)), 0),
                "not a whole",
            ),
            (file(r#"{"a":1e309}"#, 0), "not a whole"),
            (file("", 0), "not a whole"),
        ];
        for (case, wanted) in cases {
            let shown: String = String::from_utf8_lossy(&case.1).chars().take(80).collect();
            let told = told(&path, case);
            assert!(told.contains(wanted), "{shown}: {told}");
            assert!(
                wanted.ends_with("read") || told.contains("x.safetensors"),
                "{told}"
            );
        }
    }

    #[test]
    fn what_pytorch_writes_is_refused_whatever_its_name() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("x.safetensors");
        let legacy = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
        for content in [&b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl"[..], legacy] {
            std::fs::write(&path, content).unwrap();
            let told = TensorFile::read(&path).err().unwrap().to_string();
            assert!(
                told.contains("PyTorch") && told.contains("x.safetensors"),
                "{told}"
            );
        }
        std::fs::write(&path, "abc").unwrap();
        let told = TensorFile::read(&path).err().unwrap().to_string();
        assert!(told.contains("ends before its header"), "{told}");
    }

    proptest! {
        /// Whatever is changed in a file, it is refused or holds whole tensors.
        #[test]
        fn changed_files_are_refused_or_whole(
            at in 0_usize..200, byte: u8, cut in 0_usize..200,
        ) {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("x.safetensors");
            let header = of(&[tensor("a", "F32", "2,2", 0, 16), tensor("b", "U8", "3", 16, 19)]);
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend([7; 19]);
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
            bytes.truncate(bytes.len().max(cut) - if cut < 20 { cut } else { 0 });
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(file) = TensorFile::read(&path) {
                let tensors = file.parse().unwrap();
                for (name, _) in tensors.tensors() {
                    let _whole_or_of_another_kind = file.tensor(&tensors, &name);
                }
            }
        }
    }
}
