//! The clickhouse room.
