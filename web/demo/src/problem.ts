import { TeaError } from 'tea-wasm-llm';
import { element, show } from './dom.js';

/** Show what went wrong and what helps, or nothing. */
export function fail(error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  const hint = error instanceof TeaError ? error.hint : undefined;
  element('problem-text').textContent = error === null ? '' : sentence(text);
  element('problem-hint').textContent = hint ? sentence(hint) : '';
  show(error !== null, 'problem');
  if (error !== null) element('problem').scrollIntoView({ block: 'nearest' });
}

/** The package's messages begin in lower case, some of them with a name that must stay as it is. */
function sentence(text: string): string {
  const whole = /[.!?]$/.test(text) ? text : `${text}.`;
  return /^[a-z]+ /.test(whole) ? whole.charAt(0).toUpperCase() + whole.slice(1) : whole;
}
