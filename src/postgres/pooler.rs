//! Whether a connection pooler stands between us and the server, and whether it keeps sessions.
//!
//! Advisory locks, prepared statements, settings and COPY need a server connection of our own. A pooler shows itself by the
//! process id of the protocol's start-up: it makes one up, and the server answers with another. Whether it keeps sessions
//! shows between two clients that do nothing but ask for their server's process id, outside a transaction: each always hears
//! the same one, and never the other's, only where each has a server connection of its own. Nothing is set before that is
//! known.
#![allow(clippy::wildcard_enum_match_arm, reason = "the driver's messages may grow")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, Client, SimpleQueryMessage};

use super::sqlstate::server_error;
use crate::error::{Error, Result};

/// How often both clients are asked. A pooler without sessions that is idle gives itself away at the first question; one
/// whose connections are busy with others would have to deal them out alike so many times.
const ROUNDS: usize = 8;
/// How long the second client waits for a server connection before it is taken for one that has to.
const PATIENCE: Duration = Duration::from_secs(2);

const ASKS: &str = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version_num'), \
                    pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

/// What a server says of itself; asking sets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) process_id: i32,
    /// Such as 150004.
    pub(super) version: u32,
    pub(super) is_standby: bool,
    pub(super) is_read_only: bool,
}

impl Server {
    /// Asks in the simple protocol: a prepared statement would stay on a connection that others get.
    pub(super) async fn ask(client: &Client) -> Result<Self> {
        let answer =
            client.simple_query(ASKS).await.map_err(|e| server_error(e, "the server does not tell who it is"))?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let cell = |at: usize| row.and_then(|row| row.get(at)).unwrap_or("");
        let (Ok(process_id), Ok(version)) = (cell(0).parse(), cell(1).parse()) else {
            return Err(Error::config("the server does not answer like PostgreSQL"));
        };
        Ok(Self { process_id, version, is_standby: cell(2) == "t", is_read_only: cell(3) == "on" })
    }
}

/// Whether the server that answers is the one that the start-up named.
pub(super) async fn is_between(client: &Client, server: Server) -> Result<bool> {
    Ok(process_id(&client.cancel_token()).await? != server.process_id)
}

/// Refuses a pooler that gives each transaction or statement any server connection.
pub(super) async fn check(first: &Client, second: &Client) -> Result<()> {
    let own = Server::ask(first).await?.process_id;
    let Ok(answer) = tokio::time::timeout(PATIENCE, Server::ask(second)).await else {
        // Without sessions the first client would have to queue behind the second one.
        return match tokio::time::timeout(PATIENCE, Server::ask(first)).await.map(|answer| answer.map(|a| a.process_id))
        {
            Ok(Ok(again)) if again == own => Ok(()),
            Ok(Ok(_)) => Err(refusal()),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(Error::database("the connection pooler has no server connection free; run again later")),
        };
    };
    let other = answer?.process_id;
    for _ in 0..ROUNDS {
        let (again, others) = (Server::ask(first).await?.process_id, Server::ask(second).await?.process_id);
        if own == other || again != own || others != other {
            return Err(refusal());
        }
    }
    Ok(())
}

/// The error of a pooler without sessions.
pub(super) fn refusal() -> Error {
    Error::config(
        "between here and PostgreSQL stands a connection pooler in transaction or statement mode, which gives every \
         transaction another session; loads need one session of their own (locks, COPY, settings): use PostgreSQL's own port, \
         or a pool with pool_mode = session",
    )
}

/// The process id that the protocol's start-up named. The driver shows it to nobody, but writes it into a request to cancel,
/// which is written into our own hands here.
async fn process_id(token: &CancelToken) -> Result<i32> {
    let unseen = |e| Error::internal("the process id of the start-up cannot be seen").because(e);
    let (mut ours, theirs) = tokio::io::duplex(64);
    // Where TLS is required the driver asks for it first.
    ours.write_all(b"S").await.map_err(unseen)?;
    token
        .cancel_query_raw(theirs, Plain)
        .await
        .map_err(|e| server_error(e, "the process id of the start-up cannot be seen"))?;
    let mut sent = Vec::new();
    ours.read_to_end(&mut sent).await.map_err(unseen)?;
    // Length, code, process id, key.
    match sent.last_chunk::<16>() {
        Some([_, _, _, _, _, _, _, _, a, b, c, d, ..]) => Ok(i32::from_be_bytes([*a, *b, *c, *d])),
        None => Err(Error::internal("a request to cancel is shorter than the protocol's")),
    }
}

/// TLS that leaves the stream as it is, for a stream that leads nowhere.
struct Plain;

impl TlsConnect<DuplexStream> for Plain {
    type Stream = Bare;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Bare, Infallible>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(Bare(stream)))
    }
}

struct Bare(DuplexStream);

impl AsyncRead for Bare {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Bare {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl TlsStream for Bare {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
