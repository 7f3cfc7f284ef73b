/** Templates look for these marks, to take the reasoning out of earlier answers. */
const THINKING = /think|thought/i;
const ZERO_WIDTH_SPACE = '\u200b';

/**
 * JSON data with a zero-width space in each name of a control token, so that it begins and ends no
 * turn. wllama tokenizes a prompt as a whole: it has no other way to say that a part is text.
 */
export function withoutControl(data: unknown, controlTokens: readonly string[]): unknown {
  const names = controlTokens
    .filter((name) => name.length > 1 && !THINKING.test(name))
    .sort((a, b) => b.length - a.length);
  const broken = (text: string): string =>
    names
      .filter((name) => text.includes(name))
      .reduce(
        (left, name) => left.replaceAll(name, name[0] + ZERO_WIDTH_SPACE + name.slice(1)),
        text,
      );
  const inside = (value: unknown): unknown => {
    if (typeof value === 'string') return broken(value);
    if (Array.isArray(value)) return value.map(inside);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [broken(key), inside(each)]),
    );
  };
  return inside(data);
}
