import os
import subprocess
import sys
from pathlib import Path

import pytest

from the_edge_agent.llm.adaptive_threads import AdaptiveThreads, cpu_wait_seconds


class Machine:
    """A computer whose time passes as it is told to, while threads wait for a core."""

    def __init__(self) -> None:
        self.now = self.queued = 100.0
        self.assigned: list[int] = []

    def adaptive(self, full: int) -> AdaptiveThreads:
        adaptive = AdaptiveThreads(
            full, self.assigned.append, clock=lambda: self.now, wait_clock=lambda: self.queued
        )
        adaptive.begin()
        return adaptive

    def answer(
        self, adaptive: AdaptiveThreads, seconds: float, share: float, token: float = 0.01
    ) -> None:
        """Compute tokens; all threads together wait for the ``share`` of the time."""
        for _ in range(round(seconds / token)):
            self.now += token
            self.queued += token * share
            adaptive.observe()


def test_all_threads_stay_at_work_on_an_idle_machine() -> None:
    machine = Machine()
    machine.answer(machine.adaptive(8), 60, share=0.15)
    assert machine.assigned == []


def test_a_few_slow_tokens_change_nothing() -> None:
    machine = Machine()
    adaptive = machine.adaptive(2)
    for _ in range(20):
        machine.answer(adaptive, 0.01, share=1.0)
        machine.answer(adaptive, 0.09, share=0.02)
    assert machine.assigned == []


@pytest.mark.parametrize(
    ("full", "steps"), [(2, [1]), (4, [3, 2, 1]), (16, [12, 9, 6, 4, 3, 2, 1])]
)
def test_a_crowded_machine_gets_its_cores_back_within_a_second(full: int, steps: list[int]) -> None:
    machine = Machine()
    machine.answer(machine.adaptive(full), 1.0, share=0.5)
    assert machine.assigned == steps


def test_no_more_threads_leave_than_it_takes() -> None:
    machine = Machine()
    adaptive = machine.adaptive(16)
    for _ in range(12):
        machine.answer(adaptive, 0.11, share=0.1 if adaptive.threads <= 9 else 0.9, token=0.11)
    assert machine.assigned == [12, 9]


def test_all_threads_work_again_when_the_crowd_has_left() -> None:
    machine = Machine()
    adaptive = machine.adaptive(2)
    machine.answer(adaptive, 0.5, share=1.0)
    machine.answer(adaptive, 2.0, share=0.02)
    assert adaptive.threads == 2


def test_a_lasting_crowd_is_disturbed_ever_more_seldom() -> None:
    machine = Machine()
    adaptive = machine.adaptive(2)
    machine.answer(adaptive, 60, share=1.0)
    tries = machine.assigned.count(2)
    assert 7 <= tries <= 9  # after 2, 4, and then every 8 seconds


def test_time_between_answers_does_not_count() -> None:
    machine = Machine()
    adaptive = machine.adaptive(2)
    for _ in range(50):
        machine.now += 1.0  # a prompt is computed, by all threads, on a crowded machine
        machine.queued += 1.0
        adaptive.begin()
        machine.answer(adaptive, 0.3, share=0.02)
    assert machine.assigned == []


def test_one_thread_has_nowhere_to_go() -> None:
    machine = Machine()
    machine.answer(machine.adaptive(1), 10, share=0.7)
    assert machine.assigned == []


def test_the_waits_of_all_threads_are_added_up(tmp_path: Path) -> None:
    for thread, text in [("1", "50 2000000000 7\n"), ("2", "9 500000000 1\n"), ("3", "")]:
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(text)
    (tmp_path / "4").mkdir()  # as one that has just ended
    assert cpu_wait_seconds(tmp_path) == 2.5


def test_a_system_that_does_not_count_waits_looks_idle(tmp_path: Path) -> None:
    assert cpu_wait_seconds(tmp_path / "none") == 0.0


def test_two_programs_on_one_core_are_seen_to_wait_for_it() -> None:
    """As the kernel counts it: of both together, one waits at each moment."""
    wait = """
import os, sys, time
from the_edge_agent.llm.adaptive_threads import cpu_wait_seconds
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
other = os.fork()
end = time.perf_counter() + 0.5
while time.perf_counter() < end:
    pass
if other:
    os.waitpid(other, 0)
    print(cpu_wait_seconds())
"""
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", wait],
        env=path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    counted = Path("/proc/self/schedstat").exists()
    assert float(done.stdout) > 0.1 if counted else float(done.stdout) == 0.0
