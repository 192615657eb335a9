import { Address } from "../address.ts";
import { KafkaBackend } from "../backends/kafka.ts";
import kafkajs from "npm:kafkajs@2.2.4";
import net from "node:net";
const { Kafka, CompressionTypes, CompressionCodecs } = kafkajs as any;
const D = new TextDecoder();
const sleep = (t: number) => new Promise((r) => setTimeout(r, t));
const uid = () => "f" + crypto.randomUUID().slice(0, 8);
const ms = (t: number) => (performance.now() - t).toFixed(0);
function collect(stream: any) {
  const got: string[] = [];
  let error: any;
  const reader = stream.getReader();
  let at = 0;
  const done = (async () => {
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        for (const r of value) got.push(D.decode(r.payload));
      }
    } catch (e) {
      error = e;
      at = performance.now();
    }
  })();
  return {
    got,
    done,
    reader,
    get at() {
      return at;
    },
    get error() {
      return error;
    },
    async until(n: number, limit = 5000) {
      const t = performance.now();
      while (got.length < n && performance.now() - t < limit && !error) await sleep(1);
      return got.length;
    },
  };
}
class Proxy {
  sockets = new Set<net.Socket>();
  stalled = false;
  server: net.Server;
  constructor(port: number, target: number) {
    this.server = net.createServer((c) => {
      const s = net.connect(target, "127.0.0.1");
      for (const [a, b] of [[c, s], [s, c]]) {
        this.sockets.add(a);
        a.on("data", (d) => {
          if (!this.stalled) b.write(d);
        });
        a.on("error", () => {});
        a.on("close", () => {
          this.sockets.delete(a);
          b.destroy();
        });
      }
    });
    this.server.listen(port, "127.0.0.1");
  }
  kill() {
    for (const s of this.sockets) s.destroy();
  }
  close() {
    this.kill();
    this.server.close();
  }
}
const p1 = new Proxy(21011, 21001), p2 = new Proxy(21012, 21002);
await sleep(100);
const URL1 = "kafka://127.0.0.1:21011,127.0.0.1:21012";
const kafka = new Kafka({ brokers: ["127.0.0.1:21011"], logLevel: 0 });
const admin = kafka.admin();
await admin.connect();
const cases: Record<string, () => Promise<void>> = {
  async partitions() {
    const topic = uid();
    await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1 }] });
    const b = new KafkaBackend(new Address(URL1));
    const c = collect((await b.tail(topic)).records);
    const producer = kafka.producer(
      { createPartitioner: kafkajs.Partitioners.DefaultPartitioner } as any,
    );
    await producer.connect();
    for (const partition of [0, 1, 2]) {
      await producer.send({
        topic,
        messages: [{ value: "p" + partition, partition }, { value: null, key: "tomb", partition }],
      });
    }
    await c.until(3);
    console.log("3 partitions", c.got.sort().join());
    // same partition as java-compatible partitioner
    const cons: any[] = [];
    for (let i = 0; i < 20; i++) {
      const n = uid() + "x".repeat(i % 5);
      await admin.createTopics({ topics: [{ topic: n, numPartitions: 7, replicationFactor: 1 }] });
      await b.publish(n, ["v"]);
      const offs = await admin.fetchTopicOffsets(n);
      const p = offs.find((o: any) => o.high === "1").partition;
      const want = kafkajs.Partitioners.DefaultPartitioner()({
        topic: n,
        partitionMetadata: Array.from(
          { length: 7 },
          (_, partitionId) => ({ partitionId, leader: 0 }),
        ) as any,
        message: { key: n } as any,
      });
      cons.push(p === want);
    }
    console.log("murmur2 agrees", cons.every(Boolean), cons.length);
    await producer.disconnect();
    await b.close();
  },
  async transactions() {
    const topic = uid();
    const b = new KafkaBackend(new Address(URL1));
    const c = collect((await b.tail(topic)).records);
    const producer = kafka.producer({
      transactionalId: uid(),
      maxInFlightRequests: 1,
      idempotent: true,
    });
    await producer.connect();
    const tx = await producer.transaction();
    await tx.send({ topic, messages: [{ value: "tx" }] });
    await tx.commit();
    await b.publish(topic, ["after"]);
    await c.until(2);
    console.log("transaction", c.got);
    await producer.disconnect();
    await b.close();
  },
  async kill() {
    const topic = uid();
    const b = new KafkaBackend(new Address(URL1));
    const c = collect((await b.tail(topic)).records);
    const c2 = collect((await b.tail(uid())).records);
    const c3 = collect((await b.tail(uid())).records);
    await b.publish(topic, ["a"]);
    await c.until(1);
    const t = performance.now();
    p1.kill();
    p2.kill();
    await Promise.all([c.done, c2.done, c3.done]);
    console.log(
      "killed: tails errored after",
      ms(t),
      c.error.name,
      c.error.message,
      "connected",
      b.connected,
    );
    const t2 = performance.now();
    await b.connect();
    const d = collect((await b.tail(topic)).records);
    console.log("again ready", ms(t2));
    await b.publish(topic, ["b"]);
    await d.until(1);
    console.log(d.got);
    // kill during publishes
    let ok = 0, lost = 0, other = 0;
    const ps = [];
    for (let i = 0; i < 500; i++) {
      ps.push(
        b.publish(topic, ["n" + i]).then(
          () => ok++,
          (e: any) => e.name === "ConnectionError" ? lost++ : (other++, console.log(e)),
        ),
      );
      if (i === 250) {
        p1.kill();
        p2.kill();
      }
      if (i % 10 === 0) await sleep(0);
    }
    await Promise.all(ps);
    console.log("publish over kill", { ok, lost, other });
    await b.close();
  },
  async stall() {
    const topic = uid();
    const b = new KafkaBackend(new Address(URL1));
    const c = collect((await b.tail(topic)).records);
    await b.publish(topic, ["a"]);
    await c.until(1);
    await sleep(300);
    p1.stalled = p2.stalled = true;
    const t = performance.now();
    const e: any = await b.probe(AbortSignal.timeout(300)).then(() => "??", (e) => e);
    await c.done;
    console.log("stalled: probe", e.name, e.message, "tail", c.error.name, ms(t));
    const t3 = performance.now();
    const x: any = await Promise.race([
      b.connect().then(() => "??", (e) => e),
      sleep(15000).then(() => "hang"),
    ]);
    console.log("connect to stalled", x.name ?? x, x.message, ms(t3));
    const opening = b.connect().catch((e) => e);
    await sleep(50);
    const t2 = performance.now();
    await b.close();
    console.log("close while connecting to stalled", ms(t2), (await opening as any).name);
    p1.stalled = p2.stalled = false;
    p1.kill();
    p2.kill();
  },
  async closing() {
    const b = new KafkaBackend(new Address(URL1));
    const o = b.connect().catch((e) => e);
    const t = performance.now();
    await b.close();
    console.log("close at once", ms(t), String(await o));
    await b.close();
    const b2 = new KafkaBackend(new Address(URL1));
    const c = collect((await b2.tail(uid())).records);
    await sleep(130);
    const t2 = performance.now();
    await Promise.all([b2.close(), b2.close()]);
    await c.done;
    console.log("close in poll", ms(t2), c.error.name);
    const b3 = new KafkaBackend(new Address(URL1));
    await b3.connect();
    const tl = b3.tail(uid()).catch((e) => e), pu = b3.publish(uid(), ["x"]).catch((e) => e);
    await b3.close();
    console.log("close under tail/publish", (await tl as any).name, (await pu as any)?.name);
    await b3.publish("x", ["y"]).catch((e) => console.log("after close:", e.name));
  },
  async moved() {
    await admin.connect();
    const topic = uid();
    await admin.createTopics({
      topics: [{ topic, replicaAssignment: undefined, numPartitions: 1, replicationFactor: 1 }],
    });
    const meta = async () =>
      (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions[0].leader;
    const b = new KafkaBackend(new Address(URL1));
    const c = collect((await b.tail(topic)).records);
    const other = collect((await b.tail(uid())).records);
    let n = 0, unknown = 0;
    let run = true;
    const sent: string[] = [];
    const loop = (async () => {
      while (run) {
        const m = "m" + n++;
        await b.publish(topic, [m]).then(() => sent.push(m), (e: any) => {
          unknown++;
          console.log("  publish:", e.name, e.message);
        });
        await sleep(2);
      }
    })();
    for (let i = 0; i < 8; i++) {
      await sleep(500);
      const leader = await meta();
      await admin.alterPartitionReassignments({
        topics: [{
          topic,
          partitionAssignment: [{ partition: 0, replicas: [leader === 1 ? 2 : 1] }],
        }],
      });
      await sleep(700);
      console.log("leader", leader, "->", await meta());
    }
    run = false;
    await loop;
    await sleep(1000);
    {
      const f = c.got.filter((m) => sent.includes(m));
      const i = f.findIndex((m, j) => m !== sent[j]);
      console.log(
        "missing",
        sent.filter((m) => !c.got.includes(m)),
        "unknown but delivered",
        c.got.filter((m) => !sent.includes(m)),
        "first difference",
        i,
        f.slice(i, i + 5),
        sent.slice(i, i + 5),
      );
    }
    console.log(
      "moved: sent",
      sent.length,
      "unknown",
      unknown,
      "got",
      c.got.length,
      "all in order",
      c.got.filter((m) => sent.includes(m)).join() === sent.join(),
      "dups",
      c.got.length - new Set(c.got).size,
      "error",
      c.error?.message,
      other.error?.message,
    );
    await b.close();
  },
  async codec() {
    const names = [uid(), uid(), uid()];
    const b = new KafkaBackend(new Address(URL1));
    const cs: any[] = [];
    for (const n of names) cs.push(collect((await b.tail(n)).records));
    // A record batch that claims snappy: compress for the producer only.
    const saved = CompressionCodecs[CompressionTypes.Snappy];
    const producer = kafka.producer();
    await producer.connect();
    CompressionCodecs[CompressionTypes.Snappy] = () => ({
      compress: (e: any) => snappyRaw(e.buffer),
      decompress: () => {
        throw new Error("x");
      },
    });
    await producer.send({ topic: names[1], messages: [{ value: "warm" }] });
    let sending = producer.send({
      topic: names[1],
      compression: CompressionTypes.Snappy,
      messages: [{ value: "snappy!" }],
    });
    await sleep(0);
    await Promise.resolve();
    // restored as soon as it is encoded
    await sleep(1);
    CompressionCodecs[CompressionTypes.Snappy] = saved;
    await sending.catch((e: any) => console.log("producer", e.message));
    for (let i = 0; i < 5; i++) {
      await b.publish(names[0], ["a" + i]);
      await b.publish(names[2], ["c" + i]);
    }
    await cs[0].until(5);
    await cs[2].until(5);
    await Promise.race([cs[1].done, sleep(2000)]);
    console.log(
      "codec:",
      cs[0].got.length,
      cs[2].got.length,
      "errors",
      cs[0].error,
      cs[2].error,
      "guilty",
      cs[1].got,
      cs[1].error?.name,
      cs[1].error?.message,
    );
    // gzip
    await producer.send({
      topic: names[0],
      compression: CompressionTypes.GZIP,
      messages: [{ value: "gz" }],
    });
    await cs[0].until(6);
    console.log("gzip", cs[0].got.at(-1));
    await producer.disconnect();
    await b.close();
  },
  async deleted() {
    const topic = uid();
    const b = new KafkaBackend(new Address(URL1));
    const c = collect((await b.tail(topic)).records);
    const o = collect((await b.tail(topic + "2")).records);
    await b.publish(topic, ["a"]);
    await c.until(1);
    const t = performance.now();
    await admin.deleteTopics({ topics: [topic] });
    await Promise.race([c.done, sleep(14000)]);
    console.log("deleted topic: tail", c.error?.name, c.error?.message, ms(t), "other", o.error);
    const d = collect((await b.tail(topic)).records);
    await b.publish(topic, ["again"]);
    await d.until(1);
    console.log(d.got);
    await b.close();
  },
  async range() {
    const topic = uid();
    const b = new KafkaBackend(new Address(URL1));
    const s = (await b.tail(topic)).records;
    const o = collect((await b.tail(topic + "2")).records);
    // nobody reads s: it fills 4 MiB and stops; then records are deleted
    for (let i = 0; i < 20; i++) await b.publish(topic, [new Uint8Array(800_000)]);
    await sleep(500);
    const hw = (await admin.fetchTopicOffsets(topic))[0].high;
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: hw }] });
    const c = collect(s);
    await Promise.race([c.done, sleep(3000)]);
    console.log(
      "retention: got",
      c.got.length,
      "of",
      hw,
      c.error?.name,
      c.error?.message,
      "other",
      o.error,
    );
    await b.close();
  },
  async slow() {
    const topic = uid();
    const b = new KafkaBackend(new Address(URL1));
    const s = (await b.tail(topic)).records;
    for (let i = 0; i < 60; i++) await b.publish(topic, [String(i).padEnd(800_000)]);
    await sleep(300);
    const c = collect(s);
    await c.until(60);
    console.log(
      "slow reader of 48 MB: got",
      c.got.length,
      c.got.map((x) => x.trim()).join() === Array.from({ length: 60 }, (_, i) => i).join(),
      c.error,
    );
    await b.close();
  },
  async grow() {
    const topic = uid();
    const b = new KafkaBackend(new Address(URL1));
    const c = collect((await b.tail(topic)).records);
    await admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] });
    const producer = kafka.producer();
    await producer.connect();
    await producer.send({ topic, messages: [{ value: "new", partition: 1 }] });
    const t = performance.now();
    await c.until(1, 35000);
    console.log("grown: got", c.got, ms(t));
    await producer.disconnect();
    await b.close();
  },
  async many() {
    const b = new KafkaBackend(new Address(URL1));
    await b.connect();
    const names = Array.from({ length: 100 }, uid);
    const t = performance.now();
    const cs = await Promise.all(names.map(async (n) => collect((await b.tail(n)).records)));
    console.log("100 new topics at once", ms(t));
    const t2 = performance.now();
    await Promise.all(names.map((n) => b.publish(n, ["1", "2"])));
    await Promise.all(cs.map((c) => c.until(2)));
    console.log("100 published and delivered", ms(t2), cs.every((c) => c.got.join() === "1,2"));
    // churn: one channel opens and closes while another receives
    let sent = 0;
    const stop = sleep(1500).then(() => true);
    let over = false;
    stop.then(() => over = true);
    const feed = (async () => {
      while (!over) await b.publish(names[0], ["s" + sent++]);
    })();
    const churn = (async () => {
      while (!over) {
        await cs[1].reader.cancel();
        cs[1] = collect((await b.tail(names[1])).records);
      }
    })();
    await feed;
    await churn;
    await cs[0].until(2 + sent);
    console.log(
      "churn: sent",
      sent,
      "got",
      cs[0].got.length - 2,
      new Set(cs[0].got).size === cs[0].got.length,
    );
    await b.close();
  },
};
function snappyRaw(buffer: Uint8Array) { // raw snappy, one literal
  const n = buffer.length;
  const out = [n & 0x7f | (n > 127 ? 0x80 : 0)];
  if (n > 127) out.push(n >> 7);
  out.push(60 << 2, n - 1);
  return Buffer.concat([Buffer.from(out), buffer]);
}
import { Buffer } from "node:buffer";
for (const [name, run] of Object.entries(cases)) {
  if (Deno.args.length && !Deno.args.includes(name)) continue;
  console.log("--", name);
  try {
    await run();
  } catch (e) {
    console.log("FAILED", e);
  }
}
await admin.disconnect();
p1.close();
p2.close();
