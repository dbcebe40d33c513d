//! The binary: reads the settings, starts the log, runs the daemon.

use std::process::ExitCode;
use std::time::Duration;

use swath_agent::Exit;
use swath_worker::child::{adopt_orphans, die_with, guard};
use swath_worker::daemon;
use swath_worker::settings::{Cli, Settings};
use swath_worker::terminal;

/// Exit code: wrong usage.
const USAGE: u8 = 2;
/// Exit code: another worker has this one's name.
const DISPLACED: u8 = 3;
/// Exit code: ended by a second signal.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    terminal::tell_panics();
    if guard::is_meant() {
        return match guard::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &format!("cannot guard: {error}")),
        };
    }
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            terminal::usage(&error);
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let log = cli.log.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let log = log.unwrap_or_else(|| "info".to_owned());
    if let Err(error) = swath_service::log::start(&log, cli.log_format, false) {
        return fail(USAGE, &format!("--log {log}: {error}"));
    }
    if let Some(Err(error)) = cli.parent.map(die_with) {
        return fail(1, &format!("cannot start under --parent: {error}"));
    }
    let settings = match Settings::resolve(cli) {
        Ok(settings) => settings,
        Err(error) => return fail(USAGE, &error.to_string()),
    };
    if let Err(error) = adopt_orphans() {
        return fail(
            1,
            &format!("cannot start: cannot adopt orphaned processes: {error}"),
        );
    }
    // One thread: children die with the thread that started them, and this one
    // lives as long as the process.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::MAX)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    // One thread for what blocks is always there, so that where no more can be started, what is
    // asked of them waits. It would panic where not even the first can be.
    match std::thread::Builder::new().spawn(|| ()) {
        Ok(thread) => drop(thread.join()),
        Err(error) => return fail(1, &format!("cannot start a thread: {error}")),
    }
    drop(runtime.spawn_blocking(|| ()));
    let ended = runtime.block_on(daemon::run(settings));
    // A name server that does not answer must not delay the end: a look-up in
    // progress cannot be cancelled.
    runtime.shutdown_background();
    match ended {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Interrupted) => ExitCode::from(INTERRUPTED),
        Ok(Exit::Displaced(why)) => fail(DISPLACED, &why),
        Ok(Exit::Failed(why)) => fail(1, &why),
        Err(error) => fail(1, &error.to_string()),
    }
}

/// Says the last word of the process, whatever is logged.
fn fail(code: u8, why: &str) -> ExitCode {
    // Where stderr is on a full disk, the code says it alone.
    terminal::say(&format!("worker: {why}"));
    ExitCode::from(code)
}
