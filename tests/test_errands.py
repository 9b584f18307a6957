"""Work that other threads have the loop do, and files that are looked at: small parts of a reload."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from spoton_edge import errands
from spoton_edge.errands import Errands
from spoton_edge.errors import ConfigError, NotReadyError
from spoton_edge.file_watch import FileWatch


def asked(work: Errands, task: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Another thread that asks, and what it was told."""
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(work.ask(task))
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, answers


def until_done(work: Errands, thread: threading.Thread) -> None:
    while thread.is_alive():
        work.run()
        thread.join(0.001)


def test_an_errand_is_done_by_the_loop_and_answered() -> None:
    work = Errands()
    thread, answers = asked(work, threading.get_ident)
    until_done(work, thread)
    assert answers == [threading.get_ident()]


def refuse() -> None:
    raise ConfigError(["line 3"])


def break_down() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(("task", "kind"), [(refuse, ConfigError), (break_down, ZeroDivisionError)])
def test_what_goes_wrong_is_told_to_who_asked_and_the_loop_goes_on(
    task: Callable[[], None], kind: type[Exception]
) -> None:
    work = Errands()
    thread, answers = asked(work, task)
    until_done(work, thread)
    assert [type(answer) for answer in answers] == [kind]


def test_an_errand_that_was_given_up_is_never_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "ANSWER_S", 0.01)
    work, done = Errands(), list[int]()
    thread, answers = asked(work, lambda: done.append(1))
    thread.join()
    work.run()
    assert done == []
    assert [type(answer) for answer in answers] == [NotReadyError]


def test_whoever_asks_a_loop_that_has_ended_is_told_at_once() -> None:
    work = Errands()
    thread, answers = asked(work, lambda: None)
    while work._waiting.empty() and thread.is_alive():
        thread.join(0.001)
    work.close()
    thread.join()
    assert [str(answer) for answer in answers] == ["the daemon is stopping"]
    with pytest.raises(NotReadyError, match="stopping"):
        work.ask(lambda: None)


def test_a_file_counts_as_changed_once_its_writer_is_done(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("one")
    watch = FileWatch([path, tmp_path / "absent"])
    assert not watch.changed()
    path.write_text("one, two")
    assert not watch.changed()  # it may still be writing
    path.write_text("one, two, three")
    assert not watch.changed()
    assert watch.changed()
    assert not watch.changed()
    (tmp_path / "new").write_text("other")
    (tmp_path / "new").replace(path)  # as editors do
    assert [watch.changed() for _ in range(3)] == [False, True, False]
    path.unlink()
    assert [watch.changed() for _ in range(3)] == [False, True, False]
