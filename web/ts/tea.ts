import { type Engine, loadEngine } from './engine.js';
import { aborted, TeaError, throwIfAborted } from './errors.js';
import { host, type Json, type State, type TeaEvent } from './host.js';
import type { PageModel } from './llm/model.js';
import { openModel } from './opening.js';
import type { TeaOptions } from './options.js';
import { Queue } from './queue.js';

/** How to run a workflow. */
export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Reach the parameters of actions, and never the state or an event. */
  readonly secrets?: { readonly [key: string]: Json };
  /** What `env` is in templates; OPENAI_API_KEY configures the API. */
  readonly env?: { readonly [key: string]: string };
  /** Goes before what the file says. */
  readonly backend?: 'local' | 'api' | 'auto';
  /** What places in messages begin with. */
  readonly name?: string;
  /** Takes what is doubtful in the file, but no fault. */
  readonly onWarning?: (warning: Problem) => void;
}

/** A place in a workflow file and what is wrong there. Line and column count from 1. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly hint: string;
}

/** What came of a run; see the crate's run.rs. */
interface Ended {
  readonly state?: State;
  readonly problems?: readonly Problem[];
  readonly warnings?: readonly Problem[];
  readonly failure?: Failure;
}

interface Failure {
  readonly kind: string;
  readonly message: string;
  readonly hint: string;
  readonly node?: string;
  readonly action?: string;
  readonly retry_count?: number;
}

/** The workflow file is wrong: `invalid-workflow`. */
export class InvalidWorkflow extends TeaError {
  constructor(readonly problems: readonly Problem[]) {
    const shown = problems.map((one) => `${one.file}:${one.line}:${one.column}: ${one.message}`);
    super('invalid-workflow', shown.join('; '));
  }
}

/** A node failed and nothing in the workflow handles it: `workflow-failed`. */
export class WorkflowFailed extends TeaError {
  /** The word of `state.__error__.type`. */
  readonly kind: string;
  readonly node: string | undefined;

  /** @internal */
  constructor(failure: Failure) {
    const where = failure.node === undefined ? '' : `node ${failure.node}: `;
    super('workflow-failed', where + failure.message, failure.hint ? { hint: failure.hint } : {});
    this.kind = failure.kind;
    this.node = failure.node;
  }
}

/** Runs workflows in this page. */
export class Tea implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #model: PageModel | undefined;
  readonly #closing = new AbortController();

  /** @internal Use `createTea`. */
  constructor(engine: Engine, model: PageModel | undefined) {
    this.#engine = engine;
    this.#model = model;
  }

  /** The name of the model in the page. */
  get modelName(): string | undefined {
    return this.#model?.name;
  }

  /** Everything that is wrong or doubtful in a workflow file; nothing is run. */
  check(yaml: string, name = 'workflow'): { problems: Problem[]; warnings: Problem[] } {
    return JSON.parse(this.#engine.check(yaml, name));
  }

  /**
   * Run a workflow; `input` is laid over its initial state. Returns the final state.
   *
   * Rejects with a TeaError: `invalid-workflow` (an InvalidWorkflow), `workflow-failed` (a
   * WorkflowFailed), `aborted` as soon as the signal is.
   */
  run(yaml: string, input: State = {}, options: RunOptions = {}): Promise<State> {
    return this.#run(yaml, input, options, () => {});
  }

  /**
   * Run a workflow and tell what happens in it, as it happens. The last event is `complete`, or
   * `error` before the iterator throws what `run` would reject with. Leaving the loop stops the run.
   */
  async *stream(
    yaml: string,
    input: State = {},
    options: RunOptions = {},
  ): AsyncGenerator<TeaEvent, void, undefined> {
    const left = new AbortController();
    const signal = AbortSignal.any([left.signal, ...(options.signal ? [options.signal] : [])]);
    const events = new Queue<TeaEvent>();
    const run = this.#run(yaml, input, { ...options, signal }, (event) => events.push(event));
    run.then(
      () => events.end(),
      (error: unknown) => events.fail(error),
    );
    try {
      yield* events;
    } finally {
      left.abort();
    }
  }

  /** Stop what runs, and free the memory of the model. The store keeps its file. */
  async dispose(): Promise<void> {
    this.#closing.abort();
    await this.#model?.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #run(
    yaml: string,
    input: State,
    options: RunOptions,
    onEvent: (event: TeaEvent) => void,
  ): Promise<State> {
    const { secrets, env, backend, name = 'workflow' } = options;
    const signals = [this.#closing.signal, ...(options.signal ? [options.signal] : [])];
    const signal = AbortSignal.any(signals);
    throwIfAborted(signal);
    const given = JSON.stringify({ input, secrets, env, backend });
    const running = this.#engine.run(yaml, name, given, host(this.#model, onEvent, signal));
    const stopped = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(aborted(signal)), { once: true });
    });
    const ended = JSON.parse(await Promise.race([running.catch(refused), stopped])) as Ended;
    for (const warning of ended.warnings ?? []) options.onWarning?.(warning);
    if (ended.problems !== undefined) throw new InvalidWorkflow(ended.problems);
    if (ended.failure !== undefined) throw new WorkflowFailed(ended.failure);
    return ended.state ?? {};
  }
}

/** What the engine throws: wrong arguments, or a fault of its own. */
function refused(thrown: unknown): never {
  const { kind, message } = thrown as { readonly kind?: string; readonly message?: string };
  throw new TeaError(
    kind === undefined ? 'engine-crashed' : 'bad-argument',
    message ?? String(thrown),
    {
      cause: thrown,
    },
  );
}

/**
 * Get the model (from the store, else from its address), load it, and make ready to run.
 *
 * Rejects with a TeaError; its `code` says which way. Nothing is left behind but what the store
 * has of the model.
 */
export async function createTea(options: TeaOptions = {}): Promise<Tea> {
  throwIfAborted(options.signal);
  const url = options.wasmUrl?.engine ?? new URL('./tea_wasm_bg.wasm', import.meta.url);
  const engine = await loadEngine(new URL(url, import.meta.url));
  const model =
    options.model === undefined ? undefined : await openModel(engine, options.model, options);
  return new Tea(engine, model);
}
