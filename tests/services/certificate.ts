import { join } from "node:path";
import { provide, run } from "./debian.ts";

/**
 * A certificate of our own, and its key.
 *
 * @param names The hosts that it is for, as openssl has them.
 */
export async function certify(
  folder: string,
  names = "IP:127.0.0.1,DNS:localhost",
): Promise<{ certificate: string; key: string }> {
  await Deno.mkdir(folder, { recursive: true });
  const certificate = join(folder, "certificate.pem");
  const key = join(folder, "key.pem");
  await run(await provide("openssl", "openssl"), [
    ...["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=tests"],
    ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    ...["-addext", `subjectAltName=${names}`],
    ...["-addext", "basicConstraints=critical,CA:FALSE"],
    ...["-keyout", key, "-out", certificate],
  ]);
  return { certificate, key };
}
