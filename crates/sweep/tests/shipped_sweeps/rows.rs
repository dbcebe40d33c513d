//! What a published row says about its cell.

use super::files::{Line, same, value};
use swath_sweep::Cell;

/// What a cell must have at some paths; empty means nothing, or 0 where an axis
/// says nothing that way.
pub(crate) struct Conditions(Vec<(&'static str, String)>);

impl Conditions {
    pub(crate) fn hold(&self, cell: &Cell) -> bool {
        self.0.iter().all(|(path, wanted)| {
            let found = value(cell, path);
            same(&found, wanted) || (wanted.is_empty() && found == "0")
        })
    }

    fn set(&mut self, path: &'static str, wanted: impl Into<String>) {
        self.0.push((path, wanted.into()));
    }

    fn set_unless_empty(&mut self, path: &'static str, wanted: &str) {
        if !wanted.is_empty() {
            self.set(path, wanted);
        }
    }
}

/// The number after `marker`, ignoring spaces between them.
fn number_after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(marker)?;
    let rest = rest.trim_start();
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// The conditions of a row of `published_cells.csv`.
pub(crate) fn of_row(row: Line<'_>) -> Conditions {
    let table: u32 = row.get("table").parse().unwrap();
    let model = row.get("model");
    let mut wanted = Conditions(Vec::new());
    let dataset = match table {
        5 | 6 => "fashion_mnist",
        7 => "mnist",
        8 => "kmnist",
        _ => "cifar10",
    };
    wanted.set("dataset.name", dataset);
    wanted.set_unless_empty("epochs", row.get("epochs"));
    augmented(&mut wanted, model);
    match table {
        4 => {
            // Per GPU; what all of them see in a step is the batch.
            wanted.set("batch_size", "512");
            wanted.set("ghost_batch_size", row.get("batch"));
            architecture(&mut wanted, model);
        }
        9 => residual_unit(&mut wanted, model),
        _ => architecture(&mut wanted, model),
    }
    if table > 10 {
        grid(&mut wanted, row, row.get("wd_bn"), row.get("wd"));
    }
    wanted
}

/// The conditions of a row of `published_jobs.csv`.
pub(crate) fn of_job(row: Line<'_>) -> Conditions {
    let mut wanted = Conditions(Vec::new());
    assert_eq!(row.get("model"), "preact20");
    architecture(&mut wanted, "ResNet-preact-20");
    wanted.set("dataset.name", "cifar10");
    wanted.set("epochs", row.get("epochs"));
    augmented(&mut wanted, row.get("augmentation"));
    grid(&mut wanted, row, row.get("wd_on_bn"), row.get("wd"));
    wanted
}

/// The columns that the tables on batch size and learning rate have.
fn grid(wanted: &mut Conditions, row: Line<'_>, decay_on_bn: &str, decay: &str) {
    wanted.set("batch_size", row.get("batch"));
    wanted.set("optimizer.lr", row.get("lr"));
    wanted.set("schedule.name", row.get("schedule"));
    let optimizer = match row.get("optimizer") {
        "" => "sgd".to_owned(),
        name => name.to_lowercase(),
    };
    wanted.set("optimizer.name", optimizer);
    let precision = match row.get("precision").to_lowercase().as_str() {
        "" | "fp32" => "fp32",
        "fp16" => "fp16_pure",
        "mixed" => "fp16",
        other => panic!("{other}"),
    };
    wanted.set("precision", precision);
    let ghost = match row.get("ghost") {
        "" | "-" | "N/A" => "",
        size => size,
    };
    wanted.set("ghost_batch_size", ghost);
    let decays = match decay_on_bn {
        "" | "yes" => "all",
        "no" => "all_but_bn",
        other => panic!("{other}"),
    };
    wanted.set("optimizer.weight_decay_on", decays);
    let decay = if decay.is_empty() { "1e-4" } else { decay };
    wanted.set("optimizer.weight_decay", decay);
}

fn augmented(wanted: &mut Conditions, text: &str) {
    let dual = text.contains("Dual-Cutout");
    let plain_cutout = text.contains("Cutout") && !dual;
    let cutout = match number_after(text, "Cutout") {
        _ if !plain_cutout => "",
        Some(size) => size,
        None => "16",
    };
    wanted.set("augmentation.cutout.size", cutout);
    let dual_alpha = number_after(text, "alpha=").filter(|_| dual);
    wanted.set(
        "augmentation.dual_cutout.alpha",
        dual_alpha.unwrap_or_default(),
    );
    let mixup = text.to_lowercase().contains("mixup");
    let mixup_alpha = number_after(text, "alpha=").unwrap_or("1");
    wanted.set(
        "augmentation.mixup.alpha",
        if mixup { mixup_alpha } else { "" },
    );
    let beta = number_after(text, "beta=").unwrap_or_default();
    wanted.set("augmentation.ricap.beta", beta);
    if !beta.is_empty() {
        let crop = text.contains("w/ random crop");
        wanted.set(
            "augmentation.random_crop.padding",
            if crop { "4" } else { "" },
        );
    }
    let erased = text.contains("RandomErasing");
    wanted.set(
        "augmentation.random_erasing.probability",
        if erased { "0.5" } else { "" },
    );
    let smoothing = number_after(text, "epsilon=").unwrap_or("0");
    wanted.set("loss.label_smoothing", smoothing);
}

fn residual_unit(wanted: &mut Conditions, text: &str) {
    wanted.set("model.name", "resnet_preact");
    wanted.set("model.depth", "56");
    wanted.set("batch_size", "128");
    wanted.set("optimizer.lr", "0.2");
    let truth = |truth: bool| if truth { "true" } else { "false" };
    let removed = truth(text.contains("w/o 1st ReLU"));
    wanted.set("model.remove_first_relu", removed);
    wanted.set("model.add_last_bn", truth(text.contains("w/ last BN")));
    let all = text.contains("preactivate shortcut after downsampling");
    let stages = if all {
        "[true,true,true]"
    } else {
        "[true,false,false]"
    };
    wanted.set("model.preact_stage", stages);
    let cosine = text.contains("Cosine annealing");
    wanted.set("schedule.name", if cosine { "cosine" } else { "multistep" });
    let longer = text.contains("300 epochs");
    wanted.set("epochs", if longer { "300" } else { "160" });
}

fn architecture(wanted: &mut Conditions, text: &str) {
    let bottleneck = text.contains("bottleneck") || text.contains("-BC-");
    let block = if bottleneck { "bottleneck" } else { "basic" };
    let mut numbers = |name: &str, paths: &[(&'static str, &str)]| {
        wanted.set("model.name", name);
        for (path, marker) in paths {
            let number = number_after(text, marker);
            wanted.set(path, number.unwrap_or_else(|| panic!("{marker} in {text}")));
        }
    };
    if text.starts_with("VGG") {
        numbers("vgg", &[]);
        wanted.set("model.legacy", "true");
    } else if text.starts_with("WRN") {
        numbers(
            "wrn",
            &[
                ("model.depth", "WRN-"),
                ("model.widening_factor", "WRN-28-"),
            ],
        );
        let dropped = text.contains("dropout");
        wanted.set("model.drop_rate", if dropped { "0.3" } else { "0" });
    } else if text.starts_with("DenseNet") {
        let depth = if bottleneck { "BC-" } else { "DenseNet-" };
        numbers(
            "densenet",
            &[("model.depth", depth), ("model.growth_rate", "k=")],
        );
        wanted.set("model.block_type", block);
        let kept = if bottleneck { "0.5" } else { "1" };
        wanted.set("model.compression_rate", kept);
    } else if text.starts_with("PyramidNet") {
        let alpha = if text.contains("alpha") {
            "alpha="
        } else {
            "PyramidNet-110-"
        };
        numbers(
            "pyramidnet",
            &[("model.depth", "PyramidNet-"), ("model.alpha", alpha)],
        );
        wanted.set("model.block_type", block);
    } else if text.starts_with("ResNeXt") {
        numbers(
            "resnext",
            &[
                ("model.depth", "ResNeXt-"),
                ("model.cardinality", "ResNeXt-29 "),
            ],
        );
        wanted.set("model.base_channels", "64");
    } else if text.starts_with("shake-shake") {
        let paths = [
            ("model.depth", "shake-shake-"),
            ("model.initial_channels", " 2x"),
        ];
        numbers("shake_shake", &paths);
        wanted.set("model.legacy", "true");
    } else {
        let (name, depth) = if text.contains("preact") {
            ("resnet_preact", "preact-")
        } else {
            ("resnet", "ResNet-")
        };
        numbers(name, &[("model.depth", depth)]);
        wanted.set("model.block_type", block);
        let wide = text.contains("widening factor 4");
        wanted.set("model.initial_channels", if wide { "64" } else { "16" });
    }
}
