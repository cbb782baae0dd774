import type { Problem } from '../core/index.ts';

/** A volume as it is to be, from admission to the CSI driver. */
export interface VolumePlan {
  readonly kind: 'planned';
  /** An AgentConfig as a document, without output directory and state directory: the driver sets them. */
  readonly document: unknown;
  /** Maximum size of the volume. */
  readonly sizeBytes: number;
  /** Audience of the kubelet's token for the login (`''` is the API server's); undefined where an SVID logs in. */
  readonly tokenAudience: string | undefined;
  /** What has no effect or is probably not intended; only logged. */
  readonly warnings: readonly string[];
}

/** Why a volume is denied. */
export interface VolumeRefusal {
  readonly kind: 'refused';
  /** Every problem. Attributes are named like annotations: `vouchsafe.dev/role`. */
  readonly problems: readonly Problem[];
  /** True where the installation's policy denies it. */
  readonly isForbidden: boolean;
}
