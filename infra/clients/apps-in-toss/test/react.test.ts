import { quiet, settled, world, type World } from './world.js';

import assert from 'node:assert/strict';
import { mock, test, type TestContext } from 'node:test';

import { createElement, StrictMode, type ReactElement } from 'react';
import { act, create, type ReactTestRenderer } from 'react-test-renderer';

import type { Grantline, Recovery } from '../src/index.js';
import { GrantlineRecovery, useGrantline, type Shop } from '../src/react.js';

(globalThis as any).IS_REACT_ACT_ENVIRONMENT = true;

/** Renders without React's complaints being lost: each is a failure. */
async function render(t: TestContext, element: ReactElement): Promise<ReactTestRenderer> {
  const complaints = mock.method(console, 'error', () => {});
  t.after(() => {
    complaints.mock.restore();
    const texts = complaints.mock.calls.map((c) => String(c.arguments[0])).filter((text) => !/react-test-renderer is deprecated|ExperimentalWarning/.test(text));
    assert.deepEqual(texts, [], 'complaints of React');
  });
  let root: ReactTestRenderer;
  await act(async () => {
    root = create(element);
  });
  return root!;
}

const strict = (element: ReactElement) => createElement(StrictMode, null, element);

/** A page that shows its shop to the test. */
function page(client: Grantline) {
  const seen: Shop[] = [];
  const Page = ({ of }: { of: Grantline }) => {
    seen.push(useGrantline(of));
    return null;
  };
  return { element: createElement(Page, { of: client }), of: (other: Grantline) => createElement(Page, { of: other }), last: () => seen[seen.length - 1]!, seen };
}

async function idle(): Promise<void> {
  await act(quiet);
}

const pendingOrder = (w: World) => w.toss.orders.push({ orderId: 'o1', sku: 'gems-100', state: 'paid' });

test('the component recovers once at entry, also when StrictMode mounts it twice', async (t) => {
  const w = world(t);
  pendingOrder(w);
  const found: Recovery[] = [];
  await render(t, strict(createElement(GrantlineRecovery, { client: w.grantline, onRecovered: (f) => found.push(f) })));
  await idle();
  assert.deepEqual(found.map((f) => f.completed), [['o1']], 'reports');
  const runs = w.toss.calls.filter((c) => c === 'getPendingOrders').length;
  assert.equal(runs, 1, `runs: got ${runs}, want 1`);
  assert.equal(w.books.fulfilments(), 1, `fulfilments: got ${w.books.fulfilments()}, want 1`);
});

test('a component that is rendered again does not recover again, and reports to its newest listener', async (t) => {
  const w = world(t);
  pendingOrder(w);
  const heard: string[] = [];
  const root = await render(t, createElement(GrantlineRecovery, { client: w.grantline, onRecovered: () => heard.push('first') }));
  await act(async () => root.update(createElement(GrantlineRecovery, { client: w.grantline, onRecovered: () => heard.push('second') })));
  await idle();
  assert.deepEqual(heard, ['second'], 'reports');
  const runs = w.toss.calls.filter((c) => c === 'getPendingOrders').length;
  assert.equal(runs, 1, `runs: got ${runs}, want 1`);
});

test('a component that is gone reports nothing, and its orders are granted all the same', async (t) => {
  const w = world(t);
  pendingOrder(w);
  let reports = 0;
  const root = await render(t, createElement(GrantlineRecovery, { client: w.grantline, onRecovered: () => reports++ }));
  await act(async () => root.unmount());
  await idle();
  assert.equal(reports, 0, `reports: got ${reports}, want 0`);
  assert.deepEqual(w.toss.pending(), [], 'pending at Toss');
});

test('the hook shows products and sells one', async (t) => {
  const w = world(t);
  const shown = page(w.grantline);
  await render(t, strict(shown.element));
  await idle();
  assert.deepEqual(shown.last().products?.map((p) => p.sku), ['gems-100', 'ad-free', 'premium-1month'], 'products');
  assert.equal(shown.last().buying, false, 'buying before');
  const { purchase } = shown.last();
  let bought: ReturnType<typeof purchase> | undefined;
  await act(async () => {
    bought = purchase({ sku: 'gems-100' });
  });
  assert.ok(shown.seen.some((s) => s.buying), 'buying was never shown');
  await idle();
  assert.equal((await bought)?.completed, true, 'completed');
  assert.equal(shown.last().buying, false, 'buying afterwards');
  assert.equal(shown.last().trouble, undefined, 'trouble');
  assert.equal(shown.last().purchase, purchase, 'the function stays the same');
  assert.equal(w.toss.cleanups(), 1, `cleanups: got ${w.toss.cleanups()}, want 1`);
  await act(async () => {
    bought = purchase({ sku: 'ad-free' });
    await bought;
  });
  assert.equal((await bought)?.completed, true, 'the next one completed');
});

