/**
 * A fleet of real engines in one process, on one virtual clock, before one model of Vault. Only what is around
 * an engine is modelled: Vault, the Workload API, the volume. Templates are those of the product.
 */
import {
  Agent,
  type FilesPort,
  type IdentityPort,
  type NotifierPort,
  type TemplatePort,
  type WriterPort,
} from '../../src/agent/index.ts';
import { parseAgentConfig, type AgentConfig } from '../../src/config/agent/index.ts';
import { NO_LOGGER, parseSpiffeId, Secret, type Random } from '../../src/core/index.ts';
import { LOCAL_TEMPLATES } from '../../src/agent-runtime/index.ts';
import { parseTemplate, type Template } from '../../src/template/index.ts';
import { seededRandom } from '../helpers/random.ts';
import { FleetVault, type Lives } from './fleet-vault.ts';
import { VirtualClock } from './virtual-clock.ts';

/** KV secrets of each agent, at the default refresh of five minutes. */
const KV_SECRETS = 3;

/** One agent in so many has a credential of a database as well. */
const DYNAMIC_EVERY = 5;

/** The file of the credential, which is confirmed at its renewals alone. */
const DATABASE = 'database';

/** All agents start within this time. */
const START_MS = 1000;

/** Beyond its refresh a read may take a moment. */
const FRESH_MS = 301_000;

/** One agent with what it has delivered. */
export interface Member {
  readonly agent: Agent<Template>;
  readonly hasLease: boolean;
  /** What the KV files hold; all of them are the same but while a change is under way. */
  readonly versions: number[];
  /** What the credential file holds. */
  username: string;
}

/** What {@link startFleet} needs. */
export interface FleetOptions {
  readonly agents: number;
  readonly lives: Lives;
  readonly seed: number;
}

/** A fleet at work. */
export interface Fleet {
  readonly clock: VirtualClock;
  readonly vault: FleetVault;
  readonly members: readonly Member[];
  /** Stops every agent, lets it revoke what it holds, and waits for that. */
  stop(): Promise<void>;
}

/** Starts all agents within one second of virtual time that has not begun yet. */
export function startFleet({ agents, lives, seed }: FleetOptions): Fleet {
  const clock = new VirtualClock();
  const random = seededRandom(seed);
  const vault = new FleetVault(lives, clock, random);
  // One each: a signal that ten thousand share looks through ten thousand listeners at every wait.
  const stopping: AbortController[] = [];
  const configs = { plain: agentConfig(false), leased: agentConfig(true) };
  const common = { vault: vault.port, identity: identityOf(clock), clock, random };
  const running: Promise<void>[] = [];
  const members = Array.from({ length: agents }, (_, index): Member => {
    const hasLease = index % DYNAMIC_EVERY === 0;
    const delivered = { versions: Array.from({ length: KV_SECRETS }, () => 0), username: '' };
    const config = hasLease ? configs.leased : configs.plain;
    const agent = new Agent({
      ...common,
      config,
      templates: TEMPLATES,
      notifier: NO_NOTIFIER,
      files: NO_FILES,
      stateFile: undefined,
      logger: NO_LOGGER,
      writer: writerOf(delivered),
    });
    const controller = new AbortController();
    stopping.push(controller);
    running.push(runLater(agent, { clock, random, signal: controller.signal }));
    return Object.assign(delivered, { agent, hasLease });
  });
  return {
    clock,
    vault,
    members,
    async stop() {
      const reason = new DOMException('the simulation ends', 'AbortError');
      for (const controller of stopping) controller.abort(reason);
      await clock.runUntil(clock.monotonicMs() + 60_000);
      await Promise.all(running);
    },
  };
}

/** Whether nothing fails, and what is in the KV files was confirmed within their refresh. */
export function isFresh({ agent }: Member): boolean {
  const { phase, files } = agent.status();
  return (
    phase === 'ready' &&
    files.every(({ name, age_seconds: age }) => name === DATABASE || age * 1000 <= FRESH_MS)
  );
}

async function runLater(
  agent: Agent<Template>,
  { clock, random, signal }: { clock: VirtualClock; random: Random; signal: AbortSignal },
): Promise<void> {
  await clock.sleep(START_MS * random.next(), signal);
  await agent.run(signal);
}

function agentConfig(hasLease: boolean): AgentConfig {
  const kv = Array.from({ length: KV_SECRETS }, (_, index) => ({
    name: `kv-${index}`,
    template: `{{#with (secret "kv/app-${index}")}}{{version}}{{/with}}`,
  }));
  const database = {
    name: DATABASE,
    template: '{{#with (secret "database/creds/app")}}{{username}}{{/with}}',
  };
  return parseAgentConfig({
    apiVersion: 'vouchsafe.dev/v1',
    kind: 'AgentConfig',
    spiffe: { socket: 'unix:///run/spire/agent.sock' },
    vault: { address: 'https://vault.test:8200' },
    auth: { role: 'web' },
    files: hasLease ? [...kv, database] : kv,
  });
}

/** Ten thousand agents parse the same few templates: once is enough. */
const parsed = new Map<string, Template>();
const TEMPLATES: TemplatePort<Template> = {
  ...LOCAL_TEMPLATES,
  parseTemplate(source, name) {
    const known = parsed.get(source) ?? parseTemplate(source, name);
    parsed.set(source, known);
    return known;
  },
};

const NO_NOTIFIER: NotifierPort = { notify: () => Promise.resolve() };

const NO_FILES: FilesPort = {
  read: () => Promise.reject(new Error('ENOENT')),
  async *watch() {
    // No agent of the fleet has a mounted template.
  },
};

function identityOf(clock: VirtualClock): IdentityPort {
  const spiffeId = parseSpiffeId('spiffe://example.org/web');
  const none = (): Promise<never> => Promise.reject(new Error('not part of the simulation'));
  return {
    lastError: undefined,
    jwtSvid: () =>
      Promise.resolve({
        spiffeId,
        token: new Secret('a.b.c'),
        issuedAtMs: clock.now(),
        expiresAtMs: clock.now() + 300_000,
      }),
    x509Svid: none,
    async *x509Updates() {
      yield await none();
    },
  };
}

/** Notes what the files hold. */
function writerOf(delivered: { readonly versions: number[]; username: string }): WriterPort {
  const texts = new Map<string, string>();
  return {
    write(files) {
      const changed: string[] = [];
      for (const { path, content } of files) {
        const text = Buffer.from(content).toString();
        if (texts.get(path) === text) continue;
        texts.set(path, text);
        changed.push(path);
        if (path === DATABASE) delivered.username = text;
        else delivered.versions[Number(path.slice('kv-'.length))] = Number(text);
      }
      return Promise.resolve({ changed, swapped: changed.length > 0 });
    },
  };
}
