//! `trainer line`: loss and error on the line through two weight files.

use crate::analysis::line::{Recomputation, place, points};
use crate::cli::{Line, Sets};
use crate::dataset::Images;
use crate::failure::Failure;
use crate::model::Weights;
use crate::session::{self, Session};
use crate::{evaluate, output, process, spec_file};

/// Prints loss and error at every point.
pub(super) fn run(args: &Line) -> Result<(), Failure> {
    if args.from_alpha >= args.to_alpha {
        return Err(Failure::Invalid(format!(
            "--from-alpha {}: must be less than --to-alpha {}",
            args.from_alpha, args.to_alpha
        )));
    }
    process::catch_sigterm();
    let job = spec_file::read(&args.weighted.spec.spec)?;
    let mut session = Session::new(args.weighted.compute)?;
    let device = session.device();
    let spec = spec_file::training(&job)?;
    let dataset = session.dataset(&spec.dataset)?;
    let mut facts = dataset.facts.clone();
    let (model, from) = session::load(spec, &mut facts, &args.weighted.weights, device)?;
    let (_, to) = session::load(spec, &mut facts, &args.to, device)?;
    if from.flat().size() != to.flat().size() {
        return Err(Failure::Invalid(format!(
            "--to {}: these weights are of another number of classes than those of --weights",
            args.to.display()
        )));
    }
    let weights = Weights::zeros(model.layout(), device)?;
    let recomputation = if args.recompute_bn {
        place(model.layout(), &weights, [&from, &to], args.from_alpha);
        let (train, normalizer) = (&dataset.train, &dataset.normalizer);
        let new = Recomputation::new(&model, &weights, train, normalizer, spec.seed)?;
        Some(new)
    } else {
        None
    };
    let columns = |wanted: bool, set: &Images| -> Result<String, Failure> {
        if !wanted {
            return Ok(",".to_owned());
        }
        let score = evaluate::score(&model, &weights, set, &dataset.normalizer)?;
        Ok(format!("{},{}", score.loss, score.error))
    };
    output::text("alpha,train_loss,train_error,test_loss,test_error\n")?;
    for alpha in points(args.from_alpha, args.to_alpha, args.points) {
        let negative = place(model.layout(), &weights, [&from, &to], alpha);
        match &recomputation {
            Some(recomputation) => recomputation.run(&weights)?,
            None if negative > 0 => output::message(&format!(
                "alpha {alpha}: {negative} running variances would be negative and are 0; with \
                 --recompute-bn they are recomputed"
            )),
            None => {}
        }
        let train = columns(args.set != Sets::Test, &dataset.train)?;
        let test = columns(args.set != Sets::Train, &dataset.test)?;
        output::text(&format!("{alpha},{train},{test}\n"))?;
    }
    Ok(())
}
