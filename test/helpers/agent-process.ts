/** `vouchsafe agent` as a process, as a person or a kubelet starts it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';

const MAIN = fileURLToPath(new URL('../../cmd/agent/main.ts', import.meta.url));

/** Agents start in half the time when they need not compile what an earlier one has compiled. */
const COMPILE_CACHE = fileURLToPath(new URL('../../.cache/compiled', import.meta.url));

/** Limit of a wait; waits end by an event long before. */
const PATIENCE_MS = 60_000;

/** How an agent is started, where not as it comes. */
export interface Launch {
  /** Another program than `cmd/agent`. */
  readonly program?: string;
  /** The whole command instead, such as the image's. */
  readonly command?: readonly string[];
  /** Another Node than the one of the tests. */
  readonly node?: string;
  /** Another user; for root alone. */
  readonly uid?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Lets the kernel write core files of any size, into this directory. */
  readonly coresIn?: string;
}

/** A directory of one test, with agents running in it. */
export class AgentBench implements AsyncDisposable {
  readonly directory: string;
  readonly #agents: RunningAgent[] = [];

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async create(): Promise<AgentBench> {
    return new AgentBench(await mkdtemp(join(tmpdir(), 'vouchsafe-agent-')));
  }

  /** Directory of the delivered files. */
  get output(): string {
    return join(this.directory, 'secrets');
  }

  get stateDirectory(): string {
    return join(this.directory, 'state');
  }

  file(name: string): Promise<string> {
    return readFile(join(this.output, name), 'utf8');
  }

  /** Waits until a delivered file fits. */
  async until(name: string, fits: (text: string) => boolean): Promise<string> {
    return eventually(async () => {
      const text = await this.file(name).catch(() => undefined);
      return text !== undefined && fits(text) ? text : undefined;
    }, `${name} never got the content that was expected`);
  }

  /** Starts an agent on a document; apiVersion, kind and the directories are added. */
  async start(
    document: object,
    flags: readonly string[] = [],
    launch: Launch = {},
  ): Promise<RunningAgent> {
    const path = join(this.directory, `agent-${this.#agents.length}.json`);
    const termination = join(this.directory, 'termination-log');
    const whole = {
      apiVersion: 'vouchsafe.dev/v1',
      kind: 'AgentConfig',
      output: { directory: this.output },
      terminationLog: termination,
      logLevel: 'debug',
      ...document,
    };
    await writeFile(path, JSON.stringify(whole));
    const agent = new RunningAgent(['--config', path, ...flags], termination, launch);
    this.#agents.push(agent);
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents) await agent.kill('SIGKILL');
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** One agent process. */
export class RunningAgent {
  /** Everything it printed. */
  output = '';
  readonly #child;
  readonly #ended: Promise<unknown>;
  readonly #termination: string;

  constructor(args: readonly string[], termination: string, launch: Launch) {
    const { program = MAIN, node = process.execPath, env = {}, coresIn, uid } = launch;
    this.#termination = termination;
    const words = [...(launch.command ?? [node, program]), ...args];
    const [command = '', ...rest] =
      coresIn === undefined
        ? words
        : ['sh', '-c', 'ulimit -c unlimited; exec "$@"', 'sh', ...words];
    this.#child = spawn(command, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
      cwd: coresIn,
      uid,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => (this.output += text));
    }
    this.#ended = once(this.#child, 'close');
  }

  /** Waits for its end; gives the exit code. */
  async exit(): Promise<number | null> {
    await this.#ended;
    return this.#child.exitCode;
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    await this.#ended;
  }

  /** The signal that ended it, if one did. */
  get endedBy(): NodeJS.Signals | null {
    return this.#child.signalCode;
  }

  /** Its process, while it runs. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Sends a signal that it outlives. */
  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** What its port answers; it needs `listen` with port 0. */
  async get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    await this.logged(/"message":"listening"/);
    const address = /"address":"([^"]+)","message":"listening"/.exec(this.output)?.[1] ?? '';
    const response = await fetch(`http://${address}${path}`);
    return { status: response.status, body: await response.text() };
  }

  terminationMessage(): Promise<string> {
    return readFile(this.#termination, 'utf8');
  }

  /** Waits until it has logged a line that fits. */
  async logged(pattern: RegExp): Promise<void> {
    await eventually(
      () => Promise.resolve(pattern.test(this.output) ? true : undefined),
      () => `the agent never logged ${String(pattern)}; it printed:\n${this.output}`,
    );
  }
}

/** Asks until there is an answer. Not for speed: only for what another process brings about. */
export async function eventually<T>(
  ask: () => Promise<T | undefined>,
  complaint: string | (() => string),
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await delay(20);
  }
  throw new Error(typeof complaint === 'string' ? complaint : complaint());
}
