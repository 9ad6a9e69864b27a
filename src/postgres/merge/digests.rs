//! Digests of a table's open versions beside the table (`<table>_digests`), so that a snapshot need not be held against the
//! table itself.
//!
//! Nobody has to say when they no longer hold. With them stands the fingerprint of the rows that they were made for: how many
//! there are, and a sum over place and writing transaction of each. The table is locked while it is taken, and whatever
//! writes to the table changes it: other tools, a partial snapshot, a rewind, a restored dump, `VACUUM FULL`. Where it
//! differs the table is read as if there were no digests, and the snapshot leaves new ones.
//!
//! Row 0 is the header. Then come the base, in the order of the digests, and what each later merge changed.

use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio_postgres::RowStream;

use super::super::client::{Session, get, wrong};
use super::super::copy_in::{copy_bytes, hand_over};
use super::ddl::list;
use super::diff::literal;
use super::digest::Digester;
use super::intake::Intake;
use super::stored::{ENTRY_BYTES, Stored, put_entry, put_identity};
use super::target::{Target, quote};
use super::wire::{HEADER, put_field};
use crate::error::{Error, Result};
use crate::history::Instant;

/// The form of the digests; another one is not read. It names the release because what a value's canonical bytes are may
/// differ in the next.
const FORMAT: &str = concat!("1 of ", env!("CARGO_PKG_VERSION"));
/// Entries in one row of the base.
const CHUNK_ENTRIES: usize = 65_536;
/// The base is written anew when the changes since make this part of it.
const CHANGES_SHARE: u64 = 4;

/// The place and the writing transaction of a row `m`, as one number.
pub(super) const MARK: &str = "hashtidextended(m.ctid, (SELECT age('3'::xid)::int8) - age(m.xmin))";
/// The same number for a row at `place` that this transaction has written.
pub(super) const OWN_MARK: &str = "hashtidextended(place, age('3'::xid)::int8 - age(pg_current_xact_id()::xid))";

/// Which rows a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    rows: i64,
    marks: i64,
}

/// What the digests are digests of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: String,
    /// Of the digests.
    key: [u64; 2],
    /// Database, table and file.
    place: String,
    /// Numbers and types of the columns that are digested.
    columns: String,
    /// No bound of the table is later.
    at: Instant,
    table: Fingerprint,
    keys: u64,
    /// Entries in what came after the base.
    changes: u64,
    /// The last row of the digests.
    last_part: i32,
    /// The transaction that wrote the header: a restored one was written by another.
    writer: String,
}

/// What a merge did to the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    /// Whether all keys that it worked out now show what the snapshot says.
    pub(super) is_mirror: bool,
    /// Rows of the table that came, less those that went.
    pub(super) rows: i64,
    /// The marks of all rows that came, went or changed.
    pub(super) marks: i64,
}

impl Effect {
    /// Of a merge that does nothing.
    pub(super) const NONE: Self = Self { is_mirror: true, rows: 0, marks: 0 };
}

/// The digests of one table, seen from a full snapshot of all columns.
pub(super) struct Digests<'a> {
    session: &'a Session,
    target: &'a Target,
    at: Instant,
    place: String,
    columns: String,
    exists: bool,
    header: Option<Header>,
    digester: Digester,
}

