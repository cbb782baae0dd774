/** The programs of SPIRE, which `npm run test:real` builds, as processes. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

/** A program of SPIRE. */
export type SpireProgram = 'spire-server' | 'spire-agent' | 'oidc-discovery-provider';

/** Its output that is kept, for errors. */
const MAX_OUTPUT = 16_000;

const COMMAND_TIMEOUT_MS = 30_000;

/** Version of the SPIRE that the suite runs against. */
export async function spireVersion(): Promise<string> {
  const { stdout, stderr } = await runSpire('spire-server', ['--version']);
  return `${stdout}${stderr}`.trim(); // it is printed as an error
}

/** Runs a command to its end. */
export async function runSpire(
  program: SpireProgram,
  args: readonly string[],
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return promisify(execFile)(binaryOf(program), args, { timeout: COMMAND_TIMEOUT_MS });
}

function binaryOf(program: SpireProgram): string {
  const binary = process.env[`VOUCHSAFE_TEST_${program.replaceAll('-', '_').toUpperCase()}`];
  if (binary === undefined) throw new Error('run this suite with: npm run test:real');
  return binary;
}

/** A program that runs until it is stopped, and may be started again. */
export class SpireDaemon {
  /** The end of what it printed. */
  output = '';
  readonly #program: SpireProgram;
  readonly #args: readonly string[];
  readonly #environment: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;

  constructor(
    program: SpireProgram,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ) {
    this.#program = program;
    this.#args = args;
    this.#environment = environment;
  }

  get isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  async start(): Promise<void> {
    const env = { PATH: process.env['PATH'] ?? '', ...this.#environment };
    const child = spawn(binaryOf(this.#program), this.#args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output = (this.output + text).slice(-MAX_OUTPUT);
      });
    }
    this.#child = child;
    await once(child, 'spawn');
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.#child === undefined || !this.isRunning) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }
}
