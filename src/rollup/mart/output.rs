//! Finished cells as Arrow rows, one batch for each service date.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::NaiveDate;
use hashbrown::HashSet;

use super::cells::{Cell, Cells};
use super::routes::RouteVersions;
use crate::error::{Error, Result};
use crate::model::Zone;
use crate::rollup::columns::{hour_array, hour_type, texts_type};
use crate::rollup::ids::TextIds;

/// The mart's columns, `snapshot_ts` and the states aside: distinct vehicles and riders come as sorted lists.
pub fn schema() -> SchemaRef {
    let money = || DataType::Decimal128(38, 2);
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, name.starts_with("avg_"));
    Arc::new(Schema::new(vec![
        field("service_date", DataType::Date32),
        field("route_id", DataType::Utf8),
        field("name", DataType::Utf8),
        field("transport_type", DataType::Utf8),
        field("hour_bucket", hour_type()),
        field("trip_cnt", DataType::Int64),
        field("avg_fare", DataType::Float64),
        field("avg_duration_sec", DataType::Float64),
        field("sum_distance_m", DataType::Float64),
        field("avg_speed", DataType::Float64),
        field("fare_sum", money()),
        field("fare_cnt", DataType::Int64),
        field("duration_sum_sec", DataType::Int64),
        field("duration_cnt", DataType::Int64),
        field("distance_cnt", DataType::Int64),
        field("speed_sum", DataType::Float64),
        field("speed_cnt", DataType::Int64),
        field("position_cnt", DataType::Int64),
        field("payment_cnt", DataType::Int64),
        field("amount_cnt", DataType::Int64),
        field("revenue", money()),
        field("vehicles", texts_type()),
        field("riders", texts_type()),
        field("scheduled_trip_cnt", DataType::Int64),
    ]))
}

/// One row: the route's text, the hour and the cell.
pub(super) type Row<'a> = (&'a str, i64, &'a Cell);

pub(super) fn days(
    zone: Zone,
    routes: &RouteVersions,
    cells: &Cells,
    dates: &Range<NaiveDate>,
) -> Result<Vec<(NaiveDate, RecordBatch)>> {
    let mut by_date: BTreeMap<NaiveDate, Vec<Row>> = BTreeMap::new();
    for (route, hour, cell) in &cells.all {
        let date = zone.local_date(*hour);
        if dates.contains(&date) {
            let route = cells.routes.value(*route).unwrap_or_default();
            by_date.entry(date).or_default().push((route, *hour, cell));
        }
    }
    by_date
        .into_iter()
        .map(|(date, mut rows)| {
            rows.sort_unstable_by_key(|row| (row.0, row.1));
            Ok((date, batch(date, &rows, routes, cells)?))
        })
        .collect()
}

fn batch(date: NaiveDate, rows: &[Row], routes: &RouteVersions, cells: &Cells) -> Result<RecordBatch> {
    let versions: Vec<_> = rows.iter().map(|(route, hour, _)| routes.of_hour(route, *hour)).collect();
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let count = |of: fn(&Cell) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(each(rows, of))) };
    let float = |of: fn(&Cell) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(each(rows, of))) };
    let average = |of: fn(&Cell) -> Option<f64>| -> ArrayRef { Arc::new(Float64Array::from_iter(each(rows, of))) };
    let day = NaiveDate::default();
    let days = i32::try_from((date - day).num_days()).map_err(|e| Error::internal("a date overflows").because(e))?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_value(days, rows.len())),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0))),
        Arc::new(StringArray::from_iter_values(versions.iter().map(|v| v.map_or_else(String::new, |v| name(&v.name))))),
        Arc::new(StringArray::from_iter_values(
            versions.iter().map(|v| v.map_or_else(String::new, |v| name(&v.transport_type))),
        )),
        Arc::new(hour_array(rows.iter().map(|r| r.1).collect())),
        count(|c| c.trip_cnt),
        average(|c| mean(c.fare_sum as f64 / 100.0, c.fare_cnt)),
        average(|c| mean(c.duration_sum_sec as f64, c.duration_cnt)),
        float(|c| c.distance_sum_m),
        average(|c| mean(c.speed_sum, c.speed_cnt)),
        money(rows, |c| c.fare_sum)?,
        count(|c| c.fare_cnt),
        count(|c| c.duration_sum_sec),
        count(|c| c.duration_cnt),
        count(|c| c.distance_cnt),
        float(|c| c.speed_sum),
        count(|c| c.speed_cnt),
        count(|c| c.position_cnt),
        count(|c| c.payment_cnt),
        count(|c| c.amount_cnt),
        money(rows, |c| c.amount_sum)?,
        texts(rows, &cells.vehicles, |c| &c.vehicles),
        texts(rows, &cells.riders, |c| &c.riders),
        count(|c| c.scheduled_trip_cnt),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|e| Error::internal("rows of the mart do not fit").because(e))
}

fn each<'a, T>(rows: &'a [Row], of: fn(&Cell) -> T) -> impl Iterator<Item = T> + 'a
where
    T: 'a,
{
    rows.iter().map(move |row| of(row.2))
}

fn mean(sum: f64, count: i64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

fn money(rows: &[Row], of: fn(&Cell) -> i128) -> Result<ArrayRef> {
    let sums = Decimal128Array::from_iter_values(each(rows, of)).with_precision_and_scale(38, 2);
    Ok(Arc::new(sums.map_err(|e| Error::internal("a sum of money does not fit").because(e))?))
}

/// The texts of a set of each row, in order.
pub(super) fn texts(rows: &[Row], ids: &TextIds, of: fn(&Cell) -> &HashSet<u32>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for (_, _, cell) in rows {
        let mut values: Vec<&str> = of(cell).iter().filter_map(|id| ids.value(*id)).collect();
        values.sort_unstable();
        values.into_iter().for_each(|value| lists.values().append_value(value));
        lists.append(true);
    }
    Arc::new(lists.finish())
}
