/**
 * The settings that every backend has (buffer, linger, timeout, probe), and their defaults.
 *
 * @module
 */

import type { Address } from "../backend/address.ts";
import type { RingLimits } from "../util/ring.ts";

/** The URL parameters that every scheme has. */
export const CORE_PARAMETERS = ["buffer", "linger", "timeout", "probe"] as const;

const RING_BYTES = 4 * 1024 * 1024;

/** What the core can be told; each as an option or as a URL parameter, which wins. */
export interface SettingsOptions {
  /**
   * How many events of a channel are held for readers that lag and for those
   * that come back. However many: at most 4 MiB of payload.
   *
   * @default {1024}
   */
  readonly buffer?: number;
  /**
   * How long the tail of a channel outlives its last subscriber, in
   * milliseconds, so that a browser that reconnects loses nothing.
   *
   * @default {10000}
   */
  readonly linger?: number;
  /**
   * How long a message or a new subscription waits for a lost connection, in
   * milliseconds.
   *
   * @default {10000}
   */
  readonly timeout?: number;
  /**
   * How often the connection is asked for a sign of life, in milliseconds; 0
   * for never. A half-open one is found at most 5 seconds later.
   *
   * @default {10000}
   */
  readonly probe?: number;
}

/** The settings of one broadcast. Times are in milliseconds. */
export interface Settings {
  /** What the ring of a channel may hold. */
  readonly limits: RingLimits;
  /** How long a tail outlives its last subscriber. */
  readonly linger: number;
  /** How long a message waits for a connection. */
  readonly timeout: number;
  /** How often the connection is probed. */
  readonly probe: number;
}

/**
 * Settings from options and URL.
 *
 * @throws {TypeError} If a parameter is malformed.
 * @throws {RangeError} If an option is out of range.
 */
export function readSettings(options: SettingsOptions, address?: Address): Settings {
  return {
    limits: {
      count: address?.count("buffer", 2) ?? option(options, "buffer", 1024, 2),
      bytes: RING_BYTES,
    },
    linger: address?.duration("linger") ?? option(options, "linger", 10_000, 0),
    timeout: address?.duration("timeout") ?? option(options, "timeout", 10_000, 0),
    probe: address?.duration("probe") ?? option(options, "probe", 10_000, 0),
  };
}

function option(
  options: SettingsOptions,
  name: keyof SettingsOptions,
  standard: number,
  least: number,
): number {
  const value = options[name] ?? standard;
  const kind = name === "buffer" ? "a whole number" : "a number of milliseconds";
  if (
    typeof value === "number" && value >= least && (name !== "buffer" || Number.isInteger(value))
  ) {
    return value;
  }
  throw new RangeError(
    `Cannot open broadcast: option ${name} must be ${kind} of at least ${least}, it is ${value}`,
  );
}
