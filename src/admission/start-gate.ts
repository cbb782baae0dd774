/**
 * What holds the other containers of a pod back in mode native until every file is written: a hook of the agent's container,
 * or its startup probe.
 */
import type { Settings } from '../config/annotations/index.ts';
import { DEFAULTS, type StartGateKind } from '../config/schema/index.ts';
import { isBefore } from '../core/index.ts';
import { DIRECTORY } from './names.ts';

/** Input of {@link startGateFields}. */
interface StartGateInput {
  readonly settings: Settings;
  readonly startGate: StartGateKind;
  readonly hostNetwork: boolean;
}

/**
 * The `postStart` hook: the image's own Node, as small as it gets, with a program that waits for the agent (cmd/start-gate).
 * It ends with 0 when every file has been written. The policy of the chart allows an agent no other one.
 */
export const HOOK_COMMAND = [
  '/vouchsafe/node',
  '--max-semi-space-size=1',
  '--v8-pool-size=0',
  '--single-threaded-gc',
  '--disable-sigusr1',
  '/vouchsafe/dist/start-gate.cjs',
  `${DIRECTORY.state}/start.sock`,
] as const;

/** The first minor version of Kubernetes on which the hook was tried. */
const TRIED_MINOR = 34;

/** What the choice of a gate depends on, besides the settings. */
interface GateChoice {
  readonly kubeVersion: string | undefined;
  /** Whether the agent asks a Workload API for SVIDs. */
  readonly needsSvid: boolean;
}

/**
 * Chooses the gate. The hook is not for long waits, as `contradictions` reports of a pod that requests it.
 *
 * It has to be requested for an agent that asks SPIRE: its `k8s` attestor looks the container up in the kubelet's list of pods, where a
 * container is only after its hook, so the two wait for each other unless `disable_container_selectors` is set.
 *
 * @see https://github.com/spiffe/spire/issues/3092
 */
export function startGateOf(
  settings: Settings,
  { kubeVersion, needsSvid }: GateChoice,
): StartGateKind {
  const isLong = settings['init-deadline'].value > DEFAULTS.MAX_HOOK_DEADLINE_MS;
  if (isLong || settings['on-missing-vault'].value === 'wait') return 'probe';
  const isUntried = kubeVersion !== undefined && isBefore(kubeVersion, TRIED_MINOR);
  return settings['start-gate'].value ?? (isUntried || needsSvid ? 'probe' : 'hook');
}

/** The fields of the agent's container by which the kubelet waits for the files. */
export function startGateFields(input: StartGateInput): Record<string, unknown> {
  return input.startGate === 'hook'
    ? { lifecycle: { postStart: { exec: { command: HOOK_COMMAND } } } }
    : { startupProbe: startupProbe(input) };
}

/** Added to the agent's own deadline, so that the agent can report the reason before the kubelet kills it. */
const PROBE_SLACK_SECONDS = 30;
/** About twelve days: the longest wait with `on-missing-vault: wait`. */
const WAITING_SECONDS = 1_000_000;

/** Succeeds once every file has been written; polled every second, because the pod waits for it. */
function startupProbe({ settings, hostNetwork }: StartGateInput): Record<string, unknown> {
  const deadline = Math.ceil(settings['init-deadline'].value / 1000) + PROBE_SLACK_SECONDS;
  const isPatient = settings['on-missing-vault'].value === 'wait';
  return {
    httpGet: {
      path: '/startup',
      port: settings.port.value,
      ...(hostNetwork && { host: '127.0.0.1' }),
    },
    periodSeconds: 1,
    timeoutSeconds: 5,
    failureThreshold: isPatient ? Math.max(deadline, WAITING_SECONDS) : deadline,
  };
}
