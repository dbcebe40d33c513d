//! Modules that a Python script imports from its own directory.

use std::collections::BTreeSet;
use std::path::Path;

/// The modules and packages beside a script that its lines import, by their names in
/// the directory: `model.py`, `data/`. Only imports at the beginning of a line are
/// found, and only what is there, so each of them is one.
pub(super) fn beside(text: &str, directory: &Path) -> BTreeSet<String> {
    let there = |name: &str| {
        let module = format!("{name}.py");
        // Python takes the package, if there are both.
        if directory.join(name).join("__init__.py").is_file() {
            Some(format!("{name}/"))
        } else {
            directory.join(&module).is_file().then_some(module)
        }
    };
    let names = text.lines().flat_map(imported);
    names.filter_map(there).collect()
}

/// The first parts of the names that a line imports.
fn imported(line: &str) -> Vec<&str> {
    let first = |name: &str| {
        let name = name.trim_start();
        let end = name.find(|char: char| !char.is_alphanumeric() && char != '_');
        end.unwrap_or(name.len())
    };
    if let Some(name) = line.strip_prefix("from ") {
        let name = name.trim_start();
        return vec![&name[..first(name)]];
    }
    let Some(names) = line.strip_prefix("import ") else {
        return Vec::new();
    };
    let names = names.split('#').next().unwrap_or_default().split(',');
    names
        .map(str::trim_start)
        .map(|name| &name[..first(name)])
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_beside_a_script_and_imported_is_found() {
        let directory = tempfile::tempdir().unwrap();
        for path in [
            "model.py",
            "data/__init__.py",
            "data.py",
            "other.py",
            "plain/x.py",
            "m2.py",
        ] {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |text: &str| {
            let found = beside(text, directory.path());
            found.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            found("import os, model as m, data.sets # other"),
            "data/ model.py"
        );
        assert_eq!(
            found("from model import a, other\nfrom  m2 import *"),
            "m2.py model.py"
        );
        for none in [
            "import numpy",
            "from . import model",
            "from .model import a",
            "# import model",
            "    import model",
            "importmodel",
            "import models",
            "import plain",
            "import \nfrom ",
            "model",
        ] {
            assert_eq!(found(none), "", "{none}");
        }
    }
}
