//! Who has access: `init`, `token`, `whoami`, `audit`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use swath_coordinator::api::{ChangeOrder, CreateToken, Credentials, ReadQuery};
use swath_coordinator::identity::{ADMIN_TOKEN, AUDIT, Identity};
use swath_coordinator::server::read_audit;
use swath_model::access::Role;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_report::{Listing, ListingColumn as Column, ago, utc};

use super::change::{order, print};
use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::read::{json, print_listing};
use super::render::document;
use crate::cli::{self, Life, TokenVerb};
use crate::settings::{Context, usual_token};
use crate::user;

/// How long a person's token is good, unless it is said.
const PERSON_LIFE: Duration = Duration::from_hours(365 * 24);
/// How long a worker's token is good: it has a certificate soon.
const WORKER_TOKEN_LIFE: Duration = Duration::from_mins(15);

/// Makes what is missing of an identity.
pub(crate) async fn init(context: &Context, arguments: &cli::Init) -> Outcome {
    let directory = &context.identity;
    let shown = directory.display();
    let own = || {
        let name = hostname::get()
            .ok()
            .and_then(|name| name.into_string().ok());
        name.into_iter().collect::<Vec<_>>()
    };
    let hosts = if arguments.host.is_empty() {
        own()
    } else {
        arguments.host.clone()
    };
    if Identity::exists(directory) {
        let mut identity = Identity::open(directory).map_err(Failure::error)?;
        if !arguments.host.is_empty() {
            identity
                .add_hosts(&arguments.host)
                .map_err(Failure::usage)?;
        }
        let names = identity.hosts().join(", ");
        context
            .printer
            .note(format!("the identity in {shown} is known as {names}"));
    } else {
        let made = Identity::create(directory, &hosts).map_err(Failure::error)?;
        let names = made.hosts().join(", ");
        context
            .printer
            .note(format!("made an identity in {shown}, known as {names}"));
    }
    let token = directory.join(ADMIN_TOKEN);
    if !token.exists() {
        admin_token(context, &token).await?;
    }
    let first = hosts.first().map_or("HOST", String::as_str);
    let (asked, token) = (&context.asked, token.display());
    let usual = usual_token().map_or_else(String::new, |path| path.display().to_string());
    context.printer.hint(format!(
        "`coordinator serve --listen 0.0.0.0:7070{asked}` serves the lab at https://{first}:7070; \
         with a copy of {token} in {usual}, or named by SWATH_TOKEN_FILE, you are its admin"
    ));
    Ok(Exit::Ok)
}

async fn admin_token(context: &Context, file: &Path) -> Outcome<()> {
    let name = match user::name()? {
        nobody if nobody.is_empty() => "admin".to_owned(),
        name => name,
    };
    let database = &context.database;
    let policy = context.policy_over(Policy::default())?;
    let opened = Connection::start(database, policy, context.own_identity()).await;
    let mut connection = opened.map_err(|failure| {
        failure.hint(
            "the token of an admin is still missing: end the coordinator that has the database \
             open, and repeat `coordinator init`",
        )
    })?;
    let order = ChangeOrder::CreateToken(CreateToken {
        role: Role::Admin,
        name: name.clone(),
        life_ms: Some(PERSON_LIFE.as_millis() as u64),
        uses: None,
    });
    let made = connection.change(&order).await?;
    connection.close().await?;
    write_token(file, &made.token.unwrap_or_default())?;
    let shown = file.display();
    context
        .printer
        .note(format!("made a token for the admin `{name}`: {shown}"));
    Ok(())
}

/// Writes a token to a new file that only its owner can read.
fn write_token(path: &Path, token: &str) -> Outcome<()> {
    let written = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        writeln!(file, "{token}")?;
        file.sync_all()
    };
    written().map_err(|error| Failure::error(format!("cannot write {}: {error}", path.display())))
}

pub(crate) async fn token(context: &Context, verb: TokenVerb) -> Outcome {
    match verb {
        TokenVerb::Create(arguments) => create(context, arguments).await,
        TokenVerb::List(_) => list(context).await,
        TokenVerb::Revoke(arguments) => {
            for id in arguments.id {
                order(context, ChangeOrder::RevokeToken { id }).await?;
            }
            Ok(Exit::Ok)
        }
    }
}

