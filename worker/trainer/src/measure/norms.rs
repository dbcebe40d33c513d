//! Norms of parameters and gradients, layer by layer.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use swath_model::outcome::Observation;
use tch::{Kind, Tensor, no_grad};

use crate::failure::Failure;
use crate::files;
use crate::model::Layout;
use crate::output;

/// Writes one line per epoch to `norms.jsonl`.
pub(crate) struct Norms {
    path: PathBuf,
    /// The names of the parameters.
    names: Vec<String>,
    /// Lines of this and of earlier attempts; read before the first epoch.
    text: Option<String>,
}

impl Norms {
    /// Writes the norms of the parameters of `layout` to the file at `path`.
    pub(crate) fn new(path: PathBuf, layout: &Layout) -> Self {
        let parameters = layout.parameters.iter();
        Self {
            path,
            names: parameters.map(|parameter| parameter.name.clone()).collect(),
            text: None,
        }
    }

    /// Writes the line of `epoch`: ‖w‖₂ of each parameter, and ‖g‖₂ of its
    /// gradient in the epoch's last step; null if an earlier attempt took that
    /// step. Lines of an earlier attempt that got farther than this one are
    /// dropped. A line that cannot be written now is written with a later
    /// epoch.
    ///
    /// # Errors
    ///
    /// [`Failure`] where the norms cannot be computed.
    pub(crate) fn write(
        &mut self,
        epoch: &Observation,
        weights: &[Tensor],
        gradients: Option<&[Tensor]>,
    ) -> Result<(), Failure> {
        let line = json!({
            "epoch": epoch.epoch,
            "step": epoch.step,
            "weights": self.by_name(weights)?,
            "gradients": gradients.map(|it| self.by_name(it)).transpose()?,
        });
        let text = self
            .text
            .get_or_insert_with(|| before(&self.path, epoch.epoch));
        text.push_str(&line.to_string());
        text.push('\n');
        if let Err(failure) = files::write_atomically(&self.path, text.as_bytes()) {
            output::message(&format!(
                "warning: {failure}; the norms of epoch {} are written with the next ones",
                epoch.epoch
            ));
        }
        Ok(())
    }

    fn by_name(&self, tensors: &[Tensor]) -> Result<Map<String, Value>, Failure> {
        let norms = no_grad(|| norms(tensors))?;
        let named = self.names.iter().zip(norms);
        // A norm that is not finite becomes null.
        Ok(named
            .map(|(name, norm)| (name.clone(), json!(norm)))
            .collect())
    }
}

/// The Euclidean norm of each tensor. Waits for the device once.
pub(super) fn norms(tensors: &[Tensor]) -> Result<Vec<f64>, Failure> {
    let norm = |tensor: &Tensor| tensor.to_kind(Kind::Double).norm();
    let norms = Tensor::f_stack(&tensors.iter().map(norm).collect::<Vec<_>>(), 0)?;
    Ok(Vec::<f64>::try_from(norms)?)
}

/// The largest file of norms, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The lines of a file for epochs before `epoch`.
fn before(path: &Path, epoch: u32) -> String {
    let text = swath_files::read_text(path, FILE_BYTES_MAX).unwrap_or_default();
    let number = |line: &str| serde_json::from_str::<Value>(line).ok()?["epoch"].as_u64();
    let kept = text
        .lines()
        .filter(|line| number(line).is_some_and(|number| number < u64::from(epoch)));
    kept.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_could_not_be_written_is_written_with_the_next_epoch() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("norms.jsonl");
        fs::create_dir(&path).unwrap();
        let mut norms = Norms {
            path: path.clone(),
            names: vec!["fc.bias".to_owned()],
            text: None,
        };
        let weights = [Tensor::from_slice(&[3.0_f32, 4.0])];
        let mut epoch = Observation::default();
        for number in 1..=2 {
            epoch.epoch = number;
            norms.write(&epoch, &weights, None).unwrap();
            if number == 1 {
                fs::remove_dir(&path).unwrap();
            }
        }
        let text = fs::read_to_string(&path).unwrap();
        let numbers: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["epoch"].take())
            .collect();
        assert_eq!(numbers, [1, 2]);
    }
}
