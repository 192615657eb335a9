/** `instrument()`, with the real SDK of OpenTelemetry and its exporters in memory. */

import {
  context,
  type MeterProvider as Meters,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type TracerProvider,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "npm:@opentelemetry/context-async-hooks@^2.0.0";
import { W3CTraceContextPropagator } from "npm:@opentelemetry/core@^2.0.0";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "npm:@opentelemetry/sdk-metrics@^2.0.0";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "npm:@opentelemetry/sdk-trace-base@^2.0.0";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { instrument } from "../../../core/otel/mod.ts";
import { Broadcast, encrypted, json } from "../../../mod.ts";
import { messages, take } from "../../conformance/harness.ts";

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());

Deno.test("publish() is a span of the conventions, below the active one", async () => {
  await using sdk = new Sdk();
  await using broadcast = new Broadcast("memory://");
  instrument(broadcast, sdk.options);
  const tracer = sdk.options.tracerProvider.getTracer("test");
  const id = await tracer.startActiveSpan("request", async (span) => {
    const id = await broadcast.publish("chatroom", "hello");
    span.end();
    return id;
  });
  const [published, request] = sdk.spans as [ReadableSpan, ReadableSpan];
  assertEquals([published.name, published.kind], ["publish chatroom", SpanKind.PRODUCER]);
  assertEquals(published.parentSpanContext?.spanId, request.spanContext().spanId);
  assertEquals(published.attributes, {
    "messaging.system": "memory",
    "messaging.operation.name": "publish",
    "messaging.operation.type": "send",
    "messaging.destination.name": "chatroom",
    "messaging.message.id": id,
  });
  assertEquals(published.status.code, SpanStatusCode.UNSET);
});

Deno.test("an event is one span, linked to its publisher's, however many subscribe", async () => {
  await using sdk = new Sdk();
  await using broadcast = new Broadcast("memory://");
  instrument(broadcast, sdk.options);
  const subscriptions = await Promise.all(
    Array.from({ length: 10 }, () => broadcast.subscribe("chatroom")),
  );
  const id = await broadcast.publish("chatroom", "hello");
  for (const subscription of subscriptions) {
    assertEquals(await messages(subscription, 1), ["hello"]);
  }
  const [published, ...others] = sdk.named("publish chatroom");
  assertEquals(others, []);
  const [processed, ...more] = sdk.named("process chatroom");
  assertEquals(more, []);
  assertEquals(processed!.kind, SpanKind.CONSUMER);
  assertEquals(processed!.attributes, {
    "messaging.system": "memory",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": "chatroom",
    "messaging.message.id": id,
  });
  const { traceId, spanId } = published!.spanContext();
  const linked = processed!.links.map((link) => [link.context.traceId, link.context.spanId]);
  assertEquals(linked, [[traceId, spanId]]);
  // A trace of its own: fan-out would make that of the publisher endless.
  assertEquals(processed!.parentSpanContext, undefined);
  assert(processed!.spanContext().traceId !== traceId);
});

Deno.test("the context comes to other processes, and to the application, in the headers", async () => {
  await using sdk = new Sdk();
  const url = `memory://${crypto.randomUUID()}`;
  await using publisher = new Broadcast(url);
  await using reader = new Broadcast(url);
  instrument(publisher, sdk.options);
  const subscription = await reader.subscribe("c");
  // The first one, which waits until it is known whether the broker carries headers.
  await publisher.publish("c", "x", { headers: { own: "kept" } });
  const [event] = await take(subscription, 1);
  const { traceId, spanId } = sdk.named("publish c")[0]!.spanContext();
  assertEquals(event!.headers, { own: "kept", traceparent: `00-${traceId}-${spanId}-01` });
});

Deno.test("a header of the user's own is not replaced, and too many are not exceeded", async () => {
  await using sdk = new Sdk();
  await using broadcast = new Broadcast("memory://");
  instrument(broadcast, sdk.options);
  const subscription = await broadcast.subscribe("c");
  const traceparent = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;
  await broadcast.publish("c", "x", { headers: { traceparent } });
  const large = { large: "x".repeat(8 * 1024 - 5 - 32) };
  await broadcast.publish("c", "y", { headers: large });
  const [own, full] = await take(subscription, 2);
  assertEquals([own!.headers, full!.headers], [{ traceparent }, large]);
  const [linked, unlinked] = sdk.named("process c");
  assertEquals(linked!.links.map((link) => link.context.traceId), ["1".repeat(32)]);
  assertEquals(unlinked!.links, []);
});

