//! Makes a new migration file rebuild the crate: `sqlx::migrate!` embeds the
//! files that it finds, but cargo does not know the directory.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/postgres");
}
