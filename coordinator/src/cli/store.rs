//! `store`: operations on a whole database; the comments are the help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Checks, backs up and copies databases
///
/// These commands work on the database itself (`--database`, else
/// `./swath.db`), not through a coordinator; a coordinator may be running on
/// it. docs/databases.md explains how they fit together.
#[derive(Args, Debug)]
#[command(arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = "\
Examples:
  coordinator store verify
  coordinator store backup /backup/swath-$(date +%F).db
  coordinator store copy sqlite:swath.db postgres://swath@db.lab/swath")]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) verb: StoreVerb,
}

/// Operations on a database.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    Verify(StoreVerify),
    Backup(StoreBackup),
    Copy(StoreCopy),
}

/// Checks everything that a database holds
///
/// Checks that every job is named by what it computes, that its attempts follow
/// one another, that what succeeded has exactly one outcome, that sweeps count
/// the jobs they have, that every waiting job is needed, and that every row
/// refers to rows that exist. It changes nothing, and looks at one state even
/// while a coordinator keeps working. Prints `ok` with counts and a digest of
/// everything; or each finding, with exit code 1. Where `serve` has a
/// `--policy`, give the same one: its limits are checked too.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator store verify
  coordinator store verify --database sqlite:/backup/swath.db -o json")]
pub(crate) struct StoreVerify {}

/// Copies a database to a new SQLite file while a coordinator serves
///
/// The file holds one state of the database; it is verified and on the disk
/// when the command ends. An existing file is never overwritten. To restore it,
/// end the coordinator, put the file where the database was, and start the
/// coordinator; or copy it to Postgres with `store copy`. (A plain `cp` of a
/// SQLite database in use misses what is still in the `-wal` file beside it.)
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator store backup /backup/swath-$(date +%F).db
  coordinator store backup swath-copy.db --database postgres://swath@db.lab/swath")]
pub(crate) struct StoreBackup {
    /// The new file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Copies everything from one database to an empty one
///
/// Copies between files and servers, in both directions. It copies one state of
/// FROM: to move for good, end its coordinator first. At the end it compares
/// both row by row and verifies the copy. An interrupted copy goes on when the
/// command is repeated, as long as FROM has not changed; no coordinator starts
/// on TO until the copy is complete.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator store copy sqlite:swath.db postgres://swath@db.lab/swath
  coordinator store copy postgres://swath@db.lab/swath sqlite:swath.db")]
pub(crate) struct StoreCopy {
    /// The database to read
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// The database to write; it must be empty
    #[arg(value_name = "TO")]
    pub(crate) to: String,
}
