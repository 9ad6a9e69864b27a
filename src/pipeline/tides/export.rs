//! Raw days as a TIDES package.
//!
//! The lake is what is exported, not the warehouse: a package is told by service dates and rows, which raw days have as they
//! came, and what comes back is a raw day again. Rows go through the same judgement as on their way into the warehouse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{Receiver, channel};

use super::files::{Encoder, Output, Piece, Pieces};
use super::known::known;
use super::outcome::ExportedTides;
use crate::config::{Secret, Settings};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::feeds::tides::{
    About, DESCRIPTOR, Fill, Fleet, Format, Known, LeftOut, Lookup, Present, Rows, TABLE_NAMES, Table, Written,
    describe, present, why_not,
};
use crate::lake::{Folder, Lake};
use crate::model::{Dataset, Zone};
use crate::pipeline::Pipeline;
use crate::pipeline::day::Day;
use crate::pipeline::input::{Judged, on_thread};
use crate::pipeline::outcome::Outcome;
use crate::pipeline::report::{Report, TableReport};

/// What this version makes of raw days; another one makes other bytes of them.
const RULES: u32 = 2;
/// Pieces that wait to be written.
const AHEAD: usize = 4;

/// What to export.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportTides {
    /// The first raw day.
    pub date_from: NaiveDate,
    /// The day after the last one.
    pub date_to: NaiveDate,
    /// The package's folder, as path or URL.
    pub to: String,
    /// Options of its object store; those of the lake when unset.
    pub to_options: Option<BTreeMap<String, Secret>>,
    /// How files are written.
    #[serde(default)]
    pub format: Format,
    /// Values of required fields that raw days do not know.
    #[serde(default)]
    pub fill: BTreeMap<String, String>,
    /// The agency's name, for the descriptor.
    #[serde(default)]
    pub agency: Option<String>,
}

/// A package under construction.
struct Export<'a> {
    pipeline: &'a Pipeline,
    asked: &'a ExportTides,
    folder: Folder,
    fill: Fill,
    zone: Zone,
    written: Vec<Written>,
    read: BTreeMap<Table, u64>,
    told: ExportedTides,
}

impl Pipeline {
    /// Writes raw days as a TIDES package. Its descriptor goes first and comes last, so that nobody takes half of it for
    /// a package.
    ///
    /// # Errors
    /// `Config` for a range or rule that means nothing, and for a folder with a package of somebody else; `NotFound` when there
    /// is nothing to export; what reading the days says.
    pub async fn export_tides(&self, asked: ExportTides) -> Result<Report> {
        let started = Instant::now();
        if asked.date_from >= asked.date_to {
            let ExportTides { date_from, date_to, .. } = asked;
            return Err(Error::config(format!("date_to is {date_to}, expected a day after date_from {date_from}")));
        }
        let zone = Zone(self.settings.zone()?);
        let fill = Fill::of(&asked.fill, zone)?;
        // The package is made of the lake alone, whatever was repaired in the warehouse.
        let settings = Arc::new(Settings { warehouse: None, ..(*self.settings).clone() });
        let pipeline = Self { settings, warehouse: Arc::default(), ..self.clone() };
        let lake = self.lake()?;
        let (days, days_missing, inputs) = self.tides_inputs(&lake, &asked).await?;
        let options = asked.to_options.as_ref().unwrap_or(&self.settings.lake_options);
        let folder = Folder::open(&asked.to, options, &self.cancel)?;
        let before = package_at(&folder).await?;
        let told = ExportedTides {
            to: folder.url().to_owned(),
            format: asked.format,
            days,
            days_missing,
            left_out: BTreeMap::new(),
            rows_left_out: BTreeMap::new(),
            values_left_out: BTreeMap::new(),
        };
        let (written, read) = (Vec::new(), BTreeMap::new());
        let export = Export { pipeline: &pipeline, asked: &asked, folder, fill, zone, written, read, told };
        let report = export.make(&inputs, before).await?;
        Ok(report.took(started))
    }

    /// The days of the range that the lake has and has not, and a digest of all that decides what is in the package.
    async fn tides_inputs(&self, lake: &Lake, asked: &ExportTides) -> Result<(Vec<NaiveDate>, Vec<NaiveDate>, String)> {
        let range = asked.date_from..asked.date_to;
        let all: BTreeSet<NaiveDate> = lake.days().await?.into_iter().collect();
        let (mut days, mut missing, mut files) = (Vec::new(), Vec::new(), Vec::new());
        let datasets = datasets_of(&Table::ALL);
        for date in asked.date_from.iter_days().take_while(|date| range.contains(date)) {
            self.cancel.check()?;
            if !all.contains(&date) {
                missing.push(date);
                continue;
            }
            let partition = lake.partition(date, self.settings.unknown_files).await?;
            for part in datasets.iter().filter_map(|dataset| partition.files.get(dataset)).flatten() {
                let version = part.manifest_sha256.clone().or_else(|| part.etag.clone());
                let version = version.unwrap_or_else(|| part.modified_millis.to_string());
                files.push(json!([part.path, part.size_bytes, version]));
            }
            days.push(date);
        }
        if days.is_empty() {
            let ExportTides { date_from, date_to, .. } = asked;
            return Err(Error::not_found(format!(
                "the lake {} has no raw day from {date_from} up to, not including, {date_to}",
                lake.url()
            ))
            .with("lake", lake.url()));
        }
        let decisive = json!({
            "rules": RULES,
            "days": [asked.date_from, asked.date_to],
            "format": asked.format,
            "fill": asked.fill,
            "agency": asked.agency,
            "zone": self.settings.time_zone,
            "files": files,
        });
        Ok((days, missing, hex(&Sha256::digest(decisive.to_string()))))
    }
}

