//! `worker`: the daemon that runs jobs on a host.
//!
//! [`swath_agent`] decides, without IO; [`daemon`] carries out what it decides.
//! Outcomes go through the [`spool`], trainers and programs are [`child`] processes
//! with directories of their own ([`out`]), and [`client`] talks to the coordinator.

pub mod admission;
pub mod child;
pub mod client;
pub mod daemon;
pub mod devices;
pub mod hardware;
pub mod leases;
pub mod out;
pub mod settings;
pub mod spool;
pub mod terminal;
