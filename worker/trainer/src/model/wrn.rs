//! Wide residual network (Zagoruyko & Komodakis 2016): pre-activation basic
//! blocks, wide from the first stage on, dropout between the convolutions.

use swath_model::spec::{BlockType, Wrn};

use super::blocks::stage_widths;
use super::preact::Plan;

/// The plan for these options.
pub(super) fn plan(options: &Wrn) -> Plan {
    let stem = i64::from(options.initial_channels);
    let widths = stage_widths(BlockType::Basic, options.initial_channels);
    let widths = widths.map(|width| width * i64::from(options.widening_factor));
    Plan {
        stem,
        widths,
        // A WRN's depth counts the 1×1 convolutions of its three shortcuts.
        blocks_per_stage: (options.depth - 4) / 6,
        block_type: BlockType::Basic,
        remove_first_relu: false,
        add_last_bn: false,
        // Wherever the width changes.
        preact_stage: [stem != widths[0], true, true],
        se_reduction: None,
        drop_rate: options.drop_rate,
    }
}
