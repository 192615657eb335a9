/** Serves what a module exports with `node:http`, on the port of the variable `PORT`, as Bun does by itself. */

import { createServer } from "node:http";
import process from "node:process";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";

const { default: server } = await import(pathToFileURL(process.argv[2]).href);

createServer(async ({ headers, url }, response) => {
  const answer = await server.fetch(new Request(new URL(url, "http://localhost"), { headers }));
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  Readable.fromWeb(answer.body).pipe(response);
}).listen(Number(process.env.PORT));
