interface Message {
  readonly role: string;
  readonly content: string;
}

/** Templates look for these marks, to take the reasoning out of earlier answers. */
const THINKING = /think|thought/i;
const ZERO_WIDTH_SPACE = '\u200b';

/**
 * The messages with a zero-width space in each name of a control token, so that it begins and ends
 * no turn. wllama tokenizes a prompt as a whole: it has no other way to say that a part is text.
 */
export function withoutControl(
  messages: readonly Message[],
  controlTokens: readonly string[],
): Message[] {
  const names = controlTokens.filter((name) => name.length > 1 && !THINKING.test(name));
  const broken = (text: string): string =>
    names
      .filter((name) => text.includes(name))
      .sort((a, b) => b.length - a.length)
      .reduce(
        (left, name) => left.replaceAll(name, name[0] + ZERO_WIDTH_SPACE + name.slice(1)),
        text,
      );
  return messages.map(({ role, content }) => ({ role, content: broken(content) }));
}
