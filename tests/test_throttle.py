import threading

import pytest

from drkeeper.errors import Interrupted
from drkeeper.throttle import interruptible, throttle


class Clock:
    def __init__(self):
        self.at = 100.0

    def now(self):
        return self.at

    def wait(self, seconds):
        self.at += seconds


def test_a_cap_holds_over_the_whole_stream_and_loses_no_byte():
    clock = Clock()
    chunks = [bytes([n]) * (1 << 20) for n in range(10)]
    out = b"".join(throttle(chunks, 1 << 20, now=clock.now, wait=clock.wait))
    assert out == b"".join(chunks)
    assert 9.5 <= clock.at - 100 <= 10.5


def test_a_slow_source_saves_up_no_large_burst():
    clock = Clock()

    def slow():
        yield b"x"
        clock.at += 60
        yield b"y" * (10 << 20)

    list(throttle(slow(), 1 << 20, now=clock.now, wait=clock.wait))
    assert clock.at - 160 >= 9.5


def test_no_cap_passes_the_chunks_through_untouched():
    chunks = [b"a" * 5, b"b" * 7]
    assert list(throttle(chunks, None)) == chunks


def test_a_stream_ends_at_the_next_block_after_stop():
    stop = threading.Event()
    blocks = interruptible(iter([b"a", b"b"]), stop)
    assert next(blocks) == b"a"
    stop.set()
    with pytest.raises(Interrupted):
        next(blocks)
