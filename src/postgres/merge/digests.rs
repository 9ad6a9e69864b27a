//! Digests of a table's open versions beside the table (`<table>_digests`), so that a snapshot need not be held against the
//! table itself.
//!
//! Nobody has to say when they no longer hold. With them stands the fingerprint of the rows that they were made for: how many
//! there are, and a sum over place and writing transaction of each. The table is locked while it is taken, and whatever
//! writes to the table changes it: other tools, a partial snapshot, a rewind, a restored dump, `VACUUM FULL`. Where it
//! differs the table is read as if there were no digests, and the snapshot leaves new ones.
//!
//! The rows of that table are the business of [`super::parts`].

use tokio::sync::oneshot;

use super::super::client::{Session, get, server_error};
use super::super::history::wire::is_spelled_one_way;
use super::super::history::{Fingerprint, literal};
use super::ddl::list;
use super::digest::Digester;
use super::intake::Intake;
use super::parts::{Bound, Header, Parts, load};
use super::place::quote;
use super::spec::Names;
use super::stored::{ENTRY_BYTES, Stored, put_entry, put_identity};
use super::target::Target;
use crate::error::Result;
use crate::history::Instant;

/// The base is written anew when the changes since make this part of it.
const CHANGES_SHARE: u64 = 4;

/// The place and the writing transaction of a row `m`, as one number.
pub(super) const MARK: &str = "hashtidextended(m.ctid, (SELECT age('3'::xid)::int8) - age(m.xmin))";
/// The same number for a row at `place` that this transaction has written.
pub(super) const OWN_MARK: &str = "hashtidextended(place, age('3'::xid)::int8 - age(pg_current_xact_id()::xid))";

/// Whether this transaction, or a part of it, has written a row `m`. Nobody else can have written one later: the table is
/// locked.
const IS_OWN: &str = "age(m.xmin) <= 0";

/// What a merge did to the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    /// Whether all keys that it worked out now show what the snapshot says.
    pub(super) is_mirror: bool,
    /// Rows of the table that came, less those that went.
    pub(super) rows: i64,
    /// The rows that it wrote.
    pub(super) written: Fingerprint,
    /// The marks of the rows that went or were replaced.
    pub(super) gone_marks: i64,
}

impl Effect {
    /// Of a merge that does nothing.
    pub(super) const NONE: Self =
        Self { is_mirror: true, rows: 0, written: Fingerprint { rows: 0, marks: 0 }, gone_marks: 0 };
}

/// The digests of one table, seen from a full snapshot of all columns.
pub(super) struct Digests<'a> {
    session: &'a Session,
    target: &'a Target,
    parts: Parts<'a>,
    at: Instant,
    place: String,
    columns: String,
    exists: bool,
    header: Option<Header>,
    digester: Digester,
}

