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

/** A session, and how many pages it reads at the moment. */
interface Member {
  readonly database: Database;
  readonly reader: Reader;
  readonly ready: Promise<void>;
  busy: number;
}

/** Reads pages on several sessions, each opened when all others are busy. */
export class Pool {
  readonly #size: number;
  readonly #dial: Dial;
  #members: Member[] = [];
  #closed = false;

  /**
   * A pool without sessions.
   *
   * @param size The greatest number of sessions.
   * @param dial Opens a session, which starts to connect.
   */
  constructor(size: number, dial: Dial) {
    this.#size = size;
    this.#dial = dial;
  }

  /** Reads a page, on the session that reads the fewest. */
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

  /** Asks each session for a sign of life. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#members.map(({ database }) => database.probe(signal)));
  }

  /** Closes all sessions, and opens no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#members.splice(0).map(({ database }) => database.close()));
  }

  #pick(): Member {
    if (this.#closed) throw closedError();
    // Reads that are under way on a lost session reject; the next one gets another session.
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
