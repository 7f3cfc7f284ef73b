// Holds the WebAssembly engine for rust/conformance, which plays the cases on it: see page.rs
// there. Standard input and output carry one JSON map a line.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const folder = new URL('../../wasm/', import.meta.url);
const { initSync, run } = await import(new URL('tea_wasm_llm.js', folder));
initSync({ module: readFileSync(new URL('tea_wasm_llm_bg.wasm', folder)) });

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** The next line, or undefined at the end. */
async function hear() {
  const { value, done } = await lines.next();
  return done ? undefined : JSON.parse(value);
}

const say = (what, value) => process.stdout.write(`${JSON.stringify({ [what]: value })}\n`);

/** Questions are answered in the order in which they are asked, so one must wait for the other. */
async function ask(what, value) {
  say(what, value);
  const answer = await hear();
  if (answer.error !== undefined && what === 'post') throw answer.error;
  return answer;
}

async function chat(request, onText) {
  const answer = await ask('chat', request);
  for (const piece of onText ? answer.pieces : []) onText(piece);
  if (answer.error !== undefined) throw answer.error;
  return answer.reply;
}

async function embed(request) {
  const answer = await ask('embed', request);
  if (answer.error !== undefined) throw answer.error;
  return answer.reply;
}

async function post(url, headers, body) {
  const { status, reason, headers: found, chunks } = await ask('post', { url, headers, body });
  return {
    status,
    reason,
    header: (name) => found[name] ?? undefined,
    async chunk() {
      const chunk = chunks.shift();
      if (chunk?.error !== undefined) throw chunk.error;
      return chunk === undefined ? undefined : Uint8Array.from(chunk);
    },
  };
}

for (let line = await hear(); line !== undefined; line = await hear()) {
  const { source, name, given, hasModel } = line.run;
  const host = {
    hasModel,
    emit: (event) => say('event', event),
    sleep: (seconds) => ask('sleep', seconds),
    random: () => 0.5,
    now: () => 0,
    chat,
    embed,
    post,
  };
  say('ended', await run(source, name, given, host));
}
