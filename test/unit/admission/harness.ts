/** Pods and installations of the admission tests. */
import {
  inject,
  readPod,
  type InjectionInput,
  type InjectionResult,
  type Pod,
} from '../../../src/admission/index.ts';
import { parseAgentConfig, type AgentConfig } from '../../../src/config/agent/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';

/** Annotations without their prefix. */
export type Given = Readonly<Record<string, string>>;

/** Puts the prefix before every name. */
export function prefixed(annotations: Given): Given {
  const entries = Object.entries(annotations);
  return Object.fromEntries(entries.map(([name, value]) => [`vouchsafe.dev/${name}`, value]));
}

/** A pod that requests one secret, with additional annotations and parts of its spec. */
export function podWith(
  annotations: Given = {},
  spec: Readonly<Record<string, unknown>> = {},
): Pod {
  return readPod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: 'web-',
      annotations: prefixed({ inject: 'true', 'secret-app': 'kvv2/app', ...annotations }),
    },
    spec: { containers: [{ name: 'web', image: 'web:1' }], ...spec },
  });
}

/** An installation whose pods may set image and user of the agent. */
export const OVERRIDABLE = parseInstallation({ agent: { allowImageOverride: true } });

/** Injects, by default with every default. */
export function injectPod(pod: Pod, input: Partial<InjectionInput> = {}): InjectionResult {
  return inject({
    pod,
    namespace: 'default',
    installation: parseInstallation({}),
    checkTemplate,
    ...input,
  });
}

/** The problems of a denial, `name: message`, without the prefix. */
export function problemsOf(result: InjectionResult): string[] {
  return result.problems.map(({ path, message }) =>
    `${path}: ${message}`.replace(/^vouchsafe\.dev\//, ''),
  );
}

/** The container of that name in either list. */
export function containerOf(pod: Pod, name: string): Pod['spec']['containers'][number] {
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const found = all.find((container) => container.name === name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
}

/** The agent's configuration, read from the environment as the agent does. */
export function configIn(pod: Pod, name = 'vouchsafe-agent'): AgentConfig {
  const text = containerOf(pod, name).env?.find((one) => one.name === 'VOUCHSAFE_CONFIG')?.value;
  return parseAgentConfig(JSON.parse(text ?? ''));
}
