//! The line search of Moré & Thuente (*Line search algorithms with guaranteed
//! sufficient decrease*, ACM TOMS 20, 1994), as L-BFGS-B uses it: no step
//! beyond a limit.

/// Least decrease, as a share of what the slope at the start promises.
const DECREASE: f64 = 1e-3;
/// Largest slope at the end, as a share of that at the start.
const SLOPE: f64 = 0.9;
/// Smallest bracket, as a share of its upper end.
const NARROW: f64 = 0.1;
/// A bracket must shrink to this in two trials, else it is halved.
const SHRINK: f64 = 0.66;

/// Value and slope at a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    /// The step length.
    pub(super) step: f64,
    /// The function there.
    pub(super) value: f64,
    /// Its derivative by the step length.
    pub(super) slope: f64,
}

/// What to do after a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    /// Try this step.
    Try(f64),
    /// The last trial satisfies the strong Wolfe conditions, or is the limit
    /// and decreases enough.
    Done,
    /// No better step can be told apart.
    Stuck,
}

/// A search under way.
pub(super) struct Search {
    start: Trial,
    limit: f64,
    /// The best trial, and the other end of the bracket.
    best: Trial,
    other: Trial,
    bracketed: bool,
    /// Whether no trial has yet had enough decrease and a rising slope.
    first_stage: bool,
    width: f64,
    width_before: f64,
    /// Where the next trial must lie.
    bounds: (f64, f64),
}

impl Search {
    /// A search from value and (negative) slope at 0 whose first trial is
    /// `step`, with steps in 0..=`limit`.
    pub(super) fn new(value: f64, slope: f64, step: f64, limit: f64) -> Self {
        let start = Trial {
            step: 0.0,
            value,
            slope,
        };
        Self {
            start,
            limit,
            best: start,
            other: start,
            bracketed: false,
            first_stage: true,
            width: limit,
            width_before: 2.0 * limit,
            bounds: (0.0, 5.0 * step),
        }
    }

    /// Whether a trial decreases enough (Armijo's condition).
    pub(super) fn decreases(&self, trial: Trial) -> bool {
        trial.value <= self.start.value + trial.step * DECREASE * self.start.slope
    }

    /// The step after one whose value was not finite: half way back, and
    /// never as far again.
    pub(super) fn refused(&mut self, step: f64) -> Next {
        self.limit = f64::midpoint(self.best.step, step);
        if self.limit > self.best.step {
            Next::Try(self.limit)
        } else {
            Next::Stuck
        }
    }

    /// The step after `trial`.
    pub(super) fn next(&mut self, trial: Trial) -> Next {
        let enough = self.decreases(trial);
        let promised = DECREASE * self.start.slope;
        if self.first_stage && enough && trial.slope >= 0.0 {
            self.first_stage = false;
        }
        if enough && trial.slope.abs() <= SLOPE * -self.start.slope {
            return Next::Done;
        }
        if trial.step >= self.limit && enough && trial.slope <= promised {
            return Next::Done;
        }
        let (least, most) = self.bounds;
        let inside = trial.step > least && trial.step < most;
        if self.bracketed && (!inside || most - least <= NARROW * most) {
            return Next::Stuck;
        }
        // While decrease is wanting, the search runs on the function less the
        // decrease that is asked for (section 3 of the paper).
        let tilt = if self.first_stage && trial.value <= self.best.value && !enough {
            promised
        } else {
            0.0
        };
        let step = self.narrow(tilt, trial);
        Next::Try(self.guarded(step))
    }

    /// Takes a trial into the bracket and gives the next step, on the function
    /// less `tilt` times the step.
    fn narrow(&mut self, tilt: f64, trial: Trial) -> f64 {
        let tilted = |trial: Trial, by: f64| Trial {
            step: trial.step,
            value: trial.value - by * trial.step,
            slope: trial.slope - by,
        };
        self.best = tilted(self.best, tilt);
        self.other = tilted(self.other, tilt);
        let step = self.bracket(tilted(trial, tilt));
        self.best = tilted(self.best, -tilt);
        self.other = tilted(self.other, -tilt);
        step
    }

