/**
 * Checks that the user's client is an instance of the expected library.
 *
 * @module
 */

import { kindOf } from "../../util/kind.ts";

/** Requirements for a client. */
export interface WantedClient {
  /** The expected client, as shown in the message: `a client of ioredis, new Redis(url)`. */
  readonly wanted: string;
  /** The methods that the backend calls. */
  readonly methods: readonly string[];
  /**
   * Clients of other libraries that are often passed by mistake, with properties that only they
   * have.
   */
  readonly mistaken?: readonly { readonly name: string; readonly has: readonly string[] }[];
}

/**
 * Checks a client by its methods. `instanceof` fails if there are two copies of the library.
 *
 * @throws {TypeError} If it is not the expected client. The message says what was passed.
 */
export function checkClient(
  given: unknown,
  { wanted, methods, mistaken = [] }: WantedClient,
): void {
  const client = Object(given) as Record<string, unknown>;
  const has = (name: string) => typeof client[name] === "function";
  const known = mistaken.find(({ has: names }) => names.every((name) => name in client));
  const missing = methods.find((name) => !has(name));
  if (known === undefined && missing === undefined) return;
  throw new TypeError(
    `Cannot use client: it must be ${wanted}, it is ${
      known?.name ?? (isClass(given) ? `a class, call it with new` : describe(given, missing!))
    }`,
  );
}

function isClass(given: unknown): boolean {
  return typeof given === "function" && /^class\b/.test(Function.prototype.toString.call(given));
}

function describe(given: unknown, missing: string): string {
  if (given === null || !/^(object|function)$/.test(typeof given)) return kindOf(given);
  if ("then" in Object(given)) return "a promise, await it first";
  const isModule = Object.prototype.toString.call(given) === "[object Module]";
  return isModule ? "a module" : `${kindOf(given)} without a method ${missing}()`;
}
