use std::fs::{self, File};
use std::time::SystemTime;

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
    other_header[20] ^= 1;
    let mut other_version = whole.clone();
    other_version[8] += 1;
    let damaged = [
        &whole[..0],
        &whole[..10],
        &whole[..whole.len() - 1],
        &[&whole[..], &[0]].concat(),
        &other_header,
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