    /// The four cases of section 4 of the paper.
    fn bracket(&mut self, trial: Trial) -> f64 {
        let best = self.best;
        let turned = trial.slope * best.slope.signum() < 0.0;
        let step = if trial.value > best.value {
            self.bracketed = true;
            let cubic = cubic(best, trial);
            let quadratic = quadratic(best, trial);
            if (cubic - best.step).abs() < (quadratic - best.step).abs() {
                cubic
            } else {
                f64::midpoint(cubic, quadratic)
            }
        } else if turned {
            self.bracketed = true;
            farther(trial.step, cubic(trial, best), secant(trial, best))
        } else if trial.slope.abs() < best.slope.abs() {
            self.flatter(trial)
        } else if self.bracketed {
            cubic(trial, self.other)
        } else {
            self.outwards(trial)
        };
        if trial.value > best.value {
            self.other = trial;
        } else {
            if turned {
                self.other = best;
            }
            self.best = trial;
        }
        step
    }

    /// The third case: lower, the same direction, a smaller slope.
    fn flatter(&self, trial: Trial) -> f64 {
        let secant = secant(trial, self.best);
        // The cubic may have no minimum beyond the trial.
        let cubic = beyond(self.best, trial).unwrap_or_else(|| self.outwards(trial));
        if self.bracketed {
            let step = if (trial.step - cubic).abs() < (trial.step - secant).abs() {
                cubic
            } else {
                secant
            };
            let most = trial.step + SHRINK * (self.other.step - trial.step);
            if trial.step > self.best.step {
                step.min(most)
            } else {
                step.max(most)
            }
        } else {
            let (least, most) = self.bounds;
            farther(trial.step, cubic, secant).clamp(least, most)
        }
    }

    fn outwards(&self, trial: Trial) -> f64 {
        if trial.step > self.best.step {
            self.bounds.1.min(self.limit)
        } else {
            self.bounds.0
        }
    }

    /// Keeps the next step in its bounds and the bracket shrinking.
    fn guarded(&mut self, step: f64) -> f64 {
        let (best, other) = (self.best.step, self.other.step);
        let mut step = step;
        if self.bracketed {
            if (other - best).abs() >= SHRINK * self.width_before {
                step = f64::midpoint(best, other);
            }
            self.width_before = self.width;
            self.width = (other - best).abs();
            self.bounds = (best.min(other), best.max(other));
        } else {
            self.bounds = (step + 1.1 * (step - best), step + 4.0 * (step - best));
        }
        step = step.clamp(0.0, self.limit);
        let (least, most) = self.bounds;
        let outside = step <= least || step >= most;
        if self.bracketed && (outside || most - least <= NARROW * most) {
            step = best;
        }
        step
    }
}

/// The one of two steps that is farther from `from`.
fn farther(from: f64, first: f64, second: f64) -> f64 {
    if (first - from).abs() > (second - from).abs() {
        first
    } else {
        second
    }
}

/// θ and γ of the cubic through two trials (formulas of Moré & Thuente's
/// reference code), scaled against overflow.
fn coefficients(a: Trial, b: Trial) -> (f64, f64) {
    let theta = 3.0 * (a.value - b.value) / (b.step - a.step) + a.slope + b.slope;
    let scale = theta.abs().max(a.slope.abs()).max(b.slope.abs());
    let inner = (theta / scale).powi(2) - (a.slope / scale) * (b.slope / scale);
    let gamma = scale * inner.max(0.0).sqrt();
    (theta, if b.step < a.step { -gamma } else { gamma })
}

/// Minimum of the cubic through values and slopes of two trials.
fn cubic(a: Trial, b: Trial) -> f64 {
    let (theta, gamma) = coefficients(a, b);
    let p = (gamma - a.slope) + theta;
    let q = ((gamma - a.slope) + gamma) + b.slope;
    a.step + p / q * (b.step - a.step)
}

/// The minimum of the cubic that lies beyond `trial`, seen from `best`.
fn beyond(best: Trial, trial: Trial) -> Option<f64> {
    let (theta, gamma) = coefficients(trial, best);
    let p = (gamma - trial.slope) + theta;
    let q = (gamma + (best.slope - trial.slope)) + gamma;
    let ratio = p / q;
    (ratio < 0.0 && gamma != 0.0).then_some(trial.step + ratio * (best.step - trial.step))
}

/// Minimum of the parabola through both values and the slope of `a`.
fn quadratic(a: Trial, b: Trial) -> f64 {
    let rise = (a.value - b.value) / (b.step - a.step) + a.slope;
    a.step + a.slope / rise / 2.0 * (b.step - a.step)
}

/// Zero of the line through both slopes.
fn secant(a: Trial, b: Trial) -> f64 {
    a.step + a.slope / (a.slope - b.slope) * (b.step - a.step)
}
