/**
 * Why a purchase did not come to an end.
 *
 * - `unsupported_app`: the Toss app is too old for this; ask the user to update it.
 * - `outside_toss`: the page does not run in the Toss app.
 * - `unknown_product`: the product, or the offer, is not in `getProductItemList` now.
 * - `busy`: another purchase of this client is under way.
 * - `cancelled`: the user left the payment page without paying.
 * - `aborted`: the signal was aborted, or the component is gone. The user may still have paid.
 * - `not_granted`: paid, and the server has not granted it yet. `recover` will; do not sell it again.
 * - `store_error`: what the SDK says, in `storeCode`.
 * - `timeout`: the Toss app did not answer in time.
 * - `server`: Grantline did not answer, or refused.
 */
export type Trouble =
  | 'unsupported_app'
  | 'outside_toss'
  | 'unknown_product'
  | 'busy'
  | 'cancelled'
  | 'aborted'
  | 'not_granted'
  | 'store_error'
  | 'timeout'
  | 'server';

/** Every rejection of this package is one of these. Its message holds no order, customer or key. */
export class GrantlineError extends Error {
  readonly code: Trouble;
  /** The order that was paid, where one is known. */
  readonly orderId: string | undefined;
  /** The SDK's own code, such as `ITEM_ALREADY_OWNED`, where it gave one. */
  readonly storeCode: string | undefined;
  readonly cause: unknown;

  constructor(code: Trouble, message: string, more: { orderId?: string | undefined; storeCode?: string | undefined; cause?: unknown } = {}) {
    super(message);
    this.name = 'GrantlineError';
    this.code = code;
    this.orderId = more.orderId;
    this.storeCode = more.storeCode;
    this.cause = more.cause;
  }
}

/** What an SDK error means. Source of the codes: the documentation of `IAP.createOneTimePurchaseOrder`. */
export function fromStore(cause: unknown, orderId?: string): GrantlineError {
  if (cause instanceof GrantlineError) return cause;
  const given = (cause as { code?: unknown } | null | undefined)?.code;
  const storeCode = typeof given === 'string' ? given : undefined;
  const more = { orderId, storeCode, cause };
  switch (storeCode) {
    case 'USER_CANCELED':
      return new GrantlineError('cancelled', 'The user left the payment page.', more);
    case 'UNSUPPORTED_APP_VERSION':
      return unsupported(more);
    case 'PRODUCT_NOT_GRANTED_BY_PARTNER':
      return notGranted(more);
    default:
      return new GrantlineError('store_error', 'The Toss app reports an error.', more);
  }
}

export function unsupported(more: ConstructorParameters<typeof GrantlineError>[2] = {}): GrantlineError {
  return new GrantlineError('unsupported_app', 'This Toss app is too old for in-app purchases of this kind.', more);
}

export function notGranted(more: ConstructorParameters<typeof GrantlineError>[2]): GrantlineError {
  return new GrantlineError('not_granted', 'Paid, and not granted yet: recover() tries again.', more);
}
