//! Arrays as NumPy saves them: NPY 1.0 to 3.0, row by row, with little-endian
//! integers of one, four or eight bytes.

use std::path::Path;

use super::malformed;
use crate::failure::Failure;

/// An array of integers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Array<'a> {
    /// The array's shape.
    pub(super) shape: Vec<usize>,
    /// The type of the numbers.
    pub(super) kind: Kind,
    /// The numbers, row by row.
    pub(super) bytes: &'a [u8],
}

/// The types that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I32,
    I64,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        match name {
            "|u1" | "<u1" => Some(Self::U8),
            "<i4" => Some(Self::I32),
            "<i8" => Some(Self::I64),
            _ => None,
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I32 => 4,
            Self::I64 => 8,
        }
    }
}

/// Reads `bytes` of the file at `path`.
pub(super) fn read<'a>(path: &Path, bytes: &'a [u8]) -> Result<Array<'a>, Failure> {
    parse(bytes).map_err(|what| malformed(path, &what))
}

fn parse(bytes: &[u8]) -> Result<Array<'_>, String> {
    let truncated = || "it ends in its header".to_owned();
    let rest = bytes
        .strip_prefix(b"\x93NUMPY")
        .ok_or("it is not a NumPy array (.npy)")?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(truncated)?;
    let wide = if version[0] == 1 { 2 } else { 4 };
    let (length, rest) = rest.split_at_checked(wide).ok_or_else(truncated)?;
    let length = length
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (header, data) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let header = str::from_utf8(header).map_err(|_| "its header is not text")?;
    if value(header, "fortran_order")?
        .trim_start()
        .starts_with("True")
    {
        return Err("its columns come first (`fortran_order`)".to_owned());
    }
    let name = value(header, "descr")?
        .trim_start()
        .trim_start_matches(['\'', '"']);
    let name = name.split(['\'', '"']).next().unwrap_or_default();
    let kind = Kind::named(name)
        .ok_or_else(|| format!("its numbers are `{name}`; |u1, <i4 and <i8 are read"))?;
    let shape = value(header, "shape")?.trim_start().trim_start_matches('(');
    let shape = shape.split(')').next().unwrap_or_default();
    let sizes = shape
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty());
    let shape: Vec<usize> = sizes
        .map(|size| {
            size.parse()
                .map_err(|_| format!("its shape reads ({shape})"))
        })
        .collect::<Result<_, _>>()?;
    let wanted = shape
        .iter()
        .try_fold(kind.size(), |product, size| product.checked_mul(*size));
    if wanted != Some(data.len()) {
        let found = data.len();
        return Err(format!(
            "it holds {found} bytes for the shape {shape:?} of `{name}`"
        ));
    }
    Ok(Array {
        shape,
        kind,
        bytes: data,
    })
}

/// What follows a key of the header.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let after = header
        .split_once(&format!("'{key}':"))
        .map(|(_, after)| after);
    after.ok_or_else(|| format!("its header has no `{key}`"))
}

impl Array<'_> {
    /// The array's numbers.
    pub(super) fn numbers(&self) -> Vec<i64> {
        let chunks = self.bytes.chunks_exact(self.kind.size());
        let number = |bytes: &[u8]| match self.kind {
            Kind::U8 => i64::from(bytes[0]),
            Kind::I32 => i64::from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
            Kind::I64 => {
                let mut whole = [0; 8];
                whole.copy_from_slice(bytes);
                i64::from_le_bytes(whole)
            }
        };
        chunks.map(number).collect()
    }
}

/// The bytes of an array, as NumPy would write it.
#[cfg(test)]
pub(super) fn written(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_read_back() {
        let bytes = written("|u1", "2, 3", &[1, 2, 3, 4, 5, 6]);
        let array = parse(&bytes).unwrap();
        assert_eq!(
            (array.shape.as_slice(), array.kind),
            (&[2, 3][..], Kind::U8)
        );
        assert_eq!(array.numbers(), [1, 2, 3, 4, 5, 6]);
        let data: Vec<u8> = [7_i32, -1].iter().flat_map(|it| it.to_le_bytes()).collect();
        assert_eq!(
            parse(&written("<i4", "2,", &data)).unwrap().numbers(),
            [7, -1]
        );
        let data: Vec<u8> = [7_i64, -1].iter().flat_map(|it| it.to_le_bytes()).collect();
        assert_eq!(
            parse(&written("<i8", "2,", &data)).unwrap().numbers(),
            [7, -1]
        );
    }

    #[test]
    fn what_is_no_such_array_says_why() {
        let whole = written("|u1", "4,", &[1, 2, 3, 4]);
        for (bytes, why) in [
            (b"PK\x03\x04".to_vec(), "not a NumPy array"),
            (whole[..20].to_vec(), "ends in its header"),
            (
                whole[..whole.len() - 1].to_vec(),
                "3 bytes for the shape [4]",
            ),
            (written("<f4", "1,", &[0; 4]), "`<f4`"),
            (written("|u1", "x,", &[0; 4]), "shape reads"),
            (
                written("|u1", "18446744073709551615, 2", &[0; 4]),
                "bytes for the shape",
            ),
        ] {
            let error = read(Path::new("x.npy"), &bytes).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("x.npy"), "{error}");
        }
    }
}
