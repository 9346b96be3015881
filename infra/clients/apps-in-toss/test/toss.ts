// A Toss app to put under the real SDK: it speaks the bridge that the SDK speaks, keeps
// orders as Toss does, and can be killed at each step of a purchase. Import it before the SDK.

export interface TossOrder {
  orderId: string;
  sku: string;
  subscriptionId?: string;
  state: 'paid' | 'completed' | 'refunded';
}

/** Where the mini-app dies. */
export type Death = 'before grant' | 'before the answer' | 'before success' | 'before completion' | 'after completion';

/** What the user does at the payment page. */
export type User = 'pays' | 'leaves' | 'waits' | { error: unknown };

interface Message {
  type: 'method' | 'addEventListener' | 'removeEventListener';
  functionName: string;
  eventId: string;
  args: any;
}

const page = globalThis as unknown as { window: any };
page.window = {};

export class TossApp {
  version = '5.260.0';
  platform = 'android';
  user: User = 'pays';
  death: Death | undefined;
  /** Whether the true of processProductGrant alone completes an order; the documents disagree. */
  trueCompletes = false;
  /** How often each event is sent. */
  repeats = 1;
  /** Methods that are never answered. */
  silent = new Set<string>();
  /** What a method fails with. */
  failing = new Map<string, unknown>();
  products: any[] = [
    { type: 'CONSUMABLE', sku: 'gems-100', displayAmount: '1,100원', displayName: 'Gems', iconUrl: '', description: '' },
    { type: 'NON_CONSUMABLE', sku: 'ad-free', displayAmount: '5,500원', displayName: 'No ads', iconUrl: '', description: '' },
    {
      type: 'SUBSCRIPTION', sku: 'premium-1month', displayAmount: '4,900원', displayName: 'Premium', iconUrl: '', description: '',
      renewalCycle: 'MONTHLY', offers: [{ type: 'FREE_TRIAL', offerId: 'trial', period: 'P7D' }],
    },
  ];
  orders: TossOrder[] = [];
  pageSize = 50;
  storage = new Map<string, string>();

  alive = true;
  opened: Message[] = [];
  listening = new Set<string>();
  /** How often the listeners of each payment page were removed. */
  removed = new Map<string, number>();
  calls: string[] = [];
  grants: { orderId: string; isProductGranted: boolean }[] = [];
  #granted = new Map<string, (granted: boolean) => void>();
  #nextOrder: string[] = [];

  /** Puts this app under the SDK, in place of any before it. */
  install(): this {
    page.window.ReactNativeWebView = { postMessage: (text: string) => this.#hear(JSON.parse(text)) };
    page.window.__CONSTANT_HANDLER_MAP = this.outside
      ? undefined
      : { getOperationalEnvironment: 'toss', getTossAppVersion: this.version, getPlatformOS: this.platform };
    return this;
  }
  outside = false;

  /** Uses this id for the next order, such as one that a simulator knows. */
  use(orderId: string): void {
    this.#nextOrder.push(orderId);
  }

  /** The mini-app is opened again after it died. Orders are where they were. */
  restart(): void {
    this.alive = true;
    this.death = undefined;
    this.user = 'pays';
  }

  pending(): string[] {
    return this.orders.filter((o) => o.state === 'paid').map((o) => o.orderId);
  }

  /** How many removals the one payment page saw. */
  cleanups(): number {
    return [...this.removed.values()].reduce((a, b) => a + b, 0);
  }

  #die(at: Death): boolean {
    if (this.death === at) this.alive = false;
    return !this.alive;
  }

