import { GrantlineError } from './errors.js';
import { pause, within } from './time.js';

/** An order as `processProductGrant` is given it. */
export interface Order {
  orderId: string;
  subscriptionId?: string | undefined;
}

/** A user's token, or how to get a fresh one. */
export type Token = string | (() => string | Promise<string>);

/** Where Grantline is and who asks. Either the app's public key and a customer, or a user's token. */
export type Credentials = {
  /** Such as `https://api.example.com`. */
  baseUrl: string;
  /** The `x-toss-user-key` of a user who is signed in with Toss: only that user's orders are granted then. */
  tossUserKey?: string | undefined;
  fetch?: typeof fetch | undefined;
} & (
  | { publicKey: string; customerId: string; token?: undefined }
  | { token: Token; customerId?: string | undefined; publicKey?: undefined }
);

/** What a customer may use now: `GET /v1/customers/{id}`. Times are RFC 3339. */
export interface Customer {
  id: string;
  entitlements: {
    id: string;
    active: boolean;
    expiresAt: string | null;
    willRenew: boolean;
    state: string;
  }[];
  wallet: Record<string, { balance: number; lots: { orderId: string; kind: string; remaining: number; expiresAt: string | null }[] }>;
}

/** Toss waits 30 s for processProductGrant. This leaves two for the way back. */
export const budget = 28_000;
const firstPause = 500;
const longestPause = 4_000;
const mostTries = 40;

/** What an answer says of an order. */
type Verdict = { granted: boolean } | { againAfter: number | undefined };

export interface Server {
  /** Whether the server has granted this order. Settles within 28 s and never rejects. */
  fulfil(order: Order): Promise<boolean>;
  /** Asks the server to look at an order again; whether it took notice. Never rejects. */
  hint(orderId: string): Promise<boolean>;
  customer(): Promise<Customer>;
}

export function openServer(c: Credentials): Server {
  const base = new URL(c.baseUrl).href.replace(/\/+$/, '');
  if (c.publicKey !== undefined && !c.publicKey.startsWith('pk_')) {
    throw new TypeError('publicKey begins with pk_; a secret key must never be in a mini-app');
  }
  if (c.publicKey !== undefined && !c.customerId) {
    throw new TypeError('customerId: which customer, beside a public key');
  }
  if (c.publicKey === undefined && !c.token) {
    throw new TypeError('publicKey and customerId, or token: who asks');
  }
  // A header can hold no more. Customers with other ids sign in, with a token.
  if (c.customerId !== undefined && !/^[\x20-\x7e]{1,}$/.test(c.customerId)) {
    throw new TypeError('customerId: printable ASCII');
  }
  const send = c.fetch ?? ((input, init) => fetch(input, init));

  async function headers(): Promise<Record<string, string>> {
    const credential = c.publicKey ?? (typeof c.token === 'function' ? await c.token() : c.token);
    const all: Record<string, string> = { Authorization: `Bearer ${credential}` };
    if (c.customerId !== undefined) all['X-Customer-Id'] = c.customerId;
    if (c.tossUserKey !== undefined) all['X-Toss-User-Key'] = c.tossUserKey;
    return all;
  }

  async function post(path: string, body: unknown, signal: AbortSignal): Promise<Response> {
    return send(base + path, {
      method: 'POST',
      headers: { ...(await headers()), 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal,
      credentials: 'omit',
    });
  }

  async function ask(order: Order, signal: AbortSignal): Promise<Verdict> {
    try {
      const body = order.subscriptionId ? { orderId: order.orderId, subscriptionId: order.subscriptionId } : { orderId: order.orderId };
      const answer = await post('/api/iap/fulfill', body, signal);
      if (answer.status === 429 || answer.status >= 500) return { againAfter: retryAfter(answer) };
      if (answer.status !== 200) return { granted: false };
      const said = (await answer.json()) as { ok?: unknown } | null;
      return { granted: said?.ok === true };
    } catch {
      return { againAfter: undefined }; // no network, or an answer that is not the server's: whether it granted is unknown
    }
  }

  async function fulfil(order: Order): Promise<boolean> {
    if (typeof order?.orderId !== 'string' || order.orderId === '') return false;
    try {
      return await within(budget, async (signal) => {
        let next = firstPause;
        for (let tries = 0; tries < mostTries && !signal.aborted; tries++) {
          const verdict = await ask(order, signal);
          if ('granted' in verdict) return verdict.granted;
          await pause(verdict.againAfter ?? next * (0.5 + Math.random() / 2), signal);
          next = Math.min(next * 2, longestPause);
        }
        return false;
      });
    } catch {
      return false;
    }
  }

  async function hint(orderId: string): Promise<boolean> {
    try {
      const answer = await within(budget, (signal) => post('/v1/purchases', { store: 'appsintoss', appsintoss: { orderId } }, signal));
      return [200, 202, 409, 422].includes(answer.status);
    } catch {
      return false;
    }
  }

  async function customer(): Promise<Customer> {
    if (c.customerId === undefined) throw new TypeError('customerId: whose entitlements');
    const path = `/v1/customers/${encodeURIComponent(c.customerId)}`;
    try {
      return await within(budget, async (signal) => {
        const answer = await send(base + path, { headers: await headers(), signal, credentials: 'omit' });
        if (answer.status !== 200) throw new GrantlineError('server', `The server answers ${answer.status}.`);
        return (await answer.json()) as Customer;
      });
    } catch (cause) {
      throw cause instanceof GrantlineError ? cause : new GrantlineError('server', 'The server cannot be reached.', { cause });
    }
  }

  return { fulfil: once(fulfil), hint, customer };
}

/** Lets all who ask for one order at the same time have one answer. */
function once(fulfil: (order: Order) => Promise<boolean>): (order: Order) => Promise<boolean> {
  const underWay = new Map<string, Promise<boolean>>();
  return (order) => {
    const key = JSON.stringify([order?.orderId, order?.subscriptionId]);
    let answer = underWay.get(key);
    if (answer === undefined) {
      answer = fulfil(order).finally(() => underWay.delete(key));
      underWay.set(key, answer);
    }
    return answer;
  };
}

/** Milliseconds to wait as the server asks for, undefined where it does not. RFC 9110, 10.2.3; the date form is not used. */
function retryAfter(answer: Response): number | undefined {
  const given = answer.headers.get('Retry-After');
  return given !== null && /^\d{1,4}$/.test(given) ? Math.max(Number(given) * 1_000, firstPause) : undefined;
}
