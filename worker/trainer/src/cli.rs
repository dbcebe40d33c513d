//! The command line.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tch::Device;

/// Trains image classifiers: the training core of Swath.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes: 0 finished, 1 crashed, 2 usage, 10 diverged, 11 invalid spec or \
        data, 12 out of memory, 75 stopped (by SIGTERM or --stop-after).\n\n\
        Results go to stdout, messages to stderr.\n\
        Data sets are read from SWATH_DATA_DIR (default ~/.cache/swath/data) or /usr/share/datasets; \
        if they are in neither, they are fetched from SWATH_DATA_MIRROR (a directory, file:// or \
        http(s):// URL; `none`: never; default: from their publishers). Trainers share one decoded \
        copy of each.\n\
        Images of your own: dataset = { name = \"folder\", path = \"images\" } with \
        images/train/CLASS/*.png and images/test/CLASS/*.png (or .jpg)."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train one spec
    ///
    /// Writes JSON lines to stdout: `started`, an `epoch` after each epoch, a `checkpoint` after
    /// each checkpoint, and `finished` or `failed`.
    #[command(
        after_help = "Example:\n  trainer train --spec spec.toml --out result\n\
        leaves result/weights.safetensors, result/history.jsonl, result/timing.jsonl and \
        result/finished.json.\n\n\
        With --out, checkpoints are written every few minutes, and on SIGTERM before exit 75. \
        After that, or after a crash, continue with\n  trainer train --spec spec.toml --out result \
        --resume\nOn the CPU the result has the same bytes as that of an uninterrupted training."
    )]
    Train(Train),
    /// Keep running and train one spec after the other
    ///
    /// Prints `ready`, then reads one spec (JSON) per line from stdin and answers each with the lines of `trainer
    /// train`. The library stays loaded and the data set stays on the device. Ends at the end of stdin. With
    /// --out or --checkpoints, a spec continues from its checkpoint there, if it has one.
    Serve(Serve),
    /// Predict the classes of images, in evaluation mode
    ///
    /// With --image, prints a JSON line per file: `image` and `top`, its likeliest classes, each
    /// with `class` (from 0), `name` and `probability`. The files are cropped, resized and
    /// normalized like the spec's data set. With --images, writes logits only; `images` may be
    /// u8, which is normalized in the same way, or f32, which is used as it is.
    #[command(after_help = "Example:\n  trainer predict --spec spec.toml --weights \
        result/weights.safetensors --image cat.png dog.jpg")]
    Predict(Predict),
    /// Measure weights on a test set
    ///
    /// Prints JSON: error in percent (for a test set also as test_error) with its interval of 95
    /// % confidence (Clopper and Pearson 1934), loss, images, classes, per_class_error, and
    /// confusion (rows: the class, columns: the predicted class).
    Evaluate(Evaluate),
    /// Measure how sharp the minimum around the weights is
    ///
    /// The sharpness of Keskar et al. (ICLR 2017): 100 (max f(x + A y) - f(x)) / (1 + f(x)) over the
    /// box |y_i| <= epsilon (|(A^+ x)_i| + 1). Here f is the mean cross-entropy of unaugmented
    /// images, with BN's running statistics as they are, x the weights, and A either a random matrix
    /// of normal numbers, one column per dimension, or the identity. The maximum is searched with a
    /// few iterations of L-BFGS-B, so the result is a lower bound. Prints JSON: loss, and for each
    /// epsilon the sharpness of each trial, mean, sd, largest_loss, evaluations.
    #[command(
        after_help = "Example, after `trainer train --spec spec.toml --out result`:\n  \
        trainer sharpness --spec spec.toml --weights result/weights.safetensors --trials 2"
    )]
    Sharpness(Sharpness),
    /// Measure loss and error on the line through two weight files
    ///
    /// Prints CSV: alpha,train_loss,train_error,test_loss,test_error of the weights (1 - alpha) A +
    /// alpha B (Goodfellow, Vinyals & Saxe 2015), with A from --weights and B from --to. At 0 and 1
    /// the test columns are those of `trainer evaluate`.
    #[command(
        after_help = "Example, from the initial weights to the trained ones:\n  \
        trainer init --spec spec.toml --out init.safetensors\n  \
        trainer train --spec spec.toml --out result\n  \
        trainer line --spec spec.toml --weights init.safetensors \
        --to result/weights.safetensors --from-alpha 0 --to-alpha 1 --points 11"
    )]
    Line(Line),
    /// Write the initial weights of a spec and its seed
    Init(Init),
    /// Compute loss, logits and gradients of one batch, in training mode
    ///
    /// Writes `loss` (with the spec's label smoothing), `logits`, `grad/<parameter>` for every
    /// parameter, and `after_forward/<buffer>` for the running statistics after the batch.
    Gradients(Gradients),
    /// Print the size of a model and of its training
    ///
    /// Prints JSON: parameters, macs (multiply-accumulates per image), tensors (name to shape),
    /// classes, steps_per_epoch, total_epochs, total_steps.
    Describe(Spec),
    /// Print the learning rate of every step
    ///
    /// Prints CSV: step,epoch,lr,batch_size. Steps and epochs count from 0.
    Schedule(Spec),
}

