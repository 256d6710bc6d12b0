"""A log sink that is full, closed or slow loses lines and nothing else."""

from __future__ import annotations

import os
import threading

import pytest
import structlog

from tradewind.infra.log_sink import LogSink


class _Full:
    """A sink on a full disk, until it has room."""

    def __init__(self) -> None:
        self.is_full = True
        self.text = ""

    def write(self, text: str) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.text += text

    def flush(self) -> None:
        pass


def test_fault_93_sink_when_full_then_nothing_is_raised_and_the_gap_is_told() -> None:
    stream = _Full()
    sink = LogSink(stream)
    for number in range(3):
        sink.write(f"lost {number}\n")
    assert sink.drain(5)
    stream.is_full = False
    sink.write("kept\n")
    assert sink.drain(5)
    assert stream.text == "log lines lost here: 3\nkept\n"
    assert sink.missing == 0


@pytest.mark.timeout(60)
def test_fault_93_sink_when_nobody_reads_the_pipe_then_logging_returns_and_the_queue_is_bounded() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        sink = LogSink(stream, lines_max=10)
        log = structlog.PrintLogger(sink)  # type: ignore[arg-type]
        # Far more than a pipe holds: written straight to it, this would never return.
        for _ in range(300):
            log.info("x" * 10_000)
        assert sink.missing > 0
        assert not sink.drain(0)
        read = threading.Thread(target=_read_all, args=(reader,), daemon=True)
        read.start()
        assert sink.drain(20)
    read.join(20)
    assert not read.is_alive()


def _read_all(reader: int) -> None:
    while os.read(reader, 1 << 16):
        pass
    os.close(reader)
