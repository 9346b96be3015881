import * as framework from '@apps-in-toss/web-framework';
import type { CompletedOrRefundedOrdersResult, IapProductListItem } from '@apps-in-toss/web-framework';

import { fromStore, GrantlineError, unsupported } from './errors.js';
import { within } from './time.js';

/** A product as the console has it. Prices and SKUs come from here and from nowhere else. */
export type Product = IapProductListItem;

/** The part of `@apps-in-toss/web-framework` that is used. Anything of it may be missing. */
export type Sdk = {
  IAP?: Partial<Pick<typeof framework.IAP, Used>> | undefined;
  isMinVersionSupported?: typeof framework.isMinVersionSupported | undefined;
  Storage?: Partial<Pick<typeof framework.Storage, 'getItem' | 'setItem'>> | undefined;
};

type Used =
  | 'createOneTimePurchaseOrder'
  | 'createSubscriptionPurchaseOrder'
  | 'getProductItemList'
  | 'getPendingOrders'
  | 'getCompletedOrRefundedOrders'
  | 'completeProductGrant';

/** The oldest Toss apps that can do each (Apps-in-Toss, in-app purchase, supported versions). */
const oldest = {
  list: { android: '5.219.0', ios: '5.219.0' },
  purchase: { android: '5.219.0', ios: '5.219.0' },
  subscribe: { android: '5.248.0', ios: '5.249.0' },
} as const;

/** How long a call that shows nothing to the user may take, in milliseconds. */
const patience = 15_000;
const mostPending = 100;
const mostPages = 20;
const told = 'grantline.refunds-told';
const mostTold = 500;

/** The SDK, with every answer bounded in time and every absence named. */
export interface Store {
  products(): Promise<readonly Product[]>;
  pending(): Promise<readonly string[]>;
  refunded(): Promise<readonly string[]>;
  /** Whether Toss took the order off the list of pending ones. Never rejects. */
  complete(orderId: string): Promise<boolean>;
  /** What opens the payment page, for orders of this kind. Throws a GrantlineError if there is none. */
  opener<K extends 'purchase' | 'subscribe'>(kind: K): Opener<K>;
  /** Orders whose refund the server was told of on an earlier day. Never rejects. */
  told(): Promise<readonly string[]>;
  tell(orderIds: readonly string[]): Promise<void>;
}

export type Opener<K extends 'purchase' | 'subscribe'> = K extends 'purchase'
  ? typeof framework.IAP.createOneTimePurchaseOrder
  : typeof framework.IAP.createSubscriptionPurchaseOrder;

export function openStore(sdk: Sdk = framework): Store {
  // The SDK's own functions do nothing at all on a Toss app that is too old: no return value
  // tells, and no callback is ever called. So the version is asked first.
  function require(feature: keyof typeof oldest): void {
    let supported;
    try {
      supported = sdk.isMinVersionSupported?.(oldest[feature]);
    } catch (cause) {
      throw new GrantlineError('outside_toss', 'This page does not run in the Toss app.', { cause });
    }
    if (supported === false) throw unsupported();
  }

  async function call<T>(ask: (() => Promise<T> | undefined) | undefined): Promise<T> {
    if (typeof ask !== 'function') throw unsupported();
    let answer;
    try {
      answer = await within(patience, ask);
    } catch (cause) {
      throw fromStore(cause);
    }
    if (answer === undefined || answer === null) throw unsupported();
    return answer;
  }

  async function products(): Promise<readonly Product[]> {
    require('list');
    const answer = await call(sdk.IAP?.getProductItemList);
    return list<Product>(answer.products);
  }

  async function pending(): Promise<readonly string[]> {
    const answer = await call(sdk.IAP?.getPendingOrders);
    return ids(list(answer.orders)).slice(0, mostPending);
  }

  async function refunded(): Promise<readonly string[]> {
    // The types of 2.10.8 leave out the key of the next page, which the Toss app takes.
    const page = sdk.IAP?.getCompletedOrRefundedOrders as
      | ((at?: { key: string }) => Promise<CompletedOrRefundedOrdersResult>)
      | undefined;
    const found: { orderId: string }[] = [];
    const seen = new Set<string>();
    for (let key: string | null | undefined, pages = 0; pages < mostPages; pages++) {
      const at = key;
      const answer = await call(page && (() => (at ? page({ key: at }) : page())));
      found.push(...list<(typeof answer.orders)[number]>(answer.orders).filter((o) => o?.status === 'REFUNDED'));
      key = answer.nextKey;
      if (answer.hasNext !== true || !key || seen.has(key)) break;
      seen.add(key);
    }
    return ids(found);
  }

  async function complete(orderId: string): Promise<boolean> {
    try {
      const done = sdk.IAP?.completeProductGrant;
      return (await call(done && (() => done({ params: { orderId } })))) === true;
    } catch {
      return false;
    }
  }

  function opener<K extends 'purchase' | 'subscribe'>(kind: K): Opener<K> {
    require(kind);
    const open = kind === 'purchase' ? sdk.IAP?.createOneTimePurchaseOrder : sdk.IAP?.createSubscriptionPurchaseOrder;
    if (typeof open !== 'function') throw unsupported();
    return open as Opener<K>;
  }

  async function toldBefore(): Promise<readonly string[]> {
    try {
      const kept = await within(patience, () => sdk.Storage?.getItem?.(told));
      return list(JSON.parse(kept ?? '[]')).filter((id) => typeof id === 'string');
    } catch {
      return []; // they are told once more
    }
  }

  async function tell(orderIds: readonly string[]): Promise<void> {
    try {
      await within(patience, () => sdk.Storage?.setItem?.(told, JSON.stringify(orderIds.slice(-mostTold))));
    } catch {
      // They are told once more, at the next entry.
    }
  }

  return { products, pending, refunded, complete, opener, told: toldBefore, tell };
}

function list<T>(given: unknown): T[] {
  return Array.isArray(given) ? (given as T[]) : [];
}

function ids(orders: { orderId?: unknown }[]): string[] {
  const given = orders.map((o) => o?.orderId);
  return [...new Set(given.filter((id): id is string => typeof id === 'string' && id !== ''))];
}