async fn create(context: &Context, arguments: cli::TokenCreate) -> Outcome {
    let is_worker = arguments.role == Role::Worker;
    let usual = if is_worker {
        WORKER_TOKEN_LIFE
    } else {
        PERSON_LIFE
    };
    let life = match arguments.expires.unwrap_or(Life::For(usual)) {
        Life::For(life) => Some(life.as_millis() as u64),
        Life::Ever => None,
    };
    let uses = match arguments.uses {
        None if is_worker => Some(1),
        Some(0) => None,
        uses => uses,
    };
    if let Some(path) = arguments.into.as_ref().filter(|path| path.exists()) {
        return Err(Failure::usage(format!(
            "{} is there already",
            path.display()
        )));
    }
    let asked = ChangeOrder::CreateToken(CreateToken {
        role: arguments.role,
        name: arguments.name.unwrap_or_default(),
        life_ms: life,
        uses,
    });
    let mut connection = Connection::open(context).await?;
    let mut made = connection.change(&asked).await?;
    connection.close().await?;
    let token = made.token.clone().unwrap_or_default();
    if let Some(path) = &arguments.into {
        write_token(path, &token)?;
        made.token = None;
        made.message = format!("{}: {}", made.message, path.display());
        print(context, &made)?;
    } else if let Some(text) = json(context, &made)? {
        context.printer.data(&text)?;
    } else {
        context.printer.note(&made.message);
        context.printer.data(&format!("{token}\n"))?;
    }
    Ok(Exit::Ok)
}

async fn list(context: &Context) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let all: Credentials = connection.read(&ReadQuery::Credentials).await?;
    connection.close().await?;
    let now = Timestamp::from_ms(all.now_ms);
    let columns = [
        Column::text("id"),
        Column::text("kind"),
        Column::text("role"),
        Column::text("name"),
        Column::number("made"),
        Column::text("expires"),
        Column::text("uses left"),
        Column::text("state"),
        Column::text("made by").wide(),
    ];
    let mut listing = Listing::new("credentials", columns);
    for it in &all.credentials {
        let uses = match (it.role, it.is_token, it.uses_left) {
            (Role::Worker, true, None) => "any number".to_owned(),
            (_, _, left) => left.map_or_else(String::new, |left| left.to_string()),
        };
        let fields = vec![
            it.id.to_string(),
            if it.is_token { "token" } else { "certificate" }.to_owned(),
            it.role.to_string(),
            it.name.clone(),
            ago(it.created_at, now),
            it.expires_at.map_or_else(|| "never".to_owned(), utc),
            uses,
            it.standing.clone(),
            it.created_by.clone(),
        ];
        listing.push(it.id.to_string(), fields, document(it));
    }
    let asked = &context.asked;
    let hint = format!("no token yet; `coordinator init{asked}` makes the first one");
    print_listing(context, &listing, &hint)
}

pub(crate) async fn revoke_worker(context: &Context, arguments: cli::RevokeWorker) -> Outcome {
    let worker = arguments.worker;
    order(context, ChangeOrder::RevokeWorker { worker }).await
}

pub(crate) async fn whoami(context: &Context) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let myself = connection.myself().await?;
    let url = connection.url().to_owned();
    connection.close().await?;
    match json(context, &myself)? {
        Some(text) => context.printer.data(&text)?,
        None => context
            .printer
            .data(&format!("{} at {url}\n", myself.told))?,
    }
    Ok(Exit::Ok)
}

/// Shows the audit log of the identity, and checks it.
pub(crate) fn audit(context: &Context) -> Outcome {
    let path = context.identity.join(AUDIT);
    let read = read_audit(&path);
    let verdict = read.map_err(|error| {
        let shown = path.display();
        Failure::new(Exit::NotFound, format!("cannot read {shown}: {error}"))
            .hint("`--identity DIR` names another identity than that beside the database")
    })?;
    let columns = [
        Column::number("line"),
        Column::text("at"),
        Column::text("who"),
        Column::text("from"),
        Column::text("verdict"),
        Column::text("call"),
        Column::text("what"),
        Column::number("more refused").wide(),
    ];
    let mut listing = Listing::new("lines", columns);
    for line in &verdict.lines {
        let entry = &line.entry;
        let fields = vec![
            line.number.to_string(),
            utc(Timestamp::from_ms(entry.at_ms)),
            entry.who.clone(),
            entry.from.clone().unwrap_or_default(),
            entry.verdict.clone(),
            entry.call.clone(),
            entry.what.clone(),
            entry.more_refused.to_string(),
        ];
        listing.push(line.number.to_string(), fields, document(line));
    }
    print_listing(context, &listing, "nothing happened yet")?;
    if verdict.wrong.is_empty() {
        return Ok(Exit::Ok);
    }
    Err(Failure::of(Exit::Error, verdict.wrong))
}
