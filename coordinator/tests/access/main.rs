//! A coordinator that others reach over a network: who gets in, and what each may do
//! there. Over real sockets and TLS, in one process.

mod leases;
mod matrix;
mod owners;
mod secrets;
mod site;
mod tls;
mod tokens;
