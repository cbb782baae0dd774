/** What the soak watches besides the files: what the agent lets out, what it needs, and what Vault has been asked. */
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { RunningAgent } from '../helpers/agent-process.ts';
import type { Json, RealVault } from '../helpers/real-vault.ts';
import type { Ledger } from './ledger.ts';
import { mostRequests, type PastFault, type Requests } from './settings.ts';
import type { SoakWorld } from './world.ts';

const SEARCH_INTERVAL_MS = 1000;
const SAMPLE_INTERVAL_MS = 1000;
const COUNT_INTERVAL_MS = 20_000;
/** Lines kept of what the agents have printed, for the report of a violation. */
const KEPT_LINES = 60;
/** Most tokens and leases of the agent that Vault has at once: see {@link Watch.sample}. */
const MOST_TOKENS = 12;
const MOST_LEASES = 24;
/** When an agent that was started needs what it needs from then on, and how much later that is compared. */
const SETTLED_MS = 15_000;
const COMPARED_MS = 60_000;
/**
 * What an agent may need more than when it had settled: V8 lets its old generation grow once by some 10 MiB
 * before it cleans it for the first time, and stays there.
 */
const GROWTH = { rssMiB: 24, descriptors: 8 } as const;

type Need = 'rssMiB' | 'descriptors';

/** What an agent needed at one moment. */
export interface Sample extends Readonly<Record<Need, number>> {
  readonly pid: number;
  readonly atMs: number;
}

/** What the agent that grew most needed when it had settled, and the most afterwards. */
export type Growth = Readonly<Record<Need, readonly [number, number]>>;

/** Compares each agent with itself: one that was killed starts again. */
export function growthOf(samples: readonly Sample[], need: Need): readonly [number, number] {
  const agents = Map.groupBy(samples, ({ pid }) => pid);
  let most: readonly [number, number] = [0, 0];
  for (const all of agents.values()) {
    const bornMs = all[0]?.atMs ?? 0;
    const largest = (fromMs: number, toMs: number): number | undefined => {
      const within = all.filter(({ atMs }) => atMs >= bornMs + fromMs && atMs < bornMs + toMs);
      return within.length === 0 ? undefined : Math.max(...within.map((sample) => sample[need]));
    };
    const settled = largest(0, SETTLED_MS);
    const later = largest(COMPARED_MS, Infinity);
    if (settled === undefined || later === undefined) continue;
    if (most[0] === 0 || later - settled > most[1] - most[0]) most = [settled, later];
  }
  return most;
}

/** Watches until the ledger's end. */
export class Watch {
  /** Whether `/status` has reported nothing amiss. */
  isReady = false;
  readonly lastLines: string[] = [];
  mostTokens = 0;
  mostLeases = 0;
  readonly #world: SoakWorld;
  readonly #ledger: Ledger;
  readonly #samples: Sample[] = [];

  constructor(world: SoakWorld, ledger: Ledger) {
    this.#world = world;
    this.#ledger = ledger;
    world.onStart = (agent) => void this.#follow(agent);
  }

  /** Looks at what the agent shows on its port. */
  async port(): Promise<void> {
    while (!this.#ledger.signal.aborted) {
      const status = await this.#world.ask('/status');
      this.isReady = status?.includes('"phase": "ready"') === true;
      await this.#search({ '/status': status, '/metrics': await this.#world.ask('/metrics') });
      await delay(SEARCH_INTERVAL_MS / 2);
    }
  }

  /** Measures the agent, and how much of it Vault has. */
  async sample(): Promise<void> {
    const { vault } = this.#world;
    while (!this.#ledger.signal.aborted) {
      const pid = this.#world.agent?.pid;
      const need = pid === undefined ? undefined : await needOf(pid);
      if (pid !== undefined && need !== undefined) {
        this.#samples.push({ pid, atMs: this.#ledger.nowMs, ...need });
      }
      const tokens = await lengthOf(vault, 'auth/token/accessors');
      const leases = await lengthOf(vault, 'sys/leases/lookup/database/creds/app');
      this.mostTokens = Math.max(this.mostTokens, tokens);
      this.mostLeases = Math.max(this.mostLeases, leases);
      this.#bounded('tokens in Vault', tokens, MOST_TOKENS);
      this.#bounded('leases in Vault', leases, MOST_LEASES);
      await delay(SAMPLE_INTERVAL_MS);
    }
  }

