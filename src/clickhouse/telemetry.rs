//! Vehicle telemetry: whole raw days, streamed into a shadow table over several inserts, verified, swapped in.
//!
//! Which files a day came from stands in a table of its own, written after the swap: a crash between the two makes the
//! next load of the day do its work again, which changes nothing a reader sees.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{NaiveDate, Utc};
use tokio::sync::mpsc;

use super::client::Mart;
use super::native::{COLUMNS, Positions, row_hash};
use super::optional::{OPTIONAL, Optional, SHOWN, stated};
use super::rows::{Digest, varint};
use super::schema::statements;
use super::shadow::{Shadow, drop_orphans};
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::load::{Line, Part, Rows};
use crate::queue::Queue;

/// The DDL of the telemetry tables, the same text users may run by hand.
pub const TELEMETRY_DDL: &str = include_str!("../../ddl/clickhouse_telemetry.sql");
/// The table of positions.
pub const TELEMETRY_TABLE: &str = "vehicle_position";
/// The table of what was loaded.
const LOADS: &str = "vehicle_position_load";
/// Rows of one INSERT; the server sorts and writes a million at a time.
const INSERT_ROWS: u64 = 1 << 24;
/// Blocks that may wait for the socket, for each insert.
const BLOCKS_WAITING: usize = 4;

/// One raw day to load.
pub struct TelemetryLoad {
    /// The raw day.
    pub dt: NaiveDate,
    /// What each file brings.
    pub lines: Vec<Line>,
    /// Of the settings that change what a file gives.
    pub fingerprint: String,
    /// The run.
    pub run_id: String,
    /// Inserts side by side.
    pub inserts: usize,
}

impl TelemetryLoad {
    /// How many rows the files bring.
    fn rows(&self) -> u64 {
        self.lines.iter().map(|line| line.rows_loaded).sum()
    }
}

/// The rows of a day on their way into several inserts.
#[derive(Clone)]
struct Feed {
    rows: Arc<dyn Rows>,
    queue: Arc<Queue>,
    /// Days since 1970.
    day: u16,
    optional: Vec<Optional>,
}

/// One raw day on its way: filled aside and verified, then swapped in.
pub struct TelemetryDay {
    mart: Mart,
    load: TelemetryLoad,
    /// The table that holds it until then.
    shadow: Mutex<Option<String>>,
}

impl TelemetryDay {
    /// A day of which nothing is sent yet.
    pub fn new(mart: Mart, load: TelemetryLoad) -> Self {
        Self { mart, load, shadow: Mutex::default() }
    }

    /// Sends its cleaned positions to a table of their own, and verifies that they arrived.
    pub async fn fill(&self, rows: Arc<dyn Rows>, cancel: &Cancel, progress: &Progress) -> Result<()> {
        if self.load.rows() == 0 {
            return Ok(());
        }
        let shadow = Shadow::create(&self.mart, TELEMETRY_TABLE).await?;
        let filled = self.mart.fill_telemetry(&shadow.name, &self.load, rows, cancel, progress).await;
        if filled.is_err() {
            shadow.remove().await;
            return filled;
        }
        *self.shadow.lock().unwrap_or_else(PoisonError::into_inner) = Some(shadow.keep());
        Ok(())
    }

    /// Makes it the whole content of its partition, atomically, and notes what it was loaded from; without rows the
    /// partition goes. The number of rows.
    pub async fn swap(&self) -> Result<u64> {
        let dt = self.load.dt;
        let shadow = self.shadow.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let how = shadow.map_or_else(
            || format!("DROP PARTITION '{dt}'"),
            |shadow| format!("REPLACE PARTITION '{dt}' FROM {shadow}"),
        );
        self.mart.execute(&format!("ALTER TABLE {TELEMETRY_TABLE} {how}")).await?;
        self.mart.note_load(&self.load).await?;
        Ok(self.load.rows())
    }

    /// Drops the table of its own now. A failure is no failure of the load: it is an orphan then.
    pub async fn end(&self) {
        if let Some(sql) = self.leave_behind() {
            let _ = self.mart.execute(&sql).await;
        }
    }

    fn leave_behind(&self) -> Option<String> {
        let shadow = self.shadow.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(format!("DROP TABLE IF EXISTS {shadow}"))
    }
}

impl Drop for TelemetryDay {
    fn drop(&mut self) {
        if let Some(sql) = self.leave_behind() {
            self.mart.leave(sql);
        }
    }
}

