/**
 * Reads pages of the log, and examines why the row to resume after did not come back.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type {
  BackendRecord,
  Item,
  LogBreak,
  Page,
  ReadOptions,
} from "../../../core/backend/contract.ts";
import { byteLength, headersOf } from "../../../core/backend/headers.ts";
import { Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import { soon } from "../../../core/util/timer.ts";
import { isOfValue } from "../errors.ts";
import { arrayOf, type Row } from "../statement.ts";
import type { Query } from "./database.ts";
import { type Fingerprint, fingerprintOf, placeOf, startOf, TIME } from "./place.ts";
import { END, META, microsOf } from "./parts.ts";

/** The maximum number of reads in a statement, and of rows in a read. */
const READS = 128;
const ROWS = 10_000;
/**
 * The approximate maximum size of the payloads of a statement, and the minimum for each read, in
 * bytes.
 */
const BYTES = 8 * 1024 * 1024;
const LEAST = 64 * 1024;
/** The size of a row without its payload and headers, in bytes. */
const ROW = 64;

/** The text of a bytea depends on a setting of the session, but its hexadecimal digits do not. */
const BYTES_OF = "encode(rows.payload, 'hex')";
const MICROS = microsOf("created");
const SIZE = `octet_length(payload) + coalesce(octet_length(headers::text), 0) + ${ROW}`;

/**
 * The rows after an id, limited in number and size. Includes the row of that id, without its
 * payload.
 */
function rowsAfter(channel: string, after: string, before: string, limit: string): string {
  return `select id, micros, payload, headers from (
    select id, ${MICROS} as micros, case when id > ${after} then payload end as payload, headers,
      sum(case when id > ${after} then ${SIZE} else 0 end) over (
        order by id rows between unbounded preceding and 1 preceding) as bytes
    from broadcaster.log where channel = ${channel}
      and id >= ${after} and id <= greatest(${before} - 1, ${after})
    order by id limit ${limit}
  ) as row where coalesce(bytes, 0) < $1::bigint`;
}

/** Whether rows were removed. A join would read the rows of all channels. */
function trimmed(channel: string): string {
  return `coalesce((select true from broadcaster.trimmed where channel = ${channel}), false)`;
}

/** Several reads at once. */
const FOLLOW =
  `select reads.n::text, meta.epoch, id::text, micros::text, ${BYTES_OF}, headers::text,
    case when after = 0 then ${trimmed("reads.channel")} end::text
  from ${META}, unnest($2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::int[])
    as reads (n, channel, after, before, count)
  left join lateral (
    ${rowsAfter("reads.channel", "reads.after", "reads.before", "reads.count + 1")}
  ) as rows on true`;

/**
 * One read whose own row did not come back, with facts of the same moment: the newest row that the
 * channel ever had, whether the own row is there, whether it is the newest removed one, and whether
 * the id belongs to another row. If rows of the channel have smaller and greater ids, and none was
 * removed so late, the row never existed in this log.
 *
 * It reads from the start if the position cannot be compared with the log any more: see `gapOf()`.
 */
const EXAMINE = `select meta.epoch, head.id::text, head.micros::text, (found is not null)::text,
    is_gone::text, is_replaced::text, rows.id::text, rows.micros::text, ${BYTES_OF},
    rows.headers::text
  from ${META}
  left join lateral (
    select id, ${MICROS} as micros from broadcaster.log
    where channel = $2::text and id < ${END} order by id desc limit 1
  ) as newest on true
  left join lateral (
    select id, ${MICROS} as micros from broadcaster.trimmed where channel = $2::text
  ) as gone on true
  cross join lateral (select case when newest.id >= gone.id or gone.id is null then newest.id
    else gone.id end as id, case when newest.id >= gone.id or gone.id is null then newest.micros
    else gone.micros end as micros offset 0) as head
  cross join lateral (select
    (select ${MICROS} from broadcaster.log where channel = $2::text and id = $3::bigint) as found,
    exists (select from broadcaster.log where channel = $2::text and id < $3::bigint) as has_older
    offset 0) as state
  cross join lateral (select found is null and coalesce(gone.id = $3::bigint
    and ($7::bigint < 0 or gone.micros ${TIME} = $7::bigint), false) as is_gone offset 0) as removal
  cross join lateral (select case
    when found is not null then $7::bigint >= 0 and found ${TIME} <> $7::bigint
    when is_gone or gone.id > $3::bigint then false
    else coalesce(gone.id = $3::bigint, false) or has_older and newest.id > $3::bigint
    end as is_replaced offset 0) as verdict
  cross join lateral (select case when $6::text in ('', meta.epoch) and not is_replaced
    and $3::bigint <= head.id then $3::bigint else 0 end as start offset 0) as place
  left join lateral (
    ${rowsAfter("$2::text", "place.start", "$4::bigint", "$5::int + 1")}
  ) as rows on true`;

