//! Names and texts that act on a terminal, in all that is printed.

use std::os::unix::ffi::OsStrExt;

use swath_model::text::is_printable;

use super::support::{SMALL, Serving, Site};

/// Sets a title, rings, clears in one character (C1), and turns the order of letters.
const HOSTILE: &str = "x\u{1b}]0;y\u{7}\u{9b}2J\u{202e}\u{1b}[31mz";

fn check(what: &str, text: &str) {
    let acts = text
        .chars()
        .find(|it| !is_printable(*it) && !['\n', '\t'].contains(it));
    assert_eq!(acts, None, "{what}: {text:?}");
}

fn both(site: &Site, words: &[&str]) -> String {
    let output = site.command("").args(words).output().unwrap();
    let text = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    let text = text.concat();
    check(&words.join(" "), &text);
    text
}

#[test]
fn nothing_that_is_printed_acts_on_a_terminal() {
    let site = Site::new();
    let code = |it: char| format!("\\u{:04x}", u32::from(it));
    let quoted = HOSTILE.chars().map(code).collect::<Vec<_>>().concat();
    let file = format!("{HOSTILE}.toml");
    let text = SMALL.replace("replicates", &format!("title = \"{quoted}\"\nreplicates"));
    let text = text.replace("[1, 2, 3]", &format!("[1, \"{quoted}\"]"));
    site.write(&file, &text);
    site.write(
        "bad.toml",
        &text.replace("replicates", &format!("\"{quoted}\"")),
    );
    site.write("torn.toml", &format!("a = {HOSTILE}"));
    let serving = Serving::start(&site, "sqlite:swath.db");
    let url = &*serving.url;
    let none = format!("none{HOSTILE}.toml");
    let named: [&[&str]; 18] = [
        &["plan", &file],
        &["plan", "--color", "always", &file],
        &["plan", &none],
        &["plan", "bad.toml"],
        &["plan", "torn.toml"],
        &["submit", "--coordinator", url, &file],
        &["submit", "--coordinator", url, &file],
        &["status", "--coordinator", url],
        &["sweeps", "--coordinator", url],
        &["jobs", "--coordinator", url, "small"],
        &["table", "--coordinator", url, "small"],
        &["plot", "--coordinator", url, "small"],
        &["logs", "--coordinator", url, HOSTILE],
        &["cancel", "--coordinator", url, HOSTILE],
        &["status", "--coordinator", HOSTILE],
        &["status", "--database", HOSTILE],
        &["status", HOSTILE, HOSTILE],
        &["--none", HOSTILE],
    ];
    // What is asked for in colour has the styles of the program itself.
    for words in named.iter().filter(|words| !words.contains(&"always")) {
        both(&site, words);
    }
    let colored = site.command("").args(named[1]).output().unwrap();
    let colored = String::from_utf8(colored.stdout).unwrap();
    for part in ["\u{1b}]", "\u{7}", "\u{9b}", "\u{202e}"] {
        assert!(!colored.contains(part), "{colored:?}");
    }
    assert!(both(&site, &["plan", &none]).contains("none"));
    let unknown = both(&site, &[HOSTILE]);
    assert!(
        unknown.contains("\\u{1b}]0;y\\u{7}\\u{9b}2J\\u{202e}"),
        "{unknown}"
    );
    let broken = std::ffi::OsStr::from_bytes(b"plan\xff\x1b[2J");
    let output = site.command("").arg(broken).output().unwrap();
    check("no text", &String::from_utf8(output.stderr).unwrap());
}