Deno.test("without an SDK, nothing is added and nothing fails", async () => {
  await using broadcast = new Broadcast("memory://");
  instrument(broadcast);
  const subscription = await broadcast.subscribe("c");
  await context.with(ROOT_CONTEXT, () => broadcast.publish("c", "x"));
  const [event] = await take(subscription, 1);
  assertEquals(event!.headers, undefined);
});

Deno.test("a publish that fails is an error of its type, and is counted so", async () => {
  await using sdk = new Sdk();
  await using broadcast = new Broadcast("memory://");
  instrument(broadcast, sdk.options);
  const error = await assertRejects(() => broadcast.publish("c", "\ud800"), TypeError);
  const [span] = sdk.named("publish c");
  assertEquals(span!.status, { code: SpanStatusCode.ERROR, message: error.message });
  assertEquals(span!.attributes["error.type"], "TypeError");
  const [point] = await sdk.points("messaging.client.sent.messages");
  assertEquals([point!.value, point!.attributes["error.type"]], [1, "TypeError"]);
});

Deno.test("messages are recorded nowhere", async () => {
  await using sdk = new Sdk();
  const codec = encrypted(json<string>(), {
    current: "k",
    keys: { k: new Uint8Array(32).fill(7) },
  });
  await using broadcast = new Broadcast("memory://", { codec });
  instrument(broadcast, sdk.options);
  const subscription = await broadcast.subscribe("c");
  await broadcast.publish("c", "a secret", { headers: { token: "a secret" } });
  assertEquals(await messages(subscription, 1), ["a secret"]);
  const recorded = sdk.spans.map(({ name, attributes, status }) => [name, attributes, status]);
  assertEquals(recorded.length, 2);
  assert(!JSON.stringify(recorded).includes("secret"));
});

Deno.test("a template names spans and metrics; the channel is an attribute of spans alone", async () => {
  await using sdk = new Sdk();
  await using broadcast = new Broadcast("memory://");
  const template = (channel: string) => channel.startsWith("room:") ? "room:{id}" : undefined;
  instrument(broadcast, { ...sdk.options, template });
  const subscription = await broadcast.subscribe(["room:1", "lobby"]);
  for (const channel of ["room:1", "lobby"]) await broadcast.publish(channel, "x");
  await take(subscription, 2);
  for (const operation of ["publish", "process"]) {
    const [room] = sdk.named(`${operation} room:{id}`);
    assertEquals(room!.attributes["messaging.destination.name"], "room:1");
    assertEquals(room!.attributes["messaging.destination.template"], "room:{id}");
    assertEquals(sdk.named(`${operation} lobby`).length, 1);
  }
  const points = await sdk.points("messaging.client.consumed.messages");
  const found = points.map(({ value, attributes }) => [
    value,
    attributes["messaging.destination.template"],
    attributes["messaging.destination.name"],
  ]);
  assertEquals(found, [[1, "room:{id}", undefined], [1, undefined, undefined]]);
});

Deno.test("what a pattern receives has the pattern as its template", async () => {
  await using sdk = new Sdk();
  await using broadcast = new Broadcast("memory://");
  instrument(broadcast, sdk.options);
  const subscription = await broadcast.subscribe({ pattern: "room.*" });
  await broadcast.publish("room.1", "x");
  await take(subscription, 1);
  const [span] = sdk.named("process room.*");
  assertEquals(span!.attributes["messaging.destination.name"], "room.1");
  assertEquals(span!.attributes["messaging.destination.template"], "room.*");
});

