"""Writes the table as constants of the Rust engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tasks.spec.table import Function, Key, Keyword, Level, Table, ValueType

HEAD = """\
//! The table of the workflow format, as constants.
#![cfg_attr(rustfmt, rustfmt_skip)]

/// The kinds of values, each with a check of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
"""
TYPES = """\
}

/// What a key takes; `least` and `most` are in the range, `above` is not.
#[derive(Debug, Clone, Copy)]
pub struct ValueType {
    /// What sort of value.
    pub kind: Kind,
    /// The same in words.
    pub expected: &'static str,
    /// The least of a number.
    pub least: Option<f64>,
    /// The most of a number.
    pub most: Option<f64>,
    /// A number must be above it.
    pub above: Option<f64>,
    /// The words of a choice.
    pub words: &'static [&'static str],
}

/// Keys or parameters, and what they take.
#[derive(Debug, Clone, Copy)]
pub struct Types(pub &'static [(&'static str, ValueType)]);

/// One level of the file. `title` says in messages where a key is.
#[derive(Debug)]
pub struct Level {
    /// Where.
    pub title: &'static str,
    /// Keys and what they take.
    pub known: Types,
    /// Keys without effect.
    pub ignored: &'static [(&'static str, &'static str)],
    /// Keys that are refused by name.
    pub unsupported: &'static [&'static str],
}

/// The parameters of an action.
#[derive(Debug)]
pub struct Parameters {
    /// Parameters and what they take.
    pub types: Types,
    /// All their names.
    pub names: &'static [&'static str],
    /// Those that must be there.
    pub required: &'static [&'static str],
}

/// A keyword of JSON Schema.
#[derive(Debug)]
pub struct Keyword {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub takes: &'static str,
    /// Whether the engines Python and Rust hold an answer to it.
    pub held_locally: bool,
    /// Whether the engine in a page does.
    pub held_in_page: bool,
    /// What is wrong with a value, with {wanted} for the keyword's own.
    pub message: &'static str,
}

/// A parameter of a filter or a test, after its subject.
#[derive(Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
}

/// How a filter or a test is called.
#[derive(Debug)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// Its parameters after the subject.
    pub arguments: &'static [Argument],
    /// Whether more may follow by position.
    pub more_positions: bool,
    /// Whether more may follow by name.
    pub more_names: bool,
}
"""
COMMANDS = """\
/// A command of the program.
#[derive(Debug)]
pub struct Command {
    /// Its name; "tea" is the program itself.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Its options, an argument first.
    pub options: &'static [CommandOption],
}

