/**
 * What an injection is planned from, and the plan.
 */
import type { CheckTemplate, NodesWithoutEnvFiles } from '../contracts/index.ts';
import type { RawAgentConfig } from '../config/agent/index.ts';
import type { Annotations, ResolvedSettings } from '../config/annotations/index.ts';
import type { Installation } from '../config/installation/index.ts';
import type { Problem } from '../core/index.ts';
import type { Addition } from './assemble.ts';
import type { Pod } from './pod.ts';

/** Input of an injection. */
export interface InjectionInput {
  readonly pod: Pod;
  readonly namespace: string;
  /** Annotations of the pod's namespace; undefined if they are not known. */
  readonly namespaceAnnotations?: Annotations | undefined;
  readonly installation: Installation;
  /** Version of the API server: `v1.31.2`. Default: a recent one. */
  readonly kubeVersion?: string | undefined;
  /** Nodes that do not support variables from files. Default: not known, so that no pod is denied because of them. */
  readonly oldNodes?: NodesWithoutEnvFiles | undefined;
  readonly checkTemplate: CheckTemplate;
}

/** A plan, or the problems that prevent it. */
export interface InjectionPlan {
  /** What is added, and the configuration of the agent or the volume; undefined if there are problems. */
  readonly planned: { readonly addition: Addition; readonly config: RawAgentConfig } | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
  /** True if the installation does not allow it. */
  readonly isForbidden: boolean;
}

/** {@link InjectionInput} with the pod as it was before any injection. */
export type PlanInput = InjectionInput & { readonly settings: ResolvedSettings };
