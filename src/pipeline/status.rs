//! Every day and step: what the lake has, against what the ledger, the mart's bookkeeping and the checks say.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use super::Pipeline;
use super::freshness::{Freshness, MartFreshness, freshness, mart_freshness};
use super::realtime::origin::oddities;
use crate::config::UnknownFiles;
use crate::error::{Error, Result};
use crate::lake::{Folders, Lake, Part, Partition};
use crate::model::{Dataset, Dimension, Fact, Positions, Zone};
use crate::warehouse::{self, Failure, Loaded, MissedDay};

/// How many days of the lake are listed at once.
const LISTINGS: usize = 8;

/// How a table, step or day stands. The order is that of a step's tables: the worst one names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Neither lake nor ledger has anything of it.
    None,
    /// Loaded from exactly these files under these settings; for checks: passed.
    Loaded,
    /// Loaded, and its rows taken by retention since.
    Purged,
    /// Not there yet.
    Missing,
    /// Loaded from something else than what is there now.
    Stale,
    /// The last attempt failed.
    Failed,
}

/// One table of a step.
#[derive(Clone, Debug, Serialize)]
pub struct TableStatus {
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    files: usize,
    rows_read: i64,
    rows_loaded: i64,
    rows_rejected: i64,
    loaded_at: Option<DateTime<Utc>>,
}

/// One step of a day.
#[derive(Clone, Debug, Serialize)]
pub struct StepStatus {
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tables: BTreeMap<&'static str, TableStatus>,
}

/// One raw day.
#[derive(Clone, Debug, Serialize)]
pub struct DayStatus {
    dt: NaiveDate,
    state: State,
    in_lake: bool,
    steps: BTreeMap<&'static str, StepStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    as_of_misses: Vec<MissedDay>,
    /// What was odd about the recordings that the staged files were made of.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    oddities: BTreeMap<&'static str, u64>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    step: &'static str,
    state: State,
    time_zone: Option<String>,
    /// Where positions are kept.
    positions: Positions,
    schema_version: u32,
    lake: Option<String>,
    /// Folders of the lake that begin with `dt=` and name no day.
    misnamed_folders: Vec<String>,
    days: Vec<DayStatus>,
    tables: Vec<Freshness>,
    mart: MartFreshness,
    failures: Vec<Failure>,
}

/// What the lake has of one day.
#[derive(Default)]
struct InLake {
    files: BTreeMap<Dataset, Vec<Part>>,
    problem: Option<String>,
}

impl Pipeline {
    /// How every day and step stands, of the half-open range of raw days or of all.
    ///
    /// A file counts as unchanged by name, size and the manifest's digest; one without a digest that was touched since
    /// its load is read and hashed, and with `verify` every file is.
    pub async fn status(&self, from: Option<NaiveDate>, to: Option<NaiveDate>, verify: bool) -> Result<Status> {
        let known = warehouse::status(self.warehouse()?).await?;
        let within = |dt: &NaiveDate| from.is_none_or(|from| *dt >= from) && to.is_none_or(|to| *dt < to);
        let lake = self.settings.lake.is_some().then(|| self.lake()).transpose()?;
        let (in_lake, misnamed_folders) = match &lake {
            Some(lake) => listed(lake, self.settings.unknown_files, &within).await?,
            None => Default::default(),
        };
        let mut loaded: BTreeMap<(NaiveDate, &str), &Loaded> = BTreeMap::new();
        for one in known.loaded.iter().filter(|one| within(&one.dt)) {
            loaded.insert((one.dt, &one.target), one);
        }
        let unfinished = known.unfinished.keys().copied().filter(&within);
        let all: BTreeSet<NaiveDate> =
            in_lake.keys().copied().chain(loaded.keys().map(|(dt, _)| *dt)).chain(unfinished).collect();
        let mut days = Vec::with_capacity(all.len());
        self.progress.begin("status", all.len() as u64);
        for dt in all {
            let view = View { dt, known: &known, loaded: &loaded, lake: in_lake.get(&dt), verify };
            days.push(self.day_status(lake.as_ref(), &view).await?);
            self.progress.add(1);
        }
        let today = Zone(self.settings.zone()?).local_date(Utc::now().timestamp_micros());
        Ok(Status {
            step: "status",
            state: days.iter().map(|day| day.state).max().unwrap_or(State::None),
            time_zone: known.time_zone.clone(),
            positions: known.positions,
            schema_version: known.schema_version,
            lake: lake.map(|lake| lake.url().to_owned()),
            misnamed_folders,
            days,
            tables: freshness(&known, today),
            mart: mart_freshness(&known),
            failures: known.failures,
        })
    }

