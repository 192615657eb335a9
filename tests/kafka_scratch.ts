import { Address } from "../address.ts";
import { KafkaBackend, open } from "../backends/kafka.ts";
import { once } from "node:events";
const D = new TextDecoder();
const uid = () => "t" + crypto.randomUUID().slice(0, 8);
const ms = (t: number) => (performance.now() - t).toFixed(1);
export function collect(stream: ReadableStream<readonly { payload: Uint8Array | string }[]>) {
  const got: string[] = [];
  let error: unknown;
  let arrays = 0;
  const reader = stream.getReader();
  const done = (async () => {
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        arrays++;
        for (const r of value) got.push(D.decode(r.payload as Uint8Array));
      }
    } catch (e) {
      error = e;
    }
  })();
  return {
    got,
    done,
    reader,
    get error() {
      return error;
    },
    get arrays() {
      return arrays;
    },
    async until(n: number, limit = 15000) {
      const t = performance.now();
      while (got.length < n && performance.now() - t < limit && !error) {
        await new Promise((r) => setTimeout(r, 1));
      }
      return got.length;
    },
  };
}
for (const server of Deno.args.length ? Deno.args : ["127.0.0.1:19078", "127.0.0.1:19082"]) {
  console.log("==", server);
  const b = (await open(new Address(`kafka://${server}`), {})) as KafkaBackend;
  let t = performance.now();
  await b.connect();
  console.log("connect", ms(t));
  const topic = uid();
  t = performance.now();
  let tail = await b.tail(topic);
  console.log("new topic ready (first, opens leader)", ms(t));
  const c = collect(tail.records);
  t = performance.now();
  await b.publish(topic, ["one"]);
  console.log("publish first", ms(t));
  await c.until(1);
  console.log("delivered", ms(t), c.got);
  for (let i = 0; i < 3; i++) {
    t = performance.now();
    await b.publish(topic, ["x" + i]);
    const p = ms(t);
    await c.until(2 + i);
    console.log("publish", p, "delivered", ms(t));
  }
  for (let i = 0; i < 3; i++) {
    const n = uid();
    t = performance.now();
    const x = await b.tail(n);
    const r = ms(t);
    const cc = collect(x.records);
    await b.publish(n, ["a"]);
    await cc.until(1);
    console.log("new topic ready", r, "first event", ms(t));
    await cc.reader.cancel();
    t = performance.now();
    const y = await b.tail(n);
    console.log("existing topic ready", ms(t));
    const c2 = collect(y.records);
    t = performance.now();
    await b.publish(n, ["b"]);
    await c2.until(1);
    console.log("  event after", ms(t), c2.got);
    await y.records.cancel().catch(() => c2.reader.cancel());
  }
  // 5000 in order, not awaited
  const b2 = (await open(new Address(`kafka://${server}`), {})) as KafkaBackend;
  const c3 = collect((await b2.tail(topic)).records);
  const before = c.got.length;
  t = performance.now();
  const ps: Promise<void>[] = [];
  for (let i = 0; i < 5000; i++) {
    ps.push(b.publish(topic, ["m" + i]));
    if (i % 50 === 0) await new Promise((r) => setTimeout(r, 0));
  }
  await Promise.all(ps);
  console.log("5000 published", ms(t));
  await c.until(before + 5000);
  await c3.until(5000);
  console.log("5000 delivered", ms(t), "arrays", c.arrays);
  const want = Array.from({ length: 5000 }, (_, i) => "m" + i).join();
  console.log("order", c.got.slice(before).join() === want, c3.got.join() === want);
  // one call with 50k small
  t = performance.now();
  const big = Array.from({ length: 50000 }, (_, i) => "k".repeat(100) + i);
  await b.publish(topic, big);
  console.log("50k published in one call", ms(t));
  await c3.until(55000);
  console.log("delivered", ms(t), c3.got.slice(5000).join() === big.join());
  // too large
  await b.publish(topic, [new Uint8Array(2_000_000)]).then(
    () => console.log("?? accepted"),
    (e) => console.log("too large:", e.name, e.message),
  );
  // joined with a too large one
  const rs = await Promise.allSettled([
    b.publish(topic, ["j0"]),
    b.publish(topic, ["j1"]),
    b.publish(topic, [new Uint8Array(1_100_000)]),
    b.publish(topic, ["j3"]),
  ]);
  console.log(rs.map((r) => r.status).join());
  await c3.until(55003);
  console.log(c3.got.slice(55000));
  // empty + binary
  await b.publish(topic, ["", new Uint8Array([0, 255, 128])]);
  await c3.until(55005);
  console.log("empty/binary", c3.got.slice(-2).map((x) => x.length));
  const ac = new AbortController();
  t = performance.now();
  await b.probe(ac.signal);
  console.log("probe", ms(t));
  t = performance.now();
  await b.close();
  console.log("close", ms(t), "tail", c.error);
  await b2.close();
  await c.done;
}
