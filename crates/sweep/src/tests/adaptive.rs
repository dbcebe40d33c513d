//! Replicates that results decide.

use swath_model::replication::Bounds;

use super::*;

const GRID: &str = "[[grid]]\nepochs = [5, 6]\n";

fn adaptive(replicates: &str) -> String {
    with_head(&format!("replicates = {replicates}\n{GRID}"))
}

#[test]
fn bounds_stand_in_the_place_of_a_number() {
    let text = adaptive("{ min = 3, max = 10, until = \"ranked\" }");
    let file = parsed(&text);
    assert_eq!(file.bounds(), Some(Bounds { min: 3, max: 10 }));
    // What is trained in any case.
    let expansion = expand(&file).unwrap();
    assert_eq!((expansion.totals().cells, expansion.totals().jobs), (2, 6));
    let table = format!("{GRID}[sweep.replicates]\nmin = 3\nmax = 10\nuntil = \"ranked\"\n");
    let other = parsed(&with_head(&table));
    let digest = expansion.digest();
    assert_eq!(expand(&other).unwrap().digest(), digest);
    for text in [
        "{ min = 3, max = 9, until = \"ranked\" }",
        "{ min = 2, max = 10, until = \"ranked\" }",
        "3",
    ] {
        let file = parsed(&adaptive(text));
        assert_ne!(expand(&file).unwrap().digest(), digest, "{text}");
    }
    assert_eq!(parsed(&adaptive("3")).bounds(), None);
}

#[test]
fn wrong_bounds_say_what_is_right() {
    let wrong = [
        "{ min = 3, max = 10 }",
        "{ min = 3, max = 10, until = \"bored\" }",
        "{ min = 0, max = 10, until = \"ranked\", maxx = 4 }",
        "{ max = 10, until = \"ranked\" }",
        "{ min = 5, max = 4, until = \"ranked\" }",
        "{ min = 5, max = 5, until = \"ranked\" }",
        "{ min = 3, max = 4, until = \"ranked\" }",
        "[3, 10]",
        "{ min = 3, max = 10001, until = \"ranked\" }",
    ]
    .map(|replicates| errors(&adaptive(replicates)))
    .join("\n");
    insta::assert_snapshot!(wrong, @r#"
s/x.toml:4:14: `sweep.replicates.until`: must be "ranked": until neighbours in the order of medians are told apart
s/x.toml:4:43: `sweep.replicates.until`: must be "ranked": until neighbours in the order of medians are told apart
s/x.toml:4:22: `sweep.replicates.min`: must be a whole number from 1 to 10000, not 0
s/x.toml:4:53: `sweep.replicates.maxx`: unknown key; did you mean `max`?
s/x.toml:4:14: `sweep.replicates.min`: is missing; write { min = 3, max = 10, until = "ranked" }
s/x.toml:4:31: `sweep.replicates.max`: is less than `min`, 5; raise it, or lower `min`
s/x.toml:4:31: `sweep.replicates.max`: is `min`, so results decide nothing; write `replicates = 5`, or raise it
s/x.toml:4:31: `sweep.replicates.max`: can never decide: the least p of 4 runs against 4 is 0.029, and after each of up to 2 looks a pair is decided only at p <= 0.025; use at least 5
s/x.toml:4:14: `sweep.replicates`: must be a whole number from 1 to 10000, not a list
s/x.toml:4:31: `sweep.replicates.max`: must be a whole number from 1 to 10000, not 10001
"#);
}
