/**
 * Notifies the application of changed files, with limited retries.
 */
import type { NotifyAction } from '../config/schema/index.ts';
import {
  parseNotifySignal,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Counter,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import { raceAbort, createBackoff, retry } from '../async/index.ts';
import { REQUESTED, transition, type Attempts } from './attempts.ts';
import { callHttp, describeCall } from './http-call.ts';
import { restartContainer, signalContainer, type Processes } from './process-signal.ts';

/** Bounds of the wait between attempts. */
const RETRY_WAIT = { minMs: 1000, maxMs: 15_000 };

/** Carries out `on-change`. */
export interface Notifier {
  /**
   * Executes each distinct action once, in parallel, and resolves when all have succeeded or were given up after
   * 5 attempts (at most 40 s for an HTTP call). Failures are logged and counted, never thrown: the files are in
   * place whether or not the application listens. An action that is requested while it runs is not queued: the
   * next attempt serves both callers, with 5 attempts from then on, until 20 attempts in a row have failed.
   * Rejects only on abort, with `signal.reason`.
   */
  notify(actions: readonly NotifyAction[], signal: AbortSignal): Promise<void>;
}

/** Options of {@link createNotifier}. */
export interface NotifierOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Default `/proc`. */
  readonly procDirectory?: string;
  /** Sends a signal; throws with the system's error code. Default: `process.kill`. */
  readonly kill?: Processes['kill'];
}

/** A notifier for the containers of this pod. */
export function createNotifier(options: NotifierOptions): Notifier {
  return new RetryingNotifier(options);
}

/** An action that runs. */
interface PendingNotification {
  attempts: Attempts;
  done: Promise<void>;
}

class RetryingNotifier implements Notifier {
  readonly #options: NotifierOptions;
  readonly #processes: Processes;
  readonly #counter: Counter;
  readonly #pending = new Map<string, PendingNotification>();

  constructor(options: NotifierOptions) {
    this.#options = options;
    this.#processes = {
      procDirectory: options.procDirectory ?? '/proc',
      kill: options.kill ?? process.kill.bind(process),
    };
    this.#counter = options.metrics.counter(
      'vouchsafe_notifications_total',
      'Notifications of the application after its files changed.',
      ['kind', 'result'],
    );
  }

  async notify(actions: readonly NotifyAction[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const distinct = new Map(actions.map((action) => [actionKey(action), action]));
    await Promise.all([...distinct].map(([key, action]) => this.#joinOrStart(key, action, signal)));
  }

  /** Joins the same action if it runs, otherwise starts it. */
  async #joinOrStart(key: string, action: NotifyAction, signal: AbortSignal): Promise<void> {
    for (;;) {
      const running = this.#pending.get(key);
      if (running === undefined) return this.#start(key, action, signal);
      running.attempts = transition(running.attempts, 'requested');
      try {
        await raceAbort(running.done, signal);
        return;
      } catch {
        signal.throwIfAborted(); // otherwise the other caller was aborted: take over
      }
    }
  }

  #start(key: string, action: NotifyAction, signal: AbortSignal): Promise<void> {
    const delivery: PendingNotification = { attempts: REQUESTED, done: Promise.resolve() };
    this.#pending.set(key, delivery);
    delivery.done = this.#runUntilSettled(delivery, action, signal);
    return delivery.done;
  }

  async #runUntilSettled(
    delivery: PendingNotification,
    action: NotifyAction,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      do await this.#runOnce(action, delivery, signal);
      while (delivery.attempts.next !== undefined);
    } finally {
      // In the same turn as the last check of the attempts: no caller may join an action that has ended.
      this.#pending.delete(actionKey(action));
    }
  }

  async #runOnce(
    action: NotifyAction,
    delivery: PendingNotification,
    signal: AbortSignal,
  ): Promise<void> {
    const { logger } = this.#options;
    const { kind } = action;
    const target = describe(action);
    try {
      await this.#tryRepeatedly(action, delivery, signal);
      this.#counter.add({ kind, result: 'success' });
      logger.info('application notified', { kind, target });
    } catch (caught) {
      signal.throwIfAborted();
      const error = toVouchsafeError(caught);
      this.#counter.add({ kind, result: 'failure' });
      logger[error.level]('application not notified', { kind, target, error });
    }
  }

  async #tryRepeatedly(
    action: NotifyAction,
    delivery: PendingNotification,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, random } = this.#options;
    const attempt = async (): Promise<void> => {
      delivery.attempts = transition(delivery.attempts, 'started');
      await this.#execute(action, signal);
      delivery.attempts = transition(delivery.attempts, 'succeeded');
    };
    await retry(attempt, {
      backoff: createBackoff({ ...RETRY_WAIT, random }),
      clock,
      signal,
      shouldRetry: (error) => {
        const isPermanent = error.retry === 'never';
        const event = isPermanent ? 'failed permanently' : 'failed';
        delivery.attempts = transition(delivery.attempts, event);
        return !isPermanent && delivery.attempts.next !== undefined;
      },
    });
  }

  async #execute(action: NotifyAction, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    switch (action.kind) {
      case 'http':
        return callHttp(action, clock, signal);
      case 'restart':
        return restartContainer(this.#processes, action.container, clock, signal);
      case 'signal': {
        const name = parseNotifySignal(action.signal);
        if (name !== undefined) return signalContainer(this.#processes, action.container, name);
        const message = `${action.signal} is not supported as a notification; use for example SIGHUP`;
        throw new VouchsafeError('ERR_CONFIG_INVALID', message);
      }
    }
  }
}

function actionKey(action: NotifyAction): string {
  switch (action.kind) {
    case 'http':
      return JSON.stringify([action.kind, action.method, action.url]);
    case 'restart':
      return JSON.stringify([action.kind, action.container]);
    case 'signal':
      return JSON.stringify([action.kind, action.container, action.signal]);
  }
}

function describe(action: NotifyAction): string {
  switch (action.kind) {
    case 'http':
      return describeCall(action);
    case 'restart':
      return `container ${action.container}`;
    case 'signal':
      return `${action.signal} to container ${action.container}`;
  }
}
