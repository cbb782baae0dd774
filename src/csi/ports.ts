/**
 * What the driver needs from the parts around it; `cmd/csi` passes them in.
 */
import type { AgentConfig } from '../config/agent/index.ts';
import type { CheckTemplate, VolumePlan, VolumeRefusal } from '../contracts/index.ts';
import type { Clock, Grants, Logger, Metrics, Random } from '../core/index.ts';
import type { Renderer } from '../renderer/index.ts';
import type { SvidApi } from '../spiffe/index.ts';
import type { MounterPort } from '../mounter/index.ts';
import type { MountsPort } from './mounting.ts';
import type { PodInfo } from './publish-request.ts';
import type { Waits } from './waits.ts';

/** What the plan of a volume depends on. */
export interface PlanInput {
  readonly attributes: Readonly<Record<string, string>>;
  /** Undefined outside of a cluster. */
  readonly namespaceAnnotations: Readonly<Record<string, string>> | undefined;
  readonly pod: PodInfo;
  readonly hasGroup: boolean;
}

/**
 * `planVolume` of src/admission, with everything that does not depend on the pod filled in. Pure: it is called twice, once
 * to collect the templates, and once with the results of checking them.
 */
type PlanVolume = (input: PlanInput, checkTemplate: CheckTemplate) => VolumePlan | VolumeRefusal;

/** Works on templates and on responses of Vault; see `Renderer` of src/renderer. */
export type RendererPort = Pick<Renderer, 'check' | 'render' | 'open'>;

/** Locks between the processes of a node; src/platform implements them. */
export interface LocksPort {
  /** Locks a directory without waiting; undefined if another process holds the lock. */
  tryLock(directory: string): Promise<HeldLock | undefined>;
}

/** A lock; it ends with its process at the latest. */
export interface HeldLock {
  release(): Promise<void>;
}

/** The parts of a driver. */
export interface DriverParts {
  readonly plan: PlanVolume;
  /** Most secrets, certificates and SVIDs that one volume may depend on. */
  readonly maxDependencies: number;
  /** Most bytes of all values of one volume together: what the renderer accepts for one rendering. */
  readonly maxValueBytes: number;
  /**
   * What the present policies let a volume request, whatever its document says; undefined is everything. A volume may be
   * older than the policies.
   */
  readonly grants: (pod: PodInfo, config: AgentConfig) => Grants | undefined;
  readonly renderer: RendererPort;
  /** SVIDs of a pod; the caller closes them. */
  readonly svids: (pod: PodInfo, signal: AbortSignal) => Promise<SvidApi>;
  /** Annotations of a namespace; undefined outside of a cluster. */
  readonly namespaces?:
    ((name: string, signal: AbortSignal) => Promise<Readonly<Record<string, string>>>) | undefined;
  readonly mounts: MountsPort;
  /** Mounts and unmounts, which takes privileges that this process does not need. */
  readonly mounter: MounterPort;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly waits: Waits;
}
