//! The decoded copy of a data set, which every trainer of a machine maps: n
//! trainers use the memory of one.
//!
//! A file holds [`MAGIC`], the version and the length of the header (u32,
//! little-endian), a digest of all that follows, the header (JSON), zeros up to a
//! whole page, then the pixels of the training and the test set (N×H×W×C) and
//! their labels (i64, little-endian). It is replaced as a whole and never changed: a
//! process that has it mapped keeps the old one.
//!
//! Any process of the user's can write to it nevertheless. So whoever opens one
//! checks the digest of the whole, which takes a fraction of the first epoch, and
//! whatever the header says before a pointer follows from it.

use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use swath_files::Named;
use tch::{Kind, Tensor};

use super::{Facts, RawDataset, Split, Stamp};
use crate::failure::Failure;
use crate::files;

const MAGIC: &[u8; 8] = b"SWATHSET";
const VERSION: u32 = 2;
const PAGE: usize = 4096;
/// Where the digest is, and where the header begins.
const DIGEST: Range<usize> = 16..48;
/// The longest header, in bytes: it names all classes.
const HEADER_BYTES_MAX: usize = 64 << 20;
const LABEL: usize = size_of::<i64>();

/// For fewer bytes of pixels a copy is not worthwhile.
pub(super) const WORTH: u64 = 1 << 20;

/// A source that was changed in the last seconds may be changed again without a
/// trace, because the times of files are not more precise.
const SETTLED_SECONDS: i64 = 2;

#[derive(Serialize, Deserialize)]
struct Header {
    /// The stamp of the files from which the copy was made.
    stamp: Stamp,
    facts: Facts,
    /// Images of the training and the test set.
    images: [u64; 2],
}

/// A mapped copy.
pub(crate) struct DecodedCopy {
    /// It stays mapped until the process ends, so that views of its pixels can
    /// never outlive it. That costs only addresses: the system takes back pages
    /// of a file when it needs them.
    map: &'static Mmap,
    /// The facts at the time when it was written.
    pub(crate) facts: Facts,
    /// Where pixels and labels are: training set, test set.
    parts: [Part; 2],
    seal: Seal,
}

/// Shows whether a copy is still as it was when it was checked.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    file: Rc<File>,
    state: State,
}

/// Length, and times of the last change of the content and of the file, in seconds
/// and nanoseconds.
type State = (u64, [i64; 4]);

impl Seal {
    fn new(file: File) -> std::io::Result<Self> {
        let state = state(&file.metadata()?);
        let file = Rc::new(file);
        Ok(Self { file, state })
    }

    /// Whether nobody has written to it, as far as the file system tells.
    pub(crate) fn is_whole(&self) -> bool {
        let now = self.file.metadata().map(|it| state(&it));
        now.is_ok_and(|now| now == self.state)
    }
}

fn state(it: &Metadata) -> State {
    let times = [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()];
    (it.len(), times)
}

/// A split in a mapped copy.
#[derive(Clone, Debug)]
struct Part {
    pixels: Range<usize>,
    labels: Range<usize>,
}

impl DecodedCopy {
    /// Maps the copy at `path`; none if there is no copy of the files of
    /// `stamp`. All of it is checked.
    ///
    /// # Errors
    ///
    /// What is wrong with the copy.
    pub(super) fn open(path: &Path, stamp: &Stamp) -> Result<Option<Self>, String> {
        let io = |error: std::io::Error| error.to_string();
        let file = match Named::open(path) {
            Ok(named) => named.file,
            Err(why) if why.is_absent() => return Ok(None),
            Err(why) => return Err(why.to_string()),
        };
        let map = mapped(&file).map_err(io)?;
        // Before it is checked: what is written meanwhile shows later.
        let seal = Seal::new(file).map_err(io)?;
        let (header, start) = header_of(&map)?;
        if header.stamp != *stamp {
            return Ok(None);
        }
        let parts = parts(&header, start).ok_or("its header promises what cannot be")?;
        let promised = parts[1].labels.end;
        if map.len() != promised {
            let bytes = map.len();
            return Err(format!(
                "it has {bytes} bytes, its header promises {promised}"
            ));
        }
        if *blake3::hash(&map[DIGEST.end..]).as_bytes() != map[DIGEST] {
            return Err("its digest is another than that of what was written".to_owned());
        }
        let copy = Self {
            map: Box::leak(Box::new(map)),
            facts: header.facts,
            parts,
            seal,
        };
        let classes = 0..copy.facts.classes;
        if (0..2).any(|split| copy.labels(split).any(|label| !classes.contains(&label))) {
            return Err("it has labels of no class".to_owned());
        }
        Ok(Some(copy))
    }

    /// What shows whether it was changed since it was opened.
    pub(super) fn seal(&self) -> Seal {
        self.seal.clone()
    }

    fn labels(&self, index: usize) -> impl Iterator<Item = i64> {
        let (labels, _) = self.map[self.parts[index].labels.clone()].as_chunks::<LABEL>();
        labels.iter().map(|bytes| i64::from_le_bytes(*bytes))
    }

    /// Pixels (N×H×W×C, u8) and labels (N, i64) of the training set (0) or the
    /// test set (1). The pixels are the mapped file itself, which cannot be
    /// written.
    #[expect(
        unsafe_code,
        reason = "a tensor over foreign memory: it lies within the map, which stays for good"
    )]
    pub(crate) fn split(&self, index: usize) -> (Tensor, Vec<i64>) {
        let labels: Vec<i64> = self.labels(index).collect();
        let pixels = self.parts[index].pixels.clone();
        let Facts {
            channels,
            height,
            width,
            ..
        } = self.facts;
        let size = [labels.len() as i64, height, width, channels];
        let strides = [height * width * channels, width * channels, channels, 1];
        let start = self.map[pixels].as_ptr();
        let pixels =
            unsafe { Tensor::from_blob(start, &size, &strides, Kind::Uint8, tch::Device::Cpu) };
        (pixels, labels)
    }
}

