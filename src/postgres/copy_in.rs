//! COPY BINARY into one table over several connections, encoding overlapped with the socket.
//!
//! Rows come from a [`Feed`] in independent units (row groups of files). Each connection has a thread of its own that
//! takes the next unit, makes rows of it and encodes them; a short bounded channel hands the bytes to the socket, so
//! memory does not grow with the input.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use tokio::sync::mpsc;

use super::client::{Address, Session, server_error};
use super::copy::{Encoder, PgType, Selection};
use super::sqlstate::Place;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::load::{Feed, Unit};
use crate::queue::Queue;

/// Bytes handed to the socket at once.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Chunks that may wait for the socket, for each connection.
const CHUNKS_WAITING: usize = 4;

/// The rows of a COPY, by the units that they came from: for a server that counts rows and knows no files.
#[derive(Default)]
struct Sent {
    rows: u64,
    /// Each unit with the rows that were sent before it, and the rows before it in its file.
    units: Vec<(Unit, u64, u64)>,
}

impl Sent {
    /// The unit of a row of the COPY, and the row's number in its file; both count from what the feed says.
    fn find(&self, line: u64) -> Option<(Unit, u64)> {
        let (unit, sent, in_file) = *self.units.iter().rev().find(|(_, sent, _)| *sent < line)?;
        Some((unit, in_file + line - sent))
    }
}

/// What a COPY needs besides its rows.
#[derive(Clone)]
pub(crate) struct Target {
    /// Qualified table name.
    pub(crate) table: String,
    /// Columns with their types, as the feed gives them.
    pub(crate) columns: Vec<(String, PgType)>,
    /// Whether rows come in frozen: for a table made or emptied by the same transaction.
    pub(crate) freeze: bool,
}

/// A quoted identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Target {
    /// A table that others may read meanwhile.
    pub(crate) fn new(table: String, columns: Vec<(String, PgType)>) -> Self {
        Self { table, columns, freeze: false }
    }

    fn statement(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| quoted(name)).collect();
        let freeze = if self.freeze { ", FREEZE" } else { "" };
        format!("COPY {} ({}) FROM STDIN (FORMAT BINARY{freeze})", self.table, names.join(", "))
    }
}

