//! How many of the threads compute one token: fewer while other programs want their cores.
//!
//! Threads wait for each other several hundred times a token. When one of them has lost its core
//! to another program, all wait until it has one again, which may take milliseconds each time: two
//! threads were then measured to be four times slower than one. Whoever waits keeps its core busy,
//! so the sign of it is that all threads together had less processor time than passed for each of
//! them. The time of the one that leads the others would not do: it may have a core to itself, and
//! wait.

/// Seconds of computing that are judged together.
const WINDOW: f64 = 0.1;
/// Of one thread's time: so much is missing on a crowded machine.
const LOST: f64 = 1.0 / 3.0;
/// Of all threads' time, where that is more: of many, some rest now and then.
const LOST_OF_ALL: f64 = 0.1;
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

    /// Learn from a token that was done at `now` and took `wall` seconds, in which all
    /// threads together had `cpu` seconds of processor time.
    pub fn learn(&mut self, now: f64, wall: f64, cpu: f64) {
        self.wall += wall;
        self.cpu += cpu;
        if self.wall < WINDOW {
            return;
        }
        let threads = f64::from(self.threads);
        let lost = threads * self.wall - self.cpu;
        let crowded = lost > LOST.max(LOST_OF_ALL * threads) * self.wall;
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

    /// A token that took a window's time, of which each thread had the `share`.
    fn learn(crew: &mut Crew, now: f64, share: f64) -> u32 {
        crew.learn(now, WINDOW, WINDOW * share * f64::from(crew.threads()));
        crew.threads()
    }

    #[test]
    fn a_crowded_crew_gets_smaller_down_to_one() {
        let mut crew = Crew::new(4);
        let seen: Vec<u32> = (0..4).map(|_| learn(&mut crew, 0.1, 0.5)).collect();
        assert_eq!(seen, [3, 2, 1, 1]);
    }

    #[test]
    fn one_thread_that_loses_half_of_its_time_is_enough_while_the_others_wait_for_it() {
        for (full, fewer) in [(2, 1), (3, 2), (4, 3), (5, 3)] {
            let mut crew = Crew::new(full);
            crew.learn(0.0, WINDOW, WINDOW * (f64::from(full) - 0.501));
            assert_eq!(crew.threads(), fewer, "of {full}");
        }
    }

    #[test]
    fn the_small_losses_of_an_idle_machine_change_nothing() {
        for full in [1, 2, 3, 4, 16] {
            let mut crew = Crew::new(full);
            assert_eq!(learn(&mut crew, 0.0, 0.91), full);
        }
    }

    #[test]
    fn all_threads_are_tried_again_after_a_pause_that_grows() {
        let mut crew = Crew::new(2);
        assert_eq!(learn(&mut crew, 0.0, 0.3), 1);
        assert_eq!(learn(&mut crew, 1.9, 1.0), 1);
        assert_eq!(learn(&mut crew, 2.0, 1.0), 2);
        assert_eq!(learn(&mut crew, 2.1, 0.3), 1);
        assert_eq!(learn(&mut crew, 6.0, 1.0), 1);
        assert_eq!(learn(&mut crew, 6.1, 1.0), 2);
    }

    #[test]
    fn less_than_a_window_is_not_judged() {
        let mut crew = Crew::new(2);
        crew.learn(0.0, 0.9 * WINDOW, 0.0);
        assert_eq!(crew.threads(), 2);
    }
}
