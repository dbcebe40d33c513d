//! The file of a SQLite store, as people treat it: opened twice, moved, removed,
//! cut off, made unwritable, on a full disk.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::support::{Done, SMALL, Site};

const PATIENCE: Duration = Duration::from_secs(30);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A coordinator with its messages in a file.
struct Coordinator {
    child: Child,
    messages: PathBuf,
    url: String,
}

impl Coordinator {
    /// `command` is made to serve.
    fn start(site: &Site, mut command: Command) -> Self {
        let messages = site.path().join("messages");
        command.stderr(File::create(&messages).unwrap());
        let mut child = command.spawn().unwrap();
        let url = until("it listens", || {
            let said = fs::read_to_string(&messages).unwrap();
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {said}");
            let (_, rest) = said.split_once("listening on ")?;
            Some(rest.split_once(", ")?.0.to_owned())
        });
        Self {
            child,
            messages,
            url,
        }
    }

    fn of(site: &Site, database: &str) -> Self {
        Self::start(site, site.command(&serving(database)))
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.messages).unwrap()
    }

    /// Its exit code, once it has ended by itself; a signal is none.
    fn ended(&mut self) -> Option<i32> {
        let status = until("it ends", || self.child.try_wait().unwrap());
        assert_eq!(status.signal(), None, "{}", self.said());
        status.code()
    }

    fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(killed.success());
        self.ended()
    }

    /// Submits a sweep under this name.
    fn submit(&self, site: &Site, name: &str) -> Done {
        let file = format!("{name}.toml");
        site.write(&file, &SMALL.replace("small", name));
        site.run(&format!("--coordinator {} submit {file}", self.url))
    }

    fn submitted(&self, site: &Site, name: &str) {
        let done = self.submit(site, name);
        assert_eq!(done.code, 0, "{}", done.stderr);
    }

    fn sweeps(&self, site: &Site) -> usize {
        let done = site.run(&format!("--coordinator {} sweeps -o ids", self.url));
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.stdout.lines().count()
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serving(database: &str) -> String {
    format!("serve --listen 127.0.0.1:0 --database {database}")
}

/// What a coordinator says that does not start on this database.
fn refusal(site: &Site, database: &str) -> String {
    let done = site.run(&serving(database));
    assert_eq!(done.code, 1, "{}", done.stderr);
    done.stderr
}

#[test]
fn a_second_coordinator_is_refused_whichever_way_it_comes() {
    let site = Site::new();
    let at = |name: &str| site.path().join(name);
    let first = Coordinator::of(&site, "swath.db");
    assert!(first.said().contains("created a new store"));
    symlink("swath.db", at("symbolic.db")).unwrap();
    fs::create_dir(at("elsewhere")).unwrap();
    fs::hard_link(at("swath.db"), at("elsewhere/hard.db")).unwrap();
    let holder = format!("process {} on ", first.child.id());
    let refused = |database: &str| {
        let text = refusal(&site, database);
        assert!(text.contains(&holder), "{text}");
        text
    };
    for database in ["swath.db", "symbolic.db", "elsewhere/hard.db"] {
        let text = refused(database);
        assert!(text.contains(&first.url), "{text}");
    }
    fs::remove_file(at("swath.db.lock")).unwrap();
    refused("swath.db");
    // Commands that read find its coordinator by every way, too.
    until("the note is back", || {
        at("swath.db.lock").exists().then_some(())
    });
    let asked = site.run("sweeps --database symbolic.db");
    assert_eq!(asked.code, 0, "{}", asked.stderr);
    assert!(asked.stderr.contains("asking it"), "{}", asked.stderr);
    assert_eq!(first.stop(), Some(0));
    let text = refusal(&site, "swath.db");
    assert!(text.contains("2 names (hard links)"), "{text}");
    fs::remove_file(at("elsewhere/hard.db")).unwrap();
    let again = Coordinator::of(&site, "symbolic.db");
    assert!(!again.said().contains("created"), "{}", again.said());
    assert_eq!(again.stop(), Some(0));
}

/// A coordinator under which something is done to its files: it ends by itself
/// and says why. Returns what it said.
fn undermined(deed: impl FnOnce(&Path), submits: bool) -> (Site, String) {
    let site = Site::new();
    let data = site.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut coordinator = Coordinator::of(&site, "data/swath.db");
    coordinator.submitted(&site, "first");
    deed(&data);
    if submits {
        let done = coordinator.submit(&site, "second");
        assert_ne!(done.code, 0, "{}", done.stdout);
        assert!(
            done.stderr.contains("while it was in use"),
            "{}",
            done.stderr
        );
    }
    assert_eq!(coordinator.ended(), Some(1));
    let said = coordinator.said();
    assert!(said.contains("cannot go on: stopped, as "), "{said}");
    (site, said)
}

#[test]
fn a_coordinator_ends_when_its_files_go() {
    let remove = |data: &Path| fs::remove_file(data.join("swath.db")).unwrap();
    for submits in [false, true] {
        let (_, said) = undermined(remove, submits);
        assert!(said.contains("swath.db was removed or replaced"), "{said}");
        assert!(said.contains("restart the workers"), "{said}");
    }
    let (_, said) = undermined(|data| fs::remove_dir_all(data).unwrap(), true);
    assert!(said.contains("swath.db was removed or replaced"), "{said}");
    let replace = |data: &Path| {
        fs::write(data.join("other"), "of somebody else").unwrap();
        fs::rename(data.join("other"), data.join("swath.db")).unwrap();
    };
    let (_, said) = undermined(replace, true);
    assert!(said.contains("swath.db was removed or replaced"), "{said}");
}

#[test]
fn a_journal_that_goes_is_saved() {
    let remove = |data: &Path| fs::remove_file(data.join("swath.db-wal")).unwrap();
    let (site, said) = undermined(remove, true);
    assert!(said.contains("what it held was saved"), "{said}");
    let coordinator = Coordinator::of(&site, "data/swath.db");
    // The second was written, but not acknowledged.
    assert_eq!(coordinator.sweeps(&site), 2);
    coordinator.submitted(&site, "second");
    assert_eq!(coordinator.sweeps(&site), 2);
    assert_eq!(coordinator.stop(), Some(0));
    let sound = site.run("store verify --database data/swath.db");
    assert_eq!(sound.code, 0, "{}{}", sound.stdout, sound.stderr);
}

#[test]
fn a_store_that_was_cut_off_is_not_begun_anew() {
    let site = Site::new();
    let path = site.path().join("swath.db");
    let coordinator = Coordinator::of(&site, "swath.db");
    coordinator.submitted(&site, "first");
    assert_eq!(coordinator.stop(), Some(0));
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 4096] {
        fs::write(&path, &whole[..length]).unwrap();
        let text = refusal(&site, "swath.db");
        assert!(text.contains("backup"), "{length}: {text}");
    }
    fs::write(&path, &whole).unwrap();
    let coordinator = Coordinator::of(&site, "swath.db");
    assert_eq!(coordinator.sweeps(&site), 1);
}

