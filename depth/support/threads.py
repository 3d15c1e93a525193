"""Work in threads that keeps its order: reading ahead of the network, writing behind it."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(items: Iterator[Item], work: Callable[[Item], Result], threads: int, ahead: int) -> Iterator[Result]:
    """work(item) for each item, in order, done by `threads` threads at most `ahead` items before they are asked for.

    `items` itself is advanced by one further thread, in order, so that it may decode a video. An exception in either
    is raised here, at its place in the order.
    """
    results: queue.Queue[Future[Result] | BaseException | None] = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def produce(pool: ThreadPoolExecutor) -> None:
        end: BaseException | None = None
        try:
            for item in items:
                if not _put(results, pool.submit(work, item), stop):
                    return
        except BaseException as error:
            end = error
        _put(results, end, stop)

    with ThreadPoolExecutor(threads) as pool:
        producer = threading.Thread(target=produce, args=(pool,), daemon=True)
        producer.start()
        try:
            while (result := results.get()) is not None:
                if isinstance(result, BaseException):
                    raise result
                yield result.result()
        finally:
            stop.set()
            producer.join()


def _put(results: queue.Queue, value: object, stop: threading.Event) -> bool:
    """Waits for room; False once nobody will take anything any more."""
    while not stop.is_set():
        try:
            results.put(value, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False


class WriteBehind:
    """Runs jobs in threads, at most `behind` at a time; a context manager that waits for them.

    Args:
        threads: for jobs in any order; jobs that must keep theirs have one thread more.
        behind: jobs waited for at most before `submit` blocks.
    """

    def __init__(self, threads: int, behind: int) -> None:
        self.pool, self.ordered = ThreadPoolExecutor(threads), ThreadPoolExecutor(1)
        self.behind = behind
        self.pending: deque[Future[object]] = deque()

    def submit(self, job: Callable[[], Result], then: Callable[[Result], object] | None = None) -> None:
        """Runs `job` in any thread and `then`, with its result, in the order of the submissions.

        Raises what an earlier job raised.
        """
        future = self.pool.submit(job)
        self.pending.append(future if then is None else self.ordered.submit(lambda: then(future.result())))
        while len(self.pending) > self.behind:
            self.pending.popleft().result()

    def wait(self) -> None:
        """Returns when all that was submitted is done. Raises what a job raised."""
        while self.pending:
            self.pending.popleft().result()

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(self, *exception: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.ordered.shutdown(cancel_futures=True)
