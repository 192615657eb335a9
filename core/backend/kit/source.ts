/**
 * The source of a backend: its URL and options, before it is opened.
 *
 * @module
 */

import { kindOf } from "../../util/kind.ts";
import { checkKnown } from "../../util/known_options.ts";
import { Address } from "../address.ts";
import type { Backend, BackendSource } from "../contract.ts";

/** Options of every backend factory. */
export interface SourceOptions {
  /**
   * The URL of the broker, with any of its parameters. A URL parameter takes precedence over the
   * option with the same name.
   */
  readonly url?: string | URL | undefined;
}

/** Options of `sourceOf()`. */
export interface SourceParts {
  /** The accepted URL schemes. The first one is used if there is no URL. */
  readonly schemes: readonly [string, ...string[]];
  /** The URL, if any. */
  readonly url?: string | URL | undefined;
  /** The parameters that were passed as options. */
  readonly parameters?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Creates the backend without connecting. */
  readonly open: (address: Address) => Backend | Promise<Backend>;
}

/**
 * Creates the source of a backend, for a factory such as `redis()` to return.
 *
 * @throws {TypeError} If the URL is malformed or has another scheme.
 */
export function sourceOf({ schemes, url, parameters = {}, open }: SourceParts): BackendSource {
  const address = new Address(url === undefined ? `${schemes[0]}://` : String(url));
  if (!schemes.includes(address.scheme)) {
    throw new TypeError(
      `Cannot open "${address}": its scheme must be ${
        schemes.join(" or ")
      }, it is ${address.scheme}`,
    );
  }
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && !address.parameters.has(name)) {
      address.parameters.set(name, String(value));
    }
  }
  return { address, open: () => open(address) };
}

/**
 * Checks the options of a factory, so that a URL or a client passed in their place is not ignored.
 *
 * @param factory The name of the factory, as it appears in the message.
 * @param options The options.
 * @param known The names of the options, each `true`. Without it, unknown options are ignored.
 * @throws {TypeError} If the options are not a plain object, or one of them is not known.
 */
export function checkOptions<Options extends object>(
  factory: string,
  options: Options,
  known?: Readonly<Record<keyof Options, true>>,
): Options {
  const prototype: unknown = options === null || typeof options !== "object"
    ? undefined
    : Object.getPrototypeOf(options);
  // The object may come from any realm.
  const isPlain = prototype === null ||
    prototype !== undefined && Object.getPrototypeOf(prototype) === null;
  if (isPlain) {
    if (known) checkKnown(`open ${factory}()`, options, known);
    return options;
  }
  throw new TypeError(
    `Cannot open ${factory}(): its options must be an object such as { url }, they are ${
      kindOf(options)
    }`,
  );
}

/**
 * Converts a duration option to the value of a URL parameter.
 *
 * @param duration Milliseconds, or a text with a unit such as `"7d"`.
 */
export function durationText(duration: number | string | undefined): string | undefined {
  // Seconds are used, since a parameter has at most nine digits, and 30 days in milliseconds have
  // ten.
  return typeof duration === "number" ? `${duration / 1_000}s` : duration;
}