impl<'a> Digests<'a> {
    /// Looks for digests; `None` where they can be neither used nor kept: an old server, a table whose rows are not simply
    /// what is written (triggers, rules, children, row security), no right to write them.
    pub(super) async fn find(session: &'a Session, target: &'a Target, at: Instant) -> Result<Option<Self>> {
        let names: Vec<&str> = target.keys.iter().chain(&target.attributes).map(|c| c.name.as_str()).collect();
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&target.place.table(), &target.place.digests(), &names];
        let row = session.row(FIND, &params).await?;
        if !get::<bool>(&row, 0)? || !get::<bool>(&row, 4)? {
            return Ok(None);
        }
        let mut digests = Self {
            session,
            target,
            at,
            place: get(&row, 1)?,
            columns: get(&row, 2)?,
            exists: get(&row, 3)?,
            header: None,
            digester: Digester::default(),
        };
        if digests.exists {
            digests.header = digests.read_header().await?;
        }
        if let Some(header) = &digests.header {
            digests.digester = Digester::new(header.key);
        }
        Ok(Some(digests))
    }

    /// The header, if it is about this table as it is declared now.
    async fn read_header(&self) -> Result<Option<Header>> {
        let sql = format!("SELECT header, xmin::text FROM {} WHERE part = 0", self.target.place.digests());
        let rows = self.session.rows(&sql, &[]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let header: Option<Header> = serde_json::from_str(&get::<String>(row, 0)?).ok();
        let writer: String = get(row, 1)?;
        Ok(header.filter(|header| {
            let is_ours = header.format == FORMAT && header.place == self.place && header.columns == self.columns;
            is_ours && header.writer == writer && header.at <= self.at
        }))
    }

    /// Makes the digests to compare with.
    pub(super) fn digester(&self) -> Digester {
        self.digester.clone()
    }

    /// Whether there may be digests to load.
    pub(super) fn is_promising(&self) -> bool {
        self.header.is_some()
    }

    /// Gives what is stored, and then whether the table holds the very rows that it was made for.
    pub(super) async fn look(
        &self,
        give_stored: oneshot::Sender<Option<Stored>>,
        give_trust: oneshot::Sender<bool>,
    ) -> Result<()> {
        let Some(header) = &self.header else { return Ok(()) };
        let failed = |e| wrong(e, "reading the digests failed");
        let digests = self.target.place.digests();
        let sql = format!("SELECT part, stated, gone FROM {digests} WHERE part BETWEEN 1 AND $1 ORDER BY part");
        let parts_of = self.session.prepare(&sql).await.map_err(failed)?;
        let sql = format!("SELECT count(*), coalesce(bit_xor({MARK}), 0) FROM {} m", self.target.place.table());
        let fingerprint_of = self.session.prepare(&sql).await.map_err(failed)?;
        let parts = self.session.query_raw(&parts_of, [header.last_part]).await.map_err(failed)?;
        let load = async {
            let stored = load(parts, header).await?;
            let is_whole = stored.is_some();
            // Nobody waits for it after an error of the reading, which is the one to report.
            let _ = give_stored.send(stored);
            Ok(is_whole)
        };
        // Asked for by now, so that the server goes on to it while the parts are taken in here.
        let fingerprint = async {
            let row = self.session.query_one(&fingerprint_of, &[]).await.map_err(failed)?;
            Ok(Fingerprint { rows: get(&row, 0)?, marks: get(&row, 1)? })
        };
        let (is_whole, fingerprint) = tokio::try_join!(load, fingerprint)?;
        let _ = give_trust.send(is_whole && fingerprint == header.table);
        Ok(())
    }

    /// Leaves digests of what the table shows after the merge. Without any it makes them, from `least_keys` keys on.
    pub(super) async fn keep(&self, intake: &Intake, effect: Effect, least_keys: u64) -> Result<()> {
        match (&intake.stored, &self.header) {
            (Some(_), Some(_)) if !effect.is_mirror => self.forget().await,
            (Some(stored), Some(header)) => self.add(header, stored, intake, effect).await,
            _ if !effect.is_mirror || intake.key_count() < least_keys => Ok(()),
            _ => self.make(intake).await,
        }
    }

    async fn forget(&self) -> Result<()> {
        self.session.touch(&format!("DELETE FROM {}", self.target.place.digests()), &[]).await.map(drop)
    }

    /// Adds what the merge changed; when much has, the base is written anew.
    async fn add(&self, header: &Header, stored: &Stored, intake: &Intake, effect: Effect) -> Result<()> {
        if intake.entries.is_empty() && stored.unseen() == 0 {
            return Ok(());
        }
        let mut header = Header {
            at: self.at,
            table: Fingerprint { rows: header.table.rows + effect.rows, marks: header.table.marks ^ effect.marks },
            keys: intake.key_count(),
            changes: header.changes + (intake.entries.len() + stored.unseen()) as u64,
            ..header.clone()
        };
        if header.changes * CHANGES_SHARE > header.keys {
            return self.write_base(header, intake).await;
        }
        let (mut stated, mut gone) = (Vec::with_capacity(intake.entries.len() * ENTRY_BYTES), Vec::new());
        intake.entries.iter().for_each(|entry| put_entry(&mut stated, entry.identity, entry.says[0]));
        stored.gone().for_each(|identity| put_identity(&mut gone, identity));
        header.last_part += 1;
        self.write_part(header.last_part, &stated, &gone).await?;
        self.write_header(header).await
    }

    /// Makes digests of a table that was read past a snapshot, if it shows the snapshot and nothing else from now on.
    async fn make(&self, intake: &Intake) -> Result<()> {
        let names = &self.target.rules.names;
        let (from, to, at) = (quote(&names.valid_from), quote(&names.valid_to), literal(self.at)?);
        let sql = format!(
            "SELECT count(*), coalesce(bit_xor({MARK}), 0), count(*) FILTER (WHERE {to} IS NULL), \
               count(*) FILTER (WHERE {from} > {at} OR {to} > {at}) FROM {} m",
            self.target.place.table()
        );
        let row = self.session.row(&sql, &[]).await?;
        let (open, later): (i64, i64) = (get(&row, 2)?, get(&row, 3)?);
        if open.cast_unsigned() != intake.key_count() || later > 0 {
            return Ok(());
        }
        self.create().await?;
        let header = Header {
            format: FORMAT.to_owned(),
            key: self.digester.key(),
            place: self.place.clone(),
            columns: self.columns.clone(),
            at: self.at,
            table: Fingerprint { rows: get(&row, 0)?, marks: get(&row, 1)? },
            keys: intake.key_count(),
            changes: 0,
            last_part: 0,
            writer: String::new(),
        };
        self.write_base(header, intake).await
    }

    async fn create(&self) -> Result<()> {
        if self.exists {
            return Ok(());
        }
        let digests = self.target.place.digests();
        self.session
            .run(&format!(
                "CREATE TABLE {digests} (part int PRIMARY KEY, header text, stated bytea, gone bytea); \
                 ALTER TABLE {digests} ALTER stated SET STORAGE EXTERNAL, ALTER gone SET STORAGE EXTERNAL; \
                 COMMENT ON TABLE {digests} IS \
                   'Digests of the open versions, by which a snapshot is compared; may be dropped at any time.'"
            ))
            .await
    }

    async fn write_base(&self, mut header: Header, intake: &Intake) -> Result<()> {
        let mut entries: Vec<_> = intake.entries.iter().map(|entry| (entry.identity, entry.says[0])).collect();
        entries.extend(intake.stored.iter().flat_map(Stored::kept));
        entries.sort_unstable();
        self.forget().await?;
        (header.changes, header.last_part) = (0, entries.len().div_ceil(CHUNK_ENTRIES) as i32);
        let digests = self.target.place.digests();
        let statement = format!("COPY {digests} (part, stated) FROM STDIN (FORMAT BINARY)");
        copy_bytes(self.session, &statement, &digests, move |sender| {
            let mut out = BytesMut::from(&HEADER[..]);
            for (chunk, part) in entries.chunks(CHUNK_ENTRIES).zip(1_i32..) {
                let mut stated = Vec::with_capacity(chunk.len() * ENTRY_BYTES);
                chunk.iter().for_each(|(identity, content)| put_entry(&mut stated, *identity, *content));
                out.put_i16(2);
                put_field(&mut out, Some(&part.to_be_bytes()));
                put_field(&mut out, Some(&stated));
                hand_over(sender, out.split().freeze())?;
            }
            out.put_i16(-1);
            hand_over(sender, out.freeze())
        })
        .await?;
        self.write_header(header).await
    }

    /// What one merge changed.
    async fn write_part(&self, part: i32, stated: &[u8], gone: &[u8]) -> Result<()> {
        let sql = format!("INSERT INTO {} (part, stated, gone) VALUES ($1, $2, $3)", self.target.place.digests());
        self.session.touch(&sql, &[&part, &stated, &gone]).await.map(drop)
    }

    async fn write_header(&self, mut header: Header) -> Result<()> {
        header.writer = get(&self.session.row("SELECT pg_current_xact_id()::xid::text", &[]).await?, 0)?;
        let text = serde_json::to_string(&header)
            .map_err(|e| Error::internal("the header of the digests cannot be written").because(e))?;
        let sql = format!(
            "INSERT INTO {} (part, header) VALUES (0, $1) ON CONFLICT (part) DO UPDATE SET header = excluded.header",
            self.target.place.digests()
        );
        self.session.touch(&sql, &[&text]).await.map(drop)
    }
}

