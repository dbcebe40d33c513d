//! Behind a pooler that passes on transactions, a session remembers nothing.

mod support;

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgConnectOptions;
use swath_store::{Changes, Store};
use swath_store_postgres::{Options, PostgresStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use support::Database;

/// The prefix of statements that sqlx prepares for longer than one transaction.
const PREPARED: &[u8] = b"sqlx_s_";

/// Passes data between a store and the server, and notes whether anything is
/// prepared. Returns its port.
async fn listen(server: PgConnectOptions, heard: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, heard) = (server.clone(), Arc::clone(&heard));
            tokio::spawn(async move {
                let port = server.get_port();
                if let Some(directory) = server.get_socket() {
                    let path = directory.join(format!(".s.PGSQL.{port}"));
                    let server = UnixStream::connect(path).await.unwrap();
                    pass(client, server, heard).await;
                } else {
                    let server = TcpStream::connect((server.get_host(), port)).await;
                    pass(client, server.unwrap(), heard).await;
                }
            });
        }
    });
    port
}

async fn pass<S: AsyncRead + AsyncWrite>(client: TcpStream, server: S, heard: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let asked = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            let mut found = buffer[..length].windows(PREPARED.len());
            if found.any(|bytes| bytes == PREPARED) {
                heard.store(true, Ordering::Relaxed);
            }
            if to_server.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    let answered = tokio::io::copy(&mut from_server, &mut to_client);
    // Whichever ends first ends the other.
    tokio::select! {
        () = asked => {}
        _ = answered => {}
    }
}

#[tokio::test]
async fn nothing_is_prepared_behind_a_pooler() {
    let Some(database) = Database::new().await else {
        return;
    };
    let server = PgConnectOptions::from_str(&database.url).unwrap();
    let user = server.get_username().to_owned();
    for (options, prepares) in [("", true), ("&pooler=transaction", false)] {
        let heard = Arc::new(AtomicBool::new(false));
        let port = listen(server.clone(), Arc::clone(&heard)).await;
        let url = format!(
            "postgres://{user}@127.0.0.1:{port}/{}?sslmode=disable{options}",
            database.name()
        );
        let store = PostgresStore::open(&url, Options::default()).await.unwrap();
        let term = store.lead("here").await.unwrap();
        store.commit(term, Changes::default()).await.unwrap();
        store.start().await.unwrap();
        store.sweeps().await.unwrap();
        store.close().await.unwrap();
        assert_eq!(heard.load(Ordering::Relaxed), prepares, "{options}");
    }
}
