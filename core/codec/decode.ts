/**
 * Decodes a record of the broker: an event, or the end of a channel.
 *
 * @module
 */

import type { BackendRecord, Payload, Target } from "../backend/contract.ts";
import { isControlChannel } from "../backend/control_channel.ts";
import type { BroadcastEvent } from "../backend/event.ts";
import { onAbort } from "../util/abort.ts";
import { isThenable } from "../util/realm.ts";
import type { Codec } from "./codec.ts";
import { codecLimit, lateCodecError, SHORTEST_LIMIT } from "./encodings.ts";
import { isWrapped, reasonOfEnd } from "./envelope.ts";
import { checkSize } from "./payload_check.ts";

/** Options of `decode()`. */
export interface DecodeOptions<Message> {
  /** The codec of the channel. */
  readonly codec: Codec<Message>;
  /** The maximum size of a payload in bytes. */
  readonly maxMessage: number;
  /** The time that the codec may take, in milliseconds; at least a second. */
  readonly timeout: number;
  /** When this signal aborts, decoding that takes another second rejects with its reason. */
  readonly closing: AbortSignal;
  /** Called for each payload that cannot be decoded. */
  readonly onMessageError: (channel: string, payload: Payload, error: unknown) => void;
}

/** An event whose id is still to be set. */
export type Unnamed<Message> = Omit<BroadcastEvent<Message>, "id" | "gap"> & {
  id?: string;
  /** Distinguishes the event from an `End`. */
  readonly kind?: undefined;
};

/** The end of a channel. */
export interface End {
  /** The tag of this result. */
  readonly kind: "end";
  /** The reason given by the caller who ended the channel, or an empty string. */
  readonly reason: string;
}

/** The result of decoding a record. */
export type Decoded<Message> = Unnamed<Message> | End | undefined;

/**
 * Decodes a record to an event or to the end of the channel. The result is a promise only if the
 * codec is asynchronous. That promise settles in time, whatever the codec does.
 *
 * The result is `undefined` if the channel does not match the target, if the record ends one
 * channel of a pattern, or if decoding fails, which is reported to `onMessageError`.
 */
export function decode<Message>(
  record: BackendRecord,
  target: Target,
  options: DecodeOptions<Message>,
): Decoded<Message> | Promise<Decoded<Message>> {
  const { codec, maxMessage } = options;
  const { payload } = record;
  const isChannel = typeof target === "string";
  const channel = isChannel ? target : record.channel!;
  if (!isChannel && !target.matches(channel)) return undefined;
  try {
    checkSize("decode payload", payload, maxMessage);
    // Only channels with a log can end: without one, later subscribers could not find the end.
    // Control channels cannot end either.
    if (isOwn(payload, codec) && (record.place || !isChannel) && !isControlChannel(channel)) {
      const opened = codec.unseal ? codec.unseal(payload, channel) : payload;
      const end = isChannel ? endOf : checkEnd;
      return isThenable(opened) ? settled(opened, record, channel, options, end) : end(opened);
    }
    const message = codec.decode(payload, channel);
    return isThenable(message)
      ? settled(message, record, channel, options, eventOf<Message>)
      : eventOf(message, record, channel);
  } catch (error) {
    return void options.onMessageError(channel, payload, error);
  }
}

/**
 * Creates the event with only the properties that it has. An object spread takes ten times as long.
 */
function eventOf<Message>(
  message: Message,
  { timestamp, headers }: BackendRecord,
  channel: string,
): Unnamed<Message> {
  const id = "";
  if (headers) {
    return timestamp === undefined
      ? { channel, message, id, headers }
      : { channel, message, id, timestamp, headers };
  }
  return timestamp === undefined ? { channel, message, id } : { channel, message, id, timestamp };
}

/**
 * Settles like a promise of the codec, but fails if that takes too long. On closing, the promise
 * gets one more second, so that nothing is pending once everything is closed.
 */
function settled<Value, Result>(
  promise: PromiseLike<Value>,
  record: BackendRecord,
  channel: string,
  { closing, timeout, onMessageError }: DecodeOptions<unknown>,
  succeed: (value: Value, record: BackendRecord, channel: string) => Result,
): Promise<Result | undefined> {
  return new Promise((resolve, reject) => {
    const limit = codecLimit(timeout);
    const fail = (error: unknown) => void onMessageError(channel, record.payload, error);
    let isSettled = false;
    /** Only the first call settles. */
    const settle = (outcome: () => void) => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      forget();
      outcome();
    };
    const reportError = (error: unknown) => settle(() => resolve(fail(error)));
    const hurry = () => {
      clearTimeout(timer);
      timer = setTimeout(() => settle(() => reject(closing.reason)), SHORTEST_LIMIT);
    };
    let timer = setTimeout(() => reportError(lateCodecError("decode payload", limit)), limit);
    const forget = onAbort(closing, hurry);
    if (closing.aborted) hurry();
    Promise.resolve(promise).then((value) =>
      settle(() => {
        try {
          resolve(succeed(value, record, channel));
        } catch (error) {
          resolve(fail(error));
        }
      }), reportError);
  });
}

/** Returns `true` for payloads of the library itself: end marks and sealed payloads. */
function isOwn(payload: Payload, codec: Codec<unknown>): payload is Uint8Array<ArrayBuffer> {
  return typeof payload !== "string" &&
    (reasonOfEnd(payload) !== undefined ||
      codec.unseal !== undefined && isWrapped(payload, "sealed"));
}

function endOf(payload: Uint8Array): End {
  const reason = reasonOfEnd(payload);
  if (reason !== undefined) return { kind: "end", reason };
  throw new Error("Cannot decode payload: the sealed payload is of an unknown kind");
}

/** A pattern continues when one of its channels ends. */
function checkEnd(payload: Uint8Array): undefined {
  endOf(payload);
}
