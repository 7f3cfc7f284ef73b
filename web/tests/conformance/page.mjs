// In the page: runs what the judge says on the engine, and asks the judge for what a host gives.
import init, { run } from '/wasm/tea_wasm.js';

await init({ module_or_path: '/wasm/tea_wasm_bg.wasm' });

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
  const asked = `{"url": ${JSON.stringify(url)}, "headers": ${headers}, "body": ${JSON.stringify(body)}}`;
  const answer = await ask('post', asked);
  if (answer.error !== undefined) throw answer.error;
  return {
    status: answer.status,
    reason: answer.reason,
    header: (name) => answer.headers[name],
    async chunk() {
      const chunk = answer.chunks.shift();
      if (chunk?.error !== undefined) throw chunk.error;
      // Each character is one byte.
      return chunk && Uint8Array.from(chunk, (byte) => byte.charCodeAt(0));
    },
  };
}

/** Run a workflow once; resolves, when all of its events are said, with how it ended, as JSON. */
globalThis.play = async ({ source, name, given, has_model: hasModel }) => {
  const said = [];
  const host = {
    hasModel,
    emit: (event) => said.push(say('event', event)),
    sleep: (seconds) => ask('sleep', JSON.stringify(seconds)),
    random: () => 0.5,
    now: () => 0,
    chat,
    embed,
    post,
  };
  const ended = await run(source, name, given, host);
  await Promise.all(said);
  return ended;
};
