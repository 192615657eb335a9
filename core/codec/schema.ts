/**
 * Validates messages with a Standard Schema.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import { reasonOf } from "../backend/errors.ts";
import { nameOf } from "../backend/name.ts";
import { Pattern } from "../backend/pattern.ts";
import { kindOf } from "../util/kind.ts";
import { shorten } from "../util/quote.ts";
import { isThenable } from "../util/realm.ts";
import { type Codec, sealingOf } from "./codec.ts";

/**
 * A [Standard Schema](https://standardschema.dev), as implemented by Zod, Valibot, ArkType and
 * others.
 *
 * @typeParam Input The type of values that it accepts.
 * @typeParam Output The type of values that it returns.
 */
export interface Schema<Input = unknown, Output = Input> {
  /** The properties of the standard. */
  readonly "~standard": {
    /** The version of the standard. */
    readonly version: 1;
    /** The name of the schema library. */
    readonly vendor: string;
    /** Validates a value. Returns the output or the issues, synchronously or as a promise. */
    readonly validate: (value: unknown) =>
      | { readonly value: Output; readonly issues?: undefined }
      | { readonly issues: readonly SchemaIssue[] }
      | Promise<
        | { readonly value: Output; readonly issues?: undefined }
        | { readonly issues: readonly SchemaIssue[] }
      >;
    /** The types, for inference only. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** An issue of an invalid value. */
export interface SchemaIssue {
  /** The error message of the issue. */
  readonly message: string;
  /** The path of the issue within the value. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * The maximum number of characters of an issue that an error shows, since an issue may repeat the
 * message.
 */
const LONGEST_ISSUE = 500;

/** A message does not match the schema of its channel. */
export class ValidationError extends TypeError {
  /** Always `"ValidationError"`. */
  override name = "ValidationError";
  /** All issues of the message. */
  readonly issues: readonly SchemaIssue[];

  /**
   * Creates an error that shows the first issue.
   *
   * @param what The failed action.
   * @param channel The channel.
   * @param issues All issues of the message.
   * @param reason The circumstances, if the message alone is not the reason.
   */
  constructor(what: string, channel: string, issues: readonly SchemaIssue[], reason?: string) {
    const [first, ...others] = issues;
    const path = first?.path?.map((step) => String(typeof step === "object" ? step.key : step));
    const issue = `${path?.length ? `${path.join(".")}: ` : ""}${
      first?.message ?? "it is invalid"
    }`;
    super(
      `Cannot ${what} of ${nameOf(channel)}: ${reason ? `${reason}: ` : ""}${
        shorten(issue, LONGEST_ISSUE)
      }${others.length > 0 ? `, and ${others.length} more` : ""}`,
    );
    this.issues = issues;
  }
}

/**
 * The channel map of a broadcast with schemas: `Broadcast<ChannelsOf<typeof channels>>`. If a
 * schema transforms messages, pass the published types as a second argument:
 * `Broadcast<ChannelsOf<typeof channels>, ChannelsOf<typeof channels, "input">>`.
 *
 * `{ "price:*": z.number() }` becomes ``{ [price: `price:${string}`]: number }``. A single name,
 * `"price:*"`, becomes the type of the matching channel names.
 *
 * @typeParam Given Schemas by channel name or pattern, or one such name.
 * @typeParam Side `"output"` for received messages, `"input"` for published ones.
 *
 * @example
 * ```ts
 * import { Broadcast, type ChannelsOf, type Schema } from "@broadcaster/broadcaster";
 *
 * // From Zod, Valibot, ArkType or, as here, written by hand.
 * const time: Schema<string, Date> = {
 *   "~standard": { version: 1, vendor: "mine", validate: (text) => ({ value: new Date(`${text}`) }) },
 * };
 * const channels = { "at:*": time };
 *
 * type Times = Broadcast<ChannelsOf<typeof channels>, ChannelsOf<typeof channels, "input">>;
 * const broadcast: Times = new Broadcast("memory://", { channels });
 * await broadcast.publish("at:noon", "2026-11-26T12:00:00Z");
 * await broadcast.disconnect();
 * ```
 */
export type ChannelsOf<Given, Side extends "input" | "output" = "output"> = Given extends string
  ? Given extends `${infer Before}*${infer After}` ? `${Before}${string}${ChannelsOf<After>}`
  : Given
  : Given extends Readonly<Record<string, Schema>> ? {
      [Name in keyof Given as ChannelsOf<Name>]: NonNullable<
        Given[Name]["~standard"]["types"]
      >[Side];
    }
  : never;

/**
 * Wraps a codec with validation. Published messages are validated but sent unchanged. Subscribers
 * receive the output of the schema.
 *
 * The first message of each schema is also decoded and validated, as by a subscriber. If the schema
 * then rejects the message, such as a string for a `Date` in JSON, it is not sent.
 *
 * @throws {TypeError} If a schema is not a Standard Schema.
 */
export function checked(
  codec: Codec<unknown>,
  channels: Readonly<Record<string, Schema>>,
): Codec<unknown> {
  if (typeof channels !== "object") {
    throw new TypeError(
      `Cannot open broadcast: option channels must be an object of schemas, it is ${
        kindOf(channels)
      }`,
    );
  }
  for (const [name, schema] of Object.entries(channels)) {
    if (typeof schema?.["~standard"]?.validate === "function") continue;
    throw new TypeError(
      `Cannot open broadcast: the schema of ${
        nameOf(name)
      } must be a Standard Schema, as Zod, Valibot and ArkType make them, it is ${kindOf(schema)}`,
    );
  }
  const patterns = Object.entries(channels)
    .flatMap(([name, schema]) =>
      name.includes("*") ? [{ pattern: new Pattern(name), schema }] : []
    );

  /** The schema of this name, or of the first pattern that matches. */
  function schemaOf(channel: string): Schema {
    const schema = Object.hasOwn(channels, channel)
      ? channels[channel]
      : patterns.find(({ pattern }) => pattern.matches(channel))?.schema;
    if (schema) return schema;
    throw new TypeError(
      `Cannot use channel ${nameOf(channel)}: it has no schema, channels with a schema are ${
        Object.keys(channels).join(", ")
      }`,
    );
  }

  /** The schemas that have accepted a message after it was encoded and decoded. */
  const proven = new WeakSet<Schema>();

  function decoded(payload: Payload, channel: string): unknown {
    const fail = (cause: unknown) => {
      const message =
        `Cannot publish message of ${nameOf(channel)}: ${codec.name} has encoded it, ` +
        `but cannot decode it: ${reasonOf(cause)}`;
      throw new TypeError(message, { cause });
    };
    try {
      const message = codec.decode(payload, channel);
      return isThenable(message) ? Promise.resolve(message).catch(fail) : message;
    } catch (error) {
      return fail(error);
    }
  }

  function prove(schema: Schema, payload: Payload, channel: string): Payload | Promise<Payload> {
    return then(
      decoded(payload, channel),
      (message) =>
        then(validate(schema, message), ({ issues }) => {
          if (issues) {
            throw new ValidationError("publish message", channel, issues, unproven(codec));
          }
          proven.add(schema);
          return payload;
        }),
    );
  }

  return {
    ...sealingOf(codec),
    name: codec.name,
    encode(message, channel) {
      const schema = schemaOf(channel);
      return then(validate(schema, message), (result) => {
        valueOf(result, "publish message", channel);
        const payload = codec.encode(message, channel);
        if (proven.has(schema)) return payload;
        return then(payload, (payload) => prove(schema, payload, channel));
      });
    },
    decode: (payload, channel) =>
      then(
        codec.decode(payload, channel),
        (message) =>
          then(
            validate(schemaOf(channel), message),
            (result) => valueOf(result, "accept message", channel),
          ),
      ),
  };
}

/** The reason for rejecting a message that its schema has accepted. */
function unproven({ name }: Codec<unknown>): string {
  return `its schema accepts it, but not what arrives after ${name} has encoded and decoded it; ` +
    "use a codec that keeps it, such as msgpack(), or a schema of what arrives, such as z.coerce.date()";
}

/** The result of a validation. */
type Result = Awaited<ReturnType<Schema["~standard"]["validate"]>>;

function validate(schema: Schema, value: unknown): Result | PromiseLike<Result> {
  return schema["~standard"].validate(value);
}

/** Chains synchronously unless the value is a promise. */
function then<Value, Next>(
  value: Value | PromiseLike<Value>,
  next: (value: Value) => Next | Promise<Next>,
): Next | Promise<Next> {
  return isThenable(value) ? Promise.resolve(value).then(next) : next(value);
}

function valueOf(result: Result, what: string, channel: string): unknown {
  if (!result.issues) return result.value;
  throw new ValidationError(what, channel, result.issues);
}
