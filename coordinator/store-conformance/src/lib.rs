//! The suite that tests the engine over a store against its contract.
//!
//! Each scenario drives the engine over the store under test and the naive
//! ledger (`ledger`) side by side, and compares every reply, and the state
//! after every step. It also asserts what the result must be, so that the model
//! is tested against the contract too. Every scenario runs once more with an
//! engine that crashes after every step, so that only what is in the store
//! survives. A last test does the same with random sequences of operations,
//! among them crashes and commits that fail.
//!
//! A store instantiates it in its tests:
//!
//! ```ignore
//! async fn fresh(policy: Policy) -> (MyStore, impl Sized) {
//!     let folder = tempfile::tempdir().unwrap();
//!     (MyStore::open(folder.path()).await.unwrap(), folder)
//! }
//! swath_store_conformance::conformance_suite!(fresh);
//! ```
//!
//! The second part of what `fresh` returns lives as long as the test.

pub mod admitting;
pub mod batching;
pub mod bench;
pub mod call;
pub mod cooling;
pub mod copying;
pub mod deleting;
pub mod finishing;
pub mod forgetting;
pub mod granting;
pub mod importing;
pub mod judging;
pub mod keeping;
pub mod leasing;
pub mod ledger;
pub mod memory;
pub mod naming;
pub mod oracle;
pub mod random;
pub mod reading;
pub mod recovering;
pub mod replicating;
pub mod schema;
pub mod script;
pub mod sessions;
pub mod shipping;
pub mod staging;
pub mod subject;
pub mod sweeping;
pub mod tested;
pub mod waiting;
pub mod watched;
mod words;

use std::time::Duration;

use swath_model::policy::Policy;

pub use swath_store::*;

use self::bench::Bench;
pub use self::memory::MemoryStore;

/// The limits of the scenarios: those of production, but with fewer attempts.
pub fn policy() -> Policy {
    Policy {
        attempts_max: 6,
        ..Policy::default()
    }
}

