// Spans of a broadcast, with the SDK of OpenTelemetry for this runtime.

import assert from "node:assert/strict";
import { context, propagation, trace } from "@opentelemetry/api";
import { Broadcast } from "@broadcaster/broadcaster";
import { instrument } from "@broadcaster/broadcaster/otel";

// Packages of this project's own.
const [core, hooks, sdk] = await Promise.all(
  ["core", "context-async-hooks", "sdk-trace-base"].map((name) => import(`@opentelemetry/${name}`)),
);
const exporter = new sdk.InMemorySpanExporter();
trace.setGlobalTracerProvider(
  new sdk.BasicTracerProvider({ spanProcessors: [new sdk.SimpleSpanProcessor(exporter)] }),
);
context.setGlobalContextManager(new hooks.AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new core.W3CTraceContextPropagator());

const broadcast = new Broadcast("memory://");
instrument(broadcast);
const subscription = await broadcast.subscribe("c");
await trace.getTracer("test").startActiveSpan("request", async (span) => {
  await broadcast.publish("c", "x");
  span.end();
});
for await (const { headers } of subscription) {
  assert.match(headers.traceparent, /^00-/);
  break;
}
await broadcast.disconnect();

const spans = exporter.getFinishedSpans();
const [process, publish, request] = ["process c", "publish c", "request"].map((name) =>
  spans.find((span) => span.name === name)
);
assert.equal(spans.length, 3);
assert.equal(publish.parentSpanContext.spanId, request.spanContext().spanId);
assert.equal(process.links[0].context.spanId, publish.spanContext().spanId);
