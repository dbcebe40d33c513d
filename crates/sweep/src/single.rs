//! A sweep file for one cell, written from its resolved spec.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use swath_model::id::InputDigest;
use swath_model::keep::Keep;
use swath_model::metrics::Goal;
use swath_model::needs::Needs;
use swath_model::program::Launch;
use swath_model::replication::{Bounds, UNTIL_RANKED};
use swath_model::spec::{canonical, cell_digest, keys, lookup, set};
use swath_model::text::compact;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, value};

use super::expand::expand_whole;
use super::expression::Expression;
use super::file::{Measure, NAME_MAX, SweepFile};

/// What the name of such a sweep ends with.
const SUFFIX: &str = "_best";

/// One cell of a sweep, with what the sweep says about it.
#[derive(Clone, Copy, Debug)]
pub struct Single<'a> {
    /// The name of the sweep that it comes from.
    pub name: &'a str,
    /// What a person should know of it, one comment per line.
    pub about: &'a str,
    /// How often it is trained.
    pub replicates: u32,
    /// How often at most, where results decide.
    pub replicates_max: Option<u32>,
    /// Which of a training's values counts.
    pub measure: Measure,
    /// Which values of the metric are better, where the sweep says so.
    pub goal: Option<Goal>,
    /// What its jobs need of the device and the host.
    pub needs: &'a Needs,
    /// How its program is started.
    pub launch: &'a Launch,
    /// Which directories of its program's attempts are kept.
    pub keep: Keep,
    /// The unit of its program's metric.
    pub unit: Option<&'a str>,
    /// Its spec, with every default filled in.
    pub spec: &'a Value,
    /// The axes of its sweep.
    pub axes: &'a [String],
}

