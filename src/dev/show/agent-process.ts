/**
 * An injected container as a local process.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { VouchsafeError } from '../../core/index.ts';
import { raceAbort } from '../../async/index.ts';

/** Time for a stopping agent to revoke its credentials. */
const STOP_TIMEOUT_MS = 10_000;

/** One line of the agent's log. */
export interface AgentLine {
  readonly level: string;
  readonly message: string;
  readonly error?: string;
  readonly error_code?: string;
  readonly address?: string;
  readonly changed?: readonly string[];
  readonly [field: string]: unknown;
}

/** How a container is started. */
export interface AgentProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly onLine: (line: AgentLine) => void;
}

/** A running container. */
export interface AgentProcess {
  readonly name: string;
  /** Resolves to the exit code. */
  readonly exited: Promise<number>;
  /** The address of its probes, once it listens. */
  readonly address: Promise<string>;
  /** Stops it as the kubelet does: SIGTERM, then SIGKILL. Resolves when it has exited. */
  stop(): Promise<void>;
}

/** Starts a container. */
export function startAgentProcess(options: AgentProcessOptions): AgentProcess {
  const { name, command, args, env } = options;
  const child = spawn(command, [...args], {
    env: { ...env },
    stdio: ['pipe', 'inherit', 'pipe'],
    // Outside of the terminal's process group: Ctrl-C goes to the demo, which stops its containers in order.
    detached: true,
  });
  const address = Promise.withResolvers<string>();
  const exited = exitOf(child, name);
  address.promise.catch(() => undefined);
  exited.then(
    (code) => address.reject(ended(name, code)),
    (error: unknown) => address.reject(error),
  );
  const lines = createInterface({ input: child.stderr });
  lines.on('line', (text) => {
    const line = parseLine(text);
    if (line.message === 'listening') address.resolve(line.address ?? '');
    options.onLine(line);
  });
  return {
    name,
    exited,
    address: address.promise,
    async stop() {
      child.kill('SIGTERM');
      try {
        await raceAbort(exited, AbortSignal.timeout(STOP_TIMEOUT_MS));
      } catch {
        child.kill('SIGKILL');
        await exited.catch(() => undefined);
      }
    },
  };
}

/** Waits for a container that ends by itself, such as an init container. */
export async function finished(process: AgentProcess, signal: AbortSignal): Promise<void> {
  const code = await raceAbort(process.exited, signal);
  if (code !== 0) throw ended(process.name, code);
}

/** The error of a container that ended. */
export function ended(name: string, code: number): VouchsafeError {
  return new VouchsafeError(
    'ERR_AGENT_DEADLINE',
    `container ${name} ended with exit code ${code}; see its last lines above`,
  );
}

function exitOf(child: ChildProcess, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => {
      reject(new VouchsafeError('ERR_BUG', `container ${name} cannot be started`, { cause }));
    });
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

/** Parses a line of a log; other output becomes a message. */
export function parseLine(text: string): AgentLine {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'message' in value && 'level' in value) {
      return value as AgentLine; // a line of the project's own logger
    }
  } catch {
    // Not a log line: printed as it is.
  }
  return { level: 'info', message: text };
}
