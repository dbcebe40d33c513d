//! Who has access: the comments are the help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use swath_model::access::{CredentialId, Role};

use super::environment;

/// Makes what a coordinator needs so that other machines may reach it
///
/// A certificate authority, the coordinator's certificate for the names by which
/// others know it, and a token for you as its admin. `serve` finds them, speaks TLS,
/// and lets nobody in who has no token. Without this, a coordinator is reached from
/// its own machine only. Do it before `serve` is started, or while it listens on
/// loopback; the files are for you alone, and `ca.key` is worth a copy elsewhere.
///
/// Repeated, it adds names; the coordinator must be started again to show them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator init --host head.lab --host 10.0.0.1
  coordinator serve --listen 0.0.0.0:7070
  coordinator token create --role worker --into gpu1.token")]
pub(crate) struct Init {
    /// A name or address of this machine that others use; may be given several times
    /// [default: this host's name]
    #[arg(long, value_name = "NAME", env = environment::HOST, hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub(crate) host: Vec<String>,
}

/// Makes, lists and revokes tokens
///
/// A token says who somebody is and what they may do. Only its digest is kept, so
/// nobody can read it later: hand it over as a file. It also holds the fingerprint of
/// the coordinator's authority, by which its holder recognizes the coordinator.
#[derive(Args, Debug)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) verb: TokenVerb,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    Create(TokenCreate),
    List(TokenList),
    Revoke(TokenRevoke),
}

/// Makes a token and prints it
///
/// viewer: reads everything. submitter: also submits sweeps, and changes those that it
/// has submitted. admin: everything. worker: is good for the certificate of one worker;
/// the worker then renews that by itself.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator token create --role submitter --name anna --into anna.token
  coordinator token create --role worker --into gpu1.token
  coordinator token create --role worker --uses 0 --expires 30d --into workers.token")]
pub(crate) struct TokenCreate {
    /// What its holder may do: viewer, submitter, admin or worker
    #[arg(long, value_name = "ROLE", env = environment::ROLE, hide_env_values = true)]
    pub(crate) role: Role,
    /// Who gets it: a person owns what is submitted with it. For a worker: the only
    /// name for which it is good
    #[arg(long, value_name = "NAME", env = environment::TOKEN_NAME, hide_env_values = true)]
    pub(crate) name: Option<String>,
    /// When it ends, such as `15m`, `24h`, `30d`, or `never` [default: 365d; of a
    /// worker 15m, because its certificate takes over]
    #[arg(long, value_name = "TIME", env = environment::EXPIRES, hide_env_values = true)]
    #[arg(value_parser = life)]
    pub(crate) expires: Option<Life>,
    /// For a worker: how many certificates it is good for; 0: any number [default: 1]
    #[arg(long, value_name = "N", env = environment::USES, hide_env_values = true)]
    pub(crate) uses: Option<u32>,
    /// Write it to a new file that only you can read, instead of printing it
    #[arg(long, value_name = "FILE", env = environment::INTO, hide_env_values = true)]
    pub(crate) into: Option<PathBuf>,
}

/// Lists tokens and the certificates of workers
#[derive(Args, Debug)]
pub(crate) struct TokenList {}

/// Takes a token, or a worker's certificates, no more
///
/// Connections that show it are closed within seconds.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  coordinator token revoke 3fa9c1d2e0b47a86")]
pub(crate) struct TokenRevoke {
    /// Which, as `token list` names it
    #[arg(value_name = "ID", required = true)]
    pub(crate) id: Vec<CredentialId>,
}

/// Says who you are to the coordinator
#[derive(Args, Debug)]
pub(crate) struct Whoami {}

/// Shows who asked for what and who was refused, and checks that nothing is missing
///
/// Works on the file `audit.jsonl` of the coordinator's identity, on its own machine.
/// Each line of it names the digest of the one before it, so that none can be changed
/// or removed unseen. Exit code 1: something is wrong.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator audit
  coordinator audit -o csv > audit.csv")]
pub(crate) struct Audit {}

/// How long a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// For so long.
    For(Duration),
    /// For good.
    Ever,
}

fn life(text: &str) -> Result<Life, String> {
    if text == "never" {
        return Ok(Life::Ever);
    }
    let read = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        let seconds = number.checked_mul(seconds)?;
        // A hundred years are as good as for good.
        (number > 0 && seconds <= 100 * 365 * 86_400).then(|| Duration::from_secs(seconds))
    };
    read()
        .map(Life::For)
        .ok_or_else(|| "not a time, such as 15m, 24h, 30d or never".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let seconds = |text| match life(text) {
            Ok(Life::For(time)) => Some(time.as_secs()),
            _ => None,
        };
        assert_eq!(seconds("15m"), Some(900));
        assert_eq!(seconds("30d"), Some(30 * 86_400));
        assert_eq!(life("never"), Ok(Life::Ever));
        for wrong in [
            "",
            "m",
            "0s",
            "-1d",
            "5",
            "1w",
            "1.5h",
            "99999999999d",
            "5µ",
        ] {
            assert!(life(wrong).is_err(), "{wrong}");
        }
    }
}
