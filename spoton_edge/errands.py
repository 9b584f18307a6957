"""Work that other threads have the daemon's loop do, between two batches, where nothing else touches the stages."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from spoton_edge.errors import NotReadyError

ANSWER_S = 10.0
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Errand:
    work: Callable[[], Any]
    answer: Future[Any]


class Errands:
    """A queue of work; `run` and `close` belong to the loop."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Errand] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, work: Callable[[], Answer]) -> Answer:
        """What `work` returns or raises, once the loop has done it. From any thread but the loop's.

        Raises:
            NotReadyError: the loop does not come to it in time, and then never will; or it has ended.
        """
        errand = _Errand(work, Future())
        with self._lock:
            if self._closed:
                raise NotReadyError("the daemon is stopping")
            self._waiting.put(errand)
        try:
            answer: Answer = errand.answer.result(timeout=ANSWER_S)
        except TimeoutError:
            if errand.answer.cancel():
                raise NotReadyError("the daemon is busy; ask again in a moment") from None
            answer = errand.answer.result()  # it has just begun
        return answer

    def run(self) -> None:
        """Do what waits."""
        while not self._waiting.empty():
            errand = self._waiting.get()
            if not errand.answer.set_running_or_notify_cancel():
                continue  # nobody waits for it any more
            try:
                errand.answer.set_result(errand.work())
            except Exception as error:  # whoever asked is told
                errand.answer.set_exception(error)

    def close(self) -> None:
        """Refuse what waits, and what comes."""
        with self._lock:
            self._closed = True
        while not self._waiting.empty():
            errand = self._waiting.get()
            if errand.answer.set_running_or_notify_cancel():
                errand.answer.set_exception(NotReadyError("the daemon is stopping"))
