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

#[test]
fn specs_of_a_job_and_of_a_sweep_are_limited() {
    let file = |fixed: &str, cells: u32| {
        format!("{NULL}{fixed}\n[[grid]]\nparams.i = {{ from = 1, to = {cells}, step = 1 }}\n")
    };
    let text = |bytes: usize| format!("params.a = \"{}\"", "x".repeat(bytes));
    let list = |count: usize| format!("params.a = [{}]", "1,".repeat(count));
    assert_eq!(cells(&file(&text(1_000_000), 3)).len(), 3);
    insta::assert_snapshot!(errors(&file(&text(1 << 20), 2_000)), @"s/x.toml:6:12: `params`: the spec of a job has 1048619 bytes; at most 1048576");
    insta::assert_snapshot!(errors(&file(&list(20_000), 2_000)), @"s/x.toml:6:12: `params`: a job has 20005 values; at most 20000");
    insta::assert_snapshot!(errors(&file(&text(1_000_000), 70)), @"s/x.toml:1:2: `grid`: makes more than 67108864 bytes of specs, which is the limit of a sweep; make several sweeps of it");
    insta::assert_snapshot!(errors(&file(&list(19_000), 110)), @"s/x.toml:1:2: `grid`: makes more than 2000000 values in all cells, which is the limit of a sweep; make several sweeps of it");
    let blocks = format!(
        "{NULL}{}{}",
        text(900_000),
        "\n[[grid]]\nparams.i = 1\n".repeat(100)
    );
    let told = errors(&blocks);
    assert!(
        told.contains("100 blocks of this size are too many: block 75"),
        "{told}"
    );
}

#[test]
fn names_and_texts_are_limited() {
    let long = "x".repeat(1001);
    let file = |head: &str, label: &str| {
        format!(
            "[sweep]\nname = \"x\"\n{head}\n[fixed]\ntrainer.null = true\n[[grid]]\nparams.i = [1, 2]\n{label}\n"
        )
    };
    insta::assert_snapshot!(errors(&file(&format!("title = \"{long}\""), "")), @"s/x.toml:3:9: `sweep.title`: must be a text of at most 1000 bytes");
    insta::assert_snapshot!(errors(&file("", &format!("label = \"{long}\""))), @"s/x.toml:8:9: `label`: must be a text of at most 1000 bytes, or a list with one for each cell");
    let axes: String = (0..1001).fold(String::new(), |axes, at| {
        axes + &format!("params.a{at} = 1\n")
    });
    insta::assert_snapshot!(errors(&file("", &axes)), @"s/x.toml:6:1: `grid`: has 1002 axes; at most 1000");
}

#[test]
fn the_first_of_many_mistakes_are_told() {
    let keys: String = (0..100_000).fold(String::new(), |keys, at| keys + &format!("k{at} = 1\n"));
    let told = errors(&format!("{NULL}{keys}[[grid]]\nparams.i = [1]\n"));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 21);
    assert!(
        lines[0].starts_with("s/x.toml:6:1: `k0`: unknown key"),
        "{told}"
    );
    assert_eq!(lines[20], "s/x.toml: and 99980 more mistakes");
    let long = format!(
        "{NULL}k = 1\nparams.a = \"={}\"\n[[grid]]\nparams.i = [1]\n",
        "(".repeat(4000)
    );
    let told = errors(&long);
    assert!(told.ends_with("(…\": is nested deeper than 64"), "{told}");
}

#[test]
fn a_long_selector_is_refused_before_it_is_looked_at() {
    let wrong = Selector::parse(&"a".repeat(8 << 20))
        .unwrap_err()
        .to_string();
    assert!(
        wrong.ends_with("the selector has 8388608 bytes; at most 4096"),
        "{wrong}"
    );
    assert!(wrong.len() < 200);
    assert!(Selector::parse(&"a".repeat(4096)).is_ok());
}
