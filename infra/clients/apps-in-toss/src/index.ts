export { createGrantline } from './client.js';
export type { Grantline, Options, PurchaseRequest, SubscribeRequest } from './client.js';
export { GrantlineError } from './errors.js';
export type { Trouble } from './errors.js';
export type { Bought, Receipt } from './order.js';
export type { Recovery } from './recovery.js';
export type { Credentials, Customer, Order, Token } from './server.js';
export type { Product, Sdk } from './store.js';
