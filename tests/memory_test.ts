import { MemoryBackend } from "../backends/memory.ts";
import { conformance } from "./conformance.ts";

conformance(Deno.test, {
  name: "memory",
  features: new MemoryBackend().features,
  limit: Infinity,
  target: () => "memory://",
});