  #emit(event: string, data?: unknown): void {
    page.window.__GRANITE_NATIVE_EMITTER.emit(event, data);
  }

  #hear(m: Message): void {
    if (!this.alive) return;
    this.calls.push(m.functionName);
    switch (m.type) {
      case 'addEventListener':
        this.opened.push(m);
        this.listening.add(m.eventId);
        void this.#purchase(m);
        return;
      case 'removeEventListener':
        this.listening.delete(m.eventId);
        this.removed.set(m.eventId, (this.removed.get(m.eventId) ?? 0) + 1);
        return;
      case 'method':
        void this.#answer(m);
    }
  }

  async #answer(m: Message): Promise<void> {
    await turn();
    if (this.silent.has(m.functionName)) return;
    if (this.failing.has(m.functionName)) return this.#emit(`${m.functionName}/reject/${m.eventId}`, this.failing.get(m.functionName));
    if (m.functionName === 'completeProductGrant' && this.#die('before completion')) return;
    const answer = this.#do(m);
    if (m.functionName === 'completeProductGrant' && this.#die('after completion')) return;
    if (!this.alive) return;
    this.#emit(`${m.functionName}/resolve/${m.eventId}`, answer);
  }

  #do(m: Message): unknown {
    const asked = m.args[0];
    switch (m.functionName) {
      case 'iapGetProductItemList':
        return this.#older('5.219.0') ? undefined : { products: this.products };
      case 'getPendingOrders':
        return this.#older('5.234.0')
          ? undefined
          : { orders: this.orders.filter((o) => o.state === 'paid').map((o) => ({ orderId: o.orderId, sku: o.sku, paymentCompletedDate: '2026-11-22T10:00:00' })) };
      case 'getCompletedOrRefundedOrders': {
        if (this.#older('5.231.0')) return undefined;
        const all = this.orders.filter((o) => o.state !== 'paid');
        const from = Number(asked?.key ?? 0);
        const rest = all.length > from + this.pageSize;
        return {
          hasNext: rest,
          nextKey: rest ? String(from + this.pageSize) : null,
          orders: all.slice(from, from + this.pageSize).map((o) => ({
            orderId: o.orderId, sku: o.sku, status: o.state === 'refunded' ? 'REFUNDED' : 'COMPLETED', date: '2026-11-22T10:00:00',
          })),
        };
      }
      case 'completeProductGrant': {
        if (this.#older('5.233.0')) return undefined;
        const order = this.orders.find((o) => o.orderId === asked.params.orderId);
        if (order === undefined) return false;
        if (order.state === 'paid') order.state = 'completed';
        return true;
      }
      case 'processProductGrant':
        this.grants.push(asked);
        this.#granted.get(asked.orderId)?.(asked.isProductGranted);
        return undefined;
      case 'iapCreateOneTimePurchaseOrder': {
        const order: TossOrder = { orderId: this.#nextOrder.shift() ?? crypto.randomUUID(), sku: asked.productId, state: 'completed' };
        this.orders.push(order);
        return this.#receipt(order);
      }
      case 'getStorageItem':
        return this.storage.get(asked) ?? null;
      case 'setStorageItem':
        this.storage.set(asked, m.args[1]);
        return undefined;
      default:
        return undefined;
    }
  }

  #older(than: string): boolean {
    const number = (v: string) => v.split('.').reduce((sum, part) => sum * 1000 + Number(part), 0);
    return number(this.version) < number(than);
  }

  #receipt(o: TossOrder) {
    return { orderId: o.orderId, displayName: o.sku, displayAmount: '1,100원', amount: 1100, currency: 'KRW', fraction: 0, miniAppIconUrl: null };
  }

  #tell(m: Message, kind: 'onEvent' | 'onError', data: unknown): void {
    for (let i = 0; i < this.repeats; i++) this.#emit(`${m.functionName}/${kind}/${m.eventId}`, data);
  }

  async #purchase(m: Message): Promise<void> {
    await turn();
    if (this.user === 'waits') return;
    if (this.user === 'leaves') return this.#tell(m, 'onError', { __isError: true, message: 'left', code: 'USER_CANCELED' });
    if (typeof this.user === 'object') return this.#tell(m, 'onError', this.user.error);
    await this.pay(m);
  }

  /** The user of an open payment page pays. */
  async pay(m: Message): Promise<void> {
    const order: TossOrder = { orderId: this.#nextOrder.shift() ?? crypto.randomUUID(), sku: m.args.sku, state: 'paid' };
    if (m.functionName === 'requestSubscriptionPurchase') order.subscriptionId = crypto.randomUUID();
    this.orders.push(order);
    if (this.#die('before grant')) return;
    const answered = new Promise<boolean>((resolve) => this.#granted.set(order.orderId, resolve));
    this.#tell(m, 'onEvent', { type: 'purchased', data: { orderId: order.orderId, subscriptionId: order.subscriptionId } });
    if (this.#die('before the answer')) return;
    const granted = await answered;
    if (granted && this.trueCompletes) order.state = 'completed';
    await turn();
    if (this.#die('before success')) return;
    if (granted) this.#tell(m, 'onEvent', { type: 'success', data: this.#receipt(order) });
    else this.#tell(m, 'onError', { __isError: true, message: 'not granted', code: 'PRODUCT_NOT_GRANTED_BY_PARTNER' });
  }
}

/** Lets everything that is ready run, without any real time. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
