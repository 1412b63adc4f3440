{{/* The two blocks that the controller and the node agent must share. */}}
{{- define "manifold.networks" -}}
namespace: {{ .Release.Namespace }}
defaultNetwork:
  name: {{ .Values.defaultNetwork.name }}
  source: {{ .Values.defaultNetwork.source }}
{{- with .Values.defaultNetwork.configuration }}
  configuration: {{ . | quote }}
{{- end }}
networks:
  namespaceIsolation: {{ .Values.networks.namespaceIsolation }}
  globalNamespaces: {{ toJson .Values.networks.globalNamespaces }}
  systemNamespaces: {{ toJson .Values.networks.systemNamespaces }}
  defaultNetworks: {{ toJson .Values.networks.defaultNetworks }}
  allowedDefaultNetworks: {{ toJson .Values.networks.allowedDefaultNetworks }}
  defaultNetworkRequests: {{ toJson .Values.networks.defaultNetworkRequests }}
  networksPerPod: {{ .Values.networks.networksPerPod }}
{{- if not (kindIs "invalid" .Values.networks.bundled) }}
  bundled: {{ toJson .Values.networks.bundled }}
{{- end }}
  dropUnsupportedRequests: {{ .Values.networks.dropUnsupportedRequests }}
  defaultRoutePerFamily: {{ .Values.networks.defaultRoutePerFamily }}
  strict: {{ .Values.networks.strict }}
{{- end -}}

{{- define "manifold.clusterConfiguration" -}}
{{ include "manifold.networks" . }}
policies:
  statusOnCreate: {{ .Values.policies.statusOnCreate }}
admission:
  missingNetwork: {{ .Values.admission.missingNetwork }}
  certificateDays: {{ .Values.admission.certificateDays }}
{{- if .Values.admission.clientAuthority }}
  clientAuthority: /etc/manifold-clients/ca.crt
  clientNames: {{ toJson .Values.admission.clientNames }}
{{- end }}
{{- end -}}

{{- define "manifold.nodeConfiguration" -}}
{{- $node := .Values.node -}}
{{ include "manifold.networks" . }}
host:
  {{- include "manifold.host" . | nindent 2 }}
executable:
  source: /manifold
  links: {{ toJson $node.links }}
cniVersion: {{ $node.cniVersion | quote }}
podAnnotations: {{ $node.podAnnotations }}
check: {{ $node.check | quote }}
{{- if not (kindIs "invalid" $node.capabilities) }}
capabilities: {{ toJson $node.capabilities }}
{{- end }}
apiServer:
  address: {{ $node.apiServer.address | quote }}
  tlsServerName: {{ $node.apiServer.tlsServerName | quote }}
token:
  seconds: {{ int $node.tokenSeconds }}
log:
  level: {{ $node.log.level }}
  file: {{ $node.log.file | quote }}
  toStderr: {{ $node.log.toStderr }}
limits:
  delegateSeconds: {{ $node.limits.delegateSeconds }}
  addSeconds: {{ $node.limits.addSeconds }}
{{- if eq .Values.defaultNetwork.source "builtIn" }}
builtIn:
  bridge: {{ .Values.defaultNetwork.builtIn.bridge }}
  mtu: {{ .Values.defaultNetwork.builtIn.mtu }}
  clusterCidrs: {{ toJson .Values.defaultNetwork.builtIn.clusterCidrs }}
{{- end }}
statusAddress: 0.0.0.0:{{ $node.statusPort }}
{{- end -}}
