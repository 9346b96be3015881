import { fromStore, type GrantlineError } from './errors.js';
import type { Server } from './server.js';
import type { Store } from './store.js';
import { each } from './time.js';

/** What was found at an entry, and what became of it. */
export interface Recovery {
  /** Orders that the server has granted, now or before. */
  granted: string[];
  /** Those of them that Toss does not call pending any more. */
  completed: string[];
  /** Orders that the server does not grant, or not now. They come back at the next entry. */
  waiting: string[];
  /** Refunded orders that the server was told to look at. */
  refunded: string[];
  /** What could not be asked, such as on an old Toss app. */
  troubles: GrantlineError[];
}

const width = 4;
const mostHints = 50;

/**
 * Brings to an end what earlier visits left. One order that fails stops no other. Orders of
 * which `isBusy` says that a purchase is at work on them are left to it. Never rejects.
 */
export async function recover(server: Server, store: Store, isBusy: (orderId: string) => boolean): Promise<Recovery> {
  const found: Recovery = { granted: [], completed: [], waiting: [], refunded: [], troubles: [] };
  try {
    await each(await store.pending(), width, async (orderId) => {
      if (isBusy(orderId)) return;
      if (!(await server.fulfil({ orderId }))) {
        found.waiting.push(orderId);
        return;
      }
      found.granted.push(orderId);
      if (await store.complete(orderId)) found.completed.push(orderId);
    });
  } catch (cause) {
    found.troubles.push(fromStore(cause));
  }
  try {
    const refunded = await store.refunded();
    if (refunded.length > 0) await tell(server, store, refunded, found);
  } catch (cause) {
    found.troubles.push(fromStore(cause));
  }
  return found;
}

/** Tells the server of refunds, each once. What it answers is of no interest: it looks itself. */
async function tell(server: Server, store: Store, refunded: readonly string[], found: Recovery): Promise<void> {
  const told = await store.told();
  const news = refunded.filter((id) => !told.includes(id)).slice(0, mostHints);
  await each(news, width, async (orderId) => {
    if (await server.hint(orderId)) found.refunded.push(orderId);
  });
  if (found.refunded.length > 0) await store.tell([...told, ...found.refunded]);
}
