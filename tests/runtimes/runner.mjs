/** The suite with the runner of Node, as the author of a backend would run it. */

import { conformance } from "@broadcaster/broadcaster/conformance";
import { MemoryBackend } from "@broadcaster/broadcaster/memory";
import { test } from "node:test";

conformance(test, {
  name: "memory",
  features: { ...new MemoryBackend().features, log: true },
  limit: Infinity,
  target: () => new MemoryBackend(),
});