/// Loads every unit of a feed over up to `connections` new sessions, each in a transaction of its own.
pub(crate) async fn copy_parallel(
    address: &Address,
    target: &Target,
    feed: Arc<dyn Feed>,
    connections: usize,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<u64> {
    let queue = Arc::new(Queue::new(feed.units()));
    let workers = connections.clamp(1, feed.units().max(1));
    let loads = (0..workers).map(|_| {
        let (feed, queue) = (Arc::clone(&feed), Arc::clone(&queue));
        async move {
            let session = address.session().await?;
            let rows = copy_units(&session, target, feed, queue, cancel, progress).await?;
            session.release().await;
            Ok::<_, Error>(rows)
        }
    });
    let counts = futures::future::try_join_all(loads).await?;
    Ok(counts.into_iter().sum())
}

/// Loads every unit of a feed over the caller's session, inside its transaction.
pub(crate) async fn copy_here(
    session: &Session,
    target: &Target,
    feed: Arc<dyn Feed>,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<u64> {
    let queue = Arc::new(Queue::new(feed.units()));
    copy_units(session, target, feed, queue, cancel, progress).await
}

/// Loads the units that the queue gives out over the caller's session, inside its transaction.
pub(crate) async fn copy_units(
    session: &Session,
    target: &Target,
    feed: Arc<dyn Feed>,
    queue: Arc<Queue>,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<u64> {
    let sent = Arc::new(Mutex::new(Sent::default()));
    let producer = {
        let (columns, feed, sent) = (target.columns.clone(), Arc::clone(&feed), Arc::clone(&sent));
        let (cancel, progress) = (cancel.clone(), progress.clone());
        move |sender: &mpsc::Sender<Bytes>| produce(&columns, &*feed, &queue, sender, &sent, &cancel, &progress)
    };
    let known = |line| {
        let (unit, row) = sent.lock().unwrap_or_else(PoisonError::into_inner).find(line)?;
        Some((feed.name(unit)?.to_owned(), row))
    };
    send(session, &target.statement(), &target.table, &known, producer).await?;
    let sent = sent.lock().unwrap_or_else(PoisonError::into_inner).rows;
    Ok(sent)
}

/// Runs one COPY whose bytes come from `produce` on a thread of its own; a short channel bounds what waits between them.
pub(crate) async fn copy_bytes<T: Send + 'static>(
    session: &Session,
    statement: &str,
    table: &str,
    produce: impl FnOnce(&mpsc::Sender<Bytes>) -> Result<T> + Send + 'static,
) -> Result<T> {
    send(session, statement, table, &|_| None, produce).await
}

/// As [`copy_bytes`]; `known` tells the file of a row of the COPY, and the row's number in it.
async fn send<T: Send + 'static>(
    session: &Session,
    statement: &str,
    table: &str,
    known: &(dyn Fn(u64) -> Option<(String, u64)> + Sync),
    produce: impl FnOnce(&mpsc::Sender<Bytes>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let failed = |e: tokio_postgres::Error| {
        let place = Place::of_error(&e).and_then(|place| known(place.line));
        match place {
            Some((file, row)) => {
                let what = format!("COPY failed at row {row} of {file}");
                server_error(e, &what).with("table", table).with("file", file).with("row", row)
            }
            None => server_error(e, "COPY failed").with("table", table),
        }
    };
    let sink = session.copy_in::<_, Bytes>(statement).await.map_err(failed)?;
    let mut sink = std::pin::pin!(sink);
    let (sender, mut receiver) = mpsc::channel::<Bytes>(CHUNKS_WAITING);
    let producer = tokio::task::spawn_blocking(move || produce(&sender));
    let mut broken = None;
    while let Some(chunk) = receiver.recv().await {
        if let Err(e) = sink.send(chunk).await {
            broken = Some(e);
            break;
        }
    }
    drop(receiver);
    let produced = producer.await.map_err(|e| Error::internal("a loading thread ended early").because(e))?;
    if let Some(e) = broken {
        return Err(failed(e));
    }
    // On an error the sink is dropped unfinished, and the server rolls the COPY back.
    let produced = produced?;
    sink.as_mut().finish().await.map_err(failed)?;
    Ok(produced)
}

/// Hands bytes over to the COPY. The receiver goes away only when the socket broke; that error is told there.
pub(crate) fn hand_over(sender: &mpsc::Sender<Bytes>, chunk: Bytes) -> Result<()> {
    sender.blocking_send(chunk).map_err(|_| Error::database("the connection to the warehouse was lost"))
}

fn produce(
    columns: &[(String, PgType)],
    feed: &dyn Feed,
    queue: &Queue,
    sender: &mpsc::Sender<Bytes>,
    sent: &Mutex<Sent>,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<()> {
    let mut encoder = Encoder::new(columns, &feed.schema())?;
    let mut buffer = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
    let hand = |buffer: &mut BytesMut| {
        let chunk = buffer.split().freeze();
        buffer.reserve(CHUNK_BYTES + CHUNK_BYTES / 4);
        hand_over(sender, chunk)
    };
    encoder.header(&mut buffer);
    while let Some(unit) = queue.take() {
        let origin = feed.origin(unit);
        if let Some((schema, rows_before)) = &origin {
            encoder.turn_to(schema, *rows_before)?;
        }
        {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            let before = sent.rows;
            sent.units.push((unit, before, origin.map_or(before, |(_, rows_before)| rows_before)));
        }
        feed.read(unit, &mut |batch| {
            let mut start = 0;
            while start < batch.num_rows() {
                cancel.check()?;
                let slice = batch.slice(start, (batch.num_rows() - start).min(8192));
                let encoded = encoder.encode(&slice, Selection::All, &mut buffer)?;
                start += slice.num_rows();
                sent.lock().unwrap_or_else(PoisonError::into_inner).rows += encoded;
                progress.add(encoded);
                if buffer.len() >= CHUNK_BYTES {
                    hand(&mut buffer)?;
                }
            }
            Ok(())
        })?;
    }
    encoder.footer(&mut buffer);
    hand(&mut buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_copy_is_found_in_its_file() {
        let sent = Sent { rows: 30, units: vec![(0, 0, 0), (3, 10, 100), (1, 20, 10)] };
        assert_eq!(sent.find(1), Some((0, 1)));
        assert_eq!(sent.find(10), Some((0, 10)));
        assert_eq!(sent.find(11), Some((3, 101)));
        assert_eq!(sent.find(25), Some((1, 15)));
        assert_eq!(Sent::default().find(1), None);
    }
}
