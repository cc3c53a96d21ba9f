"""OpenTelemetry, by Datasette's registry: the spans and metrics of the scope ``datasette_files``.

PUBLIC: ``SPANS`` and ``METRICS`` are what may be emitted, and the only place that says so; tests
compare both with what is emitted. No attribute holds a name, a path, an id or an error's message,
and no exception is recorded, as its message may hold them. Only the API is used: whoever runs
Datasette installs an SDK; without one nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import version
from typing import Any, Literal, ParamSpec, TypeVar

from datasette.telemetry_registry import COUNTER, HISTOGRAM, Attribute, MetricName, SpanName
from opentelemetry import metrics, trace
from opentelemetry.trace import Span, Status, StatusCode

_T = TypeVar("_T")
_P = ParamSpec("_P")

SCOPE = "datasette_files"

_ERROR_TYPE = Attribute("error.type", "The class of the error that ended it.", optional=True)
_WORK = Attribute(
    "datasette_files.work",
    "What failed.",
    values={"upload", "storage", "thumbnail", "import", "extraction"},
)
_DIRECTION = Attribute(
    "datasette_files.direction",
    "Whether the bytes were stored in a storage or sent to a client.",
    values={"stored", "sent"},
)

UPLOAD = SpanName(
    "datasette_files.upload",
    "The bytes of an upload on their way through Datasette into the storage, or the verification of"
    " what a client sent there.",
    (_ERROR_TYPE,),
)
STORAGE = SpanName(
    "datasette_files.storage",
    "A call of a storage; where a stream is read, all of it.",
    (_ERROR_TYPE,),
)
THUMBNAIL = SpanName(
    "datasette_files.thumbnail", "Making the thumbnails of one file.", (_ERROR_TYPE,)
)
IMPORT = SpanName("datasette_files.import", "Bringing a file's rows into a table.", (_ERROR_TYPE,))
EXTRACTION = SpanName(
    "datasette_files.extraction", "Reading the text of one document.", (_ERROR_TYPE,)
)
SPANS = (UPLOAD, STORAGE, THUMBNAIL, IMPORT, EXTRACTION)

BYTES = MetricName(
    "datasette_files.bytes",
    COUNTER,
    "By",
    "Bytes of files that went through Datasette. Those that a browser exchanges with a storage"
    " directly, and those that a proxy sends, are not counted.",
    (_DIRECTION,),
)
FAILURES = MetricName(
    "datasette_files.failures",
    COUNTER,
    "{failure}",
    "Spans that ended with an error, also where no span is sampled. A refused upload counts too.",
    (_WORK, _ERROR_TYPE),
)
QUEUE_WAIT = MetricName(
    "datasette_files.queue.wait",
    HISTOGRAM,
    "s",
    "The time for which the making of a thumbnail waited for its turn.",
    (),
    buckets=(0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
METRICS = (BYTES, FAILURES, QUEUE_WAIT)

_tracer = trace.get_tracer(SCOPE, version("datasette-files"))
_meter = metrics.get_meter(SCOPE, version("datasette-files"))
_bytes = _meter.create_counter(BYTES, unit=BYTES.unit, description="Bytes through Datasette")
_failures = _meter.create_counter(FAILURES, unit=FAILURES.unit, description="Work that failed")
_queue_wait = _meter.create_histogram(
    QUEUE_WAIT,
    unit=QUEUE_WAIT.unit,
    description="Waiting thumbnails",
    explicit_bucket_boundaries_advisory=QUEUE_WAIT.buckets,
)


def count_bytes(direction: Literal["stored", "sent"], size: int) -> None:
    """Count bytes of files."""
    _bytes.add(size, {_DIRECTION: direction})


def note_wait(seconds: float) -> None:
    """Record how long the making of a thumbnail waited."""
    _queue_wait.record(seconds)


@contextmanager
def storage_call() -> Iterator[None]:
    """Make the span of a storage's call. It may be entered and left in different contexts.

    So it is no other span's parent: a stream is read by whoever wants its next chunk.
    """
    span = _tracer.start_span(STORAGE)
    try:
        with _failing(span, STORAGE):
            yield
    finally:
        span.end()


def spanned(
    name: SpanName,
) -> Callable[[Callable[_P, Coroutine[Any, Any, _T]]], Callable[_P, Coroutine[Any, Any, _T]]]:
    """Make a span of each call of an ``async`` function."""

    def decorate(
        function: Callable[_P, Coroutine[Any, Any, _T]],
    ) -> Callable[_P, Coroutine[Any, Any, _T]]:
        @wraps(function)
        async def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            with (
                _tracer.start_as_current_span(
                    name, record_exception=False, set_status_on_exception=False
                ) as span,
                _failing(span, name),
            ):
                return await function(*args, **kwargs)

        return call

    return decorate


@contextmanager
def _failing(span: Span, name: SpanName) -> Iterator[None]:
    """Mark the span and count a failure, if the block raises; by its class alone."""
    try:
        yield
    except Exception as error:
        kind = type(error).__name__
        span.set_attribute(_ERROR_TYPE, kind)
        span.set_status(Status(StatusCode.ERROR))
        _failures.add(1, {_WORK: name.removeprefix(f"{SCOPE}."), _ERROR_TYPE: kind})
        raise
