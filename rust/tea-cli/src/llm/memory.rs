//! What memory a model needs to run, what there is, and what is done where it does not suffice.
//!
//! Counted is what the kernel cannot take back: the copy of the weights that llama.cpp makes in an
//! order of its own, the cache of keys and values, the buffers of a computation, and the program.
//! The pages of the model's file are not: where they do not fit, they are read again, which is slow.
//!
//! All sizes are in bytes; messages give MB of 10^6 bytes.

use std::path::Path;

use tea_core::errors::{Error, Kind};

use super::control_groups::{groups, read, Group};
use super::gguf::{Gguf, Tensor, Value};
use crate::text::grouped;

/// Tokens of a prompt that are computed at a time.
pub const BATCH: u32 = 512;
/// llama.cpp rounds a context up to a multiple of it, in tokens.
const STEP: u64 = 256;
// Measured with three models on two threads, see docs/performance.md.
/// The program, its libraries' data and their smaller buffers.
const PROGRAM: u64 = 5_000_000;
/// Of the vocabulary's tokens and merges: the text and its places in indices.
const PER_TEXT: u64 = 165;
/// Tensors whose rows are looked up, and which nothing is multiplied by.
const LOOKED_UP: [&str; 3] =
    ["per_layer_token_embd.weight", "token_types.weight", "position_embd.weight"];
const EMBEDDING: &str = "token_embd.weight";

/// Whether the weights may be repacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LowMemory {
    /// Where there is room.
    #[default]
    Auto,
    /// Never.
    Yes,
    /// Always.
    No,
}

/// What keys and values are kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CacheType {
    #[default]
    F16,
    Q8_0,
}

impl CacheType {
    /// The bytes of `values`.
    fn bytes(self, values: u64) -> u64 {
        match self {
            CacheType::F16 => 2 * values,
            CacheType::Q8_0 => values * 34 / 32,
        }
    }
}

/// What a model takes of memory that the kernel cannot take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Need {
    pub repacked: u64,
    pub cache: u64,
    pub compute: u64,
    pub program: u64,
}

impl Need {
    /// What it takes when the weights stay as they are.
    #[must_use]
    pub fn least(&self) -> u64 {
        self.cache + self.compute + self.program
    }

    /// What it takes when the weights are repacked, or not.
    #[must_use]
    pub fn with(&self, repack: bool) -> u64 {
        self.least() + if repack { self.repacked } else { 0 }
    }
}

/// What can be had without swapping, and with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Available {
    pub memory: u64,
    pub with_swap: u64,
}

/// The matrices that vectors are multiplied by, which llama.cpp may repack.
pub fn multiplied(head: &Gguf) -> impl Iterator<Item = &Tensor> {
    let causal = head.value("attention.causal") != Some(&Value::Bool(false));
    let tied = causal && head.tensors.iter().all(|tensor| tensor.name != "output.weight");
    head.tensors.iter().filter(move |tensor| {
        let name = tensor.name.as_str();
        let looked_up = LOOKED_UP.contains(&name) || (name == EMBEDDING && !tied);
        name.ends_with(".weight") && !looked_up && tensor.is_matrix()
    })
}

/// How a model is to be run, as far as memory depends on it.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Use {
    pub n_ctx: u32,
    pub cache_type: CacheType,
    pub batch: u32,
}

/// What the model needs, None where its file does not tell. `repacked` is what the copy of
/// `multiplied` takes.
#[must_use]
pub fn need(head: &Gguf, wanted: Use, repacked: u64) -> Option<Need> {
    let (layers, width) = (positive(head, "block_count")?, positive(head, "embedding_length")?);
    let values = cached_values(head, layers, width)?;
    let cells = u64::from(wanted.n_ctx).div_ceil(STEP) * STEP;
    let widest = per_layer(head, "feed_forward_length", 1).into_iter().max().unwrap_or(0);
    let vocabulary = head.tensors.iter().find(|tensor| tensor.name == EMBEDDING);
    let vocabulary = vocabulary.and_then(|tensor| tensor.shape.last()).copied().unwrap_or(0);
    // Which tokens see which, once in 32 bits and once in 16; again where a window slides.
    let windows = if positive(head, "attention.sliding_window").is_some() { 2 } else { 1 };
    let masks = 6 * cells * windows;
    // The widest step of a layer holds two vectors of the feed-forward network and six of the
    // model's width; the input of its multiplication is held in 8 bits too.
    let vectors = 4 * (2 * widest + 6 * width) + widest;
    Some(Need {
        repacked,
        cache: wanted.cache_type.bytes(values * cells),
        compute: u64::from(wanted.batch).min(cells) * (vectors + masks) + 4 * vocabulary,
        program: PROGRAM + PER_TEXT * head.texts,
    })
}

