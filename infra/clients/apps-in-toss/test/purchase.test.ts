import { quiet, settled, world, type World } from './world.js';

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';

import type { Bought, Grantline, Sdk, Trouble } from '../src/index.js';
import type { Death, TossApp, User } from './toss.js';

const sell: Record<string, (g: Grantline, signal?: AbortSignal) => Promise<Bought>> = {
  purchase: (g, signal) => g.purchase({ sku: 'gems-100', ...(signal && { signal }) }),
  subscribe: (g, signal) => g.subscribe({ sku: 'premium-1month', offerId: 'trial', ...(signal && { signal }) }),
};

/** Nothing of the purchase is left in the Toss app, and its listeners were removed once. */
function cleaned(w: World, pages = 1): void {
  assert.equal(w.toss.opened.length, pages, `payment pages: got ${w.toss.opened.length}, want ${pages}`);
  for (const m of w.toss.opened) assert.equal(w.toss.removed.get(m.eventId) ?? 0, 1, `cleanups: got ${w.toss.removed.get(m.eventId) ?? 0}, want 1`);
  assert.equal(w.toss.listening.size, 0, `listeners left: got ${w.toss.listening.size}, want 0`);
}

for (const [kind, start] of Object.entries(sell)) {
  test(`${kind}: paid, granted, completed, cleaned up`, async (t) => {
    const w = world(t);
    const got = await settled(start(w.grantline));
    const [order] = w.toss.orders;
    assert.equal(got?.value?.orderId, order?.orderId, `order: got ${got?.value?.orderId}, want ${order?.orderId}`);
    assert.equal(got?.value?.completed, true, `completed: got ${got?.value?.completed}, want true`);
    assert.equal(got?.value?.receipt?.amount, 1100, `amount: got ${got?.value?.receipt?.amount}, want 1100`);
    assert.deepEqual([...w.books.granted], [[order!.orderId, 'minji']], 'granted');
    assert.deepEqual(w.toss.grants, [{ orderId: order!.orderId, isProductGranted: true }], 'what Toss heard');
    assert.equal(order!.state, 'completed', `state at Toss: got ${order!.state}, want completed`);
    const completions = w.toss.calls.filter((c) => c === 'completeProductGrant').length;
    assert.equal(completions, 1, `completions: got ${completions}, want 1`);
    cleaned(w);
    if (kind === 'subscribe') {
      assert.equal(w.books.asked[0]?.body.subscriptionId, order!.subscriptionId, 'subscriptionId that the server was given');
      assert.equal(w.toss.opened[0]?.args.offerId, 'trial', 'offer that the page was opened with');
    }
  });

  test(`${kind}: events that come twice do nothing twice`, async (t) => {
    const w = world(t, (toss) => (toss.repeats = 2));
    const got = await settled(start(w.grantline));
    await quiet();
    assert.equal(got?.value?.completed, true, `completed: got ${got?.value?.completed}, want true`);
    assert.equal(w.books.fulfilments(), 1, `fulfilments: got ${w.books.fulfilments()}, want 1`);
    const completions = w.toss.calls.filter((c) => c === 'completeProductGrant').length;
    assert.equal(completions, 1, `completions: got ${completions}, want 1`);
    cleaned(w);
  });

  test(`${kind}: every way to fail has a name and is cleaned up once`, async (t) => {
    const ways: [string, User, (w: World) => void, Trouble, string | undefined][] = [
      ['the user leaves', 'leaves', () => {}, 'cancelled', 'USER_CANCELED'],
      ['already owned', { error: { __isError: true, message: 'x', code: 'ITEM_ALREADY_OWNED' } }, () => {}, 'store_error', 'ITEM_ALREADY_OWNED'],
      ['too old', { error: { __isError: true, message: 'x', code: 'UNSUPPORTED_APP_VERSION' } }, () => {}, 'unsupported_app', 'UNSUPPORTED_APP_VERSION'],
      ['no error at all', { error: undefined }, () => {}, 'store_error', undefined],
      ['a string', { error: 'USER_CANCELED' }, () => {}, 'store_error', undefined],
      ['refused', 'pays', (w) => (w.books.moods = [400]), 'not_granted', 'PRODUCT_NOT_GRANTED_BY_PARTNER'],
      ['an outage', 'pays', (w) => (w.books.moods = Array(99).fill(503)), 'not_granted', 'PRODUCT_NOT_GRANTED_BY_PARTNER'],
    ];
    for (const [name, user, prepare, want, storeCode] of ways) {
      for (const repeats of [1, 2]) {
        await t.test(`${name}, told ${repeats} times`, async (t) => {
          const w = world(t, (toss) => ((toss.user = user), (toss.repeats = repeats)));
          prepare(w);
          const got = await settled(start(w.grantline));
          await quiet();
          assert.equal(got?.error?.code, want, `code: got ${got?.error?.code}, want ${want}`);
          assert.equal(got?.error?.storeCode, storeCode, `storeCode: got ${got?.error?.storeCode}, want ${storeCode}`);
          assert.equal(w.toss.calls.includes('completeProductGrant'), false, 'completed: got true, want false');
          cleaned(w);
          if (want === 'not_granted') {
            assert.equal(got?.error?.orderId, w.toss.pending()[0], `order: got ${got?.error?.orderId}, want the pending one`);
            assert.deepEqual(w.toss.grants.map((g) => g.isProductGranted), Array(repeats).fill(false), 'what Toss heard');
          }
          w.toss.user = 'pays';
          w.books.moods = [];
          const next = await settled(start(w.grantline));
          assert.ok(next?.value, `the next purchase: got ${next?.error?.code}, want bought`);
        });
      }
    }
  });

  test(`${kind}: abandoned with the page open, it is cleaned up once and what was paid is recovered`, async (t) => {
    const w = world(t, (toss) => (toss.user = 'waits'));
    const leave = new AbortController();
    const buying = start(w.grantline, leave.signal);
    buying.catch(() => {});
    await quiet();
    leave.abort();
    leave.abort();
    const got = await settled(buying);
    assert.equal(got?.error?.code, 'aborted', `code: got ${got?.error?.code}, want aborted`);
    cleaned(w);
    void w.toss.pay(w.toss.opened[0]!); // nobody listens
    await quiet();
    assert.equal(w.books.fulfilments(), 0, `fulfilments: got ${w.books.fulfilments()}, want 0`);
    const found = await settled(w.grantline.recover());
    assert.deepEqual(found?.value?.completed, w.toss.orders.map((o) => o.orderId), 'recovered');
    cleaned(w);
  });

  test(`${kind}: abandoned while it is granted, the grant goes on and Toss hears of it`, async (t) => {
    const w = world(t);
    w.books.moods = [503, 503];
    const leave = new AbortController();
    const buying = start(w.grantline, leave.signal);
    buying.catch(() => {});
    await quiet();
    assert.equal(w.books.fulfilments(), 1, `fulfilments: got ${w.books.fulfilments()}, want 1`);
    leave.abort();
    const got = await settled(buying);
    assert.equal(got?.error?.code, 'aborted', `code: got ${got?.error?.code}, want aborted`);
    assert.equal(got?.error?.orderId, w.toss.orders[0]?.orderId, 'the order that was paid');
    cleaned(w);
    await settled(new Promise(() => {}), 10_000);
    assert.deepEqual(w.toss.grants.map((g) => g.isProductGranted), [true], 'what Toss heard');
    assert.equal(w.books.granted.size, 1, `granted: got ${w.books.granted.size}, want 1`);
    const found = await settled(w.grantline.recover());
    assert.deepEqual(found?.value?.completed, [w.toss.orders[0]!.orderId], 'recovered');
  });

  test(`${kind}: abandoned before it began, no page opens`, async (t) => {
    const w = world(t);
    const got = await settled(start(w.grantline, AbortSignal.abort()));
    assert.equal(got?.error?.code, 'aborted', `code: got ${got?.error?.code}, want aborted`);
    assert.equal(w.toss.opened.length, 0, `payment pages: got ${w.toss.opened.length}, want 0`);
  });

  test(`${kind}: a signal that is aborted afterwards changes nothing`, async (t) => {
    const w = world(t);
    const leave = new AbortController();
    const got = await settled(start(w.grantline, leave.signal));
    const left = getEventListeners(leave.signal, 'abort').length;
    assert.equal(left, 0, `listeners of the signal: got ${left}, want 0`);
    leave.abort();
    assert.ok(got?.value, 'bought');
    cleaned(w);
  });

  test(`${kind}: a completion that fails or hangs leaves a purchase that recovery completes`, async (t) => {
    const ways: [string, (toss: TossApp) => void][] = [
      ['fails', (toss) => toss.failing.set('completeProductGrant', { __isError: true, message: 'x', code: 'INTERNAL_ERROR' })],
      ['hangs', (toss) => toss.silent.add('completeProductGrant')],
    ];
    for (const [name, way] of ways) {
      await t.test(name, async (t) => {
        const w = world(t, way);
        const got = await settled(start(w.grantline));
        assert.equal(got?.value?.completed, false, `completed: got ${got?.value?.completed}, want false`);
        cleaned(w);
        w.toss.failing.clear();
        w.toss.silent.clear();
        const found = await settled(w.grantline.recover());
        assert.deepEqual(found?.value?.completed, [got!.value!.orderId], 'completed by recovery');
        assert.deepEqual(w.toss.pending(), [], 'pending');
        assert.equal(w.books.granted.size, 1, `granted: got ${w.books.granted.size}, want 1`);
      });
    }
  });

  test(`${kind}: whatever the app dies of, the order is granted once after the next entry`, async (t) => {
    const deaths: Death[] = ['before grant', 'before the answer', 'before success', 'before completion', 'after completion'];
    for (const trueCompletes of [false, true]) {
      for (const death of deaths) {
        await t.test(`${death}, ${trueCompletes ? 'true completes' : 'true does not complete'}`, async (t) => {
          const w = world(t, (toss) => ((toss.death = death), (toss.trueCompletes = trueCompletes)));
          start(w.grantline).catch(() => {});
          await quiet();
          assert.equal(w.toss.alive, false, 'the app is dead');
          w.toss.restart();
          const found = await settled(w.again().recover());
          assert.deepEqual(found?.value?.waiting, [], 'waiting');
          assert.deepEqual([...w.books.granted.keys()], w.toss.orders.map((o) => o.orderId), 'granted');
          assert.deepEqual(w.toss.pending(), [], 'pending at Toss');
          const second = await settled(w.again().recover());
          assert.deepEqual(second?.value?.granted, [], 'what a second entry finds');
        });
      }
    }
  });
}

