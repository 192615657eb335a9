/** Serves what a module exports with `node:http`, on the port of the variable `PORT`, as Bun does by itself. */

import { createServer } from "node:http";
import process from "node:process";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";

const { default: server } = await import(pathToFileURL(process.argv[2]).href);

createServer(async (request, response) => {
  const { headers, method, url } = request;
  const body = method === "GET" || method === "HEAD" ? undefined : Readable.toWeb(request);
  const answer = await server.fetch(
    new Request(new URL(url, "http://localhost"), { headers, method, body, duplex: "half" }),
  );
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  if (answer.body && method !== "HEAD") return Readable.fromWeb(answer.body).pipe(response);
  response.end();
  await answer.body?.cancel();
}).listen(Number(process.env.PORT));
