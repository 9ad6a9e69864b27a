//! Step 3, second half: a day's events into the facts.

use std::sync::Arc;
use std::time::Instant;

use chrono::NaiveDate;

use super::Pipeline;
use super::day::Day;
use super::input::{Audience, Judged, KeptRows};
use super::outcome::{AsOfMisses, TableOutcome};
use super::report::{Report, TableReport};
use super::telemetry::{Telemetry, is_lost};
use crate::error::Result;
use crate::model::{Dataset, Fact};
use crate::warehouse::{self, Elsewhere, FactLoad, FactLoaded};

impl Pipeline {
    /// Loads one day's trips, payments and positions with the keys of the versions that held at their time.
    pub async fn load_facts(&self, dt: NaiveDate) -> Result<Report> {
        self.load_facts_of(&mut Day::new(dt)).await
    }

    /// The same for a day that other steps read, too.
    pub(super) async fn load_facts_of(&self, day: &mut Day) -> Result<Report> {
        self.tracked("load_facts", Some(day.dt), self.load_facts_day(day)).await
    }

    async fn load_facts_day(&self, day: &mut Day) -> Result<Report> {
        let started = Instant::now();
        let (dt, warehouse) = (day.dt, self.warehouse()?);
        day.open(self, &Dataset::FACTS).await?;
        let mut report = Report::new("load_facts", Some(dt));
        let telemetry = self.telemetry().await?;
        let mut pending = Vec::new();
        for fact in Fact::ALL {
            let unchanged = warehouse.unchanged(fact.table, dt, &day.identities(fact.dataset)).await?;
            match unchanged {
                Some(lines) if !is_lost(telemetry.as_ref(), &fact, dt, &lines).await? => {
                    if !lines.is_empty() {
                        report.table(fact.table, TableReport::unchanged(&lines));
                    }
                }
                Some(_) | None => pending.push(fact),
            }
        }
        if !pending.is_empty() {
            let datasets: Vec<Dataset> = pending.iter().map(|fact| fact.dataset).collect();
            let judged = day.all_judged(self, &datasets).await?;
            self.publish_facts(dt, pending.into_iter().zip(judged).collect(), telemetry.as_ref(), &mut report).await?;
        }
        report.nothing_is_unchanged();
        Ok(report.took(started))
    }

    /// Publishes one judged day of some facts, in the order of [`Fact::ALL`].
    pub(super) async fn publish_facts(
        &self,
        dt: NaiveDate,
        facts: Vec<(Fact, Arc<Judged>)>,
        telemetry: Option<&Telemetry>,
        report: &mut Report,
    ) -> Result<()> {
        let load = |(fact, judged): &(Fact, Arc<Judged>)| {
            let lines = judged.lines(Audience::Warehouse);
            let there = telemetry.filter(|_| fact.kind.is_telemetry());
            FactLoad {
                fact: *fact,
                dt,
                elsewhere: there.map(|there| Arc::new(there.day(dt, lines.clone())) as Arc<dyn Elsewhere>),
                lines,
                rows: Arc::new(KeptRows::new(Arc::clone(judged), Audience::Warehouse)),
            }
        };
        let loaded = warehouse::load_facts(self.warehouse()?, facts.iter().map(load).collect()).await?;
        for ((fact, judged), loaded) in facts.iter().zip(loaded) {
            report.table(fact.table, fact_report(judged, &loaded));
        }
        Ok(())
    }
}

/// What the report tells of one fact.
fn fact_report(judged: &Judged, loaded: &FactLoaded) -> TableReport {
    let mut table = TableReport::of(&loaded.lines);
    judged.describe(&mut table);
    table.rows_written = table.rows_loaded + loaded.moved_rows;
    let misses = loaded.misses.iter().filter(|(_, m)| m.total() > 0);
    table.outcome = TableOutcome::Fact {
        as_of_misses: misses
            .map(|(name, m)| (*name, AsOfMisses { before_first: m.before_first, gap: m.gap }))
            .collect(),
        rows_of_other_days_moved: loaded.moved_rows,
        dirty_dates: loaded.dirty_dates.clone(),
    };
    table
}
