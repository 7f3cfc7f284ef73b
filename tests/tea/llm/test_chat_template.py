from __future__ import annotations

import datetime
from dataclasses import dataclass

import pytest

from the_edge_agent.errors import ModelError
from the_edge_agent.llm.backend import Message, Role
from the_edge_agent.llm.chat_template import ChatTemplate

# Written to the formats that the models' publishers document.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set head = messages[0]['content'] | trim + '\n\n' -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set head = '' -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("roles must alternate user/assistant") }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (head if loop.first else '') }}
    {{- message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}
"""
NO_SYSTEM = """\
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ raise_exception('System role not supported') }}{%- endif -%}
[{{ message.role }}] {{ message.content }}{{ eos_token }}
{%- endfor -%}
"""
FORGETS_SYSTEM = (
    "{% for m in messages if m.role != 'system' %}[{{ m.role }}] {{ m.content }}{% endfor %}"
)

NO_THINK = """\
{%- set system = messages[0].content if messages[0].role == 'system' else '' -%}
{%- set text = system | replace('/no_think', '') | trim -%}
{%- if text %}[system] {{ text }}{% endif -%}
{%- for m in messages if m.role != 'system' %}[{{ m.role }}] {{ m.content }}{% endfor -%}
{%- if '/no_think' in system %}<think></think>{% endif -%}
"""


def messages(*pairs: tuple[Role, str]) -> tuple[Message, ...]:
    return tuple(Message(role, content) for role, content in pairs)


def render(source: str, *pairs: tuple[Role, str]) -> str:
    template = ChatTemplate(source, bos_token="<bos>", eos_token="</s>")
    return template.render(messages(*pairs))


@dataclass(frozen=True)
class Case:
    name: str
    source: str
    pairs: tuple[tuple[Role, str], ...]
    expected: str


CASES = [
    Case(
        "chatml, system and user",
        CHATML,
        (("system", "Be brief."), ("user", "Hi")),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n",
    ),
    Case(
        "gemma, system at the head of the first user turn",
        GEMMA,
        (("system", "Be brief."), ("user", "Hi"), ("assistant", "Yo"), ("user", "Why?")),
        "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nYo"
        "<end_of_turn>\n<start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\n",
    ),
    Case(
        "a template that refuses system text",
        NO_SYSTEM,
        (("system", " Be brief. "), ("user", "Hi")),
        "[user] Be brief.\n\nHi</s>",
    ),
    Case(
        "a template that forgets system text",
        FORGETS_SYSTEM,
        (("system", "Be brief."), ("user", "Hi")),
        "[user] Be brief.\n\nHi",
    ),
    Case(
        "a system text that the template takes out on purpose",
        NO_THINK,
        (("system", "/no_think"), ("user", "Hi")),
        "[user] Hi<think></think>",
    ),
    Case(
        "words of a text that the template takes out on purpose",
        NO_THINK,
        (("system", "Be brief. /no_think"), ("user", "Hi")),
        "[system] Be brief.[user] Hi<think></think>",
    ),
    Case(
        "an empty system text is no text to lose",
        FORGETS_SYSTEM,
        (("system", ""), ("user", "Hi")),
        "[user] Hi",
    ),
    Case(
        "braces and markup in a text stay as they are",
        CHATML,
        (("user", "{{ 7*7 }} {% if %} <b>&amp;</b>"),),
        "<|im_start|>user\n{{ 7*7 }} {% if %} <b>&amp;</b><|im_end|>\n<|im_start|>assistant\n",
    ),
    Case(
        "tojson keeps order and characters",
        "{{ {'b': '<é>', 'a': 1} | tojson }}{{ [1] | tojson(indent=1) }} {{ messages[0].content }}",
        (("user", "x"),),
        '{"b": "<é>", "a": 1}[\n 1\n] x',
    ),
    Case(
        "blocks leave no blank lines",
        "a\n  {% if true %}\n{{ messages[0].content }}\n  {% endif %}\nb",
        (("user", "x"),),
        "a\nx\nb",
    ),
    Case(
        "loop controls",
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}"
        "{% endfor %}",
        (("user", "x"), ("assistant", "y")),
        "x",
    ),
    Case(
        "generation marks have no effect",
        "{% for m in messages %}\n{%- generation %}\n[{{ m.content }}]{% endgeneration -%}\n "
        "{% endfor %}",
        (("user", "x"),),
        "[x]",
    ),
    Case(
        "tools and documents are there, and none",
        "{{ tools is none and documents is none }} {{ messages[0].content }}",
        (("user", "x"),),
        "True x",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_conversation_becomes_the_documented_text(case: Case) -> None:
    assert render(case.source, *case.pairs) == case.expected


def test_a_forbidden_order_of_roles_is_a_clear_error() -> None:
    with pytest.raises(ModelError, match="roles must alternate") as caught:
        render(GEMMA, ("user", "a"), ("user", "b"))
    assert "refuses these messages" in caught.value.message


def test_a_user_text_that_the_template_leaves_out_is_an_error() -> None:
    with pytest.raises(ModelError, match="leaves out a user text"):
        render("{{ messages[-1].content }}", ("user", "first"), ("assistant", "x"), ("user", "2nd"))


def test_earlier_answers_may_be_shortened() -> None:
    source = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}"
    pairs: tuple[tuple[Role, str], ...] = (
        ("user", "q"),
        ("assistant", "<think>hm</think>a"),
        ("user", "r"),
    )
    assert render(source, *pairs) == "qar"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% if %}", "damaged"),
        ("{{ messages[0].content.nope.deeper }}", "failed: UndefinedError"),
        ("{{ 1 / 0 }}", "failed: ZeroDivisionError"),
        ("{{ ''.__class__.__mro__ }}{{ messages[0].content }}", "failed: SecurityError"),
        ("{{ messages.append(1) }}", "failed: SecurityError"),
    ],
)
def test_a_template_that_fails_is_an_error_of_the_model(source: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        render(source, ("user", "x"))


def test_the_date_is_the_one_of_the_clock_given() -> None:
    template = ChatTemplate(
        "{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}",
        bos_token="",
        eos_token="",
        now=lambda: datetime.datetime(2025, 3, 1),
    )
    assert template.render(messages(("user", "x"))) == "01 Mar 2025 x"
