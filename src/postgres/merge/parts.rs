//! The rows of `<table>_digests`, and what binds them together.
//!
//! Row 0 is the header. Then come the base, in the order of the digests, and what each later merge changed. The header
//! carries a running digest of all parts, and a seal, which is the digest of the header itself: a part that is lost, cut
//! short, changed, moved, put back from another day or not ours makes all of them worth nothing, and so does such a header.

use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio_postgres::RowStream;

use super::super::client::{Session, get, server_error};
use super::super::copy_in::{copy_bytes, hand_over};
use super::super::history::Fingerprint;
use super::super::history::wire::{HEADER, put_field};
use super::digest::{Digest, Digester};
use super::stored::{ENTRY_BYTES, Stored, put_entry, put_identity};
use crate::error::{Error, Result};
use crate::history::Instant;

/// The form of the digests; another one is not read. It names the release because what a value's canonical bytes are may
/// differ in the next.
const FORMAT: &str = concat!("2 of ", env!("CARGO_PKG_VERSION"));
/// Entries in one row of the base.
const CHUNK_ENTRIES: usize = 65_536;

/// What the digests are digests of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Of the digests.
    pub(super) key: [u64; 2],
    /// Database, table and file.
    pub(super) place: String,
    /// Numbers and types of the columns that are digested, and of those of the history itself.
    pub(super) columns: String,
    /// No bound of the table is later.
    pub(super) at: Instant,
    pub(super) table: Fingerprint,
    pub(super) keys: u64,
    /// Entries in what came after the base.
    pub(super) changes: u64,
    pub(super) bound: Bound,
}

/// What is known of the rows behind the header; whoever writes them fills it in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bound {
    format: String,
    last_part: i32,
    /// The running digest of all parts, from zero on.
    parts: Digest,
    /// The transaction, or the part of one, that wrote the header: a restored one was written by another.
    writer: String,
}

/// The table of digests.
pub(super) struct Parts<'a> {
    pub(super) session: &'a Session,
    /// Quoted and qualified.
    pub(super) table: String,
}

