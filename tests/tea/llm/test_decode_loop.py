from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from tests.tea.llm.fake_llama import BOS, END, FakeC, FakeLlama, tokens_of
from tests.tea.llm.gguf_files import CHAT_MODEL, gguf
from the_edge_agent.errors import ActionError, LimitError, ModelError
from the_edge_agent.llm.adaptive_threads import AdaptiveThreads
from the_edge_agent.llm.backend import ChatRequest, Message
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.context import Context
from the_edge_agent.llm.decode_loop import DecodeLoop, Job
from the_edge_agent.llm.gguf import read
from the_edge_agent.llm.model import Model, Stopped
from the_edge_agent.llm.model_path import Found
from the_edge_agent.llm.sequence import Generation, Sequence
from the_edge_agent.llm.stop_flag import StopFlag

TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}"


class Rig:
    """A loop on the fake library, and everything that a test wants to look at."""

    def __init__(
        self,
        folder: Path,
        c: FakeC,
        *,
        template: str | None = TEMPLATE,
        n_ctx: int = 2048,
        n_threads: int = 1,
        yields: bool = False,
    ) -> None:
        metadata = dict(CHAT_MODEL)
        del metadata["tokenizer.chat_template"]
        if template is not None:
            metadata["tokenizer.chat_template"] = template
        path = folder / "m.gguf"
        path.write_bytes(gguf(metadata))
        self.c = c
        self.stop = StopFlag()
        self.llama = llama = cast(Llama, FakeLlama(c))
        self.model = model = Model(llama, Found(path, "test"), read(path))
        self.loop = DecodeLoop(
            lambda: Context(llama, model, n_ctx=n_ctx, n_threads=n_threads, stop=self.stop),
            n_threads=n_threads,
            stop=self.stop,
            yields=yields,
        )
        self.streamed: list[str] = []

    def begin(
        self,
        *texts: str,
        raw: bool = False,
        on_text: Callable[[str], None] | None = None,
        **fields: Any,
    ) -> Job[Generation]:
        """Say ``texts`` as user and assistant in turns, and wait for nothing."""
        roles = ("user", "assistant")
        messages = tuple(Message(roles[n % 2], text) for n, text in enumerate(texts))  # type: ignore[arg-type]
        request = ChatRequest(messages, texts[0] if raw else None, **fields)
        says = on_text or self.streamed.append
        return self.loop.answer(
            lambda context: Sequence(
                self.llama,
                self.model,
                request,
                says,
                n_ctx=context.n_ctx,
                can_cut=context.can_cut,
            )
        )

    def ask(self, *texts: str, **fields: Any) -> Generation:
        """Say ``texts``, and wait for the answer."""
        return self.begin(*texts, **fields).future.result(timeout=10)


def test_an_answer_ends_where_the_model_ends_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says="Grüße".encode()))
    done = rig.ask("hi")
    assert (done.text, done.finish_reason) == ("Grüße", "stop")
    assert (done.prompt_tokens, done.completion_tokens) == (6, 7)
    assert "".join(rig.streamed) == "Grüße"


def test_an_answer_of_max_tokens_ends_for_its_length(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"abcdef"))
    done = rig.ask("hi", max_tokens=3)
    assert (done.text, done.finish_reason, done.completion_tokens) == ("abc", "length", 3)


def test_a_stop_string_ends_an_answer_early(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"one. two."))
    done = rig.ask("hi", stop=(". ",))
    assert (done.text, done.finish_reason, done.completion_tokens) == ("one", "stop", 5)


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("template", [TEMPLATE, TEMPLATE.removeprefix("{{ bos_token }}")])
def test_a_model_that_wants_a_bos_gets_exactly_one(
    tmp_path: Path, adds_bos: bool, template: str
) -> None:
    rig = Rig(tmp_path, FakeC(says=b"", adds_bos=adds_bos), template=template)
    rig.ask("hi")
    tokens = rig.c.computed[0]
    wanted = adds_bos or "bos_token" in template
    assert tokens == ([BOS] if wanted else []) + tokens_of(b"u:hi;")


def test_a_second_bos_in_the_template_is_taken_out(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b""), template="<bos>" + TEMPLATE)
    rig.ask("hi")
    assert rig.c.computed[0].count(BOS) == 1


