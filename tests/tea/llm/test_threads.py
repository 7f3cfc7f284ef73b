from __future__ import annotations

from pathlib import Path

import pytest

from the_edge_agent.llm.threads import cpu_quota, default_threads, physical_cores

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def version_2(root: Path, group: str, limits: dict[str, str]) -> Path:
    files = {f"sys/fs/cgroup/{path}/cpu.max": limit for path, limit in limits.items()}
    return tree(root, {"proc/self/mountinfo": V2, "proc/self/cgroup": f"0::{group}\n", **files})


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        ({}, None),
        ({"a/b": "max 100000\n"}, None),
        ({"a/b": "150000 100000\n"}, 1.5),
        ({"a": "50000 100000\n"}, 0.5),
        ({"a/b": "400000 100000\n", "a": "max 100000\n", ".": "200000 100000\n"}, 2.0),
        ({"a/b": "100000 0\n"}, None),
        ({"a/b": "nonsense\n"}, None),
        ({"c": "100000 100000\n"}, None),
    ],
)
def test_the_tightest_limit_on_the_way_up_counts(
    tmp_path: Path, limits: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(version_2(tmp_path, "/a/b", limits)) == quota


def test_version_1_has_quota_and_period_in_two_files(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/cpu,cpuacct/a"
    root = tree(
        tmp_path,
        {
            "proc/self/mountinfo": V1,
            "proc/self/cgroup": "4:cpuset:/other\n3:cpu,cpuacct:/a\n0::/\n",
            f"{group}/cpu.cfs_quota_us": "300000\n",
            f"{group}/cpu.cfs_period_us": "100000\n",
        },
    )
    assert cpu_quota(root) == 3.0


def test_a_quota_of_minus_one_is_no_limit(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/cpu,cpuacct"
    root = tree(
        tmp_path,
        {
            "proc/self/mountinfo": V1,
            "proc/self/cgroup": "3:cpu,cpuacct:/\n",
            f"{group}/cpu.cfs_quota_us": "-1\n",
            f"{group}/cpu.cfs_period_us": "100000\n",
        },
    )
    assert cpu_quota(root) is None


def test_a_container_finds_its_group_at_the_mount_s_top(tmp_path: Path) -> None:
    mount = "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"
    root = tree(
        tmp_path,
        {
            "proc/self/mountinfo": mount,
            "proc/self/cgroup": "1:cpu:/docker/abc\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert cpu_quota(root) == 1.0


def test_a_mount_point_with_a_space_is_found(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/mountinfo": "30 23 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n",
            "proc/self/cgroup": "0::/\n",
            "my groups/cpu.max": "100000 100000\n",
        },
    )
    assert cpu_quota(root) == 1.0


def test_without_proc_and_sys_each_cpu_is_a_core(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert default_threads(tmp_path, cpus=range(6)) == 6


def test_two_threads_of_one_core_count_once(tmp_path: Path) -> None:
    siblings = {0: "0,4", 1: "1,5", 2: "2,6", 3: "3,7", 4: "0,4", 5: "1,5", 6: "2,6", 7: "3,7"}
    root = tree(
        tmp_path,
        {
            f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{text}\n"
            for cpu, text in siblings.items()
        },
    )
    assert physical_cores(root, range(8)) == 4
    assert physical_cores(root, {0, 4}) == 1
    assert physical_cores(root, {0, 1}) == 2


@pytest.mark.parametrize(
    ("limit", "cpus", "threads"),
    [
        ("max 100000", 2, 2),
        ("100000 100000", 2, 1),
        ("10000 100000", 4, 1),
        ("150000 100000", 4, 1),
        ("399000 100000", 4, 3),
        ("800000 100000", 2, 2),
    ],
)
def test_threads_follow_the_smaller_of_cores_and_quota(
    tmp_path: Path, limit: str, cpus: int, threads: int
) -> None:
    root = version_2(tmp_path, "/", {".": limit})
    assert default_threads(root, cpus=range(cpus)) == threads


def test_no_cpu_at_all_still_gives_a_thread(tmp_path: Path) -> None:
    assert default_threads(tmp_path, cpus=()) == 1


def test_this_machine_gives_at_least_one_thread() -> None:
    assert default_threads() >= 1
