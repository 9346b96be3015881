// Against a stack that runs: make run, or make client, which starts one. GRANTLINE_URL is
// its API, GRANTLINE_SIM_URL its simulators.
import { TossApp, turn, type Death } from './toss.js'; // before the SDK, which looks for a window

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createGrantline, type Grantline, type Options } from '../src/index.js';

const url = process.env['GRANTLINE_URL'];
const simulators = process.env['GRANTLINE_SIM_URL'] ?? 'http://127.0.0.1:4000';
const skip = url ? false : 'GRANTLINE_URL IS NOT SET: nothing was tested against a running stack';
if (skip) console.error(`\n*** ${skip} ***\n`);

const patience = 60_000;

async function json(method: string, to: string, body?: unknown): Promise<any> {
  const answer = await fetch(to, { method, ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }) });
  assert.ok(answer.ok, `${method} ${to}: got ${answer.status} ${await answer.clone().text()}, want 2xx`);
  return answer.status === 204 ? undefined : answer.json().catch(() => undefined);
}

/** Has an order at the Toss that the server asks, and makes the Toss app's next order that one. */
async function bought(toss: TossApp, order: { sku: string; status?: string; looks?: number }): Promise<string> {
  const { orderId } = await json('POST', `${simulators}/_sim/appsintoss/order`, order);
  toss.use(orderId);
  return orderId;
}

async function open(who: { signedIn?: boolean; customerId?: string } = {}): Promise<{ toss: TossApp; client: () => Grantline; customerId: string }> {
  const customerId = who.customerId ?? crypto.randomUUID();
  const { publicKey } = await json('GET', `${url}/_local/keys`);
  const token = async () => (await json('POST', `${url}/_local/token`, { customerId })).token as string;
  const options: Options = who.signedIn ? { baseUrl: url!, token, customerId } : { baseUrl: url!, publicKey, customerId };
  return { toss: new TossApp().install(), client: () => createGrantline(options), customerId };
}

