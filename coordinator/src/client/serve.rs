//! `serve`: a coordinator that keeps running.

use std::convert::Infallible;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use swath_coordinator::server::Server;
use swath_service::Watchdog;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::wait::Interrupts;
use crate::cli::Serve;
use crate::settings::{self, Context};

/// How long open calls and the store may take to end.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Raises the limit of open files as far as the system allows: each worker
/// holds two connections, and the usual soft limit allows only a few hundred.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

pub(crate) async fn serve(context: &Context, arguments: &Serve) -> Outcome {
    let settings = settings::serve(context, arguments)?;
    log(arguments)?;
    raise_file_limit();
    // Taken, it ends no process: a write beyond `ulimit -f` fails instead, and is told.
    let too_large = SignalKind::from_raw(Signal::XFSZ.as_raw());
    let _too_large = signal(too_large)
        .map_err(|error| Failure::error(format!("cannot listen to signals: {error}")))?;
    let mut interrupts = Interrupts::listen(true)?;
    let database = settings.database.url();
    let scheme = if settings.secured { "https" } else { "http" };
    let server = Server::start(settings).await?;
    let address = server.address();
    // Scripts wait for this one line; `--quiet` does not hide it.
    context.printer.say(format!(
        "listening on {scheme}://{address}, database {database}"
    ));
    if server.is_new() {
        context
            .printer
            .note(format!("created a new store: there was none at {database}"));
    }
    swath_service::ready(&format!("serves at {scheme}://{address}"));
    let failed = tokio::select! {
        () = interrupts.next() => None,
        error = server.failed() => Some(error),
        never = be_watched(&server) => match never {},
    };
    swath_service::stopping("lets open calls end");
    if failed.is_none() {
        context
            .printer
            .note("stopping; workers keep training and report when it is back");
    }
    let stopped = tokio::select! {
        stopped = tokio::time::timeout(STOP_WAIT, server.stop()) => stopped,
        () = interrupts.next() => return Err(Failure::error("stopped at once by a second signal")),
    };
    if let Some(error) = failed {
        return Err(Failure::error(format!("cannot go on: {error}")));
    }
    match stopped {
        Ok(Ok(())) => Ok(Exit::Ok),
        Ok(Err(error)) => Err(Failure::error(format!("stopped badly: {error}"))),
        Err(_) => Err(Failure::error(
            "did not stop in time; what was acknowledged is stored",
        )),
    }
}

/// Tells the supervisor that this coordinator is well, as long as what decides answers.
async fn be_watched(server: &Server) -> Infallible {
    let mut watchdog = Watchdog::new();
    loop {
        watchdog.due().await;
        if server.answers().await {
            watchdog.feed();
        }
    }
}

/// What is logged unless something else is asked for. That a table of the schema
/// exists already, which Postgres notices at every start, is no news.
const LOG_DEFAULT: &str = "info,sqlx::postgres::notice=warn";

/// Logs to stderr from now on.
fn log(arguments: &Serve) -> Outcome<()> {
    let rust_log = std::env::var("RUST_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let wanted = arguments
        .log
        .clone()
        .or(rust_log)
        .unwrap_or_else(|| LOG_DEFAULT.to_owned());
    swath_service::log::start(&wanted, arguments.log_format, true)
        .map_err(|error| Failure::usage(format!("--log `{wanted}`: {error}")))
}
