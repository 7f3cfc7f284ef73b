//! How many threads a model gets: as many as there are cores that this process may really use.
//!
//! One thread too many is worse than one too few: threads wait for each other several hundred
//! times a token, so a thread without a core of its own holds up all the others.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::thread::{sched_getaffinity, CpuSet};

use super::control_groups::{groups, read, Group};

/// The number of threads to use, at least 1.
///
/// That is one for each physical core that the scheduler allows, but no more than the CPU time
/// that the control groups grant.
#[must_use]
pub fn default_threads() -> u32 {
    let root = Path::new("/");
    let allowed: Vec<usize> = match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
        Err(_) => vec![0],
    };
    threads(root, &allowed)
}

/// The same for the CPUs `allowed`; `root` is where proc and sys are found.
fn threads(root: &Path, allowed: &[usize]) -> u32 {
    let cores = physical_cores(root, allowed);
    let granted = cpu_quota(root).map_or(cores, |quota| {
        // Cut, not rounded: on 1.5 CPUs two threads wait for each other more than they gain.
        cores.min(quota as u32)
    });
    granted.max(1)
}

/// How many cores `cpus` belong to; a CPU whose core is not known is one by itself.
///
/// Two threads on one core share its arithmetic units and gain nothing here.
fn physical_cores(root: &Path, cpus: &[usize]) -> u32 {
    let cores: BTreeSet<String> = cpus
        .iter()
        .map(|cpu| {
            let file = format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
            let siblings = read(&root.join(file));
            if siblings.is_empty() {
                cpu.to_string()
            } else {
                siblings
            }
        })
        .collect();
    u32::try_from(cores.len()).unwrap_or(u32::MAX)
}

/// The CPUs' worth of time granted to this process, None when there is no limit.
///
/// Looks at the process's own control group and at those above it; the tightest limit counts.
fn cpu_quota(root: &Path) -> Option<f64> {
    groups("cpu", root).iter().filter_map(limit).reduce(f64::min)
}

fn limit(group: &Group) -> Option<f64> {
    let words = if group.version == 2 {
        read(&group.folder.join("cpu.max"))
    } else {
        let quota = read(&group.folder.join("cpu.cfs_quota_us"));
        format!("{quota} {}", read(&group.folder.join("cpu.cfs_period_us")))
    };
    let mut words = words.split_whitespace();
    let quota: i64 = words.next()?.parse().ok()?; // no such file, or "max"
    let period: i64 = words.next()?.parse().ok()?;
    (quota > 0 && period > 0 && words.next().is_none()).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    const V2: &str = "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";

    fn machine(files: &[(&str, &str)]) -> Folder {
        let folder = Folder::new();
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    #[test]
    fn two_cpus_of_one_core_get_one_thread() {
        let root = machine(&[
            ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0-1\n"),
            ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "0-1\n"),
        ]);
        assert_eq!(threads(root.path(), &[0, 1, 2]), 2);
    }

    #[test]
    fn the_tightest_limit_of_the_groups_above_counts_and_is_cut() {
        let root = machine(&[
            ("proc/self/mountinfo", V2),
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/a/cpu.max", "290000 100000\n"),
        ]);
        assert_eq!(threads(root.path(), &[0, 1, 2, 3]), 2);
    }

    #[test]
    fn version_1_under_the_name_that_the_host_gives_it_is_found() {
        let root = machine(&[
            (
                "proc/self/mountinfo",
                "31 24 0:27 /docker/x /sys/fs/cgroup/cpu\\040a rw - cgroup c rw,cpu,cpuacct\n",
            ),
            ("proc/self/cgroup", "4:cpu,cpuacct:/docker/x\n3:memory:/docker/x\n"),
            ("sys/fs/cgroup/cpu a/cpu.cfs_quota_us", "100000\n"),
            ("sys/fs/cgroup/cpu a/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(threads(root.path(), &[0, 1, 2, 3]), 1);
    }

    #[test]
    fn half_a_cpu_gets_one_thread_and_no_limit_all() {
        let files = [
            ("proc/self/mountinfo", V2),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/cpu.max", "50000 100000"),
        ];
        assert_eq!(threads(machine(&files).path(), &[0, 1]), 1);
        assert_eq!(threads(machine(&[]).path(), &[0, 1]), 2);
    }
}
