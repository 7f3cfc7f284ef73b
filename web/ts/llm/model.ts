import type { Engine } from '../engine.js';
import type { ModelSource } from '../types.js';
import { Fault, stopped, until } from './fault.js';
import type { GgufHead } from './gguf.js';
import { complete } from './completion.js';
import { withoutControl } from './control_tokens.js';
import type { ChatReply, ChatRequest, EmbedReply } from './messages.js';
import type { Loaded } from './wllama.js';

/** Loads the model into a worker, for answers or for vectors; `context` is in tokens. */
export type Loader = (embeddings: boolean, context: number, signal: AbortSignal) => Promise<Loaded>;

/** One model in this page: loaded once, and asked one question at a time. */
export class PageModel {
  readonly name: string;
  readonly #engine: Engine;
  readonly #head: GgufHead;
  readonly #source: Pick<ModelSource, 'chatTemplate'>;
  readonly #context: number; // where a workflow wants no other
  readonly #loader: Loader;
  readonly #loaded = new Map<boolean, { context: number; loading: Promise<Loaded> }>();
  readonly #closing = new AbortController();
  #template: InstanceType<Engine['Template']> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    engine: Engine,
    head: GgufHead,
    source: Pick<ModelSource, 'id' | 'chatTemplate'>,
    context: number,
    loader: Loader,
  ) {
    this.#engine = engine;
    this.#head = head;
    this.#source = source;
    this.#context = context;
    this.#loader = loader;
    this.name = head.name ?? source.id;
  }

  /** Load it now, so that the first answer needs not wait for it. */
  async load(signal: AbortSignal): Promise<void> {
    await this.#ready(false, null, signal);
  }

  /** Answer; what can be shown is given to `onText` as it comes. Rejects with a Fault. */
  async chat(
    request: ChatRequest,
    onText: ((text: string) => void) | undefined,
    signal: AbortSignal,
  ): Promise<ChatReply> {
    refuseWhatIsNotDone(request);
    const calls = offered(request).length > 0;
    const answer = this.#inTurn(async () => {
      const loaded = await this.#ready(false, request.n_ctx, signal);
      const prompt = this.#prompt(request, loaded);
      const text = new this.#engine.Answer([...request.stop]);
      try {
        const ended = await complete(
          loaded.wllama,
          prompt,
          request,
          request.n_ctx ?? this.#context,
          text,
          calls ? undefined : onText, // the engine sends what is beside the calls
          signal,
        );
        const form = calls ? this.#template?.toolForm : undefined;
        return { ...ended, model: this.name, ...(form && { tool_form: form }) };
      } catch (error) {
        throw this.#explained(error, loaded, signal);
      } finally {
        text.free();
      }
    }, signal);
    return until(answer, signal);
  }

  /** A vector of length 1 for each text. Rejects with a Fault. */
  async embed(
    texts: readonly string[],
    context: number | null,
    signal: AbortSignal,
  ): Promise<EmbedReply> {
    const vectors = this.#inTurn(async () => {
      const loaded = await this.#ready(true, context, signal);
      const embeddings: number[][] = [];
      let tokens = 0;
      for (const text of texts) {
        if (signal.aborted) throw stopped();
        try {
          // A list would come back as one vector.
          const { data, usage } = await loaded.wllama.createEmbedding({ input: text });
          const vector = data[0]?.embedding;
          if (!Array.isArray(vector))
            throw new Fault('ModelError', `${this.name} gives no vectors`);
          embeddings.push(vector);
          tokens += usage.prompt_tokens;
        } catch (error) {
          throw this.#explained(error, loaded, signal);
        }
      }
      return { embeddings, tokens, model: this.name };
    }, signal);
    return until(vectors, signal);
  }

  /** End the workers. What still runs is stopped. */
  async dispose(): Promise<void> {
    this.#closing.abort(stopped());
    const all = [...this.#loaded.values()];
    this.#loaded.clear();
    await Promise.all(all.map(({ loading }) => ended(loading)));
    this.#template?.free();
    this.#template = undefined;
  }

  /** One after the other: the worker has one cache. A stopped answer lets go of it by itself. */
  #inTurn<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const turn = this.#turn.then(() => {
      if (signal.aborted) throw stopped();
      return work();
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** The worker for `context` tokens; one of another size makes room for it. */
  async #ready(embeddings: boolean, wanted: number | null, signal: AbortSignal): Promise<Loaded> {
    const context = wanted ?? this.#context;
    const found = this.#loaded.get(embeddings);
    if (found?.context === context) return found.loading;
    this.#loaded.delete(embeddings);
    if (found !== undefined) await ended(found.loading);
    const loading = this.#loader(
      embeddings,
      context,
      AbortSignal.any([signal, this.#closing.signal]),
    );
    const entry = { context, loading };
    this.#loaded.set(embeddings, entry);
    try {
      return await loading;
    } catch (error) {
      if (this.#loaded.get(embeddings) === entry) this.#loaded.delete(embeddings);
      throw error;
    }
  }

  /** The text that the answer goes on from, with at most one BOS, which the tokenizer writes. */
  #prompt(request: ChatRequest, loaded: Loaded): string {
    const { bosToken, eosToken } = this.#head;
    const source = this.#head.chatTemplate ?? this.#source.chatTemplate;
    const tools = offered(request);
    let text: string;
    if (source !== undefined) {
      this.#template ??= new this.#engine.Template(source, bosToken, eosToken);
      const json = (data: unknown): string =>
        JSON.stringify(withoutControl(data, this.#head.controlTokens));
      text = this.#template.render(json(request.messages), json(tools));
    } else if (request.prompt !== null && tools.length === 0) {
      text = request.prompt;
    } else {
      throw new Fault(
        'ModelError',
        `${this.name} has no chat template, so it cannot chat`,
        'use an instruction-tuned model, or a prompt without system text, which it completes as plain text',
      );
    }
    if (loaded.addsBos && bosToken !== '') {
      while (text.startsWith(bosToken)) text = text.slice(bosToken.length);
    } else if (text === '') {
      throw new Fault('ActionError', 'the prompt is empty');
    }
    return text;
  }

  #explained(error: unknown, loaded: Loaded, signal: AbortSignal): unknown {
    if (signal.aborted) return stopped();
    if (error instanceof Fault) return error;
    if (error instanceof Error && error.name === 'RuntimeError') {
      // The worker is gone; the next question starts another.
      this.#loaded.clear();
      void loaded.wllama.exit();
      return new Fault('ModelError', `the worker with the model crashed: ${error.message}`);
    }
    return new Fault('ModelError', error instanceof Error ? error.message : String(error));
  }
}

/** End a worker, once it has come up or has failed to. */
async function ended(loading: Promise<Loaded>): Promise<void> {
  const loaded = await loading.catch(() => undefined);
  await loaded?.wllama.exit();
}

/** The tools that the model may call. */
function offered({ tools, tool_choice }: ChatRequest): readonly unknown[] {
  return tool_choice === 'none' ? [] : tools;
}

function refuseWhatIsNotDone({ thinking }: ChatRequest): void {
  if (thinking !== null)
    throw new Fault('ActionError', 'the model in the page cannot switch thinking yet');
}
