/**
 * The verdict on a run: holds what was published against what was delivered and told. Nothing is
 * asked here, all is computed, so that the verdict itself can be tested.
 */

import {
  type History,
  type Item,
  type Outcome,
  type Page,
  partsOf,
  type ProcessHistory,
  type ReaderHistory,
  type ToldGap,
  type Violation,
} from "./history.ts";

/** What is said of one and the same kind, at most: the first ones tell what it is. */
const EXAMPLES = 5;

/** Finds all that must not be. */
export function reconcile(history: History): Violation[] {
  const court = new Court(history);
  court.judgeOutcomes();
  if (history.log) {
    court.judgeLogs();
    for (const reader of history.readers) court.judgeLogReader(reader);
    for (const page of history.pages) court.judgePage(page);
  } else {
    for (const reader of history.readers) court.judgeLiveReader(reader);
    court.compareTails();
    if (history.total) court.judgeOrder();
  }
  for (const reader of history.readers) court.judgeReader(reader);
  for (const process of history.processes) court.judgeProcess(process);
  return court.violations;
}

/** How many gaps readers were told of, however they learnt of them. */
export function gapsOf({ items }: ReaderHistory): number {
  let gaps = 0;
  let isTold = false;
  for (const item of items) {
    if (item.t === "gap") gaps++;
    else if (item.t === "event" && item.gap && !isTold) gaps++;
    isTold = item.t === "gap";
  }
  return gaps;
}

/** An event, with all that was told since the event before. */
interface Place {
  readonly m: string;
  readonly gap: ToldGap | undefined;
  /** Whether there was any gap before it, by whatever way it was told. */
  readonly isTold: boolean;
}

class Court {
  readonly violations: Violation[] = [];
  readonly #history: History;
  readonly #outcomes: ReadonlyMap<string, Outcome>;
  /** What was lost from the logs, and may be. */
  readonly #forgotten = new Set<string>();
  readonly #counts = new Map<string, number>();

  constructor(history: History) {
    this.#history = history;
    this.#outcomes = new Map(history.outcomes.map((outcome) => [outcome.m, outcome]));
  }

  judgeOutcomes(): void {
    for (const { m, kind, error } of this.#history.outcomes) {
      if (kind === "pending") this.#find("outcome", "publisher", `${m} was never settled`);
      if (kind === "failed") this.#find("outcome", "publisher", `${m} failed otherwise: ${error}`);
    }
  }

  /** What the logs have: all that was confirmed, once, in its order, and nothing else. */
  judgeLogs(): void {
    const { logs, outcomes, grants } = this.#history;
    const channels = new Set(outcomes.map(({ c }) => c));
    for (const channel of channels) {
      const log = logs.get(channel);
      if (!log) {
        this.#find("process", "publisher", `the log of "${channel}" could not be read`);
        continue;
      }
      this.#judgeSequence(`the log of "${channel}"`, log);
      const stored = new Set(log);
      for (const { m, c, kind, from, to = from } of outcomes) {
        if (c !== channel || kind !== "confirmed" || stored.has(m)) continue;
        if (grants.some((grant) => from <= grant.to && grant.from <= to)) this.#forgotten.add(m);
        else this.#find("lost", `the log of "${channel}"`, `${m} was confirmed, and is not there`);
      }
    }
  }

