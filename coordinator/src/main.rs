//! `coordinator`: keeps sweeps and hands out jobs, and is the command by which
//! people do everything else.

mod cli;
mod client;
mod settings;
mod user;

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{Cli, Verb};
use crate::client::exit::Exit;
use crate::client::failure::Failure;
use crate::client::printer::Printer;
use crate::settings::Context;

/// Returns memory to the system after a large answer; glibc's arenas would keep
/// it for good.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long to wait for the threads of reads that are still running when a
/// command ends.
const LINGER: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    Printer::tell_panics();
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            Printer::usage(&error);
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Ok.into()
            };
        }
    };
    if matches!(cli.verb, Verb::Serve(_)) {
        use_small_pages();
        return_memory_soon();
    }
    let printer = Printer::new(cli.global.color, cli.global.quiet);
    let exit = match command(cli) {
        Ok(exit) => exit,
        Err(failure) => {
            printer.error(&failure.lines);
            failure.exit
        }
    };
    exit.into()
}

/// Keeps the kernel from giving memory in pages of 2 MiB, which it clears whole
/// and takes back only whole: with them a coordinator is half as large again, and
/// clearing them takes a third of a large submit. Not for other commands: what
/// they start inherits it, and a trainer is faster with large pages.
fn use_small_pages() {
    // A kernel without large pages refuses, and has nothing to be told.
    let _refused = rustix::thread::disable_transparent_huge_pages(true);
}

/// Lets the allocator return what is freed within two milliseconds, instead of
/// keeping it for a second and then until the thread that freed it has something
/// to do: after a few large tables that is half of all memory. At once would be
/// too soon, because a table then waits for the kernel to clear the same pages
/// again and again.
#[expect(unsafe_code, reason = "the allocator's options have no safe call")]
fn return_memory_soon() {
    /// `mi_option_purge_delay`, in milliseconds; it has no name in the bindings.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: there is one thread yet, and the number is that of an option which
    // takes a number.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 2) }
}

fn command(cli: Cli) -> Result<Exit, Failure> {
    let context = Context::resolve(&cli.global)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::error(format!("cannot start: {error}")))?;
    let exit = runtime.block_on(client::dispatch(cli.verb, &context));
    runtime.shutdown_timeout(LINGER);
    exit
}
