/** Debian's Chromium as a process of its own, which a test may kill as a crash would. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import { type Browser, type BrowserContext, chromium } from 'playwright-core';

const PROGRAM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--remote-debugging-port=0',
];
const START = 60_000; // ms

export class Chromium {
  private constructor(
    readonly process: ChildProcess,
    readonly browser: Browser,
  ) {}

  /** `profile` is the folder of everything that the browser keeps. */
  static async start(profile: string, flags: readonly string[] = []): Promise<Chromium> {
    const options = [...FLAGS, ...flags, `--user-data-dir=${profile}`, 'about:blank'];
    // A process group of its own, so that all of it can be ended.
    const started = spawn(PROGRAM, options, {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const address = await addressOf(started);
    return new Chromium(started, await chromium.connectOverCDP(address));
  }

  /** The pages that share the profile. */
  get context(): BrowserContext {
    const [context] = this.browser.contexts();
    if (context === undefined) throw new Error('Chromium has no context');
    return context;
  }

  /** End it at once, as a crash or a lack of memory does. */
  async kill(): Promise<void> {
    const { pid, exitCode, signalCode } = this.process;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    const ended = once(this.process, 'exit');
    process.kill(-pid, 'SIGKILL');
    await ended;
  }

  /** Memory of all processes in bytes; what they share is counted once in all. */
  async memory(): Promise<number> {
    let sum = 0;
    for (const entry of await readdir('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const stat = await readFile(join('/proc', entry, 'stat'), 'utf8').catch(() => '');
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) !== this.process.pid)
        continue;
      const rollup = await readFile(join('/proc', entry, 'smaps_rollup'), 'utf8').catch(() => '');
      sum += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
    }
    return sum;
  }

  /** The most memory that it had while `work` went on, in bytes; looks four times a second. */
  async peakMemory(work: Promise<unknown>): Promise<number> {
    let peak = 0;
    let ended = false;
    const end = () => {
      ended = true;
    };
    work.then(end, end);
    while (!ended) {
      peak = Math.max(peak, await this.memory());
      await Promise.race([wait(250), work.catch(() => undefined)]);
    }
    await work;
    return peak;
  }
}

async function addressOf(started: ChildProcess): Promise<string> {
  let said = '';
  const deadline = AbortSignal.timeout(START);
  for await (const piece of started.stderr ?? []) {
    said += String(piece);
    const found = /DevTools listening on (ws:\S+)/.exec(said);
    if (found?.[1]) {
      started.stderr?.resume();
      return found[1];
    }
    if (deadline.aborted) break;
  }
  throw new Error(`Chromium did not start: ${said}`);
}
