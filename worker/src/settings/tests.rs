//! What the command line and the environment say, and what follows from it.

use super::*;

#[test]
fn what_a_job_is_told_is_no_option() {
    let names = |command: clap::Command| {
        let arguments = command.get_arguments();
        let names = arguments.filter_map(|it| Some(it.get_env()?.to_str()?.to_owned()));
        names.collect::<Vec<String>>()
    };
    let left = names(in_a_job(Cli::command()));
    assert!(names(Cli::command()).contains(&"SWATH_DEVICE".to_owned()));
    assert!(!left.contains(&"SWATH_DEVICE".to_owned()));
    assert!(left.contains(&"SWATH_COORDINATOR".to_owned()));
    let kept_back = Cli::variables();
    assert!(kept_back.contains(&"SWATH_STATE_DIR".to_owned()));
    assert!(!kept_back.contains(&"SWATH_COORDINATOR".to_owned()));
}

#[test]
fn every_flag_has_an_environment_variable() {
    let command = Cli::command();
    command.clone().debug_assert();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let own = !["help", "version", "parent"].contains(&id);
        assert!(!own || argument.get_env().is_some(), "{id}");
    }
}

#[test]
fn urls_may_lack_their_scheme_and_be_several() {
    let of = |url: &str| Cli::try_parse_from(["worker", "--coordinator", url]);
    assert_eq!(of("h:7070/").unwrap().coordinator, ["http://h:7070"]);
    assert_eq!(of("http://h:1").unwrap().coordinator, ["http://h:1"]);
    for wrong in ["", "ftp://h", "http://a b", "h:1,"] {
        assert_eq!(of(wrong).unwrap_err().exit_code(), 2, "{wrong}");
    }
    let resolved = |url| Settings::resolve(of(url).unwrap()).unwrap();
    let several = resolved("h:1, g:2,http://h:1");
    assert_eq!(several.coordinators, ["http://h:1", "http://g:2"]);
    assert_eq!(several.backoff.max, TAKEOVER_WAIT_MAX);
    assert_eq!(resolved("h:1").backoff, Backoff::default());
}

#[test]
fn a_hosts_name_becomes_a_workers() {
    for (host, name) in [
        ("gpu-01.lab", "gpu-01.lab"),
        ("-a b/c", "a-b-c"),
        ("", "worker"),
    ] {
        assert_eq!(
            name_of(host).map(|name| name.to_string()),
            Ok(name.to_owned())
        );
    }
    assert!(name_of(&"x".repeat(300)).is_ok());
}

#[test]
fn threads_share_the_cores() {
    let cli =
        |arguments: &[&str]| Cli::parse_from([&["worker", "--state-dir", "s"], arguments].concat());
    let settings = Settings::resolve(cli(&["--device", "cpu:1000"])).unwrap();
    assert_eq!((settings.threads, settings.slots.len()), (1, 1000));
    let settings = Settings::resolve(cli(&["--threads-per-slot", "3"])).unwrap();
    assert_eq!((settings.threads, settings.slots), (3, vec![Device::Cpu]));
    assert!(settings.state_dir.is_absolute());
}

#[test]
fn who_coordinates_from_elsewhere_gets_what_is_named() {
    let of = |arguments: &[&str]| {
        let words = [&["worker", "--state-dir", "/s"], arguments].concat();
        Settings::resolve(Cli::parse_from(words)).unwrap()
    };
    let here = of(&["--allow-command", "python3"]);
    let open = Confinement {
        commands: vec![vec!["python3".to_owned()]],
        shipped: true,
        written: vec!["/s".into(), "/s/out".into()],
        ..Confinement::default()
    };
    assert_eq!(here.confinement, open);
    assert!(here.doubts().is_empty());
    let own = std::env::current_dir().unwrap();
    let far = [
        "https://h:1",
        "https://localhost:1",
        "http://h:1",
        "localhost:1,https://h:1",
    ];
    for url in far {
        let far = of(&["--coordinator", url, "--allow-command", "python3.12"]);
        assert_eq!(
            far.confinement.directories,
            Some(vec![own.clone()]),
            "{url}"
        );
        assert_eq!(far.confinement.variables, Some(Vec::new()), "{url}");
        assert!(!far.confinement.shipped, "{url}");
        let told = far.doubts().join("\n");
        assert!(told.contains("\"python3.12 train.py\""), "{url}: {told}");
    }
    let narrow = of(&[
        "--coordinator",
        "https://h:1",
        "--allow-command",
        "python3 'a b.py'",
    ]);
    let words = vec!["python3".to_owned(), "a b.py".to_owned()];
    assert_eq!(narrow.confinement.commands, [words]);
    assert_eq!(
        narrow.about(StateId(1), Path::new("/")).offer.programs,
        ["python3"]
    );
    let told = narrow.doubts().join("\n");
    assert!(!told.contains("--allow-command"), "{told}");
    let named = of(&["--allow-directory", "/a:/b", "--allow-environment", "A,B*"]);
    let directories = Some(vec!["/a".into(), "/b".into()]);
    assert_eq!(named.confinement.directories, directories);
    let variables = Some(vec!["A".to_owned(), "B*".to_owned()]);
    assert_eq!(named.confinement.variables, variables);
    assert!(!named.confinement.shipped);
    for wrong in ["", "'a"] {
        let wrong = Cli::try_parse_from(["worker", "--allow-command", wrong]);
        assert_eq!(wrong.unwrap_err().exit_code(), 2);
    }
}

#[test]
fn directories_of_attempts_are_where_and_as_large_as_asked() {
    let settings = |arguments: &[&str]| {
        let words = [&["worker", "--state-dir", "/s"], arguments].concat();
        Settings::resolve(Cli::parse_from(words)).unwrap()
    };
    let usual = settings(&[]);
    assert_eq!(
        (usual.out, usual.quota),
        ("/s/out".into(), Quota::default())
    );
    let words = [
        "--out",
        "/nfs/out",
        "--keep-bytes",
        "50GiB",
        "--keep-free",
        "0",
    ];
    let asked = settings(&words);
    assert_eq!(asked.out, PathBuf::from("/nfs/out"));
    assert_eq!(asked.quota.keep_bytes, 50 << 30);
    assert!(settings(&["--out", "here"]).out.is_absolute());
    let wrong = Cli::try_parse_from(["worker", "--keep-bytes", "50"]);
    assert_eq!(wrong.unwrap_err().exit_code(), 2);
}
