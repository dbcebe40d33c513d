//! `doctor`: the comment is the help.

use clap::Args;

/// Checks whether everything is as it should be, and says what to do
///
/// Looks at the store, the clocks, the limits of the system, the certificates, the policy and every
/// worker. It changes nothing. Each line is `ok`, `warn` or `fail`; the exit code is 1 if one is
/// `fail`, else 0. Through a coordinator it says how that one and its machine are; on a database
/// without one, how it would be here. `store verify` looks into the store itself.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator doctor
  coordinator doctor --coordinator https://head.lab:7070
  coordinator doctor --database sqlite:/srv/swath/swath.db --policy policy.toml
  coordinator doctor -o json | jq '.checks[] | select(.grade != \"ok\")'")]
pub(crate) struct Doctor {}
