/**
 * Whether the kubelet starts a container again that the agent ends with SIGTERM.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
 */
import { fieldsOf } from '../core/index.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { Container, Pod } from './pod.ts';

/** Exit code of a process that does not handle SIGTERM. */
const BY_SIGTERM = 143;

/** The API server's own limit, which it enforces only after admission. */
const MAX_RULES = 20;

/**
 * Reports a restart from which the container does not come back. Its own policy takes precedence over that of the pod, and
 * the rules for its exit code over both (Kubernetes 1.35; older API servers drop them, or reject the pod).
 */
export function checkRestart(
  pod: Pod,
  container: Container,
  path: string,
  diagnostics: Diagnostics,
): void {
  const policy = container.restartPolicy ?? pod.spec.restartPolicy ?? 'Always';
  const action = `restart@${container.name}`;
  if (!restarts(container, policy, BY_SIGTERM)) {
    const message = `${action} conflicts with restartPolicy ${policy}: the container would not start again`;
    const help = `on Kubernetes 1.35, restartPolicyRules of the container can restart it after exit code ${BY_SIGTERM}`;
    diagnostics.invalid({ path, message, help });
  } else if (!restarts(container, policy, 0)) {
    diagnostics.warn(
      `${path}: ${action}: with restartPolicy ${policy} the container does not start again if it ends with exit code 0 after SIGTERM`,
    );
  }
}

function restarts(container: Container, policy: string, exitCode: number): boolean {
  if (rulesOf(container).some((rule) => matches(rule, exitCode))) return true;
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

function rulesOf({ restartPolicyRules: rules }: Container): readonly unknown[] {
  return Array.isArray(rules) ? rules.slice(0, MAX_RULES) : [];
}

/** Every action of a rule restarts the container. */
function matches(rule: unknown, exitCode: number): boolean {
  const { operator, values } = fieldsOf(fieldsOf(rule)['exitCodes']);
  const isListed = Array.isArray(values) && values.includes(exitCode);
  return operator === 'In' ? isListed : operator === 'NotIn' && !isListed;
}
