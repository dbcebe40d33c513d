//! From one point of a block to the spec of its cell.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use swath_model::limits::SPEC_BYTES_MAX;
use swath_model::spec::keys::{self, Kind};
use swath_model::spec::{JobSpec, SpecError, canonical, check_size, lookup, set, too_long, weight};
use swath_model::text::quoted;

use super::error::FileError;
use super::expression::{EvaluationError, NoValue, Quantity};
use super::file::SweepFile;
use super::grid::{Block, Choice};
use super::program::check_names;
use super::settings::{ALTERNATIVES, Assigned, Formula};

/// A block, prepared so that each cell is cheap.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    file: &'a SweepFile,
    pub(super) block: &'a Block,
    /// Every literal that no axis of the block replaces.
    base: Value,
    /// Every expression of `[fixed]` that no axis of the block replaces.
    formulas: Vec<(&'a str, &'a Formula)>,
    /// Options of the base that only some values of an axis over the table's
    /// name take, like `schedule.milestones` where `schedule.name` varies.
    conditional: Vec<Conditional>,
}

#[derive(Clone, Debug)]
struct Conditional {
    path: &'static str,
    table: &'static str,
    leaf: &'static str,
    name: String,
    under: &'static [&'static str],
}

/// What a point of a block turns out to be.
pub(super) enum Point {
    Excluded,
    Wrong(Vec<FileError>),
    Cell { tree: Value, spec: Box<JobSpec> },
}

impl<'a> Plan<'a> {
    pub(super) fn new(file: &'a SweepFile, block: &'a Block) -> Self {
        let mut plan = Self {
            file,
            block,
            base: json!({}),
            formulas: Vec::new(),
            conditional: Vec::new(),
        };
        let axes: BTreeSet<&str> = block.paths().collect();
        let axis = |path: &str| axes.contains(path);
        for (path, setting) in &file.settings {
            // An axis over one kind of budget replaces a recipe's budget of the
            // other kind; a budget of the other kind in `[fixed]` of the same
            // file is a contradiction.
            let replaced = setting.layer < file.fixed_layer
                && ALTERNATIVES
                    .iter()
                    .any(|(one, other)| one == path && axis(other));
            if axis(path) || replaced {
                continue;
            }
            if let Some(conditional) = Conditional::of(path) {
                if axis(&conditional.name) {
                    plan.conditional.push(conditional);
                } else if plan.overruled(&conditional, setting.layer) {
                    continue;
                }
            }
            match &setting.value {
                Assigned::Literal(value) => set(&mut plan.base, path, value.clone()),
                Assigned::Formula(formula) => plan.formulas.push((path, formula)),
            }
        }
        plan
    }

    /// Whether a later layer chose a name that does not take this option.
    fn overruled(&self, option: &Conditional, layer: usize) -> bool {
        let Some(name) = self.file.settings.get(&option.name) else {
            return false;
        };
        match &name.value {
            Assigned::Literal(Value::String(text)) => {
                name.layer > layer && !option.under.contains(&text.as_str())
            }
            _ => false,
        }
    }

    /// Refuses what no point makes smaller, before any is built.
    pub(super) fn check_size(&self) -> Result<(), Vec<FileError>> {
        let wrong = match check_size(&self.base) {
            Ok(()) if weight(&self.base) > SPEC_BYTES_MAX => {
                too_long(&self.base, &canonical(&self.base))
            }
            checked => checked.err(),
        };
        let placed = wrong.map(|error| self.placed(error.key, error.message, &[]));
        placed.map_or(Ok(()), |error| Err(vec![error]))
    }

    /// About how many bytes a point takes in memory at most.
    pub(super) fn weight(&self) -> usize {
        let of_choice = |choice: &Choice| match &choice.value {
            Assigned::Literal(value) => weight(value),
            Assigned::Formula(_) => 0,
        };
        let of_row = |row: &Vec<Choice>| row.iter().map(of_choice).sum::<usize>();
        let axes = self.block.axes.iter();
        let axes = axes.map(|axis| axis.rows.iter().map(of_row).max().unwrap_or(0));
        weight(&self.base) + axes.sum::<usize>()
    }

    /// The choices that make up point `index`; the first axis varies slowest.
    fn choices(&self, index: u64) -> Vec<(&'a str, &'a Choice)> {
        let mut rest = index as usize;
        let mut rows = Vec::with_capacity(self.block.axes.len());
        for axis in self.block.axes.iter().rev() {
            rows.push((axis, &axis.rows[rest % axis.rows.len()]));
            rest /= axis.rows.len();
        }
        let rows = rows.into_iter().rev();
        rows.flat_map(|(axis, row)| axis.paths.iter().map(String::as_str).zip(row))
            .collect()
    }

