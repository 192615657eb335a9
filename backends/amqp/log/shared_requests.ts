/**
 * Coalesces requests: callers that ask for the same at the same time share one.
 *
 * @module
 */

/**
 * Asks each question once at a time: who comes while it is asked shares the
 * answer of the next time, which cannot be older than what they know.
 *
 * @typeParam Value What is answered.
 */
export class SharedRequests<Value> {
  readonly #running = new Map<string, Promise<Value>>();
  readonly #next = new Map<string, Promise<Value>>();

  /**
   * The answer, of a time that begins after this was called.
   *
   * @param key The question.
   * @param ask Asks it.
   */
  ask(key: string, ask: () => Promise<Value>): Promise<Value> {
    const running = this.#running.get(key);
    if (!running) return this.#run(key, ask);
    const next = this.#next.get(key) ?? running.catch(() => {}).then(() => {
      this.#next.delete(key);
      return this.#run(key, ask);
    });
    this.#next.set(key, next);
    return next;
  }

  #run(key: string, ask: () => Promise<Value>): Promise<Value> {
    const run = ask().finally(() => {
      if (this.#running.get(key) === run) this.#running.delete(key);
    });
    this.#running.set(key, run);
    return run;
  }
}
