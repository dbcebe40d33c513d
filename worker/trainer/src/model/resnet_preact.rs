//! ResNet with pre-activation (He et al., *Identity mappings in deep residual
//! networks*, 2016).
//!
//! In bottleneck blocks the first stage also keeps the width of the stem; the
//! other stages then have four times their basic width.

use swath_model::spec::ResnetPreact;

use super::blocks::{blocks_per_stage, stage_widths};
use super::preact::Plan;

/// The plan for these options.
pub(super) fn plan(options: &ResnetPreact) -> Plan {
    Plan {
        stem: i64::from(options.initial_channels),
        widths: stage_widths(options.block_type, options.initial_channels),
        blocks_per_stage: blocks_per_stage(options.block_type, options.depth),
        block_type: options.block_type,
        remove_first_relu: options.remove_first_relu,
        add_last_bn: options.add_last_bn,
        preact_stage: options.preact_stage,
        se_reduction: None,
        drop_rate: 0.0,
    }
}
