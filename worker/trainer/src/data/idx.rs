//! The MNIST family: IDX files, gzipped or not.
//!
//! IDX (LeCun): two zero bytes, the type (8: u8), the number of dimensions,
//! each dimension as a big-endian u32, then the values.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::locate::{Places, Public};
use super::{Reach, Split, checksum, malformed};
use crate::failure::Failure;
use crate::output;

const STEMS: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Rows and columns of an image.
const SIDE: u32 = 28;

/// Images of the published training and test set, the same in the whole family.
const IMAGES: [usize; 2] = [60_000, 10_000];

/// The files of `dataset`: images and labels, training set first.
pub(super) fn find(dataset: &str, places: &Places) -> Result<Vec<PathBuf>, Failure> {
    let (base, page) = match dataset {
        "mnist" => (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        "kmnist" => (
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
            "http://codh.rois.ac.jp/kmnist/",
        ),
        _ => (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://github.com/zalandoresearch/fashion-mnist; on Debian: apt-get install \
             dataset-fashion-mnist",
        ),
    };
    let public = Public { base, page };
    let wanted: Vec<Vec<String>> = STEMS
        .iter()
        .map(|stem| vec![format!("{stem}.gz"), (*stem).to_owned()])
        .collect();
    places.find(dataset, &wanted, public)
}

/// The training and the test set in the files.
pub(super) fn decode(
    dataset: &str,
    paths: &[PathBuf],
    reach: &Reach,
) -> Result<(Split, Split), Failure> {
    let mut parts = Vec::new();
    let mut unverified = Vec::new();
    for (path, stem) in paths.iter().zip(STEMS) {
        let (content, checked) = unpacked(dataset, path, stem, reach)?;
        parts.push((path, content));
        if !checked {
            unverified.push(path.as_path());
        }
    }
    let split = |images: usize| -> Result<Split, Failure> {
        let (path, bytes) = &parts[images];
        let (count, images_bytes) = images_of(path, bytes)?;
        let (path, bytes) = &parts[images + 1];
        let labels = labels_of(path, bytes)?;
        if labels.len() != count {
            let what = format!("it has {} labels for {count} images", labels.len());
            return Err(malformed(path, &what));
        }
        Ok(Split {
            images: images_bytes.to_vec(),
            labels: labels.iter().map(|label| i64::from(*label)).collect(),
        })
    };
    let (train, test) = (split(0)?, split(2)?);
    if !unverified.is_empty() {
        checksum::check_count(dataset, &paths[0], train.labels.len(), IMAGES[0])?;
        checksum::check_count(dataset, &paths[2], test.labels.len(), IMAGES[1])?;
        output::message(&checksum::unverified(dataset, &unverified));
    }
    Ok((train, test))
}

/// The content of an IDX file after checking its sum, and whether a sum was
/// known.
fn unpacked(
    dataset: &str,
    path: &Path,
    stem: &str,
    reach: &Reach,
) -> Result<(Vec<u8>, bool), Failure> {
    let bytes = reach.read(path)?;
    let checked = checksum::check_file(dataset, path, &bytes)?;
    let packed = bytes.starts_with(&[0x1f, 0x8b]);
    let content = if packed {
        unzipped(path, &bytes, rank_of(stem), reach)?
    } else {
        bytes
    };
    // A file that is not packed is its own content, and is checked as such.
    let checked = if packed || !path.ends_with(stem) {
        checksum::check_content(dataset, path, stem, &content, checked)?
    } else {
        checked
    };
    Ok((content, checked))
}

/// Dimensions of what the file of this name holds.
fn rank_of(stem: &str) -> u8 {
    if stem.contains("images") { 3 } else { 1 }
}

/// Unpacks an IDX file: as much as its own header promises, however much follows.
fn unzipped(path: &Path, packed: &[u8], rank: u8, reach: &Reach) -> Result<Vec<u8>, Failure> {
    let torn = |error| malformed(path, &format!("not a whole gzip file ({error})"));
    let mut decoder = MultiGzDecoder::new(packed);
    let mut content = Vec::new();
    let mut head = decoder.by_ref().take(header_bytes(rank) as u64);
    head.read_to_end(&mut content).map_err(torn)?;
    let promised = product(&dimensions(path, &content, rank)?);
    reach.room(path.display(), promised.map(|bytes| bytes as u64))?;
    // One more shows that there is more.
    let most = promised.unwrap_or(0) as u64 + 1;
    decoder.take(most).read_to_end(&mut content).map_err(torn)?;
    Ok(content)
}

fn images_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<(usize, &'a [u8]), Failure> {
    let (dimensions, values) = parse(path, bytes, 3)?;
    if dimensions[1..] != [SIDE, SIDE] {
        let what = format!(
            "its images are {}×{}, not 28×28",
            dimensions[1], dimensions[2]
        );
        return Err(malformed(path, &what));
    }
    Ok((dimensions[0] as usize, values))
}

fn labels_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a [u8], Failure> {
    parse(path, bytes, 1).map(|(_, values)| values)
}

/// Dimensions and values of an IDX file of u8.
fn parse<'a>(path: &Path, bytes: &'a [u8], rank: u8) -> Result<(Vec<u32>, &'a [u8]), Failure> {
    let dimensions = dimensions(path, bytes, rank)?;
    let values = &bytes[header_bytes(rank)..];
    let expected = product(&dimensions);
    if expected != Some(values.len()) {
        let more = expected.is_some_and(|expected| values.len() > expected);
        let what = format!(
            "its header promises {dimensions:?} values, it has {}{}",
            values.len(),
            if more { " or more" } else { "" }
        );
        return Err(malformed(path, &what));
    }
    Ok((dimensions, values))
}

