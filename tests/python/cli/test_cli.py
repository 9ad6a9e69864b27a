"""The command line: help, options, exit codes, output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from metropulse import exceptions
from metropulse.cli import app
from metropulse.cli.failure import EXIT_CODES

VERBS = sorted(app.cli.commands)
FAKES = Path(__file__).parents[1]


@pytest.fixture
def call(core, engines, capfd, monkeypatch, tmp_path):
    """Run the entry point as the script does; return exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as exit_:
            app.main(words)
        signal.signal(signal.SIGTERM, handler)
        out, err = capfd.readouterr()
        return int(exit_.value.code or 0), out, err

    return run


def test_the_verbs_of_the_pipeline_are_all_there():
    assert {
        "generate", "load-calendar", "stage", "load-dimensions", "load-facts", "build-route-hourly", "check-quality",
        "run", "status", "demo", "start", "stop",
    } <= set(VERBS)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_json(verb):
    result = CliRunner().invoke(app.cli, [verb, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"metropulse {verb}" in result.output
    assert "--json" in result.output


@pytest.mark.parametrize("verb", ["list", "requeue"])
def test_commands_of_a_group_have_help_with_an_example(verb):
    result = CliRunner().invoke(app.cli, ["rejected", verb, "--help"])
    assert f"metropulse rejected {verb}" in result.output


def test_the_group_lists_verbs_in_the_order_of_a_day():
    output = CliRunner().invoke(app.cli, ["--help"]).output
    order = [output.index(f"\n  {verb} ") for verb in ("generate", "stage", "load-dimensions", "load-facts", "run")]
    assert order == sorted(order)
    assert "Exit codes:" in output


def test_without_any_address_the_embedded_engines_are_used(call, core, engines):
    code, out, _ = call("stage", "--date", "2024-05-01")
    assert code == 0
    assert engines.started == ["metropulse_state"]
    assert engines.ended == ["close"]
    assert "stage 2024-05-01: 12,345 rows" in out
    assert "staging.trips_raw" in out
    assert "rejected: speed 1" in out


def test_a_call_may_pass_the_limits_on_purpose(call, core, engines):
    assert call("run", "--date", "2024-05-01", "--reject-limit", "0.2", "--allow-vanishing")[0] == 0
    assert (core.made[-1].settings["reject_limit"], core.made[-1].settings["allow_vanishing"]) == (0.2, True)
    assert call("run", "--date", "2024-05-01")[0] == 0
    assert not {"reject_limit", "allow_vanishing"} & set(core.made[-1].settings)
    code, _, err = call("stage", "--date", "2024-05-01", "--reject-limit", "5")
    assert code == 2
    assert "0<=x<=1" in err


def test_options_stand_before_or_after_the_verb(call, core, engines):
    assert call("--state", "a", "stage", "--date", "2024-05-01")[0] == 0
    assert call("stage", "--state", "b", "--date", "2024-05-01")[0] == 0
    assert call("--state", "a", "stage", "--state", "b", "--date", "2024-05-01", "--time-zone", "Asia/Tokyo")[0] == 0
    assert engines.started == ["a", "b", "b"]
    assert core.made[-1].settings["time_zone"] == "Asia/Tokyo"


def test_named_servers_are_used_instead(call, core, engines, monkeypatch):
    code, _, _ = call("run", "--date", "2024-05-01", "--lake", "/lake", "--warehouse", "postgresql://u:p@h/db",
                      "--mart", "http://c:8123/m")  # fmt: skip
    assert code == 0
    assert engines.started == []
    assert core.made[0].settings["warehouse"] == "postgresql://u:p@h/db"
    monkeypatch.setenv("PG_URL", "jdbc:postgresql://other/db")
    assert call("run", "--date", "2024-05-01")[0] == 0
    assert core.made[1].settings["warehouse"] == "postgresql://other/db"
    code, _, err = call("run", "--date", "2024-05-01", "--state", "s", "--mart", "http://c:8123/m")
    assert (code, "--state brings its own engines" in err) == (2, True)


def test_several_days_run_in_order_and_once_each(call, core):
    code, out, _ = call("run", "--date", "2024-05-03", "--date-from", "2024-05-01", "--date-to", "2024-05-04", "--json")
    assert code == 0
    days = [json.loads(line)["dt"] for line in out.splitlines()]
    assert days == ["2024-05-03", "2024-05-01", "2024-05-02"]


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "--date", "2024-5-1"),
        ("stage", "--date-from", "2024-05-01"),
        ("stage", "--date-from", "2024-05-02", "--date-to", "2024-05-02"),
        ("load-calendar", "--start", "2024-01-01"),
        ("build-route-hourly", "--date-from", "2024-05-01"),
        ("build-route-hourly", "--force"),
        ("generate", "--days", "0"),
        ("nonsense",),
    ],
)
def test_wrong_usage_exits_with_two_and_no_traceback(call, words):
    code, _, err = call(*words)
    assert code == 2
    assert "error: " in err.lower()
    assert "Traceback" not in err
    assert json.loads(call(*words, "--json")[1])["error"] == "config"


