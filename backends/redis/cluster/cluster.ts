/**
 * The nodes of a Redis Cluster, and the slots that each of them owns.
 *
 * @module
 */

import type { Host } from "../../../core/backend/address.ts";
import type { ServerFacts } from "../../../core/backend/contract.ts";
import { ConnectionError, TemporaryError } from "../../../core/backend/errors.ts";
import { unlessAborted } from "../../../core/util/abort.ts";
import { backoff } from "../../../core/util/backoff.ts";
import type { Make, Seeds } from "../clients.ts";
import { closedError, redirectionOf } from "../errors.ts";
import { factsOf } from "../facts.ts";
import { Link } from "../link.ts";
import { slotOf, SLOTS } from "./slots.ts";

/** The number of redirections that a command follows before it fails. They take some seconds. */
export const REDIRECTIONS = 8;
/**
 * The number of redirections without a pause. After that, the nodes may disagree, and get time to
 * agree.
 */
const SWIFT = 2;

/** The connections to one node. */
export interface Node {
  /** The connection for commands. */
  readonly commands: Link;
  /** Whether a connection was lost. */
  readonly lost: boolean;
  /** Number of open connections. */
  readonly connections: number;
  /** Sends PING on each connection. */
  probe(signal: AbortSignal): Promise<void>;
  /** Closes the connections. */
  close(): Promise<void>;
}

/** The route of a command. */
export interface Route<N> {
  /** The node. */
  readonly node: N;
  /** Whether the node is asked about a slot that it does not own yet. */
  readonly asking: boolean;
}

/** Options for a cluster. */
export interface ClusterOptions<N> {
  /** Creates a client of a node. */
  readonly make: Make;
  /** The nodes through which the cluster is found. */
  readonly seeds: Seeds;
  /** Opens the connections to a node. */
  readonly open: (host: Host) => N;
}

/** One node for each master. Redirections show which slots have moved. */
export class Cluster<N extends Node> {
  /** Whether there is sharded pub/sub. Redis has it since version 7. */
  sharded = true;
  readonly #options: ClusterOptions<N>;
  readonly #nodes = new Map<string, N>();
  /** The name of the owning node, for each slot. */
  #owners: string[] = [];
  readonly #asked = new Set<Link>();
  #updating: Promise<void> | undefined;
  readonly #closing = new AbortController();

  /** @param options Options for the cluster. */
  constructor(options: ClusterOptions<N>) {
    this.#options = options;
  }

  /** `false` once a connection was lost. */
  get connected(): boolean {
    return [...this.#nodes.values()].every(({ lost }) => !lost);
  }

  /** Number of open connections to all nodes. */
  get connections(): number {
    return [...this.#nodes.values()].reduce((count, node) => count + node.connections, 0);
  }

  /** Finds the masters, and opens every connection that is not open. */
  async connect(): Promise<void> {
    for (const [name, node] of this.#nodes) if (node.lost) await this.#drop(name);
    await this.update();
  }

  /** Finds the masters. Closes nodes that are no longer masters, and opens new ones. */
  async update(): Promise<void> {
    this.#updating ??= this.#update().finally(() => this.#updating = undefined);
    await this.#updating;
  }

  /**
   * Finds the masters again if a node cannot serve temporarily. The next call goes to its
   * replacement.
   */
  doubt(error: unknown): void {
    if (error instanceof TemporaryError) this.update().catch(() => {});
  }

  async #update(): Promise<void> {
    const { masters, owners } = await this.#find();
    const nodes = [...masters.values()].map((host) => this.#open(host));
    await Promise.all(nodes.map(({ commands }) => commands.ready));
    // Set only now, so that messages that are published meanwhile go to open nodes.
    this.#owners = owners;
    for (const name of this.#nodes.keys()) if (!masters.has(name)) await this.#drop(name);
  }

  /** Whether a node owns the slot of a name, or has no slots at all. */
  owns(node: N, name: string): boolean {
    const [own] = [...this.#nodes].find(([, other]) => other === node) ?? [];
    return this.#owners[slotOf(name)] === own || !this.#owners.includes(own!);
  }

  /** The route of a command for a name. */
  route(name: string): Route<N> {
    const node = this.#nodes.get(this.#owners[slotOf(name)]!);
    if (!node) throw new ConnectionError("its slot has no node in the cluster");
    return { node, asking: false };
  }

  /**
   * The route that a reply redirects to, once its node is open.
   *
   * @param error The reply of the node.
   * @param route The route that the command took.
   * @param attempt The number of earlier redirections of the command.
   * @returns `undefined` if the error is not a redirection, or the command was redirected too
   * often.
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

  /** Runs a function at the node that owns a name, and follows redirections. */
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
        if (!next) {
          this.doubt(error);
          throw error;
        }
        route = next;
      }
    }
  }

  /**
   * Sends PING on each connection. Finds the masters again, since a deposed master does not report
   * it.
   */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#nodes.values()].map((node) => node.probe(signal)));
    await unlessAborted(signal, this.update());
  }

  /** Facts about the first of the masters. */
  async describe(): Promise<ServerFacts> {
    const [node] = this.#nodes.values();
    const { role: _, ...facts } = await factsOf(node!.commands);
    return { ...facts, cluster: `${this.#nodes.size} masters` };
  }

  /** Closes all sockets. */
  async close(): Promise<void> {
    this.#closing.abort(closedError());
    const closing = [...this.#asked, ...this.#nodes.values()];
    await Promise.all(closing.map((one) => one.close()));
  }

  #open(host: Host): N {
    const name = nameOf(host);
    const known = this.#nodes.get(name);
    // A lost node stays until the core connects again.
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

  /**
   * Asks one node after the other, connected ones first, until one reports that the cluster is up.
   */
  async #find(): Promise<View> {
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
      this.#asked.add(link);
      try {
        await link.ready;
        return await this.#ask(link);
      } catch (error) {
        failure = error;
      } finally {
        await link.close();
        this.#asked.delete(link);
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
      // Only the asked node may not know its own name.
      const host = this.#options.seeds.locate({ hostname: hostname || hostOf(link), port });
      masters.set(nameOf(host), host);
      owners.fill(nameOf(host), from, to + 1);
    }
    return { masters, owners };
  }
}

/** The cluster, as one of its nodes sees it. */
interface View {
  /** The masters by name. */
  readonly masters: ReadonlyMap<string, Host>;
  /** The name of the master, for each slot. */
  readonly owners: string[];
}

/** Consecutive slots and their master, as in CLUSTER SLOTS. */
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
