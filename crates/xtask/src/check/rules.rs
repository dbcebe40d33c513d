//! The dependency rule of ARCHITECTURE.md, checked against `cargo metadata`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::Workspace;

/// Which of our crates a crate may use (not counting dev-dependencies). A crate that is not listed may use none.
const OURS: [(&str, &[&str]); 20] = [
    ("swath-stats", &[]),
    ("swath-model", &["swath-stats"]),
    ("swath-sweep", &["swath-model"]),
    (
        "swath-results",
        &["swath-model", "swath-stats", "swath-sweep"],
    ),
    ("swath-report", &["swath-model", "swath-results"]),
    (
        "swath-plot",
        &["swath-model", "swath-results", "swath-stats"],
    ),
    ("swath-files", &["swath-model"]),
    ("swath-service", &["swath-model"]),
    ("swath-proto", &["swath-model"]),
    ("swath-store", &["swath-model"]),
    ("swath-engine", &["swath-model", "swath-store"]),
    (
        "swath-store-conformance",
        &[
            "swath-engine",
            "swath-model",
            "swath-results",
            "swath-store",
            "swath-sweep",
        ],
    ),
    ("swath-store-sqlite", &["swath-model", "swath-store"]),
    ("swath-store-postgres", &["swath-model", "swath-store"]),
    (
        "swath-coordinator",
        &[
            "swath-engine",
            "swath-files",
            "swath-model",
            "swath-plot",
            "swath-proto",
            "swath-report",
            "swath-results",
            "swath-service",
            "swath-stats",
            "swath-store",
            "swath-store-sqlite",
            "swath-store-postgres",
            "swath-sweep",
        ],
    ),
    ("swath-agent", &["swath-model"]),
    (
        "swath-worker",
        &[
            "swath-agent",
            "swath-files",
            "swath-model",
            "swath-proto",
            "swath-service",
        ],
    ),
    (
        "swath-trainer",
        &["swath-files", "swath-model", "swath-stats"],
    ),
    (
        "swath-sim",
        &[
            "swath-agent",
            "swath-engine",
            "swath-model",
            "swath-results",
            "swath-store",
            "swath-store-conformance",
            "swath-sweep",
        ],
    ),
    (
        "swath-e2e",
        &[
            "swath-model",
            "swath-proto",
            "swath-report",
            "swath-store",
            "swath-store-sqlite",
        ],
    ),
];

/// The only crates that may name an outside crate (or any whose name begins with it and a hyphen), in any kind of
/// dependency.
const RESERVED: [(&str, &[&str]); 3] = [
    ("tch", &["swath-trainer"]),
    ("sqlx", &["swath-store-sqlite", "swath-store-postgres"]),
    (
        "tonic",
        &["swath-proto", "swath-coordinator", "swath-worker"],
    ),
];

/// Packages that must not be reachable from a crate by any path, because the crate
/// is pure or must not link them.
const UNREACHABLE: [(&str, &[&str]); 7] = [
    (
        "swath-stats",
        &["tokio", "sqlx", "tonic", "tch", "getrandom", "rand"],
    ),
    (
        "swath-model",
        &["tokio", "sqlx", "tonic", "tch", "getrandom", "rand"],
    ),
    (
        "swath-sweep",
        &["tokio", "sqlx", "tonic", "tch", "getrandom", "rand"],
    ),
    (
        "swath-results",
        &["tokio", "sqlx", "tonic", "tch", "getrandom", "rand"],
    ),
    (
        "swath-agent",
        &["tokio", "sqlx", "tonic", "tch", "getrandom", "rand"],
    ),
    ("swath-worker", &["tch", "torch-sys", "sqlx"]),
    ("swath-coordinator", &["tch", "torch-sys"]),
];

/// The stores keep what the engine decided: they know neither the events of a job nor the limits that decide.
const STORES: [&str; 2] = [
    "coordinator/store-sqlite/src",
    "coordinator/store-postgres/src",
];
const DECIDING: [&str; 4] = ["Policy", "Event::", "Job::apply", "swath_engine"];