/// The spec of a command.
#[derive(Debug, Args)]
pub(crate) struct Spec {
    /// Job spec, JSON or TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) spec: PathBuf,
}

/// The device and the number of threads to compute with.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Compute {
    /// `cpu`, or `cuda:N` for GPU N
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = device,
          env = "SWATH_TRAINER_DEVICE")]
    pub(crate) device: Device,
    /// Threads on the CPU; default: all cores
    ///
    /// Another number of threads sums in another order, so the results have
    /// other bytes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..),
          env = "SWATH_TRAINER_THREADS")]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// Start from these weights instead of the spec's initial ones
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// Write weights, history and checkpoints to this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Continue from the newest intact checkpoint in --out
    ///
    /// Starts from step 0 if there is none. A checkpoint of another spec, seed, recipe, trainer,
    /// libtorch or number of threads is refused. A finished training is not trained again.
    #[arg(long, requires = "out")]
    pub(crate) resume: bool,
    /// Stop once so many optimizer steps are finished, counted from the beginning of the
    /// training
    ///
    /// Writes a checkpoint to --out and exits with 75; for queues that limit the time of a
    /// job.
    #[arg(long, value_name = "STEP")]
    pub(crate) stop_after: Option<u64>,
    #[command(flatten)]
    pub(crate) checkpoints: Checkpoints,
    #[command(flatten)]
    pub(crate) measures: Measures,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

/// Additional measurements.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Measures {
    /// Report the first epoch with a test error of E percent or less; may be repeated
    ///
    /// `finished` has the metrics `goal.E.epoch`, `.steps` and `.seconds` of each goal that was
    /// reached.
    #[arg(long = "goal", value_name = "E", value_parser = goal, value_delimiter = ',',
          env = "SWATH_TRAINER_GOALS")]
    pub(crate) goals: Vec<f64>,
    /// Measure the whole unaugmented training set at the end, in evaluation mode
    ///
    /// `finished` has the metrics `train_error.evaluation` and `train_loss.evaluation`.
    #[arg(long)]
    pub(crate) train_evaluation: bool,
    /// Write the norm of each parameter and gradient after each epoch to DIR/norms.jsonl
    #[arg(long, requires = "out")]
    pub(crate) norms: bool,
    /// Write the model's outputs for each image of all test sets to
    /// DIR/predictions.safetensors
    #[arg(long, requires = "out")]
    pub(crate) predictions: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Write each training's files to DIR/<job digest>, and continue from a checkpoint
    /// there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write checkpoints only, to DIR/<job digest>, and remove them once a training has ended
    #[arg(long = "checkpoints", value_name = "DIR", conflicts_with = "out")]
    pub(crate) only_checkpoints: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) checkpoints: Checkpoints,
    #[command(flatten)]
    pub(crate) measures: Measures,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

/// When checkpoints are written to `--out`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Checkpoints {
    /// Seconds between two checkpoints in --out; 0: none by time
    #[arg(
        long = "checkpoint-every",
        value_name = "SECONDS",
        default_value_t = 180,
        env = "SWATH_TRAINER_CHECKPOINT_EVERY"
    )]
    pub(crate) every: u64,
    /// Optimizer steps between two checkpoints in --out; default: by time only
    #[arg(
        long = "checkpoint-steps",
        value_name = "STEPS",
        env = "SWATH_TRAINER_CHECKPOINT_STEPS"
    )]
    pub(crate) steps: Option<NonZeroU64>,
    /// Keep the last two checkpoints of a finished training
    #[arg(long = "keep-checkpoints")]
    pub(crate) keep: bool,
}

/// A spec with weights.
#[derive(Debug, Args)]
pub(crate) struct Weighted {
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// Weights: safetensors with the names of a PyTorch state dict
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    pub(crate) weighted: Weighted,
    /// `test`, `train` (unaugmented), `cifar10.1`, `cifar10.1_v4`, the test set of another data
    /// set, or `tensors:FILE`
    #[arg(long, value_name = "NAME", default_value = "test")]
    pub(crate) set: String,
    /// Write the model's outputs for each image: NAME/logits, NAME/labels,
    /// NAME/predicted
    #[arg(long, value_name = "FILE")]
    pub(crate) predictions: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) weighted: Weighted,
    /// PNG or JPEG files
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "images",
          conflicts_with = "images")]
    pub(crate) image: Vec<PathBuf>,
    /// Safetensors with `images`, N×C×H×W
    #[arg(long, value_name = "FILE", requires = "out")]
    pub(crate) images: Option<PathBuf>,
    /// Where to write `logits`, N×classes; optional with --image
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) spec: Spec,
    /// Where to write the weights
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Gradients {
    #[command(flatten)]
    pub(crate) weighted: Weighted,
    /// Safetensors with `images`, N×C×H×W: one batch
    #[arg(long, value_name = "FILE")]
    pub(crate) images: PathBuf,
    /// Safetensors with `labels`, N; may be the file of `--images`
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: PathBuf,
    /// Where to write loss, logits and gradients
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

fn goal(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(goal) if (0.0..=100.0).contains(&goal) => Ok(goal),
        _ => Err("must be a test error in percent".to_owned()),
    }
}

