/**
 * The nodes of a Redis Cluster, and the slots that each of them owns.
 *
 * @module
 */

import type { Host } from "../../../core/backend/address.ts";
import { ClosedError, ConnectionError } from "../../../core/backend/errors.ts";
import { unlessAborted } from "../../../core/util/abort.ts";
import { backoff } from "../../../core/util/backoff.ts";
import type { Make, Seeds } from "../clients.ts";
import { Link } from "../link.ts";
import { redirectionOf, slotOf, SLOTS } from "./slots.ts";

/** How often a command is sent elsewhere before that is given up: for some seconds. */
export const REDIRECTIONS = 8;
/** So many at once; then nodes may disagree, and are given time. */
const SWIFT = 2;

/** The connections to one node. */
export interface Node {
  /** Where commands go. */
  readonly commands: Link;
  /** Whether one of them was open and is not any more. */
  readonly lost: boolean;
  /** PING on each. */
  probe(signal: AbortSignal): Promise<void>;
  /** Shuts them. */
  close(): Promise<void>;
}

/** Where a command goes. */
export interface Route<N> {
  /** The node. */
  readonly node: N;
  /** Whether it is asked for what it does not own yet. */
  readonly asking: boolean;
}

/** What a cluster needs to know. */
export interface ClusterOptions<N> {
  /** Makes a client of a node. */
  readonly make: Make;
  /** Where it begins to look. */
  readonly seeds: Seeds;
  /** Opens the connections to a node. */
  readonly open: (host: Host) => N;
}

/** One node for each master; which one a name belongs to is learnt when it is wrong. */
export class Cluster<N extends Node> {
  /** Whether shards have channels of their own, as since Redis 7. */
  sharded = true;
  readonly #options: ClusterOptions<N>;
  readonly #nodes = new Map<string, N>();
  /** For each slot the name of its node. */
  #owners: string[] = [];
  readonly #looking = new Set<Link>();
  readonly #closing = new AbortController();

  /** @param options What it needs to know. */
  constructor(options: ClusterOptions<N>) {
    this.#options = options;
  }

