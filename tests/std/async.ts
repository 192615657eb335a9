/**
 * Stands in for `@std/async` where JSR cannot be reached, and on other runtimes: what the tests
 * use of it, with its signatures.
 */

import { setTimeout as pause } from "node:timers/promises";

export interface DelayOptions {
  signal?: AbortSignal;
  persistent?: boolean;
}

export interface DeadlineOptions {
  signal?: AbortSignal;
}

export interface RetryOptions {
  multiplier?: number;
  maxTimeout?: number;
  maxAttempts?: number;
  minTimeout?: number;
  jitter?: number;
  isRetriable?: (err: unknown) => boolean;
}

export class RetryError extends Error {
  override name = "RetryError";

  constructor(cause: unknown, attempts: number) {
    super(`Retrying exceeded the maxAttempts (${attempts}).`, { cause });
  }
}

export async function delay(ms: number, options: DelayOptions = {}): Promise<void> {
  const { signal, persistent: ref = true } = options;
  try {
    await pause(ms, undefined, signal ? { signal, ref } : { ref });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}

export async function deadline<T>(
  p: Promise<T>,
  ms: number,
  options: DeadlineOptions = {},
): Promise<T> {
  // Not AbortSignal.timeout(): its timer would let a process end that waits for nothing else.
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(new DOMException("Signal timed out.", "TimeoutError")),
    ms,
  );
  try {
    const signals = options.signal ? [timeout.signal, options.signal] : [timeout.signal];
    return await abortable(p, AbortSignal.any(signals));
  } finally {
    clearTimeout(timer);
  }
}

export function abortable<T>(p: Promise<T>, signal: AbortSignal): Promise<T>;
export function abortable<T>(p: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T>;
export function abortable<T>(
  p: Promise<T> | AsyncIterable<T>,
  signal: AbortSignal,
): Promise<T> | AsyncGenerator<T> {
  return p instanceof Promise ? abortablePromise(p, signal) : abortableIterable(p, signal);
}

export async function retry<T>(
  fn: (() => Promise<T>) | (() => T),
  options: RetryOptions = {},
): Promise<T> {
  const { multiplier = 2, maxTimeout = 60_000, maxAttempts = 5, minTimeout = 1_000 } = options;
  const { jitter = 1, isRetriable = () => true } = options;
  for (let attempt = 1;; attempt++) {
    try {
      return await fn();
    } catch (error) {
      if (!isRetriable(error)) throw error;
      if (attempt >= maxAttempts) throw new RetryError(error, maxAttempts);
      const longest = Math.min(maxTimeout, minTimeout * multiplier ** (attempt - 1));
      await delay(longest * (1 - jitter * Math.random()));
    }
  }
}

async function abortablePromise<T>(p: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, p]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

async function* abortableIterable<T>(p: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  signal.throwIfAborted();
  const iterator = p[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await abortablePromise(Promise.resolve(iterator.next()), signal);
    if (done) return;
    yield value;
  }
}
