{{/* Folders and the kubelet's socket as the nodes have them: the given values, else the platform's, else the usual ones. */}}
{{- define "manifold.host" -}}
{{- $presets := dict
  "k3s" (dict
    "binDir" "/var/lib/rancher/k3s/data/cni"
    "confDir" "/var/lib/rancher/k3s/agent/etc/cni/net.d")
  "rke2" (dict)
  "microk8s" (dict
    "binDir" "/var/snap/microk8s/current/opt/cni/bin"
    "confDir" "/var/snap/microk8s/current/args/cni-network"
    "kubelet" "/var/snap/microk8s/common/var/lib/kubelet")
  "k0s" (dict "kubelet" "/var/lib/k0s/kubelet")
  "gke" (dict "binDir" "/home/kubernetes/bin")
  "openshift-like" (dict
    "binDir" "/var/lib/cni/bin"
    "confDir" "/etc/kubernetes/cni/net.d")
-}}
{{- $preset := get $presets .Values.platform | default dict -}}
{{- $node := .Values.node -}}
binDir: {{ $node.binDir | default $preset.binDir | default "/opt/cni/bin" }}
confDir: {{ $node.confDir | default $preset.confDir | default "/etc/cni/net.d" }}
stateDir: {{ $node.stateDir }}
{{- if $node.podResourcesSocket }}
podResourcesSocket: {{ $node.podResourcesSocket }}
{{- else if $preset.kubelet }}
podResourcesSocket: {{ $preset.kubelet }}/pod-resources/kubelet.sock
{{- end }}
{{- end -}}
