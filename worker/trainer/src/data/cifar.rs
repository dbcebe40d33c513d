//! CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky 2009): records
//! of one or two label bytes and 3,072 pixels, channels first; packed in the
//! published archive or unpacked.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use swath_model::text;

use super::locate::{Places, Public};
use super::{Reach, Split, checksum, malformed};
use crate::failure::Failure;
use crate::output;

const PIXELS: usize = 3 * 32 * 32;

/// What an archive may unpack to, in bytes: several times what the published ones
/// do, so that another set in their format may be larger.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// Images of the published training and test set, the same in both data sets.
const TRAIN_IMAGES: usize = 50_000;
const TEST_IMAGES: usize = 10_000;

/// One of the two data sets.
pub(super) struct Cifar {
    pub(super) name: &'static str,
    archive: &'static str,
    /// Directory inside the archive.
    directory: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// Label bytes of a record; the last is the class (CIFAR-100 has the
    /// superclass before it).
    labels: usize,
}

pub(super) const CIFAR10: Cifar = Cifar {
    name: "cifar10",
    archive: "cifar-10-binary.tar.gz",
    directory: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    labels: 1,
};

pub(super) const CIFAR100: Cifar = Cifar {
    name: "cifar100",
    archive: "cifar-100-binary.tar.gz",
    directory: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    labels: 2,
};

impl Cifar {
    fn members(&self) -> impl Iterator<Item = &'static str> {
        self.train.iter().copied().chain([self.test])
    }

    /// Images of a published member.
    fn images(&self, member: &str) -> usize {
        if member == self.test {
            TEST_IMAGES
        } else {
            TRAIN_IMAGES / self.train.len()
        }
    }

    /// Bytes of an image with its labels.
    fn record(&self) -> usize {
        self.labels + PIXELS
    }
}

/// The files of a data set: its archive, or what it unpacks to.
pub(super) fn find(cifar: &Cifar, places: &Places) -> Result<Vec<PathBuf>, Failure> {
    if let Some(directory) = unpacked(cifar, places) {
        let members = cifar.members();
        return Ok(members.map(|name| directory.join(name)).collect());
    }
    let wanted = [vec![cifar.archive.to_owned()]];
    let public = Public {
        base: "https://www.cs.toronto.edu/~kriz",
        page: "https://www.cs.toronto.edu/~kriz/cifar.html",
    };
    places.find(cifar.name, &wanted, public)
}

/// The training and the test set that the files hold.
pub(super) fn decode(
    cifar: &Cifar,
    paths: &[PathBuf],
    reach: &Reach,
) -> Result<(Split, Split), Failure> {
    let members = match paths {
        [archive] => from_archive(cifar, archive, reach)?,
        _ => read_unpacked(cifar, paths, reach)?,
    };
    let mut train = Split::default();
    for name in cifar.train {
        append(cifar, &mut train, name, &members)?;
    }
    let mut test = Split::default();
    append(cifar, &mut test, cifar.test, &members)?;
    Ok((train, test))
}

type Members = HashMap<String, Vec<u8>>;

/// The directory that all unpacked files lie in.
fn unpacked(cifar: &Cifar, places: &Places) -> Option<PathBuf> {
    let own = places.data.join(cifar.name);
    let system = places.system.join(cifar.name);
    [
        own.clone(),
        own.join(cifar.directory),
        system.clone(),
        system.join(cifar.directory),
    ]
    .into_iter()
    .find(|directory| cifar.members().all(|name| directory.join(name).is_file()))
}

fn read_unpacked(cifar: &Cifar, paths: &[PathBuf], reach: &Reach) -> Result<Members, Failure> {
    let mut members = Members::new();
    let mut unverified = Vec::new();
    for (name, path) in cifar.members().zip(paths) {
        let bytes = reach.read(path)?;
        if !checksum::check_file(cifar.name, path, &bytes)? {
            unverified.push(path.as_path());
        }
        members.insert(name.to_owned(), bytes);
    }
    if !unverified.is_empty() {
        for (name, path) in cifar.members().zip(paths) {
            let count = members[name].len() / cifar.record();
            checksum::check_count(cifar.name, path, count, cifar.images(name))?;
        }
        output::message(&checksum::unverified(cifar.name, &unverified));
    }
    Ok(members)
}

fn from_archive(cifar: &Cifar, path: &Path, reach: &Reach) -> Result<Members, Failure> {
    let bytes = reach.read(path)?;
    checksum::check_file(cifar.name, path, &bytes)?;
    let bad = |error: std::io::Error| malformed(path, &format!("not a whole tar.gz ({error})"));
    // Also what is skipped is unpacked, and long names are read at once.
    let unpacked = GzDecoder::new(&bytes[..]).take(UNPACKED_BYTES_MAX);
    let mut archive = tar::Archive::new(unpacked);
    let mut members = Members::new();
    let mut total = 0_u64;
    for entry in archive.entries().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        total = total.saturating_add(entry.size());
        if total > UNPACKED_BYTES_MAX {
            let most = text::bytes(UNPACKED_BYTES_MAX);
            return Err(malformed(path, &format!("it unpacks to more than {most}")));
        }
        let name = entry
            .path()
            .map_err(bad)?
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if cifar.members().any(|member| member == name) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(bad)?;
            members.insert(name, content);
        }
    }
    match cifar.members().find(|name| !members.contains_key(*name)) {
        Some(missing) => Err(malformed(path, &format!("it holds no {missing}"))),
        None => Ok(members),
    }
}

