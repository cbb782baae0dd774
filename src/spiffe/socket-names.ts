/**
 * Finds the Workload API under either of the names that SPIRE's installations give its socket.
 */
import { access } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { VouchsafeError, type Logger } from '../core/index.ts';
import type { WorkloadApiAddress } from './address.ts';
import type { Transport } from './transport.ts';

/** SPIRE's documentation uses the first name; its Helm chart and OpenShift's operator use the second. */
const NAMES: readonly string[] = ['agent.sock', 'spire-agent.sock'];

const UNIX = 'unix:';

/** The same directory with the other name; nothing if the address has a name of its own. */
export function addressOfOtherName({ target }: WorkloadApiAddress): WorkloadApiAddress | undefined {
  if (!target.startsWith(UNIX)) return undefined;
  const path = target.slice(UNIX.length);
  if (!NAMES.includes(basename(path))) return undefined;
  const other = NAMES.find((name) => name !== basename(path)) ?? '';
  const otherPath = join(dirname(path), other);
  return { uri: `unix://${otherPath}`, target: `${UNIX}${otherPath}` };
}

interface Candidate<M extends string> {
  readonly address: WorkloadApiAddress;
  readonly transport: Transport<M>;
}

/** One socket under two possible names. */
export interface SocketChoice<M extends string> {
  readonly configured: Candidate<M>;
  readonly other: Candidate<M>;
  readonly logger?: Logger;
}

/**
 * Calls the socket of the configured name, or the other one while only that exists. Looked up for each call, because
 * the SPIRE agent may start later. If neither exists, the error names both.
 */
export function chooseSocket<M extends string>(choice: SocketChoice<M>): Transport<M> {
  return new ChoosingTransport(choice);
}

class ChoosingTransport<M extends string> implements Transport<M> {
  readonly #choice: SocketChoice<M>;
  /** Used by the last call; also while neither exists, because a connection may outlive the file. */
  #chosen: Candidate<M>;

  constructor(choice: SocketChoice<M>) {
    this.#choice = choice;
    this.#chosen = choice.configured;
  }

  async unary(method: M, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { transport } = await this.#choose();
    try {
      return await transport.unary(method, request, signal);
    } catch (error) {
      throw this.#withNames(error);
    }
  }

  async *stream(
    method: M,
    request: Uint8Array,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, never, undefined> {
    const { transport } = await this.#choose();
    try {
      return yield* transport.stream(method, request, signal);
    } catch (error) {
      throw this.#withNames(error);
    }
  }

  nothingIssued(method: M): VouchsafeError {
    return this.#chosen.transport.nothingIssued(method);
  }

  close(): void {
    this.#choice.configured.transport.close();
    this.#choice.other.transport.close();
  }

  async #choose(): Promise<Candidate<M>> {
    const { configured, other, logger } = this.#choice;
    const found = (await exists(configured))
      ? configured
      : (await exists(other))
        ? other
        : this.#chosen;
    if (found !== this.#chosen) {
      this.#chosen = found;
      logger?.info('the socket of the Workload API has another name', {
        socket: found.address.uri,
        configured: configured.address.uri,
      });
    }
    return found;
  }

  #withNames(error: unknown): unknown {
    const isMissing = error instanceof VouchsafeError && error.message.endsWith('(ENOENT)');
    if (!isMissing) return error;
    const { configured, other } = this.#choice;
    const names = [configured, other].map(({ address }) => basename(address.target));
    const directory = dirname(configured.address.target.slice(UNIX.length));
    const message = `${error.message}; looked for ${names.join(' and ')} in ${directory}`;
    return new VouchsafeError(error.code, message, { cause: error.cause, details: error.details });
  }
}

async function exists<M extends string>({ address }: Candidate<M>): Promise<boolean> {
  try {
    await access(address.target.slice(UNIX.length));
    return true;
  } catch {
    return false;
  }
}
