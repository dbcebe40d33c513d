//! A program that never stops to talk costs little memory, and its result is
//! kept. `cargo xtask bench flood` does the same with ten million lines.

use swath_e2e::Flood;

#[test]
fn a_flood_is_cut_and_counted_and_its_result_is_kept() {
    let flood = Flood::run(200_000, 20_000_000);
    assert_eq!(flood.result, Some(0.75), "{flood:?}");
    assert!(flood.is_accounted_for(), "{flood:?}");
    assert!(
        flood.kept_bytes > 0 && flood.left_out_bytes > 0,
        "{flood:?}"
    );
    assert!(flood.worker_mb < 50.0, "{flood:?}");
    assert!(flood.coordinator_mb < 100.0, "{flood:?}");
}
