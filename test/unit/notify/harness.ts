/** What the tests of the notifier share. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import {
  VouchsafeError,
  type LogFields,
  type Logger,
  type Metrics,
} from '../../../src/core/index.ts';
import { createNotifier, type Notifier, type NotifierOptions } from '../../../src/notify/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { until } from '../../helpers/until.ts';

/** A signal that never aborts. */
export const ALWAYS = new AbortController().signal;

/** A notifier whose log, counts and time are the test's. */
export interface NotifierUnderTest {
  readonly notifier: Notifier;
  readonly clock: FakeClock;
  /** `level: message {fields}`, errors as code and message. */
  readonly log: string[];
  /** `kind result` of each count. */
  readonly counts: string[];
}

export function notifierOf(options: Partial<NotifierOptions> = {}): NotifierUnderTest {
  const clock = new FakeClock();
  const log: string[] = [];
  const counts: string[] = [];
  const notifier = createNotifier({
    clock,
    random: { next: () => 1 },
    logger: recordingLogger(log),
    metrics: recordingMetrics(counts),
    ...options,
  });
  return { notifier, clock, log, counts };
}

function recordingLogger(log: string[]): Logger {
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      const printable = Object.entries(fields).map(([name, value]) =>
        value instanceof VouchsafeError ? [name, `${value.code} ${value.message}`] : [name, value],
      );
      log.push(`${level}: ${message} ${JSON.stringify(Object.fromEntries(printable))}`);
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => recordingLogger(log),
  };
}

function recordingMetrics(counts: string[]): Metrics {
  return {
    counter: (name) => ({
      add: (labels = {}) => counts.push(`${name} ${labels['kind']} ${labels['result']}`),
      remove: () => undefined,
    }),
    gauge: () => ({ set: () => undefined, remove: () => undefined }),
    histogram: () => ({ observe: () => undefined }),
  };
}

/** A server on loopback; `port` is the system's choice. */
export interface TestServer {
  readonly port: number;
  readonly url: string;
  /** `METHOD /path` of each request. */
  readonly calls: string[];
}

export async function serve(
  t: TestContext,
  handle: (response: ServerResponse, request: IncomingMessage) => void,
  host = '127.0.0.1',
): Promise<TestServer> {
  const calls: string[] = [];
  const server = createServer((request, response) => {
    calls.push(`${request.method} ${request.url}`);
    handle(response, request);
  });
  server.listen(0, host);
  await once(server, 'listening');
  t.after(async () => {
    // Nothing may hold a connection when a notification is over.
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo; // it listens on a port, not on a pipe
  return { port, url: `http://127.0.0.1:${port}/-/reload`, calls };
}

/** Moves time on, step by step, until a promise has settled. */
export async function pass(clock: FakeClock, work: Promise<unknown>, stepMs = 1000): Promise<void> {
  const state = { settled: false };
  const done = (): void => {
    state.settled = true;
  };
  work.then(done, done);
  for (;;) {
    await until(() => state.settled || clock.sleeping > 0);
    if (state.settled) return;
    await clock.advance(stepMs);
  }
}
