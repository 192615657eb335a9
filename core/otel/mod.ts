/**
 * OpenTelemetry for broadcasts: spans and metrics by the semantic conventions for messaging.
 *
 * Needs the library `@opentelemetry/api`. Deno downloads it when this module is loaded; with npm,
 * install it next to this package. Spans and metrics go to the SDK that the application has set up.
 * On Deno, `OTEL_DENO=true` sets up an SDK.
 *
 * @module
 */

import type { Attributes, Context, Link, Meter, Span, Tracer } from "@opentelemetry/api";
import { type Observer, observersOf, type Publishing } from "../api/observers.ts";
import { readOptions } from "../api/options.ts";
import type { BroadcastStats } from "../api/stats.ts";
import { importClient } from "../backend/kit/client_library.ts";
import { reasonOf } from "../backend/errors.ts";
import { brokerOf, errorTypeOf, operation } from "./attributes.ts";
import { Metrics } from "./metrics.ts";

// An API finds only an SDK that was registered with the same or a newer version. So Deno loads the
// oldest minor version. With npm, the application has one API for both.
const api = await importClient<typeof import("@opentelemetry/api")>(
  "@opentelemetry/api",
  undefined,
  "~1.9.0",
);

/** The name of the instrumentation scope. */
const SCOPE = "@broadcaster/broadcaster";

/** A `Broadcast` with channels of any type. */
export interface Instrumentable extends EventTarget {
  /** See `Broadcast`. */
  stats(): BroadcastStats;
}

/** Options for `instrument()`. */
export interface InstrumentOptions {
  /**
   * Returns the template of a channel name with a variable part, such as `"room:{id}"` for
   * `"room:42"`, or `undefined` if there is none. The template names the spans, and metrics have it
   * as `messaging.destination.template`. Without it, the channel names the spans, and metrics do
   * not distinguish channels, since each name would be a time series of its own.
   */
  readonly template?: ((channel: string) => string | undefined) | undefined;
  /** Attributes of all spans and metrics, for example to distinguish two broadcasts. */
  readonly attributes?: Readonly<Record<string, string | number | boolean>> | undefined;
  /**
   * Where spans go: a `TracerProvider`.
   *
   * @default {the global one}
   */
  readonly tracerProvider?: { getTracer(name: string): object } | undefined;
  /**
   * Where metrics go: a `MeterProvider`.
   *
   * @default {the global one}
   */
  readonly meterProvider?: { getMeter(name: string): object } | undefined;
}

/**
 * Instruments a broadcast. Set up the SDK first.
 *
 * **Spans.** `publish {channel}` lasts until the broker has answered, and is a child of the active
 * span. Its context is sent in the headers of the message, such as `traceparent`, if the broker
 * supports headers. `process {channel}` is the arrival of an event and its delivery to the waiting
 * subscriptions. There is one for each event and process, however many subscriptions there are, and
 * it is linked to the span of its publisher. An event that matches a channel and a pattern arrives
 * twice. Events that are read from the log again have no span. An application finds the context for
 * its own spans in `event.headers`.
 *
 * **Metrics.** `messaging.client.operation.duration`, `messaging.client.sent.messages`,
 * `messaging.client.consumed.messages` and `messaging.process.duration` follow the conventions.
 * `broadcaster.subscribers`, `.lag`, `.buffer.size`, `.pending`, `.delivered`, `.gaps` and
 * `.reconnects` are the statistics of `stats()`.
 *
 * Messages and headers are not recorded. Ends when the broadcast is disconnected.
 *
 * @param broadcast The broadcast.
 * @param options Additional options.
 * @returns A function that ends the instrumentation.
 * @throws {TypeError} If the argument is not a broadcast, or an option is invalid.
 * @see https://opentelemetry.io/docs/specs/semconv/messaging/
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { instrument } from "@broadcaster/broadcaster/otel";
 *
 * const broadcast = new Broadcast("memory://");
 * instrument(broadcast, { template: (channel) => channel.replace(/:.*$/, ":{id}") });
 * await broadcast.publish("room:42", "hello"); // the span "publish room:{id}"
 * await broadcast.disconnect();
 * ```
 */
