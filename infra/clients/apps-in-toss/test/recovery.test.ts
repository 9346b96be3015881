import { settled, world } from './world.js';

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Mood } from './books.js';
import type { TossApp, TossOrder } from './toss.js';

const orders = (n: number, state: TossOrder['state'] = 'paid', prefix = 'o'): TossOrder[] =>
  Array.from({ length: n }, (_, i) => ({ orderId: `${prefix}${i}`, sku: 'gems-100', state }));

test('pending orders are granted and completed, each once', async (t) => {
  const w = world(t, (toss) => (toss.orders = orders(3)));
  const got = await settled(w.grantline.recover());
  assert.deepEqual(got?.value, { granted: ['o0', 'o1', 'o2'], completed: ['o0', 'o1', 'o2'], waiting: [], refunded: [], troubles: [] }, 'found');
  assert.deepEqual(w.toss.pending(), [], 'pending at Toss');
  assert.equal(w.books.fulfilments(), 3, `fulfilments: got ${w.books.fulfilments()}, want 3`);
});

test('one order that fails stops no other, and is not completed', async (t) => {
  for (const mood of [400, 409, 503, 'silent', 'unreachable'] as Mood[]) {
    await t.test(String(mood), async (t) => {
      const w = world(t, (toss) => (toss.orders = orders(9)));
      w.books.always.set('o0', mood);
      const got = await settled(w.grantline.recover());
      const rest = ['o1', 'o2', 'o3', 'o4', 'o5', 'o6', 'o7', 'o8'];
      assert.deepEqual(got?.value?.completed.sort(), rest, 'completed');
      assert.deepEqual(got?.value?.waiting, ['o0'], 'waiting');
      assert.deepEqual(w.toss.pending(), ['o0'], 'pending at Toss');
    });
  }
});

test('an order whose completion fails stops no other', async (t) => {
  const w = world(t, (toss) => {
    toss.orders = orders(2);
    toss.failing.set('completeProductGrant', { __isError: true, message: 'x', code: 'INTERNAL_ERROR' });
  });
  const got = await settled(w.grantline.recover());
  assert.deepEqual(got?.value?.granted, ['o0', 'o1'], 'granted');
  assert.deepEqual(got?.value?.completed, [], 'completed');
  w.toss.failing.clear();
  const next = await settled(w.again().recover());
  assert.deepEqual(next?.value?.completed, ['o0', 'o1'], 'completed at the next entry');
});

test('calls at the same time share one run, and the next one looks again', async (t) => {
  const w = world(t, (toss) => (toss.orders = orders(2)));
  const runs = [w.grantline.recover(), w.grantline.recover(), w.grantline.recover()];
  await settled(Promise.all(runs));
  const asked = () => w.toss.calls.filter((c) => c === 'getPendingOrders').length;
  assert.equal(asked(), 1, `runs: got ${asked()}, want 1`);
  await settled(w.grantline.recover());
  assert.equal(asked(), 2, `runs: got ${asked()}, want 2`);
});

test('a long list is worked off in bounds: a hundred orders, four at once', async (t) => {
  const w = world(t, (toss) => (toss.orders = orders(130)));
  const got = await settled(w.grantline.recover());
  assert.equal(got?.value?.completed.length, 100, `completed: got ${got?.value?.completed.length}, want 100`);
  assert.equal(w.books.most, 4, `at once: got ${w.books.most}, want 4`);
  const next = await settled(w.grantline.recover());
  assert.equal(next?.value?.completed.length, 30, `completed next: got ${next?.value?.completed.length}, want 30`);
});

test('a server that is out of reach ends the run within minutes', async (t) => {
  const w = world(t, (toss) => (toss.orders = orders(100)));
  w.books.moods = Array(10_000).fill(503);
  const got = await settled(w.grantline.recover(), 3_600_000);
  assert.equal(got?.value?.waiting.length, 100, `waiting: got ${got?.value?.waiting.length}, want 100`);
  assert.ok(got!.took <= 25 * 30_000, `got ${got!.took} ms, want within 25 times 30 s`);
});

test('refunds of all pages are told to the server, once each over all entries', async (t) => {
  const w = world(t, (toss) => {
    toss.orders = [...orders(70, 'completed', 'c'), ...orders(3, 'refunded', 'r')];
    toss.storage.set('another', 'value');
  });
  const got = await settled(w.grantline.recover());
  assert.deepEqual(got?.value?.refunded.sort(), ['r0', 'r1', 'r2'], 'refunded');
  assert.deepEqual(w.books.hints.sort(), ['r0', 'r1', 'r2'], 'hints');
  const hint = w.books.asked.find((a) => a.path === '/v1/purchases');
  assert.deepEqual(hint?.body.store, 'appsintoss', 'store');
  assert.equal(hint?.headers['x-customer-id'], 'minji', 'customer');
  w.toss.orders.push(...orders(1, 'refunded', 'later'));
  const next = await settled(w.again().recover());
  assert.deepEqual(next?.value?.refunded, ['later0'], 'refunded at the next entry');
  const third = await settled(w.again().recover());
  assert.deepEqual(third?.value?.refunded, [], 'refunded at the third entry');
});

