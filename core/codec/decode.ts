/**
 * Decodes a record of the broker into an event.
 *
 * @module
 */

import type { BackendRecord, Payload, Target } from "../backend/contract.ts";
import type { BroadcastEvent } from "../backend/event.ts";
import type { Codec } from "./codec.ts";
import { isEnd } from "./envelope.ts";

/** How payloads become messages. */
export interface DecodeOptions<Message> {
  /** Turns payloads into messages. */
  readonly codec: Codec<Message>;
  /** Told of each payload that cannot be decoded. */
  readonly onMessageError: (channel: string, payload: Payload, error: unknown) => void;
}

/** An event that has no id yet. */
export type Unnamed<Message> = Omit<BroadcastEvent<Message>, "id" | "gap">;

/** Whether a payload ends a channel; patterns go on. */
export function isEndOf(target: Target, payload: Payload): boolean {
  return typeof target === "string" && isEnd(payload);
}

/** What a record has become. */
type Decoded<Message> = Unnamed<Message> | undefined;

/**
 * The event of a record: nothing if it is of another channel than was asked for,
 * or if it cannot be decoded and that was told. A promise only if the codec
 * takes its time.
 */
export function eventOf<Message>(
  { payload, channel: real, timestamp, headers }: BackendRecord,
  target: Target,
  { codec, onMessageError }: DecodeOptions<Message>,
): Decoded<Message> | Promise<Decoded<Message>> {
  const isChannel = typeof target === "string";
  const channel = isChannel ? target : real!;
  if (!isChannel && (!target.matches(channel) || isEnd(payload))) return undefined;
  const succeed = (message: Message) =>
    timestamp === undefined && !headers ? { channel, message } : {
      channel,
      message,
      ...timestamp !== undefined && { timestamp },
      ...headers && { headers },
    };
  const fail = (error: unknown) => void onMessageError(channel, payload, error);
  try {
    const message = codec.decode(payload, channel);
    return message instanceof Promise ? message.then(succeed, fail) : succeed(message);
  } catch (error) {
    return fail(error);
  }
}
