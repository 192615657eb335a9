/**
 * Validates messages with a Standard Schema.
 *
 * @module
 */

import { kindOf } from "../util/kind.ts";
import type { Codec } from "./codec.ts";

import { Pattern } from "../backend/pattern.ts";

/**
 * What Zod, Valibot, ArkType and others make: a schema as
 * [Standard Schema](https://standardschema.dev) has it.
 *
 * @typeParam Input What it accepts.
 * @typeParam Output What it makes of that.
 */
export interface Schema<Input = unknown, Output = Input> {
  /** What all of them have. */
  readonly "~standard": {
    /** The version of the standard. */
    readonly version: 1;
    /** Who made it. */
    readonly vendor: string;
    /** Checks a value. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** For the compiler alone. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What became of a value. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** What is wrong with a value. */
export interface SchemaIssue {
  /** In words. */
  readonly message: string;
  /** Where in the value. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A message is not what the schema of its channel says. */
export class ValidationError extends TypeError {
  /** Always `"ValidationError"`. */
  override name = "ValidationError";
  /** All that is wrong with it. */
  readonly issues: readonly SchemaIssue[];

  /**
   * An error that tells what is wrong.
   *
   * @param what What cannot be done.
   * @param channel The channel.
   * @param issues What is wrong.
   */
  constructor(what: string, channel: string, issues: readonly SchemaIssue[]) {
    const [first, ...others] = issues;
    const path = first?.path?.map((step) => String(typeof step === "object" ? step.key : step));
    super(
      `Cannot ${what} of "${channel}": ${path?.length ? `${path.join(".")}: ` : ""}${
        first?.message ?? "it is invalid"
      }${others.length > 0 ? `, and ${others.length} more` : ""}`,
    );
    this.issues = issues;
  }
}

/** Channels and their schemas; a name with `*` stands for all channels that match. */
export type ChannelSchemas = Readonly<Record<string, Schema>>;

/** The channels of a name: `price:*` are those whose names begin so. */
export type ChannelsOf<Name> = Name extends `${infer Before}*${infer Behind}`
  ? `${Before}${string}${ChannelsOf<Behind>}`
  : Name;

/** What may be published to channels with schemas. */
export type SchemaInputs<Schemas extends ChannelSchemas> = {
  [Name in keyof Schemas as ChannelsOf<Name>]: NonNullable<
    Schemas[Name]["~standard"]["types"]
  >["input"];
};

/** What is received from channels with schemas. */
export type SchemaOutputs<Schemas extends ChannelSchemas> = {
  [Name in keyof Schemas as ChannelsOf<Name>]: NonNullable<
    Schemas[Name]["~standard"]["types"]
  >["output"];
};

/**
 * Checks messages around another codec: what is published, which travels as it
 * is, and what is received, of which subscribers get what the schema makes.
 *
 * @throws {TypeError} If one of the schemas is none.
 */
export function checked(codec: Codec<unknown>, channels: ChannelSchemas): Codec<unknown> {
  for (const [name, schema] of Object.entries(channels)) {
    if (typeof schema?.["~standard"]?.validate === "function") continue;
    throw new TypeError(
      `Cannot open broadcast: the schema of "${name}" must be a Standard Schema, as Zod, Valibot and ArkType make them, it is ${
        kindOf(schema)
      }`,
    );
  }
  const patterns = Object.entries(channels)
    .flatMap(([name, schema]) =>
      name.includes("*") ? [{ pattern: new Pattern(name), schema }] : []
    );

  /** That of its name, else the first that matches. */
  function schemaOf(channel: string): Schema {
    const schema = Object.hasOwn(channels, channel)
      ? channels[channel]
      : patterns.find(({ pattern }) => pattern.matches(channel))?.schema;
    if (schema) return schema;
    throw new TypeError(
      `Cannot use channel "${channel}": it has no schema, those that do are ${
        Object.keys(channels).join(", ")
      }`,
    );
  }

  return {
    name: codec.name,
    encode: (message, channel) =>
      then(schemaOf(channel)["~standard"].validate(message), (result) => {
        valueOf(result, "publish message", channel);
        return codec.encode(message, channel);
      }),
    decode: (payload, channel) =>
      then(
        codec.decode(payload, channel),
        (message) =>
          then(
            schemaOf(channel)["~standard"].validate(message),
            (result) => valueOf(result, "accept message", channel),
          ),
      ),
  };
}

/** At once, where nothing takes its time. */
function then<Value, Next>(
  value: Value | Promise<Value>,
  next: (value: Value) => Next | Promise<Next>,
): Next | Promise<Next> {
  return value instanceof Promise ? value.then(next) : next(value);
}

function valueOf(result: SchemaResult<unknown>, what: string, channel: string): unknown {
  if (!result.issues) return result.value;
  throw new ValidationError(what, channel, result.issues);
}