test('a failure of the page after the grant is a purchase all the same', async (t) => {
  const w = world(t);
  w.toss.failing.set('processProductGrant', { __isError: true, message: 'x', code: 'NETWORK_ERROR' });
  const got = await settled(w.grantline.purchase({ sku: 'gems-100' }));
  assert.equal(got?.value?.completed, true, `completed: got ${got?.value?.completed}, want true (${got?.error?.code})`);
  assert.equal(got?.value?.receipt, undefined, 'receipt');
  cleaned(w);
});

test('an old Toss app that reports success without a grant is not believed', async (t) => {
  const w = world(t, (toss) => (toss.version = '5.225.0'));
  w.books.moods = [400];
  const refused = await settled(w.grantline.purchase({ sku: 'gems-100' }));
  assert.equal(refused?.error?.code, 'not_granted', `code: got ${refused?.error?.code}, want not_granted`);
  const granted = await settled(w.grantline.purchase({ sku: 'gems-100' }));
  assert.equal(granted?.value?.completed, false, `completed: got ${granted?.value?.completed}, want false: this app cannot`);
});

test('on a Toss app that is too old nothing opens, and the error says so', async (t) => {
  const cases: [string, string, string][] = [
    ['purchase', 'android', '5.218.0'],
    ['purchase', 'ios', '5.218.9'],
    ['subscribe', 'android', '5.247.0'],
    ['subscribe', 'ios', '5.248.0'],
  ];
  for (const [kind, platform, version] of cases) {
    await t.test(`${kind} on ${platform} ${version}`, async (t) => {
      const w = world(t, (toss) => ((toss.version = version), (toss.platform = platform)));
      const got = await settled(sell[kind]!(w.grantline));
      assert.equal(got?.error?.code, 'unsupported_app', `code: got ${got?.error?.code}, want unsupported_app`);
      assert.equal(w.toss.opened.length, 0, `payment pages: got ${w.toss.opened.length}, want 0`);
    });
  }
});

