//! Regular expressions that every engine reads the same.
//!
//! What is common to Python's re, Rust's regex crate and ECMA-262: classes, groups, repetition and
//! choice. A pattern is read once and written anew, with `\d`, `\w`, `\s` and `.` as plain classes
//! of ASCII, so that no engine's own idea of them counts.

/// Of a repetition.
const MAX_COUNT: usize = 1000;
/// Characters and classes, with repetitions written out.
const MAX_SIZE: usize = 10_000;
const MAX_DEPTH: usize = 50;
const ANY: &str = "(?s:.)*";
const CLASSES: &[(char, &str)] = &[
    ('d', "0-9"),
    ('w', "0-9A-Z_a-z"),
    ('s', "\t-\r "),
    ('D', "\0-/:-\u{10ffff}"),
    ('W', "\0-/:-@\\[-\\^`{-\u{10ffff}"),
    ('S', "\0-\u{8}\u{e}-\u{1f}!-\u{10ffff}"),
];
const CONTROLS: &[(char, char)] =
    &[('n', '\n'), ('r', '\r'), ('t', '\t'), ('f', '\u{c}'), ('v', '\u{b}')];
const META: &str = "\\.+*?()|[]{}^$#&-~";
const BOUNDARIES: &str = "word boundaries are not supported";
const GROUPS: &str = "references to groups are not supported";
const UNICODE: &str = "classes of Unicode are not supported";
const REFUSED: &[(char, &str)] =
    &[('b', BOUNDARIES), ('B', BOUNDARIES), ('k', GROUPS), ('p', UNICODE), ('P', UNICODE)];

/// The pattern as one that is to match whole texts: `^` and `$` add nothing.
///
/// # Errors
/// What is wrong with it, and where.
pub fn whole(pattern: &str) -> Result<String, String> {
    let branches = Reader::new(pattern).read()?;
    let texts: Vec<String> = branches.into_iter().map(|branch| branch.text).collect();
    Ok(texts.join("|"))
}

/// A pattern that matches the whole of those texts that have a match of `pattern`.
///
/// # Errors
/// As `whole`.
pub fn search(pattern: &str) -> Result<String, String> {
    let branches = Reader::new(pattern).read()?;
    let text = |branch: Branch| {
        let begin = if branch.begins { "" } else { ANY };
        let end = if branch.ends { "" } else { ANY };
        format!("{begin}{}{end}", branch.text)
    };
    let texts: Vec<String> = branches.into_iter().map(text).collect();
    Ok(texts.join("|"))
}

/// A pattern that is bound to both ends, with groups as llama.cpp's grammars take them; None of any
/// other.
#[must_use]
pub(super) fn for_gbnf(pattern: &str) -> Option<String> {
    let mut reader = Reader::new(pattern);
    reader.group = "(";
    let branches = reader.read().ok()?;
    if !branches.iter().all(|branch| branch.begins && branch.ends) {
        return None;
    }
    let texts: Vec<String> = branches.into_iter().map(|branch| branch.text).collect();
    Some(format!("^({})$", texts.join("|")))
}

/// One of several that a pattern chooses from.
struct Branch {
    text: String,
    /// Whether it is bound to the beginning of a text.
    begins: bool,
    /// Whether it is bound to the end of a text.
    ends: bool,
    size: usize,
}

/// What stands in a class.
enum Item {
    Char(char),
    Class(&'static str),
}

struct Reader {
    pattern: Vec<char>,
    at: usize,
    /// How a group begins.
    group: &'static str,
}

impl Reader {
    fn new(pattern: &str) -> Reader {
        Reader { pattern: pattern.chars().collect(), at: 0, group: "(?:" }
    }

    fn read(mut self) -> Result<Vec<Branch>, String> {
        let branches = self.branches(0)?;
        if self.at < self.pattern.len() {
            return self.fail("a group ends that did not begin");
        }
        if size(&branches) > MAX_SIZE {
            return Err(format!("the pattern is larger than {MAX_SIZE} characters"));
        }
        Ok(branches)
    }

    fn fail<T>(&self, reason: impl std::fmt::Display) -> Result<T, String> {
        Err(format!("{reason}, at character {} of the pattern", self.at + 1))
    }

    fn next(&self) -> Option<char> {
        self.pattern.get(self.at).copied()
    }

    fn after(&self) -> Option<char> {
        self.pattern.get(self.at + 1).copied()
    }

