import { useCallback, useEffect, useRef, useState } from 'react';

import type { Grantline, PurchaseRequest, SubscribeRequest } from './client.js';
import { fromStore, GrantlineError } from './errors.js';
import type { Bought } from './order.js';
import type { Recovery } from './recovery.js';
import type { Product } from './store.js';

export interface GrantlineRecoveryProps {
  client: Grantline;
  /** Called once a run is over, while the component is mounted. */
  onRecovered?: ((found: Recovery) => void) | undefined;
}

/**
 * Recovers at entry: put it once at the root of the mini-app. Unmounting ends nothing but the
 * report, because a grant that has begun should be finished; StrictMode's second mount joins
 * the first one's run.
 */
export function GrantlineRecovery({ client, onRecovered }: GrantlineRecoveryProps): null {
  const report = useRef(onRecovered);
  useEffect(() => {
    report.current = onRecovered;
  });
  useEffect(() => {
    let mounted = true;
    void client.recover().then((found) => {
      if (mounted) report.current?.(found);
    });
    return () => {
      mounted = false;
    };
  }, [client]);
  return null;
}

/** What a shop's page needs. The functions are the same from render to render, and never reject. */
export interface Shop {
  /** undefined until the list is there, or if it cannot be had: see `trouble`. */
  products: readonly Product[] | undefined;
  /** Whether a purchase of this component is under way: disable the buttons. */
  buying: boolean;
  /** Why the last thing failed; a user who left the payment page is `cancelled`. */
  trouble: GrantlineError | undefined;
  /** undefined if nothing was granted: see `trouble`. */
  purchase: (request: Omit<PurchaseRequest, 'signal'>) => Promise<Bought | undefined>;
  subscribe: (request: Omit<SubscribeRequest, 'signal'>) => Promise<Bought | undefined>;
}

/** Lists products and sells them. When the component goes, so do the SDK's listeners. */
export function useGrantline(client: Grantline): Shop {
  const [products, setProducts] = useState<readonly Product[]>();
  const [buying, setBuying] = useState(false);
  const [trouble, setTrouble] = useState<GrantlineError>();
  const life = useRef<AbortController | undefined>(undefined);
  const selling = useRef<AbortSignal | undefined>(undefined); // of the purchase under way

  useEffect(() => {
    const mounted = new AbortController();
    life.current = mounted;
    setProducts(undefined); // another client's
    setBuying(false);
    setTrouble(undefined);
    client.products().then(
      (list) => {
        if (!mounted.signal.aborted) setProducts(list);
      },
      (cause: unknown) => {
        if (!mounted.signal.aborted) setTrouble(fromStore(cause));
      },
    );
    return () => mounted.abort();
  }, [client]);

  const sell = useCallback(async (start: (signal: AbortSignal) => Promise<Bought>): Promise<Bought | undefined> => {
    const signal = life.current?.signal;
    if (signal === undefined || signal.aborted || selling.current === signal) return undefined;
    selling.current = signal;
    setBuying(true);
    setTrouble(undefined);
    try {
      return await start(signal);
    } catch (cause) {
      if (!signal.aborted) setTrouble(fromStore(cause));
      return undefined;
    } finally {
      if (selling.current === signal) selling.current = undefined;
      if (!signal.aborted) setBuying(false);
    }
  }, []);
  const purchase = useCallback((request: Omit<PurchaseRequest, 'signal'>) => sell((signal) => client.purchase({ ...request, signal })), [client, sell]);
  const subscribe = useCallback((request: Omit<SubscribeRequest, 'signal'>) => sell((signal) => client.subscribe({ ...request, signal })), [client, sell]);

  return { products, buying, trouble, purchase, subscribe };
}