test('outside of the Toss app nothing opens, and the error says so', async (t) => {
  const w = world(t, (toss) => (toss.outside = true));
  for (const ask of [...Object.values(sell), (g: Grantline) => g.products()]) {
    const got = await settled<unknown>(ask(w.grantline));
    assert.equal(got?.error?.code, 'outside_toss', `code: got ${got?.error?.code}, want outside_toss`);
  }
});

test('what is not in the product list is not sold', async (t) => {
  const { toss, grantline } = world(t);
  const asks = [
    () => grantline.purchase({ sku: 'gems-1000' }),
    () => grantline.purchase({ sku: 'premium-1month' }),
    () => grantline.subscribe({ sku: 'gems-100' }),
    () => grantline.subscribe({ sku: 'premium-1month', offerId: 'trial-of-last-year' }),
  ];
  for (const ask of asks) {
    const got = await settled(ask());
    assert.equal(got?.error?.code, 'unknown_product', `code: got ${got?.error?.code}, want unknown_product`);
  }
  assert.equal(toss.opened.length, 0, `payment pages: got ${toss.opened.length}, want 0`);
});

test('two taps open one page', async (t) => {
  const w = world(t);
  const first = w.grantline.purchase({ sku: 'gems-100' });
  const second = await settled(w.grantline.purchase({ sku: 'gems-100' }));
  assert.equal(second?.error?.code, 'busy', `code: got ${second?.error?.code}, want busy`);
  assert.ok((await settled(first))?.value, 'the first is bought');
  cleaned(w);
});

