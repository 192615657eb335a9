/**
 * The exchange that events are published to.
 *
 * @module
 */

import { RefusedError, TemporaryError } from "../../core/backend/errors.ts";
import { quote } from "../../core/util/quote.ts";
import { codeOf } from "./errors.ts";
import type { Link } from "./link.ts";

/**
 * Declares the exchange. A user without the right to create it uses the existing one.
 *
 * @throws {RefusedError} If the exchange has another type.
 * @throws {TemporaryError} If the exchange does not exist, and the user may not create it.
 */
export async function declareExchange(link: Link, exchange: string): Promise<void> {
  try {
    await link.apart((channel) => channel.assertExchange(exchange, "topic", { durable: true }));
  } catch (error) {
    const mayNot = error instanceof RefusedError && codeOf(error.cause) === 403;
    if (!mayNot) throw error;
    try {
      await link.apart((channel) => channel.checkExchange(exchange));
    } catch (cause) {
      if (!(cause instanceof TemporaryError)) throw cause;
      throw new TemporaryError(
        `exchange ${
          quote(exchange)
        } does not exist, and the user has no right to create it (configure)`,
        { cause },
      );
    }
  }
}
