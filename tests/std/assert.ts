/**
 * Stands in for `@std/assert` where JSR cannot be reached, and on other runtimes: what the tests
 * use of it, with its signatures.
 */

import assert_, { AssertionError } from "node:assert/strict";

export { AssertionError };

type Constructor<T> = abstract new (...args: never[]) => T;

export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) fail(msg || "Expected a truthy value");
}

export function assertFalse(expr: unknown, msg = ""): asserts expr is false {
  if (expr) fail(msg || "Expected a falsy value");
}

export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  assert_.deepStrictEqual(actual, expected, msg!);
}

export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  assert_.notDeepStrictEqual(actual, expected, msg!);
}

export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  assert_.strictEqual(actual, expected, msg!);
}

export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void {
  assert_.notStrictEqual(actual, expected, msg!);
}

export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) fail(msg ?? `Expected a value, not ${actual}`);
}

export function assertInstanceOf<T>(
  actual: unknown,
  expectedType: Constructor<T>,
  msg = "",
): asserts actual is T {
  if (actual instanceof expectedType) return;
  fail(`Expected an instance of ${expectedType.name}, not ${actual}${msg && `: ${msg}`}`);
}

export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  assert_.match(actual, expected, msg!);
}

export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  assert_.doesNotMatch(actual, expected, msg!);
}

export function assertStringIncludes(actual: string, expected: string, msg = ""): void {
  if (actual.includes(expected)) return;
  fail(`Expected "${actual}" to contain "${expected}"${msg && `: ${msg}`}`);
}

export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) fail(msg ?? `Expected ${actual} > ${expected}`);
}

export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) fail(msg ?? `Expected ${actual} >= ${expected}`);
}

export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) fail(msg ?? `Expected ${actual} < ${expected}`);
}

export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) fail(msg ?? `Expected ${actual} <= ${expected}`);
}

export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance: number = isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7,
  msg = "",
): void {
  if (Object.is(actual, expected) || Math.abs(expected - actual) <= tolerance) return;
  fail(`Expected ${actual} to be within ${tolerance} of ${expected}${msg && `: ${msg}`}`);
}

export function assertThrows(fn: () => unknown, msg?: string): unknown;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  expected?: Constructor<Error> | string,
  msgIncludes?: string,
): unknown {
  try {
    fn();
  } catch (error) {
    return assertError(error, expected, msgIncludes);
  }
  fail("Expected the function to throw");
}

export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  expected?: Constructor<Error> | string,
  msgIncludes?: string,
): Promise<unknown> {
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (error) {
    fail(`Expected the function to reject, but it threw: ${error}`);
  }
  try {
    await promise;
  } catch (error) {
    return assertError(error, expected, msgIncludes);
  }
  fail("Expected the function to reject");
}

export function fail(msg = "Failed assertion"): never {
  throw new AssertionError({ message: msg, stackStartFn: fail });
}

function assertError(
  error: unknown,
  expected: Constructor<Error> | string | undefined,
  msgIncludes = "",
): unknown {
  if (typeof expected !== "function") return error;
  assertInstanceOf(error, expected, error instanceof Error ? error.message : "");
  assertStringIncludes(error.message, msgIncludes);
  return error;
}
