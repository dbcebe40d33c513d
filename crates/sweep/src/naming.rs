//! What tables call the cells of a `[[grid]]` block: its `label`.

use std::collections::BTreeSet;

use swath_model::limits::LABEL_BYTES_MAX;
use swath_model::spec::keys;
use swath_model::text::cut;

use super::error::{Errors, Place};
use super::program::unset;
use super::settings::Bare;
use super::source::{Node, Shape};

/// The name of the column of labels.
pub const LABEL: &str = "label";

const LABELS: &str = "must be a text of at most 1000 bytes, or a list with one for each cell";

/// The labels of a block: one text for all points, or one for each point, in
/// order.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    templates: Vec<Template>,
    is_list: bool,
    place: Place,
}

/// A text with parameters in it, like `WRN-{model.depth}`.
#[derive(Clone, Debug)]
struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Parameter(String),
}

impl Labels {
    /// Reads `label` of a block.
    pub(super) fn read(node: &Node, bare: Bare, errors: &mut Errors) -> Option<Self> {
        let before = errors.len();
        let templates = node.items().iter().filter_map(|item| {
            let text = item.text().filter(|text| !text.trim().is_empty());
            let template = text
                .filter(|text| text.len() <= LABEL_BYTES_MAX)
                .ok_or_else(|| LABELS.to_owned())
                .and_then(|text| Template::parse(text, bare));
            template
                .map_err(|message| errors.push(item.place.error(LABEL, message)))
                .ok()
        });
        let templates: Vec<Template> = templates.collect();
        (errors.len() == before).then(|| Self {
            templates,
            is_list: matches!(node.shape, Shape::List(_)),
            place: node.place.clone(),
        })
    }

    /// Reports an error unless there is one label, or one for each of the
    /// `points`.
    pub(super) fn check(&self, points: u128, errors: &mut Errors) {
        let count = self.templates.len();
        if self.is_list && count as u128 != points {
            let message = format!(
                "has {count} texts, and this block has {points} points; give one for each, or one \
                 text with parameters in it, like \"ResNet-{{model.depth}}\""
            );
            errors.push(self.place.error(LABEL, message));
        }
    }

    /// Reports parameters of a program that the file does not set.
    pub(super) fn check_params(&self, params: &BTreeSet<&str>, errors: &mut Errors) {
        let parts = self.templates.iter().flat_map(|it| &it.parts);
        let unset = parts.filter_map(|part| match part {
            Part::Parameter(path) => unset(path, params),
            Part::Text(_) => None,
        });
        errors.extend(unset.map(|message| self.place.error(LABEL, message)));
    }

    /// The label of point `index`; `value` writes a parameter. What is too long
    /// is cut.
    pub(super) fn of(&self, index: u64, value: impl Fn(&str) -> String) -> Option<String> {
        let at = if self.is_list { index as usize } else { 0 };
        let parts = self.templates.get(at)?.parts.iter();
        let mut label = String::new();
        for part in parts {
            match part {
                Part::Text(text) => label.push_str(text),
                Part::Parameter(path) => label.push_str(&cut(value(path), LABEL_BYTES_MAX)),
            }
            if label.len() > LABEL_BYTES_MAX {
                break;
            }
        }
        Some(cut(label, LABEL_BYTES_MAX))
    }

    /// The texts as they are written, for the sweep's digest.
    pub(super) fn written(&self) -> Vec<String> {
        let written = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Parameter(path) => format!("{{{path}}}"),
        };
        let templates = self.templates.iter();
        templates
            .map(|it| it.parts.iter().map(written).collect())
            .collect()
    }
}

impl Template {
    fn parse(text: &str, bare: Bare) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (path, after) = behind
                .split_once('}')
                .ok_or_else(|| format!("in \"{text}\": a `{{` that nothing closes"))?;
            let path = bare.path(path);
            if keys::find(&path).is_none() {
                let why = keys::unknown(&path).message;
                return Err(format!("in \"{text}\": `{path}`: {why}"));
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Parameter(path));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }
}
