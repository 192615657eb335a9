/**
 * Settings common to all backends (buffer, linger, timeout, probe, maxMessage), and their defaults.
 *
 * @module
 */

import type { Address } from "../backend/address.ts";
import type { RingLimits } from "../util/ring.ts";
import { type BroadcastOptions, checkCount, checkDuration } from "./options.ts";

/** URL parameters of every scheme. */
export const CORE_PARAMETERS = ["buffer", "linger", "timeout", "probe", "maxMessage"] as const;

const RING_BYTES = 4 * 1024 * 1024;
const MAX_MESSAGE = 16 * 1024 * 1024;

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
  /** Maximum size of a payload, in bytes. */
  readonly maxMessage: number;
}

/**
 * Reads the settings from URL and options. The URL takes precedence.
 *
 * @throws {TypeError} If a parameter is malformed.
 * @throws {RangeError} If an option is out of range.
 */
export function readSettings(options: SettingsOptions, address?: Address): Settings {
  return {
    limits: {
      count: address?.count("buffer", 2) ??
        checkCount("open broadcast: option buffer", options.buffer ?? 1024, 2),
      bytes: RING_BYTES,
    },
    linger: address?.duration("linger") ?? option(options, "linger", 10_000),
    timeout: address?.duration("timeout") ?? option(options, "timeout", 10_000),
    probe: address?.duration("probe") ?? option(options, "probe", 10_000),
    maxMessage: address?.count("maxMessage") ??
      checkCount("open broadcast: option maxMessage", options.maxMessage ?? MAX_MESSAGE, 1),
  };
}

function option(options: SettingsOptions, name: keyof SettingsOptions, standard: number): number {
  return checkDuration(`open broadcast: option ${name}`, options[name] ?? standard);
}
