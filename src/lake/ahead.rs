//! Reads row groups of files in their order. While some are decoded, the next remote ones are fetched: a bounded number of
//! requests and bytes at once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::files::{ParquetFile, ParquetTable};
use super::find::REQUESTS;
use super::ranges::Fetched;
use super::read::PartReader;
use crate::error::{Error, Result};

/// Row groups: the number of each one's file, and its own.
pub type Units = Vec<(usize, usize)>;

/// Bytes that may be fetched before they are asked for.
const AHEAD_BYTES: u64 = 64 << 20;

/// The row groups of a table's files as units that threads may share.
#[derive(Debug)]
pub struct TableReader {
    table: ParquetTable,
    /// File and row group.
    units: Units,
    columns: Vec<String>,
    /// Columns that a unit is read without.
    spared: HashMap<usize, String>,
    runtime: Option<Handle>,
    ahead: Mutex<Ahead>,
}

/// What is being fetched.
#[derive(Debug, Default)]
struct Ahead {
    /// The first unit that nothing was done for yet.
    next: usize,
    /// By unit: bytes and work.
    under_way: HashMap<usize, (u64, JoinHandle<Result<Fetched>>)>,
    bytes: u64,
}

impl TableReader {
    /// A reader of these row groups and columns, or of all. What is fetched ahead is fetched on the runtime of the caller.
    pub fn new(table: ParquetTable, units: Option<Units>, columns: Option<Vec<String>>) -> Self {
        let files = table.files.iter().enumerate();
        let groups = files.flat_map(|(number, file)| (0..file.row_groups()).map(move |group| (number, group)));
        let units = units.unwrap_or_else(|| groups.collect());
        let all = || table.schema.fields().iter().map(|field| field.name().clone()).collect();
        let columns = columns.unwrap_or_else(all);
        let (runtime, ahead) = (Handle::try_current().ok(), Mutex::default());
        Self { columns, table, units, spared: HashMap::new(), runtime, ahead }
    }

    /// Reads a unit without a column.
    pub fn spare(&mut self, unit: usize, column: &str) {
        self.spared.insert(unit, column.to_owned());
    }

    /// The files.
    pub fn files(&self) -> &[ParquetFile] {
        &self.table.files
    }

    /// The columns of all files together.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.schema)
    }

    /// How many row groups there are.
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// Rows of all units.
    pub fn rows(&self) -> u64 {
        self.units.iter().map(|(file, group)| self.table.files[*file].rows(*group)).sum()
    }

    /// The numbers of each unit's file and row group.
    pub fn numbers(&self) -> &[(usize, usize)] {
        &self.units
    }

    /// The file and the row group of a unit.
    pub fn unit(&self, unit: usize) -> (&ParquetFile, usize) {
        let (file, group) = self.units[unit];
        (&self.table.files[file], group)
    }

    /// Streams a unit. Blocking; not to be called from a thread that drives the runtime.
    pub fn read(&self, unit: usize, batch_rows: usize) -> Result<PartReader> {
        let (file, group) = self.unit(unit);
        self.read_rows(unit, 0..file.rows(group), None, batch_rows)
    }

    /// The same of some rows, counted from 0, and without a column. What was fetched ahead is for all of them.
    pub fn read_rows(
        &self,
        unit: usize,
        rows: Range<u64>,
        spared: Option<&str>,
        batch_rows: usize,
    ) -> Result<PartReader> {
        let (file, group) = self.unit(unit);
        let is_whole = rows == (0..file.rows(group));
        let fetched = if is_whole { self.fetched(unit)? } else { Fetched::new() };
        file.read_fetched(group, rows, &self.columns(unit, spared), batch_rows, fetched)
    }

    fn columns(&self, unit: usize, spared: Option<&str>) -> Vec<&str> {
        let spared = spared.or(self.spared.get(&unit).map(String::as_str));
        self.columns.iter().map(String::as_str).filter(|column| spared != Some(column)).collect()
    }

    fn fetched(&self, unit: usize) -> Result<Fetched> {
        let Some(runtime) = &self.runtime else { return Ok(Fetched::default()) };
        let work = {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            // Units that others take in the meantime begin their own.
            ahead.next = ahead.next.max(unit);
            while ahead.next < self.units.len() && ahead.under_way.len() < REQUESTS {
                let (file, group) = self.unit(ahead.next);
                if let Some((bytes, work)) = file.fetch(group, &self.columns(ahead.next, None)) {
                    if ahead.bytes > 0 && ahead.bytes + bytes > AHEAD_BYTES {
                        break;
                    }
                    let number = ahead.next;
                    ahead.bytes += bytes;
                    ahead.under_way.insert(number, (bytes, runtime.spawn(work)));
                }
                ahead.next += 1;
            }
            let work = ahead.under_way.remove(&unit);
            ahead.bytes -= work.as_ref().map_or(0, |(bytes, _)| *bytes);
            work
        };
        match work {
            None => Ok(Fetched::default()),
            Some((_, work)) => {
                runtime.block_on(work).map_err(|e| Error::internal("fetching ahead broke off").because(e))?
            }
        }
    }
}

impl Drop for TableReader {
    fn drop(&mut self) {
        let ahead = self.ahead.get_mut().unwrap_or_else(PoisonError::into_inner);
        ahead.under_way.values().for_each(|(_, work)| work.abort());
    }
}
