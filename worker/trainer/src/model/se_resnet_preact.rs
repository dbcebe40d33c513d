//! ResNet with pre-activation and squeeze-and-excitation (Hu et al.,
//! *Squeeze-and-excitation networks*, 2018): a gate after the last layer of
//! each residual path.

use swath_model::spec::SeResnetPreact;

use super::blocks::{blocks_per_stage, stage_widths};
use super::preact::Plan;

/// The plan for these options. A gate has at least one hidden unit, which the
/// spec's rules ensure.
pub(super) fn plan(options: &SeResnetPreact) -> Plan {
    Plan {
        stem: i64::from(options.initial_channels),
        widths: stage_widths(options.block_type, options.initial_channels),
        blocks_per_stage: blocks_per_stage(options.block_type, options.depth),
        block_type: options.block_type,
        remove_first_relu: options.remove_first_relu,
        add_last_bn: options.add_last_bn,
        preact_stage: options.preact_stage,
        se_reduction: Some(i64::from(options.se_reduction)),
        drop_rate: 0.0,
    }
}
