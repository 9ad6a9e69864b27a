//! GTFS-Realtime messages as views into their bytes. Only the fields that we keep; all others, extensions among them, are
//! skipped. A text without a character and a time of zero count as absent. A field of another type than the standard's is
//! an unknown one, as Protocol Buffers say.

use std::borrow::Cow;
use std::num::NonZero;

use super::wire::{Fields, Malformed, Value};

type Outcome = Result<(), Malformed>;

/// The relationship of a trip that copies one of the schedule.
const DUPLICATED: u64 = 6;

/// Marks an entity whose JSON form could not be translated. Protocol Buffers keep numbers from 19,000 to 19,999 for those who
/// read and write them; no field has one.
pub(super) const UNTRANSLATED: u32 = 19_000;

/// The head of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// When the producer made the message, in seconds since the epoch.
    pub(super) timestamp: Option<u64>,
}

/// A message whose outer frame is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) header: Header,
    pub(super) entities: usize,
    fields: Fields<'a>,
}

impl<'a> Message<'a> {
    /// Looks over the outer frame, so that a message that is cut short gives nothing rather than a part.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (mut header, mut entities, mut fields) = (None::<Header>, 0, Fields::new(bytes));
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(bytes)) => header.get_or_insert_default().read(bytes)?,
                (2, Value::Bytes(_)) => entities += 1,
                _ => {}
            }
        }
        // The standard's only required field: bytes without it are some other message, or none.
        let header = header.ok_or(Malformed::NoHeader)?;
        Ok(Self { header, entities, fields: Fields::new(bytes) })
    }

    /// Hands each entity to `each`; what is unreadable in one does not stop the others.
    pub(super) fn each(mut self, mut each: impl FnMut(Result<Entity<'a>, Malformed>)) -> Outcome {
        while let Some(field) = self.fields.next()? {
            if let (2, Value::Bytes(bytes)) = field {
                each(Entity::read(bytes));
            }
        }
        Ok(())
    }
}

impl Header {
    fn read(&mut self, bytes: &[u8]) -> Outcome {
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            if let (3, Value::Varint(seconds)) = field {
                self.timestamp = time(seconds);
            }
        }
        Ok(())
    }
}

/// One entity of a message; its parts are read by whoever needs them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entity<'a> {
    pub(super) id: &'a [u8],
    pub(super) is_deleted: bool,
    pub(super) trip_update: Option<&'a [u8]>,
    pub(super) vehicle: Option<&'a [u8]>,
    pub(super) alert: Option<&'a [u8]>,
}

impl<'a> Entity<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (mut entity, mut fields) = (Self::default(), Fields::new(bytes));
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(id)) => entity.id = id,
                (2, Value::Varint(flag)) => entity.is_deleted = flag != 0,
                (3, Value::Bytes(part)) => entity.trip_update = Some(part),
                (4, Value::Bytes(part)) => entity.vehicle = Some(part),
                (5, Value::Bytes(part)) => entity.alert = Some(part),
                (UNTRANSLATED, _) => return Err(Malformed::Untranslated),
                _ => {}
            }
        }
        Ok(entity)
    }
}

/// Which run something is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trip<'a> {
    pub(super) id: &'a [u8],
    pub(super) start_time: &'a [u8],
    pub(super) start_date: &'a [u8],
    pub(super) relationship: Option<u64>,
    pub(super) route_id: &'a [u8],
    pub(super) direction_id: Option<i32>,
}

impl<'a> Trip<'a> {
    pub(super) fn read(&mut self, bytes: &'a [u8]) -> Outcome {
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(text)) => self.id = text,
                (2, Value::Bytes(text)) => self.start_time = text,
                (3, Value::Bytes(text)) => self.start_date = text,
                (4, Value::Varint(number)) => self.relationship = Some(number),
                (5, Value::Bytes(text)) => self.route_id = text,
                (6, Value::Varint(number)) => self.direction_id = i32::try_from(number).ok(),
                _ => {}
            }
        }
        Ok(())
    }

    /// A trip that copies the one it names at another time is known by what the properties of its update call it.
    fn becomes(&mut self, properties: &'a [u8]) -> Outcome {
        let mut fields = Fields::new(properties);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(text)) => self.id = text,
                (2, Value::Bytes(text)) => self.start_date = text,
                (3, Value::Bytes(text)) => self.start_time = text,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Which vehicle something is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vehicle<'a> {
    pub(super) id: &'a [u8],
    pub(super) label: &'a [u8],
}

impl<'a> Vehicle<'a> {
    fn read(&mut self, bytes: &'a [u8]) -> Outcome {
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(text)) => self.id = text,
                (2, Value::Bytes(text)) => self.label = text,
                _ => {}
            }
        }
        Ok(())
    }

    /// The vehicle's id, else its label: what is painted on it is a name as well.
    pub(super) fn name(&self) -> &'a [u8] {
        if self.id.is_empty() { self.label } else { self.id }
    }
}

/// A vehicle's report of where it is. Its run and its vehicle stay as they stand on the wire: a vehicle repeats them for
/// hours, and to compare them is less than to read them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report<'a> {
    pub(super) trip: Cow<'a, [u8]>,
    pub(super) vehicle: Cow<'a, [u8]>,
    pub(super) latitude: Option<f32>,
    pub(super) longitude: Option<f32>,
    pub(super) bearing: Option<f32>,
    pub(super) odometer: Option<f64>,
    pub(super) speed: Option<f32>,
    pub(super) stop_sequence: Option<i32>,
    pub(super) status: Option<u64>,
    pub(super) timestamp: Option<u64>,
    pub(super) stop_id: &'a [u8],
    pub(super) occupancy: Option<u64>,
}