  /** Whether no connection was lost. */
  get connected(): boolean {
    return [...this.#nodes.values()].every(({ lost }) => !lost);
  }

  /** Looks around, and opens every connection that is not open. */
  async connect(): Promise<void> {
    for (const [name, node] of this.#nodes) if (node.lost) await this.#drop(name);
    await this.update();
  }

  /** Looks around: leaves what is no master any more, and opens what has become one. */
  async update(): Promise<void> {
    const { masters, owners } = await this.#look();
    const nodes = [...masters.values()].map((host) => this.#open(host));
    await Promise.all(nodes.map(({ commands }) => commands.ready));
    // Only now: what is published meanwhile finds a node that is open.
    this.#owners = owners;
    for (const name of this.#nodes.keys()) if (!masters.has(name)) await this.#drop(name);
  }

  /** Where a command about a name goes. */
  route(name: string): Route<N> {
    const node = this.#nodes.get(this.#owners[slotOf(name)]!);
    if (!node) throw new ConnectionError("its slot has no node in the cluster");
    return { node, asking: false };
  }

  /**
   * Where it goes instead, once that can be used.
   *
   * @param error What the node has answered.
   * @param attempt How often the command was redirected before.
   * @returns Nothing, if the error does not say, or has said it too often.
   */
  async redirect(
    error: unknown,
    route: Route<N>,
    attempt: number,
  ): Promise<Route<N> | undefined> {
    const { node } = route;
    const redirection = redirectionOf(error);
    if (!redirection || attempt >= REDIRECTIONS) return undefined;
    const { kind, slot, port } = redirection;
    if (attempt >= SWIFT) await backoff(attempt - SWIFT, this.#closing.signal);
    if (kind === "TRYAGAIN") return route;
    const hostname = redirection.hostname || hostOf(node.commands);
    const host = this.#options.seeds.locate({ hostname, port });
    const next = this.#open(host);
    await ready(next);
    if (kind === "ASK") return { node: next, asking: true };
    this.#owners[slot] = nameOf(host);
    return { node: next, asking: false };
  }

  /** Does something at the owner of a name, whoever that turns out to be. */
  async follow<Result>(
    name: string,
    run: (route: Route<N>) => Promise<Result>,
  ): Promise<Result> {
    let route = this.route(name);
    for (let attempt = 0;; attempt++) {
      try {
        await ready(route.node);
        return await run(route);
      } catch (error) {
        const next = await this.redirect(error, route, attempt);
        if (!next) throw error;
        route = next;
      }
    }
  }

  /** PING on each connection; and a master that was deposed in good order does not tell. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#nodes.values()].map((node) => node.probe(signal)));
    await unlessAborted(signal, this.update());
  }

  /** Shuts all sockets. */
  async close(): Promise<void> {
    this.#closing.abort(closedError());
    const closing = [...this.#looking, ...this.#nodes.values()];
    await Promise.all(closing.map((one) => one.close()));
  }

  #open(host: Host): N {
    const name = nameOf(host);
    const known = this.#nodes.get(name);
    // One that is lost stays until the core connects again.
    if (known) return known;
    this.#closing.signal.throwIfAborted();
    const node = this.#options.open(host);
    this.#nodes.set(name, node);
    return node;
  }

  async #drop(name: string): Promise<void> {
    const node = this.#nodes.get(name);
    this.#nodes.delete(name);
    await node?.close();
  }

  /** Asks one after the other, those that are connected first, until one is of a cluster that is well. */
  async #look(): Promise<View> {
    let failure: unknown;
    for (const { commands } of this.#nodes.values()) {
      try {
        return await this.#ask(commands);
      } catch (error) {
        failure = error;
      }
    }
    for (const host of this.#options.seeds.hosts) {
      this.#closing.signal.throwIfAborted();
      const link = new Link(this.#options.make(host));
      this.#looking.add(link);
      try {
        await link.ready;
        return await this.#ask(link);
      } catch (error) {
        failure = error;
      } finally {
        await link.close();
        this.#looking.delete(link);
      }
    }
    throw failure;
  }

  async #ask(link: Link): Promise<View> {
    const { client } = link;
    const [info, ranges, [spublish]] = await Promise.all([
      client.cluster("INFO"),
      client.cluster("SLOTS"),
      client.command("INFO", "SPUBLISH"),
    ]).catch((error) => Promise.reject(link.explain(error))) as [string, Range[], unknown[]];
    if (!/cluster_state:ok/.test(info)) throw new Error("the cluster is down");
    this.sharded = spublish !== null;
    const masters = new Map<string, Host>();
    const owners: string[] = Array(SLOTS).fill("");
    for (const [from, to, [hostname, port]] of ranges) {
      // A node that does not know its own name is the one that was asked.
      const host = this.#options.seeds.locate({ hostname: hostname || hostOf(link), port });
      masters.set(nameOf(host), host);
      owners.fill(nameOf(host), from, to + 1);
    }
    return { masters, owners };
  }
}

/** The cluster as one of its nodes sees it. */
interface View {
  /** By name. */
  readonly masters: ReadonlyMap<string, Host>;
  /** For each slot the name of its master. */
  readonly owners: string[];
}

/** What CLUSTER SLOTS tells of consecutive slots: first their master. */
type Range = [from: number, to: number, master: [hostname: string | null, port: number]];

async function ready({ commands }: Node): Promise<void> {
  try {
    await commands.ready;
  } catch (cause) {
    throw new ConnectionError(`the node ${hostOf(commands)} cannot be reached`, { cause });
  }
}

function nameOf({ hostname, port }: Host): string {
  return `${hostname}:${port}`;
}

function hostOf({ client }: Link): string {
  return client.options.host!;
}

function closedError(): ClosedError {
  return new ClosedError("Cannot use backend: it is closed");
}
