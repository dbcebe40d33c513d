//! Filters and columns that name nothing, as a shell sees them.

use super::import::{RUNS, submitted};

/// What is wrong, and which name was meant.
fn refused(site: &crate::support::Site, line: &str) -> String {
    let done = site.local(line);
    assert_eq!(
        (done.code, &*done.stdout),
        (2, ""),
        "{line}: {}",
        done.stderr
    );
    let mut lines = done.stderr.lines();
    let error = lines.find_map(|line| line.strip_prefix("error: "));
    error.unwrap_or_default().to_owned()
}

#[test]
fn a_filter_that_names_nothing_is_refused_by_every_verb() {
    let site = submitted();
    site.write("runs.csv", RUNS);
    assert_eq!(site.local("import runs.csv").code, 0);
    for verb in ["table", "jobs", "best", "export", "plot", "cancel", "retry"] {
        // The name of a program's own parameter without its table.
        let said = refused(&site, &format!("{verb} small x=1"));
        assert_eq!(
            said,
            "`x`: no such parameter; did you mean `params.x`? a filter takes `params.x`, `state`, \
             `sweep`, `replicate`",
            "{verb}"
        );
        let said = refused(&site, &format!("{verb} small params.y=1"));
        assert!(
            said.starts_with("`params.y` is no parameter here; "),
            "{verb}: {said}"
        );
        let said = refused(&site, &format!("{verb} small params.x=4"));
        assert_eq!(
            said, "nothing has `params.x=4`; the nearest is `3` of `1`, `2`, `3`",
            "{verb}"
        );
        let said = refused(&site, &format!("{verb} small batch_size!=4"));
        assert!(
            said.starts_with("`batch_size` is no parameter here; "),
            "{verb}: {said}"
        );
    }
    for line in [
        "jobs params.x=4",
        "explain small params.x=4 replicate=1",
        "curves small params.x=4",
        "logs small replicate=7",
        "plot small --metric loss params.x=4",
    ] {
        assert!(refused(&site, line).starts_with("nothing has `"), "{line}");
    }
    let said = refused(&site, "jobs batch_szie=4");
    assert!(said.contains("did you mean `batch_size`"), "{said}");
    // Two values that no cell has together.
    let said = refused(&site, "table small params.x>1 params.x<2");
    assert_eq!(said, "nothing has all of `params.x>1` and `params.x<2`");
    let said = refused(&site, "table small state=failed");
    assert!(said.contains("chooses jobs"), "{said}");
    // A state in which nothing is, is no mistake.
    let none = site.local("jobs small state=failed params.x=1");
    assert_eq!(none.code, 0, "{}", none.stderr);
    assert!(none.stderr.contains("no job matches"), "{}", none.stderr);
    let all = site.local("jobs small params.x!=2 -o ids");
    assert_eq!((all.code, all.stdout.lines().count()), (0, 4));
}

/// Under `[program]` a parameter goes by its name or by its whole path.
#[test]
fn parameters_of_a_program_go_by_their_names() {
    let site = crate::support::Site::new();
    site.write(
        "acc.toml",
        "[sweep]\nname = \"acc\"\nreplicates = 1\n[program]\ncommand = [\"train\", \"{batch_size}\", \
         \"{lr}\"]\nmetric = \"val/acc\"\n[[grid]]\nbatch_size = [1, 2]\nlr = [0.1, 1.0]\n",
    );
    let serving = crate::support::Serving::start(&site, "sqlite:swath.db");
    let run = |line: &str| site.run(&format!("{line} --coordinator {}", serving.url));
    assert_eq!(run("submit acc.toml").code, 0);
    for (filter, count) in [
        ("batch_size=1", 2),
        ("params.batch_size=1", 2),
        ("lr>=1 batch_size!=2", 1),
        ("lr=0.1 state=queued replicate=1", 2),
    ] {
        let jobs = run(&format!("jobs acc {filter} -o ids"));
        let found = (jobs.code, jobs.stdout.lines().count());
        assert_eq!(found, (0, count), "{filter}: {}", jobs.stderr);
    }
    let table = run("table acc lr=1 --rows batch_size --sort -batch_size -o md");
    assert_eq!(table.code, 0, "{}", table.stderr);
    assert!(table.stdout.contains("Only lr = 1."), "{}", table.stdout);
    let wrong = run("jobs acc batchsize=1");
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.stderr.contains("did you mean `params.batch_size`?"),
        "{}",
        wrong.stderr
    );
    let plot = run("plot acc --x lr --by batch_size");
    assert_eq!(plot.code, 0, "{}", plot.stderr);
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn columns_that_name_nothing_are_refused() {
    let site = submitted();
    site.write("runs.csv", RUNS);
    assert_eq!(site.local("import runs.csv").code, 0);
    for (line, said) in [
        (
            "table small --rows x",
            "`x` is no parameter here; did you mean `params.x`? there are `params.x`",
        ),
        (
            "table small --rows batch_size",
            "`batch_size` is no parameter here; there are `params.x`",
        ),
        (
            "table small --columns tset_error",
            "`tset_error` is no parameter and no measure here; did you mean `test_error`? there \
             are `params.x`, `test_error`, `train_time`",
        ),
        (
            "table small --sort -lr",
            "`lr` is no parameter and no measure here; there are `params.x`, `test_error`, \
             `train_time`",
        ),
        (
            "table small --columns params.x --cell acc",
            "`acc` is no measure here; there are `test_error`, `train_time`",
        ),
        (
            "plot small --x x",
            "`x` is not an axis that varies; did you mean `params.x`? these axes vary: `params.x`",
        ),
    ] {
        assert_eq!(refused(&site, line), said, "{line}");
    }
    let sorted = site.local("table small --sort -params.x --columns params.x,test_error -o csv");
    assert_eq!(sorted.code, 0, "{}", sorted.stderr);
}
