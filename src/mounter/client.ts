/**
 * The engine's side of the mounter's socket.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { codeOf, VouchsafeError, type Clock } from '../core/index.ts';
import { NEVER_ABORTED, raceAbort, DEADLINE, Semaphore, withDeadline } from '../async/index.ts';
import { lineReader, parseAnswer, type MounterRequest } from './messages.ts';
import type { MounterPort, MountSpec } from './mounter.ts';
import type { Place } from './place.ts';

/** Requests in flight; a mount takes a few milliseconds. */
const MAX_PARALLEL = 4;
/** How long one may take: the program `mount` has ten seconds. */
const ANSWER_MS = 30_000;
/** How long to try to connect: the mounter starts at the same time as the engine, and is restarted by the kubelet. */
const CONNECT_MS = 5000;
const RETRY_MS = 50;

/** Settings of a {@link MounterClient}. */
export interface MounterClientOptions {
  /** Path of the socket. */
  readonly socket: string;
  readonly clock: Clock;
}

/** A request without its number. */
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** A connection and the requests that wait for an answer, by ID. */
interface Connection {
  readonly socket: Socket;
  readonly pending: Map<number, PromiseWithResolvers<string | null>>;
}

/** Sends requests to the mounter; connects when needed, and again after the mounter has restarted. */
export class MounterClient implements MounterPort {
  readonly #options: MounterClientOptions;
  readonly #turns = new Semaphore(MAX_PARALLEL);
  #connection: Promise<Connection> | undefined;
  #lastId = 0;
  #isClosed = false;

  constructor(options: MounterClientOptions) {
    this.#options = options;
  }

  async mount(spec: MountSpec, signal: AbortSignal): Promise<void> {
    const { pod, volume, sizeBytes, group, selinux } = spec;
    await this.#request({ kind: 'mount', pod, volume, sizeBytes, group, selinux }, signal);
  }

  async unmount({ pod, volume }: Place): Promise<void> {
    await this.#request({ kind: 'unmount', pod, volume }, NEVER_ABORTED);
  }

  /** Closes the connection; requests in flight fail. */
  close(): void {
    this.#isClosed = true;
    void this.#connection?.then(({ socket }) => socket.destroy());
  }

  async #request(request: WithoutId<MounterRequest>, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const error = await this.#turns.run(signal, () =>
      withDeadline({ clock, ms: ANSWER_MS, signal }, (inner) => this.#answer(request, inner)).catch(
        (cause: unknown) => {
          if (cause === DEADLINE) throw this.#unavailable('does not answer', cause);
          throw cause;
        },
      ),
    );
    if (error !== null) throw new VouchsafeError('ERR_CSI_MOUNT', error);
  }

  /** The mounter's answer to a request: an error, or null on success. */
  async #answer(request: WithoutId<MounterRequest>, signal: AbortSignal): Promise<string | null> {
    const { socket, pending } = await this.#connected(signal);
    // It may have closed while this waited for its turn on the event loop: nobody would answer.
    if (socket.destroyed) throw this.#unavailable('has gone');
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = Promise.withResolvers<string | null>();
    pending.set(id, answer);
    socket.write(`${JSON.stringify({ id, ...request })}\n`);
    try {
      return await raceAbort(answer.promise, signal);
    } finally {
      pending.delete(id);
    }
  }

  async #connected(signal: AbortSignal): Promise<Connection> {
    this.#connection ??= this.#connect().catch((error: unknown) => {
      this.#connection = undefined;
      throw error;
    });
    return raceAbort(this.#connection, signal);
  }

  async #connect(): Promise<Connection> {
    const { clock } = this.#options;
    const until = clock.monotonicMs() + CONNECT_MS;
    for (;;) {
      if (this.#isClosed) throw this.#unavailable('was disconnected');
      try {
        return this.#use(await opened(this.#options.socket));
      } catch (cause) {
        const reason = codeOf(cause) ?? 'unknown error';
        if (clock.monotonicMs() >= until)
          throw this.#unavailable(`cannot be reached (${reason})`, cause);
        await clock.sleep(RETRY_MS, NEVER_ABORTED);
      }
    }
  }

  #use(socket: Socket): Connection {
    const connection: Connection = { socket, pending: new Map() };
    const take = lineReader((line) => {
      const answer = parseAnswer(line);
      if (answer === undefined) socket.destroy();
      else connection.pending.get(answer.id)?.resolve(answer.error);
    });
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      if (!take(text)) socket.destroy();
    });
    socket.on('error', () => undefined); // `close` follows
    socket.once('close', () => {
      this.#connection = undefined;
      for (const { reject } of connection.pending.values())
        reject(this.#unavailable('closed the connection'));
    });
    if (this.#isClosed) socket.destroy();
    return connection;
  }

  #unavailable(problem: string, cause?: unknown): VouchsafeError {
    const text = `the mounter at ${this.#options.socket} ${problem}: see the log of container mounter`;
    return new VouchsafeError('ERR_CSI_MOUNT', text, { cause });
  }
}

async function opened(path: string): Promise<Socket> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
