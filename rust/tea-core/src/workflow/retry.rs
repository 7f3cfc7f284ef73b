//! What happens when a node fails: the mode, the retries and the waits between them.

use crate::errors::Error;
use crate::spec;
use crate::value::Value;

/// Seconds.
const MAX_DELAY: f64 = 60.0;

/// What to do with a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The run fails.
    Raise,
    /// The run goes on.
    Graceful,
    /// The node is tried again, and when that does not help the run goes on.
    Retry,
}

/// The keys of `on_error` or `error_handling` that are given. Delays in seconds.
#[derive(Debug, Clone, Default)]
pub struct RetryOverrides {
    pub(crate) mode: Option<Mode>,
    pub(crate) max_retries: Option<u64>,
    pub(crate) retry_delay: Option<f64>,
    pub(crate) backoff_multiplier: Option<f64>,
    pub(crate) max_delay: Option<f64>,
    pub(crate) jitter: Option<bool>,
    pub(crate) retryable_errors: Option<Vec<String>>,
    pub(crate) fallback: Option<String>,
}

impl RetryOverrides {
    /// Take checked values by key. Keys that are null or unknown say nothing.
    pub(crate) fn from_values<'a>(
        values: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> RetryOverrides {
        let mut told = RetryOverrides::default();
        for (key, value) in values {
            let count = || value.as_int().and_then(|number| u64::try_from(number).ok());
            match key {
                "mode" => told.mode = value.as_text().and_then(mode),
                "max_retries" => told.max_retries = count(),
                "retry_delay" => told.retry_delay = value.as_number(),
                "backoff_multiplier" => told.backoff_multiplier = value.as_number(),
                "base_delay_ms" => told.retry_delay = value.as_number().map(|ms| ms / 1000.0),
                "max_delay_ms" => {
                    told.max_delay = value.as_number().map(|ms| (ms / 1000.0).min(MAX_DELAY));
                }
                "jitter" => told.jitter = value.as_bool(),
                "retryable_errors" => told.retryable_errors = Some(texts(&value)),
                "fallback" => told.fallback = value.as_text().map(Into::into),
                _ => {}
            }
        }
        told
    }

    fn tells_more_than_fallback(&self) -> bool {
        self.max_retries.is_some()
            || self.retry_delay.is_some()
            || self.backoff_multiplier.is_some()
            || self.max_delay.is_some()
            || self.jitter.is_some()
            || self.retryable_errors.is_some()
    }

    /// Whether both say something about the same key, the mode aside.
    pub(crate) fn overlaps(&self, other: &RetryOverrides) -> bool {
        (self.max_retries.is_some() && other.max_retries.is_some())
            || (self.retry_delay.is_some() && other.retry_delay.is_some())
            || (self.backoff_multiplier.is_some() && other.backoff_multiplier.is_some())
    }

    /// Lay another over this one.
    pub(crate) fn merge(&mut self, other: RetryOverrides) {
        self.mode = other.mode.or(self.mode);
        self.max_retries = other.max_retries.or(self.max_retries);
        self.retry_delay = other.retry_delay.or(self.retry_delay);
        self.backoff_multiplier = other.backoff_multiplier.or(self.backoff_multiplier);
        self.max_delay = other.max_delay.or(self.max_delay);
        self.jitter = other.jitter.or(self.jitter);
        self.retryable_errors = other.retryable_errors.or(self.retryable_errors.take());
        self.fallback = other.fallback.or(self.fallback.take());
    }
}

fn mode(word: &str) -> Option<Mode> {
    match word {
        "raise" => Some(Mode::Raise),
        "graceful" => Some(Mode::Graceful),
        "retry" => Some(Mode::Retry),
        _ => None,
    }
}

fn texts(value: &Value) -> Vec<String> {
    let one = value.as_text().map(Into::into).into_iter();
    let many = value.as_list().unwrap_or_default().iter();
    one.chain(many.filter_map(Value::as_text).map(Into::into)).collect()
}

