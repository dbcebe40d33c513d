//! What a command works with: command line, environment and defaults merged.

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use serde::Deserialize;
use swath_coordinator::server::ServeSettings;
use swath_core::policy::Policy;
use swath_report::{Format, Style};

use crate::cli::{Global, Local, Serve, Typed};
use crate::client::failure::{Failure, Outcome};
use crate::client::printer::Printer;

/// Where a coordinator listens unless it is told otherwise.
pub(crate) const COORDINATOR_DEFAULT: &str = "http://127.0.0.1:7070";
/// Where a database lies unless it is said otherwise.
pub(crate) const DATABASE_DEFAULT: &str = "sqlite:swath.db";

/// What every verb works with.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) printer: Printer,
    pub(crate) format: Format,
    /// The file that is to be written, instead of stdout.
    pub(crate) file: Option<PathBuf>,
    pub(crate) target: Target,
    /// The database of `serve` and `run`.
    pub(crate) database: Database,
    /// The policy that was named.
    pub(crate) policy: Option<Policy>,
    /// What the reader of stdout can be shown.
    pub(crate) style: Style,
    /// What the next command needs after its words to ask the same: the option
    /// that was typed, with a space before it, or nothing.
    pub(crate) asked: String,
}

/// Whom a command asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The coordinator that was named.
    Named(String),
    /// The database that was named, without a server.
    Database(Database),
    /// The coordinator of this machine, else its database.
    Nearest(Database),
}

/// A SQLite database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) path: PathBuf,
}

impl Database {
    fn parse(text: &str) -> Outcome<Self> {
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            return Err(Failure::usage(
                "Postgres is not supported by this version; use `--database sqlite:PATH`",
            ));
        }
        let path = text.strip_prefix("sqlite:").unwrap_or(text);
        let path = path.strip_prefix("//").unwrap_or(path);
        let scheme = path.split_once(':').map(|(scheme, _)| scheme);
        if path.is_empty() || scheme.is_some_and(|scheme| !scheme.contains('/')) {
            return Err(Failure::usage(format!(
                "`{text}` names no database; write `sqlite:PATH`"
            )));
        }
        Ok(Self {
            path: PathBuf::from(path),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.is_file()
    }

    /// Where the coordinator that has it open listens, as it noted beside it.
    pub(crate) fn holder(&self) -> Option<String> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let text = std::fs::read_to_string(path).ok()?;
        let note: Holder = serde_json::from_str(&text).ok()?;
        (!note.address.is_empty()).then_some(note.address)
    }
}

/// What the store's lock file says of its holder.
#[derive(Debug, Deserialize)]
struct Holder {
    #[serde(default)]
    address: String,
}

impl Context {
    pub(crate) fn resolve(global: &Global) -> Outcome<Self> {
        let text = global.database.as_deref();
        let database = Database::parse(text.unwrap_or(DATABASE_DEFAULT))?;
        let target = match (&global.coordinator, text) {
            // What is typed goes before the environment.
            (_, Some(_)) if global.typed == Typed::Database => Target::Database(database.clone()),
            (Some(url), _) => Target::Named(url_of(url)?),
            (None, Some(_)) => Target::Database(database.clone()),
            (None, None) => Target::Nearest(database.clone()),
        };
        let asked = match (global.typed, text, &global.coordinator) {
            (Typed::Database, Some(text), _) => format!(" --database {}", quoted(text)),
            (Typed::Coordinator, _, Some(url)) => format!(" --coordinator {}", quoted(url)),
            _ => String::new(),
        };
        let printer = Printer::new(global.color, global.quiet);
        let policy = global.policy.as_deref().map(policy).transpose()?;
        Ok(Self {
            printer,
            format: global.output.format(),
            file: global.output.file(),
            target,
            database,
            policy,
            style: printer.style(),
            asked,
        })
    }

