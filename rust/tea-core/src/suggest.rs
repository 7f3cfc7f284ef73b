//! The nearest known word to one that is not known.

/// How alike a misspelled key is at least.
const CUTOFF: f64 = 0.5;
/// The same where another word would mean something else, as with actions.
pub(crate) const ALIKE: f64 = 0.75;

/// `did you mean "…"?` for the nearest of `known`, or nothing.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest_within(word, known, CUTOFF)
}

/// The same for a word that is alike by `cutoff` (0 to 1) or more.
pub(crate) fn nearest_within<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    cutoff: f64,
) -> String {
    let wanted: Vec<char> = word.to_lowercase().chars().collect();
    let mut best: Option<(f64, String, &str)> = None;
    for name in known {
        let lower = name.to_lowercase();
        let score = likeness(&lower.chars().collect::<Vec<_>>(), &wanted);
        let better = match &best {
            Some((most, text, _)) => (score, &lower) > (*most, text),
            None => true,
        };
        if score >= cutoff && better {
            best = Some((score, lower, name));
        }
    }
    best.map_or_else(String::new, |(_, _, name)| format!("did you mean \"{name}\"?"))
}

/// How alike two words are, from 0 to 1: twice the characters that match in order, by all of them.
///
/// Source: Ratcliff and Obershelp, Pattern Matching: The Gestalt Approach (1988).
fn likeness(a: &[char], b: &[char]) -> f64 {
    let all = a.len() + b.len();
    if all == 0 {
        return 1.0;
    }
    2.0 * matching(a, b) as f64 / all as f64
}

fn matching(a: &[char], b: &[char]) -> usize {
    let (start_a, start_b, size) = longest_common(a, b);
    if size == 0 {
        return 0;
    }
    let (end_a, end_b) = (start_a + size, start_b + size);
    size + matching(&a[..start_a], &b[..start_b]) + matching(&a[end_a..], &b[end_b..])
}

/// The longest run that both have; the first of several, in `a`, then in `b`.
fn longest_common(a: &[char], b: &[char]) -> (usize, usize, usize) {
    let mut best = (0, 0, 0);
    let mut before = vec![0; b.len() + 1]; // the run that ends before each character of b
    for (i, character) in a.iter().enumerate() {
        let mut row = vec![0; b.len() + 1];
        for (j, other) in b.iter().enumerate() {
            if character == other {
                let size = before[j] + 1;
                row[j + 1] = size;
                if size > best.2 {
                    best = (i + 1 - size, j + 1 - size, size);
                }
            }
        }
        before = row;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_whatever_its_case() {
        let known = ["uses", "output", "goto", "Name"];
        assert_eq!(nearest("use", known), "did you mean \"uses\"?");
        assert_eq!(nearest("OUPUT", known), "did you mean \"output\"?");
        assert_eq!(nearest("name", known), "did you mean \"Name\"?");
    }

    #[test]
    fn nothing_is_named_where_no_word_is_near() {
        assert_eq!(nearest("xyz", ["uses", "output"]), "");
        assert_eq!(nearest("a", []), "");
    }

    #[test]
    fn a_long_word_takes_no_long_time() {
        assert_eq!(nearest(&"ab".repeat(5000), ["uses"]), "");
    }
}