/// Two tests per scenario, with and without crashes, and one with random sequences, for the stores
/// that `$make` makes: an `async fn(Policy) -> (impl Store, impl Sized)`.
#[macro_export]
macro_rules! conformance_suite {
    ($make:path) => {
        $crate::conformance_scenarios! { $make;
            granting::grants_go_by_priority_then_by_submission,
            granting::a_sweep_is_granted_cell_by_cell,
            granting::a_repeated_request_gets_its_grants_again,
            granting::a_request_without_grants_may_ask_again,
            granting::programs_go_to_workers_that_allow_them,
            granting::a_worker_gets_what_fits_beside_what_it_holds,
            granting::a_repeated_request_keeps_its_devices,
            granting::a_job_gets_several_devices_of_one_worker,
            granting::a_job_of_several_devices_is_held_in_advance,
            granting::room_is_kept_for_a_job_that_does_not_fit,
            granting::memory_is_kept_for_a_large_job,
            granting::what_fits_beside_a_kept_job_begins,
            granting::room_is_kept_where_jobs_are_taken,
            granting::jobs_need_what_the_newest_submit_says,
            granting::a_known_sweep_says_again_what_jobs_need,
            granting::only_active_workers_are_granted_jobs,
            granting::a_shared_job_is_as_urgent_as_its_most_urgent_open_sweep,
            granting::a_job_waits_for_the_end_of_its_backoff,
            granting::the_spec_of_a_grant_holds_its_seed,
            finishing::a_measurement_is_recorded_once,
            finishing::another_outcome_for_a_recorded_attempt_is_stale,
            finishing::a_late_finish_is_adopted_while_suspect,
            finishing::a_late_finish_is_adopted_while_queued_again,
            finishing::a_finish_after_a_newer_grant_is_stale,
            finishing::a_measurement_that_is_not_finite_is_refused,
            finishing::divergence_and_invalid_specs_end_a_job_at_once,
            finishing::a_lost_trainer_is_not_charged,
            finishing::a_finish_after_a_release_is_stale,
            finishing::what_does_not_exist_is_stale,
            finishing::outcomes_are_recorded_before_grants,
            reading::trainings_alike_are_found,
            judging::charged_faults_end_a_job,
            judging::faults_on_three_workers_end_a_job,
            judging::attempts_are_bounded,
            judging::a_worker_that_fails_jobs_in_a_row_is_cordoned,
            judging::failures_after_a_pause_cordon_nobody,
            judging::a_sweep_without_results_cordons_nobody,
            judging::replicates_of_a_cell_cordon_nobody,
            judging::no_sweep_cordons_the_only_worker,
            judging::a_worker_that_fails_everybody_is_cordoned,
            judging::jobs_that_fail_everywhere_cordon_nobody,
            judging::what_nobody_wants_speaks_against_nobody,
            judging::replicates_of_a_cell_pause_nothing,
            judging::a_small_sweep_fails_job_by_job,
            judging::a_cordon_keeps_its_reason,
            judging::a_measurement_ends_a_row,
            judging::a_sweep_that_fails_alike_is_paused,
            judging::what_is_on_trial_elsewhere_is_not_paused,
            judging::a_sweep_with_a_success_is_not_paused,
            judging::probes_that_fail_are_an_answer,
            judging::every_broken_sweep_of_a_shared_job_is_paused,
            leasing::a_lease_passes_in_two_steps,
            leasing::grace_grows_with_the_training,
            leasing::a_heartbeat_brings_an_attempt_back,
            leasing::what_two_heartbeats_do_not_mention_is_taken_back,
            leasing::grants_that_never_arrive_use_up_no_job,
            leasing::a_released_job_is_not_charged,
            leasing::a_draining_worker_is_told_to_stop,
            leasing::a_start_extends_every_lease,
            leasing::an_absence_extends_every_lease,
            leasing::repeated_observations_are_ignored,
            leasing::a_long_log_keeps_its_ends,
            leasing::a_cut_off_worker_may_still_observe,
            sessions::sessions_grow_and_fence,
            sessions::an_older_session_is_only_acknowledged,
            sessions::a_session_that_was_never_given_is_refused,
            sessions::claims_survive_a_restart_of_the_worker,
            sessions::claims_of_others_are_fenced,
            sessions::a_claim_may_bring_a_lost_attempt_back,
            sessions::a_live_name_is_not_given_twice,
            sessions::a_worker_comes_back_to_its_name,
            sessions::a_dead_workers_name_is_free,
            sessions::a_live_name_can_be_taken,
            sessions::a_worker_that_is_gone_is_forgotten,
            sessions::a_goodbye_ends_a_session,
            sessions::a_cordon_outlives_a_goodbye,
            sessions::a_cordon_outlives_a_session,
            sweeping::submitting_twice_is_a_no_op,
            sweeping::a_grown_sweep_keeps_its_jobs,
            sweeping::a_spec_must_be_an_object,
            sweeping::cancelling_spares_shared_jobs,
            sweeping::a_cancelled_attempt_is_stopped,
            sweeping::a_measurement_counts_although_cancelled,
            sweeping::a_cancelled_sweep_can_be_revived,
            sweeping::a_stopped_job_starts_over,
            sweeping::jobs_are_cancelled_and_retried_alone,
            sweeping::retrying_a_job_revives_its_newest_sweep,
            sweeping::a_cancelled_sweep_takes_no_other_change,
            naming::versions_count_up_under_a_name,
            naming::a_submit_says_whose_it_is,
            naming::what_is_said_of_a_sweep_changes,
            naming::a_sweep_gets_another_name,
            naming::numbers_follow_a_sweep_to_its_name,
            staging::parts_make_the_same_sweep,
            staging::what_is_left_of_a_submit_goes,
            staging::a_submit_begins_anew_where_another_was_cut_off,
            staging::of_two_submits_at_once_one_stores,
            deleting::a_finished_sweep_goes_with_everything,
            deleting::shared_jobs_outlive_a_sweep,
            deleting::jobs_that_had_an_attempt_are_told_to_be_gone,
            deleting::open_jobs_are_cancelled_on_request,
            deleting::decisions_go_with_their_sweep,
            deleting::a_large_sweep_goes_piece_by_piece,
            forgetting::a_forgotten_job_is_trained_anew,
            forgetting::a_forgotten_outcome_is_never_taken_again,
            forgetting::epochs_of_a_forgotten_attempt_count_no_more,
            forgetting::forgetting_a_job_revives_its_newest_sweep,
            forgetting::a_sweep_without_measurements_is_judged_again,
            forgetting::an_outcome_is_forgotten_in_the_commit_that_brings_it,
            shipping::files_go_with_the_last_sweep_that_needs_them,
            shipping::a_sweep_without_its_files_is_refused,
            shipping::files_without_a_sweep_go_after_a_day,
            shipping::a_cell_that_stays_keeps_its_files,
            admitting::credentials_are_kept_as_they_are,
            admitting::the_last_word_of_a_batch_counts,
            importing::imports_lie_beside_the_jobs,
            importing::a_measurement_is_never_hidden_by_an_import,
            importing::an_import_can_be_repeated_and_replaced,
            importing::an_import_is_all_or_nothing,
            importing::a_grown_sweep_keeps_its_imports,
            replicating::a_round_gives_each_cell_its_next_replicate,
            replicating::a_decision_that_does_not_follow_is_ignored,
            replicating::a_settled_sweep_is_finished,
            replicating::a_sweep_that_rests_is_left_alone,
            replicating::a_replicate_that_exists_is_not_trained_again,
            replicating::fixed_replicates_stay,
            reading::sweeps_tell_their_state,
            reading::jobs_are_found_by_sweep_state_and_prefix,
            reading::jobs_of_a_scattered_sweep_are_found,
            reading::the_last_failures_come_first,
            reading::a_queued_job_knows_its_place,
            reading::a_job_tells_of_its_attempts,
            reading::results_come_in_canonical_order,
            reading::metrics_come_out_as_they_went_in,
            reading::observations_keep_every_field,
            reading::any_metrics_come_back,
            reading::the_last_epochs_span_attempts,
            reading::logs_go_on_after_a_position,
            reading::known_jobs_and_sources,
            reading::workers_tell_what_they_hold,
            batching::calls_that_wait_are_one_commit,
            batching::what_changes_nothing_is_not_written,
            batching::a_job_lives_twice_in_one_commit,
            batching::a_job_begins_in_the_commit_that_changes_it,
            batching::sweeps_that_come_together_share_cells,
            batching::a_sweep_goes_and_comes_in_one_commit,
            batching::a_session_is_fenced_in_the_commit_that_grants_anew,
            batching::a_request_and_its_repeat_meet,
            batching::imports_come_with_their_sweep,
            batching::a_round_meets_other_calls,
            batching::judgements_see_the_outcomes_before_them,
            batching::a_caller_that_goes_away_is_served,
            cooling::a_cold_job_hears_its_outcome_again,
            cooling::a_cold_job_is_held_by_nobody,
            cooling::a_cold_job_is_retried,
            cooling::a_cold_sweep_is_revived,
            cooling::a_sweep_grows_over_cold_cells,
            cooling::a_shared_cell_has_other_replicates_in_each_sweep,
            cooling::a_paused_sweep_shares_its_cell,
            cooling::a_row_of_failures_names_cold_jobs,
            cooling::cold_faults_pause_a_sweep,
            cooling::cold_cells_meet_in_one_commit,
            recovering::a_commit_that_fails_leaves_nothing,
            recovering::a_commit_whose_word_is_lost_counts,
            recovering::a_hello_whose_word_is_lost_fences,
            recovering::an_engine_survives_many_failures,
            recovering::a_crash_forgets_nothing,
            recovering::the_last_requests_are_kept,
            recovering::an_older_term_writes_nothing,
            recovering::cells_are_loaded_by_every_name,
            waiting::a_job_goes_to_whoever_waits_longest,
            waiting::a_wait_ends_with_what_it_waits_for,
            waiting::a_wait_outlasts_a_backoff,
            waiting::a_wait_hears_of_a_commit_that_failed,
            waiting::a_wait_that_is_over_gets_nothing,
        }

        #[test]
        fn random_sequences_agree_with_the_model() {
            $crate::random::run($make);
        }
    };
}

