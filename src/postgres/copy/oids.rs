//! Names and OIDs of types, and of their arrays.
#![allow(clippy::wildcard_enum_match_arm, reason = "every other type is a scalar")]

use super::types::{Element, PgType, array};

/// The types that have an OID of their own everywhere, with it, their name, and the OID of their array.
static KNOWN: [(PgType, u32, &str, u32); 25] = [
    (PgType::Bool, 16, "bool", 1000),
    (PgType::Bytea, 17, "bytea", 1001),
    (PgType::Char, 18, "char", 1002),
    (PgType::Name, 19, "name", 1003),
    (PgType::Int8, 20, "int8", 1016),
    (PgType::Int2, 21, "int2", 1005),
    (PgType::Int4, 23, "int4", 1007),
    (PgType::Text, 25, "text", 1009),
    (PgType::Oid, 26, "oid", 1028),
    (PgType::Json, 114, "json", 199),
    (PgType::Cidr, 650, "cidr", 651),
    (PgType::Float4, 700, "float4", 1021),
    (PgType::Float8, 701, "float8", 1022),
    (PgType::Inet, 869, "inet", 1041),
    (PgType::Bpchar, 1042, "bpchar", 1014),
    (PgType::Varchar, 1043, "varchar", 1015),
    (PgType::Date, 1082, "date", 1182),
    (PgType::Time, 1083, "time", 1183),
    (PgType::Timestamp, 1114, "timestamp", 1115),
    (PgType::Timestamptz, 1184, "timestamptz", 1185),
    (PgType::Interval, 1186, "interval", 1187),
    (PgType::Numeric, 1700, "numeric", 1231),
    (PgType::Uuid, 2950, "uuid", 2951),
    (PgType::Jsonb, 3802, "jsonb", 3807),
    (PgType::AsText, 0, "", 0),
];

impl PgType {
    /// The OID in `pg_type`; 0 for a type of the database's own.
    pub fn oid(self) -> u32 {
        match self {
            Self::Array(Element { pg, oid }) if oid == pg.oid() => pg.known().map_or(0, |known| known.3),
            Self::Array(_) => 0,
            scalar => scalar.known().map_or(0, |known| known.1),
        }
    }

    fn known(self) -> Option<&'static (Self, u32, &'static str, u32)> {
        let plain = if let Self::Decimal(..) = self { Self::Numeric } else { self };
        KNOWN.iter().find(|known| known.0 == plain)
    }

    /// The name in `pg_type.typname`; empty for a type of the database's own.
    pub fn typname(self) -> String {
        match self {
            Self::Array(Element { pg, .. }) => format!("_{}", pg.typname()),
            scalar => scalar.known().map_or(String::new(), |known| known.2.to_owned()),
        }
    }

    /// The type of an OID, if it is one that every database has.
    pub fn from_oid(oid: u32) -> Option<Self> {
        KNOWN.iter().filter(|_| oid != 0).find_map(|(pg, own, _, array_oid)| {
            if *own == oid { Some(*pg) } else { (*array_oid == oid).then_some(array(pg, *own)) }
        })
    }

    /// The type of an OID in a database, by the function that receives it: text, an enum and `citext` are received alike.
    pub fn received(oid: u32, receive: Option<&str>) -> Option<Self> {
        let as_text = ["textrecv", "varcharrecv", "bpcharrecv", "citextrecv", "enum_recv"];
        Self::from_oid(oid).or_else(|| receive.filter(|name| as_text.contains(name)).map(|_| Self::AsText))
    }

    /// The array of a type, whose elements have an OID of their own in the database.
    pub fn array_of(element: Self, oid: u32) -> Option<Self> {
        element.known().map(|(pg, ..)| array(pg, oid))
    }
}
