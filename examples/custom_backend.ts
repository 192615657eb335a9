// deno test -A examples/custom_backend.ts

/** A backend of one's own, that passes the suite which all of ours pass. */

import type {
  Backend,
  BackendRecord,
  Payload,
  Tail,
  Target,
} from "@broadcaster/broadcaster/backend";
import { conformance } from "@broadcaster/broadcaster/conformance";

/** The broker. Yours is on the network; this one is an object that all backends share. */
const broker = new EventTarget();

/** Drives the broker. The core encodes, fans out, reconnects and counts. */
export class CustomBackend implements Backend {
  readonly name = "custom";
  readonly address = "custom://";
  /** No log and no patterns: what a backend does not name is refused at the call. */
  readonly features = { crossProcess: true, binary: true };

  /** Resolves once the broker has accepted. */
  publish(channel: string, payloads: readonly Payload[]): Promise<void> {
    for (const detail of payloads) broker.dispatchEvent(new CustomEvent(channel, { detail }));
    return Promise.resolve();
  }

  /** Resolves once the broker has confirmed: what is published from then on arrives. */
  tail(target: Target): Promise<Tail> {
    const channel = String(target);
    const leave = new AbortController();
    const records = new ReadableStream<readonly BackendRecord[]>({
      start(controller) {
        const { signal } = leave;
        broker.addEventListener(channel, (event) => {
          controller.enqueue([{ payload: (event as CustomEvent<Payload>).detail }]);
        }, { signal });
        // When the connection is lost: controller.error(new ConnectionError("…")).
      },
      cancel: () => leave.abort(),
    });
    return Promise.resolve({ records });
  }

  /** The core has cancelled every tail by now. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}

conformance(Deno.test, {
  name: "custom",
  features: new CustomBackend().features,
  limit: Infinity,
  target: () => new CustomBackend(),
});
