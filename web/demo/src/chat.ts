import type { Tea } from 'tea-wasm-llm';
import CHAT from './chat.yaml?raw';
import { announce, element, make, show } from './dom.js';
import { fail } from './problem.js';

const IDEAS = [
  'What is the capital of France?',
  'Why is the sky blue?',
  'Write two lines about the sea.',
];

type Message = { readonly role: 'system' | 'user' | 'assistant'; readonly content: string };

/** A conversation. Every answer is a run of chat.yaml with all that was said before. */
export class Chat {
  readonly #log = element<HTMLOListElement>('log');
  readonly #question = element<HTMLTextAreaElement>('question');
  #messages: Message[] = [];
  #stop: AbortController | undefined;
  #tea: Tea | undefined;
  #system: string | undefined;

  constructor() {
    element('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#ask(this.#question.value.trim());
    });
    this.#question.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      element<HTMLFormElement>('composer').requestSubmit();
    });
    element('stop').addEventListener('click', () => this.stop());
    element('clear-chat').addEventListener('click', () => this.clear());
    for (const idea of IDEAS) {
      const button = make('button', { type: 'button' }, idea);
      button.addEventListener('click', () => void this.#ask(idea));
      element('ideas').append(make('li', {}, button));
    }
  }

  /** Begin with a model. */
  open(tea: Tea, system: string | undefined): void {
    this.#tea = tea;
    this.#system = system;
    this.clear();
  }

  clear(): void {
    this.stop();
    this.#messages = [];
    this.#log.replaceChildren();
    show(true, 'hello');
    show(false, 'clear-chat');
    this.#question.focus();
  }

  stop(): void {
    this.#stop?.abort();
  }

  async #ask(question: string): Promise<void> {
    if (question === '' || this.#stop || !this.#tea) return;
    fail(null);
    const stop = new AbortController();
    this.#stop = stop;
    this.#question.value = '';
    show(false, 'hello', 'send');
    show(true, 'stop', 'clear-chat');
    this.#add('user', question);
    const line = this.#add('reply', '');
    line.classList.add('working');
    const before = this.#messages;
    this.#messages = [...before, { role: 'user', content: question }];
    let answer = '';
    try {
      const system = this.#system ? [{ role: 'system', content: this.#system } as const] : [];
      const input = { messages: [...system, ...this.#messages] };
      for await (const event of this.#tea.stream(CHAT, input, { signal: stop.signal })) {
        if (event.type !== 'token') continue;
        answer += event.text;
        line.textContent = answer.trimStart();
        line.scrollIntoView({ block: 'nearest' });
      }
    } catch (error) {
      if (!stop.signal.aborted) fail(error);
    }
    answer = answer.trim();
    // What was stopped in the middle stays; what never began is taken back with its question.
    if (answer) this.#messages = [...this.#messages, { role: 'assistant', content: answer }];
    else if (this.#stop === stop) this.#messages = before;
    line.classList.remove('working');
    line.textContent = answer || (stop.signal.aborted ? 'Stopped.' : 'No answer.');
    announce(line.textContent);
    this.#stop = undefined;
    show(true, 'send');
    show(false, 'stop');
    this.#question.focus();
  }

  #add(who: 'user' | 'reply', text: string): HTMLElement {
    const said = make('span', {}, text);
    const name = make('span', { className: who === 'user' ? 'who hidden' : 'who' });
    name.textContent = who === 'user' ? 'You: ' : 'Model';
    this.#log.append(make('li', { className: who }, name, said));
    said.scrollIntoView({ block: 'nearest' });
    return said;
  }
}
