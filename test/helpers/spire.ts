/** A trust domain of SPIRE: server, agent and OIDC discovery provider, on loopback and in a directory of their own. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './agent-process.ts';
import { freePort } from './free-port.ts';
import { getText } from './get-text.ts';
import {
  agentConfig,
  discoveryConfig,
  placesOf,
  serverConfig,
  type Places,
  type ServingCertificate,
  type SpireSettings,
} from './spire-config.ts';
import { runSpire, SpireDaemon, type SpireProgram } from './spire-process.ts';

/** A registration entry, by default for the processes of this test run. */
export interface Entry {
  readonly spiffeId: string;
  /** Those of a pod. */
  readonly selectors?: readonly string[];
  readonly hint?: string;
  /** The first one is the common name of its X.509-SVIDs as well. */
  readonly dnsNames?: readonly string[];
  /** Trust domains whose bundles the server has: see {@link Spire.federate}. */
  readonly federatesWith?: readonly string[];
  /** Instead of the server's. */
  readonly x509TtlSeconds?: number;
  readonly jwtTtlSeconds?: number;
}

/** Starts SPIRE in a directory of its own; its agent attests processes by their user. */
export async function startSpire(settings: SpireSettings = {}): Promise<Spire> {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-spire-'));
  const ports = [await freePort(), await freePort(), await freePort()] as const;
  const spire = new Spire(placesOf(directory, settings, [...ports]), settings);
  try {
    await spire.start();
    return spire;
  } catch (error) {
    await spire[Symbol.asyncDispose]();
    throw error;
  }
}

/** A running SPIRE. */
export class Spire implements AsyncDisposable {
  readonly trustDomain: string;
  /** Address of its Workload API. */
  readonly socket: string;
  /** Where the discovery provider is, and the issuer of JWT-SVIDs. */
  readonly issuer: string;
  /** Where Vault finds the keys of JWT-SVIDs. */
  readonly jwksUrl: string;
  readonly #places: Places;
  readonly #settings: SpireSettings;
  readonly #running = new Map<SpireProgram, SpireDaemon>();
  /** The node, by its alias. */
  readonly #node: string;

  constructor(places: Places, settings: SpireSettings) {
    this.#places = places;
    this.#settings = settings;
    this.trustDomain = places.trustDomain;
    this.socket = `unix://${places.agentSocket}`;
    this.issuer = places.issuer;
    this.jwksUrl = `${places.issuer}/keys`;
    this.#node = `spiffe://${places.trustDomain}/${settings.node ?? 'host'}`;
  }

