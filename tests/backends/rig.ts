/** A broker behind a proxy, for tests that break connections and servers. */

import type { Broadcast } from "../../mod.ts";
import type { Proxy } from "../services/proxy.ts";
import type { Server } from "../services/server.ts";

/** A broker of one's own, behind a proxy that can cut and stall. */
export class Rig implements AsyncDisposable {
  readonly server: Server;
  readonly proxy: Proxy;
  readonly #scheme: string | undefined;

  /** The scheme is that of the server's URL if none is given. */
  constructor(server: Server, proxy: Proxy, scheme?: string) {
    this.server = server;
    this.proxy = proxy;
    this.#scheme = scheme;
  }

  /** The broker's URL, through the proxy. */
  get url(): string {
    return this.#named(this.proxy.url(this.server.url));
  }

  /** The broker's URL, past the proxy: what somebody else uses. */
  get direct(): string {
    return this.#named(this.server.url);
  }

  #named(url: string): string {
    return this.#scheme ? url.replace(/^[^:]*/, this.#scheme) : url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

/** Resolves once the broadcast is in a state. */
export function state(broadcast: Broadcast, wanted: string): Promise<void> {
  return new Promise((resolve) =>
    broadcast.addEventListener("statechange", ({ state }) => {
      if (state === wanted) resolve();
    })
  );
}
