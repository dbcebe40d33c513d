//! The settings of a command, merged from command line, environment and
//! defaults.

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use swath_coordinator::database::Database;
use swath_coordinator::identity::Identity;
use swath_coordinator::server::ServeSettings;
use swath_model::limits::FILE_BYTES_MAX;
use swath_model::policy::Policy;
use swath_proto::address::{url_of, urls_of};
use swath_proto::secure::{Caller, read_token};
use swath_report::{Format, Style};
use swath_sweep::check_extent;

use crate::cli::{Global, Local, Serve, Typed};
use crate::client::failure::{Failure, Outcome};
use crate::client::printer::Printer;

/// The settings that every verb uses.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) printer: Printer,
    pub(crate) format: Format,
    /// The file to write instead of stdout.
    pub(crate) file: Option<PathBuf>,
    pub(crate) target: Target,
    /// The database of `serve` and `run`.
    pub(crate) database: Database,
    /// The policy, if one was named.
    pub(crate) policy: Option<PolicyFile>,
    /// Who the user is to coordinators.
    pub(crate) caller: Caller,
    /// Where the coordinator's identity is, or would be.
    pub(crate) identity: PathBuf,
    /// What the terminal behind stdout can show.
    pub(crate) style: Style,
    /// What has to follow the words of the next command so that it asks the
    /// same coordinator: the option that was typed, with a space before it, or
    /// nothing.
    pub(crate) asked: String,
}

/// What a command asks: coordinators or a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The coordinators that were named, in the order in which they are tried.
    Named(Vec<String>),
    /// The database that was named, without a server.
    Database(Database),
    /// The coordinator of this machine or, if none answers, its database.
    Nearest(Database),
}

impl Context {
    /// The policy of the file that `--policy` names; where it says nothing, or
    /// there is none, `base`.
    pub(crate) fn policy_over(&self, base: Policy) -> Outcome<Policy> {
        match &self.policy {
            Some(file) => file.over(&base),
            None => Ok(base),
        }
    }

    pub(crate) fn resolve(global: &Global) -> Outcome<Self> {
        let text = global.database.as_deref();
        let database =
            Database::parse(text.unwrap_or(Database::DEFAULT)).map_err(Failure::usage)?;
        let target = match (&global.coordinator, text) {
            // The command line takes precedence over the environment.
            (_, Some(_)) if global.typed == Typed::Database => Target::Database(database.clone()),
            (Some(urls), _) => Target::Named(
                urls_of(urls)
                    .map_err(|error| Failure::usage(format!("--coordinator `{urls}`: {error}")))?,
            ),
            (None, Some(_)) => Target::Database(database.clone()),
            (None, None) => Target::Nearest(database.clone()),
        };
        let asked = match (global.typed, text, &global.coordinator) {
            (Typed::Database, Some(text), _) => format!(" --database {}", quoted(text)),
            (Typed::Coordinator, _, Some(urls)) => format!(" --coordinator {}", quoted(urls)),
            _ => String::new(),
        };
        let caller = caller(global.token_file.as_deref(), &target)?;
        let identity = global.identity.clone();
        let identity = identity.unwrap_or_else(|| database.beside(".identity"));
        let format = global.output.format();
        let printer = Printer::new(global.color, global.quiet).of(format);
        let policy = global.policy.as_deref().map(PolicyFile::read).transpose()?;
        Ok(Self {
            printer,
            format,
            file: global.output.file(),
            target,
            database,
            policy,
            caller,
            identity,
            style: printer.style(),
            asked,
        })
    }

    /// The directory of the coordinator's identity, if there is one.
    pub(crate) fn own_identity(&self) -> Option<PathBuf> {
        Identity::exists(&self.identity).then(|| self.identity.clone())
    }

    /// The same settings for a verb that works in the database, whatever other
    /// verbs would ask.
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

/// Who the user is: the holder of the token in this file or, where coordinators at
/// secure addresses are named, in the usual one.
fn caller(file: Option<&Path>, target: &Target) -> Outcome<Caller> {
    let asks = match target {
        Target::Named(urls) => urls.iter().any(|url| url.starts_with("https://")),
        Target::Database(_) | Target::Nearest(_) => false,
    };
    let usual = || usual_token().filter(|path| asks && path.exists());
    let Some(path) = file.map(Path::to_path_buf).or_else(usual) else {
        return Ok(Caller::default());
    };
    let token = read_token(&path).map_err(Failure::usage)?;
    Ok(Caller::with_token(&token))
}

/// Where a person keeps a token, unless another file is named.
pub(crate) fn usual_token() -> Option<PathBuf> {
    let set = std::env::var_os("XDG_CONFIG_HOME").filter(|value| !value.is_empty());
    let base = set.map(PathBuf::from);
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".config")));
    base.map(|base| base.join("swath/token"))
}