/// How the failure of a node is handled. Delays in seconds.
#[derive(Debug)]
pub(crate) struct Policy {
    pub mode: Mode,
    pub fallback: Option<String>,
    max_retries: u64,
    delay: f64,
    backoff_multiplier: f64,
    max_delay: f64,
    jitter: bool,
    retryable_errors: Option<Vec<String>>,
}

impl Policy {
    /// Lay what is told over the defaults, the later over the earlier.
    ///
    /// Where no mode is given with the other keys, they say it: retries mean retry, a fallback
    /// alone means graceful.
    pub fn new(told: &[&RetryOverrides]) -> Policy {
        let mut all = RetryOverrides::default();
        for told in told {
            let mut told = (*told).clone();
            if told.mode.is_none() {
                if told.tells_more_than_fallback() {
                    told.mode = Some(Mode::Retry);
                } else if told.fallback.is_some() && all.mode.is_none_or(|m| m == Mode::Raise) {
                    told.mode = Some(Mode::Graceful);
                }
            }
            all.merge(told);
        }
        let max_delay = all.max_delay.unwrap_or(MAX_DELAY);
        Policy {
            mode: all.mode.unwrap_or(Mode::Raise),
            fallback: all.fallback,
            max_retries: all.max_retries.unwrap_or(spec::ERROR_HANDLING_MAX_RETRIES),
            delay: all.retry_delay.unwrap_or(spec::ERROR_HANDLING_RETRY_DELAY).min(max_delay),
            backoff_multiplier: all
                .backoff_multiplier
                .unwrap_or(spec::ERROR_HANDLING_BACKOFF_MULTIPLIER),
            max_delay,
            jitter: all.jitter.unwrap_or(false),
            retryable_errors: all.retryable_errors,
        }
    }

    /// Whether to try again after `error`, when `done` retries are behind.
    pub fn retries(&self, error: &Error, done: u64) -> bool {
        let is_retryable = |types: &Vec<String>| types.iter().any(|t| t == error.kind.word());
        self.mode == Mode::Retry
            && done < self.max_retries
            && self.retryable_errors.as_ref().is_none_or(is_retryable)
    }

    /// The wait before the next retry. Jitter takes off up to half of it.
    pub fn next_delay(&mut self, random: impl FnOnce() -> f64) -> f64 {
        let delay = self.delay;
        self.delay = (delay * self.backoff_multiplier).min(self.max_delay);
        if self.jitter {
            delay * (1.0 - random() / 2.0)
        } else {
            delay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(entries: &[(&'static str, Value)]) -> RetryOverrides {
        RetryOverrides::from_values(entries.iter().cloned())
    }

    #[test]
    fn what_is_told_says_the_mode_where_none_is_given() {
        let fallback = told(&[("fallback", "x".into())]);
        let retries = told(&[("max_retries", Value::Int(1))]);
        let raise = told(&[("mode", "raise".into())]);
        let retry = told(&[("mode", "retry".into())]);
        assert_eq!(Policy::new(&[]).mode, Mode::Raise);
        assert_eq!(Policy::new(&[&fallback]).mode, Mode::Graceful);
        assert_eq!(Policy::new(&[&raise, &fallback]).mode, Mode::Graceful);
        assert_eq!(Policy::new(&[&retry, &fallback]).mode, Mode::Retry);
        assert_eq!(Policy::new(&[&raise, &retries]).mode, Mode::Retry);
        assert_eq!(Policy::new(&[&retries, &raise]).mode, Mode::Raise);
    }

    #[test]
    fn waits_grow_to_their_limit() {
        let mut policy = Policy::new(&[&told(&[
            ("base_delay_ms", Value::Int(500)),
            ("max_delay_ms", Value::Int(1500)),
            ("jitter", Value::Bool(true)),
        ])]);
        let waits: Vec<f64> = (0..4).map(|_| policy.next_delay(|| 0.5)).collect();
        assert_eq!(waits, [0.375, 0.75, 1.125, 1.125]);
    }
}
