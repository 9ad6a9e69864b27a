//! A table with history, and the log beside it, as the statements of this room name them.

use super::super::copy_in::quoted;
use super::wire::Column;
use crate::history::Instant;
use crate::model::Zone;

/// One of the values that versions and the log are made of.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The column, quoted.
    pub(crate) name: String,
    /// The type of the sheet's column.
    pub(crate) sheet_type: String,
    /// What is read of a row `m` of the table or the log, and its type.
    pub(crate) read: String,
    pub(crate) read_type: String,
    /// What is written, over a row `s` of the sheet.
    pub(crate) write: String,
    /// Whether the table has the column.
    pub(crate) is_shown: bool,
    /// Whether the log has it.
    pub(crate) is_logged: bool,
}

/// A table with history.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Qualified, and quoted where that is needed.
    pub(crate) name: String,
    /// The column of the surrogate key, quoted.
    pub(crate) surrogate: String,
    /// The columns of the key, in table and log.
    pub(crate) keys: Vec<Column>,
    /// The values, in the order of the history room.
    pub(crate) items: Vec<Item>,
    /// The columns of a version's interval, quoted; `None` where versions have none.
    pub(crate) bounds: Option<(String, String)>,
    /// What else a row gets whenever it is written: the column, and an expression over a row `s` of the sheet.
    pub(crate) stamps: Vec<(String, String)>,
    /// The flag of members that only others know, where the table has such.
    pub(crate) inferred: Option<String>,
    /// What the loads said.
    pub(crate) log: Log,
}

/// The table of what the loads said.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Qualified, and quoted where that is needed.
    pub(crate) name: String,
    pub(crate) form: LogForm,
}

/// How a log says when.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LogForm {
    /// By instants. A stretch of no length is the word that the key is gone; rows have a number.
    Instants,
    /// By days of a zone. A key has one row a day at most; some are mentions.
    Days(Zone),
}

impl Table {
    /// Quoted names of the key's columns, each behind a prefix.
    pub(crate) fn key_list(&self, prefix: &str) -> String {
        let names: Vec<String> = self.keys.iter().map(|key| format!("{prefix}{}", quoted(&key.name))).collect();
        names.join(", ")
    }

    /// The key of an affected key `a`.
    pub(super) fn its_keys(&self) -> String {
        (0..self.keys.len()).map(|i| format!("a.k{i}")).collect::<Vec<_>>().join(", ")
    }

    /// The items that the table shows.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.is_shown)
    }

    /// The items that the log says.
    pub(crate) fn logged(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.is_logged)
    }
}

impl Log {
    /// What is read of a row `m`: its number, its bounds, whether it is a mention.
    pub(super) fn read(&self) -> [&'static str; 4] {
        match self.form {
            LogForm::Instants => ["m.said_id", "m.said_from", "m.said_to", "false"],
            LogForm::Days(_) => [
                "NULL::int8",
                "m.from_dt::timestamp AT TIME ZONE 'UTC'",
                "m.to_dt::timestamp AT TIME ZONE 'UTC'",
                "m.is_mention",
            ],
        }
    }

    /// Whether a row `l` is the one that a row `s` of the sheet, with its affected key `a`, speaks of.
    pub(super) fn is_meant(&self, keys: &[Column]) -> String {
        match self.form {
            LogForm::Instants => "s.id = l.said_id".to_owned(),
            LogForm::Days(_) => {
                let same = keys.iter().enumerate().map(|(i, key)| format!("l.{} = a.k{i} AND ", quoted(&key.name)));
                format!("{}l.from_dt = {}", same.collect::<String>(), day("s.at_from"))
            }
        }
    }

    /// The column of a run's end, and what is written there.
    pub(super) fn end(&self) -> (&'static str, String) {
        match self.form {
            LogForm::Instants => ("said_to", "s.at_to".to_owned()),
            LogForm::Days(_) => ("to_dt", day("s.at_to")),
        }
    }

    /// The other columns of a run besides key and values, and what is written there. A mention states nothing.
    pub(super) fn rest(&self) -> Vec<(&'static str, String)> {
        match self.form {
            LogForm::Instants => vec![("said_from", "s.at_from".to_owned()), ("stated", "s.stated".to_owned())],
            LogForm::Days(_) => vec![
                ("from_dt", day("s.at_from")),
                ("is_mention", "s.stated IS NULL".to_owned()),
                ("stated", "coalesce(s.stated, B'')".to_owned()),
            ],
        }
    }

    /// An instant as sheet and log hold it: of a day its midnight in UTC, which is a day whatever the zone does.
    pub(super) fn kept(&self, at: Instant) -> Instant {
        match self.form {
            LogForm::Instants => at,
            LogForm::Days(zone) => zone.local_date(at).and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros(),
        }
    }

    /// The instant that is held.
    pub(super) fn instant(&self, kept: Instant) -> Instant {
        match self.form {
            LogForm::Instants => kept,
            LogForm::Days(zone) => zone.day_start_micros(Zone(chrono_tz::UTC).local_date(kept)),
        }
    }
}

fn day(instant: &str) -> String {
    format!("({instant} AT TIME ZONE 'UTC')::date")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn the_start_of_a_day_survives_a_log_by_days() {
        for name in ["UTC", "America/Chicago", "America/Santiago", "America/Havana", "Asia/Kathmandu"] {
            let zone = Zone(name.parse().unwrap());
            let log = Log { name: "said".into(), form: LogForm::Days(zone) };
            for offset in 0..1_000 {
                let day = DateTime::UNIX_EPOCH.date_naive() + chrono::Days::new(19_000 + offset);
                let start = zone.day_start_micros(day);
                assert_eq!(log.kept(start), Zone(chrono_tz::UTC).day_start_micros(day), "{name} {day}");
                assert_eq!(log.instant(log.kept(start)), start, "{name} {day}");
            }
        }
    }
}
