import type { RawCompletionChunk, Wllama } from '@wllama/wllama/esm/index.js';
import type { Engine } from '../engine.js';
import { SAMPLING, type Sampling } from '../spec.js';
import { Fault } from './fault.js';
import type { ChatReply, ChatRequest } from './messages.js';

/** llama.cpp takes it for "any". */
const ANY_SEED = 0xffffffff;
/** As every engine here has it; a temperature of 0 takes the likeliest token instead. */
const SAMPLERS = ['penalties', 'top_k', 'top_p', 'min_p', 'temperature'];

type Answer = InstanceType<Engine['Answer']>;
type Ended = Omit<ChatReply, 'model'>;

/**
 * Let the model go on from `prompt` until it, a stop text or `max_tokens` ends the answer.
 *
 * `context` is in tokens. Rejects with a Fault, `LimitError`, when the prompt and the longest
 * answer do not fit into it.
 */
export async function complete(
  wllama: Wllama,
  prompt: string,
  request: ChatRequest,
  context: number,
  answer: Answer,
  onText: ((text: string) => void) | undefined,
  signal: AbortSignal,
): Promise<Ended> {
  const stop = new AbortController(); // of the generation alone
  const room = Math.max(context - request.max_tokens, 0);
  const counts = { prompt: 0, answer: 0 };
  let content = '';
  let finish: 'stop' | 'length' | undefined;
  let fault: Fault | undefined;
  const say = (text: string): void => {
    if (text === '') return;
    content += text;
    onText?.(text);
  };
  const onData = (chunk: RawCompletionChunk): void => {
    if (stop.signal.aborted) return;
    counts.prompt = chunk.prompt_progress?.total ?? counts.prompt;
    if (counts.prompt > room) {
      fault = tooLong(counts.prompt, request.max_tokens, context);
      stop.abort();
      return;
    }
    const choice = chunk.choices[0];
    counts.answer = chunk.timings?.predicted_n ?? counts.answer;
    say(answer.feed(choice?.text ?? ''));
    if (answer.stopped) {
      finish = 'stop';
      stop.abort();
    } else if (choice?.finish_reason === 'stop') {
      finish = 'stop';
      counts.answer -= 1; // the token that ends it is none of the answer
    } else if (choice?.finish_reason === 'length') {
      finish = 'length';
    }
  };
  try {
    await wllama.createCompletion({
      ...sampling(request),
      prompt,
      stream: true,
      abortSignal: AbortSignal.any([stop.signal, signal]),
      onData,
    });
  } catch (error) {
    if (!stop.signal.aborted) throw limit(error, request.max_tokens, context) ?? error;
  }
  if (fault !== undefined) throw fault;
  if (finish === undefined) throw new Fault('ModelError', 'the answer broke off');
  if (!answer.stopped) say(answer.finish());
  return {
    content,
    finish_reason: finish,
    prompt_tokens: counts.prompt,
    completion_tokens: counts.answer,
  };
}

function sampling(request: ChatRequest) {
  const names = Object.keys(SAMPLING) as (keyof Sampling)[];
  return {
    ...Object.fromEntries(names.map((name) => [name, request[name]])),
    samplers: SAMPLERS,
    seed: request.seed ?? ANY_SEED,
    ...request.held_to,
    cache_prompt: true, // what a conversation has in common with its last turn is kept
    return_progress: true,
    timings_per_token: true,
  };
}

function tooLong(prompt: number, maxTokens: number, context: number): Fault {
  const room = Math.max(context - maxTokens, 0);
  return new Fault(
    'LimitError',
    `the prompt has ${prompt} tokens, but only ${room} fit: the context of ${context} less ` +
      `max_tokens of ${maxTokens}`,
    'shorten the prompt, lower max_tokens, or give the model a larger context',
  );
}

/** llama.cpp's own word for a prompt that is longer than the whole context. */
function limit(error: unknown, maxTokens: number, context: number): Fault | undefined {
  const found = /request \((\d+) tokens\) exceeds/.exec(
    error instanceof Error ? error.message : '',
  );
  return found?.[1] === undefined ? undefined : tooLong(Number(found[1]), maxTokens, context);
}
