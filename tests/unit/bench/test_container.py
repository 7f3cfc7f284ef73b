import json
from typing import Any

import pytest

from tasks.base.errors import BenchFailed
from tasks.bench import container
from tasks.bench.container import (
    ANSWER_TOKENS,
    Answer,
    Timed,
    bench_rate,
    cpu_backend,
    logged_rate,
)
from the_edge_agent.actions.llm import llm_actions
from the_edge_agent.llm.backend import Backends
from the_edge_agent.workflow.load import load


def events(tokens: int = ANSWER_TOKENS, *, said: bool = True) -> Timed:
    usage = {"prompt_tokens": 42, "completion_tokens": tokens}
    lines: list[tuple[float, dict[str, Any]]] = [(0.5, {"type": "start"})]
    if said:
        lines += [
            (1.0 + number, {"type": "token", "node": "tell", "text": "x"})
            for number in range(tokens)
        ]
    update = {"usage": usage, "place": "/tmp/.mount_tea"}
    lines.append((float(tokens), {"type": "node_complete", "node": "tell", "update": update}))
    return Timed(9.0, tuple((moment, json.dumps(event)) for moment, event in lines), "why")


def test_the_rate_leaves_out_load_prompt_and_the_first_token() -> None:
    answer = Answer.of(events())
    assert answer.first == 1.0
    assert answer.rate == pytest.approx((ANSWER_TOKENS - 1) / (ANSWER_TOKENS - 1.0))
    assert (answer.prompt_tokens, answer.place) == (42, "/tmp/.mount_tea")


def test_an_answer_that_ended_early_is_refused() -> None:
    with pytest.raises(BenchFailed, match=f"has 5 tokens, {ANSWER_TOKENS} are needed"):
        Answer.of(events(5))


def test_an_answer_without_text_is_refused() -> None:
    with pytest.raises(BenchFailed, match="no answer") as caught:
        Answer.of(events(said=False))
    assert caught.value.hint == "why"


def test_the_rate_of_llama_bench_is_read_from_its_json() -> None:
    lines = ((0.1, "[\n"), (0.2, '{"n_gen": 127, "avg_ts": 61.5}\n'), (0.3, "]\n"))
    assert bench_rate(Timed(1.0, lines, "")) == 61.5


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("loaded CPU backend from /a/usr/lib/llama/libggml-cpu-zen4.so", "libggml-cpu-zen4.so"),
        ("CPU backend: libggml-cpu-armv8.2_1.so\n", "libggml-cpu-armv8.2_1.so"),
        ("nothing", "none"),
    ],
)
def test_the_cpu_backend_is_found_in_either_program_s_words(text: str, name: str) -> None:
    assert cpu_backend(text) == name


@pytest.mark.parametrize("threads", [None, 3])
def test_the_measured_workflow_is_valid(
    threads: int | None,
) -> None:
    actions = llm_actions(Backends(local=lambda _: None, api=lambda _: None))
    workflow = load(container.workflow(threads), "bench.yaml", actions=actions)
    assert workflow.warnings == ()
    assert ("n_threads: 3" in container.workflow(threads)) is (threads == 3)


def test_the_rate_of_an_answer_is_without_its_first_token() -> None:
    answer = f"answer: {ANSWER_TOKENS} tokens, 64.0 a second\n"
    log = f"prompt: 9 tokens, 0 of them kept, 9.9 a second; {answer}"
    assert logged_rate(Timed(1.0, (), log)) == 64.0 * (ANSWER_TOKENS - 1) / ANSWER_TOKENS
    with pytest.raises(BenchFailed, match="no answer of 128 tokens"):
        logged_rate(Timed(1.0, (), log.replace(f"{ANSWER_TOKENS} tokens", "5 tokens")))
