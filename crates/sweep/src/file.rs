//! The sweep file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use swath_model::id::InputDigest;
use swath_model::keep::Keep;
use swath_model::limits::{LAST_EPOCHS_MAX, REFERENCE_BYTES_MAX, TITLE_BYTES_MAX};
use swath_model::needs::Needs;
use swath_model::program::Launch;
use swath_model::replication::Bounds;
use swath_model::spec::keys;

use super::error::{Errors, FileError, Place};
use super::grid::{self, Block};
use super::layout::Layout;
use super::naming::LABEL;
use super::needs;
use super::program::{self, Program};
use super::recipe::{Read, Recipes};
use super::replicates;
use super::section::{Section, unknown};
use super::settings::{Assigned, Bare, Settings, lay};
use super::source::{self, Entry, Node, Shape};

/// The longest name of a sweep, in bytes.
pub const NAME_MAX: usize = 64;

/// A sweep file, read and checked key by key. What depends on the cell is
/// checked by [`super::expand`].
#[derive(Clone, Debug)]
pub struct SweepFile {
    /// The file, as the user named it.
    pub path: String,
    /// The name, `[a-z0-9_-]{1,64}`.
    pub name: String,
    /// The title for people; the name when the file has none.
    pub title: String,
    /// How often each cell is trained; at first, where there is a `replicates_max`.
    pub replicates: u32,
    /// How often each cell is trained at most, where results decide: see
    /// [`swath_model::replication`].
    pub replicates_max: Option<u32>,
    /// Which of a training's test errors counts.
    pub measure: Measure,
    /// What jobs need of the device and the host on which they run. It takes
    /// no part in their names.
    pub needs: Needs,
    /// Where `[sweep]` says so, if it does.
    pub(super) needs_place: Option<Place>,
    /// How its program is started. It takes no part in their names either.
    pub launch: Launch,
    /// Which directories of its program's attempts are kept.
    pub keep: Keep,
    /// The unit of its program's metric, for people.
    pub unit: Option<String>,
    /// Its `[program]`.
    pub program: Option<Program>,
    /// How the table is laid out.
    pub layout: Layout,
    /// The values to compare with.
    pub reference: Option<Reference>,
    pub(super) settings: Settings,
    /// The layer of what `[fixed]` sets.
    pub(super) fixed_layer: usize,
    pub(super) blocks: Vec<Block>,
    /// Where errors are reported that no key caused.
    pub(super) place: Place,
}

/// Published values to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its path relative to the sweep file.
    pub file: String,
    /// The text of the file.
    pub text: String,
}

/// Which test error of a training counts; fixed before the training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The test error of the last epoch.
    #[default]
    Last,
    /// The least test error of all epochs: chosen on the test set, so too
    /// optimistic.
    Best,
    /// The median over the last so many epochs.
    MedianOfLast(u32),
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("last"),
            Self::Best => f.write_str("best"),
            Self::MedianOfLast(count) => write!(f, "median_of_last = {count}"),
        }
    }
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.split_once('=') {
            None if text == "last" => Some(Self::Last),
            None if text == "best" => Some(Self::Best),
            Some((word, count)) if word.trim() == "median_of_last" => {
                let count = count.trim().parse().ok();
                let count =
                    count.filter(|count| (1..=LAST_EPOCHS_MAX).contains(&(*count as usize)));
                count.map(Self::MedianOfLast)
            }
            _ => None,
        };
        parsed.ok_or_else(|| format!("{MEASURE}, not \"{text}\""))
    }
}

const MEASURE: &str = "must be \"last\", \"best\" or { median_of_last = k } with 1 <= k <= 1000";

impl SweepFile {
    /// The bounds between which results decide how often a cell is trained;
    /// none if they do not decide.
    pub fn bounds(&self) -> Option<Bounds> {
        let min = self.replicates;
        self.replicates_max.map(|max| Bounds { min, max })
    }

