//! docs/cli.md, from the same definitions as `--help`.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use super::{Cli, environment};
use crate::client::exit::Exit;

const INTRODUCTION: &str = "\
# The command line of `coordinator`

<!-- Written by `cargo xtask docs`; edit the comments in coordinator/src/cli instead. -->

Data goes to stdout; progress, hints and warnings go to stderr. Colour only on a
terminal; nothing is cut short when piped.
";

/// The whole page.
pub(crate) fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = INTRODUCTION.to_owned();
    let _ = write!(page, "\n{}\n", about(&root));
    verbs(&root, &mut page);
    options("Global options", globals(&root), &mut page);
    exit_codes(&mut page);
    variables(&root, &mut page);
    page
}

fn verbs(root: &Command, page: &mut String) {
    let shown = || {
        root.get_subcommands()
            .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    };
    page.push_str("\n## Verbs\n\n| verb | |\n| --- | --- |\n");
    for verb in shown() {
        let name = verb.get_name();
        let short = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let _ = writeln!(
            page,
            "| [`{name}`](#coordinator-{name}) | {} |",
            cell(&short)
        );
    }
    for verb in shown() {
        section(verb.get_name(), verb, page);
        for below in verb.get_subcommands() {
            if below.get_name() != "help" {
                section(
                    &format!("{} {}", verb.get_name(), below.get_name()),
                    below,
                    page,
                );
            }
        }
    }
}

fn section(name: &str, verb: &Command, page: &mut String) {
    let usage = verb.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = write!(
        page,
        "\n### `coordinator {name}`\n\n```text\n{usage}\n```\n\n{}\n",
        about(verb)
    );
    let own = verb.get_arguments().filter(|arg| !arg.is_global_set());
    options("", own.filter(|arg| arg.get_id() != "help").collect(), page);
    if let Some(examples) = verb.get_after_help() {
        let examples = examples.to_string();
        let (heading, lines) = examples.split_once('\n').unwrap_or(("", &examples));
        let _ = write!(page, "\n{heading}\n\n```text\n{}\n```\n", outdent(lines));
    }
}

fn about(command: &Command) -> String {
    let text = command.get_long_about().or_else(|| command.get_about());
    text.map(ToString::to_string).unwrap_or_default()
}

fn outdent(lines: &str) -> String {
    let lines: Vec<&str> = lines
        .lines()
        .map(|line| line.trim_start_matches("  "))
        .collect();
    lines.join("\n")
}

fn globals(root: &Command) -> Vec<&Arg> {
    root.get_arguments()
        .filter(|arg| arg.is_global_set())
        .collect()
}

fn options(heading: &str, arguments: Vec<&Arg>, page: &mut String) {
    if arguments.is_empty() {
        return;
    }
    if !heading.is_empty() {
        let _ = write!(page, "\n## {heading}\n");
    }
    page.push_str("\n| option | variable | |\n| --- | --- | --- |\n");
    for argument in arguments {
        let help = argument.get_long_help().or_else(|| argument.get_help());
        let mut help = help.map(ToString::to_string).unwrap_or_default();
        let values: Vec<String> = argument
            .get_possible_values()
            .iter()
            .filter(|_| argument.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if !values.is_empty() {
            let _ = write!(help, "; one of {}", values.join(", "));
        }
        let defaults = argument.get_default_values();
        if argument.get_action().takes_values()
            && let Some(default) = defaults.first()
        {
            let _ = write!(help, " [default: {}]", default.to_string_lossy());
        }
        let variable = variable(argument).map(|name| format!("`{name}`"));
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            cell(&spelling(argument)),
            variable.unwrap_or_default(),
            cell(&help)
        );
    }
}

/// Writes an option as the page shows it: `-o, --output <FORMAT>`.
fn spelling(argument: &Arg) -> String {
    let mut names: Vec<String> = Vec::new();
    names.extend(argument.get_short().map(|short| format!("-{short}")));
    names.extend(argument.get_long().map(|long| format!("--{long}")));
    let mut text = names.join(", ");
    if argument.get_action().takes_values() {
        let value: Vec<String> = argument
            .get_value_names()
            .unwrap_or_default()
            .iter()
            .map(|name| format!("<{name}>"))
            .collect();
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&value.join(" "));
    }
    text
}

fn variable(argument: &Arg) -> Option<String> {
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

fn exit_codes(page: &mut String) {
    page.push_str("\n## Exit codes\n\n| code | |\n| --- | --- |\n");
    for exit in Exit::ALL {
        let _ = writeln!(page, "| {} | {} |", exit.code(), exit.meaning());
    }
}

fn variables(root: &Command, page: &mut String) {
    page.push_str(
        "\n## Environment\n\nEvery option has a variable; the option wins. A switch is on unless \
         its variable is\nempty, `0`, `false`, `no` or `off`.\n\n| variable | |\n| --- | --- |\n",
    );
    for (name, uses) in flags_by_variable(root) {
        let _ = writeln!(page, "| `{name}` | {} |", cell(&uses.join(", ")));
    }
    for (name, what) in environment::OTHERS {
        let _ = writeln!(page, "| `{name}` | {} |", cell(what));
    }
}

/// Every variable with the options that it sets.
pub(crate) fn flags_by_variable(root: &Command) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |argument: &Arg, of: &str| {
        let (Some(name), Some(long)) = (variable(argument), argument.get_long()) else {
            return;
        };
        let flag = format!("`{of}--{long}`");
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, uses)) => uses.push(flag),
            None => found.push((name, vec![flag])),
        }
    };
    for argument in globals(root) {
        add(argument, "");
    }
    for verb in root.get_subcommands() {
        let of = format!("{} ", verb.get_name());
        let own = verb.get_arguments().filter(|arg| !arg.is_global_set());
        for argument in own {
            add(argument, &of);
        }
    }
    found
}

/// Makes text fit into one field of a Markdown table.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}
