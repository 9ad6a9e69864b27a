//! One raw day, opened once: its files are fetched, hashed and judged at most once, whichever steps read them.
//!
//! Nothing is fetched before a step asks for it. What was spooled goes with the day, however its steps end.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt};

use super::Pipeline;
use super::input::{Input, Judged};
use crate::error::{Error, Result};
use crate::lake::{self, Lake, LocalPart, Partition};
use crate::load::{Part, Repair};
use crate::model::Dataset;
use crate::warehouse;

/// A raw day in the hands of one verb.
pub(super) struct Day {
    /// The producer's day.
    pub(super) dt: NaiveDate,
    listed: Option<(Lake, Partition)>,
    parts: BTreeMap<Dataset, Vec<Seen>>,
    repairs: Vec<Repair>,
    judged: BTreeMap<Dataset, Arc<Judged>>,
}

/// A file of the day: which one it is, and, once somebody needs them, its bytes.
struct Seen {
    listed: lake::Part,
    identity: Part,
    local: Option<LocalPart>,
}

impl Day {
    /// A day of which nothing is known yet.
    pub(super) fn new(dt: NaiveDate) -> Self {
        Self { dt, listed: None, parts: BTreeMap::new(), repairs: Vec::new(), judged: BTreeMap::new() }
    }

    /// Finds out which files some datasets have, and looks up which rows are repaired by now. A file is read for that, unless
    /// the ledger knows its bytes by what the object store says of them. A dataset without files has none.
    ///
    /// # Errors
    /// `NotFound` when the day has no file at all; else what listing and fetching say.
    pub(super) async fn open(&mut self, pipeline: &Pipeline, datasets: &[Dataset]) -> Result<()> {
        if self.open_if_any(pipeline, datasets).await? { Ok(()) } else { Err(pipeline.lake()?.no_data(self.dt)) }
    }

    /// The same; false for a day without any file.
    ///
    /// # Errors
    /// What listing and fetching say: `NotFound` when the lake is not there, or a file vanished since it was listed.
    pub(super) async fn open_if_any(&mut self, pipeline: &Pipeline, datasets: &[Dataset]) -> Result<bool> {
        if self.listed.is_none() {
            let lake = pipeline.lake()?;
            let partition = lake.partition_if_any(self.dt, pipeline.settings.unknown_files).await?;
            self.listed = partition.map(|partition| (lake, partition));
        }
        let Some((lake, partition)) = &self.listed else { return Ok(false) };
        let new: Vec<Dataset> = datasets.iter().copied().filter(|dataset| !self.parts.contains_key(dataset)).collect();
        let mut known = Vec::new();
        if pipeline.settings.warehouse.is_some() {
            let warehouse = pipeline.warehouse()?;
            self.repairs = warehouse::repairs(warehouse, self.dt).await?;
            if !lake.is_folder() && !new.is_empty() {
                known = warehouse.known_parts(self.dt).await?;
            }
        }
        let listed = new.iter().filter_map(|dataset| partition.files.get(dataset)).flatten().cloned().collect();
        let is_known = |part: &lake::Part| known.iter().find(|known| is_same(part, known)).cloned();
        let seen = fetched(pipeline, lake, listed, is_known).await?;
        self.parts.extend(new.into_iter().map(|dataset| (dataset, Vec::new())));
        for seen in seen {
            self.parts.entry(seen.listed.dataset).or_default().push(seen);
        }
        Ok(true)
    }

    /// The lake and what it holds of the day, once that is opened.
    pub(super) fn listed(&self) -> Option<&(Lake, Partition)> {
        self.listed.as_ref()
    }

    /// Files that no dataset takes.
    pub(super) fn ignored(&self) -> &[String] {
        self.listed.as_ref().map_or(&[], |(_, partition)| &partition.ignored)
    }

    /// The identity of every file of an opened dataset, in order.
    pub(super) fn identities(&self, dataset: Dataset) -> Vec<Part> {
        self.parts.get(&dataset).into_iter().flatten().map(|seen| seen.identity.clone()).collect()
    }

