/** An agent on a test's clock, with a Vault in memory, files in memory and templates of the real engine. */
import type { TestContext } from 'node:test';
import {
  Agent,
  type NotifierPort,
  type StartGate,
  type StateFile,
  type WriterPort,
} from '../../src/agent/index.ts';
import { parseAgentConfig, type AgentConfig } from '../../src/config/agent/index.ts';
import type { NotifyAction } from '../../src/config/schema/index.ts';
import type { VouchsafeError } from '../../src/core/index.ts';
import { Latest } from '../../src/async/index.ts';
import { LOCAL_TEMPLATES } from '../../src/agent-runtime/index.ts';
import type { Template } from '../../src/template/index.ts';
import { FakeClock, settle } from './fake-clock.ts';
import { ModelIdentity } from './model-identity.ts';
import { ModelVault } from './model-vault.ts';
import { constantRandom } from './random.ts';
import { recordingLogger } from './recorder.ts';

/** Limit of a wait for what real files bring about; it ends by that long before. */
const PATIENCE_MS = 30_000;

/** The part of a document that is the same for most tests. */
const DOCUMENT = {
  apiVersion: 'vouchsafe.dev/v1',
  kind: 'AgentConfig',
  spiffe: { socket: 'unix:///run/spire/agent.sock' },
  vault: { address: 'https://vault.test:8200' },
  auth: { role: 'web' },
};

/** A config from the settings that matter to a test. */
export function agentConfig(document: Readonly<Record<string, unknown>>): AgentConfig {
  return parseAgentConfig({ ...DOCUMENT, ...document });
}

/** Keeps the files in memory. */
export class MemoryWriter implements WriterPort {
  /** Path -> text, as a reader sees it. */
  readonly files = new Map<string, string>();
  writes = 0;
  swaps = 0;
  failure: VouchsafeError | undefined;
  /** Called with what is about to be written; may reject it. */
  before: (texts: ReadonlyMap<string, string>) => Promise<void> = () => Promise.resolve();

  async write(files: Parameters<WriterPort['write']>[0]): ReturnType<WriterPort['write']> {
    this.writes += 1;
    const texts = new Map(
      files.map(({ path, content }) => [path, Buffer.from(content).toString()]),
    );
    await this.before(texts);
    if (this.failure !== undefined) throw this.failure;
    const paths = new Set([...texts.keys(), ...this.files.keys()]);
    const changed = [...paths].filter((path) => texts.get(path) !== this.files.get(path));
    for (const path of changed) this.files.delete(path);
    for (const [path, text] of texts) this.files.set(path, text);
    if (changed.length > 0) this.swaps += 1;
    return { changed, swapped: changed.length > 0 };
  }

  get(path: string): string | undefined {
    return this.files.get(path);
  }
}

/** Keeps the notifications that the application would have got. */
export class MemoryNotifier implements NotifierPort {
  readonly notified: (readonly NotifyAction[])[] = [];
  /** Called before each notification is done; without a notification nothing is waited for. */
  before: () => Promise<void> = () => Promise.resolve();

  async notify(actions: readonly NotifyAction[]): Promise<void> {
    if (actions.length === 0) return;
    await this.before();
    this.notified.push(actions);
  }
}

/** What surrounds the agents of one test: it outlives each of them, as a pod does. */
export class Harness {
  readonly clock = new FakeClock();
  readonly logger = recordingLogger();
  readonly vault: ModelVault;
  /** The Vaults of the logins that have a name. */
  readonly vaults = new Map<string, ModelVault>();
  readonly identity = new ModelIdentity(this.clock);
  readonly writer = new MemoryWriter();
  readonly notifier = new MemoryNotifier();
  /** Mounted templates, by path. */
  readonly templates = new Map<string, string>();
  readonly templatesChanged = new Latest<undefined>();
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
    this.vault = new ModelVault(this.clock, t);
    this.templatesChanged.set(undefined);
  }

  /** One more Vault, for a login of that name. */
  addVault(login: string): ModelVault {
    const vault = new ModelVault(this.clock, this.#t);
    this.vaults.set(login, vault);
    return vault;
  }

  agent(
    document: Readonly<Record<string, unknown>>,
    stateFile?: StateFile,
    startGate?: StartGate,
  ): Agent<Template> {
    const config = agentConfig(document);
    return new Agent({
      config,
      vault: config.auth === undefined ? undefined : this.vault,
      vaults: this.vaults,
      identity: config.spiffe === undefined ? undefined : this.identity,
      templates: LOCAL_TEMPLATES,
      writer: this.writer,
      notifier: this.notifier,
      files: {
        read: (path) => {
          const text = this.templates.get(path);
          return text === undefined ? Promise.reject(new Error('ENOENT')) : Promise.resolve(text);
        },
        watch: async function* (this: Harness, _: readonly string[], signal: AbortSignal) {
          for await (const _change of this.templatesChanged.updates(signal)) yield;
        }.bind(this),
      },
      stateFile,
      startGate,
      clock: this.clock,
      random: constantRandom(),
      logger: this.logger,
    });
  }

  /** Starts an agent that runs until the test ends or stops it. */
  async start(
    document: Readonly<Record<string, unknown>>,
    stateFile?: StateFile,
  ): Promise<Running> {
    return this.run((agent, signal) => agent.run(signal), this.agent(document, stateFile));
  }

  /** Starts any work of an agent. */
  async run(
    work: (agent: Agent<Template>, signal: AbortSignal) => Promise<void>,
    agent: Agent<Template>,
  ): Promise<Running> {
    const controller = new AbortController();
    let outcome: Running['outcome'];
    const done = work(agent, controller.signal).then(
      () => (outcome = { error: undefined }),
      (error: unknown) => (outcome = { error }),
    );
    const running: Running = {
      agent,
      get outcome() {
        return outcome;
      },
      async stop() {
        controller.abort(new DOMException('stopped by the test', 'AbortError'));
        await settle();
        await this.end();
      },
      kill: () => controller.abort(new DOMException('killed', 'AbortError')),
      end: async () => {
        // Files are real and take real time, on a busy machine more of it.
        const deadline = performance.now() + PATIENCE_MS;
        while (outcome === undefined && performance.now() < deadline) {
          await this.clock.advance(1000);
        }
        if (outcome === undefined) throw new Error('the agent does not end');
        await done;
      },
    };
    this.#t.after(() => running.stop());
    await settle();
    return running;
  }
}

/** An agent at work. */
export interface Running {
  readonly agent: Agent<Template>;
  /** Undefined while it runs. */
  readonly outcome: { readonly error: unknown } | undefined;
  /** Stops it as SIGTERM does, and waits for its end. */
  stop(): Promise<void>;
  /** Aborts it without waiting. */
  kill(): void;
  /** Waits for its end, letting time pass. */
  end(): Promise<void>;
}

/** A file with an inline template. */
export function templateFile(
  name: string,
  template: string,
  more: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return { name, template, ...more };
}
