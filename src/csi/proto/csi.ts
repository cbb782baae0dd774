/**
 * The messages and calls of `csi.v1` that a node driver of ephemeral volumes has, and those of the kubelet's plug-in
 * registration. Numbers are those of the specifications, names of fields in camel case.
 *
 * @see https://github.com/container-storage-interface/spec/blob/master/csi.proto
 * @see https://github.com/kubernetes/kubelet/blob/master/pkg/apis/pluginregistration/v1/api.proto
 */
import {
  BOOL,
  field,
  INT64,
  message,
  nested,
  repeated,
  repeatedMessage,
  STRING,
  TEXT_BY_NAME,
  UINT32,
  type MessageType,
  type MessageValue,
} from '../../spiffe/index.ts';

const EMPTY = message({});

const BOOL_VALUE = message({ value: field(1, BOOL) });

const MOUNT_VOLUME = message({
  fsType: field(1, STRING),
  mountFlags: field(2, repeated(STRING)),
  volumeMountGroup: field(3, STRING),
});

const VOLUME_CAPABILITY = message({
  block: field(1, nested('BlockVolume', EMPTY)),
  mount: field(2, nested('MountVolume', MOUNT_VOLUME)),
  accessMode: field(3, nested('AccessMode', message({ mode: field(1, UINT32) }))),
});

const VOLUME_USAGE = message({
  available: field(1, INT64),
  total: field(2, INT64),
  used: field(3, INT64),
  unit: field(4, UINT32),
});

const VOLUME_CONDITION = message({ abnormal: field(1, BOOL), message: field(2, STRING) });

const CAPABILITY = message({
  rpc: field(1, nested('RPC', message({ type: field(1, UINT32) }))),
});

/** Message name -> codec. */
const CSI_MESSAGES = {
  GetPluginInfoRequest: EMPTY,
  GetPluginInfoResponse: message({
    name: field(1, STRING),
    vendorVersion: field(2, STRING),
    manifest: field(3, TEXT_BY_NAME),
  }),
  GetPluginCapabilitiesRequest: EMPTY,
  GetPluginCapabilitiesResponse: EMPTY,
  ProbeRequest: EMPTY,
  ProbeResponse: message({ ready: field(1, nested('BoolValue', BOOL_VALUE)) }),
  NodePublishVolumeRequest: message({
    volumeId: field(1, STRING),
    publishContext: field(2, TEXT_BY_NAME),
    stagingTargetPath: field(3, STRING),
    targetPath: field(4, STRING),
    volumeCapability: field(5, nested('VolumeCapability', VOLUME_CAPABILITY)),
    readonly: field(6, BOOL),
    secrets: field(7, TEXT_BY_NAME),
    volumeContext: field(8, TEXT_BY_NAME),
  }),
  NodePublishVolumeResponse: EMPTY,
  NodeUnpublishVolumeRequest: message({
    volumeId: field(1, STRING),
    targetPath: field(2, STRING),
  }),
  NodeUnpublishVolumeResponse: EMPTY,
  NodeGetVolumeStatsRequest: message({
    volumeId: field(1, STRING),
    volumePath: field(2, STRING),
    stagingTargetPath: field(3, STRING),
  }),
  NodeGetVolumeStatsResponse: message({
    usage: field(1, repeatedMessage('VolumeUsage', VOLUME_USAGE)),
    volumeCondition: field(2, nested('VolumeCondition', VOLUME_CONDITION)),
  }),
  NodeGetCapabilitiesRequest: EMPTY,
  NodeGetCapabilitiesResponse: message({
    capabilities: field(1, repeatedMessage('NodeServiceCapability', CAPABILITY)),
  }),
  NodeGetInfoRequest: EMPTY,
  NodeGetInfoResponse: message({ nodeId: field(1, STRING) }),
} as const;

