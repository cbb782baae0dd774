/**
 * The agent as `cmd/agent` wires it, for tests. It kills itself by SIGKILL at the fault point that
 * VOUCHSAFE_TEST_FAULT_POINT names, and its wall clock jumps by VOUCHSAFE_TEST_JUMP_MS at SIGUSR2, and back at the next.
 */
import { parseArgs } from 'node:util';
import { StateFile, type AgentParts, type WriterPort } from '../../src/agent/index.ts';
import type { SavedState } from '../../src/agent/saved-state.ts';
import type { Clock, Logger } from '../../src/core/index.ts';
import { runAgent } from '../../src/agent-runtime/index.ts';
import { createFileWriter } from '../../src/output/index.ts';
import { nodeFileSystem, type FileSystem } from '../../src/output/file-system.ts';
import {
  createLogger,
  environmentVariable,
  disableCoreDumps,
  printError,
  reportDefects,
  systemClock,
  systemRandom,
  terminationSignal,
} from '../../src/platform/index.ts';

const FATAL = environmentVariable('VOUCHSAFE_TEST_FAULT_POINT');
const JUMP_MS = Number(environmentVariable('VOUCHSAFE_TEST_JUMP_MS') ?? 0);

let wallOffsetMs = 0;
process.on('SIGUSR2', () => (wallOffsetMs = JUMP_MS - wallOffsetMs));

/** Sleeps and durations are not touched by a wall clock that jumps. */
const clock: Clock = {
  now: () => systemClock.now() + wallOffsetMs,
  monotonicMs: () => systemClock.monotonicMs(),
  sleep: (ms, signal) => systemClock.sleep(ms, signal),
};

/** Dies here if this is the point: a signal to oneself is delivered before the call returns. */
function reach(point: string): void {
  if (point === FATAL) process.kill(process.pid, 'SIGKILL');
}

/** The two fault points around a step. */
async function around<T>(step: string, work: () => Promise<T>): Promise<T> {
  reach(`before ${step}`);
  const result = await work();
  reach(`after ${step}`);
  return result;
}

class FaultyStateFile extends StateFile {
  override save(state: SavedState): void {
    const step = `saving ${contentOf(state)}`;
    reach(`before ${step}`);
    super.save(state);
    reach(`after ${step}`);
  }
}

/** What a state has beyond the one before it. */
function contentOf({ session, values, isDelivered }: SavedState): string {
  if (session === null) return 'nothing';
  if (values.length === 0) return 'the token';
  const paths: readonly string[] = values.flatMap(({ dependency }) =>
    'path' in dependency ? dependency.path : [],
  );
  return isDelivered ? `the delivered ${paths.at(-1) ?? ''}` : `the credential`;
}

/** Sets begun that differ from the one before; points of those after the first say so. */
let sets = 0;
let lastSet: readonly Buffer[] = [];

/** An agent writes the old set once more while it reads what the next one needs. */
function begin(files: Parameters<WriterPort['write']>[0]): void {
  const set = files.map(({ content }) => Buffer.from(content));
  const isSame = set.every((content, index) => lastSet[index]?.equals(content) === true);
  if (!isSame) sets += 1;
  lastSet = set;
}

const ofSet = (step: string): string => (sets > 1 ? `${step} again` : step);

/** Dies between the operations that make up a swap. */
const fileSystem: FileSystem = {
  ...nodeFileSystem,
  createFile: (parent, name, content, mode) =>
    around(ofSet(`creating ${name}`), async () => {
      await nodeFileSystem.createFile(parent, name, content, mode);
    }),
  rename: (from, name, to, newName = name) =>
    around(ofSet(`renaming ${newName}`), async () => {
      await nodeFileSystem.rename(from, name, to, newName);
    }),
};

/** The second set is the one that has an application to notify. */
function wrap(parts: AgentParts<unknown>): AgentParts<unknown> {
  const { vault, identity, notifier, config } = parts;
  const writer = createFileWriter({ ...parts, directory: config.outputDirectory, fileSystem });
  return {
    ...parts,
    writer: {
      write: (files, signal) => {
        begin(files);
        return around(ofSet('writing the set'), () => writer.write(files, signal));
      },
    },
    notifier: {
      notify: (actions, signal) =>
        around(`notifying of ${actions.length} actions`, () => notifier.notify(actions, signal)),
    },
    stateFile:
      config.stateDirectory === undefined
        ? undefined
        : new FaultyStateFile(config.stateDirectory, parts.clock),
    identity: identity && {
      jwtSvid: (audiences, signal) =>
        around('fetching the identity', () => identity.jwtSvid(audiences, signal)),
      x509Svid: (signal) => identity.x509Svid(signal),
      x509Updates: (signal) => identity.x509Updates(signal),
      get lastError() {
        return identity.lastError;
      },
    },
    vault: vault && {
      present: (certificate) => vault.present(certificate),
      login: (request, signal) => around('the login', () => vault.login(request, signal)),
      fetch: (token, dependency, signal) =>
        around(`reading ${dependency.path}`, () => vault.fetch(token, dependency, signal)),
      renewToken: (token, signal, increment) => vault.renewToken(token, signal, increment),
      renewLease: (token, id, increment, signal) => vault.renewLease(token, id, increment, signal),
      revokeLease: (token, id, signal) =>
        around('revoking the lease', () => vault.revokeLease(token, id, signal)),
      revokeToken: (token, signal) =>
        around('revoking the token', () => vault.revokeToken(token, signal)),
    },
  };
}

reportDefects();
disableCoreDumps();
const { values } = parseArgs({ options: { config: { type: 'string' } } });
process.exitCode = await runAgent(
  {
    configPath: values.config,
    configText: undefined,
    environment: {
      spiffeEndpointSocket: undefined,
      vaultAddress: undefined,
      vaultNamespace: undefined,
      vaultCaFile: undefined,
    },
    once: false,
    clock,
    random: systemRandom,
    createLogger: (level): Logger => createLogger(level, process.stderr),
    print: printError,
    wrap,
  },
  terminationSignal(),
);
