//! The wire contract: gRPC services, generated types, and their conversion to
//! the types of the model. Generated types stop at [`convert`].

pub mod address;
pub mod convert;
pub mod limits;
pub mod refusal;
pub mod secure;
mod version;

pub use version::{PROTOCOL_OLDEST, PROTOCOL_VERSION, Upgrade};

/// Generated from `swath/v1/*.proto`.
#[expect(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("swath.v1");
}

/// What `swath/v1/*.proto` declare, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A worker's client, under a name for crates that must not know tonic.
pub type DispatchClient = v1::dispatch_client::DispatchClient<secure::Line>;

/// The metadata key of a status that names the coordinator to ask instead.
pub const LEADER: &str = "swath-leader";