/// The digests, if they are whole.
async fn load(parts: RowStream, header: &Header) -> Result<Option<Stored>> {
    let mut parts = std::pin::pin!(parts);
    let (mut stored, mut is_base, mut last_part) = (Stored::default(), true, 0);
    while let Some(row) = parts.next().await {
        let row = row.map_err(|e| wrong(e, "reading the digests failed"))?;
        let (part, stated, gone): (i32, Option<&[u8]>, Option<&[u8]>) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        let Some(stated) = stated.filter(|_| part == last_part + 1) else { return Ok(None) };
        last_part = part;
        if gone.is_some() && is_base {
            stored.index();
            is_base = false;
        }
        // What is torn is not trusted either.
        let taken = match gone {
            None => stored.load(stated),
            Some(gone) => stored.change(gone, stated),
        };
        if taken.is_err() {
            return Ok(None);
        }
    }
    if is_base {
        stored.index();
    }
    Ok(Some(stored).filter(|stored| last_part == header.last_part && stored.len() as u64 == header.keys))
}

/// A query for the keys of all open versions.
pub(super) fn open_keys(target: &Target) -> String {
    let to = quote(&target.rules.names.valid_to);
    format!("SELECT {} FROM {} WHERE {to} IS NULL", list(&target.keys, ""), target.place.table())
}

