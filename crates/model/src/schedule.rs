//! Which step of a training has which learning rate: pure functions of the spec
//! and the size of its training set.
//!
//! [`Timeline`] divides the budget into epochs and optimizer steps; [`Rates`]
//! gives the learning rate of each step. Steps and epochs count from 0. The
//! rate of step `t` multiplies that step's update, so the first step after the
//! warm-up has the full rate, and the end of a schedule (its factor at `t = T`)
//! belongs to the first step that is no longer taken.
//!
//! A warm-up takes the first steps of the budget. Schedules without milestones
//! run over the rest of it; milestones are epochs of the whole training, as
//! papers give them.

use std::f64::consts::PI;

use crate::spec::{BatchStep, Schedule, TrainingSpec, Warmup, WarmupName};

/// Epochs with one batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Phase {
    first_epoch: u64,
    first_step: u64,
    batch_size: u64,
    steps_per_epoch: u64,
}

/// A budget of epochs or steps, applied to a training set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    phases: Vec<Phase>,
    total_steps: u64,
}

/// The batch is larger than the training set and partial batches are dropped:
/// an epoch would have no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`batch_size` = {batch_size} is larger than the training set of {images} images, \
     so with `drop_last` an epoch has no step"
)]
pub struct NoStep {
    /// Images per step.
    pub batch_size: u64,
    /// Images of the training set.
    pub images: u64,
}

impl Timeline {
    /// The timeline of `spec` on a training set of `images` images.
    ///
    /// # Errors
    ///
    /// [`NoStep`] where a batch exceeds the training set and partial batches
    /// are dropped.
    pub fn new(spec: &TrainingSpec, images: u64) -> Result<Self, NoStep> {
        let mut phases: Vec<Phase> = Vec::new();
        let first = BatchStep {
            epoch: 0,
            batch_size: spec.batch_size,
        };
        for change in std::iter::once(&first).chain(&spec.batch_schedule) {
            let batch_size = u64::from(change.batch_size);
            let steps_per_epoch = if spec.drop_last {
                images / batch_size
            } else {
                images.div_ceil(batch_size)
            };
            if steps_per_epoch == 0 {
                return Err(NoStep { batch_size, images });
            }
            let first_epoch = u64::from(change.epoch);
            // A change at epoch 0 replaces the spec's own size.
            phases.retain(|phase| phase.first_epoch < first_epoch);
            let first_step = phases.last().map_or(0, |last| {
                last.first_step + (first_epoch - last.first_epoch) * last.steps_per_epoch
            });
            phases.push(Phase {
                first_epoch,
                first_step,
                batch_size,
                steps_per_epoch,
            });
        }
        let mut timeline = Self {
            phases,
            total_steps: 0,
        };
        timeline.total_steps = match (spec.steps, spec.epochs) {
            (Some(steps), _) => steps,
            (None, epochs) => timeline.first_step(u64::from(epochs.unwrap_or(0))),
        };
        Ok(timeline)
    }

    /// Optimizer steps of the whole budget.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// Epochs that the budget touches; a budget in steps may cut off the last
    /// one.
    pub fn total_epochs(&self) -> u64 {
        match self.total_steps {
            0 => 0,
            steps => self.epoch(steps - 1) + 1,
        }
    }

    /// Steps of `epoch`, if the budget does not cut it off.
    pub fn steps_in(&self, epoch: u64) -> u64 {
        self.phase_of_epoch(epoch).steps_per_epoch
    }

    /// Images per step in `epoch`.
    pub fn batch_size(&self, epoch: u64) -> u64 {
        self.phase_of_epoch(epoch).batch_size
    }

    /// The first step of `epoch`.
    pub fn first_step(&self, epoch: u64) -> u64 {
        let phase = self.phase_of_epoch(epoch);
        phase.first_step + (epoch - phase.first_epoch) * phase.steps_per_epoch
    }

    /// The epoch that `step` belongs to.
    pub fn epoch(&self, step: u64) -> u64 {
        let phase = self.phase_of_step(step);
        phase.first_epoch + (step - phase.first_step) / phase.steps_per_epoch
    }

    /// The position of `step` in epochs, with the fraction of its epoch.
    pub fn position(&self, step: u64) -> f64 {
        let phase = self.phase_of_step(step);
        phase.first_epoch as f64 + (step - phase.first_step) as f64 / phase.steps_per_epoch as f64
    }

    fn phase_of_epoch(&self, epoch: u64) -> Phase {
        let after = self.phases.partition_point(|p| p.first_epoch <= epoch);
        self.phases[after.saturating_sub(1)]
    }