/// A word, quoted for a shell if necessary.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/:._-+=,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The settings of `serve`.
pub(crate) fn serve(context: &Context, arguments: &Serve) -> Outcome<ServeSettings> {
    let advertise = arguments.advertise.as_ref().map(|url| {
        url_of(url).map_err(|error| Failure::usage(format!("--advertise `{url}`: {error}")))
    });
    let identity = context.own_identity();
    Ok(ServeSettings {
        listen: arguments.listen,
        secured: identity.is_some(),
        identity,
        advertise: advertise.transpose()?,
        connections_per_address: arguments.connections_per_address,
        database: context.database.clone(),
        policy: context.policy_over(Policy::default())?,
    })
}

/// The policy of a coordinator with one worker, which `run` starts, as far as no
/// file says otherwise: somebody waits for it, and cordoning its only worker
/// would help nobody.
pub(crate) fn policy_of_one(context: &Context) -> Outcome<Policy> {
    context.policy_over(Policy {
        cordon_after: u32::MAX,
        backoff_base_ms: 1_000,
        charged_max: 3,
        ..Policy::default()
    })
}

/// The keys of a policy file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PolicyFile {
    /// The file, for messages.
    shown: String,
    keys: toml::Table,
}

impl PolicyFile {
    fn read(path: &Path) -> Outcome<Self> {
        let shown = path.display().to_string();
        let text = swath_files::read_text(path, FILE_BYTES_MAX as u64)
            .map_err(|error| Failure::usage(format!("cannot read the policy {shown}: {error}")))?;
        let wrong = |error: &toml::de::Error| {
            let at = error.span().map_or_else(String::new, |span| {
                let before = &text[..span.start.min(text.len())];
                let line = before.matches('\n').count() + 1;
                let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                format!(":{line}:{column}")
            });
            Failure::usage(format!("{shown}{at}: {}", error.message()))
        };
        check_extent(&shown, &text).map_err(Failure::usage)?;
        // Read as a policy first: a table does not know which keys there are.
        let _policy: Policy = toml::from_str(&text).map_err(|error| wrong(&error))?;
        let keys = toml::from_str(&text).map_err(|error| wrong(&error))?;
        Ok(Self { shown, keys })
    }

    /// What the file says; where it says nothing, `base`.
    fn over(&self, base: &Policy) -> Outcome<Policy> {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", self.shown));
        let mut keys = toml::Table::try_from(base).map_err(|error| wrong(&error))?;
        keys.extend(self.keys.clone());
        let policy: Policy = keys.try_into().map_err(|error| wrong(&error))?;
        policy.check().map_err(|error| wrong(&error))?;
        Ok(policy)
    }
}

/// The settings for training on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalSettings {
    pub(crate) slots: u32,
    pub(crate) state_dir: PathBuf,
}

impl LocalSettings {
    pub(crate) fn resolve(arguments: &Local, database: &Database) -> Self {
        let cores = || available_parallelism().map_or(1, |cores| cores.get() as u32);
        let beside = || database.beside(".worker");
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
        assert_eq!(policy_of_one(&context).unwrap().check(), Ok(()));
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
        let typed = context("--coordinator h:1,http://g:2/");
        assert_eq!(typed.asked, " --coordinator h:1,http://g:2/");
        let urls = ["http://h:1", "http://g:2"].map(str::to_owned);
        assert_eq!(typed.target, Target::Named(urls.to_vec()));
        assert_eq!(typed.in_database().asked, " --database sqlite:swath.db");
        assert_eq!(quoted("sqlite:it's here.db"), r"'sqlite:it'\''s here.db'");
    }

    #[test]
    fn a_policy_file_changes_what_it_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.toml");
        let context = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let words = ["coordinator", "--policy", path.to_str().unwrap(), "sweeps"];
            Context::resolve(&Cli::parse_from(words).global)
        };
        // A default of `serve`, which `run` does not have.
        let said = context("heartbeat_ms = 10000\n").unwrap();
        let of_one = policy_of_one(&said).unwrap();
        assert_eq!((of_one.cordon_after, of_one.charged_max), (u32::MAX, 3));
        let said = context("cordon_after = 2\n").unwrap();
        let of_one = policy_of_one(&said).unwrap();
        assert_eq!((of_one.cordon_after, of_one.charged_max), (2, 3));
        let wrong = context("heartbeat_ms = 1\nttl = 5\n").unwrap_err();
        assert!(
            wrong.lines[0].contains("policy.toml:2:1: unknown field"),
            "{wrong:?}"
        );
        let wrong = context("ttl_ms = 5\n")
            .and_then(|it| policy_of_one(&it))
            .unwrap_err();
        assert!(wrong.lines[0].contains("policy.toml: "), "{wrong:?}");
    }
}
