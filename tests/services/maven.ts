import { dirname, join } from "node:path";
import { provide, run } from "./debian.ts";

/** What Maven Central calls a library. */
export interface Artifact {
  group: string;
  name: string;
  version: string;
}

/** The folder with the jars of an artifact and all that it needs; fetched once. */
export async function jars(artifact: Artifact, folder: string): Promise<string> {
  const done = await Deno.stat(folder).catch(() => undefined);
  if (done) return folder;
  const mvn = await provide("mvn", "maven");
  await Deno.mkdir(dirname(folder), { recursive: true });
  // Runs that overlap each fetch into a folder of their own; the first one names it.
  const partial = await Deno.makeTempDir({ dir: dirname(folder) });
  try {
    await Deno.writeTextFile(join(partial, "pom.xml"), pom(artifact));
    await run(mvn, ["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"], {
      cwd: partial,
    });
    await Deno.rename(join(partial, "lib"), folder);
  } catch (error) {
    if (!(await Deno.stat(folder).catch(() => undefined))) throw error;
  } finally {
    await Deno.remove(partial, { recursive: true });
  }
  return folder;
}

function pom({ group, name, version }: Artifact): string {
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId>
  <artifactId>jars</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>${group}</groupId>
      <artifactId>${name}</artifactId>
      <version>${version}</version>
    </dependency>
  </dependencies>
</project>
`;
}
