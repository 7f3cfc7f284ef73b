import type { Progress } from 'tea-wasm-llm';
import { announce, element, show } from './dom.js';
import { left, ofSize, rate } from './format.js';

const PHASES: Record<Progress['phase'], string> = {
  wait: 'Another tab is downloading it',
  verify: 'Checking what is stored',
  download: 'Downloading',
  retry: 'The connection is lost; trying again',
  load: 'Loading it into memory',
};

/** Shows how far a model is, and whether it is paused. */
export class DownloadPanel {
  readonly #bar = element<HTMLProgressElement>('bar');
  #said = '';

  constructor(actions: { onPause(): void; onResume(): void; onBack(): void }) {
    element('pause').addEventListener('click', actions.onPause);
    element('resume').addEventListener('click', actions.onResume);
    element('back').addEventListener('click', actions.onBack);
  }

  /** The panel for a model, before anything is known of how far it is. */
  begin(title: string): void {
    const heading = element('download-title');
    heading.textContent = title;
    element('phase').textContent = 'Looking what is stored';
    element('percent').textContent = '';
    element('figures').textContent = '';
    this.#bar.removeAttribute('value');
    this.#said = '';
    show(true, 'pause');
    show(false, 'resume', 'back');
    heading.focus();
  }

  update({ phase, loaded, total, bytesPerSecond, secondsLeft }: Progress): void {
    const whole = loaded >= total;
    const loading = phase === 'load' || (phase !== 'wait' && whole);
    const text = PHASES[loading ? 'load' : phase];
    element('phase').textContent = text;
    show(!loading, 'pause');
    if (loading) {
      this.#bar.removeAttribute('value');
      element('percent').textContent = '';
      element('figures').textContent = 'A moment for a small model, half a minute for a large one.';
    } else {
      this.#bar.max = total;
      this.#bar.value = loaded;
      element('percent').textContent = `${Math.floor((100 * loaded) / total)} %`;
      const facts = [ofSize(loaded, total), rate(bytesPerSecond), left(secondsLeft)];
      element('figures').textContent = facts.filter(Boolean).join(' · ');
    }
    this.#say(text, loading ? null : loaded / total);
  }

  /** Nothing is under way; the visitor decides how it goes on. */
  paused(why: string, stored: number, total: number): void {
    element('phase').textContent = why;
    this.#bar.max = total;
    this.#bar.value = stored;
    element('percent').textContent = `${Math.floor((100 * stored) / total)} %`;
    element('figures').textContent = `${ofSize(stored, total)} are stored in this browser.`;
    show(false, 'pause');
    show(true, 'resume', 'back');
    announce(why);
    element('resume').focus();
  }

  /** Each phase, and each tenth of it: what a screen reader's user wants to hear, and no more. */
  #say(text: string, part: number | null): void {
    const said = part === null ? text : `${text}, ${Math.floor(part * 10) * 10} %`;
    if (said === this.#said) return;
    this.#said = said;
    announce(said);
  }
}
