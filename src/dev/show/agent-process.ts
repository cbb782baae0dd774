/**
 * An injected container as a local process.
 */
import { VouchsafeError } from '../../core/index.ts';
import { raceAbort } from '../../async/index.ts';
import { startChild, type Child, type Command } from './child-process.ts';

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
  readonly command: Command;
  readonly env: Readonly<Record<string, string>>;
  readonly onLine: (line: AgentLine) => void;
}

/** A running container. */
export interface AgentProcess extends Child {
  readonly name: string;
  /** The address of its probes, once it listens. */
  readonly address: Promise<string>;
}

/** Starts a container. */
export function startAgentProcess({
  name,
  command,
  env,
  onLine,
}: AgentProcessOptions): AgentProcess {
  const address = Promise.withResolvers<string>();
  address.promise.catch(() => undefined);
  const child = startChild(command, {
    env,
    onLine(text) {
      const line = parseLine(text);
      if (line.message === 'listening') address.resolve(line.address ?? '');
      onLine(line);
    },
  });
  child.exited.then(
    (code) => address.reject(ended(name, code)),
    (error: unknown) => address.reject(error),
  );
  return { ...child, name, address: address.promise };
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