    fn takes(&mut self, text: &str) -> bool {
        let length = text.chars().count();
        let found = self.pattern.get(self.at..self.at + length);
        let found = found.is_some_and(|found| text.chars().eq(found.iter().copied()));
        self.at += if found { length } else { 0 };
        found
    }

    fn branches(&mut self, depth: usize) -> Result<Vec<Branch>, String> {
        if depth > MAX_DEPTH {
            return self.fail("groups are nested too deep");
        }
        let mut branches = vec![self.branch(depth)?];
        while self.takes("|") {
            branches.push(self.branch(depth)?);
        }
        Ok(branches)
    }

    fn branch(&mut self, depth: usize) -> Result<Branch, String> {
        let begins = depth == 0 && self.takes("^");
        let mut branch = Branch { text: String::new(), begins, ends: false, size: 0 };
        while let Some(char) = self.next().filter(|char| !matches!(char, '|' | ')')) {
            if char == '$' && depth == 0 && matches!(self.after(), None | Some('|')) {
                self.at += 1;
                branch.ends = true;
                break;
            }
            if matches!(char, '^' | '$') {
                return self.fail(format!("{char} stands only where a pattern begins or ends"));
            }
            if matches!(char, '*' | '+' | '?' | '{') {
                return self.fail(format!("there is nothing that {char} could repeat"));
            }
            let (text, size) = self.atom(depth)?;
            let (times, most) = self.repetition()?;
            branch.text.push_str(&text);
            branch.text.push_str(&times);
            branch.size = branch.size.saturating_add(size.saturating_mul(most));
        }
        Ok(branch)
    }

    fn atom(&mut self, depth: usize) -> Result<(String, usize), String> {
        if self.takes("(") {
            if !self.takes("?:") && self.next() == Some('?') {
                return self.fail(
                    "a group is (…) or (?:…): look-around, names and flags are not supported",
                );
            }
            let branches = self.branches(depth + 1)?;
            if !self.takes(")") {
                return self.fail("a group does not end");
            }
            let size = size(&branches);
            let texts: Vec<String> = branches.into_iter().map(|branch| branch.text).collect();
            return Ok((format!("{}{})", self.group, texts.join("|")), size));
        }
        if self.takes("[") {
            return Ok((self.class()?, 1));
        }
        if self.takes(".") {
            return Ok((r"[^\n]".into(), 1));
        }
        if self.takes("\\") {
            return Ok(match self.escape()? {
                Item::Class(inside) => (format!("[{inside}]"), 1),
                Item::Char(char) => (escaped(char), 1),
            });
        }
        let char = self.next().unwrap_or_default();
        self.at += 1;
        Ok((escaped(char), 1))
    }

    /// How often what stands before is repeated, and a number for how large that is.
    fn repetition(&mut self) -> Result<(String, usize), String> {
        let Some(char) = self.next().filter(|char| matches!(char, '*' | '+' | '?' | '{')) else {
            return Ok((String::new(), 1));
        };
        let (mut times, mut most) = (char.to_string(), 1);
        if char == '{' {
            let Some((least, end, length)) = self.counts() else {
                return self.fail("{ begins no repetition; write \\{ for the character");
            };
            times = self.pattern[self.at..self.at + length].iter().collect();
            self.at += length;
            if end < least || end > MAX_COUNT {
                return self.fail(format!(
                    "a repetition goes from fewer to more, at most {MAX_COUNT} times"
                ));
            }
            most = end.max(1);
        } else {
            self.at += 1;
        }
        self.takes("?"); // fewest first: the same texts match
        if matches!(self.next(), Some('*' | '+' | '?' | '{')) {
            return self.fail("what is repeated is repeated again; write a group");
        }
        Ok((times, most))
    }

    /// The counts of `{least,most}`, and how many characters it has.
    fn counts(&self) -> Option<(usize, usize, usize)> {
        let length = self.pattern[self.at..].iter().position(|char| *char == '}')? + 1;
        let inside: String = self.pattern[self.at + 1..self.at + length - 1].iter().collect();
        let number = |digits: &str| {
            let fits = (1..=4).contains(&digits.len())
                && digits.bytes().all(|digit| digit.is_ascii_digit());
            if fits {
                digits.parse::<usize>().ok()
            } else {
                None
            }
        };
        let (least, most) = match inside.split_once(',') {
            None => (number(&inside)?, number(&inside)?),
            Some((least, "")) => (number(least)?, number(least)?),
            Some((least, most)) => (number(least)?, number(most)?),
        };
        Some((least, most, length))
    }