/// Programs whose output may quote anything, and the only files of theirs that write to the standard streams. The guard's stdout
/// is a list that its worker reads.
const PRINTING: [&str; 3] = ["coordinator/src", "worker/src", "worker/trainer/src"];
const PRINTERS: [&str; 4] = [
    "coordinator/src/client/printer.rs",
    "worker/src/child/guard.rs",
    "worker/src/terminal.rs",
    "worker/trainer/src/output.rs",
];
const PRINTS: [&str; 6] = [
    "io::stdout",
    "io::stderr",
    "print!(",
    "println!(",
    "dbg!(",
    ".print()",
];

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let metadata = workspace.metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"])?;
    let mut broken = broken(&metadata)?;
    let manifest = fs::read_to_string(workspace.path("Cargo.toml"))?;
    broken.extend(unused_in_table(&manifest, &metadata)?);
    for store in STORES {
        for file in sources(&workspace.path(store))? {
            let text = fs::read_to_string(&file)?;
            broken.extend(decides(&file.display().to_string(), &text));
        }
    }
    for program in PRINTING {
        for file in sources(&workspace.path(program))? {
            let is_test = |part: &OsStr| part == "tests" || part == "tests.rs";
            if !file.iter().any(is_test) && !PRINTERS.iter().any(|it| file.ends_with(it)) {
                let text = fs::read_to_string(&file)?;
                broken.extend(prints(&file.display().to_string(), &text));
            }
        }
    }
    if !broken.is_empty() {
        bail!("{}", broken.join("; "));
    }
    Ok(())
}

/// The first thing outside of its tests by which a file writes to a terminal.
fn prints(file: &str, text: &str) -> Option<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next()?;
    let mut lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let printed = |line: &str| PRINTS.iter().find(|word| line.contains(**word));
    let named = lines.find_map(printed)?;
    Some(format!(
        "{file} has `{named}`: only {} write to terminals, where they write out what acts on one",
        PRINTERS.join(", ")
    ))
}

/// The first thing that a file of a store names although only decisions need
/// it.
fn decides(file: &str, text: &str) -> Option<String> {
    let named = DECIDING.iter().find(|word| text.contains(**word))?;
    Some(format!(
        "{file} names {named}: decisions belong in the engine, a store keeps their results"
    ))
}

/// The Rust files below a directory.
fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The packages of the workspace.
fn members(metadata: &Value) -> Result<impl Iterator<Item = &Value>> {
    let members = metadata["workspace_members"]
        .as_array()
        .context("cargo metadata lists no members")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let is_member = |package: &&Value| members.contains(&package["id"]);
    Ok(packages.iter().filter(is_member))
}

/// Entries of `[workspace.dependencies]` that no member uses; cargo-machete does not look for these.
fn unused_in_table(manifest: &str, metadata: &Value) -> Result<Vec<String>> {
    let taken = members(metadata)?
        .flat_map(|package| package["dependencies"].as_array().into_iter().flatten())
        .filter_map(|dependency| {
            dependency["rename"]
                .as_str()
                .or(dependency["name"].as_str())
        })
        .collect::<BTreeSet<_>>();
    let lines = manifest.lines().map(str::trim);
    let table = lines
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let offered = table
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0.trim()));
    Ok(offered
        .filter(|name| !taken.contains(name))
        .map(|name| format!("no crate uses {name} of [workspace.dependencies]"))
        .collect())
}

fn broken(metadata: &Value) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for package in members(metadata)? {
        let name = package["name"].as_str().context("a package has no name")?;
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            found.extend(complaint(name, dependency));
        }
    }
    for (name, banned) in UNREACHABLE {
        for target in banned {
            if let Some(path) = path_to(metadata, name, target) {
                found.push(format!(
                    "{name} must not reach {target}, but does: {}",
                    path.join(" -> ")
                ));
            }
        }
    }
    Ok(found)
}