impl<'a> Digests<'a> {
    /// Looks for digests; `None` where they can be neither used nor kept: an old server, a table whose rows are not simply
    /// what is written (triggers, rules, children, row security), no right to write them, keys that a new version would
    /// spell as the snapshot does and not as the table does.
    pub(super) async fn find(session: &'a Session, target: &'a Target, at: Instant) -> Result<Option<Self>> {
        if !target.keys.iter().all(is_spelled_one_way) {
            return Ok(None);
        }
        // A column that is dropped and made anew, with a default, changes values and writes no row.
        let Names { valid_from, valid_to, current, .. } = &target.rules.names;
        let own = [&target.surrogate, valid_from, valid_to].into_iter().chain(current);
        let columns = target.keys.iter().chain(&target.attributes).map(|column| &column.name);
        let names: Vec<&str> = columns.chain(own).map(String::as_str).collect();
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&target.place.table(), &target.place.digests(), &names];
        let row = session.row(FIND, &params).await?;
        if !get::<bool>(&row, 0)? || !get::<bool>(&row, 4)? {
            return Ok(None);
        }
        let mut digests = Self {
            session,
            target,
            parts: Parts { session, table: target.place.digests() },
            at,
            place: get(&row, 1)?,
            columns: get(&row, 2)?,
            exists: get(&row, 3)?,
            header: None,
            digester: Digester::default(),
        };
        if digests.exists {
            let found = digests.parts.header().await?;
            digests.header = found.filter(|header| digests.is_about_this(header));
        }
        if let Some(header) = &digests.header {
            digests.digester = Digester::new(header.key);
        }
        Ok(Some(digests))
    }

    /// Whether a header is about this table as it is declared now, and no later state of it.
    fn is_about_this(&self, header: &Header) -> bool {
        header.place == self.place && header.columns == self.columns && header.at <= self.at
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
    pub(super) async fn load_and_check(
        &self,
        give_stored: oneshot::Sender<Option<Stored>>,
        give_trust: oneshot::Sender<bool>,
    ) -> Result<()> {
        let Some(header) = &self.header else { return Ok(()) };
        let failed = |e| server_error(e, "reading the table's fingerprint failed");
        let sql = format!("SELECT count(*), coalesce(bit_xor({MARK}), 0) FROM {} m", self.target.place.table());
        let fingerprint_of = self.session.prepare(&sql).await.map_err(failed)?;
        let parts = self.parts.ask().await?;
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

    /// Leaves digests of what the table shows after the merge. Without any it makes them.
    pub(super) async fn keep(&self, intake: &Intake, effect: Effect) -> Result<()> {
        match (&intake.stored, &self.header) {
            (Some(_), Some(_)) if !effect.is_mirror => self.parts.clear().await,
            (Some(stored), Some(header)) => self.add(header, stored, intake, effect).await,
            _ if !effect.is_mirror => Ok(()),
            _ => self.make(intake, effect).await,
        }
    }

    /// Adds what the merge changed; when much has, the base is written anew.
    async fn add(&self, header: &Header, stored: &Stored, intake: &Intake, effect: Effect) -> Result<()> {
        if intake.entries.is_empty() && stored.unseen() == 0 {
            return Ok(());
        }
        let header = Header {
            at: self.at,
            table: Fingerprint {
                rows: header.table.rows + effect.rows,
                marks: header.table.marks ^ effect.gone_marks ^ effect.written.marks,
            },
            keys: intake.key_count(),
            changes: header.changes + (intake.entries.len() + stored.unseen()) as u64,
            ..header.clone()
        };
        if header.changes * CHANGES_SHARE > header.keys {
            return self.write_all(header, intake).await;
        }
        let (mut stated, mut gone) = (Vec::with_capacity(intake.entries.len() * ENTRY_BYTES), Vec::new());
        intake.entries.iter().for_each(|entry| put_entry(&mut stated, entry.identity, entry.says[0]));
        stored.gone().for_each(|identity| put_identity(&mut gone, identity));
        self.parts.append(header, &stated, &gone).await
    }

    /// Makes digests of a table that was read past a snapshot, if it shows the snapshot and nothing else from now on. What
    /// this transaction wrote must be what the merge wrote: a trigger on another table may have written to this one.
    async fn make(&self, intake: &Intake, effect: Effect) -> Result<()> {
        let names = &self.target.rules.names;
        let (from, to, at) = (quote(&names.valid_from), quote(&names.valid_to), literal(self.at)?);
        let sql = format!(
            "SELECT count(*), coalesce(bit_xor({MARK}), 0), count(*) FILTER (WHERE {to} IS NULL), \
               count(*) FILTER (WHERE {from} > {at} OR {to} > {at}), \
               count(*) FILTER (WHERE {IS_OWN}), coalesce(bit_xor({MARK}) FILTER (WHERE {IS_OWN}), 0) FROM {} m",
            self.target.place.table()
        );
        let row = self.session.row(&sql, &[]).await?;
        let (open, later): (i64, i64) = (get(&row, 2)?, get(&row, 3)?);
        let own = Fingerprint { rows: get(&row, 4)?, marks: get(&row, 5)? };
        if open.cast_unsigned() != intake.key_count() || later > 0 || own != effect.written {
            return Ok(());
        }
        if !self.exists {
            self.parts.create().await?;
        }
        let header = Header {
            key: self.digester.key(),
            place: self.place.clone(),
            columns: self.columns.clone(),
            at: self.at,
            table: Fingerprint { rows: get(&row, 0)?, marks: get(&row, 1)? },
            keys: intake.key_count(),
            changes: 0,
            bound: Bound::default(),
        };
        self.write_all(header, intake).await
    }

    async fn write_all(&self, header: Header, intake: &Intake) -> Result<()> {
        let mut entries: Vec<_> = intake.entries.iter().map(|entry| (entry.identity, entry.says[0])).collect();
        entries.extend(intake.stored.iter().flat_map(Stored::kept));
        self.parts.write_all(Header { changes: 0, ..header }, entries).await
    }
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
        AND has_table_privilege(c.oid, 'SELECT') \
        AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal), \
      concat_ws('/', d.oid, c.oid, pg_relation_filenode(c.oid)), \
      (SELECT string_agg(concat_ws(':', a.attnum, a.atttypid::int8, a.atttypmod, a.attcollation::int8), ' ' \
          ORDER BY n.place) \
        FROM unnest($3::text[]) WITH ORDINALITY n(name, place) \
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = n.name), \
      b.oid IS NOT NULL, \
      CASE WHEN b.oid IS NULL THEN has_schema_privilege(c.relnamespace, 'CREATE') \
        ELSE b.relkind = 'r' AND NOT b.relhasrules AND NOT b.relrowsecurity \
          AND has_table_privilege(b.oid, 'SELECT') AND has_table_privilege(b.oid, 'INSERT') \
          AND has_table_privilege(b.oid, 'UPDATE') AND has_table_privilege(b.oid, 'DELETE') \
          AND (SELECT array_agg(concat_ws(' ', a.attname, format_type(a.atttypid, NULL)) ORDER BY a.attnum) \
            = '{part integer,header text,stated bytea,gone bytea}' \
            FROM pg_attribute a WHERE a.attrelid = b.oid AND a.attnum > 0 AND NOT a.attisdropped) END \
    FROM pg_class c JOIN pg_database d ON d.datname = current_database() \
    LEFT JOIN pg_class b ON b.oid = to_regclass($2) \
    WHERE c.oid = to_regclass($1)";
