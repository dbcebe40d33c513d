//! The address of a database.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use swath_store::Result;

use crate::error::told;

/// A database, and how to talk to it.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) options: PgConnectOptions,
    /// Whether it is behind a pooler of transactions, where the session of one
    /// transaction knows nothing of the session before.
    pub(crate) pooled: bool,
    /// Its server and name, without user and password.
    pub(crate) place: String,
}

impl Address {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…`.
    pub(crate) fn read(url: &str) -> Result<Self> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(told(
                "the address of a Postgres database reads `postgres://USER@HOST:PORT/DATABASE`",
            ));
        }
        let (url, pooled) = without_pooler(url)?;
        let options = PgConnectOptions::from_str(&url).map_err(|error| {
            // The address itself is not shown: it may contain a password.
            told(format!(
                "the address of the database cannot be read ({error}); it reads \
                 `postgres://USER@HOST:PORT/DATABASE`, with `%XX` for what is not a letter or digit"
            ))
        })?;
        let database = options
            .get_database()
            .unwrap_or_else(|| options.get_username());
        let place = match options.get_socket() {
            Some(socket) => format!("`{database}` at {}", socket.display()),
            None => format!(
                "`{database}` at {}:{}",
                options.get_host(),
                options.get_port()
            ),
        };
        let options = options
            // Numbers are passed as bits, and a pooler may not know this parameter.
            .extra_float_digits(None)
            .statement_cache_capacity(if pooled { 0 } else { 200 });
        Ok(Self {
            options,
            pooled,
            place,
        })
    }
}

/// Removes the part that only this program knows: `pooler=transaction`.
fn without_pooler(url: &str) -> Result<(String, bool)> {
    let Some((base, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), false));
    };
    let mut pooled = false;
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("pooler", "transaction")) => pooled = true,
            // The same as without the option.
            Some(("pooler", "session")) => {}
            Some(("pooler", other)) => {
                return Err(told(format!(
                    "the address of the database says `pooler={other}`; it must be `session` or \
                     `transaction`"
                )));
            }
            _ => rest.push(pair),
        }
    }
    if rest.is_empty() {
        Ok((base.to_owned(), pooled))
    } else {
        Ok((format!("{base}?{}", rest.join("&")), pooled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address = Address::read("postgres://me:secret@db.lab:5433/swath").unwrap();
        assert_eq!(address.place, "`swath` at db.lab:5433");
        assert!(!address.pooled);
    }

    #[test]
    fn a_pooler_is_taken_out_of_the_address() {
        let url = "postgres://db/swath?pooler=transaction&sslmode=require";
        assert_eq!(
            without_pooler(url).unwrap(),
            ("postgres://db/swath?sslmode=require".to_owned(), true)
        );
        let url = "postgres://db/swath?pooler=session";
        assert_eq!(
            without_pooler(url).unwrap(),
            ("postgres://db/swath".to_owned(), false)
        );
        let error = without_pooler("postgres://db/swath?pooler=often").unwrap_err();
        assert!(error.to_string().contains("pooler=often"), "{error}");
    }

    #[test]
    fn other_addresses_are_told_what_one_reads_like() {
        for url in ["swath.db", "mysql://x/y", "postgres://me@[/x"] {
            let error = Address::read(url).unwrap_err().to_string();
            assert!(
                error.contains("postgres://USER@HOST:PORT/DATABASE"),
                "{error}"
            );
        }
    }
}