    async fn day_status(&self, lake: Option<&Lake>, view: &View<'_>) -> Result<DayStatus> {
        let mut steps = BTreeMap::new();
        let staging: Vec<_> = Dataset::ALL.iter().map(|d| (*d, d.staging_table())).collect();
        let dimensions: Vec<_> = Dimension::ALL.iter().map(|d| (d.dataset, d.table)).collect();
        let facts: Vec<_> = Fact::ALL.iter().map(|f| (f.dataset, f.table)).collect();
        for (step, tables) in [("stage", staging), ("load_dimensions", dimensions), ("load_facts", facts)] {
            steps.insert(step, self.load_step(lake, view, step, &tables).await?);
        }
        steps.insert("build_route_hourly", view.mart_step());
        steps.insert("check_quality", view.quality_step());
        let misses = view.known.misses.iter().filter(|missed| missed.dt == view.dt);
        Ok(DayStatus {
            dt: view.dt,
            state: steps.values().map(|step| step.state).filter(|s| *s != State::Purged).max().unwrap_or(State::None),
            in_lake: view.lake.is_some(),
            steps,
            as_of_misses: misses.cloned().collect(),
            oddities: view.known.origins.get(&view.dt).map(|origins| oddities(origins)).unwrap_or_default(),
        })
    }

