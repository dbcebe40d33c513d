//! The Compose file and the Dockerfiles, as far as they can be checked without a container engine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::tools::{Install, Source, Tool};
use crate::process::{output, run};
use crate::workspace::Workspace;

const COMPOSE_FILE: &str = "docker-compose.yml";
const DOCKERFILES: &str = "docker";

/// The oldest version that must be able to read the file, and the last docker-compose written in Python. One of the
/// dependencies it names (a PyYAML that current tools do not build) cannot be installed any more, so all of them are
/// named here, in the versions that Debian 12 combines with it.
const DOCKER_COMPOSE: Tool = Tool {
    name: "docker-compose",
    version: "1.29.2",
    source: Source::Pip {
        module: "compose",
        arguments: &[
            "--no-deps",
            "docker-compose==1.29.2",
            "attrs",
            "certifi",
            "charset-normalizer",
            "distro==1.9.0",
            "docker==5.0.3",
            "dockerpty==0.4.1",
            "docopt==0.6.2",
            "idna",
            "jsonschema==3.2.0",
            "pyrsistent",
            "python-dotenv==0.21.1",
            "PyYAML>=6,<7",
            "requests",
            "setuptools==80.9.0",
            "six",
            "texttable==1.7.0",
            "urllib3",
            "websocket-client==0.59.0",
        ],
    },
    by_hand: "apt-get install docker-compose (on Debian 12)",
};

/// It brings the Compose specification along.
const CHECK_JSONSCHEMA: Tool = Tool {
    name: "check-jsonschema",
    version: "0.39.0",
    source: Source::Pip {
        module: "check_jsonschema",
        arguments: &["check-jsonschema==0.39.0"],
    },
    by_hand: "pip install check-jsonschema",
};

/// A newer docker-compose accepts more than the file may contain.
fn is_old(command: &mut Command) -> bool {
    let told = output(command.args(["version", "--short"]));
    told.is_ok_and(|version| version.starts_with("1.29."))
}

pub(crate) fn docker_compose(workspace: &Workspace, install: Install) -> Result<()> {
    let mut command = DOCKER_COMPOSE.command_if(install, is_old)?;
    command.args(["--file", COMPOSE_FILE, "config", "--quiet"]);
    run(command.current_dir(&workspace.root))
}

pub(crate) fn specification(workspace: &Workspace, install: Install) -> Result<()> {
    let mut command = CHECK_JSONSCHEMA.command(install)?;
    command.args(["--builtin-schema", "vendor.compose-spec", COMPOSE_FILE]);
    run(command.current_dir(&workspace.root))
}

pub(crate) fn dockerfiles(workspace: &Workspace) -> Result<()> {
    let compose = fs::read_to_string(workspace.path(COMPOSE_FILE))
        .with_context(|| format!("cannot read {COMPOSE_FILE}"))?;
    let mut found = Vec::new();
    for path in listed(workspace)? {
        let name = path.strip_prefix(&workspace.root)?.display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        if !compose.contains(&name) {
            found.push(format!("{COMPOSE_FILE} does not build {name}"));
        }
        let complaints = complaints(&text, |source| workspace.path(source).exists());
        found.extend(
            complaints
                .iter()
                .map(|complaint| format!("{name}: {complaint}")),
        );
    }
    if !found.is_empty() {
        bail!("{}", found.join("; "));
    }
    Ok(())
}

fn listed(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let directory = workspace.path(DOCKERFILES);
    let mut found = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {DOCKERFILES}"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|ending| ending == "Dockerfile")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What a Dockerfile does although ours must not: use base images that are not an ARG, copy what does
/// not exist, run as root.
fn complaints(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut known = Vec::new();
    let mut stages = 0;
    let mut user = None;
    for (instruction, words) in instructions(text) {
        match instruction.as_str() {
            "ARG" if stages == 0 => {
                let name = words[0].split('=').next().unwrap_or_default();
                known.push(format!("${{{name}}}"));
            }
            "FROM" => {
                stages += 1;
                user = None;
                if !known.contains(&words[0]) {
                    found.push(format!("FROM {} is no ARG and no stage", words[0]));
                }
                known.extend(words.get(2).cloned());
            }
            "COPY" if !words[0].starts_with("--from=") => {
                let sources = words.iter().take(words.len() - 1);
                let absent = sources.filter(|source| !exists(source));
                found.extend(absent.map(|source| format!("COPY {source}: no such file")));
            }
            "USER" => user = words.into_iter().next(),
            _ => {}
        }
    }
    if !known.contains(&"${BASE}".to_owned()) {
        found.push("no ARG BASE before the first FROM".to_owned());
    }
    if stages < 2 {
        found.push("what builds is not apart from what runs".to_owned());
    }
    if user.is_none_or(|user| user.starts_with("root") || user.starts_with('0')) {
        found.push("it runs as root: no USER in the last stage".to_owned());
    }
    found
}

/// Each instruction with its words, at least one of them. Comments are dropped and continued lines joined.
fn instructions(text: &str) -> Vec<(String, Vec<String>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let split = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let instruction = words.next()?.to_uppercase();
        let words = words.collect::<Vec<_>>();
        (!words.is_empty()).then_some((instruction, words))
    };
    joined.lines().filter_map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# A comment \\
ARG BASE=debian:12-slim
ARG BUILD_BASE=rust:1
FROM ${BUILD_BASE} AS build
COPY here .
RUN one \\
    && two
FROM ${BASE}
COPY --from=build /a /b /bin/
USER somebody
";

    fn of(text: &str) -> Vec<String> {
        complaints(text, |source| source == "here")
    }

    #[test]
    fn a_good_dockerfile_passes() {
        assert_eq!(of(GOOD), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |from: &str, to: &str| of(&GOOD.replace(from, to)).join("; ");
        assert_eq!(
            wrong("COPY here .", "COPY here there ."),
            "COPY there: no such file"
        );
        assert_eq!(
            wrong("FROM ${BASE}", "FROM debian:12-slim"),
            "FROM debian:12-slim is no ARG and no stage"
        );
        let root = "it runs as root: no USER in the last stage";
        assert_eq!(wrong("USER somebody", "USER root"), root);
        assert_eq!(wrong("USER somebody", ""), root);
        assert!(wrong("ARG BASE", "ARG OTHER").contains("no ARG BASE"));
        assert!(of("ARG BASE=a\nFROM ${BASE}\nUSER a\n")[0].contains("not apart"));
    }

    #[test]
    fn ours_pass() {
        let manifest = env!("CARGO_MANIFEST_DIR");
        let root = PathBuf::from(manifest)
            .join("../..")
            .canonicalize()
            .unwrap();
        dockerfiles(&Workspace { root }).unwrap();
    }
}