test('the hook names what went wrong and never rejects', async (t) => {
  const w = world(t, (toss) => (toss.user = 'leaves'));
  const shown = page(w.grantline);
  await render(t, shown.element);
  let bought: unknown = 'nothing';
  await act(async () => {
    bought = await shown.last().subscribe({ sku: 'premium-1month' });
  });
  assert.equal(bought, undefined, 'bought');
  assert.equal(shown.last().trouble?.code, 'cancelled', `trouble: got ${shown.last().trouble?.code}, want cancelled`);
  assert.equal(shown.last().buying, false, 'buying');
  assert.equal(w.toss.cleanups(), 1, `cleanups: got ${w.toss.cleanups()}, want 1`);
});

test('a second tap changes nothing', async (t) => {
  const w = world(t, (toss) => (toss.user = 'waits'));
  const shown = page(w.grantline);
  await render(t, shown.element);
  await act(async () => void shown.last().purchase({ sku: 'gems-100' }));
  let second: unknown = 'nothing';
  await act(async () => {
    second = await shown.last().purchase({ sku: 'gems-100' });
  });
  assert.equal(second, undefined, 'the second');
  assert.equal(shown.last().buying, true, 'buying');
  assert.equal(shown.last().trouble, undefined, 'trouble');
});

for (const [name, wrap] of [['', (e: ReactElement) => e], [', in StrictMode', strict]] as const) {
  test(`a page that goes away takes its listeners with it, once, and shows nothing any more${name}`, async (t) => {
    const w = world(t, (toss) => (toss.user = 'waits'));
    const shown = page(w.grantline);
    const root = await render(t, wrap(shown.element));
    let bought: Promise<unknown> | undefined;
    await act(async () => {
      bought = shown.last().purchase({ sku: 'gems-100' });
      await quiet();
    });
    assert.equal(w.toss.listening.size, 1, `listeners: got ${w.toss.listening.size}, want 1`);
    const renders = shown.seen.length;
    const { purchase } = shown.last();
    await act(async () => root.unmount());
    await idle();
    assert.equal(w.toss.listening.size, 0, `listeners left: got ${w.toss.listening.size}, want 0`);
    assert.equal(w.toss.cleanups(), 1, `cleanups: got ${w.toss.cleanups()}, want 1`);
    assert.equal((await settled(bought!))?.value, undefined, 'bought');
    assert.equal(shown.seen.length, renders, 'renders after the end');
    assert.equal(await purchase({ sku: 'gems-100' }), undefined, 'a purchase after the end');
    assert.equal(w.toss.opened.length, 1, `payment pages: got ${w.toss.opened.length}, want 1`);
  });
}

test('another client starts anew', async (t) => {
  const w = world(t, (toss) => (toss.user = 'waits'));
  const shown = page(w.grantline);
  const root = await render(t, shown.element);
  await act(async () => void shown.last().purchase({ sku: 'gems-100' }));
  await idle();
  w.toss.user = 'pays';
  await act(async () => root.update(shown.of(w.again())));
  await idle();
  assert.equal(shown.last().buying, false, 'buying');
  assert.equal(w.toss.listening.size, 0, `listeners left: got ${w.toss.listening.size}, want 0`);
  let bought: unknown;
  await act(async () => {
    bought = await shown.last().purchase({ sku: 'gems-100' });
  });
  assert.ok(bought, 'bought by the other client');
});

test('a list that cannot be had is a trouble', async (t) => {
  const w = world(t, (toss) => (toss.version = '5.200.0'));
  const shown = page(w.grantline);
  await render(t, shown.element);
  await idle();
  assert.equal(shown.last().products, undefined, 'products');
  assert.equal(shown.last().trouble?.code, 'unsupported_app', `trouble: got ${shown.last().trouble?.code}, want unsupported_app`);
});
