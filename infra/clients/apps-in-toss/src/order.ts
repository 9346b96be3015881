import { fromStore, GrantlineError, notGranted, unsupported } from './errors.js';
import type { Order } from './server.js';

/** What the payment page says of an order that it was paid and granted. */
export interface Receipt {
  orderId: string;
  displayName: string;
  displayAmount: string;
  amount: number;
  currency: string;
}

/** A purchase that the server has granted. */
export interface Bought {
  orderId: string;
  /** Whether Toss has been told. If not, `recover` does it at the next entry; nothing is granted twice. */
  completed: boolean;
  /** As the payment page showed it; absent where that page failed after the grant. */
  receipt: Receipt | undefined;
}

/** What the SDK calls. None of these ever throws or rejects. */
export interface Callbacks {
  processProductGrant: (order: Order) => Promise<boolean>;
  onEvent: (event: { type: string; data?: Receipt }) => void;
  onError: (error: unknown) => void;
}

export interface Means {
  /** Opens the payment page and returns the SDK's cleanup function, or on old Toss apps nothing. */
  open: (callbacks: Callbacks) => unknown;
  fulfil: (order: Order) => Promise<boolean>;
  complete: (orderId: string) => Promise<boolean>;
  signal?: AbortSignal | undefined;
}

/**
 * Takes one order from the payment page to its end. However it ends, the SDK's cleanup is
 * called once. A grant that has begun is finished in any case, since the money is paid.
 */
export function placeOrder({ open, fulfil, complete, signal }: Means): Promise<Bought> {
  return new Promise((resolve, reject) => {
    const grants = new Map<string, Promise<boolean>>();
    let paid: string | undefined;
    let cleanup: unknown;
    let cleaned = false;
    let concluding = false;
    let ended = false;

    const clean = () => {
      if (cleaned || typeof cleanup !== 'function') return;
      cleaned = true;
      try {
        cleanup();
      } catch {
        // The order is as it is, whatever becomes of its listeners.
      }
    };
    const end = (settle: () => void) => {
      if (ended) return;
      ended = true;
      signal?.removeEventListener('abort', abort);
      clean();
      settle();
    };
    const abort = () => end(() => reject(new GrantlineError('aborted', 'The purchase was abandoned here.', { orderId: paid })));

    const grant = (order: Order): Promise<boolean> => {
      let answer = grants.get(order.orderId);
      if (answer === undefined) {
        paid = order.orderId;
        answer = fulfil(order).catch(() => false);
        grants.set(order.orderId, answer);
      }
      return answer;
    };
    // Only our server's yes makes a purchase: an old Toss app reports success whatever
    // processProductGrant said, and a page may fail after the grant.
    const conclude = async (orderId: string | undefined, receipt: Receipt | undefined, trouble: GrantlineError | undefined) => {
      if (concluding || ended) return;
      concluding = true;
      if (trouble !== undefined) clean();
      const granted = orderId !== undefined && (await (trouble === undefined ? grant({ orderId }) : grants.get(orderId))) === true;
      if (!granted) return end(() => reject(trouble ?? notGranted({ orderId })));
      const completed = await complete(orderId);
      end(() => resolve({ orderId, completed, receipt }));
    };

    if (signal?.aborted) return abort();
    signal?.addEventListener('abort', abort);
    try {
      cleanup = open({
        processProductGrant: async (order) => typeof order?.orderId === 'string' && grant(order),
        onEvent: (event) => {
          if (event?.type === 'success') void conclude(event.data?.orderId ?? paid, event.data, undefined);
        },
        onError: (error) => void conclude(paid, undefined, fromStore(error, paid)),
      });
    } catch (cause) {
      return end(() => reject(new GrantlineError('outside_toss', 'The payment page cannot be opened here.', { cause })));
    }
    if (ended) clean();
    else if (typeof cleanup !== 'function' && !concluding) end(() => reject(unsupported()));
    return undefined;
  });
}
