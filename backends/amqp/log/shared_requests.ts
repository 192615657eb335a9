/**
 * Coalesces requests: callers that ask the same question at the same time share one request.
 *
 * @module
 */

/**
 * Asks each question once at a time. Callers that come meanwhile share the next answer, which
 * cannot be older than their call.
 *
 * @typeParam Value The type of the answers.
 */
export class SharedRequests<Value> {
  readonly #running = new Map<string, Promise<Value>>();
  readonly #next = new Map<string, Promise<Value>>();

  /**
   * The answer to a request that starts after this call.
   *
   * @param key The question.
   * @param ask Sends the request.
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
