import { Broadcast } from "../mod.ts";
import { Address } from "../address.ts";
import { KafkaBackend } from "../backends/kafka.ts";
import { conformance } from "./conformance.ts";
conformance(Deno.test, { name: "k", features: { crossProcess: true, binary: true }, limit: 1_000_000,
  open: (options: never) => { const backend = new KafkaBackend(new Address("kafka://127.0.0.1:19078")); const t0 = performance.now(); const log = (...a: unknown[]) => console.log((performance.now() - t0).toFixed(0), ...a);
    for (const m of ["connect", "tail", "publish", "close", "probe"] as const) { const f = (backend[m] as any).bind(backend); (backend as any)[m] = async (...a: any[]) => { log(m, a[0]); try { const r = await f(...a); log(m, "done"); return r; } catch (e) { log(m, "failed", String(e)); throw e; } }; }
    return new Broadcast(backend as never, options) as never; },
} as never);
