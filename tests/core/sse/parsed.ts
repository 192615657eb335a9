/** Reads event streams as a browser does. */

import { assert } from "@std/assert";
import { deadline } from "@std/async";
import { createParser, type EventSourceMessage } from "npm:eventsource-parser@3";

/** What takes longer has hung. */
export const PATIENCE = 60_000;

/** An event stream as a browser reads it. */
export function parsed(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  const events: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => events.push(event) });
  const state = {
    text: "",
    async pull() {
      const { done, value } = await deadline(reader.read(), PATIENCE);
      assert(!done, "the stream has ended");
      const text = decoder.decode(value, { stream: true });
      state.text += text;
      parser.feed(text);
    },
    async take(count: number) {
      while (events.length < count) await state.pull();
      return events.splice(0, count);
    },
    async until(pattern: RegExp) {
      while (!pattern.test(state.text)) await state.pull();
    },
    cancel: () => reader.cancel(),
  };
  return state;
}