def test_generate_writes_a_folder_and_uploads(call, core, engines, monkeypatch):
    assert call("generate", "--days", "3", "--output", "data/raw")[0] == 0
    assert core.made[0].settings["lake"] == "data/raw"
    assert core.made[0].calls == [("generate", "2024-05-01", 3, 7, 1.0)]
    monkeypatch.setenv("MINIO_ENDPOINT", "http://minio:9000")
    assert call("generate", "--days", "3", "--output", "data/raw", "--upload")[0] == 0
    assert [made.settings["lake"] for made in core.made[1:]] == ["data/raw", "s3://raw"]
    assert call("generate")[0] == 0
    assert core.made[-1].settings["lake"] == "s3://raw"
    assert call("generate", "--state", "s")[0] == 0
    assert core.made[-1].settings["lake"] == "s/lake/raw"
    assert engines.started == []


def test_an_s3_lake_keeps_its_credentials_beside_embedded_engines(call, core, monkeypatch):
    monkeypatch.setenv("MINIO_ENDPOINT", "http://minio:9000")
    monkeypatch.setenv("MINIO_SECRET_KEY", "k")
    assert call("stage", "--state", "s", "--lake", "s3://raw", "--date", "2024-05-01")[0] == 0
    assert core.made[0].settings["lake_options"]["aws_secret_access_key"] == "k"


@pytest.mark.parametrize("kind", sorted(EXIT_CODES))
def test_each_kind_of_error_has_its_exit_code(call, core, kind):
    error = next(e for e in (getattr(exceptions, n) for n in exceptions.__all__) if e.kind == kind)
    core.fail = error("found 3, expected 4", {"file": "x.parquet"})
    code, out, err = call("stage", "--date", "2024-05-01", "--json")
    assert code == EXIT_CODES[kind]
    assert err.splitlines()[0] == "error: found 3, expected 4 [file=x.parquet]"
    assert "Traceback" not in err
    assert json.loads(out)["error"] == kind
    assert "Traceback" in call("stage", "--date", "2024-05-01", "--debug")[2]


def test_an_unexpected_error_is_a_defect_in_one_line(call, core):
    core.fail = ZeroDivisionError("division by zero")
    code, _, err = call("stage", "--date", "2024-05-01")
    assert code == 1
    assert "error: unexpected ZeroDivisionError: division by zero" in err


def test_a_failed_check_shows_what_failed(call, core):
    check = {"name": "trip_id unique", "table": "dwh.fact_trip", "severity": "error", "passed": False, "found": 2}
    core.fail = exceptions.QualityError("1 of 1 checks failed", report={"checks": [check], "failed": 1, "warned": 0})
    code, out, err = call("check-quality", "--date", "2024-05-01")
    assert code == 6
    assert "trip_id unique" in out
    assert "dwh.quality_result" in err


def test_queries_ask_warehouse_or_mart(call):
    code, out, _ = call("query", "select 1")
    assert (code, "R003" in out, "45.5" in out) == (0, True, True)
    assert json.loads(call("query", "--mart", "--json", "select 1")[1])["trip_cnt"] == 7


