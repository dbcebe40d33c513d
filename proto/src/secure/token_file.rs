//! The file in which somebody keeps a token.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use swath_model::access::{TokenText, TokenTextError};

/// The longest file that may hold a token, in bytes.
pub const TOKEN_BYTES_MAX: u64 = 4096;

/// Why there is no token in a file.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("cannot read the token file {path}: {error}")]
    Unread {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Others can read it.
    #[error("the token file {0} can be read by others; `chmod 600 {0}` keeps it to you")]
    Open(String),
    /// It holds something else.
    #[error("the token file {path}: {error}")]
    NoToken {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: TokenTextError,
    },
}

/// Reads the token in a file. A file that others can read is refused: its secret is
/// none any more.
///
/// # Errors
///
/// Why there is none.
pub fn read_token(path: &Path) -> Result<TokenText, TokenFileError> {
    let shown = || path.display().to_string();
    let unread = |error: io::Error| TokenFileError::Unread {
        path: shown(),
        error,
    };
    // A pipe does not hold up whoever opens it like this.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(opened.map_err(|error| unread(error.into()))?);
    let about = file.metadata().map_err(unread)?;
    if !about.is_file() {
        return Err(unread(io::Error::other("it is not a regular file")));
    }
    // What the service manager hands to one service (`LoadCredential` of systemd) belongs to
    // root and is opened to the service by an access list, whose mask shows as the group's bits.
    let others = if is_credential(path) { 0o037 } else { 0o077 };
    if about.mode() & others != 0 {
        return Err(TokenFileError::Open(shown()));
    }
    let mut text = String::new();
    let read = file.take(TOKEN_BYTES_MAX).read_to_string(&mut text);
    read.map_err(unread)?;
    text.parse().map_err(|error| TokenFileError::NoToken {
        path: shown(),
        error,
    })
}

/// Whether the service manager keeps this file for this process and nobody else.
fn is_credential(path: &Path) -> bool {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
    directory.is_some_and(|directory| is_in(path, Path::new(&directory)))
}

/// Whether a file is named as one directly in a directory with an absolute name.
fn is_in(path: &Path, directory: &Path) -> bool {
    directory.is_absolute() && path.parent() == Some(directory)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use swath_model::access::CredentialId;

    use super::*;

    #[test]
    fn only_files_of_the_service_manager_are_credentials() {
        let is = |path: &str, directory: &str| is_in(Path::new(path), Path::new(directory));
        assert!(is(
            "/run/credentials/w.service/token",
            "/run/credentials/w.service"
        ));
        assert!(!is("/home/anna/token", "/run/credentials/w.service"));
        assert!(!is(
            "/run/credentials/w.service/../token",
            "/run/credentials/w.service"
        ));
        assert!(!is("token", ""));
    }

    #[test]
    fn a_token_is_read_from_a_file_of_ones_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let token = TokenText::new(CredentialId::from_random([3; 8]), [1; 32], [2; 32]);
        write(&path, token.reveal() + "\n").unwrap();
        set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = read_token(&path).unwrap_err();
        assert!(matches!(error, TokenFileError::Open(_)), "{error}");
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_token(&path).unwrap(), token);
        write(&path, "hunter2").unwrap();
        let error = read_token(&path).unwrap_err().to_string();
        assert!(
            !error.contains("hunter2") && error.contains("no token"),
            "{error}"
        );
        let error = read_token(directory.path()).unwrap_err();
        assert!(matches!(error, TokenFileError::Unread { .. }), "{error}");
    }
}
