//! Vehicle telemetry: whole raw days, streamed into a shadow table over several inserts, verified, swapped in.
//!
//! Which files a day came from stands in a table of its own, written after the swap: a crash between the two makes the
//! next load of the day do its work again, which changes nothing a reader sees.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{NaiveDate, Utc};
use tokio::sync::mpsc;

use super::client::Mart;
use super::load::Shadow;
use super::native::{COLUMNS, Positions, ROW_HASH};
use super::rows::{Digest, varint};
use super::schema::statements;
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
    /// Its cleaned positions.
    pub rows: Arc<dyn Rows>,
    /// Of the settings that change what a file gives.
    pub fingerprint: String,
    /// The run.
    pub run_id: String,
    /// Inserts side by side.
    pub inserts: usize,
}

impl Mart {
    /// Creates the telemetry tables where they are missing.
    pub async fn apply_telemetry_schema(&self) -> Result<()> {
        for statement in statements(TELEMETRY_DDL) {
            self.execute(&statement).await?;
        }
        let sql = format!(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '{TELEMETRY_TABLE}'"
        );
        let found = self.rows(&sql).await?;
        for (name, sql_type) in COLUMNS {
            if !found.iter().any(|row| row.iter().map(String::as_str).eq([name, sql_type])) {
                return Err(Error::schema(format!(
                    "table {TELEMETRY_TABLE} in ClickHouse has no column {name} of type {sql_type}; rename the table \
                     (it stays readable) and run again"
                ))
                .with("table", TELEMETRY_TABLE)
                .with("column", name));
            }
        }
        super::load::drop_orphans(self, TELEMETRY_TABLE).await
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
                part: Part { file: cell(0).to_owned(), size_bytes: number(1), sha256: cell(2).to_owned(), etag: None },
                rows_read: number(3),
                rows_loaded: number(4),
                rows_duplicate: number(5),
                rows_superseded: 0,
                rows_rejected: number(6),
            });
        }
        let expected: u64 = lines.iter().map(|line| line.rows_loaded).sum();
        let found = self.count(TELEMETRY_TABLE, dt).await?;
        Ok((found == expected).then_some(lines))
    }

    /// Makes a raw day's rows the whole content of its partition, atomically; without rows the partition goes.
    pub async fn replace_telemetry(&self, load: TelemetryLoad, cancel: &Cancel, progress: &Progress) -> Result<u64> {
        let dt = load.dt;
        let expected: u64 = load.lines.iter().map(|line| line.rows_loaded).sum();
        if expected == 0 {
            self.execute(&format!("ALTER TABLE {TELEMETRY_TABLE} DROP PARTITION '{dt}'")).await?;
        } else {
            let shadow = Shadow::create(self, TELEMETRY_TABLE).await?;
            let swapped = self.fill_telemetry(&shadow.name, &load, expected, cancel, progress).await;
            shadow.remove().await;
            swapped?;
        }
        self.note_load(&load).await?;
        Ok(expected)
    }

    async fn fill_telemetry(
        &self,
        shadow: &str,
        load: &TelemetryLoad,
        expected: u64,
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<()> {
        let dt = load.dt;
        let days = (dt - NaiveDate::default()).num_days();
        let day = u16::try_from(days).map_err(|e| Error::data(format!("{dt} lies outside 1970 to 2149")).because(e))?;
        let queue = Arc::new(Queue::new(load.rows.units()));
        let inserts = load.inserts.clamp(1, load.rows.units().max(1));
        let loads = (0..inserts).map(|_| self.insert_units(shadow, day, load, &queue, cancel, progress));
        let sent = futures::future::try_join_all(loads).await?;
        let sent = sent.into_iter().fold(Digest::default(), Digest::plus);
        let found = self.telemetry_digest(shadow, dt).await?;
        if sent.rows != expected || found != sent {
            return Err(Error::database(format!(
                "ClickHouse stored {} rows with checksum {:016x} for {dt}, {} rows with {:016x} were sent and {expected} \
                 judged; the table was left as it was",
                found.rows, found.sum, sent.rows, sent.sum
            ))
            .with("table", TELEMETRY_TABLE)
            .with("dt", dt));
        }
        cancel.check()?;
        self.execute(&format!("ALTER TABLE {TELEMETRY_TABLE} REPLACE PARTITION '{dt}' FROM {shadow}")).await
    }

    /// Takes units until there are none, with an INSERT for every so many rows.
    async fn insert_units(
        &self,
        shadow: &str,
        day: u16,
        load: &TelemetryLoad,
        queue: &Arc<Queue>,
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<Digest> {
        let names: Vec<_> = COLUMNS.iter().map(|c| c.0).collect();
        let into = format!("{shadow} ({})", names.join(", "));
        let mut total = Digest::default();
        while !queue.is_empty() {
            let (sender, receiver) = mpsc::channel::<Bytes>(BLOCKS_WAITING);
            let (rows, queue) = (Arc::clone(&load.rows), Arc::clone(queue));
            let (cancel, progress) = (cancel.clone(), progress.clone());
            let producer =
                tokio::task::spawn_blocking(move || encode_units(&*rows, &queue, day, &sender, &cancel, &progress));
            let sent = self.insert_stream(&into, "Native", receiver).await;
            let made = producer.await.map_err(|e| Error::internal("a loading thread ended early").because(e))?;
            // Where the insert broke, the server's reason is the one that tells.
            sent?;
            total = total.plus(made?);
        }
        Ok(total)
    }

    async fn count(&self, table: &str, dt: NaiveDate) -> Result<u64> {
        let answer = self.rows(&format!("SELECT count() FROM {table} WHERE dt = toDate('{dt}')")).await?;
        answer
            .first()
            .and_then(|row| row.first())
            .and_then(|cell| cell.parse().ok())
            .ok_or_else(|| Error::database("ClickHouse's answer to a count cannot be read").with("table", table))
    }

    async fn telemetry_digest(&self, table: &str, dt: NaiveDate) -> Result<Digest> {
        let sql = format!("SELECT count(), sum({ROW_HASH}) FROM {table} WHERE dt = toDate('{dt}')");
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
fn encode_units(
    rows: &dyn Rows,
    queue: &Queue,
    day: u16,
    sender: &mpsc::Sender<Bytes>,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<Digest> {
    let mut positions = Positions::new(day);
    let mut total = Digest::default();
    while total.rows < INSERT_ROWS {
        let Some(unit) = queue.take() else { break };
        rows.read(unit, &mut |batch, _| {
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
