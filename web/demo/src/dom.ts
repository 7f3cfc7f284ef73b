/** The element of the page with an id. The page is ours, so one that is missing is a mistake. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** A new element with properties and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function show(shown: boolean, ...ids: string[]): void {
  for (const id of ids) element(id).hidden = !shown;
}

let turn = 0;

/** Have screen readers say something that sighted visitors see elsewhere. */
export function announce(text: string): void {
  const region = element('announce');
  turn += 1;
  // The same text twice would be said once.
  region.textContent = turn % 2 ? text : `${text}\u00a0`;
}