test('recovery leaves an order alone that a purchase is at work on', async (t) => {
  const w = world(t);
  w.books.moods = [503, 503];
  const buying = w.grantline.purchase({ sku: 'gems-100' });
  await quiet();
  const found = await settled(w.grantline.recover(), 200);
  assert.deepEqual(found?.value?.granted, [], 'granted by recovery');
  assert.equal(w.toss.calls.includes('completeProductGrant'), false, 'completed before Toss heard of the grant');
  assert.equal((await settled(buying))?.value?.completed, true, 'completed');
});

// What the real SDK does not do today, and the documents allow.
test('an SDK of another mind is survived, with one cleanup', async (t) => {
  const list = { getProductItemList: async () => ({ products: [{ type: 'CONSUMABLE', sku: 'gems-100' }] }) };
  let cleanups = 0;
  const cleanup = () => void cleanups++;
  const ways: [string, Sdk['IAP'], Trouble | 'bought', number][] = [
    ['no functions', undefined, 'unsupported_app', 0],
    ['no list', {}, 'unsupported_app', 0],
    ['no purchase', list as never, 'unsupported_app', 0],
    ['a list that is undefined', { getProductItemList: async () => undefined, createOneTimePurchaseOrder: () => cleanup } as never, 'unsupported_app', 0],
    ['a list of nonsense', { getProductItemList: async () => ({}), createOneTimePurchaseOrder: () => cleanup } as never, 'unknown_product', 0],
    ['a purchase that is undefined', { ...list, createOneTimePurchaseOrder: () => undefined } as never, 'unsupported_app', 0],
    [
      'a purchase that throws',
      {
        ...list,
        createOneTimePurchaseOrder: () => {
          throw new Error('not here');
        },
      } as never,
      'outside_toss',
      0,
    ],
    [
      'an error before the cleanup function is there',
      { ...list, createOneTimePurchaseOrder: ({ onError }: any) => (onError({ code: 'USER_CANCELED' }), cleanup) } as never,
      'cancelled',
      1,
    ],
    [
      'success before the cleanup function is there, and no completion',
      { ...list, createOneTimePurchaseOrder: ({ onEvent }: any) => (onEvent({ type: 'success', data: { orderId: 'o1' } }), cleanup) } as never,
      'bought',
      1,
    ],
    ['success without an order', { ...list, createOneTimePurchaseOrder: ({ onEvent }: any) => (onEvent({ type: 'success' }), cleanup) } as never, 'not_granted', 1],
    [
      'a cleanup that throws',
      {
        ...list,
        createOneTimePurchaseOrder: ({ onError }: any) => {
          queueMicrotask(() => onError({ code: 'USER_CANCELED' }));
          return () => {
            cleanups++;
            throw new Error('gone already');
          };
        },
      } as never,
      'cancelled',
      1,
    ],
    [
      'events of nothing, then success and error',
      {
        ...list,
        completeProductGrant: async () => true,
        createOneTimePurchaseOrder: ({ options, onEvent, onError }: any) => {
          queueMicrotask(async () => {
            onEvent(undefined);
            onEvent({ type: 'progress' });
            assert.equal(await options.processProductGrant(undefined), false, 'grant of nothing');
            assert.equal(await options.processProductGrant({ orderId: 'o1' }), true, 'grant');
            onEvent({ type: 'success', data: { orderId: 'o1' } });
            onError(new Error('late'));
            onEvent({ type: 'success', data: { orderId: 'o1' } });
          });
          return cleanup;
        },
      } as never,
      'bought',
      1,
    ],
  ];
  for (const [name, IAP, want, wantCleanups] of ways) {
    await t.test(name, async (t) => {
      cleanups = 0;
      const { grantline } = world(t, () => {}, { IAP });
      const got = await settled(grantline.purchase({ sku: 'gems-100' }));
      await quiet();
      const ending = got?.value ? 'bought' : got?.error?.code;
      assert.equal(ending, want, `ending: got ${ending}, want ${want}`);
      assert.equal(cleanups, wantCleanups, `cleanups: got ${cleanups}, want ${wantCleanups}`);
    });
  }
});

