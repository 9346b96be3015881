import { quiet, settled, world } from './world.js';

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { createGrantline } from '../src/index.js';
import type { Mood } from './books.js';

test('only 200 with ok true is true, and what is final is asked once', async (t) => {
  const cases: [Mood, boolean][] = [
    [200, true],
    [{ status: 200, body: { ok: false } }, false],
    [{ status: 200, body: { ok: 'true' } }, false],
    [{ status: 200, body: null }, false],
    [{ status: 201, body: { ok: true } }, false],
    [{ status: 400, body: { ok: true } }, false],
    [400, false],
    [401, false],
    [403, false],
    [409, false],
  ];
  for (const [mood, want] of cases) {
    await t.test(JSON.stringify(mood), async (t) => {
      const { books, grantline } = world(t);
      books.moods = [mood];
      const got = await settled(grantline.fulfil({ orderId: 'o1' }));
      assert.equal(got?.value, want, `fulfil: got ${got?.value}, want ${want}`);
      assert.equal(books.fulfilments(), 1, `calls: got ${books.fulfilments()}, want 1`);
    });
  }
});

test('what may pass is asked again until it is granted', async (t) => {
  for (const mood of [503, 500, 502, 504, 429, 'unreachable', 'granted, answer lost', { status: 200, text: '<html>' }] as Mood[]) {
    await t.test(JSON.stringify(mood), async (t) => {
      const { books, grantline } = world(t);
      books.moods = [mood, mood, mood];
      const got = await settled(grantline.fulfil({ orderId: 'o1' }));
      assert.equal(got?.value, true, `fulfil: got ${got?.value}, want true`);
      assert.equal(books.fulfilments(), 4, `calls: got ${books.fulfilments()}, want 4`);
      assert.ok(got!.took > 1_000, `three pauses: got ${got!.took} ms, want more than 1000`);
    });
  }
});

test('an outage ends in false within 30 seconds, after a bounded number of calls', async (t) => {
  for (const mood of [503, 'unreachable', 'silent', { status: 503, retryAfter: '9999' }, { status: 503, retryAfter: '0' }] as Mood[]) {
    await t.test(JSON.stringify(mood), async (t) => {
      const { books, grantline } = world(t);
      books.always.set('o1', mood);
      const got = await settled(grantline.fulfil({ orderId: 'o1' }));
      assert.equal(got?.value, false, `fulfil: got ${got?.value}, want false`);
      assert.ok(got!.took <= 29_000, `got ${got!.took} ms, want within 29000`);
      assert.ok(books.fulfilments() <= 40, `calls: got ${books.fulfilments()}, want at most 40`);
      await quiet();
      assert.equal(books.underWay, 0, `requests left under way: got ${books.underWay}, want 0`);
    });
  }
});

test('a fetch that does not hear its signal is not waited for either', async (t) => {
  const { books, grantline } = world(t);
  books.hears = false;
  books.always.set('o1', 'silent');
  const got = await settled(grantline.fulfil({ orderId: 'o1' }));
  assert.equal(got?.value, false, `fulfil: got ${got?.value}, want false`);
  assert.ok(got!.took <= 29_000, `got ${got!.took} ms, want within 29000`);
});

test('Retry-After is kept', async (t) => {
  const { books, grantline } = world(t);
  books.moods = [{ status: 503, retryAfter: '7' }];
  const got = await settled(grantline.fulfil({ orderId: 'o1' }));
  assert.equal(got?.value, true, `fulfil: got ${got?.value}, want true`);
  assert.ok(got!.took >= 6_500 && got!.took <= 7_500, `got ${got!.took} ms, want about 7000`);
});

test('all who ask for one order at the same time share one call', async (t) => {
  const { books, grantline } = world(t);
  const got = await settled(Promise.all(Array.from({ length: 20 }, () => grantline.fulfil({ orderId: 'o1' }))));
  assert.deepEqual(got?.value, Array(20).fill(true), 'fulfil twenty times');
  assert.equal(books.fulfilments(), 1, `calls: got ${books.fulfilments()}, want 1`);
});

