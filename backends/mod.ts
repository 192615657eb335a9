/**
 * The contract and the building blocks for custom backends.
 *
 * A backend only connects the core to a broker. It never fans out, buffers for slow readers,
 * encodes, retries, reconnects on its own, or logs: the core does all of this for every backend.
 * Switch off the automatic reconnecting of client libraries.
 *
 * @module
 */

export { Address, type Host } from "../core/backend/address.ts";
export { gapOf, type LogGap, positionAfter } from "../core/backend/continuity.ts";
export type {
  Backend,
  BackendFeatures,
  BackendRecord,
  BackendSource,
  Item,
  LogBreak,
  Loss,
  OutgoingPayload,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  ReadResult,
  RecordReader,
  Removed,
  ServerFacts,
  SkippedRecord,
  Tail,
  TailOptions,
  Target,
} from "../core/backend/contract.ts";
export {
  ClosedError,
  ConnectionError,
  OutcomeUnknownError,
  RefusedError,
  TemporaryError,
  UnknownReplyError,
} from "../core/backend/errors.ts";
export type { GapCause } from "../core/backend/event.ts";
export type { MessageHeaders } from "../core/backend/headers.ts";
export { lifetimeOf, type Once } from "../core/backend/idempotency_key.ts";
export { AnswerLimit } from "../core/backend/kit/answer_limit.ts";
export { checkClient, type WantedClient } from "../core/backend/kit/given_client.ts";
export { fingerprintOf } from "../core/backend/kit/fingerprint.ts";
export { Loopback, type LoopbackOptions } from "../core/backend/kit/loopback.ts";
export { SEQUENCE_HEADER, Sequencer, SequenceTracker } from "../core/backend/kit/loss_detection.ts";
export { PageSize } from "../core/backend/kit/page_size.ts";
export { PollingTail, type PollingTailOptions } from "../core/backend/kit/polling_tail.ts";
export { BacklogError, QueueTail } from "../core/backend/kit/queue_tail.ts";
export { type Renewable, RenewedConnection } from "../core/backend/kit/renewed_connection.ts";
export {
  checkOptions,
  durationText,
  sourceOf,
  type SourceOptions,
  type SourceParts,
} from "../core/backend/kit/source.ts";
export { type Pem, pemParameters, readPem } from "../core/backend/kit/tls_files.ts";
export { tlsHint, type TlsHints } from "../core/backend/kit/tls_hints.ts";
export { tlsVersionOf } from "../core/backend/kit/tls_version.ts";
export { Pattern } from "../core/backend/pattern.ts";
export { comparePlaces, type Place, Position } from "../core/backend/position.ts";
