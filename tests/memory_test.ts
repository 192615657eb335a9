import { MemoryBackend } from "../backends/memory.ts";
import { conformance } from "./conformance.ts";

conformance(Deno.test, {
  name: "memory",
  features: new MemoryBackend().features,
  limit: Infinity,
  target: () => "memory://",
});

conformance(Deno.test, {
  name: "memory without a log",
  features: new MemoryBackend(0).features,
  limit: Infinity,
  target: () => "memory://?history=0",
});