    fn phase_of_step(&self, step: u64) -> Phase {
        let after = self.phases.partition_point(|p| p.first_step <= step);
        self.phases[after.saturating_sub(1)]
    }
}

/// The learning rate of every step of one training.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    base: f64,
    schedule: Schedule,
    warmup: Option<Warmup>,
    timeline: Timeline,
}

impl Rates {
    /// The rates of `spec` along its timeline.
    pub fn new(spec: &TrainingSpec, timeline: Timeline) -> Self {
        Self {
            base: spec.optimizer.lr(),
            schedule: spec.schedule.clone(),
            warmup: spec.warmup.clone(),
            timeline,
        }
    }

    /// The timeline that the rates follow.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Steps of the warm-up; 0 without one.
    pub fn warmup_steps(&self) -> u64 {
        self.warmup.as_ref().map_or(0, |warmup| {
            warmup.steps.unwrap_or_else(|| {
                self.timeline
                    .first_step(u64::from(warmup.epochs.unwrap_or(0)))
            })
        })
    }

    /// The learning rate of `step`, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        let length = self.warmup_steps();
        match &self.warmup {
            Some(warmup) if step < length => {
                let share = step as f64 / length as f64;
                self.base * warmup_factor(warmup.name, warmup.start_factor, share)
            }
            _ => self.scheduled(step, length),
        }
    }

    /// The schedule's own rate, after `skipped` steps of warm-up.
    fn scheduled(&self, step: u64, skipped: u64) -> f64 {
        let total = self.timeline.total_steps.saturating_sub(skipped).max(1);
        let share = ((step - skipped) as f64 / total as f64).min(1.0);
        let down_to = |min_lr: f64, factor: f64| min_lr + (self.base - min_lr) * factor;
        match &self.schedule {
            Schedule::Constant => self.base,
            Schedule::Multistep(multistep) => {
                let passed = multistep
                    .milestones
                    .iter()
                    .filter(|milestone| self.has_passed(step, **milestone))
                    .count();
                self.base * multistep.gamma.powi(passed as i32)
            }
            Schedule::Cosine(decay) => down_to(decay.min_lr, half_cosine(share)),
            Schedule::Linear(decay) => down_to(decay.min_lr, 1.0 - share),
            Schedule::Polynomial(decay) => down_to(decay.min_lr, (1.0 - share).powf(decay.power)),
            Schedule::Sgdr(sgdr) => {
                let epochs = self.timeline.position(step) - self.timeline.position(skipped);
                let share = restart_share(epochs, sgdr.t0, sgdr.t_mult);
                down_to(sgdr.min_lr, half_cosine(share))
            }
        }
    }

    /// Whether `step` is at or after a milestone. From 1 on a milestone is an
    /// epoch (which may have a fraction); below 1 it is a share of the budget.
    fn has_passed(&self, step: u64, milestone: f64) -> bool {
        if milestone < 1.0 {
            // The product of a decimal fraction and a whole number may lie a
            // hair above the whole number that is meant.
            let at = milestone * self.timeline.total_steps as f64;
            step as f64 >= at - 1e-9 * at
        } else {
            self.timeline.position(step) >= milestone
        }
    }
}

/// Half a cosine: 1 at `share` 0, 0 at 1 (Loshchilov & Hutter 2017, eq. 5).
fn half_cosine(share: f64) -> f64 {
    0.5 * (1.0 + (PI * share).cos())
}

/// How much of its period has passed after `epochs` epochs of warm restarts:
/// periods of `t0`, `t0 * t_mult`, `t0 * t_mult^2` … epochs.
fn restart_share(epochs: f64, t0: u32, t_mult: u32) -> f64 {
    let mut period = f64::from(t0.max(1));
    let factor = f64::from(t_mult.max(1));
    if factor <= 1.0 {
        return (epochs / period).fract();
    }
    let mut left = epochs;
    while left >= period {
        left -= period;
        period *= factor;
    }
    left / period
}

