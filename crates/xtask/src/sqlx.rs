//! The query cache: what the SQLite store's queries look like to a real database, checked in so that nobody needs one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::process::{output, run, say};
use crate::workspace::Workspace;

const PACKAGE: &str = "swath-store-sqlite";
const CRATE: &str = "coordinator/store-sqlite";
const MIGRATIONS: &str = "migrations/sqlite";

type Cache = BTreeMap<String, String>;

pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let cache = generate(workspace)?;
    let directory = directory(workspace);
    fs::create_dir_all(&directory)?;
    for name in read(&directory)?
        .keys()
        .filter(|name| !cache.contains_key(*name))
    {
        fs::remove_file(directory.join(name))?;
    }
    for (name, text) in &cache {
        fs::write(directory.join(name), text)?;
    }
    say(format!(
        "wrote {} queries to {}",
        cache.len(),
        shown(workspace, &directory)
    ));
    Ok(())
}

/// Compares without touching the checkout; skipped while nothing that the cache is made from has changed.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let directory = directory(workspace);
    let checked_in = read(&directory)?;
    if checked_in.is_empty() && !uses_queries(workspace)? {
        return Ok(());
    }
    let stamp = workspace.target_dir()?.join("xtask/query-cache.stamp");
    let inputs = inputs(workspace, &directory)?;
    if fs::read_to_string(&stamp).is_ok_and(|old| old == inputs) {
        return Ok(());
    }
    if generate(workspace)? != checked_in {
        let directory = shown(workspace, &directory);
        bail!("{directory} is out of date: `cargo xtask sqlx` writes it anew");
    }
    fs::create_dir_all(stamp.parent().context("the stamp lies in a directory")?)?;
    fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Beside the crate, unless the workspace keeps one for all.
fn directory(workspace: &Workspace) -> PathBuf {
    let shared = workspace.path(".sqlx");
    if shared.is_dir() {
        shared
    } else {
        workspace.path(CRATE).join(".sqlx")
    }
}

fn shown(workspace: &Workspace, directory: &Path) -> String {
    let relative = directory.strip_prefix(&workspace.root).unwrap_or(directory);
    relative.display().to_string()
}

fn read(directory: &Path) -> Result<Cache> {
    if !directory.is_dir() {
        return Ok(Cache::new());
    }
    let mut cache = Cache::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            cache.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(cache)
}

/// Compiles the store against a fresh database with all migrations, which makes sqlx write one file for each query.
fn generate(workspace: &Workspace) -> Result<Cache> {
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let database = scratch.path().join("schema.db");
    let queries = scratch.path().join("queries");
    fs::create_dir(&queries)?;
    migrate(workspace, &database)?;
    let url = format!("sqlite:{}", database.display());
    let mut compile = workspace.cargo("rustc");
    compile.args(["--quiet", "--profile", "check", "--lib", "-p", PACKAGE]);
    compile
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &queries)
        .env("DATABASE_URL", &url);
    if let Some(variable) = url_variable(
        &fs::read_to_string(workspace.path(CRATE).join("sqlx.toml")).unwrap_or_default(),
    ) {
        compile.env(variable, &url);
    }
    // cargo does not know that the macros write files: a name it has not seen makes it compile this crate again.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    compile.args(["--", "--cfg", &format!("query_cache=\"{now}\"")]);
    run(&mut compile).context("the store does not compile against its migrations")?;
    read(&queries)
}

/// Python's own SQLite, as it is needed for libtorch anyway and xtask stays free of a database driver.
fn migrate(workspace: &Workspace, database: &Path) -> Result<()> {
    let program = "import sqlite3, sys\nd = sqlite3.connect(sys.argv[1])\nfor p in sys.argv[2:]: d.executescript(open(p, encoding='utf-8').read())";
    let mut command = Command::new("python3");
    command
        .args(["-c", program])
        .arg(database)
        .args(files(&workspace.path(MIGRATIONS), "sql")?);
    output(command.stdin(Stdio::null()))
        .map(drop)
        .context("the migrations cannot be applied")
}

/// The name that a crate's sqlx.toml gives to the variable with the database's address, if it gives one.
fn url_variable(sqlx_toml: &str) -> Option<String> {
    let line = sqlx_toml
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("database-url-var"))?;
    let value = line
        .trim_start()
        .strip_prefix('=')?
        .trim()
        .trim_matches('"');
    Some(value.to_owned())
}

fn uses_queries(workspace: &Workspace) -> Result<bool> {
    let sources = files(&workspace.path(CRATE).join("src"), "rs")?;
    Ok(sources.iter().any(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        ["query!", "query_as!", "query_scalar!"]
            .iter()
            .any(|name| text.contains(name))
    }))
}

/// Everything the cache is made from, as one text; itself included, so that an edit of it is noticed.
fn inputs(workspace: &Workspace, cache: &Path) -> Result<String> {
    let source = workspace.path(CRATE);
    let mut paths = files(&workspace.path(MIGRATIONS), "sql")?;
    paths.extend(files(&source.join("src"), "rs")?);
    paths.extend(files(cache, "json")?);
    paths.extend(["Cargo.toml", "sqlx.toml"].map(|name| source.join(name)));
    let mut text = String::new();
    for path in paths.iter().filter(|path| path.exists()) {
        writeln!(text, "== {}\n{}", path.display(), fs::read_to_string(path)?)?;
    }
    Ok(text)
}

/// All files with an extension below a directory, sorted; none where there is no such directory.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !directory.is_dir() {
        return Ok(found);
    }
    for entry in
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_from_the_crates_configuration() {
        assert_eq!(
            url_variable("[common]\ndatabase-url-var = \"SQLITE_URL\"\n").as_deref(),
            Some("SQLITE_URL")
        );
        assert_eq!(url_variable("[macros]\n"), None);
    }

    #[test]
    fn migrations_are_applied_in_the_order_of_their_names() {
        let root = tempfile::tempdir().unwrap();
        let workspace = Workspace {
            root: root.path().into(),
        };
        let migrations = workspace.path(MIGRATIONS);
        fs::create_dir_all(&migrations).unwrap();
        fs::write(
            migrations.join("0002_more.sql"),
            "ALTER TABLE a ADD COLUMN y;",
        )
        .unwrap();
        fs::write(migrations.join("0001_first.sql"), "CREATE TABLE a (x);").unwrap();
        let database = workspace.path("x.db");
        migrate(&workspace, &database).unwrap();
        assert!(database.exists());

        fs::write(migrations.join("0003_bad.sql"), "CREATE TABLE a (x);").unwrap();
        let error = format!(
            "{:#}",
            migrate(&workspace, &workspace.path("y.db")).unwrap_err()
        );
        assert!(error.contains("already exists"), "{error}");
    }

    #[test]
    fn a_cache_is_only_its_json_files() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("query-1.json"), "{}").unwrap();
        fs::write(directory.path().join("README"), "").unwrap();
        assert_eq!(
            read(directory.path())
                .unwrap()
                .into_keys()
                .collect::<Vec<_>>(),
            ["query-1.json"]
        );
        assert!(read(&directory.path().join("none")).unwrap().is_empty());
    }
}