/// How many numbers the cache holds for each token, in all layers.
///
/// Windows that slide are kept whole: only so can a conversation go back to what it shares.
fn cached_values(head: &Gguf, layers: u64, width: u64) -> Option<u64> {
    let heads = per_layer(head, "attention.head_count", 1).first().copied().filter(|n| *n > 0)?;
    let own = layers.saturating_sub(positive(head, "attention.shared_kv_layers").unwrap_or(0));
    let mut kept = per_layer(head, "attention.head_count_kv", layers);
    if kept.is_empty() {
        kept = vec![heads; usize::try_from(layers).ok()?];
    }
    let length = |key| positive(head, key).unwrap_or(width / heads);
    let numbers = length("attention.key_length") + length("attention.value_length");
    let own = usize::try_from(own).ok()?;
    kept.iter().take(own).try_fold(0u64, |sum, n| sum.checked_add(n.checked_mul(numbers)?))
}

fn positive(head: &Gguf, key: &str) -> Option<u64> {
    head.number(key).and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

/// A number for each layer, whether the file gives one for all or one for each.
fn per_layer(head: &Gguf, key: &str, layers: u64) -> Vec<u64> {
    let number = |value: &Value| match value {
        Value::Int(number) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    };
    match head.value(key) {
        Some(Value::List(values)) => values.iter().map(number).collect(),
        Some(value @ Value::Int(_)) => {
            vec![number(value); usize::try_from(layers).unwrap_or(0)]
        }
        _ => Vec::new(),
    }
}

/// What there is for this process, None where the system does not tell.
///
/// That is the least of what the machine has and of what each control group leaves; what the
/// kernel keeps of files counts as free.
#[must_use]
pub fn available() -> Option<Available> {
    available_at(Path::new("/"))
}

/// The same; `root` is where proc and sys are found.
fn available_at(root: &Path) -> Option<Available> {
    let facts = read(&root.join("proc/meminfo"));
    let fact = |name| number_of(&facts, name, ':').map(|kib| kib * 1024);
    let (mut memory, swap) = (fact("MemAvailable")?, fact("SwapFree")?);
    let mut with_swap = memory + swap;
    for group in groups("memory", root) {
        if let Some((room, with)) = room_of(&group, swap) {
            memory = memory.min(room);
            with_swap = with_swap.min(with);
        }
    }
    let count = |bytes: i128| u64::try_from(bytes.max(0)).unwrap_or(u64::MAX);
    Some(Available { memory: count(memory), with_swap: count(with_swap) })
}

/// What a group leaves without swapping and with it, None where it has no limit; `swap` is all
/// that there is.
fn room_of(group: &Group, swap: i128) -> Option<(i128, i128)> {
    let stat = read(&group.folder.join("memory.stat"));
    let pages = |name| number_of(&stat, name, ' ').unwrap_or(0);
    let (room, files, swap_room) = if group.version == 2 {
        (
            room(group, &["memory.max", "memory.high"], "memory.current")?,
            pages("inactive_file") + pages("active_file"),
            room(group, &["memory.swap.max"], "memory.swap.current"),
        )
    } else {
        let free = room(group, &["memory.limit_in_bytes"], "memory.usage_in_bytes")?;
        let both = room(group, &["memory.memsw.limit_in_bytes"], "memory.memsw.usage_in_bytes");
        let files = pages("total_inactive_file") + pages("total_active_file");
        (free, files, both.map(|both| both - free))
    };
    let swap = swap_room.map_or(swap, |room| swap.min(room).max(0));
    Some((room + files, room + files + swap))
}

/// The least of the limits less what is used; None where there is no limit.
fn room(group: &Group, limits: &[&str], usage: &str) -> Option<i128> {
    // No such file, or "max".
    let bytes = |name: &str| read(&group.folder.join(name)).parse::<u64>().ok().map(i128::from);
    Some(limits.iter().filter_map(|name| bytes(name)).min()? - bytes(usage)?)
}

fn number_of(text: &str, name: &str, separator: char) -> Option<i128> {
    let rest = text.lines().find_map(|line| {
        line.split_once(separator).filter(|(start, _)| *start == name).map(|(_, rest)| rest)
    })?;
    rest.split_whitespace().next()?.parse::<u64>().ok().map(i128::from)
}

/// What is done: whether the weights are repacked, and what there is to say of it.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Plan {
    pub repack: bool,
    pub remarks: Vec<String>,
}

