import { join } from "node:path";
import { provide, run } from "./debian.ts";

/** A certificate of our own for 127.0.0.1, and its key. */
export async function certify(folder: string): Promise<{ certificate: string; key: string }> {
  const certificate = join(folder, "certificate.pem");
  const key = join(folder, "key.pem");
  await run(await provide("openssl", "openssl"), [
    ...["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=tests"],
    ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    ...["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
    ...["-addext", "basicConstraints=critical,CA:FALSE"],
    ...["-keyout", key, "-out", certificate],
  ]);
  return { certificate, key };
}