Deno.test("the metrics of the conventions, in seconds, and the numbers of stats()", async () => {
  await using sdk = new Sdk();
  await using broadcast = new Broadcast("memory://?history=0&buffer=4");
  instrument(broadcast, { ...sdk.options, attributes: { "messaging.client.id": "one" } });
  const subscriptions = [await broadcast.subscribe("c"), await broadcast.subscribe("c")];
  await broadcast.subscribe("c", { after: "of no channel" });
  await broadcast.publish("c", "one");
  await broadcast.publish("c", "two");
  for (const subscription of subscriptions) await take(subscription, 2);
  const own = { "messaging.system": "memory", "messaging.client.id": "one" };
  const send = { "messaging.operation.name": "publish", "messaging.operation.type": "send" };
  const process = { "messaging.operation.name": "process", "messaging.operation.type": "process" };
  for (
    const [name, attributes] of [
      ["messaging.client.operation.duration", send],
      ["messaging.process.duration", process],
    ] as const
  ) {
    const [point] = await sdk.points(name);
    assertEquals(point!.attributes, { ...own, ...attributes });
    const { count, sum, max } = point!.value as { count: number; sum: number; max: number };
    assertEquals(count, 2);
    assert(sum > 0 && max < 10, `${sum} ${max}`);
  }
  const [sent] = await sdk.points("messaging.client.sent.messages");
  assertEquals([sent!.value, sent!.attributes], [2, { ...own, ...send }]);
  const [consumed] = await sdk.points("messaging.client.consumed.messages");
  assertEquals([consumed!.value, consumed!.attributes], [2, { ...own, ...process }]);
  const numbers: Record<string, number> = {};
  for (const name of ["subscribers", "lag", "buffer.size", "pending", "delivered", "reconnects"]) {
    const [point] = await sdk.points(`broadcaster.${name}`);
    assertEquals(point!.attributes, own);
    numbers[name] = point!.value as number;
  }
  const { bufferedBytes } = broadcast.stats();
  const expected = { subscribers: 3, lag: 2, "buffer.size": bufferedBytes, pending: 0 };
  assertEquals(numbers, { ...expected, delivered: 4, reconnects: 0 });
  const gaps = await sdk.points("broadcaster.gaps");
  const causes = gaps.map(({ value, attributes }) => [attributes["broadcaster.gap.cause"], value]);
  assertEquals(Object.fromEntries(causes), broadcast.stats().gaps);
  assertEquals(broadcast.stats().gaps.unknown, 1);
});

Deno.test("the result of instrument() ends it, and so does disconnect()", async () => {
  await using sdk = new Sdk();
  await using stopped = new Broadcast("memory://");
  const stop = instrument(stopped, sdk.options);
  await stopped.publish("c", "x");
  stop();
  stop();
  await stopped.publish("c", "y");
  const closed = new Broadcast("memory://");
  instrument(closed, sdk.options);
  await closed.publish("c", "z");
  await closed.disconnect();
  await assertRejects(() => closed.publish("c", "late"));
  assertEquals(sdk.named("publish c").length, 2);
  assertEquals(await sdk.points("broadcaster.subscribers"), []);
});

Deno.test("only a broadcast can be instrumented", () => {
  const error = assertThrows(() => instrument({} as never), TypeError);
  assertEquals(
    error.message,
    "Cannot observe broadcast: it is not a Broadcast of this copy of the module",
  );
});

/** A value of a metric, with its attributes. */
interface Point {
  readonly value: unknown;
  readonly attributes: Record<string, unknown>;
}

/** An SDK whose exporters keep everything in memory. */
class Sdk implements AsyncDisposable {
  readonly options: { tracerProvider: TracerProvider; meterProvider: Meters };
  readonly #spans = new InMemorySpanExporter();
  readonly #metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  readonly #tracers: BasicTracerProvider;
  readonly #meters: MeterProvider;

  constructor() {
    this.#tracers = new BasicTracerProvider({
      spanProcessors: [new SimpleSpanProcessor(this.#spans)],
    });
    const reader = new PeriodicExportingMetricReader({
      exporter: this.#metrics,
      exportIntervalMillis: 3_600_000,
    });
    this.#meters = new MeterProvider({ readers: [reader] });
    this.options = { tracerProvider: this.#tracers, meterProvider: this.#meters };
  }

  get spans(): ReadableSpan[] {
    return this.#spans.getFinishedSpans();
  }

  named(name: string): ReadableSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  /** Collects the metrics, and returns the values of one. */
  async points(name: string): Promise<Point[]> {
    await this.#meters.forceFlush();
    const found = this.#metrics.getMetrics().at(-1)!.scopeMetrics.flatMap(({ metrics }) => metrics)
      .filter(({ descriptor }) => descriptor.name === name);
    return found.flatMap(({ dataPoints }) => dataPoints as Point[]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tracers.shutdown();
    await this.#meters.shutdown();
  }
}
