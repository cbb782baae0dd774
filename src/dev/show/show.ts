/**
 * `npm start`: everything on this machine. The real webhook admits a pod, its agent runs as a process, and its
 * secrets change.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VouchsafeError } from '../../core/index.ts';
import { applyJsonPatch, readPod, type Pod } from '../../admission/index.ts';
import type { AgentConfig } from '../../config/agent/index.ts';
import type { NotifyAction } from '../../config/schema/index.ts';
import { Latest } from '../../async/index.ts';
import { ended, type AgentLine } from './agent-process.ts';
import type { Command } from './child-process.ts';
import type { ShowConsole } from './console.ts';
import type { Identities } from './identities.ts';
import { injectedConfig, startLocalPod, type LocalPod, type LocalPodOptions } from './local-pod.ts';
import { openIdentities, openVault, type OpenOptions } from './open.ts';
import { startStandIn } from './stand-in.ts';
import type { ShownVault } from './vaults.ts';
import { startWebhook } from './webhook-process.ts';

/** How long the demo waits for the first refresh with `once`. */
const REFRESH_TIMEOUT_MS = 120_000;

export interface ShowOptions extends OpenOptions {
  /** The pod's manifest, before injection. */
  readonly pod: unknown;
  readonly owner: string;
  readonly valuesPath: string | undefined;
  readonly kubeVersion: string | undefined;
  /** Ends after the first refresh. */
  readonly once: boolean;
  /** Directory of the rendered volume. Default: a temporary one, removed at the end. */
  readonly outputDirectory: string | undefined;
  readonly agentCommand: Command;
  readonly webhookCommand: Command;
}

