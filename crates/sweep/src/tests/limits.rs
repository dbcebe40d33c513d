//! Files that are too deep or too large: refused by a limit, with its place.

use swath_model::limits::LEVELS_MAX;
use swath_model::spec::JobSpec;

use super::*;

const NULL: &str = "[sweep]\nname = \"x\"\nreplicates = 1\n[fixed]\ntrainer.null = true\n";

/// `params.a0 = "=params.a1"` and so on: in `links` steps to `last`.
fn chain(links: usize, last: &str) -> String {
    let link = |at: usize| format!("params.a{at} = \"=params.a{}\"\n", at + 1);
    let links: String =
        (0..links).map(link).collect::<String>() + &format!("params.a{links} = {last}\n");
    format!("{NULL}{links}[[grid]]\nparams.i = [1]\n")
}

#[test]
fn a_chain_of_expressions_may_be_long() {
    let links = 10_000;
    let cells = cells(&chain(links, "7"));
    for at in [0, links / 2, links] {
        assert_eq!(cells[0].spec.get(&format!("params.a{at}")), Some(&json!(7)));
    }
    // Exclusions read it too.
    let excluding = chain(links, "7") + "exclude = \"params.a0 == 7\"\n";
    assert_eq!(errors(&excluding).lines().count(), 1);
}

#[test]
fn a_long_circle_is_told_in_short() {
    let told = errors(&chain(2_500, "\"=params.a0\""));
    insta::assert_snapshot!(told, @"s/x.toml:6:14: `params.a0`: depends on itself: params.a0 -> params.a1 -> params.a2 -> params.a3 -> params.a4 -> params.a5 -> params.a6 -> params.a7 -> … -> params.a0");
}

#[test]
fn a_circle_that_nothing_goes_round_is_none() {
    let text = format!(
        "{NULL}params.on = true\nparams.a = \"=params.on || params.b\"\n\
         params.b = \"=params.on && params.a\"\n[[grid]]\nparams.i = [1]\n"
    );
    assert_eq!(cells(&text)[0].spec.get("params.b"), Some(&json!(true)));
}

#[test]
fn levels_of_a_spec_are_limited_however_they_are_written() {
    let grid = |key: &str, value: &str| format!("{NULL}[[grid]]\n{key} = [{value}]\n");
    let dotted = |levels: usize| format!("\"params{}\"", ".a".repeat(levels - 1));
    let lists = |levels: usize| "[".repeat(levels) + "1" + &"]".repeat(levels);
    assert_eq!(cells(&grid(&dotted(LEVELS_MAX), "1")).len(), 1);
    assert_eq!(cells(&grid("params.a", &lists(LEVELS_MAX - 4))).len(), 1);
    for (key, value) in [
        (dotted(LEVELS_MAX + 1), "1"),
        (dotted(LEVELS_MAX), "[1]"),
        (dotted(130), "\"= 1\""),
        (dotted(300), "1"),
    ] {
        let told = errors(&grid(&key, value));
        let (place, why) = told.split_once(": `params.a").unwrap();
        assert!(place.starts_with("s/x.toml:7:"), "{told}");
        assert!(why.ends_with("is nested deeper than 64 levels; make one name of several"));
    }
    let lists = grid("params.a", &lists(LEVELS_MAX));
    insta::assert_snapshot!(errors(&lists), @"s/x.toml:7:73: more than 64 levels of names, lists and tables; make one name of several");
    insta::assert_snapshot!(errors(&grid(&dotted(100_000), "1")), @"s/x.toml:7:1: a name of 200006 bytes; at most 1024");
}

#[test]
fn cells_have_the_levels_of_files() {
    let deep = |levels: usize| {
        let lists = "[".repeat(levels) + &"]".repeat(levels);
        let tree = format!("{{\"trainer\": {{\"null\": true}}, \"params\": {{\"a\": {lists}}}}}");
        JobSpec::from_json(&tree).map(|_| ())
    };
    assert_eq!(deep(LEVELS_MAX - 2), Ok(()));
    let told = deep(LEVELS_MAX - 1).unwrap_err().remove(0);
    insta::assert_snapshot!(told, @"`params`: is nested deeper than 64 levels; make one name of several");
}
