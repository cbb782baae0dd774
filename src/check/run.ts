/**
 * Runs all checks in order: early failures explain later ones.
 */
import { parseInstallation } from '../config/installation/index.ts';
import { checkAdmissionPolicy } from './admission-policy.ts';
import { checkApiServer } from './api-server.ts';
import { checkCsiDriver } from './csi-driver.ts';
import { checkEnv } from './env.ts';
import { Cluster } from './cluster.ts';
import type { CheckOptions } from './context.ts';
import { checkAdmission } from './dry-run.ts';
import type { Finding } from './finding.ts';
import { checkPods } from './pods.ts';
import { checkPrerequisites } from './prerequisites.ts';
import { checkValues } from './values.ts';
import { checkWebhook } from './webhook.ts';
import { checkWorkloads } from './workloads.ts';

/**
 * Checks an installation and yields findings one by one; throws the reason of the signal on abort. A missing right is a
 * finding, too, and stops only the checks that require it.
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
  // The values come later in the report, but contain the prefix of the annotations.
  const values: Finding[] = [];
  const reading = checkValues(context, installed);
  let step = await reading.next();
  for (; step.done !== true; step = await reading.next()) values.push(step.value);
  const installation = step.value ?? parseInstallation({});
  yield* checkAdmission(context, installed, installation.annotationPrefix);
  yield* checkAdmissionPolicy(context, installed, version);
  yield* values;
  yield* checkPrerequisites(context, installation);
  yield* checkEnv(context, installation);
  yield* checkCsiDriver(context, installed, installation);
  yield* checkPods(context, installed, { installation, version });
  yield* checkWorkloads(context, installation.annotationPrefix);
}
