//! What a new process gives up before it becomes a program: files that are open by chance, what
//! it may use of the machine, and the worker's user.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use uzers::os::unix::UserExt;

/// What every program may use. What is not said stays as it is for the worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of its own of each process, in bytes. Address space that is only reserved, as
    /// CUDA does with more than the machine has, does not count.
    pub memory: Option<u64>,
    /// The largest file that it may write, in bytes.
    pub file: Option<u64>,
    /// How many processes and threads its user may have.
    pub processes: Option<u64>,
    /// How many files each process may have open.
    pub open_files: Option<u64>,
}

impl Limits {
    /// Sets them for this process and all that it starts. It makes system calls and allocates
    /// nothing.
    fn set(self) -> io::Result<()> {
        let limits = [
            // A core of a trained model is as large as the memory, and holds all its data.
            (Resource::Core, Some(0)),
            (Resource::Data, self.memory),
            (Resource::Fsize, self.file),
            (Resource::Nproc, self.processes),
            (Resource::Nofile, self.open_files),
        ];
        for (resource, limit) in limits {
            if let Some(limit) = limit {
                // No process may raise what it was given.
                let most = getrlimit(resource).maximum;
                let limit = Some(most.map_or(limit, |most| limit.min(most)));
                let (current, maximum) = (limit, limit);
                setrlimit(resource, Rlimit { current, maximum })?;
            }
        }
        Ok(())
    }
}

/// A user as whom programs run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    home: PathBuf,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl User {
    /// The user with this name.
    ///
    /// # Errors
    ///
    /// When there is none, or programs would have all rights, for people.
    pub fn named(name: &str) -> Result<Self, String> {
        let known = uzers::get_user_by_name(name);
        let known = known.ok_or_else(|| format!("this host has no user `{name}`"))?;
        let gid = known.primary_group_id();
        if known.uid() == 0 {
            return Err(format!("`{name}` has all rights; name a user without them"));
        }
        let groups = uzers::get_user_groups(name, gid).unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            home: known.home_dir().to_owned(),
            uid: Uid::from_raw(known.uid()),
            gid: Gid::from_raw(gid),
            groups: groups.iter().map(|it| Gid::from_raw(it.gid())).collect(),
        })
    }

    /// The variables that say who one is.
    pub(super) fn variables(&self) -> [(&str, &std::ffi::OsStr); 3] {
        let name = self.name.as_ref();
        [
            ("HOME", self.home.as_os_str()),
            ("USER", name),
            ("LOGNAME", name),
        ]
    }

    /// Gives the user a file or a directory, but nothing that a link leads to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn give(&self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
    }

    /// Gives the user a directory and all that is in it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn give_all(&self, directory: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.give_all(&entry.path())?;
            } else {
                self.give(&entry.path())?;
            }
        }
        self.give(directory)
    }

    /// The first directory on the way to a path that the user cannot pass.
    pub fn stopped_at<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let way: Vec<&Path> = path.ancestors().collect();
        way.into_iter().rev().find(|place| {
            let about = place.metadata();
            about.is_ok_and(|about| !self.may_pass(about.uid(), about.gid(), about.mode()))
        })
    }

    fn may_pass(&self, uid: u32, gid: u32, mode: u32) -> bool {
        let has = |group: &Gid| group.as_raw() == gid;
        let bit = if uid == self.uid.as_raw() {
            0o100
        } else if has(&self.gid) || self.groups.iter().any(has) {
            0o010
        } else {
            0o001
        };
        mode & bit != 0
    }

    /// Becomes the user for good. It makes system calls and allocates nothing: those of the C
    /// library would change all threads of the worker.
    fn become_it(&self) -> io::Result<()> {
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)?;
        // Nor through a program that somebody else owns.
        Ok(set_no_new_privs(true)?)
    }
}

/// What a program has of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// What it may use.
    pub limits: Limits,
    /// As whom it runs; none: as the worker.
    pub user: Option<User>,
}

impl Rights {
    /// To be called in the new process, when its pipes are where they belong. The signal that it
    /// gets when the worker ends is to be set after this.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn give_up(&self) -> io::Result<()> {
        close_others();
        self.limits.set()?;
        self.user.as_ref().map_or(Ok(()), User::become_it)
    }
}

/// Closes, for the program, what the worker was started with, such as the pipe of a token.
#[expect(
    unsafe_code,
    reason = "the descriptors stay open until this process becomes the program, and its table is \
              its own"
)]
fn close_others() {
    let close = libc::CLOSE_RANGE_CLOEXEC;
    // Kernels before 5.11 do not know it.
    let _closed = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, close) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            name: "jobs".to_owned(),
            home: "/home/jobs".into(),
            uid: Uid::from_raw(1000),
            gid: Gid::from_raw(100),
            groups: vec![Gid::from_raw(200)],
        }
    }

    #[test]
    fn a_user_passes_as_the_bits_say_that_are_theirs() {
        let user = user();
        assert!(user.may_pass(1000, 0, 0o700));
        assert!(
            !user.may_pass(1000, 100, 0o011),
            "an owner's bits count alone"
        );
        assert!(user.may_pass(0, 100, 0o710));
        assert!(user.may_pass(0, 200, 0o710));
        assert!(!user.may_pass(0, 0, 0o710));
        assert!(user.may_pass(0, 0, 0o711));
        let place = tempfile::tempdir().unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(place.path(), closed).unwrap();
        assert_eq!(
            user.stopped_at(&place.path().join("more")),
            Some(place.path())
        );
    }

    #[test]
    fn nobody_gets_all_rights() {
        assert!(User::named("root").unwrap_err().contains("all rights"));
        assert!(User::named("no-such-user").unwrap_err().contains("no user"));
    }
}