impl Mart {
    /// Creates the telemetry tables where they are missing.
    pub async fn apply_telemetry_schema(&self) -> Result<()> {
        for statement in statements(TELEMETRY_DDL) {
            self.execute(&statement).await?;
        }
        let lacking = self.lacking_columns().await?;
        if !lacking.is_empty() {
            let added = self.execute(&format!("ALTER TABLE {TELEMETRY_TABLE} {}", lacking.join(", "))).await;
            // Another run may have added them meanwhile.
            if added.is_err() && !self.lacking_columns().await?.is_empty() {
                added?;
            }
        }
        drop_orphans(self, TELEMETRY_TABLE).await
    }

    /// What adds the columns of later versions that the table lacks.
    async fn lacking_columns(&self) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '{TELEMETRY_TABLE}'"
        );
        let found = self.rows(&sql).await?;
        let type_of =
            |name: &str| found.iter().find(|row| row.first().is_some_and(|n| n == name)).and_then(|row| row.get(1));
        let mut lacking = Vec::new();
        let later = OPTIONAL.map(|column| (column.name, column.sql_type()));
        for (name, sql_type) in COLUMNS.into_iter().chain(later) {
            match type_of(name) {
                Some(found) if found == sql_type => {}
                None if later.contains(&(name, sql_type)) => lacking.push(format!("ADD COLUMN {name} {sql_type}")),
                Some(_) | None => {
                    return Err(Error::schema(format!(
                        "table {TELEMETRY_TABLE} in ClickHouse has no column {name} of type {sql_type}; rename the table \
                         (it stays readable) and run again"
                    ))
                    .with("table", TELEMETRY_TABLE)
                    .with("column", name));
                }
            }
        }
        let shown = SHOWN.into_iter().filter(|(name, _)| type_of(name).is_none());
        lacking.extend(shown.map(|(name, shows)| format!("ADD COLUMN {name} {shows}")));
        Ok(lacking)
    }

    /// What a day was loaded from, under the same settings; `None` when the table does not hold just that.
    pub async fn telemetry_loaded(&self, dt: NaiveDate, fingerprint: &str) -> Result<Option<Vec<Line>>> {
        let answer = self
            .rows(&format!(
                "SELECT file, size_bytes, sha256, rows_read, rows_loaded, rows_duplicate, rows_rejected, fingerprint \
                 FROM {LOADS} WHERE dt = toDate('{dt}') ORDER BY file"
            ))
            .await?;
        let mut lines = Vec::with_capacity(answer.len());
        for row in &answer {
            let cell = |at: usize| row.get(at).map(String::as_str).unwrap_or_default();
            let number = |at: usize| cell(at).parse::<u64>().unwrap_or_default();
            if cell(7) != fingerprint {
                return Ok(None);
            }
            lines.push(Line {
                part: Part {
                    file: cell(0).to_owned(),
                    size_bytes: number(1),
                    sha256: cell(2).to_owned(),
                    ..Part::default()
                },
                rows_read: number(3),
                rows_loaded: number(4),
                rows_duplicate: number(5),
                rows_superseded: 0,
                rows_rejected: number(6),
            });
        }
        let expected: u64 = lines.iter().map(|line| line.rows_loaded).sum();
        let found = self.telemetry_rows(dt).await?;
        Ok((found == expected).then_some(lines))
    }

    /// How many rows the table holds of a raw day.
    pub async fn telemetry_rows(&self, dt: NaiveDate) -> Result<u64> {
        let answer = self.rows(&format!("SELECT count() FROM {TELEMETRY_TABLE} WHERE dt = toDate('{dt}')")).await?;
        answer.first().and_then(|row| row.first()).and_then(|cell| cell.parse().ok()).ok_or_else(|| {
            Error::database("ClickHouse's answer to a count cannot be read").with("table", TELEMETRY_TABLE)
        })
    }

    async fn fill_telemetry(
        &self,
        shadow: &str,
        load: &TelemetryLoad,
        rows: Arc<dyn Rows>,
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<()> {
        let (dt, expected) = (load.dt, load.rows());
        let days = (dt - NaiveDate::default()).num_days();
        let day = u16::try_from(days).map_err(|e| Error::data(format!("{dt} lies outside 1970 to 2149")).because(e))?;
        let optional = stated(&*rows);
        let queue = Arc::new(Queue::new(rows.units()));
        let inserts = load.inserts.clamp(1, rows.units().max(1));
        let feed = Feed { rows, queue, day, optional: optional.clone() };
        let loads = (0..inserts).map(|_| self.insert_units(shadow, &feed, cancel, progress));
        let sent = futures::future::try_join_all(loads).await?;
        let sent = sent.into_iter().fold(Digest::default(), Digest::plus);
        let found = self.telemetry_digest(shadow, dt, &optional).await?;
        if sent.rows != expected || found != sent {
            return Err(Error::database(format!(
                "ClickHouse stored {} rows with checksum {:016x} for {dt}, {} rows with {:016x} were sent and {expected} \
                 judged; the table was left as it was",
                found.rows, found.sum, sent.rows, sent.sum
            ))
            .with("table", TELEMETRY_TABLE)
            .with("dt", dt));
        }
        cancel.check()
    }

    /// Takes units until there are none, with an INSERT for every so many rows.
    async fn insert_units(&self, shadow: &str, feed: &Feed, cancel: &Cancel, progress: &Progress) -> Result<Digest> {
        let names: Vec<_> = COLUMNS.iter().map(|c| c.0).chain(feed.optional.iter().map(|c| c.name)).collect();
        let into = format!("{shadow} ({})", names.join(", "));
        let mut total = Digest::default();
        while !feed.queue.is_empty() {
            let (sender, receiver) = mpsc::channel::<Bytes>(BLOCKS_WAITING);
            let (feed, cancel, progress) = (feed.clone(), cancel.clone(), progress.clone());
            let producer = tokio::task::spawn_blocking(move || encode_units(&feed, &sender, &cancel, &progress));
            let sent = self.insert_stream(&into, "Native", receiver).await;
            let made = producer.await.map_err(|e| Error::internal("a loading thread ended early").because(e))?;
            // Where the insert broke, the server's reason is the one that tells.
            sent?;
            total = total.plus(made?);
        }
        Ok(total)
    }

    async fn telemetry_digest(&self, table: &str, dt: NaiveDate, optional: &[Optional]) -> Result<Digest> {
        let hash = row_hash(optional);
        let sql = format!("SELECT count(), sum({hash}) FROM {table} WHERE dt = toDate('{dt}')");
        let answer = self.rows(&sql).await?;
        let number = |at: usize| answer.first().and_then(|row| row.get(at)).and_then(|cell| cell.parse().ok());
        let (Some(rows), Some(sum)) = (number(0), number(1)) else {
            return Err(Error::database("ClickHouse's answer to a checksum cannot be read").with("table", table));
        };
        Ok(Digest { rows, sum })
    }

    async fn note_load(&self, load: &TelemetryLoad) -> Result<()> {
        let dt = load.dt;
        self.execute(&format!("ALTER TABLE {LOADS} DROP PARTITION '{dt}'")).await?;
        if load.lines.is_empty() {
            return Ok(());
        }
        let day = u16::try_from((dt - NaiveDate::default()).num_days()).unwrap_or_default();
        let now = u32::try_from(Utc::now().timestamp()).unwrap_or_default();
        let mut bytes = Vec::new();
        for line in &load.lines {
            let text = |text: &str, bytes: &mut Vec<u8>| {
                varint(text.len(), bytes);
                bytes.extend_from_slice(text.as_bytes());
            };
            bytes.extend_from_slice(&day.to_le_bytes());
            text(&line.part.file, &mut bytes);
            bytes.extend_from_slice(&line.part.size_bytes.to_le_bytes());
            text(&line.part.sha256, &mut bytes);
            for number in [line.rows_read, line.rows_loaded, line.rows_duplicate, line.rows_rejected] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            text(&load.fingerprint, &mut bytes);
            text(&load.run_id, &mut bytes);
            bytes.extend_from_slice(&now.to_le_bytes());
        }
        self.insert(LOADS, bytes.into()).await
    }
}

/// Encodes the units that the queue gives out, up to the rows of one INSERT.
fn encode_units(feed: &Feed, sender: &mpsc::Sender<Bytes>, cancel: &Cancel, progress: &Progress) -> Result<Digest> {
    let mut positions = Positions::new(feed.day, &feed.optional);
    let mut total = Digest::default();
    while total.rows < INSERT_ROWS {
        let Some(unit) = feed.queue.take() else { break };
        feed.rows.read(unit, &mut |batch, _| {
            cancel.check()?;
            let mut block = Vec::new();
            let digest = positions.encode(&batch, &mut block)?;
            total = total.plus(digest);
            progress.add(digest.rows);
            if block.is_empty() {
                return Ok(());
            }
            let gone = |_| Error::database("the insert into ClickHouse broke off");
            sender.blocking_send(block.into()).map_err(gone)
        })?;
    }
    Ok(total)
}
