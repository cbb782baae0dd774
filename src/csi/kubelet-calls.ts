/**
 * The calls of a CSI node driver.
 *
 * @see https://github.com/container-storage-interface/spec/blob/master/spec.md
 */
import { statfs } from 'node:fs/promises';
import {
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type ErrorCode,
  type Logger,
} from '../core/index.ts';
import { handleCall, type CallHandler } from './grpc.ts';
import type { CallMetrics } from './metrics.ts';
import {
  CALLS,
  NODE_CAPABILITIES,
  STATS_CAPABILITIES,
  USAGE_UNIT,
  type NodeGetVolumeStatsRequest,
  type NodeGetVolumeStatsResponse,
  type NodePublishVolumeRequest,
  type NodeUnpublishVolumeRequest,
} from './proto/csi.ts';
import { readPublishRequest, readTarget, readVolumeId } from './publish-request.ts';
import { logFieldsOf } from './volume.ts';
import type { Volumes } from './volumes.ts';

/** Longest node ID that CSI allows. */
const MAX_NODE_ID = 256;

/** Errors of a further publish call that leave the files of a volume as they are. */
const FILES_KEPT_ON: readonly ErrorCode[] = ['ERR_CSI_REQUEST', 'ERR_CSI_TOKEN', 'ERR_BUG'];

/** The parts around the calls. */
export interface ServicesOptions {
  readonly driverName: string;
  readonly version: string;
  readonly nodeName: string;
  /** Whether the kubelet requests statistics: it does so for each volume, on a new connection each time. */
  readonly volumeStats: boolean;
  readonly volumes: Volumes;
  /** Whether the volumes of a predecessor have been taken over. */
  readonly isReady: () => boolean;
  readonly metrics: CallMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Handlers of the identity and node services. @throws TypeError for a node name that CSI does not allow. */
export function csiCalls(options: ServicesOptions): readonly CallHandler[] {
  const { driverName, version, nodeName, volumeStats } = options;
  if (nodeName === '' || nodeName.length > MAX_NODE_ID)
    throw new TypeError('the node name must have 1 to 256 characters');
  const types = volumeStats ? { ...NODE_CAPABILITIES, ...STATS_CAPABILITIES } : NODE_CAPABILITIES;
  const capabilities = Object.values(types).map((type) => ({ rpc: { type } }));
  return [
    handleCall(CALLS.getPluginInfo, () => ({
      name: driverName,
      vendorVersion: version,
      manifest: new Map<string, string>(),
    })),
    handleCall(CALLS.getPluginCapabilities, () => ({})),
    handleCall(CALLS.probe, () => ({ ready: { value: options.isReady() } })),
    handleCall(CALLS.nodeGetInfo, () => ({ nodeId: nodeName })),
    handleCall(CALLS.nodeGetCapabilities, () => ({ capabilities })),
    handleCall(CALLS.nodePublishVolume, (request, signal) => publish(options, request, signal)),
    handleCall(CALLS.nodeUnpublishVolume, (request) => unpublish(options, request)),
    handleCall(CALLS.nodeGetVolumeStats, (request) => stats(options, request)),
  ];
}

async function publish(
  { volumes, metrics, clock, logger }: ServicesOptions,
  message: NodePublishVolumeRequest,
  signal: AbortSignal,
): Promise<Record<string, never>> {
  const startedAtMs = clock.monotonicMs();
  const durationMs = (): number => clock.monotonicMs() - startedAtMs;
  let fields: Readonly<Record<string, string>> = { volume: message.volumeId.slice(0, 256) };
  try {
    const request = readPublishRequest(message);
    fields = logFieldsOf(request);
    const outcome = await volumes.publish(request, signal);
    metrics.published(outcome, durationMs());
    const level = outcome === 'new' ? 'info' : 'debug';
    logger[level]('volume published', {
      ...fields,
      duration_ms: Math.round(durationMs()),
      is_new: outcome === 'new',
    });
    return {};
  } catch (caught) {
    const error = signal.aborted ? callerGone() : toVouchsafeError(caught);
    metrics.published(error.code, durationMs());
    logger[error.level]('volume not published', { ...fields, error });
    // On an error a kubelet may unmount the volume of a running pod, whose files are still good.
    if (isPublished(volumes, message) && FILES_KEPT_ON.includes(error.code)) return {};
    throw error;
  }
}

/** Only for the log: the caller is gone, and the start goes on for its next call. */
function callerGone(): VouchsafeError {
  return new VouchsafeError('ERR_CSI_ENDED', 'the kubelet cancelled the call');
}

function isPublished(
  volumes: Volumes,
  { volumeId, targetPath }: NodePublishVolumeRequest,
): boolean {
  const record = volumes.get(volumeId)?.stored.record;
  return record?.isPublished === true && record.spec.target === targetPath;
}

async function unpublish(
  { volumes, metrics, logger }: ServicesOptions,
  message: NodeUnpublishVolumeRequest,
): Promise<Record<string, never>> {
  let fields: Readonly<Record<string, string>> = { volume: message.volumeId.slice(0, 256) };
  try {
    const volumeId = readVolumeId(message.volumeId);
    const target = readTarget(message.targetPath, 'target_path');
    const known = volumes.get(volumeId);
    if (known !== undefined) fields = logFieldsOf(known.spec);
    await volumes.unpublish(volumeId, target);
    metrics.unpublished('ok');
    logger.info('volume unpublished', { ...fields, was_known: known !== undefined });
    return {};
  } catch (caught) {
    const error = toVouchsafeError(caught);
    metrics.unpublished(error.code);
    logger[error.level]('volume not unpublished', { ...fields, error });
    throw error;
  }
}

async function stats(
  { volumes }: ServicesOptions,
  message: NodeGetVolumeStatsRequest,
): Promise<NodeGetVolumeStatsResponse> {
  const volumeId = readVolumeId(message.volumeId);
  const path = message.volumePath;
  if (path === '') throw new VouchsafeError('ERR_CSI_REQUEST', 'volume_path is missing');
  const volume = volumes.get(volumeId);
  if (volume?.spec.target !== path) {
    throw new VouchsafeError('ERR_CSI_NO_VOLUME', 'this volume is not published at this path');
  }
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path);
  const { problem } = volume;
  return {
    usage: [
      {
        available: bavail * bsize,
        total: blocks * bsize,
        used: (blocks - bfree) * bsize,
        unit: USAGE_UNIT.BYTES,
      },
      { available: ffree, total: files, used: files - ffree, unit: USAGE_UNIT.INODES },
    ],
    volumeCondition: {
      abnormal: problem !== undefined,
      message:
        problem === undefined
          ? 'the newest values are in the files'
          : `the last good files stay: ${problem.code}: ${problem.message}`,
    },
  };
}
