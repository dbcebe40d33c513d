//! Who a coordinator is to others: a directory with its certificate authority, its
//! own certificate, and the key of the leases that it gives.
//!
//! Coordinators that share a database share this directory's content too: what one
//! of them has signed, the others take.

mod files;
mod issue;

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use swath_model::time::Timestamp;
use swath_proto::secure::{fingerprint, provider};

pub use self::issue::{Holder, WORKER_LIFE, holder};

/// How long an authority is good. It is the name by which tokens know it, so
/// another one needs new tokens.
const AUTHORITY_LIFE: Duration = Duration::from_hours(10 * 365 * 24);
/// How long the certificate of a coordinator is good; it makes itself a new one
/// when a third of that is left.
const SERVER_LIFE: Duration = Duration::from_hours(90 * 24);

/// The files of the directory. All but the certificates are for their owner alone.
const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key";
const LEASE_KEY: &str = "lease.key";
const HOSTS: &str = "hosts";
/// The token that `init` makes.
pub const ADMIN_TOKEN: &str = "admin.token";
/// Who did what.
pub const AUDIT: &str = "audit.jsonl";

/// Why an identity cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdentityError(String);

impl IdentityError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    fn at(path: &Path, what: impl std::fmt::Display) -> Self {
        Self(format!("{}: {what}", path.display()))
    }
}

type Result<T, E = IdentityError> = std::result::Result<T, E>;

/// An open identity.
pub struct Identity {
    directory: PathBuf,
    authority: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    leases: [u8; 32],
    hosts: Vec<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.directory.display())
    }
}

impl Identity {
    /// Whether there is one in `directory`.
    pub fn exists(directory: &Path) -> bool {
        directory.join(AUTHORITY).exists()
    }

    /// Makes one in `directory`, which others will know by these names and
    /// addresses.
    ///
    /// # Errors
    ///
    /// When there is one already, a name is wrong, or the directory cannot be
    /// written.
    pub fn create(directory: &Path, hosts: &[String]) -> Result<Self> {
        if Self::exists(directory) {
            return Err(IdentityError::at(directory, "there is an identity already"));
        }
        check_hosts(hosts)?;
        files::make(directory)?;
        let (authority, key) = issue::authority()?;
        let mut leases = [0; 32];
        random(&mut leases)?;
        // The certificate of the authority is last: with it, the identity is whole.
        files::write(&directory.join(AUTHORITY_KEY), &key.serialize_pem(), true)?;
        files::write(&directory.join(LEASE_KEY), &hex(&leases), true)?;
        files::write(&directory.join(HOSTS), &hosts.join("\n"), false)?;
        files::write(&directory.join(AUTHORITY), &authority, false)?;
        let identity = Self::open(directory)?;
        identity.certificate()?;
        Ok(identity)
    }