  /** Counts what Vault was asked, now and then; `faults` gives those so far. */
  async counts(faults: () => readonly PastFault[]): Promise<void> {
    while (!this.#ledger.signal.aborted) {
      await this.count(faults());
      await delay(COUNT_INTERVAL_MS, undefined, { signal: this.#ledger.signal }).catch(
        () => undefined,
      );
    }
  }

  /** Counts once. */
  async count(faults: readonly PastFault[]): Promise<{ asked: Requests; most: Requests }> {
    const requests = await this.#world.vault.audited();
    const count = (path: string, operation: string): number =>
      requests.filter((one) => one.path.startsWith(path) && one.operation === operation).length;
    const asked: Requests = {
      logins: count('auth/jwt/login', 'update'),
      credentials: count('database/creds/app', 'read'),
      certificates: count('pki/issue/web', 'update'),
      reads: count('secret/data/', 'read'),
    };
    const goodLogins = requests.filter(
      ({ path, error }) => path === 'auth/jwt/login' && error === undefined,
    ).length;
    const most = mostRequests(this.#ledger.nowMs, goodLogins, faults);
    for (const name of ['logins', 'credentials', 'certificates', 'reads'] as const) {
      this.#bounded(name, asked[name], most[name]);
    }
    return { asked, most };
  }

  /** How much an agent grows with its age. */
  growth(): Growth {
    const growth = {
      rssMiB: growthOf(this.#samples, 'rssMiB'),
      descriptors: growthOf(this.#samples, 'descriptors'),
    };
    for (const need of ['rssMiB', 'descriptors'] as const) {
      const [settled, later] = growth[need];
      this.#bounded(`${need} of an agent that ages`, later, settled + GROWTH[need]);
    }
    return growth;
  }

  #bounded(what: string, is: number, most: number): void {
    this.#ledger.require(`${what} are bounded`, is <= most, `${is}, at most ${most}`);
  }

  /** Reads everything that an agent prints, line by line, until its end. */
  async #follow(agent: RunningAgent): Promise<void> {
    const ended = new AbortController();
    const end = agent.exit().then((code) => {
      ended.abort();
      const isExpected = this.#world.agent !== agent;
      const detail = `exit code ${code}`;
      this.#ledger.require('the agent goes on', isExpected, detail);
    });
    for (let isLast = false; !isLast;) {
      isLast = ended.signal.aborted;
      this.#read(agent, isLast);
      await delay(SEARCH_INTERVAL_MS / 4);
    }
    await end;
  }

  /** Takes the whole lines off what was printed. */
  #read(agent: RunningAgent, isLast: boolean): void {
    const end = isLast ? agent.output.length : agent.output.lastIndexOf('\n') + 1;
    const text = agent.output.slice(0, end);
    agent.output = agent.output.slice(end);
    if (text === '') return;
    const found = this.#world.hunt.find(text);
    this.#ledger.require('no secret in the log', found.length === 0, found.join(', '));
    for (const line of text.trimEnd().split('\n')) this.#readLine(line);
  }

  #readLine(line: string): void {
    const isSecret = this.#world.hunt.find(line).length > 0;
    this.lastLines.push(isSecret ? '(a line with a secret)' : line);
    if (this.lastLines.length > KEPT_LINES) this.lastLines.shift();
    const isError = line.includes('"level":"error"') || !line.startsWith('{');
    const hasCode = /"\w*code":"ERR_\w+"/.test(line);
    this.#ledger.require('each line of level error has a code', !isError || hasCode, line);
  }

  async #search(texts: Readonly<Record<string, string | undefined>>): Promise<void> {
    const pid = this.#world.agent?.pid ?? 0;
    const files = {
      'termination message': `${this.#world.bench.directory}/termination-log`,
      'command line': `/proc/${pid}/cmdline`,
      environment: `/proc/${pid}/environ`,
    };
    const all: Record<string, string | undefined> = { ...texts };
    for (const [where, path] of Object.entries(files)) {
      all[where] = await readFile(path, 'utf8').catch(() => undefined);
    }
    for (const [where, text] of Object.entries(all)) {
      const found = this.#world.hunt.find(text ?? '');
      this.#ledger.require(`no secret in the ${where}`, found.length === 0, found.join(', '));
    }
  }
}

/** Undefined for a process that is gone. */
async function needOf(pid: number): Promise<Readonly<Record<Need, number>> | undefined> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const rssMiB = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
    const descriptors = (await readdir(`/proc/${pid}/fd`)).length;
    return Number.isFinite(rssMiB) ? { rssMiB: Math.round(rssMiB), descriptors } : undefined;
  } catch {
    return undefined;
  }
}

/** Length of a list in Vault; 0 while it is sealed or knows of none. */
async function lengthOf(vault: RealVault, path: string): Promise<number> {
  const data: Json = await vault.read(`${path}?list=true`).catch(() => ({}));
  return Array.isArray(data['keys']) ? data['keys'].length : 0;
}
