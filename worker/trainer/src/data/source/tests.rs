use std::fs::{self, File};
use std::time::SystemTime;

use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::*;
use crate::data::{DecodedCopy, Split};
use crate::dataset::{Dataset, Images};
use crate::tensor_file;

/// A data set of 3×2×4 images in 3 classes, whose files are no longer new.
fn write(root: &Path, first: u8) -> Source {
    let path = root.join("own.safetensors");
    let images = |count: i64| {
        let values: Vec<u8> = (0..count * 24).map(|v| (v as u8) ^ first).collect();
        Tensor::from_slice(&values).view([count, 3, 2, 4])
    };
    let entries = [
        ("train_images", images(5)),
        ("train_labels", Tensor::from_slice(&[0_i64, 1, 2, 1, 0])),
        ("test_images", images(2)),
        ("test_labels", Tensor::from_slice(&[2_i64, 0])),
    ];
    let entries = entries.map(|(name, tensor)| (name.to_owned(), tensor));
    tensor_file::write(&path, &entries).unwrap();
    age(&path, 100);
    Source::Tensors(OwnData {
        path: path.display().to_string(),
        mean: Vec::new(),
        std: Vec::new(),
        size: None,
        channels: None,
    })
}

fn age(path: &Path, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(then).unwrap();
}

fn open(source: &Source, directory: &Path) -> Opened {
    let places = Places {
        data: directory.to_owned(),
        system: directory.join("system"),
        mirror: None,
        reach: Reach::default(),
    };
    let found = Found::find(source, &places).unwrap();
    found.open_worth(directory, 0).unwrap()
}

fn shared(opened: Opened) -> DecodedCopy {
    match opened {
        Opened::Shared(copy) => copy,
        Opened::Decoded(_) => panic!("no copy was mapped"),
    }
}

/// The one copy that lies in `directory`.
fn copy_in(directory: &Path) -> PathBuf {
    let mut copies = fs::read_dir(directory.join("decoded"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "swath"));
    let copy = copies.next().unwrap();
    assert_eq!(copies.next(), None);
    copy
}

fn assert_alike(copy: DecodedCopy, source: &Source) {
    let Source::Tensors(own) = source else {
        panic!("tensors are expected");
    };
    let raw = tensors::load(own, &Reach::default()).unwrap();
    let facts = raw.facts.clone();
    assert_eq!(copy.facts, facts);
    let alike = |images: &Images, split: &Split| {
        let plain = Images::new(split, &facts, Device::Cpu);
        assert_eq!(images.pixels, plain.pixels);
        assert_eq!(images.labels, plain.labels);
        assert!(images.pixels.is_contiguous());
        assert_eq!(images.pixels.kind(), Kind::Uint8);
    };
    let dataset = Dataset::of(&Opened::Shared(copy), Device::Cpu);
    alike(&dataset.train, &raw.train);
    alike(&dataset.test, &raw.test);
}

#[test]
fn a_copy_holds_what_was_decoded() {
    let root = tempfile::tempdir().unwrap();
    let source = write(root.path(), 0);
    assert_alike(shared(open(&source, root.path())), &source);
    let written = fs::metadata(copy_in(root.path())).unwrap().modified();
    assert_alike(shared(open(&source, root.path())), &source);
    let after = fs::metadata(copy_in(root.path())).unwrap().modified();
    assert_eq!(written.unwrap(), after.unwrap(), "it was written twice");
}

#[test]
fn a_damaged_copy_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let source = write(root.path(), 0);
    open(&source, root.path());
    let copy = copy_in(root.path());
    let whole = fs::read(&copy).unwrap();
    let mut other_header = whole.clone();
    other_header[60] ^= 1;
    // A pixel, and a digit of the mean.
    let mut other_pixel = whole.clone();
    other_pixel[4096] ^= 1;
    let mut other_mean = whole.clone();
    let mean = whole.windows(6).position(|it| it == b"\"mean\"").unwrap();
    other_mean[mean + 10] ^= 1;
    let mut other_version = whole.clone();
    other_version[8] += 1;
    let damaged = [
        &whole[..0],
        &whole[..10],
        &whole[..whole.len() - 1],
        &[&whole[..], &[0]].concat(),
        &other_header,
        &other_pixel,
        &other_mean,
        &other_version,
    ];
    let name = copy.file_name().unwrap().to_string_lossy();
    let left = copy.with_file_name(format!(".{name}.1.tmp"));
    for bytes in damaged {
        fs::write(&copy, bytes).unwrap();
        // Left by a trainer that was killed while writing.
        fs::write(&left, "").unwrap();
        assert_alike(shared(open(&source, root.path())), &source);
        assert!(fs::read(&copy).unwrap() == whole && !left.exists());
    }
}

