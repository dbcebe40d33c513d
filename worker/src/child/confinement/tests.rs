//! Nothing that the lists do not name is ever let through.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use swath_model::program::{Read, Shipped, input_digest};
use tempfile::TempDir;

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn call(text: &str) -> CommandLine {
    CommandLine {
        argv: words(text),
        out: "/nowhere/out/job".to_owned(),
        ..CommandLine::default()
    }
}

fn confined(directories: &[&Path]) -> Confinement {
    Confinement {
        commands: vec![words("python3 train.py"), words("./run")],
        directories: Some(directories.iter().map(|it| it.to_path_buf()).collect()),
        variables: Some(vec!["NCCL_*".to_owned(), "MODE".to_owned()]),
        ..Confinement::default()
    }
}

/// The option of which a refusal speaks.
fn refused(confinement: &Confinement, mut line: CommandLine) -> String {
    match confinement.admit(&mut line) {
        Err(Lack::Permission { option, .. }) => option,
        other => panic!("{other:?} for {line:?}"),
    }
}

#[test]
fn a_call_begins_with_all_the_words_that_are_allowed() {
    let confinement = confined(&[]);
    for good in ["python3 train.py", "python3 train.py -c x", "./run it"] {
        assert_eq!(confinement.admit(&mut call(good)), Ok(()), "{good}");
    }
    for bad in [
        "python3",
        "python3 -c 1",
        "python3 -c 1 train.py",
        "python3 ./train.py",
        "python3 train.pyc",
        "/usr/bin/python3 train.py",
        "run",
        "../run",
        "sh -c ./run",
    ] {
        assert_eq!(refused(&confinement, call(bad)), "--allow-command", "{bad}");
    }
    assert_eq!(confinement.programs(), ["python3", "./run"]);
    let mut line = call("python3 -c 1");
    let told = confinement.admit(&mut line).unwrap_err().of_one();
    assert_eq!(
        told,
        "has no permission to run `python3 -c 1`; it allows `python3 train.py` (--allow-command)"
    );
    let whole = Confinement {
        commands: vec![words("sh")],
        ..Confinement::default()
    };
    assert_eq!(whole.admit(&mut call("sh -c anything")), Ok(()));
    assert!(Confinement::default().words(&[]).is_err());
}

#[test]
fn variables_are_those_that_are_named() {
    let confinement = confined(&[]);
    let with = |names: &[&str]| CommandLine {
        asked: names.iter().map(|&name| name.to_owned()).collect(),
        ..call("./run")
    };
    let mut good = with(&["NCCL_DEBUG", "MODE"]);
    assert_eq!(confinement.admit(&mut good), Ok(()));
    for bad in [
        "LD_PRELOAD",
        "PYTHONPATH",
        "PATH",
        "MODES",
        "nccl_debug",
        "XNCCL_",
    ] {
        let line = with(&["MODE", bad]);
        assert_eq!(refused(&confinement, line), "--allow-environment", "{bad}");
    }
}

/// A project in which somebody works, beside a secret.
fn site() -> TempDir {
    let site = tempfile::tempdir().unwrap();
    for name in ["project/sub", "project-2", "secret"] {
        std::fs::create_dir_all(site.path().join(name)).unwrap();
    }
    std::fs::write(site.path().join("secret/key"), "k").unwrap();
    std::fs::write(site.path().join("project/train.py"), "t").unwrap();
    symlink("../secret", site.path().join("project/link")).unwrap();
    symlink("../secret/key", site.path().join("project/key")).unwrap();
    symlink("project", site.path().join("alias")).unwrap();
    site
}

#[test]
fn a_directory_is_where_it_really_is() {
    let site = site();
    let at = |name: &str| site.path().join(name);
    let project = at("project");
    let confinement = confined(&[&project]);
    let of = |directory: &Path| CommandLine {
        directory: Some(directory.display().to_string()),
        ..call("./run")
    };
    for (good, real) in [
        ("project", "project"),
        ("project/sub", "project/sub"),
        ("project/sub/..", "project"),
        ("alias/sub", "project/sub"),
    ] {
        let mut line = of(&at(good));
        assert_eq!(confinement.admit(&mut line), Ok(()), "{good}");
        let real = at(real).canonicalize().unwrap().display().to_string();
        assert_eq!(line.directory, Some(real));
    }
    for bad in [
        "",
        "secret",
        "project-2",
        "project/../secret",
        "project/link",
        "project/link/..",
        "project/nothing/../../nothing",
        "nothing",
    ] {
        let option = refused(&confinement, of(&at(bad)));
        assert_eq!(option, "--allow-directory", "{bad}");
    }
    assert_eq!(
        refused(&confinement, of(Path::new("/"))),
        "--allow-directory"
    );
    let gone = at("project/nothing");
    let path = gone.display().to_string();
    let lack = confinement.admit(&mut of(&gone));
    assert_eq!(lack, Err(Lack::Directory { path }));
}

#[test]
fn what_jobs_have_written_is_no_place_for_programs() {
    let site = site();
    let root = site.path().canonicalize().unwrap();
    let mut confinement = confined(&[&root]);
    confinement.written = vec![root.join("project")];
    let of = |directory: &str| CommandLine {
        directory: Some(root.join(directory).display().to_string()),
        ..call("./run")
    };
    assert_eq!(
        refused(&confinement, of("project/sub")),
        "--allow-directory"
    );
    assert_eq!(refused(&confinement, of("alias")), "--allow-directory");
    assert_eq!(confinement.admit(&mut of("project-2")), Ok(()));
    // Whoever names such a directory itself means it.
    confinement.directories = Some(vec![root.join("project/sub")]);
    assert_eq!(confinement.admit(&mut of("project/sub")), Ok(()));
}