    /// Builds point `index` of the block.
    pub(super) fn point(&self, index: u64) -> Point {
        let choices = self.choices(index);
        let mut scope = Scope {
            tree: self.base.clone(),
            pending: Vec::new(),
            places: BTreeMap::new(),
            faults: Vec::new(),
            defaults: Defaults::NotNeeded,
            keeps_kinds: self.file.program.is_some(),
        };
        let formulas = self.formulas.iter().copied();
        scope
            .pending
            .extend(formulas.map(|(path, formula)| Pending::new(path, formula)));
        for (path, choice) in &choices {
            match &choice.value {
                Assigned::Literal(value) => set(&mut scope.tree, path, value.clone()),
                Assigned::Formula(formula) => scope.pending.push(Pending::new(path, formula)),
            }
        }
        for option in &self.conditional {
            scope.drop_unless_taken(option);
        }
        scope.settle();
        for exclude in &self.block.excludes {
            if scope.excludes(exclude) {
                return Point::Excluded;
            }
        }
        if !scope.faults.is_empty() {
            return Point::Wrong(scope.faults);
        }
        match JobSpec::from_value(&scope.tree) {
            Ok(spec) => match check_names(&spec, &self.file.launch) {
                None => Point::Cell {
                    tree: scope.tree,
                    spec: Box::new(spec),
                },
                Some(message) => Point::Wrong(vec![self.placed(
                    "trainer.command".to_owned(),
                    message,
                    &choices,
                )]),
            },
            Err(errors) => {
                let placed = errors
                    .into_iter()
                    .map(|error| self.placed(error.key, error.message, &choices));
                Point::Wrong(placed.collect())
            }
        }
    }

    /// An error of a point's spec.
    pub(super) fn wrong(&self, index: u64, error: SpecError) -> FileError {
        self.placed(error.key, error.message, &self.choices(index))
    }

    /// An error of the spec, placed where its key was set.
    fn placed(&self, key: String, message: String, choices: &[(&str, &Choice)]) -> FileError {
        let about = |path: &str| {
            path == key
                || path
                    .strip_prefix(&key)
                    .is_some_and(|rest| rest.starts_with('.'))
        };
        let place = choices
            .iter()
            .find(|(path, _)| about(path))
            .map(|(_, choice)| &choice.place)
            .or_else(|| {
                let mut settings = self.file.settings.iter();
                let (_, setting) = settings.find(|(path, _)| about(path))?;
                Some(&setting.place)
            })
            .unwrap_or(&self.file.place);
        // The error names the key as the file does.
        let own = key
            .strip_prefix("trainer.")
            .filter(|_| self.file.program.is_some());
        let key = own.map(|own| format!("program.{own}")).unwrap_or(key);
        place.error(key, message)
    }