/// The warm-up's factor on the base rate, after `share` of its length.
fn warmup_factor(name: WarmupName, start: f64, share: f64) -> f64 {
    match name {
        WarmupName::Linear => start + (1.0 - start) * share,
        WarmupName::Exponential => start.powf(1.0 - share),
        WarmupName::Constant => start,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::JobSpec;

    fn rates(images: u64, extra: &Value) -> Rates {
        let mut tree = json!({
            "dataset": {"name": "cifar10"},
            "model": {"name": "resnet_preact", "depth": 20},
            "batch_size": 128,
            "optimizer": {"lr": 0.2},
        });
        let entries = tree.as_object_mut().unwrap();
        entries.extend(extra.as_object().unwrap().clone());
        let spec = JobSpec::from_value(&tree).unwrap();
        let spec = spec.training().unwrap();
        Rates::new(spec, Timeline::new(spec, images).unwrap())
    }

    fn near(left: f64, right: f64) -> bool {
        (left - right).abs() <= 1e-12 * left.abs().max(right.abs()).max(1e-12)
    }

    #[test]
    fn cifar_has_the_published_steps() {
        let rates = rates(50_000, &json!({"epochs": 200}));
        assert_eq!(rates.timeline().steps_in(0), 390);
        assert_eq!(rates.timeline().total_steps(), 78_000);
        assert_eq!(rates.timeline().total_epochs(), 200);
    }

    #[test]
    fn partial_batches_count_when_kept() {
        let rates = rates(50_000, &json!({"epochs": 1, "drop_last": false}));
        assert_eq!(rates.timeline().total_steps(), 391);
    }

    #[test]
    fn a_batch_above_the_training_set_has_no_step() {
        let spec = rates(50_000, &json!({"epochs": 1}));
        assert_eq!(spec.timeline().batch_size(0), 128);
        let tree = json!({
            "dataset": {"name": "cifar10"}, "model": {"name": "resnet_preact", "depth": 8},
            "batch_size": 2048, "epochs": 1, "optimizer": {"lr": 0.1},
        });
        let spec = JobSpec::from_value(&tree).unwrap();
        let error = Timeline::new(spec.training().unwrap(), 1347).unwrap_err();
        assert_eq!((error.batch_size, error.images), (2048, 1347));
    }

    #[test]
    fn a_budget_in_steps_cuts_the_last_epoch_off() {
        let rates = rates(1280, &json!({"steps": 25}));
        assert_eq!(rates.timeline().total_epochs(), 3);
        assert_eq!(rates.timeline().first_step(2), 20);
    }

    #[test]
    fn cosine_starts_full_and_would_end_at_its_floor() {
        let rates = rates(
            12_800,
            &json!({"epochs": 2, "schedule": {"name": "cosine", "min_lr": 0.01}}),
        );
        assert!(near(rates.at(0), 0.2));
        assert!(near(rates.at(100), 0.105));
        assert!(rates.at(199) > 0.01);
        assert!(near(rates.at(200), 0.01));
    }

    #[test]
    fn multistep_drops_exactly_at_its_epoch() {
        let schedule = json!({"name": "multistep", "milestones": [80, 120]});
        let rates = rates(50_000, &json!({"epochs": 160, "schedule": schedule}));
        assert!(near(rates.at(80 * 390 - 1), 0.2));
        assert!(near(rates.at(80 * 390), 0.02));
        assert!(near(rates.at(120 * 390 - 1), 0.02));
        assert!(near(rates.at(120 * 390), 0.002));
    }

    #[test]
    fn milestones_ignore_the_warmup() {
        let rates = rates(
            1280,
            &json!({
                "epochs": 10,
                "schedule": {"name": "multistep", "milestones": [6]},
                "warmup": {"name": "linear", "epochs": 2, "start_factor": 0.1},
            }),
        );
        assert!(near(rates.at(0), 0.02));
        assert!(near(rates.at(10), 0.11));
        assert!(near(rates.at(20), 0.2));
        assert!(near(rates.at(59), 0.2));
        assert!(near(rates.at(60), 0.02));
    }

    #[test]
    fn exponential_warmup_is_geometric() {
        let rates = rates(
            1280,
            &json!({
                "epochs": 10,
                "warmup": {"name": "exponential", "steps": 3, "start_factor": 0.001},
            }),
        );
        for step in 0..3 {
            assert!((rates.at(step + 1) / rates.at(step) - 10.0).abs() < 1e-9);
        }
        assert!(near(rates.at(3), 0.2));
    }

    #[test]
    fn sgdr_restarts_at_full_rate() {
        let schedule = json!({"name": "sgdr", "t0": 1, "t_mult": 2});
        let rates = rates(1280, &json!({"epochs": 7, "schedule": schedule}));
        for restart in [0, 10, 30] {
            assert!(near(rates.at(restart), 0.2), "{restart}");
        }
        assert!(near(rates.at(20), 0.1));
        assert!(rates.at(29) < 0.01);
    }

    #[test]
    fn a_batch_schedule_moves_the_epochs() {
        let batches = json!([{"epoch": 2, "batch_size": 256}, {"epoch": 4, "batch_size": 640}]);
        let rates = rates(1280, &json!({"epochs": 6, "batch_schedule": batches}));
        let timeline = rates.timeline();
        assert_eq!(timeline.total_steps(), 10 + 10 + 5 + 5 + 2 + 2);
        assert_eq!(timeline.batch_size(3), 256);
        assert_eq!(timeline.epoch(29), 3);
        assert_eq!(timeline.epoch(30), 4);
        assert!(near(timeline.position(31), 4.5));
    }

    fn schedules() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!({"name": "constant"})),
            (0.0..0.2).prop_map(|min| json!({"name": "cosine", "min_lr": min})),
            (0.0..0.2).prop_map(|min| json!({"name": "linear", "min_lr": min})),
            (0.0..0.2, 0.5..4.0).prop_map(
                |(min, power)| json!({"name": "polynomial", "min_lr": min, "power": power})
            ),
            (1..5, 1..3).prop_map(|(t0, mult)| json!({"name": "sgdr", "t0": t0, "t_mult": mult})),
        ]
    }

    fn warmups() -> impl Strategy<Value = Value> {
        let name = prop_oneof![Just("linear"), Just("exponential"), Just("constant")];
        (name, 1_u64..200, 1e-4..1.0).prop_map(
            |(name, steps, start)| json!({"name": name, "steps": steps, "start_factor": start}),
        )
    }

    proptest! {
        #[test]
        fn rates_stay_within_floor_and_base(
            schedule in schedules(), warmup in warmups(), epochs in 1_u64..40,
        ) {
            let floor = schedule["min_lr"].as_f64().unwrap_or(0.0);
            let start = 0.2 * warmup["start_factor"].as_f64().unwrap();
            let rates = rates(
                1280,
                &json!({"epochs": epochs, "schedule": schedule, "warmup": warmup}),
            );
            for step in 0..rates.timeline().total_steps() {
                let rate = rates.at(step);
                prop_assert!(rate <= 0.2 * (1.0 + 1e-12));
                prop_assert!(rate >= floor.min(start) * (1.0 - 1e-12), "{rate} at {step}");
            }
        }

        #[test]
        fn the_first_step_after_the_warmup_has_the_full_rate(
            schedule in schedules(), warmup in warmups(),
        ) {
            let rates = rates(
                1280,
                &json!({"epochs": 30, "schedule": schedule, "warmup": warmup}),
            );
            prop_assert!(near(rates.at(rates.warmup_steps()), 0.2));
        }

        #[test]
        fn no_schedule_without_restarts_jumps(schedule in schedules(), epochs in 10_u64..40) {
            prop_assume!(schedule["name"] != "sgdr");
            let rates = rates(1280, &json!({"epochs": epochs, "schedule": schedule}));
            let total = rates.timeline().total_steps();
            // The steepest: (1 - t/T)^0.5 falls by sqrt(1/T) in its last step.
            let limit = 0.2 * 4.0_f64.max((total as f64).sqrt()) / total as f64 + 1e-12;
            for step in 0..total {
                let (now, next) = (rates.at(step), rates.at(step + 1));
                prop_assert!(next <= now + 1e-15 && now - next <= limit, "{now} {next}");
            }
        }

        #[test]
        fn milestones_are_exact(first in 1_u64..30, gap in 1_u64..30, images in 128_u64..5000) {
            let milestones = json!([first, first + gap]);
            let rates = rates(
                images,
                &json!({"epochs": 60, "schedule": {"name": "multistep", "milestones": milestones}}),
            );
            for (milestone, before, after) in [(first, 0.2, 0.02), (first + gap, 0.02, 0.002)] {
                let step = rates.timeline().first_step(milestone);
                prop_assert!(near(rates.at(step - 1), before));
                prop_assert!(near(rates.at(step), after));
            }
        }

        #[test]
        fn fractions_of_the_budget_are_milestones_too(tenths in 1_u64..10, epochs in 1_u64..50) {
            let share = tenths as f64 / 10.0;
            let rates = rates(
                1280,
                &json!({"epochs": epochs, "schedule": {"name": "multistep", "milestones": [share]}}),
            );
            let step = epochs * tenths;
            prop_assert!(near(rates.at(step - 1), 0.2));
            prop_assert!(near(rates.at(step), 0.02));
        }

        #[test]
        fn epochs_and_steps_agree(step in 0_u64..100_000, images in 128_u64..60_000) {
            let rates = rates(images, &json!({"epochs": 1}));
            let timeline = rates.timeline();
            let epoch = timeline.epoch(step);
            prop_assert!(timeline.first_step(epoch) <= step);
            prop_assert!(step < timeline.first_step(epoch + 1));
        }
    }
}