/** The newest rows before an id, and the previous row without its payload. */
const BACK = `select meta.epoch, id::text, micros::text, ${BYTES_OF}, headers::text from ${META}
  left join lateral (
    select id, micros, case when coalesce(bytes, 0) < $1::bigint and n <= $4::int then payload end
      as payload, headers
    from (
      select id, ${MICROS} as micros, payload, headers, row_number() over newest_first as n,
        sum(${SIZE}) over (
          newest_first rows between unbounded preceding and 1 preceding) as bytes,
        sum(${SIZE}) over (
          newest_first rows between unbounded preceding and 2 preceding) as bytes_but_one
      from broadcaster.log where channel = $2::text and id < $3::bigint
      window newest_first as (order by id desc) order by id desc limit $4::int + 1
    ) as row where coalesce(bytes_but_one, 0) < $1::bigint
  ) as rows on $5::text in ('', meta.epoch)`;

/** A page, and whether it is incomplete. */
export interface Portion extends Page {
  /** Whether more rows follow that did not fit. The page is then shorter than the limit. */
  readonly cut: boolean;
}

/** Reads pages. Requests that come together share a statement. */
export class Reader {
  readonly #query: Query;
  readonly #waiting: Follow[] = [];
  #running = false;

  /** @param query Sends statements. */
  constructor(query: Query) {
    this.#query = query;
  }

  /** Reads a page of a channel. */
  read(channel: string, { after, before, limit }: ReadOptions): Promise<Portion> {
    const count = Math.min(limit, ROWS);
    if (!after) return this.#back(channel, before, count);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ channel, after, before, count, resolve, reject });
      if (this.#running) return;
      this.#running = true;
      soon(() => inBackground(this.#run()));
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const reads = this.#waiting.splice(0, READS);
      await this.#follow(reads).catch((error) => {
        for (const { reject } of reads) reject(error);
      });
    }
    this.#running = false;
  }

  async #follow(reads: readonly Follow[]): Promise<void> {
    const budget = Math.max(LEAST, Math.floor(BYTES / reads.length));
    const column = (value: (read: Follow, n: number) => string | number) =>
      arrayOf(reads.map((read, n) => String(value(read, n))));
    let found: readonly Row[];
    try {
      found = await this.#query(FOLLOW, [
        String(budget),
        column((_, n) => n),
        column(({ channel }) => channel),
        column(({ after }) => after.newest?.at ?? 0),
        column(({ before }) => before?.newest?.at ?? END),
        column(({ count }) => count),
      ]);
    } catch (error) {
      // One channel's unreadable row must not stop the others.
      if (isOfValue(error) && reads.length > 1) {
        for (const read of reads) await this.#follow([read]);
      } else for (const { reject } of reads) reject(error);
      return;
    }
    const groups: Row[][] = reads.map(() => []);
    for (const row of found) groups[Number(row[0])]!.push(row.slice(1));
    reads.forEach((read, n) => {
      const portion = this.#continued(read, groups[n]!, budget);
      read.resolve(portion ?? this.#examine(read));
    });
  }

  /** The page, if its own row came back. */
  #continued(read: Follow, rows: readonly Row[], budget: number): Portion | undefined {
    const { after, before } = read;
    const { at, epoch, time } = partsOf(after);
    const current = String(rows[0]?.[0]);
    if (epoch !== "" && epoch !== current || isForeign(before, current)) return undefined;
    const found = rows.map((row) => row.slice(1));
    const items: Item[] = recordsOf(current, found).slice(0, read.count);
    if (at === 0) {
      if (items.length > 0 && rows[0]![5] === "true") items.unshift(breakOf(read, current, "some"));
    } else {
      const own = rows.find(([, id]) => Number(id) === at);
      if (!own) return undefined;
      const place = placeOf(current, ...idOf(own.slice(1)));
      if (time !== undefined && time !== fingerprintOf(place).time) return undefined;
    }
    return { from: after, items, cut: isCut(found, read, budget) };
  }

  /** The page. A break comes first if its own row did not come back. */
  async #examine(read: Follow): Promise<Portion> {
    const { channel, after, before, count } = read;
    const { at, epoch, time } = partsOf(after);
    const rows = await this.#query(EXAMINE, [
      String(BYTES),
      channel,
      String(at),
      String(before?.newest?.at ?? END),
      String(count),
      epoch,
      String(time ?? -1),
    ]);
    const [current, id, micros, ...facts] = rows[0] as readonly string[];
    const [isFound, isGone, isReplaced] = facts.map((fact) => fact === "true");
    const found = isForeign(before, current!) ? [] : rows.map((row) => row.slice(6));
    const items: Item[] = recordsOf(current!, found).slice(0, count);
    const cut = isCut(found, read, BYTES);
    const isRecreated = epoch !== "" && epoch !== current;
    if (isRecreated || isReplaced || at > 0 && !isFound && !isGone) {
      const head = id ? placeOf(current!, id, micros!) : startOf(current!).newest!;
      // Without a row, the position must still identify the log.
      if (items.length === 0 && !before) items.push({ kind: "skip", place: head });
      const found = breakOf(read, current!, "unknown");
      items.unshift({ ...found, ...isReplaced && { replaced: true }, head });
    }
    return { from: after, items, cut };
  }

  async #back(channel: string, before: Position | undefined, count: number): Promise<Portion> {
    const place = before?.newest;
    const rows = await this.#query(BACK, [
      String(BYTES),
      channel,
      before ? String(place?.at ?? 0) : END,
      String(count),
      place ? fingerprintOf(place).epoch : "",
    ]);
    const epoch = String(rows[0]?.[0]);
    const own = rows.map((row) => row.slice(1));
    const earlier = own.find(([id, , payload]) => id !== null && payload === null);
    return {
      from: earlier ? Position.of(placeOf(epoch, ...idOf(earlier))) : startOf(epoch),
      items: recordsOf(epoch, own),
      cut: false,
    };
  }
}

