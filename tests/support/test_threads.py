import threading
import time

import pytest

from depth.support.threads import WriteBehind, read_ahead


def test_order_is_kept_whoever_is_first():
    def work(item):
        time.sleep(0.01 * (item % 3 == 0))
        return 10 * item

    assert list(read_ahead(iter(range(20)), work, threads=4, ahead=3)) == [10 * item for item in range(20)]


def test_reads_no_further_ahead_than_asked():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    reader = read_ahead(items(), lambda item: item, threads=2, ahead=4)
    assert next(reader) == 0
    time.sleep(0.3)
    assert len(taken) <= 7  # one given out, four waiting, one being put, one to spare
    reader.close()
    assert threading.active_count() < 20


@pytest.mark.parametrize("place", ["items", "work"])
def test_errors_come_at_their_place(place):
    def items():
        yield from (1, 2)
        if place == "items":
            raise KeyError("three")
        yield 3

    def work(item):
        if item == 3:
            raise KeyError("three")
        return item

    got = []
    with pytest.raises(KeyError, match="three"):
        for item in read_ahead(items(), work, threads=2, ahead=2):
            got.append(item)
    assert got == [1, 2]


def test_follow_ups_keep_the_order_of_submission():
    seen = []

    def job(item):
        time.sleep(0.01 * (5 - item))
        return item

    with WriteBehind(threads=4, behind=3) as writer:
        for item in range(5):
            writer.submit(lambda item=item: job(item), seen.append)
        writer.wait()
    assert seen == [0, 1, 2, 3, 4]


def test_a_failed_job_is_told():
    def fail():
        raise OSError("disk full")

    with WriteBehind(threads=1, behind=1) as writer, pytest.raises(OSError, match="disk full"):
        writer.submit(fail)
        writer.wait()
