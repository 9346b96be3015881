import { GrantlineError } from './errors.js';
import { placeOrder, type Bought, type Callbacks } from './order.js';
import { recover, type Recovery } from './recovery.js';
import { openServer, type Credentials, type Customer, type Order } from './server.js';
import { openStore, type Product, type Sdk } from './store.js';

export type Options = Credentials & {
  /** For tests, and for a tool that stands in for the SDK; the real SDK unless given. */
  sdk?: Sdk | undefined;
};

export interface PurchaseRequest {
  /** The `sku` of a product of `products()`. */
  sku: string;
  /** Ends the wait and removes the SDK's listeners. The payment page may stay open, and be paid: `recover` finds that. */
  signal?: AbortSignal | undefined;
}

export interface SubscribeRequest extends PurchaseRequest {
  /** One of the product's `offers`. */
  offerId?: string | undefined;
}

/** A mini-app's purchases. Make one for the life of the page. */
export interface Grantline {
  /** What may be sold now, with prices as Toss shows them. Rejects with a GrantlineError. */
  products(): Promise<readonly Product[]>;
  /** Sells a product once. Resolves when the server has granted it, rejects with a GrantlineError otherwise. */
  purchase(request: PurchaseRequest): Promise<Bought>;
  /** Sells a subscription, likewise. */
  subscribe(request: SubscribeRequest): Promise<Bought>;
  /**
   * Finishes what a crash or an outage left, and tells the server of refunds. To be called at
   * each entry; calls at the same time share one run. Never rejects.
   */
  recover(): Promise<Recovery>;
  /**
   * Has the server grant an order: what processProductGrant returns. Settles within 28 s and
   * never rejects; true only if the server has granted it to this customer, now or before.
   */
  fulfil(order: Order): Promise<boolean>;
  /** What the customer may use now. Rejects with a GrantlineError, or with a TypeError without `customerId` among the options. */
  customer(): Promise<Customer>;
}

/** Throws a TypeError for options that can never work, such as a secret key. */
export function createGrantline({ sdk, ...credentials }: Options): Grantline {
  const server = openServer(credentials);
  const store = openStore(sdk);
  const atWork = new Set<string>();
  let buying = false;
  let recovering: Promise<Recovery> | undefined;

  /** Has an order granted, and keeps recovery away from it until `over`. */
  function keeper() {
    const kept = new Set<string>();
    let open = 0;
    let finished = false;
    const letGo = () => {
      if (finished && open === 0) kept.forEach((id) => atWork.delete(id));
    };
    return {
      async fulfil(order: Order): Promise<boolean> {
        kept.add(order.orderId);
        atWork.add(order.orderId);
        open++;
        try {
          return await server.fulfil(order);
        } finally {
          open--;
          letGo();
        }
      },
      over() {
        finished = true;
        letGo();
      },
    };
  }

  async function buy(isOne: (p: Product) => boolean, open: () => (callbacks: Callbacks) => unknown, signal: AbortSignal | undefined): Promise<Bought> {
    if (buying) throw new GrantlineError('busy', 'Another purchase is under way.');
    buying = true;
    const keep = keeper();
    try {
      const opening = open();
      if (!(await store.products()).some(isOne)) {
        throw new GrantlineError('unknown_product', 'This product or offer is not on sale now.');
      }
      return await placeOrder({ open: opening, fulfil: keep.fulfil, complete: store.complete, signal });
    } finally {
      buying = false;
      keep.over();
    }
  }

  return {
    products: store.products,
    customer: server.customer,
    fulfil: server.fulfil,
    purchase: ({ sku, signal }) =>
      buy(
        (p) => p.sku === sku && p.type !== 'SUBSCRIPTION',
        () => {
          const create = store.opener('purchase');
          return ({ processProductGrant, onEvent, onError }) => create({ options: { sku, processProductGrant }, onEvent, onError });
        },
        signal,
      ),
    subscribe: ({ sku, offerId, signal }) =>
      buy(
        (p) => p.sku === sku && p.type === 'SUBSCRIPTION' && (offerId === undefined || !!p.offers?.some((o) => o.offerId === offerId)),
        () => {
          const create = store.opener('subscribe');
          return ({ processProductGrant, onEvent, onError }) =>
            create({ options: { sku, offerId: offerId ?? null, processProductGrant }, onEvent, onError });
        },
        signal,
      ),
    recover: () =>
      (recovering ??= recover(server, store, (orderId) => atWork.has(orderId)).finally(() => {
        recovering = undefined;
      })),
  };
}
