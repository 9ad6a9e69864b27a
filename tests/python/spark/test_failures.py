"""What fails in a task reaches the driver as what it is: class, message, context, and whether a retry helps."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("metropulse._core")
PySparkException = pytest.importorskip("pyspark.errors").PySparkException

import metropulse as mp
from metropulse import _core, exceptions, states
from metropulse.settings import resolve
from metropulse.spark.failures import Telling, batches_of
from metropulse.spark.lake import CleanTask
from metropulse.spark.workers import running

pytestmark = pytest.mark.core

ERRORS = [getattr(exceptions, name) for name in exceptions.__all__]


def fails_by(error: Exception):
    def task(batches):
        yield from batches
        raise error

    return task


def told_by_spark(task) -> str:
    """What the driver gets to see of a task that raised."""
    with pytest.raises(mp.MetropulseError) as caught:
        list(Telling(task)(iter([])))
    text = "".join(traceback.format_exception(caught.value))
    return f"Job aborted: Task 0 failed 4 times: PythonException: {text}\n\tat org.apache.spark.api.python\n"


@pytest.mark.parametrize("retryable", [True, False])
@pytest.mark.parametrize("error", ERRORS)
def test_what_a_task_raised_is_raised_by_the_driver_as_it_was(error, retryable):
    made = error("page 3 is damaged:\n'{\"failed\"'", {"file": "a.parquet", "row_group": "7"}, retryable)
    with pytest.raises(mp.MetropulseError) as caught, running():
        raise PySparkException(told_by_spark(fails_by(made)))
    found = caught.value
    assert type(found) is error
    assert (found.message, found.context, found.retryable) == (made.message, made.context, retryable)
    assert isinstance(found.__cause__, PySparkException)


def test_what_is_not_ours_stays_as_it_is():
    for text in ("metropulse: {not json of ours}", "no such table"):
        with pytest.raises(PySparkException, match=text[-5:]), running():
            raise PySparkException(text)


@pytest.mark.parametrize("retryable", [True, False])
def test_a_failure_that_travels_as_a_row_keeps_whether_a_retry_helps(retryable):
    text = states.failure_text(mp.StorageError("the bucket is away", {"file": "a"}, retryable))
    with pytest.raises(mp.StorageError, match="the bucket is away") as caught:
        states.raise_failure(text)
    assert (caught.value.context, caught.value.retryable) == ({"file": "a"}, retryable)


@pytest.fixture
def lake(tmp_path) -> Path:
    """A day whose files are so many that a task streams them after it judged them."""
    mp.Pipeline(lake=tmp_path).generate("2024-05-01", days=1, seed=3, scale=0.05)
    file = tmp_path / "dt=2024-05-01" / "trips.parquet"
    (tmp_path / "dt=2024-05-01" / "_manifest.json").unlink()
    rows = pq.read_table(file)
    file.unlink()
    file.mkdir()
    for number in range(8):
        pq.write_table(rows.slice(number, 1), file / f"{number}.parquet")
    return tmp_path


def change_one(lake: Path) -> None:
    file = lake / "dt=2024-05-01" / "trips.parquet" / "7.parquet"
    file.write_bytes(file.read_bytes() + b"PAR1")


def test_a_file_that_changes_after_it_was_judged_is_a_conflict_that_names_it(lake):
    core = _core.Pipeline(resolve(lake=lake, environ={}).to_json())
    stream = core.clean("2024-05-01", "trips")
    change_one(lake)
    with pytest.raises(mp.ConflictError, match="changed while it was being read") as caught:
        list(batches_of(stream))
    assert caught.value.context["file"] == "dt=2024-05-01/trips.parquet/7.parquet"
    assert caught.value.retryable


def test_a_task_that_breaks_off_while_it_streams_tells_so(lake):
    settings = resolve(lake=lake, environ={}).to_json()
    rows = CleanTask(SimpleNamespace(value=settings), [("2024-05-01", "trips")], rejects=False)
    given = rows(iter([pa.RecordBatch.from_pydict({"id": [0]})]))
    next(given)
    change_one(lake)
    with pytest.raises(mp.ConflictError, match=r"7\.parquet changed"):
        list(given)


def test_a_stream_that_broke_off_by_itself_alone_has_a_failure(lake):
    core = _core.Pipeline(resolve(lake=lake, environ={}).to_json())
    stream = core.clean("2024-05-01", "trips")
    assert sum(batch.num_rows for batch in batches_of(stream)) == 8
    stream.raise_failure()
