/**
 * What the driver needs from the parts around it. `cmd/csi` hands them in.
 */
import type { AgentConfig } from '../config/index.ts';
import type { Clock, Grants, Logger, Metrics, Problem, Random } from '../core/index.ts';
import type { Checked, Renderer } from '../renderer/index.ts';
import type { SvidApi } from '../spiffe/index.ts';
import type { MounterPort } from '../mounter/index.ts';
import type { MountsPort } from './mounting.ts';
import type { PodInfo } from './publish-request.ts';

/** What a volume is planned by. */
export interface PlanInput {
  readonly attributes: Readonly<Record<string, string>>;
  /** Undefined where they are not known. */
  readonly namespaceAnnotations: Readonly<Record<string, string>> | undefined;
  readonly pod: PodInfo;
  readonly hasGroup: boolean;
}

/** What shows of a template without data. */
export type CheckTemplate = (source: string, name: string) => Checked;

/**
 * `planVolume` of src/admission, with all that does not depend on the pod filled in. Pure: it is asked twice, once to
 * learn which templates there are, and once with what others have found in them.
 */
export type PlanVolume = (
  input: PlanInput,
  checkTemplate: CheckTemplate,
) => VolumePlan | VolumeRefusal;

/** What works on templates and on answers of Vault; see `Renderer` of src/renderer. */
export type RendererPort = Pick<Renderer, 'check' | 'render' | 'open'>;

/** What is to be done for a volume. */
export interface VolumePlan {
  readonly kind: 'planned';
  /** An AgentConfig as a document. */
  readonly document: unknown;
  readonly sizeBytes: number;
  /** Audience of the kubelet's token that logs in; undefined for SVIDs. */
  readonly tokenAudience: string | undefined;
  readonly warnings: readonly string[];
}

/** Why there can be no such volume. */
export interface VolumeRefusal {
  readonly kind: 'refused';
  readonly problems: readonly Problem[];
  /** True where the installation is what says no. */
  readonly isForbidden: boolean;
}

/** Locks between the processes of a node, as src/platform has them. */
export interface LocksPort {
  /** Locks a directory without waiting; undefined where another process has it. */
  tryLock(directory: string): Promise<HeldLock | undefined>;
}

/** A lock that ends with its process, if not before. */
export interface HeldLock {
  release(): Promise<void>;
}

/** The parts of a driver. */
export interface DriverParts {
  readonly plan: PlanVolume;
  /** Most secrets, certificates and SVIDs that one volume may depend on. */
  readonly maxDependencies: number;
  /** Most bytes that the values of one volume may have together: what the renderer takes for one rendering. */
  readonly maxValueBytes: number;
  /**
   * What the policies of now let a volume ask for, whatever its document says; undefined is everything. A volume may be
   * older than the policies.
   */
  readonly grants: (pod: PodInfo, config: AgentConfig) => Grants | undefined;
  readonly renderer: RendererPort;
  /** SVIDs of a pod that needs them; whoever gets them closes them. */
  readonly svids: (pod: PodInfo, signal: AbortSignal) => Promise<SvidApi>;
  /** Annotations of a namespace; undefined where there is no cluster to ask. */
  readonly namespaces?:
    ((name: string, signal: AbortSignal) => Promise<Readonly<Record<string, string>>>) | undefined;
  readonly mounts: MountsPort;
  /** Mounts and unmounts, which takes privileges that this process need not have. */
  readonly mounter: MounterPort;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}
