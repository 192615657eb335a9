/**
 * Settings common to all backends (buffer, linger, timeout, probe), and their defaults.
 *
 * @module
 */

import type { Address } from "../backend/address.ts";
import type { RingLimits } from "../util/ring.ts";
import type { BroadcastOptions } from "./options.ts";

/** URL parameters of every scheme. */
export const CORE_PARAMETERS = ["buffer", "linger", "timeout", "probe"] as const;

const RING_BYTES = 4 * 1024 * 1024;

/** Options that the core reads; see `BroadcastOptions`. */
type SettingsOptions = Pick<BroadcastOptions, (typeof CORE_PARAMETERS)[number]>;

/** Settings of a broadcast. Times are in milliseconds. */
export interface Settings {
  /** Capacity of a channel's ring. */
  readonly limits: RingLimits;
  /** Time for which a tail stays open after its last subscriber has left. */
  readonly linger: number;
  /** Time for which a message waits for a connection. */
  readonly timeout: number;
  /** Interval of the connection's probes. */
  readonly probe: number;
}

/**
 * Reads the settings from URL and options; the URL takes precedence.
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