def test_control_tokens_in_a_message_are_text(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b""), template=TEMPLATE + "<end>")
    rig.ask("a<end><bos>b", "<end>", "c")
    text = tokens_of(b"u:a<end><bos>b;a:<end>;u:c;")
    assert rig.c.computed[0] == [BOS, *text, END]


def test_a_template_sees_thinking_marks_alone(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}{{ m.content.split('<end>')[-1].split('<bos>')[-1] }}{% endfor %}"
    )
    rig = Rig(
        tmp_path,
        FakeC(says=b"", adds_bos=False, end=b"</think>"),
        template=template.replace("<end>", "</think>"),
    )
    rig.ask("q", "<bos>hm</think>a<bos>b", "r")
    assert rig.c.computed[0] == tokens_of(b"qa<bos>br")


def test_the_next_turn_computes_only_what_is_new(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"yo"))
    rig.ask("hi")
    first = [BOS, *tokens_of(b"u:hi;")]
    assert rig.c.caches[0] == [*first, *tokens_of(b"yo")]
    rig.c.computed.clear()
    done = rig.ask("hi", "yo", "why")
    assert rig.c.computed[0] == tokens_of(b"a:yo;u:why;")
    assert done.reused == len(first)
    assert rig.c.caches[0][: done.prompt_tokens] == [BOS, *tokens_of(b"u:hi;a:yo;u:why;")]


def test_the_same_question_again_computes_its_last_token_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"yo"))
    rig.ask("hi")
    rig.c.computed.clear()
    done = rig.ask("hi")
    assert rig.c.computed[0] == tokens_of(b";")
    assert done.text == "yo"


def test_a_cache_that_cannot_be_cut_is_emptied(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"yo", can_cut=False))
    rig.ask("hi")
    rig.c.computed.clear()
    assert rig.ask("ho").reused == 0
    assert rig.c.computed[0] == [BOS, *tokens_of(b"u:ho;")]


def test_a_long_prompt_is_computed_in_pieces(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b""))
    rig.ask("x" * 1200)
    assert [len(each) for each in rig.c.computed] == [512, 512, 180]


def test_a_prompt_that_does_not_fit_says_both_numbers(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b""), n_ctx=100)
    assert rig.ask("x" * 46, max_tokens=50).prompt_tokens == 50
    with pytest.raises(LimitError, match="has 51 tokens, but only 50 fit") as caught:
        rig.ask("x" * 47, max_tokens=50)
    assert "context of 100 less max_tokens of 50" in caught.value.message
    with pytest.raises(LimitError, match="only 0 fit"):
        rig.ask("x", max_tokens=101)


def test_sampling_is_a_chain_in_the_documented_order(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b""))
    rig.ask("hi", temperature=0.5, top_k=7, top_p=0.9, min_p=0.1, seed=42)
    assert rig.c.chains[-1] == [
        ("top_k", 7),
        ("top_p", 0.9, 1),
        ("min_p", 0.1, 1),
        ("temp", 0.5),
        ("dist", 42),
    ]


def test_temperature_zero_is_greedy_whatever_else_is_said(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b""))
    rig.ask("hi", temperature=0, top_k=7, seed=1)
    assert rig.c.chains[-1] == [("greedy",)]


def test_penalties_know_the_last_64_tokens(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"yes"))
    rig.ask("x" * 99, frequency_penalty=0.3)
    assert rig.c.heard == [*tokens_of(b"x" * 63), *tokens_of(b";yes")]
    before_each = [set(tokens_of(text)) for text in (b"x;", b"x;y", b"x;ye", b"x;yes")]
    assert rig.c.held_back == before_each
    assert rig.c.logits[tokens_of(b"x")[0]] == -4


def test_without_a_seed_each_answer_has_its_own(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b""))
    for _ in range(5):
        rig.ask("hi")
    seeds = {chain[-1][1] for chain in rig.c.chains}
    assert len(seeds) == 5
    assert max(seeds) < 2**32 - 1


def test_a_model_without_template_completes_a_plain_prompt(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b" Paris"), template=None)
    done = rig.ask("The capital of France is", raw=True)
    assert rig.c.computed[0] == [BOS, *tokens_of(b"The capital of France is")]
    assert done.text == " Paris"