#[test]
fn files_of_the_program_and_of_its_numbers_lie_in_its_directories() {
    let site = site();
    let project = site.path().join("project").canonicalize().unwrap();
    let confinement = confined(&[&project]);
    let line = || CommandLine {
        directory: Some(project.display().to_string()),
        ..call("./run")
    };
    let input = |path: &str| CommandLine {
        inputs: [(path.to_owned(), input_digest(b"k"))].into(),
        ..line()
    };
    assert_eq!(confinement.admit(&mut input("train.py")), Ok(()));
    assert_eq!(confinement.admit(&mut input("gone.py")), Ok(()));
    for bad in [
        "key",
        "link/key",
        "../secret/key",
        "../gone",
        "/etc/passwd",
        "/gone",
    ] {
        assert_eq!(
            refused(&confinement, input(bad)),
            "--allow-directory",
            "{bad}"
        );
    }
    let read = |path: &str| CommandLine {
        read: Some(Read::Csv(path.to_owned())),
        ..line()
    };
    for good in ["a.csv", "sub/a.csv", "/nowhere/out/job/a.csv"] {
        assert_eq!(confinement.admit(&mut read(good)), Ok(()), "{good}");
    }
    for bad in [
        "../a.csv",
        "/etc/passwd",
        "/nowhere/out/job/../other",
        "/nowhere/out/jobs",
    ] {
        assert_eq!(
            refused(&confinement, read(bad)),
            "--allow-directory",
            "{bad}"
        );
    }
    // A name can only be followed when the program has made what it leads to.
    let roots = confinement.readable(&line()).unwrap();
    assert!(lies_in(&project.join("train.py"), &roots));
    assert!(!lies_in(&project.join("key"), &roots));
    assert!(!lies_in(&project.join("link/key"), &roots));
}

#[test]
fn files_that_travel_need_their_own_leave() {
    let mut confinement = confined(&[]);
    let line = || CommandLine {
        shipped: Some(Shipped::default()),
        ..call("./run")
    };
    assert_eq!(refused(&confinement, line()), "--allow-shipped");
    confinement.shipped = true;
    assert_eq!(confinement.admit(&mut line()), Ok(()));
    let reads = CommandLine {
        read: Some(Read::Json("/etc/passwd".to_owned())),
        ..line()
    };
    assert_eq!(refused(&confinement, reads), "--allow-directory");
    // Words and variables count there too.
    let asks = CommandLine {
        asked: ["LD_PRELOAD".to_owned()].into(),
        ..line()
    };
    assert_eq!(refused(&confinement, asks), "--allow-environment");
    let other = CommandLine {
        shipped: Some(Shipped::default()),
        ..call("python3 other.py")
    };
    assert_eq!(refused(&confinement, other), "--allow-command");
}

#[test]
fn a_message_is_short_whatever_was_sent() {
    let confinement = confined(&[]);
    let mut line = call("python3");
    line.argv.push("ü".repeat(100_000));
    let told = confinement.admit(&mut line).unwrap_err().to_string();
    assert!(told.len() < 400, "{}", told.len());
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a", "b", "..", "link", "project", "sub", "/", "secret", "",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is let through begins as allowed, has allowed variables only, and is in an
    /// allowed directory, looked at in another way than the code does.
    #[test]
    fn nothing_outside_of_the_lists_is_let_through(
        argv in prop::collection::vec(word(), 0..4),
        commands in prop::collection::vec(prop::collection::vec(word(), 0..3), 0..3),
        asked in prop::collection::btree_set("[ab]{0,3}", 0..3),
        variables in prop::collection::vec("[ab]{0,2}[*]?", 0..3),
        parts in prop::collection::vec(word(), 0..5),
    ) {
        let site = site();
        let project = site.path().join("project");
        let confinement = Confinement {
            commands: commands.clone(),
            directories: Some(vec![project.clone()]),
            variables: Some(variables.clone()),
            ..Confinement::default()
        };
        let directory = parts.iter().fold(site.path().to_owned(), |path, part| path.join(part));
        let mut line = CommandLine {
            argv: argv.clone(),
            asked: asked.clone(),
            directory: Some(directory.display().to_string()),
            environment: BTreeMap::new(),
            ..CommandLine::default()
        };
        if confinement.admit(&mut line).is_ok() {
            let begins = |it: &Vec<String>| !it.is_empty() && argv.get(..it.len()) == Some(it);
            prop_assert!(commands.iter().any(begins));
            let left: BTreeSet<&String> = asked
                .iter()
                .filter(|name| !variables.iter().any(|it| {
                    it == *name || it.ends_with('*') && name.starts_with(it.trim_end_matches('*'))
                }))
                .collect();
            prop_assert!(left.is_empty(), "{left:?}");
            let real = std::fs::canonicalize(line.directory.unwrap()).unwrap();
            let mut above = real.ancestors();
            let project = project.canonicalize().unwrap();
            prop_assert!(above.any(|it| it == project), "{}", real.display());
        }
    }
}
