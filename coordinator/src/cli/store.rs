//! `store`: what is done to a database as a whole; the comments are the help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Checks, backs up and copies databases
///
/// These work in the database itself (`--database`, else `./swath.db`), not
/// through a coordinator; one may be running on it meanwhile. docs/databases.md
/// tells how they go together.
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

/// What can be done to a database.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    Verify(StoreVerify),
    Backup(StoreBackup),
    Copy(StoreCopy),
}

/// Checks everything that a database holds
///
/// Every job is named by what it computes, its attempts follow one another, what
/// succeeded has exactly one outcome, sweeps count what they have, whatever
/// waits is needed, and every row names rows that are there. Nothing is changed,
/// and one state is looked at, however a coordinator goes on meanwhile. Prints
/// `ok` with counts and a digest of everything, or each thing that is wrong;
/// exit code 1 then. Where `serve` has a `--policy`, give the same one: its
/// limits are among what is checked.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator store verify
  coordinator store verify --database sqlite:/backup/swath.db -o json")]
pub(crate) struct StoreVerify {}

/// Copies a database to a new SQLite file while a coordinator serves
///
/// The file holds one state of the database, is verified, and is on the disk
/// when the command ends. It is never written over another. To restore it, end
/// the coordinator, put the file where the database was, and start the
/// coordinator; or copy it to Postgres with `store copy`. (A plain `cp` of a
/// SQLite database that is in use misses what lies in the `-wal` file beside it.)
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
/// Between files and servers, in both directions. One state of FROM is copied:
/// to move for good, end its coordinator before. Both are compared row by row in
/// the end, and the copy is verified. A copy that was interrupted goes on when
/// the command is repeated, as long as FROM has not changed; until it is whole,
/// no coordinator starts on TO.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator store copy sqlite:swath.db postgres://swath@db.lab/swath
  coordinator store copy postgres://swath@db.lab/swath sqlite:swath.db")]
pub(crate) struct StoreCopy {
    /// The database to read
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// The database to write; one that holds nothing yet
    #[arg(value_name = "TO")]
    pub(crate) to: String,
}
