//! What this coordinator knows of itself and its machine, for `doctor`.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit};
use swath_engine::Role;
use swath_model::view::SCHEMA_VERSION;
use swath_proto::PROTOCOL_VERSION;

use super::error::ApiError;
use super::read::workers;
use super::state::State;
use crate::database::Database;
use crate::health::{ClockHealth, Health, Host, IdentityHealth, Limits, StoreHealth};
use crate::identity::Identity;

/// How long a name server may take for one name.
const LOOKUP: Duration = Duration::from_secs(2);

/// The facts about this coordinator.
///
/// # Errors
///
/// When the store cannot be read.
pub(crate) async fn health(state: &State) -> Result<Health, ApiError> {
    let identity = match state.access.identity() {
        Some(identity) => Some(identity_health(identity).await),
        None => None,
    };
    let leads = *state.engine.role().borrow() == Role::Leads;
    Ok(Health {
        schema_version: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL_VERSION,
        leads,
        store: store(&state.database),
        clock: ClockHealth {
            now_ms: state.now().as_ms(),
            system_ms: system_ms(),
        },
        limits: Limits {
            open_files: getrlimit(Resource::Nofile).current,
            threads: getrlimit(Resource::Nproc).current,
            file_bytes: getrlimit(Resource::Fsize).current,
        },
        identity,
        policy: state.policy.clone(),
        workers: workers(state).await?,
    })
}

fn system_ms() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(passed.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

fn store(database: &Database) -> StoreHealth {
    let mut health = StoreHealth {
        database: database.to_string(),
        writable: None,
        free_bytes: None,
    };
    if let Database::Sqlite(path) = database {
        // A journal beside it is written too.
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let writable = |path: &Path| access(path, Access::WRITE_OK).is_ok();
        health.writable = Some(writable(path) && writable(directory));
        let room = statvfs(directory).ok();
        health.free_bytes = room.map(|room| room.f_bavail.saturating_mul(room.f_frsize));
    }
    health
}

async fn identity_health(identity: &Identity) -> IdentityHealth {
    let mut hosts = Vec::new();
    for name in identity.hosts() {
        let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name.as_str(), 0)));
        let resolves = found
            .await
            .is_ok_and(|found| found.is_ok_and(|mut all| all.next().is_some()));
        let name = name.clone();
        hosts.push(Host { name, resolves });
    }
    IdentityHealth {
        authority_ends: identity.authority_ends().unwrap_or_default(),
        server_ends: identity.server_ends(),
        hosts,
        exposed: identity.exposed(),
    }
}
