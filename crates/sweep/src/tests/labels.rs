//! What cells are called.

use super::{cells, errors, expand, parsed, with_head};

fn labels(text: &str) -> Vec<Option<String>> {
    cells(&with_head(text))
        .into_iter()
        .map(|it| it.label)
        .collect()
}

#[test]
fn a_text_or_one_for_each_point_names_cells() {
    let of = |text: &str| Some(text.to_owned());
    let found = labels(
        "[[grid]]\nlabel = \"{model.name}-{model.depth}, lr {optimizer.lr}\"\n\
         model.depth = [8, 14]\noptimizer.lr = \"0.1 * model.depth / 8\"\n\
         [[grid]]\nlabel = [\"a\", \"b\", \"c\", \"d\"]\nexclude = \"epochs == 2 && batch_size == 64\"\n\
         epochs = [1, 2]\nbatch_size = [32, 64]\n\
         [[grid]]\nepochs = 9\n",
    );
    assert_eq!(
        found,
        [
            of("resnet_preact-8, lr 0.1"),
            of("resnet_preact-14, lr 0.175"),
            of("a"),
            of("b"),
            of("c"),
            None,
        ]
    );
}

#[test]
fn labels_change_no_cell_and_no_other_sweep() {
    let grid = "[[grid]]\nepochs = [1, 2]\n";
    let plain = with_head(grid);
    let named = with_head(&format!("{grid}label = \"{{epochs}} epochs\"\n"));
    let digests = |text: &str| {
        cells(text)
            .into_iter()
            .map(|it| it.digest)
            .collect::<Vec<_>>()
    };
    assert_eq!(digests(&plain), digests(&named));
    let digest = |text: &str| expand(&parsed(text)).unwrap().digest();
    assert_ne!(digest(&plain), digest(&named));
    let renamed = named.replace(" epochs\"", " passes\"");
    assert_ne!(digest(&named), digest(&renamed));
    // By default a label names its row, before the axes.
    let rows: Vec<_> = parsed(&named)
        .layout
        .parameters()
        .map(str::to_owned)
        .collect();
    assert_eq!(rows, ["label", "epochs"]);
}

#[test]
fn wrong_labels_are_told_where_they_stand() {
    let wrong = |label: &str, table: &str| {
        errors(&with_head(&format!(
            "[[grid]]\nepochs = [1, 2]\n{label}\n{table}"
        )))
    };
    assert_eq!(
        wrong("label = [\"a\"]", ""),
        "s/x.toml:6:9: `label`: has 1 texts, and this block has 2 points; give one for each, or \
         one text with parameters in it, like \"ResNet-{model.depth}\""
    );
    assert_eq!(
        wrong("label = \"a {model.dept}\"", ""),
        "s/x.toml:6:9: `label`: in \"a {model.dept}\": `model.dept`: unknown key; did you mean \
         `model.depth`?"
    );
    assert_eq!(
        wrong("label = \"a {epochs\"", ""),
        "s/x.toml:6:9: `label`: in \"a {epochs\": a `{` that nothing closes"
    );
    assert_eq!(
        wrong("label = 3", ""),
        "s/x.toml:6:9: `label`: must be a text of at most 1000 bytes, or a list with one for each cell"
    );
    assert_eq!(
        wrong("", "[table]\nrows = \"label\"\n"),
        "s/x.toml:8:8: `table.rows`: `label`: no [[grid]] block has one"
    );
    assert!(wrong("lable = \"a\"", "").contains("did you mean `label`?"));
}
