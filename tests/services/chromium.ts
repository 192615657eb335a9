import type { Browser, BrowserType } from "npm:playwright-core@1.64.1";
import { provide, which } from "./debian.ts";
import type { Located } from "./service.ts";

/** What keeps a browser that is driven on one machine from talking to others. */
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Finds a Chromium for this run; its `url` is its path. */
export async function locate(): Promise<Located> {
  try {
    return { url: await path(), stop: () => Promise.resolve() };
  } catch (error) {
    return { skip: `${(error as Error).message}, or set CHROMIUM_PATH` };
  }
}

/** Starts a Chromium without a window. Close it when done. */
export async function launch(): Promise<Browser> {
  // Behind a name that is computed, so that only a test that drives a browser fetches the driver.
  const specifier = ["npm:playwright-core", "1.64.1"].join("@");
  const { chromium }: { chromium: BrowserType } = await import(specifier);
  return await chromium.launch({ executablePath: await path(), args: ARGS });
}

async function path(): Promise<string> {
  return Deno.env.get("CHROMIUM_PATH") ?? await provide("chromium", "chromium", async () => {
    for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
      const found = await which(name);
      if (found) return found;
    }
  });
}
