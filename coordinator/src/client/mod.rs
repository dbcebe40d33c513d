//! Every verb: it asks a coordinator, or is one.

mod access;
mod ask;
mod best;
mod change;
mod check;
mod compare;
mod connection;
mod doctor;
pub(crate) mod exit;
mod export;
pub(crate) mod failure;
mod fetch;
mod files;
mod forget;
mod import;
mod imports;
mod inputs;
mod jobs;
mod local;
mod lock;
mod matching;
mod output;
mod plan;
mod plot;
pub(crate) mod printer;
mod read;
mod render;
mod replay;
mod run;
mod serve;
mod ship;
mod sources;
mod stale;
mod status;
mod store;
mod storing;
mod submit;
mod table;
mod wait;

use std::path::Path;

use clap::CommandFactory;

use self::exit::Exit;
use self::failure::{Failure, Outcome};
use crate::cli::{Cli, Completions, Verb, WorkersVerb, markdown};
use crate::settings::Context;

/// Carries out what was typed.
pub(crate) async fn dispatch(verb: Verb, context: &Context) -> Outcome {
    if let (Some(file), false) = (
        &context.file,
        matches!(
            verb,
            Verb::Best(_) | Verb::Export(_) | Verb::Files(_) | Verb::Plot(_)
        ),
    ) {
        return Err(no_file(file));
    }
    match verb {
        Verb::Run(arguments) => run::run(context, &arguments).await,
        Verb::Plan(arguments) => plan::plan(context, &arguments).await,
        Verb::Submit(arguments) => submit::submit(context, &arguments).await,
        Verb::Wait(arguments) => submit::wait_for(context, &arguments).await,
        Verb::Table(arguments) => table::table(context, arguments).await,
        Verb::Best(arguments) => best::best(context, arguments).await,
        Verb::Export(arguments) => export::export(context, arguments).await,
        Verb::Plot(arguments) => plot::plot(context, arguments).await,
        Verb::Compare(arguments) => compare::compare(context, arguments).await,
        Verb::Status(arguments) => status::status(context, arguments).await,
        Verb::Sweeps(arguments) => read::sweeps(context, &arguments).await,
        Verb::Jobs(arguments) => jobs::jobs(context, arguments).await,
        Verb::Explain(arguments) => jobs::explain(context, arguments).await,
        Verb::Decisions(arguments) => read::decisions(context, arguments).await,
        Verb::Logs(arguments) => jobs::logs(context, arguments).await,
        Verb::Files(arguments) => fetch::files(context, arguments).await,
        Verb::Curves(arguments) => jobs::curves(context, arguments).await,
        Verb::Extend(arguments) => change::extend(context, &arguments).await,
        Verb::Retry(arguments) => change::retry(context, arguments).await,
        Verb::Forget(arguments) => forget::forget(context, arguments).await,
        Verb::Replay(arguments) => replay::replay(context, &arguments).await,
        Verb::Import(arguments) => import::import(context, &arguments).await,
        Verb::Cancel(arguments) => change::cancel(context, arguments).await,
        Verb::Rename(arguments) => change::rename(context, arguments).await,
        Verb::Tag(arguments) => change::tag(context, arguments).await,
        Verb::Note(arguments) => change::note(context, arguments).await,
        Verb::Archive(arguments) => change::archive(context, arguments).await,
        Verb::Delete(arguments) => change::delete(context, arguments).await,
        Verb::Pause(arguments) => change::pause(context, arguments).await,
        Verb::Resume(arguments) => change::resume(context, arguments).await,
        Verb::Init(arguments) => access::init(context, &arguments).await,
        Verb::Token(arguments) => access::token(context, arguments.verb).await,
        Verb::Whoami(_) => access::whoami(context).await,
        Verb::Audit(_) => access::audit(context),
        Verb::Serve(arguments) => serve::serve(context, &arguments).await,
        Verb::Workers(arguments) => match arguments.action {
            None => read::workers(context).await,
            Some(WorkersVerb::Forget(it)) => change::forget_worker(context, it).await,
            Some(WorkersVerb::Revoke(it)) => access::revoke_worker(context, it).await,
        },
        Verb::Cordon(arguments) => change::cordon(context, arguments).await,
        Verb::Activate(arguments) => change::activate(context, arguments).await,
        Verb::Drain(arguments) => change::drain(context, arguments).await,
        Verb::Store(arguments) => store::store(context, &arguments).await,
        Verb::Doctor(_) => doctor::doctor(context).await,
        Verb::Completions(arguments) => completions(context, &arguments),
        Verb::MarkdownHelp => {
            context.printer.data(&markdown::page())?;
            Ok(Exit::Ok)
        }
    }
}

/// The failure for verbs that write no files.
fn no_file(file: &Path) -> Failure {
    let file = file.display();
    Failure::usage(format!(
        "`-o {file}`: only `best`, `export` and `plot` write files; the others print, so name a format and \
         write `-o FORMAT > {file}`"
    ))
}

fn completions(context: &Context, arguments: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "coordinator",
        &mut script,
    );
    context.printer.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
