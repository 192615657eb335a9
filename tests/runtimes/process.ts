import { guard } from "../services/server.ts";

/** What became of a process. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Additional options for {@linkcode run}. */
export interface ProcessOptions {
  cwd?: string;
  /** Added to the environment of this process. */
  env?: Record<string, string>;
  /** What takes longer has hung: it is killed. */
  timeout?: number;
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: string[],
  { cwd, env, timeout = 300_000 }: ProcessOptions = {},
): Promise<Outcome> {
  const [command, ...rest] = [...guard(), program, ...args];
  const hung = new AbortController();
  const timer = setTimeout(() => hung.abort(), timeout);
  try {
    const { code, stdout, stderr } = await new Deno.Command(command!, {
      args: rest,
      env: { ...surroundings(), ...env },
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal: hung.signal,
      ...(cwd !== undefined && { cwd }),
    }).output();
    const outcome = { code, stdout: textOf(stdout), stderr: textOf(stderr) };
    if (!hung.signal.aborted) return outcome;
    throw new Error(`Cannot run ${program}: not done within ${timeout} ms\n${said(outcome)}`);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a program that has to succeed, and tells what it said. */
export async function succeed(
  program: string,
  args: string[],
  options?: ProcessOptions,
): Promise<Outcome> {
  const outcome = await run(program, args, options);
  if (outcome.code === 0) return outcome;
  throw new Error(`Cannot run ${program} ${args[0]}: exit code ${outcome.code}\n${said(outcome)}`);
}

/** All that a process said. */
export function said({ stdout, stderr }: Outcome): string {
  return `${stdout}${stderr}`.trim();
}

/** Neither colours nor flags of the run around us: what is said is compared. */
function surroundings(): Record<string, string> {
  const { FORCE_COLOR: _color, NODE_OPTIONS: _options, ...rest } = Deno.env.toObject();
  return { ...rest, NO_COLOR: "1" };
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