    /// The files of an opened dataset with the repairs of their rows, ready to be judged.
    ///
    /// # Errors
    /// What fetching says; `Conflict` when a file is no longer the one that it was.
    pub(super) async fn input(&mut self, pipeline: &Pipeline, dataset: Dataset) -> Result<Input> {
        let seen = self.parts.remove(&dataset).unwrap_or_default();
        let identities: Vec<Part> = seen.iter().map(|seen| seen.identity.clone()).collect();
        let lacking = seen.iter().filter(|seen| seen.local.is_none()).map(|seen| seen.listed.clone()).collect();
        let mut fresh = match &self.listed {
            Some((lake, _)) => fetched(pipeline, lake, lacking, |_| None).await?.into_iter(),
            None => Vec::new().into_iter(),
        };
        let seen: Vec<Seen> =
            seen.into_iter().filter_map(|seen| if seen.local.is_some() { Some(seen) } else { fresh.next() }).collect();
        if let Some(changed) = seen.iter().zip(&identities).find(|(seen, before)| seen.identity != **before) {
            let file = &changed.1.file;
            return Err(Error::conflict(format!("{file} changed while its day was open; run again")).with("file", file));
        }
        let parts = seen.iter().filter_map(|seen| seen.local.clone()).collect();
        self.parts.insert(dataset, seen);
        let repairs = self.repairs_of(dataset);
        Ok(Input { dataset, parts, repairs })
    }

    fn repairs_of(&self, dataset: Dataset) -> Vec<Repair> {
        self.repairs.iter().filter(|repair| repair.dataset == dataset).cloned().collect()
    }

    /// An opened dataset whose every row has its fate. It is judged again only when a row was repaired since.
    ///
    /// # Errors
    /// As [`Self::all_judged`].
    pub(super) async fn judged(&mut self, pipeline: &Pipeline, dataset: Dataset) -> Result<Arc<Judged>> {
        let judged = self.all_judged(pipeline, &[dataset]).await?.pop();
        judged.ok_or_else(|| not_judged(dataset))
    }

    /// The same of several, which are judged side by side; in the order of `datasets`.
    ///
    /// # Errors
    /// `Data` when too many rows are rejected, or a file cannot be read.
    pub(super) async fn all_judged(&mut self, pipeline: &Pipeline, datasets: &[Dataset]) -> Result<Vec<Arc<Judged>>> {
        let mut inputs = Vec::new();
        for &dataset in datasets {
            let is_known = |known: &Arc<Judged>| known.repairs == self.repairs_of(dataset);
            if !self.judged.get(&dataset).is_some_and(is_known) {
                inputs.push(self.input(pipeline, dataset).await?);
            }
        }
        if !inputs.is_empty() {
            let judged = pipeline.judge(inputs).await?;
            self.judged.extend(judged.into_iter().map(|judged| (judged.dataset, Arc::new(judged))));
        }
        let known = |dataset: &Dataset| self.judged.get(dataset).cloned().ok_or_else(|| not_judged(*dataset));
        datasets.iter().map(known).collect()
    }
}

pub(super) fn not_judged(dataset: Dataset) -> Error {
    Error::internal(format!("{dataset} was not judged"))
}

/// Whether the ledger knows the bytes of a listed file.
fn is_same(listed: &lake::Part, known: &Part) -> bool {
    let is_listed_so = listed.manifest_sha256.as_ref().is_none_or(|sha256| *sha256 == known.sha256);
    let is_unchanged = listed.size_bytes == known.size_bytes && listed.etag.is_some() && listed.etag == known.etag;
    listed.path == known.file && is_unchanged && is_listed_so
}

