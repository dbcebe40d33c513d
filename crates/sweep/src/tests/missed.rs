//! Filters that name what is not there.

use super::*;

fn verdict(selector: &str) -> String {
    let selector = Selector::parse(selector).unwrap();
    let mut missed = Missed::new(&selector.filters);
    for (lr, batch) in [(0.1, 64), (0.1, 128), (10.0, 64)] {
        let spec = json!({"params": {"lr": lr, "name": "sgd"}, "batch_size": batch});
        missed.see(&SubjectView {
            sweep_name: "small",
            replicate: Some(1),
            state: Some("queued"),
            spec: Some(&spec),
            ..SubjectView::default()
        });
    }
    missed
        .verdict()
        .map_or_else(|error| error.to_string(), |()| String::new())
}

#[test]
fn what_is_there_is_no_mistake() {
    for selector in [
        "",
        "params.lr=0.1",
        "params.lr>=10 batch_size=64",
        "params.lr!=0.1",
        "params.name=s*",
        "state=failed",
        "replicate=1",
        "sweep=small",
    ] {
        assert_eq!(verdict(selector), "", "{selector}");
    }
    let nothing = Selector::parse("params.x=1").unwrap();
    assert_eq!(Missed::new(&nothing.filters).verdict(), Ok(()));
}

#[test]
fn what_is_not_there_comes_with_the_nearest() {
    insta::assert_snapshot!(verdict("params.lrr=0.1"), @"`params.lrr` is no parameter here; did you mean `params.lr`? there are `batch_size`, `params.lr`, `params.name`");
    insta::assert_snapshot!(verdict("optimizer.lr!=0.1"), @"`optimizer.lr` is no parameter here; did you mean `params.lr`? there are `batch_size`, `params.lr`, `params.name`");
    insta::assert_snapshot!(verdict("epochs=3"), @"`epochs` is no parameter here; there are `batch_size`, `params.lr`, `params.name`");
    insta::assert_snapshot!(verdict("params.lr=0.2"), @"nothing has `params.lr=0.2`; the nearest is `0.1` of `0.1`, `10`");
    insta::assert_snapshot!(verdict("params.lr>10"), @"nothing has `params.lr>10`; the nearest is `10` of `0.1`, `10`");
    insta::assert_snapshot!(verdict("params.name=adm"), @"nothing has `params.name=adm`; it has `sgd`");
    insta::assert_snapshot!(verdict("replicate=4"), @"nothing has `replicate=4`; it has `1`");
    insta::assert_snapshot!(verdict("params.lr=10 batch_size=128"), @"nothing has all of `params.lr=10` and `batch_size=128`");
}
