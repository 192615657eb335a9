/**
 * Paces: how much of what is published is under way at a time.
 *
 * @module
 */

/** Messages between two turns of the event loop, which a loop of microtasks would starve. */
const TURN = 64;
const PADDING = " ".repeat(90);

/** The text that is published. */
export function message(number) {
  return `message ${number}${PADDING}`;
}

/** Lets one turn of the event loop pass. */
export function turn() {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * So many messages at once, and the next ones when all readers have got these.
 *
 * @returns Messages per second.
 */
export async function bursts({ publish, tally }, { size, milliseconds, least = 0 }) {
  return await timed(tally, async (start) => {
    let sent = 0;
    while (sent < least || performance.now() - start < milliseconds) {
      for (let burst = 0; burst < TURN; burst += size) {
        tally.owe(size);
        for (let one = 0; one < size; one++) void publish(message(++sent));
        await tally.settle();
      }
      await turn();
    }
    return sent;
  });
}

/**
 * So many publishes that are not settled yet; readers follow as they can, and all of them have got
 * everything in the end.
 *
 * @returns Messages per second.
 */
export async function inFlight({ publish, tally }, { window, milliseconds, least = 0 }) {
  return await timed(tally, async (start) => {
    let sent = 0;
    async function publishAll() {
      while (sent < least || performance.now() - start < milliseconds) {
        tally.owe(1);
        await publish(message(++sent));
      }
    }
    await Promise.all(Array.from({ length: window }, publishAll));
    await tally.settle();
    return sent;
  });
}

/** Messages per second, if every reader has got everything. */
export async function timed(tally, run) {
  const stop = tally.watch();
  try {
    // What came before is not what delivering costs.
    globalThis.gc?.();
    const start = performance.now();
    const sent = await run(start);
    const taken = performance.now() - start;
    await pause(20);
    tally.check();
    return sent / taken * 1_000;
  } finally {
    stop();
  }
}

/** Publishes until every reader has got something: some subscribe when they are first read. */
export async function ready({ publish, tally }) {
  for (let tries = 0; !tally.reached; tries++) {
    if (tries === 10) throw new Error("Cannot start a race: not every reader is there");
    await publish(message(0));
    // One that is late is not one that is missing: what arrives after all would count as a second.
    for (let waits = 0; !tally.reached && waits < 100; waits++) await pause(20);
  }
  for (let sum = -1; sum !== tally.sum;) {
    sum = tally.sum;
    await pause(500);
  }
  tally.reset();
}

/** Waits so many milliseconds. */
export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