    fn class(&mut self) -> Result<String, String> {
        let mut text = String::from(if self.takes("^") { "[^" } else { "[" });
        if self.next() == Some(']') {
            return self.fail("a class is empty; write \\] for the character");
        }
        while !self.takes("]") {
            let first = match self.item()? {
                Item::Class(inside) => {
                    text.push_str(inside);
                    continue;
                }
                Item::Char(char) => char,
            };
            text.push_str(&escaped(first));
            if self.next() == Some('-') && !matches!(self.after(), None | Some(']')) {
                self.at += 1;
                match self.item()? {
                    Item::Char(last) if last >= first => {
                        text.push('-');
                        text.push_str(&escaped(last));
                    }
                    _ => return self.fail("a range goes from one character to a later one"),
                }
            }
        }
        text.push(']');
        Ok(text)
    }

    fn item(&mut self) -> Result<Item, String> {
        if self.takes("\\") {
            return self.escape();
        }
        match self.next() {
            None => self.fail("a class does not end"),
            Some('[') => {
                self.fail("a class within a class is not supported; write \\[ for the character")
            }
            Some(char) => {
                self.at += 1;
                Ok(Item::Char(char))
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<Item, String> {
        let char = self.next().unwrap_or_default();
        if let Some((_, inside)) = CLASSES.iter().find(|(name, _)| *name == char) {
            self.at += 1;
            return Ok(Item::Class(inside));
        }
        for (letter, digits) in [('x', 2), ('u', 4)] {
            let code = self.pattern.get(self.at + 1..=self.at + digits);
            let is_code = |code: &&[char]| code.iter().all(char::is_ascii_hexdigit);
            if let Some(code) = code.filter(|code| char == letter && is_code(code)) {
                let code = code.iter().collect::<String>();
                let number = u32::from_str_radix(&code, 16).unwrap_or_default();
                let Some(found) = char::from_u32(number) else {
                    return self.fail("half of a character");
                };
                self.at += digits + 1;
                return Ok(Item::Char(found));
            }
        }
        if char.is_ascii_digit() {
            return self.fail(GROUPS);
        }
        if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == char) {
            return self.fail(why);
        }
        if let Some((_, control)) = CONTROLS.iter().find(|(name, _)| *name == char) {
            self.at += 1;
            return Ok(Item::Char(*control));
        }
        if self.next().is_none() || !char.is_ascii() || char.is_ascii_alphanumeric() {
            let shown = self.next().map(String::from).unwrap_or_default();
            return self.fail(format!("there is no \\{shown}"));
        }
        self.at += 1;
        Ok(Item::Char(char))
    }
}

fn size(branches: &[Branch]) -> usize {
    branches.iter().fold(0, |sum, branch| sum.saturating_add(branch.size))
}

fn escaped(char: char) -> String {
    match char {
        '\n' => r"\n".into(),
        _ if META.contains(char) => format!("\\{char}"),
        _ => char.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_written_for_whole_texts() {
        for (pattern, whole) in [
            (r"^\d+$", "[0-9]+"),
            ("a|b$", "(?s:.)*a(?s:.)*|(?s:.)*b"),
            ("(a|b)+?c", "(?s:.)*(?:a|b)+c(?s:.)*"),
            (r"^[\w.-]{2,}$", r"[0-9A-Z_a-z\.\-]{2,}"),
            (r"^.\u00e9\/$", r"[^\n]é/"),
        ] {
            assert_eq!(search(pattern), Ok(whole.into()));
        }
        assert_eq!(super::whole("^a|b"), Ok("a|b".into()));
    }

    #[test]
    fn what_engines_do_not_have_in_common_is_refused() {
        for (pattern, place) in [
            ("(?=a)", 2),
            (r"\1", 2),
            ("a**", 3),
            ("(^a)", 2),
            ("[]", 2),
            ("a{", 2),
            (r"\p{L}", 2),
            ("(", 2),
            (")", 1),
            ("[b-a]", 5),
            ("(?<n>a)", 2),
            ("a++", 3),
            (r"x\", 3),
            ("[a", 3),
            (r"\q", 2),
            (r"\ud800", 2),
            ("[a[b]]", 3),
        ] {
            let place = format!("at character {place} of");
            assert!(search(pattern).is_err_and(|why| why.contains(&place)), "{pattern}");
        }
    }
}