/// Files in their order, each with its identity: as it is known, or by its bytes.
async fn fetched(
    pipeline: &Pipeline,
    lake: &Lake,
    parts: Vec<lake::Part>,
    known: impl Fn(&lake::Part) -> Option<Part>,
) -> Result<Vec<Seen>> {
    // Files of this machine are read by as many threads as there are.
    let most = if lake.is_folder() { pipeline.settings.threads() } else { lake::REQUESTS };
    let work = parts.into_iter().map(|listed| {
        let known = known(&listed);
        async move {
            if let Some(identity) = known {
                let identity = Part { origin: listed.origin.clone(), ..identity };
                return Ok::<_, Error>(Seen { listed, identity, local: None });
            }
            let local = lake.fetch(&listed, pipeline.settings.spool.as_deref(), &pipeline.cancel).await?;
            let identity = Part {
                file: local.path.clone(),
                size_bytes: local.size_bytes,
                sha256: local.sha256.clone(),
                etag: local.etag.clone(),
                origin: local.origin.clone(),
            };
            Ok(Seen { listed, identity, local: Some(local) })
        }
    });
    let work: Vec<_> = work.collect();
    futures::stream::iter(work).buffered(most.max(1)).try_collect().await
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
    use parquet::arrow::ArrowWriter;

    use super::super::input::{Audience, KeptRows};
    use super::*;
    use crate::config::Settings;
    use crate::control::{Cancel, Progress};
    use crate::load::Rows;

    /// A day of positions, one row group for each list of speeds.
    fn write(lake: &Path, groups: &[&[f64]]) -> NaiveDate {
        let dt = NaiveDate::from_ymd_opt(2024, 5, 1).unwrap();
        let start = dt.and_hms_opt(12, 0, 0).unwrap().and_utc().timestamp_micros();
        let batch = |speeds: &[f64]| {
            let times = TimestampMicrosecondArray::from(vec![start; speeds.len()]).with_timezone("UTC");
            let vehicles: StringArray = speeds.iter().map(|speed| Some(format!("bus {speed}"))).collect();
            let place = |degrees: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![degrees; speeds.len()])) };
            let columns: [(&str, ArrayRef); 5] = [
                ("event_ts", Arc::new(times)),
                ("vehicle_id", Arc::new(vehicles)),
                ("lat", place(55.7)),
                ("lon", place(37.6)),
                ("speed", Arc::new(Float64Array::from(speeds.to_vec()))),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        std::fs::create_dir(lake.join("dt=2024-05-01")).unwrap();
        let file = File::create(lake.join("dt=2024-05-01/vehicle_positions.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch(&[]).schema(), None).unwrap();
        for speeds in groups {
            writer.write(&batch(speeds)).unwrap();
            writer.flush().unwrap();
        }
        writer.close().unwrap();
        dt
    }

    fn pipeline(lake: &Path, reject_limit: f64) -> Pipeline {
        let lake = Some(lake.to_string_lossy().into_owned());
        let settings = Settings { lake, reject_limit, threads: 1, ..Settings::default() };
        Pipeline::new(Arc::new(settings), Cancel::default(), Progress::default())
    }

    fn rows(judged: &Arc<Judged>, audience: Audience) -> usize {
        let kept = KeptRows::new(Arc::clone(judged), audience);
        let mut rows = 0;
        for unit in 0..kept.units() {
            kept.read(unit, &mut |batch, _| {
                rows += batch.num_rows();
                Ok(())
            })
            .unwrap();
        }
        rows
    }

    /// The numbers of the rejected rows.
    fn rejects(judged: &Judged) -> Vec<u64> {
        let mut found = Vec::new();
        for unit in 0..judged.rejecting_units() {
            judged
                .each_reject(unit, &mut |_, rejects| {
                    found.extend(rejects.iter().map(|reject| reject.row_number));
                    Ok(())
                })
                .unwrap();
        }
        found
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    const IMPOSSIBLE: f64 = 5_000.0;

    #[test]
    fn a_day_is_judged_once_and_decoded_once_more_for_each_that_takes_its_rows() {
        let lake = tempfile::tempdir().unwrap();
        let dt = write(lake.path(), &[&[1.0, 2.0], &[3.0, IMPOSSIBLE], &[4.0]]);
        block_on(async {
            let pipeline = pipeline(lake.path(), 0.5);
            let mut day = Day::new(dt);
            for _step in 0..3 {
                day.open(&pipeline, &Dataset::FACTS).await.unwrap();
                let judged = day.judged(&pipeline, Dataset::VehiclePositions).await.unwrap();
                assert_eq!(judged.decoded_groups(), 3, "three row groups, judged once");
            }
            let judged = day.judged(&pipeline, Dataset::VehiclePositions).await.unwrap();
            assert_eq!(rows(&judged, Audience::Staging), 4);
            assert_eq!(rows(&judged, Audience::Warehouse), 4);
            assert_eq!(judged.decoded_groups(), 9);
            assert_eq!(rejects(&judged), [4]);
            assert_eq!(judged.decoded_groups(), 9, "rejects are known since the judging");
        });
    }

    #[test]
    fn rejects_that_memory_has_no_room_for_are_decoded_once_more_and_are_the_same() {
        let lake = tempfile::tempdir().unwrap();
        let dt = write(lake.path(), &[&[1.0, IMPOSSIBLE], &[3.0], &[IMPOSSIBLE]]);
        block_on(async {
            let settings = Settings { memory_bytes: 16, ..(*pipeline(lake.path(), 0.5).settings).clone() };
            let pipeline = Pipeline::new(Arc::new(settings), Cancel::default(), Progress::default());
            let mut day = Day::new(dt);
            day.open(&pipeline, &Dataset::FACTS).await.unwrap();
            let judged = day.judged(&pipeline, Dataset::VehiclePositions).await.unwrap();
            assert_eq!(rejects(&judged), [2, 4]);
            // Three row groups were judged; of the rejects the two that have any.
            assert_eq!(judged.decoded_groups(), 5);
        });
    }

    #[test]
    fn a_lake_that_is_not_there_is_no_day_without_files() {
        let lake = tempfile::tempdir().unwrap();
        let dt = write(lake.path(), &[&[1.0]]);
        let opened = |lake: &Path, dt| {
            block_on(async { Day::new(dt).open_if_any(&pipeline(lake, 0.5), &[Dataset::VehiclePositions]).await })
        };
        assert!(opened(lake.path(), dt).unwrap());
        assert!(!opened(lake.path(), dt + chrono::Days::new(1)).unwrap());
        assert_eq!(opened(&lake.path().join("no"), dt).unwrap_err().kind(), "not_found");
    }

    #[test]
    fn a_file_that_vanished_since_it_was_listed_is_no_day_without_files() {
        let lake = tempfile::tempdir().unwrap();
        let dt = write(lake.path(), &[&[1.0]]);
        block_on(async {
            let pipeline = pipeline(lake.path(), 0.5);
            let mut day = Day::new(dt);
            assert!(day.open_if_any(&pipeline, &[]).await.unwrap());
            std::fs::remove_file(lake.path().join("dt=2024-05-01/vehicle_positions.parquet")).unwrap();
            let gone = day.open_if_any(&pipeline, &[Dataset::VehiclePositions]).await.unwrap_err();
            assert_eq!(gone.kind(), "not_found");
        });
    }

    #[test]
    fn a_file_that_changes_while_its_day_is_open_is_a_conflict() {
        let lake = tempfile::tempdir().unwrap();
        let dt = write(lake.path(), &[&[1.0]]);
        block_on(async {
            let pipeline = pipeline(lake.path(), 0.5);
            let mut day = Day::new(dt);
            day.open(&pipeline, &[Dataset::VehiclePositions]).await.unwrap();
            std::fs::remove_dir_all(lake.path().join("dt=2024-05-01")).unwrap();
            write(lake.path(), &[&[1.0, 2.0]]);
            let refused = day.judged(&pipeline, Dataset::VehiclePositions).await.map(drop).unwrap_err();
            assert_eq!(refused.kind(), "conflict");
        });
    }

    #[test]
    fn a_repair_made_after_judging_is_taken_in_by_the_next_step() {
        let lake = tempfile::tempdir().unwrap();
        let dt = write(lake.path(), &[&[1.0, IMPOSSIBLE]]);
        block_on(async {
            let pipeline = pipeline(lake.path(), 0.5);
            let mut day = Day::new(dt);
            day.open(&pipeline, &[Dataset::VehiclePositions]).await.unwrap();
            let before = day.judged(&pipeline, Dataset::VehiclePositions).await.unwrap();
            assert_eq!(rows(&before, Audience::Warehouse), 1);
            let part = &day.identities(Dataset::VehiclePositions)[0];
            day.repairs.push(Repair {
                dataset: Dataset::VehiclePositions,
                dt,
                file: part.file.clone(),
                row_number: 2,
                sha256: part.sha256.clone(),
                reasons: vec!["speed".to_owned()],
                row_json: String::new(),
                repaired:
                    r#"{"event_ts": "2024-05-01T12:00:00Z", "vehicle_id": "bus", "lat": 55, "lon": 37, "speed": 50}"#
                        .to_owned(),
            });
            let after = day.judged(&pipeline, Dataset::VehiclePositions).await.unwrap();
            assert_eq!(rows(&after, Audience::Warehouse), 2);
        });
    }
}