    /// The command lines of its programs, as they are written.
    pub fn commands(&self) -> Vec<Vec<String>> {
        program::commands(&self.settings, &self.blocks)
    }

    /// Takes in what was found where the file was submitted: the files that its
    /// program is made of, and the directory in which it is started.
    /// Those of the files that may be executed are `executable`.
    pub fn found(
        &mut self,
        inputs: &BTreeMap<String, InputDigest>,
        executable: &BTreeSet<String>,
        directory: Option<String>,
    ) {
        self.launch.directory = directory.filter(|_| self.program.is_some());
        let program = self.program.as_ref();
        self.launch.shipped = program.and_then(|it| it.shipped(inputs, executable));
        if !inputs.is_empty() {
            program::set_inputs(&mut self.settings, inputs, &self.place, self.fixed_layer);
        }
    }

    /// Reads a sweep file. `read` gives recipes and the reference by their
    /// paths relative to it.
    ///
    /// # Errors
    ///
    /// Every mistake that can be seen without expanding the grid.
    pub fn parse(path: &str, text: &str, read: &Read<'_>) -> Result<Self, Vec<FileError>> {
        let root = source::parse(path, text).map_err(|error| vec![error])?;
        let mut errors = Errors::default();
        let recipes = Recipes { file: path, read };
        let file = Parts::split(path, root, &mut errors).assemble(path, &recipes, &mut errors);
        match file {
            Some(file) if errors.is_empty() => Ok(file),
            _ => Err(errors.report(path)),
        }
    }
}

/// The names of the top-level tables.
const TABLES: [&str; 7] = [
    "sweep",
    "program",
    "fixed",
    "local",
    "grid",
    "table",
    "reference",
];

/// The top-level tables of the file.
#[derive(Default)]
struct Parts {
    sweep: Option<Entry>,
    program: Option<Entry>,
    local: Option<Entry>,
    fixed: Option<Entry>,
    grid: Option<Entry>,
    table: Option<Entry>,
    reference: Option<Entry>,
}

impl Parts {
    fn split(path: &str, root: Vec<Entry>, errors: &mut Errors) -> Self {
        let mut parts = Self::default();
        for entry in root {
            let part = match entry.name.as_str() {
                "sweep" => &mut parts.sweep,
                "program" => &mut parts.program,
                "local" => &mut parts.local,
                "fixed" => &mut parts.fixed,
                "grid" => &mut parts.grid,
                "table" => &mut parts.table,
                "reference" => &mut parts.reference,
                name => {
                    let message = if keys::find(name).is_some() || keys::is_table(name) {
                        "belongs under [fixed] or in a [[grid]]".to_owned()
                    } else {
                        unknown(name, &TABLES)
                    };
                    errors.push(entry.place.error(name, message));
                    continue;
                }
            };
            *part = Some(entry);
        }
        for (name, part) in [("sweep", &parts.sweep), ("grid", &parts.grid)] {
            if part.is_none() {
                let message = match name {
                    "grid" => "is missing; add a [[grid]] block with at least one axis",
                    _ => "is missing; a sweep file begins with [sweep] and its name",
                };
                errors.push(Place::whole(path).error(name, message));
            }
        }
        parts
    }

