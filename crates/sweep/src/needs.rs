//! What jobs need of the device and the host on which they run.

use swath_model::device::DeviceKind;
use swath_model::needs::Needs;
use swath_model::spec::{JobSpec, Work, keys};
use swath_model::text::read_bytes;

use super::error::Errors;
use super::section::unknown;
use super::source::{Entry, Node};

const KEYS: [&str; 4] = ["cpu", "cuda", "memory", "cpus"];
/// More is a mistake.
const COUNT_MAX: i64 = 1024;
const CPUS_MAX: i64 = 65_536;

/// Reads a table such as `{ cuda = 1, memory = "10GiB", cpus = 4 }` that the
/// file names `path`.
pub(super) fn read(path: &str, node: &Node, errors: &mut Errors) -> Needs {
    let Some(entries) = node.entries() else {
        let message = "must be a table, like { cuda = 1, memory = \"10GiB\", cpus = 4 }";
        errors.push(node.place.error(path, message));
        return Needs::default();
    };
    let mut needs = Needs::default();
    for entry in entries {
        if let Err(message) = take(&mut needs, entry) {
            let key = format!("{path}.{}", entry.name);
            let place = if KEYS.contains(&&*entry.name) {
                &entry.node.place
            } else {
                &entry.place
            };
            errors.push(place.error(key, message));
        }
    }
    needs
}

fn take(needs: &mut Needs, entry: &Entry) -> Result<(), String> {
    let value = entry.node.value();
    let what = || keys::describe(&value);
    match entry.name.as_str() {
        "cpu" if value.as_bool() == Some(true) => on(needs, DeviceKind::Cpu)?,
        "cpu" => {
            return Err(format!(
                "must be true, not {}; leave it out otherwise",
                what()
            ));
        }
        "cuda" => {
            let count = value.as_i64().filter(|it| (1..=COUNT_MAX).contains(it));
            let wrong = || {
                format!(
                    "must be a number of GPUs from 1 to {COUNT_MAX}, not {}; leave it out for none",
                    what()
                )
            };
            let count = count.ok_or_else(wrong)?;
            on(needs, DeviceKind::Cuda)?;
            needs.count = Some(count as u16).filter(|count| *count > 1);
        }
        "memory" => {
            let bytes = entry.node.text().and_then(read_bytes);
            let wrong = || {
                format!(
                    "must be a size like \"10GiB\" or \"512MiB\", not {}",
                    what()
                )
            };
            needs.memory_bytes = Some(bytes.ok_or_else(wrong)?);
        }
        "cpus" => {
            let cpus = value.as_i64().filter(|it| (1..=CPUS_MAX).contains(it));
            let wrong = || {
                format!(
                    "must be a whole number from 1 to {CPUS_MAX}, not {}",
                    what()
                )
            };
            needs.cpus = Some(cpus.ok_or_else(wrong)? as u32);
        }
        name => return Err(unknown(name, &KEYS)),
    }
    Ok(())
}

fn on(needs: &mut Needs, device: DeviceKind) -> Result<(), String> {
    match needs.device.replace(device) {
        None => Ok(()),
        Some(other) => Err(format!(
            "a job runs on devices of one kind, and `{other}` is set too"
        )),
    }
}

/// What is wrong at which key of needs that were not read from a file.
pub(super) fn wrong(needs: &Needs) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if let Some(count) = needs.count {
        if !(1..=COUNT_MAX).contains(&i64::from(count)) {
            let message = format!("must be a whole number from 1 to {COUNT_MAX}, not {count}");
            wrong.push(("count", message));
        } else if count > 1 && needs.device != Some(DeviceKind::Cuda) {
            let message = "several devices must be of the kind `cuda`".to_owned();
            wrong.push(("device", message));
        }
    }
    if needs.memory_bytes == Some(0) {
        wrong.push(("memory_bytes", "must be at least 1".to_owned()));
    }
    if let Some(cpus) = needs.cpus
        && !(1..=CPUS_MAX).contains(&i64::from(cpus))
    {
        let message = format!("must be a whole number from 1 to {CPUS_MAX}, not {cpus}");
        wrong.push(("cpus", message));
    }
    wrong
}

/// Why jobs with this spec cannot have what they need anywhere.
pub(super) fn beyond(needs: &Needs, spec: &JobSpec) -> Option<String> {
    let trains = matches!(spec.work(), Work::Training(_));
    (needs.count() > 1 && trains).then(|| {
        let count = needs.count();
        format!("{count} GPUs are for programs; the built-in trainer trains on one: `cuda = 1`")
    })
}
