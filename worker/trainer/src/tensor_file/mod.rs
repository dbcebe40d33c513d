//! Safetensors files: weights, images, logits.

mod head;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use swath_files::Named;
use tch::{Kind, Tensor};

use crate::data::{Reach, unread};
use crate::failure::Failure;
use crate::files;
use head::head;

/// A safetensors file in memory.
pub(crate) struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl TensorFile {
    /// Reads a file that a person named.
    ///
    /// # Errors
    ///
    /// As [`TensorFile::of_named`]; [`Failure::Lacks`] where it cannot be read or is
    /// too large.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Self::of_named(path, Reach::of_person().open(path)?)
    }

    /// Reads the open file of this path. Its header is checked before the rest is
    /// read.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the path where it is no whole safetensors file.
    pub(crate) fn of_named(path: &Path, mut named: Named) -> Result<Self, Failure> {
        let head = head(&mut named).map_err(|what| wrong(path, &what))?;
        Ok(Self {
            path: path.to_owned(),
            bytes: named.rest(head).map_err(|why| unread(path, &why))?,
        })
    }

    /// The file `path` with the content `bytes`.
    pub(crate) fn of(path: &Path, bytes: Vec<u8>) -> Self {
        Self {
            path: path.to_owned(),
            bytes,
        }
    }

    /// Its tensors.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the path where it is not a safetensors file.
    pub(crate) fn parse(&self) -> Result<SafeTensors<'_>, Failure> {
        SafeTensors::deserialize(&self.bytes)
            .map_err(|error| self.wrong(&format!("not a whole safetensors file ({error})")))
    }

    /// The tensor `name`.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the path and the names that exist.
    pub(crate) fn view<'a>(
        &self,
        tensors: &SafeTensors<'a>,
        name: &str,
    ) -> Result<TensorView<'a>, Failure> {
        tensors.tensor(name).map_err(|_| {
            let mut names = tensors.names();
            names.sort_unstable();
            names.truncate(8);
            self.wrong(&format!(
                "it has no tensor `{name}`, but {}",
                names.join(", ")
            ))
        })
    }

    /// The tensor `name`, on the CPU.
    ///
    /// # Errors
    ///
    /// As [`TensorFile::view`], and where its type is not one of [`KINDS`].
    pub(crate) fn tensor(&self, tensors: &SafeTensors<'_>, name: &str) -> Result<Tensor, Failure> {
        let view = self.view(tensors, name)?;
        let kinds = KINDS.iter().find(|(_, dtype, _)| *dtype == view.dtype());
        let Some((kind, ..)) = kinds else {
            let what = format!(
                "`{name}` is {:?}; u8, i64 or a float is wanted",
                view.dtype()
            );
            return Err(self.wrong(&what));
        };
        let shape: Vec<i64> = view.shape().iter().map(|size| *size as i64).collect();
        Ok(Tensor::f_from_data_size(view.data(), &shape, *kind)?)
    }

    /// Its free-form metadata.
    ///
    /// # Errors
    ///
    /// As [`TensorFile::parse`].
    pub(crate) fn metadata(&self) -> Result<Option<HashMap<String, String>>, Failure> {
        SafeTensors::read_metadata(&self.bytes)
            .map(|(_, metadata)| metadata.metadata().clone())
            .map_err(|error| self.wrong(&format!("not a whole safetensors file ({error})")))
    }

    /// A failure that names this file.
    pub(crate) fn wrong(&self, what: &str) -> Failure {
        wrong(&self.path, what)
    }
}

fn wrong(path: &Path, what: &str) -> Failure {
    Failure::Invalid(format!("{}: {what}", path.display()))
}

/// Writes tensors to a safetensors file, atomically, each in the plain
/// (row-major) order of its dimensions whatever its layout in memory.
///
/// # Errors
///
/// [`Failure::Crashed`] where the file cannot be written.
pub(crate) fn write(path: &Path, tensors: &[(String, Tensor)]) -> Result<(), Failure> {
    let bytes = encode(tensors).map_err(|failure| match failure {
        Failure::Crashed(what) => {
            Failure::Crashed(format!("cannot write {}: {what}", path.display()))
        }
        failure => failure,
    })?;
    files::write_atomically(path, &bytes)
}

/// The bytes of a safetensors file: the same tensors give the same bytes.
///
/// # Errors
///
/// [`Failure::Crashed`] for a kind of number that is not in [`KINDS`] and for a name that two
/// tensors have; [`Failure::OutOfMemory`] where the host has no room for them.
pub(crate) fn encode(tensors: &[(String, Tensor)]) -> Result<Vec<u8>, Failure> {
    let mut owned = Vec::with_capacity(tensors.len());
    let mut names = BTreeSet::new();
    for (name, tensor) in tensors {
        if !names.insert(name) {
            return Err(Failure::Crashed(format!("two tensors are named `{name}`")));
        }
        let kinds = KINDS.iter().find(|(kind, ..)| *kind == tensor.kind());
        let Some((_, dtype, size)) = kinds else {
            return Err(Failure::Crashed(format!("`{name}` is {:?}", tensor.kind())));
        };
        let count = tensor.numel();
        let mut bytes = vec![0; count * size];
        let plain = tensor.detach().to_device(tch::Device::Cpu).contiguous();
        plain.f_copy_data_u8(&mut bytes, count)?;
        let shape: Vec<usize> = tensor.size().iter().map(|size| *size as usize).collect();
        owned.push((name, *dtype, shape, bytes));
    }
    let failed = |error: safetensors::SafeTensorError| Failure::Crashed(error.to_string());
    let views = owned
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    safetensors::serialize(views, None).map_err(failed)
}

/// The kinds of numbers in files, with the bytes per number.
const KINDS: [(Kind, Dtype, usize); 6] = [
    (Kind::Uint8, Dtype::U8, 1),
    (Kind::Int64, Dtype::I64, 8),
    (Kind::Float, Dtype::F32, 4),
    (Kind::Double, Dtype::F64, 8),
    (Kind::Half, Dtype::F16, 2),
    (Kind::BFloat16, Dtype::BF16, 2),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_in_memory_do_not_show_on_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.safetensors");
        let plain = Tensor::arange(24, (Kind::Float, tch::Device::Cpu)).view([1, 2, 3, 4]);
        let last = plain
            .permute([0, 2, 3, 1])
            .contiguous()
            .permute([0, 3, 1, 2]);
        assert!(!last.is_contiguous());
        write(&path, &[("x".to_owned(), last)]).unwrap();
        let file = TensorFile::read(&path).unwrap();
        let read = file.tensor(&file.parse().unwrap(), "x").unwrap();
        assert_eq!(read, plain);
    }

    #[test]
    fn a_name_is_for_one_tensor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.safetensors");
        let tensor = || ("x".to_owned(), Tensor::from(1_i64));
        let error = write(&path, &[tensor(), tensor()]).unwrap_err().to_string();
        assert!(error.contains("two tensors are named `x`"), "{error}");
        assert!(error.contains("x.safetensors") && !path.exists(), "{error}");
    }

    #[test]
    fn damage_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broken.safetensors");
        files::write_atomically(&path, b"no tensors").unwrap();
        let error = TensorFile::read(&path).err().unwrap().to_string();
        assert!(error.contains("broken.safetensors"), "{error}");
    }
}
