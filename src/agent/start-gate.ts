/**
 * The start gate of a native sidecar: the kubelet's `postStart` hook (cmd/start-gate) connects to a socket of the agent
 * and waits there. While it runs, no other container of the pod starts; if it fails, the kubelet starts the agent's
 * container again.
 *
 * The socket is in the private volume, so that only this container can connect.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { VouchsafeError, type Clock, type Logger } from '../core/index.ts';
import { withDeadline } from '../async/index.ts';
import { StartRecord } from './start-record.ts';
import { lifeBetweenTriesMs, limitOfTry, type StartTries, type TryLimit } from './start-tries.ts';

/** Name of the socket in the directory of the state; the webhook passes it to the hook. */
export const GATE_SOCKET = 'start.sock';
/** What the hook waits for; any other answer is the reason why it fails. */
const GATE_OPEN = 'open';

/** There is one hook; a person may try another one by hand. */
const MAX_CONNECTIONS = 8;
/** How long a hook may take to end after it was told why, in milliseconds. */
const HOOK_END_MS = 500;

/** Where the gate is. */
export interface StartGateOptions {
  /** The private directory of the agent. */
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Holds the hook until every file has been written. */
export class StartGate {
  readonly #record: StartRecord;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #lost = Promise.withResolvers<never>();
  readonly #hooks = new Set<Socket>();
  readonly #ended = Promise.withResolvers<undefined>();
  #tries: StartTries | undefined;
  /** What a hook is answered; undefined while it waits. */
  #answer: string | undefined;

  private constructor({ directory, clock, logger }: StartGateOptions) {
    this.#record = new StartRecord(directory, clock, logger);
    this.#clock = clock;
    this.#lost.promise.catch(() => undefined); // the caller may not wait for it yet, or any more
    this.#server = createServer((socket) => this.#serve(socket));
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Waits for the hook from now on. @throws VouchsafeError `ERR_SERVER_LISTEN` */
  static async listen(options: StartGateOptions): Promise<StartGate> {
    const gate = new StartGate(options);
    const path = join(options.directory, GATE_SOCKET);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    try {
      mkdirSync(options.directory, { recursive: true, mode: 0o700 });
      rmSync(path, { force: true }); // of an agent that was killed
      gate.#server.once('error', reject).listen(path, () => resolve(undefined));
      await promise;
    } catch (cause) {
      const message = `cannot listen on ${path}: ${cause instanceof Error ? cause.message : 'unknown'}`;
      throw new VouchsafeError('ERR_SERVER_LISTEN', message, { cause });
    }
    return gate;
  }

  /**
   * Rejects with `ERR_AGENT_START_PENDING` when the hook ends although it was not answered: the kubelet was restarted, say.
   * It would take this container for started, so another try has to follow.
   */
  get lost(): Promise<never> {
    return this.#lost.promise;
  }

  /** Begins a try of the start. */
  begin(deadlineMs: number): TryLimit {
    this.#tries = this.#record.begin();
    return limitOfTry(this.#tries, deadlineMs, this.#clock.monotonicMs());
  }

  /** How long a token has to live until the next try, in milliseconds. */
  get lifeBetweenTriesMs(): number {
    return lifeBetweenTriesMs(this.#tries ?? { beganAtMs: 0, count: 1 });
  }

  /** The files are there: the hook succeeds. */
  open(): void {
    this.endStart();
    this.#reply(GATE_OPEN);
  }

  /** The start has ended, and no other try follows: the next one begins afresh. */
  endStart(): void {
    this.#record.end();
  }

  /** Passes a reason to the hook, which fails with it; resolves when the hook has ended, or after half a second. */
  async refuse(reason: string): Promise<void> {
    this.#reply(reason);
    if (this.#hooks.size === 0) return;
    const deadline = { clock: this.#clock, ms: HOOK_END_MS };
    await withDeadline(deadline, () => this.#ended.promise).catch(() => undefined);
  }

  /** Ends the connections of hooks and removes the socket. */
  close(): void {
    this.#answer ??= '';
    this.#server.close();
    for (const hook of this.#hooks) hook.destroy();
  }

  #reply(answer: string): void {
    this.#answer ??= answer;
    for (const hook of this.#hooks) hook.end(this.#answer);
  }

  #serve(hook: Socket): void {
    hook.on('error', () => undefined); // `close` follows
    hook.on('close', () => this.#closed(hook));
    hook.resume();
    if (this.#answer !== undefined) {
      hook.end(this.#answer);
      return;
    }
    this.#hooks.add(hook);
  }

  #closed(hook: Socket): void {
    this.#hooks.delete(hook);
    if (this.#answer === undefined) this.#lost.reject(hookEnded());
    if (this.#hooks.size === 0) this.#ended.resolve(undefined);
  }
}

function hookEnded(): VouchsafeError {
  return new VouchsafeError(
    'ERR_AGENT_START_PENDING',
    'the kubelet ended the start hook before the files were written; the next try goes on from here',
  );
}