test('an answer is shared while it is asked for, and never later', async (t) => {
  const { books, grantline } = world(t);
  books.moods = [400];
  const first = await settled(grantline.fulfil({ orderId: 'o1' }));
  const second = await settled(grantline.fulfil({ orderId: 'o1' }));
  assert.deepEqual([first?.value, second?.value], [false, true], 'fulfil twice');
});

test('the request is what the server reads', async (t) => {
  const { books } = world(t);
  const base = { baseUrl: 'https://api.example.com', fetch: books.fetch };
  const signed = createGrantline({ ...base, token: async () => 'jwt', tossUserKey: 'key' });
  await settled(signed.fulfil({ orderId: 'o1', subscriptionId: 's1' }));
  const named = createGrantline({ ...base, publicKey: 'pk_x', customerId: 'minji' });
  await settled(named.fulfil({ orderId: 'o2' }));
  assert.deepEqual(books.asked, [
    {
      path: '/api/iap/fulfill',
      headers: { authorization: 'Bearer jwt', 'content-type': 'application/json', 'x-toss-user-key': 'key' },
      body: { orderId: 'o1', subscriptionId: 's1' },
    },
    {
      path: '/api/iap/fulfill',
      headers: { authorization: 'Bearer pk_x', 'content-type': 'application/json', 'x-customer-id': 'minji' },
      body: { orderId: 'o2' },
    },
  ]);
});

test('nothing given never throws and never asks', async (t) => {
  const { books, grantline } = world(t);
  for (const nothing of [undefined, null, {}, { orderId: '' }, { orderId: 7 }]) {
    const got = await settled(grantline.fulfil(nothing as never));
    assert.equal(got?.value, false, `fulfil(${JSON.stringify(nothing)}): got ${got?.value}, want false`);
  }
  assert.equal(books.fulfilments(), 0, `calls: got ${books.fulfilments()}, want 0`);
});

test('a token that cannot be had, or never comes, is false within the budget', async (t) => {
  const { books } = world(t);
  for (const token of [() => Promise.reject(new Error('no session')), () => new Promise<string>(() => {})]) {
    const got = await settled(createGrantline({ baseUrl: 'https://api.example.com', token, fetch: books.fetch }).fulfil({ orderId: 'o1' }));
    assert.equal(got?.value, false, `fulfil: got ${got?.value}, want false`);
    assert.ok(got!.took <= 29_000, `got ${got!.took} ms, want within 29000`);
  }
});

test('options that can never work are refused at once', () => {
  const baseUrl = 'https://api.example.com';
  const wrong: unknown[] = [
    { baseUrl: 'api.example.com', publicKey: 'pk_x', customerId: 'minji' },
    { baseUrl, publicKey: 'sk_x', customerId: 'minji' },
    { baseUrl, publicKey: 'pk_x' },
    { baseUrl, publicKey: 'pk_x', customerId: '민지' },
    { baseUrl, publicKey: 'pk_x', customerId: 'a\r\nb: c' },
    { baseUrl },
  ];
  for (const options of wrong) assert.throws(() => createGrantline(options as never), TypeError, JSON.stringify(options));
});

test('no timer is left behind', async (t) => {
  const { grantline } = world(t);
  const set = mock.method(globalThis, 'setTimeout');
  const clear = mock.method(globalThis, 'clearTimeout');
  t.after(() => (set.mock.restore(), clear.mock.restore()));
  await settled(grantline.fulfil({ orderId: 'o1' }));
  const left = set.mock.calls.map((c) => c.result).filter((timer) => !clear.mock.calls.some((c) => c.arguments[0] === timer));
  assert.equal(left.length, 0, `timers left: got ${left.length}, want 0`);
});
