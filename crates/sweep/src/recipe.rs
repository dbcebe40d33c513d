//! Recipes: the settings of every cell, unless the sweep file says otherwise.

use super::error::{Errors, Place};
use super::settings::{Bare, Settings, lay};
use super::source::{self, Entry, Node};

/// Reads a file by its path relative to the sweep file.
pub type Read<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// The chain of recipes that is being read.
pub(super) struct Recipes<'a> {
    /// The sweep file: paths are relative to it.
    pub(super) file: &'a str,
    pub(super) read: &'a Read<'a>,
}

impl Recipes<'_> {
    /// Reads the recipe that `node` names, its parents first. Returns the next
    /// free layer.
    pub(super) fn load(&self, node: &Node, settings: &mut Settings, errors: &mut Errors) -> usize {
        let mut chain: Vec<(String, Vec<Entry>)> = Vec::new();
        let mut next = Some(("sweep.recipe", String::new(), node.clone()));
        while let Some((key, beside, node)) = next.take() {
            let Some(name) = node.text() else {
                errors.push(node.place.error(key, "must be the path of a recipe"));
                break;
            };
            let path = join(&beside, name);
            if chain.iter().any(|(seen, _)| *seen == path) {
                let names: Vec<_> = chain.iter().map(|(seen, _)| seen.as_str()).collect();
                let message = format!("is its own parent: {} -> {path}", names.join(" -> "));
                errors.push(node.place.error(key, message));
                break;
            }
            let Some(mut entries) = self.entries(key, &path, &node.place, errors) else {
                break;
            };
            let parent = entries.iter().position(|entry| entry.name == "parent");
            let parent = parent.map(|index| entries.remove(index).node);
            next = parent.map(|node| ("parent", path.clone(), node));
            chain.push((path, entries));
        }
        for (layer, (_, entries)) in chain.iter().rev().enumerate() {
            lay(settings, entries, layer, false, Bare::Spec, errors);
        }
        chain.len()
    }

    fn entries(
        &self,
        key: &str,
        path: &str,
        place: &Place,
        errors: &mut Errors,
    ) -> Option<Vec<Entry>> {
        let parsed = match (self.read)(path) {
            Ok(text) => source::parse(&self.shown(path), &text),
            Err(why) => Err(place.error(key, format!("cannot read `{}`: {why}", self.shown(path)))),
        };
        parsed.map_err(|error| errors.push(error)).ok()
    }

    /// `path` as the user would find it.
    pub(super) fn shown(&self, path: &str) -> String {
        join(self.file, path)
    }
}

/// `path` as written in the file `beside`.
pub(super) fn join(beside: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let directory = beside
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    let rooted = directory.starts_with('/') || (directory.is_empty() && beside.starts_with('/'));
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if rooted { format!("/{joined}") } else { joined }
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn paths_are_relative_to_the_file_that_names_them() {
        assert_eq!(join("", "recipes/a.toml"), "recipes/a.toml");
        assert_eq!(join("recipes/a.toml", "b.toml"), "recipes/b.toml");
        assert_eq!(join("recipes/a.toml", "../b.toml"), "b.toml");
        assert_eq!(join("a.toml", "../b.toml"), "../b.toml");
        assert_eq!(join("/etc/a.toml", "./b.toml"), "/etc/b.toml");
        assert_eq!(join("/a.toml", "b.toml"), "/b.toml");
        assert_eq!(join("a.toml", "/b.toml"), "/b.toml");
    }
}
