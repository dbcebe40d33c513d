//! CIFAR-10.1 (Recht et al. 2018): a second test set for CIFAR-10, two NumPy
//! arrays, images rows first and labels.

use super::checksum;
use super::locate::{Places, Public};
use super::npy::{self, Kind};
use super::{Split, malformed};
use crate::failure::Failure;
use crate::output;

const NAME: &str = "cifar10.1";
const PUBLIC: Public = Public {
    base: "https://github.com/modestyachts/CIFAR-10.1/raw/master/datasets",
    page: "https://github.com/modestyachts/CIFAR-10.1/tree/master/datasets",
};
const SIDE: usize = 32;
const CHANNELS: usize = 3;

/// A published version of the set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    /// The version's number.
    number: u32,
    /// The version's images.
    images: usize,
}

pub(super) const V6: Version = Version {
    number: 6,
    images: 2000,
};

pub(super) const V4: Version = Version {
    number: 4,
    images: 2021,
};

/// The images and labels of a version.
pub(super) fn load(version: Version, places: &Places) -> Result<Split, Failure> {
    let name = |what| format!("cifar10.1_v{}_{what}.npy", version.number);
    let wanted = [vec![name("data")], vec![name("labels")]];
    let paths = places.find(NAME, &wanted, PUBLIC)?;
    let mut contents = Vec::with_capacity(paths.len());
    let mut unverified = Vec::new();
    for path in &paths {
        let bytes = places.reach.read(path)?;
        if !checksum::check_file(NAME, path, &bytes)? {
            unverified.push(path.as_path());
        }
        contents.push(bytes);
    }
    let images = npy::read(&paths[0], &contents[0])?;
    let labels = npy::read(&paths[1], &contents[1])?;
    let count = images.shape.first().copied().unwrap_or(0);
    if images.kind != Kind::U8 || images.shape != [count, SIDE, SIDE, CHANNELS] {
        let what = format!("its images are {:?}, not u8 of N×32×32×3", images.shape);
        return Err(malformed(&paths[0], &what));
    }
    if labels.shape != [count] {
        let what = format!("it has the shape {:?} for {count} images", labels.shape);
        return Err(malformed(&paths[1], &what));
    }
    if !unverified.is_empty() {
        checksum::check_count(NAME, &paths[0], count, version.images)?;
        output::message(&checksum::unverified(NAME, &unverified));
    }
    Ok(Split {
        images: channels_first(images.bytes),
        labels: labels.numbers(),
    })
}

/// Images in the order rows, columns, channels, rearranged to channels, rows,
/// columns.
fn channels_first(bytes: &[u8]) -> Vec<u8> {
    const AREA: usize = SIDE * SIDE;
    let mut planes = Vec::with_capacity(bytes.len());
    for image in bytes.chunks_exact(AREA * CHANNELS) {
        for channel in 0..CHANNELS {
            planes.extend(image.iter().skip(channel).step_by(CHANNELS));
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::Reach;

    fn places(root: &Path) -> Places {
        Places {
            data: root.to_owned(),
            system: root.join("none"),
            mirror: None,
            reach: Reach::default(),
        }
    }

    fn write(root: &Path, count: usize) {
        let pixels: Vec<u8> = (0..count * 3072).map(|at| (at % 251) as u8).collect();
        let labels: Vec<u8> = (0..count)
            .flat_map(|at| ((at % 10) as i32).to_le_bytes())
            .collect();
        let folder = root.join(NAME);
        std::fs::create_dir_all(&folder).unwrap();
        let data = npy::written("|u1", &format!("{count}, 32, 32, 3"), &pixels);
        std::fs::write(folder.join("cifar10.1_v6_data.npy"), data).unwrap();
        let data = npy::written("<i4", &format!("{count},"), &labels);
        std::fs::write(folder.join("cifar10.1_v6_labels.npy"), data).unwrap();
    }

    #[test]
    fn pixels_become_planes() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), 2000);
        let split = load(V6, &places(root.path())).unwrap();
        assert_eq!(split.labels.len(), 2000);
        assert_eq!(split.labels[13], 3);
        for (image, channel, row, column) in [(0, 0, 0, 1), (7, 2, 31, 5), (1999, 1, 9, 30)] {
            let planes = ((image * 3 + channel) * 32 + row) * 32 + column;
            let pixels = ((image * 32 + row) * 32 + column) * 3 + channel;
            assert_eq!(usize::from(split.images[planes]), pixels % 251);
        }
    }

    #[test]
    fn what_is_missing_or_short_says_so() {
        let root = tempfile::tempdir().unwrap();
        let error = load(V4, &places(root.path())).unwrap_err().to_string();
        assert!(error.contains("cifar10.1_v4_data.npy"), "{error}");
        write(root.path(), 100);
        let error = load(V6, &places(root.path())).unwrap_err().to_string();
        assert!(error.contains("100 images, expected 2000"), "{error}");
    }
}