def test_a_model_without_template_is_refused_for_chat(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b""), template=None)
    with pytest.raises(ModelError, match="Tiny has no chat template") as caught:
        rig.ask("hi")
    assert "completes as plain text" in caught.value.hint


def test_nothing_at_all_to_go_on_from_is_an_error(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"", adds_bos=False), template=None)
    with pytest.raises(ActionError, match="the prompt is empty"):
        rig.ask("", raw=True)


def test_a_stop_between_tokens_keeps_the_cache_true(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"abcdefgh"))

    jobs: list[Job[Generation]] = []
    asked = threading.Event()

    def on_decode() -> None:
        asked.wait(10)
        if len(rig.c.computed) == 3:
            rig.loop.give_up(jobs[0])

    rig.c.before_decode = on_decode
    jobs.append(rig.begin("hi"))
    asked.set()
    with pytest.raises(Stopped):
        jobs[0].future.result(timeout=10)
    assert "".join(rig.streamed) in ("abc", "abcd")  # at most the step that ran
    rig.c.before_decode = None
    assert rig.ask("hi", "abc", "why").text == "abcdefgh"
    assert rig.c.caches[0][: 1 + 16] == [BOS, *tokens_of(b"u:hi;a:abc;u:why;")][:17]


def test_an_aborted_computation_leaves_the_cache_as_it_was(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"xyz"))
    rig.ask("hi")
    kept = list(rig.c.caches[0])
    jobs: list[Job[Generation]] = []
    asked = threading.Event()

    def on_decode() -> None:
        asked.wait(10)
        rig.loop.give_up(jobs[0])
        rig.c.decode_result = 2 if rig.stop.is_set() else 0

    rig.c.before_decode = on_decode
    jobs.append(rig.begin("hi", "xyz", "why"))
    asked.set()
    with pytest.raises(Stopped):
        jobs[0].future.result(timeout=10)
    assert rig.c.caches[0] == kept[:6]


def test_a_failed_computation_is_an_error_of_the_model(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"abc"))
    rig.c.decode_result = -3
    with pytest.raises(ModelError, match="code -3"):
        rig.ask("hi")


def test_a_load_that_is_stopped_is_no_error_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(CHAT_MODEL))
    llama = cast(Llama, FakeLlama(FakeC(says=b"")))
    with pytest.raises(Stopped):
        Model(llama, Found(path, "test"), read(path), stopped=lambda: True)


def test_a_refused_model_is_explained_in_the_library_s_words(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(CHAT_MODEL))
    c = FakeC(says=b"")
    c.errors.add("load_backend: an error of before\n")

    def refuse(path: bytes, params: Any) -> object:
        c.errors.add("llama_model_load: error loading model: the library's own words\n")
        c.errors.add("llama_model_load_from_file_impl: failed to load model\n")
        return None

    c.llama_model_load_from_file = refuse  # type: ignore[method-assign]
    with pytest.raises(ModelError, match=r"\(architecture llama\): the library's own words$"):
        Model(cast(Llama, FakeLlama(c)), Found(path, "test"), read(path))


def test_c_itself_sees_the_stop_flag() -> None:
    flag = StopFlag()
    asks = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)(flag.function)
    assert (asks(flag.argument), flag.is_set()) == (False, False)
    flag.set()
    assert (asks(flag.argument), flag.is_set()) == (True, True)
    flag.clear()
    assert (asks(flag.argument), flag.is_set()) == (False, False)


def test_an_answer_with_a_seed_is_computed_by_all_threads(tmp_path: Path) -> None:
    c = FakeC(says=b"ab")
    rig = Rig(tmp_path, c, n_threads=4, yields=True)
    rig.ask("hi")
    assert rig.loop._adaptive is not None
    rig.loop._adaptive._set(1)
    rig.ask("hi", seed=7)
    assert c.threads[-1] == (4, 4)
    rig.ask("hi")
    assert c.threads[-1] == (1, 1)


