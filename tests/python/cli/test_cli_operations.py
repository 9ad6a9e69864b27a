"""The commands beside a day's own, on the stand-in for the core."""

from __future__ import annotations

import json

import pytest

from metropulse.cli import app

HERE = ("--lake", "/lake", "--warehouse", "postgresql://h/db")


@pytest.fixture
def call(core, capsys):
    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit_:
            app.main([*words, *HERE])
        return int(exit_.value.code or 0), capsys.readouterr().out

    return run


def test_status_is_a_table_for_the_eye_and_whole_as_json(call, core):
    code, shown = call("status")
    assert code == 0
    for words in (
        "2024-05-01",
        "stale",
        "to be built: 2024-05-01",
        "1 service dates",
        "built 1 h ago",
        "not read: dt=2024-02-30/",
    ):
        assert words in shown
    assert "{" not in shown
    code, shown = call("status", "--json", "--date-from", "2024-05-01", "--date-to", "2024-05-02", "--verify")
    assert json.loads(shown)["days"][0]["steps"]["stage"]["state"] == "loaded"
    assert core.made[-1].calls == [("status", "2024-05-01", "2024-05-02", True)]


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (("undo", "2024-05-02", "--dry-run"), ("undo", "2024-05-02", True)),
        (("purge", "--older-than", "12w", "--rejected"), ("purge", 84, ["rejected"], False)),
        (("purge",), ("purge", 90, ["staging"], False)),
        (("purge", "--scheduled-stop-times", "--alerts"), ("purge", 90, ["scheduled_stop_times", "alerts"], False)),
        (("migrate", "--dry-run"), ("migrate", True)),
        (("rejected", "requeue", "--dt", "2024-05-01"), ("requeue", None, "2024-05-01", None, [])),
        (("rejected", "list", "--reason", "speed", "--limit", "5"), ("rejected", None, None, "speed", 5)),
    ],
)
def test_commands_reach_the_core_and_tell_what_was_done(call, core, words, called):
    code, shown = call(*words)
    assert code == 0
    assert core.made[-1].calls == [called]
    assert shown.strip()
    code, shown = call(*words, "--json")
    assert json.loads(shown)["step"] == called[0]


def test_what_list_prints_can_be_edited_and_requeued(call, core, tmp_path):
    _, listed = call("rejected", "list", "--json")
    document = json.loads(listed)
    document["rejected"][0]["row"]["fare"] = 3
    wanted = {"file": "dt=2024-05-01/trips.parquet", "row_number": 3, "row": {"trip_id": "T1", "fare": 3}}
    for text in (json.dumps(document), json.dumps([wanted]), json.dumps(wanted) + "\n"):
        (tmp_path / "rows.json").write_text(text)
        assert call("rejected", "requeue", "--rows", str(tmp_path / "rows.json"))[0] == 0
        assert core.made[-1].calls == [("requeue", None, None, None, [wanted])]
    (tmp_path / "rows.json").write_text("fare,3")
    assert call("rejected", "requeue", "--rows", str(tmp_path / "rows.json"))[0] == 2


def test_rewind_needs_a_day(call):
    assert call("rewind")[0] == 2
    code, shown = call("rewind", "--to", "2024-05-01")
    assert code == 0
    assert "rows removed 73" in shown