/// The copy with another header, and a digest that fits.
fn with_header(whole: &[u8], edit: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let length = u32::from_le_bytes(whole[12..16].try_into().unwrap()) as usize;
    let payload = (48 + length).next_multiple_of(4096);
    let mut header = serde_json::from_slice(&whole[48..48 + length]).unwrap();
    edit(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = whole[..12].to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.resize(48, 0);
    bytes.extend(header);
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    bytes.extend(&whole[payload..]);
    let digest = blake3::hash(&bytes[48..]);
    bytes[16..48].copy_from_slice(digest.as_bytes());
    bytes
}

#[test]
fn what_a_header_promises_is_checked_whatever_its_digest() {
    let root = tempfile::tempdir().unwrap();
    let source = write(root.path(), 0);
    open(&source, root.path());
    let copy = copy_in(root.path());
    let whole = fs::read(&copy).unwrap();
    let same = with_header(&whole, |_| {});
    fs::write(&copy, &same).unwrap();
    assert_alike(shared(open(&source, root.path())), &source);
    assert!(
        fs::read(&copy).unwrap() == same,
        "a sound copy was replaced"
    );
    for (key, value) in [
        ("/images", json!([1_u64 << 60, 1])),
        ("/images", json!([0, 7])),
        ("/images", json!([7, 0])),
        ("/images/0", json!(4)),
        ("/facts/channels", json!(1)),
        ("/facts/channels", json!(-3)),
        ("/facts/channels", json!(0)),
        ("/facts/height", json!(i64::MIN)),
        ("/facts/height", json!(i64::MAX)),
        ("/facts/width", json!(0)),
        ("/facts/classes", json!(2)),
        ("/facts/classes", json!(-1)),
        ("/facts/train_images", json!(6)),
        ("/facts/mean", json!([])),
        ("/facts/std", json!([0.5])),
        ("/facts/class_names", json!(["a", "b", "c", "d"])),
    ] {
        let edited = with_header(&whole, |header| {
            *header.pointer_mut(key).unwrap() = value.clone();
        });
        fs::write(&copy, edited).unwrap();
        assert_alike(shared(open(&source, root.path())), &source);
        assert!(fs::read(&copy).unwrap() == whole, "{key} {value}");
    }
    let mut long = whole.clone();
    long[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(&copy, long).unwrap();
    assert_alike(shared(open(&source, root.path())), &source);
}

#[test]
fn a_copy_tells_that_it_was_written_to() {
    let root = tempfile::tempdir().unwrap();
    let source = write(root.path(), 0);
    let seal = open(&source, root.path()).seal().unwrap();
    assert!(seal.is_whole());
    let file = File::options().write(true).open(copy_in(root.path()));
    file.unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(!seal.is_whole());
}

#[test]
fn changed_files_have_a_new_copy_and_the_old_map_stays() {
    let root = tempfile::tempdir().unwrap();
    let source = write(root.path(), 0);
    let (before, _) = shared(open(&source, root.path())).split(0);
    let values = before.copy();
    write(root.path(), 7);
    age(Path::new(&root.path().join("own.safetensors")), 50);
    let copy = shared(open(&source, root.path()));
    assert_ne!(copy.split(0).0, values);
    assert_alike(copy, &source);
    assert_eq!(before, values);
    copy_in(root.path());
}

#[test]
fn files_that_were_just_changed_have_no_copy_yet() {
    let root = tempfile::tempdir().unwrap();
    let source = write(root.path(), 0);
    let Source::Tensors(own) = &source else {
        panic!("tensors are expected");
    };
    age(Path::new(&own.path), 0);
    assert!(matches!(open(&source, root.path()), Opened::Decoded(_)));
}

#[test]
fn where_nothing_can_be_written_the_set_is_decoded() {
    let root = tempfile::tempdir().unwrap();
    let source = write(root.path(), 0);
    // Even the superuser cannot make a directory inside a file.
    let directory = root.path().join("file");
    fs::write(&directory, "").unwrap();
    assert!(matches!(open(&source, &directory), Opened::Decoded(_)));
}

#[test]
fn small_sets_and_the_built_in_one_have_no_copy() {
    let root = tempfile::tempdir().unwrap();
    let places = Places {
        data: root.path().to_owned(),
        system: root.path().join("system"),
        mirror: None,
        reach: Reach::default(),
    };
    let small = write(root.path(), 0);
    for source in [small, Source::Digits] {
        let opened = Found::find(&source, &places).unwrap();
        let opened = opened.open(root.path()).unwrap();
        assert!(matches!(opened, Opened::Decoded(_)));
    }
    assert!(!root.path().join("decoded").exists());
}
