//! The query caches: what the queries of a SQL store look like to a real database. They are checked in, so that
//! nobody needs a database to build.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::check::Missing;
use crate::postgres::Server;
use crate::process::{output, run, say};
use crate::workspace::Workspace;

/// A SQL store with its queries.
struct Store {
    package: &'static str,
    /// The directory of the crate. The cache is in `.sqlx` below it, where the macros look first.
    path: &'static str,
    migrations: &'static str,
    dialect: Dialect,
}

#[derive(Clone, Copy)]
enum Dialect {
    Sqlite,
    Postgres,
}

const STORES: [Store; 2] = [
    Store {
        package: "swath-store-sqlite",
        path: "coordinator/store-sqlite",
        migrations: "migrations/sqlite",
        dialect: Dialect::Sqlite,
    },
    Store {
        package: "swath-store-postgres",
        path: "coordinator/store-postgres",
        migrations: "migrations/postgres",
        dialect: Dialect::Postgres,
    },
];

type Cache = BTreeMap<String, String>;

pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    for store in &STORES {
        let cache = store.generate(workspace)?;
        let directory = store.cache(workspace);
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
    }
    Ok(())
}

/// Compares the caches without touching the checkout. A store whose database server is missing is skipped, after the
/// others were compared.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut missing = Vec::new();
    for store in &STORES {
        match store.check(workspace) {
            Err(error) if error.is::<Missing>() => {
                missing.push(format!("queries of {}: {error:#}", store.package));
            }
            done => done?,
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Missing(missing.join("; ")).into())
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

impl Store {
    fn cache(&self, workspace: &Workspace) -> PathBuf {
        workspace.path(self.path).join(".sqlx")
    }

    /// Skips the comparison if nothing that the cache is made from has changed.
    fn check(&self, workspace: &Workspace) -> Result<()> {
        let directory = self.cache(workspace);
        let checked_in = read(&directory)?;
        if checked_in.is_empty() && !self.uses_queries(workspace)? {
            return Ok(());
        }
        let stamp = workspace
            .target_dir()?
            .join(format!("xtask/query-cache-{}.stamp", self.package));
        let inputs = self.inputs(workspace)?;
        if fs::read_to_string(&stamp).is_ok_and(|old| old == inputs) {
            return Ok(());
        }
        if self.generate(workspace)? != checked_in {
            let directory = shown(workspace, &directory);
            bail!("{directory} is out of date: `cargo xtask sqlx` writes it again");
        }
        fs::create_dir_all(stamp.parent().context("the stamp lies in a directory")?)?;
        fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))
    }

    /// Compiles the store against a fresh database with all migrations; sqlx then writes one file per query.
    fn generate(&self, workspace: &Workspace) -> Result<Cache> {
        let migrations = files(&workspace.path(self.migrations), "sql")?;
        match self.dialect {
            Dialect::Sqlite => {
                let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
                let database = scratch.path().join("schema.db");
                migrate(&database, &migrations)?;
                self.compile(workspace, &format!("sqlite:{}", database.display()))
            }
            Dialect::Postgres => {
                let server = Server::find()?;
                let name = format!("swath_queries_{}", std::process::id());
                let database = server.database(&name)?;
                database
                    .run(&migrations)
                    .context("the migrations cannot be applied")?;
                self.compile(workspace, &database.url)
            }
        }
    }

    fn compile(&self, workspace: &Workspace, url: &str) -> Result<Cache> {
        let queries = tempfile::tempdir().context("cannot make a temporary directory")?;
        let mut compile = workspace.cargo("rustc");
        compile.args(["--quiet", "--profile", "check", "--lib", "-p", self.package]);
        compile
            .env("SQLX_OFFLINE", "false")
            .env("SQLX_OFFLINE_DIR", queries.path());
        let settings = fs::read_to_string(workspace.path(self.path).join("sqlx.toml"));
        let variable = url_variable(&settings.unwrap_or_default());
        compile.env(variable.as_deref().unwrap_or("DATABASE_URL"), url);
        // cargo does not know that the macros write files. A name it has not seen makes it compile this crate again.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        compile.args(["--", "--cfg", &format!("query_cache=\"{now}\"")]);
        run(&mut compile).context("the store does not compile against its migrations")?;
        read(queries.path())
    }

    fn uses_queries(&self, workspace: &Workspace) -> Result<bool> {
        let sources = files(&workspace.path(self.path).join("src"), "rs")?;
        Ok(sources.iter().any(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            ["query!", "query_as!", "query_scalar!"]
                .iter()
                .any(|name| text.contains(name))
        }))
    }

    /// Everything that the cache is made from, as one text. The cache itself is included, so that an edit
    /// of it is noticed.
    fn inputs(&self, workspace: &Workspace) -> Result<String> {
        let source = workspace.path(self.path);
        let mut paths = files(&workspace.path(self.migrations), "sql")?;
        paths.extend(files(&source.join("src"), "rs")?);
        paths.extend(files(&self.cache(workspace), "json")?);
        paths.extend(["Cargo.toml", "sqlx.toml"].map(|name| source.join(name)));
        let mut text = String::new();
        for path in paths.iter().filter(|path| path.exists()) {
            writeln!(text, "== {}\n{}", path.display(), fs::read_to_string(path)?)?;
        }
        Ok(text)
    }
}

/// Uses Python's own SQLite: Python is needed for libtorch anyway, and xtask needs no database driver.
fn migrate(database: &Path, migrations: &[PathBuf]) -> Result<()> {
    let program = "import sqlite3, sys\nd = sqlite3.connect(sys.argv[1])\nfor p in sys.argv[2:]: d.executescript(open(p, encoding='utf-8').read())";
    let mut command = Command::new("python3");
    command.args(["-c", program]).arg(database).args(migrations);
    output(command.stdin(Stdio::null()))
        .map(drop)
        .context("the migrations cannot be applied")
}

/// The variable that a crate's sqlx.toml names for the database's address, if it names one.
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

/// All files with an extension below a directory, sorted; none if the directory does not exist.
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
        let path = |name: &str| root.path().join(name);
        fs::write(path("0002_more.sql"), "ALTER TABLE a ADD COLUMN y;").unwrap();
        fs::write(path("0001_first.sql"), "CREATE TABLE a (x);").unwrap();
        let migrations = || files(root.path(), "sql").unwrap();
        migrate(&path("x.db"), &migrations()).unwrap();
        assert!(path("x.db").exists());

        fs::write(path("0003_bad.sql"), "CREATE TABLE a (x);").unwrap();
        let error = migrate(&path("y.db"), &migrations()).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("already exists"), "{error}");
    }

    /// Whatever one dialect has at a step, the other must have at the same
    /// step.
    #[test]
    fn stores_have_migrations_of_the_same_names() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let names = STORES.map(|store| {
            let migrations = files(&root.join(store.migrations), "sql").unwrap();
            let names = migrations
                .iter()
                .map(|path| path.file_name().unwrap().to_owned());
            names.collect::<Vec<_>>()
        });
        assert_eq!(names[0], names[1]);
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
