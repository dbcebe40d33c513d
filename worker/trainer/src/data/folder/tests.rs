use std::os::unix::fs::symlink;

use image::{GrayImage, Luma, Rgb, RgbImage};
use swath_model::spec::Size;

use super::*;

fn own(root: &Path) -> OwnData {
    OwnData {
        path: root.display().to_string(),
        mean: Vec::new(),
        std: Vec::new(),
        size: None,
        channels: None,
    }
}

fn grey(path: &Path, side: u32, value: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_pixel(side, side, Luma([value]))
        .save(path)
        .unwrap();
}

fn colour(path: &Path, side: u32, value: [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(side, side, Rgb(value))
        .save(path)
        .unwrap();
}

/// Two classes, two training images each and a test image.
fn small(root: &Path) {
    for (class, name) in ["ant", "bee"].into_iter().enumerate() {
        for image in 0..2 {
            let path = root.join(format!("train/{name}/{image}.png"));
            grey(&path, 4, (100 * class + 10 * image) as u8);
        }
        grey(&root.join(format!("test/{name}/x.png")), 4, 200);
    }
}

fn error(own: &OwnData) -> String {
    let loaded = Folder::list(own, &Reach::default()).and_then(|folder| folder.load(own));
    loaded.unwrap_err().to_string()
}

#[test]
fn images_come_sorted_with_the_names_of_their_directories() {
    let root = tempfile::tempdir().unwrap();
    small(root.path());
    let own = own(root.path());
    let folder = Folder::list(&own, &Reach::default()).unwrap();
    let outline = folder.facts(&own).unwrap();
    assert_eq!((outline.classes, outline.train_images), (2, 4));
    assert!(outline.mean.is_empty());
    let RawDataset { facts, train, test } = folder.load(&own).unwrap();
    assert_eq!(facts.class_names, ["ant", "bee"]);
    assert_eq!([facts.channels, facts.height, facts.width], [1, 4, 4]);
    assert_eq!(train.labels, [0, 0, 1, 1]);
    let expected: Vec<u8> = [0, 10, 100, 110].iter().flat_map(|v| [*v; 16]).collect();
    assert_eq!(train.images, expected);
    assert_eq!((test.labels, test.images.len()), (vec![0, 1], 32));
    assert!((facts.mean[0] - 55.0 / 255.0).abs() < 1e-6);
    assert!((facts.std[0] - 2525.0_f32.sqrt() / 255.0).abs() < 1e-6);
}

#[test]
fn options_choose_size_channels_and_moments() {
    let root = tempfile::tempdir().unwrap();
    small(root.path());
    let mut own = own(root.path());
    own.size = Some(Size::Rectangle([6, 3]));
    own.channels = Some(3);
    own.mean = vec![0.5; 3];
    own.std = vec![0.25; 3];
    let dataset = Folder::list(&own, &Reach::default())
        .unwrap()
        .load(&own)
        .unwrap();
    let facts = &dataset.facts;
    assert_eq!([facts.channels, facts.height, facts.width], [3, 6, 3]);
    let outline = Folder::list(&own, &Reach::default())
        .unwrap()
        .facts(&own)
        .unwrap();
    assert_eq!((outline.mean, outline.std), (vec![0.5; 3], vec![0.25; 3]));
    assert_eq!(dataset.train.images.len(), 4 * 3 * 6 * 3);
    assert_eq!(dataset.train.images[54], 10);
    own.mean = vec![0.5];
    assert!(error(&own).contains("dataset.mean"));
}

#[test]
fn one_colour_image_makes_all_colour() {
    let root = tempfile::tempdir().unwrap();
    small(root.path());
    colour(&root.path().join("test/bee/y.jpg"), 4, [1, 2, 3]);
    let own = own(root.path());
    let folder = Folder::list(&own, &Reach::default()).unwrap();
    assert_eq!(folder.facts(&own).unwrap().channels, 3);
}

#[test]
fn different_sizes_name_both_files_and_the_option() {
    let root = tempfile::tempdir().unwrap();
    small(root.path());
    grey(&root.path().join("train/bee/1.png"), 5, 0);
    let mut own = own(root.path());
    let message = error(&own);
    for part in [
        "train/ant/0.png is 4×4",
        "train/bee/1.png is 5×5",
        "dataset.size",
    ] {
        assert!(message.contains(part), "{message}");
    }
    own.size = Some(Size::Square(4));
    assert!(
        Folder::list(&own, &Reach::default())
            .unwrap()
            .load(&own)
            .is_ok()
    );
}

#[test]
fn what_is_missing_is_named_with_the_remedy() {
    let root = tempfile::tempdir().unwrap();
    let own = own(&root.path().join("set"));
    assert!(error(&own).contains("is no directory"));
    let root = root.path().join("set");
    fs::create_dir(&root).unwrap();
    assert!(error(&own).contains("set/train/<class>/"));
    grey(&root.join("train/ant/0.png"), 4, 0);
    assert!(error(&own).contains("set/test/<class>/"));
    fs::create_dir_all(root.join("test/ant")).unwrap();
    assert!(error(&own).contains("no test images"));
    grey(&root.join("test/cat/0.png"), 4, 0);
    let message = error(&own);
    assert!(
        message.contains("test/cat") && message.contains("train/cat"),
        "{message}"
    );
    fs::create_dir(root.join("train/cat")).unwrap();
    assert!(error(&own).contains("train/cat holds no image"));
}

#[test]
fn damaged_images_and_broken_links_are_named() {
    let root = tempfile::tempdir().unwrap();
    small(root.path());
    let own = own(root.path());
    let path = root.path().join("train/bee/0.png");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    assert!(error(&own).contains("train/bee/0.png"));
    fs::write(&path, &bytes).unwrap();
    symlink("nowhere", root.path().join("test/ant/z.png")).unwrap();
    assert!(error(&own).contains("test/ant/z.png"));
}

#[test]
fn strays_are_warned_about_and_litter_is_not() {
    let root = tempfile::tempdir().unwrap();
    small(root.path());
    let own = own(root.path());
    for name in [
        "train/Thumbs.db",
        "train/ant/.hidden.png",
        "test/bee/desktop.ini",
    ] {
        fs::write(root.path().join(name), "x").unwrap();
    }
    fs::create_dir(root.path().join("train/.git")).unwrap();
    assert_eq!(
        Folder::list(&own, &Reach::default()).unwrap().warnings,
        [""; 0]
    );
    for name in ["train/notes.txt", "train/ant/a.gif", "train/ant/b.txt"] {
        fs::write(root.path().join(name), "x").unwrap();
    }
    let folder = Folder::list(&own, &Reach::default()).unwrap();
    assert_eq!(folder.items().count(), 6);
    let warnings = folder.warnings.join("\n");
    for part in ["train/notes.txt", "train/ant/a.gif and 1 more"] {
        assert!(warnings.contains(part), "{warnings}");
    }
    assert!(folder.load(&own).is_ok());
}

#[test]
fn links_are_followed_and_names_need_no_encoding() {
    let root = tempfile::tempdir().unwrap();
    small(root.path());
    let strange = OsStr::from_bytes(b"caf\xe9");
    for split in ["train", "test"] {
        let there = root.path().join("elsewhere").join(split);
        grey(&there.join("A.PNG"), 4, 9);
        symlink(there, root.path().join(split).join(strange)).unwrap();
    }
    let own = own(root.path());
    let dataset = Folder::list(&own, &Reach::default())
        .unwrap()
        .load(&own)
        .unwrap();
    assert_eq!(dataset.facts.class_names, ["ant", "bee", "caf\u{fffd}"]);
    assert_eq!(dataset.train.labels, [0, 0, 1, 1, 2]);
}
