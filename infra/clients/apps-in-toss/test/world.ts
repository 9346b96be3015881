import { TossApp, turn } from './toss.js'; // before the SDK, which looks for a window

import { mock, type TestContext } from 'node:test';

import { createGrantline, GrantlineError, type Grantline, type Sdk } from '../src/index.js';
import { Books } from './books.js';

export interface World {
  toss: TossApp;
  books: Books;
  grantline: Grantline;
  /** The mini-app as it is after a new start: another page, another client. */
  again: () => Grantline;
}

/** A mini-app in a Toss app, with a server; time stands still unless `settled` moves it. */
export function world(t: TestContext, change: (toss: TossApp) => void = () => {}, sdk?: Sdk): World {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const toss = new TossApp();
  change(toss);
  toss.install();
  const books = new Books();
  const again = () => createGrantline({ baseUrl: 'https://api.example.com/', publicKey: 'pk_test', customerId: 'minji', fetch: books.fetch, sdk });
  return { toss, books, grantline: again(), again };
}

/** How something ended, and how many milliseconds of the standing clock that took. */
export interface Ending<T> {
  value?: T;
  error?: GrantlineError;
  took: number;
}

const step = 250;

/** Moves time until a promise settles, for at most `most` milliseconds; undefined if it has not settled then. */
export async function settled<T>(promise: Promise<T>, most = 600_000): Promise<Ending<T> | undefined> {
  let ending: Ending<T> | undefined;
  let took = 0;
  promise.then(
    (value) => (ending = { value, took }),
    (error: GrantlineError) => (ending = { error, took }),
  );
  for (; took <= most; took += step) {
    for (let i = 0; i < 40 && ending === undefined; i++) await turn();
    if (ending !== undefined) return ending;
    mock.timers.tick(step);
  }
  return undefined;
}

/** Lets all that is ready happen, without moving time. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 60; i++) await turn();
}