/** A store whose payment page is in the test's hands. */
function inHand() {
  const said: any = { cleanups: 0, completions: 0 };
  const IAP = {
    getProductItemList: async () => ({ products: [{ type: 'CONSUMABLE', sku: 'gems-100' }] }),
    createOneTimePurchaseOrder: ({ options, onEvent, onError }: any) => {
      Object.assign(said, { grant: options.processProductGrant, onEvent, onError });
      return () => void said.cleanups++;
    },
    completeProductGrant: async () => (said.completions++, true),
    getPendingOrders: async () => ({ orders: [{ orderId: 'o1' }] }),
  };
  return { said, sdk: { IAP: IAP as never } };
}

test('a page that fails during the grant is let go at once, and the grant decides', async (t) => {
  for (const [mood, want] of [[200, 'bought'], [400, 'store_error']] as const) {
    await t.test(want, async (t) => {
      const { said, sdk } = inHand();
      const w = world(t, () => {}, sdk);
      w.books.moods = [503, mood];
      const buying = w.grantline.purchase({ sku: 'gems-100' });
      buying.catch(() => {});
      await quiet();
      const granting: Promise<boolean> = said.grant({ orderId: 'o1' });
      await quiet();
      said.onError({ code: 'NETWORK_ERROR' });
      await quiet();
      assert.equal(said.cleanups, 1, `cleanups before the grant is over: got ${said.cleanups}, want 1`);
      const got = await settled(buying);
      const ending = got?.value ? 'bought' : got?.error?.code;
      assert.equal(ending, want, `ending: got ${ending}, want ${want}`);
      assert.equal(await granting, mood === 200, 'what Toss hears');
      assert.equal(said.completions, mood === 200 ? 1 : 0, `completions: got ${said.completions}`);
      assert.equal(said.cleanups, 1, `cleanups: got ${said.cleanups}, want 1`);
    });
  }
});

test('recovery waits for the end of a purchase, and for the end of its grant if it is abandoned', async (t) => {
  const { said, sdk } = inHand();
  const w = world(t, () => {}, sdk);
  const touched = async () => (await settled(w.grantline.recover(), 200))?.value?.granted.length;
  const leave = new AbortController();
  const buying = w.grantline.purchase({ sku: 'gems-100', signal: leave.signal });
  buying.catch(() => {});
  await quiet();
  assert.equal((await settled<boolean>(said.grant({ orderId: 'o1' })))?.value, true, 'grant');
  assert.equal(await touched(), 0, 'orders touched while the page is open');
  leave.abort();
  await quiet();
  assert.equal(await touched(), 1, 'orders touched once the page is gone');

  w.books.moods = [503];
  const again = new AbortController();
  w.grantline.purchase({ sku: 'gems-100', signal: again.signal }).catch(() => {});
  await quiet();
  const granting: Promise<boolean> = said.grant({ orderId: 'o1' });
  await quiet();
  again.abort();
  await quiet();
  assert.equal(await touched(), 0, 'orders touched while the grant goes on');
  await settled(granting);
  assert.equal(await touched(), 1, 'orders touched after the grant');
});

test('what an SDK still says after the end does nothing', async (t) => {
  const { said, sdk } = inHand();
  const w = world(t, () => {}, sdk);
  const leave = new AbortController();
  const buying = w.grantline.purchase({ sku: 'gems-100', signal: leave.signal });
  buying.catch(() => {});
  await quiet();
  leave.abort();
  said.onEvent({ type: 'success', data: { orderId: 'o1' } });
  said.onError(new Error('late'));
  assert.equal((await settled(buying))?.error?.code, 'aborted', 'ending');
  await quiet();
  assert.equal(w.books.fulfilments(), 0, `fulfilments: got ${w.books.fulfilments()}, want 0`);
  assert.equal(said.completions, 0, `completions: got ${said.completions}, want 0`);
  assert.equal(said.cleanups, 1, `cleanups: got ${said.cleanups}, want 1`);
});

test('no callback throws and no promise is left unhandled', async (t) => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  const w = world(t, (toss) => (toss.user = { error: null }));
  w.books.always.set('o1', 400);
  await settled(w.grantline.purchase({ sku: 'gems-100' }));
  w.toss.user = 'pays';
  w.toss.use('o1');
  await settled(w.grantline.purchase({ sku: 'gems-100' }));
  w.toss.failing.set('getPendingOrders', 'broken');
  await settled(w.grantline.recover());
  await quiet();
  assert.deepEqual(unhandled, [], 'unhandled');
});
