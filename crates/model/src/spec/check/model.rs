//! Rules for an architecture.

use super::super::{
    BlockType, Densenet, Model, Pyramidnet, Resnet, ResnetPreact, SeResnetPreact, ShakeShake,
    SpecError, TrainingSpec, Vgg, Wrn,
};
use super::augmentation::side;

/// Output width of a bottleneck divided by its inner width.
const EXPANSION: u32 = 4;

/// The most stages of a VGG: each halves the feature map.
const VGG_STAGES_MAX: usize = 16;

/// Reports every contradiction of the model.
pub(super) fn check(spec: &TrainingSpec, wrong: &mut impl FnMut(&str, String)) {
    if let Model::Vgg(vgg) = &spec.model {
        check_vgg(vgg, wrong);
    } else {
        check_depth(&spec.model, wrong);
    }
    check_channels(&spec.model, wrong);
    check_rates(&spec.model, wrong);
    if let Some(side) = side(&spec.dataset)
        && let Some(error) = overpooled(&spec.model, side, side)
    {
        wrong(&error.key, error.message);
    }
}

/// The error for a VGG that halves images of this size to nothing, at the
/// option that does so.
pub fn overpooled(model: &Model, height: u64, width: u64) -> Option<SpecError> {
    let Model::Vgg(vgg) = model else { return None };
    let stages = vgg.n_channels.len();
    let most = height.min(width).checked_ilog2().unwrap_or(0) as usize;
    (stages > most).then(|| {
        let message = format!(
            "its {stages} stages halve the map each, and {height}×{width} images can be halved \
             {most} times; at most {most} numbers would do, and as many in `model.n_layers`"
        );
        SpecError::new("model.n_channels", message)
    })
}

fn check_vgg(vgg: &Vgg, wrong: &mut impl FnMut(&str, String)) {
    if vgg.n_channels.is_empty() {
        wrong(
            "model.n_channels",
            "must have a number of channels for at least one stage".to_owned(),
        );
    }
    if vgg.n_channels.len() > VGG_STAGES_MAX {
        let count = vgg.n_channels.len();
        wrong(
            "model.n_channels",
            format!("{count} stages; at most {VGG_STAGES_MAX} are allowed"),
        );
    }
    if vgg.n_channels.len() != vgg.n_layers.len() {
        wrong(
            "model.n_layers",
            "must be as long as `model.n_channels`".to_owned(),
        );
    }
}

/// Reports widths that leave a layer without channels.
fn check_channels(model: &Model, wrong: &mut impl FnMut(&str, String)) {
    match model {
        Model::Resnet(Resnet {
            initial_channels,
            block_type: BlockType::Bottleneck,
            ..
        })
        | Model::ResnetPreact(ResnetPreact {
            initial_channels,
            block_type: BlockType::Bottleneck,
            ..
        })
        | Model::SeResnetPreact(SeResnetPreact {
            initial_channels,
            block_type: BlockType::Bottleneck,
            ..
        }) if *initial_channels < EXPANSION => wrong(
            "model.initial_channels",
            format!(
                "must be at least {EXPANSION} for bottlenecks, whose inner width is a quarter of \
                 it, not {initial_channels}"
            ),
        ),
        Model::ShakeShake(ShakeShake {
            initial_channels,
            legacy: false,
            ..
        }) if !initial_channels.is_multiple_of(2) => wrong(
            "model.initial_channels",
            format!("must be even, as shortcuts are made of two halves, not {initial_channels}"),
        ),
        _ => {}
    }
    if let Model::SeResnetPreact(options) = model
        && options.se_reduction > options.initial_channels
    {
        wrong(
            "model.se_reduction",
            format!(
                "{} leaves no hidden unit for the {} channels of the first stage; at most {} \
                 would do",
                options.se_reduction, options.initial_channels, options.initial_channels
            ),
        );
    }
}

fn check_rates(model: &Model, wrong: &mut impl FnMut(&str, String)) {
    if let Model::Wrn(Wrn { drop_rate, .. }) | Model::Densenet(Densenet { drop_rate, .. }) = model
        && *drop_rate >= 1.0
    {
        wrong(
            "model.drop_rate",
            "must be below 1: at 1 nothing passes".to_owned(),
        );
    }
    if let Model::Densenet(Densenet {
        compression_rate, ..
    }) = model
        && *compression_rate == 0.0
    {
        wrong(
            "model.compression_rate",
            "must be above 0: at 0 a transition keeps no channel".to_owned(),
        );
    }
}

fn check_depth(model: &Model, wrong: &mut impl FnMut(&str, String)) {
    let (depth, per_unit, extra) = match model {
        Model::Resnet(Resnet {
            depth, block_type, ..
        })
        | Model::ResnetPreact(ResnetPreact {
            depth, block_type, ..
        })
        | Model::SeResnetPreact(SeResnetPreact {
            depth, block_type, ..
        })
        | Model::Pyramidnet(Pyramidnet {
            depth, block_type, ..
        }) => match block_type {
            BlockType::Basic => (*depth, 6, 2),
            BlockType::Bottleneck => (*depth, 9, 2),
        },
        Model::Wrn(wrn) => (wrn.depth, 6, 4),
        Model::Densenet(densenet) => match densenet.block_type {
            BlockType::Basic => (densenet.depth, 3, 4),
            BlockType::Bottleneck => (densenet.depth, 6, 4),
        },
        Model::Resnext(resnext) => (resnext.depth, 9, 2),
        Model::ShakeShake(shake) => (shake.depth, 6, 2),
        Model::Vgg(_) => return,
    };
    if depth <= extra || !(depth - extra).is_multiple_of(per_unit) {
        let below = depth.saturating_sub(extra) / per_unit * per_unit + extra;
        let near = if below <= extra {
            extra + per_unit
        } else {
            below
        };
        wrong(
            "model.depth",
            format!("must be {per_unit}n+{extra} for this block, not {depth}; {near} would do"),
        );
    }
}
