//! The columns of each raw dataset, in staging order. New ones go to the end: generated files hold the first.

use super::column::{Column, Kind, optional, required};

pub(super) const ROUTES: &[Column] = &[
    required("route_id", Kind::Text),
    optional("name", Kind::Text),
    optional("transport_type", Kind::Text),
    optional("base_fare", Kind::Money),
    optional("schema_json", Kind::Json),
    optional("active_from", Kind::Instant),
    optional("active_to", Kind::Instant),
];

pub(super) const STOPS: &[Column] = &[
    required("stop_id", Kind::Text),
    optional("name", Kind::Text),
    optional("lat", Kind::Float),
    optional("lon", Kind::Float),
    optional("city", Kind::Text),
];

pub(super) const USERS: &[Column] = &[
    required("user_id", Kind::Text),
    optional("created_at", Kind::Instant),
    optional("city", Kind::Text),
    optional("lang", Kind::Text),
    optional("gender", Kind::Text),
    optional("birthdate", Kind::Date),
    optional("is_active", Kind::Boolean),
];

pub(super) const VEHICLES: &[Column] = &[
    required("vehicle_id", Kind::Text),
    optional("route_id", Kind::Text),
    optional("transport_type", Kind::Text),
    optional("capacity", Kind::Integer),
    optional("vendor", Kind::Text),
    optional("commissioned_at", Kind::Instant),
    optional("decommissioned_at", Kind::Instant),
];

pub(super) const TRIPS: &[Column] = &[
    required("trip_id", Kind::Text),
    optional("user_id", Kind::Text),
    optional("route_id", Kind::Text),
    optional("vehicle_id", Kind::Text),
    required("start_ts", Kind::Instant),
    optional("end_ts", Kind::Instant),
    optional("start_stop_id", Kind::Text),
    optional("end_stop_id", Kind::Text),
    optional("distance_m", Kind::Float),
    optional("fare", Kind::Money),
    optional("status", Kind::Text),
    optional("scheduled_trip_id", Kind::Text),
    optional("scheduled_start_time", Kind::Text),
];

pub(super) const PAYMENTS: &[Column] = &[
    required("payment_id", Kind::Text),
    optional("user_id", Kind::Text),
    optional("route_id", Kind::Text),
    optional("trip_id", Kind::Text),
    optional("amount", Kind::Money),
    optional("currency", Kind::Text),
    optional("status", Kind::Text),
    optional("payment_method", Kind::Text),
    required("paid_at", Kind::Instant),
];

pub(super) const VEHICLE_POSITIONS: &[Column] = &[
    required("event_ts", Kind::Instant),
    required("vehicle_id", Kind::Code),
    optional("route_id", Kind::Code),
    optional("lat", Kind::Float),
    optional("lon", Kind::Float),
    optional("speed", Kind::Float),
    optional("heading", Kind::Float),
    optional("provider_ts", Kind::Instant),
    optional("trip_id", Kind::Code),
    optional("start_date", Kind::Date),
    optional("direction_id", Kind::Integer),
    optional("stop_id", Kind::Code),
    optional("current_stop_sequence", Kind::Integer),
    optional("current_status", Kind::Code),
    optional("occupancy_status", Kind::Code),
    optional("odometer_m", Kind::Float),
    optional("vehicle_label", Kind::Code),
    optional("received_at", Kind::Instant),
];

pub(super) const SCHEDULED_TRIPS: &[Column] = &[
    required("trip_id", Kind::Text),
    required("start_time", Kind::Text),
    optional("route_id", Kind::Text),
    optional("service_id", Kind::Text),
    optional("direction_id", Kind::Integer),
    optional("block_id", Kind::Text),
    optional("shape_id", Kind::Text),
    optional("headsign", Kind::Text),
    required("start_ts", Kind::Instant),
    optional("end_ts", Kind::Instant),
    optional("exact_times", Kind::Boolean),
];

pub(super) const SCHEDULED_STOP_TIMES: &[Column] = &[
    required("trip_id", Kind::Text),
    required("start_time", Kind::Text),
    required("stop_sequence", Kind::Integer),
    optional("stop_id", Kind::Text),
    optional("arrival_ts", Kind::Instant),
    optional("departure_ts", Kind::Instant),
    optional("timepoint", Kind::Integer),
    optional("pickup_type", Kind::Integer),
    optional("drop_off_type", Kind::Integer),
    optional("shape_dist", Kind::Float),
];

pub(super) const SHAPES: &[Column] = &[required("shape_id", Kind::Text), optional("points", Kind::Json)];

pub(super) const TRIP_UPDATES: &[Column] = &[
    required("trip_id", Kind::Text),
    optional("start_time", Kind::Text),
    optional("stop_sequence", Kind::Integer),
    optional("stop_id", Kind::Text),
    optional("route_id", Kind::Text),
    optional("vehicle_id", Kind::Text),
    optional("schedule_relationship", Kind::Text),
    optional("stop_schedule_relationship", Kind::Text),
    optional("arrival_ts", Kind::Instant),
    optional("arrival_delay_sec", Kind::Integer),
    optional("departure_ts", Kind::Instant),
    optional("departure_delay_sec", Kind::Integer),
    optional("updated_at", Kind::Instant),
];

pub(super) const ALERTS: &[Column] = &[
    required("alert_id", Kind::Text),
    required("content", Kind::Text),
    optional("cause", Kind::Text),
    optional("effect", Kind::Text),
    optional("severity", Kind::Text),
    optional("active_from", Kind::Instant),
    optional("active_to", Kind::Instant),
    optional("header", Kind::Text),
    optional("description", Kind::Text),
    optional("informed_entities", Kind::Json),
    optional("first_seen", Kind::Instant),
    optional("last_seen", Kind::Instant),
];
