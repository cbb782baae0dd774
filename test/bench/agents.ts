/** The two agents, given the same job. */
import { mkdir, writeFile } from 'node:fs/promises';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Measured, type Command } from './process.ts';
import { LEASED_SECRET, type World } from './world.ts';

/** What an agent is to do. */
export interface Job {
  /** How many KV v2 secrets, each in a file of its own. */
  readonly secrets: number;
  /** How often they are read again, e.g. `5m`. */
  readonly refresh: string;
  /** Adds a secret with a lease. */
  readonly isLeased?: boolean;
  /** Writes the files and ends. */
  readonly isOnce?: boolean;
  /** Where the agent works; one of its own unless it is to go on where another one ended. */
  readonly directory?: string;
}

/** An agent that was started. */
export interface StartedAgent extends AsyncDisposable {
  readonly process: Measured;
  readonly startedMs: number;
  /** Waits until every file is there. */
  delivered(): Promise<void>;
}

/** Starts an agent on a job. */
export type StartAgent = (world: World, job: Job) => Promise<StartedAgent>;

const PATIENCE_MS = 30_000;

/** Vouchsafe: `command` is what the image runs. */
export function vouchsafe(command: Command, cwd: string): StartAgent {
  return async (world, job) => {
    const directory = job.directory ?? (await world.directory());
    const output = join(directory, 'secrets');
    const files = secretNames(job).map(({ name, path }) => ({
      name,
      template: `{{#with (secret "${path}")}}{{password}}{{/with}}`,
      refresh: job.refresh,
    }));
    const config = {
      apiVersion: 'vouchsafe.dev/v1',
      kind: 'AgentConfig',
      spiffe: { socket: world.socket },
      vault: { address: world.vault.address },
      auth: { role: world.role },
      output: { directory: output },
      files,
      stateDirectory: join(directory, 'state'),
      ...(job.isOnce !== true && { listen: ':0' }), // as the injected agent listens
    };
    const env = { VOUCHSAFE_CONFIG: JSON.stringify(config) };
    const words = job.isOnce === true ? ['agent', '--once'] : ['agent'];
    return started(
      [...command, ...words],
      { env, cwd },
      files.map(({ name }) => join(output, name)),
    );
  };
}

/** `vault agent`, set up as HashiCorp's injector does it. */
export function vaultAgent(binary: string): StartAgent {
  return async (world, job) => {
    const directory = job.directory ?? (await world.directory());
    const output = join(directory, 'secrets');
    await mkdir(output, { recursive: true });
    const templates = secretNames(job).map(({ name, path }) => {
      const isLeased = path === LEASED_SECRET;
      const actual = isLeased ? path : path.replace('/', '/data/');
      const value = isLeased ? '.Data.password' : '.Data.data.password';
      return {
        contents: `{{ with secret "${actual}" }}{{ ${value} }}{{ end }}`,
        destination: join(output, name),
      };
    });
    const config = {
      vault: { address: world.vault.address },
      auto_auth: {
        method: [
          {
            type: 'jwt',
            mount_path: 'auth/jwt',
            config: { path: world.tokenFile, role: world.role, remove_jwt_after_reading: false },
          },
        ],
      },
      template_config: {
        exit_on_retry_failure: true,
        static_secret_render_interval: job.refresh,
      },
      template: templates,
      exit_after_auth: job.isOnce === true,
    };
    const path = join(directory, 'agent.json');
    await writeFile(path, JSON.stringify(config));
    return started(
      [binary, 'agent', `-config=${path}`],
      { env: { HOME: directory }, cwd: directory },
      templates.map(({ destination }) => destination),
    );
  };
}

function secretNames({ secrets, isLeased }: Job): { name: string; path: string }[] {
  const names = Array.from({ length: secrets }, (_, index) => ({
    name: `app-${index}`,
    path: `secret/app/${index}`,
  }));
  return isLeased === true ? [...names, { name: 'creds', path: LEASED_SECRET }] : names;
}

function started(
  command: Command,
  { env, cwd }: { env: Record<string, string>; cwd: string },
  files: readonly string[],
): StartedAgent {
  const startedMs = performance.now();
  const process = new Measured(command, env, cwd);
  return {
    process,
    startedMs,
    delivered: () => delivered(process, files),
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

/** Looks every millisecond. Files appear in any order, so the first that is not there yet is looked for. */
async function delivered(process: Measured, files: readonly string[]): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  let found = 0;
  for (;;) {
    while (found < files.length && isWritten(files[found] ?? '')) found += 1;
    if (found === files.length) return;
    if (performance.now() > deadline || (process.hasEnded && (await process.exit()) !== 0)) {
      throw new Error(`the files were not written; the agent printed:\n${process.output}`);
    }
    await delay(1);
  }
}

function isWritten(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}