    fn assemble(self, path: &str, recipes: &Recipes<'_>, errors: &mut Errors) -> Option<SweepFile> {
        let sweep = self.sweep?;
        let known = ["name", "title", "recipe", "replicates", "measure", "needs"];
        let section = Section::open("sweep", &sweep.node, &known, errors);
        let bare = match &self.program {
            Some(_) => Bare::Params,
            None => Bare::Spec,
        };
        let (mut settings, layer) = base(&section, bare, self.fixed.as_ref(), recipes, errors);
        let program = self
            .program
            .map(|it| program::read(&it, layer, &mut settings, errors));
        let launch = launch(program.as_ref(), self.local.as_ref(), errors);
        let blocks = self
            .grid
            .map_or_else(Vec::new, |entry| grid::read(&entry.node, bare, errors));
        program::name_seeds(&mut settings, &blocks, &sweep.place, layer);
        program::check_params(&settings, &blocks, bare, errors);
        if program.as_ref().is_some_and(|it| it.is_template) && errors.is_empty() {
            program::check_handed_over(&settings, &blocks, errors);
        }
        let axes = axes(&blocks);
        let metric = metric(&settings);
        let params = program::params(&settings, &blocks);
        for labels in blocks.iter().filter_map(|block| block.labels.as_ref()) {
            labels.check_params(&params, errors);
        }
        let layout = match &self.table {
            Some(table) => {
                Layout::read(&table.node, &axes, &params, metric.as_deref(), bare, errors)
            }
            None => Layout::plain(axes, metric.as_deref().unwrap_or("test_error")),
        };
        let reference = self
            .reference
            .and_then(|entry| reference(&entry, recipes, errors));
        let name = name(&section, errors)?;
        let seeds = program.as_ref().and_then(|it| it.seeds);
        let (replicates, replicates_max) = replicates::read(&section, seeds, errors);
        let own = program.as_ref().and_then(|it| it.needs.clone());
        Some(SweepFile {
            path: path.to_owned(),
            title: title(&section, errors).unwrap_or_else(|| name.clone()),
            name,
            replicates,
            replicates_max,
            measure: measure(&section, errors),
            needs: needs(&section, own, errors),
            needs_place: section.get("needs").map(|node| node.place.clone()),
            launch,
            keep: program.as_ref().map(|it| it.keep).unwrap_or_default(),
            unit: program.as_ref().and_then(|it| it.unit.clone()),
            program: program.map(|it| it.program),
            layout,
            reference,
            settings,
            fixed_layer: layer,
            blocks,
            place: section
                .get("recipe")
                .map_or(sweep.place, |node| node.place.clone()),
        })
    }
}

/// What every cell has before its axes are set: the recipe, and over it `[fixed]`.
/// Returns the layer of that too.
fn base(
    section: &Section<'_>,
    bare: Bare,
    fixed: Option<&Entry>,
    recipes: &Recipes<'_>,
    errors: &mut Errors,
) -> (Settings, usize) {
    let mut settings = Settings::new();
    let layer = section
        .get("recipe")
        .map_or(0, |node| recipes.load(node, &mut settings, errors));
    if let (Some(node), Bare::Params) = (section.get("recipe"), bare) {
        let message = "is for the built-in trainer; give a program its parameters in [fixed]";
        errors.push(node.place.error("sweep.recipe", message));
    }
    if let Some(fixed) = fixed {
        lay_fixed(fixed, layer, bare, &mut settings, errors);
    }
    (settings, layer)
}

/// How the program is started, with the parameters in `[local]`.
fn launch(program: Option<&program::Parsed>, local: Option<&Entry>, errors: &mut Errors) -> Launch {
    let mut launch = program.map_or_else(Launch::default, |it| it.launch.clone());
    match local {
        Some(local) if program.is_none() => {
            let message = "holds parameters of a program; there is no [program]";
            errors.push(local.place.error("local", message));
        }
        Some(local) => program::read_local(local, &mut launch, errors),
        None => {}
    }
    launch
}

/// Lays what `[fixed]` sets over `settings`.
fn lay_fixed(
    fixed: &Entry,
    layer: usize,
    bare: Bare,
    settings: &mut Settings,
    errors: &mut Errors,
) {
    let Some(entries) = fixed.node.entries() else {
        errors.push(fixed.place.error("fixed", "must be a table, [fixed]"));
        return;
    };
    let own;
    let entries = match bare {
        Bare::Spec => entries,
        Bare::Params => {
            own = program::as_params(entries, &[], errors);
            &own
        }
    };
    lay(settings, entries, layer, true, bare, errors);
}

