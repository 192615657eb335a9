/** A connection that is renewed, and closed at any moment. */

import { assertEquals } from "@std/assert";
import { RenewedConnection } from "../../../core/backend/kit/renewed_connection.ts";

Deno.test("close() finds a connection at every moment of its opening", async () => {
  for (let moment = 0; moment < 20; moment++) {
    let opened = 0;
    let closed = 0;
    const held = new RenewedConnection(async () => {
      await Promise.resolve();
      opened++;
      return {
        lost: false,
        close: () => {
          closed++;
          return Promise.resolve();
        },
      };
    });
    const renewing = held.renew();
    for (let turn = 0; turn < moment; turn++) await Promise.resolve();
    await held.close();
    await renewing.catch(() => {});
    assertEquals(closed, opened, `closed after ${moment} microtasks`);
  }
});