impl<'a> Report<'a> {
    /// Reads a report into one that is empty: handed over by value it would be copied for each.
    #[inline]
    pub(super) fn read(&mut self, bytes: &'a [u8]) -> Outcome {
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(part)) => join(&mut self.trip, part),
                (2, Value::Bytes(part)) => self.position(part)?,
                (3, Value::Varint(number)) => self.stop_sequence = i32::try_from(number).ok(),
                (4, Value::Varint(number)) => self.status = Some(number),
                (5, Value::Varint(seconds)) => self.timestamp = time(seconds),
                (7, Value::Bytes(text)) => self.stop_id = text,
                (8, Value::Bytes(part)) => join(&mut self.vehicle, part),
                (9, Value::Varint(number)) => self.occupancy = Some(number),
                _ => {}
            }
        }
        Ok(())
    }

    /// The run that it is about.
    pub(super) fn trip(&self) -> Result<Trip<'_>, Malformed> {
        let mut trip = Trip::default();
        trip.read(&self.trip)?;
        Ok(trip)
    }

    /// The vehicle that it is about.
    pub(super) fn vehicle(&self) -> Result<Vehicle<'_>, Malformed> {
        let mut vehicle = Vehicle::default();
        vehicle.read(&self.vehicle)?;
        Ok(vehicle)
    }

    #[inline(always)]
    fn position(&mut self, bytes: &'a [u8]) -> Outcome {
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Fixed32(bits)) => self.latitude = Some(f32::from_bits(bits)),
                (2, Value::Fixed32(bits)) => self.longitude = Some(f32::from_bits(bits)),
                (3, Value::Fixed32(bits)) => self.bearing = Some(f32::from_bits(bits)),
                (4, Value::Fixed64(bits)) => self.odometer = Some(f64::from_bits(bits)),
                (5, Value::Fixed32(bits)) => self.speed = Some(f32::from_bits(bits)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Takes in a part of a message: of parts that come twice Protocol Buffers read one behind the other.
#[inline]
fn join<'a>(known: &mut Cow<'a, [u8]>, part: &'a [u8]) {
    if known.is_empty() {
        *known = Cow::Borrowed(part);
    } else {
        known.to_mut().extend_from_slice(part);
    }
}

/// What is said of one run. Its stops are read by [`Self::each_stop`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Update<'a> {
    pub(super) trip: Trip<'a>,
    pub(super) vehicle: Vehicle<'a>,
    pub(super) timestamp: Option<u64>,
    pub(super) delay: Option<i32>,
    pub(super) stops: usize,
    bytes: &'a [u8],
}

impl<'a> Update<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (mut update, mut fields) = (Self { bytes, ..Self::default() }, Fields::new(bytes));
        let mut properties: &[u8] = &[];
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(part)) => update.trip.read(part)?,
                (2, Value::Bytes(_)) => update.stops += 1,
                (3, Value::Bytes(part)) => update.vehicle.read(part)?,
                (4, Value::Varint(seconds)) => update.timestamp = time(seconds),
                (5, Value::Varint(number)) => update.delay = Some(int32(number)),
                (6, Value::Bytes(part)) => properties = part,
                _ => {}
            }
        }
        if update.trip.relationship == Some(DUPLICATED) {
            update.trip.becomes(properties)?;
        }
        Ok(update)
    }

    /// The bytes that are still to be read for its stops.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Hands each stop to `each`, until one is unreadable.
    #[inline(always)]
    pub(super) fn each_stop(&self, mut each: impl FnMut(&Stop<'a>)) -> Outcome {
        let mut fields = Fields::new(self.bytes);
        while let Some(field) = fields.next()? {
            if let (2, Value::Bytes(part)) = field {
                let mut stop = Stop::default();
                stop.read(part)?;
                each(&stop);
            }
        }
        Ok(())
    }
}

/// What is said of one stop of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stop<'a> {
    pub(super) sequence: Option<i32>,
    pub(super) stop_id: &'a [u8],
    pub(super) arrival: Event,
    pub(super) departure: Event,
    pub(super) relationship: Option<u64>,
}

/// An arrival or departure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) delay: Option<i32>,
    /// In seconds since the epoch. Zero is none, so that a day's words take less memory.
    pub(super) time: Option<NonZero<u64>>,
}

impl<'a> Stop<'a> {
    /// Inlined, as all of an event is: a stop that stays in registers costs half of one that is handed on.
    #[inline(always)]
    fn read(&mut self, bytes: &'a [u8]) -> Outcome {
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Varint(number)) => self.sequence = i32::try_from(number).ok(),
                (2, Value::Bytes(part)) => self.arrival.read(part)?,
                (3, Value::Bytes(part)) => self.departure.read(part)?,
                (4, Value::Bytes(text)) => self.stop_id = text,
                (5, Value::Varint(number)) => self.relationship = Some(number),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Event {
    #[inline(always)]
    fn read(&mut self, bytes: &[u8]) -> Outcome {
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Varint(number)) => self.delay = Some(int32(number)),
                (2, Value::Varint(seconds)) => self.time = time(seconds).and_then(NonZero::new),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A signed 32-bit number is sent as the lower half of what stands on the wire.
fn int32(number: u64) -> i32 {
    number as u32 as i32
}

/// A time of zero, or beyond what microseconds can count, is none.
pub(super) fn time(seconds: u64) -> Option<u64> {
    const LATEST: u64 = i64::MAX as u64 / 1_000_000;
    (1..=LATEST).contains(&seconds).then_some(seconds)
}
