use super::*;
use crate::{SweepFile, expand};

const SWEEP: &str = "\
[sweep]
name = \"small\"
[fixed]
epochs = 2
dataset.name = \"cifar10\"
model.name = \"resnet_preact\"
model.depth = 20
schedule.name = \"cosine\"
[[grid]]
batch_size = [128, 64]
\"optimizer.lr\" = [0.1, 0.2]
";

fn published(text: &str) -> Vec<Published> {
    let file = SweepFile::parse("s/small.toml", SWEEP, &|_| Err("none".to_owned()));
    let file = file.unwrap();
    let expansion = expand(&file).unwrap();
    let reference = Reference::read("s/small.csv", text).unwrap();
    reference.published(&expansion.cells().collect::<Vec<_>>())
}

fn errors(text: &str) -> Vec<String> {
    let errors = Reference::read("s/small.csv", text).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn lines_find_their_cells() {
    let all = published(
        "table,batch_size,optimizer.lr,epochs,test_error,n,tolerance,figure_error,caveat,minutes,paper\r\n\
         11,128,0.1,2,8.14,1,,9.14,,22,He et al.\r\n\
         11,64,1e-1,,\"8.4\",3,0.45,,\"old, \"\"legacy\"\" ReLUs\",,\r\n\
         12,,0.20,,,,,,,,\r\n\
         \r\n\
         12,64,0.3,2,7,,,,,,\r\n\
         12,64,0.1,3,7,,,,,,\r\n",
    );
    let cells: Vec<&[u64]> = all.iter().map(|it| it.cells.as_slice()).collect();
    assert_eq!(cells, [&[0][..], &[2], &[1, 3], &[], &[]]);
    assert_eq!(all[0].values().collect::<Vec<_>>(), [8.14, 9.14]);
    assert_eq!((all[0].n, all[1].n, all[1].tolerance), (1, 3, Some(0.45)));
    assert_eq!(all[1].caveat, "old, \"legacy\" ReLUs");
    assert_eq!(all[0].minutes, Some(22.0));
    // A blank of the table.
    assert_eq!(all[2].values().count(), 0);
    assert_eq!((all[2].line, all[3].line), (4, 6));
}

#[test]
fn lines_without_a_cell_are_told_with_the_nearest() {
    let file = SweepFile::parse("s/small.toml", SWEEP, &|_| Err("none".to_owned()));
    let file = file.unwrap();
    let expansion = expand(&file).unwrap();
    let text = "batch_size,optimizer.lr,test_error\n128,0.1,8\n64,0.3,7\n96,,7\n32,0.1,\n";
    let reference = Reference::read("s/small.csv", text).unwrap();
    let strays = reference.strays(&expansion.cells().collect::<Vec<_>>());
    let strays: Vec<String> = strays.iter().map(ToString::to_string).collect();
    // The last one has no value, so nothing is lost with it.
    assert_eq!(
        strays,
        [
            "s/small.csv:3:4: `optimizer.lr`: no cell of the sweep has `0.3` with what stands \
             before; the nearest is `0.2` of `0.1`, `0.2`; this line says nothing of the sweep",
            "s/small.csv:4:1: `batch_size`: no cell of the sweep has `96` with what stands \
             before; the nearest is `128` of `128`, `64`; this line says nothing of the sweep",
        ]
    );
}

#[test]
fn texts_and_what_a_cell_has_not() {
    let all = published(
        "schedule.name,schedule.milestones,test_error\ncosine,none,1\nmultistep,,2\ncosine,[1],3\n",
    );
    let counts: Vec<usize> = all.iter().map(|it| it.cells.len()).collect();
    assert_eq!(counts, [4, 0, 0]);
}

#[test]
fn mistakes_are_named_with_their_place() {
    assert_eq!(
        errors("batch_size,test_error,n\n128,8.1,0\n64,high,3\n64,8.1\n"),
        [
            "s/small.csv:2:9: `n`: must be a whole number of trainings, at least 1, not `0`",
            "s/small.csv:3:4: `test_error`: must be a number, not `high`",
            "s/small.csv:4:1: has 2 fields; the header has 3",
        ]
    );
    assert_eq!(
        errors("optimizer.rl,tolerence,test_error\n"),
        [
            "s/small.csv:1:1: `optimizer.rl`: unknown key; did you mean `optimizer.lr`?",
            "s/small.csv:1:14: `tolerence`: no such column; did you mean `tolerance`?",
        ]
    );
    assert_eq!(
        errors("epochs,n\n2,3\n"),
        ["s/small.csv:1:1: `test_error`: is missing: the column of the published values"]
    );
    assert_eq!(
        errors("test_error,tolerance\n1,-2\n\"2,3\n"),
        [
            "s/small.csv:2:3: `tolerance`: must be more than 0, not `-2`",
            "s/small.csv:3:1: a quote that nothing closes",
        ]
    );
    assert_eq!(
        errors("test_error\n\"2\" x\n"),
        ["s/small.csv:2:4: text after a closing quote"]
    );
    assert_eq!(
        errors(""),
        ["s/small.csv: is empty; its first line names the columns"]
    );
}
