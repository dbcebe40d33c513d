//! The worker as a whole: in this process against a coordinator that is a
//! memory store behind the real wire, and as a process of its own.

mod coordinator;
mod example;
mod faults;
mod flow;
mod hostile;
mod leftovers;
mod output;
mod process;
mod supervised;
mod support;
mod takeover;
mod trainers;