fn append(cifar: &Cifar, split: &mut Split, name: &str, members: &Members) -> Result<(), Failure> {
    let bytes = members.get(name).map_or(&[][..], Vec::as_slice);
    let record = cifar.record();
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let what = format!(
            "{} bytes are not a whole number of {record}-byte records",
            bytes.len()
        );
        return Err(malformed(Path::new(name), &what));
    }
    for record in bytes.chunks_exact(record) {
        split.labels.push(i64::from(record[cifar.labels - 1]));
        split.images.extend(&record[cifar.labels..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::files;

    fn load(cifar: &Cifar, places: &Places) -> Result<(Split, Split), Failure> {
        decode(cifar, &find(cifar, places)?, &places.reach)
    }

    fn records(cifar: &Cifar, count: u8) -> Vec<u8> {
        (0..count)
            .flat_map(|index| {
                let mut record = vec![99; cifar.labels];
                record[cifar.labels - 1] = index;
                record.extend((0..PIXELS).map(|pixel| (pixel % 250) as u8 + index));
                record
            })
            .collect()
    }

    fn archive(cifar: &Cifar, count: u8) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for name in cifar.members().chain(["readme.html"]) {
            let content = records(cifar, count);
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_cksum();
            let path = format!("{}/{name}", cifar.directory);
            builder
                .append_data(&mut header, path, &content[..])
                .unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn places(root: &Path) -> Places {
        Places {
            data: root.to_owned(),
            system: root.join("system"),
            mirror: None,
            reach: Reach::default(),
        }
    }

    #[test]
    fn archive_and_unpacked_files_read_alike() {
        for cifar in [&CIFAR10, &CIFAR100] {
            let root = tempfile::tempdir().unwrap();
            let packed = root.path().join("packed");
            let path = packed.join(cifar.name).join(cifar.archive);
            let bytes = archive(cifar, 2);
            files::write_atomically(&path, &bytes).unwrap();
            let sums = format!("{}  {}\n", checksum::sha256(&bytes), cifar.archive);
            files::write_atomically(&path.with_file_name(checksum::SUMS), sums.as_bytes()).unwrap();
            let plain = root.path().join("plain");
            let mut sums = String::new();
            for name in cifar.members() {
                let path = plain.join(cifar.name).join(cifar.directory).join(name);
                let bytes = records(cifar, 2);
                files::write_atomically(&path, &bytes).unwrap();
                let sum = checksum::sha256(&bytes);
                writeln!(sums, "{sum}  {}/{name}", cifar.directory).unwrap();
            }
            let error = load(cifar, &places(&plain)).unwrap_err().to_string();
            let expected = cifar.images(cifar.train[0]).to_string();
            for part in [cifar.train[0], "2 images", &expected, checksum::SUMS] {
                assert!(error.contains(part), "{error}");
            }
            let path = plain.join(cifar.name).join(checksum::SUMS);
            files::write_atomically(&path, sums.as_bytes()).unwrap();
            let (train, test) = load(cifar, &places(&packed)).unwrap();
            assert_eq!(
                (train.clone(), test.clone()),
                load(cifar, &places(&plain)).unwrap()
            );
            assert_eq!(train.labels.len(), 2 * cifar.train.len());
            assert_eq!(test.labels, [0, 1]);
            assert_eq!(test.images[PIXELS], 1);
        }
    }

    #[test]
    fn another_archive_under_the_name_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("cifar10").join(CIFAR10.archive);
        files::write_atomically(&path, &archive(&CIFAR10, 1)).unwrap();
        let error = load(&CIFAR10, &places(root.path()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("SHA-256") && error.contains(CIFAR10.archive),
            "{error}"
        );
    }

    #[test]
    fn an_archive_that_unpacks_to_more_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(CIFAR10.archive);
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        let mut header = tar::Header::new_gnu();
        header.set_path("else").unwrap();
        header.set_size(UNPACKED_BYTES_MAX + 1);
        header.set_cksum();
        packer.write_all(header.as_bytes()).unwrap();
        files::write_atomically(&path, &packer.finish().unwrap()).unwrap();
        let cifar = Cifar {
            name: "own",
            ..CIFAR10
        };
        let told = from_archive(&cifar, &path, &Reach::default()).unwrap_err();
        assert!(told.to_string().contains("more than 1 GiB"), "{told}");
    }

    #[test]
    fn a_cut_off_archive_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(CIFAR10.archive);
        let bytes = archive(&CIFAR10, 2);
        files::write_atomically(&path, &bytes[..bytes.len() / 3]).unwrap();
        // No sum is known for a file of an unnamed set.
        let cifar = Cifar {
            name: "own",
            ..CIFAR10
        };
        let error = from_archive(&cifar, &path, &Reach::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(CIFAR10.archive), "{error}");
    }
}