/// Whether rows are simply what is written; where the table is; its columns; whether there are digests; whether they can be
/// written.
const FIND: &str = "\
    SELECT current_setting('server_version_num')::int >= 140000 AND c.relkind = 'r' AND NOT c.relhasrules \
        AND NOT c.relhassubclass AND NOT c.relrowsecurity \
        AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal), \
      concat_ws('/', d.oid, c.oid, pg_relation_filenode(c.oid)), \
      (SELECT string_agg(concat_ws(':', a.attnum, a.atttypid::int8, a.atttypmod, a.attcollation::int8), ' ' \
          ORDER BY n.place) \
        FROM unnest($3::text[]) WITH ORDINALITY n(name, place) \
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = n.name), \
      b.oid IS NOT NULL, \
      CASE WHEN b.oid IS NULL THEN has_schema_privilege(c.relnamespace, 'CREATE') \
        ELSE has_table_privilege(b.oid, 'SELECT') AND has_table_privilege(b.oid, 'INSERT') \
          AND has_table_privilege(b.oid, 'UPDATE') AND has_table_privilege(b.oid, 'DELETE') \
          AND (SELECT array_agg(concat_ws(' ', a.attname, format_type(a.atttypid, NULL)) ORDER BY a.attnum) \
            = '{part integer,header text,stated bytea,gone bytea}' \
            FROM pg_attribute a WHERE a.attrelid = b.oid AND a.attnum > 0 AND NOT a.attisdropped) END \
    FROM pg_class c JOIN pg_database d ON d.datname = current_database() \
    LEFT JOIN pg_class b ON b.oid = to_regclass($2) \
    WHERE c.oid = to_regclass($1)";