/// Decide whether the weights are repacked, which makes a model of `size` bytes fast and large.
///
/// # Errors
/// `ModelError`: it does not fit, with weights repacked or not as `low_memory` has it.
pub fn plan(
    size: u64,
    needed: Need,
    free: Available,
    low_memory: LowMemory,
    n_ctx: u32,
) -> Result<Plan, Error> {
    let repack = match low_memory {
        LowMemory::Auto => needed.with(true) <= free.memory,
        LowMemory::Yes => false,
        LowMemory::No => true,
    };
    if needed.with(repack) > free.with_swap {
        return Err(too_large(needed, free, repack, n_ctx));
    }
    let parts = parts(needed, repack);
    let mut remarks = vec![format!("memory: {parts} of {} that are free", mb(free.memory))];
    if !repack && needed.repacked > 0 {
        let asked = low_memory == LowMemory::Yes;
        let why = if asked { "low_memory says so" } else { "a copy of them does not fit" };
        remarks.push(format!(
            "memory: weights are not repacked, which is slower: {why} ({} more)",
            mb(needed.repacked)
        ));
    }
    if !repack && needed.least() + size > free.memory {
        remarks.push(format!(
            "memory: the model's file of {} does not fit beside that: it is read again for each \
             token, which is slow",
            mb(size)
        ));
    }
    Ok(Plan { repack, remarks })
}

/// The most tokens, up to `n_ctx`, whose cache fits; None where not even 256 do.
#[must_use]
pub fn largest_context(needed: Need, free: Available, n_ctx: u32, repack: bool) -> Option<u32> {
    let room = free.with_swap.checked_sub(needed.with(repack) - needed.cache)?;
    if needed.cache == 0 {
        return Some(n_ctx);
    }
    let all = u128::from(u64::from(n_ctx).div_ceil(STEP));
    let steps = u128::from(room) * all / u128::from(needed.cache);
    let tokens = u32::try_from(steps * u128::from(STEP)).unwrap_or(u32::MAX);
    (steps > 0).then(|| n_ctx.min(tokens))
}

fn too_large(needed: Need, free: Available, repack: bool, n_ctx: u32) -> Error {
    let auto = if repack { ", and low_memory to auto" } else { "" };
    let hint = match largest_context(needed, free, n_ctx, false) {
        Some(fits) if repack && fits == n_ctx => {
            "it fits with settings.llm.low_memory: auto, which leaves the weights as they are"
                .into()
        }
        Some(fits) => format!(
            "a context of {} tokens would fit: set settings.llm.n_ctx to that{auto}",
            grouped(fits)
        ),
        None => "end other programs, or raise the limit of the control group".into(),
    };
    let message = format!(
        "there is not enough memory for a context of {} tokens: {}, and {} are free",
        grouped(n_ctx),
        parts(needed, repack),
        mb(free.with_swap)
    );
    Error::new(Kind::Model, message).hint(hint)
}

