/**
 * Decodes a record of the broker: an event, or the end of a channel.
 *
 * @module
 */

import type { BackendRecord, Payload, Target } from "../backend/contract.ts";
import { isControlChannel } from "../backend/control_channel.ts";
import type { BroadcastEvent } from "../backend/event.ts";
import type { Codec } from "./codec.ts";
import { isWrapped, reasonOfEnd } from "./envelope.ts";

/** Options of `decode()`. */
export interface DecodeOptions<Message> {
  /** The codec of the channel. */
  readonly codec: Codec<Message>;
  /** Called for each payload that cannot be decoded. */
  readonly onMessageError: (channel: string, payload: Payload, error: unknown) => void;
}

/** An event without an id yet. */
export type Unnamed<Message> = Omit<BroadcastEvent<Message>, "id" | "gap"> & {
  /** Distinguishes it from an `End`. */
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
 * codec is asynchronous.
 *
 * It is `undefined` if the channel does not match the target, if the record ends one of a
 * pattern's channels, or if it cannot be decoded, which is reported to `onMessageError`.
 */
export function decode<Message>(
  record: BackendRecord,
  target: Target,
  { codec, onMessageError }: DecodeOptions<Message>,
): Decoded<Message> | Promise<Decoded<Message>> {
  const { payload, channel: real, timestamp, headers } = record;
  const isChannel = typeof target === "string";
  const channel = isChannel ? target : real!;
  if (!isChannel && !target.matches(channel)) return undefined;
  const succeed = (message: Message): Unnamed<Message> =>
    timestamp === undefined && !headers ? { channel, message } : {
      channel,
      message,
      ...timestamp !== undefined && { timestamp },
      ...headers && { headers },
    };
  const fail = (error: unknown) => void onMessageError(channel, payload, error);
  try {
    // Only channels with a log can end: without one, later subscribers could not find the end.
    // Control channels cannot end either.
    if (isOwn(payload, codec) && (record.place || !isChannel) && !isControlChannel(channel)) {
      const end = endOf(payload, channel, codec);
      if (!isChannel) return end instanceof Promise ? end.then(() => undefined, fail) : undefined;
      return end instanceof Promise ? end.catch(fail) : end;
    }
    const message = codec.decode(payload, channel);
    return message instanceof Promise ? message.then(succeed, fail) : succeed(message);
  } catch (error) {
    return fail(error);
  }
}

/** Returns `true` for payloads of the library itself: end marks and sealed payloads. */
function isOwn(payload: Payload, codec: Codec<unknown>): payload is Uint8Array<ArrayBuffer> {
  return typeof payload !== "string" &&
    (reasonOfEnd(payload) !== undefined ||
      codec.unseal !== undefined && isWrapped(payload, "sealed"));
}

function endOf(
  payload: Uint8Array,
  channel: string,
  codec: Codec<unknown>,
): End | Promise<End> {
  const opened = codec.unseal ? codec.unseal(payload, channel) : payload;
  return opened instanceof Promise ? opened.then(readEnd) : readEnd(opened);
}

function readEnd(payload: Uint8Array): End {
  const reason = reasonOfEnd(payload);
  if (reason !== undefined) return { kind: "end", reason };
  throw new Error("Cannot decode payload: the sealed payload is of an unknown kind");
}