/// The datasets that are read for some tables.
fn datasets_of(tables: &[Table]) -> BTreeSet<Dataset> {
    tables.iter().map(|table| table.dataset()).chain(Lookup::ALL.map(Lookup::dataset)).collect()
}

/// The package that the folder holds.
///
/// # Errors
/// `Config` when somebody else made it.
async fn package_at(folder: &Folder) -> Result<Option<Present>> {
    let Some(text) = folder.read(DESCRIPTOR).await? else { return Ok(None) };
    present(&text).map(Some).ok_or_else(|| {
        Error::config(format!(
            "{} holds a {DESCRIPTOR} that metropulse did not make; name another folder, or remove it",
            folder.url()
        ))
        .with("file", DESCRIPTOR)
    })
}

impl Export<'_> {
    async fn make(mut self, inputs: &str, before: Option<Present>) -> Result<Report> {
        if let Some(before) = before.as_ref().filter(|before| before.inputs == inputs)
            && self.is_whole(before).await?
        {
            self.told.left_out.clone_from(&before.left_out);
            let mut report = Report::new("export_tides", None);
            report.unchanged = true;
            report.outcome = Outcome::ExportedTides(Box::new(self.told));
            return Ok(report);
        }
        self.export_days().await?;
        self.explain_left_out();
        if self.written.is_empty() {
            let why: Vec<String> = self.told.left_out.iter().map(|(table, why)| format!("{table}: {why}")).collect();
            return Err(Error::not_found(format!("there is nothing to export ({})", why.join("; "))).retryable(false));
        }
        self.written.sort_by_key(|file| (file.table, file.date));
        let descriptor = describe(self.about(inputs), &self.written);
        self.folder.put(DESCRIPTOR, pretty(&descriptor)?).await?;
        for (stale, _) in before.into_iter().flat_map(|before| before.files) {
            if !self.written.iter().any(|file| file.path == stale) {
                self.folder.remove(&stale).await?;
            }
        }
        self.pipeline.progress.publish(format!("the package in {}", self.told.to));
        Ok(self.report())
    }

    fn about<'a>(&'a self, inputs: &'a str) -> About<'a> {
        let ExportTides { date_from, date_to, agency, format, .. } = self.asked;
        About {
            days: (*date_from, *date_to),
            agency: agency.as_deref(),
            format: *format,
            inputs,
            left_out: &self.told.left_out,
        }
    }

    /// Whether the files of a package are there in their sizes.
    async fn is_whole(&self, package: &Present) -> Result<bool> {
        for (path, bytes) in &package.files {
            if self.folder.size(path).await? != Some(*bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The newest day comes first: what it knows of a vehicle is what the package says.
    async fn export_days(&mut self) -> Result<()> {
        let tables: Vec<Table> = Table::ALL.into_iter().filter(|table| self.fill.lacking(*table).is_empty()).collect();
        let datasets: Vec<Dataset> = datasets_of(&tables).into_iter().collect();
        let mut fleet = Fleet::default();
        for date in self.told.days.clone().into_iter().rev() {
            let mut day = Day::new(date);
            day.open(self.pipeline, &datasets).await?;
            let known = known(self.pipeline, &mut day).await?;
            for table in &tables {
                if day.identities(table.dataset()).is_empty() {
                    continue;
                }
                let judged = day.judged(self.pipeline, table.dataset()).await?;
                if table.is_of_days() {
                    self.export_day(*table, date, judged, &known).await?;
                } else {
                    fleet = self.with_vehicles(fleet, judged).await?;
                }
            }
        }
        if fleet.is_empty() {
            return Ok(());
        }
        let (first, rows) = (self.asked.date_from, fleet.batch()?);
        *self.read.entry(Table::Vehicles).or_default() += rows.num_rows() as u64;
        let (zone, format, made) = (self.zone, self.asked.format, self.rows(Table::Vehicles, &Arc::default()));
        let encode = move |sender: &Pieces| {
            let mut encoder = Encoder::new(format, zone, made);
            encoder.add(first, 1, &rows, sender)?;
            Ok((encoder.left_out(), 0))
        };
        self.write(Table::Vehicles, None, encode).await
    }

    async fn with_vehicles(&self, mut fleet: Fleet, judged: Arc<Judged>) -> Result<Fleet> {
        let cancel = self.pipeline.cancel.clone();
        on_thread(move || {
            judged.each(&cancel, &mut |_, kept, _| fleet.add(kept))?;
            Ok(fleet)
        })
        .await
    }

    async fn export_day(
        &mut self,
        table: Table,
        date: NaiveDate,
        judged: Arc<Judged>,
        known: &Arc<Known>,
    ) -> Result<()> {
        let (cancel, progress) = (self.pipeline.cancel.clone(), self.pipeline.progress.clone());
        progress.begin(&format!("export {} {date}", table.name()), 0);
        let (zone, format, made) = (self.zone, self.asked.format, self.rows(table, known));
        let encode = move |sender: &Pieces| {
            let mut encoder = Encoder::new(format, zone, made);
            let mut done = 0;
            judged.each(&cancel, &mut |_, kept, _| {
                encoder.add(date, done + 1, kept, sender)?;
                done += kept.num_rows() as u64;
                progress.add(kept.num_rows() as u64);
                Ok(())
            })?;
            Ok((encoder.left_out(), done))
        };
        self.write(table, Some(date), encode).await
    }

    fn rows(&self, table: Table, known: &Arc<Known>) -> Rows {
        Rows::new(table, self.zone, &self.fill, Arc::clone(known))
    }

    /// Writes one file of what `encode` gives; none for no row.
    async fn write(
        &mut self,
        table: Table,
        date: Option<NaiveDate>,
        encode: impl FnOnce(&Pieces) -> Result<(LeftOut, u64)> + Send + 'static,
    ) -> Result<()> {
        let (sender, pieces) = channel(AHEAD);
        let encoding = on_thread(move || encode(&sender));
        let path = date.map_or_else(|| table.name().to_owned(), |date| format!("{}-{date}", table.name()));
        let path = format!("{path}.{}", self.asked.format.name());
        let (output, encoded) = tokio::join!(self.take(&path, pieces), encoding);
        let output = output?;
        let (left_out, read) = encoded?;
        self.told.add(table.name(), &left_out);
        *self.read.entry(table).or_default() += read;
        let Some((output, rows)) = output else { return Ok(()) };
        let (bytes, sha256) = output.finish().await?;
        self.written.push(Written { table, date, path, bytes, sha256, rows });
        Ok(())
    }

    async fn take(&self, path: &str, mut pieces: Receiver<(Piece, u64)>) -> Result<Option<(Output, u64)>> {
        let mut begun: Option<(Output, u64)> = None;
        while let Some((piece, rows)) = pieces.recv().await {
            let (output, written) = match &mut begun {
                Some(begun) => begun,
                None => {
                    if self.written.is_empty() {
                        // From here on the package that was there is none any more.
                        self.folder.remove(DESCRIPTOR).await?;
                    }
                    begun.insert((Output::begin(&self.folder, path, &piece)?, 0))
                }
            };
            output.put(piece).await?;
            *written += rows;
        }
        Ok(begun)
    }

    fn explain_left_out(&mut self) {
        for name in TABLE_NAMES {
            let table = Table::ALL.into_iter().find(|table| table.name() == name);
            if self.written.iter().any(|file| file.table.name() == name) {
                continue;
            }
            let why = match table {
                None => why_not(name).to_owned(),
                Some(table) => self.why_empty(table),
            };
            self.told.left_out.insert(name.to_owned(), why);
        }
    }

    fn why_empty(&self, table: Table) -> String {
        let lacking = self.fill.lacking(table);
        if !lacking.is_empty() {
            let rules: Vec<String> = lacking.iter().map(|field| format!("{field}=...")).collect();
            return format!(
                "raw days do not know its required {}; give a value with fill ({})",
                lacking.join(" and "),
                rules.join(", ")
            );
        }
        match self.told.rows_left_out.get(table.name()) {
            Some(fields) => {
                let fields: Vec<&str> = fields.keys().copied().collect();
                format!("none of its rows has the required {}", fields.join(" and "))
            }
            None => format!("the days have no {}", table.dataset()),
        }
    }

    fn report(mut self) -> Report {
        let mut report = Report::new("export_tides", None);
        for table in Table::ALL {
            let files: Vec<&Written> = self.written.iter().filter(|file| file.table == table).collect();
            let Some(read) = self.read.remove(&table) else { continue };
            let rows = files.iter().map(|file| file.rows).sum();
            let counts = TableReport {
                files: files.len() as u64,
                bytes: files.iter().map(|file| file.bytes).sum(),
                rows_read: read,
                rows_loaded: rows,
                rows_written: rows,
                ..TableReport::default()
            };
            report.table(table.name(), counts);
        }
        report.outcome = Outcome::ExportedTides(Box::new(self.told));
        report
    }
}

fn pretty(descriptor: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(descriptor)
        .map_err(|e| Error::internal(format!("{DESCRIPTOR} cannot be written: {e}")).because(e))
}