impl Single<'_> {
    /// A sweep file that trains this cell and no other: the same jobs, if they
    /// are as many.
    ///
    /// # Errors
    ///
    /// When a file cannot say what the spec says: what was written is read again,
    /// and must make the same cell.
    pub fn file(&self) -> Result<String, String> {
        let text = self.text();
        let none = |_: &str| Err("no other file is needed".to_owned());
        let first = |errors: Vec<super::FileError>| {
            let first = errors.first().map(ToString::to_string);
            first.unwrap_or_default()
        };
        let mut file = SweepFile::parse("the file", &text, &none).map_err(first)?;
        // Who submits it finds these again, if nobody has changed them.
        let shipped = self.launch.shipped.clone().unwrap_or_default();
        let inputs = self.inputs();
        let executable = inputs.keys().filter(|path| shipped.is_executable(path));
        let executable = executable.cloned().collect();
        file.found(&inputs, &executable, self.launch.directory.clone());
        let mut whole = expand_whole(&file).map_err(first)?;
        // The file names the directory by its whole path, which is nowhere in the
        // copy that an attempt gets.
        if let Some(shipped) = &mut whole.launch.shipped {
            shipped.directory.clear();
        }
        let wanted = cell_digest(&canonical(self.spec));
        match &whole.cells[..] {
            [cell]
                if cell.digest == wanted
                    && whole.launch == self.as_launched()
                    && whole.keep == self.keep
                    && whole.unit.as_deref() == self.unit =>
            {
                Ok(text)
            }
            _ => Err(format!(
                "a sweep file cannot say all that cell {} is",
                wanted.short()
            )),
        }
    }

    fn text(&self) -> String {
        let mut document = DocumentMut::new();
        document.insert("sweep", Item::Table(self.sweep()));
        let mut fixed = self.spec.clone();
        if let Some(goal) = self.goal {
            set(&mut fixed, "trainer.goal", goal.to_string().into());
        }
        if let Some(trainer) = fixed.get_mut("trainer").and_then(Value::as_object_mut) {
            // They are found again where the file is submitted.
            trainer.remove("inputs");
        }
        if self.has_section() {
            let trainer = fixed.as_object_mut().and_then(|it| it.remove("trainer"));
            let program = self.program(&trainer.unwrap_or_default());
            document.insert("program", Item::Table(program));
        }
        let mut grid = Value::Object(Map::new());
        for axis in self.axes {
            move_leaf(&mut fixed, &mut grid, axis);
        }
        // A file has an axis at least.
        if grid.as_object().is_some_and(Map::is_empty)
            && let Some(path) = first_leaf(&fixed, "")
        {
            move_leaf(&mut fixed, &mut grid, &path);
        }
        if let Some(entries) = fixed.as_object_mut() {
            // Where every parameter is an axis, none is left.
            let is_left = |it: &Value| it.as_object().is_some_and(Map::is_empty);
            let was = |name: &str| self.spec.get(name).is_some_and(is_left);
            entries.retain(|name, value| !is_left(value) || was(name));
        }
        let mut table = Table::new();
        fill(&mut table, &fixed);
        if !table.is_empty() {
            document.insert("fixed", Item::Table(table));
        }
        let local = self.launch.local.keys();
        let local = local.filter_map(|name| Some((name.clone(), self.launch.local(name)?)));
        let local = Value::Object(local.collect());
        let mut table = Table::new();
        fill(&mut table, &local);
        if !table.is_empty() {
            document.insert("local", Item::Table(table));
        }
        let mut block = Table::new();
        fill(&mut block, &grid);
        let blocks: toml_edit::ArrayOfTables = [block].into_iter().collect();
        document.insert("grid", Item::ArrayOfTables(blocks));
        let mut text = String::new();
        for line in self.about.lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        text.push_str(&document.to_string());
        text
    }

    /// Whether its program has a section of its own, which says how it gets its
    /// parameters.
    fn has_section(&self) -> bool {
        lookup(self.spec, "trainer.arguments").is_some()
    }

    /// The files of its program, as they were where it was submitted.
    fn inputs(&self) -> BTreeMap<String, InputDigest> {
        let inputs = lookup(self.spec, "trainer.inputs").and_then(Value::as_object);
        let inputs = inputs.into_iter().flatten();
        inputs
            .filter_map(|(path, digest)| Some((path.clone(), digest.as_str()?.parse().ok()?)))
            .collect()
    }

    /// How a file says that it is started.
    fn as_launched(&self) -> Launch {
        let mut shipped = self.launch.shipped.clone();
        if let Some(shipped) = &mut shipped {
            shipped.directory.clear();
        }
        Launch {
            sweep: None,
            wants_epochs: false,
            shipped,
            ..self.launch.clone()
        }
    }

    /// The section of its program.
    fn program(&self, trainer: &Value) -> Table {
        let mut program = Table::new();
        for (name, said) in trainer.as_object().into_iter().flatten() {
            if let Some(said) = written(said) {
                program.insert(name, value(said));
            }
        }
        let inputs: Array = self.inputs().keys().map(|it| escaped(it)).collect();
        program.insert("inputs", value(inputs));
        if self.launch.shipped.is_some() {
            program.insert("ship", value(true));
        }
        if let Some(directory) = &self.launch.directory {
            program.insert("directory", value(directory));
        }
        let times = [
            ("timeout", self.launch.timeout_ms),
            ("silence", self.launch.silence_ms),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                program.insert(name, value(format!("{time}ms")));
            }
        }
        if !self.keep.is_default() {
            program.insert("keep", value(self.keep.name()));
        }
        if let Some(unit) = self.unit {
            program.insert("unit", value(unit));
        }
        program
    }

    fn sweep(&self) -> Table {
        let mut sweep = Table::new();
        let mut name = self.name.to_owned();
        // Names are ASCII.
        name.truncate(NAME_MAX - SUFFIX.len());
        name.push_str(SUFFIX);
        sweep.insert("name", value(name));
        let min = self.replicates;
        match self.replicates_max.map(|max| Bounds { min, max }) {
            None => sweep.insert("replicates", value(i64::from(min))),
            Some(Bounds { min, max }) => {
                let mut bounds = InlineTable::new();
                bounds.insert("min", i64::from(min).into());
                bounds.insert("max", i64::from(max).into());
                bounds.insert("until", UNTIL_RANKED.into());
                sweep.insert("replicates", value(bounds))
            }
        };
        match self.measure {
            Measure::Last => None,
            Measure::Best => sweep.insert("measure", value("best")),
            Measure::MedianOfLast(count) => {
                let mut measure = InlineTable::new();
                measure.insert("median_of_last", i64::from(count).into());
                sweep.insert("measure", value(measure))
            }
        };
        let needs = needs(self.needs);
        if !needs.is_empty() {
            sweep.insert("needs", value(needs));
        }
        sweep
    }
}