async function eventually<T>(ask: () => Promise<T>, isSo: (got: T) => boolean, want: string): Promise<void> {
  const end = Date.now() + patience;
  for (;;) {
    const got = await ask();
    if (isSo(got)) return;
    assert.ok(Date.now() < end, `got ${JSON.stringify(got)}, want ${want}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

const gems = async (client: Grantline) => (await client.customer()).wallet['gems']?.balance ?? 0;

test('a purchase is granted, in progress at first', { skip }, async () => {
  const { toss, client } = await open();
  const orderId = await bought(toss, { sku: 'gems-100', status: 'ORDER_IN_PROGRESS', looks: 2 });
  const grantline = client();
  const got = await grantline.purchase({ sku: 'gems-100' });
  assert.equal(got.orderId, orderId, `order: got ${got.orderId}, want ${orderId}`);
  assert.equal(got.completed, true, `completed: got ${got.completed}, want true`);
  assert.equal(await gems(grantline), 100, 'gems');
  assert.equal(toss.cleanups(), 1, `cleanups: got ${toss.cleanups()}, want 1`);
});

test('a user who is signed in subscribes', { skip }, async () => {
  const { toss, client } = await open({ signedIn: true });
  await bought(toss, { sku: 'premium-1month' });
  const grantline = client();
  await grantline.subscribe({ sku: 'premium-1month', offerId: 'trial' });
  const { entitlements } = await grantline.customer();
  assert.deepEqual(entitlements.filter((e) => e.active).map((e) => e.id), ['premium'], 'entitlements');
});

test('whatever the app dies of, the gems are there once after the next entry', { skip }, async (t) => {
  for (const death of ['before grant', 'before the answer', 'before success', 'before completion', 'after completion'] as Death[]) {
    await t.test(death, async () => {
      const { toss, client } = await open();
      toss.death = death;
      await bought(toss, { sku: 'gems-100' });
      client().purchase({ sku: 'gems-100' }).catch(() => {});
      await eventually(async () => (await turn(), toss.alive), (alive) => !alive, 'a dead app');
      toss.restart();
      const again = client();
      const found = await again.recover();
      assert.deepEqual(found.waiting, [], 'waiting');
      assert.deepEqual(toss.pending(), [], 'pending at Toss');
      assert.equal(await gems(again), 100, 'gems');
      await again.recover();
      assert.equal(await gems(again), 100, 'gems after another entry');
    });
  }
});

test('an outage of Toss is waited out', { skip }, async () => {
  const { toss, client } = await open();
  const orderId = await bought(toss, { sku: 'gems-100' });
  await json('POST', `${simulators}/_sim/appsintoss/answer`, { resultType: 'INTERNAL_ERROR', orderId, count: 3 });
  const grantline = client();
  const got = await grantline.purchase({ sku: 'gems-100' });
  assert.equal(got.completed, true, `completed: got ${got.completed}, want true`);
  assert.equal(await gems(grantline), 100, 'gems');
});

test('an order that is not paid, and one of somebody else, is not granted and stays', { skip }, async () => {
  const first = await open();
  const orderId = await bought(first.toss, { sku: 'gems-100' });
  await first.client().purchase({ sku: 'gems-100' });
  const second = await open();
  second.toss.use(orderId);
  const grantline = second.client();
  await assert.rejects(grantline.purchase({ sku: 'gems-100' }), { code: 'not_granted', orderId });
  await bought(second.toss, { sku: 'gems-100', status: 'FAILED' });
  await assert.rejects(grantline.purchase({ sku: 'gems-100' }), { code: 'not_granted' });
  assert.equal(await gems(grantline), 0, 'gems');
  assert.equal(second.toss.pending().length, 2, `pending: got ${second.toss.pending().length}, want 2`);
});

test('a refund that the app has heard of is told to the server, once, and grants nothing', { skip }, async () => {
  const { toss, client } = await open();
  const orderId = await bought(toss, { sku: 'gems-100' });
  const grantline = client();
  await grantline.purchase({ sku: 'gems-100' });
  await json('POST', `${simulators}/_sim/appsintoss/status`, { orderId, status: 'REFUNDED' });
  toss.orders[0]!.state = 'refunded';
  const found = await grantline.recover();
  assert.deepEqual(found.refunded, [orderId], 'refunds told');
  assert.deepEqual(found.granted, [], 'granted');
  const held = await gems(grantline);
  assert.ok(held <= 100, `gems: got ${held}, want at most 100`);
  const next = await client().recover();
  assert.deepEqual(next.refunded, [], 'refunds told again');
});

test('a mini-app, which is of another origin, may send what the client sends', { skip }, async () => {
  for (const path of ['/api/iap/fulfill', '/v1/purchases', '/v1/customers/minji']) {
    const answer = await fetch(url + path, {
      method: 'OPTIONS',
      headers: { Origin: 'https://sample.apps.tossmini.com', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization,content-type' },
    });
    const allowed = (answer.headers.get('Access-Control-Allow-Headers') ?? '').toLowerCase();
    assert.ok(answer.ok, `OPTIONS ${path}: got ${answer.status}, want 2xx`);
    assert.equal(answer.headers.get('Access-Control-Allow-Origin'), '*', `origin for ${path}`);
    for (const header of ['authorization', 'content-type', 'x-customer-id', 'x-toss-user-key']) {
      assert.ok(allowed.includes(header), `${path}: got ${allowed}, want ${header} in it`);
    }
    assert.equal(answer.headers.get('Access-Control-Expose-Headers'), 'Retry-After', `exposed by ${path}`);
  }
});

test('a page that may not ask is told so, and nothing is granted', { skip }, async () => {
  const toss = new TossApp().install();
  await bought(toss, { sku: 'gems-100' });
  const grantline = createGrantline({ baseUrl: url!, publicKey: 'pk_nobody', customerId: crypto.randomUUID() });
  await assert.rejects(grantline.purchase({ sku: 'gems-100' }), { code: 'not_granted' });
  await assert.rejects(grantline.customer(), { code: 'server' });
});
