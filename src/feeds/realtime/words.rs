//! The names that the standard gives to its numbers. A number without a name is an unknown value, and so absent.

/// A table of names, by number.
pub(super) type Words = &'static [(u64, &'static str)];

pub(super) const VEHICLE_STOP_STATUS: Words = &[(0, "INCOMING_AT"), (1, "STOPPED_AT"), (2, "IN_TRANSIT_TO")];

pub(super) const OCCUPANCY: Words = &[
    (0, "EMPTY"),
    (1, "MANY_SEATS_AVAILABLE"),
    (2, "FEW_SEATS_AVAILABLE"),
    (3, "STANDING_ROOM_ONLY"),
    (4, "CRUSHED_STANDING_ROOM_ONLY"),
    (5, "FULL"),
    (6, "NOT_ACCEPTING_PASSENGERS"),
    (7, "NO_DATA_AVAILABLE"),
    (8, "NOT_BOARDABLE"),
];

pub(super) const TRIP_RELATIONSHIP: Words = &[
    (0, "SCHEDULED"),
    (1, "ADDED"),
    (2, "UNSCHEDULED"),
    (3, "CANCELED"),
    (5, "REPLACEMENT"),
    (6, "DUPLICATED"),
    (7, "DELETED"),
    (8, "NEW"),
];

pub(super) const STOP_RELATIONSHIP: Words = &[(0, "SCHEDULED"), (1, "SKIPPED"), (2, "NO_DATA"), (3, "UNSCHEDULED")];

pub(super) const CAUSE: Words = &[
    (1, "UNKNOWN_CAUSE"),
    (2, "OTHER_CAUSE"),
    (3, "TECHNICAL_PROBLEM"),
    (4, "STRIKE"),
    (5, "DEMONSTRATION"),
    (6, "ACCIDENT"),
    (7, "HOLIDAY"),
    (8, "WEATHER"),
    (9, "MAINTENANCE"),
    (10, "CONSTRUCTION"),
    (11, "POLICE_ACTIVITY"),
    (12, "MEDICAL_EMERGENCY"),
];

pub(super) const EFFECT: Words = &[
    (1, "NO_SERVICE"),
    (2, "REDUCED_SERVICE"),
    (3, "SIGNIFICANT_DELAYS"),
    (4, "DETOUR"),
    (5, "ADDITIONAL_SERVICE"),
    (6, "MODIFIED_SERVICE"),
    (7, "OTHER_EFFECT"),
    (8, "UNKNOWN_EFFECT"),
    (9, "STOP_MOVED"),
    (10, "NO_EFFECT"),
    (11, "ACCESSIBILITY_ISSUE"),
];

pub(super) const SEVERITY: Words = &[(1, "UNKNOWN_SEVERITY"), (2, "INFO"), (3, "WARNING"), (4, "SEVERE")];

pub(super) const INCREMENTALITY: Words = &[(0, "FULL_DATASET"), (1, "DIFFERENTIAL")];

/// A name by its place in its table, from 1; [`ABSENT`] is that of no name. Quicker to compare than the name.
pub(super) type Code = u8;

/// The code of what is absent.
pub(super) const ABSENT: Code = 0;

/// The code of a number's name.
#[inline]
pub(super) fn code(words: Words, number: Option<u64>) -> Code {
    let place = number.and_then(|number| words.iter().position(|(known, _)| *known == number));
    place.map_or(ABSENT, |place| place as Code + 1)
}

/// The name of a number.
pub(super) fn word(words: Words, number: Option<u64>) -> Option<&'static str> {
    let number = number?;
    words.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}
