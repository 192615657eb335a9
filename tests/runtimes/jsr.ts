import { published } from "../package/published.ts";
import config from "../../deno.json" with { type: "json" };

/** A registry with this package alone, served as JSR serves it. */
export class Registry implements AsyncDisposable {
  /** Where it is; `JSR_URL` makes Deno ask it. */
  readonly url: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  private constructor(files: Map<string, string>, manifest: Record<string, unknown>) {
    const { name, version, exports } = config;
    const metadata = new Map<string, unknown>([
      [`/${name}/meta.json`, { versions: { [version]: {} } }],
      [`/${name}/${version}_meta.json`, { manifest, exports }],
    ]);
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
      const { pathname } = new URL(request.url);
      const text = files.get(pathname.replace(`/${name}/${version}`, ""));
      if (metadata.has(pathname)) return Response.json(metadata.get(pathname));
      if (text === undefined) return new Response("Not Found", { status: 404 });
      return new Response(text, { headers: { "content-type": "text/typescript" } });
    });
    this.url = `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  /** Serves what `deno publish` would take. */
  static async open(): Promise<Registry> {
    const files = new Map<string, string>();
    const manifest: Record<string, unknown> = {};
    for (const { path, text } of await published()) {
      const served = withSpecifiers(text);
      const bytes = new TextEncoder().encode(served);
      files.set(`/${path}`, served);
      manifest[`/${path}`] = { size: bytes.length, checksum: `sha256-${await hash(bytes)}` };
    }
    return new Registry(files, manifest);
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** JSR knows no import map: `deno publish` writes each specifier out. */
function withSpecifiers(text: string): string {
  const targets = new Map(Object.entries({ ...config.imports, ...config.scopes["./"] }));
  return text.replace(/(?<=\b(?:from |import\())"([^"]+)"/g, (written, name) => {
    return targets.has(name) ? `"${targets.get(name)}"` : written;
  });
}

async function hash(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
