//! `doctor`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Serving, Site, json};

fn grades(text: &str) -> BTreeMap<String, String> {
    let document = json(text);
    let checks = document["checks"].as_array().expect("checks").clone();
    let pair = |check: Value| {
        let of = |key: &str| check[key].as_str().expect("a text").to_owned();
        (of("part"), of("grade"))
    };
    checks.into_iter().map(pair).collect()
}

#[test]
fn a_coordinator_and_a_database_tell_how_they_are() {
    let site = Site::new();
    let missing = site.local("doctor -o json");
    assert_eq!(missing.code, 1, "{}", missing.stderr);
    assert_eq!(grades(&missing.stdout)["coordinator"], "fail");
    let serving = Serving::start(&site, "sqlite:swath.db");
    let asked = site.run(&format!("--coordinator {} doctor -o json", serving.url));
    assert_eq!(serving.stop(), Some(0));
    let here = site.local("doctor -o json");
    for done in [here, asked] {
        assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
        let grades = grades(&done.stdout);
        for part in ["version", "clock", "clock here", "policy", "certificates"] {
            assert_eq!(grades[part], "ok", "{part}");
        }
        assert_eq!(grades["workers"], "warn");
        assert!(grades.contains_key("store"), "{grades:?}");
    }
}

#[test]
fn a_wrong_policy_is_what_it_says() {
    let site = Site::new();
    assert_eq!(Serving::start(&site, "sqlite:swath.db").stop(), Some(0));
    site.write("policy.toml", "heartbeat_ms = 1000\nttl_ms = 5000\n");
    let done = site.local("--policy policy.toml doctor");
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    assert!(
        done.stdout.contains("leases last 5000 ms"),
        "{}",
        done.stdout
    );
}
