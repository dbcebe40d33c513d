//! Which worker can run a job, and on which device.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::offer::{DeviceAbout, Free};
use crate::placement::Placement;

#[test]
fn a_program_runs_where_it_is_allowed_and_the_trainer_everywhere() {
    let spec = json!({"trainer": {"command": ["python3", "train.py"]}});
    let program = Needs::of(&JobSpec::from_value(&spec).unwrap());
    let mut worker = Offer::default();
    let lack = Lack::Program {
        program: "python3".to_owned(),
    };
    assert_eq!(program.lacking(&worker), Some(lack));
    worker.programs.push("python3".to_owned());
    assert_eq!(program.lacking(&worker), None);
    assert_eq!(Needs::default().lacking(&Offer::default()), None);
}

#[test]
fn what_a_worker_may_not_do_names_the_option_that_says_so() {
    let lack = Lack::Permission {
        wish: "to run `python3 -c 1`".to_owned(),
        allows: "`python3 train.py`".to_owned(),
        option: "--allow-command".to_owned(),
    };
    assert_eq!(
        lack.of_one(),
        "has no permission to run `python3 -c 1`; it allows `python3 train.py` (--allow-command)"
    );
    assert_eq!(
        lack.to_string(),
        "no active worker has permission to run `python3 -c 1`; the closest allows \
         `python3 train.py` (--allow-command)"
    );
    let text = serde_json::to_string(&lack).unwrap();
    assert_eq!(serde_json::from_str::<Lack>(&text).unwrap(), lack);
}

#[test]
fn of_several_workers_the_closest_says_what_is_lacking() {
    let needs = Needs {
        device: Some(DeviceKind::Cuda),
        memory_bytes: Some(10 << 30),
        program: Some("tool".to_owned()),
        ..Needs::default()
    };
    let cpu = Offer {
        slots: vec![Device::Cpu],
        programs: vec!["tool".to_owned()],
        ..Offer::default()
    };
    let unknown = Offer {
        slots: vec![Device::Cpu, Device::Cuda(1)],
        ..cpu.clone()
    };
    let large = Offer {
        devices: vec![DeviceAbout {
            device: Device::Cuda(1),
            model: String::new(),
            memory_bytes: 10 << 30,
        }],
        ..unknown.clone()
    };
    let lacking = |offers: &[&Offer]| closest(offers.iter().map(|offer| needs.lacking(offer)));
    assert_eq!(lacking(&[]), None);
    let told = |offers: &[&Offer]| lacking(offers).unwrap().to_string();
    assert_eq!(
        told(&[&cpu, &Offer::default()]),
        "no active worker has a `cuda` device for it; start one with `--device cuda:0`"
    );
    assert_eq!(
        told(&[&unknown, &cpu]),
        "no active worker has a `cuda` device with 10 GiB of memory for it"
    );
    assert_eq!(lacking(&[&cpu, &large, &unknown]), None);
}

