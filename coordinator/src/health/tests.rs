use swath_model::device::Device;
use swath_model::id::SessionId;
use swath_model::offer::Offer;
use swath_model::view::{SCHEMA_VERSION, WorkerAbout};

use super::*;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const DAY: Duration = Duration::from_hours(24);

fn worker(name: &str, version: &str) -> WorkerView {
    WorkerView {
        lacks: Vec::new(),
        name: name.parse().unwrap(),
        state: WorkerState::Active,
        cordoned: None,
        silent: false,
        session: SessionId(1),
        seen_at: NOW,
        about: WorkerAbout {
            host: "desk".to_owned(),
            pid: 1,
            version: version.to_owned(),
            offer: Offer {
                slots: vec![Device::Cpu],
                ..Offer::default()
            },
            state_id: None,
            out: None,
            protocol: None,
        },
        held: 0,
        slots_held: None,
        kept: None,
        failed_in_a_row: 0,
    }
}

fn well() -> Health {
    Health {
        schema_version: SCHEMA_VERSION,
        version: "0.10.0".to_owned(),
        protocol: 4,
        leads: true,
        store: StoreHealth {
            database: "swath.db".to_owned(),
            writable: Some(true),
            free_bytes: Some(50 << 30),
        },
        clock: ClockHealth {
            now_ms: NOW.as_ms(),
            system_ms: NOW.as_ms(),
        },
        limits: Limits {
            open_files: Some(65_536),
            threads: None,
            file_bytes: None,
        },
        identity: Some(IdentityHealth {
            authority_ends: NOW + 3000 * DAY,
            server_ends: Some(NOW + 60 * DAY),
            hosts: vec![Host {
                name: "head.lab".to_owned(),
                resolves: true,
            }],
            exposed: Vec::new(),
        }),
        policy: Policy::default(),
        workers: vec![worker("gpu1", "0.10.0")],
    }
}

/// The checks that are not ok, after a change to what is well.
fn wrong(change: impl FnOnce(&mut Health)) -> Vec<String> {
    let mut health = well();
    change(&mut health);
    let checks = examine(&health, NOW, "0.10.0");
    let wrong = checks.into_iter().filter(|it| it.grade != Grade::Ok);
    wrong
        .map(|it| {
            assert!(!it.remedy.is_empty(), "no remedy: {it:?}");
            format!("{} {}: {}", it.grade.name(), it.part, it.found)
        })
        .collect()
}

#[test]
fn what_is_well_needs_nothing() {
    assert_eq!(wrong(|_| ()), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_told_before_it_is_full() {
    let with = |free: u64| wrong(|it| it.store.free_bytes = Some(free));
    assert_eq!(
        with(1 << 30),
        ["warn store: swath.db answers; 1 GiB are free on its disk"]
    );
    assert_eq!(
        with(1 << 20),
        ["fail store: swath.db answers; 1 MiB are free on its disk"]
    );
    assert_eq!(
        wrong(|it| it.store.writable = Some(false)),
        ["fail store: swath.db cannot be written"]
    );
}

#[test]
fn clocks_that_differ_are_told_with_who_is_ahead() {
    let hour = 3_600_000;
    assert_eq!(
        wrong(|it| it.clock.system_ms -= hour),
        ["warn clock: its system is 3600 s behind the latest time in the store"]
    );
    assert_eq!(
        wrong(|it| {
            it.clock.system_ms += hour;
            it.clock.now_ms += hour;
        }),
        ["warn clock here: this machine is 3600 s behind the coordinator"]
    );
}

#[test]
fn limits_are_compared_with_what_is_needed() {
    assert_eq!(
        wrong(|it| {
            it.limits = Limits {
                open_files: Some(256),
                threads: Some(64),
                file_bytes: Some(1 << 30),
            };
        }),
        [
            "warn open files: 256 may be open, and 520 may be needed",
            "warn threads: its user may have 64",
            "warn file size: no file may become larger than 1 GiB",
        ]
    );
}

#[test]
fn certificates_are_told_before_they_expire() {
    let identity = |change: fn(&mut IdentityHealth)| {
        wrong(|it| change(it.identity.as_mut().expect("an identity")))
    };
    assert_eq!(
        identity(|it| {
            it.authority_ends = NOW + 30 * DAY;
            it.server_ends = Some(NOW);
            it.hosts[0].resolves = false;
            it.exposed = vec!["ca.key".to_owned()];
        }),
        [
            "warn authority: good for 30 more days",
            "fail certificate: has expired",
            "warn hosts: no address is found for head.lab",
            "fail secrets: others can read ca.key",
        ]
    );
}

#[test]
fn workers_of_other_versions_and_silent_ones_are_named() {
    assert_eq!(
        wrong(|it| {
            it.workers = ["0.9.9", "0.10.1", "dev"]
                .map(|it| worker("w", it))
                .to_vec();
            let mut gone = worker("gone", "0.10.0");
            (gone.silent, gone.seen_at) = (true, NOW - 2 * DAY);
            it.workers.push(gone);
            let mut behind = worker("behind", "0.10.0");
            behind.about.protocol = Some(3);
            it.workers.push(behind);
        }),
        [
            "warn worker w: has version 0.9.9, older than the coordinator's 0.10.0",
            "warn worker w: has version 0.10.1, newer than the coordinator's 0.10.0",
            "warn worker w: has a version that cannot be compared: dev",
            "warn worker gone: is not connected, for 48 h",
            "warn worker behind: is behind: it speaks protocol 3, the coordinator 4",
        ]
    );
}
