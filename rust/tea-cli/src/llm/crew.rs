//! How many of the threads compute one token: fewer while other programs want their cores.
//!
//! Threads wait for each other several hundred times a token. When one of them has lost its core
//! to another program, all wait until it has one again, which may take milliseconds each time: two
//! threads were then measured to be four times slower than one. The sign of it is that the thread
//! which leads the others gets much less of its processor than time has passed.

/// Seconds of computing that are judged together.
const WINDOW: f64 = 0.05;
/// Of the time; a thread that waits for nobody but its like gets nearly all of it.
const CROWDED: f64 = 2.0 / 3.0;
/// Seconds until all threads are tried again.
const FIRST_PAUSE: f64 = 2.0;
const LONGEST_PAUSE: f64 = 8.0;

/// Between one and all threads.
#[derive(Debug)]
pub struct Crew {
    threads: u32,
    full: u32,
    wall: f64, // of this window
    cpu: f64,
    pause: f64,
    retry: f64, // when all threads are tried again
}

impl Crew {
    /// Begin with `full` threads.
    #[must_use]
    pub fn new(full: u32) -> Crew {
        Crew { threads: full, full, wall: 0.0, cpu: 0.0, pause: FIRST_PAUSE, retry: 0.0 }
    }

    /// How many are to compute the next token.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// Learn from a token that was done at `now` and took `wall` seconds, of which the leading
    /// thread had a processor for `cpu`.
    pub fn learn(&mut self, now: f64, wall: f64, cpu: f64) {
        self.wall += wall;
        self.cpu += cpu;
        if self.wall < WINDOW {
            return;
        }
        let crowded = self.cpu < CROWDED * self.wall;
        (self.wall, self.cpu) = (0.0, 0.0);
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

    #[test]
    fn a_crowded_crew_gets_smaller_down_to_one() {
        let mut crew = Crew::new(4);
        let mut seen = Vec::new();
        for _ in 0..4 {
            crew.learn(0.1, 0.06, 0.02);
            seen.push(crew.threads());
        }
        assert_eq!(seen, [3, 2, 1, 1]);
    }

    #[test]
    fn all_threads_are_tried_again_after_a_pause_that_grows() {
        let mut crew = Crew::new(2);
        crew.learn(0.0, 0.06, 0.01);
        crew.learn(1.9, 0.06, 0.06);
        assert_eq!(crew.threads(), 1);
        crew.learn(2.0, 0.06, 0.06);
        assert_eq!(crew.threads(), 2);
        crew.learn(2.1, 0.06, 0.01);
        crew.learn(6.0, 0.06, 0.06);
        assert_eq!(crew.threads(), 1);
        crew.learn(6.1, 0.06, 0.06);
        assert_eq!(crew.threads(), 2);
    }

    #[test]
    fn less_than_a_window_is_not_judged() {
        let mut crew = Crew::new(2);
        crew.learn(0.0, 0.04, 0.0);
        assert_eq!(crew.threads(), 2);
    }
}
