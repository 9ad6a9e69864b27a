//! What a lake holds, for work that many machines share: one of them lists it, and a worker must find what was listed.
//!
//! A worker that finds less has another lake before it, or none. Taken for a day without files, that would be rows that
//! nobody misses.

use std::sync::Arc;

use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt};

use super::Pipeline;
use super::day::Day;
use super::input::Judged;
use crate::error::{Error, Result};
use crate::lake::REQUESTS;
use crate::model::Dataset;

/// What to do about a lake that is not everywhere.
const EVERYWHERE: &str = "every executor must see the lake that the driver listed, under the same name: a folder that all \
                          machines share, or an object store";

impl Pipeline {
    /// Which of some datasets have files, by raw day: of the days that are named, else of all.
    ///
    /// # Errors
    /// `NotFound` when the lake is not there, or a day that is named has no file at all.
    pub async fn listed(
        &self,
        days: Option<Vec<NaiveDate>>,
        datasets: &[Dataset],
    ) -> Result<Vec<(NaiveDate, Dataset)>> {
        let lake = self.lake()?;
        let are_named = days.is_some();
        let days = match days {
            Some(days) => days,
            None => lake.days().await?,
        };
        let (lake, unknown_files) = (&lake, self.settings.unknown_files);
        let lists = days.into_iter().map(|dt| async move {
            match lake.partition_if_any(dt, unknown_files).await? {
                None if are_named => Err(lake.no_data(dt)),
                found => Ok((dt, found)),
            }
        });
        let lists: Vec<_> = lists.collect();
        let found: Vec<_> = futures::stream::iter(lists).buffered(REQUESTS).try_collect().await?;
        let of_day = |(dt, partition): (NaiveDate, Option<crate::lake::Partition>)| {
            let has_files =
                move |dataset: &&Dataset| partition.as_ref().is_some_and(|p| p.files.contains_key(*dataset));
            datasets.iter().filter(has_files).map(move |dataset| (dt, *dataset)).collect::<Vec<_>>()
        };
        Ok(found.into_iter().flat_map(of_day).collect())
    }

    /// A dataset of a day that was listed with files, judged.
    ///
    /// # Errors
    /// `NotFound` when it has none here, or the lake is not here; `Data` when too many rows are rejected or a file cannot be
    /// read.
    pub(super) async fn judged_as_listed(&self, dt: NaiveDate, dataset: Dataset) -> Result<Arc<Judged>> {
        self.judged_if_there(dt, dataset).await.map_err(|error| {
            let error = error.with("dt", dt);
            if matches!(error, Error::NotFound(_)) { error.and(EVERYWHERE) } else { error }
        })
    }

    async fn judged_if_there(&self, dt: NaiveDate, dataset: Dataset) -> Result<Arc<Judged>> {
        let mut day = Day::new(dt);
        if !day.open_if_any(self, &[dataset]).await? || day.identities(dataset).is_empty() {
            let lake = self.lake()?;
            let url = lake.url();
            return Err(Error::not_found(format!(
                "lake {url} has no file of {dataset} for {dt} here, though the driver listed some"
            ))
            .with("lake", url));
        }
        day.judged(self, dataset).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;
    use crate::control::{Cancel, Progress};

    fn pipeline(lake: &Path) -> Pipeline {
        let lake = Some(lake.to_string_lossy().into_owned());
        Pipeline::new(Arc::new(Settings { lake, ..Settings::default() }), Cancel::default(), Progress::default())
    }

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2024, 5, number).unwrap()
    }

    fn put(lake: &Path, path: &str) {
        let file = lake.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "no Parquet, which no listing looks at").unwrap();
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_listing_names_what_has_files_and_nothing_else() {
        let lake = tempfile::tempdir().unwrap();
        put(lake.path(), "dt=2024-05-01/trips.parquet");
        put(lake.path(), "dt=2024-05-01/payments/a.parquet");
        put(lake.path(), "dt=2024-05-02/notes.txt");
        put(lake.path(), "dt=2024-05-03/payments.parquet");
        let asked = [Dataset::Trips, Dataset::Payments];
        let of = |days| block_on(pipeline(lake.path()).listed(days, &asked));
        let first = [(day(1), Dataset::Trips), (day(1), Dataset::Payments)];
        assert_eq!(of(None).unwrap(), [&first[..], &[(day(3), Dataset::Payments)]].concat());
        assert_eq!(of(Some(vec![day(1)])).unwrap(), first);
        let refused = of(Some(vec![day(2)])).unwrap_err();
        assert!(refused.kind() == "not_found" && refused.to_string().contains("dt=2024-05-02"), "{refused}");
    }

    #[test]
    fn a_worker_that_finds_less_than_was_listed_fails_by_lake_and_day_and_says_what_to_do() {
        let lake = tempfile::tempdir().unwrap();
        put(lake.path(), "dt=2024-05-01/trips.parquet");
        for (place, dt) in
            [(lake.path().to_owned(), day(1)), (lake.path().to_owned(), day(2)), (lake.path().join("no"), day(1))]
        {
            let error = block_on(pipeline(&place).judged_as_listed(dt, Dataset::Payments)).map(drop).unwrap_err();
            let told = error.to_string();
            assert!(error.kind() == "not_found" && told.contains("every executor must see the lake"), "{told}");
            assert!(told.contains(&place.display().to_string()), "{told}");
            assert_eq!(error.detail().context["dt"], dt.to_string());
        }
    }
}
