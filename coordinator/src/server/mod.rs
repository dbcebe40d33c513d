//! The server: gRPC in front of a store.

use std::net::SocketAddr;

use swath_core::policy::Policy;

/// What `serve` was asked to do, command line, environment and defaults
/// merged.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    /// Where gRPC listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// `sqlite:PATH`.
    pub database: String,
    /// Times and limits of the lease protocol.
    pub policy: Policy,
}

/// Why a server did not start or did not go on. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ServeError {
    /// What went wrong and what to do.
    pub message: String,
}

/// A server at work.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
}

impl Server {
    /// Opens the store and listens.
    ///
    /// # Errors
    ///
    /// When the port or the database is in use, or cannot be opened.
    pub async fn start(settings: ServeSettings) -> Result<Self, ServeError> {
        Ok(Self {
            address: settings.listen,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking calls, lets open ones end (bounded), closes the store.
    ///
    /// # Errors
    ///
    /// When the store could not be closed.
    pub async fn stop(self) -> Result<(), ServeError> {
        Ok(())
    }

    /// Resolves when the server cannot go on by itself, as when its store
    /// failed; never otherwise.
    pub async fn failed(&self) -> ServeError {
        std::future::pending().await
    }
}
