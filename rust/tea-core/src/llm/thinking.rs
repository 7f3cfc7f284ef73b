//! What a model thinks before it answers, between the marks of its chat template.

/// The pairs of marks that models' publishers use.
const MARKS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
];

/// What is around the thoughts of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    open: &'static str,
    close: &'static str,
}

impl Marks {
    /// The marks that a chat template has in it.
    #[must_use]
    pub fn of_template(source: &str) -> Option<Marks> {
        let found = MARKS.iter().find(|(_, close)| source.contains(close));
        found.map(|(open, close)| Marks { open, close })
    }

    /// Whether a token's name is one of them.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        [self.open, self.close].contains(&name)
    }
}

enum State {
    /// So far the answer could still begin with the first mark.
    Beginning(Vec<u8>),
    Inside(Vec<u8>),
    /// Nothing but white space came after the thoughts.
    After,
    Answering,
}

/// Keeps the thoughts out of one answer.
pub struct Thoughts {
    marks: Marks,
    state: State,
    reasoning: String,
}

impl Thoughts {
    /// Begin an answer to the prompt that ends with `tail`, a few tokens or more of it.
    #[must_use]
    pub fn new(marks: Marks, tail: &str) -> Thoughts {
        let mut thoughts = Thoughts { marks, state: State::Answering, reasoning: String::new() };
        if tail.rfind(marks.open) > tail.rfind(marks.close) {
            thoughts.enter();
        } else if !tail.trim_end().ends_with(marks.close) {
            thoughts.state = State::Beginning(Vec::new());
        }
        thoughts
    }

    /// Whether the next piece may be a thought.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        matches!(self.state, State::Beginning(_) | State::Inside(_))
    }

    /// Whether `piece` is a thought, or begins to be; else the answer begins here.
    pub fn goes_on_with(&mut self, piece: &[u8]) -> bool {
        let begins = piece.trim_ascii_start().starts_with(self.marks.open.as_bytes());
        if matches!(self.state, State::Beginning(_)) && !begins {
            self.state = State::Answering;
        }
        self.may_go_on()
    }

    /// Take a piece of the answer; returns what of it is no thought.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        match &mut self.state {
            State::Answering => piece.to_vec(),
            State::After => {
                let rest = piece.trim_ascii_start().to_vec();
                if !rest.is_empty() {
                    self.state = State::Answering;
                }
                rest
            }
            State::Inside(bytes) => {
                let close = self.marks.close.as_bytes();
                let start = bytes.len().saturating_sub(close.len());
                bytes.extend_from_slice(piece);
                let found = bytes[start..].windows(close.len()).position(|part| part == close);
                let Some(end) = found.map(|place| start + place) else { return Vec::new() };
                let rest = bytes.split_off(end).split_off(close.len());
                self.leave(State::After);
                self.feed(&rest)
            }
            State::Beginning(bytes) => {
                bytes.extend_from_slice(piece);
                let (begun, open) = (bytes.trim_ascii_start(), self.marks.open.as_bytes());
                if let Some(rest) = begun.strip_prefix(open).map(<[u8]>::to_vec) {
                    self.enter();
                    self.feed(&rest)
                } else if open.starts_with(begun) {
                    Vec::new()
                } else {
                    let bytes = std::mem::take(bytes);
                    self.state = State::Answering;
                    bytes
                }
            }
        }
    }

    /// End the answer; returns what of it is still held back, and the thoughts.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, Option<String>) {
        let held = match &mut self.state {
            State::Beginning(bytes) => std::mem::take(bytes),
            _ => Vec::new(),
        };
        self.leave(State::Answering);
        let reasoning = self.reasoning.trim();
        (held, (!reasoning.is_empty()).then(|| reasoning.to_string()))
    }

    fn enter(&mut self) {
        self.state = State::Inside(Vec::new());
    }

    fn leave(&mut self, state: State) {
        if let State::Inside(bytes) = std::mem::replace(&mut self.state, state) {
            self.reasoning = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(tail: &str, pieces: &[&str]) -> (String, Option<String>) {
        let marks = Marks::of_template("{% if '</think>' in content %}").unwrap();
        let mut thoughts = Thoughts::new(marks, tail);
        let mut answer: Vec<u8> =
            pieces.iter().flat_map(|piece| thoughts.feed(piece.as_bytes())).collect();
        let (held, reasoning) = thoughts.finish();
        answer.extend(held);
        (String::from_utf8(answer).unwrap(), reasoning)
    }

    fn both(answer: &str, reasoning: &str) -> (String, Option<String>) {
        (answer.into(), Some(reasoning.into()))
    }

    #[test]
    fn thoughts_are_kept_out_of_the_answer_in_any_pieces() {
        let pieces = ["\n<th", "ink>a <", "b </thi", "nk>", "\n\n", " yes", " <think>"];
        assert_eq!(split("assistant\n", &pieces), both("yes <think>", "a <b"));
        assert_eq!(split("<think>\n", &["a", "</think>\nb"]), both("b", "a"));
        assert_eq!(split("", &["<think>", "never", " ends"]), both("", "never ends"));
    }

    #[test]
    fn an_answer_without_thoughts_stays_as_it_is() {
        assert_eq!(split("", &[" <", "b>"]), (" <b>".into(), None));
        assert_eq!(split("", &["<th"]), ("<th".into(), None));
        assert_eq!(split("<think>\n\n</think>\n\n", &["<think>"]), ("<think>".into(), None));
        assert_eq!(split("", &["<think>", "\n\n", "</think>", "b"]), ("b".into(), None));
    }

    #[test]
    fn a_template_without_marks_has_none() {
        assert_eq!(Marks::of_template("{{ messages[0].content }}"), None);
    }
}