/// Moves a value from one tree to the other, as the only value of an axis.
fn move_leaf(from: &mut Value, to: &mut Value, path: &str) {
    let (table, name) = match path.rsplit_once('.') {
        Some((table, name)) => {
            let mut parts = table.split('.');
            (parts.try_fold(from, |at, part| at.get_mut(part)), name)
        }
        None => (Some(from), path),
    };
    let leaf = table.and_then(|it| it.as_object_mut()?.remove(name));
    if let Some(leaf) = leaf.filter(|it| !it.is_null()) {
        let leaf = match leaf {
            Value::String(text) if is_read(&text) => quoted(&text).into(),
            leaf => leaf,
        };
        set(to, path, Value::Array(vec![leaf]));
    }
}

/// The path of the first value that may be an axis.
fn first_leaf(tree: &Value, prefix: &str) -> Option<String> {
    tree.as_object()?.iter().find_map(|(name, value)| {
        let path = match prefix {
            "" => name.clone(),
            prefix => format!("{prefix}.{name}"),
        };
        match value {
            Value::Object(_) if is_open(&path) => first_leaf(value, &path),
            _ => Some(path),
        }
    })
}

/// Whether the values under this path are keys of their own.
fn is_open(path: &str) -> bool {
    keys::is_table(path) || path == "params" || path.starts_with("params.")
}

/// Whether a file would read a text as an expression.
fn is_read(text: &str) -> bool {
    text.trim_start().starts_with('=') || Expression::parse(text).is_ok_and(|it| it.computes())
}

/// An expression for a text.
fn quoted(text: &str) -> String {
    format!("= '{text}'")
}

/// A path as a pattern that matches it alone.
fn escaped(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for char in path.chars() {
        if "*?[]".contains(char) {
            pattern.extend(['[', char, ']']);
        } else {
            pattern.push(char);
        }
    }
    pattern
}

/// Writes a tree under a heading, with dotted keys.
fn fill(table: &mut Table, tree: &Value) {
    for (name, value) in tree.as_object().into_iter().flatten() {
        let item = match value {
            Value::String(text) if is_read(text) => Item::Value(quoted(text).into()),
            Value::Object(entries) if !entries.is_empty() => {
                let mut inner = Table::new();
                inner.set_dotted(true);
                fill(&mut inner, value);
                Item::Table(inner)
            }
            other => match written(other) {
                Some(written) => Item::Value(written),
                None => continue,
            },
        };
        table.insert(name, item);
    }
}

/// A value as a file writes it; none for null, which says that there is none.
fn written(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => float(number.as_f64()?),
        },
        Value::String(text) => text.into(),
        Value::Array(items) => items.iter().filter_map(written).collect::<Array>().into(),
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries = entries.filter_map(|(name, value)| Some((name, written(value)?)));
            entries.collect::<InlineTable>().into()
        }
    })
}

/// A number in its short form, which stays a float: `1.0`, `1e-4`.
fn float(number: f64) -> toml_edit::Value {
    let mut text = compact(number);
    if !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text.parse().unwrap_or_else(|_| number.into())
}

fn needs(needs: &Needs) -> InlineTable {
    let mut table = InlineTable::new();
    match needs.device {
        Some(swath_model::device::DeviceKind::Cpu) => table.insert("cpu", true.into()),
        Some(swath_model::device::DeviceKind::Cuda) => {
            table.insert("cuda", (needs.count() as i64).into())
        }
        None => None,
    };
    if let Some(bytes) = needs.memory_bytes {
        table.insert("memory", format!("{bytes}B").into());
    }
    if let Some(cpus) = needs.cpus {
        table.insert("cpus", i64::from(cpus).into());
    }
    table
}
