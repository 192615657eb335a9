import { Address } from "../address.ts";
import { KafkaBackend } from "../backends/kafka.ts";
import { Broadcast } from "../mod.ts";
const sh = (c: string) => new Deno.Command("sh", { args: ["-c", c] }).output();
const sleep = (t: number) => new Promise((r) => setTimeout(r, t));
import net from "node:net";
const servers = [[21011, 21001], [21012, 21002]].map(([p, t]) =>
  net.createServer((c) => {
    const s = net.connect(t, "127.0.0.1");
    c.pipe(s);
    s.pipe(c);
    for (const x of [c, s]) {
      x.on("error", () => {
        c.destroy();
        s.destroy();
      });
    }
    c.on("close", () => s.destroy());
    s.on("close", () => c.destroy());
  }).listen(p, "127.0.0.1")
);
await sleep(100);
const topic = "r" + crypto.randomUUID().slice(0, 8);
const broadcast = new Broadcast(
  new KafkaBackend(new Address("kafka://127.0.0.1:21011,127.0.0.1:21012")) as never,
) as any;
const t0 = performance.now();
const at = () => ((performance.now() - t0) / 1000).toFixed(2);
broadcast.addEventListener(
  "statechange",
  (e: any) => console.log(at(), "state", e.state, e.error?.message ?? ""),
);
const sub = await broadcast.subscribe(topic);
const got: string[] = [];
(async () => {
  for await (const e of sub) {
    if (e.gap) console.log(at(), "gap", JSON.stringify(e.gap));
    got.push(e.message);
  }
})();
const out: Record<string, number> = {};
let run = true;
let n = 0;
const feed = (async () => {
  while (run) {
    await broadcast.publish(topic, "m" + n++).then(() => out.ok = (out.ok ?? 0) + 1, (e: any) => {
      out[e.name] = (out[e.name] ?? 0) + 1;
      console.log(at(), e.name, e.message, "|", e.cause?.message);
    });
    await sleep(10);
  }
})();
await sleep(1000);
console.log(at(), "got", got.length);
await sh("kill -9 $(cat /tmp/kscratch/b2.pid) $(cat /tmp/kscratch/b1.pid)");
console.log(at(), "killed both");
await sleep(3000);
await sh(
  "/tmp/kscratch/start.sh 1 </dev/null >/dev/null 2>&1; /tmp/kscratch/start.sh 2 </dev/null >/dev/null 2>&1",
);
console.log(at(), "started");
await sleep(20000);
run = false;
await feed;
await sleep(500);
console.log(at(), "published", out, "got", got.length, got.at(-1), n, broadcast.state);
await broadcast.disconnect();
for (const s of servers) s.close();