/// One test per listed scenario.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_scenarios {
    ($make:path; $($module:ident::$name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::run_scenario($make, false, $crate::$module::$name);
            }
        )*

        /// The same, with an engine that crashes after every step.
        mod crashing {
            use super::*;

            $(
                #[test]
                fn $name() {
                    $crate::run_scenario($make, true, $crate::$module::$name);
                }
            )*
        }
    };
}

/// Runs one scenario on a store that `make` makes, with an engine that crashes
/// after every step if `crashing`.
#[doc(hidden)]
pub fn run_scenario<S, G, F, R>(make: F, crashing: bool, scenario: R)
where
    S: Store,
    F: AsyncFn(Policy) -> (S, G),
    R: AsyncFnOnce(&mut Bench),
{
    let run = async {
        let (store, _guard) = make(policy()).await;
        let mut bench = Bench::start(store, policy(), crashing).await;
        scenario(&mut bench).await;
        bench.end().await;
    };
    let done = runtime().block_on(async { tokio::time::timeout(LIMIT, run).await });
    done.expect("nobody waits for ever");
}

/// How long one scenario or sequence may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(5);

/// One thread for everything and one for blocking work, so that calls reach the
/// engine in the order in which they are made; see [`Bench::together`].
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

#[cfg(test)]
mod tests {
    /// A scenario that is written but not listed would never run.
    #[test]
    fn every_scenario_is_listed() {
        let suite = include_str!("lib.rs");
        let modules = [
            ("granting", include_str!("granting.rs")),
            ("finishing", include_str!("finishing.rs")),
            ("judging", include_str!("judging.rs")),
            ("keeping", include_str!("keeping.rs")),
            (
                "schema",
                concat!(
                    include_str!("schema/mod.rs"),
                    include_str!("schema/around.rs")
                ),
            ),
            ("admitting", include_str!("admitting.rs")),
            ("leasing", include_str!("leasing.rs")),
            ("sessions", include_str!("sessions.rs")),
            ("sweeping", include_str!("sweeping.rs")),
            ("naming", include_str!("naming.rs")),
            ("staging", include_str!("staging.rs")),
            ("deleting", include_str!("deleting.rs")),
            ("forgetting", include_str!("forgetting.rs")),
            ("shipping", include_str!("shipping.rs")),
            ("importing", include_str!("importing.rs")),
            ("replicating", include_str!("replicating.rs")),
            ("reading", include_str!("reading.rs")),
            ("batching", include_str!("batching.rs")),
            ("cooling", include_str!("cooling.rs")),
            ("recovering", include_str!("recovering.rs")),
            ("waiting", include_str!("waiting.rs")),
        ];
        for (module, text) in modules {
            for line in text.lines() {
                let Some(rest) = line.strip_prefix("pub async fn ") else {
                    continue;
                };
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                // Some modules have a suite of their own.
                let listed = [
                    format!("{module}::{name},"),
                    format!("            {name},\n"),
                ];
                let is_listed = suite.contains(&listed[0]) || text.contains(&listed[1]);
                assert!(is_listed, "{module}::{name} is not in the suite");
            }
        }
    }
}
