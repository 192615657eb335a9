import { Broadcast } from "../mod.ts";
import { Address } from "../address.ts";
import { KafkaBackend } from "../backends/kafka.ts";
const backend = new KafkaBackend(new Address("kafka://127.0.0.1:19078"));
const b = new Broadcast(backend as never) as any;
const n = "o" + crypto.randomUUID().slice(0, 8);
const close = backend.close.bind(backend); backend.close = async () => { console.log("close called"); await close(); console.log("close done"); };
const sub = await b.subscribe(n); console.log("subscribed");
await b.publish(n, "hello"); console.log("published");
for await (const e of sub.values({ preventCancel: true })) { console.log(e.message); break; }
const t = performance.now(); await Promise.race([b.disconnect(), new Promise((r) => setTimeout(r, 3000))]); console.log("disconnect", performance.now() - t);
Deno.exit();