@pytest.mark.parametrize(("wait", "threads"), [(0.0, []), (0.15, [3, 2, 1])])
def test_an_answer_beside_others_takes_ever_fewer_threads(
    tmp_path: Path, wait: float, threads: list[int]
) -> None:
    """``wait``: seconds for a core in the 0.2 that each token takes."""
    c = FakeC(says=b"abcdef")
    rig = Rig(tmp_path, c, n_threads=4, yields=True)
    clock, queue = count(0, 0.2), count(100, wait)  # what was waited before the answer is nothing
    context = rig.loop.run(rig.loop.context).future.result(timeout=10)
    rig.loop._adaptive = AdaptiveThreads(
        4, context.set_threads, clock=lambda: next(clock), wait_clock=lambda: next(queue)
    )
    rig.ask("hi")
    assert c.threads == [(number, number) for number in threads]


def echo(prompt: list[int]) -> bytes:
    """Say what the last user said, in capitals."""
    return bytes(token - 2 for token in prompt if token >= 2)[2:-1].upper()


class Gate:
    """Has the loop wait before its first step, until a test has said all that it has to say."""

    def __init__(self, c: FakeC) -> None:
        self.open = threading.Event()
        c.before_decode = self.open.wait


def test_answers_are_computed_together_and_not_mixed_up(tmp_path: Path) -> None:
    c = FakeC(says=echo)
    rig = Rig(tmp_path, c)
    gate = Gate(c)
    texts = ["a", "bcdefg", "hij", "klmnopqrs"]
    jobs = [rig.begin(text, max_tokens=6 if text == texts[3] else 50) for text in texts]
    gate.open.set()
    answers = [job.future.result(timeout=10) for job in jobs]
    assert [done.text for done in answers] == ["A", "BCDEFG", "HIJ", "KLMNOP"]
    assert [done.finish_reason for done in answers] == ["stop", "stop", "stop", "length"]
    assert len(c.computed) <= 1 + 1 + 6  # perhaps the first alone, then all prompts, then tokens
    assert max(len(batch) for batch in c.batches) == 4


def test_a_beginning_in_common_is_computed_once(tmp_path: Path) -> None:
    c = FakeC(says=echo)
    rig = Rig(tmp_path, c)
    gate = Gate(c)
    texts = ["a long text before the number " + number for number in "1234"]
    jobs = [rig.begin(text, max_tokens=50) for text in texts]
    gate.open.set()
    answers = [job.future.result(timeout=10) for job in jobs]
    assert [done.text[-1] for done in answers] == list("1234")
    common = len([BOS, *tokens_of(b"u:a long text before the number ")])
    assert [done.reused for done in answers] == [0, common, common, common]
    assert max(len(batch) for batch in c.batches) == 4


def test_an_answer_that_does_not_fit_beside_the_others_waits(tmp_path: Path) -> None:
    c = FakeC(says=echo)
    rig = Rig(tmp_path, c, n_ctx=100)
    gate = Gate(c)
    jobs = [rig.begin(letter * 10, max_tokens=40) for letter in "abc"]
    gate.open.set()
    answers = [job.future.result(timeout=10).text for job in jobs]
    assert answers == ["A" * 10, "B" * 10, "C" * 10]
    assert max(len(batch) for batch in c.batches) == 1  # 2 of 54 tokens are more than 100
    assert max(len(cache) for cache in c.caches.values()) <= 100


def test_a_recurrent_model_answers_one_at_a_time(tmp_path: Path) -> None:
    c = FakeC(says=echo, can_cut=False)
    c.recurrent = True
    rig = Rig(tmp_path, c)
    jobs = [rig.begin(text) for text in ("one", "two", "one")]
    assert [job.future.result(timeout=10).text for job in jobs] == ["ONE", "TWO", "ONE"]
    assert c.params.n_seq_max == 1


def test_giving_one_answer_up_leaves_the_others(tmp_path: Path) -> None:
    c = FakeC(says=echo)
    rig = Rig(tmp_path, c)
    said = threading.Event()
    c.before_decode = lambda: time.sleep(0.001)  # so that it is given up before its end
    other = rig.begin("x" * 90)
    gone = rig.begin("y" * 90, on_text=lambda _: said.set())
    assert said.wait(10)
    rig.loop.give_up(gone)
    with pytest.raises(Stopped):
        gone.future.result(timeout=10)
    assert other.future.result(timeout=10).text == "X" * 90
    assert not rig.stop.is_set()


