//! What several tests store.

use serde_json::json;
use swath_model::id::SweepDigest;
use swath_model::time::Timestamp;
use swath_model::view::Counts;
use swath_store_conformance::{Changes, Files, NewSweep, Sources, Store, SweepKey, SweepRow};
use swath_store_sqlite::SqliteStore;

pub(crate) const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

/// A sweep without cells, whose files take some room.
pub(crate) fn bare(n: i64) -> Changes {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    let key = SweepKey(n);
    let row = SweepRow {
        key,
        live: true,
        paused: None,
        priority: 0,
        counts: Counts::default(),
        ended_at: None,
    };
    let sweep = NewSweep {
        key,
        digest: SweepDigest::from_bytes(digest),
        name: format!("sweep-{n}"),
        title: String::new(),
        kind: swath_model::view::SweepKind::Training,
        replicates: 1,
        cells: 0,
        sources: Sources::Files(Files {
            main: "x".repeat(3000),
            ..Files::default()
        }),
        definition: json!(null),
        submitted_at: NOW,
        version: 1,
        label: swath_model::label::Label::default(),
    };
    Changes {
        new_sweeps: vec![sweep],
        sweeps: vec![row],
        ..Changes::default()
    }
}

/// The keys of the sweeps that are there.
pub(crate) async fn sweeps(store: &SqliteStore) -> Vec<i64> {
    let sweeps = store.start().await.unwrap().sweeps;
    sweeps.iter().map(|sweep| sweep.row.key.0).collect()
}
