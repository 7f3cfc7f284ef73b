import {
  createTea,
  type ModelRow,
  type ModelStore,
  openModelStore,
  type Tea,
  TeaError,
} from 'tea-wasm-llm';
import { Chat } from './chat.js';
import { announce, element, show } from './dom.js';
import { WorkflowPanel } from './workflow_panel.js';
import { DownloadPanel } from './download_panel.js';
import { Picker, sourceOf } from './picker.js';
import { fail } from './problem.js';
import { ModelList } from './model_list.js';
import { tabs } from './tabs.js';

const ONE_THREAD = 'This visit computes on one thread. Load the page again, and it may use more.';
const PANELS = ['setup', 'download', 'work'] as const;

/** The page: which panel is to be seen, and the model that it works with. */
class Page {
  readonly #store: ModelStore;
  readonly #picker: Picker;
  readonly #download: DownloadPanel;
  readonly #chat = new Chat();
  readonly #workflow = new WorkflowPanel();
  readonly #list: ModelList;
  #stop: AbortController | undefined;
  #tea: Tea | undefined;
  #row: ModelRow | undefined;

  constructor(store: ModelStore) {
    this.#store = store;
    this.#list = new ModelList(store, () => void this.refresh());
    this.#picker = new Picker((row) => void this.#start(row));
    this.#download = new DownloadPanel({
      onPause: () => this.#stop?.abort(),
      onResume: () => this.#row && void this.#start(this.#row),
      onBack: () => void this.#choose(),
    });
    element('change').addEventListener('click', () => void this.#choose());
    addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      this.#chat.stop();
      this.#workflow.stop();
    });
    // A download that lost the network goes on by itself.
    addEventListener('online', () => {
      if (this.#row && !element('resume').hidden) void this.#start(this.#row);
    });
  }

  async refresh(): Promise<void> {
    const stored = await this.#store.list();
    this.#picker.refresh(stored);
    this.#list.refresh(stored, this.#tea ? this.#row?.id : undefined);
  }

  #panel(shown: (typeof PANELS)[number]): void {
    for (const panel of PANELS) show(panel === shown, panel);
    show(shown !== 'work', 'intro');
    document.body.classList.toggle('working-page', shown === 'work');
  }

  async #start(row: ModelRow): Promise<void> {
    fail(null);
    this.#row = row;
    const stop = new AbortController();
    this.#stop = stop;
    this.#panel('download');
    this.#download.begin(row.title);
    try {
      void this.#store.persist();
      this.#tea = await createTea({
        model: sourceOf(row),
        store: this.#store,
        signal: stop.signal,
        onProgress: (progress) => this.#download.update(progress),
        onWarning: ({ code }) => {
          if (code === 'one-thread') element('threads').textContent = ONE_THREAD;
        },
      });
      this.#ready(row, this.#tea);
    } catch (error) {
      await this.#interrupted(row, error);
    }
    await this.refresh();
  }

  #ready(row: ModelRow, tea: Tea): void {
    this.#panel('work');
    element('ready').textContent = `${row.title} is ready`;
    announce(`${row.title} is ready`);
    this.#workflow.open(tea);
    this.#chat.open(tea, row.chatSystem);
  }

  async #interrupted(row: ModelRow, error: unknown): Promise<void> {
    const stored = (await this.#store.list()).find((each) => each.id === row.id)?.stored ?? 0;
    const code = error instanceof TeaError ? error.code : undefined;
    if (code !== 'aborted' && code !== 'offline') fail(error);
    const why = code === 'aborted' ? 'Paused' : code === 'offline' ? 'Offline' : 'Not finished';
    this.#download.paused(why, stored, row.size);
  }

  /** Back to the choice; the model leaves the memory and stays in the store. */
  async #choose(): Promise<void> {
    fail(null);
    this.#chat.stop();
    this.#workflow.stop();
    this.#panel('setup');
    element('threads').textContent = '';
    const tea = this.#tea;
    this.#tea = undefined;
    await tea?.dispose();
    await this.refresh();
    element('models').querySelector<HTMLElement>('input:checked')?.focus();
  }
}

async function main(): Promise<void> {
  tabs(document.querySelector('[role=tablist]') as HTMLElement);
  try {
    await new Page(await openModelStore()).refresh();
  } catch (error) {
    show(false, 'setup');
    fail(error);
  }
  if (import.meta.env.PROD) await navigator.serviceWorker?.register('./sw.js');
}

void main();
