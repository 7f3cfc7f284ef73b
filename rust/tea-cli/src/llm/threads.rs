//! How many threads a model gets: as many as there are cores that this process may really use.
//!
//! One thread too many is worse than one too few: threads wait for each other several hundred
//! times a token, so a thread without a core of its own holds up all the others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::thread::{sched_getaffinity, CpuSet};

/// A control group file system: what is mounted (`root`) and where (`point`).
#[derive(Debug, PartialEq)]
struct Mount {
    root: String,
    point: String,
    version: u8,
}

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
/// Looks at versions 1 and 2 of control groups, from the process's own group up to the topmost
/// that is visible; the tightest limit counts.
fn cpu_quota(root: &Path) -> Option<f64> {
    let mounts = cpu_mounts(&read(&root.join("proc/self/mountinfo")));
    let mut limits = Vec::new();
    for line in read(&root.join("proc/self/cgroup")).lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let version = match controllers {
            "" => 2,
            some if some.split(',').any(|each| each == "cpu") => 1,
            _ => continue,
        };
        for mount in mounts.iter().filter(|mount| mount.version == version) {
            limits.extend(group_limits(root, mount, path));
        }
    }
    limits.into_iter().reduce(f64::min)
}

fn cpu_mounts(mountinfo: &str) -> Vec<Mount> {
    // ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD…] - TYPE SOURCE SUPER_OPTIONS
    mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let fields: Vec<&str> = before.split_whitespace().collect();
            let rest: Vec<&str> = after.split_whitespace().collect();
            let (root, point) = (unescape(fields.get(3)?), unescape(fields.get(4)?));
            let version = match (*rest.first()?, *rest.get(2)?) {
                ("cgroup2", _) => 2,
                ("cgroup", options) if options.split(',').any(|each| each == "cpu") => 1,
                _ => return None,
            };
            Some(Mount { root, point, version })
        })
        .collect()
}

/// Undo what mountinfo does to white space and backslashes in paths (octal escapes).
fn unescape(field: &str) -> String {
    [("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")]
        .iter()
        .fold(field.to_string(), |text, (code, character)| {
            text.replace(&format!("\\{code}"), character)
        })
}

/// The limits of the group `path` and of each group above it.
fn group_limits(root: &Path, mount: &Mount, path: &str) -> Vec<f64> {
    let point = root.join(mount.point.trim_start_matches('/'));
    // A container sees its own group as the top of the mount, under the host's name for it.
    let below = path
        .strip_prefix(&mount.root)
        .filter(|rest| mount.root != "/" && (rest.is_empty() || rest.starts_with('/')));
    let parts: Vec<&str> =
        below.unwrap_or(path).split('/').filter(|part| !["", ".."].contains(part)).collect();
    (0..=parts.len())
        .rev()
        .filter_map(|depth| limit(&point.join(parts[..depth].join("/")), mount.version))
        .collect()
}

fn limit(group: &Path, version: u8) -> Option<f64> {
    let words = if version == 2 {
        read(&group.join("cpu.max"))
    } else {
        let quota = read(&group.join("cpu.cfs_quota_us"));
        format!("{quota} {}", read(&group.join("cpu.cfs_period_us")))
    };
    let mut words = words.split_whitespace();
    let quota: i64 = words.next()?.parse().ok()?; // no such file, or "max"
    let period: i64 = words.next()?.parse().ok()?;
    (quota > 0 && period > 0 && words.next().is_none()).then(|| quota as f64 / period as f64)
}

fn read(path: &Path) -> String {
    fs::read(path).map(|data| String::from_utf8_lossy(&data).trim().to_string()).unwrap_or_default()
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
