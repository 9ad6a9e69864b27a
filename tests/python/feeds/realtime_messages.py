"""GTFS-Realtime messages for tests, encoded here from dicts by the wire format's own rules, without any of our code."""

from __future__ import annotations

import struct
from typing import Any

TRIP = {
    "trip_id": (1, str),
    "start_time": (2, str),
    "start_date": (3, str),
    "schedule_relationship": (4, int),
    "route_id": (5, str),
    "direction_id": (6, int),
}
VEHICLE = {"id": (1, str), "label": (2, str), "license_plate": (3, str), "wheelchair_accessible": (4, int)}
POSITION = {
    "latitude": (1, float),
    "longitude": (2, float),
    "bearing": (3, float),
    "odometer": (4, "double"),
    "speed": (5, float),
}
REPORT = {
    "trip": (1, TRIP),
    "position": (2, POSITION),
    "current_stop_sequence": (3, int),
    "current_status": (4, int),
    "timestamp": (5, int),
    "congestion_level": (6, int),
    "stop_id": (7, str),
    "vehicle": (8, VEHICLE),
    "occupancy_status": (9, int),
    "occupancy_percentage": (10, int),
    "multi_carriage_details": (11, {"id": (1, str), "occupancy_percentage": (4, int)}),
}
EVENT = {"delay": (1, int), "time": (2, int), "uncertainty": (3, int), "scheduled_time": (4, int)}
STOP = {
    "stop_sequence": (1, int),
    "arrival": (2, EVENT),
    "departure": (3, EVENT),
    "stop_id": (4, str),
    "schedule_relationship": (5, int),
    "stop_time_properties": (6, {"assigned_stop_id": (1, str)}),
    "departure_occupancy_status": (7, int),
}
TRIP_UPDATE = {
    "trip": (1, TRIP),
    "stop_time_update": (2, STOP),
    "vehicle": (3, VEHICLE),
    "timestamp": (4, int),
    "delay": (5, int),
    "trip_properties": (6, {"trip_id": (1, str), "start_date": (2, str), "start_time": (3, str)}),
}
TEXT = {"translation": (1, {"text": (1, str), "language": (2, str)})}
ALERT = {
    "active_period": (1, {"start": (1, int), "end": (2, int)}),
    "informed_entity": (
        5,
        {"agency_id": (1, str), "route_id": (2, str), "route_type": (3, int), "trip": (4, TRIP), "stop_id": (5, str)},
    ),
    "cause": (6, int),
    "effect": (7, int),
    "url": (8, TEXT),
    "header_text": (10, TEXT),
    "description_text": (11, TEXT),
    "tts_header_text": (12, TEXT),
    "tts_description_text": (13, TEXT),
    "severity_level": (14, int),
    "image": (15, {"localized_image": (1, {"url": (1, str), "media_type": (2, str)})}),
    "image_alternative_text": (16, TEXT),
    "cause_detail": (17, TEXT),
    "effect_detail": (18, TEXT),
}
ENTITY = {
    "id": (1, str),
    "is_deleted": (2, int),
    "trip_update": (3, TRIP_UPDATE),
    "vehicle": (4, REPORT),
    "alert": (5, ALERT),
}
MESSAGE = {"header": (1, {"gtfs_realtime_version": (1, str), "timestamp": (3, int)}), "entity": (2, ENTITY)}


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, kind: int, payload: bytes) -> bytes:
    return varint(number << 3 | kind) + (varint(len(payload)) if kind == 2 else b"") + payload


def encode(fields: dict[str, Any], value: dict[str, Any]) -> bytes:
    out = b""
    for name, one in value.items():
        number, form = fields[name]
        for item in one if isinstance(one, list) else [one]:
            if isinstance(form, dict):
                out += field(number, 2, encode(form, item))
            elif form is str:
                out += field(number, 2, item if isinstance(item, bytes) else item.encode())
            elif form is int:
                out += field(number, 0, varint(item))
            elif form is float:
                out += field(number, 5, struct.pack("<f", item))
            else:
                out += field(number, 1, struct.pack("<d", item))
    return out


def message(timestamp: int | None, entities: list[dict[str, Any]]) -> bytes:
    header = {"gtfs_realtime_version": "2.0"} | ({} if timestamp is None else {"timestamp": timestamp})
    return encode(MESSAGE, {"header": header, "entity": entities})


def report(vehicle: str | None = "v1", *, at: int | None = None, **more: Any) -> dict[str, Any]:
    """An entity with a vehicle's report; `trip` and `position` are given as dicts."""
    told: dict[str, Any] = {} if vehicle is None else {"vehicle": {"id": vehicle}}
    if at is not None:
        told["timestamp"] = at
    return {"id": f"e-{vehicle}", "vehicle": {"position": {"latitude": 37.5, "longitude": -122.25}, **told, **more}}


def narrow(number: float) -> float:
    """What a 32-bit number makes of a value."""
    return struct.unpack("<f", struct.pack("<f", number))[0]
