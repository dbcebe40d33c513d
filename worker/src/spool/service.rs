//! The spool on a thread of its own: a sync takes milliseconds, and outcomes
//! that arrive meanwhile share the next one.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use swath_model::message::Held;
use tokio::sync::mpsc::UnboundedSender;

use super::Spool;
use swath_agent::{Entry, Event};

enum Order {
    Put(Vec<Entry>),
    Acknowledge(Vec<Held>),
    Look,
}

/// Takes orders for the spool.
#[derive(Debug)]
pub struct Service {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts the thread; it answers with [`Event::Spooled`],
    /// [`Event::SpoolFailed`] and [`Event::SpoolLost`].
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(spool: Spool, events: UnboundedSender<Event>) -> std::io::Result<Self> {
        let (orders, taken) = channel();
        let thread = std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || serve(spool, &taken, &events))?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Writes and syncs outcomes.
    pub fn put(&self, entries: Vec<Entry>) {
        self.order(Order::Put(entries));
    }

    /// Marks outcomes as acknowledged.
    pub fn acknowledge(&self, held: Vec<Held>) {
        self.order(Order::Acknowledge(held));
    }

    /// Looks whether the state directory is still there.
    pub fn look(&self) {
        self.order(Order::Look);
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread lives as long as this value.
            let _sent = orders.send(order);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn serve(spool: Spool, orders: &Receiver<Order>, events: &UnboundedSender<Event>) {
    let mut kept = Kept { spool, lost: false };
    while let Ok(order) = orders.recv() {
        match order {
            Order::Put(entries) => {
                let held = entries.iter().map(|entry| entry.finish.held).collect();
                let event = match kept.put(&entries, events) {
                    Ok(()) => Event::Spooled(held),
                    Err(error) => Event::SpoolFailed { held, error },
                };
                let _heard = events.send(event);
            }
            Order::Acknowledge(held) => {
                if let Err(error) = kept.spool.acknowledge(&held, now_ms()) {
                    tracing::warn!(%error, "acknowledged outcomes cannot be marked; they are delivered once more after a restart");
                }
            }
            Order::Look => {
                // Begun again it is when there is something to write.
                let _told = kept.look(events);
            }
        }
    }
}

/// A spool whose directory may be removed.
struct Kept {
    spool: Spool,
    /// Whether it was told that the directory is gone.
    lost: bool,
}

impl Kept {
    /// Writes outcomes. Where the directory is gone, that is told first, so that the next call
    /// brings everything that was in it.
    fn put(&mut self, entries: &[Entry], events: &UnboundedSender<Event>) -> Result<(), String> {
        let told = self.lost;
        if let Err(gone) = self.look(events) {
            if !told {
                return Err(gone);
            }
            let begun = self.spool.begin_again(now_ms());
            begun.map_err(|error| error.to_string())?;
            self.lost = false;
            tracing::warn!("the state directory is begun again");
        }
        let put = self.spool.put(entries, now_ms());
        put.map_err(|error| error.to_string())
    }

    /// Tells once that the directory is gone; says why whenever it is.
    fn look(&mut self, events: &UnboundedSender<Event>) -> Result<(), String> {
        let looked = self.spool.look().map_err(|error| error.to_string());
        if let Err(error) = &looked
            && !self.lost
        {
            self.lost = true;
            let error = error.clone();
            let _heard = events.send(Event::SpoolLost { error });
        }
        looked
    }
}

/// The worker's clock; it only decides how long things are kept.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
