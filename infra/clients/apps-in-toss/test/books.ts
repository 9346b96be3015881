import { turn } from './toss.js';

/** How the server behaves at one call, in place of granting. */
export type Mood = number | 'unreachable' | 'silent' | 'granted, answer lost' | { status: number; body?: unknown; text?: string; retryAfter?: string };

/** A server that keeps books: one grant an order, whoever asks and however often. */
export class Books {
  granted = new Map<string, string>(); // order to customer
  hints: string[] = [];
  /** Moods of the next calls of fulfil, first first; granted once there are none left. */
  moods: Mood[] = [];
  /** Moods of all calls for an order. */
  always = new Map<string, Mood>();
  hintMood: Mood | undefined;
  asked: { path: string; headers: Record<string, string>; body: any }[] = [];
  underWay = 0;
  most = 0;
  /** Whether fetch settles when it is aborted, as it should. */
  hears = true;

  readonly fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const path = new URL(String(input)).pathname;
    const body = init?.body ? JSON.parse(String(init.body)) : undefined;
    const headers = Object.fromEntries(new Headers(init?.headers).entries());
    this.asked.push({ path, headers, body });
    this.most = Math.max(this.most, ++this.underWay);
    try {
      await turn();
      const orderId: string = body?.orderId ?? body?.appsintoss?.orderId;
      if (path === '/v1/purchases') {
        this.hints.push(orderId);
        return await this.#answer(this.hintMood ?? 200, init?.signal);
      }
      const mood = this.always.get(orderId) ?? this.moods.shift();
      const customer = headers['x-customer-id'] ?? '';
      if (mood === undefined || mood === 'granted, answer lost') {
        if ((this.granted.get(orderId) ?? customer) !== customer) return Response.json({ ok: false }, { status: 409 });
        this.granted.set(orderId, customer);
      }
      if (mood === 'granted, answer lost') throw new TypeError('fetch failed');
      return await this.#answer(mood ?? 200, init?.signal);
    } finally {
      this.underWay--;
    }
  };

  async #answer(mood: Mood, signal: AbortSignal | null | undefined): Promise<Response> {
    if (mood === 'unreachable') throw new TypeError('fetch failed');
    if (mood === 'silent') {
      return new Promise((_, reject) => {
        if (this.hears) signal?.addEventListener('abort', () => reject(signal.reason));
      });
    }
    if (typeof mood === 'number') return Response.json({ ok: mood === 200 }, { status: mood });
    if (typeof mood === 'string') throw new TypeError('fetch failed');
    const headers: Record<string, string> = mood.retryAfter === undefined ? {} : { 'Retry-After': mood.retryAfter };
    if (mood.text !== undefined) return new Response(mood.text, { status: mood.status, headers });
    return Response.json('body' in mood ? mood.body : { ok: mood.status === 200 }, { status: mood.status, headers });
  }

  fulfilments(): number {
    return this.asked.filter((a) => a.path === '/api/iap/fulfill').length;
  }
}