fn parts(needed: Need, repack: bool) -> String {
    let copy = match needed.repacked {
        bytes if repack && bytes > 0 => format!("repacked weights {}, ", mb(bytes)),
        _ => String::new(),
    };
    format!(
        "{} ({copy}cache {}, computing {}, program {})",
        mb(needed.with(repack)),
        mb(needed.cache),
        mb(needed.compute),
        mb(needed.program)
    )
}

fn mb(size: u64) -> String {
    format!("{} MB", grouped(size.div_ceil(1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    const MEMINFO: &str = "MemTotal: 8000 kB\nMemAvailable:    5000 kB\nSwapFree: 300 kB\n";
    const KIB: u64 = 1024;

    fn machine(mounts: &str, group: &str, files: &[(&str, u64)]) -> Option<Available> {
        let folder = Folder::new();
        folder.write("proc/meminfo", MEMINFO);
        folder.write("proc/self/mountinfo", mounts);
        folder.write("proc/self/cgroup", group);
        for (name, number) in files {
            folder.write(name, number.to_string());
        }
        available_at(folder.path())
    }

    fn kib(memory: u64, with_swap: u64) -> Option<Available> {
        Some(Available { memory: memory * KIB, with_swap: with_swap * KIB })
    }

    #[test]
    fn the_tightest_limit_of_version_2_counts() {
        let files = [
            ("sys/fs/cgroup/a/memory.max", 3000 * KIB),
            ("sys/fs/cgroup/a/memory.high", 9000 * KIB),
            ("sys/fs/cgroup/a/memory.current", 1000 * KIB),
            ("sys/fs/cgroup/a/memory.swap.max", 50 * KIB),
            ("sys/fs/cgroup/a/memory.swap.current", 10 * KIB),
        ];
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(machine(mounts, "0::/a/b\n", &files), kib(2000, 2040));
        assert_eq!(machine(mounts, "0::/c\n", &files), kib(5000, 5300));
    }

    #[test]
    fn version_1_limits_memory_and_swap_together() {
        let files = [
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", 1000 * KIB),
            ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", 600 * KIB),
            ("sys/fs/cgroup/memory/x/memory.memsw.limit_in_bytes", 1000 * KIB),
            ("sys/fs/cgroup/memory/x/memory.memsw.usage_in_bytes", 600 * KIB),
        ];
        let mounts = "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(machine(mounts, "4:memory:/x\n", &files), kib(400, 400));
    }

    const MB: u64 = 1_000_000;
    const NEED: Need =
        Need { repacked: 1000 * MB, cache: 200 * MB, compute: 50 * MB, program: 50 * MB };

    fn free(mb: u64) -> Available {
        Available { memory: mb * MB, with_swap: mb * MB }
    }

    #[test]
    fn weights_are_repacked_where_there_is_room() {
        let repacks = |mb, low| plan(1100 * MB, NEED, free(mb), low, 8192).unwrap();
        assert!(repacks(1300, LowMemory::Auto).repack);
        assert!(repacks(1300, LowMemory::No).repack);
        let tight = repacks(1299, LowMemory::Auto);
        assert!(!tight.repack);
        assert!(tight.remarks[1].contains("a copy of them does not fit (1,000 MB more)"));
        assert!(tight.remarks[2].contains("read again for each token"));
        assert_eq!(repacks(2400, LowMemory::Yes).remarks.len(), 2);
    }

    #[test]
    fn what_does_not_fit_is_an_error_with_what_would() {
        for (mb, low, hint) in [
            (299, LowMemory::Auto, "a context of 7,936 tokens"),
            (107, LowMemory::Yes, "a context of 256 tokens"),
            (106, LowMemory::Auto, "raise the limit of the control group"),
            (1299, LowMemory::No, "low_memory: auto"),
            (200, LowMemory::No, "4,096 tokens would fit"),
        ] {
            let error = plan(MB, NEED, free(mb), low, 8192).unwrap_err();
            assert!(error.message.contains("for a context of 8,192 tokens"), "{}", error.message);
            assert!(error.hint.contains(hint), "{}", error.hint);
        }
    }
}