def test_numbers_that_json_has_not_are_text_as_postgresql_writes_them(call, core, monkeypatch):
    row = {"a": float("nan"), "b": [1.5, float("-inf")]}
    monkeypatch.setattr(core, "warehouse_query", lambda _self, _sql: sys.modules[core.__module__].Table([row]))
    assert json.loads(call("query", "--json", "select 1")[1]) == {"a": "NaN", "b": [1.5, "-Infinity"]}


def test_start_and_stop_speak_of_engines_and_hide_passwords(call):
    code, out, _ = call("start", "--state", "s")
    assert (code, "engine-secret" in out, "http://127.0.0.1:18123/default" in out) == (0, False, True)
    Path("metropulse_state").mkdir()
    assert json.loads(call("stop", "--json")[1])["stopped"] == {"warehouse": True, "mart": False}
    code, _, err = call("stop", "--state", "metropulse_stat")
    assert (code, "no state folder" in err) == (3, True)


def test_commands_about_the_engines_need_no_address(call, engines, monkeypatch):
    monkeypatch.setenv("PG_URL", "postgresql://h/db")
    assert call("start")[0] == 0
    monkeypatch.setenv("METROPULSE_STATE", "elsewhere")
    assert call("start")[0] == 0
    assert call("stage", "--date", "2024-05-01")[0] == 0
    assert engines.started == ["metropulse_state", "elsewhere", "elsewhere"]


def test_plain_progress_goes_to_standard_error(call):
    _, out, err = call("generate", "--json")
    assert "generate trips" in err
    assert json.loads(out)["step"] == "generate"
    assert call("generate", "--json", "--quiet")[2] == ""


@pytest.fixture
def busy(tmp_path, interruptible):
    """Start the command line with a verb that works for `seconds`; give its process once it is busy."""
    program = (
        "import signal, sys, time, types, metropulse; import fake_core; from fake_core import Pipeline\n"
        "sys.modules['metropulse._core'] = fake_core\n"
        "if sys.argv[2] == 'ignored': signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "def stage(self, dt, *, progress=None):\n"
        "    try: print('busy', file=sys.stderr, flush=True); time.sleep(float(sys.argv[1]))\n"
        "    finally: print('rolled back', file=sys.stderr)\n"
        "Pipeline.stage = stage\n"
        "from metropulse.cli import main\n"
        "main(['stage', '--date', '2024-05-01', '--warehouse', 'postgresql://h/db', '--lake', '/lake'])\n"
    )
    source = Path(app.__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(FAKES)])}
    children = []

    def start(seconds: float, interrupts: str = "heeded") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(seconds), interrupts]
        children.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ, cwd=tmp_path))
        assert children[-1].stderr.readline() == "busy\n"
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.wait()
        child.stderr.close()


@pytest.mark.parametrize(("sign", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_running_verb_in_order(busy, sign, expected):
    child = busy(120)
    started = time.monotonic()
    child.send_signal(sign)
    said = child.stderr.read()
    assert child.wait(60) == expected
    assert time.monotonic() - started < 60, "of 120"
    assert "rolled back" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("sign", "outcome"), [(signal.SIGINT, None), (signal.SIGTERM, 143)])
def test_a_verb_in_the_background_goes_on_where_interrupts_are_ignored(busy, sign, outcome):
    """Whoever starts a job in the background of a shell has SIGINT ignored for it: it is meant for another job."""
    child = busy(20, "ignored")
    child.send_signal(sign)
    if outcome is None:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
    else:
        assert child.wait(60) == outcome


def test_the_demo_without_airflow_says_what_to_install(call, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "airflow" else find(name, *a))
    code, _, err = call("demo")
    assert code == 2
    assert "metropulse[airflow,embedded]" in err


def test_the_demo_over_an_empty_folder_says_so(call, tmp_path):
    code, _, err = call("demo", "--raw", str(tmp_path))
    assert code == 3
    assert "dt=YYYY-MM-DD" in err
