use clap::CommandFactory;

use super::*;

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_has_a_variable_and_a_help() {
    let mut root = Cli::command();
    root.build();
    let globals = root.get_arguments();
    let own = root
        .get_subcommands()
        .flat_map(clap::Command::get_arguments);
    for argument in globals.chain(own) {
        let id = argument.get_id().as_str();
        if matches!(id, "help" | "version" | "subcommand") {
            continue;
        }
        assert!(argument.get_help().is_some(), "{id} has no help");
        if argument.get_long().is_some() {
            assert!(argument.get_env().is_some(), "{id} has no variable");
        }
    }
}

#[test]
fn what_a_job_is_told_is_no_option() {
    let variables = |command: &clap::Command| {
        let import = command.find_subcommand("import").unwrap();
        let arguments = command.get_arguments().chain(import.get_arguments());
        let names = arguments.filter_map(|it| Some(it.get_env()?.to_str()?.to_owned()));
        names.collect::<Vec<String>>()
    };
    let has = |names: &[String], name: &str| names.iter().any(|it| it == name);
    let (usual, in_a_job) = (Cli::command(), in_a_job(Cli::command()));
    assert!(has(&variables(&usual), environment::SWEEP));
    let left = variables(&in_a_job);
    assert!(!has(&left, environment::SWEEP));
    // A job may submit to its own coordinator.
    assert!(has(&left, environment::COORDINATOR));
    in_a_job.debug_assert();
}

#[test]
fn the_page_names_every_variable_of_the_trainer() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../worker/trainer/src/cli.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let page = markdown::page();
    let mut found = 0;
    for rest in source.split("env = \"").skip(1) {
        let (name, _) = rest.split_once('"').unwrap();
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
        found += 1;
    }
    assert!(found > 0, "the trainer's options have moved");
}

#[test]
fn words_are_read_as_typed() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.verb);
    assert!(matches!(
        parse("coordinator jobs last state=failed -o ids"),
        Ok(Verb::Jobs(Jobs { selector, .. })) if selector == ["last", "state=failed"]
    ));
    assert!(matches!(
        parse("coordinator submit a.toml --priority -3"),
        Ok(Verb::Submit(Submit {
            priority: Some(-3),
            ..
        }))
    ));
    assert!(matches!(
        parse("coordinator --markdown-help"),
        Ok(Verb::MarkdownHelp)
    ));
    assert!(parse("coordinator cancel").is_err());
}

#[test]
fn help_of_the_program() {
    insta::assert_snapshot!(Cli::command().term_width(100).render_help());
}

#[test]
fn help_of_a_verb() {
    let mut root = Cli::command().term_width(100);
    root.build();
    let submit = root.find_subcommand_mut("submit").unwrap();
    insta::assert_snapshot!(submit.render_long_help());
}

/// The words of a command as a shell takes them, up to a comment, a pipe or
/// another command. Quotes and `$(…)` keep words together.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut together = false;
    for letter in command.chars() {
        let word = words.last_mut().expect("a word");
        match letter {
            '\'' | '(' | ')' => together = letter == '(' || (letter == '\'' && !together),
            ' ' if !together && word.is_empty() => {}
            ' ' if !together => words.push(String::new()),
            '#' if !together && word.is_empty() => break,
            '|' | '>' | ';' | '&' if !together => break,
            _ => word.push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Pages for people, without those that programs write.
fn pages(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|it| it == "md") && !path.ends_with("cli.md") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_command_that_the_pages_show_is_one() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = pages(&root.join("docs"));
    all.push(root.join("README.md"));
    let mut found = 0;
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        // Behind a prompt, such as `$ ` or `you$    `.
        let typed = text.lines().filter_map(|line| line.split_once("$ "));
        let typed = typed.filter(|(host, _)| host.chars().all(char::is_alphanumeric));
        for (_, command) in typed {
            let words = words(command.trim_start());
            let program = words.first().map(String::as_str).unwrap_or_default();
            if program.rsplit('/').next() == Some("coordinator") {
                let parsed = Cli::try_parse_from(&words);
                assert!(
                    parsed.is_ok(),
                    "{}: {command}: {:?}",
                    page.display(),
                    parsed.err()
                );
                found += 1;
            }
        }
    }
    assert!(found > 30, "{found}");
}
