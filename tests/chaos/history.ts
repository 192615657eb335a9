/** The history of a run: what was published, what became of it, and what each reader learnt. */

/** A gap as it was told. */
export interface ToldGap {
  readonly cause: string;
  readonly after?: string;
  readonly missed?: number;
}

/** What became of a message. */
export interface Outcome {
  /** Who published it, and its number: `a1 17`. */
  readonly m: string;
  /** Where. */
  readonly c: string;
  readonly kind: "confirmed" | "rejected" | "unknown" | "failed" | "pending";
  /** When it was published, and when its outcome was known, in milliseconds since 1970. */
  readonly from: number;
  readonly to?: number;
  readonly id?: string;
  readonly error?: string;
}

/** What a reader learns, one behind the other. */
export type Item =
  /** It has subscribed: live, behind an event, or with the newest events. */
  | {
    readonly t: "open";
    readonly after?: { readonly m: string; readonly id?: string; readonly isOwn: boolean };
    /** How many of the newest events it has asked for. */
    readonly history?: number;
  }
  | { readonly t: "event"; readonly m: string; readonly id: unknown; readonly gap?: ToldGap }
  /** Its callback was called. */
  | { readonly t: "gap"; readonly gap: ToldGap }
  /** It has left. */
  | { readonly t: "close" }
  /** Its subscription has ended by itself. */
  | { readonly t: "end"; readonly error?: string };

/** One reader of one channel, in one process. */
export interface ReaderHistory {
  readonly process: string;
  readonly channel: string;
  readonly kind: string;
  readonly items: readonly Item[];
  /** How long it took until it had a mark, in milliseconds, if it got one. */
  readonly settled?: number | undefined;
}

/** A page of the past of a channel, as somebody got it in the middle of the run. */
export interface Page {
  readonly process: string;
  readonly channel: string;
  readonly limit: number;
  readonly messages: readonly string[];
}

/** What is known of a process. */
export interface ProcessHistory {
  readonly name: string;
  /** Rejections that nobody handled, and exceptions that nobody caught. */
  readonly unhandled: readonly string[];
  /** What has failed in the process itself. */
  readonly broken: readonly string[];
  /** Messages that came otherwise than they were published. */
  readonly unreadable: readonly string[];
  /** What it said besides. */
  readonly stderr: string;
  /** How long each `disconnect()` took, in milliseconds. */
  readonly disconnects: readonly number[];
  /** Bytes in use when it was connected, and when it had disconnected. */
  readonly heap?: { readonly before: number; readonly after: number } | undefined;
  /** How long it took to end by itself, in milliseconds; not at all, it was killed. */
  readonly ended?: number | undefined;
  /** With which code. */
  readonly code?: number | undefined;
}

/** What is allowed. */
export interface Bounds {
  /** Until every reader has a mark, in milliseconds. */
  readonly settling: number;
  /** For a `disconnect()`, in milliseconds. */
  readonly disconnect: number;
  /** For a process to end by itself, in milliseconds. */
  readonly exit: number;
  /** What the heap may have grown, in bytes. */
  readonly heap: number;
}

/** A time in which confirmed messages may have been lost from the log, and why. */
export interface Grant {
  /** In milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
  /** The documents' words for it. */
  readonly reason: string;
}

/** All that is known of a run. */
export interface History {
  /** Whether there is a log. */
  readonly log: boolean;
  /** Whether all subscribers see one order. */
  readonly total: boolean;
  /** Whether the broker drops what it has no room for, and says nothing. */
  readonly drops: boolean;
  /** Whether a message with an unknown outcome may be stored behind later ones. */
  readonly late: boolean;
  readonly outcomes: readonly Outcome[];
  readonly readers: readonly ReaderHistory[];
  /** What the log of each channel has in the end, oldest first. */
  readonly logs: ReadonlyMap<string, readonly string[]>;
  /** The ids of the same, where a message may have been lost, and be there again under another. */
  readonly ids?: ReadonlyMap<string, readonly string[]>;
  readonly pages: readonly Page[];
  readonly processes: readonly ProcessHistory[];
  readonly grants: readonly Grant[];
  readonly bounds: Bounds;
}

/** Something that must not be. */
export interface Violation {
  readonly kind:
    | "lost"
    | "twice"
    | "disorder"
    | "rejected, and there"
    | "from nowhere"
    | "missed"
    | "page"
    | "id"
    | "outcome"
    | "ended"
    | "not settled"
    | "unreadable"
    | "unhandled"
    | "heap"
    | "disconnect"
    | "exit"
    | "process";
  /** Whose, and what. */
  readonly what: string;
}

/** Who publishes by this name, and the number of the message. */
export function partsOf(m: string): { publisher: string; number: number } {
  const [publisher = "", number] = m.split(" ");
  return { publisher, number: Number(number) };
}
