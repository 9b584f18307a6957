"""100 subscribers that join, stall and die at random; those that read must not notice, nor must the daemon."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HEALTHY, STALLING, PROCESSES, RAW_EACH = 3, 2, 5, 19  # 5 that check and 95 raw
ALONE_SHARE = 0.2  # as long, before, with one subscriber only
CATCH_UP_S = 3.0  # from the last stall to the last message: who has lost that one cannot know


@contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.e2e.crowd", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGCONT)
            child.kill()


def line(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    said: dict[str, Any] = json.loads(child.stdout.readline())
    return said


def crowd(seconds: float, high_water: int, longest_stall_s: float) -> dict[str, Any]:
    """Runs so many seconds with all of them.

    Returns what the publisher measured, and `healthy` and `stalled`: what the readers say.
    """
    chance = random.Random(7)
    with ExitStack() as stack:
        publisher = stack.enter_context(process("publish", ALONE_SHARE * seconds, high_water))
        where = line(publisher)
        checker = ("check", where["endpoint"], where["snapshot"])
        healthy = [stack.enter_context(process(*checker))]
        assert line(publisher) == {"alone": False}
        healthy += [stack.enter_context(process(*checker)) for _ in range(HEALTHY - 1)]
        stalling = [stack.enter_context(process(*checker)) for _ in range(STALLING)]
        raw_seeds = iter(range(10_000))
        rude = ("raw", where["endpoint"], RAW_EACH)
        raw = [stack.enter_context(process(*rude, next(raw_seeds))) for _ in range(PROCESSES)]
        for reader in (*healthy, *stalling, *raw):
            assert line(reader) == {"stands": True}
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s - longest_stall_s - CATCH_UP_S:
            stalls_s = [chance.uniform(0.8, 1.0) * longest_stall_s for _ in stalling]
            for child in stalling:
                child.send_signal(signal.SIGSTOP)
            resume_s = time.monotonic() + max(stalls_s)
            while time.monotonic() < resume_s:
                victim = chance.randrange(len(raw))
                if chance.random() < 0.3:
                    raw[victim].kill()
                    raw[victim] = stack.enter_context(process(*rude, next(raw_seeds)))
                else:
                    raw[victim].send_signal(signal.SIGSTOP)
                    time.sleep(chance.uniform(0.1, 1.0))
                    raw[victim].send_signal(signal.SIGCONT)
            for child in stalling:
                child.send_signal(signal.SIGCONT)
            time.sleep(chance.uniform(0.1, 0.2) * longest_stall_s)
        time.sleep(max(CATCH_UP_S, end_s - time.monotonic()))
        assert publisher.stdin is not None
        publisher.stdin.write("enough\n")
        publisher.stdin.flush()
        reports = [line(child) for child in (*healthy, *stalling)]
        publisher.stdin.close()
        return {**line(publisher), "healthy": reports[:HEALTHY], "stalled": reports[HEALTHY:]}


def judge(result: dict[str, Any]) -> None:
    for report in (*result["healthy"], *result["stalled"]):
        assert report["unreadable"] == 0
        assert report["whole"]
        for kind in ("site", "tracks", "status"):
            assert report["latest"][kind] == result["latest"][kind], "not the state that the daemon has"
        for kind, seqs in report["heard"].items():
            assert seqs == sorted(set(seqs)), "twice, or out of order"
            last = max(seqs[-1], result["sent"][kind])
            missed = report["missed"].get(kind, 0) - report["missed_before"][kind]
            assert last - seqs[0] + 1 == len(seqs) + missed, "lost without a word"
    for report in result["healthy"]:
        assert report["missed"] == report["missed_joining"]
    for report in result["stalled"]:
        assert report["missed"].get("tracks", 0) > report["missed_joining"].get("tracks", 0), (
            "stalled too short to lose anything: the test shows nothing"
        )
    assert result["overflowed"] == 0
    before, after = result["resident_bytes"]
    assert after - before < 64 << 20
    # One snapshot each to join, and one for each gap; a few more where an answer took its second on a loaded machine.
    gaps = sum(report["gaps"] for report in (*result["healthy"], *result["stalled"]))
    assert result["snapshots"] <= 2 * (HEALTHY + STALLING + gaps)


def tell(result: dict[str, Any]) -> None:
    for name, reach in (("cpu", "below 2 ms"), ("wall", "at most 3 times")):
        alone, full = result[f"{name}_ms"]
        print(f"publish {name} p50 {alone[0]:.2f} ms, p99 {alone[1]:.2f} ms to one subscriber")
        print(f"  to 100: p50 {full[0]:.2f}, p99 {full[1]:.2f} ms, {full[1] / alone[1]:.1f} times (reach: p99 {reach})")
    before, after = result["resident_bytes"]
    print(f"resident: {before >> 20} MiB with one, at most {after >> 20} MiB with all")
    print(f"queues full {result['late']} times, snapshots {result['snapshots']}, refused {result['refused']}")
    for report in result["stalled"]:
        print(f"stalled: missed {report['missed']} in {report['gaps']} gaps, whole: {report['whole']}")


@pytest.mark.timeout(120)
def test_a_crowd_of_subscribers_for_20_seconds() -> None:
    # Queue and kernel hold four seconds: less than a stall, more than a loaded machine keeps a healthy reader waiting.
    result = crowd(20, high_water=60, longest_stall_s=7)
    tell(result)
    judge(result)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_crowd_of_subscribers_for_5_minutes() -> None:
    result = crowd(300, high_water=300, longest_stall_s=60)
    tell(result)
    judge(result)