/// Images of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Set {
    /// The training set
    Train,
    /// The test set
    Test,
}

/// Which images to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sets {
    /// The training set
    Train,
    /// The test set
    Test,
    /// Both
    Both,
}

#[derive(Debug, Args)]
pub(crate) struct Sharpness {
    #[command(flatten)]
    pub(crate) weighted: Weighted,
    /// Size of the box; may be given more than once [default: 1e-3 and 5e-4]
    #[arg(long, value_name = "E", value_parser = positive, default_values = ["1e-3", "5e-4"],
          hide_default_value = true)]
    pub(crate) epsilon: Vec<f64>,
    /// Dimensions of the random subspaces
    #[arg(long, value_name = "N", default_value = "100",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) dimensions: u16,
    /// Move every parameter by itself instead of along random directions
    #[arg(long, conflicts_with_all = ["dimensions", "trials", "seed"])]
    pub(crate) full_space: bool,
    /// Iterations of L-BFGS-B
    #[arg(long, value_name = "N", default_value = "10",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) iterations: u32,
    /// How many random subspaces to measure in
    #[arg(long, value_name = "N", default_value = "5",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) trials: u32,
    /// Seed of the subspaces; with the same seed, different weights are
    /// compared in the same subspaces
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,
    /// The images over which the loss is computed
    #[arg(long, value_name = "SET", default_value = "train")]
    pub(crate) set: Set,
    /// Only the first N of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) images: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) weighted: Weighted,
    /// The weights at alpha = 1
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// The first alpha
    #[arg(long, value_name = "A", default_value = "-1", allow_negative_numbers = true,
          value_parser = finite)]
    pub(crate) from_alpha: f64,
    /// The last alpha
    #[arg(long, value_name = "A", default_value = "2", allow_negative_numbers = true,
          value_parser = finite)]
    pub(crate) to_alpha: f64,
    /// Points, both ends included
    #[arg(long, value_name = "N", default_value = "25",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) points: u32,
    /// The images to measure; columns for the others stay empty
    #[arg(long, value_name = "SET", default_value = "both")]
    pub(crate) set: Sets,
    /// Recompute BN's statistics at each point, over the training images
    ///
    /// By default the running statistics lie on the line, like the parameters; a variance that
    /// would be negative is set to 0.
    #[arg(long)]
    pub(crate) recompute_bn: bool,
}

fn finite(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err("must be finite".to_owned())
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match finite(text)? {
        number if number > 0.0 => Ok(number),
        _ => Err("must be greater than 0".to_owned()),
    }
}

fn device(text: &str) -> Result<Device, String> {
    let named = if text == "cuda" { "cuda:0" } else { text };
    match named.parse() {
        Ok(swath_model::device::Device::Cpu) => Ok(Device::Cpu),
        Ok(swath_model::device::Device::Cuda(number)) => Ok(Device::Cuda(number.into())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn devices_parse() {
        assert_eq!(device("cpu"), Ok(Device::Cpu));
        assert_eq!(device("cuda:1"), Ok(Device::Cuda(1)));
        assert!(device("cuda:x").is_err() && device("tpu").is_err());
    }

    /// A page that names an option that does not exist is worse than none.
    #[test]
    fn the_page_names_options_that_are_there() {
        let page = include_str!("../../../docs/trainer.md");
        let known: Vec<String> = Cli::command()
            .get_subcommands()
            .flat_map(clap::Command::get_arguments)
            .filter_map(|argument| argument.get_long().map(str::to_owned))
            .collect();
        // Options of the worker that the page also names.
        let others = ["state-dir", "allow-data", "data-bytes"];
        let mut named = 0;
        for word in page.split(|next: char| !(next.is_ascii_lowercase() || next == '-')) {
            if let Some(option) = word.strip_prefix("--")
                && option.starts_with(|first: char| first.is_ascii_lowercase())
            {
                named += 1;
                let there = known.iter().any(|known| known == option);
                assert!(there || others.contains(&option), "--{option}");
            }
        }
        assert!(named > 20, "{named}");
    }
}
