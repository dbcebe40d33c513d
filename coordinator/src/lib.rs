//! The coordinator: keeps sweeps and jobs, leases jobs to workers, and answers
//! people's commands.

pub mod api;
pub mod database;
pub mod eta;
pub mod explain;
pub mod files;
pub mod health;
pub mod identity;
pub mod live;
pub mod server;