/// How one dependency of a Cargo.toml breaks the rule, if it does.
fn complaint(name: &str, dependency: &Value) -> Option<String> {
    let other = dependency["name"].as_str()?;
    let is_dev = dependency["kind"].as_str() == Some("dev");
    let is_named = |reserved: &str| {
        other == reserved
            || other
                .strip_prefix(reserved)
                .is_some_and(|rest| rest.starts_with('-'))
    };
    if let Some((reserved, allowed)) = RESERVED.iter().find(|(reserved, _)| is_named(reserved))
        && !allowed.contains(&name)
    {
        return Some(format!(
            "{name} depends on {other}, but {reserved} is only for {}",
            allowed.join(", ")
        ));
    }
    if is_dev || !other.starts_with("swath-") {
        return None;
    }
    let allowed = OURS
        .iter()
        .find(|(ours, _)| *ours == name)
        .map_or(&[][..], |(_, allowed)| allowed);
    (!allowed.contains(&other))
        .then(|| format!("{name} depends on {other}, which the dependency rule does not allow"))
}

/// The shortest path from a member to a package over dependencies that are not only for
/// tests.
fn path_to(metadata: &Value, from: &str, to: &str) -> Option<Vec<String>> {
    let nodes = metadata["resolve"]["nodes"].as_array()?;
    let packages = metadata["packages"].as_array()?;
    let name_of =
        |id: &Value| packages.iter().find(|package| package["id"] == *id)?["name"].as_str();
    let start = packages.iter().find(|package| package["name"] == from)?;
    let mut paths = vec![vec![&start["id"]]];
    let mut seen = vec![&start["id"]];
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in &paths {
            let node = nodes
                .iter()
                .find(|node| Some(&node["id"]) == path.last().copied())?;
            for dependency in node["deps"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|dependency| is_normal(dependency))
            {
                let id = &dependency["pkg"];
                if seen.contains(&id) {
                    continue;
                }
                seen.push(id);
                let path = path.iter().copied().chain([id]).collect::<Vec<_>>();
                if name_of(id) == Some(to) {
                    return path
                        .into_iter()
                        .map(|id| name_of(id).map(str::to_owned))
                        .collect();
                }
                longer.push(path);
            }
        }
        paths = longer;
    }
    None
}