/// The path of the copy of a set; `identity` distinguishes it from others of
/// the same name.
pub(super) fn path(directory: &Path, name: &str, identity: &[u8]) -> PathBuf {
    let digest = blake3::hash(identity).to_hex();
    directory
        .join("decoded")
        .join(format!("{name}-{}.swath", &digest[..16]))
}

/// Whether the files of `stamp` have been unchanged for long enough that their
/// times will show the next change.
pub(super) fn settled(stamp: &Stamp) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.is_ok_and(|now| stamp.youngest() + SETTLED_SECONDS <= now.as_secs() as i64)
}

/// Writes a copy.
///
/// # Errors
///
/// [`Failure`] with the path where it cannot be written.
pub(super) fn write(path: &Path, stamp: &Stamp, raw: &RawDataset) -> Result<(), Failure> {
    let mut payload = [&raw.train, &raw.test].map(|split| channels_last(split, &raw.facts));
    let [train, test] = &mut payload;
    let mut labels = Vec::new();
    for label in raw.train.labels.iter().chain(&raw.test.labels) {
        labels.extend(label.to_le_bytes());
    }
    let header = Header {
        stamp: stamp.clone(),
        facts: raw.facts.clone(),
        images: [&raw.train, &raw.test].map(|split| split.labels.len() as u64),
    };
    let header = serde_json::to_vec(&header)
        .map_err(|error| Failure::Crashed(format!("{}: {error}", path.display())))?;
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend((header.len() as u32).to_le_bytes());
    head.resize(DIGEST.end, 0);
    head.extend(header);
    head.resize(head.len().next_multiple_of(PAGE), 0);
    let mut hasher = blake3::Hasher::new();
    for part in [&head[DIGEST.end..], train, test, &labels] {
        hasher.update(part);
    }
    head[DIGEST].copy_from_slice(hasher.finalize().as_bytes());
    files::write_parts_atomically(path, &[&head, train, test, &labels])
}

/// Removes what killed writers of this copy left beside it; nobody may be
/// writing it now.
pub(super) fn clean(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let begins = format!(".{name}.");
    let entries = path.parent().map(std::fs::read_dir);
    for entry in entries.into_iter().flatten().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&begins) && name.ends_with(".tmp") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Pixels of a split as N×H×W×C.
fn channels_last(split: &Split, facts: &Facts) -> Vec<u8> {
    if facts.channels == 1 {
        return split.images.clone();
    }
    let size = [
        split.labels.len() as i64,
        facts.channels,
        facts.height,
        facts.width,
    ];
    let pixels = Tensor::from_data_size(&split.images, &size, Kind::Uint8);
    let mut bytes = vec![0; split.images.len()];
    let length = bytes.len();
    pixels
        .permute([0, 2, 3, 1])
        .contiguous()
        .copy_data_u8(&mut bytes, length);
    bytes
}

#[expect(
    unsafe_code,
    reason = "the file is only ever replaced, so the map does not change while it is read"
)]
fn mapped(file: &File) -> std::io::Result<Mmap> {
    unsafe { Mmap::map(file) }
}

/// The header, and where the rest begins.
fn header_of(bytes: &[u8]) -> Result<(Header, usize), String> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?;
        word.try_into().ok().map(u32::from_le_bytes)
    };
    if !bytes.starts_with(MAGIC) || word(MAGIC.len()) != Some(VERSION) {
        return Err("it is not a decoded copy of this version".to_owned());
    }
    let length = word(MAGIC.len() + 4).unwrap_or(0) as usize;
    if length > HEADER_BYTES_MAX {
        return Err("its header is too long".to_owned());
    }
    let end = DIGEST.end + length;
    let json = bytes.get(DIGEST.end..end).ok_or("its header is cut off")?;
    let header = serde_json::from_slice(json).map_err(|error| format!("its header: {error}"))?;
    Ok((header, end.next_multiple_of(PAGE)))
}

/// Where the splits are; none where the numbers are impossible.
fn parts(header: &Header, start: usize) -> Option<[Part; 2]> {
    let facts = &header.facts;
    let [train, test] = header.images;
    let is_sound = facts.classes > 0
        && facts.class_names.len() as u64 <= facts.classes as u64
        && [&facts.mean, &facts.std].map(Vec::len) == [facts.channels as usize; 2]
        && facts.train_images == train
        && train.min(test) > 0;
    if !is_sound {
        return None;
    }
    let image = [facts.channels, facts.height, facts.width]
        .iter()
        .try_fold(1_usize, |product, side| {
            product.checked_mul(usize::try_from(*side).ok()?)
        })
        .filter(|bytes| *bytes > 0)?;
    let mut at = start;
    let mut next = |count: u64, size: usize| {
        let from = at;
        at = at.checked_add(usize::try_from(count).ok()?.checked_mul(size)?)?;
        Some(from..at)
    };
    let pixels = [next(train, image)?, next(test, image)?];
    let labels = [next(train, LABEL)?, next(test, LABEL)?];
    let [train, test] = pixels;
    let [train_labels, test_labels] = labels;
    Some([
        Part {
            pixels: train,
            labels: train_labels,
        },
        Part {
            pixels: test,
            labels: test_labels,
        },
    ])
}
