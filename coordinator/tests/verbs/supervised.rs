//! What a supervisor such as systemd hears of a coordinator.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use crate::support::Site;

/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_supervisor_hears_when_it_answers_that_it_is_well_and_when_it_stops() {
    let site = Site::new();
    let path = site.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).expect("a word of the coordinator");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut command = site.command("serve --database sqlite:swath.db --listen 127.0.0.1:0");
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "100000");
    let mut child = command.spawn().unwrap();

    let ready = heard();
    let address = ready
        .strip_prefix("READY=1\nSTATUS=serves at http://")
        .unwrap_or_else(|| panic!("{ready}"));
    TcpStream::connect(address.trim()).expect("it answers before it says so");
    assert_eq!(heard(), "WATCHDOG=1\n");
    assert_eq!(heard(), "WATCHDOG=1\n");
    let id = child.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(killed.success());
    let last = std::iter::repeat_with(heard).find(|word| word != "WATCHDOG=1\n");
    assert_eq!(
        last.as_deref(),
        Some("STOPPING=1\nSTATUS=lets open calls end\n")
    );
    assert!(child.wait().unwrap().success());
}

/// A watchdog of another process, which has started this one, is not fed.
#[test]
fn the_watchdog_of_another_process_hears_nothing() {
    let site = Site::new();
    let path = site.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = site.command("serve --database sqlite:swath.db --listen 127.0.0.1:0");
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "20000")
        .env("WATCHDOG_PID", "1");
    let mut child = command.spawn().unwrap();
    let mut words = Vec::new();
    let mut bytes = [0; 4096];
    for stop in [true, false] {
        let length = socket.recv(&mut bytes).expect("a word of the coordinator");
        words.push(bytes[..length].to_vec());
        if stop {
            let id = child.id().to_string();
            let killed = Command::new("kill").args(["-TERM", &id]).status().unwrap();
            assert!(killed.success());
        }
    }
    assert!(words[0].starts_with(b"READY=1\n"), "{words:?}");
    assert!(words[1].starts_with(b"STOPPING=1\n"), "{words:?}");
    assert!(child.wait().unwrap().success());
}
