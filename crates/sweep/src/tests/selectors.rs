//! Selectors.

use swath_model::id::{JobDigest, SweepDigest};

use super::*;

fn matches(selector: &str) -> bool {
    let spec = json!({
        "batch_size": 128,
        "optimizer": { "lr": 0.1, "nesterov": true },
        "schedule": { "name": "cosine" },
        "augmentation": {},
    });
    let subject = SubjectView {
        sweep_name: "linear_scaling",
        version: 2,
        older: false,
        sweep: Some(SweepDigest::from_bytes([0xab; 32])),
        last: true,
        job: Some(JobDigest::from_bytes([0x1c; 32])),
        replicate: Some(2),
        state: Some("failed"),
        spec: Some(&spec),
    };
    Selector::parse(selector).unwrap().matches(&subject)
}

#[test]
fn targets_are_names_ids_prefixes_and_patterns() {
    let id = "1c".repeat(32);
    for yes in [
        "",
        "last",
        "linear_scaling",
        "linear*",
        "*s?aling",
        "*",
        "abab",
        "1c1c1c",
        &id,
    ] {
        assert!(matches(yes), "{yes}");
    }
    for no in [
        "linear",
        "Linear*",
        "?",
        "ab",
        "1c1",
        "1c1d",
        "linear_scaling2",
    ] {
        assert!(!matches(no), "{no}");
    }
}

#[test]
fn a_name_alone_means_what_was_submitted_last() {
    let matches = |selector: &str, older: bool| {
        let subject = SubjectView {
            sweep_name: "slow",
            version: 1,
            older,
            ..SubjectView::default()
        };
        Selector::parse(selector).unwrap().matches(&subject)
    };
    for always in ["slow@1", "slow@*", "*@1"] {
        assert!(matches(always, true) && matches(always, false), "{always}");
    }
    for newest in ["slow", "sl*"] {
        assert!(!matches(newest, true) && matches(newest, false), "{newest}");
    }
    for never in ["slow@2", "slow@", "slow@01", "slo@1"] {
        assert!(!matches(never, true) && !matches(never, false), "{never}");
    }
}

#[test]
fn filters_compare_numbers_as_numbers_and_words_as_text() {
    for yes in [
        "batch_size=128",
        "batch_size=128.0",
        "batch_size==1.28e2",
        "optimizer.lr>0.05 optimizer.lr<=0.1",
        "optimizer.nesterov=true",
        "schedule.name=cos*",
        "schedule.name!=multistep",
        "state=failed replicate>=2 sweep=linear*",
        "augmentation.cutout.size!=16",
        "linear_scaling   state=failed",
    ] {
        assert!(matches(yes), "{yes}");
    }
    for no in [
        "batch_size=12",
        "batch_size<128",
        "optimizer.lr!=1e-1",
        "schedule.name=multistep",
        "state!=failed",
        "replicate=1",
        "augmentation.cutout.size=16",
        "augmentation.cutout.size<99",
        "schedule.name>1",
        "last state=queued",
    ] {
        assert!(!matches(no), "{no}");
    }
}

#[test]
fn quotes_keep_spaces_together() {
    let selector = Selector::parse("dataset.path=\"my data\" last").unwrap();
    assert_eq!(selector.filters[0].text, "my data");
    assert_eq!(selector.target, Some(Target::Last));
}

#[test]
fn mistakes_are_explained() {
    let wrong = |text: &str| Selector::parse(text).unwrap_err().to_string();
    insta::assert_snapshot!(wrong("batch_szie=3"), @"`batch_szie`: no such parameter; did you mean `batch_size`?");
    insta::assert_snapshot!(wrong("stat=failed"), @"`stat`: no such parameter; did you mean `state`?");
    insta::assert_snapshot!(wrong("colour=3"), @"`colour`: no such parameter; a filter takes state, sweep, replicate and the keys of a spec");
    insta::assert_snapshot!(wrong("optimizer.lr>fast"), @r#"`optimizer.lr>fast`: compares with "fast", which is not a number"#);
    insta::assert_snapshot!(wrong("last other"), @"`other`: only one id, name or pattern; the rest must be filters like state=failed");
    insta::assert_snapshot!(wrong("a/b"), @"`a/b`: is not an id, a name, a pattern or a filter; a filter is like batch_size=128");
    insta::assert_snapshot!(wrong("a!b"), @"`a!b`: compares nothing; write `!=`");
    insta::assert_snapshot!(wrong("\"a"), @r#"`"a`: has a quote that does not end"#);
}

#[test]
fn a_misspelt_state_is_an_error() {
    let said = |selector| Selector::parse(selector).unwrap_err().to_string();
    assert_eq!(
        said("state=suceeded"),
        "`state=suceeded`: no such state; did you mean `succeeded`?"
    );
    assert!(said("state!=blue").contains("the states are queued, leased"));
    assert!(Selector::parse("state=diverged").is_ok());
}