export function instrument(
  broadcast: Instrumentable,
  options?: InstrumentOptions | null,
): () => void {
  const given = readOptions("instrument broadcast", options);
  const observers = observersOf(broadcast);
  const attributes = () => ({ ...brokerOf(observers.backend()), ...given.attributes });
  const { meterProvider = api.metrics.getMeterProvider() } = given;
  const meter = meterProvider.getMeter(SCOPE) as Meter;
  const metrics = new Metrics(meter, attributes, () => broadcast.stats());
  const remove = observers.add(observerOf(given, metrics, {
    attributes,
    carriesHeaders: () => observers.backend()?.features.headers,
    onClosed: () => stop(),
  }));
  function stop(): void {
    metrics.stop();
    remove();
  }
  return stop;
}

/** Facts about a broadcast. */
interface Known {
  /** Attributes of its broker, and the attributes that the user gave. */
  readonly attributes: () => Attributes;
  /** Whether the broker supports headers, once that is known. */
  readonly carriesHeaders: () => boolean | undefined;
  /** Called when the broadcast is disconnected. */
  readonly onClosed: () => void;
}

function observerOf(
  { template, tracerProvider = api.trace.getTracerProvider() }: InstrumentOptions,
  metrics: Metrics,
  { attributes, carriesHeaders, onClosed }: Known,
): Observer {
  const tracer = tracerProvider.getTracer(SCOPE) as Tracer;
  const destinationOf = (channel: string, pattern?: string) => {
    const name = pattern ?? template?.(channel);
    return {
      name: name ?? channel,
      metric: name === undefined ? {} : { "messaging.destination.template": name },
    };
  };

  function publishing(channel: string): Publishing {
    const { name, metric } = destinationOf(channel);
    const kind = carriesHeaders() === false ? api.SpanKind.CLIENT : api.SpanKind.PRODUCER;
    const own = { ...operation("publish"), ...metric };
    const span = tracer.startSpan(`publish ${name}`, {
      kind,
      attributes: { ...own, "messaging.destination.name": channel },
    });
    return {
      headers: headersOf(api.trace.setSpan(api.context.active(), span)),
      end: ({ id, error, duration }) => {
        // The broker is known now, even if the first message had to wait for it.
        const broker = attributes();
        const failure = error === undefined ? {} : { "error.type": errorTypeOf(error) };
        span.setAttributes({ ...broker, ...failure });
        if (id !== undefined) span.setAttribute("messaging.message.id", id);
        if (error !== undefined) fail(span, error);
        span.end();
        const all = { ...broker, ...own, ...failure };
        metrics.operationDuration.record(duration / 1_000, all);
        metrics.sent.add(1, all);
      },
    };
  }

  return {
    publishing,
    arrived: (event, target, deliver) => {
      const pattern = typeof target === "string" ? undefined : String(target);
      const { name, metric } = destinationOf(event.channel, pattern);
      const own = { ...operation("process"), ...metric, ...attributes() };
      const span = tracer.startSpan(`process ${name}`, {
        kind: api.SpanKind.CONSUMER,
        attributes: { ...own, "messaging.destination.name": event.channel },
        links: linksOf(event.headers),
        // A broker in memory delivers while the publisher's span is active, so that span would be
        // the parent.
        root: true,
      }, api.ROOT_CONTEXT);
      const start = performance.now();
      try {
        api.context.with(api.trace.setSpan(api.ROOT_CONTEXT, span), deliver);
      } finally {
        if (event.id) span.setAttribute("messaging.message.id", event.id);
        span.end();
        metrics.processDuration.record((performance.now() - start) / 1_000, own);
        metrics.consumed.add(1, own);
      }
    },
    stateChanged: (state) => {
      if (state === "closed") onClosed();
    },
  };
}

/** The context, as headers of a message. */
function headersOf(context: Context): Record<string, string> | undefined {
  const headers: Record<string, string> = {};
  api.propagation.inject(context, headers);
  return Object.keys(headers).length > 0 ? headers : undefined;
}

/** The link to the publisher's span, if its context came with the message. */
function linksOf(headers: Readonly<Record<string, string>> | undefined): Link[] {
  if (!headers) return [];
  const context = api.trace.getSpanContext(api.propagation.extract(api.ROOT_CONTEXT, headers));
  return context && api.isSpanContextValid(context) ? [{ context }] : [];
}

function fail(span: Span, error: unknown): void {
  span.setStatus({ code: api.SpanStatusCode.ERROR, message: reasonOf(error) });
}
