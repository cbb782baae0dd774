/** An example manifest, admitted and run on this machine against servers of the test's own. */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inject, readPod, type Pod } from '../../src/admission/index.ts';
import { findPods, parseManifests, type FoundPod } from '../../src/cli/manifest.ts';
import { parseInstallation } from '../../src/config/installation/index.ts';
import { parseDocumentText } from '../../src/config/schema/index.ts';
import type { AgentLine } from '../../src/dev/show/agent-process.ts';
import { startLocalPod, type LocalPod } from '../../src/dev/show/local-pod.ts';
import { checkTemplate } from '../../src/template/index.ts';
import { eventually } from './agent-process.ts';

const ROOT = new URL('../../', import.meta.url);
const MAIN = fileURLToPath(new URL('cmd/vouchsafe/main.ts', ROOT));

const EXAMPLES = new URL('manifests/examples/', ROOT);

/** Reads the pod of `manifests/examples/<name>.yaml`. */
export async function readExample(name: string): Promise<FoundPod> {
  const manifest = await readFile(new URL(`${name}.yaml`, EXAMPLES), 'utf8');
  const [found] = parseManifests(manifest, name).flatMap((one) => findPods(one, 'default'));
  if (found === undefined) throw new Error(`${name} holds no pod`);
  return found;
}

/** Puts the pod of an example through admission, with the example's values. */
export async function admitExample(name: string): Promise<Pod> {
  const found = await readExample(name);
  const values = await readFile(new URL(`${name}.values.yaml`, EXAMPLES), 'utf8');
  const result = inject({
    pod: readPod(found.pod),
    namespace: found.namespace,
    installation: parseInstallation(await parseDocumentText(values)),
    checkTemplate,
  });
  if (result.outcome !== 'injected') throw new Error(`${name}: ${result.message}`);
  return result.pod;
}

/** A pod whose injected containers run as processes. */
export class ExamplePod implements AsyncDisposable {
  /** Log lines of its containers. */
  readonly lines: AgentLine[] = [];
  readonly directory: string;
  #local: LocalPod | undefined;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Starts the injected containers of a pod. A failing start is seen in {@link lines}. */
  static async start(
    pod: Pod,
    places: {
      readonly vaultAddress: string;
      readonly socket: string;
      readonly serviceAccountToken?: (audience: string) => Promise<string>;
    },
  ): Promise<ExamplePod> {
    const example = new ExamplePod(await mkdtemp(join(tmpdir(), 'vouchsafe-example-')));
    await mkdir(example.output);
    example.#local = await startLocalPod(
      {
        pod,
        configMaps: [],
        directory: join(example.directory, 'volumes'),
        outputDirectory: example.output,
        command: [process.execPath, MAIN],
        places: {
          vaultAddress: places.vaultAddress,
          socket: places.socket,
          vaultNamespace: undefined,
          vaultCaFile: undefined,
          applicationPort: 1,
        },
        serviceAccountToken: places.serviceAccountToken ?? (() => Promise.resolve('')),
        onLine: (_container, line) => example.lines.push(line),
      },
      AbortSignal.timeout(60_000),
    );
    return example;
  }

  get output(): string {
    return join(this.directory, 'secrets');
  }

  /** The content of a delivered file, once it fits. */
  async file(name: string, fits: (text: string) => boolean = () => true): Promise<string> {
    return eventually(
      async () => {
        const text = await readFile(join(this.output, name), 'utf8').catch(() => undefined);
        return text !== undefined && fits(text) ? text : undefined;
      },
      `${name} was not delivered; the agent said:\n${JSON.stringify(this.lines, undefined, 1)}`,
    );
  }

  /** A log line that fits. */
  async line(fits: (line: AgentLine) => boolean): Promise<AgentLine> {
    return eventually(
      () => Promise.resolve(this.lines.find(fits)),
      `no such line; the agent said:\n${JSON.stringify(this.lines, undefined, 1)}`,
    );
  }

  /** Ends the pod as the kubelet does. */
  async stop(): Promise<void> {
    await this.#local?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}