/// An option of a command, or an argument.
#[derive(Debug)]
pub struct CommandOption {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// What it takes; empty for a flag.
    pub value: &'static str,
    /// The only values, where there are such.
    pub words: &'static [&'static str],
}
"""
_RUST_TYPES = {"float": "f64", "int": "u64"}


def write(table: Table) -> str:
    """The module tea_core::spec."""
    types = [*(key.type for level in table.levels.values() for key in level.keys)]
    types += [key.type for action in table.actions for key in action.params]
    kinds = dict.fromkeys(each.name for each in types)
    lines = [HEAD + "\n".join(f"    /// `{name}`.\n    {_kind(name)}," for name in kinds)]
    lines += [TYPES]
    lines += _sampling(table)
    for level in table.levels.values():
        lines += _level(level)
    node = table.levels["node"]
    lines += [
        line
        for name, about, keys in (
            ("ANY_NODE", "every node may have", node.of_body(None)),
            ("ANY_STEP", "every step may have", table.levels["step"].of_body(None)),
            ("ACTION_BODY", "an action has", node.of_body("action")),
            ("RUN_BODY", "code has", node.of_body("run")),
            ("STEPS_BODY", "several bodies have", node.of_body("steps")),
            ("LOOP_BODY", "a loop has", node.of_body("loop")),
            ("EACH_BODY", "branches over a list have", node.of_body("each")),
            ("EMPTY_NODE", "a node without a body has", node.empty),
        )
        for line in _names(name, f"The keys that {about}.", keys)
    ]
    lines += ["/// Why keys of one style of body change nothing in the others."]
    lines += [f"pub const ELSEWHERE: &[(&str, &str)] = {_pairs(node.elsewhere)};", ""]
    about = "What an API is sent; null for one of these lets it choose itself."
    lines += _names("SENT", about, table.sent("always", "given"))
    about = "Those of them that it is sent only where the file gives them."
    lines += _names("SENT_WHERE_GIVEN", about, table.sent("given"))
    for place in ("chat", "embed", "decide", "tools"):
        keys = table.parameters_of(place)
        lines += _parameters(place.upper(), f"The parameters of {place}.", keys)
    lines += ["/// The parameters of the actions.", "pub const ACTIONS: &[(&str, Parameters)] = &["]
    for action in table.actions:
        value = action.like.upper() if action.like else _parameters_value(action.params)
        lines += [f"    ({_text(action.name)}, {value}),"]
    lines += ["];", ""]
    for name, text in table.prompts.items():
        lines += [f"/// What models are told: {name}."]
        lines += [f"pub const {name.upper()}_PROMPT: &str = {_text(text)};", ""]
    for name, about, functions in (
        ("FILTERS", "filters", table.filters),
        ("TESTS", "tests", table.tests),
    ):
        lines += [f"/// The {about} of templates.", f"pub const {name}: &[Signature] = &["]
        lines += [f"    {_signature(each)}," for each in functions]
        lines += ["];", ""]
    lines += ["/// The keywords of JSON Schema.", "pub const KEYWORDS: &[Keyword] = &["]
    lines += [f"    {_keyword(each)}," for each in table.keywords]
    lines += ["];", "", "/// The formats of JSON Schema: what a whole text matches."]
    pairs = [f"({_text(name)}, {_text(pattern)})" for name, pattern in table.formats.items()]
    lines += ["pub const FORMATS: &[(&str, &str)] = &[", *(f"    {pair}," for pair in pairs), "];"]
    lines += ["", *_defaults(table)]
    lines += [COMMANDS, "/// The commands.", "pub const COMMANDS: &[Command] = &["]
    for command in table.commands:
        options = [*([command.argument] if command.argument else []), *command.options]
        start = f"    Command {{ name: {_text(command.name)}, help: {_text(command.help)}, "
        lines += [start + "options: &["]
        lines += [
            f"        CommandOption {{ name: {_text(each.name)}, help: {_text(each.help)}, "
            f"value: {_text(each.value)}, words: {_list(each.words)} }},"
            for each in options
        ]
        lines += ["    ] },"]
    lines += [
        "];",
        "",
        "/// The exit codes, and what each means.",
        "pub const EXITS: &[(u8, &str)] = &[",
    ]
    lines += [f"    ({each.code}, {_text(each.help)})," for each in table.exits]
    lines += ["];", ""]
    for each in table.exits:
        lines += [f"/// {each.help[0].upper()}{each.help[1:]}."]
        lines += [f"pub const EXIT_{each.name.upper()}: u8 = {each.code};", ""]
    return "\n".join(lines)


def _defaults(table: Table) -> list[str]:
    lines = []
    for name, key in table.defaults():
        kind = "f64" if key.type.name == "number" else "u64"
        lines += [f"/// Where it is not given: {key.help}."]
        lines += [f"pub const {name}: {kind} = {key.default!r};", ""]
    return lines


def _kind(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _text(text: str) -> str:
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    return f'"{text.translate(escapes)}"'


def _list(texts: Iterable[str]) -> str:
    return f"&[{', '.join(map(_text, texts))}]"


def _pairs(texts: Mapping[str, str]) -> str:
    inner = ", ".join(f"({_text(key)}, {_text(value)})" for key, value in texts.items())
    return f"&[{inner}]"


def _names(name: str, about: str, texts: Iterable[str]) -> list[str]:
    return [f"/// {about}", f"pub const {name}: &[&str] = {_list(texts)};", ""]


def _number(bound: float | None) -> str:
    return "None" if bound is None else f"Some({float(bound)!r})"


def _type(of: ValueType) -> str:
    bounds = ", ".join(
        f"{name}: {_number(bound)}"
        for name, bound in (("least", of.least), ("most", of.most), ("above", of.above))
    )
    return (
        f"ValueType {{ kind: Kind::{_kind(of.name)}, expected: {_text(of.expected)}, "
        f"{bounds}, words: {_list(of.words)} }}"
    )


def _types(keys: Iterable[Key]) -> str:
    inner = "\n".join(f"        ({_text(key.name)}, {_type(key.type)})," for key in keys)
    return f"Types(&[\n{inner}\n    ])"


def _level(level: Level) -> list[str]:
    return [
        f"/// The keys of {level.title}.",
        f"pub const {level.id.upper()}: Level = Level {{",
        f"    title: {_text(level.title)},",
        f"    known: {_types(level.keys)},",
        f"    ignored: {_pairs(level.ignored)},",
        f"    unsupported: {_list(level.unsupported)},",
        "};",
        "",
    ]


def _parameters_value(keys: Iterable[Key]) -> str:
    keys = tuple(keys)
    names = _list(key.name for key in keys)
    required = _list(key.name for key in keys if key.required)
    return f"Parameters {{ types: {_types(keys)}, names: {names}, required: {required} }}"


def _parameters(name: str, about: str, keys: Iterable[Key]) -> list[str]:
    return [
        f"/// {about}",
        f"pub const {name}: Parameters = {_parameters_value(keys)};",
        "",
    ]


def _keyword(keyword: Keyword) -> str:
    local, page = (str(name in keyword.held).lower() for name in ("local", "page"))
    return (
        f"Keyword {{ name: {_text(keyword.name)}, takes: {_text(keyword.takes)}, "
        f"held_locally: {local}, held_in_page: {page}, message: {_text(keyword.message)} }}"
    )


def _signature(function: Function) -> str:
    arguments = ", ".join(
        f"Argument {{ name: {_text(each.name)}, required: {str(each.required).lower()} }}"
        for each in function.arguments
    )
    return (
        f"Signature {{ name: {_text(function.name)}, arguments: &[{arguments}], "
        f"more_positions: {str(function.more in ('positions', 'both')).lower()}, "
        f"more_names: {str(function.more in ('names', 'both')).lower()} }}"
    )


def _sampling(table: Table) -> list[str]:
    lines = [
        "/// A number of either sort.",
        "#[derive(Debug, Clone, Copy, PartialEq)]",
        "pub enum Number {",
        "    /// With a fraction.",
        "    Float(f64),",
        "    /// A whole one.",
        "    Int(u64),",
        "}",
        "",
        "/// How to choose the tokens of an answer.",
        "#[derive(Debug, Clone, Copy, PartialEq)]",
    ]
    lines += ["pub struct Sampling {"]
    for key in table.sampling:
        lines += [f"    /// {key.help[0].upper()}{key.help[1:]}."]
        lines += [f"    pub {key.name}: {_RUST_TYPES[key.more['sampling']]},"]
    lines += ["}", "", "impl Default for Sampling {", "    fn default() -> Sampling {"]
    lines += ["        Sampling {"]
    lines += [f"            {key.name}: {key.default!r}," for key in table.sampling]
    lines += ["        }", "    }", "}", "", "impl Sampling {"]
    lines += ["    /// Set the field of this name to the number that fits it, where there is one."]
    lines += ["    pub fn set(&mut self, name: &str, float: Option<f64>, int: Option<u64>) {"]
    lines += ["        match name {"]
    for key in table.sampling:
        field = f"self.{key.name}"
        given = f"{key.more['sampling']}.unwrap_or({field})"
        lines += [f'            "{key.name}" => {field} = {given},']
    lines += ["            _ => {}", "        }", "    }", ""]
    lines += ["    /// All fields by name."]
    lines += ["    #[must_use]"]
    lines += [f"    pub fn fields(&self) -> [(&'static str, Number); {len(table.sampling)}] {{"]
    lines += ["        ["]
    for key in table.sampling:
        value = {"float": "Number::Float(self.{})", "int": "Number::Int(self.{})"}
        lines += [f'            ("{key.name}", {value[key.more["sampling"]].format(key.name)}),']
    return [*lines, "        ]", "    }", "}", ""]