    /// The same for a verb that works in the database, whomever others ask.
    pub(crate) fn in_database(&self) -> Self {
        let asked = match self.target {
            Target::Named(_) => format!(" --database {}", quoted(&self.database.url())),
            Target::Database(_) | Target::Nearest(_) => self.asked.clone(),
        };
        Self {
            target: Target::Database(self.database.clone()),
            asked,
            ..self.clone()
        }
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/:._-+=,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A coordinator's URL as typed; a bare `HOST:PORT` will do.
fn url_of(text: &str) -> Outcome<String> {
    let text = text.trim().trim_end_matches('/');
    if text.starts_with("https://") {
        return Err(Failure::usage(format!(
            "`{text}`: this version speaks no TLS; use an http:// URL inside a trusted network \
             or a tunnel"
        )));
    }
    let url = match text.split_once("://") {
        Some(("http", _)) => text.to_owned(),
        None if !text.is_empty() => format!("http://{text}"),
        _ => {
            return Err(Failure::usage(format!(
                "`{text}` is no coordinator's URL; write it like {COORDINATOR_DEFAULT}"
            )));
        }
    };
    match tonic::transport::Endpoint::from_shared(url.clone()) {
        Ok(_) => Ok(url),
        Err(error) => Err(Failure::usage(format!(
            "`{text}` is no coordinator's URL: {error}; write it like {COORDINATOR_DEFAULT}"
        ))),
    }
}

/// What `serve` listens on and keeps.
pub(crate) fn serve(context: &Context, arguments: &Serve) -> ServeSettings {
    ServeSettings {
        listen: arguments.listen,
        database: context.database.url(),
        policy: context.policy.clone().unwrap_or_default(),
    }
}

/// The policy of a coordinator with one worker, which `run` starts: somebody
/// waits for it, and taking its only worker away would help nobody.
pub(crate) fn policy_of_one(context: &Context) -> Policy {
    context.policy.clone().unwrap_or_else(|| Policy {
        cordon_after: u32::MAX,
        backoff_base_ms: 1_000,
        charged_max: 3,
        ..Policy::default()
    })
}

fn policy(path: &Path) -> Outcome<Policy> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the policy {shown}: {error}")))?;
    let policy: Policy = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or_else(String::new, |span| {
            let before = &text[..span.start.min(text.len())];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!(":{line}:{column}")
        });
        Failure::usage(format!("{shown}{at}: {}", error.message()))
    })?;
    policy
        .check()
        .map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    Ok(policy)
}

/// How this machine trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalSettings {
    pub(crate) slots: u32,
    pub(crate) state_dir: PathBuf,
}

impl LocalSettings {
    pub(crate) fn resolve(arguments: &Local, database: &Database) -> Self {
        let cores = || available_parallelism().map_or(1, |cores| cores.get() as u32);
        let beside = || {
            let mut name = database.path.clone().into_os_string();
            name.push(".worker");
            PathBuf::from(name)
        };
        Self {
            slots: arguments.slots.unwrap_or_else(cores),
            state_dir: arguments.state_dir.clone().unwrap_or_else(beside),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_policy_of_one_worker_keeps_the_relations() {
        let global = Cli::try_parse_from(["coordinator", "sweeps"])
            .unwrap()
            .global;
        let context = Context::resolve(&Global {
            policy: None,
            ..global
        })
        .unwrap();
        assert_eq!(policy_of_one(&context).check(), Ok(()));
    }

    #[test]
    fn the_next_command_asks_the_same() {
        let context = |options: &str| {
            let words = "coordinator sweeps".split(' ');
            let cli = Cli::read(words.chain(options.split_whitespace())).unwrap();
            Context::resolve(&cli.global).unwrap()
        };
        let typed = context("--database sqlite:a.db");
        assert_eq!(typed.asked, " --database sqlite:a.db");
        assert_eq!(typed.in_database().asked, " --database sqlite:a.db");
        let typed = context("--coordinator h:1");
        assert_eq!(typed.asked, " --coordinator h:1");
        assert_eq!(typed.in_database().asked, " --database sqlite:swath.db");
        assert_eq!(quoted("sqlite:it's here.db"), r"'sqlite:it'\''s here.db'");
    }

    #[test]
    fn databases_are_sqlite() {
        let path = |text: &str| Database::parse(text).map(|database| database.path);
        assert_eq!(path("sqlite:a/b.db"), Ok("a/b.db".into()));
        assert_eq!(path("sqlite:///srv/b.db"), Ok("/srv/b.db".into()));
        assert_eq!(path("b.db"), Ok("b.db".into()));
        assert!(path("postgres://h/db").unwrap_err().lines[0].contains("Postgres"));
        assert!(path("mysql://h/db").is_err());
        assert!(path("sqlite:").is_err());
    }

    #[test]
    fn urls_may_lack_their_scheme() {
        assert_eq!(
            url_of("localhost:7070/"),
            Ok("http://localhost:7070".into())
        );
        assert_eq!(url_of("http://h:1"), Ok("http://h:1".into()));
        assert!(url_of("https://h:1").unwrap_err().lines[0].contains("TLS"));
        for wrong in ["", "ftp://h", "http://a b"] {
            assert!(url_of(wrong).is_err(), "{wrong}");
        }
    }
}
