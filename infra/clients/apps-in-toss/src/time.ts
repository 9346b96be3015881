import { GrantlineError } from './errors.js';

/** Waits, or less long if the signal is aborted. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
  });
}

/**
 * Gives up waiting for what may never answer, as a call of a native bridge may. The signal
 * handed to `act` is aborted at that moment, and also once `act` is over.
 */
export async function within<T>(milliseconds: number, act: (signal: AbortSignal) => T | PromiseLike<T>): Promise<T> {
  const stop = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    return await Promise.race([
      act(stop.signal),
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new GrantlineError('timeout', 'There was no answer in time.')), milliseconds);
      }),
    ]);
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

/** Does all of a list, at most `width` at once. `act` must not reject. */
export async function each<T>(items: readonly T[], width: number, act: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await act(items[next++] as T);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
}
