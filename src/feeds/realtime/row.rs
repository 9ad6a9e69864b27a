//! One row of positions: what a vehicle said, and when.

use super::names::Name;
use super::words::Code;

/// What a vehicle says; the poll that brought it plays no part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) own_time: Option<u64>,
    pub(super) trip: Name,
    pub(super) start_time: Name,
    pub(super) start_date: Name,
    pub(super) route: Name,
    pub(super) stop: Name,
    pub(super) label: Name,
    pub(super) direction: Option<i32>,
    pub(super) sequence: Option<i32>,
    pub(super) status: Code,
    pub(super) occupancy: Code,
    pub(super) latitude: Option<f32>,
    pub(super) longitude: Option<f32>,
    pub(super) bearing: Option<f32>,
    pub(super) speed: Option<f32>,
    pub(super) odometer: Option<f64>,
}

/// One row of the raw dataset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) said: Said,
    pub(super) vehicle: Name,
    pub(super) event_micros: Option<i64>,
    pub(super) header_micros: Option<i64>,
    pub(super) received_micros: Option<i64>,
}