    /// Opens the one in `directory`.
    ///
    /// # Errors
    ///
    /// When a file is missing, damaged, or can be read by others.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = |name| directory.join(name);
        let pem = files::read(&path(AUTHORITY), false)?;
        let authority = CertificateDer::from_pem_slice(pem.as_bytes());
        let damaged = |name, error: &dyn std::fmt::Display| IdentityError::at(&path(name), error);
        let authority = authority.map_err(|error| damaged(AUTHORITY, &error))?;
        let key = KeyPair::from_pem(&files::read(&path(AUTHORITY_KEY), true)?);
        let key = key.map_err(|error| damaged(AUTHORITY_KEY, &error))?;
        let issuer = Issuer::from_ca_cert_der(&authority, key);
        let leases = files::read(&path(LEASE_KEY), true)?;
        let leases = swath_model::id::unhex(leases.trim());
        let no_key = || damaged(LEASE_KEY, &"it holds no key of 64 hex digits");
        let hosts = files::read(&path(HOSTS), false)?;
        Ok(Self {
            directory: directory.to_owned(),
            issuer: issuer.map_err(|error| damaged(AUTHORITY, &error))?,
            authority,
            leases: leases.ok_or_else(no_key)?,
            hosts: hosts.lines().map(str::to_owned).collect(),
        })
    }

    /// The names and addresses by which others know it.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Lets others know it by these names and addresses too; a running coordinator
    /// must be started again.
    ///
    /// # Errors
    ///
    /// When one is wrong, or the directory cannot be written.
    pub fn add_hosts(&mut self, more: &[String]) -> Result<()> {
        check_hosts(more)?;
        for host in more {
            if !self.hosts.contains(host) {
                self.hosts.push(host.clone());
            }
        }
        let path = self.directory.join(HOSTS);
        files::write(&path, &self.hosts.join("\n"), false)?;
        self.renew()?;
        Ok(())
    }

    /// By what tokens know it.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.authority)
    }

    /// The certificate of its authority in DER form.
    pub const fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// When the certificate of its authority ends.
    pub fn authority_ends(&self) -> Option<Timestamp> {
        issue::ends(&self.authority)
    }

    /// When the coordinator's own certificate ends, as the directory has it; none where it
    /// cannot be read.
    pub fn server_ends(&self) -> Option<Timestamp> {
        let pem = files::read(&self.directory.join(SERVER), false).ok()?;
        let own = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        issue::ends(&own)
    }

    /// The files with secrets that others than their owner can read. A directory that they
    /// cannot enter keeps them all.
    pub fn exposed(&self) -> Vec<String> {
        let others = |mode: u32| mode & 0o077 != 0;
        let about = self.directory.metadata();
        if about.is_ok_and(|it| !others(it.mode())) {
            return Vec::new();
        }
        let found = files::exposed(&self.directory, &[AUTHORITY, SERVER, HOSTS]);
        let unread = |_| vec![self.directory.display().to_string()];
        found.unwrap_or_else(unread)
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its own certificate with its key: the one of the directory, or a new one
    /// where that has a third of its life left, or is for other names.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read or written.
    pub fn certificate(&self) -> Result<Arc<CertifiedKey>> {
        let kept = self.kept().ok().flatten();
        let chain_and_key = match kept {
            Some(kept) => kept,
            None => self.renew()?,
        };
        let (chain, key) = chain_and_key;
        let certified = CertifiedKey::from_der(chain, key, &provider());
        let path = self.directory.join(SERVER);
        let certified = certified.map_err(|error| IdentityError::at(&path, error))?;
        Ok(Arc::new(certified))
    }

    /// The certificate of the directory, if it is good for a while.
    fn kept(&self) -> Result<Option<ChainAndKey>> {
        let path = self.directory.join(SERVER);
        if !path.exists() {
            return Ok(None);
        }
        let pem = files::read(&path, false)?;
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
        let chain: std::result::Result<Vec<_>, _> = chain.collect();
        let chain = chain.map_err(|error| IdentityError::at(&path, error))?;
        let good = chain.first().is_some_and(|own| {
            issue::is_fresh(own, SERVER_LIFE / 3) && issue::names(own) == self.all_hosts()
        });
        if !good || chain.last() != Some(&self.authority) {
            return Ok(None);
        }
        let path = self.directory.join(SERVER_KEY);
        let key = PrivateKeyDer::from_pem_slice(files::read(&path, true)?.as_bytes());
        let key = key.map_err(|error| IdentityError::at(&path, error))?;
        Ok(Some((chain, key)))
    }

    /// Makes a new certificate.
    fn renew(&self) -> Result<ChainAndKey> {
        let (own, key) = issue::server(&self.issuer, &self.all_hosts())?;
        let authority = files::read(&self.directory.join(AUTHORITY), false)?;
        let server_key = self.directory.join(SERVER_KEY);
        files::write(&server_key, &key.serialize_pem(), true)?;
        let server = self.directory.join(SERVER);
        files::write(&server, &format!("{}{authority}", own.pem()), false)?;
        let key = PrivateKeyDer::try_from(key.serialize_der());
        let key = key.map_err(IdentityError::new)?;
        Ok((vec![own.der().clone(), self.authority.clone()], key))
    }

    /// Every name of its certificate: those given, and this machine's own.
    fn all_hosts(&self) -> Vec<String> {
        let mut all: Vec<String> = self.hosts.clone();
        all.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        all.sort();
        all.dedup();
        all
    }

    /// A certificate for the key of a worker's request, in DER form with that of the
    /// authority.
    ///
    /// # Errors
    ///
    /// When the request is none, or is not signed with the key that it names.
    pub fn sign(&self, request: &[u8], holder: &Holder) -> Result<Vec<Vec<u8>>> {
        let own = issue::worker(&self.issuer, request, holder)?;
        Ok(vec![own.to_vec(), self.authority.to_vec()])
    }

    /// The key with which leases are signed.
    pub const fn lease_key(&self) -> &[u8; 32] {
        &self.leases
    }
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Random bytes from the system.
///
/// # Errors
///
/// When it has none, which means that it is broken.
pub fn random(bytes: &mut [u8]) -> Result<()> {
    provider()
        .secure_random
        .fill(bytes)
        .map_err(|_| IdentityError::new("the system gives no random numbers"))
}

fn hex(bytes: &[u8; 32]) -> String {
    swath_model::id::hex(bytes, &mut [0; 64]).to_owned()
}

/// Refuses what is neither a host's name nor an address.
fn check_hosts(hosts: &[String]) -> Result<()> {
    for host in hosts {
        let is_address = host.parse::<IpAddr>().is_ok();
        let part = |part: &str| {
            let plain = part
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'-');
            plain && !part.is_empty() && part.len() <= 63
        };
        if !is_address && (host.len() > 253 || !host.split('.').all(part)) {
            return Err(IdentityError(format!(
                "--host `{host}`: neither a host's name nor an address; without scheme and port"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
