from collections.abc import Callable

import pytest

from the_edge_agent.llm.crew import Crew


class Machine:
    """A computer whose time passes as the work is told to take.

    Each thread gets the ``share`` of that time on a processor.
    """

    def __init__(self) -> None:
        self.now = self.cpu = 0.0
        self.threads = 0
        self.assigned: list[int] = []

    def crew(self, full: int) -> Crew:
        self.threads = full
        return Crew(full, self.assign, clock=lambda: self.now, cpu_clock=lambda: self.cpu)

    def assign(self, threads: int) -> None:
        self.threads = threads
        self.assigned.append(threads)

    def work(self, seconds: float, share: float) -> Callable[[], None]:
        def passes() -> None:
            self.now += seconds
            self.cpu += seconds * share * self.threads

        return passes


def compute(
    crew: Crew, machine: Machine, seconds: float, share: float, token: float = 0.01
) -> None:
    for _ in range(round(seconds / token)):
        crew.compute(machine.work(token, share))


def test_all_threads_stay_at_work_on_an_idle_machine() -> None:
    machine = Machine()
    compute(machine.crew(8), machine, 60, share=0.98)
    assert machine.assigned == []


def test_a_few_slow_tokens_change_nothing() -> None:
    machine = Machine()
    crew = machine.crew(2)
    for _ in range(20):
        compute(crew, machine, 0.01, share=0.2)
        compute(crew, machine, 0.09, share=0.98)
    assert machine.assigned == []


@pytest.mark.parametrize(
    ("full", "steps"), [(2, [1]), (4, [3, 2, 1]), (16, [12, 9, 6, 4, 3, 2, 1])]
)
def test_a_crowded_machine_gets_its_cores_back_within_a_second(full: int, steps: list[int]) -> None:
    machine = Machine()
    compute(machine.crew(full), machine, 1.0, share=0.5)
    assert machine.assigned == steps


@pytest.mark.parametrize(("full", "fewer"), [(2, 1), (3, 2), (4, 3), (5, 3)])
def test_one_thread_without_a_core_is_enough_while_the_others_wait_for_it(
    full: int, fewer: int
) -> None:
    machine = Machine()
    compute(machine.crew(full), machine, 0.11, share=(full - 0.501) / full)
    assert machine.assigned == [fewer]


@pytest.mark.parametrize("full", [2, 3, 4, 16])
def test_the_small_losses_of_an_idle_machine_change_nothing(full: int) -> None:
    machine = Machine()
    compute(machine.crew(full), machine, 60, share=0.91)
    assert machine.assigned == []


def test_no_more_threads_leave_than_it_takes() -> None:
    machine = Machine()
    crew = machine.crew(16)
    for _ in range(12):
        compute(crew, machine, 0.11, share=0.95 if crew.threads <= 9 else 0.4, token=0.11)
    assert machine.assigned == [12, 9]


def test_all_threads_are_back_at_work_soon_after_the_crowd_has_left() -> None:
    machine = Machine()
    crew = machine.crew(2)
    compute(crew, machine, 0.5, share=0.5)
    compute(crew, machine, 2.0, share=0.98)
    assert crew.threads == 2


def test_a_lasting_crowd_is_disturbed_ever_more_seldom() -> None:
    machine = Machine()
    crew = machine.crew(2)
    compute(crew, machine, 60, share=0.5)
    tries = machine.assigned.count(2)
    assert 7 <= tries <= 9  # after 2, 4, and then every 8 seconds


def test_time_between_tokens_does_not_count() -> None:
    machine = Machine()
    crew = machine.crew(2)
    for _ in range(500):
        crew.compute(machine.work(0.01, 0.98))
        machine.now += 1.0  # a reader that takes its time
    assert machine.assigned == []


def test_one_thread_has_nowhere_to_go() -> None:
    machine = Machine()
    compute(machine.crew(1), machine, 10, share=0.3)
    assert machine.assigned == []