/** Shows one pod until the first refresh or until `signal` aborts. Removes everything but `outputDirectory` at its end. */
export async function showPod(
  options: ShowOptions,
  console: ShowConsole,
  signal: AbortSignal,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-dev-'));
  try {
    await new Show(options, console, directory).run(signal);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

class Show {
  readonly #options: ShowOptions;
  readonly #console: ShowConsole;
  readonly #directory: string;
  readonly #outputDirectory: string;
  /** Paths changed by the newest delivery. */
  readonly #deliveries = new Latest<readonly string[]>();
  readonly #notified = new Latest<string>();

  constructor(options: ShowOptions, console: ShowConsole, directory: string) {
    this.#options = options;
    this.#console = console;
    this.#directory = directory;
    this.#outputDirectory = options.outputDirectory ?? join(directory, 'secrets');
  }

  async run(signal: AbortSignal): Promise<void> {
    const pod = await this.#admit();
    const config = await injectedConfig(pod);
    await using stack = new AsyncDisposableStack();
    const identities = stack.use(await this.#identities(config, pod, signal));
    const vault = stack.use(await this.#vault(config, identities));
    const standIn = await startStandIn(signalledContainer(config), (what) => {
      this.#console.fact(`application | ${what}`);
      this.#notified.set(what);
    });
    stack.defer(() => standIn.stop());
    this.#console.step('starting the injected containers');
    const places = {
      socket: identities.socket,
      vaultAddress: vault.address,
      vaultNamespace: this.#options.vault?.namespace,
      vaultCaFile: this.#options.vault?.caFile,
      vaultCaPem: vault.caPem,
      vaultProxy: this.#options.vault?.proxy,
      applicationPort: standIn.port,
    };
    const local = await this.#start(pod, identities, places, signal);
    stack.defer(async () => {
      this.#console.step('stopping: the agent revokes its credentials');
      await local.stop();
    });
    await this.#first(config, local, signal);
    await this.#refresh(config, vault, local, signal);
  }

  async #admit(): Promise<Pod> {
    const { pod, owner, namespace, webhookCommand, valuesPath, kubeVersion } = this.#options;
    this.#console.step(`admitting ${owner} (namespace ${namespace}) through the webhook`);
    const webhook = await startWebhook({
      command: webhookCommand,
      directory: this.#directory,
      valuesPath,
      kubeVersion,
    });
    try {
      this.#console.fact(`POST https://${webhook.address}/mutate`);
      return this.#patched(pod, await webhook.review(pod, namespace));
    } finally {
      await webhook.stop();
    }
  }

  #patched(pod: unknown, answer: unknown): Pod {
    const response = (answer as { response?: Record<string, unknown>; message?: string }).response;
    if (response === undefined) {
      throw new VouchsafeError('ERR_ADMISSION_MALFORMED', 'the webhook returned no response');
    }
    const { allowed, patch, warnings, status } = response;
    if (Array.isArray(warnings)) {
      for (const warning of warnings) this.#console.fact(`warning: ${String(warning)}`);
    }
    if (allowed !== true) {
      const { message = '' } = (status ?? {}) as { message?: string };
      throw new VouchsafeError('ERR_ADMISSION_DENIED', message);
    }
    if (typeof patch !== 'string') {
      throw new VouchsafeError(
        'ERR_ADMISSION_DENIED',
        'the webhook did not change the pod; set the annotation vouchsafe.dev/inject: "true"',
      );
    }
    const operations: unknown = JSON.parse(Buffer.from(patch, 'base64').toString());
    const patched = readPod(applyJsonPatch(pod, operations));
    const added = [...(patched.spec.initContainers ?? []), ...patched.spec.containers]
      .map(({ name }) => name)
      .filter((name) => name.startsWith('vouchsafe-'));
    const count = Array.isArray(operations) ? operations.length : 0;
    this.#console.fact(`allowed, ${count} patch operations; added: ${added.join(', ')}`);
    return patched;
  }

  async #identities(config: AgentConfig, pod: Pod, signal: AbortSignal): Promise<Identities> {
    const { socket } = this.#options;
    this.#console.step(
      `identity: ${socket === undefined ? 'embedded' : 'the Workload API of this machine'}`,
    );
    const identities = await openIdentities(config, pod, this.#options, signal);
    this.#console.fact(`Workload API at ${identities.socket}`);
    this.#console.fact(`this pod is ${identities.subject}`);
    this.#console.fact(`its keys: ${identities.oidc.url}/keys`);
    return identities;
  }

  async #vault(config: AgentConfig, identities: Identities): Promise<ShownVault> {
    const { vault } = this.#options;
    this.#console.step(`Vault: ${vault === undefined ? 'embedded' : vault.address}`);
    const { shown, needs } = await openVault(config, identities, this.#options);
    if (shown.isReal) {
      const role = config.auth?.role ?? 'its default role';
      this.#console.fact(`used as it is; auth/${config.auth?.mount ?? ''} must have ${role}`);
    } else {
      this.#console.fact(`${shown.address}, with sample values for what the pod reads:`);
      for (const { dependency } of needs) this.#console.fact(`  ${dependency.path}`);
    }
    return shown;
  }

  async #start(
    pod: Pod,
    identities: Identities,
    places: LocalPodOptions['places'],
    signal: AbortSignal,
  ): Promise<LocalPod> {
    const { configMaps, agentCommand } = this.#options;
    await mkdir(this.#outputDirectory, { recursive: true });
    const local = await startLocalPod(
      {
        pod,
        configMaps,
        directory: join(this.#directory, 'volumes'),
        outputDirectory: this.#outputDirectory,
        command: agentCommand,
        places,
        serviceAccountToken: (audience) => identities.serviceAccountToken(audience),
        onLine: (container, line) => this.#onLine(container, line),
      },
      signal,
    );
    this.#console.fact(`volume ${this.#outputDirectory}`);
    return local;
  }

  #onLine(container: string, line: AgentLine): void {
    this.#console.agentLine(container, line);
    const { changed } = line;
    if (line.message === 'files delivered' && changed !== undefined) this.#deliveries.set(changed);
  }

  /** Prints the first delivery. */
  async #first(config: AgentConfig, local: LocalPod, signal: AbortSignal): Promise<void> {
    await this.#orEnded(local, this.#deliveries.wait(signal));
    this.#console.step('the files, as the application sees them');
    await this.#console.files(config, this.#outputDirectory);
    const address = await local.agent?.address;
    if (address !== undefined) this.#console.fact(`status: http://${address}/status`);
  }

  async #refresh(
    config: AgentConfig,
    vault: ShownVault,
    local: LocalPod,
    signal: AbortSignal,
  ): Promise<void> {
    const { once } = this.#options;
    if (local.agent === undefined) {
      this.#console.fact('mode init: nothing refreshes these files');
      return;
    }
    this.#announce(vault);
    const [rotation] = vault.rotations;
    await rotation?.rotate();
    const limit = AbortSignal.timeout(REFRESH_TIMEOUT_MS);
    const until = once ? AbortSignal.any([signal, limit]) : signal;
    try {
      await this.#orEnded(local, this.#follow(config, until));
    } catch (error) {
      if (signal.aborted) return;
      if (limit.aborted) throw noRefresh();
      throw error;
    }
  }

  #announce(vault: ShownVault): void {
    const [rotation] = vault.rotations;
    if (rotation !== undefined) {
      this.#console.step(`rotating ${rotation.path} in Vault`);
    } else if (vault.isReal) {
      this.#console.step('waiting for a change in Vault (set VAULT_TOKEN to have one made)');
    } else {
      this.#console.step('waiting for the first lease or SVID to be replaced');
    }
  }

  /** Prints each further delivery; with `once`, until the application has been notified of the first one. */
  async #follow(config: AgentConfig, signal: AbortSignal): Promise<void> {
    let isFirst = true;
    for await (const changed of this.#deliveries.updates(signal)) {
      if (isFirst) {
        isFirst = false;
        continue;
      }
      this.#console.fact(`changed: ${changed.join(', ')}`);
      await this.#console.files(config, this.#outputDirectory, changed);
      if (!this.#options.once) continue;
      const actions = [
        ...config.onChange,
        ...config.files
          .filter(({ path }) => changed.includes(path))
          .flatMap((file) => file.onChange),
      ];
      if (actions.length > 0) await this.#notified.wait(signal);
      return;
    }
  }

  /** Waits for a result of the agent, and fails if the agent exits before. */
  async #orEnded<T>(local: LocalPod, work: Promise<T>): Promise<T> {
    const { agent } = local;
    if (agent === undefined) return work;
    const over = agent.exited.then((code): never => {
      throw ended(agent.name, code);
    });
    over.catch(() => undefined);
    return Promise.race([work, over]);
  }
}

function signalledContainer({ onChange, files }: AgentConfig): string {
  const actions: readonly NotifyAction[] = [...onChange, ...files.flatMap((file) => file.onChange)];
  const named = actions.find((action) => action.kind !== 'http');
  return named === undefined ? 'application' : named.container;
}

function noRefresh(): VouchsafeError {
  return new VouchsafeError(
    'ERR_AGENT_DEADLINE',
    `no file changed within ${REFRESH_TIMEOUT_MS / 1000} s; change a secret in Vault, or set VAULT_TOKEN`,
  );
}