fn is_normal(dependency: &Value) -> bool {
    let mut kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
    kinds.any(|kind| kind["kind"].is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The `cargo metadata` of a workspace of members with (crate, kind) dependencies.
    fn metadata(crates: &[(&str, &[(&str, &str)])]) -> Value {
        let kind = |kind: &str| {
            if kind == "normal" {
                Value::Null
            } else {
                json!(kind)
            }
        };
        let packages = crates.iter().map(|(name, dependencies)| {
            let dependencies = dependencies
                .iter()
                .map(|(name, of)| json!({ "name": name, "kind": kind(of) }));
            json!({ "id": name, "name": name, "dependencies": dependencies.collect::<Vec<_>>() })
        });
        let nodes = crates.iter().map(|(name, dependencies)| {
            let deps = dependencies
                .iter()
                .map(|(name, of)| json!({ "pkg": name, "dep_kinds": [{ "kind": kind(of) }] }));
            json!({ "id": name, "deps": deps.collect::<Vec<_>>() })
        });
        let members = crates
            .iter()
            .filter(|(name, _)| name.starts_with("swath-"))
            .map(|(name, _)| name);
        json!({
            "workspace_members": members.collect::<Vec<_>>(),
            "packages": packages.collect::<Vec<_>>(),
            "resolve": { "nodes": nodes.collect::<Vec<_>>() },
        })
    }

    #[test]
    fn the_design_passes() {
        let design = metadata(&[
            ("swath-model", &[("serde", "normal"), ("proptest", "dev")]),
            ("swath-store", &[("swath-model", "normal")]),
            (
                "swath-store-sqlite",
                &[
                    ("swath-model", "normal"),
                    ("swath-store", "normal"),
                    ("sqlx", "normal"),
                ],
            ),
            (
                "swath-coordinator",
                &[("swath-store-sqlite", "normal"), ("tonic-health", "normal")],
            ),
            (
                "swath-trainer",
                &[("swath-model", "normal"), ("tch", "normal")],
            ),
            ("serde", &[]),
            ("sqlx", &[]),
            ("tch", &[]),
            ("tonic-health", &[]),
            ("proptest", &[("rand", "normal")]),
            ("rand", &[]),
        ]);
        assert_eq!(broken(&design).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_store_that_decides_is_found() {
        let found = decides("grant.rs", "jobs.apply(id, &Event::Tick, now)");
        assert!(found.unwrap().contains("grant.rs names Event::"));
        assert_eq!(
            decides("rows.rs", "use swath_model::job::{Job, State};"),
            None
        );
    }

    #[test]
    fn what_prints_is_found_outside_of_tests() {
        for code in [
            "eprintln!(\"x\")",
            "writeln!(io::stderr(), \"x\")",
            "error.print();",
        ] {
            let found = prints("verb.rs", &format!("fn verb() {{ {code} }}"));
            assert!(found.unwrap().contains("verb.rs has `"), "{code}");
            let in_tests = format!("// {code}\n#[cfg(test)]\nmod tests {{\n{code}\n}}");
            assert_eq!(prints("verb.rs", &in_tests), None);
        }
        assert_eq!(prints("verb.rs", "command.stdout(Stdio::null())"), None);
    }

    #[test]
    fn a_reserved_crate_elsewhere_is_found_even_for_tests_or_under_a_longer_name() {
        let found = broken(&metadata(&[
            ("swath-coordinator", &[("sqlx", "dev")]),
            ("swath-report", &[("tonic-prost", "build")]),
            ("sqlx", &[]),
            ("tonic-prost", &[]),
        ]));
        let found = found.unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("swath-coordinator depends on sqlx"),
            "{found:?}"
        );
        assert!(
            found[1].contains("swath-report depends on tonic-prost"),
            "{found:?}"
        );
    }

    #[test]
    fn ours_on_ours_follows_the_arrows_except_in_tests() {
        let found = broken(&metadata(&[
            ("swath-model", &[("swath-sim", "dev")]),
            ("swath-worker", &[("swath-store", "normal")]),
            ("swath-unlisted", &[("swath-model", "normal")]),
            ("swath-sim", &[]),
            ("swath-store", &[]),
        ]));
        let found = found.unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("swath-worker depends on swath-store"),
            "{found:?}"
        );
        assert!(
            found[1].contains("swath-unlisted depends on swath-model"),
            "{found:?}"
        );
    }

    #[test]
    fn what_the_workspace_offers_to_nobody_is_found() {
        let metadata = metadata(&[
            ("swath-model", &[("serde", "normal"), ("proptest", "dev")]),
            ("serde", &[("rand", "normal")]),
        ]);
        let manifest = "\
[workspace]
[workspace.dependencies]
# Why
proptest = \"1\"
rand = \"0.10\"
serde = { version = \"1\", features = [] }

[profile.dev]
debug = 1
";
        assert_eq!(
            unused_in_table(manifest, &metadata).unwrap(),
            ["no crate uses rand of [workspace.dependencies]"]
        );
    }

    #[test]
    fn an_indirect_dependency_is_shown_with_its_path() {
        let found = broken(&metadata(&[
            ("swath-model", &[("helper", "normal")]),
            ("helper", &[("tokio", "normal")]),
            ("tokio", &[]),
        ]));
        assert!(found.unwrap()[0].contains("swath-model -> helper -> tokio"));
    }
}
