//! What jobs need of the device and the host on which they run.

use swath_model::device::DeviceKind;
use swath_model::needs::Needs;
use swath_model::spec::keys;
use swath_model::text::read_bytes;

use super::error::FileError;
use super::section::unknown;
use super::source::{Entry, Node};

const KEYS: [&str; 4] = ["cpu", "cuda", "memory", "cpus"];
/// More is a mistake.
const CPUS_MAX: i64 = 65_536;

/// Reads a table such as `{ cuda = 1, memory = "10GiB", cpus = 4 }` that the
/// file names `path`.
pub(super) fn read(path: &str, node: &Node, errors: &mut Vec<FileError>) -> Needs {
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
        "cuda" => match value.as_i64() {
            Some(1) => on(needs, DeviceKind::Cuda)?,
            Some(many) if many > 1 => {
                return Err(format!(
                    "{many} devices: one job gets one device so far; write `cuda = 1`"
                ));
            }
            _ => return Err(format!("must be 1, not {}; leave it out otherwise", what())),
        },
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
            "a job runs on one device, and `{other}` is set too"
        )),
    }
}

/// What is wrong at which key of needs that were not read from a file.
pub(super) fn wrong(needs: &Needs) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
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
