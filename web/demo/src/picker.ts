import { type ModelRow, type ModelSource, modelOf, models, type StoredModel } from 'tea-wasm-llm';
import { element, make } from './dom.js';
import { size } from './format.js';

/** Models that the site has in its folder models/; every other one must have an address. */
const BESIDE = ['smollm2-135m'];
const ROWS = models
  .filter((row) => row.url !== undefined || BESIDE.includes(row.id))
  .sort((one, other) => one.size - other.size);

/** The model as the package takes it. One without an address of its own lies beside the page. */
export function sourceOf(row: ModelRow): ModelSource {
  return row.url === undefined ? modelOf(row.id, `./models/${row.file}`) : modelOf(row.id);
}

/** Lets the visitor choose a model. */
export class Picker {
  readonly #form = element<HTMLFormElement>('choice');
  readonly #fields = element('models');
  #stored: readonly StoredModel[] = [];

  constructor(onStart: (row: ModelRow) => void) {
    for (const row of ROWS) this.#fields.append(this.#field(row));
    this.#form.addEventListener('change', () => this.#tell());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      onStart(this.chosen);
    });
  }

  get chosen(): ModelRow {
    const id = new FormData(this.#form).get('model');
    const row = ROWS.find((each) => each.id === id) ?? ROWS[0];
    if (row === undefined) throw new Error('the model table is empty');
    return row;
  }

  /** Show what is stored; the first time, choose what is there already, else the smallest. */
  refresh(stored: readonly StoredModel[]): void {
    this.#stored = stored;
    const inputs = [...this.#fields.querySelectorAll('input')];
    if (!inputs.some((input) => input.checked)) {
      const whole = (id: string) => stored.some((each) => each.id === id && each.complete);
      const first = inputs.find((input) => whole(input.value)) ?? inputs[0];
      if (first) first.checked = true;
    }
    for (const row of ROWS) element(`more-${row.id}`).textContent = this.#more(row);
    this.#tell();
  }

  #field(row: ModelRow): HTMLElement {
    const more = make('span', { className: 'more', id: `more-${row.id}` });
    const input = make('input', { type: 'radio', name: 'model', value: row.id });
    input.setAttribute('aria-describedby', more.id);
    return make(
      'label',
      { className: 'model' },
      input,
      make('span', { className: 'name' }, row.title),
      make('span', { className: 'size' }, size(row.size)),
      more,
    );
  }

  #more(row: ModelRow): string {
    const found = this.#stored.find((each) => each.id === row.id);
    if (found?.complete) return 'Stored in this browser, works offline';
    if (found) return `${Math.floor((100 * found.stored) / found.size)} % downloaded`;
    return 'Not downloaded yet';
  }

  #tell(): void {
    const row = this.chosen;
    const found = this.#stored.find((each) => each.id === row.id);
    const missing = row.size - (found?.stored ?? 0);
    const button = element('start');
    const { host } = new URL(sourceOf(row).files[0].url, location.href);
    const origin = element('origin');
    if (found?.complete) {
      button.textContent = 'Start';
      origin.textContent = 'Nothing needs to be downloaded.';
    } else {
      button.textContent = `${found ? 'Go on with the download' : 'Download'}: ${size(missing)}`;
      origin.textContent = `It comes from ${host}, once. You can pause at any time. `;
    }
    const licence = make('a', { href: row.licenseUrl, target: '_blank', rel: 'noreferrer' });
    licence.textContent = licenceOf(row);
    origin.append(' Licence: ', licence);
  }
}

function licenceOf(row: ModelRow): string {
  return row.license === 'LicenseRef-Gemma' ? 'Gemma terms of use' : row.license;
}
