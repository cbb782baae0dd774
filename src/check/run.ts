/**
 * All checks in their order: what is missing early explains what fails later.
 */
import { parseInstallation } from '../config/index.ts';
import { checkAdmissionPolicy } from './admission-policy.ts';
import { checkApiServer } from './api-server.ts';
import { checkCsiDriver } from './csi-driver.ts';
import { Cluster } from './cluster.ts';
import type { CheckOptions } from './context.ts';
import { checkAdmission } from './dry-run.ts';
import type { Finding } from './finding.ts';
import { checkPods } from './pods.ts';
import { checkPrerequisites } from './prerequisites.ts';
import { checkValues } from './values.ts';
import { checkWebhook } from './webhook.ts';

/**
 * Checks an installation. Findings come as they are made; on abort the signal's reason is thrown. What may not be
 * seen is a finding of its own, and stops nothing that can be checked without it.
 */
export async function* runChecks(
  options: CheckOptions,
  signal: AbortSignal,
): AsyncGenerator<Finding, void, undefined> {
  const context = { ...options, signal, cluster: new Cluster(options.api, signal) };
  const version = yield* checkApiServer(context);
  if (version === undefined) return;
  const installed = yield* checkWebhook(context);
  if (installed === undefined) return;
  // The values come after the webhook in the report, but tell the prefix of the annotations.
  const values: Finding[] = [];
  const reading = checkValues(context, installed);
  let step = await reading.next();
  for (; step.done !== true; step = await reading.next()) values.push(step.value);
  const installation = step.value ?? parseInstallation({});
  yield* checkAdmission(context, installed, installation.annotationPrefix);
  yield* checkAdmissionPolicy(context, installed, version);
  yield* values;
  yield* checkPrerequisites(context, installation);
  yield* checkCsiDriver(context, installed, installation);
  yield* checkPods(context, installed, { installation, version });
}