  /** A reader of a log gets all of it, from where it begins, or is told. */
  judgeLogReader(reader: ReaderHistory): void {
    const log = this.#history.logs.get(reader.channel);
    if (!log) return;
    const name = nameOf(reader);
    const places = new Map(log.map((m, index) => [m, index]));
    const ids = this.#history.ids?.get(reader.channel);
    // What was lost, and was published again under its key, is another event.
    const placeOf = (m: string, id: unknown) => {
      const place = places.get(m);
      if (place === undefined || !ids || id === undefined) return place;
      return ids[place] === id ? place : undefined;
    };
    /** Where the next event lies, if that is known. */
    let next: number | undefined = 0;
    let isTold = false;
    let hasLeft = true;
    /** Whether it has seen what the log has lost since. */
    let hasSeenLost = false;
    /** Whether it was told that the log was set back: where some of it may be, all comes again. */
    const isBack = ({ gap }: { readonly gap?: ToldGap }) =>
      this.#history.grants.length > 0 && (gap?.cause === "rollback" || gap?.cause === "reset");
    for (const item of reader.items) {
      if (item.t === "gap") isTold = true;
      if (item.t === "close" || item.t === "end") hasLeft = true;
      if (item.t === "open") {
        hasLeft = false;
        if (item.history) {
          // It begins anew, wherever that is, and goes on from there.
          next = undefined;
          hasSeenLost = isTold = false;
        }
        if (!item.after) continue;
        const place = placeOf(item.after.m, item.after.id);
        // What it resumes behind is lost: it must be told, and may begin anywhere.
        if (place === undefined) hasSeenLost = true;
        else {
          next = place + 1;
          hasSeenLost = false;
        }
        // Another's id says what another one has seen, and been told.
        if (!item.after.isOwn) isTold = false;
      }
      if (item.t !== "event") continue;
      const { m, id, gap } = item;
      if (gap) isTold = true;
      const place = placeOf(m, id);
      if (place === undefined) {
        if (!places.has(m) && !this.#maybeForgotten(m)) {
          this.#find("from nowhere", name, `${m} was delivered, and the log has it not`);
        }
        hasSeenLost = true;
        isTold = false;
        continue;
      }
      next ??= place;
      if (hasSeenLost && !isTold) {
        this.#find("lost", name, `what it had seen before ${m} is gone, and no gap was told`);
      } else if (place < next && !hasSeenLost && !isBack(item)) {
        this.#find("twice", name, `${m} came behind ${log[next - 1]}`);
      } else if (place > next && !isTold) {
        const count = place - next;
        this.#find("lost", name, `${count} from ${log[next]} on, before ${m}, and no gap was told`);
      }
      const missed = place - next;
      if (gap?.missed !== undefined && !hasSeenLost && gap.missed !== missed) {
        this.#find("missed", name, `${gap.missed} were told before ${m}, it was ${missed}`);
      }
      next = place + 1;
      isTold = hasSeenLost = false;
    }
    if (hasLeft) return;
    const mark = log.findIndex(isMark);
    if (next !== undefined && mark >= next && !isTold) {
      this.#find("lost", name, `${mark + 1 - next} from ${log[next]} on, at the end`);
    }
  }