    /// The axes of point `index` for a message: `epochs = 5, batch_size = 32`.
    pub(super) fn describe(&self, index: u64) -> String {
        let choices = self.choices(index);
        let shown = choices.iter().map(|(path, choice)| match &choice.value {
            Assigned::Literal(value) => format!("{path} = {value}"),
            Assigned::Formula(formula) => format!("{path} = \"{}\"", formula.expression.text()),
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

impl Conditional {
    fn of(path: &str) -> Option<Self> {
        let key = keys::find(path).filter(|key| !key.under.is_empty())?;
        let (table, leaf) = key.path.split_once('.')?;
        Some(Self {
            path: key.path,
            table,
            leaf,
            name: format!("{table}.name"),
            under: key.under,
        })
    }
}

/// The options of `[fixed]` that no value of an axis over their table's name
/// accepts: they would be dropped from every cell.
pub(super) fn unused(file: &SweepFile) -> Vec<FileError> {
    let mut errors = Vec::new();
    let settings = file
        .settings
        .iter()
        .filter(|(_, set)| set.layer == file.fixed_layer);
    for (path, setting) in settings {
        let Some(option) = Conditional::of(path) else {
            continue;
        };
        if matches!(&setting.value, Assigned::Literal(value) if keys::denies_nesterov(path, value))
        {
            continue;
        }
        let taken = |block: &Block| match block
            .axes
            .iter()
            .find_map(|axis| Some((axis, axis.paths.iter().position(|p| *p == option.name)?)))
        {
            None => true,
            Some((axis, column)) => axis.rows.iter().any(|row| match &row[column].value {
                Assigned::Literal(name) => name
                    .as_str()
                    .is_some_and(|name| option.under.contains(&name)),
                Assigned::Formula(_) => true,
            }),
        };
        if !file.blocks.iter().any(taken) {
            let under = option.under.join(", ");
            let message = format!(
                "no value of `{}` in this sweep takes it; it is an option of: {under}",
                option.name
            );
            errors.push(setting.place.error(path, message));
        }
    }
    errors
}

/// One cell while its expressions are evaluated.
struct Scope<'a> {
    tree: Value,
    pending: Vec<Pending<'a>>,
    /// The place of each path among `pending`.
    places: BTreeMap<&'a str, usize>,
    faults: Vec<FileError>,
    defaults: Defaults,
    /// Whether `1.0` is another value than 1.
    keeps_kinds: bool,
}

/// The spec with its defaults, made when an expression first asks for one.
enum Defaults {
    NotNeeded,
    Of(Box<JobSpec>),
    /// There are none: the rest of the cell is wrong, or for a program.
    None,
}

#[derive(Clone, Copy)]
struct Pending<'a> {
    path: &'a str,
    formula: &'a Formula,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Evaluating,
    Known,
    Failed,
}

impl<'a> Pending<'a> {
    fn new(path: &'a str, formula: &'a Formula) -> Self {
        Self {
            path,
            formula,
            state: State::Waiting,
        }
    }
}

/// So many expressions of a circle are named.
const CYCLE_TOLD: usize = 8;

impl Scope<'_> {
    fn drop_unless_taken(&mut self, option: &Conditional) {
        let name = lookup(&self.tree, &option.name).and_then(Value::as_str);
        if name.is_none_or(|name| option.under.contains(&name)) {
            return;
        }
        self.pending.retain(|pending| pending.path != option.path);
        if let Some(Value::Object(entries)) = self.tree.get_mut(option.table) {
            entries.remove(option.leaf);
        }
    }

    /// Evaluates every expression, each after those that it reads. Then come those
    /// that depend on themselves, or seem to.
    fn settle(&mut self) {
        let pending = self.pending.iter().enumerate();
        self.places = pending.map(|(at, it)| (it.path, at)).collect();
        for at in self.in_order() {
            let waits = |read: usize| self.pending[read].state == State::Waiting;
            if !self.reads(at).any(waits) {
                self.force(at);
            }
        }
        for at in 0..self.pending.len() {
            self.force(at);
        }
    }

    /// Which expressions one reads.
    fn reads(&self, at: usize) -> impl Iterator<Item = usize> {
        let names = self.pending[at].formula.expression.names();
        names.filter_map(|(name, _)| self.places.get(name).copied())
    }

    /// Every expression, after those that it reads as far as that is possible.
    fn in_order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.pending.len());
        let mut seen = vec![false; self.pending.len()];
        // With each: whether those that it reads were looked at.
        let all = (0..self.pending.len()).rev();
        let mut waiting: Vec<(usize, bool)> = all.map(|at| (at, false)).collect();
        while let Some((at, is_read)) = waiting.pop() {
            if is_read {
                order.push(at);
            } else if !std::mem::replace(&mut seen[at], true) {
                waiting.push((at, true));
                waiting.extend(self.reads(at).filter(|it| !seen[*it]).map(|it| (it, false)));
            }
        }
        order
    }

    fn excludes(&mut self, condition: &Formula) -> bool {
        let expression = &condition.expression;
        match expression.evaluate(&mut |name| self.quantity(name)) {
            Ok(Quantity::Truth(truth)) => truth,
            Ok(other) => {
                let text = quoted(expression.text());
                let message = format!("{text} must be true or false, not {other}");
                self.faults
                    .push(condition.place(0).error("exclude", message));
                false
            }
            Err(error) => {
                self.report("exclude", condition, error);
                false
            }
        }
    }

    fn report(&mut self, key: &str, formula: &Formula, error: EvaluationError) {
        let EvaluationError::Here(error) = error else {
            return;
        };
        let text = quoted(formula.expression.text());
        let message = format!("in {text}: {}", error.message);
        self.faults
            .push(formula.place(error.offset).error(key, message));
    }

    /// Evaluates the expression of a key, unless that was done before, and those
    /// that it turns out to read. A chain of them may be long, so it is kept in a
    /// list and not on the stack of the thread.
    fn force(&mut self, index: usize) {
        let mut open = vec![index];
        while let Some(&at) = open.last() {
            if matches!(self.pending[at].state, State::Waiting | State::Evaluating) {
                self.pending[at].state = State::Evaluating;
                match self.evaluate(at) {
                    Ok(state) => self.pending[at].state = state,
                    Err(read) if self.pending[read].state == State::Waiting => {
                        open.push(read);
                        continue;
                    }
                    Err(read) => {
                        self.report_cycle(read, &open);
                        self.pending[at].state = State::Failed;
                    }
                }
            }
            open.pop();
        }
    }

    /// Reports an expression that is read while it is evaluated: the first of the
    /// `open` ones that lead back to it.
    fn report_cycle(&mut self, read: usize, open: &[usize]) {
        let Pending { path, formula, .. } = self.pending[read];
        let from = open.iter().position(|at| *at == read).unwrap_or(0);
        let names = open[from..].iter().map(|at| self.pending[*at].path);
        let mut names: Vec<_> = names.take(CYCLE_TOLD + 1).collect();
        if names.len() > CYCLE_TOLD {
            names.truncate(CYCLE_TOLD);
            names.push("…");
        }
        names.push(path);
        let message = format!("depends on itself: {}", names.join(" -> "));
        self.faults.push(formula.place(0).error(path, message));
    }

    /// Evaluates one expression; an error names another that has to be evaluated
    /// first.
    fn evaluate(&mut self, at: usize) -> Result<State, usize> {
        let Pending { path, formula, .. } = self.pending[at];
        let mut from_float = false;
        let mut first = None;
        let evaluated = formula.expression.evaluate(&mut |name| {
            if let Some(read) = self.places.get(name).copied()
                && matches!(self.pending[read].state, State::Waiting | State::Evaluating)
            {
                first = Some(read);
                return Err(NoValue::Failed);
            }
            let quantity = self.quantity(name)?;
            from_float |= lookup(&self.tree, name).is_some_and(Value::is_f64);
            Ok(quantity)
        });
        if let Some(read) = first {
            return Err(read);
        }
        Ok(match evaluated {
            Ok(quantity) => {
                let mut value = quantity.into_value();
                // What is computed from numbers with a point has one.
                if self.keeps_kinds && from_float && value.is_i64() {
                    value = value.as_f64().map_or(value, Value::from);
                }
                self.assign(path, formula, value)
            }
            Err(error) => {
                self.report(path, formula, error);
                State::Failed
            }
        })
    }

    fn assign(&mut self, path: &str, formula: &Formula, value: Value) -> State {
        let kind = keys::find(path).map_or(Kind::Free, |key| key.kind);
        match keys::check_value(kind, &value) {
            Ok(()) => {
                set(&mut self.tree, path, value);
                State::Known
            }
            Err(message) => {
                let message = format!("{} {message}", quoted(formula.expression.text()));
                self.faults.push(formula.place(0).error(path, message));
                State::Failed
            }
        }
    }

    /// The value of a parameter for an expression; those that it reads were
    /// evaluated.
    fn quantity(&mut self, path: &str) -> Result<Quantity, NoValue> {
        let place = self.places.get(path);
        if place.is_some_and(|at| self.pending[*at].state == State::Failed) {
            return Err(NoValue::Failed);
        }
        if lookup(&self.tree, path).is_none() && matches!(self.defaults, Defaults::NotNeeded) {
            self.defaults = self
                .with_defaults()
                .map_or(Defaults::None, |spec| Defaults::Of(Box::new(spec)));
        }
        let value = lookup(&self.tree, path).or_else(|| match &self.defaults {
            Defaults::Of(spec) => spec.get(path),
            Defaults::NotNeeded | Defaults::None => None,
        });
        let Some(value) = value else {
            let message =
                format!("`{path}` has no value here; set it in the recipe, [fixed] or an axis");
            return Err(NoValue::Missing(message));
        };
        Quantity::from_value(value).ok_or_else(|| {
            let what = keys::describe(value);
            NoValue::Missing(format!("`{path}` is {what}, which no expression reads"))
        })
    }

    /// The spec as far as it is known. Defaults depend only on names, so what
    /// is not known yet may be any value of its kind.
    fn with_defaults(&self) -> Option<JobSpec> {
        let mut tree = self.tree.clone();
        for pending in &self.pending {
            if pending.state != State::Known {
                set(&mut tree, pending.path, placeholder(pending.path));
            }
        }
        JobSpec::from_value(&tree).ok()
    }
}

fn placeholder(path: &str) -> Value {
    match keys::find(path).map(|key| key.kind) {
        Some(Kind::Int(min, _)) => Value::from(min.max(1)),
        Some(Kind::Float(min, max)) => Value::from(0.5_f64.clamp(min, max)),
        Some(Kind::Word([first, ..])) => Value::from(*first),
        Some(Kind::Text) => Value::from(""),
        _ => Value::from(false),
    }
}
