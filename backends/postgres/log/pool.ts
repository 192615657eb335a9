/**
 * The pool: additional sessions that read pages.
 *
 * @module
 */

import type { Page, ReadOptions } from "../../../core/backend/contract.ts";
import { closedError } from "../errors.ts";
import { type Database, readyOf, restoring } from "./database.ts";
import { Reader } from "./reader.ts";
import type { Dial } from "./sessions.ts";

/** A session, and the number of pages that it is reading. */
interface Member {
  readonly database: Database;
  readonly reader: Reader;
  readonly ready: Promise<void>;
  busy: number;
}

/** Reads pages on several sessions. Each is opened when all others are busy. */
export class Pool {
  readonly #size: number;
  readonly #dial: Dial;
  #members: Member[] = [];
  /** Sessions that are not closed yet. */
  readonly #leaving = new Set<Promise<void>>();
  #closed = false;

  /**
   * Creates a pool without sessions.
   *
   * @param size The maximum number of sessions.
   * @param dial Creates a session, which starts to connect.
   */
  constructor(size: number, dial: Dial) {
    this.#size = size;
    this.#dial = dial;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#members.filter(({ database }) => !database.lost).length;
  }

  /** Reads a page, on the session with the fewest reads. */
  async read(channel: string, options: ReadOptions): Promise<Page> {
    const member = this.#pick();
    member.busy++;
    try {
      await member.ready;
      return await member.reader.read(channel, options);
    } finally {
      member.busy--;
    }
  }

  /** Checks that the server answers on each session. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#members.map(({ database }) => database.probe(signal)));
  }

  /** Closes all sessions after their last statement, since their server is useless. */
  renew(error: Error): void {
    for (const { database } of this.#members) database.end(error);
  }

  /** Closes all sessions, and opens no more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { database } of this.#members.splice(0)) this.#leave(database);
    await Promise.all(this.#leaving);
  }

  #leave(database: Database): void {
    const leaving = database.close().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  #pick(): Member {
    if (this.#closed) throw closedError();
    // Pending reads on a lost session reject. The next read gets another session.
    for (const { database } of this.#members) if (database.lost) this.#leave(database);
    this.#members = this.#members.filter(({ database }) => !database.lost);
    const idlest = this.#members.reduce<Member | undefined>(
      (best, member) => best && best.busy <= member.busy ? best : member,
      undefined,
    );
    if (idlest && (idlest.busy === 0 || this.#members.length >= this.#size)) return idlest;
    const member = this.#open();
    this.#members.push(member);
    return member;
  }

  #open(): Member {
    const database = this.#dial({ onNotify: () => {}, onLost: () => {} });
    const reader = new Reader(restoring(database));
    return { database, reader, ready: readyOf(database), busy: 0 };
  }
}
