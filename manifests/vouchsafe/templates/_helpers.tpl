{{- define "vouchsafe.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vouchsafe.fullname" -}}
{{- $name := include "vouchsafe.name" . }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $full | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Name of most objects of the webhook. */}}
{{- define "vouchsafe.webhook" -}}
{{ include "vouchsafe.fullname" . }}-webhook
{{- end }}

{{- define "vouchsafe.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "vouchsafe.webhook" .) }}
{{- else }}
{{- required "serviceAccount.name: is required, because serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "vouchsafe.tlsSecret" -}}
{{- if eq .Values.certificate.mode "secret" }}
{{- required "certificate.secretName: is required, because certificate.mode is secret" .Values.certificate.secretName }}
{{- else }}
{{- .Values.certificate.secretName | default (printf "%s-tls" (include "vouchsafe.webhook" .)) }}
{{- end }}
{{- end }}

{{/* Labels that select the webhook's pods. They can never change. */}}
{{- define "vouchsafe.selector" -}}
app.kubernetes.io/name: {{ include "vouchsafe.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: webhook
{{- end }}

{{- define "vouchsafe.labels" -}}
{{ include "vouchsafe.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "vouchsafe.image" -}}
{{- with .Values.image -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{- define "vouchsafe.podSecurity" -}}
runAsNonRoot: true
{{- if .Values.agent.setUser }}
runAsUser: 65532
runAsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "vouchsafe.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "vouchsafe.csi" -}}
{{ include "vouchsafe.fullname" . }}-csi
{{- end }}

{{- define "vouchsafe.csiServiceAccount" -}}
{{- with .Values.csi.serviceAccount }}
{{- if .create }}
{{- .name | default (include "vouchsafe.csi" $) }}
{{- else }}
{{- required "csi.serviceAccount.name: is required, because csi.serviceAccount.create is false" .name }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels that select the driver's pods. They can never change. */}}
{{- define "vouchsafe.csiSelector" -}}
{{ include "vouchsafe.selector" . | replace "component: webhook" "component: csi-driver" }}
{{- end }}

{{- define "vouchsafe.csiLabels" -}}
{{ include "vouchsafe.labels" . | replace "component: webhook" "component: csi-driver" }}
{{- end }}

{{/* Directory of the Broker API or of SPIRE's admin socket; empty if the driver needs none. */}}
{{- define "vouchsafe.csiSocketDirectory" -}}
{{- with .Values.csi.identity.socket }}
{{- if not (hasPrefix "tcp:" .) }}{{ trimPrefix "unix://" . | dir }}{{ end }}
{{- end }}
{{- end }}

{{/* Whether the driver needs an SVID of its own from a directory that is not mounted yet. */}}
{{- define "vouchsafe.csiMountsWorkloadApi" -}}
{{- $isElsewhere := ne (include "vouchsafe.csiSocketDirectory" .) (include "vouchsafe.socketDirectory" .) }}
{{- if and (eq .Values.csi.identity.kind "broker") (ne .Values.spiffe.volume "none") $isElsewhere }}true{{ end }}
{{- end }}

{{/* Source of a volume of the Workload API. */}}
{{- define "vouchsafe.workloadApiSource" -}}
{{- if eq .Values.spiffe.volume "csi" -}}
csi:
  driver: {{ .Values.spiffe.csiDriver }}
  readOnly: true
{{- else -}}
hostPath:
  path: {{ .Values.spiffe.hostPath | default (include "vouchsafe.socketDirectory" .) }}
  type: Directory
{{- end }}
{{- end }}

{{/* The document that webhook and driver read: the values without those that only the chart reads. */}}
{{- define "vouchsafe.config" -}}
{{- $document := pick .Values "annotationPrefix" "agent" "defaults" "vault" "spiffe" "certificate" "env" "events" }}
{{- $image := merge (dict "tag" (.Values.image.tag | default .Chart.AppVersion)) .Values.image }}
{{- $excluded := append .Values.webhook.excludedNamespaces .Release.Namespace | uniq }}
{{- $webhook := dict "excludedNamespaces" $excluded "maxBodyBytes" (int .Values.webhook.maxBodyBytes) }}
{{- with .Values.webhook.clientCA }}
{{- $_ := set $webhook "clientCA" . }}
{{- end }}
{{- $csi := pick .Values.csi "enabled" "driverName" "identity" "tokenAudiences" "maxVolumeSize" "minRefresh" "maxDependencies" "maxRenderBytes" "volumeStats" "metrics" }}
{{- toYaml (merge (dict "image" $image "webhook" $webhook "csi" $csi) $document) }}
{{- end }}

{{/* Connections whose CA is in ClusterTrustBundles, as `name: source`; empty if there are none. */}}
{{- define "vouchsafe.trustBundles" -}}
{{- $found := dict }}
{{- range $name, $connection := .Values.vault.connections }}
{{- with $connection.clusterTrustBundle }}
{{- $_ := set $found $name . }}
{{- end }}
{{- end }}
{{- with $found }}
{{- $served := $.Capabilities.APIVersions.Has "certificates.k8s.io/v1beta1/ClusterTrustBundle" }}
{{- if not (or $served (semverCompare ">=1.37.0-0" $.Capabilities.KubeVersion.Version)) }}
{{- $names := keys . | sortAlpha | join ", " }}
{{- fail (printf "vault.connections: clusterTrustBundle of %s requires Kubernetes 1.37, and this is %s, whose API server has no ClusterTrustBundles: set caPem or caConfigMap, or enable the feature gates ClusterTrustBundle and ClusterTrustBundleProjection (for helm template: --kube-version)" $names $.Capabilities.KubeVersion.Version) }}
{{- end }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Selects every namespace whose pods may be injected. Takes the root and further `labels`. */}}
{{- define "vouchsafe.namespaceSelector" -}}
{{- $values := .root.Values.webhook }}
{{- $never := concat (list "kube-system" "kube-public" "kube-node-lease" .root.Release.Namespace) $values.excludedNamespaces | uniq }}
{{- with merge (dict) (.labels | default dict) ($values.namespaceSelector.matchLabels | default dict) -}}
matchLabels:
  {{- toYaml . | nindent 2 }}
{{ end -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
      {{- toYaml $never | nindent 6 }}
  {{- with $values.namespaceSelector.matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Whether the webhook writes the CA into its configuration; otherwise the chart or cert-manager does. */}}
{{- define "vouchsafe.patchesCaBundle" -}}
{{- if not (or (eq .Values.certificate.mode "certManager") .Values.certificate.caBundle) }}true{{ end }}
{{- end }}

{{/* Whether the Secret with the certificate is maintained elsewhere and mounted into the webhook. */}}
{{- define "vouchsafe.mountsTls" -}}
{{- if has .Values.certificate.mode (list "certManager" "secret") }}true{{ end }}
{{- end }}

{{/* `1d12h` in seconds. */}}
{{- define "vouchsafe.seconds" -}}
{{- $text := . }}
{{- $sum := 0 }}
{{- range $unit, $seconds := dict "d" 86400 "h" 3600 "m" 60 "s" 1 }}
{{- $sum = add $sum (mul $seconds (regexFind (printf "[0-9]+%s" $unit) $text | trimSuffix $unit | atoi)) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* Whether the webhook itself needs a volume of the Workload API. */}}
{{- define "vouchsafe.mountsWorkloadApi" -}}
{{- if and (eq .Values.certificate.mode "spiffe") (ne .Values.spiffe.volume "none") }}true{{ end }}
{{- end }}

{{- define "vouchsafe.socketDirectory" -}}
{{ .Values.spiffe.socket | trimPrefix "unix://" | dir }}
{{- end }}

{{/*
Who may reach the ports of probes and metrics. Metrics name namespaces, so by default these are the pods of this
namespace, and with a monitor the pods that the Prometheus operator labels as prometheus, in any namespace.
*/}}
{{- define "vouchsafe.metricsFrom" -}}
{{- with .Values.networkPolicy.metricsFrom -}}
{{- toYaml . }}
# helm test
- podSelector:
    matchLabels:
      app.kubernetes.io/instance: {{ $.Release.Name }}
      app.kubernetes.io/component: test
{{- else -}}
- podSelector: {}
{{- if or .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
- namespaceSelector: {}
  podSelector:
    matchLabels:
      app.kubernetes.io/name: prometheus
{{- end }}
{{- end }}
{{- end }}