    async fn load_step(
        &self,
        lake: Option<&Lake>,
        view: &View<'_>,
        step: &'static str,
        tables: &[(Dataset, &'static str)],
    ) -> Result<StepStatus> {
        let mut found = BTreeMap::new();
        for (dataset, table) in tables {
            let parts = view.lake.and_then(|day| day.files.get(dataset)).map(Vec::as_slice).unwrap_or_default();
            let loaded = view.loaded.get(&(view.dt, *table)).copied();
            let unfinished = view.unfinished(table);
            if parts.is_empty() && loaded.is_none() && unfinished.is_none() {
                continue;
            }
            let (mut state, mut why) = view.judge(parts, loaded);
            let touched = loaded.is_some_and(|loaded| parts.iter().any(|part| is_touched(part, loaded)));
            if let (Some(lake), Some(loaded), true) = (lake, loaded, state == State::Loaded && (touched || view.verify))
                && let Some(problem) = self.compare_digests(lake, parts, loaded).await?
            {
                (state, why) = (State::Stale, Some(problem));
            }
            let passes_by = Fact::of(*dataset).is_some_and(|fact| view.known.positions.are_elsewhere(fact.kind));
            if state == State::Loaded && !passes_by && loaded.is_some_and(|loaded| loaded.purged_at.is_some()) {
                state = State::Purged;
            }
            if let Some(began) = unfinished {
                (state, why) = (State::Stale, Some(half_published(began)));
            }
            found.insert(*table, table_status(state, why, parts.len(), loaded));
        }
        let mut status = StepStatus {
            state: found.values().map(|table| table.state).max().unwrap_or(State::None),
            why: None,
            tables: found,
        };
        let worst = status.state;
        status.why = status.tables.values().find(|table| table.state == worst).and_then(|table| table.why.clone());
        view.fail(step, &mut status);
        Ok(status)
    }

    /// Reads and hashes files; what differs, if anything does.
    async fn compare_digests(&self, lake: &Lake, parts: &[Part], loaded: &Loaded) -> Result<Option<String>> {
        for (part, known) in parts.iter().zip(&loaded.parts) {
            match lake.fetch(part, self.settings.spool.as_deref(), &self.cancel).await {
                Ok(local) if local.sha256 == known.sha256 => {}
                Ok(_) => return Ok(Some(format!("{} has other bytes than were loaded", part.path))),
                Err(e @ (Error::Data(_) | Error::Conflict(_) | Error::NotFound(_))) => return Ok(Some(e.to_string())),
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }
}

/// What became of positions that were replaced in ClickHouse by a run that did not come to its commit.
fn half_published(began: DateTime<Utc>) -> String {
    format!(
        "a run began to replace the positions in ClickHouse at {} and has not published them; they may differ from the \
         ledger until the day is run again or undone",
        began.format("%Y-%m-%dT%H:%M:%SZ")
    )
}

/// Whether only its bytes can tell that a file is the one that was loaded.
fn is_touched(part: &Part, loaded: &Loaded) -> bool {
    part.manifest_sha256.is_none() && part.modified_millis > loaded.loaded_at.timestamp_millis()
}

fn table_status(state: State, why: Option<String>, files: usize, loaded: Option<&Loaded>) -> TableStatus {
    TableStatus {
        state,
        why,
        files: loaded.map_or(files, |loaded| loaded.parts.len()),
        rows_read: loaded.map_or(0, |loaded| loaded.rows_read),
        rows_loaded: loaded.map_or(0, |loaded| loaded.rows_loaded),
        rows_rejected: loaded.map_or(0, |loaded| loaded.rows_rejected),
        loaded_at: loaded.map(|loaded| loaded.loaded_at),
    }
}

/// What the lake has of each day, and its folders that name no day.
async fn listed(
    lake: &Lake,
    unknown_files: UnknownFiles,
    within: &impl Fn(&NaiveDate) -> bool,
) -> Result<(BTreeMap<NaiveDate, InLake>, Vec<String>)> {
    let folders = match lake.folders().await {
        // A lake that was never written to has no days yet.
        Err(Error::NotFound(_)) => Folders::default(),
        other => other?,
    };
    let days = folders.days.into_iter().filter(within);
    let in_lake = futures::stream::iter(days.map(|dt| async move {
        Ok::<_, Error>((
            dt,
            match lake.partition(dt, unknown_files).await {
                Ok(Partition { files, .. }) => Some(InLake { files, problem: None }),
                Err(Error::NotFound(_)) => None,
                Err(e @ (Error::Data(_) | Error::Schema(_))) => {
                    Some(InLake { problem: Some(e.to_string()), ..InLake::default() })
                }
                Err(e) => return Err(e),
            },
        ))
    }))
    .buffer_unordered(LISTINGS)
    .try_filter_map(|(dt, day)| async move { Ok(day.map(|day| (dt, day))) })
    .try_collect()
    .await?;
    Ok((in_lake, folders.misnamed))
}

/// One day from all sides.
struct View<'a> {
    dt: NaiveDate,
    known: &'a warehouse::Status,
    loaded: &'a BTreeMap<(NaiveDate, &'a str), &'a Loaded>,
    lake: Option<&'a InLake>,
    verify: bool,
}

impl View<'_> {
    /// Since when the replacement of a table's rows in ClickHouse is unfinished, if it is.
    fn unfinished(&self, table: &str) -> Option<DateTime<Utc>> {
        let is_telemetry = Fact::ALL.iter().any(|fact| fact.table == table && fact.kind.is_telemetry());
        self.known.unfinished.get(&self.dt).copied().filter(|_| is_telemetry)
    }

    /// Lake against ledger, by what a listing tells.
    fn judge(&self, parts: &[Part], loaded: Option<&Loaded>) -> (State, Option<String>) {
        let stale = |why: String| (State::Stale, Some(why));
        let Some(loaded) = loaded else { return (State::Missing, None) };
        let Some(day) = self.lake else {
            // Raw days may leave the lake; nothing is to be loaded then.
            return (State::Loaded, None);
        };
        if let Some(problem) = &day.problem {
            return stale(problem.clone());
        }
        if !parts.iter().map(|part| &part.path).eq(loaded.parts.iter().map(|part| &part.file)) {
            let gone = loaded.parts.iter().find(|known| !parts.iter().any(|part| part.path == known.file));
            return stale(gone.map_or("there are files that were not loaded".to_owned(), |known| {
                format!("{} is not in the lake any more", known.file)
            }));
        }
        for (part, known) in parts.iter().zip(&loaded.parts) {
            let other_digest = part.manifest_sha256.as_ref().is_some_and(|digest| *digest != known.sha256);
            if part.size_bytes != known.size_bytes || other_digest {
                return stale(format!("{} changed since it was loaded", part.path));
            }
        }
        if loaded.settings_differ {
            return stale("it was loaded under other settings".to_owned());
        }
        (State::Loaded, None)
    }

    /// A failure on record outweighs everything else.
    fn fail(&self, step: &str, status: &mut StepStatus) {
        if let Some(failure) = self.known.failures.iter().find(|f| f.step == step && f.dt == Some(self.dt)) {
            status.state = State::Failed;
            status.why = Some(failure.message.clone());
        }
    }

    fn facts_loaded_at(&self) -> Option<DateTime<Utc>> {
        let tables = Fact::ALL.iter().filter_map(|fact| self.loaded.get(&(self.dt, fact.table)));
        tables.map(|loaded| loaded.loaded_at).max()
    }

    fn mart_step(&self) -> StepStatus {
        let dates = self.known.touched.get(&self.dt).map(Vec::as_slice).unwrap_or_default();
        let waiting: Vec<String> =
            dates.iter().filter(|date| self.known.dirty.contains_key(date)).map(ToString::to_string).collect();
        let built = dates.iter().any(|date| self.known.built.iter().any(|built| built.service_date == *date));
        let (state, why) = match () {
            () if self.facts_loaded_at().is_none() => (State::Missing, None),
            () if waiting.is_empty() => (State::Loaded, None),
            () => match self.known.failures.iter().find(|f| f.step == "build_route_hourly") {
                Some(failure) => (State::Failed, Some(failure.message.clone())),
                None if built => (State::Stale, Some(format!("to be built: {}", waiting.join(", ")))),
                None => (State::Missing, Some(format!("to be built: {}", waiting.join(", ")))),
            },
        };
        StepStatus { state, why, tables: BTreeMap::new() }
    }

    fn quality_step(&self) -> StepStatus {
        let dimensions = Dimension::ALL.iter().filter_map(|d| self.loaded.get(&(self.dt, d.table)));
        let loaded_at = self.facts_loaded_at().max(dimensions.map(|loaded| loaded.loaded_at).max());
        let (state, why) = match (loaded_at, self.known.checked.get(&self.dt)) {
            (None, _) | (_, None) => (State::Missing, None),
            (Some(at), Some(checked)) if checked.checked_at < at => {
                (State::Stale, Some("checked before the last load".to_owned()))
            }
            (_, Some(checked)) if checked.failed > 0 => {
                (State::Failed, Some(format!("{} checks failed", checked.failed)))
            }
            (_, Some(checked)) if checked.warned > 0 => (State::Loaded, Some(format!("{} warnings", checked.warned))),
            _ => (State::Loaded, None),
        };
        let mut status = StepStatus { state, why, tables: BTreeMap::new() };
        self.fail("check_quality", &mut status);
        status
    }
}