/// Bytes before the values.
fn header_bytes(rank: u8) -> usize {
    4 + 4 * usize::from(rank)
}

/// The dimensions in the header of an IDX file of u8.
fn dimensions(path: &Path, bytes: &[u8], rank: u8) -> Result<Vec<u32>, Failure> {
    let header = header_bytes(rank);
    if bytes.len() < header || bytes[..4] != [0, 0, 8, rank] {
        let what = format!("not an IDX file of bytes with {rank} dimensions");
        return Err(malformed(path, &what));
    }
    let words = bytes[4..header].chunks_exact(4);
    let dimension = |word: &[u8]| u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
    Ok(words.map(dimension).collect())
}

/// How many values there are; none where no memory could hold them.
fn product(dimensions: &[u32]) -> Option<usize> {
    let mut sizes = dimensions.iter();
    sizes.try_fold(1_usize, |product, size| product.checked_mul(*size as usize))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::files;

    fn load(dataset: &str, places: &Places) -> Result<(Split, Split), Failure> {
        decode(dataset, &find(dataset, places)?, &places.reach)
    }

    fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        for size in dimensions {
            bytes.extend(size.to_be_bytes());
        }
        bytes.extend(values);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn write_set(places: &Places, dataset: &str, pack: bool) {
        for (stem, count) in STEMS.into_iter().zip([3_u32, 3, 2, 2]) {
            let bytes = if stem.contains("images") {
                let pixels: Vec<u8> = (0..count * 784).map(|i| (i % 251) as u8).collect();
                idx(&[count, 28, 28], &pixels)
            } else {
                idx(&[count], &vec![7; count as usize])
            };
            let (name, bytes) = if pack {
                (format!("{stem}.gz"), gzip(&bytes))
            } else {
                (stem.to_owned(), bytes)
            };
            files::write_atomically(&places.data.join(dataset).join(name), &bytes).unwrap();
        }
    }

    /// Declares the files of `dataset` as a user's own data.
    fn write_sums(places: &Places, dataset: &str) {
        let directory = places.data.join(dataset);
        let mut sums = String::new();
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            let sum = checksum::sha256(&files::read(&path, 1 << 20).unwrap());
            sums.extend([sum.as_str(), "  ", &name, "\n"]);
        }
        files::write_atomically(&directory.join(checksum::SUMS), sums.as_bytes()).unwrap();
    }

    fn places(root: &Path) -> Places {
        Places {
            data: root.join("data"),
            system: root.join("system"),
            mirror: None,
            reach: Reach::default(),
        }
    }

    #[test]
    fn packed_and_plain_files_read_alike() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        write_set(&places, "kmnist", true);
        write_sums(&places, "kmnist");
        write_set(&places, "mnist", false);
        write_sums(&places, "mnist");
        let packed = load("kmnist", &places).unwrap();
        assert_eq!(packed, load("mnist", &places).unwrap());
        assert_eq!(packed.0.labels, [7, 7, 7]);
        assert_eq!(packed.1.images.len(), 2 * 784);
    }

    #[test]
    fn other_content_under_a_known_name_is_refused() {
        let cases = [
            ("fashion_mnist", true, "c59f468a2f67"),
            ("fashion_mnist", false, "c59f468a2f67"),
            ("mnist", true, "440fcabf73cc"),
            ("mnist", false, "ba891046e650"),
            ("kmnist", true, "51467d22d8cc"),
        ];
        for (dataset, packed, sum) in cases {
            let root = tempfile::tempdir().unwrap();
            let places = places(root.path());
            write_set(&places, dataset, packed);
            let error = load(dataset, &places).unwrap_err().to_string();
            assert!(error.contains(sum), "{error}");
        }
    }

    #[test]
    fn files_without_a_known_sum_must_have_the_published_counts() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        write_set(&places, "kmnist", false);
        let error = load("kmnist", &places).unwrap_err().to_string();
        for part in [
            "kmnist/train-images-idx3-ubyte",
            "3 images",
            "60000",
            "SHA256SUMS",
        ] {
            assert!(error.contains(part), "{error}");
        }
        // The sums must cover every file: they declare a set, not a part of
        // one.
        write_sums(&places, "kmnist");
        assert!(load("kmnist", &places).is_ok());
        let path = places.data.join("kmnist").join(checksum::SUMS);
        let sums = String::from_utf8(files::read(&path, 1 << 20).unwrap()).unwrap();
        let most: Vec<&str> = sums.lines().skip(1).collect();
        files::write_atomically(&path, most.join("\n").as_bytes()).unwrap();
        let error = load("kmnist", &places).unwrap_err().to_string();
        assert!(error.contains("60000"), "{error}");
    }

    #[test]
    fn malformed_files_are_named() {
        let path = Path::new("/data/x");
        let whole = idx(&[2, 28, 28], &[0; 2 * 784]);
        assert!(images_of(path, &whole).is_ok());
        let cases = [
            &whole[..100],
            &whole[..3],
            &idx(&[2], &[0; 2]),
            &idx(&[1, 8, 8], &[0; 64]),
        ];
        for bytes in cases {
            let error = images_of(path, bytes).unwrap_err().to_string();
            assert!(error.starts_with("/data/x: "), "{error}");
        }
    }

    #[test]
    fn a_packed_file_is_unpacked_as_far_as_its_header_says() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("t10k-labels-idx1-ubyte.gz");
        let bomb = |promised: u32| {
            let mut bytes = idx(&[promised], &[]);
            bytes.resize(64 << 20, 7);
            gzip(&bytes)
        };
        let unpacked = |promised, reach: &Reach| {
            files::write_atomically(&path, &bomb(promised)).unwrap();
            unpacked("own", &path, "t10k-labels-idx1-ubyte", reach)
        };
        let (content, _) = unpacked(10, &Reach::default()).unwrap();
        assert_eq!(content.len(), header_bytes(1) + 10 + 1);
        let told = labels_of(&path, &content).unwrap_err().to_string();
        assert!(
            told.contains("11 or more") && told.contains("t10k"),
            "{told}"
        );
        let narrow = Reach::within(&[], 1 << 20);
        let told = unpacked(2 << 20, &narrow).unwrap_err().to_string();
        assert!(told.contains("2 MiB") && told.contains("t10k"), "{told}");
    }

    #[test]
    fn a_cut_off_gzip_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        write_set(&places, "kmnist", true);
        let path = places.data.join("kmnist/t10k-labels-idx1-ubyte.gz");
        let bytes = files::read(&path, 1 << 20).unwrap();
        files::write_atomically(&path, &bytes[..bytes.len() / 2]).unwrap();
        write_sums(&places, "kmnist");
        let error = load("kmnist", &places).unwrap_err().to_string();
        assert!(error.contains("t10k-labels-idx1-ubyte.gz"), "{error}");
    }
}
