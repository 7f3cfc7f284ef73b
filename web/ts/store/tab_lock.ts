import type { Progress } from '../types.js';
import type { Environment } from './environment.js';

export type Report = (progress: Progress) => void;

/**
 * Do work that one tab does at a time; the others wait and are told how far it is.
 *
 * What the working tab hands to its `report` reaches the waiting tabs' with the phase `wait`.
 * Rejects with what the work threw, or the reason of the signal.
 */
export async function withTabLock<T>(
  name: string,
  environment: Pick<Environment, 'locks'>,
  signal: AbortSignal,
  report: Report,
  work: (report: Report) => Promise<T>,
): Promise<T> {
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }: MessageEvent<Progress>) => report({ ...data, phase: 'wait' });
  try {
    return await environment.locks.request(name, { signal }, async () => {
      channel.onmessage = null;
      return await work((progress) => {
        report(progress);
        channel.postMessage(progress);
      });
    });
  } finally {
    channel.close();
  }
}