def test_a_reader_that_fails_fails_alone(tmp_path: Path) -> None:
    c = FakeC(says=echo)
    rig = Rig(tmp_path, c)

    def fail(_text: str) -> None:
        raise ValueError("cannot read")

    gate = Gate(c)
    jobs = [rig.begin("abc", on_text=fail), rig.begin("def")]
    gate.open.set()
    with pytest.raises(ValueError, match="cannot read"):
        jobs[0].future.result(timeout=10)
    assert jobs[1].future.result(timeout=10).text == "DEF"


SWITCH = "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
THINKS = TEMPLATE + SWITCH


def test_thoughts_are_no_part_of_the_answer(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"<think>hm. </think>\nYes. No."), template=THINKS)
    done = rig.ask("hi", stop=(". ",))
    assert (done.text, done.reasoning) == ("Yes", "hm.")
    assert "".join(rig.streamed) == "Yes"


def test_the_switch_of_thinking_reaches_the_template(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"Yes."), template=THINKS)
    done = rig.ask("hi", thinking=False)
    assert rig.c.computed[0] == [BOS, *tokens_of(b"u:hi;<think></think>")]
    assert (done.text, done.reasoning) == ("Yes.", None)


class Held:
    """A matcher that wants one text."""

    def __init__(self, text: bytes) -> None:
        self.left = tokens_of(text)

    @property
    def stopped(self) -> bool:
        return not self.left

    def allows(self, token: int) -> bool:
        return token == self.left[0]

    def forced(self) -> list[int]:
        return self.left[:2] if len(self.left) == 5 else []

    def consume(self, token: int) -> None:
        assert token == self.left.pop(0)


def test_a_held_answer_begins_after_the_thoughts(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=b"hm</think>cde"), template=TEMPLATE + "<think></think><think>")
    matcher = Future[Any]()
    matcher.set_result(Held(b"abcde"))
    request = ChatRequest((Message("user", "hi"),))
    job = rig.loop.answer(
        lambda context: Sequence(
            rig.llama, rig.model, request, None, n_ctx=context.n_ctx, matcher=matcher
        )
    )
    done = job.future.result(timeout=10)
    assert (done.text, done.reasoning, done.finish_reason) == ("abcde", "hm", "stop")
    assert (done.completion_tokens, done.fed) == (len("hm</think>abcde"), 2)


COPY = "the quick brown fox jumps over the lazy dog; "


def test_what_repeats_the_prompt_is_computed_together(tmp_path: Path) -> None:
    c = FakeC(says=COPY.encode() + b"quick quack")
    rig = Rig(tmp_path, c)
    done = rig.ask(COPY, temperature=0)
    assert done.text == COPY + "quick quack"
    assert done.looked_up > len(COPY) // 2
    assert len(c.computed) < len(done.text) - done.looked_up // 2
    said = [BOS, *tokens_of(f"u:{COPY};{done.text}".encode())]
    assert c.caches[0] == said
    assert rig.ask(COPY, temperature=0.5).looked_up == 0


@pytest.mark.parametrize("limit", [3, 20, 21, 22, 23, 24, 25, 26])
def test_an_answer_that_is_looked_up_keeps_to_its_limit(tmp_path: Path, limit: int) -> None:
    rig = Rig(tmp_path, FakeC(says=COPY.encode()))
    done = rig.ask(COPY, temperature=0, max_tokens=limit)
    assert (done.text, done.completion_tokens, done.finish_reason) == (
        COPY[:limit],
        limit,
        "length",
    )
    assert len(rig.c.caches[0]) == done.prompt_tokens + limit - 1


def test_a_stop_string_ends_what_is_looked_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeC(says=COPY.encode()))
    done = rig.ask(COPY, temperature=0, stop=("lazy",))
    assert (done.text, done.finish_reason) == (COPY[: COPY.index("lazy")], "stop")
    assert len(rig.c.caches[0]) <= done.prompt_tokens + done.completion_tokens


def test_a_cache_that_cannot_go_back_ends_the_look_up(tmp_path: Path) -> None:
    says = b"the quick red ox; the quick brown cat; the quick blue elk"
    rig = Rig(tmp_path, FakeC(says=says, can_cut=False))
    assert rig.ask(COPY, temperature=0).text == says.decode()
