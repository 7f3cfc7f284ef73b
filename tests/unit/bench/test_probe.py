import json
import subprocess
import sys
from typing import Any

from tasks.bench import probe

SAY = "import sys, time; print('a', flush=True); print('b', sys.stdin.read())"


def measure(*steps: dict[str, Any], runs: int = 2) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", probe.__file__],
        input=json.dumps({"runs": runs, "steps": steps}),
        capture_output=True,
        text=True,
        check=False,
    )


def step(name: str, code: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "argv": [sys.executable, "-I", "-c", code], **more}


def test_each_run_has_every_step_with_the_time_of_each_line() -> None:
    done = measure(step("one", SAY, stdin="in"), step("two", "pass"), runs=3)
    runs = json.loads(done.stdout)
    assert [list(run) for run in runs] == [["one", "two"]] * 3
    for run in runs:
        (first, a), (second, b) = run["one"]["lines"]
        assert (a, b) == ("a\n", "b in\n")
        assert 0 < first <= second <= run["one"]["seconds"]


def test_the_steps_take_turns_and_the_first_turn_is_not_counted(tmp_path: Any) -> None:
    log = tmp_path / "log"
    write = f"open({str(log)!r}, 'a').write"
    done = measure(step("one", f"{write}('1')"), step("two", f"{write}('2')"), runs=2)
    assert log.read_text() == "121212"
    assert len(json.loads(done.stdout)) == 2


def test_a_step_that_fails_ends_the_measurement_with_its_words() -> None:
    done = measure(step("bad", "import sys; sys.exit('it broke')"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "bad: exit code 1: it broke" in done.stderr


def test_busy_processes_live_as_long_as_their_step() -> None:
    parent = "import os; p = os.getppid(); "
    count = parent + "print(len(open(f'/proc/{p}/task/{p}/children').read().split()))"
    alone, beside = step("alone", count), step("beside", count, busy=2)
    (run,) = json.loads(measure(alone, beside, alone, runs=1).stdout)
    children = {name: int(run[name]["lines"][0][1]) for name in run}
    assert children == {"alone": 1, "beside": 3}


def test_the_peak_is_that_of_the_step_and_of_what_it_waited_for() -> None:
    small = step("small", "pass")
    large = step("large", "x = b'1' * 80_000_000")
    child = step("child", f"import subprocess; subprocess.run({large['argv']!r})")
    (run,) = json.loads(measure(small, large, child, runs=1).stdout)
    peaks = {name: run[name]["peak"] for name in run}
    assert peaks["small"] < 40_000_000
    assert 80_000_000 < peaks["large"] < 120_000_000
    assert peaks["child"] > 80_000_000


def test_processor_time_counts_every_core_and_no_sleep() -> None:
    work = step("work", "import time\nwhile time.process_time() < 0.2: pass")
    sleep = step("sleep", "import time; time.sleep(0.3)")
    (run,) = json.loads(measure(work, sleep, runs=1).stdout)
    assert run["work"]["processor"] > 0.2
    assert run["sleep"]["processor"] < 0.2 < run["sleep"]["seconds"]


def test_memory_is_read_at_each_line_where_that_is_asked_for() -> None:
    wait = "__import__('time').sleep(0.2)"
    code = (
        f"x = b'1' * 80_000_000; print(1, flush=True); {wait}; del x; print(2, flush=True); {wait}"
    )
    waits = step("waits", code, resident=True)
    (run,) = json.loads(measure(waits, step("other", "print(1)"), runs=1).stdout)
    large, small = run["waits"]["resident"]
    assert large > 80_000_000 > small > 1_000_000
    assert run["other"]["resident"] == []


def test_a_folder_is_removed_before_the_step(tmp_path: Any) -> None:
    folder = tmp_path / "cache"
    first = step("first", f"import os; os.mkdir({str(folder)!r})", remove=str(folder))
    assert measure(first, runs=2).returncode == 0
    assert folder.is_dir()
