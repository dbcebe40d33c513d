use proptest::prelude::*;
use serde_json::json;

use super::*;

fn command(argv: &[&str], arguments: &str) -> Command {
    Command::from_value(&json!({ "command": argv, "arguments": arguments })).unwrap()
}

fn facts() -> Facts {
    Facts {
        seed: 7,
        out: "/o/1".to_owned(),
        job: "ab".to_owned(),
        attempt: 2,
        sweep: "digits".to_owned(),
        replicate: 3,
        device: "cuda:0".to_owned(),
    }
}

fn words(argv_of: &[&str], arguments: &str, params: &Value) -> Vec<String> {
    let spec = json!({ "params": params, "seed": 7 });
    let launch = Launch {
        local: BTreeMap::from([("data_dir".to_owned(), "\"/data\"".to_owned())]),
        ..Launch::default()
    };
    argv(&command(argv_of, arguments), &spec, &launch, &facts()).unwrap()
}

#[test]
fn a_template_has_values_in_place_of_names() {
    let params =
        json!({ "lr": 1.0, "n": 1, "small": 1e-4, "list": [1, 2], "opt": { "name": "sgd" } });
    let argv = [
        "python",
        "--lr={lr}",
        "{params.n}",
        "{small}",
        "{list}",
        "x{list}",
        "{opt.name}",
        "{seed}",
        "{out}/m.pt",
        "{data_dir}",
        "{{lr}}",
        "{\"a\": 1}",
        "${HOME}",
        "{sweep}/{replicate}",
    ];
    let wanted = [
        "python",
        "--lr=1.0",
        "1",
        "0.0001",
        "1",
        "2",
        "x1,2",
        "sgd",
        "7",
        "/o/1/m.pt",
        "/data",
        "{lr}",
        "{\"a\": 1}",
        "$HOME",
        "digits/3",
    ];
    let params = {
        let mut params = params;
        params["HOME"] = json!("HOME");
        params
    };
    assert_eq!(words(&argv, "template", &params), wanted);
}

#[test]
fn flags_and_overrides_hold_every_parameter() {
    let params = json!({
        "batch_size": 64, "lr": 0.1, "nesterov": true, "amp": false, "gone": null,
        "sizes": [1, 2], "opt": { "name": "adam w", "eps": 1e-8 }, "shift": "-1",
    });
    let flags = words(&["t"], "flags", &params).join(" ");
    assert_eq!(
        flags,
        "t --batch-size 64 --lr 0.1 --nesterov --opt.eps 0.00000001 --opt.name adam w \
         --shift=-1 --sizes 1 2 --data-dir /data"
    );
    let flags = words(&["t"], "underscore_flags", &params).join(" ");
    assert!(flags.starts_with("t --batch_size 64 "), "{flags}");
    let overrides = words(&["t", "seed={seed}"], "overrides", &params).join(" ");
    assert_eq!(
        overrides,
        "t seed=7 amp=false batch_size=64 gone=null lr=0.1 nesterov=true opt.eps=0.00000001 \
         opt.name='adam w' shift='-1' sizes=[1,2] data_dir=/data"
    );
    assert_eq!(words(&["t"], "none", &params), ["t"]);
}

proptest::proptest! {
    /// Such a word is a number with a fraction to every parser: for argparse, `-1e22` would be a flag.
    #[test]
    fn a_number_keeps_its_kind_and_value(float in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
        let params = json!({ "x": float });
        let of = |arguments, before: &str| {
            let all = words(&["t", "{x}"], arguments, &params).join(" ");
            let after = all.split_once(before).unwrap().1;
            after.split(' ').next().unwrap().to_owned()
        };
        for word in [of("template", "t "), of("flags", "--x "), of("overrides", "x=")] {
            let digits = word.trim_start_matches('-');
            let is_plain = digits.chars().all(|it| it.is_ascii_digit() || it == '.');
            proptest::prop_assert!(is_plain && digits.contains('.'), "{word}");
            proptest::prop_assert_eq!(word.parse(), Ok(float));
        }
    }
}

#[test]
fn a_name_without_a_value_is_told() {
    let spec = json!({ "params": { "lr": 1 } });
    let wrong = argv(
        &command(&["t", "{lrr}"], "template"),
        &spec,
        &Launch::default(),
        &facts(),
    );
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "`{lrr}` in the command names no parameter"
    );
}

#[test]
fn a_command_without_a_kind_of_arguments_is_taken_as_it_is() {
    let plain = Command::from_value(&json!({ "command": ["sh", "-c", "echo {lr} {{}}"] })).unwrap();
    let spec = json!({});
    let words = argv(&plain, &spec, &Launch::default(), &Facts::default()).unwrap();
    assert_eq!(words, plain.argv);
    assert!(plain.takes_stdin());
}

