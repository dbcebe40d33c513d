//! ResNet with pre-activation and squeeze-and-excitation (Hu et al.,
//! *Squeeze-and-excitation networks*, 2018): a gate after the last layer of
//! each residual path.

use swath_core::spec::SeResnetPreact;

use super::blocks::{blocks_per_stage, stage_widths};
use super::preact::Plan;
use crate::failure::Failure;

/// What these options say.
///
/// # Errors
///
/// [`Failure::Invalid`] where a gate would have no hidden unit.
pub(super) fn plan(options: &SeResnetPreact) -> Result<Plan, Failure> {
    let widths = stage_widths(options.block_type, options.initial_channels);
    let reduction = i64::from(options.se_reduction);
    if reduction > widths[0] {
        return Err(Failure::Invalid(format!(
            "`model.se_reduction`: {reduction} leaves no hidden unit for the {} channels of the \
             first stage; give at most as many",
            widths[0]
        )));
    }
    Ok(Plan {
        stem: i64::from(options.initial_channels),
        widths,
        blocks_per_stage: blocks_per_stage(options.block_type, options.depth),
        block_type: options.block_type,
        remove_first_relu: options.remove_first_relu,
        add_last_bn: options.add_last_bn,
        preact_stage: options.preact_stage,
        se_reduction: Some(reduction),
        drop_rate: 0.0,
    })
}
