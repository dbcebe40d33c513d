//! What a supervisor such as systemd hears of a worker.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use swath_model::job::StateName;
use tokio::net::UnixDatagram;

use crate::coordinator::Coordinator;
use crate::process::Worker;
use crate::support::{Bench, command, until};

/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);

struct Supervisor(UnixDatagram);

impl Supervisor {
    fn at(path: &Path) -> Self {
        Self(UnixDatagram::bind(path).unwrap())
    }

    async fn heard(&self) -> String {
        let mut bytes = [0; 4096];
        let heard = tokio::time::timeout(PATIENCE, self.0.recv(&mut bytes)).await;
        let length = heard.expect("a word of the worker").unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The next word that is not about the watchdog.
    async fn news(&self) -> String {
        loop {
            let word = self.heard().await;
            if word != "WATCHDOG=1\n" {
                return word;
            }
        }
    }
}

fn variables(path: &Path) -> [(&'static str, &str); 2] {
    let path = path.to_str().unwrap();
    [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "100000")]
}

#[tokio::test]
async fn a_supervisor_hears_of_the_hello_that_it_is_well_and_when_it_stops() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let path = bench.path("notify");
    let supervisor = Supervisor::at(&path);
    let mut worker = Worker::start_with(&bench, &[], &variables(&path));
    let ready = "READY=1\nSTATUS=in session with the coordinator\n";
    assert_eq!(supervisor.news().await, ready);
    // The hello has come: the coordinator knows it.
    assert_eq!(coordinator.gone().await, [false]);
    while supervisor.heard().await != "WATCHDOG=1\n" {}
    worker.signal(Signal::TERM);
    let stopping = "STOPPING=1\nSTATUS=gives back what it runs\n";
    assert_eq!(supervisor.news().await, stopping);
    assert_eq!(worker.code().await, Some(0));
}

/// A job does not speak for its worker.
#[tokio::test]
async fn jobs_do_not_know_the_supervisor() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let (path, told) = (bench.path("notify"), bench.path("told"));
    let _supervisor = Supervisor::at(&path);
    let script = format!(
        "echo \"[$NOTIFY_SOCKET$WATCHDOG_USEC$WATCHDOG_PID]\" > {}; exit 1",
        told.display()
    );
    let spec = command(&["sh", "-c", &script], &serde_json::json!({ "a": 1 }));
    coordinator.submit(&[spec], 1).await;
    let _worker = Worker::start_with(&bench, &[], &variables(&path));
    until("the job has begun", async || {
        std::fs::read_to_string(&told).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    assert_eq!(std::fs::read_to_string(&told).unwrap(), "[]\n");
    until("it has ended", async || {
        coordinator.count(StateName::Leased).await == 0
    })
    .await;
}