/// Every axis once, and the labels first where there are any.
fn axes(blocks: &[Block]) -> Vec<String> {
    let mut axes: Vec<String> = Vec::new();
    for path in blocks.iter().flat_map(Block::paths) {
        if !axes.iter().any(|seen| seen == path) {
            axes.push(path.to_owned());
        }
    }
    if blocks.iter().any(|block| block.labels.is_some()) {
        axes.insert(0, LABEL.to_owned());
    }
    axes
}

/// What the sweep's jobs need: said in `[sweep]`, or in `[program]`.
fn needs(section: &Section<'_>, own: Option<Needs>, errors: &mut Errors) -> Needs {
    let Some(node) = section.get("needs") else {
        return own.unwrap_or_default();
    };
    if own.is_some() {
        let message = "is set in [program] too; remove one of the two";
        errors.push(section.error("needs", message));
    }
    needs::read("sweep.needs", node, errors)
}

/// What a name must be.
pub(super) const NAME: &str = "must be 1 to 64 of a-z 0-9 _ -";

pub(super) fn is_name(text: &str) -> bool {
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    (1..=NAME_MAX).contains(&text.len()) && text.chars().all(allowed)
}

/// What a title must be.
pub(super) const TITLE: &str = "must be a text of at most 1000 bytes";

pub(super) fn is_title(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= TITLE_BYTES_MAX
}

fn name(section: &Section<'_>, errors: &mut Errors) -> Option<String> {
    let message = match section.get("name").map(Node::text) {
        None => "is missing",
        Some(Some(text)) if is_name(text) => return Some(text.to_owned()),
        Some(_) => NAME,
    };
    errors.push(section.error("name", message));
    None
}

fn title(section: &Section<'_>, errors: &mut Errors) -> Option<String> {
    let node = section.get("title")?;
    match node.text() {
        Some(text) if is_title(text) => Some(text.to_owned()),
        _ => {
            errors.push(section.error("title", TITLE));
            None
        }
    }
}

fn measure(section: &Section<'_>, errors: &mut Errors) -> Measure {
    let Some(node) = section.get("measure") else {
        return Measure::default();
    };
    let parsed = match &node.shape {
        Shape::Text { text, .. } => text.parse(),
        Shape::Table(entries) => match entries.as_slice() {
            [entry] => format!("{} = {}", entry.name, entry.node.value()).parse(),
            _ => Err(MEASURE.to_owned()),
        },
        _ => Err(MEASURE.to_owned()),
    };
    parsed.unwrap_or_else(|message| {
        errors.push(section.error("measure", message));
        Measure::default()
    })
}

fn reference(entry: &Entry, recipes: &Recipes<'_>, errors: &mut Errors) -> Option<Reference> {
    let section = Section::open("reference", &entry.node, &["file"], errors);
    let Some(file) = section.get("file").and_then(Node::text) else {
        errors.push(section.error("file", "must be the path of a file"));
        return None;
    };
    match (recipes.read)(file) {
        Ok(text) if text.len() > REFERENCE_BYTES_MAX => {
            let (file, bytes) = (recipes.shown(file), text.len());
            let message = format!("`{file}` has {bytes} bytes; at most {REFERENCE_BYTES_MAX}");
            errors.push(section.error("file", message));
            None
        }
        Ok(text) => {
            if let Err(mistakes) = crate::reference::Reference::read(&recipes.shown(file), &text) {
                errors.extend(mistakes);
            }
            Some(Reference {
                file: file.to_owned(),
                text,
            })
        }
        Err(why) => {
            let message = format!("cannot read `{}`: {why}", recipes.shown(file));
            errors.push(section.error("file", message));
            None
        }
    }
}

/// The metric that a program reports in place of the test error, if the sweep
/// names one.
fn metric(settings: &Settings) -> Option<String> {
    match &settings.get("trainer.metric")?.value {
        Assigned::Literal(value) => value.as_str().map(str::to_owned),
        Assigned::Formula(_) => None,
    }
}