/** Message name of the plug-in registration -> codec. */
const REGISTRATION_MESSAGES = {
  InfoRequest: EMPTY,
  PluginInfo: message({
    type: field(1, STRING),
    name: field(2, STRING),
    endpoint: field(3, STRING),
    supportedVersions: field(4, repeated(STRING)),
  }),
  RegistrationStatus: message({ pluginRegistered: field(1, BOOL), error: field(2, STRING) }),
  RegistrationStatusResponse: EMPTY,
} as const;

/** A request as the kubelet sends it. */
export type NodePublishVolumeRequest = MessageValue<
  (typeof CSI_MESSAGES)['NodePublishVolumeRequest']
>;
/** A request as the kubelet sends it. */
export type NodeUnpublishVolumeRequest = MessageValue<
  (typeof CSI_MESSAGES)['NodeUnpublishVolumeRequest']
>;
/** A request as the kubelet sends it. */
export type NodeGetVolumeStatsRequest = MessageValue<
  (typeof CSI_MESSAGES)['NodeGetVolumeStatsRequest']
>;
/** An answer to the kubelet. */
export type NodeGetVolumeStatsResponse = MessageValue<
  (typeof CSI_MESSAGES)['NodeGetVolumeStatsResponse']
>;

/** `NodeServiceCapability.RPC.Type` of what the driver can do. */
export const NODE_CAPABILITIES = { VOLUME_MOUNT_GROUP: 6 } as const;

/**
 * Those of a driver that is asked for statistics. VOLUME_CONDITION, and the field of it in the statistics, are of the
 * CSI versions before 1.13: kubelets ask for it as long as they are built on those, and newer ones skip it.
 */
export const STATS_CAPABILITIES = { GET_VOLUME_STATS: 2, VOLUME_CONDITION: 4 } as const;

/** `VolumeUsage.Unit` */
export const USAGE_UNIT = { BYTES: 1, INODES: 2 } as const;

/** A call: its path and its messages. */
export interface CallType<Request, Response> {
  readonly path: string;
  readonly request: MessageType<Request>;
  readonly response: MessageType<Response>;
}

function callType<Request, Response>(
  path: string,
  request: MessageType<Request>,
  response: MessageType<Response>,
): CallType<Request, Response> {
  return { path, request, response };
}

const [C, R] = [CSI_MESSAGES, REGISTRATION_MESSAGES];

/** Every call that the driver answers. */
export const CALLS = {
  getPluginInfo: callType(
    '/csi.v1.Identity/GetPluginInfo',
    C.GetPluginInfoRequest,
    C.GetPluginInfoResponse,
  ),
  getPluginCapabilities: callType(
    '/csi.v1.Identity/GetPluginCapabilities',
    C.GetPluginCapabilitiesRequest,
    C.GetPluginCapabilitiesResponse,
  ),
  probe: callType('/csi.v1.Identity/Probe', C.ProbeRequest, C.ProbeResponse),
  nodePublishVolume: callType(
    '/csi.v1.Node/NodePublishVolume',
    C.NodePublishVolumeRequest,
    C.NodePublishVolumeResponse,
  ),
  nodeUnpublishVolume: callType(
    '/csi.v1.Node/NodeUnpublishVolume',
    C.NodeUnpublishVolumeRequest,
    C.NodeUnpublishVolumeResponse,
  ),
  nodeGetVolumeStats: callType(
    '/csi.v1.Node/NodeGetVolumeStats',
    C.NodeGetVolumeStatsRequest,
    C.NodeGetVolumeStatsResponse,
  ),
  nodeGetCapabilities: callType(
    '/csi.v1.Node/NodeGetCapabilities',
    C.NodeGetCapabilitiesRequest,
    C.NodeGetCapabilitiesResponse,
  ),
  nodeGetInfo: callType('/csi.v1.Node/NodeGetInfo', C.NodeGetInfoRequest, C.NodeGetInfoResponse),
  getInfo: callType('/pluginregistration.Registration/GetInfo', R.InfoRequest, R.PluginInfo),
  notifyRegistrationStatus: callType(
    '/pluginregistration.Registration/NotifyRegistrationStatus',
    R.RegistrationStatus,
    R.RegistrationStatusResponse,
  ),
} as const;
