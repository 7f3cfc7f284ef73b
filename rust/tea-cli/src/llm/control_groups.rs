//! The control groups that limit this process, of versions 1 and 2.

use std::fs;
use std::path::{Path, PathBuf};

/// A group's folder; the files in it are those of `version`.
#[derive(Debug)]
pub struct Group {
    /// Its folder.
    pub folder: PathBuf,
    /// 1 or 2.
    pub version: u8,
}

/// A control group file system: what is mounted (`root`) and where (`point`).
struct Mount {
    root: String,
    point: String,
    version: u8,
}

/// The process's own group and each above it that is visible.
///
/// `controller` is the kernel's name, such as `cpu`; `root` is where proc and sys are found.
#[must_use]
pub fn groups(controller: &str, root: &Path) -> Vec<Group> {
    let mounts = mounts(&read(&root.join("proc/self/mountinfo")), controller);
    let mut found = Vec::new();
    for line in read(&root.join("proc/self/cgroup")).lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let version = match controllers {
            "" => 2,
            some if some.split(',').any(|each| each == controller) => 1,
            _ => continue,
        };
        for mount in mounts.iter().filter(|mount| mount.version == version) {
            found.extend(upwards(root, mount, path));
        }
    }
    found
}

fn mounts(mountinfo: &str, controller: &str) -> Vec<Mount> {
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
                ("cgroup", options) if options.split(',').any(|each| each == controller) => 1,
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

fn upwards(root: &Path, mount: &Mount, path: &str) -> Vec<Group> {
    let point = root.join(mount.point.trim_start_matches('/'));
    // A container sees its own group as the top of the mount, under the host's name for it.
    let below = path
        .strip_prefix(&mount.root)
        .filter(|rest| mount.root != "/" && (rest.is_empty() || rest.starts_with('/')));
    let parts: Vec<&str> =
        below.unwrap_or(path).split('/').filter(|part| !["", ".."].contains(part)).collect();
    (0..=parts.len())
        .rev()
        .map(|depth| Group { folder: point.join(parts[..depth].join("/")), version: mount.version })
        .collect()
}

/// The text of a file of the kernel's; empty where there is none.
#[must_use]
pub fn read(path: &Path) -> String {
    fs::read(path).map(|data| String::from_utf8_lossy(&data).trim().to_string()).unwrap_or_default()
}