/// A small disk in memory; none where this user may not mount.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
            .arg(at);
        let mounted = mount.output().is_ok_and(|done| done.status.success());
        mounted.then(|| Self(at.to_owned()))
    }

    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[7; 512]).is_ok() {}
    }

    fn relieve(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }

    fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever was killed a moment ago may still be ending there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_a_coordinator_refuses_and_goes_on() {
    let site = Site::new();
    let Some(disk) = Disk::mount(&site.path().join("disk")) else {
        return;
    };
    let coordinator = Coordinator::of(&site, "disk/swath.db");
    coordinator.submitted(&site, "first");
    disk.fill();
    // There may be room left in what the files have already.
    let mut refused = coordinator.submit(&site, "full0");
    for number in 1..200 {
        if refused.code != 0 {
            break;
        }
        refused = coordinator.submit(&site, &format!("full{number}"));
    }
    assert_ne!(refused.code, 0, "nothing is refused");
    assert!(
        refused.stderr.contains("disk of the database is full"),
        "{}",
        refused.stderr
    );
    let before = coordinator.sweeps(&site);
    assert!(before >= 1);
    for verb in ["status", "table first", "workers", "jobs first"] {
        let read = site.run(&format!("--coordinator {} {verb}", coordinator.url));
        assert_eq!(read.code, 0, "{verb}: {}", read.stderr);
    }
    disk.relieve();
    coordinator.submitted(&site, "later");
    assert_eq!(coordinator.sweeps(&site), before + 1);

    // It stops on a full disk too, and does not start there.
    disk.fill();
    assert_eq!(coordinator.stop(), Some(0));
    disk.fill();
    let text = refusal(&site, "disk/swath.db");
    assert!(text.contains("the disk is full; make room"), "{text}");
    disk.relieve();
    let coordinator = Coordinator::of(&site, "disk/swath.db");
    assert_eq!(coordinator.sweeps(&site), before + 1);
}

#[test]
fn a_store_that_cannot_be_written_is_refused_at_the_start() {
    let site = Site::new();
    let Some(disk) = Disk::mount(&site.path().join("disk")) else {
        return;
    };
    assert_eq!(Coordinator::of(&site, "disk/swath.db").stop(), Some(0));
    disk.remount("ro");
    let text = refusal(&site, "disk/swath.db");
    assert!(text.contains("mounted read-only"), "{text}");
    let text = refusal(&site, "disk/new.db");
    assert!(text.contains("mounted read-only"), "{text}");
    disk.remount("rw");
    assert_eq!(Coordinator::of(&site, "disk/swath.db").stop(), Some(0));
}

#[test]
fn a_coordinator_says_that_the_limit_of_file_sizes_is_reached() {
    let site = Site::new();
    assert_eq!(Coordinator::of(&site, "swath.db").stop(), Some(0));
    let size = fs::metadata(site.path().join("swath.db")).unwrap().len();
    let program = site.command(&serving("swath.db"));
    let mut limited = Command::new("bash");
    limited
        .arg("-c")
        .arg(format!(
            "ulimit -f {}; exec \"$0\" \"$@\"",
            size / 1024 + 64
        ))
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(site.path());
    let mut coordinator = Coordinator::start(&site, limited);
    for number in 0..200 {
        if coordinator.submit(&site, &format!("s{number}")).code != 0 {
            break;
        }
    }
    assert_eq!(coordinator.ended(), Some(1));
    assert!(
        coordinator.said().contains("`ulimit -f`"),
        "{}",
        coordinator.said()
    );
}
