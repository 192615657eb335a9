/**
 * What a backend is made of: the contract between the core and a broker's driver.
 *
 * A backend is a dumb pipe. It never fans out, buffers for slow readers,
 * encodes, retries, reconnects on its own or logs: the core does each of these
 * once, for all backends. Each client library's own reconnecting is switched
 * off.
 *
 * @module
 */

export type { Address, Host } from "./address.ts";
export type {
  Backend,
  BackendFeatures,
  BackendModule,
  BackendOptions,
  BackendRecord,
  Item,
  LogGap,
  Page,
  PassedRecord,
  Payload,
  PayloadOptions,
  ReadOptions,
  Tail,
  TailOptions,
  Target,
} from "./contract.ts";
export type { MessageHeaders } from "./headers.ts";
export type { Once } from "./idempotency_key.ts";
export { Pattern } from "./pattern.ts";
export { comparePlaces, type Place, Position } from "./position.ts";
