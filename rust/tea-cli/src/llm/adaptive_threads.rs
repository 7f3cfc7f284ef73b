//! How many of the threads compute one token: fewer while other programs want their cores.
//!
//! Threads wait for each other several hundred times a token. When one of them has lost its core
//! to another program, all wait until it has one again, which may take milliseconds each time: two
//! threads were then measured to be four times slower than one. The sign of it is that threads that
//! could run wait for a core. How much processor time they get is none: whoever waits for the others
//! spins at first, and sleeps after that.

use std::fs;
use std::path::Path;

/// Seconds of answering that are judged together.
const WINDOW: f64 = 0.1;
/// Of the window, waited by all threads together; idle machines stay below 0.15.
const CROWDED: f64 = 1.0 / 3.0;
/// Seconds until all threads are tried again.
const FIRST_PAUSE: f64 = 2.0;
const LONGEST_PAUSE: f64 = 8.0;

/// For how many seconds this process's threads together have waited for a core. It stays 0 on
/// kernels that do not count that.
#[must_use]
pub fn cpu_wait_seconds() -> f64 {
    queue_time_of(Path::new("/proc/self/task"))
}

/// `tasks` holds a folder for each thread; their `schedstat` has nanoseconds run, nanoseconds
/// waited, and a count.
fn queue_time_of(tasks: &Path) -> f64 {
    let waited = |text: String| text.split(' ').nth(1)?.parse::<u64>().ok();
    let threads = fs::read_dir(tasks).into_iter().flatten().flatten();
    let nanoseconds: u64 = threads
        // One that cannot be read has ended meanwhile.
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(waited)
        .sum();
    nanoseconds as f64 / 1e9
}

/// Between one and all threads.
#[derive(Debug)]
pub struct AdaptiveThreads {
    threads: u32,
    full: u32,
    start: f64, // of this window
    queued: f64,
    pause: f64,
    retry: f64, // when all threads are tried again
}

impl AdaptiveThreads {
    /// Begin with `full` threads.
    #[must_use]
    pub fn new(full: u32) -> AdaptiveThreads {
        AdaptiveThreads {
            threads: full,
            full,
            start: 0.0,
            queued: 0.0,
            pause: FIRST_PAUSE,
            retry: 0.0,
        }
    }

    /// How many are to compute the next token.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// Begin an answer at `now`: what was waited before, `queued` seconds, does not count.
    pub fn begin(&mut self, now: f64, queued: f64) {
        (self.start, self.queued) = (now, queued);
    }

    /// Look at the time since the last look, now that a token has been computed. `wait_clock` is
    /// `cpu_wait_seconds`.
    pub fn observe(&mut self, now: f64, wait_clock: impl FnOnce() -> f64) {
        let wall = now - self.start;
        if wall < WINDOW {
            return;
        }
        let queued = wait_clock();
        let crowded = queued - self.queued > CROWDED * wall;
        self.begin(now, queued);
        if crowded && self.threads > 1 {
            if self.threads == self.full {
                self.retry = now + self.pause;
                self.pause = LONGEST_PAUSE.min(2.0 * self.pause);
            }
            self.threads = self.threads * 3 / 4;
        } else if self.threads < self.full && now >= self.retry {
            self.threads = self.full;
        } else if self.threads == self.full {
            self.pause = FIRST_PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window that ends at `now`, in which threads waited for the `share` of it.
    fn observe(adaptive: &mut AdaptiveThreads, now: f64, share: f64) -> u32 {
        adaptive.begin(now - 1.5 * WINDOW, 5.0);
        adaptive.observe(now, || 5.0 + 1.5 * WINDOW * share);
        adaptive.threads()
    }

    #[test]
    fn crowded_threads_get_smaller_down_to_one() {
        let mut adaptive = AdaptiveThreads::new(4);
        let seen: Vec<u32> =
            (1..5).map(|i| observe(&mut adaptive, 0.1 * f64::from(i), 0.5)).collect();
        assert_eq!(seen, [3, 2, 1, 1]);
    }

    #[test]
    fn what_an_idle_machine_waits_changes_nothing() {
        for full in [1, 2, 16] {
            assert_eq!(observe(&mut AdaptiveThreads::new(full), 0.1, 0.3), full);
        }
    }

    #[test]
    fn all_threads_are_tried_again_after_a_pause_that_grows() {
        let mut adaptive = AdaptiveThreads::new(2);
        assert_eq!(observe(&mut adaptive, 1.0, 0.9), 1);
        assert_eq!(observe(&mut adaptive, 2.9, 0.0), 1);
        assert_eq!(observe(&mut adaptive, 3.0, 0.0), 2);
        assert_eq!(observe(&mut adaptive, 3.1, 0.9), 1);
        assert_eq!(observe(&mut adaptive, 7.0, 0.0), 1);
        assert_eq!(observe(&mut adaptive, 7.1, 0.0), 2);
    }

    #[test]
    fn less_than_a_window_is_not_judged() {
        let mut adaptive = AdaptiveThreads::new(2);
        adaptive.observe(0.9 * WINDOW, || unreachable!());
        assert_eq!(adaptive.threads(), 2);
    }

    #[test]
    fn the_waits_of_all_threads_are_added_up() -> std::io::Result<()> {
        let folder =
            std::env::temp_dir().join(format!("tea-adaptive-threads-{}", std::process::id()));
        for (thread, text) in [("1", "50 2000000000 7\n"), ("2", "9 500000000 1\n"), ("3", "")] {
            fs::create_dir_all(folder.join(thread))?;
            fs::write(folder.join(thread).join("schedstat"), text)?;
        }
        let waited = queue_time_of(&folder);
        fs::remove_dir_all(&folder)?;
        assert!((waited - 2.5).abs() < 1e-9);
        assert_eq!(queue_time_of(&folder), 0.0);
        Ok(())
    }
}