  /** A page is a piece of the log, without a hole. */
  judgePage({ process, channel, limit, messages }: Page): void {
    const log = this.#history.logs.get(channel);
    if (!log) return;
    const name = `a page of "${channel}" in ${process}`;
    if (messages.length > limit) {
      this.#find("page", name, `${messages.length} events came, of ${limit}`);
    }
    const [first] = messages;
    if (first === undefined) return;
    const start = log.indexOf(first);
    // What it begins with may have been lost since.
    if (start < 0 && this.#maybeForgotten(first)) return;
    messages.forEach((m, index) => {
      if (log[start + index] === m || this.#maybeForgotten(m)) return;
      this.#find("page", name, `it has ${m}, where the log has ${log[start + index]}`);
    });
  }

  /** Without a log a reader may miss what it likes, if only it is told. */
  judgeLiveReader(reader: ReaderHistory): void {
    const name = nameOf(reader);
    const places = placesOf(reader.items);
    this.#judgeSequence(name, places.map(({ m }) => m));
    const delivered = new Set(places.map(({ m }) => m));
    /** For each publisher what was delivered of it: number and place. */
    const heard = new Map<string, { number: number; index: number }[]>();
    places.forEach(({ m }, index) => {
      const { publisher, number } = partsOf(m);
      if (!heard.has(publisher)) heard.set(publisher, []);
      heard.get(publisher)!.push({ number, index });
    });
    /** The places with gaps; what is told last lies behind all events. */
    const gaps = places.flatMap(({ isTold }, index) => isTold ? [index] : []);
    if (isToldAtEnd(reader.items)) gaps.push(places.length);
    const least = new Map<number, number>();
    const most = new Map<number, number>();
    for (const { m, c, kind, error } of this.#history.outcomes) {
      if (c !== reader.channel || delivered.has(m)) continue;
      // What was refused was sent, and has a number; what waited in vain has none.
      if (kind === "rejected" && !error?.startsWith("RefusedError")) continue;
      const { publisher, number } = partsOf(m);
      const own = heard.get(publisher) ?? [];
      const before = own.findLast((one) => one.number < number)?.index ?? -1;
      const behind = own.find((one) => one.number > number)?.index ?? places.length;
      const candidates = gaps.filter((index) => index > before && index <= behind);
      // By its number a loss is known if one before and one behind it have come of its publisher.
      const mayBeUnsaid = this.#history.drops && (before === -1 || behind === places.length);
      // Marks are published until all have one; the last may come too late to be read.
      if (candidates.length === 0 && kind === "confirmed" && !isMark(m) && !mayBeUnsaid) {
        const around = `${places[before]?.m ?? "the beginning"} and ${
          places[behind]?.m ?? "the end"
        }`;
        this.#find("lost", name, `${m}, between ${around}, and no gap was told`);
      }
      for (const index of candidates) most.set(index, (most.get(index) ?? 0) + 1);
      if (candidates.length === 1 && kind === "confirmed" && !mayBeUnsaid) {
        least.set(candidates[0]!, (least.get(candidates[0]!) ?? 0) + 1);
      }
    }
    places.forEach(({ m, gap }, index) => {
      if (gap?.missed === undefined) return;
      const [low, high] = [least.get(index) ?? 0, most.get(index) ?? 0];
      if (gap.missed >= low && gap.missed <= high) return;
      const bounds = low === high ? `${low}` : `between ${low} and ${high}`;
      this.#find("missed", name, `${gap.missed} were told before ${m}, it was ${bounds}`);
    });
  }

  /**
   * The readers of one process hear one tail. So what the slow one is told that it missed is
   * exactly what the fast one got there, where that one had no gap itself.
   */
  compareTails(): void {
    const { readers } = this.#history;
    for (const fast of readers.filter(({ kind }) => kind === "fast")) {
      const heard = placesOf(fast.items);
      const indexes = new Map(heard.map(({ m }, index) => [m, index]));
      for (const reader of readers) {
        if (reader === fast || reader.process !== fast.process) continue;
        if (reader.channel !== fast.channel) continue;
        const places = placesOf(reader.items);
        places.forEach(({ m, gap }, index) => {
          if (gap?.missed === undefined || index === 0) return;
          const [from, to] = [indexes.get(places[index - 1]!.m), indexes.get(m)];
          if (from === undefined || to === undefined) return;
          if (heard.slice(from + 1, to + 1).some(({ isTold }) => isTold)) return;
          const missed = to - from - 1;
          if (missed === gap.missed) return;
          const what = `${gap.missed} were told before ${m}, the fast reader had ${missed}`;
          this.#find("missed", nameOf(reader), what);
        });
      }
    }
  }

  /** Where there is one order, no two readers have two messages the other way round. */
  judgeOrder(): void {
    const { readers } = this.#history;
    for (const channel of new Set(readers.map((reader) => reader.channel))) {
      const [first, ...others] = readers.filter((reader) => reader.channel === channel);
      const order = new Map(placesOf(first!.items).map(({ m }, index) => [m, index]));
      for (const reader of others) {
        let last: string | undefined;
        for (const { m } of placesOf(reader.items)) {
          const place = order.get(m);
          if (place === undefined) continue;
          if (last !== undefined && place < order.get(last)!) {
            const what = `${m} came behind ${last}, and before it to the ${nameOf(first!)}`;
            this.#find("disorder", nameOf(reader), what);
          }
          last = m;
        }
      }
    }
  }

  /** What holds for every reader. */
  judgeReader(reader: ReaderHistory): void {
    const name = nameOf(reader);
    const { settling } = this.#history.bounds;
    for (const item of reader.items) {
      if (item.t === "end") {
        this.#find("ended", name, `by itself: ${item.error ?? "without an error"}`);
      }
      if (item.t !== "event") continue;
      const { id, m } = item;
      if (typeof id !== "string" || !/^[\w.~-]{1,1024}$/.test(id)) {
        this.#find("id", name, `${m} has the id ${JSON.stringify(id)}`);
      }
      const outcome = this.#outcomes.get(m);
      if (!outcome || outcome.c !== reader.channel) {
        this.#find("from nowhere", name, `${m} was not published there`);
      } else if (outcome.kind === "rejected") {
        this.#find("rejected, and there", name, `${m}: ${outcome.error}`);
      }
    }
    if (reader.settled === undefined) {
      this.#find("not settled", name, `no mark has arrived within ${settling} ms`);
    } else if (reader.settled > settling) {
      this.#find("not settled", name, `the mark came after ${reader.settled} ms`);
    }
  }

  judgeProcess(process: ProcessHistory): void {
    const { bounds } = this.#history;
    const { name, heap, ended, code } = process;
    for (const error of process.unhandled) this.#find("unhandled", name, error);
    for (const error of process.broken) this.#find("process", name, error);
    for (const error of process.unreadable) this.#find("unreadable", name, error);
    if (process.stderr) this.#find("process", name, `it said: ${process.stderr}`);
    for (const ms of process.disconnects) {
      if (ms > bounds.disconnect) this.#find("disconnect", name, `it took ${ms} ms`);
    }
    if (!heap) this.#find("process", name, "it did not come to its end");
    else if (heap.after - heap.before > bounds.heap) {
      const grown = ((heap.after - heap.before) / 2 ** 20).toFixed(1);
      this.#find("heap", name, `it has grown by ${grown} MiB`);
    }
    if (ended === undefined) {
      this.#find("exit", name, "it did not end by itself, and was killed");
    } else if (ended > bounds.exit) this.#find("exit", name, `it took ${ended} ms`);
    else if (code !== 0) this.#find("exit", name, `its code was ${code}`);
  }

  /** Nothing twice, and what one publisher published in its order. */
  #judgeSequence(name: string, sequence: readonly string[]): void {
    const seen = new Set<string>();
    const last = new Map<string, number>();
    for (const m of sequence) {
      if (seen.has(m)) {
        this.#find("twice", name, m);
        continue;
      }
      seen.add(m);
      const { publisher, number } = partsOf(m);
      const before = last.get(publisher) ?? 0;
      const outcome = this.#outcomes.get(m);
      if (number < before && !(this.#history.late && outcome?.kind === "unknown")) {
        this.#find("disorder", name, `${m} came behind ${publisher} ${before}`);
      }
      last.set(publisher, Math.max(number, before));
      if (!this.#history.log) continue;
      if (outcome?.kind === "rejected") {
        this.#find("rejected, and there", name, `${m}: ${outcome.error}`);
      } else if (!outcome) this.#find("from nowhere", name, m);
    }
  }

  /** Whether the log may have had it: it was confirmed and forgotten, or its outcome is unknown. */
  #maybeForgotten(m: string): boolean {
    const { grants } = this.#history;
    if (this.#forgotten.has(m)) return true;
    const outcome = this.#outcomes.get(m);
    return outcome?.kind === "unknown" &&
      grants.some(({ from, to }) => outcome.from <= to && from <= (outcome.to ?? outcome.from));
  }

  #find(kind: Violation["kind"], name: string, what: string): void {
    const key = `${kind} ${name}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    if (count <= EXAMPLES) this.violations.push({ kind, what: `${name}: ${what}` });
  }
}

function nameOf({ process, kind, channel }: ReaderHistory): string {
  return `${kind} reader of "${channel}" in ${process}`;
}

/** The events, each with what was told since the one before. */
function placesOf(items: readonly Item[]): Place[] {
  const places: Place[] = [];
  let isTold = false;
  for (const item of items) {
    if (item.t === "gap") isTold = true;
    if (item.t !== "event") continue;
    const { m, gap } = item;
    places.push({ m, gap, isTold: isTold || gap !== undefined });
    isTold = false;
  }
  return places;
}

/** Whether a gap was told behind the last event. */
function isToldAtEnd(items: readonly Item[]): boolean {
  const gap = items.findLastIndex(({ t }) => t === "gap");
  return gap > items.findLastIndex(({ t }) => t === "event");
}

function isMark(m: string): boolean {
  return m.startsWith("z");
}