#[test]
fn the_offer_that_comes_nearest_is_told() {
    let about = |number, gib: u64| DeviceAbout {
        device: Device::Cuda(number),
        model: String::new(),
        memory_bytes: gib << 30,
    };
    let of = |gpus: &[u64]| Offer {
        // Two slots on one GPU are one device.
        slots: (0..gpus.len() as u16)
            .flat_map(|number| [Device::Cuda(number); 2])
            .collect(),
        devices: (0..).zip(gpus).map(|(at, gib)| about(at, *gib)).collect(),
        cpus: Some(8),
        ..Offer::default()
    };
    let told = |needs: &Needs, offers: &[Offer]| {
        closest(offers.iter().map(|offer| needs.lacking(offer))).map(|lack| lack.to_string())
    };
    let mut needs = Needs {
        device: Some(DeviceKind::Cuda),
        count: Some(2),
        ..Needs::default()
    };
    assert_eq!(
        told(&needs, &[of(&[])]).unwrap(),
        "no active worker has 2 `cuda` devices for it; start one with `--device cuda:0,cuda:1` and \
         so on"
    );
    assert_eq!(
        told(&needs, &[of(&[]), of(&[80])]).unwrap(),
        "no active worker has 2 `cuda` devices for it; the closest has 1"
    );
    assert_eq!(told(&needs, &[of(&[80]), of(&[80, 8])]), None);
    needs.memory_bytes = Some(40 << 30);
    assert_eq!(
        told(&needs, &[of(&[80]), of(&[80, 8]), of(&[24, 24])]).unwrap(),
        "no active worker has 2 `cuda` devices with 40 GiB of memory for it; the closest has 24 GiB"
    );
    needs.cpus = Some(12);
    assert_eq!(
        told(&needs, &[of(&[40, 80, 1])]).unwrap(),
        "no active worker has 12 CPUs for it; the closest has 8"
    );
    let older: Lack = serde_json::from_str(r#"{"lack": "device", "device": "cuda"}"#).unwrap();
    assert_eq!(
        older.to_string(),
        "no active worker has a `cuda` device for it; start one with `--device cuda:0`"
    );
}

#[test]
fn a_job_of_several_devices_gets_each_another_one_that_is_free() {
    let offer = Offer::default();
    let free = |number, slots| Free {
        device: Device::Cuda(number),
        slots,
        ahead: 4,
    };
    let pair = Needs {
        device: Some(DeviceKind::Cuda),
        count: Some(2),
        ..Needs::default()
    };
    let mut room = Room::new(&offer, &[free(0, 1), free(1, 0), free(2, 2), free(3, 1)]);
    let placed = room.place(&pair).unwrap();
    assert_eq!(placed.to_string(), "cuda:0,cuda:2");
    room.grant(&pair, &placed);
    let placed = room.place(&pair).unwrap();
    assert_eq!(placed.to_string(), "cuda:2,cuda:3");
    room.grant(&pair, &placed);
    // Devices that others share get free one by one, so it is not held in advance.
    assert_eq!(room.place(&pair), None);
    assert!(room.place(&Needs::default()).is_some());
}

#[test]
fn jobs_of_several_devices_are_held_in_advance_behind_each_other() {
    let free = |number| Free {
        device: Device::Cuda(number),
        slots: 1,
        ahead: if number < 4 { 2 } else { 0 },
    };
    let pair = Needs {
        device: Some(DeviceKind::Cuda),
        count: Some(2),
        ..Needs::default()
    };
    let mut room = Room::new(&Offer::default(), &(0..6).map(free).collect::<Vec<_>>());
    let mut places = Vec::new();
    while let Some(placed) = room.place(&pair) {
        room.grant(&pair, &placed);
        places.push(placed.to_string());
    }
    let in_turn = ["cuda:0,cuda:1", "cuda:2,cuda:3"];
    assert_eq!(
        places[..3],
        ["cuda:0,cuda:1", "cuda:2,cuda:3", "cuda:4,cuda:5"]
    );
    assert_eq!(places[3..], [in_turn, in_turn].concat());
}

#[test]
fn memory_keeps_two_large_jobs_off_one_device() {
    let devices = [0, 1].map(|number| DeviceAbout {
        device: Device::Cuda(number),
        model: String::new(),
        memory_bytes: 80 << 30,
    });
    let offer = Offer {
        devices: devices.to_vec(),
        ..Offer::default()
    };
    let free = |number, slots| Free {
        device: Device::Cuda(number),
        slots,
        ahead: 0,
    };
    let mut room = Room::new(&offer, &[free(0, 4), free(1, 3)]);
    let large = Needs {
        memory_bytes: Some(50 << 30),
        ..Needs::default()
    };
    let mut places = Vec::new();
    while let Some(placed) = room.place(&large) {
        room.grant(&large, &placed);
        places.push(placed.to_string());
    }
    assert_eq!(places, ["cuda:0", "cuda:1"]);
    let small = Needs {
        memory_bytes: Some(30 << 30),
        ..Needs::default()
    };
    assert_eq!(room.place(&small), Some(Device::Cuda(0).into()));
}

fn device() -> impl Strategy<Value = Device> {
    prop_oneof![Just(Device::Cpu), (0..3_u16).prop_map(Device::Cuda)]
}

fn kind() -> impl Strategy<Value = DeviceKind> {
    prop_oneof![Just(DeviceKind::Cpu), Just(DeviceKind::Cuda)]
}

fn program() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("b".to_owned())]
}

fn needs() -> impl Strategy<Value = Needs> {
    let (memory, cpus) = (
        proptest::option::of(1..9_u64),
        proptest::option::of(1..9_u32),
    );
    let parts = (
        proptest::option::of(kind()),
        proptest::option::of(1..4_u16),
        memory,
        cpus,
        proptest::option::of(program()),
    );
    parts.prop_map(|(device, count, memory_bytes, cpus, program)| Needs {
        device,
        count,
        memory_bytes,
        cpus,
        program,
        data: None,
        launch: Launch::default(),
    })
}

fn offer() -> impl Strategy<Value = Offer> {
    let parts = (
        proptest::collection::vec((device(), 0..16_u64), 0..6),
        proptest::collection::vec(program(), 0..2),
        proptest::option::of(0..16_u32),
    );
    parts.prop_map(|(slots, programs, cpus)| {
        let mut devices: Vec<DeviceAbout> = Vec::new();
        for (device, memory_bytes) in &slots {
            if devices.iter().all(|about| about.device != *device) {
                devices.push(DeviceAbout {
                    device: *device,
                    model: String::new(),
                    memory_bytes: *memory_bytes,
                });
            }
        }
        Offer {
            slots: slots.into_iter().map(|(device, _)| device).collect(),
            programs,
            devices,
            cpus,
        }
    })
}