  async start(): Promise<void> {
    const { directory } = this.#places;
    await this.#launch('spire-server', ['run'], serverConfig(this.#places, this.#settings));
    await this.#healthy('spire-server');
    const token = await this.#server('token', 'generate', '-spiffeID', this.#node, '-ttl', '600');
    const settings = this.#settings.agent?.(directory) ?? {};
    const agent = agentConfig(this.#places, String(token['value']), settings);
    await this.#launch('spire-agent', ['run'], agent, settings.environment);
    const certificate = await this.#servingCertificate();
    await this.#launch('oidc-discovery-provider', [], discoveryConfig(this.#places, certificate));
    await Promise.all([this.#healthy('spire-agent'), this.#published('')]);
  }

  /** The X.509 authorities, PEM. */
  async authorities(): Promise<string> {
    return this.#bundle('pem');
  }

  async register(entry: Entry): Promise<void> {
    await this.#server('entry', 'create', ...this.#entryFlags(entry));
  }

  /** Writes an entry anew; the agent replaces its SVIDs, which are good for long yet. */
  async update(entry: Entry): Promise<void> {
    await this.#server('entry', 'update', ...this.#entryFlags(entry));
  }

  /** Waits until the agent has the SVID of an entry. */
  async untilServed(spiffeId: string): Promise<void> {
    await eventually(
      async () => ((await this.#served())?.includes(spiffeId) === true ? true : undefined),
      'the entry did not reach the agent',
    );
  }

  /** Deletes an entry, and waits until the agent has heard of it. */
  async deregister(spiffeId: string): Promise<void> {
    await this.#server('entry', 'delete', '-entryID', entryId(spiffeId));
    await eventually(
      async () => ((await this.#served())?.includes(spiffeId) === false ? true : undefined),
      'the deletion did not reach the agent',
    );
  }

  /** Trusts another trust domain from now on, whose bundle the server gets from there. */
  async federate(other: Spire): Promise<void> {
    const { trustDomain } = other;
    const path = join(this.#places.directory, `${trustDomain}.json`);
    await writeFile(path, await other.#bundle('spiffe'));
    await this.#server(
      ...['federation', 'create', '-trustDomain', trustDomain],
      ...['-bundleEndpointURL', `https://127.0.0.1:${other.#places.bundlePort}`],
      ...['-bundleEndpointProfile', 'https_spiffe'],
      ...['-endpointSpiffeID', `spiffe://${trustDomain}/spire/server`],
      ...['-trustDomainBundlePath', path, '-trustDomainBundleFormat', 'spiffe'],
    );
  }

  /** Gets the bundle of a federated trust domain now, not in five minutes. */
  async refreshFederation({ trustDomain }: Spire): Promise<void> {
    await this.#server('federation', 'refresh', '-id', `spiffe://${trustDomain}`);
  }

  /** Trusts it no longer; entries that federate with it no longer do. */
  async endFederation({ trustDomain }: Spire): Promise<void> {
    const id = ['-id', `spiffe://${trustDomain}`];
    await this.#server('federation', 'delete', ...id);
    await this.#server('bundle', 'delete', ...id, '-mode', 'dissociate');
  }

  /** Signs JWT-SVIDs with a new key from now on, which is published. */
  async rotateJwtKey(): Promise<void> {
    const id = await this.#prepare('jwt');
    await this.#published(id);
    await this.#server('localauthority', 'jwt', 'activate', '-authorityID', id);
  }

  /** Adds an X.509 authority to the bundle; gives its ID. */
  async prepareX509Authority(): Promise<string> {
    return this.#prepare('x509');
  }

  /** Signs X.509-SVIDs with that authority from now on. */
  async activateX509Authority(id: string): Promise<void> {
    await this.#server('localauthority', 'x509', 'activate', '-authorityID', id);
  }

  /**
   * Removes the authority before the active one from the bundle. The agent has replaced its own SVID before: the server
   * would not know it any more.
   */
  async revokeOldX509Authority(): Promise<void> {
    const shown = await this.#server('localauthority', 'x509', 'show');
    const { authority_id: id } = shown['old'] as { authority_id: string }; // by its interface
    const before = await this.#nodeSerial();
    await this.#server('localauthority', 'x509', 'taint', '-authorityID', id);
    await eventually(
      async () => ((await this.#nodeSerial()) === before ? undefined : true),
      'the agent keeps its SVID of a tainted authority',
    );
    await this.#server('localauthority', 'x509', 'revoke', '-authorityID', id);
  }

  /** Ends the agent, which serves the Workload API, and starts it again. */
  async restart(): Promise<void> {
    await this.stop('spire-agent');
    await this.resume('spire-agent');
  }

  /** Ends one of the programs. */
  async stop(program: SpireProgram): Promise<void> {
    await this.#running.get(program)?.stop('SIGTERM');
  }

  /** Starts one again that was stopped. */
  async resume(program: SpireProgram): Promise<void> {
    await this.#running.get(program)?.start();
    await (program === 'oidc-discovery-provider' ? this.#published('') : this.#healthy(program));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of [...this.#running.values()].reverse()) await daemon.stop('SIGKILL');
    await rm(this.#places.directory, { recursive: true, force: true });
  }

  async #launch(
    program: SpireProgram,
    verb: readonly string[],
    config: string,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const path = join(this.#places.directory, `${program}.conf`);
    await writeFile(path, config, { mode: 0o600 });
    const daemon = new SpireDaemon(program, [...verb, '-config', path], environment);
    this.#running.set(program, daemon);
    await daemon.start();
  }

  #failIfEnded(program: SpireProgram): void {
    const daemon = this.#running.get(program);
    if (daemon?.isRunning !== true) throw new Error(`${program} ended: ${daemon?.output ?? ''}`);
  }

  async #healthy(program: 'spire-server' | 'spire-agent'): Promise<void> {
    const { serverSocket, agentSocket } = this.#places;
    const socket = program === 'spire-server' ? serverSocket : agentSocket;
    await eventually(async () => {
      this.#failIfEnded(program);
      const check = await runSpire(program, ['healthcheck', '-socketPath', socket]).catch(() => 0);
      return check === 0 ? undefined : true;
    }, `${program} is not healthy`);
  }

  /** Waits until the discovery provider has the key. */
  async #published(keyId: string): Promise<void> {
    const { caPem } = this.#settings.discoveryTls ?? {};
    await eventually(async () => {
      this.#failIfEnded('oidc-discovery-provider');
      const keys = await getText(this.jwksUrl, caPem).catch(() => '');
      return keys.includes('"kid"') && keys.includes(keyId) ? true : undefined;
    }, 'the discovery provider does not publish the key');
  }

  async #servingCertificate(): Promise<ServingCertificate> {
    const { directory } = this.#places;
    const tls = this.#settings.discoveryTls;
    if (tls === undefined) return undefined;
    const certFile = join(directory, 'discovery.pem');
    const keyFile = join(directory, 'discovery-key.pem');
    await writeFile(certFile, tls.certPem);
    await writeFile(keyFile, tls.keyPem, { mode: 0o600 });
    return { certFile, keyFile };
  }

  async #prepare(kind: 'jwt' | 'x509'): Promise<string> {
    const answer = await this.#server('localauthority', kind, 'prepare');
    return (answer['prepared_authority'] as { authority_id: string }).authority_id; // by its interface
  }

  /** Serial number of the SVID of the node. */
  async #nodeSerial(): Promise<string | undefined> {
    const { agents } = await this.#server('agent', 'list');
    return (agents as readonly { x509svid_serial_number: string }[])[0]?.x509svid_serial_number; // by its interface
  }

  async #bundle(format: 'pem' | 'spiffe'): Promise<string> {
    const flags = ['-format', format, '-socketPath', this.#places.serverSocket];
    return (await runSpire('spire-server', ['bundle', 'show', ...flags])).stdout;
  }

  #entryFlags(entry: Entry): readonly string[] {
    const { spiffeId, hint, dnsNames = [], federatesWith = [] } = entry;
    const { selectors = [`unix:uid:${process.getuid?.()}`], x509TtlSeconds, jwtTtlSeconds } = entry;
    return [
      ...['-entryID', entryId(spiffeId), '-parentID', this.#node, '-spiffeID', spiffeId],
      ...selectors.flatMap((selector) => ['-selector', selector]),
      ...dnsNames.flatMap((name) => ['-dns', name]),
      ...federatesWith.flatMap((name) => ['-federatesWith', `spiffe://${name}`]),
      ...optional('-hint', hint),
      ...optional('-x509SVIDTTL', x509TtlSeconds),
      ...optional('-jwtSVIDTTL', jwtTtlSeconds),
    ];
  }

  /** What the agent sends to a workload about its X.509-SVIDs; nothing where it has none, undefined where it is too busy to say. */
  async #served(): Promise<string | undefined> {
    const args = ['api', 'fetch', 'x509', '-socketPath', this.#places.agentSocket];
    return runSpire('spire-agent', args).then(
      ({ stdout }) => stdout,
      // The message has what the command printed.
      (error: unknown) => (String(error).includes('DeadlineExceeded') ? undefined : ''),
    );
  }

  /** A command to the server; gives its answer. */
  async #server(...command: readonly string[]): Promise<Record<string, unknown>> {
    const flags = ['-socketPath', this.#places.serverSocket, '-output', 'json'];
    const { stdout } = await runSpire('spire-server', [...command, ...flags]);
    return JSON.parse(stdout) as Record<string, unknown>; // messages are objects
  }
}

function optional(flag: string, value: string | number | undefined): readonly string[] {
  return value === undefined ? [] : [flag, String(value)];
}

function entryId(spiffeId: string): string {
  return spiffeId.replace(/^spiffe:\/\/|\//g, '-').slice(1);
}