impl Parts<'_> {
    /// The header, if it stands as it was written.
    pub(super) async fn header(&self) -> Result<Option<Header>> {
        let sql = format!("SELECT header, stated, xmin::text FROM {} WHERE part = 0", self.table);
        let rows = self.session.rows(&sql, &[]).await?;
        let [row] = rows.as_slice() else { return Ok(None) };
        let (Some(text), found_seal): (Option<String>, Option<Vec<u8>>) = (get(row, 0)?, get(row, 1)?) else {
            return Ok(None);
        };
        let writer: String = get(row, 2)?;
        let header: Option<Header> = serde_json::from_str(&text).ok();
        Ok(header.filter(|header| {
            let is_sealed = found_seal == Some(seal(header.key, &text));
            is_sealed && header.bound.format == FORMAT && header.bound.writer == writer
        }))
    }

    /// Asks for everything behind the header, ours or not.
    pub(super) async fn ask(&self) -> Result<RowStream> {
        let failed = |e| server_error(e, "reading the digests failed");
        let sql = format!("SELECT part, stated, gone FROM {} WHERE part <> 0 ORDER BY part", self.table);
        let statement = self.session.prepare(&sql).await.map_err(failed)?;
        self.session.query_raw(&statement, [0_i32; 0]).await.map_err(failed)
    }

    /// Makes the table.
    pub(super) async fn create(&self) -> Result<()> {
        let table = &self.table;
        self.session
            .run(&format!(
                "CREATE TABLE {table} (part int PRIMARY KEY, header text, stated bytea, gone bytea); \
                 ALTER TABLE {table} ALTER stated SET STORAGE EXTERNAL, ALTER gone SET STORAGE EXTERNAL; \
                 COMMENT ON TABLE {table} IS \
                   'Digests of the open versions, by which a snapshot is compared; may be dropped at any time.'"
            ))
            .await
    }

    /// Empties the table.
    pub(super) async fn clear(&self) -> Result<()> {
        self.session.execute(&format!("DELETE FROM {}", self.table), &[]).await.map(drop)
    }

    /// Writes everything anew, from the digest of every key and half of the digest of what is said of it.
    pub(super) async fn write_all(&self, mut header: Header, mut entries: Vec<(Digest, u64)>) -> Result<()> {
        self.clear().await?;
        let sql = format!("INSERT INTO {} (part) VALUES (0) RETURNING xmin::text", self.table);
        let writer = get(&self.session.row(&sql, &[]).await?, 0)?;
        header.bound = Bound { format: FORMAT.to_owned(), writer, ..Bound::default() };
        let statement = format!("COPY {} (part, stated) FROM STDIN (FORMAT BINARY)", self.table);
        let header = copy_bytes(self.session, &statement, &self.table, move |sender| {
            entries.sort_unstable();
            let digester = Digester::new(header.key);
            let mut out = BytesMut::from(&HEADER[..]);
            for chunk in entries.chunks(CHUNK_ENTRIES) {
                let mut stated = Vec::with_capacity(chunk.len() * ENTRY_BYTES);
                chunk.iter().for_each(|(identity, content)| put_entry(&mut stated, *identity, *content));
                header.bound.append(&digester, &stated, None);
                out.put_i16(2);
                put_field(&mut out, Some(&header.bound.last_part.to_be_bytes()));
                put_field(&mut out, Some(&stated));
                hand_over(sender, out.split().freeze())?;
            }
            out.put_i16(-1);
            hand_over(sender, out.freeze())?;
            Ok(header)
        })
        .await?;
        self.write_header(&header).await
    }

    /// Writes what a merge changed behind what is there.
    pub(super) async fn append(&self, mut header: Header, stated: &[u8], gone: &[u8]) -> Result<()> {
        header.bound.append(&Digester::new(header.key), stated, Some(gone));
        let sql = format!("INSERT INTO {} (part, stated, gone) VALUES ($1, $2, $3) RETURNING xmin::text", self.table);
        let row = self.session.row(&sql, &[&header.bound.last_part, &stated, &gone]).await?;
        header.bound.writer = get(&row, 0)?;
        self.write_header(&header).await
    }

    async fn write_header(&self, header: &Header) -> Result<()> {
        let text = serde_json::to_string(header)
            .map_err(|e| Error::internal("the header of the digests cannot be written").because(e))?;
        let sql = format!("UPDATE {} SET header = $1, stated = $2 WHERE part = 0", self.table);
        self.session.execute(&sql, &[&text, &seal(header.key, &text)]).await.map(drop)
    }
}

impl Bound {
    fn append(&mut self, digester: &Digester, stated: &[u8], gone: Option<&[u8]>) {
        self.last_part += 1;
        self.parts = digester.after(self.parts, &[Some(stated), gone]);
    }
}

fn seal(key: [u64; 2], text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_identity(&mut out, Digester::new(key).after(Digest::default(), &[Some(text.as_bytes())]));
    out
}

/// The digests, if they are what the header says.
pub(super) async fn load(parts: RowStream, header: &Header) -> Result<Option<Stored>> {
    let mut parts = std::pin::pin!(parts);
    let digester = Digester::new(header.key);
    let mut found = Bound { last_part: 0, parts: Digest::default(), ..header.bound.clone() };
    let (mut stored, mut is_base) = (Stored::default(), true);
    while let Some(row) = parts.next().await {
        let row = row.map_err(|e| server_error(e, "reading the digests failed"))?;
        let (part, stated, gone): (Option<i32>, Option<&[u8]>, Option<&[u8]>) =
            (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        let Some(stated) = stated else { return Ok(None) };
        found.append(&digester, stated, gone);
        if part != Some(found.last_part) {
            return Ok(None);
        }
        if gone.is_some() && is_base {
            stored.index();
            is_base = false;
        }
        let taken = match gone {
            None => stored.load(stated),
            Some(gone) => stored.change(gone, stated),
        };
        // Whatever is torn cannot be what was written.
        if taken.is_err() {
            return Ok(None);
        }
    }
    if is_base {
        stored.index();
    }
    Ok(Some(stored).filter(|stored| found == header.bound && stored.len() as u64 == header.keys))
}