test('many refunds are told fifty at an entry, and five hundred are remembered', async (t) => {
  const w = world(t, (toss) => {
    toss.orders = orders(70, 'refunded');
    toss.storage.set('grantline.refunds-told', JSON.stringify(Array.from({ length: 499 }, (_, i) => `old${i}`)));
  });
  const got = await settled(w.grantline.recover());
  assert.equal(got?.value?.refunded.length, 50, `told: got ${got?.value?.refunded.length}, want 50`);
  const kept = JSON.parse(w.toss.storage.get('grantline.refunds-told')!);
  assert.equal(kept.length, 500, `remembered: got ${kept.length}, want 500`);
  const next = await settled(w.again().recover());
  assert.equal(next?.value?.refunded.length, 20, `told next: got ${next?.value?.refunded.length}, want 20`);
});

test('a page that says it is the last is the last, whatever its key', async (t) => {
  let asked = 0;
  const last = async () => ({ hasNext: false, nextKey: `page ${asked++}`, orders: [] });
  const { grantline } = world(t, () => {}, { IAP: { getCompletedOrRefundedOrders: last } as never });
  await settled(grantline.recover());
  assert.equal(asked, 1, `pages: got ${asked}, want 1`);
});

test('a refund that the server took no notice of is told again', async (t) => {
  for (const mood of [503, 401, 429, 'unreachable', 'silent'] as Mood[]) {
    await t.test(String(mood), async (t) => {
      const w = world(t, (toss) => (toss.orders = orders(1, 'refunded')));
      w.books.hintMood = mood;
      const got = await settled(w.grantline.recover());
      assert.deepEqual(got?.value?.refunded, [], 'refunded');
      w.books.hintMood = 422;
      const next = await settled(w.again().recover());
      assert.deepEqual(next?.value?.refunded, ['o0'], 'refunded at the next entry');
    });
  }
});

test('without storage, or with nonsense in it, refunds are told all the same', async (t) => {
  const ways: ((toss: TossApp) => void)[] = [
    (toss) => toss.storage.set('grantline.refunds-told', '{'),
    (toss) => toss.storage.set('grantline.refunds-told', '{"r":1}'),
    (toss) => toss.storage.set('grantline.refunds-told', '[7,null]'),
    (toss) => toss.silent.add('getStorageItem').add('setStorageItem'),
    (toss) => toss.failing.set('getStorageItem', 'broken').set('setStorageItem', 'broken'),
  ];
  for (const [i, way] of ways.entries()) {
    await t.test(`way ${i}`, async (t) => {
      const w = world(t, (toss) => {
        toss.orders = orders(1, 'refunded');
        way(toss);
      });
      const got = await settled(w.grantline.recover());
      assert.deepEqual(got?.value?.refunded, ['o0'], 'refunded');
    });
  }
});

test('pages without end are left after twenty', async (t) => {
  const w = world(t, (toss) => {
    toss.pageSize = 1;
    toss.orders = orders(60, 'refunded');
  });
  await settled(w.grantline.recover());
  const pages = () => w.toss.calls.filter((c) => c === 'getCompletedOrRefundedOrders').length;
  assert.equal(pages(), 20, `pages: got ${pages()}, want 20`);
});

test('a page that leads to itself is left at once', async (t) => {
  let asked = 0;
  const circle = async () => ({ hasNext: true, nextKey: 'a', orders: [{ orderId: `r${asked++}`, status: 'REFUNDED' }] });
  const { grantline } = world(t, () => {}, { IAP: { getCompletedOrRefundedOrders: circle } as never });
  await settled(grantline.recover());
  assert.equal(asked, 2, `pages of a circle: got ${asked}, want 2`);
});

test('what cannot be asked is named, and the other half is done', async (t) => {
  const ways: [string, (toss: TossApp) => void, string, string[], string[]][] = [
    ['an app without both', (toss) => (toss.version = '5.230.0'), 'unsupported_app,unsupported_app', [], []],
    ['an app without pending orders', (toss) => (toss.version = '5.232.0'), 'unsupported_app', [], ['r0']],
    ['pending orders fail', (toss) => toss.failing.set('getPendingOrders', 'x'), 'store_error', [], ['r0']],
    ['pending orders hang', (toss) => toss.silent.add('getPendingOrders'), 'timeout', [], ['r0']],
    ['refunds fail', (toss) => toss.failing.set('getCompletedOrRefundedOrders', 'x'), 'store_error', ['o0'], []],
  ];
  for (const [name, way, want, granted, refunded] of ways) {
    await t.test(name, async (t) => {
      const w = world(t, (toss) => {
        toss.orders = [...orders(1), ...orders(1, 'refunded', 'r')];
        way(toss);
      });
      const got = await settled(w.grantline.recover());
      assert.equal(got?.value?.troubles.map((e) => e.code).join(), want, 'troubles');
      assert.deepEqual(got?.value?.granted, granted, 'granted');
      assert.deepEqual(got?.value?.refunded, refunded, 'refunded');
    });
  }
});

test('nonsense in lists is passed over', async (t) => {
  const IAP = {
    getPendingOrders: async () => ({ orders: [null, {}, { orderId: 7 }, { orderId: '' }, { orderId: 'o1' }, { orderId: 'o1' }] }),
    getCompletedOrRefundedOrders: async () => ({ hasNext: 'yes', nextKey: 3, orders: 'none' }),
    completeProductGrant: async () => 'yes',
  };
  const { grantline, books } = world(t, () => {}, { IAP: IAP as never });
  const got = await settled(grantline.recover());
  assert.deepEqual(got?.value, { granted: ['o1'], completed: [], waiting: [], refunded: [], troubles: [] }, 'found');
  assert.equal(books.fulfilments(), 1, `fulfilments: got ${books.fulfilments()}, want 1`);
});
