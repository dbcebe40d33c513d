//! A wire between a coordinator and its database that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;

use swath_proto::limits::CONNECT_DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// It arrives.
    Whole,
    /// It arrives when the wire is whole again, as TCP has it; nobody is told.
    Silent,
    /// Connections end, and new ones end at once.
    Torn,
}

/// A proxy in front of a port of this machine.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    wire: watch::Sender<Wire>,
    _runtime: Runtime,
}

impl Proxy {
    pub(crate) fn start(to: u16) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let port = listener.local_addr()?.port();
        let wire = watch::Sender::new(Wire::Whole);
        runtime.spawn(accept(listener, to, Arc::new(wire.subscribe())));
        Ok(Self {
            port,
            wire,
            _runtime: runtime,
        })
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

async fn accept(listener: TcpListener, to: u16, wire: Arc<watch::Receiver<Wire>>) {
    let to = SocketAddr::from(([127, 0, 0, 1], to));
    while let Ok((near, _)) = listener.accept().await {
        let mut wire = (*wire).clone();
        tokio::spawn(async move {
            if wire.wait_for(|wire| *wire != Wire::Silent).await.is_err()
                || *wire.borrow() == Wire::Torn
            {
                return;
            }
            let connecting = tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(to));
            let Ok(Ok(far)) = connecting.await else {
                return;
            };
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            let mut torn = wire.clone();
            tokio::select! {
                _ = carry(near_in, far_out, wire.clone()) => {}
                _ = carry(far_in, near_out, wire) => {}
                _ = torn.wait_for(|wire| *wire == Wire::Torn) => {}
            }
        });
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut wire: watch::Receiver<Wire>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        // Also an end is not heard of while the wire is cut.
        drop(wire.wait_for(|wire| *wire != Wire::Silent).await);
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