/// The same offer and more.
fn grown(mut offer: Offer, more: &Offer) -> Offer {
    for about in &more.devices {
        let known = |it: &&mut DeviceAbout| it.device == about.device;
        match offer.devices.iter_mut().find(known) {
            Some(own) => own.memory_bytes += about.memory_bytes,
            None => offer.devices.push(about.clone()),
        }
    }
    offer.slots.extend(&more.slots);
    offer.programs.extend(more.programs.iter().cloned());
    offer.cpus = match (offer.cpus, more.cpus) {
        (Some(own), Some(more)) => Some(own + more),
        (own, more) => own.or(more),
    };
    offer
}

/// Every slot of an offer.
fn idle(offer: &Offer) -> Vec<Free> {
    let mut free: Vec<Free> = Vec::new();
    for slot in &offer.slots {
        match free.iter_mut().find(|free| free.device == *slot) {
            Some(free) => free.slots += 1,
            None => free.push(Free {
                device: *slot,
                slots: 1,
                ahead: 1,
            }),
        }
    }
    free
}

/// A result that the first of two sweeps can use is no fault.
#[test]
fn jobs_of_two_sweeps_need_epochs_only_if_both_do() {
    let with = |wants_epochs, timeout_ms| Needs {
        launch: Launch {
            wants_epochs,
            timeout_ms: Some(timeout_ms),
            ..Launch::default()
        },
        ..Needs::default()
    };
    for (before, now, after) in [
        (false, true, false),
        (true, false, false),
        (true, true, true),
    ] {
        assert_eq!(with(now, 2).after(&with(before, 1)), with(after, 2));
    }
}

proptest! {
    /// A worker that offers more lacks no more.
    #[test]
    fn more_lacks_no_more(needs in needs(), offer in offer(), more in offer()) {
        if needs.lacking(&offer).is_none() {
            prop_assert_eq!(needs.lacking(&grown(offer, &more)), None);
        } else {
            let (before, after) = (needs.lacking(&offer), needs.lacking(&grown(offer, &more)));
            prop_assert!(after.is_none() || after >= before);
        }
    }

    /// What lacks nothing has a place at an idle worker, and what has one lacks
    /// nothing, except that a place says nothing of programs.
    #[test]
    fn an_idle_worker_has_room_for_what_it_does_not_lack(needs in needs(), offer in offer()) {
        let room = Room::new(&offer, &idle(&offer));
        let needs = Needs { program: None, ..needs };
        let takes = needs.lacking(&offer).is_none() && !offer.slots.is_empty();
        prop_assert_eq!(room.place(&needs).is_some(), takes);
    }

    /// However many jobs are granted, no device and no host has more than it
    /// can hold, and nothing has a place that its needs rule out.
    #[test]
    fn nothing_is_granted_twice(
        offer in offer(),
        held in proptest::collection::vec((needs(), device().prop_map(Placement::from)), 0..4),
        jobs in proptest::collection::vec(needs(), 0..24),
    ) {
        let free = idle(&offer);
        let mut room = Room::new(&offer, &free);
        let mut holds: Vec<(Needs, Placement)> = Vec::new();
        for (needs, placed) in held {
            room.hold(&needs, &placed);
            holds.push((needs, placed));
        }
        let own = holds.len();
        for needs in jobs {
            let Some(placed) = room.place(&needs) else { continue };
            room.grant(&needs, &placed);
            prop_assert_eq!(placed.count(), needs.count());
            holds.push((needs, placed.clone()));
            let (needs, _) = &holds[holds.len() - 1];
            prop_assert_eq!(Needs { program: None, ..needs.clone() }.lacking(&offer), None);
            if needs.cpus.is_some() {
                let sum: u32 = holds.iter().filter_map(|(needs, _)| needs.cpus).sum();
                prop_assert!(Some(sum) <= offer.cpus);
            }
            for device in placed.iter() {
                prop_assert!(needs.may_run_on(device));
                let there = || holds.iter().filter(|(_, on)| on.has(device)).map(|(needs, _)| needs);
                if needs.memory_bytes.is_some() {
                    let sum: u64 = there().filter_map(|needs| needs.memory_bytes).sum();
                    prop_assert!(Some(sum) <= offer.memory_of(device));
                }
                let granted = holds[own..].iter().filter(|(_, on)| on.has(device)).count();
                let most = free.iter().find(|free| free.device == device).map_or(0, Free::jobs);
                prop_assert!(granted as u32 <= most);
            }
        }
    }
}
