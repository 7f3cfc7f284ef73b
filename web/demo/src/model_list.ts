import type { ModelStore, StoredModel } from 'tea-wasm-llm';
import { announce, element, make, show } from './dom.js';
import { ofSize, size } from './format.js';

/** What is stored, and a way to be rid of it. */
export class ModelList {
  readonly #store: ModelStore;
  readonly #onChange: () => void;

  constructor(store: ModelStore, onChange: () => void) {
    this.#store = store;
    this.#onChange = onChange;
  }

  refresh(stored: readonly StoredModel[], inUse: string | undefined): void {
    element('stored-list').replaceChildren(...stored.map((model) => this.#line(model, inUse)));
    show(stored.length > 0, 'stored');
  }

  #line(model: StoredModel, inUse: string | undefined): HTMLElement {
    const title = model.title ?? model.id;
    const much = model.complete ? size(model.size) : ofSize(model.stored, model.size);
    const line = make('span', {}, `${title} `, make('span', { className: 'much' }, much));
    if (model.id === inUse) {
      return make('li', {}, line, make('span', { className: 'in-use' }, 'in use'));
    }
    const button = make('button', { type: 'button', className: 'quiet' }, 'Delete');
    button.setAttribute('aria-label', `Delete ${title}`);
    button.addEventListener('click', async () => {
      button.disabled = true;
      await this.#store.remove(model.id);
      announce(`${title} is deleted`);
      this.#onChange();
      element('main').focus();
    });
    return make('li', {}, line, button);
  }
}
