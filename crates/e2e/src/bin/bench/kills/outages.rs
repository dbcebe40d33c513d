//! What happens to the database under a coordinator that stays.

use std::thread::sleep;
use std::time::{Duration, Instant};

use swath_e2e::Random;

use super::place::Place;
use super::proxy::{Proxy, Wire};
use super::volume::Volume;
use crate::server::Server;
use crate::text::{Checked, say};

/// Every so many kills of the server it stays away for longer than a lease lives and a suspect attempt is waited for.
const LONG_EVERY: u64 = 5;
const LONG: Duration = Duration::from_secs(5);
/// How often a coordinator is stopped.
const STOPS: usize = 3;
/// A full disk is full for so long.
const FULL: Duration = Duration::from_secs(5);

/// Says how it resumed after something that is over now.
fn resumed(place: &Place, what: &str) {
    let resumed = place.goes_on(50);
    say(&format!(
        "  {what}: {} outcomes acknowledged, the next 50 within {:.1} s",
        place.load.list.acknowledged(),
        resumed.as_secs_f64()
    ));
}

/// `kill -9` of all processes of the server.
pub(crate) fn server(kills: u64, random: &mut Random) -> Checked<String> {
    let mut server = Server::start()?;
    let database = server.database("kills", None)?;
    let place = Place::start(&database, &server.variables(), random);
    let mut processes = 0;
    for kill in 1..=kills {
        sleep(Duration::from_millis(random.below(2_000)));
        processes += server.kill();
        if kill % LONG_EVERY == 0 {
            sleep(LONG);
        }
        server.serve()?;
        if kill % LONG_EVERY == 0 || kill == kills {
            resumed(&place, &format!("{kill} kills of {processes} processes"));
        } else {
            place.goes_on(1);
        }
    }
    place.settle()
}

/// The wire to the server is cut.
pub(crate) fn network(seconds: u64, random: &mut Random) -> Checked<String> {
    let server = Server::start()?;
    let proxy = Proxy::start(server.port()).map_err(|error| error.to_string())?;
    let database = server.database("kills", Some(proxy.port))?;
    let place = Place::start(&database, &server.variables(), random);
    let cuts = [
        (Wire::Silent, "silent", seconds),
        (Wire::Torn, "torn", 10.min(seconds)),
    ];
    for (wire, name, seconds) in cuts {
        proxy.set(wire);
        let cut = Instant::now();
        sleep(Duration::from_secs(seconds));
        let newest = place.load.list.newest();
        proxy.set(Wire::Whole);
        if newest.is_some_and(|newest| newest > cut + Duration::from_secs(2)) {
            return Err(format!(
                "outcomes were acknowledged while the wire was {name}"
            ));
        }
        resumed(&place, &format!("{seconds} s with the wire {name}"));
    }
    place.settle()
}

/// The server has little patience, also with a coordinator that hangs in the middle of a transaction.
pub(crate) fn idle(seconds: u64, random: &mut Random) -> Checked<String> {
    let server = Server::start()?;
    let database = server.database("kills", None)?;
    server.sql(
        "postgres",
        "ALTER SYSTEM SET idle_in_transaction_session_timeout = '1s'",
    )?;
    server.sql("postgres", "SELECT pg_reload_conf()")?;
    let place = Place::start(&database, &server.variables(), random);
    sleep(Duration::from_secs(seconds));
    resumed(&place, &format!("{seconds} s of load"));
    for stop in 1..=STOPS {
        sleep(Duration::from_millis(random.below(1_000)));
        place.signal(libc::SIGSTOP);
        sleep(Duration::from_secs(7));
        place.signal(libc::SIGCONT);
        resumed(&place, &format!("coordinator stopped for 7 s, {stop}"));
    }
    // Heartbeats that were sent to a coordinator that stood still come when it goes on, and do not know what it granted
    // last: it may take that back.
    place.settle_but(STOPS * 8)
}

/// All connections are ended by the server, as at a failover.
pub(crate) fn backends(times: u64, random: &mut Random) -> Checked<String> {
    let server = Server::start()?;
    let database = server.database("kills", None)?;
    let place = Place::start(&database, &server.variables(), random);
    let mut ended = 0;
    for time in 1..=times {
        sleep(Duration::from_millis(random.below(1_000)));
        let statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                         WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let count = server.sql("postgres", statement)?;
        ended += count.parse::<u64>().unwrap_or(0);
        if time % 5 == 0 || time == times {
            resumed(&place, &format!("{time} times, {ended} connections ended"));
        }
    }
    place.settle()
}

/// The server's disk is full for a while.
pub(crate) fn server_disk(times: u64, random: &mut Random) -> Checked<String> {
    let volume = Volume::mount(400)?;
    let settings = ["max_wal_size = 64MB", "min_wal_size = 32MB"];
    let mut server = Server::start_in(volume.path(), &settings)?;
    let database = server.database("kills", None)?;
    let place = Place::start(&database, &server.variables(), random);
    for time in 1..=times {
        sleep(Duration::from_millis(1_000 + random.below(1_000)));
        fill(&volume, &place)?;
        let crashed = !server.is_alive();
        if crashed {
            say("  the server has ended for want of room, and is started again");
            server.kill();
            server.serve()?;
        }
        resumed(&place, &format!("full, {time}"));
    }
    place.settle()
}

/// The disk of a SQLite database is full for a while.
pub(crate) fn disk(times: u64, random: &mut Random) -> Checked<String> {
    let volume = Volume::mount(200)?;
    let database = format!("sqlite:{}/swath.db", volume.path().display());
    let place = Place::start(&database, &[], random);
    for time in 1..=times {
        sleep(Duration::from_millis(1_000 + random.below(1_000)));
        fill(&volume, &place)?;
        resumed(&place, &format!("full, {time}"));
    }
    place.settle()
}

/// Fills the disk until nothing is acknowledged any more, and then for a while.
fn fill(volume: &Volume, place: &Place) -> Checked {
    let began = Instant::now();
    loop {
        volume.fill()?;
        sleep(Duration::from_millis(500));
        let newest = place.load.list.newest();
        if newest.is_none_or(|newest| newest.elapsed() > Duration::from_secs(2)) {
            break;
        }
        if began.elapsed() > Duration::from_mins(2) {
            return Err("the disk never was so full that it showed".to_owned());
        }
    }
    sleep(FULL);
    volume.relieve()
}
