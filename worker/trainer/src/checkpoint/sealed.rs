//! JSON files whose integrity is checked before they are parsed.
//!
//! Such a file is `{"blake3":"<digest>","content":<JSON>}` and a newline, where
//! the digest is that of the bytes of the content. It is JSON, but it is cut at
//! fixed places and not parsed before the digest has been compared.

const BEFORE: &[u8] = b"{\"blake3\":\"";
const BETWEEN: &[u8] = b"\",\"content\":";
const AFTER: &[u8] = b"}\n";

/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;

/// The file of `content`.
pub(super) fn seal(content: &[u8]) -> Vec<u8> {
    let digest = blake3::hash(content).to_hex();
    [BEFORE, digest.as_bytes(), BETWEEN, content, AFTER].concat()
}

/// The content of a file; none where it is damaged.
pub(super) fn open(file: &[u8]) -> Option<&[u8]> {
    let rest = file.strip_prefix(BEFORE)?;
    let (digest, rest) = rest.split_at_checked(DIGITS)?;
    let content = rest.strip_prefix(BETWEEN)?.strip_suffix(AFTER)?;
    (blake3::hash(content).to_hex().as_bytes() == digest).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_is_json_and_opens() {
        let file = seal(br#"{"step":3}"#);
        let json: serde_json::Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(json["content"]["step"], 3);
        assert_eq!(open(&file), Some(&br#"{"step":3}"#[..]));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let file = seal(br#"{"step":3}"#);
        for at in 0..file.len() {
            assert_eq!(open(&file[..at]), None, "cut at {at}");
            for bit in 0..8 {
                let mut flipped = file.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(open(&flipped), None, "byte {at}, bit {bit}");
            }
        }
    }
}
