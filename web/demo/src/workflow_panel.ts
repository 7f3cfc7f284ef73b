import type { State, Tea } from 'tea-wasm-llm';
import { announce, element, make, show } from './dom.js';
import { fail } from './problem.js';

// The repository's own examples, as they are when the page is built.
const EXAMPLES = import.meta.glob<string>('../../../examples/llm/*.yaml', {
  query: '?raw',
  import: 'default',
  eager: true,
});

/** Runs a workflow that the visitor may change. */
export class WorkflowPanel {
  readonly #example = element<HTMLSelectElement>('example');
  readonly #yaml = element<HTMLTextAreaElement>('yaml');
  readonly #input = element<HTMLTextAreaElement>('input');
  #stop: AbortController | undefined;
  #tea: Tea | undefined;

  constructor() {
    for (const path of Object.keys(EXAMPLES)) {
      const name = path.slice(path.lastIndexOf('/') + 1);
      this.#example.append(make('option', { value: path }, name));
    }
    this.#example.addEventListener('change', () => this.#choose());
    element('workflow').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#run();
    });
    element('stop-run').addEventListener('click', () => this.stop());
    const first = Object.keys(EXAMPLES).find((path) => path.endsWith('/local-chat.yaml'));
    if (first) this.#example.value = first;
    this.#choose();
  }

  /** Begin with a model. */
  open(tea: Tea): void {
    this.stop();
    this.#tea = tea;
    show(false, 'result-title', 'result', 'tokens');
  }

  stop(): void {
    this.#stop?.abort();
  }

  #choose(): void {
    this.#yaml.value = EXAMPLES[this.#example.value] ?? '';
    this.#input.value = '{}';
    show(false, 'result-title', 'result', 'tokens');
  }

  async #run(): Promise<void> {
    if (this.#stop || !this.#tea) return;
    fail(null);
    let input: State;
    try {
      input = readInput(this.#input.value);
    } catch (error) {
      this.#input.focus();
      return fail(error);
    }
    const stop = new AbortController();
    this.#stop = stop;
    show(false, 'run', 'result');
    show(true, 'stop-run', 'result-title', 'tokens');
    const tokens = element('tokens');
    tokens.textContent = 'Running…';
    const name = this.#example.selectedOptions[0]?.text ?? 'workflow';
    const options = { signal: stop.signal, name };
    let said = '';
    try {
      for await (const event of this.#tea.stream(this.#yaml.value, input, options)) {
        if (event.type === 'token') {
          said += event.text;
          tokens.textContent = said.trimStart();
        } else if (event.type === 'complete') {
          this.#show(event.state);
        }
      }
    } catch (error) {
      tokens.textContent = said ? `${said.trim()} … (stopped)` : 'Stopped.';
      show(stop.signal.aborted, 'result-title', 'tokens');
      if (!stop.signal.aborted) fail(error);
    }
    this.#stop = undefined;
    show(true, 'run');
    show(false, 'stop-run');
    element('run').focus();
  }

  #show(state: State): void {
    const list = element('result');
    list.replaceChildren();
    const said: string[] = [];
    for (const [key, value] of Object.entries(state)) {
      const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
      said.push(`${key}: ${text}`);
      list.append(make('div', {}, make('dt', {}, key), make('dd', {}, text)));
    }
    show(true, 'result');
    show(false, 'tokens');
    announce(`Done. ${said.join(', ')}`);
  }
}

function readInput(text: string): State {
  let input: unknown;
  try {
    input = JSON.parse(text.trim() || '{}');
  } catch (error) {
    throw new Error(`the input is not JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new Error('the input must be a JSON object, such as {"question": "Why?"}');
  }
  return input as State;
}