/** A read after a position, which waits for its statement. */
interface Follow {
  readonly channel: string;
  readonly after: Position;
  readonly before: Position | undefined;
  readonly count: number;
  readonly resolve: (portion: Portion | Promise<Portion>) => void;
  readonly reject: (error: unknown) => void;
}

/** The id and the fingerprint of a position; 0 is before everything. */
function partsOf({ newest }: Position): Fingerprint & { readonly at: number } {
  return {
    at: newest?.at ?? 0,
    ...newest ? fingerprintOf(newest) : { epoch: "", time: undefined },
  };
}

/** The break for a read. The ids do not show the number of removed rows, since they have holes. */
function breakOf({ after }: Follow, current: string, removed: "some" | "unknown"): LogBreak {
  const { epoch } = partsOf(after);
  return { kind: "break", ...epoch !== "" && { recreated: epoch !== current }, removed };
}

/** Whether a position belongs to a deleted log. This log has nothing before it. */
function isForeign(before: Position | undefined, epoch: string): boolean {
  const { epoch: own } = before ? partsOf(before) : { epoch: "" };
  return own !== "" && own !== epoch;
}

/** Whether rows are missing after these because of the size limit. */
function isCut(rows: readonly Row[], { count }: Follow, budget: number): boolean {
  const sizes = rows.flatMap(([, , payload, headers]) =>
    payload === null
      ? []
      : [payload!.length / 2 + ROW + (headers ? byteLength(headers as string) : 0)]
  );
  return sizes.length < count && sizes.reduce((sum, size) => sum + size, 0) >= budget;
}

/** The rows with a payload, oldest first. */
function recordsOf(epoch: string, rows: readonly Row[]): BackendRecord[] {
  return rows.filter(([, , payload]) => payload !== null)
    .map((row) => ({
      kind: "record" as const,
      payload: bytesOf(row[2]!),
      place: placeOf(epoch, ...idOf(row)),
      timestamp: Number(row[1]) / 1_000,
      headers: row[3] ? headersOf(Object.entries(JSON.parse(row[3] as string))) : undefined,
    }))
    .sort((one, other) => one.place.at - other.place.at);
}

/** Copied, since small buffers of the runtime share memory. */
function bytesOf(digits: string): Uint8Array {
  return new Uint8Array(Buffer.from(digits, "hex"));
}

function idOf([id, micros]: Row): readonly [string, string] {
  return [String(id), String(micros)];
}
