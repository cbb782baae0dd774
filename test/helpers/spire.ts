/** SPIRE as processes: server, agent and OIDC discovery provider, on loopback and in a directory of their own. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { createTrustDomain } from '../../src/dev/workload-api/index.ts';
import { systemClock } from '../../src/platform/index.ts';
import { eventually } from './agent-process.ts';
import { freePort } from './free-port.ts';
import type { Entry, IdentityProvider } from './identity-provider.ts';
import {
  agentConfig,
  agentSocketOf,
  discoveryConfig,
  serverConfig,
  TRUST_DOMAIN,
  type AgentSettings,
} from './spire-config.ts';
import { socketPath } from './temp-directory.ts';

/** The node, by its alias. */
const HOST = `spiffe://${TRUST_DOMAIN}/host`;
const PROGRAMS = ['spire-server', 'spire-agent', 'oidc-discovery-provider'] as const;
type Program = (typeof PROGRAMS)[number];

/** What lacks on PATH; undefined where all programs of SPIRE are there. */
export function missingSpire(): string | undefined {
  const missing = PROGRAMS.filter((program) => !isOnPath(program));
  if (missing.length === 0) return undefined;
  return `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not on PATH`;
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Version of the SPIRE on PATH. */
export async function spireVersion(): Promise<string> {
  const { stdout, stderr } = await run('spire-server', ['--version']);
  return `${stdout}${stderr}`.trim(); // it is printed as an error
}

/** Starts SPIRE in a directory of its own; its agent attests processes by their user. */
export async function startSpire(
  settings: (directory: string) => AgentSettings = () => ({}),
): Promise<IdentityProvider> {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-spire-'));
  const spire = new Spire(directory, settings(directory));
  try {
    await spire.start();
    return spire;
  } catch (error) {
    await spire[Symbol.asyncDispose]();
    throw error;
  }
}

class Spire implements IdentityProvider {
  readonly socket: string;
  jwksUrl = '';
  readonly #directory: string;
  readonly #settings: AgentSettings;
  readonly #serverSocket: string;
  readonly #agentSocket: string;
  readonly #running = new Map<Program, Daemon>();

  constructor(directory: string, settings: AgentSettings) {
    this.#directory = directory;
    this.#settings = settings;
    this.#serverSocket = socketPath(directory, 'server.sock');
    this.#agentSocket = agentSocketOf(directory);
    this.socket = `unix://${this.#agentSocket}`;
  }

  async start(): Promise<void> {
    const serverPort = await freePort();
    await this.#launch('spire-server', ['run'], serverConfig(this.#directory, serverPort));
    await this.#healthy('spire-server', this.#serverSocket);
    const token = await this.#server('token', 'generate', '-spiffeID', HOST, '-ttl', '600');
    const agent = agentConfig(this.#directory, {
      serverPort,
      joinToken: String(token['value']),
      settings: this.#settings,
    });
    await this.#launch('spire-agent', ['run'], agent);
    await this.#healthy('spire-agent', this.#agentSocket);
    const port = await freePort();
    await this.#launch('oidc-discovery-provider', [], discoveryConfig(this.#serverSocket, port));
    this.jwksUrl = `http://localhost:${port}/keys`;
    await eventually(async () => {
      const response = await fetch(this.jwksUrl).catch(() => undefined);
      return response?.ok === true ? true : undefined;
    }, 'the discovery provider does not answer');
  }

  async authorities(): Promise<string> {
    const socket = ['-socketPath', this.#serverSocket];
    return (await run('spire-server', ['bundle', 'show', ...socket])).stdout;
  }

  async register(entry: Entry): Promise<void> {
    const { spiffeId, hint, dnsNames = [], federatesWith = [] } = entry;
    const { selectors = [`unix:uid:${process.getuid?.()}`] } = entry;
    await this.#server(
      ...['entry', 'create', '-entryID', entryId(spiffeId)],
      ...['-parentID', HOST, '-spiffeID', spiffeId],
      ...selectors.flatMap((selector) => ['-selector', selector]),
      ...(hint === undefined ? [] : ['-hint', hint]),
      ...dnsNames.flatMap((name) => ['-dns', name]),
      ...federatesWith.flatMap((name) => ['-federatesWith', `spiffe://${name}`]),
    );
  }

  async federate(trustDomain: string): Promise<string> {
    const { bundlePem } = createTrustDomain(trustDomain, systemClock);
    const path = join(this.#directory, `${trustDomain}.pem`);
    await writeFile(path, bundlePem);
    await this.#server('bundle', 'set', '-id', `spiffe://${trustDomain}`, '-path', path);
    return bundlePem;
  }

  async endFederation(trustDomain: string): Promise<void> {
    await this.#server('bundle', 'delete', '-id', `spiffe://${trustDomain}`, '-mode', 'dissociate');
  }

  async deregister(spiffeId: string): Promise<void> {
    await this.#server('entry', 'delete', '-entryID', entryId(spiffeId));
    await eventually(
      async () => ((await this.#served()).includes(spiffeId) ? undefined : true),
      'the deletion did not reach the agent',
    );
  }

  async rotateJwtKey(): Promise<void> {
    const answer = await this.#server('localauthority', 'jwt', 'prepare');
    const { authority_id: id } = answer['prepared_authority'] as { authority_id: string }; // by its interface
    await eventually(
      async () => ((await (await fetch(this.jwksUrl)).text()).includes(id) ? true : undefined),
      'the discovery provider does not publish the new key',
    );
    await this.#server('localauthority', 'jwt', 'activate', '-authorityID', id);
  }

  async restart(): Promise<void> {
    const agent = this.#running.get('spire-agent');
    await agent?.stop('SIGTERM');
    await agent?.start();
    await this.#healthy('spire-agent', this.#agentSocket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of [...this.#running.values()].reverse()) await daemon.stop('SIGKILL');
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #launch(program: Program, verb: readonly string[], config: object | string): Promise<void> {
    const path = join(this.#directory, `${program}.conf`);
    const text = typeof config === 'string' ? config : JSON.stringify(config);
    await writeFile(path, text, { mode: 0o600 });
    const daemon = new Daemon(program, [...verb, '-config', path]);
    this.#running.set(program, daemon);
    await daemon.start();
  }

  async #healthy(program: Program, socket: string): Promise<void> {
    await eventually(async () => {
      const daemon = this.#running.get(program);
      if (daemon?.isRunning !== true) throw new Error(`${program} ended: ${daemon?.output ?? ''}`);
      const check = await run(program, ['healthcheck', '-socketPath', socket]).catch(() => 'no');
      return check === 'no' ? undefined : true;
    }, `${program} is not healthy`);
  }

  /** What the agent sends to a workload about its X.509-SVIDs; nothing where it has none. */
  async #served(): Promise<string> {
    const args = ['api', 'fetch', 'x509', '-socketPath', this.#agentSocket];
    return run('spire-agent', args).then(
      ({ stdout }) => stdout,
      () => '',
    );
  }

  /** A command to the server; gives its answer. */
  async #server(...command: readonly string[]): Promise<Record<string, unknown>> {
    const flags = ['-socketPath', this.#serverSocket, '-output', 'json'];
    const { stdout } = await run('spire-server', [...command, ...flags]);
    return JSON.parse(stdout) as Record<string, unknown>; // messages are objects
  }
}

/** A program that runs until it is stopped, and may be started again. */
class Daemon {
  output = '';
  readonly #program: Program;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;

  constructor(program: Program, args: readonly string[]) {
    this.#program = program;
    this.#args = args;
  }

  get isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  async start(): Promise<void> {
    const env = { PATH: process.env['PATH'] ?? '' };
    const child = spawn(this.#program, this.#args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output = (this.output + text).slice(-16_000);
      });
    }
    this.#child = child;
    await once(child, 'spawn');
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.#child === undefined || !this.isRunning) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }
}

async function run(
  program: Program,
  args: readonly string[],
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return promisify(execFile)(program, args, { timeout: 30_000 });
}

function entryId(spiffeId: string): string {
  return spiffeId.replace(/^spiffe:\/\/|\//g, '-').slice(1);
}
