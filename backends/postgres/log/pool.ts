/**
 * Further sessions that read pages while the first is busy.
 *
 * @module
 */

import type { Page, ReadOptions } from "../../../core/backend/contract.ts";
import { type Database, type DatabaseEvents, readyOf, restoring } from "./database.ts";
import { Reader } from "./reader.ts";

/** One of them, and how many pages it reads. */
interface Member {
  readonly database: Database;
  readonly reader: Reader;
  readonly ready: Promise<void>;
  busy: number;
}

/** Reads pages on several sessions, each opened when all others are busy. */
export class Pool {
  readonly #size: number;
  readonly #dial: (events: DatabaseEvents) => Database;
  #members: Member[] = [];

  /**
   * @param size How many sessions there are at most.
   * @param dial Makes a session that connects.
   */
  constructor(size: number, dial: (events: DatabaseEvents) => Database) {
    this.#size = size;
    this.#dial = dial;
  }

  /** Reads a page, on the session that has the least to do. */
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

  /** Ends all sessions. */
  async close(): Promise<void> {
    await Promise.all(this.#members.splice(0).map(({ database }) => database.close()));
  }

  #pick(): Member {
    // One that is lost stays so: who reads on it is told, and the next one gets another.
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
