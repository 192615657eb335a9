/**
 * Counts the timers and the listeners of signals that a process has. It must be loaded before what
 * it is to count. Plain JavaScript, for Deno and for Node.
 */

const timers = new Set();

for (const [set, clear] of [["setTimeout", "clearTimeout"], ["setInterval", "clearInterval"]]) {
  const { [set]: start, [clear]: stop } = globalThis;
  globalThis[set] = Object.assign((action, ...rest) => {
    const timer = start((...args) => {
      if (set === "setTimeout") timers.delete(timer);
      action(...args);
    }, ...rest);
    timers.add(timer);
    return timer;
  }, start);
  globalThis[clear] = (timer) => {
    for (const known of timers) {
      // Node takes the number of a timer for the timer.
      if (known === timer || Number(known) === timer) timers.delete(known);
    }
    stop(timer);
  };
}

/** Signals that were listened to; those that nobody uses any more are collected. */
const signals = new Set();
const listeners = new WeakMap();
const { addEventListener, removeEventListener } = AbortSignal.prototype;

function listenersOf(signal) {
  let own = listeners.get(signal);
  if (!own) {
    listeners.set(signal, own = new Set());
    signals.add(new WeakRef(signal));
  }
  return own;
}

AbortSignal.prototype.addEventListener = function (type, listener, options) {
  listenersOf(this).add(listener);
  options?.signal?.addEventListener("abort", () => listenersOf(this).delete(listener));
  return addEventListener.call(this, type, listener, options);
};

AbortSignal.prototype.removeEventListener = function (type, listener, options) {
  listenersOf(this).delete(listener);
  return removeEventListener.call(this, type, listener, options);
};

/** How many timers run now, and how many listeners wait for a signal that can still abort. */
export function tally() {
  let count = 0;
  for (const reference of signals) {
    const signal = reference.deref();
    if (!signal || signal.aborted) signals.delete(reference);
    else count += listeners.get(signal).size;
  }
  return { timers: timers.size, listeners: count };
}