fn found(pattern: &str, metric: &str, line: &str) -> Vec<(String, String)> {
    let pattern = Pattern::parse(pattern, metric).unwrap();
    let found = pattern.find(line);
    found
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

#[test]
fn groups_are_metrics_of_any_name() {
    let line = "epoch 3 | val_acc=0.91 loss: 1e-3";
    let pattern =
        r"epoch (?<epoch>\d+) .* val_acc[=: ]+(?<val/acc>[0-9.eE+-]+) (?:[\(]|l)oss: (?P<l>\S+)";
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let wanted = [
        pair("epoch", "3"),
        pair("val/acc", "0.91"),
        pair("l", "1e-3"),
    ];
    assert_eq!(found(pattern, "val/acc", line), wanted);
    assert_eq!(found(r"val_acc=(\S+)", "x", line), [pair("x", "0.91")]);
    let twice = found(r"a=(\d)", "a", "a=1 a=2");
    assert_eq!(twice, [pair("a", "1"), pair("a", "2")]);
}

#[test]
fn what_cannot_be_read_says_why() {
    let wrong = |value: Value| Read::from_value(&value, "val/acc").unwrap_err();
    for value in [
        json!(1),
        json!({}),
        json!({ "xml": "a" }),
        json!({ "csv": "a", "json": "b" }),
    ] {
        assert_eq!(wrong(value), super::read::WANTED);
    }
    let told = wrong(json!({ "stdout": "acc=(?<acc>.*)" }));
    assert!(
        told.contains("no group of `stdout` is called `val/acc`"),
        "{told}"
    );
    let told = wrong(json!({ "stdout": "(?<val/acc>[0-9" }));
    assert!(
        told.starts_with("the pattern `(?<val/acc>[0-9`: regex parse error"),
        "{told}"
    );
    assert!(wrong(json!({ "json": "{lr}/a.json" })).contains("`{lr}`"));
    let read = Read::from_value(&json!({ "json": "{out}/r.json" }), "m").unwrap();
    assert_eq!(
        read.filled(&facts()),
        Ok(Read::Json("/o/1/r.json".to_owned()))
    );
}

#[test]
fn wrong_keys_of_a_program_are_all_told() {
    let wrong = Command::from_value(&json!({
        "command": [""],
        "metric": " x",
        "read": 1,
        "environment": { "SWATH_OUT": "x" },
        "seeds": [1, 1],
        "inputs": { "train.py": "ab" },
    }));
    let keys: Vec<String> = wrong
        .unwrap_err()
        .into_iter()
        .map(|error| error.key)
        .collect();
    let wanted = [
        "command",
        "metric",
        "read",
        "environment",
        "seeds",
        "inputs",
    ];
    assert_eq!(keys, wanted.map(|key| format!("trainer.{key}")));
}

proptest! {
    #[test]
    fn a_word_without_names_of_parameters_stays(word in "[a-z{} \"':$]{0,20}") {
        let spec = json!({});
        let doubled = word.replace('{', "{{").replace('}', "}}");
        let filled = argv(&command(&["t", &doubled], "template"), &spec, &Launch::default(), &facts());
        prop_assert_eq!(&filled.unwrap()[1], &word);
    }

    #[test]
    fn every_text_is_one_override(text in "\\PC{0,20}") {
        let words = words(&["t"], "overrides", &json!({ "x": text }));
        let value = words[1].strip_prefix("x=").unwrap();
        let read = match value.strip_prefix('\'') {
            None => value.to_owned(),
            Some(rest) => {
                let mut chars = rest.strip_suffix('\'').unwrap().chars();
                let mut read = String::new();
                while let Some(char) = chars.next() {
                    read.push(if char == '\\' { chars.next().unwrap() } else { char });
                }
                read
            }
        };
        prop_assert_eq!(read, text);
    }
}

#[test]
fn a_metric_has_no_name_that_lines_use_for_something_else() {
    for (name, why) in [
        ("event", "`event` says what a line is"),
        ("epoch", "`epoch` counts epochs"),
        ("step", "`step` counts steps"),
        ("message", "`message` is something else"),
    ] {
        let trainer = json!({ "command": ["train"], "metric": name });
        let errors = Command::from_value(&trainer).unwrap_err();
        assert_eq!(errors[0].key, "trainer.metric");
        assert!(errors[0].message.starts_with(why), "{}", errors[0].message);
    }
    for name in ["epochs", "val/epoch", "train_seconds", "loss"] {
        let trainer = json!({ "command": ["train"], "metric": name });
        assert!(Command::from_value(&trainer).is_ok(), "{name}");
    }
}
